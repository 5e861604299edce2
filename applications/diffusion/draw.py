"""What a trained model draws: new pictures, parts and variations of a given one, what lies between two, and how."""

import math
import sys

import numpy as np

from applications.diffusion import pictures
from applications.diffusion.known import load
from applications.diffusion.lines import say
from applications.files import Failure, Usage, counted


def sample(options):
    """New pictures, as a grid or a file each."""
    target = pictures.check_target(options.output, ".png", folder=True)
    model, known = load(options.model)
    labels, own = asked(known, options, options.n)
    x = model.sample(options.n, labels, steps=options.steps, **own)
    if target.is_dir():
        width = len(str(options.n - 1))
        names = [f"{i:0{width}d}" + ("" if labels is None else f"_{known.classes[labels[i]]}") for i in range(len(x))]
        pictures.write_each(x, names, target)
    else:
        pictures.write_grid(x, target, **columns_of(known, options))
    say(f"{counted(len(x), 'picture')}, in {target}")
    return 0


def inpaint(options):
    """A picture, what is known of it, and answers."""
    target = pictures.check_target(options.output, ".png")
    model, known = load(options.model)
    labels, own = asked(known, options, options.drawn)
    x = pictures.read(options.picture, model.event_shape)
    kept = pictures.known_part(options, model.event_shape)
    given = np.repeat(x[None], options.drawn, axis=0)
    found = model.inpaint(given, kept, labels, steps=options.steps, resamples=options.resamples, **own)
    pictures.write_grid([x, np.where(kept, x, 0.5), *found], target, rows=1)
    say(f"the picture, what is kept of it, and {counted(len(found), 'answer')}, in {target}")
    return 0


def vary(options):
    """A picture, and pictures like it."""
    target = pictures.check_target(options.output, ".png")
    model, known = load(options.model)
    labels, own = asked(known, options, options.drawn)
    x = pictures.read(options.picture, model.event_shape)
    given = np.repeat(x[None], options.drawn, axis=0)
    steps = min(math.ceil(options.steps / options.strength), model.schedule.steps or sys.maxsize)
    found = model.image_to_image(given, labels, strength=options.strength, steps=steps, **own)
    pictures.write_grid([x, *found], target, rows=1)
    say(f"the picture, and {counted(len(found), 'variation')}, in {target}")
    return 0


def interpolate(options):
    """The way from a picture to another; with a label of each, as both."""
    target = pictures.check_target(options.output, ".png", ".gif")
    model, known = load(options.model)
    labels = ends(known, options)
    if options.frames < 2:
        raise Usage("--frames 1: expected at least 2, as both ends count")
    a, b = (pictures.read(file, model.event_shape)[None] for file in (options.a, options.b))
    x = np.concatenate(list(between(model, a, b, labels, options.frames)))
    write_frames(x, target, options)
    say(f"{counted(options.frames, 'frame')} from {options.a} to {options.b}, in {target}")
    return 0


def between(model, a, b, labels, frames):
    """Rows `(1, frames, ...)`: one of each label, or of one label or none, that of `model.interpolate`."""
    if labels is None or len(set(labels)) == 1:
        yield model.interpolate(a, b, frames, None if labels is None else np.array(labels[:1]))
        return
    codes = [model.encode(x, np.array([label])) for x, label in zip((a, b), labels, strict=True)]
    line = model.between(*codes, np.linspace(0.0, 1.0, frames, dtype="float32"))[0]
    for label in labels:
        yield model.decode(line, np.full(frames, label))[None]


def animate(options):
    """How noise becomes pictures: an animation, or a strip each."""
    target = pictures.check_target(options.output, ".gif", ".png")
    model, known = load(options.model)
    labels, own = asked(known, options, options.n)
    if options.frames < 2:
        raise Usage("--frames 1: expected at least 2, as noise and result count")
    x = model.trajectory(options.n, labels, frames=options.frames, steps=options.steps, **own)
    write_frames(x, target, options)
    say(f"{counted(len(x), 'picture')} in {counted(options.frames, 'frame')}, in {target}")
    return 0


def write_frames(x, target, options):
    if target.suffix.lower() == ".gif":
        pictures.write_animation(x, target, options.seconds)
    else:
        pictures.write_strips(x, target)


# ------------------------------------------------------------------------------------------------------ labels


def asked(known, options, n):
    """Labels `(n,)` or None, and further arguments of what draws.

    Without `--label`, of `sample` and `animate` each class in turn; of the others guidance 0, which leaves labels out.

    Raises:
        Failure: a label that the model has not learned, labels or guidance of a model without them.
    """
    own = {"sampler": options.sampler, "grid": options.grid, "seed": options.seed}
    names = [options.label] if isinstance(options.label, str) else options.label
    chosen = [known.number(name) for name in names or ()]
    if known.classes is None:
        if options.guidance is not None:
            raise Failure(f"--guidance {options.guidance:g}: this model was trained without labels")
        return None, own
    own["guidance"] = options.guidance
    if not chosen and options.command in ("inpaint", "vary"):
        if options.guidance is not None:
            raise Usage("--guidance is towards a --label, of which none is given")
        chosen, own["guidance"] = [0], 0.0
    return np.resize(chosen or np.arange(len(known.classes)), n).astype("int32"), own


def ends(known, options):
    """The labels of both ends, or None.

    Raises:
        Failure, Usage: none of a model with labels, more than two, one that the model has not learned.
    """
    labels = [known.number(name) for name in options.label or ()]
    if known.classes is not None and len(labels) not in (1, 2):
        raise Usage(f"--label: expected one, or one of each picture, of {', '.join(known.classes)}")
    return (labels * 2)[:2] if labels else None


def columns_of(known, options):
    """Arguments of a grid: a column a label, where they are few."""
    names = options.label or known.classes or []
    several = 1 < len(names) <= min(pictures.COLUMNS, options.n)
    return {"columns": len(names), "column_labels": names} if several else {}
