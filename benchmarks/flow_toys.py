"""Neural spline flows on two-dimensional densities of known entropy: how close to the floor, in nats.

No model's mean negative log-likelihood lies below the entropy H of the density but by chance: with n test points whose
log-likelihoods have the standard deviation s, its standard error is s / sqrt(n). The gap to H is what the flow misses.
Training points are drawn anew for each part of the training, the test points (100,000) with a seed of their own.

    KERAS_BACKEND=jax OMP_NUM_THREADS=1 python -m benchmarks.flow_toys \
        --output docs/benchmarks/flow_toys.json --pictures docs/images
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks.step_overhead import machine
from keras_gen import models, plots
from keras_gen.datasets import toys

NAMES = ("8gaussians", "moons", "circles", "2spirals", "checkerboard")
TEST, TEST_SEED, PARTS, SIDE, EDGE = 100_000, 10**6, 10, 200, 4.2


def trained(name, options):
    """The flow, and the seconds of its training."""
    keras.utils.set_random_seed(options.seed)
    flow = models.NeuralSpline((2,), options.flow_steps, tuple(options.units), bins=options.bins, seed=options.seed)
    schedule = keras.optimizers.schedules.CosineDecay(options.rate, options.steps)
    flow.compile(keras.optimizers.Adam(schedule))
    start = time.perf_counter(), time.process_time()
    for part in range(PARTS):
        x = toys.load(name, options.batch_size * options.steps // PARTS, seed=options.seed * PARTS + part)
        flow.fit(x, batch_size=options.batch_size, shuffle=False, verbose=0, seed=part)
    return flow, {"wall": time.perf_counter() - start[0], "processor": time.process_time() - start[1]}


def figures(flow, name):
    log_p = flow.log_prob(toys.load(name, TEST, seed=TEST_SEED), batch_size=5000, verbose=0).astype("float64")
    nll, error = -log_p.mean(), log_p.std() / np.sqrt(TEST)
    floor = toys.ENTROPIES[name]
    return {"nll": nll, "standard_error": error, "entropy": floor, "gap": nll - floor}


def density(flow):
    """exp(log p) on a grid, as an image whose first row is the top."""
    line = np.linspace(-EDGE, EDGE, SIDE, dtype="float32")
    grid = np.stack(np.meshgrid(line, -line), axis=-1).reshape(-1, 2)
    p = np.exp(flow.log_prob(grid, batch_size=5000, verbose=0)).reshape(SIDE, SIDE)
    return np.clip(p / np.quantile(p, 0.995), 0, 1)


def histogram(name):
    x = toys.load(name, 400_000, seed=TEST_SEED + 1)
    counts, _, _ = np.histogram2d(-x[:, 1], x[:, 0], bins=SIDE, range=[[-EDGE, EDGE]] * 2)
    return np.clip(counts / np.quantile(counts, 0.995), 0, 1)


def table(result):
    lines = ["| density | entropy | spline flow, nll | gap | standard error |", "|---|---|---|---|---|"]
    for name, row in result["densities"].items():
        numbers = (row["entropy"], row["nll"], row["gap"], row["standard_error"])
        lines.append(f"| {name} | " + " | ".join(f"{v:.4f}" for v in numbers) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densities", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--steps", type=int, default=10_000, help="of training (default %(default)s)")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--flow-steps", type=int, default=6)
    parser.add_argument("--units", type=int, nargs="*", default=[64, 64])
    parser.add_argument("--bins", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a JSON file")
    parser.add_argument("--pictures", type=Path, help="a folder")
    options = parser.parse_args()
    settings = {k: v for k, v in vars(options).items() if k not in ("output", "pictures")}
    result = {"what": __doc__.splitlines()[0], "machine": machine(), "settings": settings, "densities": {}}
    images = []
    for name in options.densities:
        flow, seconds = trained(name, options)
        result["densities"][name] = {**figures(flow, name), "seconds": seconds}
        print(name, result["densities"][name], flush=True)
        images += [histogram(name), density(flow)]
        if options.output:
            options.output.write_text(json.dumps(result, indent=1, default=float) + "\n")
    print(table(result))
    if options.pictures:
        rows = np.stack(images[::2] + images[1::2])
        path = options.pictures / "flow_toys.png"
        labels = {"row_labels": ["data", "flow"], "column_labels": list(options.densities)}
        plots.image_grid(rows, path, rows=2, **labels)


if __name__ == "__main__":
    main()
