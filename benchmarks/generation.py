"""Generation of sequences: cached beside naive, beside the machine's arithmetic, beside torch without this library.

    wavenet        20 blocks of 32 channels, dilations 1 ... 512 twice, kernel 2: samples a second, 1 and 16 sequences.
                   naive: one pass of the network over its receptive field of 2047 a sample. floor: the multiplications
                   of a step at the rate of a large matrix product. peer: a queue-based WaveNet in torch.
    field          the time of a step by receptive field, the blocks being as many.
    transformer    4 blocks of 128 channels, 256 tokens: cached, naive (a pass over all positions a token), and a GPT in
                   torch without a cache, as minGPT is sampled.

Wall and processor seconds; the ways take turns and the median over rounds counts.

    KERAS_BACKEND=jax OMP_NUM_THREADS=1 python -m benchmarks.generation --output docs/benchmarks/generation-jax.json
"""

import argparse
import json
from pathlib import Path
from statistics import median

import keras
import numpy as np
import torch
from keras import ops

from benchmarks import generation_torch
from benchmarks.step_overhead import machine, now
from keras_gen import backend, models, random

ROW = tuple(2**i for i in range(10))
WAVENET = {"channels": 32, "skip_channels": 32, "dilations": 2 * ROW}
GPT = {"width": 128, "depth": 4, "heads": 4}
TOKENS, CLASSES, SEQUENCES = 256, 65, (1, 16)


def timed(fn, rounds):
    """Median wall and processor seconds of `fn()`, after a call that warms it up."""
    fn()
    times = []
    for _ in range(rounds):
        start = now()
        fn()
        times.append(now() - start)
    return {name: median(t[i] for t in times) for i, name in enumerate(("wall", "processor"))}


def sampler(model, method, n, **options):
    """A function without arguments that draws n sequences by `generate` or `naive_generate`."""
    run = backend.compile(lambda keys: getattr(model, method)(keys, **options), lambda: model.variables, loop=True)
    keys = random.keys(0, n)
    return lambda: ops.convert_to_numpy(run(keys))


def matrix_rate(rounds=5):
    """Multiplications and additions a second of a large product, one thread or as many as the backend takes."""
    a = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(1024, 1024)).astype("float32"))
    product = backend.compile(lambda a: ops.matmul(a, a))
    return 2 * 1024**3 / timed(lambda: ops.convert_to_numpy(product(a)), rounds)["wall"]


def multiplications(model):
    """Of one step: twice the weights that are multiplied, which are all but biases and the table."""
    kernels = [v for v in model.network.variables + model.head.variables if v.path.endswith("kernel")]
    return 2 * sum(int(np.prod(v.shape)) for v in kernels)


def wavenet(steps, rounds):
    keras.utils.set_random_seed(0)
    model = models.WaveNet((steps, 1), **WAVENET)
    field = model.network.receptive_field
    window = models.WaveNet((field, 1), **WAVENET)
    x = ops.convert_to_tensor(np.zeros((1, field, 1), "float32"))
    naive = backend.compile(lambda x: window(x)[:, -1], lambda: window.variables)
    rate, peer = matrix_rate(), generation_torch.WaveNet(**WAVENET)
    rows = {"receptive_field": field, "matrix_gflops": round(rate / 1e9, 1), "steps": steps}
    rows["naive_seconds_a_sample"] = timed(lambda: ops.convert_to_numpy(naive(x)), rounds)
    for n in SEQUENCES:
        ours = timed(sampler(model, "generate", n), rounds)
        theirs = timed(lambda n=n: peer.sample(n, 300), min(rounds, 3))
        step = {clock: ours[clock] / steps for clock in ours}
        rows[str(n)] = {
            "samples_a_second": {clock: round(n / step[clock]) for clock in step},
            "naive_over_cached": round(rows["naive_seconds_a_sample"]["processor"] / step["processor"], 1),
            "step_over_floor": round(step["processor"] * rate / (n * multiplications(model)), 1),
            "peer_samples_a_second": {clock: round(300 * n / theirs[clock]) for clock in theirs},
        }
    return rows


def field(steps, rounds):
    """Microseconds a step of one sequence, by the longest dilation."""
    found = {}
    for longest in (1, 8, 64, 512):
        row = [min(2**i, longest) for i in range(10)]
        model = models.WaveNet((steps, 1), **{**WAVENET, "dilations": 2 * tuple(row)})
        spent = timed(sampler(model, "generate", 1), rounds)["processor"]
        found[model.network.receptive_field] = round(1e6 * spent / steps, 1)
    return found


def transformer(rounds):
    keras.utils.set_random_seed(0)
    model = models.CausalTransformer((TOKENS,), CLASSES, positions="learned", **GPT)
    peer = generation_torch.GPT(CLASSES, TOKENS + 1, **GPT).eval()
    rows = {}
    for n in SEQUENCES:
        cached = timed(sampler(model, "generate", n), rounds)
        naive = timed(sampler(model, "naive_generate", n), 1)
        theirs = timed(lambda n=n: peer.sample(n, TOKENS), 1)
        tokens = {
            k: round(TOKENS * n / v["processor"]) for k, v in (("cached", cached), ("naive", naive), ("peer", theirs))
        }
        rows[str(n)] = {
            "tokens_a_second": tokens,
            "naive_over_cached": round(naive["processor"] / cached["processor"], 1),
            "peer_over_cached": round(theirs["processor"] / cached["processor"], 1),
        }
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=16000, help="samples of sound a call")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", nargs="*", default=["wavenet", "field", "transformer"])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "wavenet": lambda: wavenet(options.steps, options.rounds),
        "field": lambda: field(options.steps, options.rounds),
        "transformer": lambda: transformer(options.rounds),
    }
    settings = {"wavenet": {**WAVENET, "kernel_size": 2}, "transformer": {**GPT, "tokens": TOKENS, "classes": CLASSES}}
    result = {"what": __doc__.splitlines()[0], "machine": machine(), "settings": settings, "parts": {}}
    for name in options.parts:
        result["parts"][name] = parts[name]()
        print(json.dumps({name: result["parts"][name]}, indent=1), flush=True)
        if options.output:
            options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
