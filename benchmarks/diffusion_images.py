"""Diffusion on MNIST: FID by sampler and number of steps, guidance, in-painting, bits a dimension.

A class-conditional `DiffusionModel` (U-Net, cosine schedule, v) is trained by time: `--minutes` of the processor, the
rate warming up for 100 steps and falling to 0 along half a cosine. Then, with the average of its weights:

    fid        Frechet distance of `--samples` images to the 10,000 test images, by the features of the shipped
               classifier of MNIST, of each sampler at each number of steps; beside it the distance of as many training
               images. One picture of all curves.
    guidance   a grid of digits by scale; the share of samples that the classifier recognises as what was asked for
    classifier the same without labels, guided by a classifier of noisy images
    inpaint    test images of which the lower half is drawn, by RePaint
    bits       the bound, with its terms, of `--likelihoods` test images, levels of 8 bits

What is measured stands beside what the JSON file has: `--samplers DDPM --steps 100 1000 --parts fid` adds two points.

    KERAS_GEN_DATA=... KERAS_BACKEND=torch OMP_NUM_THREADS=1 python -m benchmarks.diffusion_images \
        --model runs/diffusion_mnist.keras --output docs/benchmarks/diffusion_mnist.json --pictures docs/images
"""

import argparse
import json
import math
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

from benchmarks.step_overhead import machine
from keras_gen import datasets, diffusion, metrics, models, networks, plots
from keras_gen.metrics.extractors import EightBits, SmallClassifier

SHAPE, BATCH, RATE, WARM = (28, 28, 1), 64, 2e-3, 100
NETWORK = {"channels": 24, "multipliers": (1, 2, 2), "blocks": 1, "attention": (7,)}
PARTS = ("fid", "guidance", "classifier", "inpainting", "bits_per_dim")
SAMPLERS = {  # and its grid
    "DDPM": (diffusion.Ancestral(), "uniform"),
    "DDIM": (diffusion.DDIM(), "uniform"),
    "DPM-Solver++ 2M": (diffusion.DPMSolverPlusPlus(2), "log_snr"),
    "DPM-Solver++ 2M, uniform in t": (diffusion.DPMSolverPlusPlus(2), "uniform"),
    "DPM-Solver++ 3M": (diffusion.DPMSolverPlusPlus(3), "log_snr"),
    "DPM-Solver++ 2M SDE": (diffusion.DPMSolverPlusPlus(2, eta=1.0), "log_snr"),
    "Heun": (diffusion.Heun(variable="rectified"), "karras"),
}


def load():
    """Images in [0, 1], and labels: training and test."""
    (x, y), (test, labels) = datasets.mnist.load_data()
    x, test = (v[..., None].astype("float32") / 255 for v in (x, test))
    return x, y, test, labels


class Clock(keras.callbacks.Callback):
    """The rate by the share of the processor's time that is spent; and a log."""

    def __init__(self, minutes):
        super().__init__()
        self.most, self.begun, self.step, self.losses, self.log = 60 * minutes, time.process_time(), 0, [], []

    def on_train_batch_begin(self, batch, logs=None):
        share = min(1.0, (time.process_time() - self.begun) / self.most)
        warm = min(1.0, (self.step + 1) / WARM)
        self.model.optimizer.learning_rate = RATE * warm * max(0.01, 0.5 * (1 + math.cos(math.pi * share)))

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if time.process_time() - self.begun > self.most:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        seconds = round(time.process_time() - self.begun)
        self.log.append({"steps": self.step, "loss": round(float(logs["loss"]), 4), "processor_seconds": seconds})
        print(self.log[-1], flush=True)


def make(seed=0):
    keras.utils.set_random_seed(seed)
    return models.DiffusionModel(
        SHAPE, networks.UNet(SHAPE, **NETWORK), num_classes=10, data_range=(0.0, 1.0), levels=256, average=0.995,
        seed=seed,
    )  # fmt: skip


def train(x, y, options):
    model, clock = make(options.seed), Clock(options.minutes)
    model.compile(keras.optimizers.Adam(RATE, beta_2=0.99))
    model.fit(x, y, batch_size=BATCH, epochs=10_000, steps_per_epoch=50, verbose=0, callbacks=[clock], seed=0)
    model.save(options.model)
    return model, clock.log


def distances(model, x, test, options, rows):
    """FID of each sampler at each number of steps, put beside what `rows` has."""
    extractor = EightBits(SmallClassifier("mnist", data_range=(0, 1)))
    digits = np.arange(options.samples) % 10

    def measured(images):
        fresh = metrics.FrechetInceptionDistance(extractor)
        fresh.update_state(real=test, generated=images)
        return round(float(fresh.result()), 4)

    rows["training images"] = measured(x[: options.samples])
    for name in options.samplers:
        sampler, grid = SAMPLERS[name]
        rows.setdefault(name, {})
        for n in map(str, options.steps):
            steps = (int(n) + 1) // 2 if isinstance(sampler, diffusion.Heun) else int(n)
            begun = time.process_time()
            images = model.sample(options.samples, digits, sampler=sampler, steps=steps, grid=grid, seed=1, verbose=0)
            seconds = time.process_time() - begun
            rows[name][n] = {"fid": measured(images), "evaluations": sampler.evaluations(steps)}
            print(name, n, rows[name][n], round(seconds), flush=True)
    return rows


def curves(rows, path):
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in rows.items():
        if isinstance(values, dict):
            counts, found = zip(*sorted((v["evaluations"], v["fid"]) for v in values.values()), strict=True)
            axes.loglog(counts, found, "o-", label=name)
    axes.axhline(rows["training images"], color="gray", linestyle=":", label="training images")
    axes.set_xlabel("evaluations of the network"), axes.set_ylabel("FID, features of a classifier of MNIST")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def guided(model, options):
    """Samples by scale, and the share that is recognised."""
    classifier, rows, images = EightBits(SmallClassifier("mnist", data_range=(0, 1))), {}, []
    digits = np.arange(200) % 10
    for scale in (0.0, 1.0, 2.0, 4.0):
        x = model.sample(200, digits, guidance=scale, steps=20, seed=2, verbose=0)
        said = classifier(x)["logits"].argmax(axis=1)
        rows[str(scale)] = round(float(np.mean(said == digits)), 3)
        images.append(x[:10])
    names = ["s = 0", "s = 1", "s = 2", "s = 4"]
    plots.interpolation_strip(np.stack(images), options.pictures / "diffusion_guidance.png", row_labels=names)
    return rows


class Noisy(keras.Model):
    """log p(digit given x_t) of images with noise: convolutions of x_t, scaled to the size of data, and log SNR."""

    def __init__(self):
        super().__init__()
        layers = keras.layers
        self.look = keras.Sequential([
            layers.Conv2D(24, 5, 2, activation="silu"), layers.Conv2D(48, 5, 2, activation="silu"), layers.Flatten(),
        ])  # fmt: skip
        self.said = keras.Sequential([layers.Dense(128, "silu"), layers.Dense(10)])

    def call(self, inputs):
        x_t, log_snr = inputs
        alpha = ops.sqrt(ops.sigmoid(log_snr))[:, None, None, None]
        seen = self.look(x_t * (0.5 + alpha))
        return ops.log_softmax(self.said(ops.concatenate([seen, 0.2 * log_snr[:, None]], axis=1)))


def by_classifier(model, x, y, options):
    """Samples without their label, pulled by a classifier that learns for an epoch: the share recognised."""
    classifier, rng = Noisy(), np.random.default_rng(0)
    level = model.schedule.level(rng.uniform(0.001, 0.999, len(x)))
    alpha, sigma = (v[:, None, None, None].astype("float32") for v in (level.alpha, level.sigma))
    noisy = alpha * (2 * x - 1) + sigma * rng.normal(size=x.shape).astype("float32")
    classifier.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    classifier.fit((noisy, level.log_snr.astype("float32")), y, batch_size=128, verbose=2)
    judge, digits, found = EightBits(SmallClassifier("mnist", data_range=(0, 1))), (0, 3, 7), {}
    for scale in (0.0, 1.0, 3.0):
        right = []
        for digit in digits:
            with model.guided_by(lambda x, log_snr, c=digit: classifier((x, log_snr))[:, c], scale):
                images = model.sample(40, 0, guidance=0.0, steps=20, seed=3, verbose=0)
            right.append(np.mean(judge(images)["logits"].argmax(axis=1) == digit))
        found[str(scale)] = round(float(np.mean(right)), 3)
        print(scale, right, flush=True)
    plots.image_grid(images, options.pictures / "diffusion_classifier.png")
    return found


def inpainted(model, test, labels, options):
    known = np.zeros(SHAPE, bool)
    known[:14] = True
    x = model.inpaint(test[:10], known, labels[:10], steps=50, resamples=5, seed=0, verbose=0)
    rows = np.concatenate([test[:10] * known, x, test[:10]])
    names = ["known", "drawn", "test"]
    path = options.pictures / "diffusion_inpainting.png"
    plots.interpolation_strip(rows.reshape(3, 10, *SHAPE), path, row_labels=names)
    return {"resamples": 5, "steps": 50}


def bits(model, test, labels, options):
    """Bits a dimension of the bound, by term."""
    n = options.likelihoods
    terms = model.bound_terms(test[:n], labels[:n], steps=100, verbose=0)
    scale = math.prod(SHAPE) * math.log(2.0)
    return {**{k: round(float(v.mean()) / scale, 4) for k, v in terms.items()}, "images": n, "steps": 100}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a .keras file; one that is there is not trained")
    parser.add_argument("--minutes", type=float, default=48.0, help="of the processor (default %(default)s)")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--likelihoods", type=int, default=50)
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=SAMPLERS)
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20], help="evaluations, of `fid`")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="a JSON file; what it holds of others is kept")
    parser.add_argument("--pictures", type=Path, required=True)
    options = parser.parse_args()
    x, y, test, labels = load()
    found = json.loads(options.output.read_text()) if options.output.exists() else {}
    if options.model.exists():
        model = keras.saving.load_model(options.model)
    else:
        model, found["training"] = train(x, y, options)
    found |= {"what": __doc__.splitlines()[0], "machine": machine(), "network": NETWORK, "images": options.samples}
    parts = {
        "fid": lambda: distances(model, x, test, options, found.get("fid", {})),
        "guidance": lambda: guided(model, options),
        "classifier": lambda: by_classifier(model, x, y, options),
        "inpainting": lambda: inpainted(model, test, labels, options),
        "bits_per_dim": lambda: bits(model, test, labels, options),
    }
    for name in options.parts:
        part = parts[name]
        found[name] = part()
        options.output.write_text(json.dumps(found, indent=1) + "\n")
        print(name, found[name], flush=True)
    if "fid" in found:
        curves(found["fid"], options.pictures / "diffusion_samplers.png")


if __name__ == "__main__":
    main()
