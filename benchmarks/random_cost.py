"""What `keras_gen.random` costs beside `keras.random`: milliseconds a call, compiled, and their ratio.

Both sides run in turn in one process: a graph on TensorFlow, jit on JAX, eager on torch. A call makes the
noise of one batch, and its result is brought to numpy on both sides, so that nothing is left to run later.

    KERAS_BACKEND=jax python -m benchmarks.random_cost --output random_cost.json
"""

import argparse
import json
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import keras
from keras import ops

from keras_gen import backend, random

SHAPES = ((64, (16,)), (64, (28, 28, 1)), (64, (64, 64, 3)))
SEED = 0


def draws(shape):
    """name -> (ours from keys, theirs from a seed generator), both of the same event shape."""
    return {
        "normal": (
            lambda keys: random.normal(keys, shape),
            lambda n, seed: keras.random.normal((n, *shape), seed=seed),
        ),
        "uniform": (
            lambda keys: random.uniform(keys, shape),
            lambda n, seed: keras.random.uniform((n, *shape), seed=seed),
        ),
        "integers": (
            lambda keys: random.integers(keys, shape, 0, 10),
            lambda n, seed: keras.random.randint((n, *shape), 0, 10, seed=seed),
        ),
    }


def seconds(fn, repeats):
    """The time of one call, averaged over enough calls to last about 20 ms, `repeats` times."""
    start = time.perf_counter()
    fn()
    calls = max(1, int(0.02 / (time.perf_counter() - start)))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            fn()
        times.append((time.perf_counter() - start) / calls)
    return times


def compare(name, ours, theirs, n, repeats):
    """The medians of both sides over rounds that alternate, in milliseconds."""
    keys, generator = random.keys(SEED, n), keras.random.SeedGenerator(SEED)
    our_draw = backend.compile(ours)
    their_draw = backend.compile(lambda: theirs(n, generator), [generator.state])
    sides = (
        lambda: ops.convert_to_numpy(our_draw(keys)),
        lambda: ops.convert_to_numpy(their_draw()),
    )
    for side in sides:
        side()
        side()
    rounds = [[seconds(side, 1)[0] for side in sides] for _ in range(repeats)]
    ours_ms, theirs_ms = (1e3 * median(times) for times in zip(*rounds, strict=True))
    return {"draw": name, "keras_gen_ms": ours_ms, "keras_ms": theirs_ms, "ratio": ours_ms / theirs_ms}


def machine():
    """Machine and versions."""
    found = {}
    for package in ("keras", "numpy", "tensorflow", "tensorflow-cpu", "jax", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "backend": keras.backend.backend(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": found,
    }


def main():
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="file for the results in JSON")
    parser.add_argument("--repeats", type=int, default=9, help="rounds, of which the median counts")
    options = parser.parse_args()
    rows = []
    print(f"{keras.backend.backend():12}draw      shape              keras_gen ms   keras ms   ratio")
    for n, shape in SHAPES:
        for name, (ours, theirs) in draws(shape).items():
            row = compare(name, ours, theirs, n, options.repeats) | {"shape": [n, *shape]}
            rows.append(row)
            times = f"{row['keras_gen_ms']:12.3f} {row['keras_ms']:10.3f} {row['ratio']:7.2f}"
            print(f"{'':12}{name:9} {str((n, *shape)):18} {times}", flush=True)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps({"machine": machine(), "seed": SEED, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
