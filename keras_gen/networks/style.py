"""The generator of StyleGAN: a mapping of the latent to a style, and a synthesis that the style steers layer by layer.

**Mapping.** w = f(z / sqrt(mean z^2)), f dense layers of equalised learning rate, a hundredth of the others'. It keeps
the running mean m of w, m <- d m + (1 - d) mean of a batch, to which styles are drawn at a truncation psi,

    w' = m + psi (w - m):                                                         (Karras 2019, appendix B)

psi = 1 leaves them, psi = 0 gives the mean style; between, samples are better and vary less.

**Synthesis.** A learned constant of the smallest size s_n grows to the image through the sizes of
`networks.convolutional`. Scale 0 has one layer, each further one two, the first of which doubles; layer l takes its own
style w_l, so that 1 + 2 n styles may come from different latents. A layer is

    "adain":     h = AdaIN(f(blur(conv(h)) + b + B n_l), w_l)                     (2019; blur where it doubles)
    "weights":   h = f(modulated conv(h, w_l) + b + B n_l)                        (2020)

with noise n_l, one number a pixel, and f a leaky rectifier. At each scale a convolution of 1 x 1 makes an image, and
the image is the sum of all, each doubled to the last size (2020, figure 7: as well trained as a growing one).

The papers' generators end linearly, for data in [-1, 1]; the sigmoid here is for data in [0, 1]. The constant has no
layer of noise and style before the first convolution; borders are filtered as `layers.Blur` says.

Reference:
    T. Karras, S. Laine, T. Aila, "A style-based generator architecture for GANs", arXiv:1812.04948 (2019), figure 1.
    T. Karras et al., "Analyzing and improving the image quality of StyleGAN", arXiv:1912.04958 (2020), figure 2.
"""

import keras
from keras import ops

from keras_gen import backend, layers
from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.convolutional import image_sizes
from keras_gen.networks.equalized import EqualizedNetwork, image_shape, style_filters

MODULATIONS = ("adain", "weights")


@keras.saving.register_keras_serializable(package="keras_gen")
class MappingNetwork(EqualizedNetwork):
    """From latents to styles: z normalised, then dense layers of equalised learning rate.

    Args:
        style_dim: size of w and of the hidden layers, default 128.
        depth: number of layers, default 8 (the paper's).
        rate: their own factor of the learning rate, default 0.01 (the paper's).
        decay: d of the running mean of w, default 0.995 (the authors' program).
        **kwargs: `activation`, `name`, `dtype`.

    Call arguments:
        x: latents `(batch, latent_dim)`.
        condition: a vector `(batch, C)` or None; it joins the normalised latent.
        training: bool; whether the mean follows.

    Returns:
        Styles `(batch, style_dim)`.

    Raises:
        ValueError: sizes that are no positive integers.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import MappingNetwork
        >>> tuple(MappingNetwork(16, depth=2)(ops.ones((3, 8))).shape)
        (3, 16)

    Reference:
        Karras et al. 2019, arXiv:1812.04948, figure 1b, appendices B and C.
    """

    def __init__(self, style_dim=128, depth=8, rate=0.01, decay=0.995, **kwargs):
        super().__init__(**kwargs)
        self.style_dim, self.depth = positive_int(style_dim, "style_dim"), positive_int(depth, "depth")
        if not isinstance(decay, (int, float)) or not 0.0 <= decay < 1.0:
            raise ValueError(f"Expected `decay` as a number from 0 to below 1. Received: decay={decay!r}.")
        self.rate, self.decay = rate, decay
        self.normalize = layers.PixelNormalization(dtype=self.dtype_policy, name="normalize")
        self.maps = [
            layers.EqualizedDense(
                self.style_dim, self.activation, rate=rate, dtype=self.dtype_policy, name=f"map_{i}"
            )
            for i in range(self.depth)
        ]

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        size = x_shape[-1] + attached_channels(x_shape, condition_shape)
        for layer in self.maps:
            layer.build((None, size))
            size = self.style_dim
        self.mean = self.add_weight(
            shape=(self.style_dim,), initializer="zeros", trainable=False, autocast=False, aggregation="mean",
            name="mean",
        )  # fmt: skip
        self.build_weightless()

    def call(self, x, condition=None, training=False):
        self.check_condition(condition)
        w = attach_condition(self.normalize(ops.cast(x, self.compute_dtype)), condition)
        for layer in self.maps:
            w = layer(w)
        if training:
            self.mean.assign(self.decay * self.mean + (1.0 - self.decay) * backend.no_grad(lambda: self._batch_mean(w)))
        return w

    def _batch_mean(self, w):
        w = ops.cast(w, self.mean.dtype)
        _, total = backend.rows(ops.shape(w)[0])
        return backend.all_sum(ops.sum(w, axis=0)) / ops.cast(total, w.dtype)

    def truncated(self, w, psi):
        """m + psi (w - m) of styles `(batch, style_dim)` or `(batch, layers, style_dim)`."""
        m = ops.cast(self.mean, w.dtype)
        return m + ops.cast(psi, w.dtype) * (w - m)

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], self.style_dim)

    def get_config(self):
        own = ("style_dim", "depth", "rate", "decay")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


class StyleLayer(keras.layers.Layer):
    """One layer of the synthesis, steered by one style; rebuilt by its network, not saved by itself."""

    def __init__(self, filters, size, activation, modulation, double, **kwargs):
        super().__init__(**kwargs)
        self.size, self.activation, self.double = size, activation, double
        own = {"dtype": self.dtype_policy}
        self.noise = layers.NoiseInjection(**own, name="noise")
        self.adain = layers.AdaIN(**own, name="adain") if modulation == "adain" else None
        convolution = layers.EqualizedConv2D if modulation == "adain" else layers.ModulatedConv2D
        self.convolution = convolution(filters, 3, **own, name="convolution")
        self.blur = layers.Blur(**own, name="blur") if double else None

    def build(self, h_shape, style_shape):
        shapes = (h_shape, style_shape)
        self.convolution.build(*shapes[: 1 if self.adain is not None else 2])
        h_shape = self.convolution.compute_output_shape(h_shape)
        self.noise.build(h_shape)
        if self.adain is not None:
            self.adain.build(h_shape, style_shape)

    def call(self, h, style, noise=None):
        h = enlarged(h, self.size) if self.double else h
        h = self.convolution(h) if self.adain is not None else self.convolution(h, style)
        h = h if self.blur is None else self.blur(h)
        h = self.activation(self.noise(h, noise))
        return h if self.adain is None else self.adain(h, style)


@keras.saving.register_keras_serializable(package="keras_gen")
class StyleSynthesis(EqualizedNetwork):
    """From styles to images: a learned constant, doubled and convolved, each layer steered by its style and by noise.

    Args:
        event_shape: `(height, width, channels)` of the image.
        filters: one a scale, that of the constant first; default by the size: 256, 128, 64, 32 for 28 x 28.
        modulation: "adain" (default), instance normalisation with style, or "weights", modulated convolutions.
        output_activation: default "sigmoid", for data in [0, 1]; "tanh" or None.
        **kwargs: `activation`, `name`, `dtype`.

    Call arguments:
        x: styles `(batch, style_dim)`, or one a layer `(batch, num_layers, style_dim)`.
        noise: standard normal `(batch, noise_size)`, all layers' in a row; None (default) for no noise.

    Returns:
        Tensor `(batch, *event_shape)`.

    Raises:
        ValueError: an event that is no image, sizes that are no positive integers, another modulation.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import StyleSynthesis
        >>> network = StyleSynthesis((14, 14, 1), (16, 8, 8))
        >>> tuple(network(ops.ones((3, 16))).shape), network.num_layers, network.noise_size
        ((3, 14, 14, 1), 5, 506)

    Reference:
        Karras et al. 2019, arXiv:1812.04948, figure 1b; Karras et al. 2020, arXiv:1912.04958, figures 2 and 7b.
    """

    def __init__(self, event_shape, filters=None, modulation="adain", output_activation="sigmoid", **kwargs):
        super().__init__(**kwargs)
        self.event_shape = image_shape(event_shape)
        self.filters = style_filters(event_shape)[::-1] if filters is None else as_shape(filters, "filters")
        if modulation not in MODULATIONS:
            raise ValueError(f"Expected `modulation` as one of {list(MODULATIONS)}. Received: {modulation!r}.")
        self.modulation = modulation
        self.output_activation = keras.activations.get(output_activation)
        self.sizes = image_sizes(self.event_shape[:2], len(self.filters) - 1)[::-1]
        self.scale_of = [0, *(k for k in range(1, len(self.filters)) for _ in range(2))]
        self.num_layers = len(self.scale_of)
        self.noise_sizes = [self.sizes[k][0] * self.sizes[k][1] for k in self.scale_of]
        self.noise_size = sum(self.noise_sizes)
        self.layers = [self._layer(i, k) for i, k in enumerate(self.scale_of)]
        self.to_image = [self._to_image(k) for k in range(len(self.filters))]

    def _layer(self, i, k):
        double = k > 0 and self.scale_of[i - 1] != k
        return StyleLayer(
            self.filters[k], self.sizes[k], self.activation, self.modulation, double, dtype=self.dtype_policy,
            name=f"layer_{i}",
        )  # fmt: skip

    def _to_image(self, k):
        own = {"dtype": self.dtype_policy, "name": f"to_image_{k}"}
        if self.modulation == "adain":
            return layers.EqualizedConv2D(self.event_shape[-1], 1, gain=1.0, **own)
        return layers.ModulatedConv2D(self.event_shape[-1], 1, demodulate=False, **own)

    def build(self, x_shape, noise_shape=None):
        style, channels = (None, x_shape[-1]), self.filters[0]
        normal = keras.initializers.RandomNormal(0.0, 1.0)
        self.constant = self.add_weight(shape=(1, *self.sizes[0], channels), initializer=normal, name="constant")
        for layer, k in zip(self.layers, self.scale_of, strict=True):
            layer.build((None, *self.sizes[k], channels), style)
            channels = self.filters[k]
        for k, layer in enumerate(self.to_image):
            shapes = ((None, *self.sizes[k], self.filters[k]), style)
            layer.build(*shapes[: 1 if self.modulation == "adain" else 2])
        self.build_weightless()

    def call(self, x, noise=None, training=False):
        w = ops.cast(x, self.compute_dtype)
        n, styles = ops.shape(w)[0], [w] * self.num_layers
        if len(w.shape) == 3:
            styles = [w[:, i] for i in range(self.num_layers)]
        h = ops.broadcast_to(ops.cast(self.constant, self.compute_dtype), (n, *self.constant.shape[1:]))
        image = None
        for i, (layer, k) in enumerate(zip(self.layers, self.scale_of, strict=True)):
            h = layer(h, styles[i], self._noise(noise, i))
            if i + 1 == self.num_layers or self.scale_of[i + 1] != k:  # the last layer of its scale
                own = self.to_image[k](*((h,) if self.modulation == "adain" else (h, styles[i])))
                image = own if image is None else enlarged(image, self.sizes[k]) + own
        return self.output_activation(image)

    def _noise(self, noise, i):
        """The part of layer i as an image."""
        if noise is None:
            return None
        start = sum(self.noise_sizes[:i])
        return ops.reshape(noise[:, start : start + self.noise_sizes[i]], (-1, *self.sizes[self.scale_of[i]], 1))

    def compute_output_shape(self, x_shape, noise_shape=None):
        return (x_shape[0], *self.event_shape)

    def get_config(self):
        own = {"event_shape": self.event_shape, "filters": self.filters, "modulation": self.modulation}
        activation = keras.activations.serialize(self.output_activation)
        return {**super().get_config(), **own, "output_activation": activation}


@keras.saving.register_keras_serializable(package="keras_gen")
class StyleGenerator(EqualizedNetwork):
    """Mapping and synthesis as one generator, `mapping` and `synthesis`.

    Args:
        event_shape: `(height, width, channels)` of the image.
        style_dim, depth: of the `MappingNetwork`, default 128 and 8.
        filters, modulation, output_activation: of the `StyleSynthesis`.
        **kwargs: `activation`, `name`, `dtype`.

    Call arguments:
        x: latents `(batch, latent_dim)`.
        condition: a vector `(batch, C)` or None.
        training: bool.

    Returns:
        Images `(batch, *event_shape)`, one style for all layers and no noise.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import StyleGenerator
        >>> tuple(StyleGenerator((8, 8, 1), style_dim=16, depth=2, filters=(8, 8))(ops.ones((3, 4))).shape)
        (3, 8, 8, 1)

    Reference:
        Karras et al. 2019, arXiv:1812.04948, figure 1b.
    """

    def __init__(
        self, event_shape, style_dim=128, depth=8, filters=None, modulation="adain", output_activation="sigmoid",
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        own = {"activation": self.activation, "dtype": self.dtype_policy}
        self.mapping = MappingNetwork(style_dim, depth, **own, name="mapping")
        self.synthesis = StyleSynthesis(event_shape, filters, modulation, output_activation, **own, name="synthesis")

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        self.mapping.build(x_shape, condition_shape)
        self.synthesis.build((None, self.mapping.style_dim))

    def call(self, x, condition=None, training=False):
        return self.synthesis(self.mapping(x, condition, training=training))

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], *self.synthesis.event_shape)

    def get_config(self):
        names = ("event_shape", "filters", "modulation", "output_activation")
        parts = self.synthesis.get_config()
        own = {"style_dim": self.mapping.style_dim, "depth": self.mapping.depth}
        return {**super().get_config(), **own, **{name: parts[name] for name in names}}


def enlarged(h, size):
    """Images doubled, and cut to `size`."""
    return layers.doubled(h)[:, : size[0], : size[1]]
