"""Eleven photographs: small, real, freely licensed, and part of the package. For super-resolution and other tasks.

The file holds 8-bit pixels without loss and without the blocks of JPEG: pictures that came as JPEG were halved. A
picture with the channels R, G, B is stored as c = (R - G, G, B - G), a grey one as its one channel, and of each
channel the differences

    d_ij = c_ij - c_(i-1)j - c_i(j-1) + c_(i-1)(j-1),        c = 0 beyond the upper and left border,

all modulo 256, compressed by LZMA. Sums over both axes undo the differences: c_ij = sum_(k <= i, l <= j) d_kl.
"""

import zipfile
from pathlib import Path

import numpy as np

__all__ = ["load_data"]

FILE = Path(__file__).with_name("photographs.npz")
TEST = ("chelsea", "coffee")


def load_data():
    """Load the photographs, split in two. The split is fixed.

    Returns:
        `train, test`: dicts, name -> `uint8` `(height, width, 3)` from 0 to 255, sides from 213 to 512. Train:
        "ascent" (a staircase), "astronaut", "brick", "camera", "china" (a pavilion), "flower", "gravel", "hopper" and
        "raccoon"; test: "chelsea" (a cat) and "coffee". Four are grey, which is three equal channels: "ascent",
        "brick", "camera" and "gravel".

    Example:
        >>> from keras_gen.datasets import photographs
        >>> train, test = photographs.load_data()
        >>> len(train), sorted(test), test["chelsea"].shape
        (9, ['chelsea', 'coffee'], (300, 451, 3))

    Reference:
        Public domain and CC0, but for "china" and "flower", CC BY 2.0. LICENSE-photographs.txt beside this file names
        the author, the source, the licence and the changes of each.
    """
    with np.load(FILE) as data:
        pictures = {name: _picture(data[name]) for name in sorted(data.files)}
    return (
        {name: picture for name, picture in pictures.items() if name not in TEST},
        {name: picture for name, picture in pictures.items() if name in TEST},
    )


def _picture(d):
    """The picture of its differences `(channels, height, width)`."""
    c = np.moveaxis(d.cumsum(1, dtype="uint8").cumsum(2, dtype="uint8"), 0, -1)
    if c.shape[-1] == 1:
        return np.repeat(c, 3, axis=-1)
    green = c[..., 1:2]
    return np.concatenate([c[..., :1] + green, green, c[..., 2:] + green], axis=-1)


def _differences(picture):
    """d of a picture, `(3, height, width)`, or `(1, height, width)` of a grey one."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    grey = (red == green).all() and (blue == green).all()
    c = np.stack([green] if grey else [red - green, green, blue - green])
    return np.diff(np.diff(c, axis=1, prepend=np.uint8(0)), axis=2, prepend=np.uint8(0))


def _save(pictures, file):
    """Write a dict of pictures as `load_data` reads it."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, picture in sorted(pictures.items()):
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_LZMA
            with archive.open(entry, "w") as stream:
                np.lib.format.write_array(stream, _differences(picture))
