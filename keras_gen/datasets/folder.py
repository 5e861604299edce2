"""Pictures in folders, one subfolder a class, as one array.

Pictures of different sizes are brought to one by `size`: each is cut in the middle to the ratio of `size`,
then resampled with an antialiasing (Lanczos) filter, so nothing is distorted.
"""

from pathlib import Path

import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def image_folder(path, size=None, channels=3):
    """Read a folder of pictures, one subfolder a class.

    Classes are the subfolders in sorted order, pictures within a class in sorted order of their names. Files
    without a picture's ending, and names that begin with a dot, are passed over. A picture stored with a
    rotation (EXIF) is turned upright.

    Args:
        path: The folder.
        size: `None` (default): all pictures must have one size. A positive int, or `(height, width)`: each
            picture is cut in the middle to that ratio and resampled to that size.
        channels: 1 (grey), 3 (red, green, blue; the default) or 4 (with alpha).

    Returns:
        `x, y, class_names`: images `(n, height, width, channels)`, `uint8` from 0 to 255; labels `(n,)`,
        `int32`; the names of the classes, a list of str, `class_names[y[i]]` that of image `i`.

    Raises:
        ImportError: If Pillow is not installed.
        ValueError: If `path` is no folder or has no subfolder, a subfolder has no picture, a picture is
            damaged, or the sizes differ and `size` is `None`.
    """
    size, mode = _checked_size(size), _checked_mode(channels)
    files, y, class_names = _list_files(Path(path).expanduser())
    images = [_read(file, size, mode) for file in files]
    _check_one_size(images, files)
    x = np.stack(images).reshape(len(images), *images[0].shape[:2], channels)
    return x, np.asarray(y, "int32"), class_names


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


def _list_files(folder):
    """Every picture, its label, and the names of the classes."""
    if not folder.is_dir():
        raise ValueError(f"Expected `path` to be a folder, one subfolder a class. Received: path={folder}")
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise ValueError(
            f"Expected one subfolder a class in {folder}. Received: no subfolder. Put the pictures, even of "
            "a single class, into a subfolder."
        )
    files, y = [], []
    for label, subfolder in enumerate(classes):
        pictures = sorted(p for p in subfolder.iterdir() if _is_picture(p))
        if not pictures:
            raise ValueError(f"Expected pictures ({', '.join(SUFFIXES)}) in {subfolder}. Received: none.")
        files += pictures
        y += [label] * len(pictures)
    return files, y, [subfolder.name for subfolder in classes]


def _is_picture(path):
    return path.is_file() and path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _read(file, size, mode):
    """One picture as `(height, width)` or `(height, width, channels)`."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError("Reading pictures needs Pillow: pip install 'keras_gen[plots]'") from error
    try:
        with Image.open(file) as picture:
            picture = ImageOps.exif_transpose(picture).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"Expected a readable picture. Received: {file}: {error}") from error
    if size is not None:
        picture = ImageOps.fit(picture, size[::-1], Image.Resampling.LANCZOS)
    return np.asarray(picture)


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
