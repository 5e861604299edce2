"""Trainings that are interrupted and go on: what programs share around `keras_gen.callbacks.ExactResume`.

`ExactResume` saves before the next step and ends the process when SIGTERM comes, and listens no more from then on.
Ctrl-C is passed on as that signal while it listens. Where it does not, Ctrl-C ends the program at once: so does a
second one.
"""

import contextlib
import functools
import json
import signal
import threading
import zlib
from pathlib import Path

import numpy as np

from applications.files import Failure, one_line, whole

PICTURES, RECORDINGS = "pictures", "recordings"
OTHER_TRAINING = "Expected the training that the checkpoints are of"  # so begins the refusal of `ExactResume`


class Saved(KeyboardInterrupt):
    """The training was interrupted, and is saved."""


@contextlib.contextmanager
def interruptible(say):
    """Within, the first Ctrl-C saves a training, and the second one ends it.

    Raises:
        Saved: after the first one.
    """
    found, ended, asked = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), []

    def interrupt(number, frame):
        if signal.getsignal(signal.SIGTERM) == ended:  # nobody listens
            raise KeyboardInterrupt
        asked.append(True)
        with contextlib.suppress(RuntimeError):  # in the midst of another line
            say("Ctrl-C: the training is saved before its next step; a second Ctrl-C ends it at once")
        signal.raise_signal(signal.SIGTERM)

    listens = threading.current_thread() is threading.main_thread() and callable(found)  # else Ctrl-C is ignored
    try:
        if listens:
            signal.signal(signal.SIGINT, interrupt)
        yield
    except SystemExit as error:
        if asked:
            raise Saved from error
        raise
    finally:
        if listens:
            signal.signal(signal.SIGINT, found)


def interrupted(error, training):
    """What is said of a `KeyboardInterrupt`: how a training goes on."""
    if isinstance(error, Saved):
        return "interrupted and saved; the same command goes on from here"
    return "interrupted at once" + "; the same command goes on at the last checkpoint, if there is one" * training


def check_options(folder, options):
    """Refuse to go on with the checkpoints of a command with other options.

    Args:
        folder: of the checkpoints.
        options: dict of option, as the user types it, to value; None and False: it is not given.

    Raises:
        Failure: it names those that changed, and what to do.
    """
    before, now = _noted(folder), json.loads(json.dumps(options))
    changed = [_change(k, v, before[k]) for k, v in now.items() if before.get(k, v) != v]
    if changed:
        raise Failure(
            f"{folder} holds another training: {'; '.join(changed)}. Give the same to go on with it, or another "
            "--output to begin anew"
        )


@contextlib.contextmanager
def resumable(folder, options, say):
    """Around the `fit` of a training with `ExactResume(folder)`: checks and notes the options, lets Ctrl-C save.

    Args:
        folder, options: as of `check_options`; with the `checksum` of the pictures as `PICTURES`, or of the
            recordings as `RECORDINGS`.
        say: function of a line.

    Raises:
        Saved: it was interrupted.
        Failure: the checkpoints are of another training.
    """
    folder = Path(folder)
    check_options(folder, options)
    if not has_checkpoints(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / "options.json") as temporary:
            temporary.write_text(json.dumps(options, indent=2) + "\n")
    try:
        with interruptible(say):
            yield
    except ValueError as error:
        if not str(error).startswith(OTHER_TRAINING):
            raise
        raise Failure(
            f"{folder} holds another training, or one by another version of this program. Give another --output "
            f"to begin anew ({one_line(error, 200)})"
        ) from error


def has_checkpoints(folder):
    return any(Path(folder).glob("step_*"))


def _noted(folder):
    """The options of the training whose checkpoints lie in the folder; empty where they are not known."""
    try:
        return dict(json.loads((Path(folder) / "options.json").read_text())) if has_checkpoints(folder) else {}
    except (OSError, ValueError, TypeError):
        return {}


def checksum(images):
    """A number that tells pictures or other arrays from others: CRC-32 of all in their order."""
    return functools.reduce(lambda crc, x: zlib.crc32(np.ascontiguousarray(x), crc), images, 0)


def _change(name, value, before):
    if name in (PICTURES, RECORDINGS):
        return f"other {name} than before"
    return f"{_given(name, value)}, before {_value(before)}"


def _given(name, value):
    if isinstance(value, bool) or value is None:
        return name if value else f"no {name}"
    return f"{name} {_value(value)}"


def _value(value):
    if isinstance(value, bool) or value is None:
        return "with it" if value else "without"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
