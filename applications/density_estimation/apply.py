"""What a trained flow is used for: log-densities of the rows of a table, and new rows."""

import json
from pathlib import Path

import keras
import numpy as np

from applications.density_estimation import csv_files, tables
from applications.density_estimation.columns import Columns
from applications.density_estimation.evaluate import BATCH
from applications.density_estimation.tables import few, say
from applications.files import Failure, counted, one_line
from keras_gen.models import NormalizingFlow


def score(options):
    """Write log p(x given c) of each row, in nats; a row with a missing value, or of an unknown class, has none."""
    if options.output is not None:
        csv_files.check_writable(options.output)
    table = csv_files.read(options.file, options.encoding, options.header)
    model, known = load(options.model)
    table = matched(table, known, options.file)
    with np.errstate(invalid="ignore", over="ignore"):
        z, c = known.standardized(table)
        z = z.astype("float32")
    ok = np.isfinite(z).all(1) & (True if c is None else np.isfinite(c).all(1))
    found = np.full(len(table), np.nan)
    if ok.any():
        log_p = model.log_prob(z[ok], None if c is None else c[ok], batch_size=BATCH, verbose=0)
        found[ok] = log_p.astype("float64") + known.log_det
    csv_files.write(options.output, ["log_density"], [["" if np.isnan(v) else f"{v:.6f}"] for v in found])
    if not ok.all():
        say(f"{counted(int((~ok).sum()), 'row')} without a density: missing or infinite values, or an unknown class")
    where = "" if options.output is None else f", in {options.output}"
    mean = f"; their mean is {found[ok].mean():.4f} nats" if ok.any() else ""
    say(f"{counted(int(ok.sum()), 'log-density').replace('ys', 'ies')}{mean}{where}")
    return 0


def sample(options):
    """Write new rows, in the units of the data."""
    csv_files.check_writable(options.output)
    model, known = load(options.model)
    c = given(known, options.given)
    c = None if c is None else np.repeat(c, options.n, axis=0)
    z = model.sample(options.n, c, seed=options.seed, temperature=options.temperature, batch_size=BATCH)
    csv_files.write(options.output, known.names, known.restored(z).tolist())
    say(f"{counted(options.n, 'row')} of {counted(len(known.names), 'column')}, in {options.output}")
    return 0


def load(folder):
    """The flow of a training, and its columns.

    Raises:
        Failure: one of the two files is missing or cannot be read.
    """
    folder = Path(folder).expanduser()
    folder = folder.parent if folder.name == "model.keras" else folder
    for name in ("columns.json", "model.keras"):
        if not (folder / name).is_file():
            raise Failure(f"{folder}: no {name} in it; expected the output folder of a training")
    try:
        known = Columns.from_dict(json.loads((folder / "columns.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{folder / 'columns.json'}: cannot be read: {one_line(error)}") from error
    try:
        model = keras.saving.load_model(folder / "model.keras", compile=False)
    except Exception as error:  # Keras raises nearly every type
        raise Failure(f"{folder / 'model.keras'}: cannot be read as a model: {one_line(error, 300)}") from error
    if not isinstance(model, NormalizingFlow) or model.event_shape != (len(known.names),):
        raise Failure(f"{folder / 'model.keras'}: expected a flow of {counted(len(known.names), 'column')}")
    return model, known


def matched(table, known, file):
    """The table with the names that the model knows: by its header, or by place if it has none.

    Raises:
        Failure: a column is missing.
    """
    names = [*known.names, *(g.name for g in known.given)]
    if not table.has_header and len(table.columns) == len(names) and set(names) != set(table.columns):
        table.columns = dict(zip(names, table.columns.values(), strict=True))
        say(f"{file} has no header; its columns are taken as {few(names)}")
    if missing := [name for name in names if name not in table.columns]:
        raise Failure(
            f"{file}: no column {few(map(repr, missing))}; expected {', '.join(map(repr, names))}, found "
            f"{few(map(repr, table.columns))}"
        )
    if others := [name for name in table.columns if name not in names]:
        say(f"{file}: passed over, as the model does not know them: {few(others)}")
    return table


def given(known, pairs):
    """The condition `(1, k)` of `NAME=VALUE` texts, or None.

    Raises:
        Failure: one is missing, unknown, or has a value that it cannot have.
    """
    found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    names = [g.name for g in known.given]
    if len(found) != len(pairs) or set(found) != set(names):
        expected = f"--given {' '.join(f'{n}=VALUE' for n in names)}" if names else "no --given, of this model"
        raise Failure(f"expected {expected}; found {' '.join(pairs) or 'none'}")
    table = tables.Table({name: [value] for name, value in found.items()}, ["--given"], True)
    parts = [_encoded(g, table) for g in known.given]
    return np.concatenate(parts, axis=1) if parts else None


def _encoded(g, table):
    value = table.columns[g.name][0]
    try:
        encoded = g.encoded(table)
    except Failure:
        encoded = np.full((1, 1), np.nan)
    if not np.isfinite(encoded).all():
        raise Failure(f"--given {g.name}={value}: expected {'one of ' + few(g.classes) if g.classes else 'a number'}")
    return encoded
