"""What each dtype policy costs and keeps: one model with one optimizer, one with two, on the current backend.

Trained are a VAE (one player) and the WGAN with gradient penalty of the tests (two) on the 8x8 digits, under float32,
mixed_float16, mixed_bfloat16 and float64. With the same weights, data and noise in each policy, a cell says

    loss            first and last epoch's mean; of the game, the distance between the mean sample and the mean digit
    difference      sum_i |l_i - l64_i| / sum_i |l64_i| of the first losses per example, l64 those in float64 (the
                    largest of the players'); without dropout, whose mask Keras draws in the compute dtype
    dtypes          of weights, activations (a hidden layer's output), log-likelihoods and gradients
    resumes         saved after two epochs, loaded and trained for one more: weights equal bit for bit those of three
    overflow        a player whose loss scale is 2^100 skips its steps and halves its scale at each; the others step
                    (mixed_float16; a critic of five steps ends with 2^-5 of its scale)

    KERAS_BACKEND=jax JAX_ENABLE_X64=1 python -m benchmarks.precision --output docs/benchmarks/precision-jax.json
"""

import argparse
import functools
import json
import platform
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_gen import backend, layers, random
from keras_gen.datasets import digits
from keras_gen.models import VAE
from keras_gen.models.steps import Batch
from keras_gen.networks import MLP

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16", "float64")
BATCH, SCALE = 64, 2.0**100


@functools.cache
def data(n=512):
    """The first digits, float32 in [0, 1], `(n, 8, 8)`."""
    return (digits.load_data()[0][0][:n] / 16.0).astype("float32")


def vae(policy):
    """One player."""
    own = {"activation": "tanh", "dtype": policy}
    head = layers.BernoulliHead((8, 8), dtype=policy)
    return VAE((8, 8), 4, encoder=MLP((64,), **own), decoder=MLP((64,), **own), likelihood=head, seed=0, dtype=policy)


def wgan(policy):
    """Two players."""
    from tests.wgan_gp import WGANGP

    return WGANGP((8, 8), seed=0, dtype=policy)


MODELS = {1: vae, 2: wgan}


def compiled(model, scaled=None):
    """`model` with an Adam for each player; the player `scaled` begins at the loss scale 2^100."""
    optimizers = {player: keras.optimizers.Adam(2e-3) for player in model.players}
    if scaled:
        optimizers[scaled] = keras.optimizers.LossScaleOptimizer(optimizers[scaled], initial_scale=SCALE)
    # Two traces of one graph differ in the last bit on TensorFlow: what is compared bit for bit runs eagerly there.
    model.compile(optimizers, run_eagerly=keras.config.backend() == "tensorflow")
    return model


def fit(model, epochs, n=None):
    return model.fit(data()[:n], batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0).history


def numbers(variables):
    return [ops.convert_to_numpy(v.value) for v in variables]


def start(policy, players):
    """A model of this policy whose weights are those drawn in float32."""
    keras.utils.set_random_seed(0)
    weights = numbers(MODELS[players]("float32").trainable_variables)
    model = MODELS[players](policy)
    for variable, value in zip(model.trainable_variables, weights, strict=True):
        variable.assign(value.astype(str(variable.dtype)))
    return model


def first_losses(policy, players):
    """Each player's first losses per example, the noise that of the seeds."""
    model = start(policy, players)
    run = backend.compile(lambda: [loss() for loss in losses(model).values()], lambda: model.variables)
    return [ops.convert_to_numpy(value).astype("float64") for value in run()]


def difference(policy, players):
    """How far the first losses are from those of float64, relative to them."""
    pairs = zip(first_losses(policy, players), first_losses("float64", players), strict=True)
    return max(float(np.abs(own - exact).sum() / np.abs(exact).sum()) for own, exact in pairs)


def losses(model):
    """Player -> its loss per example on the first batch, without dropout."""
    x = model._event(ops.convert_to_tensor(data()[:BATCH]))
    if len(model.players) == 1:
        return {"model": lambda: model.objective(x, training=True)["loss"]}
    for layer in model.critic.layers:
        layer.rate = 0.0
    critic = {"critic": lambda: model.critic_loss(Batch(x))["loss"]}
    return critic | {"generator": lambda: model.generator_loss(BATCH)}


def dtypes(policy, players):
    """What weights, activations, log-likelihoods and gradients are held in, as sorted names."""
    model = compiled(start(policy, players))
    player, loss = next(iter(losses(model).items()))
    part = model.players[player]

    def run():
        x = model._event(ops.convert_to_tensor(data()[:BATCH]))
        return {
            "activations": [part(x) if players > 1 else model.encoder(x)],
            "log_likelihoods": [] if players > 1 else [model.log_density(x, keys=random.keys(0, BATCH))],
            "gradients": backend.value_and_grad(lambda: ops.mean(loss()), part.trainable_variables)[1],
        }

    found = {"weights": model.trainable_variables, **backend.compile(run, lambda: model.variables)()}
    return {what: names(tensors) for what, tensors in found.items()}


def names(tensors):
    return ", ".join(sorted({keras.backend.standardize_dtype(t.dtype) for t in tensors})) or None


def trains(policy, players, epochs):
    """First and last loss of a training, and whether every weight is finite."""
    keras.utils.set_random_seed(0)
    model = compiled(start(policy, players))
    before = distance(model)
    losses = fit(model, epochs)["loss" if players == 1 else "critic_loss"]
    first, last = (losses[0], losses[-1]) if players == 1 else (before, distance(model))
    finite = all(np.isfinite(v).all() for v in numbers(model.variables))
    return {"first": float(first), "last": float(last), "falls": bool(last < first), "finite": finite}


def distance(model):
    """Between the mean of 256 samples and the mean digit, root mean square over the pixels."""
    samples = model.sample(256, seed=0, verbose=0).astype("float64")
    return float(np.sqrt(np.mean((samples.mean(0) - data().mean(0)) ** 2)))


def resumes(policy, players, n=None):
    """Whether two epochs, a file, and one epoch more give the weights of three epochs, bit for bit."""
    keras.utils.set_random_seed(0)
    model = compiled(start(policy, players))
    fit(model, 2, n)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        loaded = keras.saving.load_model(Path(folder) / "model.keras")
    for one in (model, loaded):
        fit(one, 1, n)
    states = [numbers([*one.variables, *one.optimizer.variables]) for one in (model, loaded)]
    return all(np.array_equal(a, b) for a, b in zip(*states, strict=True))


def overflow(policy, players):
    """One step in which the first player overflows: the factor of its scale, what it moved, who else moved."""
    keras.utils.set_random_seed(0)
    model = start(policy, players)
    victim = sorted(model.players)[0]
    compiled(model, scaled=victim)
    moved = {p: m.trainable_variables for p, m in model.players.items()}
    before = {p: numbers(v) for p, v in moved.items()}
    model.train_on_batch(data()[:BATCH])
    after = {p: numbers(v) for p, v in moved.items()}
    steps = {p: not all(map(np.array_equal, before[p], after[p])) for p in moved}
    member = model.optimizer.member(victim)
    return {
        "player": victim,
        "scale_factor": float(ops.convert_to_numpy(member.dynamic_scale.value)) / SCALE,
        "stepped": steps,
        "only_it_skipped": steps == {p: p != victim for p in steps},
    }


def cell(policy, players, epochs):
    """All that the table says of a policy and a number of players."""
    began = time.perf_counter()
    found = {
        "policy": policy,
        "players": players,
        "loss": trains(policy, players, epochs),
        "difference_of_first_loss": difference(policy, players),
        "dtypes": dtypes(policy, players),
        "resumes_bit_for_bit": resumes(policy, players),
        "overflow": overflow(policy, players) if policy == "mixed_float16" else None,
    }
    return {**found, "seconds": round(time.perf_counter() - began, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    cells = []
    for players in MODELS:
        for policy in POLICIES:
            cells.append(cell(policy, players, arguments.epochs))
            print(json.dumps(cells[-1]), flush=True)
    versions = {"python": platform.python_version(), "keras": keras.__version__, "numpy": np.__version__}
    result = {"backend": keras.config.backend(), "versions": versions, "epochs": arguments.epochs, "cells": cells}
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
