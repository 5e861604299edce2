"""A denoising network of vectors: hidden layers that all see how noisy their input is.

With h_0 = x, flattened, and the embedding e of noise and condition (`networks.diffusion.base`),

    h_l = h_(l-1) + f(W_l h_(l-1) + U_l e + b_l),        output = W h_L + b,

without the sum where the width changes. W and b begin at zero. To add U_l e in each layer, and not to join l to x once,
is what the residual blocks of the U-Net do: the noise decides which units are on.
"""

import math

import keras
from keras import ops

from keras_gen.layers.shapes import as_shape
from keras_gen.networks.diffusion.base import DenoisingNetwork, dropout


@keras.saving.register_keras_serializable(package="keras_gen")
class DenoisingMLP(DenoisingNetwork):
    """`h_l = h_(l-1) + f(W_l h_(l-1) + U_l e + b_l)`, e the embedding of log_snr and condition.

    Args:
        event_shape: shape of x without the batch; an x that is no vector is flattened.
        hidden: tuple of ints, sizes of the hidden layers, default (128, 128, 128); e is as wide as the first.
        features: size of the sinusoidal features of log_snr, even, default 64.
        out_channels: size of the last axis of the output, default that of x; twice as many for learned variances.
        activation: f, default "silu".
        dropout: float in [0, 1), after each hidden layer, default 0.
        **kwargs: `kernel_initializer`, `name`, `dtype`.

    Call arguments:
        x: floats `(batch, *event_shape)`, of about unit variance.
        log_snr: float32 `(batch,)`, in [-20, 20].
        condition: features `(batch, C)`, which enter e, an image `(batch, height, width, C)`, which is joined to x, or
            None. A network built with a condition needs one at each call.
        training: bool, for dropout.

    Returns:
        Tensor `(batch, *event_shape[:-1], out_channels)`, zeros of a new network.

    Raises:
        ValueError: sizes that are no positive integers, no hidden layer, x of another shape, a condition that is
            missing or superfluous.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import DenoisingMLP
        >>> network = DenoisingMLP((2,), hidden=(32, 32))
        >>> y = network(ops.ones((5, 2)), ops.zeros((5,)), ops.ones((5, 10)))
        >>> tuple(y.shape), bool(ops.all(y == 0.0))
        ((5, 2), True)

    Reference:
        Ho et al. 2020, arXiv:2006.11239, appendix B, of which this is the block without its convolutions.
    """

    def __init__(
        self, event_shape, hidden=(128, 128, 128), features=64, out_channels=None, activation="silu", **kwargs
    ):  # fmt: skip
        sizes = as_shape(hidden, "hidden")
        if not sizes:
            raise ValueError(f"Expected `hidden` as a tuple of one or more positive integers. Received: {hidden!r}.")
        super().__init__(event_shape, features, sizes[0], out_channels, activation, **kwargs)
        self.hidden, self.features = sizes, self.embedding.features.size
        self.blocks = [self._hidden_layer(size, f"block_{i}") for i, size in enumerate(self.hidden)]
        self.last = keras.layers.Dense(
            math.prod(self.event_shape[:-1]) * self.out_channels, kernel_initializer="zeros",
            dtype=self.dtype_policy, name="last",
        )  # fmt: skip

    def _hidden_layer(self, size, name):
        options = {"dtype": self.dtype_policy}
        maps = [
            keras.layers.Dense(size, kernel_initializer=self._initializer(), use_bias=bias, **options, name=label)
            for label, bias in [("of_h", True), ("of_e", False)]
        ]
        return _Hidden(*maps, self.activation, dropout(self.dropout, **options), **options, name=name)

    def build_parts(self, shape):
        size = math.prod(shape[1:])
        for block, units in zip(self.blocks, self.hidden, strict=True):
            block.build((None, size), (None, self.embedding.units))
            size = units
        self.last.build((None, size))

    def denoised(self, x, e, training):
        h = ops.reshape(x, (-1, math.prod(x.shape[1:])))
        for block in self.blocks:
            h = block(h, e, training=training)
        return ops.reshape(self.last(h), (-1, *self.event_shape[:-1], self.out_channels))

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "features": self.features}


class _Hidden(keras.layers.Layer):
    """`h + drop(f(W h + U e + b))`, a part of the network and rebuilt by it, not saved by itself."""

    def __init__(self, of_h, of_e, activation, drop, **kwargs):
        super().__init__(**kwargs)
        self.of_h, self.of_e, self.activation, self.drop = of_h, of_e, activation, drop

    def build(self, h_shape, e_shape):
        self.of_h.build(h_shape)
        self.of_e.build(e_shape)

    def call(self, h, e, training=False):
        y = self.drop(self.activation(self.of_h(h) + self.of_e(e)), training=training)
        return h + y if h.shape[-1] == y.shape[-1] else y

    def compute_output_shape(self, h_shape, e_shape=None):
        return (h_shape[0], self.of_h.units)
