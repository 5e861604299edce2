"""Which columns of a table are modelled, which are given, and the scale on which a flow sees them.

Columns x are modelled given columns c. A flow is trained on z = (x - m) / s, m and s the mean and standard deviation of
the rows that it is trained on; with p_Z its density, that of the data in their own units is

    log p(x given c) = log p_Z((x - m) / s given c) - sum_i log s_i.                                             (1)

Of the columns that are given, numbers are standardised likewise, and texts are classes, a column of 0 and 1 for each.
Rows with a missing or infinite number are left out.
"""

import dataclasses

import numpy as np

from applications.density_estimation.tables import SHOWN, few, say
from applications.files import Failure, Usage, counted

MOST_CLASSES = 100
COLLINEAR = 1e-8  # share of a column's variance that others must leave
REPEATS = 0.1  # different values, as a share of the rows, below which a column is remarked on


@dataclasses.dataclass
class Given:
    """A column that is given: its classes, or its mean and scale."""

    name: str
    classes: list | None = None
    mean: float = 0.0
    scale: float = 1.0

    def encoded(self, table):
        """`(n, k)`; NaN where it is missing, or no class that is known."""
        if self.classes is None:
            return (numbers(table, self.name)[:, None] - self.mean) / self.scale
        return self.one_hot(table.texts(self.name))

    def one_hot(self, texts):
        places = {name: k for k, name in enumerate(self.classes)}
        return np.stack([np.eye(len(places))[places[t]] if t in places else [np.nan] * len(places) for t in texts])


@dataclasses.dataclass
class Columns:
    """Names, means and scales of x, and the columns that are given; `to_dict` is what a file holds of them."""

    names: list
    mean: np.ndarray
    scale: np.ndarray
    given: list

    @property
    def log_det(self):
        """- sum log s of equation (1)."""
        return -float(np.log(self.scale).sum())

    def standardized(self, table):
        """z `(n, D)`, and c `(n, k)` or None."""
        x = np.stack([numbers(table, name) for name in self.names], axis=1)
        return (x - self.mean) / self.scale, condition(table, self.given)

    def restored(self, z):
        """x of z, rounded to the seventh figure of its scale: what float32 holds."""
        x = self.mean + self.scale * np.asarray(z, "float64")
        digits = 6 - np.floor(np.log10(self.scale)).astype(int)
        return np.stack([np.round(column, k) for column, k in zip(x.T, digits.tolist(), strict=True)], axis=1)

    def to_dict(self):
        given = [dataclasses.asdict(g) for g in self.given]
        return {"names": self.names, "mean": self.mean.tolist(), "scale": self.scale.tolist(), "given": given}

    @classmethod
    def from_dict(cls, values):
        mean, scale = (np.array(values[name], "float64") for name in ("mean", "scale"))
        return cls(list(values["names"]), mean, scale, [Given(**g) for g in values["given"]])


def condition(table, given):
    return np.concatenate([g.encoded(table) for g in given], axis=1) if given else None


def numbers(table, name):
    """A column of numbers; infinite ones are missing.

    Raises:
        Failure: it holds something else.
    """
    values = table.numbers(name)
    if isinstance(values, str):
        raise Failure(f"column {name!r} holds text: {values}; expected numbers")
    return np.where(np.isfinite(values), values, np.nan)


def choose(table, columns, drop, given):
    """Names of the columns that are modelled, and of those that are given.

    Raises:
        Failure: a name that is not in the table, columns of text among those to be modelled, none left.
        Usage: a column of which two things are asked.
    """
    for names in (columns or [], drop, given):
        if unknown := [name for name in names if name not in table.columns]:
            raise Failure(f"no column {unknown[0]!r}; there are {', '.join(map(repr, table.columns))}")
    if twice := sorted({*drop} & {*given, *(columns or [])} | {*given} & {*(columns or [])}):
        raise Usage(f"column {twice[0]!r}: only one of --columns, --condition, --drop can have it")
    empty = [n for n in table.columns if n not in [*(columns or []), *drop, *given] and _is_empty(table, n)]
    if empty:
        say(f"left out: {few(empty)}: no values")
    rest = [n for n in table.columns if n not in [*drop, *given, *empty]]
    chosen = list(dict.fromkeys(columns or rest))
    _check_numbers(table, chosen)
    return chosen, list(dict.fromkeys(given))


def _is_empty(table, name):
    values = table.numbers(name)
    return not isinstance(values, str) and np.isnan(values).all()


def _check_numbers(table, names):
    texts = {name: found for name in names if isinstance(found := table.numbers(name), str)}
    if not names or len(texts) == len(names):
        of = f": {few(f'{name!r} ({cell})' for name, cell in texts.items())}" if texts else ""
        raise Failure(f"no column of numbers is left to model{of}")
    if texts:
        cells = few(f"{name!r} ({cell})" for name, cell in texts.items())
        options = " ".join(map(_quoted, list(texts)[:SHOWN])) + (" ..." if len(texts) > SHOWN else "")
        raise Failure(
            f"columns that hold text: {cells}. Drop them (--drop {options}), or give them as conditions (--condition)"
        )


def _quoted(name):
    return f"'{name}'" if " " in name else name


def usable(table, names, given):
    """Booleans `(n,)`: rows with a value in all columns; what is left out is said.

    Raises:
        Failure: none is left.
    """
    found = {name: np.isfinite(numbers(table, name)) for name in names}
    for name in given:
        values = table.numbers(name)
        is_text = isinstance(values, str)
        found[name] = np.array([t is not None for t in table.texts(name)]) if is_text else np.isfinite(values)
    keep = np.logical_and.reduce(list(found.values()))
    counts = {name: int((~ok).sum()) for name, ok in found.items() if not ok.all()}
    worst = few(f"{counts[name]:,} in {name!r}" for name in sorted(counts, key=counts.get, reverse=True))
    if not keep.any():
        raise Failure(f"no row has a value in every column; missing: {worst}. Drop such columns (--drop)")
    if counts:
        say(f"left out: {counted(int((~keep).sum()), 'row')} with missing or infinite values ({worst})")
    return keep


def fit(table, names, given, rows):
    """The `Columns` of a table, standardised by `rows`.

    Raises:
        Failure: a column that is constant there, or a linear function of others; too many classes.
    """
    x = np.stack([numbers(table, name) for name in names], axis=1)[rows]
    _check_varies(x, names)
    mean, scale = x.mean(0), x.std(0)
    _check_independent((x - mean) / scale, names)
    _remark_on_repeats(x, names)
    return Columns(names, mean, scale, [_fit_given(table, name, rows) for name in given])


def _check_varies(x, names):
    spread = np.ptp(x, axis=0) > 1e-12 * np.abs(x).max(0)
    constant = [name for name, varies in zip(names, spread, strict=True) if not varies]
    if constant:
        options = " ".join(map(_quoted, constant))
        raise Failure(
            f"constant in the rows to train on: {few(map(repr, constant))}. A density is infinite there: drop "
            f"{'it' if len(constant) == 1 else 'them'} (--drop {options})"
        )


def _check_independent(z, names):
    """Refuse a column that the columns before it determine, by the pivots of a Cholesky decomposition."""
    correlation = z.T @ z / len(z)
    for j, name in enumerate(names):
        a = np.linalg.lstsq(correlation[:j, :j], correlation[:j, j], rcond=None)[0]
        if 1.0 - correlation[:j, j] @ a < COLLINEAR:
            used = [names[i] for i in np.argsort(-np.abs(a)) if abs(a[i]) > 1e-6]
            raise Failure(
                f"column {name!r} is a linear function of {few(map(repr, used))}: all rows lie in a plane, where a "
                f"density is infinite. Drop it (--drop {_quoted(name)})"
            )


def _remark_on_repeats(x, names):
    counts = {name: len(np.unique(column)) for name, column in zip(names, x.T, strict=True)}
    if repeats := {name: k for name, k in counts.items() if k < REPEATS * len(x)}:
        say(
            f"note: few different values in {len(x):,} rows: {few(f'{name!r} {k}' for name, k in repeats.items())}. "
            "A density grows without bound on values that repeat: the nats of such columns can be compared with "
            "nothing. Drop them, give them as conditions, or add noise as wide as their steps"
        )


def _fit_given(table, name, rows):
    values = table.numbers(name)
    if not isinstance(values, str):
        values = values[rows]
        if not np.ptp(values) > 0:
            raise Failure(f"condition {name!r} is constant in the rows to train on: leave it out")
        return Given(name, None, float(values.mean()), float(values.std()))
    classes = sorted({t for t, used in zip(table.texts(name), rows, strict=True) if used})
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise Failure(f"condition {name!r} has {len(classes)} classes; expected 2 to {MOST_CLASSES}")
    return Given(name, classes)
