"""Pictures in folders: one subfolder a class, or one folder with a table of labels; as one array, or one by one.

Pictures of different sizes are brought to one by `size`: each is cut in the middle to the ratio of `size`,
then resampled with an antialiasing (Lanczos) filter, so nothing is distorted. What is checked in a file is
written in `keras_gen.datasets.pictures`, what is checked in a table in `keras_gen.datasets.labels`.
"""

import math
import threading
import warnings
from pathlib import Path

import numpy as np

from keras_gen.datasets.damage import check_on_error, settle
from keras_gen.datasets.labels import read_labels
from keras_gen.datasets.pictures import MAX_PIXELS, read_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class ImageFolder:
    """The pictures of a folder, read one by one: a source for `Batches`, of any number of pictures.

    Classes are the subfolders in sorted order, pictures within a class in sorted order of their names. Files
    without a picture's ending, and names that begin with a dot, are passed over. A picture stored with a
    rotation (EXIF) is turned upright; of an animated one the first frame is read. Memory: the names, and the
    picture that is being read.

    Args:
        path: The folder.
        size: `None` (default): pictures keep their size. A positive int, or `(height, width)`: each picture is
            cut in the middle to that ratio and resampled to that size.
        channels: 1 (grey), 3 (red, green, blue; the default) or 4 (with alpha). Alpha is dropped, not blended.
        labels: `None` (default): one subfolder a class. The path of a CSV table with the columns `file` and
            `label`, whole numbers >= 0: the pictures lie in `path` itself, and have these labels.
        on_error: "raise" (default), or "skip": where a picture cannot be used, the next one of the folder that
            can stands in its place, so that batches keep their size; lines of the table with holes are left
            out. `skipped` holds what was skipped, and warnings count and name it: of pictures, as they are
            met, the first, the tenth, the hundredth and so on.
        max_pixels: Pictures of more pixels are not decoded, default 2**26 (8192 x 8192).

    Attributes:
        files: The pictures, a list of `Path`.
        y: Labels `(n,)`, `int32`.
        class_names: The names of the classes, `class_names[y[i]]` that of picture `i`; `None` with `labels`.
        skipped: A dict, `Path` -> reason, of the pictures met that could not be used.

    Raises:
        ImportError: If Pillow is not installed, when a picture is read.
        ValueError: If `path` is no folder, it or a subfolder has no picture, the table has holes; when a picture
            is read, if it is damaged, truncated, too large, or no picture. The message names the file.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from keras_gen.datasets import ImageFolder
        >>> for name in ("cats", "dogs"):
        ...     Path("pets", name).mkdir(parents=True)
        ...     Image.new("RGB", (12, 8)).save(Path("pets", name, "1.png"))
        >>> source = ImageFolder("pets", size=8)
        >>> x, y = source[1]
        >>> len(source), x.shape, source.class_names[y]
        (2, (8, 8, 3), 'dogs')
    """

    def __init__(self, path, size=None, channels=3, labels=None, on_error="raise", max_pixels=MAX_PIXELS):
        self.size, self.mode = _checked_size(size), _checked_mode(channels)
        self.on_error, self.max_pixels = check_on_error(on_error), _checked_pixels(max_pixels)
        folder = Path(path).expanduser()
        if labels is None:
            self.files, y, self.class_names = _list_classes(folder)
        else:
            self.files, y = _list_labelled(folder, Path(labels).expanduser(), on_error)
            self.class_names = None
        self.y = np.asarray(y, "int32")
        self.skipped = {}
        self._lock = threading.Lock()

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        i = range(len(self))[i]
        for k in (*range(i, len(self)), *range(i)):
            if self.files[k] in self.skipped:
                continue
            try:
                return self.read(k), self.y[k]
            except ValueError as error:
                if self.on_error == "raise":
                    raise
                self._skip(self.files[k], error)
        raise ValueError(f"Expected a picture that can be used. Received: none of {len(self)}: {self.files[0]}, ...")

    def read(self, i):
        """Picture `i` as it is, `(height, width, channels)`, `uint8`; an error if it cannot be used."""
        return read_picture(self.files[i], self.size, self.mode, self.max_pixels)

    def _skip(self, file, error):
        with self._lock:
            if file in self.skipped:
                return
            self.skipped[file] = str(error)
            n = len(self.skipped)
        if math.log10(n).is_integer():
            warnings.warn(f"Skipped {n} of {len(self)} pictures so far, the last: {error}", stacklevel=3)


def image_folder(path, size=None, channels=3, labels=None, on_error="raise", max_pixels=MAX_PIXELS):
    """Read a folder of pictures into one array. Arguments as `ImageFolder`, which reads them one by one.

    Args:
        path, channels, labels, max_pixels: As in `ImageFolder`.
        size: As in `ImageFolder`; with `None` all pictures must have one size.
        on_error: "raise" (default), or "skip": pictures that cannot be used are left out, with one warning that
            counts and names them.

    Returns:
        `x, y, class_names`: images `(n, height, width, channels)`, `uint8` from 0 to 255; labels `(n,)`,
        `int32`; the names of the classes, a list of str, `class_names[y[i]]` that of image `i`, or `None` with
        `labels`.

    Raises:
        ImportError: If Pillow is not installed.
        ValueError: As in `ImageFolder`, or if the sizes differ and `size` is `None`.
    """
    source = ImageFolder(path, size, channels, labels, on_error, max_pixels)
    images, kept, problems = [], [], []
    for i in range(len(source)):
        try:
            images.append(source.read(i))
            kept.append(i)
        except ValueError as error:
            if on_error == "raise":
                raise
            problems.append(str(error))
    if not images:
        raise ValueError(f"Expected a picture that can be used in {path}. Received: none of {len(source)}.")
    settle(problems, on_error, "readable pictures")
    _check_one_size(images, [source.files[i] for i in kept])
    return np.stack(images), source.y[kept], source.class_names


def _checked_size(size):
    sides = (size, size) if isinstance(size, int) else size
    whole = sides is None or (len(sides) == 2 and all(isinstance(s, int) and s > 0 for s in sides))
    if not whole:
        raise ValueError(f"Expected `size` to be None, an int > 0 or (height, width). Received: size={size}")
    return sides


def _checked_mode(channels):
    if channels not in MODES:
        raise ValueError(f"Expected `channels` to be one of {tuple(MODES)}. Received: channels={channels}")
    return MODES[channels]


def _checked_pixels(max_pixels):
    if not isinstance(max_pixels, int) or max_pixels < 1:
        raise ValueError(f"Expected `max_pixels` to be an int > 0. Received: max_pixels={max_pixels}")
    return max_pixels


def _list_classes(folder):
    """Every picture, its label, and the names of the classes."""
    if not folder.is_dir():
        raise ValueError(f"Expected `path` to be a folder, one subfolder a class. Received: path={folder}")
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise ValueError(
            f"Expected one subfolder a class in {folder}. Received: no subfolder. Put the pictures, even of "
            "a single class, into a subfolder, or pass `labels=`."
        )
    files, y = [], []
    for label, subfolder in enumerate(classes):
        pictures = _list_pictures(subfolder)
        files += pictures
        y += [label] * len(pictures)
    return files, y, [subfolder.name for subfolder in classes]


def _list_labelled(folder, table, on_error):
    """Every picture that the table gives a label, and its label."""
    if not folder.is_dir():
        raise ValueError(f"Expected `path` to be a folder of pictures. Received: path={folder}")
    label_of = read_labels(table, [picture.name for picture in _list_pictures(folder)], on_error)
    if not label_of:
        raise ValueError(f"Expected labels of the pictures in {folder}. Received: none in {table}.")
    return [folder / name for name in label_of], list(label_of.values())


def _list_pictures(folder):
    """Whatever has a picture's ending and is no folder, sorted; a dead link too, which fails when it is read."""
    pictures = sorted(p for p in folder.iterdir() if _has_suffix(p) and not p.is_dir())
    if not pictures:
        raise ValueError(f"Expected pictures ({', '.join(SUFFIXES)}) in {folder}. Received: none.")
    return pictures


def _has_suffix(path):
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _check_one_size(images, files):
    sizes = {}
    for image, file in zip(images, files, strict=True):
        sizes.setdefault(image.shape[:2], file)
    if len(sizes) > 1:
        (a, file_a), (b, file_b) = list(sizes.items())[:2]
        raise ValueError(
            f"Expected pictures of one size. Received: {len(sizes)} sizes, such as {a} in {file_a} and {b} "
            f"in {file_b}. Pass `size=` to bring them to one."
        )
