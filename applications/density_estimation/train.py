"""Train a flow on a table, and measure it on rows that it has not seen.

The learning rate falls along half a cosine; the weights are those of the epoch with the best validation. Checkpoints
lie in the output folder, so that the same command goes on with a training that was interrupted, to the same weights (on
TensorFlow but for rounding: its graphs do not give the same bits twice).
"""

import contextlib
import json
import time
import warnings
from pathlib import Path

import keras
import numpy as np

from applications import resuming
from applications.density_estimation import evaluate, pictures
from applications.density_estimation.rows import load, split
from applications.density_estimation.tables import say
from applications.files import Failure, Usage, counted, whole, writable
from keras_gen import callbacks, models, plots
from keras_gen.datasets import toys

FLOWS = {
    "nice": (models.NICE, {}),
    "realnvp": (models.RealNVP, {}),
    "maf": (models.MAF, {}),
    "iaf": (models.IAF, {}),
    "spline": (models.NeuralSpline, {"kind": "coupling"}),
    "spline-ar": (models.NeuralSpline, {"kind": "autoregressive"}),
    "ffjord": (models.FFJORD, {}),
}


def train(options):
    """Run the command; returns the exit code."""
    _check(options)
    options.output = options.output.expanduser()
    keras.utils.set_random_seed(options.seed)
    resuming.check_options(options.output / "checkpoints", settings(options))
    known, parts, left_out = split(load(options), options)
    output = writable(options.output)
    model = build(options, len(known.names), parts["train"])
    weights = f"{model.count_params():,} weights, {keras.config.backend()}"
    say(f"{counted(len(parts['train']), 'row')} of {counted(len(known.names), 'column')}; {options.flow}, {weights}")
    history, seconds = fit(model, parts, options, output)
    save(model, known, output)
    if history.history:
        plots.history(history.history, output / "history.png", names=["loss"])
    found = evaluate.figures(model, known, parts, options.data if options.data in toys.NAMES else None)
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
    data = options.data if options.data in toys.NAMES else str(Path(options.data).expanduser().resolve())
    own = {f"--{name.replace('_', '-')}": getattr(options, name) or None for name in names}
    return {"DATA": data, "KERAS_BACKEND": keras.config.backend(), **own, "--seed": options.seed}


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
