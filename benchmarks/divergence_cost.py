"""What watching for NaN and infinity costs: milliseconds a training step, and their ratio to a step without.

The models are those of `step_overhead`: `vae` (dense, a small step, where it shows most) and `wgan_gp` (two players,
six optimizer steps in a training step). The contestants:

    off              no flag: losses are neither recorded nor looked at
    loss             the default: losses recorded in the step, looked at every 100 steps and when an epoch ends
    gradients        `Divergence(gradients=True)`: norms recorded and logged, too
    skip             `Divergence(skip=10)`: a step with a bad loss changes nothing
    gradients_skip   both

They take turns step by step, in an order drawn anew each time, on the same batch, and each step is waited for: what
else the machine does meets all alike. Medians over steps count; an interval from 1000 resamplings of the steps shows
what a second run may give. The host's part is timed by itself on the default contestant: `look_ms` is a look at the
record, once in 100 steps; `keep_ms` a copy of the state, once in 1000. `loss` with both is `default`, the whole cost.

    KERAS_BACKEND=jax python -m benchmarks.divergence_cost --output docs/benchmarks/divergence_cost-jax.json
"""

import argparse
import gc
import json
import time
from pathlib import Path
from statistics import median

import keras
import numpy as np
from keras import ops

from benchmarks.step_overhead import BATCH, MODELS, RATE, SHAPE, machine
from keras_gen.models import Divergence

CONTESTANTS = {
    "off": None,
    "loss": Divergence(),
    "gradients": Divergence(gradients=True),
    "skip": Divergence(skip=10),
    "gradients_skip": Divergence(gradients=True, skip=10),
}
CASES = ("vae", "wgan_gp")


class Blind:
    """In the place of a model's guard: sees nothing."""

    players = ()

    def begin(self):
        """Nothing."""

    begin_batch = watch = lambda self, *args: None

    def finish(self, logs, count):
        return logs, count


def contestant(case, options):
    """A compiled model; blind if `options` is None."""
    model = MODELS[case]()
    adam = keras.optimizers.Adam(RATE[case]) if case == "vae" else keras.optimizers.Adam(RATE[case], 0.5, 0.9)
    model.compile(adam, divergence=options)
    if options is None:
        model._guard = Blind()
        vars(model.optimizer)["record"] = None
    return model


def stepper(model, x):
    """A function that makes one training step on `x` as `fit` does, and waits for it."""
    data = (ops.convert_to_tensor(x), None, None)
    model.train_on_batch(x)
    if keras.config.backend() == "torch":
        return lambda: wait(model.train_function([data]))
    if keras.config.backend() == "tensorflow":
        return lambda: wait(model.train_function(iter([data])))
    groups = ("trainable", "non_trainable", "optimizer", "metrics")
    state = [model._get_jax_state(**{f"{group}_variables": True for group in groups}, purge_model_variables=True)]

    def step():
        logs, state[0] = model.train_function(state[0], iter([data]))
        wait(logs)

    return step


def wait(logs):
    """Wait until the first of the logs is known."""
    float(next(iter(logs.values())))


def milliseconds(fn, repeats=20):
    """Median wall time of `fn()`."""
    return median(timed(fn) for _ in range(repeats))


def timed(fn):
    """Wall time of `fn()` in milliseconds."""
    start = time.perf_counter()
    fn()
    return 1e3 * (time.perf_counter() - start)


def host_costs(model):
    """Milliseconds of a look at the record, and of a copy of the state with it."""
    guard = model._guard
    guard.look()

    def keep():
        guard._kept = None
        guard.look()

    look = milliseconds(guard.look)
    costs = {"look_ms": look, "keep_ms": milliseconds(keep) - look}
    guard.close()
    return costs


def measure(case, steps, seed):
    """The figures of one case."""
    generator = np.random.default_rng(seed)
    x = (generator.random((BATCH[case], *SHAPE[case])) < 0.2).astype("float32")
    costs = host_costs(warmed(contestant(case, Divergence()), x))
    run = {name: stepper(contestant(case, options), x) for name, options in CONTESTANTS.items()}
    times = {name: [] for name in run}
    gc.collect()
    gc.disable()
    for i in range(-20, steps):
        for name in generator.permutation(list(run)):
            milli = timed(run[name])
            times[name] += [milli] if i >= 0 else []
    gc.enable()
    return {"case": case, "batch_size": BATCH[case], "steps": steps, **costs, **summary(times, costs, generator)}


def warmed(model, x):
    model.train_on_batch(x)
    return model


def summary(times, costs, generator):
    """Medians in milliseconds, their ratios to `off`, and intervals of 95 % of these."""
    times = {name: np.array(values) for name, values in times.items()}
    times["default"] = times["loss"] + costs["look_ms"] / 100 + costs["keep_ms"] / 1000
    steps = len(times["off"])
    ratios = {name: float(np.median(t) / np.median(times["off"])) for name, t in times.items()}
    intervals = {}
    for name, t in times.items():
        rows = generator.integers(steps, size=(1000, steps))
        resampled = np.median(t[rows], axis=1) / np.median(times["off"][rows], axis=1)
        intervals[name] = [float(q) for q in np.quantile(resampled, [0.025, 0.975])]
    medians = {name: float(np.median(t)) for name, t in times.items()}
    return {"milliseconds_a_step": medians, "ratio_to_off": ratios, "interval": intervals}


def show(row):
    """The lines of the table."""
    off = row["milliseconds_a_step"]["off"]
    print(f"{keras.config.backend():11}{row['case']:8} off {off:.3f} ms, ", end="")
    print(f"look {row['look_ms']:.3f} ms, keep {row['keep_ms']:.3f} ms")
    for name, ratio in row["ratio_to_off"].items():
        percent = [100 * r - 100 for r in (ratio, *row["interval"][name])]
        print("  {:15} {:+6.2f} %   [{:+.2f}, {:+.2f}]".format(name, *percent), flush=True)


def main():
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="steps of each contestant")
    parser.add_argument("--only", choices=CASES, help="one case alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", help="a remark kept in the JSON")
    parser.add_argument("--output", type=Path, help="file for the results in JSON")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    before, rows = machine(), []
    for case in [options.only] if options.only else CASES:
        rows.append(measure(case, options.steps, options.seed))
        show(rows[-1])
    what = __doc__.splitlines()[0]
    figures = {"what": what, "note": options.note, "seed": options.seed, "machine": before, "rows": rows}
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(figures, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
