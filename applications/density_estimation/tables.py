"""Tables of numbers: columns of texts by name, of which numbers and classes are made when they are asked for.

Cells such as an empty one, `NA` or `?` are missing, and are NaN here.
"""

import dataclasses
import math

import numpy as np

from applications import terminal
from applications.files import one_line

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
SHOWN = 4  # names in a message


@dataclasses.dataclass
class Table:
    """Columns by name, each as `(n,)` texts; the line of the file in which each row ends; the decimal comma's use."""

    columns: dict
    lines: list
    has_header: bool
    decimal_comma: bool = False
    _numbers: dict = dataclasses.field(default_factory=dict, repr=False)

    def __len__(self):
        return len(self.lines)

    def numbers(self, name):
        """The column as float64, NaN where it is missing; or a message of the first cell that is no number."""
        if name not in self._numbers:
            self._numbers[name] = self._parsed(name)
        return self._numbers[name]

    def _parsed(self, name):
        values = np.full(len(self), np.nan)
        for i, cell in enumerate(self.columns[name]):
            try:
                values[i] = number(cell, self.decimal_comma)
            except ValueError:
                return f"{one_line(cell, 40)!r} in line {self.lines[i]}"
        return values

    def texts(self, name):
        """The column as texts, None where it is missing."""
        return [None if is_missing(cell) else cell.strip() for cell in self.columns[name]]


class Numbers(Table):
    """A table whose columns are arrays."""

    def numbers(self, name):
        return np.asarray(self.columns[name], "float64")


def say(text):
    """One line to the terminal's errors."""
    terminal.say("density_estimation", text)


def is_missing(cell):
    return cell.strip().lower() in MISSING


def number(cell, decimal_comma=False):
    """The number that a cell holds, NaN of a missing one. Raises `ValueError` of any other text."""
    if is_missing(cell):
        return math.nan
    return float(cell.replace(",", ".") if decimal_comma else cell)


def few(names):
    """The first names of a list, and how many more there are."""
    names = [str(name) for name in names]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
