"""CycleGAN on pictures that are not paired: train on two folders, then translate any folder, each picture at its size.

    python -m applications.cyclegan train --a horses --b zebras --output runs/zebras
    python -m applications.cyclegan translate pictures --model runs/zebras/model.keras --direction a2b -o translated
    python -m applications.cyclegan translate one.jpg --model runs/zebras/model.keras --direction a2b -o zebra.png
    python -m applications.cyclegan train --a mnist --b usps --output runs/digits
"""

import argparse
import warnings
from pathlib import Path

from applications import program
from applications.arguments import above_zero, positive
from applications.cyclegan.files import DATA_SETS, LEAST

EXIT = """exit code: 0, all done; 1, something could not be done, each with a line that says why (the rest is done);
2, wrong usage"""


def parse(arguments=None):
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EXIT}
    parser = argparse.ArgumentParser(prog="python -m applications.cyclegan", description=__doc__, **raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="train | translate")
    _train_options(commands.add_parser("train", help="learn two domains", **raw))
    _translate_options(commands.add_parser("translate", help="translate a picture, or those of a folder", **raw))
    options = parser.parse_args(arguments)
    if options.command == "train":
        _finish(options, parser.error)
    return options


def _train_options(parser):
    domain = f"a folder of pictures (its subfolders are not searched), or one of {', '.join(DATA_SETS)}"
    parser.add_argument("--a", required=True, help=domain)
    parser.add_argument("--b", required=True, help="the other domain, likewise")
    parser.add_argument("--output", "-o", type=Path, required=True, help="folder for all that is written")
    parser.add_argument(
        "--size", type=positive, nargs=2, metavar=("H", "W"), help="at least 8 8; default 128 128; 16 16 for data sets"
    )
    parser.add_argument("--channels", type=int, choices=(1, 3), help="default 3; 1 if both domains are data sets")
    parser.add_argument("--epochs", type=positive, default=200, help="passes over the longer domain (default 200)")
    parser.add_argument("--batch-size", type=positive, default=1, help="default %(default)s")
    parser.add_argument("--blocks", type=positive, default=6, help="residual blocks (default %(default)s)")
    parser.add_argument("--filters", type=positive, default=64, help="of the first layer (default %(default)s)")
    parser.add_argument("--rate", type=above_zero, default=2e-4, help="of Adam, falls in the end (default 2e-4)")
    parser.add_argument("--cycle", type=above_zero, default=10.0, help="weight of the cycle (default %(default)s)")
    parser.add_argument("--identity", type=float, default=0.5, help="as a share of --cycle; 0: none (default 0.5)")
    parser.add_argument("--pool", type=int, default=50, help="translations remembered a domain (default %(default)s)")
    parser.add_argument("--no-jitter", dest="jitter", action="store_false", help="no random places, no mirroring")
    parser.add_argument("--pictures", type=positive, default=20, help="written while it trains (default %(default)s)")
    parser.add_argument("--save-minutes", type=above_zero, default=10.0, help="between checkpoints (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")


def _translate_options(parser):
    parser.add_argument("pictures", help="a picture, or a folder of pictures (its subfolders are not searched)")
    parser.add_argument("--model", required=True, help="the model.keras of a training")
    parser.add_argument("--direction", required=True, choices=("a2b", "b2a"), help="from which domain to which")
    parser.add_argument("--output", "-o", required=True, help="folder, or for one picture its name.png")


def _finish(options, error):
    """Defaults that depend on the domains, and what argparse alone does not see."""
    sets = options.a in DATA_SETS, options.b in DATA_SETS
    options.size = tuple(options.size or ((16, 16) if any(sets) else (128, 128)))
    options.channels = options.channels or (1 if all(sets) else 3)
    if options.identity < 0 or options.pool < 0 or options.seed < 0:
        error("--identity, --pool and --seed must not be negative")
    if min(options.size) < LEAST:
        error(f"--size {options.size[0]} {options.size[1]}: the networks need at least {LEAST} {LEAST}")


def command(name):
    """The function of a command; loaded now, as it loads a backend."""
    if name == "train":
        from applications.cyclegan.train import train as run
    else:
        from applications.cyclegan.translate import translate as run
    return run


def main(arguments=None):
    """Run a command; returns the exit code."""
    return program.run("cyclegan", command, parse(arguments))


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Image size .* exceeds limit")  # refused anyway, in a line of our own
    program.start("cyclegan", main)
