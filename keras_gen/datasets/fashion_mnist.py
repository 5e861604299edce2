"""Fashion-MNIST, from a local folder or by Keras's download, in the form of `keras.datasets.fashion_mnist`.

Its files are IDX: a header of big-endian 32-bit integers (a magic number whose last byte is the rank r, then
the r sides of the array), then the values, one byte each.
"""

import gzip
import math

import keras
import numpy as np

from keras_gen.datasets.local import find, or_download

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
FILES = tuple(
    f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)


def load_data(path=None):
    """Load Fashion-MNIST.

    Args:
        path: A folder that holds the four official `.gz` files, itself or in a subfolder `fashion-mnist`.
            Default `None`: the folder named by `KERAS_GEN_DATA`; if it has none, Keras's cache or download.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images `(60000, 28, 28)` and `(10000, 28, 28)`, `uint8` from
        0 to 255; labels `(60000,)` and `(10000,)`, `uint8` from 0 to 9, named by `CLASS_NAMES`.

    Raises:
        FileNotFoundError: If `path` lacks one of the files, or nothing is found and the download fails.
        ValueError: If a file is damaged or is no IDX file of bytes.

    Reference:
        Xiao, Rasul and Vollgraf (2017), arXiv 1708.07747. MIT licence.
    """
    files = find([tuple(f"fashion-mnist/{file}" for file in FILES), FILES], path)
    if files is None:
        return or_download(keras.datasets.fashion_mnist.load_data, "Fashion-MNIST")
    if len(files) != len(FILES):
        raise FileNotFoundError(f"Expected `path` to be a folder that holds {FILES}. Received: path={path}")
    x_train, y_train, x_test, y_test = map(_read_idx, files)
    return (x_train, y_train), (x_test, y_test)


def _read_idx(file):
    """The array of bytes in a gzipped IDX file."""
    try:
        with gzip.open(file, "rb") as stream:
            content = stream.read()
    except (OSError, EOFError) as error:
        raise ValueError(f"Expected a gzip file. Received: {file}, which is damaged: {error}") from error
    rank = content[3] if content[:3] == b"\x00\x00\x08" else 0
    shape = tuple(int(side) for side in np.frombuffer(content[4 : 4 + 4 * rank], ">u4"))
    if rank == 0 or len(content) != 4 + 4 * rank + math.prod(shape):
        raise ValueError(f"Expected an IDX file of bytes, as long as its header says. Received: {file}")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
