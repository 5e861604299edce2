"""Train a flow on a table, and measure it on rows that it has not seen.

Rows are drawn into three parts by the seed: those that are held out for the figures, those that choose the epoch, and
the rest, on which the flow is trained. The learning rate falls along half a cosine; the weights are those of the epoch
with the best validation. Checkpoints lie in the output folder, so that the same command goes on with a training that
was interrupted, to the same weights (on TensorFlow but for rounding: its graphs do not give the same bits twice).
"""

import contextlib
import dataclasses
import json
import time
import warnings
from pathlib import Path

import keras
import numpy as np

from applications import resuming
from applications.density_estimation import columns, evaluate, pictures, tables
from applications.density_estimation.__main__ import TOYS
from applications.density_estimation.tables import say
from applications.files import Failure, Usage, counted, whole, writable
from keras_gen import callbacks, models, plots
from keras_gen.datasets import toys

LEAST = 20  # rows
FLOWS = {
    "nice": (models.NICE, {}),
    "realnvp": (models.RealNVP, {}),
    "maf": (models.MAF, {}),
    "iaf": (models.IAF, {}),
    "spline": (models.NeuralSpline, {"kind": "coupling"}),
    "spline-ar": (models.NeuralSpline, {"kind": "autoregressive"}),
    "ffjord": (models.FFJORD, {}),
}
COUPLINGS = ("nice", "realnvp", "spline")


@dataclasses.dataclass
class Part:
    """Rows: z `(n, D)` and c `(n, k)` or None, float32."""

    z: np.ndarray
    c: np.ndarray | None

    def __len__(self):
        return len(self.z)

    def data(self):
        return (self.z,) if self.c is None else (self.z, self.c)


def train(options):
    """Run the command; returns the exit code."""
    _check(options)
    keras.utils.set_random_seed(options.seed)
    resuming.check_options(options.output / "checkpoints", settings(options))
    table = load(options)
    known, parts, left_out = split(table, options)
    output = writable(options.output)
    model = build(options, len(known.names), parts["train"])
    weights = f"{model.count_params():,} weights, {keras.config.backend()}"
    say(f"{counted(len(parts['train']), 'row')} of {counted(len(known.names), 'column')}; {options.flow}, {weights}")
    history, seconds = fit(model, parts, options, output)
    save(model, known, output)
    if history.history:
        plots.history(history.history, output / "history.png", names=["loss"])
    found = evaluate.figures(model, known, parts, options.data if options.data in TOYS else None)
    pictures.draw(model, known, parts["test"], output, options.seed)
    report(found, options, known, parts, left_out, history, seconds, model)
    return 0


def _check(options):
    if options.flow == "ffjord" and options.steps is not None:
        raise Usage("--flow ffjord has no --steps: it is one continuous flow")
    if not options.flow.startswith("spline") and options.bins is not None:
        raise Usage(f"--flow {options.flow} has no --bins: they are of splines")
    if options.holdout + options.validation >= 0.9:
        raise Usage("--holdout and --validation must leave a tenth of the rows or more to train on")


def settings(options):
    """The options that make another training, as the user types them."""
    names = ("columns", "drop", "condition", "header", "encoding", "rows", "holdout", "validation", "flow", "steps")
    names += ("units", "bins", "epochs", "patience", "batch_size", "rate", "seed")
    data = options.data if options.data in TOYS else str(Path(options.data).expanduser().resolve())
    own = {f"--{name.replace('_', '-')}": getattr(options, name) or None for name in names}
    return {"DATA": data, "KERAS_BACKEND": keras.config.backend(), **own, "--seed": options.seed}


# The rows.


def load(options):
    """The table of a toy or of a file."""
    if options.data in TOYS:
        x = toys.load(options.data, options.rows, seed=options.seed)
        return tables.Numbers({"x1": x[:, 0], "x2": x[:, 1]}, list(range(len(x))), True)
    try:
        return tables.read(options.data, options.encoding, options.header)
    except Failure as failure:
        if Path(options.data).expanduser().exists():
            raise
        raise Failure(f"{failure}, or one of {', '.join(TOYS)}") from failure


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
            "other. Give more of them, or take --flow maf, spline-ar or ffjord"
        )
    least = max(LEAST, 2 * (len(names) + 2))
    if n < least:
        raise Failure(f"{counted(n, 'row')} with a value in every column; at least {least} are needed")


# The model.


def build(options, size, part):
    """The compiled flow."""
    make, own = FLOWS[options.flow]
    given = {name: getattr(options, name) for name in ("steps", "units", "bins")}
    own = {**own, **{name: value for name, value in given.items() if value is not None}}
    shape = None if part.c is None else part.c.shape[1:]
    model = make((size,), condition_shape=shape, seed=options.seed, **own)
    batches = -(-len(part) // options.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(options.rate, batches * options.epochs)
    model.compile(keras.optimizers.Adam(rate))
    return model


def fit(model, parts, options, output):
    """Train; returns the history, and the seconds, None if nothing was left to train."""
    begun, folder = [], output / "checkpoints"
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    best = keras.callbacks.EarlyStopping("val_loss", patience=options.patience, restore_best_weights=True)
    resume = callbacks.ExactResume(folder, every_minutes=options.save_minutes)
    start = time.perf_counter()
    with resuming.resumable(folder, settings(options), say), _same_rows(folder), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TensorFlow's graphs do not give the same bits twice")
        history = model.fit(
            *parts["train"].data(), validation_data=parts["validation"].data(), batch_size=options.batch_size,
            epochs=options.epochs, seed=options.seed, callbacks=[best, count, resume],
        )  # fmt: skip
    return history, time.perf_counter() - start if begun else None


@contextlib.contextmanager
def _same_rows(folder):
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(resuming.OTHER_TRAINING):
            raise
        raise Failure(
            f"{folder} holds a training on other rows, or by another version of the program. Give the same file to go "
            "on with it, or another --output to begin anew"
        ) from error


def save(model, known, output):
    """`columns.json` and `model.keras`."""
    write_json(output / "columns.json", known.to_dict())
    with whole(output / "model.keras") as temporary:
        model.save(temporary)


def write_json(file, content):
    try:
        with whole(file) as temporary:
            temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise Failure(f"{file}: cannot be written: {error.strerror}") from error


def report(found, options, known, parts, left_out, history, seconds, model):
    """Figures to `metrics.json`, which stays as it is if nothing was left to train, and to the terminal."""
    losses = history.history.get("val_loss", [])
    content = {
        "backend": keras.config.backend(),
        "settings": settings(options),
        "columns": known.names,
        "conditions": [g.name for g in known.given],
        "rows": {**{name: len(part) for name, part in parts.items()}, "left_out": left_out},
        "weights": model.count_params(),
        "epochs": len(losses),
        "best_epoch": int(np.argmin(losses)) + 1 if losses else None,
        "seconds_of_this_run": seconds,
        "nats": found,
    }
    if seconds is not None or not (options.output / "metrics.json").exists():
        write_json(options.output / "metrics.json", content)
    print(evaluate.table(found, options, len(parts["test"])))
    print("Nothing was left to train." if seconds is None else f"Trained in {seconds:.0f} s.", "Written to", end=" ")
    print(f"{options.output.resolve()}:")
    for path in sorted(options.output.iterdir()):
        print(f"  {path.name}{'/' if path.is_dir() else ''}")
