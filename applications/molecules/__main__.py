"""Molecules as SMILES: learn a set of them, and write new ones.

    python -m applications.molecules train qm9 -o runs/qm9
    python -m applications.molecules train mine.smi -o runs/mine --model transformer --tokens characters
    python -m applications.molecules sample -n 1000 --model runs/qm9 -o new.smi

`sample` judges and draws what it writes by RDKit: pip install 'keras_gen[molecules]'.
"""

import argparse
from pathlib import Path

from applications import program
from applications.arguments import add_model_options, not_negative, positive, probability, whole_number


def parser():
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": program.EXIT}
    main = argparse.ArgumentParser(prog="python -m applications.molecules", description=__doc__, **raw)
    commands = main.add_subparsers(dest="command", required=True, metavar="train | sample")
    _train_options(commands.add_parser("train", help="learn molecules", **raw))
    _sample_options(commands.add_parser("sample", help="write new ones", **raw))
    return main


def _train_options(parser):
    names = "small (embedded: 598 that rules write), qm9 or zinc250k in the folder named by KERAS_GEN_DATA"
    parser.add_argument("data", nargs="?", default="small", help=f"a .smi file, a molecule a line, or {names}")
    parser.add_argument(
        "--tokens", choices=("smiles", "characters"), default="smiles", help="Cl, [nH], %%12 as one, or cut (smiles)"
    )
    add_model_options(parser, "gru", steps=2000, batch_size=64)


def _sample_options(parser):
    parser.add_argument("-n", type=positive, default=1000, help="molecules (default %(default)s)")
    parser.add_argument("--model", type=Path, required=True, help="the output folder of a training")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a .smi file; the picture lies beside it")
    parser.add_argument("--drawn", type=whole_number, default=32, help="molecules in the picture (default 32; 0: none)")
    parser.add_argument("--no-rdkit", action="store_true", help="write them without judging or drawing them")
    parser.add_argument("--temperature", type=not_negative, default=1.0, help="below 1: likelier ones (default 1)")
    parser.add_argument("--top-k", type=positive, help="draw among the k likeliest tokens")
    parser.add_argument("--top-p", type=probability, help="among the fewest whose probability is at least p")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def command(name):
    """The function of a command; loaded now, as it loads a backend."""
    if name == "train":
        from applications.molecules.train import train as run
    else:
        from applications.molecules.sample import sample as run
    return run


def main(arguments=None):
    """Run a command; returns the exit code."""
    return program.main("molecules", parser, command, arguments)


if __name__ == "__main__":
    program.start("molecules", main)
