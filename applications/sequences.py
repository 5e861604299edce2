"""What programs of text and of molecules share: models of tokens by name, their training, and both as files.

A model lies in `model.keras`, its vocabulary beside it in `vocabulary.json`. The optimizer is AdamW with betas (0.9,
0.99) and weight decay 0.1 of matrices; the rate rises for 100 steps, or a tenth of all, and falls along a cosine to a
tenth; gradients are clipped to norm 1 of a token's mean loss. These are the settings of nanoGPT. The weights are those
of the best validation.
"""

import json
import time
import warnings
from pathlib import Path

import keras

from applications import resuming
from applications.files import Failure, one_line, whole
from keras_gen import callbacks, datasets, models, networks

RECURRENT = networks.Recurrent


def settings(options, **own):
    """The options that make another training, as the user types them, and those of the program."""
    names = ("model", "width", "depth", "heads", "dropout", "steps", "every", "batch_size", "rate")
    given = {f"--{name.replace('_', '-')}": getattr(options, name) or None for name in names}
    return {**own, "KERAS_BACKEND": keras.config.backend(), **given, "--seed": options.seed}


def build(options, length, vocabulary, tokens, stop_token=None):
    """The compiled model of sequences of `length`, which have so many `tokens` in the mean."""
    own = {"stop_token": stop_token, "dropout": options.dropout}
    if options.model == "transformer":
        own.update(width=options.width, depth=options.depth, heads=options.heads)
        model = models.CausalTransformer((length,), len(vocabulary), **own)
    else:
        own.update(units=(options.width,) * options.depth, cell=options.model)
        model = models.CharRNN((length,), len(vocabulary), **own)
    model.compile(_optimizer(options, tokens))
    return model


def _optimizer(options, tokens):
    warm_up = min(100, options.steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warm_up else options.rate, max(1, options.steps - warm_up), alpha=0.1,
        warmup_target=options.rate if warm_up else None, warmup_steps=warm_up,
    )  # fmt: skip
    adam = keras.optimizers.AdamW(rate, 0.1, 0.9, 0.99, global_clipnorm=float(tokens))
    adam.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "start"])
    return adam


def fit(model, data, validation, options, known, say):
    """Train.

    Args:
        data: an array, or a `PyDataset` of batches.
        validation: an array.
        known: the `settings`.

    Returns:
        Validation losses, and the seconds, None if nothing was left to train.
    """
    begun, folder = [], options.output / "checkpoints"
    epochs = -(-options.steps // options.every)
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    best = keras.callbacks.EarlyStopping("val_loss", patience=epochs + 1, restore_best_weights=True)
    resume = callbacks.ExactResume(folder, every_minutes=options.save_minutes)
    size = {} if isinstance(data, keras.utils.PyDataset) else {"batch_size": options.batch_size}
    start = time.perf_counter()
    with resuming.resumable(folder, known, say), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TensorFlow's graphs do not give the same bits twice")
        warnings.filterwarnings("ignore", "This training had ended")  # said below: more epochs would be another one
        history = model.fit(
            data, validation_data=validation, epochs=epochs, steps_per_epoch=-(-options.steps // epochs),
            validation_batch_size=128, seed=options.seed, callbacks=[best, count, resume], **size,
        )  # fmt: skip
    if not begun:
        say(f"this training had ended after --steps {options.steps}; for another one give another --output")
    return history.history.get("val_loss", []), time.perf_counter() - start if begun else None


def save(model, vocabulary, folder):
    """`vocabulary.json` and `model.keras`."""
    write(folder / "vocabulary.json", vocabulary.to_json() + "\n")
    with whole(folder / "model.keras") as temporary:
        model.save(temporary)


def load(folder):
    """The model of a training and its vocabulary.

    Raises:
        Failure: one of the two files is missing or cannot be read, or they are not of one training.
    """
    folder = Path(folder).expanduser()
    folder = folder.parent if folder.name == "model.keras" else folder
    for name in ("vocabulary.json", "model.keras"):
        if not (folder / name).is_file():
            raise Failure(f"{folder}: no {name} in it; expected the output folder of a training")
    try:
        vocabulary = datasets.Vocabulary.from_json((folder / "vocabulary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{folder / 'vocabulary.json'}: cannot be read: {one_line(error, 300)}") from error
    try:
        model = keras.saving.load_model(folder / "model.keras", compile=False)
    except Exception as error:  # Keras raises nearly every type
        raise Failure(f"{folder / 'model.keras'}: cannot be read as a model: {one_line(error, 300)}") from error
    if not isinstance(model, models.AutoregressiveModel) or model.vocabulary_size != len(vocabulary):
        raise Failure(f"{folder / 'model.keras'}: expected an autoregressive model of {len(vocabulary)} tokens")
    return model, vocabulary


def write_figures(folder, found, again):
    """`metrics.json`; one that is there stays as it is if nothing was left to train."""
    if not again or not (folder / "metrics.json").exists():
        write(folder / "metrics.json", json.dumps(found, indent=2, allow_nan=False) + "\n")


def write(file, text):
    """A file of text, whole or not at all.

    Raises:
        Failure: it cannot be written.
    """
    try:
        with whole(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{file}: cannot be written: {error.strerror}") from error
