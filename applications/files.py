"""What programs share: failures in one line, listings of folders, files written whole or not at all."""

import collections
import contextlib
import itertools
import os
from pathlib import Path

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class Failure(Exception):
    """What cannot be done, in one line for the user. Exit code 1."""


class Usage(Exception):
    """What the arguments contradict. Exit code 2."""


def one_line(error, most=1000):
    """The message of an error, or else its type, without line breaks; of a long one the beginning and the end."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-(most // 2) :]}"


def counted(n, word):
    """`1 error`, `2 errors`."""
    return f"{n:,} {word}{'s' * (n != 1)}"


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


def pictures_in(folder, say, deep=False, expected="a folder of pictures"):
    """The files of a folder that have a picture's ending, sorted; what is passed over is named in a line.

    Args:
        folder: a path.
        say: function of a line.
        deep: whether subfolders are searched.
        expected: what the message of a missing folder asks for.

    Raises:
        Failure: no folder, one that cannot be read, or no picture in it.
    """
    folder = Path(folder).expanduser()
    try:
        if not folder.is_dir():
            raise Failure(f"{folder}: {'no' if folder.exists() else 'no such'} folder; expected {expected}")
        found = sorted(folder.rglob("*") if deep else folder.iterdir())
    except OSError as error:
        raise Failure(f"{folder}: cannot be read: {error.strerror}") from error
    found = [p for p in found if not p.name.startswith(".")]
    files = [p for p in found if not p.is_dir()]
    pictures = [p for p in files if p.suffix.lower() in SUFFIXES]
    if not pictures:
        searched = "" if deep else "; subfolders are not searched"
        raise Failure(f"{folder}: no pictures in it ({' '.join(SUFFIXES)}){searched}")
    if others := [p.name for p in files if p.suffix.lower() not in SUFFIXES]:
        say(f"{folder}: passed over, without a picture's ending: {_few(others)}")
    if not deep and (folders := [p.name for p in found if p.is_dir()]):
        say(f"{folder}: passed over, as subfolders are not searched: {_few(folders)}")
    return pictures


def _few(names):
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def free_names(files):
    """A name for each file, no two of which are one to a file system that ignores case.

    `photo` for `photo.jpg`; `photo.jpg` and `photo.png` where both are there; `photo.png_2` for a second folder's.
    """
    stems = collections.Counter(file.stem.casefold() for file in files)
    names, taken = [], set()
    for file in files:
        first = file.stem if stems[file.stem.casefold()] == 1 else file.name
        numbered = (f"{file.name}_{k}" for k in itertools.count(2))
        names.append(next(n for n in itertools.chain((first, file.name), numbered) if n.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names
