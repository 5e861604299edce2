"""Pictures as files: one for a model, answers as a grid, strip, animation, or a file each."""

import contextlib
from pathlib import Path

import numpy as np

from applications.diffusion.lines import say
from applications.files import Failure, whole, writable
from keras_gen import plots
from keras_gen.datasets.folder import MODES
from keras_gen.datasets.pictures import read_picture

SHOWN, COLUMNS = 80, 16  # pictures of a grid of samples, most labels that have a column each
SIDE = 320  # pixels of an animation, about
HELD = 8  # the last frame stays as long as so many


def read(file, shape):
    """A picture file as a float32 array of `shape`, in [0, 1]: cut in the middle to the ratio, resampled, so said.

    Raises:
        Failure: it cannot be used.
    """
    file, mode = Path(file).expanduser(), MODES[shape[-1]]
    if not file.exists():
        raise Failure(f"{file}: no such file; expected a picture")
    try:
        x = read_picture(file, None, mode)
        if x.shape != shape:
            say(f"{file}: {x.shape[0]} x {x.shape[1]} pixels, resized to the {shape[0]} x {shape[1]} of the model")
            x = read_picture(file, shape[:2], mode)
    except ValueError as error:
        raise Failure(str(error)) from error
    return x.astype("float32") / np.float32(255)


def known_part(options, shape):
    """Booleans `(height, width, 1)`: what stays, by `--mask`, `--box`, or the upper half.

    Raises:
        Failure: a mask that cannot be used, or that keeps all; a box outside of the picture.
    """
    if options.mask is not None:
        known = read(options.mask, (*shape[:2], 1)) < 0.5
        if known.all():
            raise Failure(f"{options.mask}: nothing in it is white, so that nothing is to be drawn")
        return known
    known = np.ones((*shape[:2], 1), bool)
    top, left, height, width = options.box or (shape[0] // 2, 0, shape[0] - shape[0] // 2, shape[1])
    if top + height > shape[0] or left + width > shape[1]:
        raise Failure(f"--box {top},{left},{height},{width}: it leaves the {shape[0]} x {shape[1]} of the model")
    known[top : top + height, left : left + width] = False
    return known


# ---------------------------------------------------------------------------------------------------- writing


def check_target(path, *endings, folder=False):
    """The path, whose folder is made if need be.

    Raises:
        Failure: another ending, or it cannot be written; said before anything is computed.
    """
    path = Path(path).expanduser()
    if folder and (path.is_dir() or not path.suffix):
        return writable(path)
    if path.suffix.lower() not in endings:
        others = ", or a folder" if folder else ""
        raise Failure(f"-o {path}: expected a name that ends with {' or '.join(endings)}{others}")
    if path.is_dir():
        raise Failure(f"{path}: cannot be written: it is a folder")
    writable(path.parent)
    return path


@contextlib.contextmanager
def _written(target):
    """As `whole`.

    Raises:
        Failure: it cannot be written.
    """
    try:
        with whole(target) as temporary:
            yield temporary
    except OSError as error:
        raise Failure(f"{target}: cannot be written: {error.strerror or error}") from error


def write_grid(x, target, **own):
    """Pictures `(n, height, width, channels)` as one; more arguments as of `plots.image_grid`."""
    with _written(target) as temporary:
        plots.image_grid(x, temporary, **own)


def write_strips(x, target):
    """Strips `(n, steps, height, width, channels)`, one a row."""
    with _written(target) as temporary:
        plots.interpolation_strip(x, temporary)


def write_each(x, names, folder):
    """A PNG each, of the model's size."""
    for image, name in zip(x, names, strict=True):
        with _written(folder / f"{name}.png") as temporary:
            _pillow(image).save(temporary, format="PNG")


def write_animation(x, target, seconds):
    """Frames of n pictures side by side, `(n, frames, height, width, channels)`, as a GIF that runs for ever."""
    scale = max(1, SIDE // (max(x.shape[2:4]) * int(np.ceil(len(x) ** 0.5))))
    frames = [_pillow(_mosaic(x[:, k], scale)) for k in range(x.shape[1])]
    durations = np.full(len(frames), 1000 * seconds / (len(frames) + HELD - 1))
    durations[-1] *= HELD
    times = [max(20, 10 * round(float(v) / 10)) for v in durations]
    with _written(target) as temporary:
        frames[0].save(temporary, format="GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)


def _mosaic(x, scale):
    """Pictures in rows and columns, each pixel `scale` times, with white lines between."""
    x = np.pad(x.repeat(scale, axis=1).repeat(scale, axis=2), [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1.0)
    columns = int(np.ceil(len(x) ** 0.5))
    x = np.concatenate([x, np.ones((-len(x) % columns, *x.shape[1:]), x.dtype)])
    rows = x.reshape(-1, columns, *x.shape[1:])
    return rows.swapaxes(1, 2).reshape(len(rows) * x.shape[1], columns * x.shape[2], x.shape[-1])


def _pillow(x):
    try:
        from PIL import Image
    except ImportError as error:
        raise Failure("writing pictures needs Pillow: pip install 'keras_gen[plots]'") from error
    pixels = np.round(np.clip(x, 0, 1) * 255).astype("uint8")
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


# -------------------------------------------------------------------------------------- pictures of a training


def labels_of(classes, n=SHOWN):
    """n labels, each class in turn, and the columns of their grid; None, and a number, of no classes."""
    if classes is None:
        return None, COLUMNS
    columns = len(classes) if 1 < len(classes) <= COLUMNS else COLUMNS
    return np.resize(np.arange(len(classes)), n), columns


def write_samples(model, classes, target, seed):
    """`samples.png`: a column a class, where there are few."""
    labels, columns = labels_of(classes)
    x = model.sample(SHOWN, labels, seed=seed, verbose=0)
    names = classes if classes is not None and columns == len(classes) else None
    write_grid(x, target, columns=columns, column_labels=names)


def write_held_out(found, folder, most=10):
    """The first held-out picture of each class, named after it; without classes, the first ones by number."""
    part = found.test if len(found.test) else found.train
    folder = writable(folder)
    if found.classes is None:
        write_each(part.x[:most], range(len(part.x[:most])), folder)
        return
    first = {int(y): i for i, y in reversed(list(enumerate(part.y)))}
    write_each(part.x[list(first.values())], [found.classes[y] for y in first], folder)
