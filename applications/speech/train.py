"""Train a WaveNet on recordings, and measure the bits a sample of recordings that it has not heard.

The learning rate falls along half a cosine; the weights are those of the epoch with the best validation. Checkpoints
lie in the output folder, so that the same command goes on with a training that was interrupted, to the same weights (on
TensorFlow but for rounding: its graphs do not give the same bits twice).
"""

import json
import math
import time
import warnings
from pathlib import Path

import keras
import numpy as np

from applications import resuming, sequences
from applications.files import Usage, counted, whole, writable
from applications.speech.lines import say
from applications.speech.recordings import NAMES, load
from applications.speech.voices import FRAME, Voices, upsampling
from applications.speech.windows import beginnings, bits
from keras_gen import callbacks, models, plots

SETTINGS = (
    "sample_rate", "length", "channels", "skip_channels", "kernel_size", "dilations", "epochs", "patience",
    "batch_size", "rate", "seed",
)  # fmt: skip


def train(options):
    """Run the command; returns the exit code."""
    _check(options)
    options.output = options.output.expanduser()
    keras.utils.set_random_seed(options.seed)
    resuming.check_options(options.output / "checkpoints", settings(options))
    parts = load(options.data, options.sample_rate, options.seed)
    voices, output = Voices.of(parts["train"], options.sample_rate), writable(options.output)
    _say_cut(parts["train"], options.length)
    model = build(options, voices, len(parts["train"]))
    seconds = parts["train"].samples / options.sample_rate
    say(
        f"{counted(len(parts['train']), 'recording')}, {seconds:.0f} s, {counted(len(voices.speakers), 'speaker')}; "
        f"{model.count_params():,} weights, {keras.config.backend()}"
    )
    history, seconds = fit(model, parts, voices, options)
    save(model, voices, output)
    if history.history:
        plots.history(history.history, output / "history.png", names=["loss"])
    report(model, parts, voices, options, history, seconds)
    return 0


def _check(options):
    context = receptive_field(options)
    if options.length < context + FRAME or options.length % FRAME:
        raise Usage(
            f"--length {options.length}: expected a multiple of {FRAME}, and at least {FRAME} more than the {context} "
            "samples that the network looks back (--kernel-size, --dilations)"
        )


def receptive_field(options):
    """1 + (K - 1) times the sum of the dilations."""
    return 1 + (options.kernel_size - 1) * sum(options.dilations)


def settings(options):
    """The options that make another training, as the user types them."""
    data = options.data if options.data in NAMES else str(Path(options.data).expanduser().resolve())
    own = {f"--{name.replace('_', '-')}": getattr(options, name) for name in SETTINGS}
    return {"DATA": data, "KERAS_BACKEND": keras.config.backend(), **own}


def checksum(parts):
    """A number that tells recordings from others, in decimal digits."""
    named = [np.frombuffer(json.dumps([p.labels, p.speakers]).encode(), np.uint8) for p in parts.values()]
    return resuming.checksum([*(x for part in parts.values() for x in part.x), *named])


def _say_cut(part, length):
    if long := [x for x in part.x if len(x) > length]:
        say(f"{counted(len(long), 'recording')} of more than --length {length} samples: learned are their beginnings")


def arrays(part, voices, options):
    """x and its condition."""
    return beginnings(part.x, options.length), voices.beginnings(part, options.length)


def build(options, voices, count):
    """The compiled model."""
    model = models.WaveNet(
        (options.length, 1), channels=options.channels, skip_channels=options.skip_channels,
        kernel_size=options.kernel_size, dilations=tuple(options.dilations), upsampling=upsampling(),
        condition_shape=(options.length // FRAME, voices.size),
    )  # fmt: skip
    steps = -(-count // options.batch_size) * options.epochs
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(options.rate, steps)))
    return model


def fit(model, parts, voices, options):
    """Train; returns the history, and the seconds, None if nothing was left to train."""
    begun, folder = [], options.output / "checkpoints"
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    best = keras.callbacks.EarlyStopping("val_loss", patience=options.patience, restore_best_weights=True)
    resume = callbacks.ExactResume(folder, every_minutes=options.save_minutes)
    noted = {**settings(options), resuming.RECORDINGS: checksum(parts)}
    start = time.perf_counter()
    with resuming.resumable(folder, noted, say), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TensorFlow's graphs do not give the same bits twice")
        warnings.filterwarnings("ignore", "This training had ended")  # said below: more epochs would be another one
        history = model.fit(
            *arrays(parts["train"], voices, options), validation_data=arrays(parts["validation"], voices, options),
            epochs=options.epochs, batch_size=options.batch_size, seed=options.seed, callbacks=[best, count, resume],
        )  # fmt: skip
    if not begun:
        say("this training had ended; for another one give another --output")
    return history, time.perf_counter() - start if begun else None


def save(model, voices, output):
    """`voices.json` and `model.keras`."""
    sequences.write(output / "voices.json", voices.to_json())
    with whole(output / "model.keras") as temporary:
        model.save(temporary)


def report(model, parts, voices, options, history, seconds):
    """Figures to `metrics.json`, which stays as it is if nothing was left to train, and to the terminal."""
    test, losses = parts["test"], history.history.get("val_loss", [])
    found = bits(model, test, voices, verbose="auto")
    content = {
        "backend": keras.config.backend(),
        "settings": settings(options),
        "recordings": {name: len(part) for name, part in parts.items()},
        "samples": {name: part.samples for name, part in parts.items()},
        "weights": model.count_params(),
        "receptive_field": model.network.receptive_field,
        "epochs": len(losses),
        "best_epoch": int(np.argmin(losses)) + 1 if losses else None,
        "seconds_of_this_run": seconds,
        "bits_per_sample": found.sum() / test.samples,
        "bits_of_each_held_out_recording": [round(v, 2) for v in found.tolist()],
    }
    if seconds is not None or not (options.output / "metrics.json").exists():
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        sequences.write(options.output / "metrics.json", text)
    held_out = f"{counted(len(test), 'recording')}, {counted(test.samples, 'sample')}"
    print(f"Held out ({held_out}): {content['bits_per_sample']:.3f} bits a sample, of {levels(model)}.")
    print("Nothing was left to train." if seconds is None else f"Trained in {seconds:.0f} s.", "Written to", end=" ")
    print(f"{options.output.resolve()}:")
    for path in sorted(options.output.iterdir()):
        print(f"  {path.name}{'/' if path.is_dir() else ''}")


def levels(model):
    """How many bits a level has before it is predicted."""
    return f"the {math.log2(model.quantizer.levels):.0f} of a mu-law level"
