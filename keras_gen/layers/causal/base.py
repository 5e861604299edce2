"""What a causal map is: one function of sequences, computed in two ways.

A causal map takes a sequence x_1, ..., x_T to y_1, ..., y_T with

    y_t = f_t(x_1, ..., x_t; c),      so that      dy_t / dx_s = 0 for s > t,                                  (1)

c a condition of the whole sequence. In training x is known and all y_t are computed at once: `call`. In generation x_t
is drawn given y_(t-1), so y_t must be computed when x_t comes. Computed anew from x_1 on, T steps cost T passes. But
what f_t needs of the past is little, and never changes: the inputs of a convolution within its kernel, the keys and
values of an attention, the state of a recurrent cell. It is kept in a cache:

    cache_0 = init_cache(...),        (y_t, cache_t) = step(x_t, cache_(t-1), t),    t = 0, 1, ...,             (2)

and the law of every causal map is that (2) gives what `call` gives. A cache is a tensor or a structure of tensors, of
fixed shapes, so that (2) is the body of one compiled loop. A step uses its cache up: what was given is not to be used
again (on torch it is written in place).

Reference:
    A. van den Oord et al., "WaveNet: a generative model for raw audio", arXiv:1609.03499 (2016), section 2; T. Le Paine
    et al., "Fast WaveNet generation algorithm", arXiv:1611.09482 (2016), section 2; P. Ramachandran et al., "Fast
    generation for convolutional autoregressive models", arXiv:1704.06001 (2017).
"""

import keras
from keras import ops

from keras_gen.backend import check_dtype


class CausalLayer(keras.layers.Layer):
    """A causal map of sequences, in parallel by `call`, step by step by `init_cache` and `step`. Abstract.

    A subclass writes `call(x, condition=None, training=False)`, `init_cache` and `step`.

    Args:
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: tensor `(batch, time, channels)`.
        condition: tensor `(batch, features)`, the same at all times, or `(batch, time, features)`; None for a map that
            was built without one.
        training: bool.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import CausalLayer
        >>> class RunningSum(CausalLayer):
        ...     "y_t = x_1 + ... + x_t."
        ...     def call(self, x, condition=None, training=False):
        ...         return ops.cumsum(x, axis=1)
        ...     def init_cache(self, batch_size, length, condition=None):
        ...         return ops.zeros((batch_size, 1))
        ...     def step(self, x, cache, t):
        ...         return x + cache, x + cache
        >>> layer, cache = RunningSum(), ops.zeros((1, 1))
        >>> for t in range(3):
        ...     y, cache = layer.step(ops.ones((1, 1)), cache, t)
        >>> float(y[0, 0]), float(layer(ops.ones((1, 3, 1)))[0, -1, 0])
        (3.0, 3.0)
    """

    receptive_field = None
    """Number of inputs x_s that y_t depends on, or None for all of the past."""

    max_length = None
    """Longest sequence the map is made for, or None for any."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)

    def init_cache(self, batch_size, length, condition=None):
        """The cache before the first step.

        Args:
            batch_size: number of sequences.
            length: int, most steps that will be taken.
            condition: as in `call`.

        Returns:
            A tensor or a structure of tensors.

        Raises:
            ValueError: the layer is not built.
        """
        raise NotImplementedError(f"{type(self).__name__} writes no `init_cache`.")

    def step(self, x, cache, t):
        """y_t and the next cache, by equation (2).

        Args:
            x: x_t, tensor `(batch, channels)`.
            cache: of `init_cache`, or of the step before; it is used up.
            t: index of the step from 0 on, an int or a scalar int32 tensor.

        Returns:
            Tensor `(batch, features)` and the cache.
        """
        raise NotImplementedError(f"{type(self).__name__} writes no `step`.")

    def check_built(self):
        """Raise `ValueError` unless the layer is built: a cache is of its sizes."""
        if not self.built:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} is not built: the sizes of its cache are not known. Call it "
                "on a sequence, or `build(x_shape)`, before `init_cache`."
            )

    def refuse(self, condition):
        """Raise `ValueError` for a condition: of a map that has no use for one."""
        if condition is not None:
            raise ValueError(f"{type(self).__name__} {self.name!r} expects no condition. Received: one.")

    def empty(self, *shape):
        """A tensor of zeros in the compute dtype: what a cache begins as."""
        return ops.zeros(shape, self.compute_dtype)
