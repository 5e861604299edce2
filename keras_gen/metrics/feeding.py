"""A stream of data, given to several metrics at once.

Metrics over sets share extractors: a batch goes through each distinct extractor once, and what comes out, features and
logits, to all metrics of that extractor. So k metrics of one network cost one pass of it, not k.
"""

import time

import keras

from keras_gen.metrics.frechet import ClasswiseFrechetInceptionDistance
from keras_gen.metrics.sets import SetMetric, values


def feed(metrics, batches, side, steps=None, verbose="auto"):
    """Give every batch of a stream to every metric.

    Args:
        metrics: metrics over sets; others take generated data, by `update_state(x)`.
        batches: an iterable of `(x, labels)`. `x` is a batch of data, or a dict of what an extractor made of it; labels
            are `(batch,)` or None.
        side: "real" or "generated".
        steps: number of batches if it is known, for the progress bar.
        verbose: `"auto"` shows progress on work of more than two seconds; 0 or 1.

    Returns:
        The number of examples.

    Raises:
        ValueError: no batch at all; what the metrics and extractors raise.
    """
    metrics = [m for m in metrics if takes(m, side)]
    count, progress = 0, Progress(steps, verbose)
    for step, (x, labels) in enumerate(batches):
        found = {}
        for metric in metrics:
            _give(metric, x, labels, side, found)
        count += len(next(iter(x.values())) if isinstance(x, dict) else x)
        progress.update(step + 1)
    if not count:
        raise ValueError(f"Expected {side} data. Received none: an empty set, or a generator that is used up.")
    return count


def takes(metric, side):
    """Whether a metric wants data of that side."""
    return side in metric.sides if isinstance(metric, SetMetric) else side == "generated"


def batches_of(data, batch_size):
    """`(x, labels)`, batch by batch, and the number of batches if that is known.

    Args:
        data: an array; a tuple `(x, labels)` of arrays; a dict of arrays, what an extractor made of all the data; or an
            iterable of finite length that gives `x` or `(x, labels, ...)`: `keras.utils.PyDataset`, `tf.data`, torch's
            `DataLoader`.
        batch_size: rows of arrays at once; an iterable has batches of its own.

    Raises:
        ValueError: arrays that are empty or differ in length, or no such data.
    """
    if isinstance(data, tuple) and len(data) != 2:
        raise ValueError(f"Expected a tuple of data as `(x, labels)`. Received one of {len(data)}.")
    if isinstance(data, keras.utils.PyDataset):
        return (_pair(data[i]) for i in range(len(data))), len(data)
    if hasattr(data, "shape") or isinstance(data, (tuple, dict)):
        x, labels = data if isinstance(data, tuple) else (data, None)
        x = {key: values(array, key) for key, array in x.items()} if isinstance(x, dict) else values(x, "data")
        return _slices(x, None if labels is None else values(labels, "labels"), batch_size)
    if hasattr(data, "__iter__"):
        steps = len(data) if hasattr(data, "__len__") else None
        return (_pair(batch) for batch in data), steps
    raise ValueError(
        "Expected data as an array, a tuple `(x, labels)`, a dict of features or an iterable of batches. Received: "
        f"{type(data).__name__}."
    )


def _slices(x, labels, batch_size):
    arrays = [*(x.values() if isinstance(x, dict) else [x]), *([] if labels is None else [labels])]
    sizes = {len(array) if array.ndim else 0 for array in arrays}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            f"Expected data with at least one row, as many in each array. Received shapes {[a.shape for a in arrays]}."
        )
    starts = range(0, sizes.pop(), batch_size)
    parts = ((_rows(x, i, batch_size), None if labels is None else labels[i : i + batch_size]) for i in starts)
    return parts, len(starts)


def _rows(x, start, count):
    if isinstance(x, dict):
        return {key: array[start : start + count] for key, array in x.items()}
    return x[start : start + count]


def _pair(batch):
    batch = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    return batch[0], batch[1] if len(batch) > 1 else None


def _give(metric, x, labels, side, found):
    """One batch for one metric; `found` keeps what each extractor made of it."""
    if not isinstance(metric, SetMetric):
        return metric.update_state(x)
    if isinstance(x, dict) or metric.extractor is None:
        features = x if isinstance(x, dict) else metric.extract(x)
    else:
        key = id(metric.extractor)
        features = found[key] = found[key] if key in found else metric.extractor(x)
    given = {side: metric.choose(features)}
    if isinstance(metric, ClasswiseFrechetInceptionDistance):
        given[f"{side}_labels"] = labels
    metric.update_features(**given)


def figures(metrics):
    """Dict, name -> float, of the results of all metrics.

    Raises:
        ValueError: two figures of one name.
    """
    found = {}
    for metric in metrics:
        result = metric.result()
        result = result if isinstance(result, dict) else {metric.name: result}
        if again := sorted(found.keys() & result.keys()):
            raise ValueError(
                f"Expected figures of different names. Received {again} twice. Give metrics a `name` of their own, or "
                "take them apart."
            )
        found.update({name: float(keras.ops.convert_to_numpy(value)) for name, value in result.items()})
    return found


class Progress:
    """A progress bar: after two seconds of work (`verbose="auto"`), at once (1), or never (0)."""

    def __init__(self, steps, verbose):
        self.steps, self.verbose, self.start, self.bar = steps, verbose, time.perf_counter(), None

    def update(self, step):
        late = time.perf_counter() - self.start > 2.0 and step != self.steps
        if self.bar is None and (self.verbose in (1, 2, True) or (self.verbose == "auto" and late)):
            self.bar = keras.utils.Progbar(self.steps)
        if self.bar is not None:
            self.bar.update(step)
