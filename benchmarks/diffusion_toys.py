"""Diffusion models and flow matching on two-dimensional densities: can their samples be told from the data?

The energy distance of as many samples and points of a test set is compared with that of halves of the two shuffled
together: p is the share of shuffles whose distance is at least as large, so that p below 0.01 tells them apart. Beside
it stands the distance as a multiple of the one between two sets of data, and for the rectified flow how far a sample of
few steps lies from the one of many, of the same noise, before and after reflow.

    KERAS_BACKEND=jax OMP_NUM_THREADS=1 python -m benchmarks.diffusion_toys \
        --output docs/benchmarks/diffusion_toys.json --picture docs/images/diffusion_toys.png
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure

from benchmarks.step_overhead import machine
from keras_gen import models, networks
from keras_gen.datasets import toys

NAMES = ("moons", "checkerboard", "8gaussians")
TEST_SEED, SHUFFLES, EDGE = 10**6, 300, 4.5
FEW = {"sampler": "ddim", "grid": "trailing"}  # Euler's steps of the straight line, equally long, the last to t = 0
KINDS = {
    "diffusion": lambda net: models.DiffusionModel((2,), net, data_scale=1.0, seed=0),
    "edm": lambda net: models.EDM((2,), net, data_scale=1.0, seed=0),
    "flow_matching": lambda net: models.FlowMatching((2,), net, seed=0),
    "flow_matching_optimal": lambda net: models.FlowMatching((2,), net, coupling="optimal", seed=0),
    "rectified_flow": lambda net: models.RectifiedFlow((2,), net, seed=0),
}


def data(name, n, seed, scale):
    return toys.load(name, n, seed=seed) / scale


def fit(model, batches, options):
    """The seconds of a training on fresh data; the rate falls along a cosine."""
    rate = keras.optimizers.schedules.CosineDecay(options.rate, options.steps)
    model.compile(keras.optimizers.Adam(rate))
    start = time.perf_counter(), time.process_time()
    model.fit(batches, batch_size=options.batch_size, shuffle=False, verbose=0)
    return {"wall": time.perf_counter() - start[0], "processor": time.process_time() - start[1]}


def trained(name, kind, scale, options):
    keras.utils.set_random_seed(0)
    model = KINDS[kind](networks.DenoisingMLP((2,), options.hidden, kernel_initializer=options.initializer))
    return model, fit(model, data(name, options.steps * options.batch_size, 1, scale), options)


def two_sample_test(x, y, seed=0):
    """The energy distance (with all pairs), and the share of shuffles with one as large."""
    both, n = np.concatenate([x, y]), len(x)
    distances = np.linalg.norm(both[:, None] - both[None], axis=-1)
    sides = np.tile(np.repeat([1.0, -1.0], n)[:, None], SHUFFLES + 1)
    generator = np.random.default_rng(seed)
    for column in sides.T[1:]:
        generator.shuffle(column)
    values = -np.einsum("ik,ik->k", sides, distances @ sides) / n**2
    return float(values[0]), float((1 + (values[1:] >= values[0]).sum()) / (SHUFFLES + 1))


def compared(x, name, scale, options):
    test = data(name, options.samples, TEST_SEED, scale)
    floor, _ = two_sample_test(test, data(name, options.samples, TEST_SEED + 1, scale))
    distance, p = two_sample_test(test, x)
    squares = {} if name != "checkerboard" else {"on_squares": on_squares(x * scale)}
    return {"energy_distance": distance, "of_data": floor, "p": p, **squares}


def on_squares(x):
    """The share on the squares of the checkerboard, which are half of the board: what distances hardly see."""
    return float(((np.floor(x / 2).sum(axis=1) % 2 == 0) & (np.abs(x) < 4).all(axis=1)).mean())


def reflowed(model, options):
    """The model trained on pairs of its own, and what few steps lose."""
    few = {**FEW, "batch_size": options.samples, "seed": 1}
    ends = model.sample(options.samples, seed=1, batch_size=options.samples)
    losses = {n: float(np.mean((model.sample(options.samples, steps=n, **few) - ends) ** 2)) for n in (1, 2, 4)}
    return ends, losses


def paths(model, turns=32):
    """x_t itself at equally spaced times, `(60, turns + 1, 2)`: frames are x_t in units of sqrt(alpha^2 + sigma^2)."""
    t = 1.0 - np.arange(turns + 1) / turns
    frames = model.trajectory(60, frames=turns + 1, steps=turns, seed=3, **FEW)
    return frames * np.hypot(1.0 - t, t)[:, None]


def straightened(name, scale, model, options):
    found = {}
    _, found["lost_before"] = reflowed(model, options)
    one = {**FEW, "steps": 1, "seed": 2, "batch_size": options.samples}
    pictures = {"before": paths(model)}
    found["one_step_before"] = compared(model.sample(options.samples, **one), name, scale, options)
    pairs = model.pairs(options.pairs, seed=4, batch_size=options.samples)
    model_on_pairs = models.Reflow(model)
    passes = -(-options.steps * options.batch_size // options.pairs)
    found["seconds"] = fit(model_on_pairs, np.concatenate([pairs] * passes), options)
    _, found["lost_after"] = reflowed(model, options)
    pictures["after"] = paths(model)
    for steps in (1, 2):
        x = model.sample(options.samples, **{**one, "steps": steps})
        found[f"{steps}_step_after"] = compared(x, name, scale, options)
        pictures[f"{steps} step{'s' * (steps > 1)} after reflow"] = x
    return found, pictures


def draw(pictures, path):
    """Data and samples of each density in a row; and in another the paths before and after."""
    columns = ["data", *KINDS, "1 step after reflow", "2 steps after reflow"]
    figure = Figure(figsize=(1.7 * len(columns), 1.8 * len(pictures) + 3.2))
    grid = figure.add_gridspec(len(pictures) + 1, len(columns), height_ratios=[1.0] * len(pictures) + [1.6])
    for i, row in enumerate(pictures.values()):
        for j, column in enumerate(columns):
            axes = figure.add_subplot(grid[i, j])
            axes.plot(*row[column].T, ",", color="#1f4e79", alpha=0.6)
            _frame(axes, column.replace("_", " ") if i == 0 else "")
    paths_grid = grid[-1, :].subgridspec(1, 2 * len(pictures))
    for i, (name, row) in enumerate(pictures.items()):
        for k, when in enumerate(("before", "after")):
            axes = figure.add_subplot(paths_grid[2 * i + k])
            for line in row[when]:
                axes.plot(*line.T, color="#1f4e79", linewidth=0.5, alpha=0.7)
            axes.plot(*row[when][:, 0].T, ".", color="#c0504d", markersize=2)
            _frame(axes, f"{name}: paths {when}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _frame(axes, title):
    axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), xticks=[], yticks=[], aspect="equal")
    axes.set_title(title, fontsize=7)


def table(result):
    lines = ["| density | model | energy distance | of data | p | on squares |", "|---|---|---|---|---|---|"]
    for name, rows in result["densities"].items():
        tested = {k: v for k, v in rows.items() if k in KINDS}
        tested |= {k.replace("_", " "): v for k, v in rows["reflow"].items() if "step" in k}
        for kind, row in tested.items():
            numbers = f"{row['energy_distance']:.5f} | {row['of_data']:.5f} | {row['p']:.3f}"
            lines.append(f"| {name} | {kind} | {numbers} | {row.get('on_squares', '')} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densities", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--steps", type=int, default=5000, help="of training (default %(default)s)")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--initializer", default="he_normal")
    parser.add_argument("--hidden", type=int, nargs="*", default=[128, 128, 128])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=50_000)
    parser.add_argument("--output", type=Path, help="a JSON file")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    settings = {k: v for k, v in vars(options).items() if k not in ("output", "picture")}
    result = {"what": __doc__.splitlines()[0], "machine": machine(), "settings": settings, "densities": {}}
    pictures = {}
    for name in options.densities:
        scale = float(toys.load(name, 100_000, seed=0).std())
        rows, pictures[name] = result["densities"].setdefault(name, {}), {}
        pictures[name]["data"] = toys.load(name, options.samples, seed=TEST_SEED)
        for kind in KINDS:
            model, seconds = trained(name, kind, scale, options)
            x = model.sample(options.samples, seed=0, batch_size=options.samples)
            rows[kind] = {**compared(x, name, scale, options), "seconds": seconds}
            pictures[name][kind] = x * scale
            print(name, kind, rows[kind], flush=True)
        rows["reflow"], more = straightened(name, scale, model, options)
        pictures[name] |= {k: v * scale for k, v in more.items()}
        print(name, "reflow", rows["reflow"], flush=True)
        if options.output:
            options.output.write_text(json.dumps(result, indent=1, default=float) + "\n")
        if options.picture:
            draw(pictures, options.picture)
    print(table(result))


if __name__ == "__main__":
    main()
