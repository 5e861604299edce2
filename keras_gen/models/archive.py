"""A saved model that nobody vouches for, looked through before Keras opens it.

`keras.saving.load_model` with `safe_mode=True` refuses code: Python lambdas, names that are no Keras object, links and
external data in HDF5; files outside of the archive are not written. What it does not bound is memory: its limits begin
at 4 GiB a part, and a part of that size is read, or a weight allocated, before its content is known to be wrong. Nor
does it insist on the archive's checksums: from Python 3.12 on, weights with a changed bit load in silence.

Keras stores what it writes without compression. So let s be the bytes that a part takes in the file and d those that
it declares to be. A part, or a weight in it, is accepted if

    d <= 10 s   or   d <= 1 MiB,

which bounds the memory by the file's size and admits archives packed again. `config.json` may have 8 MiB, which take
up to 200 MiB when parsed. Every part is read once for its CRC-32. `.weights.h5` has no checksum: there a changed bit
is another weight.
"""

import io
import json
import math
import zipfile
from pathlib import Path, PurePosixPath

EXPANSION = 10
SMALL = 2**20
LARGEST_CONFIG = 2**23
JSON_PARTS = ("config.json", "metadata.json")
WEIGHTS = ("model.weights.h5", "model.weights.npz")


def check_archive(path):
    """Refuse a damaged or hostile `.keras` or `.weights.h5` file, in memory bounded by its size.

    Call it before `keras.saving.load_model` or `load_weights` on a file from elsewhere, and leave `safe_mode` on. It
    loads nothing and runs nothing of the file. What it cannot know is how large a model the configuration asks for:
    Keras allocates the weights of a layer before it reads them, so for files of strangers limit the memory of the
    process too.

    Args:
        path: A `.keras` or `.weights.h5` file.

    Raises:
        ValueError: If the file is truncated, damaged (checksums, `.keras` only), holds parts that no saved model has,
            parts outside of the archive or twice, links or external data, or declares sizes that it does not hold.
            The message names the file and the part.

    Example:
        >>> import keras
        >>> from keras_gen.models.archive import check_archive
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        >>> model.save("model.keras")
        >>> check_archive("model.keras")
        >>> with open("model.keras", "r+b") as file:
        ...     size = file.truncate(500)
        >>> try:
        ...     check_archive("model.keras")
        ... except ValueError as error:
        ...     print(str(error)[:47])
        Expected a saved model. Received: model.keras:
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ValueError("it is no regular file")
        if path.name.endswith(".weights.h5"):
            _check_weights(path)
        elif path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                _check_parts(archive)
        else:
            raise ValueError("its name ends neither in .keras nor in .weights.h5")
    except (Exception, RecursionError) as error:  # zipfile, zlib, json and h5py have each their own
        raise ValueError(f"Expected a saved model. Received: {path}: {error or type(error).__name__}") from error


def _check_parts(archive):
    parts = archive.infolist()
    names = [part.filename for part in parts]
    if len(set(names)) < len(names):
        raise ValueError("a part is there twice")
    if not {"config.json"} < set(names) or not set(WEIGHTS) & set(names):
        raise ValueError(f"it should hold config.json and one of {WEIGHTS}; it holds {names[:5]}")
    for part in parts:
        _check_name(part.filename)
        _check_size(part.filename, part.file_size, part.compress_size)
        with archive.open(part) as stream:  # to the end, for the checksum
            while stream.read(SMALL):
                pass
    for name in set(JSON_PARTS) & set(names):
        if archive.getinfo(name).file_size > LARGEST_CONFIG:
            raise ValueError(f"{name} has more than {LARGEST_CONFIG} bytes")
        json.loads(archive.read(name))
    if WEIGHTS[0] in names:
        _check_weights(io.BytesIO(archive.read(WEIGHTS[0])))


def _check_name(name):
    path = PurePosixPath(name)
    known = name in JSON_PARTS + WEIGHTS or path.parts[0] == "assets"
    if not known or ".." in path.parts or "\\" in name:
        raise ValueError(f"no saved model has a part {name[:80]!r}")


def _check_size(name, declared, stored):
    if declared > SMALL and declared > EXPANSION * stored:
        raise ValueError(f"{name} declares {declared} bytes and holds {stored}")


def _check_weights(file):
    """Every link and array of an HDF5 file."""
    import h5py  # comes with Keras

    with h5py.File(file) as store:
        _check_group(store, set())


def _check_group(group, seen):
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} is a {type(link).__name__}")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise ValueError(f"{name} is there twice")
        seen.add(address)
        if isinstance(item, h5py.Group):
            _check_group(item, seen)
        elif not isinstance(item, h5py.Dataset) or item.external or item.is_virtual or item.dtype.hasobject:
            raise ValueError(f"{name} is no array of numbers in the file itself")
        else:
            _check_size(item.name, math.prod(item.shape or ()) * item.dtype.itemsize, item.id.get_storage_size())
