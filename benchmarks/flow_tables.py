"""Flows on tables: held-out nats beside torch libraries, for the same architecture, split, steps and rate.

MAF(5) beside zuko's, five spline couplings beside nflows's (see `benchmarks.flows`), on the tables of a file of arrays
`(rows, columns)`. Rows are shuffled by the seed: a tenth is held out, a tenth validates, the rest is trained on,
standardised by its own moments; nats are of the standardised columns. Both sides take the same steps and keep, of
twenty checks on the way, the weights that validate best: small tables overfit long before the last step. Neither side
has any normalisation between its steps, or regularisation. The peer's own ways of beginning differ from ours, and are
left.

    KERAS_BACKEND=jax OMP_NUM_THREADS=1 python -m benchmarks.flow_tables --data uci_tabular.npz \
        --output docs/benchmarks/flow_tables.json
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
import torch

from benchmarks import flows_torch
from benchmarks.step_overhead import machine
from keras_gen import layers, models

STEPS = {"protein": 3000, "parkinsons": 1500, "wine": 400}
CHECKS = 20
SETTINGS = {"steps": 5, "units": (128, 128), "bins": 8, "bound": 3.0, "rate": 1e-3, "batch_size": 256}


def split(table, seed):
    """Training, validating and held-out rows, standardised by the training rows."""
    rows, tenth = np.random.default_rng(seed).permutation(len(table)), len(table) // 10
    parts = [table[part].astype("float64") for part in np.split(rows, [tenth, 2 * tenth])]
    mean, std = parts[2].mean(0), parts[2].std(0)
    return tuple(((part - mean) / std).astype("float32") for part in reversed(parts))


def batches(train, steps, seed):
    """The rows of each step, `(steps, batch)`: epochs without what is left of a batch."""
    generator, size = np.random.default_rng(seed + 1000), min(SETTINGS["batch_size"], len(train))
    whole = len(train) // size * size
    count = steps * size // whole + 1
    epochs = [generator.permutation(len(train))[:whole] for _ in range(count)]
    return np.concatenate(epochs)[: steps * size].reshape(steps, size)


def best(rows, train, nats):
    """The held-out nats of the check that validates best: `train(rows)` goes on, `nats()` gives both."""
    found = []
    for part in np.array_split(rows, CHECKS):
        train(part)
        found.append(nats())
    return min(found)[1]


def ours(family, data, rows, seed):
    keras.utils.set_random_seed(seed)
    train, validation, test = data
    size, units = train.shape[1], SETTINGS["units"]
    if family == "maf":
        flow = models.MAF((size,), SETTINGS["steps"], units, normalization=None)
    else:
        spline = layers.SplineTransform(SETTINGS["bins"], SETTINGS["bound"])
        steps = range(SETTINGS["steps"])
        flow = models.NormalizingFlow(
            (size,), [layers.Coupling(units, spline, "alternating", flip=bool(i % 2)) for i in steps]
        )
    rate = keras.optimizers.schedules.CosineDecay(SETTINGS["rate"], len(rows))
    flow.compile(keras.optimizers.Adam(rate))

    def fit(part):
        flow.fit(train[part.ravel()], batch_size=part.shape[1], shuffle=False, verbose=0)

    def nats():
        return tuple(-float(flow.log_prob(x, batch_size=1000, verbose=0).mean()) for x in (validation, test))

    return best(rows, fit, nats)


def theirs(family, data, rows, seed):
    torch.manual_seed(seed)
    train, validation, test = map(torch.from_numpy, data)
    flow = flows_torch.make(family, train.shape[1], SETTINGS, seed)
    optimizer = torch.optim.Adam(flow.parameters(), SETTINGS["rate"])
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(rows))
    log_prob = (lambda x: flow().log_prob(x)) if family == "maf" else flow.log_prob

    def fit(part):
        for row in torch.from_numpy(part):
            optimizer.zero_grad(set_to_none=True)
            (-log_prob(train[row]).mean()).backward()
            optimizer.step()
            scheduler.step()

    def nats():
        with torch.no_grad():
            return tuple(-float(log_prob(x).mean()) for x in (validation, test))

    return best(rows, fit, nats)


def table(result):
    lines = ["| table | flow | ours, nats | peer | ours less peer, mean and standard error |", "|---|---|---|---|---|"]
    for key, row in result["rows"].items():
        a, b = np.array(row["ours"]), np.array(row["peer"])
        error = (a - b).std(ddof=1) / np.sqrt(len(a)) if len(a) > 1 else float("nan")
        numbers = f"{a.mean():.3f} | {b.mean():.3f} | {(a - b).mean():+.3f} ± {error:.3f}"
        lines.append(f"| {key.replace(' ', ' | ')} | {numbers} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="*", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--families", nargs="*", default=["maf", "couplings"])
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(5)))
    parser.add_argument("--output", type=Path, required=True, help="a JSON file; what it holds is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = {**SETTINGS, "training": STEPS, "checks": CHECKS}
    result = {"what": __doc__.splitlines()[0], "machine": machine(), "settings": settings, "rows": {}}
    if options.output.exists():
        result["rows"] = json.loads(options.output.read_text())["rows"]
    for name in options.tables:
        data = np.load(options.data)[name]
        for family in options.families:
            row = result["rows"].setdefault(f"{name} {family}", {"seeds": [], "ours": [], "peer": []})
            for seed in (s for s in options.seeds if s not in row["seeds"]):
                parts = split(data, seed)
                rows = batches(parts[0], STEPS[name], seed)
                found = {"ours": ours(family, parts, rows, seed), "peer": theirs(family, parts, rows, seed)}
                print(name, family, seed, found, flush=True)
                row["seeds"].append(seed)
                for side, value in found.items():
                    row[side].append(value)
                options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
