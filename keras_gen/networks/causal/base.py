"""What the causal networks share: layers one after another, and what a condition adds to them.

A condition c enters by one linear map without bias, u = V c, cut into what is added in each place. Of a global
condition u is the same at all times and computed once a sequence; of a local one, given for each time, u_t = V c_t.
"""

import numbers

import keras
from keras import ops

from keras_gen import backend, layers


class CausalNetwork(layers.CausalLayer):
    """Base of the causal networks: `network(x, condition=None, training=False)`, features of features.

    A subclass makes its parts in `build_parts(input_shape)`, says by `added_channels()` how many numbers a condition
    adds, and writes `_forward(x, added, training)`, `_caches(batch_size, length)` and `_step(x, caches, t, added)`,
    where `added` is u, `(batch, 1 or time, channels)`, in a step `(batch, channels)`, or None.

    Args:
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: a condition that is missing, or given to a network that was built without one.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.of_condition = None

    def build(self, x_shape, condition_shape=None):
        if condition_shape is not None:
            size = self.added_channels(x_shape)
            self.of_condition = keras.layers.Dense(size, use_bias=False, dtype=self.dtype_policy, name="of_condition")
            self.of_condition.build(tuple(condition_shape))
        self.build_parts(tuple(x_shape))

    # What a subclass writes.

    def build_parts(self, input_shape):
        """Make and build the layers."""
        raise NotImplementedError(f"{type(self).__name__} writes no `build_parts`.")

    def added_channels(self, input_shape):
        """Numbers that a condition adds, in all places together; by default those of the input."""
        return input_shape[-1]

    def features(self, input_shape):
        """Channels of the output."""
        raise NotImplementedError(f"{type(self).__name__} writes no `features`.")

    # The contract.

    def call(self, x, condition=None, training=False):
        return self._forward(x, self._added(condition), training)

    def init_cache(self, batch_size, length, condition=None):
        self.check_built()
        self._check(condition)
        cache = {"parts": self._caches(batch_size, length)}
        if condition is None:
            return cache
        if len(condition.shape) == 2:
            return {**cache, "added": self.of_condition(condition)}
        return {**cache, "local": ops.transpose(ops.cast(condition, self.compute_dtype), (1, 0, 2))}

    def step(self, x, cache, t):
        added = cache.get("added")
        if "local" in cache:
            added = self.of_condition(backend.entry(cache["local"], t))
        y, parts = self._step(ops.cast(x, self.compute_dtype), cache["parts"], t, added)
        return y, {**cache, "parts": parts}

    def _added(self, condition):
        self._check(condition)
        if condition is None:
            return None
        added = self.of_condition(condition)
        return added[:, None] if len(added.shape) == 2 else added

    def _check(self, condition):
        if (condition is None) != (self.of_condition is None):
            expected, received = ("no condition", "one") if self.of_condition is None else ("a condition", "none")
            raise ValueError(
                f"{type(self).__name__} {self.name!r} was built for {expected}. Received: {received}. Build it by "
                "`build(x_shape, condition_shape)` as it is to be called."
            )

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (*x_shape[:-1], self.features(x_shape))

    def compute_output_spec(self, x, condition=None, training=False):
        return keras.KerasTensor(self.compute_output_shape(x.shape), self.compute_dtype)


def check_rate(dropout):
    """`dropout` as a float in [0, 1), or ValueError."""
    if not isinstance(dropout, numbers.Real) or not 0 <= dropout < 1:
        raise ValueError(f"Expected `dropout` as a float in [0, 1). Received: {dropout!r}.")
    return float(dropout)
