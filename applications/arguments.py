"""Arguments that programs share, for `argparse`: numbers in their ranges, and the options of models of sequences.

No backend is loaded here.
"""

import argparse
import math
from pathlib import Path

from applications.files import Usage

SIZES = {"transformer": (128, 4), "lstm": (256, 1), "gru": (256, 1)}  # width and depth


def positive(text):
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {text!r}")
    return int(text)


def whole_number(text):
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, not {text!r}")
    return int(text)


def above_zero(text):
    """A finite number above 0."""
    return _number(text, lambda x: 0 < x < math.inf, "a number above 0")


def share(text):
    """A number in (0, 1)."""
    return _number(text, lambda x: 0 < x < 1, "a number between 0 and 1")


def not_negative(text):
    """A finite number of at least 0."""
    return _number(text, lambda x: 0 <= x < math.inf, "a number of at least 0")


def below_one(text):
    """A number in [0, 1)."""
    return _number(text, lambda x: 0 <= x < 1, "a number of at least 0 and below 1")


def probability(text):
    """A number in (0, 1]."""
    return _number(text, lambda x: 0 < x <= 1, "a number above 0 and at most 1")


def _number(text, fits, expected):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not fits(number):
        raise argparse.ArgumentTypeError(f"expected {expected}, not {text!r}")
    return number


def add_model_options(parser, kind, steps, batch_size):
    """Options of a model and its training, with these defaults."""
    sizes = ", ".join(f"{w} and {d} of {name}" for name, (w, d) in SIZES.items())
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--model", choices=tuple(SIZES), default=kind, help="default %(default)s")
    parser.add_argument("--width", type=positive, help=f"channels or units; it and --depth: {sizes}")
    parser.add_argument("--depth", type=positive, help="blocks or layers")
    parser.add_argument("--heads", type=positive, help="of a transformer's attention; they divide --width (default 4)")
    parser.add_argument("--dropout", type=below_one, default=0.0, help="default 0")
    parser.add_argument("--steps", type=positive, default=steps, help="of training (default %(default)s)")
    parser.add_argument("--every", type=positive, default=250, help="steps between validations (default 250)")
    parser.add_argument("--batch-size", type=positive, default=batch_size, help="default %(default)s")
    parser.add_argument("--rate", type=above_zero, default=1e-3, help="the highest one (default %(default)s)")
    parser.add_argument("--save-minutes", type=above_zero, default=10.0, help="between checkpoints (default 10)")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def check_model_options(options):
    """Raise `Usage` of options that contradict each other; fill in the sizes."""
    if options.model != "transformer" and options.heads is not None:
        raise Usage(f"--model {options.model} has no --heads: they are of a transformer")
    width, depth = SIZES[options.model]
    options.width, options.depth = options.width or width, options.depth or depth
    if options.model == "transformer":
        options.heads = options.heads or 4
        if options.width % (2 * options.heads):
            raise Usage(f"--heads {options.heads} must divide half of --width {options.width}")
