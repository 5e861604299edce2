"""What `fit` costs beside a loop written by hand: milliseconds a training step, and their ratio.

Three cases, each with the same networks, optimizer and data (numpy arrays shuffled anew each epoch, minibatch slices)
on both sides:

    vae        dense 784-200-200-50 and back, tanh, batch 100: a small step, where overhead shows
    conv_vae   28x28 images, two strided convolutions and their mirror, batch 128
    wgan_gp    dense, 784 and 256 units, two optimizers, 5 critic steps of 64 and a generator step of 320

`fit` is `keras_gen`'s (diagnostics and checks included); `hand` is `step_overhead_{backend}.py`. Beside the first also
`keras`: the same networks under plain `keras.Model.fit` with Keras's own training step; on torch also `layers`: the
hand-written loop around Keras's layers. Contestants take turns; a round measures one whole epoch of each, warmed up by
an epoch before. Medians over rounds count, those of the wall's clock; the processor's (all threads) also tell on a busy
machine. `start_ms` is what the first epoch of a call of `fit` costs more than the second.

    KERAS_BACKEND=jax python -m benchmarks.step_overhead --output step_overhead.json
"""

import argparse
import gc
import importlib
import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import keras
import numpy as np
from keras import layers, ops

from keras_gen.models import VAE
from tests.wgan_gp import WGANGP

RATE = {"vae": 1e-3, "conv_vae": 1e-3, "wgan_gp": 1e-4}
BATCH = {"vae": 100, "conv_vae": 128, "wgan_gp": 320}
SHAPE = {"vae": (784,), "conv_vae": (28, 28, 1), "wgan_gp": (784,)}


def dense_vae():
    """784-200-200-50-200-200-784 with tanh."""
    encoder = keras.Sequential([layers.Input((784,)), layers.Dense(200, "tanh"), layers.Dense(200, "tanh")])
    decoder = keras.Sequential([layers.Input((50,)), layers.Dense(200, "tanh"), layers.Dense(200, "tanh")])
    return VAE((784,), 50, encoder=encoder, decoder=decoder, seed=0)


def conv_vae():
    """28-14-7 with 32 and 64 filters, and back."""
    options = {"strides": 2, "padding": "same", "activation": "relu"}
    encoder = [layers.Conv2D(32, 3, **options), layers.Conv2D(64, 3, **options), layers.Flatten()]
    decoder = [layers.Dense(7 * 7 * 64, "relu"), layers.Reshape((7, 7, 64))]
    decoder += [layers.Conv2DTranspose(32, 3, **options), layers.Conv2DTranspose(32, 3, **options)]
    encoder = keras.Sequential([layers.Input((28, 28, 1)), *encoder])
    decoder = keras.Sequential([layers.Input((16,)), *decoder])
    return VAE((28, 28, 1), 16, encoder=encoder, decoder=decoder, seed=0)


def wgan_gp():
    return WGANGP((784,), latent_dim=32, units=256)


MODELS = {"vae": dense_vae, "conv_vae": conv_vae, "wgan_gp": wgan_gp}


class PlainVAE(keras.Model):
    """The networks of a `VAE` under Keras's own training step, on any backend."""

    def __init__(self, vae):
        super().__init__()
        self.encoder, self.posterior = vae.encoder, vae.posterior_head.projection
        self.decoder, self.observation = vae.decoder, vae.observation_head.projection
        self.latent_dim, self.noise = vae.latent_dim, keras.random.SeedGenerator(1)
        self.trackers = [keras.metrics.Mean(name=name) for name in ("reconstruction", "kl")]

    def call(self, x, training=False):
        h = ops.reshape(self.posterior(self.encoder(x, training=training)), (-1, self.latent_dim, 2))
        mean, scale = h[..., 0], 1e-5 + ops.exp(ops.minimum(h[..., 1], 20.0))
        z = mean + scale * keras.random.normal(ops.shape(mean), seed=self.noise)
        a = self.observation(self.decoder(z, training=training))
        kl = 0.5 * ops.sum(scale**2 + mean**2 - 1.0 - 2.0 * ops.log(scale), axis=-1)
        return ops.sum(ops.softplus(a) - x * a, axis=-1), kl

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(y_pred[0] + y_pred[1])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        for tracker, term in zip(self.trackers, y_pred, strict=True):
            tracker.update_state(term)
        return self.get_metrics_result()


class _Clock(keras.callbacks.Callback):
    """Time (wall, processor) at the end of each epoch, when its logs are known."""

    def on_train_begin(self, logs=None):
        self.times = []

    def on_epoch_end(self, epoch, logs=None):
        float(logs["loss"] if "loss" in logs else logs["critic_loss"])
        self.times.append(now())


def now():
    """Wall and processor time, seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def timed_fit(model, x, batch_size):
    """A function that fits two epochs: (wall, processor) seconds of the second, and the first beyond the second."""

    def run():
        clock, start = _Clock(), now()
        model.fit(x, batch_size=batch_size, epochs=2, verbose=0, callbacks=[clock])
        epoch = clock.times[1] - clock.times[0]
        return epoch, clock.times[0] - start - epoch

    return run


def timed_hand(epoch):
    """A function that runs two epochs: (wall, processor) seconds of the second."""

    def run():
        epoch()
        start = now()
        epoch()
        return now() - start, None

    return run


def contestants(case, x):
    """Dict, name -> function that returns the seconds of an epoch and of a start."""
    hand = importlib.import_module(f"benchmarks.step_overhead_{keras.config.backend()}")
    batch_size, rate = BATCH[case], RATE[case]
    model, other = MODELS[case](), MODELS[case]()
    adam = keras.optimizers.Adam(rate) if case != "wgan_gp" else keras.optimizers.Adam(rate, 0.5, 0.9)
    model.compile(adam)
    loop = hand.wgan_gp if case == "wgan_gp" else hand.vae
    other.compile(type(adam).from_config(adam.get_config()))  # only says whether XLA is on
    found = {"fit": timed_fit(model, x, batch_size), "hand": timed_hand(loop(other, x, batch_size, rate))}
    if case == "vae":
        plain = PlainVAE(MODELS[case]())
        plain.compile(keras.optimizers.Adam(rate))
        found["keras"] = timed_fit(plain, x, batch_size)
    if case != "wgan_gp" and hasattr(hand, "vae_on_keras_layers"):
        found["layers"] = timed_hand(hand.vae_on_keras_layers(MODELS[case](), x, batch_size, rate))
    return found


def measure(case, rounds, steps, seed):
    """The figures of one case."""
    x = (np.random.default_rng(seed).random((steps * BATCH[case], *SHAPE[case])) < 0.2).astype("float32")
    figures = take_turns(contestants(case, x), rounds, steps)
    return {"case": case, "batch_size": BATCH[case], "steps": steps, **figures}


def take_turns(found, rounds, steps):
    """The contestants `found` in turns, after a run that warms each up: a summary by each clock, and `start_ms`.

    Args:
        found: dict, name -> function that returns the (wall, processor) seconds of `steps` steps, and those of a start
            or None.
    """
    for run in found.values():
        run()
    times, starts = {name: [] for name in found}, []
    for _ in range(rounds):
        for name, run in found.items():
            gc.collect()
            epoch, start = run()
            times[name].append(1e3 * epoch / steps)
            starts += [1e3 * start[0]] if name == "fit" else []
    clocks = {clock: {n: [t[i] for t in v] for n, v in times.items()} for i, clock in enumerate(("wall", "processor"))}
    return {**{clock: summary(rounds) for clock, rounds in clocks.items()}, "start_ms": median(starts)}


def summary(rounds):
    """Medians of the rounds in milliseconds a step, and of their ratios to the hand-written loop's and to torch's."""
    found = {"milliseconds_a_step": {name: median(values) for name, values in rounds.items()}}
    for other in ("hand", "torch"):
        if other in rounds:
            ratios = {name: median(np.divide(values, rounds[other])) for name, values in rounds.items()}
            found[f"ratio_to_{other}"] = ratios
    return {**found, "rounds": rounds}


def machine():
    """Machine and versions, and how busy the machine was."""
    found = {}
    for package in ("keras", "numpy", "tensorflow", "tensorflow-cpu", "jax", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "backend": keras.config.backend(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "versions": found,
    }


def show(row):
    """The lines of the table."""
    other = "hand" if "hand" in row["wall"]["milliseconds_a_step"] else "torch"
    for clock in ("wall", "processor"):
        times = "".join(f"  {name} {ms:7.3f}" for name, ms in row[clock]["milliseconds_a_step"].items())
        ratios = "".join(f"  {name} {r:5.2f}" for name, r in row[clock][f"ratio_to_{other}"].items() if name != other)
        print(
            f"{keras.config.backend():11}{row['case']:9}{clock:10} ms a step:{times}   ratio to {other}:{ratios}",
            flush=True,
        )


def arguments(what, cases, rounds, steps):
    """The parser of the arguments that these benchmarks share."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds, of which the median counts")
    parser.add_argument("--steps", type=int, default=steps, help="steps a round")
    parser.add_argument("--only", choices=sorted(cases), help="one case alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", help="a remark kept in the JSON")
    parser.add_argument("--output", type=Path, help="file for the results in JSON")
    return parser


def save(options, what, before, rows):
    """Write the JSON, if that is asked for."""
    figures = {
        "what": what.splitlines()[0],
        "note": options.note,
        "seed": options.seed,
        "machine": before,
        "rows": rows,
    }
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(figures, indent=1, default=float) + "\n")


def main():
    """Measure, print the table, write the JSON."""
    options = arguments(__doc__, MODELS, rounds=7, steps=100).parse_args()
    keras.utils.set_random_seed(options.seed)
    before = machine()
    rows = []
    for case in [options.only] if options.only else MODELS:
        rows.append(measure(case, options.rounds, options.steps, options.seed))
        show(rows[-1])
    save(options, __doc__, before, rows)


if __name__ == "__main__":
    main()
