"""Trains the small classifiers that serve as extractors, and writes their weights and accuracy.

Adam whose rate goes up to 0.004 and down to 0 (one cycle), batches of 128, images shifted by up to two pixels (one for
digits), Fashion-MNIST mirrored too; seeded. Batch normalisation is folded into the convolutions, and the accuracy on
the test set is that of the written file, read by `SmallClassifier`. The last epoch counts, whatever the test set says.

    KERAS_BACKEND=tensorflow python -m benchmarks.small_classifier --output docs/benchmarks/small_classifier.json
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks.step_overhead import machine
from keras_gen import datasets
from keras_gen.metrics.extractors import SmallClassifier
from keras_gen.metrics.extractors.classifier import FILTERS, FOLDER, MOST, small_network
from keras_gen.metrics.extractors.inception import folded

BATCH, RATE = 128, 4e-3
EPOCHS = {"digits": 120, "mnist": 6, "fashion_mnist": 12}
SHIFT = {"digits": 1, "mnist": 2, "fashion_mnist": 2}


def augmented(x, rng, shift, mirror):
    """Each image moved by up to `shift` pixels, and perhaps mirrored."""
    side = x.shape[1]
    padded = np.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
    rows, columns = (rng.integers(0, 2 * shift + 1, len(x))[:, None] + np.arange(side) for _ in range(2))
    if mirror:
        columns = np.where(rng.random(len(x))[:, None] < 0.5, columns, columns[:, ::-1])
    return padded[np.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]]


class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Up to the peak in the first fifth of the steps, then down to 0, both linear."""

    def __init__(self, peak, steps):
        self.peak, self.steps = peak, steps

    def __call__(self, step):
        t = keras.ops.cast(step, "float32") / self.steps
        return self.peak * keras.ops.minimum(5 * t, keras.ops.maximum((1 - t) / 0.8, 0.0))


def trained(name, x, y, seed):
    """The network with batch normalisation, trained."""
    keras.utils.set_random_seed(seed)
    rng, network = np.random.default_rng(seed), small_network(x.shape[1], normalised=True)
    model = keras.Model(network.input, network.output["logits"])
    steps = EPOCHS[name] * -(-len(x) // BATCH)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(OneCycle(RATE, steps)), loss, metrics=["accuracy"])
    for epoch in range(EPOCHS[name]):
        order = rng.permutation(len(x))
        moved = augmented(x[order], rng, SHIFT[name], mirror=name == "fashion_mnist")
        logs = model.fit(moved, y[order], BATCH, shuffle=False, verbose=0).history
        if (epoch + 1) % max(1, EPOCHS[name] // 6) == 0:
            print(name, epoch + 1, {k: round(v[0], 4) for k, v in logs.items()}, flush=True)
    return network


def write(network, file):
    """The folded weights."""
    arrays = {}
    for i in range(len(FILTERS)):
        norm = network.get_layer(f"norm_{i}")
        moments = (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta)
        parts = [keras.ops.convert_to_numpy(v) for v in (network.get_layer(f"conv_{i}").kernel, *moments)]
        arrays[f"conv_{i}/kernel"], arrays[f"conv_{i}/bias"] = folded(*parts)
    last = network.get_layer("logits")
    arrays |= {f"logits/{k}": keras.ops.convert_to_numpy(getattr(last, k)) for k in ("kernel", "bias")}
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **{name: array.astype("float32") for name, array in arrays.items()})


def recipe(name, folder, seed):
    """Train on one set of data; the row of the report."""
    (x, y), (x_test, y_test) = getattr(datasets, name).load_data()
    start = time.perf_counter()
    network = trained(name, (x[..., None] / MOST[name]).astype("float32"), y.astype("int32"), seed)
    seconds, file = time.perf_counter() - start, folder / f"{name}.npz"
    write(network, file)
    logits = SmallClassifier(name, weights=file)(x_test)["logits"]
    accuracy = float((logits.argmax(axis=1) == y_test).mean())
    row = {"data": name, "epochs": EPOCHS[name], "seconds": round(seconds, 1), "test_accuracy": accuracy,
           "parameters": int(network.count_params()), "bytes": file.stat().st_size}  # fmt: skip
    print(row, flush=True)
    return row


def main():
    """Train, write the weights and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(EPOCHS), help="one set of data alone")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the weights go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="file for the results in JSON")
    options = parser.parse_args()
    names = [options.only] if options.only else list(EPOCHS)
    rows = [recipe(name, options.folder, options.seed) for name in names]
    figures = {"what": __doc__.splitlines()[0], "seed": options.seed, "machine": machine(), "rows": rows}
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
