"""What programs share: failures in one line, files written whole or not at all."""

import contextlib
import os
from pathlib import Path


class Failure(Exception):
    """What cannot be done, in one line for the user. Exit code 1."""


class Usage(Exception):
    """What the arguments contradict. Exit code 2."""


def one_line(error, most=300):
    """The message of an error, or else its type, without line breaks."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def writable(folder):
    """The folder, made if need be.

    Raises:
        Failure: it cannot be written to.
    """
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Failure(f"{folder}: cannot be written to: {error.strerror}") from error
    return folder


@contextlib.contextmanager
def whole(target):
    """A temporary name beside `target`, with its ending, renamed to it when all went well."""
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
