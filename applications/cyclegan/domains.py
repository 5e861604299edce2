"""A domain: the pictures of a flat folder, or the images of a data set, as one `uint8` array.

A picture of a folder is cut in the middle to the ratio of the size and resampled to it, or to 286/256 of it where
random places are wanted. One that cannot be used, or that is smaller than the size, is left out, with a line that names
it and the reason. Images of a data set are resampled by area: output pixel i of m is the mean of the input over
[i n / m, (i + 1) n / m], in either direction,

    A_ij = (m / n) |[i n / m, (i + 1) n / m] ∩ [j, j + 1]|,        x' = A_height x A_width^T.
"""

import math
import sys
from pathlib import Path

import keras
import numpy as np

from applications.files import Failure, one_line
from keras_gen.datasets import digits, fashion_mnist, mnist, usps
from keras_gen.datasets.folder import MODES, SUFFIXES
from keras_gen.datasets.pictures import read_picture

DATA_SETS = {"mnist": (mnist, 255), "usps": (usps, 255), "fashion_mnist": (fashion_mnist, 255), "digits": (digits, 16)}
ENLARGED = 286 / 256


def load_domain(name, size, channels, enlarged=False):
    """The images of a data set by its name, or the pictures of a folder.

    Args:
        name: one of `DATA_SETS`, or a folder.
        size: `(height, width)`.
        channels: 1 or 3.
        enlarged: pictures of a folder 286/256 as large.

    Returns:
        images `(n, height, width, channels)`, uint8; the sentences on pictures that were left out.

    Raises:
        Failure: no folder, or none of its pictures can be used.
    """
    if name in DATA_SETS:
        module, most = DATA_SETS[name]
        (x, _), _ = module.load_data()
        x = np.clip(np.round(area(x.astype("float32") * (255 / most), size)), 0, 255).astype("uint8")[..., None]
        return np.repeat(x, channels, axis=-1), []
    images, problems = [], []
    read = tuple(math.ceil(side * ENLARGED) for side in size) if enlarged else tuple(size)
    files = pictures_in(name)
    bar = keras.utils.Progbar(len(files), unit_name="picture")
    for k, file in enumerate(files):
        try:
            images.append(_read(file, size, read, channels))
        except ValueError as error:
            problems.append(one_line(error))
        bar.update(k + 1)
    for problem in problems:
        say(problem)
    if not images:
        raise Failure(f"{name}: none of its {len(problems)} pictures can be used")
    return np.stack(images), problems


def pictures_in(folder):
    """The files of a folder that have a picture's ending, sorted. Others are passed over, and named.

    Raises:
        Failure: no folder, or no picture in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise Failure(f"{folder}: expected a folder of pictures, or one of {', '.join(DATA_SETS)}")
    try:
        files = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and not p.is_dir())
    except OSError as error:
        raise Failure(f"{folder}: cannot be read: {error.strerror}") from error
    pictures = [p for p in files if p.suffix.lower() in SUFFIXES]
    if not pictures:
        raise Failure(f"{folder}: no pictures in it ({', '.join(SUFFIXES)}); subfolders are not searched")
    if others := [p.name for p in files if p not in pictures]:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        say(f"{folder}: passed over, without a picture's ending: {', '.join(others[:3])}{more}")
    return pictures


def _read(file, size, read, channels):
    """A picture of at least `size`, brought to the size `read`."""
    picture = read_picture(file, None, MODES[channels])
    if picture.shape[0] < size[0] or picture.shape[1] < size[1]:
        found, wanted = ("{} x {}".format(*s) for s in (picture.shape, size))
        raise ValueError(f"Expected a picture of at least {wanted} pixels. Received: {file}: {found}")
    return read_picture(file, read, MODES[channels])


def area(x, size):
    """Images `(n, height, width)` at another size, by means over areas."""
    a, b = (_areas(n, m) for n, m in zip(x.shape[1:3], size, strict=True))
    return np.matmul(a, x) @ b.T


def _areas(n, m):
    """A, `(m, n)`."""
    edges, j = np.linspace(0, n, m + 1), np.arange(n)
    common = np.minimum(edges[1:, None], j + 1) - np.maximum(edges[:-1, None], j)
    return (np.maximum(common, 0) * (m / n)).astype("float32")


def say(text):
    """One line to the terminal's errors."""
    print(f"cyclegan: {text}", file=sys.stderr, flush=True)
