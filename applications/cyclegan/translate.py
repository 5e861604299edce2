"""Every picture of a folder through one of the two generators of a trained CycleGAN, each at its own size.

A picture is written whole or not at all: under a temporary name in the output folder, then renamed. One that cannot be
used is named, and the others are still done.
"""

from pathlib import Path

import keras
import numpy as np

from applications.cyclegan.domains import pictures_in, say
from applications.files import Failure, one_line, whole, writable
from keras_gen import models
from keras_gen.datasets.folder import MODES
from keras_gen.datasets.pictures import read_picture

LEAST = 8  # pixels of a side: below, there is nothing that a convolution could see


def translate(options):
    """Run the command; returns the exit code."""
    files, output = pictures_in(options.folder), Path(options.output).expanduser()
    if output.resolve() == Path(options.folder).expanduser().resolve():
        raise Failure(f"{output}: the pictures would be overwritten by their translations; give another folder to -o")
    model, output = load(options.model), writable(output)
    source = model.event_shape if options.direction == "a2b" else model.condition_shape
    bar = keras.utils.Progbar(len(files), unit_name="picture")
    problems = []
    for k, (file, name) in enumerate(zip(files, output_names(files), strict=True)):
        try:
            one(model, file, output / name, options.direction, source[-1])
        except (ValueError, OSError, MemoryError) as error:
            problems.append(one_line(error) or type(error).__name__)
        bar.update(k + 1)
    for problem in problems:
        say(problem)
    print(f"{len(files) - len(problems)} of {len(files)} pictures translated ({options.direction}), in {output}")
    return 1 if problems else 0


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
        raise Failure(f"{file}: cannot be read as a model: {one_line(error)[:300]}") from error
    if not isinstance(model, models.CycleGAN):
        raise Failure(f"{file}: expected a CycleGAN, found a {type(model).__name__}")
    return model


def output_names(files):
    """`name.png` for each, or `name.jpg.png` where two would have one name."""
    stems = [file.stem.casefold() for file in files]
    return [
        f"{file.stem if stems.count(stem) == 1 else file.name}.png" for file, stem in zip(files, stems, strict=True)
    ]


def write_picture(target, x):
    """An image `(height, width, 1 or 3)` in [0, 1] as PNG, whole or not at all."""
    from PIL import Image

    pixels = np.round(np.clip(x, 0, 1) * 255).astype("uint8")
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    with whole(target) as temporary:
        picture.save(temporary, format="PNG")
