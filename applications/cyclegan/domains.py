"""A domain: the pictures of a flat folder, or the images of a data set, as one `uint8` array.

A picture of a folder is cut in the middle to the ratio of the size and resampled to it, or to 286/256 of it where
random places are wanted. One that cannot be used, or that is smaller than the size, is left out, with a line that names
it and the reason. Images of a data set are resampled by area: output pixel i of m is the mean of the input over
[i n / m, (i + 1) n / m], in either direction,

    A_ij = (m / n) |[i n / m, (i + 1) n / m] ∩ [j, j + 1]|,        x' = A_height x A_width^T.
"""

import importlib
import math

import keras
import numpy as np

from applications.cyclegan.files import DATA_SETS, say
from applications.files import Failure, counted, one_line, pictures_in
from keras_gen.datasets.folder import MODES
from keras_gen.datasets.pictures import read_picture

WANTED = f"a folder of pictures, or one of {', '.join(DATA_SETS)}"
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
        (x, _), _ = importlib.import_module(f"keras_gen.datasets.{name}").load_data()
        most = 16 if name == "digits" else 255
        x = np.clip(np.round(area(x.astype("float32") * (255 / most), size)), 0, 255).astype("uint8")[..., None]
        return np.repeat(x, channels, axis=-1), []
    images, problems, small = [], [], 0
    read = tuple(math.ceil(side * ENLARGED) for side in size) if enlarged else tuple(size)
    files = pictures_in(name, say, expected=WANTED)
    bar = keras.utils.Progbar(len(files), unit_name="picture")
    for k, file in enumerate(files):
        try:
            images.append(_read(file, size, read, channels))
        except ValueError as error:
            small += isinstance(error, TooSmall)
            problems.append(one_line(error))
        bar.update(k + 1)
    for problem in problems:
        say(problem)
    if small:
        say(f"{name}: {counted(small, 'picture')} left out for the size; a smaller --size keeps them")
    if not images:
        raise Failure(f"{name}: {counted(len(problems), 'picture')} in it, none of which can be used")
    return np.stack(images), problems


class TooSmall(ValueError):
    """A picture that is smaller than what is trained."""


def _read(file, size, read, channels):
    """A picture of at least `size`, brought to the size `read`."""
    picture = read_picture(file, None, MODES[channels])
    if picture.shape[0] < size[0] or picture.shape[1] < size[1]:
        found, wanted = ("{} x {}".format(*s) for s in (picture.shape, size))
        raise TooSmall(f"Expected a picture of at least {wanted} pixels. Received: {file}: {found}")
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
