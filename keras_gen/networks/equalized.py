"""Networks of equalised learning rate: their base, and the discriminator of StyleGAN and of the progressive GAN.

With h_0 a convolution of 1 x 1 of the image, stage i is

    h_(i+1) = halve(f(conv(blur(f(conv(h_i)))))),

the blur left out in the progressive GAN; the last features, with the standard deviation of the batch as one channel
more, go through a convolution and two dense layers to a score without an end. `networks.growing` fades its stages in.

Reference:
    T. Karras, T. Aila, S. Laine, J. Lehtinen, "Progressive growing of GANs", arXiv:1710.10196 (2018), table 2.
    T. Karras, S. Laine, T. Aila, "A style-based generator architecture", arXiv:1812.04948 (2019), section 3.
"""

import keras
from keras import ops

from keras_gen import layers
from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.base import Network
from keras_gen.networks.convolutional import image_sizes

SMALLEST = 4
FIRST_FILTERS, MOST_FILTERS = 32, 256


class EqualizedNetwork(Network):
    """Base of the networks of equalised learning rate; it has no dropout, normalisation or initialiser to choose.

    Args:
        activation: of the hidden layers, default "leaky_relu", of slope 0.2.
        name, dtype, trainable: as of `keras.layers.Layer`.
    """

    def __init__(self, activation="leaky_relu", *, name=None, dtype=None, trainable=True):
        super().__init__(activation=activation, name=name, dtype=dtype, trainable=trainable)

    def build_weightless(self):
        """The rest of the layers, those without weights: for what is not built, Keras calls the whole model."""
        for layer in self._flatten_layers(include_self=False):
            if not layer.built:
                layer.build(None)

    def get_config(self):
        config = super().get_config()
        for superfluous in ("dropout", "normalization", "kernel_initializer"):
            del config[superfluous]
        return config


@keras.saving.register_keras_serializable(package="keras_gen")
class StyleDiscriminator(EqualizedNetwork):
    """Stages of two convolutions of equalised learning rate, each halving the image; the spread of the batch; a score.

    Args:
        filters: one a scale, the finest first, default (32, 64, 128, 256), for 28 x 28.
        blur: whether features are blurred before they are halved, default True (StyleGAN's).
        group_size: of `layers.MinibatchStandardDeviation`, default 4; the score of an example depends on its group.
        **kwargs: `activation`, `name`, `dtype`.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        condition: a vector or None; it joins the features before the last two layers.
        training: bool, of no effect.

    Returns:
        Scores `(batch, 1)`.

    Raises:
        ValueError: sizes that are no positive integers.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import StyleDiscriminator
        >>> tuple(StyleDiscriminator((8, 16))(ops.zeros((4, 9, 8, 1))).shape)
        (4, 1)

    Reference:
        Karras et al. 2018, arXiv:1710.10196, table 2; Karras et al. 2019, arXiv:1812.04948, section 3.
    """

    def __init__(self, filters=(32, 64, 128, 256), blur=True, group_size=4, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.group_size = as_shape(filters, "filters"), positive_int(group_size, "group_size")
        self.blur = layers.Blur(dtype=self.dtype_policy, name="blur") if blur else None
        own = {"activation": self.activation, "dtype": self.dtype_policy}
        convolution = layers.EqualizedConv2D
        self.from_image = [
            convolution(count, 1, **own, name=f"from_image_{i}") for i, count in enumerate(self.image_filters())
        ]
        self.convolutions = [
            convolution(count, **own, name=f"stage_{i}_{j}")
            for i, pair in enumerate(zip(self.filters, self.filters[1:], strict=False))
            for j, count in enumerate(pair)
        ]
        self.spread = layers.MinibatchStandardDeviation(self.group_size, dtype=self.dtype_policy, name="spread")
        self.last = convolution(self.filters[-1], **own, name="last")
        self.hidden = layers.EqualizedDense(self.filters[-1], **own, name="hidden")
        self.output_map = layers.EqualizedDense(1, gain=1.0, dtype=self.dtype_policy, name="output_map")

    def image_filters(self):
        """Channels that the image becomes, at each scale at which it is seen."""
        return self.filters[:1]

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        self.sizes = image_sizes(x_shape[1:3], len(self.filters) - 1)
        for layer, size in zip(self.from_image, self.sizes, strict=False):
            layer.build((None, *size, x_shape[-1]))
        for i, (size, count) in enumerate(zip(self.sizes[:-1], self.filters, strict=False)):
            for layer in self.convolutions[2 * i : 2 * i + 2]:
                layer.build((None, *size, count))
        last = (None, *self.sizes[-1], self.filters[-1] + 1)
        self.last.build(last)
        flat = (None, last[1] * last[2] * self.filters[-1])
        self.hidden.build((None, flat[1] + attached_channels(flat, condition_shape)))
        self.output_map.build((None, self.filters[-1]))
        self.build_weightless()

    def call(self, x, condition=None, training=False):
        h = self.from_image[0](ops.cast(x, self.compute_dtype))
        for i in range(len(self.filters) - 1):
            h = self.stage(i, h)
        return self.scored(h, condition)

    def stage(self, i, h):
        """Features of scale i, the finest being 0, to those of scale i + 1."""
        h = self.convolutions[2 * i](h)
        h = h if self.blur is None else self.blur(h)
        return layers.halved(self.convolutions[2 * i + 1](h))

    def scored(self, h, condition):
        """The score of features of the last scale."""
        self.check_condition(condition)
        h = self.last(self.spread(h))
        h = ops.reshape(h, (-1, self.hidden_size()))
        return self.output_map(self.hidden(attach_condition(h, condition)))

    def hidden_size(self):
        height, width = self.sizes[-1]
        return height * width * self.filters[-1]

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], 1)

    def get_config(self):
        own = {"filters": self.filters, "blur": self.blur is not None, "group_size": self.group_size}
        return {**super().get_config(), **own}


def image_shape(event_shape):
    """`event_shape` as `(height, width, channels)`, or ValueError."""
    event_shape = as_shape(event_shape, "event_shape")
    if len(event_shape) != 3:
        raise ValueError(f"Expected `event_shape` as (height, width, channels). Received: {event_shape}.")
    return event_shape


def style_filters(event_shape):
    """One number a scale, the finest first: 32, 64, ... to 256, for as many scales as lead to 4 pixels or fewer."""
    scales, side = 1, max(image_shape(event_shape)[:2])
    while side > SMALLEST:
        scales, side = scales + 1, -(-side // 2)
    return tuple(min(FIRST_FILTERS * 2**i, MOST_FILTERS) for i in range(scales))
