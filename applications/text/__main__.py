"""Text, character by character: learn a file, write on from a prompt, say how many bits a character a text takes.

    python -m applications.text train book.txt -o runs/book
    python -m applications.text train -o runs/shakespeare --model lstm
    python -m applications.text sample --model runs/book --prompt "It was " --length 500 --temperature 0.8
    python -m applications.text score other.txt --model runs/book
"""

import argparse
from pathlib import Path

from applications import program
from applications.arguments import add_model_options, not_negative, positive, probability, whole_number


def parser():
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": program.EXIT}
    main = argparse.ArgumentParser(prog="python -m applications.text", description=__doc__, **raw)
    commands = main.add_subparsers(dest="command", required=True, metavar="train | sample | score")
    _train_options(commands.add_parser("train", help="learn a text", **raw))
    _sample_options(commands.add_parser("sample", help="write on from a prompt", **raw))
    _score_options(commands.add_parser("score", help="bits a character of a text", **raw))
    return main


def _train_options(parser):
    parser.add_argument("file", nargs="?", help="a text in UTF-8 (default: a part of Tiny Shakespeare)")
    parser.add_argument("--length", type=positive, default=64, help="characters that the next is learned from, at most")
    add_model_options(parser, "transformer", steps=2000, batch_size=12)


def _sample_options(parser):
    parser.add_argument("--model", type=Path, required=True, help="the output folder of a training")
    parser.add_argument("--prompt", default="", help="what the text begins with")
    parser.add_argument("--length", type=positive, default=500, help="characters after the prompt (default 500)")
    parser.add_argument("--temperature", type=not_negative, default=1.0, help="0: the likeliest alone (default 1)")
    parser.add_argument("--top-k", type=positive, help="draw among the k likeliest characters")
    parser.add_argument("--top-p", type=probability, help="among the fewest whose probability is at least p")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def _score_options(parser):
    parser.add_argument("file", help="a text in UTF-8, of characters that the model knows")
    parser.add_argument("--model", type=Path, required=True, help="the output folder of a training")


def command(name):
    """The function of a command; loaded now, as it loads a backend."""
    if name == "train":
        from applications.text.train import train as run
    else:
        from applications.text import apply

        run = getattr(apply, name)
    return run


def main(arguments=None):
    """Run a command; returns the exit code."""
    return program.main("text", parser, command, arguments)


if __name__ == "__main__":
    program.start("text", main)
