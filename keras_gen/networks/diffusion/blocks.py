"""The blocks of the U-Net: group normalisation steered by the noise, residual convolutions, attention.

**Normalisation.** The channels of an image are divided into G groups; m_g and v_g are mean and variance of group g over
its channels and all pixels, in float32 at least. With gain gamma_c and bias beta_c, and scale s_c and shift t_c of the
embedding (FiLM),

    y = (1 + s_c) [ gamma_c (x - m_g) / sqrt(v_g + epsilon) + beta_c ] + t_c = a_c x + b_c,                      (1)

one multiplication and one sum a number, whatever a and b are made of. v_g is the mean over the channels of the group of
their variance over the pixels and of (m_c - m_g)^2: each pass runs over the pixels of all channels at once, which takes
half as long as moments over channels and pixels together. G is the largest number up to `groups` that
divides the channels and leaves `SMALLEST_GROUP` of them a group: a group of one channel would lose its mean over the
pixels, and all of it where there is one pixel.

**Residual block** (Ho et al. 2020; Dhariwal, Nichol 2021), f = silu, n a normalisation, M e linear in the embedding,

    "scale_shift":  h = c_2 * f(n_2(c_1 * f(n_1(x)); s, t)),     (s, t) = M e,
    "add":          h = c_2 * f(n_2(c_1 * f(n_1(x)) + M e)),           y = S x + h,

c_2 zero at first, S the identity where the depth stays and else a map of each pixel (a convolution of 1 x 1).

**Attention block.** y = x + attention(n(x)), with the attention's last map zero at first.

Reference:
    Y. Wu, K. He, "Group normalization", arXiv:1803.08494 (2018); E. Perez et al., "FiLM", arXiv:1709.07871 (2018);
    P. Dhariwal, A. Nichol, arXiv:2105.05233 (2021), section 3; T. Karras et al., "Elucidating the design space of
    diffusion-based generative models", arXiv:2206.00364 (2022), their program, for the smallest group.
"""

import keras
from keras import ops

from keras_gen import backend, layers
from keras_gen.networks.diffusion.base import dropout

SMALLEST_GROUP = 4
MODULATIONS = ("scale_shift", "add")


def group_count(channels, groups):
    """G of equation (1)."""
    most = max(1, min(groups, channels // SMALLEST_GROUP))
    return next(count for count in range(most, 0, -1) if channels % count == 0)


def convolution(filters, kernel_size=3, strides=1, **kwargs):
    """A convolution that keeps the size, or halves it and rounds up."""
    own = {"padding": "same", "data_format": "channels_last", **kwargs}
    return keras.layers.Conv2D(filters, kernel_size, strides, **own)


class GroupNormalization(keras.layers.Layer):
    """Equation (1): `norm(x)` or `norm(x, modulation)`, the latter `(batch, 2 channels)`, (s, t)."""

    def __init__(self, groups=32, epsilon=1e-5, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.most, self.epsilon = groups, epsilon

    def build(self, x_shape):
        channels = x_shape[-1]
        self.groups = group_count(channels, self.most)
        self.gamma = self.add_weight(shape=(channels,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(channels,), initializer="zeros", name="beta")

    def call(self, x, modulation=None):
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        normalized = self._by_passes if backend.normalized_by_group is None else self._by_kernel
        y = normalized(ops.cast(x, wide), *self._gain_and_bias(wide), *_scale_and_shift(modulation, wide))
        return ops.cast(y, self.compute_dtype)

    def _gain_and_bias(self, wide):
        return ops.cast(self.gamma, wide), ops.cast(self.beta, wide)

    def _by_kernel(self, x, gamma, beta, *modulation):
        """The left side of equation (1)."""
        y = backend.normalized_by_group(x, self.groups, gamma, beta, self.epsilon)
        if modulation:
            s, t = (v[:, None, None] for v in modulation)
            y = y * (1.0 + s) + t
        return y

    def _by_passes(self, x, gamma, beta, *modulation):
        """The right side of equation (1)."""
        height, width, channels = x.shape[1:]
        x = ops.reshape(x, (-1, height * width, channels))
        of_channel = ops.mean(x, axis=1)
        m = self._over_groups(of_channel)
        v = ops.mean(ops.square(x - of_channel[:, None]), axis=1) + ops.square(of_channel - m)
        a = gamma * ops.rsqrt(self._over_groups(v) + self.epsilon)
        b = beta - m * a
        if modulation:
            s, t = modulation
            a, b = a * (1.0 + s), b * (1.0 + s) + t
        return ops.reshape(x * a[:, None] + b[:, None], (-1, height, width, channels))

    def _over_groups(self, value):
        """`(batch, channels)`, each number replaced by the mean over its group."""
        size = value.shape[-1] // self.groups
        return ops.repeat(ops.mean(ops.reshape(value, (-1, self.groups, size)), axis=-1), size, axis=-1)

    def compute_output_shape(self, x_shape, modulation_shape=None):
        return x_shape


def _scale_and_shift(modulation, dtype):
    """(s, t), or nothing."""
    return () if modulation is None else ops.split(ops.cast(modulation, dtype), 2, axis=-1)


class ResidualBlock(keras.layers.Layer):
    """`y = S x + c_2 * f(n_2(c_1 * f(n_1(x)); e))`: a part of a network and rebuilt by it, not saved by itself."""

    def __init__(self, channels, groups, modulation, activation, initializer, rate, **kwargs):
        super().__init__(**kwargs)
        options = {"dtype": self.dtype_policy}
        self.channels, self.modulation, self.activation = channels, modulation, activation
        self.norms = [GroupNormalization(groups, **options, name=f"norm_{i + 1}") for i in range(2)]
        self.first = convolution(channels, kernel_initializer=initializer(), **options, name="first")
        self.second = convolution(channels, kernel_initializer="zeros", **options, name="second")
        size = 2 * channels if modulation == "scale_shift" else channels
        self.of_e = keras.layers.Dense(size, kernel_initializer=initializer(), **options, name="of_e")
        self.drop = dropout(rate, **options)
        self.initializer = initializer

    def build(self, x_shape, e_shape):
        y_shape = (*x_shape[:-1], self.channels)
        self.norms[0].build(x_shape)
        self.first.build(x_shape)
        self.norms[1].build(y_shape)
        self.second.build(y_shape)
        self.of_e.build(e_shape)
        self.widens = x_shape[-1] != self.channels
        if self.widens:
            options = {"kernel_initializer": self.initializer(), "dtype": self.dtype_policy}
            self.shortcut = keras.layers.Dense(self.channels, **options, name="shortcut")
            self.shortcut.build(x_shape)

    def call(self, x, e, training=False):
        h = self.first(self.activation(self.norms[0](x)))
        m = self.of_e(e)
        h = self.norms[1](h, m) if self.modulation == "scale_shift" else self.norms[1](h + m[:, None, None])
        h = self.second(self.drop(self.activation(h), training=training))
        return h + (self.shortcut(x) if self.widens else x)

    def compute_output_shape(self, x_shape, e_shape=None):
        return (*x_shape[:-1], self.channels)


class AttentionBlock(keras.layers.Layer):
    """`x + attention(norm(x))`: a part of a network and rebuilt by it, not saved by itself."""

    def __init__(self, groups, heads, head_size, **kwargs):
        super().__init__(**kwargs)
        options = {"dtype": self.dtype_policy}
        self.norm = GroupNormalization(groups, **options, name="norm")
        self.attention = layers.ImageAttention(heads, head_size, **options, name="attention")

    def build(self, x_shape):
        self.norm.build(x_shape)
        self.attention.build(x_shape)

    def call(self, x):
        return x + self.attention(self.norm(x))

    def compute_output_shape(self, x_shape):
        return x_shape
