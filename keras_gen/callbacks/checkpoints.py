"""Checkpoint files that are whole or not there.

A checkpoint is written under a temporary name, synced to the disk and renamed: a rename is atomic, so whenever the
process dies, each name holds a whole file. A file that a disk or a copy damaged later is known by its checksum:

    keras_gen checkpoint 1 <SHA-256 of the rest, in hex> <length of the rest>\\n
    a zip archive of the arrays, as `numpy.savez` writes it; its member `tree` is JSON and says where each belongs

Nothing in it is code: no pickle is written or read.
"""

import contextlib
import hashlib
import json
import os
import re
import warnings
from pathlib import Path

import numpy as np

_HEADER = "keras_gen checkpoint 1 {} {:020d}\n"
_PATTERN = re.compile(_HEADER.replace("{:020d}", r"(\d{{20}})").format("([0-9a-f]{64})").encode())
_BLANK = _HEADER.format("0" * 64, 0).encode()


class DamagedCheckpoint(ValueError):
    """A checkpoint that is truncated or whose checksum is wrong."""


class _Hashed:
    """A file that is written from its beginning to its end, and its checksum. It cannot seek: `zipfile` copes."""

    read = None  # `numpy.savez` looks for the attribute

    def __init__(self, file):
        self.file, self.hash, self.length = file, hashlib.sha256(), 0

    def write(self, data):
        self.hash.update(data)
        self.length += len(memoryview(data).cast("B"))
        return self.file.write(data)

    def flush(self):
        self.file.flush()


def write_checkpoint(path, tree):
    """Write `tree` (dicts, lists, tuples, numbers, strings, bytes, None and numpy arrays) to `path`, whole or not.

    Raises:
        OSError: the disk is full, the folder read-only, ...; what was at `path` is still there.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            _fill(file, tree)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _fill(file, tree):
    file.write(_BLANK)
    arrays, hashed = {}, _Hashed(file)
    text = json.dumps(encode(tree, arrays))
    np.savez(hashed, tree=np.frombuffer(text.encode(), "uint8"), **arrays)
    file.seek(0)
    file.write(_HEADER.format(hashed.hash.hexdigest(), hashed.length).encode())


def _sync_folder(folder):
    """Bring the new name itself to the disk, where the system can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def read_checkpoint(path):
    """The tree in the file at `path`.

    Raises:
        DamagedCheckpoint: the file is truncated or damaged, or no checkpoint.
    """
    with open(path, "rb") as file:
        _verify(file, path)
        with np.load(file, allow_pickle=False) as stored:
            return _decode(json.loads(stored["tree"].tobytes()), stored)


def _verify(file, path):
    header = _PATTERN.fullmatch(file.read(len(_BLANK)))
    if header is None:
        raise DamagedCheckpoint(f"{path} is no checkpoint, or its beginning is damaged.")
    digest, length = hashlib.sha256(), 0
    while block := file.read(1 << 20):
        digest.update(block)
        length += len(block)
    if length != int(header[2]):
        raise DamagedCheckpoint(f"{path} is truncated: {length} of {int(header[2])} bytes are there.")
    if digest.hexdigest().encode() != header[1]:
        raise DamagedCheckpoint(f"{path} is damaged: its checksum is wrong.")
    file.seek(len(_BLANK))


def encode(value, arrays):
    """`value` as JSON, its arrays put into the dict `arrays`.

    Raises:
        ValueError: something that is none of these.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        name = f"array_{len(arrays)}"
        arrays[name] = value
        return {"array": name, "scalar": isinstance(value, np.generic)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {"dict": [[encode(k, arrays), encode(v, arrays)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [encode(v, arrays) for v in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"Expected numbers, strings, arrays and containers of them. Received: {type(value).__name__}.")


def _decode(value, arrays):
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]][()] if value["scalar"] else arrays[value["array"]]
    if "bytes" in value:
        return bytes.fromhex(value["bytes"])
    if "dict" in value:
        return {_decode(k, arrays): _decode(v, arrays) for k, v in value["dict"]}
    ((kind, items),) = value.items()
    return (tuple if kind == "tuple" else list)(_decode(v, arrays) for v in items)


class Checkpoints:
    """The last `keep` checkpoints of a training in a folder, by step.

    Args:
        directory: the folder.
        keep: how many are kept, at least 1.
    """

    def __init__(self, directory, keep=1):
        self.directory, self.keep = Path(directory), keep

    def prepare(self):
        """Create the folder, and drop what a process left that died while it wrote.

        Raises:
            ValueError: the folder cannot be written to.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            probe = self.directory / f".probe.{os.getpid()}"
            write_checkpoint(probe, None)
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise ValueError(
                "Expected a folder for checkpoints that can be written to. "
                f"Received: {str(self.directory)!r}, {error}. Choose "
                "another one, or make room."
            ) from error
        for left in self.directory.glob(".step_*.tmp"):
            left.unlink(missing_ok=True)

    def paths(self):
        """The files, the newest first."""
        return sorted(self.directory.glob("step_*.ckpt"), reverse=True)

    def save(self, step, tree):
        """Write the checkpoint of `step`, and drop the oldest beyond `keep`."""
        write_checkpoint(self.directory / f"step_{step:012d}.ckpt", tree)
        for old in self.paths()[self.keep :]:
            old.unlink(missing_ok=True)

    def latest(self):
        """The tree of the newest whole checkpoint; None if there is none.

        Raises:
            ValueError: there are files, but all of them are damaged.
        """
        paths, damaged = self.paths(), list(self.directory.glob("step_*.damaged"))
        for path in paths:
            try:
                return read_checkpoint(path)
            except DamagedCheckpoint as error:
                warnings.warn(f"{error} The checkpoint before it is used.", stacklevel=2)
                with contextlib.suppress(OSError):  # it must not count as one of those that are kept
                    path.rename(path.with_suffix(".damaged"))
        if damaged := [*paths, *damaged]:
            raise ValueError(
                f"Expected a whole checkpoint in {str(self.directory)!r}. Received: {len(damaged)}, all damaged. "
                "Delete them to begin anew."
            )
        return None
