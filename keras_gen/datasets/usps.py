"""USPS: digits cut from envelopes, from a local `usps.npz` or by download, in the form of `keras.datasets`.

A pixel of the source is a number v with at most four decimals in [-1, 1], -1 the background. It becomes

    x = round(255 (v + 1) / 2),

a half to the even neighbour, so that x = 0 is background, x = 255 full ink, and v is known to 1/255. `usps.npz` holds
1000 v as `int16`. The text files of the source hold a line a digit: the label, then the 256 numbers v, row by row.
"""

import gzip

import keras
import numpy as np

from keras_gen.datasets.local import find, or_download

__all__ = ["load_data"]

PARTS = ("x_train", "y_train", "x_test", "y_test")
SITE = "https://hastie.su.domains/ElemStatLearn/datasets/"
TEXT_FILES = ("zip.train.gz", "zip.test.gz")
SIDE = 16


def load_data(path=None):
    """Load USPS, the handwritten digits of zip codes.

    With MNIST it is the usual pair of domains: the same ten classes, other pens, scanners and margins.

    Args:
        path: The file `usps.npz` (arrays `x_train`, `y_train`, `x_test`, `y_test`; images `int16`, 1000 v), or a
            folder that holds it or the two text files `zip.train.gz` and `zip.test.gz`. Default `None`: the folder
            named by `KERAS_GEN_DATA`; if it has none, the text files are fetched from the site of their authors into
            Keras's cache.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images `(7291, 16, 16)` and `(2007, 16, 16)`, `uint8` from 0 to 255,
        `round(255 (v + 1) / 2)`; labels `(7291,)` and `(2007,)`, `uint8` from 0 to 9.

    Raises:
        FileNotFoundError: If `path` holds no USPS, or nothing is found and the download fails.
        ValueError: If a file is damaged, lacks an array, or has values that are no such pixels.

    Reference:
        Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, data "ZIP code"; LeCun et al.
        (1990), Handwritten digit recognition with a back-propagation network. No licence is stated, so the package
        holds no copy.
    """
    files = find([("usps.npz",), TEXT_FILES], path)
    if files is None:
        files = or_download(_fetch, "USPS")
    return _from_npz(files[0]) if len(files) == 1 else tuple(map(_from_text, files))


def _fetch():
    return [keras.utils.get_file(name, SITE + name, cache_subdir="datasets/usps") for name in TEXT_FILES]


def _from_npz(file):
    with np.load(file) as data:
        missing = sorted(set(PARTS) - set(data))
        if missing:
            raise ValueError(f"Expected arrays {PARTS} in {file}. Missing: {missing}")
        x_train, y_train, x_test, y_test = (data[part] for part in PARTS)
    return tuple((_pixels(x, file), y.astype("uint8")) for x, y in ((x_train, y_train), (x_test, y_test)))


def _pixels(thousandths, file):
    """x of 1000 v, whole numbers."""
    x = thousandths
    if x.dtype.kind != "i" or x.ndim != 3 or x.shape[1:] != (SIDE, SIDE) or not _between(x, -1000, 1000):
        raise ValueError(
            f"Expected images (n, 16, 16) as whole numbers from -1000 to 1000. Received: {file}, which has an array "
            f"of shape {x.shape} and dtype {x.dtype}. It is another `usps.npz`."
        )
    return np.round((x.astype("float64") + 1000) * (255 / 2000)).astype("uint8")


def _from_text(file):
    """Images and labels of a gzipped text file."""
    try:
        with gzip.open(file, "rt", encoding="ascii") as stream:
            table = np.loadtxt(stream, dtype="float64", ndmin=2)
    except (OSError, EOFError, ValueError) as error:  # no gzip, cut short, or no numbers
        raise ValueError(f"Expected gzipped lines of numbers. Received: {file}, which is damaged: {error}") from error
    y, v = table[:, 0], table[:, 1:]
    if v.shape[1] != SIDE**2 or not _between(v, -1, 1) or not np.isin(y, range(10)).all():
        raise ValueError(f"Expected lines of a label 0 ... 9 and 256 numbers in [-1, 1]. Received: {file}")
    x = np.round(255 * (np.round(1000 * v) + 1000) / 2000).astype("uint8")
    return x.reshape(-1, SIDE, SIDE), y.astype("uint8")


def _between(x, low, high):
    return x.size > 0 and low <= x.min() and x.max() <= high
