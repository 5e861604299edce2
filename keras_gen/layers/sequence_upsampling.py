"""Features of a slow rate at the rate of a sequence: a transposed convolution that begins as linear interpolation.

With a factor r, a transposed convolution of stride r and kernel 2 r (2 r - 1 for an odd r) has, at its beginning, for
each channel alone the weights

    w_j = 1 - |j - m| / r,      m = (K - 1) / 2,                                                               (1)

a triangle of width 2 r: between two features, linear interpolation. Training goes on from there. Factors r_1, r_2, ...
follow one another; the length grows by their product.

Reference:
    A. van den Oord et al., "WaveNet", arXiv:1609.03499 (2016), section 2.5: "a transposed convolutional network
    (learned upsampling)", or repeating values.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.shapes import as_shape


@keras.saving.register_keras_serializable(package="keras_gen")
class SequenceUpsampling(keras.layers.Layer):
    """`(batch, time, channels)` to `(batch, r time, channels)`: by transposed convolutions, or by repetition.

    Args:
        factors: r, an int, or a tuple of ints whose product it is.
        learned: whether by transposed convolutions (default), which begin as linear interpolation, or by repeating
            each feature r times, without weights.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: tensor `(batch, time, channels)`.

    Returns:
        Tensor `(batch, r time, channels)`.

    Raises:
        ValueError: factors that are no positive ints.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import SequenceUpsampling
        >>> x = ops.reshape(ops.convert_to_tensor([0.0, 3.0]), (1, 2, 1))
        >>> ops.convert_to_numpy(SequenceUpsampling(3, learned=False)(x))[0, :, 0].tolist()
        [0.0, 0.0, 0.0, 3.0, 3.0, 3.0]
        >>> [round(v, 3) for v in ops.convert_to_numpy(ops.stop_gradient(SequenceUpsampling(3)(x)))[0, :, 0].tolist()]
        [0.0, 0.0, 1.0, 2.0, 3.0, 2.0]

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, section 2.5.
    """

    def __init__(self, factors, learned=True, **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.factors, self.learned = as_shape(factors, "factors"), bool(learned)
        self.parts = []

    def build(self, input_shape):
        channels = input_shape[-1]
        self.parts = [self._convolution(r, channels, i) for i, r in enumerate(self.factors) if self.learned]
        for part in self.parts:
            part.build((input_shape[0], None, channels))

    def _convolution(self, r, channels, i):
        width = 2 * r - r % 2
        triangle = 1 - np.abs(np.arange(width) - (width - 1) / 2) / r
        start = keras.initializers.Constant(triangle[:, None, None] * np.eye(channels))
        return keras.layers.Conv1DTranspose(
            channels, width, r, padding="same", data_format="channels_last", kernel_initializer=start,
            dtype=self.dtype_policy, name=f"up_{i}",
        )  # fmt: skip

    def call(self, x):
        if not self.learned:
            return ops.repeat(x, math.prod(self.factors), axis=1)
        for part in self.parts:
            x = part(x)
        return x

    def compute_output_shape(self, input_shape):
        length = None if input_shape[1] is None else input_shape[1] * math.prod(self.factors)
        return (input_shape[0], length, input_shape[2])

    def get_config(self):
        return {**super().get_config(), "factors": self.factors, "learned": self.learned}
