"""The density of a table of numbers, by a normalizing flow: learn it, score rows by it, draw rows from it.

    python -m applications.density_estimation train table.csv -o runs/table
    python -m applications.density_estimation train table.csv --condition species --drop id --flow maf -o runs/species
    python -m applications.density_estimation train 2spirals -o runs/spirals
    python -m applications.density_estimation score new.csv --model runs/table -o scores.csv
    python -m applications.density_estimation sample -n 1000 --model runs/table -o samples.csv
"""

import argparse
from pathlib import Path

from applications import program
from applications.arguments import above_zero, positive, share, whole_number

TOYS = ("8gaussians", "moons", "circles", "rings", "2spirals", "checkerboard", "pinwheel")
FLOWS = ("nice", "realnvp", "maf", "iaf", "spline", "spline-ar", "ffjord")


def parser():
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": program.EXIT}
    main = argparse.ArgumentParser(prog="python -m applications.density_estimation", description=__doc__, **raw)
    commands = main.add_subparsers(dest="command", required=True, metavar="train | score | sample")
    _train_options(commands.add_parser("train", help="learn the density of a table", **raw))
    _score_options(commands.add_parser("score", help="log-densities of the rows of a table", **raw))
    _sample_options(commands.add_parser("sample", help="new rows", **raw))
    return main


def _file_options(parser):
    parser.add_argument("--header", choices=("auto", "yes", "no"), default="auto", help="of the file (default auto)")
    parser.add_argument("--encoding", default="utf-8", help="of the file (default %(default)s)")


def _train_options(parser):
    parser.add_argument("data", nargs="?", default="moons", help=f"a CSV file, or {', '.join(TOYS)} (default moons)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for all that is written")
    columns = parser.add_mutually_exclusive_group()
    columns.add_argument("--columns", nargs="+", metavar="NAME", help="to model (default: all but the others)")
    columns.add_argument("--drop", nargs="+", metavar="NAME", default=[], help="columns to leave out")
    parser.add_argument("--condition", nargs="+", metavar="NAME", default=[], help="columns c of p(x given c)")
    _file_options(parser)
    parser.add_argument("--rows", type=positive, default=20000, help="drawn of a toy (default %(default)s)")
    parser.add_argument("--holdout", type=share, default=0.1, help="share of the rows for the figures (default 0.1)")
    parser.add_argument("--validation", type=share, default=0.1, help="share that chooses the epoch (default 0.1)")
    parser.add_argument("--flow", choices=FLOWS, default="spline", help="default %(default)s")
    parser.add_argument("--steps", type=positive, help="bijections in a row (default: that of the flow)")
    parser.add_argument("--units", type=positive, nargs="+", help="hidden layers of each (default 64 64)")
    parser.add_argument("--bins", type=positive, help="of splines (default 8)")
    parser.add_argument("--epochs", type=positive, default=100, help="default %(default)s")
    parser.add_argument("--patience", type=positive, default=30, help="epochs without progress to the end (default 30)")
    parser.add_argument("--batch-size", type=positive, default=256, help="default %(default)s")
    parser.add_argument("--rate", type=above_zero, default=2e-3, help="of Adam, falls to 0 (default %(default)s)")
    parser.add_argument("--save-minutes", type=above_zero, default=10.0, help="between checkpoints (default 10)")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def _score_options(parser):
    parser.add_argument("file", help="a CSV file with the columns that the model knows")
    parser.add_argument("--model", type=Path, required=True, help="the output folder of a training")
    parser.add_argument("-o", "--output", type=Path, help="a CSV file (default: the terminal)")
    _file_options(parser)


def _sample_options(parser):
    parser.add_argument("-n", type=positive, default=1000, help="rows (default %(default)s)")
    parser.add_argument("--model", type=Path, required=True, help="the output folder of a training")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a CSV file")
    parser.add_argument("--given", nargs="+", metavar="NAME=VALUE", default=[], help="the conditions of the rows")
    parser.add_argument("--temperature", type=above_zero, default=1.0, help="scale of the base (default 1)")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def command(name):
    """The function of a command; loaded now, as it loads a backend."""
    if name == "train":
        from applications.density_estimation.train import train as run
    else:
        from applications.density_estimation import apply

        run = getattr(apply, name)
    return run


def main(arguments=None):
    """Run a command; returns the exit code."""
    return program.main("density_estimation", parser, command, arguments)


if __name__ == "__main__":
    program.start("density_estimation", main)
