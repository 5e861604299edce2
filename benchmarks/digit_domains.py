"""MNIST and USPS without pairs: does a digit that CycleGAN translates keep its class?

Both are 16 x 16 in [0, 1]: the 60,000 training digits of MNIST resampled by area, and the 7,291 of USPS. No label is
seen by CycleGAN, and no pair exists. A small classifier is then trained three times for each direction, source to
target, and tested on the target's test digits (2,007 of USPS, 10,000 of MNIST):

    source only    on the source's digits as they are
    translated     on the source's digits translated to the target, with the labels of the source
    target         on the target's own labelled digits: what could be reached at most

The published figures are those of CyCADA's table of digits: source only, and its pixel-level adaptation, by larger
networks.

    KERAS_BACKEND=tensorflow OMP_NUM_THREADS=1 python -m benchmarks.digit_domains \
        --output docs/benchmarks/digit_domains.json --pictures docs/images
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from applications.cyclegan.domains import area
from benchmarks.step_overhead import machine
from keras_gen import models, networks, plots
from keras_gen.datasets import mnist, usps

SHAPE = (16, 16, 1)
DIRECTIONS = {"mnist_to_usps": ("mnist", "usps", "a2b"), "usps_to_mnist": ("usps", "mnist", "b2a")}
PUBLISHED = {  # Hoffman et al. 2018, arXiv:1711.03213, table 1
    "mnist_to_usps": {"source_only": 0.822, "translated": 0.956, "target": None},
    "usps_to_mnist": {"source_only": 0.696, "translated": 0.964, "target": None},
}
NAMES = {"mnist_to_usps": "MNIST to USPS", "usps_to_mnist": "USPS to MNIST", "source_only": "the source as it is",
         "translated": "the source, translated", "target": "the target"}  # fmt: skip
STEPS, PARTS, BATCH, RATE, CLASSIFIER_STEPS = 3000, 10, 16, 1e-3, 2000


def load():
    """`{name: ((x, y), (x_test, y_test))}`, images `(n, 16, 16, 1)` in [0, 1]."""
    sides = {"mnist": mnist.load_data(), "usps": usps.load_data()}
    return {name: tuple((prepared(x), y.astype("int32")) for x, y in parts) for name, parts in sides.items()}


def prepared(x):
    x = x.astype("float32") / 255
    return (x if x.shape[1] == 16 else area(x, (16, 16)))[..., None]


def generator():
    """The network of CycleGAN, of 16 filters, two blocks and one halving instead of two; padded by zeros."""
    normal = keras.initializers.RandomNormal(0.0, 0.02)

    def block(layer, x, filters, size, strides=1, relu=True):
        x = layer(filters, size, strides=strides, padding="same", kernel_initializer=normal.clone())(x)
        x = keras.layers.GroupNormalization(-1)(x)
        return keras.layers.ReLU()(x) if relu else x

    convolution, transposed = keras.layers.Conv2D, keras.layers.Conv2DTranspose
    x = keras.Input(SHAPE)
    h = block(convolution, block(convolution, x, 16, 7), 32, 3, 2)
    for _ in range(2):
        h = keras.layers.Add()([h, block(convolution, block(convolution, h, 32, 3), 32, 3, relu=False)])
    h = block(transposed, h, 16, 3, 2)
    y = convolution(1, 7, padding="same", activation="sigmoid", kernel_initializer=normal.clone())(h)
    return keras.Model(x, y)


def cycle_gan(data, seed, steps):
    """The trained model, and what its training was and took."""
    keras.utils.set_random_seed(seed)
    model = models.CycleGAN(
        SHAPE, generators=[generator(), generator()], identity_weight=0.1, seed=seed,
        discriminators=[networks.PatchDiscriminator((32, 64, 128)) for _ in range(2)],
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(RATE, beta_1=0.5))

    def rate(epoch):  # constant for half of the steps, then falling linearly
        return RATE * min(1.0, 2 * (1 - epoch / PARTS))

    start = time.perf_counter(), time.process_time()
    history = model.fit(
        data["mnist"][0][0], data["usps"][0][0], batch_size=BATCH, epochs=PARTS, steps_per_epoch=steps // PARTS,
        seed=seed, verbose=2, callbacks=[keras.callbacks.LearningRateScheduler(rate)],
    )  # fmt: skip
    seconds = {"wall_seconds": time.perf_counter() - start[0], "cpu_seconds": time.process_time() - start[1]}
    return model, seconds | {"steps": steps, "last": {key: values[-1] for key, values in history.history.items()}}


def classifier(x, y, seed):
    """A network of two convolutions, trained on images and labels."""
    keras.utils.set_random_seed(seed)
    layers = [keras.Input(SHAPE)]
    for filters in (32, 64):
        layers += [keras.layers.Conv2D(filters, 3, padding="same", use_bias=False), keras.layers.BatchNormalization()]
        layers += [keras.layers.ReLU(), keras.layers.MaxPooling2D()]
    layers += [keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(128, activation="relu")]
    network = keras.Sequential([*layers, keras.layers.Dense(10)])
    rate = keras.optimizers.schedules.PolynomialDecay(1e-3, CLASSIFIER_STEPS, 0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(rate), loss)
    rows = np.random.default_rng(seed).integers(len(x), size=CLASSIFIER_STEPS * 64)
    network.fit(x[rows], y[rows], batch_size=64, shuffle=False, verbose=0)
    return network


def accuracy(network, x, y):
    return float((network.predict(x, batch_size=1000, verbose=0).argmax(axis=1) == y).mean())


def directions(model, data, seed):
    """Figures of both directions, and the translated training digits by the name of their source."""
    own = {name: classifier(*data[name][0], seed) for name in data}
    figures, translated = {}, {}
    for name, (source, target, way) in DIRECTIONS.items():
        (x, y), test = data[source][0], data[target][1]
        translated[source] = model.translate(x, way, batch_size=500, verbose=0)
        figures[name] = {
            "source_only": accuracy(own[source], *test),
            "translated": accuracy(classifier(translated[source], y, seed), *test),
            "target": accuracy(own[target], *test),
            "class_kept": accuracy(own[target], translated[source], y),
        }
        print(f"seed {seed}, {name}: {figures[name]}", flush=True)
    return figures, translated


def draw(data, translated, model, path):
    """Digits 0 to 9, twice: of each domain, translated, and back."""
    rows = []
    for source, _, way in DIRECTIONS.values():
        x, y = data[source][0]
        shown = np.concatenate([np.flatnonzero(y == k)[:2] for k in range(10)])
        back = model.translate(translated[source][shown], "b2a" if way == "a2b" else "a2b", verbose=0)
        rows += [x[shown], translated[source][shown], back]
    labels = ["MNIST", "as USPS", "and back", "USPS", "as MNIST", "and back"]
    plots.image_grid(np.concatenate(rows), path, columns=20, row_labels=labels)


def table(figures):
    """Markdown: means over the seeds, and the lowest and highest; the published figures beside them."""
    lines = ["| direction | trained on | accuracy, mean | lowest, highest | published |", "|---|---|---|---|---|"]
    for name, published in PUBLISHED.items():
        for kind, paper in published.items():
            found = [row["directions"][name][kind] for row in figures["seeds"].values()]
            numbers = f"{100 * np.mean(found):.1f} | {100 * min(found):.1f}, {100 * max(found):.1f}"
            lines.append(f"| {NAMES[name]} | {NAMES[kind]} | {numbers} | {f'{100 * paper:.1f}' if paper else ''} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS, help="of CycleGAN (default %(default)s)")
    parser.add_argument("--output", type=Path, help="a JSON file; other seeds in it are kept")
    parser.add_argument("--pictures", type=Path, help="a folder, for the picture of the first seed")
    arguments = parser.parse_args()
    data = load()
    settings = {"batch_size": BATCH, "rate": RATE, "classifier_steps": CLASSIFIER_STEPS}
    figures = {"what": __doc__.splitlines()[0], "machine": machine(), "settings": settings, "seeds": {}}
    for seed in arguments.seeds:
        model, row = cycle_gan(data, seed, arguments.steps)
        row["directions"], translated = directions(model, data, seed)
        if arguments.output and arguments.output.exists():  # another process may have added a seed
            figures["seeds"] = json.loads(arguments.output.read_text())["seeds"]
        figures["seeds"][str(seed)] = row
        figures["seeds"] = dict(sorted(figures["seeds"].items()))
        if arguments.output:
            arguments.output.write_text(json.dumps(figures, indent=1, default=float) + "\n")
        if arguments.pictures and seed == arguments.seeds[0]:
            draw(data, translated, model, arguments.pictures / "digit_domains.png")
    print(table(figures))


if __name__ == "__main__":
    main()
