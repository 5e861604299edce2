"""Layers of equalised learning rate: He's constant is applied at run time, not in the initial weights.

With fan_in inputs to a unit, He's initialisation draws weights of standard deviation c = gain / sqrt(fan_in). Here they
are drawn as w ~ N(0, 1 / r^2), and the layer computes

    y = f(c r (w * x) + r b).

At the start this is He's. But Adam moves each stored w by about its learning rate whatever its gradient's scale: all
weights now have one range, so that all learn at one speed, however many inputs a layer has. The factor r, `rate`, is
that of the layer's own speed: the used weight c r w moves r times as far in a step (0.01 in StyleGAN's mapping).

gain = sqrt(2) keeps the variance through a rectifier of slope 0.2 to four percent; 1 is for linear outputs.

Reference:
    T. Karras, T. Aila, S. Laine, J. Lehtinen, "Progressive growing of GANs", arXiv:1710.10196 (2018), section 4.1.
    T. Karras, S. Laine, T. Aila, "A style-based generator architecture", arXiv:1812.04948 (2019), appendix C, for r.
"""

import math
import numbers

import keras
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.shapes import positive_int

SQRT_2 = math.sqrt(2.0)


class Equalized(keras.layers.Layer):
    """Base of the equalised layers: the kernel, its constant, the bias. A subclass gives the linear map."""

    def __init__(
        self, activation=None, gain=SQRT_2, rate=1.0, use_bias=True, bias_initializer="zeros", seed=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.activation = keras.activations.get(activation)
        self.gain, self.rate = positive_number(gain, "gain"), positive_number(rate, "rate")
        self.use_bias, self.seed = bool(use_bias), seed
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def add_kernel(self, shape, units):
        """The weights of `shape`, all axes but the last counting as inputs, and the bias of `units`."""
        self.scale = self.gain * self.rate / math.sqrt(math.prod(shape[:-1]))
        normal = keras.initializers.RandomNormal(0.0, 1.0 / self.rate, seed=self.seed)
        self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(units,), initializer=self.bias_initializer, name="bias")

    def weights_in_use(self):
        """c r w, in the compute dtype."""
        return self.scale * ops.cast(self.kernel, self.compute_dtype)

    def finished(self, y):
        """f(y + r b)."""
        y = y if self.bias is None else y + self.rate * ops.cast(self.bias, y.dtype)
        return self.activation(y)

    def get_config(self):
        own = ("gain", "rate", "use_bias", "seed")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in own},
            "activation": keras.activations.serialize(self.activation),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


@keras.saving.register_keras_serializable(package="keras_gen")
class EqualizedDense(Equalized):
    """Dense layer `y = f(c r (w x) + r b)` of equalised learning rate, w ~ N(0, 1 / r^2).

    Args:
        units: size of the output.
        activation: f, default None, linear.
        gain: of c = gain / sqrt(fan_in), default sqrt(2), He's; 1 before no rectifier.
        rate: r > 0, the layer's own factor of the learning rate, default 1.
        use_bias, bias_initializer: default True, "zeros".
        seed: of the initial weights, default None.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: tensor `(..., features)`.

    Returns:
        Tensor `(..., units)`.

    Raises:
        ValueError: `units` no positive integer, `gain` or `rate` no positive number.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import EqualizedDense
        >>> layer = EqualizedDense(3, gain=1.0)
        >>> tuple(layer(ops.ones((2, 16))).shape), layer.scale
        ((2, 3), 0.25)

    Reference:
        Karras et al. 2018, arXiv:1710.10196, section 4.1.
    """

    def __init__(self, units, activation=None, **kwargs):
        super().__init__(activation, **kwargs)
        self.units = positive_int(units, "units")

    def build(self, input_shape):
        self.add_kernel((input_shape[-1], self.units), self.units)

    def call(self, x):
        return self.finished(ops.matmul(x, self.weights_in_use()))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="keras_gen")
class EqualizedConv2D(Equalized):
    """Convolution `y = f(c r (w * x) + r b)` of equalised learning rate, w ~ N(0, 1 / r^2), that keeps the size.

    Args:
        filters: channels of the output.
        kernel_size: side of the kernel, default 3.
        activation, gain, rate, use_bias, bias_initializer, seed: as of `EqualizedDense`; fan_in counts the kernel.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: images `(batch, height, width, channels)`.

    Returns:
        Tensor `(batch, height, width, filters)`; the border is padded with zeros.

    Raises:
        ValueError: sizes that are no positive integers, `gain` or `rate` no positive number.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import EqualizedConv2D
        >>> tuple(EqualizedConv2D(5)(ops.ones((2, 7, 6, 3))).shape)
        (2, 7, 6, 5)

    Reference:
        Karras et al. 2018, arXiv:1710.10196, section 4.1.
    """

    def __init__(self, filters, kernel_size=3, activation=None, **kwargs):
        super().__init__(activation, **kwargs)
        self.filters = positive_int(filters, "filters")
        self.kernel_size = positive_int(kernel_size, "kernel_size")

    def build(self, input_shape):
        self.add_kernel((self.kernel_size, self.kernel_size, input_shape[-1], self.filters), self.filters)

    def call(self, x):
        return self.finished(ops.conv(x, self.weights_in_use(), padding="same", data_format="channels_last"))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size}


def positive_number(value, name):
    """`value` as a float > 0, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < math.inf:
        raise ValueError(f"Expected `{name}` as a positive number. Received: {name}={value!r}.")
    return float(value)
