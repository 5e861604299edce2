"""The gated residual block of WaveNet.

With a causal convolution of 2 R channels, cut into halves a and b, and what a condition adds to them,

    g = tanh(a + u) * sigmoid(b + v),        residual = x + W_r g,        skip = W_s g.                         (1)

The residual goes to the next block, the skips of all blocks are summed. u and v, `2 R` channels together, are linear in
the condition: the same at all times for a global one, one for each time for a local one.

Reference:
    van den Oord et al. 2016, arXiv:1609.03499, equations 2 and 3 and figure 4.
"""

import keras
from keras import ops

from keras_gen.layers.causal.base import CausalLayer
from keras_gen.layers.causal.convolution import CausalConv1D
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class GatedResidualBlock(CausalLayer):
    """residual = x + W_r g and skip = W_s g of g = tanh(a + u) * sigmoid(b + v), (a, b) a causal convolution of x.

    Args:
        channels: R, those of x, of g and of the residual.
        skip_channels: those of the skip; default R.
        kernel_size: of the convolution, default 2, the paper's.
        dilation_rate: default 1.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: tensor `(batch, time, R)`.
        condition: (u, v), tensor `(batch, 2 R)`, or `(batch, time, 2 R)`; None for 0.

    Returns:
        residual `(batch, time, R)` and skip `(batch, time, skip_channels)`.

    Raises:
        ValueError: sizes that are no positive ints, x of other than R channels.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import GatedResidualBlock
        >>> residual, skip = GatedResidualBlock(8, 16, dilation_rate=4)(ops.ones((2, 10, 8)))
        >>> tuple(residual.shape), tuple(skip.shape)
        ((2, 10, 8), (2, 10, 16))

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, equation 2.
    """

    def __init__(self, channels, skip_channels=None, kernel_size=2, dilation_rate=1, **kwargs):
        super().__init__(**kwargs)
        self.channels = positive_int(channels, "channels")
        self.skip_channels = positive_int(channels if skip_channels is None else skip_channels, "skip_channels")
        options = {"dtype": self.dtype_policy}
        self.convolution = CausalConv1D(2 * channels, kernel_size, dilation_rate, **options, name="convolution")
        self.out = keras.layers.Dense(self.channels + self.skip_channels, **options, name="out")
        self.kernel_size, self.dilation_rate = self.convolution.kernel_size, self.convolution.dilation_rate

    @property
    def receptive_field(self):
        """That of the convolution."""
        return self.convolution.receptive_field

    def build(self, x_shape, condition_shape=None):
        if x_shape[-1] != self.channels:
            raise ValueError(f"GatedResidualBlock expects {self.channels} channels. Received: x {tuple(x_shape)}.")
        self.convolution.build(x_shape)
        self.out.build(x_shape)

    def of_taps(self, taps, condition=None):
        """residual and skip of the inputs at the K taps of the convolution, the oldest first, x_t the last."""
        return self._gated(taps[-1], self.convolution.of_taps(taps), condition)

    def _gated(self, x, gates, condition):
        """Equation (1), of the outputs of the convolution."""
        gates = gates if condition is None else gates + ops.cast(condition, gates.dtype)
        a, b = gates[..., : self.channels], gates[..., self.channels :]
        out = self.out(ops.tanh(a) * ops.sigmoid(b))
        return ops.cast(x, out.dtype) + out[..., : self.channels], out[..., self.channels :]

    def call(self, x, condition=None, training=False):
        if condition is not None and len(condition.shape) == 2:
            condition = condition[:, None]
        return self._gated(x, self.convolution(x), condition)

    def init_cache(self, batch_size, length, condition=None):
        self.check_built()
        return self.convolution.init_cache(batch_size, length)

    def step(self, x, cache, t, condition=None):
        """`((residual, skip), cache)`; the condition is that of time t, `(batch, 2 R)`."""
        gates, cache = self.convolution.step(x, cache, t)
        return self._gated(x, gates, condition), cache

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (*x_shape[:-1], self.channels), (*x_shape[:-1], self.skip_channels)

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "skip_channels": self.skip_channels,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
        }
