"""FID is biased by the number of samples, KID is not: both of two samples of one distribution, and of two, against N.

Features of the classifier of MNIST; the training images are drawn without replacement, N for each side, 20 times. "The
same": both sides are digits as they are. "Noisy": one side has noise of standard deviation 0.03 on each pixel.

    python -m benchmarks.fid_bias --output docs/benchmarks/fid_bias.json --picture docs/images/fid_bias.png
"""

import argparse
import json
from pathlib import Path

import numpy as np

from keras_gen import datasets, metrics
from keras_gen.plots.figure import COLORS, INK, new_figure, save, style

SIZES = (100, 200, 500, 1000, 2000, 5000, 10_000)
REPEATS = 20


def features():
    """Of all training images, and of the same with noise."""
    (x, _), _ = datasets.mnist.load_data()
    x = x.reshape(-1, 28, 28, 1).astype("float32")
    noise = np.random.default_rng(0).normal(size=x.shape).astype("float32") * 7.65
    classify = metrics.extractors.SmallClassifier("mnist")
    return classify(x)["features"], classify(np.clip(x + noise, 0.0, 255.0))["features"]


def figures(clean, noisy):
    """Name of the pair to a list of `{n, fid, fid_std, kid, kid_std}`."""
    found = {"the same": [], "noisy": []}
    for n in SIZES:
        for name, other in (("the same", clean), ("noisy", noisy)):
            rows = [one(clean, other, n, np.random.default_rng([n, i])) for i in range(REPEATS if n < 5000 else 4)]
            mean, std = np.mean(rows, axis=0), np.std(rows, axis=0)
            found[name].append({"n": n, "fid": mean[0], "fid_std": std[0], "kid": mean[1], "kid_std": std[1]})
            print(name, found[name][-1], flush=True)
    return found


def one(clean, other, n, draw):
    places = draw.permutation(len(clean))[: 2 * n]
    pair = clean[places[:n]], other[places[n:]]
    return metrics.frechet_inception_distance(*pair), metrics.kernel_inception_distance(*pair, subsets=None)[0]


def draw(found, path):
    figure = new_figure(9.0, 3.4)
    for axes, metric, title in zip(figure.subplots(1, 2), ("fid", "kid"), ("FID", "KID"), strict=True):
        for color, (name, rows) in zip((COLORS[0], COLORS[3]), found.items(), strict=True):
            n, mean, std = (np.array([row[key] for row in rows]) for key in ("n", metric, f"{metric}_std"))
            axes.plot(n, mean, "o-", color=color, label=name, markersize=3, linewidth=1.4)
            axes.fill_between(n, mean - std, mean + std, color=color, alpha=0.2, linewidth=0)
        axes.set_xscale("log")
        axes.axhline(0.0, color=INK, linewidth=0.5)
        axes.set_xlabel("samples of each side", fontsize=9, color=INK)
        style(axes, title)
    axes.legend(frameon=False, fontsize=8)
    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    found = figures(*features())
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1, default=float) + "\n")
    if arguments.picture:
        draw(found, arguments.picture)


if __name__ == "__main__":
    main()
