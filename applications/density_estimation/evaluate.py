"""Held-out nats of a flow, beside those of a Gaussian with full covariance.

Both are log-densities of the data in their own units. The Gaussian is N(A [1, c], S), fitted to the rows that the flow
was trained on by least squares; without columns that are given, its mean is the mean. Of n rows with log-densities of
standard deviation s, the standard error of their mean is s / sqrt(n); that of the gain is of the differences, row by
row, which is much smaller.

No density can exceed minus the entropy of what the rows were drawn from, in the mean of many rows; of the toys it is
known.
"""

import math

import numpy as np

from keras_gen.datasets import toys

BATCH = 1024


def figures(model, known, parts, toy=None):
    """Means and standard errors of log p, nats a row, as a dict."""
    test = parts["test"]
    flow = log_density(model, known, test)
    normal = gaussian(parts["train"], test) + known.log_det
    found = {"flow": summary(flow), "gaussian": summary(normal), "gain": summary(flow - normal)}
    found["flow_on_training_rows"] = summary(log_density(model, known, parts["train"]))
    if toy in toys.ENTROPIES:
        found["highest_possible"] = -toys.ENTROPIES[toy]
    return found


def log_density(model, known, part):
    """log p(x given c) in the units of the data, float64 `(n,)`."""
    log_p = model.log_prob(part.z, part.c, batch_size=BATCH, verbose=0).astype("float64")
    return log_p + known.log_det


def gaussian(train, test):
    """log N(z; A [1, c], S) of rows `test`, A and S of rows `train`."""
    z, design = train.z.astype("float64"), _design(train)
    a = np.linalg.lstsq(design, z, rcond=None)[0]
    residual = z - design @ a
    factor = np.linalg.cholesky(residual.T @ residual / len(z))
    e = np.linalg.solve(factor, (test.z - _design(test) @ a).T)
    return -0.5 * (e**2).sum(0) - np.log(np.diag(factor)).sum() - 0.5 * len(factor) * math.log(2 * math.pi)


def _design(part):
    one = np.ones((len(part), 1))
    return one if part.c is None else np.concatenate([one, part.c.astype("float64")], axis=1)


def summary(values):
    """Mean and standard error; null where they are not finite."""
    with np.errstate(invalid="ignore"):
        pair = {"mean": values.mean(), "standard_error": values.std(ddof=1) / math.sqrt(len(values))}
    return {name: float(v) if math.isfinite(v) else None for name, v in pair.items()}


def table(found, options, n):
    """The figures as text."""
    lines = [f"log-density of {n:,} held-out rows, nats a row (more is better)"]
    names = {"flow": f"{options.flow} flow", "gaussian": "Gaussian, full covariance", "gain": "gain"}
    lines += [f"  {title:26}{_shown(found[name], '+' if name == 'gain' else '')}" for name, title in names.items()]
    if "highest_possible" in found:
        lines.append(f"  {'highest possible mean':26}{found['highest_possible']:10.4f}")
    return "\n".join(lines)


def _shown(pair, sign):
    mean, error = pair["mean"], pair["standard_error"]
    return " not finite" if mean is None or error is None else f"{mean:{sign}10.4f} +- {error:.4f}"
