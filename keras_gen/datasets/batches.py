"""Batches of data that need not fit into memory, in an order that is a pure function.

A source has n examples, `len(source)`, and gives any of them, `source[i]`. Let r(seed, p) be a random generator
seeded by the pair, and pi_{seed, p} the permutation of 0 .. n - 1 that it draws. Batch b of pass p holds the examples

    pi_{seed, p}(b B), pi_{seed, p}(b B + 1), ..., pi_{seed, p}((b + 1) B - 1),        B the batch size.

So each example comes once a pass, each pass has its own order, and nothing but the three numbers decides what a
batch holds: training that was interrupted goes on at any batch without reading those before it. A source whose
examples are cheap only in a certain order (`NpzShards`) draws the permutation itself, by a method `order(generator)`.
The permutation takes 8 bytes an example; two are kept.

Reading in parallel and ahead is Keras's own: `fit`, `evaluate` and `predict` of Keras read `workers` batches at a
time, in threads, and hold at most `max_queue_size` ready ones.
"""

import threading

import keras
import numpy as np

PERMUTATIONS_KEPT = 2


class Batches(keras.utils.PyDataset):
    """A source of examples, as batches for `fit`, `evaluate` and `predict`.

    `dataset[b]` is batch `b` in the order of the source, or in that of `seed`. `at(p, b, seed)` is batch `b` of pass
    `p`, shuffled over the whole source. The last batch of a pass may be smaller.

    Args:
        source: What has `len(source)` and `source[i]`, an array or a tuple `(x,)`, `(x, y)` or
            `(x, y, sample_weight)` of arrays and numbers: `ImageFolder`, `NpzShards`, Grain's sources
            (`ArrayRecordDataSource` among them) and `MapDataset`, torch's map-style datasets, or a class of your
            own. It is read by several threads if `workers` > 1.
        batch_size: A positive int.
        transform: `None`, or a function of an example that returns the example to be used, called in the threads
            that read.
        seed: `None` (default): `dataset[b]` follows the order of the source, which `evaluate` and `predict`
            want. A non-negative int: `dataset[b]` is `at(0, b, seed)`.
        workers: Threads that read and decode batches, default 1: none but the caller's.
        max_queue_size: Batches that are held ready if `workers` > 1, default 10.

    Raises:
        ValueError: If the source has no length or no example, `batch_size` or `seed` is no such int; when a batch is
            read, if its examples differ in shape.

    Example:
        >>> from keras_gen.datasets import Batches
        >>> dataset = Batches(range(10), batch_size=4, transform=lambda i: (i, i % 2))
        >>> len(dataset)
        3
        >>> x, y = dataset[2]
        >>> x.tolist(), y.tolist()
        ([8, 9], [0, 1])
        >>> epoch = [i for b in range(3) for i in dataset.at(0, b, seed=1)[0].tolist()]
        >>> sorted(epoch) == list(range(10)), epoch == list(range(10))
        (True, False)
    """

    def __init__(self, source, batch_size, transform=None, seed=None, workers=1, max_queue_size=10):
        super().__init__(workers=workers, max_queue_size=max_queue_size)
        if not hasattr(source, "__getitem__") or not hasattr(source, "__len__") or not len(source):
            raise ValueError(
                f"Expected `source` with len(source) > 0 and source[i]. Received: {type(source).__name__}"
                f"{', empty' if hasattr(source, '__len__') else ''}."
            )
        _check_int(batch_size, "batch_size", 1)
        if seed is not None:
            _check_int(seed, "seed", 0)
        self.source, self.batch_size, self.transform, self.seed = source, batch_size, transform, seed
        self._orders, self._lock = {}, threading.Lock()

    def __len__(self):
        return -(-len(self.source) // self.batch_size)

    def __getitem__(self, index):
        return self.at(0, index, self.seed)

    def at(self, pass_index, batch_index, seed):
        """Batch `batch_index` of pass `pass_index`, a pure function of the three numbers.

        Args:
            pass_index: How often the source was read before, >= 0.
            batch_index: From 0 to `len(dataset)` - 1.
            seed: A non-negative int, or `None` for the order of the source.

        Returns:
            A tuple of numpy arrays, each with a row for each example.

        Raises:
            IndexError: If there is no such batch.
            ValueError: If the examples differ in shape.
        """
        if not 0 <= batch_index < len(self):
            raise IndexError(f"Expected a batch from 0 to {len(self) - 1}. Received: {batch_index}")
        rows = slice(batch_index * self.batch_size, (batch_index + 1) * self.batch_size)
        indices = range(len(self.source)) if seed is None else self._order(pass_index, seed)
        return _stack([self._example(int(i)) for i in indices[rows]])

    def _example(self, i):
        example = self.source[i]
        example = example if self.transform is None else self.transform(example)
        return tuple(example) if isinstance(example, (tuple, list)) else (example,)

    def _order(self, pass_index, seed):
        """The permutation of a pass, drawn once."""
        with self._lock:
            if (pass_index, seed) not in self._orders:
                generator = np.random.default_rng([seed, pass_index])
                draw = getattr(self.source, "order", None)
                order = draw(generator) if draw else generator.permutation(len(self.source))
                self._orders[pass_index, seed] = order
                for old in list(self._orders)[:-PERMUTATIONS_KEPT]:
                    del self._orders[old]
            return self._orders[pass_index, seed]


def _check_int(value, name, least):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"Expected `{name}` to be an int >= {least}. Received: {name}={value!r}")


def _stack(examples):
    """A tuple of columns from a list of rows."""
    columns = []
    for column in zip(*examples, strict=True):
        arrays = [np.asarray(value) for value in column]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise ValueError(
                f"Expected the examples of a batch to have one shape. Received: {sorted(shapes)[:3]}. Bring them to "
                "one, by `transform` or, for pictures, by `size`."
            )
        columns.append(np.stack(arrays))
    return tuple(columns)
