"""Pictures by diffusion: learn some, draw new ones, fill a part of one, vary one, go from one to another.

    python -m applications.diffusion train -o runs/digits
    python -m applications.diffusion train fashion_mnist -o runs/fashion
    python -m applications.diffusion train my_pictures --size 32 -o runs/mine
    python -m applications.diffusion sample 64 --label 3 --guidance 2 --model runs/digits -o samples.png
    python -m applications.diffusion inpaint picture.png --box 0,4,8,4 --model runs/digits -o filled.png
    python -m applications.diffusion vary picture.png --strength 0.5 --model runs/digits -o varied.png
    python -m applications.diffusion interpolate a.png b.png --frames 12 --model runs/digits -o between.png
    python -m applications.diffusion animate 16 --model runs/digits -o reverse.gif
"""

import argparse
from pathlib import Path

from applications import program
from applications.arguments import above_zero, below_one, not_negative, positive, probability, whole_number
from applications.diffusion.names import GRIDS, PARAMETRISATIONS, SAMPLERS, SCHEDULES, WEIGHTINGS


def parser():
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": program.EXIT}
    main = argparse.ArgumentParser(prog="python -m applications.diffusion", description=__doc__, **raw)
    names = "train | sample | inpaint | vary | interpolate | animate"
    commands = main.add_subparsers(dest="command", required=True, metavar=names)
    for add, name, about in (
        (_train_options, "train", "learn pictures"),
        (_sample_options, "sample", "new pictures"),
        (_inpaint_options, "inpaint", "draw a part of a picture anew"),
        (_vary_options, "vary", "pictures like one that is given: its coarse forms stay"),
        (_interpolate_options, "interpolate", "the way from a picture to another one"),
        (_animate_options, "animate", "how noise becomes pictures"),
    ):
        add(commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.", **raw))
    return main


def _train_options(parser):
    parser.add_argument(
        "data", nargs="?", default="digits",
        help="digits (embedded, 8 x 8), mnist, fashion_mnist, or a folder of pictures, whose subfolders, if there are "
        "some, are classes (default digits)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--size", type=positive, nargs="+", metavar="PIXELS",
                        help="of a folder: the side, or height and width (default 32)")  # fmt: skip
    parser.add_argument("--grey", action="store_true", help="read the pictures of a folder without colours")
    parser.add_argument("--unlabelled", action="store_true", help="learn pictures alone, not what they are of")
    parser.add_argument("--channels", type=positive, default=32, help="of the U-Net (default %(default)s)")
    parser.add_argument("--multipliers", type=positive, nargs="+",
                        help="of the channels, one a level of half the size (default 1 2, of large pictures 1 2 2)",
                        )  # fmt: skip
    parser.add_argument("--blocks", type=positive, default=1, help="a level (default %(default)s)")
    parser.add_argument("--dropout", type=below_one, default=0.1, help="default %(default)s")
    parser.add_argument("--schedule", choices=SCHEDULES, default="cosine", help="default %(default)s")
    parser.add_argument("--parametrisation", choices=PARAMETRISATIONS, default="v", help="default %(default)s")
    parser.add_argument("--weighting", choices=WEIGHTINGS, default="target", help="default %(default)s")
    parser.add_argument("--epochs", type=positive, help="default: about 2000 steps")
    parser.add_argument("--batch-size", type=positive, default=64, help="default %(default)s")
    parser.add_argument("--rate", type=above_zero, default=2e-3, help="of Adam, falls to 0 (default %(default)s)")
    parser.add_argument("--pictures", type=positive, default=6, help="drawn in training (default %(default)s)")
    parser.add_argument("--judged", type=positive, default=500, help="pictures that figures are of (default 500)")
    parser.add_argument("--save-minutes", type=above_zero, default=5.0, help="between checkpoints (default 5)")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def _model_options(parser, ending=".png"):
    parser.add_argument("--model", type=Path, required=True, help="the output folder of a training")
    parser.add_argument("-o", "--output", type=Path, required=True, help=f"a file that ends with {ending}")


def _draw_options(parser, sampler="dpm_solver_plus_plus", labels="+"):
    parser.add_argument("--label", nargs=labels, help="what is drawn, of the classes that the model has learned")
    parser.add_argument("--guidance", type=not_negative, help="scale: 1, as learned; above, more typical of the label")
    parser.add_argument("--sampler", choices=SAMPLERS, default=sampler, help="default %(default)s")
    parser.add_argument("--grid", choices=GRIDS, help="of the times (default: the model's, uniform)")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def _sample_options(parser):
    parser.add_argument("n", type=positive, nargs="?", default=64, help="pictures (default %(default)s)")
    _model_options(parser, ".png, or a folder for a file each")
    _draw_options(parser)
    parser.add_argument("--steps", type=positive, default=32, help="default %(default)s")


def _inpaint_options(parser):
    parser.add_argument("picture", type=Path)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--mask", type=Path, help="a picture that is white where to draw")
    where.add_argument("--box", type=box, metavar="TOP,LEFT,HEIGHT,WIDTH", help="where to draw, in pixels of the model "
                       "(default: the lower half)")  # fmt: skip
    _model_options(parser)
    _draw_options(parser, "ancestral", None)
    parser.add_argument("--drawn", type=positive, default=7, help="answers (default %(default)s)")
    parser.add_argument("--steps", type=positive, default=32, help="default %(default)s")
    parser.add_argument("--resamples", type=positive, default=10, help="times each step is made (default %(default)s)")


def _vary_options(parser):
    parser.add_argument("picture", type=Path)
    _model_options(parser)
    _draw_options(parser, labels=None)
    parser.add_argument("--strength", type=probability, default=0.5, help="1 keeps next to nothing (default 0.5)")
    parser.add_argument("--drawn", type=positive, default=7, help="answers (default %(default)s)")
    parser.add_argument("--steps", type=positive, default=32, help="about, of what is gone through (default 32)")


def _interpolate_options(parser):
    parser.add_argument("a", type=Path, help="a picture")
    parser.add_argument("b", type=Path, help="another one")
    _model_options(parser, ".png (a strip) or .gif")
    parser.add_argument("--label", nargs="+", help="of both, or one of each: of a model that has learned labels")
    parser.add_argument("--frames", type=positive, default=12, help="both ends included (default %(default)s)")
    parser.add_argument("--seconds", type=above_zero, default=2.0, help="of a .gif (default %(default)s)")


def _animate_options(parser):
    parser.add_argument("n", type=positive, nargs="?", default=16, help="pictures (default %(default)s)")
    _model_options(parser, ".gif, or .png (a strip of each)")
    _draw_options(parser)
    parser.add_argument("--steps", type=positive, default=32, help="default %(default)s")
    parser.add_argument("--frames", type=positive, default=17, help="noise and result included (default %(default)s)")
    parser.add_argument("--seconds", type=above_zero, default=3.0, help="of a .gif (default %(default)s)")


def box(text):
    """Four whole numbers, the last two at least 1."""
    parts = text.split(",")
    if len(parts) != 4 or not all(p.isdecimal() for p in parts) or not int(parts[2]) * int(parts[3]):
        raise argparse.ArgumentTypeError(f"expected TOP,LEFT,HEIGHT,WIDTH such as 0,4,8,4, not {text!r}")
    return tuple(map(int, parts))


def command(name):
    """The function of a command; loaded now, as it loads a backend."""
    if name == "train":
        from applications.diffusion.train import train as run
    else:
        from applications.diffusion import draw

        run = getattr(draw, name)
    return run


def main(arguments=None):
    """Run a command; returns the exit code."""
    return program.main("diffusion", parser, command, arguments)


if __name__ == "__main__":
    program.start("diffusion", main)
