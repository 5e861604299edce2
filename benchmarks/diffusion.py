"""Diffusion: a training step and sampling, beside the same U-Net in plain torch under diffusers' loop.

    train      one step of `fit` of a batch of 32 images of 28 x 28: epsilon, Adam, the average of the weights
    ddim       16 images by 50 steps of DDIM;  dpm: by 20 of DPM-Solver++ 2M
    overhead   what the sampler costs beyond the network: its time over that of a compiled loop of the network alone
    programs   how often the network is traced when 5, 20 and 50 steps are asked for, one after another

The sides take turns; wall seconds, the median of the rounds, and processor seconds.

    KERAS_BACKEND=jax OMP_NUM_THREADS=1 python -m benchmarks.diffusion --output docs/benchmarks/diffusion-jax.json
"""

import argparse
import json
from pathlib import Path
from statistics import median

import keras
import numpy as np
import torch
from keras import ops

from benchmarks import diffusion_torch
from benchmarks.step_overhead import machine, now
from keras_gen import backend, diffusion, models, networks

SHAPE, BATCH, IMAGES = (28, 28, 1), 32, 16
NETWORK = {"channels": 32, "multipliers": (1, 2, 2), "blocks": 1}
SOLVERS = {"ddim": (diffusion.DDIM(), 50), "dpm": (diffusion.DPMSolverPlusPlus(2), 20)}


def alternated(functions, rounds):
    """Median wall and processor seconds of each function, which take turns, after two calls each."""
    times = {name: [] for name in functions}
    for i in range(rounds + 2):
        for name, fn in functions.items():
            start = now()
            fn()
            if i >= 2:
                times[name].append(now() - start)
    clocks = ("wall", "processor")
    return {name: {c: median(t[i] for t in found) for i, c in enumerate(clocks)} for name, found in times.items()}


class Traced(networks.UNet):
    """A U-Net that counts how often it is traced."""

    count = 0

    def call(self, *args, **kwargs):
        Traced.count += 1
        return super().call(*args, **kwargs)


def make():
    keras.utils.set_random_seed(0)
    choices = {"parametrisation": "epsilon", "schedule": "variance_preserving", "seed": 0}
    model = models.DiffusionModel(SHAPE, Traced(SHAPE, **NETWORK), **choices)
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def train(model, peer, rounds):
    x = np.random.default_rng(0).uniform(-1, 1, (BATCH, *SHAPE)).astype("float32")
    trainer, images = diffusion_torch.Trainer(peer), torch.tensor(x).permute(0, 3, 1, 2).contiguous()
    return alternated(
        {"ours": lambda: model.train_on_batch(x), "torch": lambda: trainer.step(images)}, rounds
    )


def sampling(model, peer, solver, rounds):
    sampler, steps = SOLVERS[solver]
    levels = [model.schedule.alpha_sigma(np.float64(t)) for t in diffusion.times(model.schedule, steps)]
    noise = torch.randn(IMAGES, 1, 28, 28)
    alone = network_alone(model, steps)
    found = alternated(
        {
            "ours": lambda: model.sample(IMAGES, sampler=sampler, steps=steps, seed=0, verbose=0),
            "torch": lambda: diffusion_torch.sample(peer, noise, levels, solver),
            "network": alone,
        },
        rounds,
    )
    overhead = {c: round(found["ours"][c] / found["network"][c] - 1.0, 4) for c in ("wall", "processor")}
    return {**found, "steps": steps, "overhead": overhead}


def network_alone(model, steps):
    """A function that runs the denoiser's network `steps` times in one compiled loop."""
    network = model.best(clip=False).network

    def loop(x):
        ones = ops.ones((IMAGES,))
        return backend.loop(steps, lambda i, x: 0.5 * x + 1e-3 * network(x, ones), x)

    run = backend.compile(loop, lambda: model.variables, loop=True)
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(IMAGES, *SHAPE)).astype("float32"))
    return lambda: ops.convert_to_numpy(run(x))


def programs(model):
    """Traces of the network while 5, 20 and 50 steps are sampled by a fresh model."""
    before, counts = Traced.count, []
    for steps in (5, 20, 50):
        model.sample(2, sampler="ddim", steps=steps, seed=0, verbose=0)
        counts.append(Traced.count - before)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, peer = make(), diffusion_torch.UNet(**NETWORK)
    weights = [int(model.denoiser.count_params()), sum(p.numel() for p in peer.parameters())]
    result = {"what": __doc__.splitlines()[0], "machine": machine(), "network": NETWORK, "weights": weights}
    result["traces"] = programs(make())
    print(weights, result["traces"], flush=True)
    result["train"] = train(model, peer, options.rounds)
    print(result["train"], flush=True)
    for solver in SOLVERS:
        result[solver] = sampling(model, peer, solver, options.rounds)
        print(solver, result[solver], flush=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
