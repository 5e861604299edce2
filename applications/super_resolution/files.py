"""What the commands share: what they say, the pictures of folders and zips as streams."""

import io
import zipfile
from pathlib import Path

from applications import terminal
from applications.files import SUFFIXES, Failure, one_line, pictures_in

WANTED = "a folder of pictures, or a zip of them"


def say(text):
    """One line to the terminal's errors."""
    terminal.say("super_resolution", text)


def has_suffix(name):
    return Path(name).suffix.lower() in SUFFIXES and not Path(name).name.startswith(".")


def streams_in(path, most, deep=False):
    """`(name, open)` of each picture of a folder or a zip; `open()` is a binary stream of at most `most` bytes.

    Raises:
        Failure: nothing there, no zip, or no picture in it; `open` raises it for a file that cannot be used.
    """
    path = path.expanduser()
    if path.is_file():
        return _members(path, most)
    return [(str(p.relative_to(path)), lambda p=p: open_file(p, most)) for p in pictures_in(path, say, deep, WANTED)]


def open_file(path, most):
    """A regular file of 1 to `most` bytes as a stream (opening a pipe would wait for ever)."""
    try:
        if not path.exists() and not path.is_symlink():
            raise Failure(f"{path}: no such file")
        if not path.is_file():
            raise Failure(f"{path}: no regular file, or a link that leads nowhere")
        _check_length(path, path.stat().st_size, most)
        return open(path, "rb")
    except OSError as error:
        raise Failure(f"{path}: cannot be read: {error.strerror or one_line(error)}") from error


def _members(path, most):
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise Failure(f"{path}: neither a folder nor a zip that can be read: {one_line(error)}") from error
    entries = [e for e in archive.infolist() if has_suffix(e.filename) and not e.filename.startswith("__MACOSX/")]
    if not entries:
        raise Failure(f"{path}: no pictures in it ({' '.join(SUFFIXES)})")
    return [(e.filename, lambda e=e: _open_member(archive, e, most)) for e in sorted(entries, key=lambda e: e.filename)]


def _open_member(archive, entry, most):
    _check_length(entry.filename, entry.file_size, most)
    try:
        with archive.open(entry) as stream:  # never more than was declared, and checked, is unpacked
            return io.BytesIO(stream.read())
    except Exception as error:  # a damaged archive makes zipfile and its decompressors raise many types
        raise Failure(f"{entry.filename}: cannot be unpacked: {one_line(error)}") from error


def _check_length(name, length, most):
    if not 0 < length <= most:
        raise Failure(f"{name}: it has {length} bytes; expected 1 to {most} (--max-pixels)")
