"""The inverse of a masked autoregressive map: cached beside the naive way, and beside one pass forward.

    forward     z of x, one pass of the network
    cached      `inverse_and_log_det`: a step computes the hidden units that have become known
    naive       `naive_inverse_and_log_det`: a step evaluates the whole network

Milliseconds a batch of 256, two hidden layers of 512 units, affine, compiled as a model compiles it (on torch: eager,
without a tape); the ways take turns, each after a call that warms it up, and the median over rounds counts.

    KERAS_BACKEND=jax OMP_NUM_THREADS=1 python -m benchmarks.autoregressive_inverse
"""

import argparse
import json
from statistics import median

import keras
import numpy as np
from keras import ops

from benchmarks.step_overhead import now
from keras_gen import backend
from keras_gen.layers import MaskedAutoregressive

WAYS = ("forward", "cached", "naive")


def ways(size, units=(512, 512), batch=256):
    """Dict, name -> a compiled function without arguments that waits for its result, and the bijection."""
    keras.utils.set_random_seed(0)
    bijection = MaskedAutoregressive(units)
    bijection.build((None, size))
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(batch, size)).astype("float32"))
    maps = {
        "forward": bijection.forward_and_log_det,
        "cached": bijection.inverse_and_log_det,
        "naive": bijection.naive_inverse_and_log_det,
    }
    compiled = {name: backend.compile(fn, bijection.variables) for name, fn in maps.items()}
    return {name: lambda fn=fn: ops.convert_to_numpy(fn(x)[1]) for name, fn in compiled.items()}


def measure(size, rounds=5, **options):
    """Median milliseconds of each way, and the ratios of the cached inverse."""
    found, times = ways(size, **options), {name: [] for name in WAYS}
    for fn in found.values():
        fn()
    for _ in range(rounds):
        for name, fn in found.items():
            start = now()
            fn()
            times[name].append(1e3 * (now() - start))
    # Of the processor: on a busy machine the wall's clock tells of the others.
    wall, processor = ({name: round(median(t[i] for t in times[name]), 3) for name in WAYS} for i in (0, 1))
    ratios = {name: round(processor[name] / processor["cached"], 3) for name in ("forward", "naive")}
    return {"size": size, "wall_ms": wall, "processor_ms": processor, "over_cached": ratios}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 64, 784])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for size in options.sizes:
        row = {"backend": keras.config.backend(), **measure(size, options.rounds)}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
