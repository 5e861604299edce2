"""How a style, a vector, steers an image: normalisation, modulation, and noise at every pixel.

**AdaIN.** With mu and sigma the mean and standard deviation of each channel of each image over its pixels,

    y = y_s (x - mu) / sigma + y_b,        (y_s - 1, y_b) = A w + b                            (Karras 2019, eq. 1)

w the style and A an equalised affine map: what the channel's statistics were is forgotten, and the style sets them.

**Modulation.** AdaIN normalises what is there, and so hides the relative sizes of channels; generators then hide a
spike to carry them. Instead the weights are scaled, and divided by the deviation that they give to an input of unit
variance (Karras 2020, eq. 1 and 3): with s = A w + b the style of input channel i, output channel j, tap k,

    w'_ijk = s_i w_ijk,        w''_ijk = d_j w'_ijk,        d_j = 1 / sqrt(sum_ik w'_ijk^2 + eps).

Each example has weights of its own. But a convolution is linear, so that with one kernel for the batch

    (w'' * x)_j = d_j (w * (s x))_j,        d_j = 1 / sqrt(sum_i s_i^2 (sum_k w_ijk^2) + eps):

the input is scaled by s and the output by d, an ordinary convolution on every backend.

**Noise.** x_ijc + B_c n_ij, n ~ N(0, 1) one number a pixel and B_c learned, 0 at first: what is random in a texture
need not be made from w.

Reference:
    X. Huang, S. Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization",
        arXiv:1703.06868 (2017), eq. 8.
    T. Karras, S. Laine, T. Aila, "A style-based generator architecture for GANs", arXiv:1812.04948 (2019).
    T. Karras et al., "Analyzing and improving the image quality of StyleGAN", arXiv:1912.04958 (2020), section 2.2.
"""

import math

import keras
from keras import ops

from keras_gen import random
from keras_gen.backend import check_dtype
from keras_gen.layers.equalized import EqualizedDense, positive_number
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class PixelNormalization(keras.layers.Layer):
    """Each vector of channels at unit mean square: `y = x / sqrt(mean_c x_c^2 + epsilon)`.

    Args:
        epsilon: default 1e-8 (the paper's).
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: tensor `(..., channels)`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import PixelNormalization
        >>> [round(float(v), 3) for v in PixelNormalization()(ops.convert_to_tensor([[1.0, 7.0]]))[0]]
        [0.2, 1.4]

    Reference:
        Karras et al. 2018, arXiv:1710.10196, section 4.2.
    """

    def __init__(self, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.epsilon = positive_number(epsilon, "epsilon")

    def call(self, x):
        wide = _wide(x)
        return ops.cast(wide * ops.rsqrt(ops.mean(wide**2, axis=-1, keepdims=True) + self.epsilon), x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="keras_gen")
class AdaIN(keras.layers.Layer):
    """Instance normalisation with style: `y = y_s (x - mu) / sigma + y_b`, (y_s - 1, y_b) affine in the style.

    Args:
        epsilon: below the root of the variance, default 1e-8 (StyleGAN's program).
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        style: vectors `(batch, style_dim)`.

    Returns:
        Tensor of the shape of x. The statistics are computed in float32 at least.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import AdaIN
        >>> x = ops.reshape(ops.arange(32, dtype="float32"), (1, 4, 4, 2))
        >>> y = ops.convert_to_numpy(AdaIN()(x, ops.zeros((1, 8))))
        >>> round(abs(float(y.mean())), 3), round(float(y.std()), 3)
        (0.0, 1.0)

    Reference:
        Karras et al. 2019, arXiv:1812.04948, eq. 1; Huang, Belongie 2017, arXiv:1703.06868, eq. 8.
    """

    def __init__(self, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.epsilon = positive_number(epsilon, "epsilon")

    def build(self, x_shape, style_shape):
        self.affine = EqualizedDense(2 * x_shape[-1], gain=1.0, dtype=self.dtype_policy, name="affine")
        self.affine.build(style_shape)

    def call(self, x, style):
        wide = _wide(x)
        centred = wide - ops.mean(wide, axis=(1, 2), keepdims=True)
        normal = centred * ops.rsqrt(ops.mean(centred**2, axis=(1, 2), keepdims=True) + self.epsilon)
        y_s, y_b = ops.split(self.affine(style)[:, None, None, :], 2, axis=-1)
        return ops.cast(normal, x.dtype) * (1.0 + y_s) + y_b

    def compute_output_shape(self, x_shape, style_shape=None):
        return x_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="keras_gen")
class ModulatedConv2D(keras.layers.Layer):
    """Convolution whose weights the style scales, each example its own: `y_j = d_j (w * (s x))_j + b_j`.

    The weights are of equalised learning rate; s = A w + 1 of the style w is affine and equalised too.

    Args:
        filters: channels of the output.
        kernel_size: side of the kernel, default 3.
        demodulate: whether outputs are divided by the deviation expected of them, default True.
        use_bias: whether the layer ends in a bias, default True.
        epsilon: in d, default 1e-8 (the paper's).
        seed: of the initial weights, default None.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        style: vectors `(batch, style_dim)`.

    Returns:
        Tensor `(batch, height, width, filters)`; the border is padded with zeros.

    Raises:
        ValueError: sizes that are no positive integers.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import ModulatedConv2D
        >>> tuple(ModulatedConv2D(5)(ops.ones((2, 8, 8, 3)), ops.zeros((2, 4))).shape)
        (2, 8, 8, 5)

    Reference:
        Karras et al. 2020, arXiv:1912.04958, eq. 1 and 3.
    """

    def __init__(self, filters, kernel_size=3, demodulate=True, use_bias=True, epsilon=1e-8, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.filters = positive_int(filters, "filters")
        self.kernel_size = positive_int(kernel_size, "kernel_size")
        self.demodulate, self.use_bias, self.seed = bool(demodulate), bool(use_bias), seed
        self.epsilon = positive_number(epsilon, "epsilon")

    def build(self, x_shape, style_shape):
        channels = x_shape[-1]
        shape = (self.kernel_size, self.kernel_size, channels, self.filters)
        self.scale = 1.0 / math.sqrt(math.prod(shape[:-1]))
        normal = keras.initializers.RandomNormal(0.0, 1.0, seed=self.seed)
        self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias") if self.use_bias else None
        own = {"gain": 1.0, "bias_initializer": "ones", "seed": self.seed, "dtype": self.dtype_policy}
        self.affine = EqualizedDense(channels, **own, name="affine")
        self.affine.build(style_shape)

    def call(self, x, style):
        s = self.affine(style)
        w = self.scale * ops.cast(self.kernel, self.compute_dtype)
        y = ops.conv(x * s[:, None, None, :], w, padding="same", data_format="channels_last")
        if self.demodulate:
            y = y * ops.cast(self._demodulation(s, w), y.dtype)[:, None, None, :]
        return y if self.bias is None else y + ops.cast(self.bias, y.dtype)

    def _demodulation(self, s, w):
        """d, `(batch, filters)`, in float32 at least."""
        squares = ops.matmul(_wide(s) ** 2, ops.sum(_wide(w) ** 2, axis=(0, 1)))
        return ops.rsqrt(squares + self.epsilon)

    def compute_output_shape(self, x_shape, style_shape=None):
        return (*x_shape[:-1], self.filters)

    def get_config(self):
        own = ("filters", "kernel_size", "demodulate", "use_bias", "epsilon", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="keras_gen")
class NoiseInjection(keras.layers.Layer):
    """Noise at each pixel, times a learned strength a channel: `y = x + B_c n_ij`. B is 0 at first.

    Args:
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        noise: n, `(batch, height, width, 1)`, standard normal. Default None.
        keys: `(batch, 2)`, from which n is drawn where it is not given, that of example i from key i. Neither of the
            two: no noise, and y is x.

    Returns:
        Tensor of the shape of x.

    Example:
        >>> from keras import ops
        >>> from keras_gen import random
        >>> from keras_gen.layers import NoiseInjection
        >>> tuple(NoiseInjection()(ops.zeros((3, 4, 4, 2)), keys=random.keys(0, 3)).shape)
        (3, 4, 4, 2)

    Reference:
        Karras et al. 2019, arXiv:1812.04948, section 2.
    """

    def build(self, x_shape):
        check_dtype(self.dtype_policy, type(self).__name__)
        self.strength = self.add_weight(shape=(x_shape[-1],), initializer="zeros", name="strength")

    def call(self, x, noise=None, keys=None):
        if noise is None and keys is not None:
            noise = random.normal(keys, (*x.shape[1:-1], 1))
        return x if noise is None else x + ops.cast(self.strength, x.dtype) * ops.cast(noise, x.dtype)

    def compute_output_shape(self, x_shape):
        return x_shape

    def get_config(self):  # of its own: without one Keras refuses a dtype that is a policy
        return super().get_config()


def _wide(x):
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
