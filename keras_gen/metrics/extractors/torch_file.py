"""Tensors out of a file that `torch.save` wrote, without torch, and without running what the file may hold.

Such a file is a pickle, and a pickle is a program. Here it may call two things: a mapping, and what notes down a
tensor; whatever else it names is refused. There are two formats:

    zip      since torch 1.6: `NAME/data.pkl` is the pickle, `NAME/data/KEY` the bytes of each storage
    legacy   before: five pickles (a magic number, a version, the system, the object, the storages' keys), then each
             storage: a count of 8 bytes, and its values

In both, the pickle speaks of a storage as ("storage", type, key, location, count, ...), and of a tensor as a view of
it: offset, sizes and strides, in values. What the pickle makes is plain data, for it may change objects after they are
made; it is checked when the pickle has ended. A view must lie inside its storage, and no storage exceed the file.
"""

import math
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np

MAGIC, VERSION, ZIP = 0x1950A86A20F9469CFC6C, 1001, b"PK\x03\x04"
TYPES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "<b1",
}  # fmt: skip
MOST_RANK = 8
NO_TENSORS = "it holds something else than tensors by name"


class Reader(pickle.Unpickler):
    """An unpickler that knows tensors and mappings, and nothing else; `storages` are those it met."""

    def __init__(self, stream, most_bytes=0):
        super().__init__(stream)
        self.storages, self.most_bytes = {}, most_bytes

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, sizes, strides, *_: (storage, offset, sizes, strides)
        if module == "torch" and name in TYPES:
            return TYPES[name]
        raise ValueError(f"it asks for {module}.{name}, which is neither a mapping nor a tensor of numbers")

    def persistent_load(self, description):
        kind, dtype, key, _, count, *view = description
        if kind != "storage" or dtype not in TYPES.values() or type(count) is not int or any(view):
            raise ValueError("a storage is not described as torch does")
        if not 0 <= count * np.dtype(dtype).itemsize <= self.most_bytes:
            raise ValueError(f"it speaks of a storage of {count} values, more than the file can hold")
        if self.storages.setdefault(str(key), (dtype, count)) != (dtype, count):
            raise ValueError("one storage is described in two ways")
        return str(key)


def read_tensors(file):
    """The tensors of a mapping that `torch.save` wrote (a `state_dict`).

    Args:
        file: Path of the file, of the zip format or the one before torch 1.6.

    Returns:
        Dict of name to numpy array, of the dtypes in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is none that `torch.save` wrote, is damaged, or holds anything but tensors of numbers by
            name; a TorchScript program and a whole pickled module are refused so.
    """
    try:
        with open(file, "rb") as stream:
            zipped = stream.read(len(ZIP)) == ZIP
            stream.seek(0)
            found, storages = _zipped(stream) if zipped else _legacy(stream)
        if not isinstance(found, dict):
            raise ValueError(NO_TENSORS)
        return {name: _array(name, view, storages) for name, view in dict.items(found)}
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle makes Python raise nearly every type
        raise ValueError(
            f"Expected a file of tensors by name, as `torch.save(model.state_dict(), file)` writes. Received: {file}: "
            f"{error or type(error).__name__}"
        ) from error


def _array(name, view, storages):
    """The tensor that `view`, of which nothing is known, describes."""
    if type(name) is not str or type(view) is not tuple or len(view) != 4 or view[0] not in storages:
        raise ValueError(NO_TENSORS)
    data, offset, sizes, strides = storages[view[0]], *view[1:]
    numbers = (offset, *sizes, *strides)
    if len(sizes) > MOST_RANK or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError(f"{name} has sides or strides that are no sizes")
    last = offset + sum((n - 1) * stride for n, stride in zip(sizes, strides, strict=True))
    if math.prod(sizes) > data.size or (0 not in sizes and last >= data.size):
        raise ValueError(f"{name} reaches beyond its storage")
    steps = [stride * data.itemsize for stride in strides]
    return np.array(np.lib.stride_tricks.as_strided(data[offset:], sizes, steps, writeable=False))


def _zipped(stream):
    """The object in the pickle, and the storages, of the zip format."""
    size = os.fstat(stream.fileno()).st_size
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries) or sum(e.file_size for e in entries) > size:
            raise ValueError("its parts are compressed or overlap; torch does neither")
        root = _root([entry.filename for entry in entries])
        if f"{root}byteorder" in archive.NameToInfo and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its values are not little-endian")
        with archive.open(f"{root}data.pkl") as pickled:
            reader = Reader(pickled, size)
            found = reader.load()
        read = {key: archive.read(f"{root}data/{key}") for key in reader.storages}
    return found, {key: np.frombuffer(read[key], *description) for key, description in reader.storages.items()}


def _root(names):
    roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ValueError("it is a zip file without one `data.pkl`")
    if any(name.startswith(f"{roots[0]}code/") for name in names):
        raise ValueError("it is a TorchScript program, not a file of tensors")
    return roots[0]


def _legacy(stream):
    """The object in the pickle, and the storages, of the format before torch 1.6."""
    magic, version, system = (Reader(stream).load() for _ in range(3))
    if magic != MAGIC or version != VERSION or system["little_endian"] is not True:
        raise ValueError("it does not begin as a file of torch does")
    reader, storages = Reader(stream, os.fstat(stream.fileno()).st_size), {}
    found, keys = reader.load(), Reader(stream).load()
    for key in keys:
        dtype, count = reader.storages[key]
        if struct.unpack("<q", stream.read(8)) != (count,):
            raise ValueError("a storage has another length than the pickle says")
        storages[key] = np.frombuffer(stream.read(count * np.dtype(dtype).itemsize), dtype, count)
    return found, storages
