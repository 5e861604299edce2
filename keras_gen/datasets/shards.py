"""Examples in many `.npz` files, read a few files at a time.

A shard must be read whole to give one example, so a permutation of all examples would read each shard for nearly
every one of them. The order of a pass is drawn in two steps instead: first the shards are permuted, then the examples
within each group of w = `shuffle_shards` consecutive shards of that order. The shuffle buffer is one group. With
w = 1 the examples mix within their shard alone, with w the number of shards over all of them; where the shards hold
the classes apart, a batch sees at most w classes, so such data should be mixed when it is written, or w be large.

A batch may need the end of one group and the beginning of the next, so 2 w shards are kept in memory. Each is read
through the checksums of its archive, and only after its headers said how large it is:

    memory <= 2 w max_shard_bytes.
"""

import math
import threading
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

MAX_SHARD_BYTES = 2**30


class NpzShards:
    """Examples in `.npz` files of equal arrays, a source for `Batches`.

    Args:
        path: A folder, whose `.npz` files are taken in sorted order, or a list of files.
        arrays: The names of the arrays in each file that make up an example, default `("x",)`; `("x", "y")` gives
            `(x, y)`. Row i of each belongs to example i of the file.
        shuffle_shards: w, how many shards are mixed with each other, default 2.
        max_shard_bytes: A shard whose arrays are larger when read is refused, default 2**30 (1 GiB).

    Raises:
        ValueError: If there is no file, a file is damaged or too large, lacks an array, holds pickled objects, or its
            rows differ in number, shape or dtype from those of others. The headers of all files are read at once,
            the data when it is needed.

    Example:
        >>> import numpy as np
        >>> from keras_gen.datasets import Batches, NpzShards
        >>> for k in range(3):
        ...     np.savez(f"part{k}.npz", x=np.full((4, 2), k), y=np.arange(4))
        >>> dataset = Batches(NpzShards(".", arrays=("x", "y")), batch_size=5)
        >>> [x.shape for x, y in dataset]
        [(5, 2), (5, 2), (2, 2)]
    """

    def __init__(self, path, arrays=("x",), shuffle_shards=2, max_shard_bytes=MAX_SHARD_BYTES):
        self.files = _list_files(path)
        self.arrays = (arrays,) if isinstance(arrays, str) else tuple(arrays)
        for name, value in (("shuffle_shards", shuffle_shards), ("max_shard_bytes", max_shard_bytes)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Expected `{name}` to be an int > 0. Received: {name}={value!r}")
        self.shuffle_shards, self.max_shard_bytes = shuffle_shards, max_shard_bytes
        self._headers = [self._checked_headers(file) for file in self.files]
        self._check_alike()
        counts = [header[0][0][0] for header in self._headers]
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._shards, self._lock = {}, threading.Lock()

    def __len__(self):
        return int(self._starts[-1])

    def __getitem__(self, i):
        i = range(len(self))[i]
        shard = int(np.searchsorted(self._starts, i, side="right")) - 1
        row = i - int(self._starts[shard])
        return tuple(array[row] for array in self._read(shard))

    def order(self, generator):
        """A permutation of the examples that reads each shard once: `(n,)`, `int64`."""
        shards, parts = generator.permutation(len(self.files)), []
        for start in range(0, len(shards), self.shuffle_shards):
            group = shards[start : start + self.shuffle_shards]
            examples = np.concatenate([np.arange(self._starts[k], self._starts[k + 1]) for k in group])
            parts.append(generator.permutation(examples))
        return np.concatenate(parts)

    def _read(self, shard):
        """The arrays of a shard; the least recently used are dropped."""
        with self._lock:
            arrays = self._shards.pop(shard, None)
            while len(self._shards) >= 2 * self.shuffle_shards:
                del self._shards[next(iter(self._shards))]
            if arrays is None:
                arrays = self._load(shard)
            self._shards[shard] = arrays
            return arrays

    def _load(self, shard):
        file = self.files[shard]
        if self._checked_headers(file) != self._headers[shard]:
            raise ValueError(f"Expected {file} as it was when the set was opened. Received: other arrays.")
        try:
            with np.load(file, allow_pickle=False) as data:
                return [data[name] for name in self.arrays]
        except MemoryError:
            raise
        except Exception as error:  # zipfile, zlib and numpy have each their own
            raise ValueError(f"Expected a whole .npz file. Received: {file}, which is damaged: {error}") from error

    def _checked_headers(self, file):
        """(shape, dtype) of each array, from the headers alone."""
        try:
            headers = _headers(file, self.arrays)
        except Exception as error:
            raise ValueError(f"Expected a .npz file with arrays {self.arrays}. Received: {file}: {error}") from error
        bytes_ = sum(math.prod(shape) * dtype.itemsize for shape, dtype in headers)
        if bytes_ > self.max_shard_bytes:
            raise ValueError(
                f"Expected shards of at most {self.max_shard_bytes} bytes (`max_shard_bytes`). Received: {file}, "
                f"whose arrays take {bytes_}. Write smaller shards."
            )
        if len({shape[:1] for shape, _ in headers}) > 1 or not headers[0][0]:
            raise ValueError(f"Expected arrays {self.arrays} of as many rows. Received: {file}: {headers}")
        return headers

    def _check_alike(self):
        first = [(shape[1:], dtype) for shape, dtype in self._headers[0]]
        for file, headers in zip(self.files, self._headers, strict=True):
            if [(shape[1:], dtype) for shape, dtype in headers] != first:
                raise ValueError(
                    f"Expected rows of one shape and dtype in all shards, as in {self.files[0]}: {first}. Received: "
                    f"{file}: {headers}"
                )


def _list_files(path):
    if isinstance(path, (list, tuple)):
        files = [Path(file).expanduser() for file in path]
    else:
        files = sorted(Path(path).expanduser().glob("*.npz"))
    if not files:
        raise ValueError(f"Expected `path` to be a folder with .npz files, or a list of them. Received: {path}")
    return files


def _headers(file, names):
    """What each array declares to be; the archive must hold as many bytes as it declares."""
    if not file.is_file():
        raise ValueError("it is no regular file")
    headers = []
    with zipfile.ZipFile(file) as archive:
        for name in names:
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as stream:
                shape, _, dtype = _READ_HEADER[npy.read_magic(stream)](stream)
                declared = math.prod(shape) * dtype.itemsize
                if dtype.hasobject or declared != member.file_size - stream.tell():
                    raise ValueError(f"{name} holds pickled objects, or not as many bytes as it declares")
            headers.append((shape, dtype))
    return headers


_READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
