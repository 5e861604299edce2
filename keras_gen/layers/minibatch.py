"""A discriminator that sees how much its batch varies: fakes that are all alike are known by it.

A batch is cut into groups of G consecutive examples, the last one having what remains. In a group g, with e = 1e-8,

    s_hwc = sqrt(1/G sum_(i of g) (x_ihwc - mean_g x_hwc)^2 + e),        v_g = mean_hwc s_hwc,

one number a group, which joins each of its images as a channel (a vector: as an element). Consecutive groups, unlike
the interleaved ones of the authors' programs, are the same however many replicas divide the batch, if each has a
multiple of G examples; which examples stand together has no meaning.

Reference:
    T. Karras, T. Aila, S. Laine, J. Lehtinen, "Progressive growing of GANs", arXiv:1710.10196 (2018), section 3; groups
    as in the authors' program.
"""

import math

import keras
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class MinibatchStandardDeviation(keras.layers.Layer):
    """Attaches to each example the mean standard deviation of its group: one more channel.

    What it gives for an example depends on the others of its group, in training and in inference.

    Args:
        group_size: G, default 4 (the authors' program).
        epsilon: e, default 1e-8.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: tensor `(batch, ..., channels)`.

    Returns:
        Tensor `(batch, ..., channels + 1)`; statistics in float32 at least.

    Raises:
        ValueError: `group_size` no positive integer.

    Example:
        >>> import numpy as np
        >>> from keras_gen.layers import MinibatchStandardDeviation
        >>> y = MinibatchStandardDeviation(2)(np.array([[1.0], [3.0], [5.0], [5.0]], "float32"))
        >>> [round(float(v), 2) for v in y[:, 1]]
        [1.0, 1.0, 0.0, 0.0]

    Reference:
        Karras et al. 2018, arXiv:1710.10196, section 3.
    """

    def __init__(self, group_size=4, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.group_size, self.epsilon = positive_int(group_size, "group_size"), float(epsilon)

    def call(self, x):
        n, G, event = ops.shape(x)[0], self.group_size, tuple(x.shape[1:])
        groups = (n + G - 1) // G
        flat = ops.reshape(ops.cast(x, keras.backend.result_type(x.dtype, "float32")), (n, math.prod(event)))
        rows = ops.minimum(ops.arange(groups * G), n - 1)
        flat = ops.reshape(ops.take(flat, rows, axis=0), (groups, G, math.prod(event)))
        there = ops.cast(ops.reshape(ops.arange(groups * G) < n, (groups, G, 1)), flat.dtype)
        count = ops.sum(there, axis=1, keepdims=True)
        centred = there * (flat - ops.sum(there * flat, axis=1, keepdims=True) / count)
        variance = ops.sum(centred**2, axis=1) / count[:, 0]
        v = ops.mean(ops.sqrt(variance + self.epsilon), axis=1)
        v = ops.reshape(ops.repeat(v, G)[:n], (n, *[1] * len(event)))
        return ops.concatenate([x, ops.cast(ops.broadcast_to(v, (n, *event[:-1], 1)), x.dtype)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group_size": self.group_size, "epsilon": self.epsilon}
