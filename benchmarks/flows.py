"""What flows cost beside torch libraries of the same architecture: milliseconds a batch of training, density, samples.

    maf         MAF(5), two hidden layers: beside zuko's
    couplings   five rational-quadratic spline couplings, eight bins: beside nflows's

on vectors of 8, 64 and 784 numbers, in batches of 256. `fit`, `log_prob` and `sample` are timed, as a user calls them,
against a plain torch loop. The contestants take turns; torch runs in a process of its own, also where torch is the
backend; each side gets the same number of threads (OMP_NUM_THREADS; for TensorFlow TF_NUM_INTRAOP_THREADS too).
zuko and nflows have to be importable.

    KERAS_BACKEND=jax OMP_NUM_THREADS=1 python -m benchmarks.flows --output docs/benchmarks/flows-jax.json
"""

import contextlib
import json
import os
import subprocess
import sys

import keras
import numpy as np

from benchmarks.step_overhead import arguments, machine, now, save, show, take_turns
from keras_gen import layers, models

SIZES, FAMILIES, TASKS = (8, 64, 784), ("maf", "couplings"), ("train", "density", "sample")
CASES = tuple(f"{family}_{size}_{task}" for family in FAMILIES for size in SIZES for task in TASKS)
SETTINGS = {"steps": 5, "units": (256, 256), "bins": 8, "bound": 3.0, "rate": 1e-4, "batch_size": 256}


def flow(family, size):
    """The same layers as the peer's, without any normalisation between them."""
    keras.utils.set_random_seed(0)
    steps, units = SETTINGS["steps"], SETTINGS["units"]
    if family == "maf":
        return models.MAF((size,), steps, units, normalization=None)
    spline = layers.SplineTransform(SETTINGS["bins"], SETTINGS["bound"])
    return models.NormalizingFlow(
        (size,), [layers.Coupling(units, spline, "alternating", flip=bool(i % 2)) for i in range(steps)]
    )


def data(size, count):
    return np.random.default_rng(0).normal(size=(count * SETTINGS["batch_size"], size)).astype("float32")


def ours(case, count):
    """A function that returns the seconds of `count` batches."""
    family, size, task = case.split("_")
    model, x, batch = flow(family, int(size)), data(int(size), count), SETTINGS["batch_size"]
    model.compile(keras.optimizers.Adam(SETTINGS["rate"]))
    do = {
        "train": lambda: model.fit(x, batch_size=batch, shuffle=False, verbose=0),
        "density": lambda: model.log_prob(x, batch_size=batch, verbose=0),
        "sample": lambda: model.sample(len(x), seed=0, batch_size=batch, verbose=0),
    }[task]

    def run():
        start = now()
        do()
        return now() - start, np.zeros(2)

    return run


def theirs(case, count):
    import torch

    from benchmarks import flows_torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    family, size, task = case.split("_")
    do = flows_torch.tasks(family, int(size), SETTINGS, data(int(size), count))[task]

    def timed():
        start = now()
        do(count)
        return now() - start, None

    return timed


@contextlib.contextmanager
def torch_process(case, count):
    """`theirs` in a process of its own, which waits meanwhile."""
    command = [sys.executable, "-m", "benchmarks.flows", "--serve", case, "--steps", str(count)]
    environment, pipe = {**os.environ, "KERAS_BACKEND": "torch"}, subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:

        def run():
            print("run", file=process.stdin, flush=True)
            return np.array(json.loads(next(line for line in process.stdout if line.startswith("[")))), None

        yield run
        process.stdin.close()


def measure(case, options):
    count = 1 if case == "maf_784_sample" else options.steps
    with torch_process(case, count) as torch_run:
        figures = take_turns({"fit": ours(case, count), "torch": torch_run}, options.rounds, count)
    return {"case": case, "steps": count, **figures}


def main():
    """Measure, print the table, write the JSON."""
    parser = arguments(__doc__, CASES, rounds=5, steps=20)
    parser.add_argument("--serve", choices=CASES, help="time a case in torch for each line of the standard input")
    options = parser.parse_args()
    if options.serve:
        run = theirs(options.serve, options.steps)
        for _ in sys.stdin:
            print(json.dumps(run()[0].tolist()), flush=True)
        return
    before, rows = machine(), []
    for case in [options.only] if options.only else CASES:
        rows.append(measure(case, options))
        show(rows[-1])
        save(options, __doc__, before, rows)


if __name__ == "__main__":
    main()
