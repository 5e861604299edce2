"""The UCI 8x8 digits: small, real, and part of the package.

The split is fixed. Let k = 0, 1, 2, ... count the images of one class in the order of the source. The image
is a test image if k mod 5 = 2, else a training image. So each class gives one fifth of its images to the
test set. Both parts keep the order of the source.
"""

from pathlib import Path

import numpy as np

__all__ = ["load_data"]

FILE = Path(__file__).with_name("digits.npz")


def load_data():
    """Load the UCI "Optical Recognition of Handwritten Digits", its test part, split in two.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: images `(1438, 8, 8)` and `(359, 8, 8)`, `uint8` from 0
        (background) to 16 (ink); labels `(1438,)` and `(359,)`, `uint8` from 0 to 9. The values are raw:
        divide by 16 for the range [0, 1].

    Example:
        >>> from keras_gen.datasets import digits
        >>> (x_train, y_train), (x_test, y_test) = digits.load_data()
        >>> x_train.shape, x_test.shape, int(x_train.max())
        ((1438, 8, 8), (359, 8, 8), 16)

    Reference:
        Alpaydin and Kaynak (1998), UCI Machine Learning Repository, doi 10.24432/C50P49. CC BY 4.0.
    """
    with np.load(FILE) as data:
        x, y = data["x"], data["y"]
    test = _count_within_class(y) % 5 == 2
    return (x[~test], y[~test]), (x[test], y[test])


def _count_within_class(y):
    """k of each image: how many earlier images have its label."""
    return np.cumsum(y[:, None] == np.unique(y), axis=0)[np.arange(len(y)), y] - 1
