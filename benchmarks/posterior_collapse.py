"""Posterior collapse on the digits, and its remedies side by side.

A dense VAE with 16 latent dimensions: under the plain bound about half of them are switched off, their KL going to 0.
Each remedy trains the same network from the same seed. Reported: active units, the KL of each dimension, the bound, and
the importance-sampled log-likelihood of the held-out digits.

    KERAS_BACKEND=jax python -m benchmarks.posterior_collapse --output docs/benchmarks/posterior_collapse.json
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np

from keras_gen import callbacks, layers, models
from keras_gen.datasets import digits

LATENT_DIM = 16
REMEDIES = {
    "the bound (beta = 1)": {},
    "beta = 0.3": {"beta": 0.3},
    "KL annealing": {"beta": 0.0},
    "free bits 0.2": {"free_bits": 0.2},
    "fixed scale 0.5": {"posterior_scale": 0.5},
    "skip decoder": {"skip": True},
}


def train(name, options, arguments, data):
    (x, _), (x_test, _) = data
    keras.utils.set_random_seed(arguments.seed)
    head = layers.DiscretizedLogisticHead(x.shape[1:], bins=17)
    model = models.VAE(x.shape[1:], LATENT_DIM, likelihood=head, seed=arguments.seed, **options)
    model.compile(keras.optimizers.Adam(2e-3))
    ramp = [callbacks.Anneal("beta", (0.0, 1.0), over=arguments.epochs // 2)] if name == "KL annealing" else []
    model.fit(x, epochs=arguments.epochs, batch_size=64, verbose=0, callbacks=ramp)
    bound = model.evaluate(x_test, batch_size=len(x_test), verbose=0, return_dict=True)
    kl = keras.ops.convert_to_numpy(model.diagnostics[0].kl_per_dimension())
    return {
        "active_units": int(bound["active_units"]),
        "kl_per_dimension": [round(float(k), 4) for k in np.sort(kl)[::-1]],
        "bound_nats": -float(bound["nll"]),
        "log_likelihood_nats": float(model.log_prob(x_test, num_samples=256, verbose=0).mean()),
    }


def draw(figures, path):
    """KL of each dimension, largest first, one panel a remedy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for axes, (name, found) in zip(panels.flat, figures.items(), strict=True):
        axes.bar(range(1, LATENT_DIM + 1), found["kl_per_dimension"], color="#0072B2")
        title = f"{name}\n{found['active_units']} active, log p = {found['log_likelihood_nats']:.1f}"
        axes.set_title(title, fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("latent dimension, sorted", fontsize=8)
    for axes in panels[:, 0]:
        axes.set_ylabel("KL, nats", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/posterior_collapse.json"))
    parser.add_argument("--picture", type=Path, default=Path("runs/benchmarks/posterior_collapse.png"))
    arguments = parser.parse_args()
    data = tuple(((x[..., None] / 16).astype("float32"), y) for x, y in digits.load_data())
    figures = {}
    for name, options in REMEDIES.items():
        figures[name] = train(name, options, arguments, data)
        print(name, figures[name], flush=True)
    draw(figures, arguments.picture)
    versions = {"keras": keras.__version__, "backend": keras.config.backend()}
    what = "digits, 1438 training and 359 held-out images"
    report = {"what": what, "epochs": arguments.epochs, "seed": arguments.seed}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({**report, "versions": versions, "results": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
