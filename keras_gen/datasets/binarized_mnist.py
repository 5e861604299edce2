"""The fixed binarisation of MNIST, on which the field's density estimators are compared.

Each grey value g / 255 of MNIST was drawn once as a coin with that probability, and the result kept. Figures
on this set and figures with binarisation drawn anew in each epoch ("dynamic") are not comparable.
"""

from pathlib import Path

import numpy as np

from keras_gen.datasets.local import VARIABLE, find

__all__ = ["load_data"]

SOURCE = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
PARTS = ("x_train", "x_valid", "x_test")
TEXT_FILES = tuple(f"binarized_mnist_{part}.amat" for part in ("train", "valid", "test"))


def load_data(path=None):
    """Load the binarized MNIST of Larochelle and Murray.

    Args:
        path: A folder that holds the three text files `binarized_mnist_{train,valid,test}.amat` of the
            source, or `binarized_mnist.npz` with the arrays `x_train`, `x_valid`, `x_test`; or that `.npz`
            itself. Default `None`: the folder named by `KERAS_GEN_DATA`. There is no download.

    Returns:
        `x_train, x_valid, x_test`: images `(50000, 28, 28)`, `(10000, 28, 28)`, `(10000, 28, 28)`, `uint8`,
        each value 0 or 1. The set has no labels.

    Raises:
        FileNotFoundError: If the files are not found; it says where they come from.
        ValueError: If a file does not hold images of 28 x 28 zeros and ones.

    Reference:
        Larochelle and Murray (2011), The Neural Autoregressive Distribution Estimator, AISTATS; the
        binarisation follows Salakhutdinov and Murray (2008).
    """
    try:
        files = find([("binarized_mnist.npz",), TEXT_FILES], path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}. The text files come from {SOURCE}") from None
    if files is None:
        raise FileNotFoundError(
            f"Binarized MNIST has no download. Put {', '.join(TEXT_FILES)} from {SOURCE} into a folder, and "
            f"pass `path=` that folder or set the environment variable {VARIABLE} to it."
        )
    return _read_npz(files[0]) if len(files) == 1 else tuple(map(_read_text, files))


def _read_npz(file):
    with np.load(file) as data:
        missing = sorted(set(PARTS) - set(data))
        if missing:
            raise ValueError(f"Expected arrays {PARTS} in {file}. Missing: {missing}")
        return tuple(data[part] for part in PARTS)


def _read_text(file):
    """One image a line: 784 characters, `0` or `1`, between blanks."""
    characters = np.frombuffer(Path(file).read_bytes(), np.uint8)
    values = characters[characters > ord(" ")] - ord("0")
    if values.size == 0 or values.size % 784 or values.max() > 1:
        raise ValueError(f"Expected lines of 784 values 0 or 1. Received: {file}")
    return values.reshape(-1, 28, 28)
