"""The order of the data: batch s of a training is a pure function of (seed, s).

A pass over the data has L batches. Training step s, counted from the beginning of `fit`, takes batch s mod L of pass
floor(s / L), in an order that is drawn from (seed, pass) alone:

    rows(s) = pi_p[b i : b (i + 1)],    p, i = divmod(s, L),    pi_p = permutation of n drawn from Philox(seed, p)

with b the batch size, of all processes together: each takes its block of the rows. So a training can go on from any
step in another process, the order is the same on every backend, and an epoch may have any number T of steps: epoch e
takes the steps e T ... e T + T - 1.

`fit` reads arrays, `keras.utils.PyDataset` and what has an iterator that can be saved (Grain) through a `Stream`,
an adapter in the sense of Keras. What else streams (`tf.data`, `DataLoader`, generators) goes to Keras as it is: the
order is its own affair.
"""

import collections
import concurrent.futures
import math
import random
import sys

import keras
import numpy as np

from keras_gen import backend
from keras_gen.models import inputs

_REMEMBERED = 1024  # states of an iterator kept: more than any backend reads ahead


class Stream(backend.DataAdapter):
    """What Keras iterates: the batches of one epoch, from the position at which `fit` is.

    Args:
        source: what gives batches: `Arrays`, `Dataset` or `Iterated`.
        steps: T, batches an epoch.
        seed: int, of the order.

    Attributes:
        epoch, skip: the next iterator begins in this epoch, after so many of its batches.
    """

    def __init__(self, source, steps, seed):
        self.source, self.steps, self.seed = source, steps, seed
        self.epoch, self.skip = 0, 0

    def _range(self):
        return self.epoch * self.steps + self.skip, (self.epoch + 1) * self.steps

    def get_numpy_iterator(self):
        yield from self.source.batches(*self._range(), self.seed)

    get_jax_iterator = get_numpy_iterator

    def get_torch_dataloader(self):
        for batch in self.get_numpy_iterator():
            yield keras.tree.map_structure(_tensor, batch)

    def get_tf_dataset(self):
        return self.source.dataset(lambda: (*self._range(), self.seed))

    def on_epoch_begin(self):
        self.source.on_epoch_begin()

    def on_epoch_end(self):
        self.source.on_epoch_end()

    @property
    def num_batches(self):
        return self.steps

    @property
    def batch_size(self):
        return self.source.batch_size


class _Source:
    """Where batches come from; `length` is that of a pass, None if it never ends."""

    batch_size = None
    _order = (None, None)

    def on_epoch_begin(self):
        """As `PyDataset.on_epoch_begin`."""

    def on_epoch_end(self):
        """As `PyDataset.on_epoch_end`."""

    def position(self, step):
        """`(pass, batch)` of a step."""
        return (0, step) if self.length is None else divmod(step, self.length)

    def order(self, seed, number):
        """pi of pass `number`; the last one is kept."""
        if self._order[0] != (seed, number):
            generator = np.random.Generator(np.random.Philox(key=[seed, number]))
            self._order = ((seed, number), self._draw(generator))
        return self._order[1]

    def fingerprint(self):
        """What must be the same for a training to go on: a dict of plain values."""
        return {"length": self.length}

    def state(self, step):
        """What beside the step an iterator needs to go on from `step`."""

    def restore(self, state, step):
        """Go on from `step`."""

    def dataset(self, position):
        """The batches of `position()` as a `tf.data.Dataset`."""
        return backend.batch_dataset(lambda: self.batches(*position()), self.peek())


class Arrays(_Source):
    """Rows of numpy arrays in a new order each pass.

    Args:
        arrays: tuple of arrays of n rows, None where there is none.
        batch_size: rows a batch, b.
        shuffle: whether to permute the rows; `"batch"`: within each batch alone.
        dtype: of floats.
    """

    def __init__(self, arrays, batch_size, shuffle, dtype):
        self.arrays, self.batch_size, self.shuffle = arrays, batch_size, shuffle
        self.dtypes = tuple(None if a is None else dtype if a.dtype.kind == "f" else a.dtype.name for a in arrays)
        self.size = len(arrays[0])
        self.length = math.ceil(self.size / batch_size)
        for rows in {min(batch_size, self.size), self.size % batch_size or batch_size}:
            backend.block(rows)  # refuses, before training, what the devices do not divide

    def _draw(self, generator):
        if self.shuffle == "batch":
            starts = range(self.batch_size, self.size, self.batch_size)
            return np.concatenate([generator.permutation(r) for r in np.split(np.arange(self.size), starts)])
        return generator.permutation(self.size) if self.shuffle else np.arange(self.size)

    def rows(self, step, seed):
        """The rows of a batch."""
        number, i = self.position(step)
        return self.order(seed, number)[i * self.batch_size : (i + 1) * self.batch_size]

    def batches(self, start, stop, seed):
        for step in range(start, stop):
            rows = self.rows(step, seed)
            yield tuple(self._take(array, rows, d) for array, d in zip(self.arrays, self.dtypes, strict=True))

    def _take(self, array, rows, dtype):
        return None if array is None else array[_own(rows)].astype(dtype, copy=False)

    def dataset(self, position):
        width = self.batch_size if self.size % self.batch_size == 0 else None
        return backend.row_dataset(lambda: self._table(*position()), self.arrays, self.dtypes, width)

    def _table(self, start, stop, seed):
        table = np.full((stop - start, self.batch_size), -1, "int64")
        for step in range(start, stop):
            rows = self.rows(step, seed)
            table[step - start, : len(rows)] = rows
        return table

    def fingerprint(self):
        sample = np.linspace(0, self.size - 1, 64).astype(int)
        checks = [None if a is None else float(np.sum(a[sample], dtype="float64")) for a in self.arrays]
        return {"examples": self.size, "batch_size": self.batch_size, "shuffle": self.shuffle, "checks": checks}


class Dataset(_Source):
    """The batches of a `PyDataset`, by its own workers.

    A dataset with a method `at(pass_index, batch_index, seed)`, a pure function, chooses its own order (`seed` None:
    that of the data); of another one the batches are permuted.
    """

    def __init__(self, dataset, shuffle):
        self.data, self.shuffle, self.length = dataset, shuffle, dataset.num_batches
        self.on_epoch_begin, self.on_epoch_end = dataset.on_epoch_begin, dataset.on_epoch_end
        own = keras.utils.PyDataset
        hooks = (type(dataset).on_epoch_begin, type(dataset).on_epoch_end)
        self.changes = not hasattr(dataset, "at") and hooks != (own.on_epoch_begin, own.on_epoch_end)

    def batches(self, start, stop, seed):
        calls = (self._call(step, seed) for step in range(start, stop))
        parallel = self.data.workers > 1 or (self.data.workers > 0 and self.data.use_multiprocessing)
        for batch in _ahead(self.data, calls) if parallel else (_read(self.data, *call) for call in calls):
            yield keras.tree.map_structure(_own, batch)

    def _call(self, step, seed):
        number, i = self.position(step)
        if hasattr(self.data, "at"):
            return number, i, seed if self.shuffle else None
        return (i if self.length is None or not self.shuffle else int(self.order(seed, number)[i]),)

    def _draw(self, generator):
        return generator.permutation(self.length)

    def fingerprint(self):
        return {"length": self.length, "shuffle": self.shuffle}

    def peek(self):
        return _read(self.data, *self._call(0, 0))


class Iterated(_Source):
    """What iterates and whose iterator has `get_state` and `set_state`, such as Grain's.

    Of several processes each reads all that its own iterator gives: Grain divides the data itself (`ShardOptions`).
    """

    def __init__(self, data, length):
        self.data, self.length = data, length
        self._iterator, self._states = iter(data), collections.OrderedDict()

    def batches(self, start, stop, seed):
        self._remember(start)
        for step in range(start, stop):
            batch = self._batch()
            self._remember(step + 1)
            yield batch

    def _batch(self):
        try:
            return _tuple(next(self._iterator))
        except StopIteration:
            self._iterator = iter(self.data)
            return _tuple(next(self._iterator))

    def _remember(self, step):
        self._states[step] = self._iterator.get_state()
        if len(self._states) > _REMEMBERED:
            self._states.popitem(last=False)

    def state(self, step):
        return self._states[step]

    def restore(self, state, step):
        self._iterator.set_state(state)

    def peek(self):
        return _tuple(next(iter(self.data)))


def make_stream(data, batch_size=None, shuffle=True, steps=None, seed=None, dtype="float32"):
    """The `Stream` of `data`, a tuple `(x, y, sample_weight)`; None if x orders itself (`tf.data`, `DataLoader`, ...).

    Raises:
        ValueError: `steps` is needed, since x has no end, and was not given; x has no batch; y or weights beside an x
            that brings its own.
    """
    source = _source(data, batch_size, shuffle, steps, dtype)
    if source is None:
        return None
    if steps is None and not source.length:
        what = "has no end: pass `steps_per_epoch`" if source.length is None else "is empty"
        raise ValueError(f"Expected data with batches to train on. Received: {type(data[0]).__name__}, which {what}.")
    if seed is None:  # from Python's generator, which `keras.utils.set_random_seed` seeds
        seed = random.randrange(2**31)
    return Stream(source, steps or source.length, backend.agree(inputs.check_seed(seed)))


def _source(data, batch_size, shuffle, steps, dtype):
    x = data[0]
    if isinstance(x, np.ndarray):
        size = batch_size or (math.ceil(len(x) / steps) if steps else 32)
        given = 3 if data[2] is not None else 2 if data[1] is not None else 1
        return Arrays(data[:given], size, shuffle, dtype)
    from_grain = type(x).__module__.split(".")[0] == "grain" and hasattr(x, "__iter__")
    if (from_grain or isinstance(x, keras.utils.PyDataset)) and any(part is not None for part in data[1:]):
        raise ValueError(
            f"Expected y and sample_weight within the batches of a {type(x).__name__}. "
            "Received: one of them beside it. Let it give (x, y) or (x, y, sample_weight)."
        )
    if isinstance(x, keras.utils.PyDataset):
        return Dataset(x, shuffle)
    if from_grain:
        return Iterated(x, len(x) if hasattr(x, "__len__") and len(x) < sys.maxsize else None)
    return None


def _tensor(x):
    return None if x is None else keras.ops.convert_to_tensor(x)


def _own(array):
    """The rows of a global batch that this process takes."""
    return None if array is None else array[backend.block(len(array))]


def _tuple(batch):
    return tuple(batch) if isinstance(batch, (list, tuple)) else batch if isinstance(batch, dict) else (batch,)


def _read(data, *call):
    return _tuple(data.at(*call) if len(call) > 1 else data[call[0]])


_held = None


def _hold(data):
    global _held
    _held = data


def _read_held(call):
    return _read(_held, *call)


def _ahead(data, calls):
    """The batches of `calls` in order, read ahead by the dataset's workers."""
    if data.use_multiprocessing:
        pool = concurrent.futures.ProcessPoolExecutor(data.workers, initializer=_hold, initargs=(data,))
        submit = lambda call: pool.submit(_read_held, call)  # noqa: E731
    else:
        pool = concurrent.futures.ThreadPoolExecutor(data.workers)
        submit = lambda call: pool.submit(_read, data, *call)  # noqa: E731
    waiting = collections.deque()
    try:
        for call in calls:
            waiting.append(submit(call))
            if len(waiting) > max(data.max_queue_size, 1):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
