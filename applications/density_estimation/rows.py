"""The rows that a flow is trained on, those that choose the epoch, and those that are held out.

They are drawn by the seed, after rows that cannot be used have been left out.
"""

import dataclasses
from pathlib import Path

import numpy as np

from applications.density_estimation import columns, csv_files, tables
from applications.density_estimation.tables import say
from applications.files import Failure, counted
from keras_gen.datasets import toys

LEAST = 20
COUPLINGS = ("nice", "realnvp", "spline")  # which need two columns


@dataclasses.dataclass
class Part:
    """Rows: z `(n, D)` and c `(n, k)` or None, float32."""

    z: np.ndarray
    c: np.ndarray | None

    def __len__(self):
        return len(self.z)

    def data(self):
        return (self.z,) if self.c is None else (self.z, self.c)


def load(options):
    """The table of a toy or of a file."""
    if options.data in toys.NAMES:
        x = toys.load(options.data, options.rows, seed=options.seed)
        return tables.Numbers({"x1": x[:, 0], "x2": x[:, 1]}, list(range(len(x))), True)
    try:
        return csv_files.read(options.data, options.encoding, options.header)
    except Failure as failure:
        if Path(options.data).expanduser().exists():
            raise
        raise Failure(f"{failure}, or one of {', '.join(toys.NAMES)}") from failure


def split(table, options):
    """The columns, the parts "train", "validation" and "test", and how many rows are left out.

    Raises:
        Failure: too few rows, or see `columns`.
    """
    names, given = columns.choose(table, options.columns, options.drop, options.condition)
    keep = columns.usable(table, names, given)
    _check_sizes(int(keep.sum()), names, options)
    rows = np.random.default_rng(options.seed).permutation(np.flatnonzero(keep))
    held_out, chosen = (max(2, round(len(rows) * s)) for s in (options.holdout, options.validation))
    places = dict(zip(("test", "validation", "train"), np.split(rows, [held_out, held_out + chosen]), strict=True))
    known = columns.fit(table, names, given, np.isin(np.arange(len(table)), places["train"]))
    with np.errstate(invalid="ignore"):
        z, c = known.standardized(table)
    parts = {name: Part(*_float32(z[at], None if c is None else c[at])) for name, at in places.items()}
    return known, _without_unknown(parts), int((~keep).sum())


def _float32(*arrays):
    return [None if a is None else a.astype("float32") for a in arrays]


def _without_unknown(parts):
    """Leave out held-out rows of a class that is in no row to train on."""
    if parts["train"].c is None:
        return parts
    known = {name: np.isfinite(part.c).all(1) for name, part in parts.items()}
    for name, ok in known.items():
        if not ok.all():
            say(f"left out: {counted(int((~ok).sum()), 'row')} for {name}, of a class that is in no row to train on")
    parts = {name: Part(part.z[known[name]], part.c[known[name]]) for name, part in parts.items()}
    if min(map(len, parts.values())) < 2:
        raise Failure("the classes of --condition are too many for so few rows: leave it out")
    return parts


def _check_sizes(n, names, options):
    if len(names) == 1 and options.flow in COUPLINGS:
        raise Failure(
            f"one column to model, {names[0]!r}: --flow {options.flow} makes one half of the columns depend on the "
            "other. Give more of them, or take --flow spline-ar or ffjord"
        )
    least = max(LEAST, 2 * (len(names) + 2))
    if n < least:
        raise Failure(f"{counted(n, 'row')} with a value in every column; at least {least} are needed")
