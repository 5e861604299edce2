"""What metrics of pairs of images have in common: x_i against y_i, a figure v_i for each pair, and its mean.

    mean = sum_i w_i v_i / sum_i w_i,        w_i the sample weights, 1 by default.

The state of such a metric is the two sums, so that streams, merged metrics and data-parallel replicas agree with one
metric over everything. An infinite v_i makes the mean infinite, unless its weight is zero; the mean of no pairs is NaN.

Shapes are checked always. Values are checked against the data range where they are known: by the functions, for arrays
and for tensors outside of compiled functions; by the metrics, for arrays alone. A metric in `compile(metrics=...)` sees
tensors, and takes them as they are on every backend: whether a step is compiled must not decide what it refuses.
"""

import numbers

import keras
import numpy as np
from keras import ops

from keras_gen.metrics.sums import SumMetric

TOLERANCE = 1e-5  # of the data range: values that rounding puts beyond it are within


def check_data_range(data_range):
    """`data_range` as a pair of floats (low, high); a number R means (0, R)."""
    pair = data_range if isinstance(data_range, (tuple, list)) else (0.0, data_range)
    known = all(isinstance(i, numbers.Real) and not isinstance(i, bool) and np.isfinite(i) for i in pair)
    if len(pair) != 2 or not known or not pair[0] < pair[1]:
        raise ValueError(
            "Expected `data_range` as a positive number (1.0 or 255: images in 0..1 or 0..255) or as a pair (low, "
            f"high) such as (-1, 1). Received: data_range={data_range!r}."
        )
    return float(pair[0]), float(pair[1])


def check_shapes(x, y):
    """The shape `(batch, height, width, channels)` of both, with None where it is not known; else a `ValueError`."""
    shapes = tuple(x.shape), tuple(y.shape)
    if any(len(s) != 4 or s[3] is None for s in shapes):
        raise ValueError(
            "Expected two batches of images of shape (batch, height, width, channels); grey images take an axis more, "
            f"`x[..., None]`. Received shapes {shapes[0]} and {shapes[1]}."
        )
    if any(a != b and None not in (a, b) for a, b in zip(*shapes, strict=True)):
        raise ValueError(
            "Expected two batches of images of the same shape: images are compared in pairs, and grey is not spread "
            f"over colours. Received shapes {shapes[0]} and {shapes[1]}."
        )
    return tuple(b if a is None else a for a, b in zip(*shapes, strict=True))


def _extremes(x):
    """Least and greatest value of `x` as floats, or None inside a compiled function."""
    if not ops.is_tensor(x):
        return float(x.min()), float(x.max())
    x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    try:
        return float(ops.convert_to_numpy(ops.min(x))), float(ops.convert_to_numpy(ops.max(x)))
    except (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError):  # a tracer has no values
        return None


def check_values(images, data_range):
    """Raise `ValueError` where known values lie beyond `(low, high)`, or in 0..1 where this is far wider."""
    found = [(x, extremes) for x in images if 0 not in tuple(x.shape) and (extremes := _extremes(x)) is not None]
    low, high = data_range
    slack = TOLERANCE * (high - low)
    for _, (least, greatest) in found:
        if not (least >= low - slack and greatest <= high + slack):
            raise ValueError(
                f"Expected finite values in the data range [{low:g}, {high:g}]. Received values from {least:g} to "
                f"{greatest:g}. Pass the range that the data have, or clip what a model put beyond it."
            )
    bound = max((max(-least, greatest) for _, (least, greatest) in found), default=0.0)
    real = all("float" in keras.backend.standardize_dtype(x.dtype) for x, _ in found)
    if len(found) == len(images) and real and 0.0 < bound <= 1.0 and high - low > 100.0:
        raise ValueError(
            f"Expected images in the data range [{low:g}, {high:g}]. Received values up to {bound:g}: images in 0..1, "
            "for which `data_range` is 1.0? (If they are that dark, pass them as integers.)"
        )


class PairMetric(SumMetric):
    """Base of metrics that are means over pairs of images; a subclass gives `values(x, y)` of shape `(batch,)`."""

    def __init__(self, name, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), initializer="zeros", dtype=self.dtype, name="total")
        self.count = self.add_variable((), initializer="zeros", dtype=self.dtype, name="count")

    def values(self, x, y):
        """The figure of each pair, `(batch,)`."""
        raise NotImplementedError

    def check(self, x, y):
        """Raise `ValueError` for arrays that do not fit; `values` sees to shapes."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add pairs of images `(batch, height, width, channels)`, and a weight `(batch,)` for each."""
        x, y = (i if ops.is_tensor(i) else np.asarray(i) for i in (y_true, y_pred))
        self.check(x, y)
        values = ops.cast(self.values(x, y), self.dtype)
        if sample_weight is None:
            count = ops.cast(ops.shape(values)[0], self.dtype)
        else:
            weight = self._weight(sample_weight, values)
            values, count = ops.where(weight == 0.0, 0.0, values * weight), ops.sum(weight)
        self.total.assign(self.total + ops.sum(values))
        self.count.assign(self.count + count)

    def _weight(self, weight, values):
        weight = ops.cast(weight, self.dtype)
        sizes = tuple(weight.shape)[:1] + tuple(values.shape)
        if tuple(weight.shape)[1:] not in ((), (1,)) or (None not in sizes and len(set(sizes)) > 1):
            raise ValueError(f"Expected `sample_weight` of shape (batch,). Received shape {tuple(weight.shape)}.")
        return ops.reshape(weight, (-1,))

    def result(self):
        """The mean over all pairs since the last reset, a scalar."""
        return self.total / self.count
