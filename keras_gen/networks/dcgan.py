"""The pair of networks of DCGAN: strided convolutions down, transposed ones up, no pooling, no hidden dense layer.

The generator projects z to the smallest image and doubles it stage by stage, through the sizes s_n, ..., s_0 of
`networks.convolutional`; batch normalisation and ReLU follow each stage but the last, which ends in the output
activation. The discriminator halves the image stage by stage, LeakyReLU(0.2) after each, batch normalisation in all but
the first; a linear map makes the score (Radford et al. 2016, section 3).

The paper ends in tanh, for data in [-1, 1]. Here the default is a sigmoid, for data in [0, 1] as elsewhere in this
toolkit; it is the same map, since (1 + tanh a) / 2 = sigmoid(2 a). Kernels of 4 instead of 5 are multiples of the
stride, which avoids checkerboards (Odena et al. 2016). Weights begin as N(0, 0.02^2), as in the paper.

Reference:
    A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative
    adversarial networks", arXiv:1511.06434 (2016), section 3 and figure 1.
"""

import math

import keras
from keras import ops

from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.layers.transposed import Conv2DTranspose
from keras_gen.networks.base import Network, normal_initializer
from keras_gen.networks.convolutional import image_sizes
from keras_gen.networks.default import default_filters, is_large_image
from keras_gen.networks.mlp import MLP


@keras.saving.register_keras_serializable(package="keras_gen")
class DCGANGenerator(Network):
    """Transposed convolutions from a latent vector to an image.

    Args:
        event_shape: `(height, width, channels)` of the image.
        filters: one a stage, the depth of the smallest image first; default by the size: 128, 64 for 28 x 28.
        kernel_size: default 4, a multiple of the stride.
        output_activation: default "sigmoid", for data in [0, 1]; "tanh" for [-1, 1]; None.
        activation: default "relu".
        normalization: default "batch"; as of `Network`.
        **kwargs: as of `Network`.

    Call arguments:
        x: latents `(batch, latent_dim)`.
        condition: a vector `(batch, C)`, concatenated to x, or None.
        training: bool.

    Returns:
        Tensor `(batch, *event_shape)`.

    Raises:
        ValueError: an event that is no image, sizes that are no positive integers.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import DCGANGenerator
        >>> tuple(DCGANGenerator((28, 28, 1), (16, 8))(ops.zeros((2, 10))).shape)
        (2, 28, 28, 1)

    Reference:
        Radford et al. 2016, arXiv:1511.06434, figure 1.
    """

    def __init__(
        self, event_shape, filters=None, kernel_size=4, output_activation="sigmoid", activation="relu",
        normalization="batch", kernel_initializer=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            activation=activation, normalization=normalization,
            kernel_initializer=kernel_initializer or normal_initializer(), **kwargs,
        )  # fmt: skip
        self.event_shape = _image_shape(event_shape)
        self.filters = _filters(filters, self.event_shape, reverse=True)
        self.kernel_size = positive_int(kernel_size, "kernel_size")
        self.output_activation = keras.activations.get(output_activation)
        *self.sizes, self.smallest = image_sizes(self.event_shape[:2], len(self.filters))
        self.project = self.dense_block(math.prod(self.smallest) * self.filters[0], name="project")
        self.stages = [
            self.convolution_block(Conv2DTranspose, count, self.kernel_size, 2, name=f"stage_{i}")
            for i, count in enumerate(self.filters[1:])
        ]
        self.to_image = Conv2DTranspose(
            self.event_shape[-1], self.kernel_size, 2, padding="same", data_format="channels_last",
            kernel_initializer=self._initializer(), dtype=self.dtype_policy, name="to_image",
        )  # fmt: skip

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        flat = (None, math.prod(x_shape[1:]))
        self.project.build((None, flat[1] + attached_channels(flat, condition_shape)))
        shape = (None, *self.smallest, self.filters[0])
        for stage, size, count in zip(self.stages, self.sizes[:0:-1], self.filters[1:], strict=True):
            stage.build(shape)
            shape = (None, *size, count)
        self.to_image.build(shape)

    def call(self, x, condition=None, training=False):
        self.check_condition(condition)
        z = ops.reshape(ops.cast(x, self.compute_dtype), (-1, math.prod(x.shape[1:])))
        h = self.project(attach_condition(z, condition), training=training)
        h = ops.reshape(h, (-1, *self.smallest, self.filters[0]))
        for stage, (height, width) in zip(self.stages, self.sizes[:0:-1], strict=True):
            h = stage(h, training=training)[:, :height, :width]
        height, width = self.sizes[0]
        return self.output_activation(self.to_image(h)[:, :height, :width])

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], *self.event_shape)

    def get_config(self):
        own = {"event_shape": self.event_shape, "filters": self.filters, "kernel_size": self.kernel_size}
        activation = keras.activations.serialize(self.output_activation)
        return {**super().get_config(), **own, "output_activation": activation}


@keras.saving.register_keras_serializable(package="keras_gen")
class DCGANDiscriminator(Network):
    """Strided convolutions from an image to a score, `(batch, 1)`, without a sigmoid.

    Args:
        filters: one a stage; default by the size: 64, 128 for 28 x 28.
        kernel_size: default 4.
        activation: default "leaky_relu", of slope 0.2.
        normalization: default "batch", in all stages but the first. Under a gradient penalty it should be None or
            "layer": batch normalisation makes the score of an example depend on the others.
        output_units: default 1; other outputs, such as features, for other sizes.
        **kwargs: as of `Network`.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        condition: a vector or an image that joins x as channels, or None.
        training: bool.

    Returns:
        Tensor `(batch, output_units)`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import DCGANDiscriminator
        >>> tuple(DCGANDiscriminator((8, 16))(ops.zeros((2, 28, 28, 1))).shape)
        (2, 1)

    Reference:
        Radford et al. 2016, arXiv:1511.06434, section 3.
    """

    def __init__(
        self, filters=(64, 128), kernel_size=4, activation="leaky_relu", normalization="batch", output_units=1,
        kernel_initializer=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            activation=activation, normalization=normalization,
            kernel_initializer=kernel_initializer or normal_initializer(), **kwargs,
        )  # fmt: skip
        self.filters = as_shape(filters, "filters")
        self.kernel_size = positive_int(kernel_size, "kernel_size")
        self.output_units = positive_int(output_units, "output_units")
        self.stages = [self._stage(i, count) for i, count in enumerate(self.filters)]
        self.output_map = keras.layers.Dense(
            self.output_units, kernel_initializer=self._initializer(), dtype=self.dtype_policy, name="output_map"
        )

    def _stage(self, i, filters):
        """The first stage has no batch normalisation: it would hide the scale of the data."""
        normalization, self.normalization = self.normalization, None if i == 0 else self.normalization
        stage = self.convolution_block(keras.layers.Conv2D, filters, self.kernel_size, 2, name=f"stage_{i}")
        self.normalization = normalization
        return stage

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        shape = (None, *x_shape[1:-1], x_shape[-1] + attached_channels(x_shape, condition_shape))
        for stage in self.stages:
            stage.build(shape)
            shape = stage.compute_output_shape(shape)
        self.output_map.build((None, math.prod(shape[1:])))

    def features(self, x, condition=None, training=False):
        """The last features before the score, `(batch, features)`."""
        self.check_condition(condition)
        h = attach_condition(ops.cast(x, self.compute_dtype), condition)
        for stage in self.stages:
            h = stage(h, training=training)
        return ops.reshape(h, (-1, math.prod(h.shape[1:])))

    def call(self, x, condition=None, training=False):
        return self.output_map(self.features(x, condition, training))

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], self.output_units)

    def get_config(self):
        own = {"filters": self.filters, "kernel_size": self.kernel_size, "output_units": self.output_units}
        return {**super().get_config(), **own}


def default_generator(event_shape, units=(128, 128), **options):
    """A generator `(batch, latent_dim)` to `(batch, *event_shape)`: `DCGANGenerator` for images of more than 8 pixels.

    Vectors come from dense layers and are linear in the last of them; small images are in [0, 1], as of DCGAN here.

    Args:
        event_shape: shape of one example.
        units: of the dense layers, default (128, 128).
        **options: as of `Network`.

    Example:
        >>> from keras_gen.networks import default_generator
        >>> [type(default_generator(shape)).__name__ for shape in [(2,), (28, 28, 1)]]
        ['DenseGenerator', 'DCGANGenerator']
    """
    event_shape = as_shape(event_shape, "event_shape")
    if is_large_image(event_shape):
        return DCGANGenerator(event_shape, **options)
    return DenseGenerator(event_shape, units, output_activation="sigmoid" if len(event_shape) == 3 else None, **options)


def default_discriminator(event_shape, units=(128, 128), **options):
    """A discriminator to scores `(batch, 1)`: `DCGANDiscriminator` for images of more than 8 pixels, else dense.

    Args:
        event_shape: shape of one example.
        units: of the dense layers, default (128, 128).
        **options: as of `Network`.

    Example:
        >>> from keras_gen.networks import default_discriminator
        >>> [type(default_discriminator(shape)).__name__ for shape in [(2,), (28, 28, 1)]]
        ['DenseDiscriminator', 'DCGANDiscriminator']
    """
    event_shape = as_shape(event_shape, "event_shape")
    if is_large_image(event_shape):
        return DCGANDiscriminator(_filters(None, event_shape), **options)
    return DenseDiscriminator(units, **options)


@keras.saving.register_keras_serializable(package="keras_gen")
class DenseDiscriminator(MLP):
    """Dense layers from data of any shape to a score, `(batch, 1)`, without a sigmoid.

    Args:
        units: sizes of the hidden layers, default (128, 128).
        activation: default LeakyReLU of slope 0.2.
        output_units: default 1.
        **kwargs: as of `MLP`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import DenseDiscriminator
        >>> tuple(DenseDiscriminator()(ops.zeros((2, 8, 8, 1))).shape)
        (2, 1)
    """

    def __init__(
        self, units=(128, 128), activation="leaky_relu", output_units=1, kernel_initializer="he_normal", **kwargs
    ):
        options = {"activation": activation, "output_units": positive_int(output_units, "output_units")}
        super().__init__(units, kernel_initializer=kernel_initializer, **options, **kwargs)

    @property
    def output_map(self):
        """The linear map from features to the score."""
        return self.blocks[-1]

    def features(self, x, condition=None, training=False):
        """The last features before the score, `(batch, features)`."""
        self.check_condition(condition)
        x = ops.reshape(ops.cast(x, self.compute_dtype), (-1, math.prod(x.shape[1:])))
        h = first = attach_condition(x, condition)
        for i, block in enumerate(self.blocks):
            h = ops.concatenate([h, first], axis=-1) if self.skip and i else h
            h = h if block is self.output_map else block(h, training=training)
        return h

    def call(self, x, condition=None, training=False):
        return self.output_map(self.features(x, condition, training))


@keras.saving.register_keras_serializable(package="keras_gen")
class DenseGenerator(MLP):
    """Dense layers from a latent vector to an example of any shape.

    Args:
        event_shape: shape of one example.
        units: sizes of the hidden layers, default (128, 128).
        output_activation: default None, linear.
        activation: default LeakyReLU of slope 0.2.
        **kwargs: as of `MLP`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import DenseGenerator
        >>> tuple(DenseGenerator((8, 8, 1), output_activation="sigmoid")(ops.zeros((2, 10))).shape)
        (2, 8, 8, 1)
    """

    def __init__(
        self, event_shape, units=(128, 128), output_activation=None, activation="leaky_relu",
        kernel_initializer="he_normal", **kwargs,
    ):  # fmt: skip
        self.event_shape = as_shape(event_shape, "event_shape")
        kwargs.pop("output_units", None)
        super().__init__(
            units, activation=activation, output_units=math.prod(self.event_shape),
            kernel_initializer=kernel_initializer, **kwargs,
        )  # fmt: skip
        self.output_activation = keras.activations.get(output_activation)

    def call(self, x, condition=None, training=False):
        h = super().call(x, condition, training)
        return self.output_activation(ops.reshape(h, (-1, *self.event_shape)))

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], *self.event_shape)

    def get_config(self):
        activation = keras.activations.serialize(self.output_activation)
        return {**super().get_config(), "event_shape": self.event_shape, "output_activation": activation}


def _image_shape(event_shape):
    event_shape = as_shape(event_shape, "event_shape")
    if len(event_shape) != 3:
        raise ValueError(f"Expected `event_shape` as (height, width, channels). Received: {event_shape}.")
    return event_shape


def _filters(filters, event_shape, reverse=False):
    if filters is None:
        filters = tuple(2 * count for count in default_filters(event_shape))
        return filters[::-1] if reverse else filters
    return as_shape(filters, "filters")
