"""The elements of a sequence as a causal network sees them: one before the other, from a learned start on.

A network that gives p(x_t given x_(<t)) must not see x_t: its inputs are e_0, e(x_1), ..., e(x_(T-1)), the sequence
moved by one, with e_0 learned. e is a row of a table for a token, the sum of a row for each channel of quantised
numbers, and a linear map of real ones.
"""

import keras
from keras import ops


class ElementEmbedding(keras.layers.Layer):
    """e(x) `(..., size)` of elements x `(..., *element_shape)`; a part of a model and rebuilt by it.

    Args:
        size: of e.
        element_shape: `()` for a token, `(channels,)` for numbers.
        classes: number of integers that an element, or a channel of it, can be; None for real numbers.
    """

    def __init__(self, size, element_shape, classes, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.size, self.element_shape, self.classes = size, tuple(element_shape), classes
        self.channels = element_shape[0] if element_shape else 1
        options = {"dtype": self.dtype_policy, "name": "table"}
        if classes is None:
            self.table = keras.layers.Dense(size, **options)
        else:
            self.table = keras.layers.Embedding(classes * self.channels, size, **options)

    def build(self, input_shape=None):
        normal = keras.initializers.RandomNormal(stddev=0.05)
        self.start = self.add_weight(shape=(self.size,), initializer=normal, autocast=False, name="start")
        self.table.build((None, self.channels))

    def call(self, x):
        if self.classes is None or not self.element_shape:
            return self.table(x)
        rows = self.table(x + self.classes * ops.arange(self.channels, dtype="int32"))
        return rows[..., 0, :] if self.channels == 1 else ops.sum(rows, axis=-2)

    def moved(self, x):
        """e_0, e(x_1), ..., e(x_(T-1)), `(batch, T, size)`, of sequences `(batch, T, *element_shape)`."""
        e = self(x[:, :-1])
        start = ops.broadcast_to(ops.cast(self.start, e.dtype), (ops.shape(x)[0], 1, self.size))
        return ops.concatenate([start, e], axis=1)

    def after(self, x, t):
        """The input of step t, `(batch, size)`: e of the element before, or e_0 in step 0, where x is not looked at."""
        e = self(x)
        return ops.where(ops.equal(t, 0), ops.cast(self.start, e.dtype), e)

    def compute_output_shape(self, input_shape):
        return (*input_shape[: len(input_shape) - len(self.element_shape)], self.size)
