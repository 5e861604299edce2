"""What watching for NaN and infinity costs: milliseconds a training step, and their ratio to a step without.

The models are those of `step_overhead`: `vae` (dense, a small step, where it shows most) and `wgan_gp` (two players,
six optimizer steps in a training step). The contestants:

    off              no flag: losses are neither recorded nor looked at
    loss             the default: losses recorded in the step, looked at every 100 steps and when an epoch ends
    gradients        `Divergence(gradients=True)`: norms recorded and logged, too
    skip             `Divergence(skip=10)`: a step with a bad loss changes nothing
    gradients_skip   both

They take turns; a round measures the second of two epochs of each, in an order that rotates. Ratios are medians over
rounds of the ratio to `off` in the same round, and the ratio of minima over rounds, which a busy machine disturbs
least; both of the wall's clock and of the processor's (all threads). `look_ms` is one look at the record and `keep_ms`
one copy of the state, of the default contestant, by themselves: of one in 100 and one in 1000 steps.

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

from benchmarks.step_overhead import BATCH, MODELS, RATE, SHAPE, machine, timed_fit
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

    def begin(self):
        """Nothing."""

    begin_batch = watch = close = lambda self, *args: None
    end_epoch = begin

    def finish(self, logs, count):
        return logs, count

    def epoch_logs(self):
        return {}


def contestant(case, options):
    """A compiled model; blind if `options` is None."""
    model = MODELS[case]()
    adam = keras.optimizers.Adam(RATE[case]) if case == "vae" else keras.optimizers.Adam(RATE[case], 0.5, 0.9)
    model.compile(adam, divergence=options)
    if options is None:
        model._guard = Blind()
        vars(model.optimizer)["record"] = None
    return model


def milliseconds(fn, repeats=20):
    """Median wall time of `fn()`."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        fn()
        times.append(1e3 * (time.perf_counter() - start))
    return median(times)


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


def measure(case, rounds, steps, seed):
    """The figures of one case."""
    x = (np.random.default_rng(seed).random((steps * BATCH[case], *SHAPE[case])) < 0.2).astype("float32")
    models = {name: contestant(case, options) for name, options in CONTESTANTS.items()}
    runs = {name: timed_fit(model, x, BATCH[case]) for name, model in models.items()}
    for run in runs.values():
        run()
    times, names = {name: [] for name in runs}, list(runs)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            gc.collect()
            times[name].append(1e3 * runs[name]()[0] / steps)
    clocks = {clock: {n: [t[i] for t in v] for n, v in times.items()} for i, clock in enumerate(("wall", "processor"))}
    figures = {clock: summary(values) for clock, values in clocks.items()}
    return {"case": case, "batch_size": BATCH[case], "steps": steps, **figures, **host_costs(models["loss"])}


def summary(rounds):
    """Medians in milliseconds a step, and two kinds of ratios to `off`."""
    off = rounds["off"]
    return {
        "milliseconds_a_step": {name: median(values) for name, values in rounds.items()},
        "median_of_ratios": {name: median(np.divide(values, off)) for name, values in rounds.items()},
        "ratio_of_minima": {name: min(values) / min(off) for name, values in rounds.items()},
        "rounds": rounds,
    }


def show(row):
    """The lines of the table."""
    for clock in ("wall", "processor"):
        figures = row[clock]
        off = figures["milliseconds_a_step"]["off"]
        print(f"{keras.config.backend():11}{row['case']:9}{clock:10} off {off:.3f} ms")
        for name in list(CONTESTANTS)[1:]:
            ratios = figures["median_of_ratios"][name], figures["ratio_of_minima"][name]
            print(f"  {name:15} median of ratios {ratios[0]:.4f}, ratio of minima {ratios[1]:.4f}")
    print(f"  look {row['look_ms']:.3f} ms, keep {row['keep_ms']:.3f} ms", flush=True)


def main():
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="rounds, a multiple of the five contestants")
    parser.add_argument("--steps", type=int, default=100, help="steps an epoch")
    parser.add_argument("--only", choices=CASES, help="one case alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", help="a remark kept in the JSON")
    parser.add_argument("--output", type=Path, help="file for the results in JSON")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    before, rows = machine(), []
    for case in [options.only] if options.only else CASES:
        rows.append(measure(case, options.rounds, options.steps, options.seed))
        show(rows[-1])
    what = __doc__.splitlines()[0]
    figures = {"what": what, "note": options.note, "seed": options.seed, "machine": before, "rows": rows}
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(figures, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
