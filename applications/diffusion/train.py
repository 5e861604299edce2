"""Train a diffusion model on pictures, and measure it on pictures that it has not seen.

The learning rate rises for 100 steps, or a tenth of all, and falls along half a cosine; samples are drawn with the
average of the weights. Checkpoints lie in the output folder, so that the same command goes on with a training that was
interrupted, to the same weights (on TensorFlow but for rounding: its graphs do not give the same bits twice).
"""

import math
import time
import warnings
from pathlib import Path

import keras

from applications import resuming, sequences
from applications.diffusion import evaluate, pictures, sets
from applications.diffusion.known import Known
from applications.diffusion.lines import say
from applications.diffusion.names import DATA_SETS
from applications.files import Usage, counted, whole, writable
from keras_gen import callbacks, models, networks, plots

STEPS, VALIDATION = 2000, 512  # of training by default, pictures
SETTINGS = (
    "size", "grey", "unlabelled", "channels", "multipliers", "blocks", "dropout", "schedule", "parametrisation",
    "weighting", "epochs", "batch_size", "rate", "seed",
)  # fmt: skip


def train(options):
    """Run the command; returns the exit code."""
    options.output = options.output.expanduser()
    keras.utils.set_random_seed(options.seed)
    resuming.check_options(options.output / "checkpoints", settings(options))
    found = sets.load(options)
    epochs = options.epochs or max(1, round(STEPS / math.ceil(len(found.train) / options.batch_size)))
    model = build(options, found, epochs)
    output = writable(options.output)
    size = " x ".join(map(str, model.event_shape[:2]))
    classes = "no labels" if found.classes is None else counted(len(found.classes), "label")
    say(
        f"{counted(len(found.train), 'picture')} of {size} to learn from, {len(found.test):,} held out, {classes}; "
        f"{weights(model):,} weights, {keras.config.backend()}"
    )
    history, seconds = fit(model, found, options, epochs)
    save(model, found, options)
    if history.history:
        plots.history(history.history, output / "history.png", names=["loss"])
    pictures.write_samples(model, found.classes, output / "samples.png", options.seed)
    report(model, found, options, history, seconds)
    return 0


def settings(options):
    """The options that make another training, as the user types them."""
    data = options.data if options.data in DATA_SETS else str(Path(options.data).expanduser().resolve())
    own = {f"--{name.replace('_', '-')}": getattr(options, name) for name in SETTINGS}
    return {"DATA": data, "KERAS_BACKEND": keras.config.backend(), **own}


def build(options, found, epochs):
    """The compiled model; attention in the middle of its U-Net alone."""
    shape = found.train.x.shape[1:]
    multipliers = tuple(options.multipliers or ((1, 2) if min(shape[:2]) < 16 else (1, 2, 2)))
    _check(options, multipliers, shape)
    network = networks.UNet(
        shape, channels=options.channels, multipliers=multipliers, blocks=options.blocks, attention=(),
        dropout=options.dropout,
    )  # fmt: skip
    model = models.DiffusionModel(
        shape, network, schedule=options.schedule, parametrisation=options.parametrisation,
        weighting=options.weighting, data_range=(0.0, 1.0), levels=found.levels, seed=options.seed,
        num_classes=None if found.classes is None else len(found.classes),
    )  # fmt: skip
    steps = math.ceil(len(found.train) / options.batch_size) * epochs
    warm_up = min(100, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warm_up else options.rate, max(1, steps - warm_up), warmup_target=options.rate if warm_up else None,
        warmup_steps=warm_up,
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(rate))
    return model


def _check(options, multipliers, shape):
    if options.channels * multipliers[-1] % 4 or options.channels % 2:
        raise Usage(f"--channels {options.channels}: expected an even number, and a multiple of 4 at the last level")
    if 2 ** (len(multipliers) - 1) > min(shape[:2]):
        raise Usage(
            f"--multipliers {' '.join(map(str, multipliers))}: of {len(multipliers)} levels, each of half the size, "
            f"the last of pictures of {shape[0]} x {shape[1]} has less than a pixel"
        )


def weights(model):
    """How many numbers are learned; their average, which samples are drawn with, has as many."""
    return sum(math.prod(w.shape) for w in model.trainable_weights)


def fit(model, found, options, epochs):
    """Train; returns the history, and the seconds, None if nothing was left to train."""
    begun, folder = [], options.output / "checkpoints"
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    resume = callbacks.ExactResume(folder, every_minutes=options.save_minutes)
    labels, columns = pictures.labels_of(found.classes)
    shown = callbacks.SampleGrid(
        options.output / "progress", n=pictures.SHOWN, condition=labels, columns=columns,
        every=max(1, epochs // options.pictures), seed=options.seed,
    )  # fmt: skip
    parts = (found.train, found.test)
    arrays = [a for part in parts for a in part.arrays]
    noted = {**settings(options), resuming.PICTURES: resuming.checksum(arrays)}
    start = time.perf_counter()
    with resuming.resumable(folder, noted, say), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TensorFlow's graphs do not give the same bits twice")
        history = model.fit(
            *found.train.arrays, validation_data=found.test.spread(VALIDATION).arrays, epochs=epochs,
            batch_size=options.batch_size, validation_batch_size=128, seed=options.seed,
            callbacks=[shown, count, resume],
        )  # fmt: skip
    return history, time.perf_counter() - start if begun else None


def save(model, found, options):
    """`known.json`, `model.keras`, and a picture of each class that is held out, for the other commands."""
    data = options.data if options.data in DATA_SETS else "folder"
    sequences.write(options.output / "known.json", Known(data, found.classes).to_json())
    with whole(options.output / "model.keras") as temporary:
        model.save(temporary)
    pictures.write_held_out(found, options.output / "held_out")


def report(model, found, options, history, seconds):
    """Figures to `metrics.json`, which stays as it is if nothing was left to train, and to the terminal."""
    losses = history.history
    content = {
        "backend": keras.config.backend(),
        "settings": settings(options),
        "size": list(model.event_shape),
        "pictures": {"train": len(found.train), "held_out": len(found.test)},
        "classes": found.classes,
        "weights": weights(model),
        "epochs": len(losses.get("loss", [])),
        "loss": losses["loss"][-1] if losses else None,
        "held_out_loss": losses["val_loss"][-1] if losses else None,
        "seconds_of_this_run": seconds,
    }
    if seconds is not None or not (options.output / "metrics.json").exists():
        content.update(evaluate.figures(model, found, options))
        sequences.write_figures(options.output, content, again=False)
        for line in evaluate.lines(content):
            print(line)
    print("Nothing was left to train." if seconds is None else f"Trained in {seconds:.0f} s.", "Written to", end=" ")
    print(f"{options.output.resolve()}:")
    for path in sorted(options.output.iterdir()):
        print(f"  {path.name}{'/' if path.is_dir() else ''}")
