"""Spoken digits, or other short words, by WaveNet: learn them, speak them, go on with a recording.

    python -m applications.speech train -o runs/digits
    python -m applications.speech train spoken_digits -o runs/all_digits
    python -m applications.speech train my_words -o runs/words
    python -m applications.speech speak 4 2 --voice jackson --model runs/digits -o said.wav
    python -m applications.speech speak 7 --model runs/digits -o - | aplay -t raw -r 8000 -f S16_LE
    python -m applications.speech continue begun.wav --label 7 --voice jackson --model runs/digits -o whole.wav
"""

import argparse
from pathlib import Path

from applications import program
from applications.arguments import above_zero, not_negative, positive, whole_number


def parser():
    raw = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": program.EXIT}
    main = argparse.ArgumentParser(prog="python -m applications.speech", description=__doc__, **raw)
    commands = main.add_subparsers(dest="command", required=True, metavar="train | speak | continue")
    _train_options(commands.add_parser("train", help="learn recordings", **raw))
    _speak_options(commands.add_parser("speak", help="new recordings", **raw))
    _continue_options(commands.add_parser("continue", help="go on with a recording", **raw))
    return main


def _train_options(parser):
    parser.add_argument(
        "data", nargs="?", default="excerpt",
        help="excerpt (embedded, two speakers), spoken_digits (the whole set, from KERAS_GEN_DATA or by download), its "
        "file, or a folder of wav files named LABEL_SPEAKER_NUMBER.wav (default excerpt)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for all that is written")
    parser.add_argument("--sample-rate", type=positive, default=8000, help="samples a second (default %(default)s)")
    parser.add_argument("--length", type=positive, default=4608, help="samples that are learned (default %(default)s)")
    parser.add_argument("--channels", type=positive, default=32, help="of the blocks (default %(default)s)")
    parser.add_argument("--skip-channels", type=positive, default=64, help="default %(default)s")
    parser.add_argument("--kernel-size", type=positive, default=3, help="default %(default)s")
    parser.add_argument("--dilations", type=positive, nargs="+", default=[3**i for i in range(7)],
                        help="one a block (default 1 3 9 27 81 243 729)")  # fmt: skip
    parser.add_argument("--epochs", type=positive, default=30, help="default %(default)s")
    parser.add_argument("--patience", type=positive, default=10, help="epochs without progress to the end (default 10)")
    parser.add_argument("--batch-size", type=positive, default=2, help="default %(default)s")
    parser.add_argument("--rate", type=above_zero, default=2e-3, help="of Adam, falls to 0 (default %(default)s)")
    parser.add_argument("--save-minutes", type=above_zero, default=5.0, help="between checkpoints (default 5)")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def _speak_options(parser):
    parser.add_argument("labels", nargs="+", metavar="LABEL", help="what is said, such as a digit; one after another")
    _sample_options(parser)


def _continue_options(parser):
    parser.add_argument("recording", type=Path, help="a wav file")
    parser.add_argument("--label", required=True, help="what is being said")
    _sample_options(parser)


def _sample_options(parser):
    parser.add_argument("--model", type=Path, required=True, help="the output folder of a training")
    parser.add_argument("-o", "--output", required=True, help="a wav file; -: raw 16 bits to stdout, as they come")
    parser.add_argument("--seconds", type=above_zero, help="of a whole word (default: what is usual)")
    parser.add_argument("--voice", help="a speaker (default: the first one)")
    parser.add_argument("--temperature", type=not_negative, default=1.0, help="1, as learned (default), to 0, safest")
    parser.add_argument("--seed", type=whole_number, default=0, help="default %(default)s")


def command(name):
    """The function of a command; loaded now, as it loads a backend."""
    if name == "train":
        from applications.speech.train import train as run
    else:
        from applications.speech import speak

        run = speak.speak if name == "speak" else speak.go_on
    return run


def main(arguments=None):
    """Run a command; returns the exit code."""
    return program.main("speech", parser, command, arguments)


if __name__ == "__main__":
    program.start("speech", main)
