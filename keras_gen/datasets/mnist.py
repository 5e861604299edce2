"""MNIST, from a local folder or by Keras's download, in the form of `keras.datasets.mnist`."""

import keras
import numpy as np

from keras_gen.datasets.local import find, or_download

__all__ = ["load_data"]

PARTS = ("x_train", "y_train", "x_test", "y_test")


def load_data(path=None):
    """Load MNIST.

    Args:
        path: The file `mnist.npz` (arrays `x_train`, `y_train`, `x_test`, `y_test`), or a folder that holds
            it. Default `None`: the folder named by `KERAS_GEN_DATA`; if it has none, Keras's cache or
            download.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images `(60000, 28, 28)` and `(10000, 28, 28)`, `uint8` from
        0 to 255; labels `(60000,)` and `(10000,)`, `uint8` from 0 to 9.

    Raises:
        FileNotFoundError: If `path` holds no MNIST, or nothing is found and the download fails.
        ValueError: If the file lacks one of the four arrays.

    Reference:
        LeCun, Bottou, Bengio and Haffner (1998), Proceedings of the IEEE 86(11). CC BY-SA 3.0.
    """
    files = find([("mnist.npz",)], path)
    if files is None:
        return or_download(keras.datasets.mnist.load_data, "MNIST")
    with np.load(files[0]) as data:
        missing = sorted(set(PARTS) - set(data))
        if missing:
            raise ValueError(f"Expected arrays {PARTS} in {files[0]}. Missing: {missing}")
        x_train, y_train, x_test, y_test = (data[part] for part in PARTS)
    return (x_train, y_train), (x_test, y_test)
