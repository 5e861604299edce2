"""Pictures through a model, each at its own size. One that cannot be used is named; the others are still done.

Colours go through the model, in tiles; alpha is enlarged bicubically. What else a file holds is kept as `pictures`
says. A result is written whole or not at all: under a temporary name in its folder, then renamed.
"""

import contextlib
import dataclasses
import sys
from pathlib import Path

import numpy as np

from applications.files import Failure, Usage, counted, free_names, one_line, pictures_in, whole, writable
from applications.super_resolution import pictures, shipped
from applications.super_resolution.files import open_file, say
from keras_gen.datasets import bicubic


def upscale(options):
    """Run the command; returns the exit code."""
    files, problems, into_folder = _listed(options.images)
    targets = _targets(files, options.output, options.format, into_folder)
    if not files:
        return 1
    pictures.library()
    model = shipped.load(options.model, options.scale)
    writable(options.output if into_folder or options.output.is_dir() else targets[0].parent)
    done = 0
    for k, (file, target) in enumerate(zip(files, targets, strict=True)):
        say(f"{k + 1} of {len(files)}: {file} -> {target}")
        problem = _problem(model, file, target, options)
        if problem is None:
            done += 1
        else:
            problems.append(problem)
            say(f"error: {problem}")
    say(f"{done} of {counted(len(files), 'picture')} enlarged by {model.scale}; {counted(len(problems), 'error')}")
    return 1 if problems else 0


def _problem(model, file, target, options):
    """One picture; what went wrong, or None."""
    try:
        one(model, file, target, options)
    except Failure as failure:
        return str(failure)
    except Exception as error:  # of a backend, such as memory that is not there
        return f"{file}: {type(error).__name__}: {one_line(error)}"


def one(model, file, target, options):
    """One picture.

    Raises:
        Failure: it cannot be read, or not be written.
    """
    picture = pictures.read(lambda: open_file(file, pictures.most_bytes(options.max_pixels)), file, options.max_pixels)
    for note in picture.notes:
        say(f"note: {file}: {note}")
    if target.exists() and target.samefile(file):
        raise Failure(f"{file}: the result would take its place; give another -o")
    pictures.check_fits(picture, target, model.scale)
    with contextlib.redirect_stdout(sys.stderr):  # Keras's progress bars
        colour = shipped.enlarge(
            model, seen(picture), ensemble=options.ensemble, tile=options.tile, verbose=0 if options.quiet else "auto"
        )
    alpha = None if picture.alpha is None else bicubic(picture.alpha, colour.shape[:2])
    try:
        with whole(target) as temporary:
            pictures.write(dataclasses.replace(picture, colour=colour, alpha=alpha), temporary)
    except OSError as error:
        raise Failure(f"{target}: cannot be written: {error.strerror or one_line(error)}") from error


def _listed(images):
    """The files, problems with what is not there, and whether the results go into a folder."""
    files, problems, into_folder = [], [], len(images) > 1
    for image in map(Path.expanduser, images):
        into_folder = into_folder or image.is_dir()
        try:
            files += pictures_in(image, say) if image.is_dir() else [_there(image)]
        except Failure as failure:
            problems.append(str(failure))
            say(f"error: {failure}")
    return files, problems, into_folder


def _there(file):
    if not file.exists() and not file.is_symlink():
        raise Failure(f"{file}: no such file; expected a picture, or a folder of pictures")
    return file


def _targets(files, output, form, into_folder):
    """The file that each result becomes: `-o` itself, or in that folder the name that `free_names` gives it."""
    ending = output.suffix.lower()
    if into_folder or output.is_dir() or not ending:
        if (output.exists() and not output.is_dir()) or (not output.exists() and ending in pictures.ENDINGS):
            raise Usage(f"-o {output}: several pictures need a folder")
        return [output / f"{name}.{form or 'png'}" for name in free_names(files)]
    if form is not None:
        raise Usage("--format names the format of results in a folder; that of one file is its ending")
    if ending not in pictures.ENDINGS:
        raise Usage(f"-o {output}: expected one of the endings {' '.join(pictures.ENDINGS)}, or a folder")
    return [output]


def seen(picture, reach=16):
    """The colours of a picture; those under alpha 0, which nobody sees, go on from what is seen beside them.

    Else what is hidden, black as a rule, would be drawn into the edges. `reach` pixels are filled, each by the mean of
    its neighbours that are known.
    """
    if picture.alpha is None or picture.alpha.all() or not picture.alpha.any():
        return picture.colour
    known = (picture.alpha > 0).astype("float32")
    colour = picture.colour * known
    for _ in range(reach):
        count, total = (_around(x) for x in (known, colour))
        new = (known == 0) & (count > 0)
        colour = np.where(new, total / np.maximum(count, 1), colour)
        known = np.where(new, 1, known).astype("float32")
    return np.where(known > 0, colour, picture.colour).astype("float32")


def _around(x):
    """The sum over the 3 x 3 pixels around each."""
    x = np.pad(x, [(1, 1), (1, 1), (0, 0)])
    rows = x[:-2] + x[1:-1] + x[2:]
    return rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
