"""The residual pair: blocks that add to their input what two convolutions make of it.

With c_1, c_2 convolutions of 3 x 3, s one of 1 x 1, f a ReLU and n batch normalisations, a block is

    generator:        y = up(s * x) + c_2 * f(n_2(c_1 * up(f(n_1(x)))))
    discriminator:    y = s * down(x) + down(c_2 * f(c_1 * f(x))),

up() repeats each pixel and cuts what exceeds the size, down() takes means of two by two pixels; both commute with s,
which is applied where the image is small. The first block of the discriminator has no f before c_1, as its x is the
image; a block that keeps size and depth has x itself for s * x.

The generator projects z to the smallest image, doubles it block by block through the sizes s_n, ..., s_0 of
`networks.convolutional`, and ends in f(n(h)), a convolution and the output activation. With a condition the n_1 and n_2
are conditional (`layers.ConditionalBatchNormalization`) and c enters nowhere else. Convolutions before an n have no
bias: n would take it out again. The discriminator ends in the sum over all pixels, not in their mean or in a vector of
them,

    D(x) = w . sum_ij f(h_ij) + b,

and each of its kernels W is divided by its largest singular value (`layers.SpectralNormalization`), which for w, of one
output, is |w| whatever the power iteration has found. `models.ConditionalGAN` adds (V c) . sum_ij f(h_ij).

The published pairs are the tuples `filters`: for 32 x 32 (CIFAR-10) generator (256, 256, 256, 256), discriminator
(128, 128, 128, 128) of which two blocks halve; for 48 x 48 (STL-10) (512, 256, 128, 64) and
(64, 128, 256, 512, 1024); for 128 x 128 (ImageNet) (1024, 1024, 512, 256, 128, 64) and
(64, 128, 256, 512, 1024, 1024). Deviations: they end in tanh, for data in [-1, 1], here in a sigmoid, the same map;
in the authors' program the kernels of c_1 and c_2 begin sqrt(2) times as large, and V is divided by its largest
singular value as well.

Reference:
    T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, "Spectral normalization for generative adversarial networks",
    arXiv:1802.05957 (2018), appendix B.4; T. Miyato, M. Koyama, "cGANs with projection discriminator",
    arXiv:1802.05637 (2018); I. Gulrajani et al., "Improved training of Wasserstein GANs", arXiv:1704.00028 (2017),
    appendix, for the blocks.
"""

import math

import keras
from keras import ops

from keras_gen import layers
from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.base import Network
from keras_gen.networks.convolutional import image_sizes
from keras_gen.networks.default import FIRST_FILTERS, default_filters
from keras_gen.networks.equalized import image_shape


class ResidualNetwork(Network):
    """Base of the pair; it has no dropout or normalisation to choose.

    Args:
        activation: f, default "relu".
        kernel_size: of c_1, c_2, default 3.
        kernel_initializer: default "glorot_uniform", Keras's own.
        name, dtype, trainable: as of `keras.layers.Layer`.
    """

    def __init__(
        self, activation="relu", kernel_size=3, kernel_initializer="glorot_uniform", *, name=None, dtype=None,
        trainable=True,
    ):  # fmt: skip
        options = {"name": name, "dtype": dtype, "trainable": trainable}
        super().__init__(activation=activation, kernel_initializer=kernel_initializer, **options)
        self.kernel_size = positive_int(kernel_size, "kernel_size")

    def convolution(self, filters, kernel_size, name, use_bias=True):
        """A convolution in the network's settings that keeps the size."""
        return keras.layers.Conv2D(
            filters, kernel_size, padding="same", data_format="channels_last", use_bias=use_bias,
            kernel_initializer=self._initializer(), dtype=self.dtype_policy, name=name,
        )  # fmt: skip

    def get_config(self):
        config = {**super().get_config(), "kernel_size": self.kernel_size}
        for superfluous in ("dropout", "normalization"):
            del config[superfluous]
        return config


@keras.saving.register_keras_serializable(package="keras_gen")
class ResidualGenerator(ResidualNetwork):
    """Residual blocks from a latent vector to an image, their batch normalisations steered by the condition.

    Args:
        event_shape: `(height, width, channels)` of the image.
        filters: the depth of the smallest image, then one a block, each of which doubles the image; default by the
            size: (128, 128, 64) for 28 x 28.
        output_activation: default "sigmoid", for data in [0, 1]; "tanh" for [-1, 1]; None.
        synchronized: whether batch normalisations take the moments over all replicas, default False; see
            `layers.BatchNormalization`.
        **kwargs: `activation`, `kernel_size`, `kernel_initializer`, `name`, `dtype`.

    Call arguments:
        x: latents `(batch, latent_dim)`.
        condition: a vector `(batch, C)`, or None; other arrays are flattened.
        training: bool, for batch normalisation.

    Returns:
        Tensor `(batch, *event_shape)`.

    Raises:
        ValueError: an event that is no image, sizes that are no positive integers, less than two `filters`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import ResidualGenerator
        >>> generator = ResidualGenerator((7, 6, 3), (8, 4))
        >>> tuple(generator(ops.zeros((2, 10)), ops.eye(2)).shape)
        (2, 7, 6, 3)

    Reference:
        Miyato et al. 2018, arXiv:1802.05957, appendix B.4; Miyato, Koyama 2018, arXiv:1802.05637.
    """

    def __init__(self, event_shape, filters=None, output_activation="sigmoid", synchronized=False, **kwargs):
        super().__init__(**kwargs)
        self.event_shape = image_shape(event_shape)
        self.filters = _check_filters(_default_filters(self.event_shape) if filters is None else filters, least=2)
        self.output_activation = keras.activations.get(output_activation)
        self.synchronized = bool(synchronized)
        *self.sizes, self.smallest = image_sizes(self.event_shape[:2], len(self.filters) - 1)
        self.project = self.dense(math.prod(self.smallest) * self.filters[0], name="project")
        self.blocks = [
            self._block(count, size, name=f"block_{i}")
            for i, (count, size) in enumerate(zip(self.filters[1:], self.sizes[::-1], strict=True))
        ]
        self.norm = layers.BatchNormalization(synchronized=self.synchronized, dtype=self.dtype_policy, name="norm")
        self.to_image = self.image_convolution(self.event_shape[-1], self.kernel_size, name="to_image")

    def _block(self, filters, size, name):
        maps = [
            self.convolution(filters, kernel_size, label, use_bias=False)
            for kernel_size, label in [(self.kernel_size, "first"), (self.kernel_size, "second"), (1, "shortcut")]
        ]
        own = {"size": size, "activation": self.activation, "synchronized": self.synchronized}
        return UpBlock(*maps, **own, dtype=self.dtype_policy, name=name)

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        self.project.build((None, math.prod(x_shape[1:])))
        shape = (None, *self.smallest, self.filters[0])
        for block in self.blocks:
            block.build(shape, condition_shape)
            shape = block.compute_output_shape(shape)
        self.norm.build(shape)
        self.to_image.build(shape)

    def call(self, x, condition=None, training=False):
        self.check_condition(condition)
        h = self.project(ops.reshape(ops.cast(x, self.compute_dtype), (-1, math.prod(x.shape[1:]))))
        h = ops.reshape(h, (-1, *self.smallest, self.filters[0]))
        for block in self.blocks:
            h = block(h, condition, training=training)
        h = self.activation(self.norm(h, training=training))
        return self.output_activation(self.to_image(h))

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], *self.event_shape)

    def get_config(self):
        own = {"event_shape": self.event_shape, "filters": self.filters, "synchronized": self.synchronized}
        activation = keras.activations.serialize(self.output_activation)
        return {**super().get_config(), **own, "output_activation": activation}


@keras.saving.register_keras_serializable(package="keras_gen")
class ResidualDiscriminator(ResidualNetwork):
    """Residual blocks from an image to features, summed over the pixels, and a score, `(batch, 1)`, without a sigmoid.

    Args:
        filters: one a block; default (64, 128, 128), for 28 x 28.
        halvings: number of blocks, the first ones, that halve the image; default all but the last.
        spectral: whether each linear map is divided by its largest singular value, default True. Its vectors move at
            each call in training.
        output_units: default 1; other outputs, such as features, for other sizes.
        **kwargs: `activation`, `kernel_size`, `kernel_initializer`, `name`, `dtype`.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        condition: a vector or an image that joins x as channels, or None. Under projection it is None here.
        training: bool, for the spectral normalisation.

    Returns:
        Tensor `(batch, output_units)`.

    Raises:
        ValueError: sizes that are no positive integers, no `filters`, more `halvings` than blocks.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import ResidualDiscriminator
        >>> discriminator = ResidualDiscriminator((8, 16))
        >>> tuple(discriminator(ops.zeros((2, 7, 6, 3))).shape)
        (2, 1)
        >>> tuple(discriminator.features(ops.zeros((2, 7, 6, 3))).shape)
        (2, 16)

    Reference:
        Miyato et al. 2018, arXiv:1802.05957, appendix B.4; Miyato, Koyama 2018, arXiv:1802.05637.
    """

    def __init__(self, filters=(64, 128, 128), halvings=None, spectral=True, output_units=1, **kwargs):
        super().__init__(**kwargs)
        self.filters = _check_filters(filters)
        self.halvings = _check_halvings(halvings, len(self.filters))
        self.spectral, self.output_units = bool(spectral), positive_int(output_units, "output_units")
        self.blocks = [self._block(i, count) for i, count in enumerate(self.filters)]
        output_map = keras.layers.Dense(
            self.output_units, kernel_initializer=self._initializer(), dtype=self.dtype_policy, name="output_map"
        )
        self.output_map = self._bounded(output_map)

    def _block(self, i, filters):
        halve, hidden = i < self.halvings, self.filters[max(i - 1, 0)]
        sizes = {"first": (hidden, self.kernel_size), "second": (filters, self.kernel_size), "shortcut": (filters, 1)}
        maps = {name: self._bounded(self.convolution(*size, name)) for name, size in sizes.items()}
        if i > 0 and not halve and filters == hidden:
            maps["shortcut"] = None
        own = {"halve": halve, "activation": self.activation, "before": None if i == 0 else self.activation}
        return DownBlock(**maps, **own, dtype=self.dtype_policy, name=f"block_{i}")

    def _bounded(self, linear):
        return layers.SpectralNormalization(linear, name=linear.name) if self.spectral else linear

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        shape = (None, *x_shape[1:-1], x_shape[-1] + attached_channels(x_shape, condition_shape))
        for block in self.blocks:
            block.build(shape)
            shape = block.compute_output_shape(shape)
        self.output_map.build((None, self.filters[-1]))

    def features(self, x, condition=None, training=False):
        """The last features, summed over the pixels: `(batch, filters[-1])`."""
        self.check_condition(condition)
        h = attach_condition(ops.cast(x, self.compute_dtype), condition)
        for block in self.blocks:
            h = block(h, training=training)
        h = ops.cast(self.activation(h), keras.backend.result_type(h.dtype, "float32"))
        return ops.cast(ops.sum(h, axis=(1, 2)), self.compute_dtype)

    def call(self, x, condition=None, training=False):
        return self.output_map(self.features(x, condition, training))

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], self.output_units)

    def get_config(self):
        own = ("filters", "halvings", "spectral", "output_units")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


class UpBlock(keras.layers.Layer):
    """`up(s * x) + c_2 * f(n_2(c_1 * up(f(n_1(x)))))`, a part of a network and rebuilt by it, not saved by itself."""

    def __init__(self, first, second, shortcut, size, activation, synchronized, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second, self.shortcut = first, second, shortcut
        self.size, self.activation, self.synchronized = size, activation, synchronized

    def build(self, x_shape, condition_shape=None):
        y_shape = self.compute_output_shape(x_shape)
        given = () if condition_shape is None else (condition_shape,)
        kind = layers.ConditionalBatchNormalization if given else layers.BatchNormalization
        own = {"synchronized": self.synchronized, "dtype": self.dtype_policy}
        self.norm_1, self.norm_2 = kind(**own, name="norm_1"), kind(**own, name="norm_2")
        self.norm_1.build(x_shape, *given)
        self.norm_2.build(y_shape, *given)
        self.first.build((*y_shape[:-1], x_shape[-1]))
        self.second.build(y_shape)
        self.shortcut.build(x_shape)

    def call(self, x, condition=None, training=False):
        given = () if condition is None else (condition,)
        h = self._up(self.activation(self.norm_1(x, *given, training=training)))
        h = self.activation(self.norm_2(self.first(h), *given, training=training))
        return self._up(self.shortcut(x)) + self.second(h)

    def _up(self, x):
        height, width = self.size
        return layers.doubled(x)[:, :height, :width]

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], *self.size, self.first.filters)


class DownBlock(keras.layers.Layer):
    """`s * down(x) + down(c_2 * f(c_1 * before(x)))`, a part of a network and rebuilt by it, not saved by itself.

    Its convolutions take `training` from Keras's context.
    """

    def __init__(self, first, second, shortcut, halve, activation, before, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second, self.shortcut = first, second, shortcut
        self.halve, self.activation, self.before = halve, activation, before

    def build(self, x_shape):
        self.first.build(x_shape)
        self.second.build(self.first.compute_output_shape(x_shape))
        if self.shortcut is not None:
            self.shortcut.build(x_shape)

    def call(self, x, training=False):
        h = x if self.before is None else self.before(x)
        h = self.second(self.activation(self.first(h)))
        x, h = (layers.halved(x), layers.halved(h)) if self.halve else (x, h)
        return h + (x if self.shortcut is None else self.shortcut(x))

    def compute_output_shape(self, x_shape):
        height, width = image_sizes(x_shape[1:3], 1 if self.halve else 0)[-1]
        h_shape = self.second.compute_output_shape(self.first.compute_output_shape(x_shape))
        return (x_shape[0], height, width, h_shape[-1])


def _default_filters(event_shape):
    """Of the generator: as many blocks as lead to 8 pixels or fewer, one at least; the smallest image as deep as it."""
    filters = [2 * count for count in default_filters(event_shape) or (FIRST_FILTERS,)]
    return (*filters, filters[-1])[::-1]


def _check_filters(filters, least=1):
    filters = as_shape(filters, "filters")
    if len(filters) < least:
        raise ValueError(f"Expected `filters` as a tuple of {least} positive integers or more. Received: {filters}.")
    return filters


def _check_halvings(halvings, blocks):
    halvings = blocks - 1 if halvings is None else halvings
    if isinstance(halvings, bool) or not isinstance(halvings, int) or not 0 <= halvings <= blocks:
        raise ValueError(f"Expected `halvings` as an integer from 0 to {blocks}, the blocks. Received: {halvings!r}.")
    return halvings
