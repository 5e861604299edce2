"""Arrays in `.npy` and `.npz` files, read batch by batch.

In both formats an array is a header, that tells its shape and dtype, and its values in the order of their indices; a
`.npz` is a zip archive of such. So n rows are the next n r bytes of a stream, r the bytes of a row, and no more than a
batch is ever held.
"""

import contextlib
import math
import zipfile

import numpy as np
from numpy.lib import format as npy

NAMES = ("features", "logits")
_READ_HEADER = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class ArrayFile:
    """The arrays of a file: images, or features.

    Args:
        file: path of a `.npy`, or of a `.npz` that holds one array, or with `features` arrays of the names `features`
            and `logits`.
        features: whether rows are features, `(n, d)`, and not images, `(n, height, width[, channels])`.
        repeat_grey: whether grey images are repeated to three channels.

    Raises:
        ValueError: a damaged file, objects in it, other names or shapes; the message names the file.
    """

    def __init__(self, file, features=False, repeat_grey=False):
        self.file, self.features, self.repeat_grey = file, features, repeat_grey
        try:
            self.names = self._names()
            with self._opened() as streams:
                self.shapes, self.dtypes = zip(*map(_header, streams), strict=True)
            self._check()
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"Expected an array file. Received: {file}: {error}") from error

    def _names(self):
        """The arrays to be read; that of a `.npy` has no name."""
        if self.file.suffix == ".npy":
            return [None]
        with zipfile.ZipFile(self.file) as archive:
            found = [name.removesuffix(".npy") for name in archive.namelist()]
        chosen = [name for name in found if name in NAMES] if self.features else []
        if not chosen and len(found) != 1:
            raise ValueError(f"it holds arrays {found}, not one" + " or `features` and `logits`" * self.features)
        return chosen or found

    def _check(self):
        ranks, wanted = ((2,), "(n, d)") if self.features else ((3, 4), "(n, height, width, channels)")
        if any(len(shape) not in ranks for shape in self.shapes) or len({shape[0] for shape in self.shapes}) > 1:
            hint = "leave out `--features` for images" if self.features else "give `--features` for features"
            raise ValueError(f"it holds shapes {list(self.shapes)}, not {wanted} with as many rows; {hint}")

    def __len__(self):
        return self.shapes[0][0]

    def batches(self, size):
        """`(x, None)` for each batch; x is an array, or a dict of `features` and `logits`."""
        try:
            with self._opened() as streams:
                for stream in streams:
                    _header(stream)
                for i in range(0, len(self), size):
                    yield self._batch(streams, min(size, len(self) - i)), None
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"Expected a whole file. Received: {self.file}: {error}") from error

    def _batch(self, streams, count):
        rows = zip(streams, self.shapes, self.dtypes, strict=True)
        x = [_values(stream, (count, *shape[1:]), dtype) for stream, shape, dtype in rows]
        if self.features:
            return dict(zip(self.names, x, strict=True)) if self.names[0] in NAMES else x[0]
        x = x[0] if x[0].ndim == 4 else x[0][..., None]
        return np.repeat(x, 3, axis=-1) if self.repeat_grey and x.shape[-1] == 1 else x

    @contextlib.contextmanager
    def _opened(self):
        """A stream for each array."""
        with contextlib.ExitStack() as stack:
            if self.names == [None]:
                yield [stack.enter_context(open(self.file, "rb"))]
            else:
                archive = stack.enter_context(zipfile.ZipFile(self.file))
                yield [stack.enter_context(archive.open(f"{name}.npy")) for name in self.names]


def _header(stream):
    """Shape and dtype of the array that begins in the stream, which is left at its values."""
    version = npy.read_magic(stream)
    if version not in _READ_HEADER:
        raise ValueError(f"it is of version {version} of the format")
    shape, transposed, dtype = _READ_HEADER[version](stream)
    if dtype.kind not in "fiub" or not shape or not math.prod(shape):
        raise ValueError(f"it holds dtype {dtype} and shape {shape}, not numbers with at least one row")
    if transposed and len(shape) > 1:
        raise ValueError("it is Fortran-ordered; save `np.ascontiguousarray(x)`")
    return shape, dtype


def _values(stream, shape, dtype):
    size = math.prod(shape) * dtype.itemsize
    found = stream.read(size)
    if len(found) != size:
        raise EOFError("it ends too early")
    return np.frombuffer(found, dtype).reshape(shape)
