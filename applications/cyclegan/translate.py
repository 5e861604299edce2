"""A picture, or all of a folder, through one of the two generators of a trained CycleGAN, each at its own size.

A picture is written whole or not at all: under a temporary name in the output folder, then renamed. One that cannot be
used is named, and the others are still done.
"""

from pathlib import Path

import keras
import numpy as np

from applications.cyclegan.files import DATA_SETS, LEAST, say
from applications.files import SUFFIXES, Failure, counted, free_names, one_line, pictures_in, whole, writable
from keras_gen import models
from keras_gen.datasets.folder import MODES
from keras_gen.datasets.pictures import read_picture


def translate(options):
    """Run the command; returns the exit code."""
    source, output = Path(options.pictures).expanduser(), Path(options.output).expanduser()
    files = listed(source)
    targets = targets_of(files, output, source.is_dir())
    replaced = [t for f, t in zip(files, targets, strict=True) if t.exists() and t.samefile(f)]
    if replaced or output.resolve() == source.resolve():
        raise Failure(f"{output}: the pictures would be overwritten by their translations; give another -o")
    model = load(options.model)
    writable(targets[0].parent)
    channels = (model.event_shape if options.direction == "a2b" else model.condition_shape)[-1]
    bar = keras.utils.Progbar(len(files), unit_name="picture")
    problems = []
    for k, (file, target) in enumerate(zip(files, targets, strict=True)):
        try:
            one(model, file, target, options.direction, channels)
        except (ValueError, OSError, MemoryError) as error:
            problems.append(one_line(error))
        bar.update(k + 1)
    for problem in problems:
        say(problem)
    done = len(files) - len(problems)
    print(f"{done} of {counted(len(files), 'picture')} translated ({options.direction}), in {output}")
    return 1 if problems else 0


def listed(source):
    """The picture, or those of a folder.

    Raises:
        Failure: nothing there, or no picture in it.
    """
    if source.is_dir():
        return pictures_in(source, say)
    if source.exists() or source.is_symlink():
        return [source]
    data_set = "; a data set is translated in Python, by `model.translate`" if str(source) in DATA_SETS else ""
    raise Failure(f"{source}: no such file; expected a picture, or a folder of pictures{data_set}")


def targets_of(files, output, from_folder):
    """The PNG that each translation becomes: `output` itself for one picture, or by `free_names` in that folder.

    Raises:
        Failure: another format, or one file for a folder.
    """
    ending = output.suffix.lower()
    if output.is_dir() or ending not in SUFFIXES:
        return [output / f"{name}.png" for name in free_names(files)]
    if from_folder or ending != ".png":
        raise Failure(f"-o {output}: expected a folder, or a name.png for a single picture; translations are PNG")
    return [output]


def one(model, file, target, direction, channels):
    """One picture."""
    x = read_picture(file, None, MODES[channels])
    if min(x.shape[:2]) < LEAST:
        raise ValueError(
            f"Expected a picture of at least {LEAST} x {LEAST} pixels. Received: {file}: {x.shape[0]} x {x.shape[1]}"
        )
    x = x[None].astype("float32") / 255
    write_picture(target, model.translate(x, direction, verbose=0)[0])


def load(file):
    """A saved CycleGAN.

    Raises:
        Failure: no file, no model, or another one.
    """
    if not Path(file).is_file():
        raise Failure(f"{file}: no such file; expected the model.keras of a training")
    try:
        model = keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises nearly every type
        raise Failure(f"{file}: cannot be read as a model: {one_line(error)}") from error
    if not isinstance(model, models.CycleGAN):
        raise Failure(f"{file}: expected a CycleGAN, found a {type(model).__name__}")
    return model


def write_picture(target, x):
    """An image `(height, width, 1 or 3)` in [0, 1] as PNG, whole or not at all."""
    from PIL import Image

    pixels = np.round(np.clip(x, 0, 1) * 255).astype("uint8")
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    with whole(target) as temporary:
        picture.save(temporary, format="PNG")
