r"""Reproduces a published figure: the one-layer VAE of the IWAE paper on dynamically binarised MNIST.

Protocol. Network 784-200-200-50 and back, tanh, diagonal normal posterior, N(0, I) prior, Bernoulli likelihood.
Training on the 60,000 training images, each drawn anew as black or white with probability its grey value whenever it is
seen. The test set is binarised once, by seed. The figure is minus the mean of log 1/K sum_k w_k over the 10,000 test
images with K = 5000. Published: 86.76 nats (Burda et al. 2016, arXiv:1509.00519, table 1: VAE, 1 layer, k = 1).

    KERAS_BACKEND=jax python -m benchmarks.mnist_vae --num-samples 1 --output runs/benchmarks/first.json
    KERAS_BACKEND=jax python -m benchmarks.mnist_vae --epochs 280 --learning-rate 1e-3 \
        --weights runs/benchmarks/mnist_vae.weights.h5 --output docs/benchmarks/mnist_vae.json
"""

import argparse
import json
import platform
import time
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from keras_gen import datasets, models

WEIGHTS = Path("runs/benchmarks/mnist_vae.weights.h5")


class DynamicVAE(models.VAE):
    """A VAE whose training images are binarised anew each time they are seen."""

    def objective(self, x, condition=None, training=False):
        if training:
            u = keras.random.uniform(ops.shape(x), seed=self.noise)
            x = ops.cast(u < x, "float32")
        return super().objective(x, condition, training)


def build(mean, seed, **options):
    """784-200-200-50-200-200-784 with tanh; the output bias begins at the logits of the mean image."""
    encoder = keras.Sequential([layers.Input((784,)), layers.Dense(200, "tanh"), layers.Dense(200, "tanh")])
    decoder = keras.Sequential([layers.Input((50,)), layers.Dense(200, "tanh"), layers.Dense(200, "tanh")])
    model = DynamicVAE((784,), 50, encoder=encoder, decoder=decoder, seed=seed, **options)
    mean = np.clip(mean, 1e-3, 1 - 1e-3)
    model.observation_head.projection.bias.assign(np.log(mean / (1 - mean)))
    return model


class Curve(keras.callbacks.Callback):
    """The bound on the test set every few epochs, with the seconds of training so far."""

    def __init__(self, x, every):
        super().__init__()
        self.x, self.every, self.points, self.start = x, every, [], time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 or epoch == 0:
            seconds = time.perf_counter() - self.start
            bound = -float(self.model.elbo(self.x, num_samples=1, batch_size=1000, verbose=0).mean())
            self.points.append(
                {"epoch": epoch + 1, "seconds": round(seconds, 1), "train": logs["loss"], "test_bound": bound}
            )
            print(json.dumps(self.points[-1]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--epsilon", type=float, default=1e-7)
    parser.add_argument("--num-samples", type=int, default=5000)
    parser.add_argument("--weights", type=Path, help="begin from the weights that an earlier call saved")
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/mnist_vae.json"))
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    (x, _), (x_test, _) = datasets.mnist.load_data()
    x, x_test = (a.reshape(-1, 784).astype("float32") / 255 for a in (x, x_test))
    x_test = (np.random.default_rng(options.seed).random(x_test.shape) < x_test).astype("float32")
    model = build(x.mean(axis=0), options.seed)
    if options.weights:
        model.load_weights(options.weights)
    steps = options.epochs * -(-len(x) // options.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(options.learning_rate, steps, alpha=0.01)
    model.compile(keras.optimizers.Adam(rate, epsilon=options.epsilon))
    curve = Curve(x_test, options.every)
    start = time.perf_counter()
    model.fit(x, batch_size=options.batch_size, epochs=options.epochs, verbose=0, callbacks=[curve])
    training = time.perf_counter() - start
    for folder in (options.output.parent, WEIGHTS.parent):
        folder.mkdir(parents=True, exist_ok=True)
    model.save_weights(WEIGHTS)
    start = time.perf_counter()
    log_prob = model.log_prob(x_test, num_samples=options.num_samples, seed=options.seed, batch_size=100, verbose=0)
    figures = {
        "what": "one-layer VAE 784-200-200-50, MNIST, dynamic binarisation in training, test set binarised once",
        "published_nats": 86.76,
        "nll_nats": -float(log_prob.mean()),
        "standard_error": float(log_prob.std() / len(log_prob) ** 0.5),
        "test_bound_nats": curve.points[-1]["test_bound"],
        "importance_samples": options.num_samples,
        "training_seconds": training,
        "milliseconds_a_step": 1000 * training / steps,
        "evaluation_seconds": time.perf_counter() - start,
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()},
        "optimizer": "Adam, cosine decay to a hundredth",
        "machine": f"{platform.machine()}, {platform.processor() or 'CPU'}",
        "versions": {
            "python": platform.python_version(),
            "keras": keras.__version__,
            "backend": keras.config.backend(),
        },
        "curve": curve.points,
    }
    options.output.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"{figures['nll_nats']:.2f} nats (published 86.76), {training:.0f} s of training")


if __name__ == "__main__":
    main()
