"""How a program runs a command: its exit code, a failure in one line, Ctrl-C, warnings as lines.

A program has a parser of its arguments, whose `command` names one of its commands, and a function from that name to
what runs it, which loads a backend no sooner.
"""

import os
import sys
import warnings

from applications import terminal
from applications.files import Failure, Usage, one_line
from applications.resuming import interrupted

EXIT = """exit code: 0, all done; 1, something could not be done, with a line that says why; 2, wrong usage"""


def main(program, parser, command, arguments=None):
    """Run a command of `arguments`, by default those of the process; returns the exit code."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as ended:  # argparse has said why
        return ended.code
    return run(program, command, options)


def run(program, command, options):
    """As `main`, of parsed arguments."""
    with terminal.watched():
        code, line = _ended(command, options)
        if line:
            terminal.say(program, line)
    return code


def _ended(command, options):
    """The exit code of a command, and the line that says why it is not 0."""
    try:
        return command(options.command)(options), None
    except Usage as usage:
        return 2, f"error: {usage}"
    except Failure as failure:
        return 1, f"error: {failure}"
    except KeyboardInterrupt as error:
        return 130, interrupted(error, options.command == "train")
    except BrokenPipeError:  # who reads has had enough: what is still to be flushed goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
        return 1, None
    except (ValueError, OSError, ImportError, FloatingPointError, MemoryError) as error:
        return 1, f"error: {one_line(error)}"


def start(program, run):
    """What `python -m applications.PROGRAM` does: `run()`, and end with its exit code."""
    warnings.formatwarning = lambda message, *_, **__: _warned(program, message)
    terminal.quiet_tensorflow()
    sys.exit(run())


def _warned(program, message):
    """A warning as a line of its own."""
    terminal.end_lines()
    return f"{program}: {one_line(message)}\n"
