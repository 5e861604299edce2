"""Networks that grow from small images to large ones, each new stage faded in.

Stage k has the size 2^k times the smallest one, k = 0 ... K. The level g, a number from 0 to K that is state, says how
far a network has grown: stage k counts with

    a_0 = 1,        a_k = min(max(g - (k - 1), 0), 1),

so that at g = 2.3 stages up to 2 are on and stage 3 is at alpha = 0.3. With h_k the features of stage k, the image of
the generator and the features of the discriminator are (Karras et al. 2018, figure 2)

    generator:        y_0 = to_image_0(h_0),      y_k = (1 - a_k) double(y_(k-1)) + a_k to_image_k(h_k)
    discriminator:    h_K = from_image_K(x_K),    h_(k-1) = (1 - a_k) from_image_(k-1)(x_(k-1)) + a_k stage_k(h_k)

with x_k the image halved to size k. All layers exist from the start, and images are of the last size always: those of
a small stage have equal pixels. A stage with a_k = 0 is not computed: it is a branch of the graph, not a new graph, so
that nothing is compiled again as the networks grow. Its layers get no gradient, and no optimizer that is of the kind of
Adam moves them.

Data are brought to the level alike: r_0 = x_0, r_k = (1 - a_k) double(r_(k-1)) + a_k x_k.

Reference:
    T. Karras, T. Aila, S. Laine, J. Lehtinen, "Progressive growing of GANs for improved quality, stability, and
    variation", arXiv:1710.10196 (2018), sections 2 and 4.2, table 2.
"""

import math

import keras
from keras import ops

from keras_gen import backend, layers
from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape
from keras_gen.networks.equalized import EqualizedNetwork, StyleDiscriminator, image_shape, style_filters


class Growing:
    """Mixin of the networks that grow: their level."""

    def add_level(self, stages):
        """The level as a variable, full at first."""
        self.level = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(float(stages)), trainable=False, autocast=False,
            aggregation="mean", name="level",
        )  # fmt: skip

    def fade(self, k, dtype="float32"):
        """a_k, a scalar."""
        return ops.cast(ops.clip(self.level - (k - 1), 0.0, 1.0), dtype)


def at_level(x, network, stages):
    """Images `(batch, h, w, c)` as they are at the level of `network`, of `stages` stages after the first."""
    pyramid = [x]
    for _ in range(stages):
        pyramid.append(layers.halved(pyramid[-1]))
    r = pyramid[-1]
    for k in range(1, stages + 1):
        a = network.fade(k, r.dtype)
        r = (1.0 - a) * layers.doubled(r) + a * pyramid[stages - k]
    return r


@keras.saving.register_keras_serializable(package="keras_gen")
class GrowingGenerator(Growing, EqualizedNetwork):
    """The generator of a progressive GAN: stages of two convolutions, normalised by pixel, each with its own image.

    Args:
        event_shape: `(height, width, channels)`; height and width are powers of two.
        filters: one a stage, the smallest image first; default by the size: 256, 128, 64, 32 for 32 x 32.
        output_activation: default "sigmoid", for data in [0, 1]; "tanh" or None (the paper's).
        **kwargs: `activation`, `name`, `dtype`.

    Call arguments:
        x: latents `(batch, latent_dim)`; they are normalised to unit mean square.
        condition: a vector or None; it joins the normalised latent.
        training: bool, of no effect.

    Returns:
        Tensor `(batch, *event_shape)`, whatever the level.

    Raises:
        ValueError: an event that is no image, a side that is no power of two, more stages than it has halvings.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import GrowingGenerator
        >>> network = GrowingGenerator((16, 16, 1), (8, 8, 4))
        >>> network.build((None, 5))
        >>> _ = network.level.assign(0.0)
        >>> y = ops.convert_to_numpy(network(ops.ones((2, 5))))
        >>> y.shape, bool((y[:, :4, :4] == y[:, :1, :1]).all())
        ((2, 16, 16, 1), True)

    Reference:
        Karras et al. 2018, arXiv:1710.10196, table 2.
    """

    def __init__(self, event_shape, filters=None, output_activation="sigmoid", **kwargs):
        super().__init__(**kwargs)
        self.event_shape = growing_shape(event_shape)
        self.filters = _checked_stages(self.event_shape, filters)
        self.output_activation = keras.activations.get(output_activation)
        stages = len(self.filters) - 1
        self.sizes = [tuple(side >> (stages - k) for side in self.event_shape[:2]) for k in range(stages + 1)]
        own = {"dtype": self.dtype_policy}
        self.normalize = layers.PixelNormalization(**own, name="normalize")
        units = math.prod(self.sizes[0]) * self.filters[0]
        self.project = layers.EqualizedDense(units, gain=math.sqrt(2.0) / 4.0, **own, name="project")
        self.convolutions = [
            layers.EqualizedConv2D(f, **own, name=f"stage_{k}_{i}")
            for k, f in enumerate(self.filters)
            for i in range(2 if k else 1)
        ]
        self.to_image = [
            layers.EqualizedConv2D(self.event_shape[-1], 1, gain=1.0, **own, name=f"to_image_{k}")
            for k in range(stages + 1)
        ]

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        self.project.build((None, x_shape[-1] + attached_channels(x_shape, condition_shape)))
        count = self.filters[0]
        for k, size in enumerate(self.sizes):
            for layer in self.stage(k):
                layer.build((None, *size, count))
                count = self.filters[k]
            self.to_image[k].build((None, *size, count))
        self.build_weightless()
        self.add_level(len(self.filters) - 1)

    def call(self, x, condition=None, training=False):
        self.check_condition(condition)
        z = attach_condition(self.normalize(ops.cast(x, self.compute_dtype)), condition)
        h = ops.reshape(self.project(z), (-1, *self.sizes[0], self.filters[0]))
        h = self._features(0, self.normalize(self.activation(h)))
        y = self._image(0, h)
        for k in range(1, len(self.filters)):
            h, y = self._grown(k, h, y)
        return y

    def stage(self, k):
        """The convolutions of stage k."""
        return self.convolutions[max(2 * k - 1, 0) : 2 * k + 1]

    def _features(self, k, h):
        for layer in self.stage(k):
            h = self.normalize(self.activation(layer(h)))
        return h

    def _image(self, k, h):
        return self.output_activation(self.to_image[k](h))

    def _grown(self, k, h, y):
        """Features and image of stage k; a stage that is off is not computed."""
        below, a = layers.doubled(y), self.fade(k, y.dtype)

        def on():
            own = self._features(k, layers.doubled(h))
            return own, (1.0 - a) * below + a * self._image(k, own)

        off = ops.zeros((ops.shape(h)[0], *self.sizes[k], self.filters[k]), h.dtype)
        return backend.when(a > 0, on, (off, below))

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], *self.event_shape)

    def get_config(self):
        activation = keras.activations.serialize(self.output_activation)
        own = {"event_shape": self.event_shape, "filters": self.filters, "output_activation": activation}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_gen")
class GrowingDiscriminator(Growing, StyleDiscriminator):
    """The discriminator of a progressive GAN: that of `StyleDiscriminator`, which sees the image at its level.

    Args:
        filters: one a stage, the finest first, default (32, 64, 128, 256), for 32 x 32.
        blur: default False (the paper's).
        group_size, **kwargs: as of `StyleDiscriminator`.

    Call arguments:
        x: images `(batch, height, width, channels)` of the last size; height and width are powers of two.
        condition: a vector or None.
        training: bool, of no effect.

    Returns:
        Scores `(batch, 1)`.

    Raises:
        ValueError: a side that is no power of two, more stages than it has halvings.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import GrowingDiscriminator
        >>> tuple(GrowingDiscriminator((4, 8, 8))(ops.zeros((4, 16, 16, 1))).shape)
        (4, 1)

    Reference:
        Karras et al. 2018, arXiv:1710.10196, table 2.
    """

    def __init__(self, filters=(32, 64, 128, 256), blur=False, group_size=4, **kwargs):
        super().__init__(filters, blur, group_size, **kwargs)

    def image_filters(self):
        return self.filters

    def build(self, x_shape, condition_shape=None):
        _checked_stages(growing_shape(tuple(x_shape[1:])), self.filters)
        super().build(x_shape, condition_shape)
        self.add_level(len(self.filters) - 1)

    def call(self, x, condition=None, training=False):
        x = ops.cast(x, self.compute_dtype)
        h = self.from_image[0](x)
        for i in range(len(self.filters) - 1):
            x = layers.halved(x)
            h = self._faded(i, h, self.from_image[i + 1](x))
        return self.scored(h, condition)

    def _faded(self, i, h, below):
        """Features of scale i + 1, from those of scale i where its stage is on, and from the image itself."""
        a = self.fade(len(self.filters) - 1 - i, h.dtype)
        return backend.when(a > 0, lambda: (1.0 - a) * below + a * self.stage(i, h), below)


def growing_shape(event_shape):
    """`event_shape` as an image whose sides are powers of two, of at least 8 pixels, or ValueError."""
    event_shape = image_shape(event_shape)
    if any(side < 8 or side & (side - 1) for side in event_shape[:2]):
        raise ValueError(
            "Expected images whose height and width are powers of two, at least 8, for networks that grow. "
            f"Received: {event_shape}. Pad or resize them, such as 28 x 28 to 32 x 32."
        )
    return event_shape


def _checked_stages(event_shape, filters):
    """The filters, one a stage; by default with 4 pixels on the shorter side of the smallest."""
    if filters is None:
        return style_filters((min(event_shape[:2]),) * 2 + (1,))[::-1]
    filters = as_shape(filters, "filters")
    if not 2 <= len(filters) <= int(math.log2(min(event_shape[:2]))) + 1:
        raise ValueError(
            f"Expected `filters` for 2 to {int(math.log2(min(event_shape[:2]))) + 1} stages, each twice as large as "
            f"the one before, of images {event_shape}. Received: {filters}."
        )
    return filters
