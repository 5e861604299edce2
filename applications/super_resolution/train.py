"""Train a model of super-resolution on pictures, embedded ones or a folder.

A step takes a batch of random patches (`keras_gen.datasets.PatchPairs`). The learning rate falls along half a cosine,
in step t of T it is rate (1 + cos(pi t / T)) / 2. While the model trains, a fixed piece of a held-out picture is drawn
by bicubic interpolation, by the model, and as it is. Checkpoints lie in the output folder, so that the same command
goes on with a training that was interrupted, to the same weights.

A model of another scale to begin with (`--initial`) gives the network, its size, and all weights whose place and shape
agree: those of the body, and not those that make the pixels. That trains x3 and x4 faster than from nothing (Lim et al.
2017, section 3.3).

Reference:
    B. Lim et al., "Enhanced deep residual networks for single image super-resolution", arXiv:1707.02921 (2017).
"""

import importlib
import time
from pathlib import Path

import keras
import numpy as np

from applications import resuming
from applications.files import Failure, Usage, counted, whole, writable
from applications.super_resolution import evaluate, shipped
from applications.super_resolution.files import say
from keras_gen import callbacks, models, networks, plots
from keras_gen.datasets import PatchPairs, bicubic, photographs
from keras_gen.datasets.patches import degraded

NETWORKS = {"espcn": "ESPCN", "edsr": "EDSR", "srresnet": "SRResNet", "rrdb": "RRDBNet"}
NAMES = {kind: name for name, kind in NETWORKS.items()}
PIECE = 96  # pixels of a side of the piece that is drawn
SCIKIT_IMAGE = {
    "rocket": 2, "hubble_deep_field": 2, "retina": 3, "immunohistochemistry": 1, "grass": 1, "coins": 1,
    "stereo_motorcycle": 1,
}  # fmt: skip  # by how much each is made smaller first: JPEG leaves blocks


def train(options):
    """Run the command; returns the exit code."""
    patch = _patch(options)
    _check_folders(options)
    keras.utils.set_random_seed(options.seed)
    initial = None if options.initial is None else shipped.load(options.initial)
    network = make_network(options, initial)
    resuming.check_options(options.output / "checkpoints", settings(options, patch))
    images, held_out = load(options, patch)
    output = writable(options.output)
    model = build(options, patch, network, initial)
    batches = -(-options.steps // options.epochs)
    pairs = PatchPairs(list(images.values()), options.scale, patch, options.batch_size, batches, seed=options.seed)
    weights = model.network.count_params()
    say(f"{counted(len(images), 'picture')}, {len(held_out)} held out; {weights:,} weights, {options.network}")
    start = time.perf_counter()
    noted = {**settings(options, patch), resuming.PICTURES: resuming.checksum(images.values())}
    with resuming.resumable(output / "checkpoints", noted, say):
        history, trained = fit(model, pairs, next(iter(held_out.values())), options, output)
    seconds = time.perf_counter() - start if trained else None
    with whole(output / "model.keras") as temporary:
        model.save(temporary)
    if history.history:
        plots.history(history.history, output / "history.png")
    report(model, images, held_out, history, seconds, options)
    return 0


def _patch(options):
    patch = min(48 * options.scale, 96 - 96 % options.scale) if options.patch is None else options.patch
    if options.scale < 2:
        raise Usage("--scale must be at least 2")
    if patch % options.scale:
        raise Usage(f"--patch {patch} must be a multiple of --scale {options.scale}")
    if options.epochs > options.steps:
        raise Usage(f"--epochs {options.epochs} must be at most --steps {options.steps}")
    return patch


def _check_folders(options):
    """What is cheap to see, before any picture or model is read."""
    for path in (options.folder, options.validation):
        if path is not None and not path.expanduser().exists():
            raise Failure(f"{path}: no such folder; expected a folder of pictures, or a zip of them")


def settings(options, patch):
    """The options that make another training, as the user types them; of `None` those that are taken."""
    names = ("scale", "network", "blocks", "filters", "steps", "epochs", "batch_size", "rate", "loss", "seed")
    return {
        "KERAS_BACKEND": keras.config.backend(),
        **{f"--{name.replace('_', '-')}": getattr(options, name) for name in names},
        "--patch": patch,
        "--initial": None if options.initial is None else str(Path(options.initial).expanduser().resolve()),
        "--scikit-image": options.scikit_image,
    }


# The pictures.


def load(options, patch):
    """Pictures to train on, and held-out ones: dicts, name -> uint8 `(h, w, 3)`.

    Raises:
        Failure: none is left of either.
    """
    if options.folder is None:
        images, held_out = photographs.load_data()
    else:
        images, _ = evaluate.load(options.folder, options.max_pixels, deep=True)
        images, held_out = hold_out(usable(images, patch), options.seed, options.validation is None)
    if options.scikit_image:
        images = {**images, **scikit_image()}
    if options.validation is not None:
        held_out, _ = evaluate.load(options.validation, options.max_pixels)
    images = usable(images, patch)
    least = evaluate.LEAST + 3 * options.scale
    held_out = usable(held_out, least, None)
    if not images:
        raise Failure(f"no picture is left to train on, of at least {patch} pixels a side; give a smaller --patch")
    if not held_out:
        raise Failure(f"no picture is left to hold out, of at least {least} pixels a side; give larger ones")
    return images, held_out


def usable(images, least, remedy="a smaller --patch keeps them"):
    """Those of at least `least` pixels a side; others are named, and in the end what can be done."""
    small = {name: image for name, image in images.items() if min(image.shape[:2]) < least}
    for name, image in small.items():
        say(f"left out: {name}: {image.shape[1]} x {image.shape[0]} pixels; at least {least} a side are needed")
    if small and remedy:
        say(f"{counted(len(small), 'picture')} left out for the size; {remedy}")
    return {name: image for name, image in images.items() if name not in small}


def hold_out(images, seed, wanted):
    """A tenth of the pictures, at least one, drawn by `seed`; of a single picture the embedded ones in its place."""
    if not wanted or not images:
        return images, {}
    if len(images) == 1:
        return images, photographs.load_data()[1]
    names = np.random.default_rng(seed).permutation(sorted(images))[: max(1, len(images) // 10)]
    rest = {name: image for name, image in images.items() if name not in names}
    return rest, {str(name): images[name] for name in sorted(names)}


def scikit_image():
    """Photographs that come with scikit-image, beside those that are embedded here.

    Raises:
        Failure: it is not installed.
    """
    try:
        data = importlib.import_module("skimage.data")
    except ImportError as error:
        raise Failure("--scikit-image needs it: pip install 'keras_gen[photographs]'") from error
    images = {}
    for name, factor in SCIKIT_IMAGE.items():
        image = getattr(data, name)()
        image = image[0] if isinstance(image, tuple) else image
        image = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=-1)
        size = tuple(side // factor for side in image.shape[:2])
        images[f"skimage {name}"] = evaluate.rounded(bicubic(image, size)) if factor > 1 else image
    return images


# The model.


def make_network(options, initial=None):
    """The network that the options describe; with a model to begin with, that model's at `--scale`.

    `options.network`, `blocks` and `filters` become those that are taken.

    Raises:
        Usage: they contradict the initial model, or the network.
    """
    known = None if initial is None else NAMES.get(type(initial.enlarging_network).__name__)
    if known is None:
        options.network = options.network or "edsr"
        network = _network(options)
    else:
        network = initial.enlarging_network
        _check_agree(options, {"network": known, **sizes_of(network)})
        config = {**network.get_config(), "scale": options.scale, "channels": 3, "name": known}
        network, options.network = type(network).from_config(config), known
    options.blocks, options.filters = (sizes_of(network)[name] for name in ("blocks", "filters"))
    return network


def _network(options):
    """A network by its name."""
    sizes = {"blocks": options.blocks, "filters": options.filters}
    sizes = {name: value for name, value in sizes.items() if value is not None}
    if options.network == "espcn":
        if options.blocks is not None:
            raise Usage("--network espcn has no --blocks")
        sizes = {"filters": (options.filters, -(-options.filters // 2))} if options.filters is not None else {}
    return getattr(networks, NETWORKS[options.network])(options.scale, **sizes)


def sizes_of(network):
    """Blocks and filters as the options say them; ESPCN's are those of its first layer."""
    filters = network.filters
    return {"blocks": getattr(network, "blocks", None), "filters": filters if isinstance(filters, int) else filters[0]}


def _check_agree(options, found):
    for name, value in found.items():
        given = getattr(options, name)
        if given not in (None, value):
            has = f"no --{name}" if value is None else f"--{name} {value}"
            raise Usage(
                f"--{name} {given}: {options.initial} has {has}, and gives its weights to a network like itself. Leave "
                f"--{name} out, or --initial"
            )


def build(options, patch, network, initial=None):
    """The compiled model, with the weights of the initial one where they fit."""
    model = models.SuperResolution((patch, patch, 3), options.scale, network, loss=options.loss)
    model.build()
    if initial is not None:
        taken, fresh = take_over(model, initial)
        say(f"--initial: {taken} arrays of weights are taken over, {fresh} begin anew")
        if not taken:
            raise Failure(f"{options.initial}: no weights of it fit; give the --network, --blocks and --filters of it")
    batches = -(-options.steps // options.epochs)
    rate = keras.optimizers.schedules.CosineDecay(options.rate, batches * options.epochs)
    model.compile(keras.optimizers.Adam(rate), jit_compile=True if keras.config.backend() == "tensorflow" else "auto")
    return model


def take_over(model, other):
    """Give the network, and its average, the weights of another model that have their place and shape.

    Returns:
        how many arrays were taken over, and how many were not.
    """
    found = places(other.enlarging_network)
    for network in (model.average_network, model.network):
        own = places(network)
        fitting = [place for place, w in own.items() if place in found and found[place].shape == w.shape]
        for place in fitting:
            own[place].assign(found[place])
    return len(fitting), len(own) - len(fitting)


def places(network):
    """The weights of a network by their paths within it."""
    return {w.path.split(f"{network.name}/", 1)[-1]: w for w in network.weights}


def fit(model, pairs, shown, options, output):
    """Train with previews and checkpoints; returns the history, and whether anything was left to train."""
    begun = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    previews = Preview(output / "progress", shown, every=max(1, options.epochs // options.pictures))
    resume = callbacks.ExactResume(output / "checkpoints", every_minutes=options.save_minutes)
    history = model.fit(pairs, epochs=options.epochs, seed=options.seed, callbacks=[previews, count, resume])
    return history, bool(begun)


class Preview(keras.callbacks.Callback):
    """Draws the middle of a picture: bicubic, model, original."""

    def __init__(self, directory, image, every):
        super().__init__()
        self.directory, self.image, self.every = directory, image, every

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params["epochs"]:
            self.directory.mkdir(parents=True, exist_ok=True)
            with whole(self.directory / f"epoch_{epoch + 1:04d}.png") as temporary:
                plots.image_grid(side_by_side(self.model, self.image), temporary, columns=3, column_labels=LABELS)


LABELS = ["bicubic", "model", "original"]


def side_by_side(model, image, piece=PIECE):
    """The middle of a uint8 picture three times, `(3, h, w, 3)` in [0, 1]."""
    s = model.scale
    h, w = (min(piece, side) // s * s for side in image.shape[:2])
    i, j = ((side - n) // 2 for side, n in zip(image.shape[:2], (h, w), strict=True))
    x = image[i : i + h, j : j + w]
    y = degraded(x, s)
    interpolated = np.clip(bicubic(y, (h, w)) / 255, 0, 1)
    return np.stack([interpolated, model.upscale(y.astype("float32") / np.float32(255), verbose=0), x / 255])


def final_preview(model, images, path):
    """A row of each of the first four pictures that are large enough, or of the first one."""
    large = [image for image in images if min(image.shape[:2]) >= PIECE][:4]
    rows = [side_by_side(model, image) for image in large or images[:1]]
    plots.image_grid(np.concatenate(rows), path, columns=3, column_labels=LABELS)


def report(model, images, held_out, history, seconds, options):
    """Figures of the held-out pictures to `metrics.json` and to the terminal, and the last preview.

    `seconds` None: nothing was left to train, and the file of the training, if it is there, stays as it is.
    """
    rows = {name: evaluate.measure(model, image, options.scale) for name, image in held_out.items()}
    final_preview(model, list(held_out.values()), options.output / "preview.png")
    given = {name: value for name, value in vars(options).items() if name not in ("command", "output")}
    figures = {
        "backend": keras.config.backend(),
        "settings": {k: v if isinstance(v, (int, float, str, type(None))) else str(v) for k, v in given.items()},
        "weights": model.network.count_params(),
        "trained_on": list(images),
        "seconds_of_this_run": seconds,
        "last_epoch": {name: float(values[-1]) for name, values in history.history.items()},
        "held_out": evaluate.report(rows, options.scale),
    }
    file = options.output / "metrics.json"
    if seconds is not None or not file.exists():
        evaluate.write_json(file, figures)
    print(evaluate.table(rows, options.scale))
    print("Nothing was left to train." if seconds is None else f"Trained in {seconds:.0f} s.", "Written to", end=" ")
    print(f"{options.output.resolve()}:")
    for path in sorted(options.output.iterdir()):
        print(f"  {path.name}{'/' if path.is_dir() else ''}")
