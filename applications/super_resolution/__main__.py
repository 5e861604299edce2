"""Super-resolution of photographs: upscale pictures, evaluate a model, train one on your own pictures.

    python -m applications.super_resolution upscale photo.jpg -o large.png
    python -m applications.super_resolution upscale photographs -o large --ensemble
    python -m applications.super_resolution evaluate Set5.zip --json set5.json
    python -m applications.super_resolution train my_pictures --scale 2 --output runs/mine
"""

import argparse
from pathlib import Path

from applications import program
from applications.arguments import above_zero, positive, whole_number

NETWORKS = ("espcn", "edsr", "srresnet", "rrdb")
EXIT = """exit code: 0, all done; 1, something could not be done, each with a line that says why (the rest is done);
2, wrong usage"""


def parser():
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXIT}
    main = argparse.ArgumentParser(prog="python -m applications.super_resolution", description=__doc__, **raw)
    commands = main.add_subparsers(dest="command", required=True, metavar="upscale | evaluate | train")
    _upscale_options(commands.add_parser("upscale", help="enlarge pictures of any size", **raw))
    _evaluate_options(commands.add_parser("evaluate", help="PSNR and SSIM beside bicubic interpolation", **raw))
    _train_options(commands.add_parser("train", help="learn from pictures", **raw))
    return main


def _model_options(parser):
    parser.add_argument("--scale", type=positive, help="the factor that is expected of the model; an error otherwise")
    parser.add_argument("--ensemble", action="store_true", help="mean over 8 turned and mirrored: 8 x the work")
    parser.add_argument("--tile", type=positive, help="side, in pixels of the picture, of what is computed at once")
    parser.add_argument("--max-pixels", type=positive, default=2**26, help="of a picture (default %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _upscale_options(parser):
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="pictures, or folders of pictures")
    parser.add_argument("-o", "--output", type=Path, required=True, help="file or folder; files there are replaced")
    parser.add_argument("--model", help="the model.keras of a training (default: the model of this program)")
    parser.add_argument("--format", choices=("png", "jpg", "webp", "tif"), help="of results in a folder (default png)")
    _model_options(parser)


def _evaluate_options(parser):
    parser.add_argument("pictures", type=Path, help="a folder, or a zip, of pictures of full size")
    parser.add_argument("--model", help='the model.keras of a training, or "bicubic" (default: that of this program)')
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    _model_options(parser)


def _train_options(parser):
    parser.add_argument("folder", nargs="?", type=Path, help="pictures, in subfolders too (default: the embedded ones)")
    parser.add_argument("--scikit-image", action="store_true", help="add the photographs of scikit-image")
    parser.add_argument("--validation", type=Path, help="folder or zip of held-out pictures (default: a tenth)")
    parser.add_argument("--scale", type=positive, default=2, help="default %(default)s")
    parser.add_argument("--network", choices=NETWORKS, help="default edsr; that of --initial")
    parser.add_argument("--blocks", type=positive, help="default 16, 23 of rrdb; those of --initial")
    parser.add_argument("--filters", type=positive, help="default 64; those of --initial")
    parser.add_argument("--steps", type=positive, default=20000, help="default %(default)s")
    parser.add_argument("--epochs", type=positive, default=20, help="parts of the training (default %(default)s)")
    parser.add_argument("--patch", type=positive, help="side of large patches (default 48 times the scale, at most 96)")
    parser.add_argument("--batch-size", type=positive, default=16, help="default %(default)s")
    parser.add_argument("--rate", type=above_zero, default=3e-4, help="of Adam, falls to 0 (default %(default)s)")
    parser.add_argument("--loss", choices=("l1", "l2"), default="l1", help="default %(default)s")
    parser.add_argument("--initial", help="a model to begin with, of any scale: network and sizes are its own")
    parser.add_argument("--output", "-o", type=Path, default=Path("runs/super_resolution"), help="default %(default)s")
    parser.add_argument("--pictures", type=positive, default=10, help="previews in all (default %(default)s)")
    parser.add_argument("--save-minutes", type=above_zero, default=10.0, help="between checkpoints (default 10)")
    parser.add_argument("--max-pixels", type=positive, default=2**26, help="of a picture (default %(default)s)")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def command(name):
    """The function of a command; loaded now, as it loads a backend."""
    if name == "upscale":
        from applications.super_resolution.upscale import upscale as run
    elif name == "evaluate":
        from applications.super_resolution.evaluate import evaluate as run
    else:
        from applications.super_resolution.train import train as run
    return run


def main(arguments=None):
    """Run a command; returns the exit code."""
    return program.main("super_resolution", parser, command, arguments)


if __name__ == "__main__":
    program.start("super_resolution", main)
