"""Two domains without pairs, and the CycleGAN that learns B(a), an a as a b, and A(b) from them.

The learning rate is constant for the first half of the E epochs and then falls linearly, by epochs: in epoch
e = 0, 1, ... it is

    rate min(1, (E - e) / (E - E // 2)),

as in the paper. While the model trains, pictures of fixed members of both domains are drawn: a, B(a), A(B(a)) and b,
A(b), B(A(b)). Checkpoints lie in the output folder, so that the same command goes on with a training that was
interrupted, to the same weights (on TensorFlow but for rounding: its graphs do not give the same bits twice). Both
domains are held in memory, a byte a pixel and channel.

Jitter, of folders: pictures are read 286/256 as large, and each batch takes a random place of each, of the size that is
trained, mirrored in half of the cases.
"""

import json
import time
import warnings

import keras
import numpy as np

from applications import resuming
from applications.cyclegan.domains import load_domain
from applications.cyclegan.files import DATA_SETS, say
from applications.files import counted, whole, writable
from keras_gen import callbacks, models, networks, plots
from keras_gen.datasets import UnpairedBatches

OPTIONS = ("size", "channels", "batch_size", "blocks", "filters", "rate", "cycle", "identity", "pool", "seed")
ROWS = ["a", "a to b", "and back", "b", "b to a", "and back"]
SHOWN, JUDGED = 8, 200


def train(options):
    """Run the command; returns the exit code."""
    keras.utils.set_random_seed(options.seed)
    resuming.check_options(options.output / "checkpoints", settings(options))
    output = writable(options.output)
    jitter = options.jitter and not {options.a, options.b} & set(DATA_SETS)
    (a, problems_a), (b, problems_b) = (
        load_domain(name, options.size, options.channels, jitter) for name in (options.a, options.b)
    )
    print(f"a: {counted(len(a), 'image')}, b: {len(b):,}, trained at {options.size[0]} x {options.size[1]}", flush=True)
    model = build(options)
    start = time.perf_counter()
    noted = {**settings(options), resuming.PICTURES: resuming.checksum((a, b))}
    with resuming.resumable(output / "checkpoints", noted, say):
        history, trained = fit(model, Jittered(a, b, options.batch_size, options.size, jitter), options, output)
    seconds = time.perf_counter() - start if trained else None
    with whole(output / "model.keras") as temporary:
        model.save(temporary)
    plots.history(history.history, output / "history.png")
    judged = [middle(x[:JUDGED], options.size) for x in (a, b)]
    report(model, judged, history, options, seconds, problems_a + problems_b)
    return 1 if problems_a or problems_b else 0


def settings(options):
    """The options that make another training, as the user types them; more epochs go on with the same one."""
    given = {f"--{name.replace('_', '-')}": getattr(options, name) for name in OPTIONS}
    return {"KERAS_BACKEND": keras.config.backend(), **given, "--no-jitter": not options.jitter}


def build(options):
    """The compiled model; patches of the discriminators are no larger than the images."""
    shape, patches = (*options.size, options.channels), len(networks.default_patch_filters(options.size))
    model = models.CycleGAN(
        shape,
        generators=[networks.TranslationResNet(shape, options.filters, options.blocks) for _ in range(2)],
        discriminators=[networks.PatchDiscriminator([options.filters * 2**i for i in range(patches)]) for _ in "ab"],
        cycle_weight=options.cycle,
        identity_weight=options.identity,
        pool_size=options.pool,
        seed=options.seed,
    )
    model.compile(keras.optimizers.Adam(options.rate, beta_1=0.5))
    print(f"{model.count_params():,} weights, {keras.config.backend()}", flush=True)
    return model


def fit(model, data, options, output):
    """Train with falling rate, pictures and checkpoints; returns the history, and whether anything was left."""
    epochs, constant = options.epochs, options.epochs // 2
    fall = keras.callbacks.LearningRateScheduler(
        lambda epoch: options.rate * min(1.0, (epochs - epoch) / (epochs - constant))
    )
    shown = [middle(x[:SHOWN], options.size) for x in (data.a, data.b)]
    pictures = Translations(output / "progress", *shown, every=max(1, epochs // options.pictures))
    begun = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    resume = callbacks.ExactResume(output / "checkpoints", every_minutes=options.save_minutes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TensorFlow's graphs do not give the same bits twice")
        history = model.fit(data, epochs=epochs, seed=options.seed, callbacks=[fall, pictures, count, resume])
    return history, bool(begun)


class Jittered(UnpairedBatches):
    """Unpaired batches as float32 in [0, 1]: a random place of each image and its mirror image, or the whole image."""

    def __init__(self, a, b, batch_size, size, jitter, **kwargs):
        super().__init__(a, b, batch_size, **kwargs)
        self.cut, self.jitter = size, jitter

    def at(self, pass_index, batch_index, seed):
        rng = np.random.default_rng([0 if seed is None else seed, pass_index, batch_index])
        sides = super().at(pass_index, batch_index, seed)
        return tuple(floats(jittered(x, self.cut, rng) if self.jitter else x) for x in sides)


def jittered(x, size, rng):
    """A place of `size` in each image, drawn alone, and half of them mirrored."""
    places = [[rng.integers(n - m + 1) for n, m in zip(x.shape[1:3], size, strict=True)] for _ in x]
    cut = np.stack([image[i : i + size[0], j : j + size[1]] for image, (i, j) in zip(x, places, strict=True)])
    return np.where(rng.random((len(x), 1, 1, 1)) < 0.5, cut[:, :, ::-1], cut)


def middle(x, size):
    """The middle of images, as float32 in [0, 1]."""
    i, j = ((n - m) // 2 for n, m in zip(x.shape[1:3], size, strict=True))
    return floats(x[:, i : i + size[0], j : j + size[1]])


def floats(x):
    return x.astype("float32") / np.float32(255)


class Translations(keras.callbacks.Callback):
    """Draws the same images of both domains, their translations and what comes back, every so many epochs."""

    def __init__(self, directory, a, b, every):
        super().__init__()
        self.directory, self.a, self.b, self.every = directory, a, b, every

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.params["epochs"]:
            self.directory.mkdir(parents=True, exist_ok=True)
            draw(self.model, self.a, self.b, self.directory / f"epoch_{epoch + 1:04d}.png")


def draw(model, a, b, path):
    """Six rows: a, B(a), A(B(a)), b, A(b), B(A(b))."""
    n = min(len(a), len(b))
    rows = [*there_and_back(model, a[:n], "a2b", "b2a"), *there_and_back(model, b[:n], "b2a", "a2b")]
    plots.image_grid(np.concatenate(rows), path, columns=n, row_labels=ROWS)


def there_and_back(model, x, there, back):
    y = model.translate(x, there, verbose=0)
    return x, y, model.translate(y, back, verbose=0)


def report(model, judged, history, options, seconds, problems):
    """Figures to `metrics.json` and to the terminal, the last pictures to `translations.png`.

    `seconds` None: nothing was left to train, and the file of the training, if it is there, stays as it is.
    """
    errors = {}
    for name, x, ways in zip("ab", judged, [("a2b", "b2a"), ("b2a", "a2b")], strict=True):
        x, _, back = there_and_back(model, x, *ways)
        errors[name] = float(np.abs(back - x).mean())
    draw(model, *(x[:SHOWN] for x in judged), options.output / "translations.png")
    figures = {
        "backend": keras.config.backend(),
        **{name: str(value) if name in "ab" else value for name, value in vars(options).items() if plain(value)},
        "cycle_error_a": errors["a"],
        "cycle_error_b": errors["b"],
        "seconds_of_this_run": seconds,
        "last_epoch": {name: values[-1] for name, values in history.history.items()},
        "left_out": problems,
    }
    file = options.output / "metrics.json"
    if seconds is not None or not file.exists():
        with whole(file) as temporary:
            temporary.write_text(json.dumps(figures, indent=2, default=float) + "\n")
    print(f"\nMean absolute error there and back: a {errors['a']:.4f}, b {errors['b']:.4f}, of values in [0, 1].")
    print("Nothing was left to train" if seconds is None else f"Trained in {seconds:.0f} s", end="; ")
    print(f"{counted(len(problems), 'picture')} left out. Written to {options.output.resolve()}:")
    for path in sorted(options.output.iterdir()):
        print(f"  {path.name}{'/' if path.is_dir() else ''}")


def plain(value):
    return isinstance(value, (int, float, str, bool, list, tuple))
