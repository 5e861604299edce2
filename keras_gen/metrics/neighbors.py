"""Nearest neighbours: what a generated sample lies next to, and whether that is a copy.

For queries q and data x_1 ... x_N, distances |q - x_i| are found in two steps. In blocks, from

    |q - x|^2 = |q - c|^2 + |x - c|^2 - 2 (q - c).(x - c),        c the mean of the block,

which is one matrix product; then those of the nearest few of a block again as sums of squared differences, so that a
copy has the distance 0 and not the rounding of large numbers. All in float64.

Whether samples y_1 ... y_n are copies of the training data T is seen against a reference: held-out data H that are like
T but were not trained on. With d(y, T) the distance to the nearest point, t(y) that point:

    authenticity   = share of samples with d(y, T) > d(t(y), T without t(y))       (Alaa et al., section 4)
    train_share    = share of samples with d(y, T) < d(y, H), ties by half
    distance_ratio = median of d(y, T) / d(y, H)

A copy lies nearer to its original than that to any other: authenticity falls. How large it is without copies depends on
the density and the dimension; its value for H, which is known not to be copied, is the reference. If the model does not
know which points are in T and which in H, the nearest of both lies in T with probability N_T / (N_T + N_H): the
expectation of `train_share`, whatever the density. The ratio is then near 1 if N_T = N_H.

Reference:
    Alaa, van Breugel, Saveliev, van der Schaar 2022, "How faithful is your synthetic data?", arXiv:2102.08921. Their
    program takes, for each training point, the nearest sample; here, as in the text, for each sample the nearest
    training point.
"""

import keras
import numpy as np

from keras_gen.metrics.sets import Reservoir, SetMetric, check_count, rows, values, warn

_BLOCK = 2**21  # numbers held at once in an array: 16 MB
_SPARE = 4  # candidates of a block beyond k, whose distances are computed again


def nearest_neighbors(queries, data, k=1):
    """The k nearest of the data for each query, by Euclidean distance.

    Args:
        queries: `(n, ...)`: vectors, or what is flattened to vectors.
        data: `(N, ...)` of the same shape but for the first axis, N >= k.
        k: positive integer, default 1.

    Returns:
        distances `(n, k)`, float64, ascending, and indices `(n, k)`, int64. Of equal distances the lower index comes
        first, but which of more equal ones than k are found is not said.

    Raises:
        ValueError: shapes that do not agree, NaN or infinity, empty arrays, k out of its range.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import nearest_neighbors
        >>> distances, indices = nearest_neighbors([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]], k=2)
        >>> distances.tolist(), indices.tolist()
        ([[0.0, 1.0]], [[2, 1]])
    """
    queries = _flat(queries, "queries")
    data = _flat(data, "data", queries.shape[1], check_count("k", k))
    nearest = _Nearest(k)
    nearest.update(queries, data)
    return nearest.distances, nearest.indices


def authenticity(generated, train):
    """Share of samples that lie farther from their nearest training point than that from its nearest other one.

    Args:
        generated: samples `(n, ...)`.
        train: what was trained on, `(N, ...)`, N >= 2.

    Returns:
        float in [0, 1]; 0 if all are copies. Compare it with `authenticity(held_out, train)`.

    Raises:
        ValueError: as `nearest_neighbors`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import authenticity
        >>> authenticity([[0.1], [3.0]], [[0.0], [1.0]])  # the first is a copy, more or less
        0.5

    Reference:
        Alaa et al. 2022, arXiv:2102.08921, section 4.
    """
    train = _flat(train, "train", least=2)
    generated = _flat(generated, "generated", train.shape[1])
    distances, indices = nearest_neighbors(generated, train)
    return _authentic(distances[:, 0], indices[:, 0], train)


def memorization(generated, train, held_out):
    """Whether samples are nearer to the training data than to data that were not trained on.

    Args:
        generated: samples `(n, ...)`.
        train: what was trained on, `(N_T, ...)`, N_T >= 2.
        held_out: data of the same kind that were not, `(N_H, ...)`.

    Returns:
        dict of floats: `authenticity`, and `authenticity_held_out`, that of the held-out data, its reference;
        `train_share`, and `expected_share`, N_T / (N_T + N_H), its reference; `distance_ratio`, whose reference is 1 if
        N_T = N_H.

    Raises:
        ValueError: as `nearest_neighbors`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import memorization
        >>> train, held_out = np.random.default_rng(0).normal(size=(2, 500, 2))
        >>> found = memorization(train[:100], train, held_out)  # copies
        >>> found["authenticity"], found["train_share"], found["expected_share"], found["distance_ratio"]
        (0.0, 1.0, 0.5, 0.0)

    Reference:
        Alaa et al. 2022, arXiv:2102.08921, section 4, for the authenticity.
    """
    train = _flat(train, "train", least=2)
    generated, held_out = _flat(generated, "generated", train.shape[1]), _flat(held_out, "held_out", train.shape[1])
    if len(train) != len(held_out):
        warn(f"distance_ratio: {len(train)} training and {len(held_out)} held-out points. 1 is its reference for sets "
             "of one size only.")  # fmt: skip
    to_train, indices = (found[:, 0] for found in nearest_neighbors(generated, train))
    to_held_out = nearest_neighbors(generated, held_out)[0][:, 0]
    ratio = np.ones(len(generated))
    with np.errstate(divide="ignore"):
        np.divide(to_train, to_held_out, out=ratio, where=to_train != to_held_out)
    nearer = np.where(to_train == to_held_out, 0.5, to_train < to_held_out)
    return {
        "authenticity": _authentic(to_train, indices, train),
        "authenticity_held_out": authenticity(held_out, train),
        "train_share": float(nearer.mean()),
        "expected_share": len(train) / (len(train) + len(held_out)),
        "distance_ratio": float(np.median(ratio)),
    }


@keras.saving.register_keras_serializable(package="keras_gen")
class NearestNeighbors(SetMetric):
    """Nearest real examples of given generated ones; the real ones stream and are not kept.

    All generated samples come first: `update_state(generated=...)`, once or in batches; then the real data,
    `update_state(real=...)`, in as many batches as there are. Indices count the real examples in the order in which
    they came.

    Args:
        extractor: callable, images to features `(n, d)` or to a dict with `"features"`; None (default): the data
            themselves, flattened.
        k: neighbours of each sample, default 1.
        name: as in `keras.metrics.Metric`.

    Raises:
        ValueError: k out of its range.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import NearestNeighbors
        >>> metric = NearestNeighbors()
        >>> metric.update_state(generated=np.array([[0.0], [7.0]]))
        >>> for batch in np.array([[[1.0], [9.0]], [[2.0], [8.0]]]):
        ...     metric.update_state(real=batch)
        >>> metric.result()
        {'nearest_distance': 1.0}
        >>> [found.ravel().tolist() for found in metric.neighbors()]
        [[1.0, 1.0], [0, 3]]
    """

    keeps_real = False  # `keras_gen.callbacks.SampleMetrics` then streams them again for other samples

    def __init__(self, extractor=None, k=1, name="nearest_neighbors"):
        self.k = check_count("k", k)
        super().__init__(extractor, name=name)
        self._real = _Nearest(self.k)

    def make_summary(self):
        return Reservoir(2**62, seed=0)  # all rows

    def extract(self, data):
        """The features of a batch of data, or the data flattened; None gives None."""
        return None if data is None else _flat(super().extract(data), "data")

    def update_features(self, real=None, generated=None):
        """Takes features that are extracted already, `(n, d)`; the generated before the real."""
        given = self.check_features(real, generated)
        if "generated" in given:
            if self._real.count:
                raise ValueError(
                    "Expected all generated samples before the first real ones, which are not kept. Received: some "
                    f"after {self._real.count} real ones. Call `reset_state()` and begin anew."
                )
            self._generated.update(given["generated"])
        if "real" in given:
            self._check_generated()
            self._real.update(self._generated.rows, given["real"])

    def _check_generated(self):
        if not self._generated.count:
            raise ValueError("Expected generated samples before the first real ones. Received none.")

    def neighbors(self):
        """Distances `(n, k)`, float64, ascending, and indices `(n, k)`, int64, of the real examples.

        Raises:
            ValueError: fewer than k real examples so far.
        """
        self._check_generated()
        if self._real.count < self.k:
            raise ValueError(f"Expected at least {self.k} real examples before a result. Received {self._real.count}.")
        return self._real.distances, self._real.indices

    def result(self):
        """Dict: `nearest_distance`, the mean distance of a sample from the nearest real example."""
        return {"nearest_distance": float(self.neighbors()[0][:, 0].mean())}

    def reset_generated(self):
        """Forgets both sides: what is kept of the real one is of these samples."""
        self.reset_state()

    def merge_state(self, metrics):
        """Takes over what other metrics have found for the same samples among other real examples.

        Indices go on: those of the first other metric begin behind this one's.

        Raises:
            ValueError: another kind of metric, another k, other samples.
        """
        metrics = list(metrics)
        for other in metrics:
            alike = type(other) is type(self) and other.k == self.k and other._generated.count == self._generated.count
            if not alike or (self._generated.count and not np.array_equal(other._generated.rows, self._generated.rows)):
                raise ValueError(
                    f"Expected a NearestNeighbors of k={self.k} with the same generated samples, in the same order. "
                    f"Received: another {type(other).__name__}."
                )
        for other in metrics:
            self._real.merge(other._real)

    def get_config(self):
        return {**super().get_config(), "k": self.k}


class _Nearest:
    """The nearest k so far of data that come in batches."""

    def __init__(self, k):
        self.k = k
        self.reset()

    def reset(self):
        self.count, self.width, self.distances, self.indices = 0, None, None, None

    def update(self, queries, data):
        """Adds data `(N, d)`; the queries `(n, d)` are the same in each call."""
        self.width = data.shape[1]
        step = max(1, _BLOCK // self.width)
        for start in range(0, len(data), step):
            block = data[start : start + step].astype("float64")
            distances, indices = _nearest_in(queries, block, self.k)
            self._add(distances, indices + self.count, len(block))

    def merge(self, other):
        if other.count:
            self.width = other.width
            self._add(other.distances, other.indices + self.count, other.count)

    def _add(self, distances, indices, count):
        if self.count:
            distances = np.concatenate([self.distances, distances], axis=1)
            indices = np.concatenate([self.indices, indices], axis=1)
        self.distances, self.indices = _first(self.k, distances, indices)
        self.count += count


def _nearest_in(queries, data, k):
    """Distances and indices `(n, min(k, N))` of the nearest in one block of data."""
    center = data.mean(axis=0)
    x = data - center
    square = (x * x).sum(axis=1)
    size, step = min(k + _SPARE, len(x)), max(1, _BLOCK // max(x.shape))
    found = []
    for q in (queries[i : i + step].astype("float64") for i in range(0, len(queries), step)):
        near = square - 2.0 * ((q - center) @ x.T)  # and |q - center|^2, which orders nothing
        near = np.argpartition(near, size - 1, axis=1)[:, :size]
        distances = np.stack([np.linalg.norm(q - data[i], axis=1) for i in near.T], axis=1)
        found.append(_first(k, distances, near))
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _first(k, distances, indices):
    """The k smallest distances of each row, ascending, and their indices; of equal ones the lower index first."""
    order = np.lexsort((indices, distances))[:, :k]
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)


def _authentic(distances, indices, train):
    points, places = np.unique(indices, return_inverse=True)
    between = nearest_neighbors(train[points], train, k=2)[0][:, 1]
    return float((distances > between[places]).mean())


def _flat(x, name, width=None, least=1):
    """`x` as a checked matrix with a row for each example."""
    x = values(x, name)
    return rows(x.reshape(len(x), -1) if x.ndim > 2 and len(x) else x, name, width, least)
