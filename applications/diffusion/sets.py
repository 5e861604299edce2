"""Pictures to learn from, as floats in [0, 1]: a data set by its name, or the pictures of a folder.

Of a data set the official split is kept. Of a folder a tenth of the pictures, drawn by the seed, is held out; its
subfolders, if there are two or more, are the classes. A picture is cut in the middle to the ratio of the size and
resampled to it; one that cannot be used is left out, with a line that says why.
"""

import dataclasses
import importlib
from pathlib import Path

import keras
import numpy as np

from applications.diffusion.lines import say
from applications.diffusion.names import DATA_SETS
from applications.files import Failure, Usage, counted, one_line, pictures_in
from keras_gen.datasets import ImageFolder
from keras_gen.datasets.folder import MODES
from keras_gen.datasets.pictures import read_picture

SIDE, LEAST = 32, 10  # pixels, pictures of a folder
WANTED = f"a folder of pictures, or one of {', '.join(DATA_SETS)}"
NAMES = {
    "fashion_mnist": ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"],
}


@dataclasses.dataclass
class Part:
    """`x` float32 `(n, height, width, channels)` in [0, 1]; `y` int32 `(n,)`, or None."""

    x: np.ndarray
    y: np.ndarray | None

    def __len__(self):
        return len(self.x)

    def of(self, rows):
        return Part(self.x[rows], None if self.y is None else self.y[rows])

    def spread(self, most):
        """At most so many, evenly spread."""
        return self.of(np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int)))

    @property
    def arrays(self):
        """What `fit` takes."""
        return (self.x,) if self.y is None else (self.x, self.y)


@dataclasses.dataclass
class Sets:
    """What is learned and what is held out; the names of the classes, or None; grey levels."""

    train: Part
    test: Part
    classes: list | None
    levels: int


def load(options):
    """The `Sets` of the options of a training.

    Raises:
        Failure: no such thing, or it cannot be used.
        Usage: options of folders for a data set.
    """
    found = _of_data_set(options) if options.data in DATA_SETS else _of_folder(options)
    if options.unlabelled and found.classes is not None:
        found = Sets(Part(found.train.x, None), Part(found.test.x, None), None, found.levels)
    return found


def _of_data_set(options):
    if options.size or options.grey:
        raise Usage(f"{'--size' if options.size else '--grey'} is for a folder; {options.data} is as it is")
    levels = 17 if options.data == "digits" else 256
    sets = importlib.import_module(f"keras_gen.datasets.{options.data}").load_data()
    parts = [Part(x[..., None].astype("float32") / (levels - 1), y.astype("int32")) for x, y in sets]
    return Sets(*parts, NAMES.get(options.data, [str(k) for k in range(10)]), levels)


def _of_folder(options):
    size, channels = _size(options.size), 1 if options.grey else 3
    files, labels, classes = _listed(Path(options.data).expanduser(), options.unlabelled)
    kept, images = [], []
    bar = keras.utils.Progbar(len(files), unit_name="picture")
    for k, file in enumerate(files):
        try:
            images.append(read_picture(file, size, MODES[channels]))
            kept.append(k)
        except ValueError as error:
            say(f"left out: {one_line(error)}")
        bar.update(k + 1)
    if len(kept) < LEAST:
        raise Failure(f"{options.data}: {counted(len(kept), 'picture')} that can be used; expected at least {LEAST}")
    whole = Part(np.stack(images).astype("float32") / 255, None if labels is None else labels[kept])
    order = np.random.default_rng(options.seed).permutation(len(whole))
    held_out = len(whole) // 10
    parts = [whole.of(np.sort(rows)) for rows in (order[held_out:], order[:held_out])]
    _check_classes(parts[0], classes)
    return Sets(*parts, classes, 256)


def _size(size):
    size = tuple(size or (SIDE,))
    if len(size) > 2:
        raise Usage(f"--size {' '.join(map(str, size))}: expected a side, or height and width")
    return size * (3 - len(size))


def _listed(folder, unlabelled):
    """The files, and their labels and the names of the classes, or None."""
    subfolders = [p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."] if folder.is_dir() else []
    if len(subfolders) < 2 or unlabelled:
        return pictures_in(folder, say, bool(subfolders), WANTED), None, None
    found = ImageFolder(folder)
    return found.files, found.y, found.class_names


def _check_classes(part, classes):
    missing = [] if classes is None else sorted(set(range(len(classes))) - set(part.y.tolist()))
    if missing:
        raise Failure(
            f"no picture to train on is left of the class {classes[missing[0]]!r}. Add some, give another --seed, or "
            "--unlabelled"
        )
