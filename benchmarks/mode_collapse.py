"""Collapse made visible: a ring of 8 and a grid of 25 Gaussians under each objective, several seeds.

The ring has radius 2, the grid spacing 2; each Gaussian has standard deviation 0.05, and data are divided by their
standard deviation a coordinate. A sample is good within 3 standard deviations of a centre; a mode is found when 2,500
samples give it a fifth of its fair share of good ones (20 of 100 on the grid). Networks: three dense layers of 128,
LeakyReLU; z ~ N(0, I) in the plane; batch 256; Adam (0.5, 0.99), rate 1e-3 falling linearly to 1e-5; samples of the
average generator.

The recipe, and all objectives at a quarter of its steps (on the ring at a sixteenth):

    KERAS_BACKEND=jax python -m benchmarks.mode_collapse --targets grid --steps 80000 \
        --objectives "relativistic, R1 + R2 falling" --output docs/benchmarks/mode_collapse_recipe.json
    KERAS_BACKEND=jax python -m benchmarks.mode_collapse --output docs/benchmarks/mode_collapse.json \
        --picture docs/images/mode_collapse.png
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import keras
import numpy as np

from keras_gen import losses, metrics
from keras_gen.models import GAN
from keras_gen.networks import MLP, DenseGenerator
from keras_gen.plots.figure import COLORS, INK, new_figure, save, style

STD, SAMPLES, BATCH = 0.05, 2500, 256
ANGLES = 2.0 * np.pi * np.arange(8) / 8
AXIS = np.arange(-4.0, 5.0, 2.0)
CENTERS = {
    "ring": 2.0 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=-1),
    "grid": np.stack(np.meshgrid(AXIS, AXIS), axis=-1).reshape(-1, 2),
}


def falling(steps):
    """The weight of R1 and R2: from 1 to 1e-3, a straight line of its logarithm. First the modes, then their shape."""
    return keras.optimizers.schedules.ExponentialDecay(1.0, steps, 1e-3)


OBJECTIVES = {
    "minimax": lambda steps: {"loss": "minimax"},
    "non-saturating": lambda steps: {"loss": "non_saturating"},
    "least squares": lambda steps: {"loss": "least_squares"},
    "hinge": lambda steps: {"loss": "hinge"},
    "WGAN, clipping": lambda steps: {"loss": "wasserstein", "clip": 0.05, "discriminator_steps": 5},
    "WGAN-GP": lambda steps: {
        "loss": "wasserstein", "penalties": losses.GradientPenalty(1.0), "discriminator_steps": 5,
    },
    "non-saturating, R1 = 1": lambda steps: {"loss": "non_saturating", "penalties": losses.R1(1.0)},
    "non-saturating, R1 falling": lambda steps: {"loss": "non_saturating", "penalties": losses.R1(falling(steps))},
    "relativistic, R1 + R2 falling": lambda steps: {
        "loss": "relativistic", "penalties": [losses.R1(falling(steps)), losses.R2(falling(steps))],
    },
}  # fmt: skip


def data(centers, n, seed):
    draw = np.random.default_rng(seed)
    x = centers[draw.integers(len(centers), size=n)] + STD * draw.normal(size=(n, 2))
    return x.astype("float32")


def train(objective, target, seed, steps):
    """Samples after each eighth of the training, in the units of the centres; the seconds of processor and wall."""
    centers = CENTERS[target]
    x = data(centers, 100_000, seed)
    scale = x.std(axis=0)
    options = OBJECTIVES[objective](steps)
    parts = options.get("discriminator_steps", 1)
    keras.utils.set_random_seed(seed)
    model = GAN(
        (2,), latent_dim=2, generator=DenseGenerator((2,), (128,) * 3), seed=seed,
        discriminator=MLP((128,) * 3, activation="leaky_relu", output_units=1, kernel_initializer="he_normal"),
        **options,
    )  # fmt: skip
    adam = {}
    for player, own in (("generator", steps), ("discriminator", parts * steps)):  # a schedule counts its player's steps
        rate = keras.optimizers.schedules.PolynomialDecay(1e-3, own, 1e-5)
        adam[player] = keras.optimizers.Adam(rate, beta_1=0.5, beta_2=0.99)
    several = {} if keras.config.backend() == "torch" else {"steps_per_execution": 100}
    model.compile(adam, **several)
    samples = []
    take = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: samples.append(model.sample(SAMPLES, seed=1, verbose=0) * scale)
    )
    start = time.process_time(), time.perf_counter()
    model.fit(
        x / scale, batch_size=BATCH * parts, steps_per_epoch=steps // 8, epochs=8, seed=seed, verbose=0,
        callbacks=[take],
    )  # fmt: skip
    return samples, time.process_time() - start[0], time.perf_counter() - start[1]


def figures(samples, target):
    centers = CENTERS[target]
    fair = SAMPLES / len(centers)
    return metrics.modes_covered(samples, centers, STD, min_count=int(np.ceil(fair / 5)))


def draw(pictures, path):
    """One panel an objective, of the first seed."""
    targets = sorted({target for _, target in pictures})
    names = [name for name in OBJECTIVES if any(name == n for n, _ in pictures)]
    figure = new_figure(2.0 * len(names), 2.3 * len(targets))
    panels = figure.subplots(len(targets), len(names), squeeze=False)
    for row, target in zip(panels, targets, strict=True):
        for axes, name in zip(row, names, strict=True):
            if (name, target) not in pictures:
                axes.axis("off")
                continue
            x, found = pictures[name, target]
            reach = np.abs(CENTERS[target]).max() + 1.0
            axes.plot(*x.T, ".", markersize=1.2, color=COLORS[0], alpha=0.5)
            axes.plot(*CENTERS[target].T, "+", markersize=3, color=COLORS[3], markeredgewidth=0.6)
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
            style(axes)
            axes.set_title(name if target == targets[0] else "", fontsize=7, color=INK)
            axes.set_xlabel(f"{found['modes']} modes, {found['good_share']:.0%} good", fontsize=7, color=INK)
    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=20_000, help="of the generator on the grid; a quarter on the ring")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument("--targets", nargs="+", choices=CENTERS, default=list(CENTERS))
    parser.add_argument("--output", type=Path, help="a JSON file; runs that it holds are not repeated")
    parser.add_argument("--picture", type=Path, help="of the first run of each objective in this call")
    arguments = parser.parse_args()
    found, pictures = [], {}
    if arguments.output and arguments.output.exists():
        found = json.loads(arguments.output.read_text())
    runs = itertools.product(arguments.seeds, arguments.targets, arguments.objectives)
    for seed, target, name in runs:
        if (seed, target, name) in {(row["seed"], row["target"], row["objective"]) for row in found}:
            continue
        steps = arguments.steps // (1 if target == "grid" else 4)
        samples, cpu, wall = train(name, target, seed, steps)
        row = {"target": target, "objective": name, "seed": seed, "steps": steps}
        row |= {"cpu_seconds": round(cpu), "wall_seconds": round(wall)} | figures(samples[-1], target)
        print(row, flush=True)
        found.append(row | {"course": [figures(x, target) for x in samples]})
        pictures.setdefault((name, target), (samples[-1], row))
        if arguments.output:
            arguments.output.write_text(json.dumps(found, indent=1, default=float) + "\n")
        if arguments.picture:
            draw(pictures, arguments.picture)


if __name__ == "__main__":
    main()
