"""Training noise that is the same on one device and on many.

The noise of a step is one draw e for the global batch, from a state that all replicas advance alike; row i is the
noise of example i. A replica with the rows o ... o + n - 1 (`keras_gen.backend.devices`) keeps e[o : o + n]. So it
draws P times what it needs: on a CPU less work than a generator keyed by row, Threefry on `keras.ops`, up to P of 3 to
20, by backend and size. With one replica it is the draw itself.
"""

import numbers

import keras

from keras_gen.backend.devices import replicas, rows


class Noise(keras.random.SeedGenerator):
    """The training noise of a model or layer: a Keras `SeedGenerator` whose draws are rows of the global batch's.

    Axis 0 of each `shape` is the example: a draw for K samples an example is of shape `(n, K, ...)`, not `(K n, ...)`.
    Own one as an attribute, as you would a `SeedGenerator`; its state is saved with the model.

    Args:
        seed: int from 0 to 2**32 - 1, or None for a random one.

    Raises:
        ValueError: another seed.

    Example:
        >>> from keras_gen.random import Noise
        >>> noise = Noise(seed=0)
        >>> tuple(noise.normal((4, 3)).shape), tuple(noise.keys(4).shape)
        ((4, 3), (4, 2))
    """

    def __init__(self, seed=None, **kwargs):
        whole = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
        if seed is not None and not (whole and 0 <= seed < 2**32):
            raise ValueError(
                f"`seed` expected an integer in [0, 2**32), or None. Received: seed={seed!r}. Pass such a one: it is a "
                "name of the noise, and has no size."
            )
        super().__init__(None if seed is None else int(seed), **kwargs)

    def normal(self, shape, dtype=None):
        """Standard normal numbers of `shape`; `dtype` default `keras.config.floatx()`."""
        return global_rows(lambda s: keras.random.normal(s, dtype=dtype, seed=self), shape)

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=None):
        """Uniform numbers in [minval, maxval) of `shape`."""
        return global_rows(lambda s: keras.random.uniform(s, minval, maxval, dtype=dtype, seed=self), shape)

    def integers(self, shape, low, high):
        """Uniform integers in [low, high) of `shape`, int32."""
        return global_rows(lambda s: keras.random.randint(s, low, high, dtype="int32", seed=self), shape)

    def keys(self, n):
        """Fresh keys `(n, 2)` for `keras_gen.random`, one an example: for draws inside of loops."""
        return self.integers((n, 2), -(2**31), 2**31 - 1)


def global_rows(draw, shape):
    """This replica's rows of `draw(shape of the global batch)`."""
    if replicas() == 1:
        return draw(shape)
    offset, total = rows(shape[0])
    return draw((total, *shape[1:]))[offset : offset + shape[0]]


def global_dropout(x, rate, noise_shape, seed):
    """`keras.random.dropout` with this replica's rows of the global batch's mask."""
    if replicas() == 1:
        return keras.random.dropout(x, rate, noise_shape=noise_shape, seed=seed)
    mask = lambda s: keras.random.dropout(keras.ops.ones(s, x.dtype), rate, seed=seed)  # noqa: E731
    shape = keras.ops.shape(x)
    if noise_shape is not None:
        shape = tuple(n if m is None else m for n, m in zip(shape, noise_shape, strict=True))
        if noise_shape[0] == 1:  # one mask for all examples
            return x * mask(shape)
    return x * global_rows(mask, shape)
