"""Batches of two sets of images of which none belongs to one of the other.

Set a has n_a images, b has n_b. A pass over both is as long as the longer one, N = max(n_a, n_b); its k-th example,
the K-th of all, K = p N + k in pass p, is

    a[pi_q(K mod n_a)],    q = floor(K / n_a),        pi_q a permutation drawn from (seed, side, q),

and the same for b, in an order of its own. So each image of the longer set comes once a pass; the shorter one is gone
through again and again, each time in a new order and across the ends of passes: over a training all of its images come
equally often, to within one. A batch is a pure function of (seed, pass, batch): training that was interrupted goes on
at any batch.

Reference:
    J. Zhu et al., arXiv:1703.10593 (2017): their program draws b at random, with repetition.
"""

import threading

import keras
import numpy as np


class UnpairedBatches(keras.utils.PyDataset):
    """Batches `(a, b)` of as many images of either set, for `CycleGAN.fit`.

    `dataset[i]` is batch i in the order of the sources, or in that of `seed`. The last batch of a pass may be smaller.

    Args:
        a, b: arrays `(n, height, width, channels)`, or what has `len(source)` and `source[i]`, an image or a tuple of
            which it is the first (`ImageFolder`).
        batch_size: images of each side, a positive int.
        transform: a function of one image that returns the image to be used, or a pair of them, for a and for b;
            default None.
        seed: None (default) for the order of the sources in `dataset[i]`, or a non-negative int.
        **kwargs: `workers`, `max_queue_size` and so on of `keras.utils.PyDataset`.

    Raises:
        ValueError: a source without examples or index, numbers out of their range.

    Example:
        >>> import numpy as np
        >>> from keras_gen.datasets import UnpairedBatches
        >>> a, b = np.zeros((5, 8, 8, 3)), np.ones((3, 8, 8, 1))
        >>> batches = UnpairedBatches(a, b, batch_size=2)
        >>> len(batches), [part.shape for part in batches[0]]
        (3, [(2, 8, 8, 3), (2, 8, 8, 1)])

    Reference:
        Zhu et al. 2017, arXiv:1703.10593, for what it serves.
    """

    def __init__(self, a, b, batch_size, transform=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.batch_size = _check_int(batch_size, "batch_size", 1)
        self.seed = None if seed is None else _check_int(seed, "seed", 0)
        self.a, self.b = _check_source(a, "a"), _check_source(b, "b")
        self.transform = transform if isinstance(transform, (tuple, list)) else (transform, transform)
        self._orders, self._lock = {}, threading.Lock()

    @property
    def size(self):
        """N, examples a pass."""
        return max(len(self.a), len(self.b))

    def __len__(self):
        return -(-self.size // self.batch_size)

    def __getitem__(self, index):
        return self.at(0, index, self.seed)

    def at(self, pass_index, batch_index, seed):
        """Batch `batch_index` of pass `pass_index`, a pure function of the three numbers.

        Args:
            pass_index: passes before, >= 0.
            batch_index: from 0 to `len(dataset)` - 1.
            seed: a non-negative int, or None for the order of the sources.

        Returns:
            `(a, b)`, numpy arrays of as many images.

        Raises:
            IndexError: there is no such batch.
            ValueError: images of a batch differ in shape.
        """
        if not 0 <= batch_index < len(self):
            raise IndexError(f"Expected a batch from 0 to {len(self) - 1}. Received: {batch_index}")
        start = batch_index * self.batch_size
        positions = pass_index * self.size + np.arange(start, min(start + self.batch_size, self.size))
        return tuple(self._images(side, positions, seed) for side in (0, 1))

    def _images(self, side, positions, seed):
        source, transform = (self.a, self.b)[side], self.transform[side]
        passes, places = np.divmod(positions, len(source))
        pairs = zip(passes.tolist(), places.tolist(), strict=True)
        rows = places if seed is None else np.array([self._order(side, q, seed)[k] for q, k in pairs])
        if isinstance(source, np.ndarray) and transform is None:
            return source[rows]
        images = [_image(source[int(i)]) for i in rows]
        images = images if transform is None else [np.asarray(transform(image)) for image in images]
        if len({image.shape for image in images}) > 1:
            raise ValueError(
                f"Expected images of one shape in a batch. Received: {sorted({i.shape for i in images})[:3]}. Bring "
                "them to one by `transform`."
            )
        return np.stack(images)

    def _order(self, side, number, seed):
        """pi of a set's pass `number`; the last few are kept."""
        with self._lock:
            key = (side, number, seed)
            if key not in self._orders:
                size = len((self.a, self.b)[side])
                self._orders[key] = np.random.default_rng([seed, side, number]).permutation(size)
                for old in list(self._orders)[:-6]:
                    del self._orders[old]
            return self._orders[key]

    def __getstate__(self):
        return {**self.__dict__, "_lock": None, "_orders": {}}

    def __setstate__(self, state):
        self.__dict__.update(state, _lock=threading.Lock())


def _image(example):
    return np.asarray(example[0] if isinstance(example, (tuple, list)) else example)


def _check_int(value, name, least):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"Expected `{name}` as an integer >= {least}. Received: {name}={value!r}.")
    return int(value)


def _check_source(source, name):
    if not hasattr(source, "__getitem__") or not hasattr(source, "__len__") or not len(source):
        raise ValueError(
            f"Expected `{name}` with len({name}) > 0 and {name}[i], such as an array of images. Received: "
            f"{type(source).__name__}{', empty' if hasattr(source, '__len__') else ''}."
        )
    return source
