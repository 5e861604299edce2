"""Networks that make an image s times as large: all but the end of their work is done at the low resolution.

With y the small image, B(y) its bicubic enlargement and h the features of a body of convolutions,

    G(y) = B(y) + U(h(y)),

where U ends in a sub-pixel rearrangement. The body learns the detail that the bicubic image lacks (the residual of
VDSR, Kim et al. 2016, equation 1); `bicubic_skip=False` leaves B out, as the papers of the four networks below do.
The bodies, W * for a 3 x 3 convolution, f for an activation:

    ESPCN       h = tanh(W_2 * tanh(W_1 * y)),  W_1 of 5 x 5                                       Shi et al. 2016
    SRResNet    blocks  h + n(W * prelu(n(W * h))),  n batch normalisation;  h_0 = prelu(W * y)    Ledig et al. 2017
    EDSR        blocks  h + r W * relu(W * h),  no normalisation, r = residual_scale               Lim et al. 2017
    RRDB        blocks  h + b D_3(D_2(D_1(h))),  D(h) = h + b W * [h, h_1, ..., h_4],              Wang et al. 2018
                h_i = lrelu(W * [h, h_1, ..., h_(i-1)]),  b = residual_scale

the last three with a convolution and a skip around all blocks. U is "direct", one convolution to s^2 c channels and the
rearrangement (ESPCN's, the default: nothing is computed at the high resolution), or "staged": for s = 2^k k times, for
other s once, a convolution to more channels, the rearrangement and an activation, then a convolution to c at the high
resolution (the papers').

An output pixel sees `radius` pixels of y on either side: with layers of kernel size k_l at s_l times the resolution of
y, radius = ceil(sum_l (k_l - 1) / (2 s_l)), 2 at least for B. What is further away cannot change it, by which
`SuperResolution.upscale` cuts large images into tiles without seams.

Reference:
    W. Shi et al., arXiv:1609.05158 (2016), section 3.1; C. Ledig et al., "Photo-realistic single image super-resolution
    using a generative adversarial network", arXiv:1609.04802 (2017), figure 4; B. Lim et al., "Enhanced deep residual
    networks for single image super-resolution", arXiv:1707.02921 (2017), figures 2 and 3; X. Wang et al., "ESRGAN",
    arXiv:1809.00219 (2018), figures 3 and 4; J. Kim, J. K. Lee, K. M. Lee, "VDSR", arXiv:1511.04587 (2016).
"""

import math

import keras

from keras_gen.layers import BatchNormalization, BicubicUpsampling, SubPixel
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.base import ImageConvolution, Network

UPSAMPLINGS = ("direct", "staged")


class UpscalingNetwork(Network):
    """Base of the networks: `network(y)` of images `(batch, h, w, c)` is `(batch, s h, s w, c)`, any h and w.

    A constructor names its layers one after the other by `add`; no name may be a method's, which the layer would hide.

    Args:
        scale: s, a positive int.
        channels: c of the images, default 3.
        bicubic_skip: whether the bicubic image is added, default True.
        kernel_initializer, name, dtype, trainable: as of `Network`.

    Raises:
        ValueError: numbers that are no positive integers, another `upsampling`.
    """

    def __init__(
        self, scale, channels=3, bicubic_skip=True, activation="relu", kernel_initializer="glorot_uniform", *,
        name=None, dtype=None, trainable=True,
    ):  # fmt: skip
        options = {"name": name, "dtype": dtype, "trainable": trainable}
        super().__init__(activation=activation, kernel_initializer=kernel_initializer, **options)
        self.scale, self.channels = positive_int(scale, "scale"), positive_int(channels, "channels")
        self.bicubic_skip = bool(bicubic_skip)
        self.enlarge = BicubicUpsampling(self.scale, dtype=self.dtype_policy, name="enlarge")
        self.stages, self.resolutions = [], []  # layers in their order, and the resolutions at which they work

    # What the constructors of networks build with.

    def convolution(self, filters, kernel_size=3, name=None, zeros=False):
        """A convolution that keeps the size; `zeros`: it begins as zero, so that training begins at B(y)."""
        return ImageConvolution(
            filters, kernel_size, padding="same", data_format="channels_last",
            kernel_initializer="zeros" if zeros else self._initializer(), dtype=self.dtype_policy, name=name,
        )  # fmt: skip

    def add(self, layer, resolution=1):
        """`layer` is the next one, working at `resolution` times the size of y."""
        setattr(self, layer.name, layer)
        self.stages.append(layer)
        self.resolutions.append(resolution)

    def end(self, upsampling, filters, activation, kernel_size=3):
        """U: the last stages."""
        if upsampling not in UPSAMPLINGS:
            raise ValueError(f"Expected `upsampling` as one of {UPSAMPLINGS}. Received: {upsampling!r}.")
        own = {"dtype": self.dtype_policy}
        if upsampling == "direct":
            self.add(self.convolution(self.channels * self.scale**2, name="to_image", zeros=self.bicubic_skip))
            self.add(SubPixel(self.scale, **own, name="rearrange"))
            return
        resolution = 1
        for i, factor in enumerate(_factors(self.scale)):
            self.add(self.convolution(filters * factor**2, name=f"up_{i}"), resolution=resolution)
            self.add(SubPixel(factor, **own, name=f"rearrange_{i}"))
            resolution *= factor
            self.add(_activation(activation, f"up_activation_{i}", own))
        last = self.convolution(self.channels, kernel_size, "to_image", self.bicubic_skip)
        self.add(last, resolution=resolution)

    # The layer.

    @property
    def radius(self):
        """Pixels of y on either side that an output pixel sees."""
        pairs = zip(self.stages, self.resolutions, strict=True)
        seen = sum((k - 1) / (2 * resolution) for layer, resolution in pairs for k in _kernel_sizes(layer))
        return max(math.ceil(seen), BicubicUpsampling.RADIUS * self.bicubic_skip)

    def build(self, x_shape):
        if len(x_shape) != 4 or x_shape[-1] != self.channels:
            raise ValueError(
                f"{type(self).__name__} expects images (batch, height, width, {self.channels}). "
                f"Received: {tuple(x_shape)}. Give the network the number of `channels` of the images."
            )
        shape = (None, None, None, self.channels)
        self.enlarge.build(shape)
        for layer in self.stages:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, x, training=False):
        h = x = keras.ops.cast(x, self.compute_dtype)
        for layer in self.stages:
            h = layer(h, training=training) if isinstance(layer, _Body) else layer(h)
        return h + self.enlarge(x) if self.bicubic_skip else h

    def compute_output_shape(self, x_shape):
        return self.enlarge.compute_output_shape(x_shape)

    def get_config(self):
        config = {k: v for k, v in super().get_config().items() if k not in ("dropout", "normalization")}
        own = ("scale", "channels", "bicubic_skip", *self.OWN)
        return {**config, **{name: getattr(self, name) for name in own}}

    OWN = ()
    """Names of the other arguments of the constructor, which are attributes."""


@keras.saving.register_keras_serializable(package="keras_gen")
class ESPCN(UpscalingNetwork):
    """Convolutions at the low resolution and one rearrangement; the smallest of the four.

    Args:
        scale: s.
        filters: of the hidden layers, default (64, 32); the first has kernels of 5.
        activation: default "tanh".
        channels, bicubic_skip, **kwargs: as of `UpscalingNetwork`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import ESPCN
        >>> network = ESPCN(3)
        >>> tuple(network(ops.zeros((1, 5, 7, 3))).shape), network.radius
        ((1, 15, 21, 3), 4)

    Reference:
        Shi et al. 2016, arXiv:1609.05158, section 3.1.
    """

    OWN = ("filters",)

    def __init__(self, scale, filters=(64, 32), activation="tanh", **kwargs):
        super().__init__(scale, activation=activation, **kwargs)
        self.filters = as_shape(filters, "filters")
        for i, count in enumerate(self.filters):
            self.add(self.convolution(count, 3 if i else 5, name=f"hidden_{i}"))
            self.add(_activation(self.activation, f"activation_{i}", {"dtype": self.dtype_policy}))
        self.end("direct", None, None)


class _Deep(UpscalingNetwork):
    """Base of the deep three: head, blocks with a skip around them, U."""

    OWN = ("filters", "blocks", "upsampling")

    def __init__(self, scale, filters, blocks, upsampling, **kwargs):
        super().__init__(scale, **kwargs)
        self.filters, self.blocks = positive_int(filters, "filters"), positive_int(blocks, "blocks")
        self.upsampling = upsampling

    def add_trunk(self, make_block, normalization=False):
        """The blocks, named by number, and the skip around all."""
        blocks = [make_block(f"block_{i}") for i in range(self.blocks)]
        last = self.convolution(self.filters, name="last")
        norm = BatchNormalization(dtype=self.dtype_policy, name="norm") if normalization else None
        self.add(_Residual([*blocks, last, *([norm] if norm else [])], dtype=self.dtype_policy, name="trunk"))


@keras.saving.register_keras_serializable(package="keras_gen")
class EDSR(_Deep):
    """Residual blocks without normalisation.

    Args:
        scale: s.
        filters: default 64, of the paper's baseline; 256 in its largest.
        blocks: default 16; 32 in the largest.
        residual_scale: r, default 1.0; 0.1 in the largest.
        upsampling: "direct" (default) or "staged", the paper's.
        channels, bicubic_skip, **kwargs: as of `UpscalingNetwork`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import EDSR
        >>> network = EDSR(2, filters=8, blocks=2)
        >>> tuple(network(ops.zeros((1, 5, 7, 3))).shape), network.radius
        ((1, 10, 14, 3), 7)

    Reference:
        Lim et al. 2017, arXiv:1707.02921, table 1 and figure 3.
    """

    OWN = (*_Deep.OWN, "residual_scale")

    def __init__(self, scale, filters=64, blocks=16, residual_scale=1.0, upsampling="direct", **kwargs):
        super().__init__(scale, filters, blocks, upsampling, **kwargs)
        self.residual_scale = float(residual_scale)
        self.add(self.convolution(self.filters, name="head"))
        self.add_trunk(self._block)
        self.end(upsampling, self.filters, None)

    def _block(self, name):
        own = {"dtype": self.dtype_policy}
        first, second = (self.convolution(self.filters, name=label) for label in ("first", "second"))
        layers = [first, _activation(self.activation, "activation", own), second]
        return _Residual(layers, self.residual_scale, **own, name=name)


@keras.saving.register_keras_serializable(package="keras_gen")
class SRResNet(_Deep):
    """The generator of SRGAN: residual blocks with batch normalisation and parametric ReLU.

    Args:
        scale: s, the paper's 4.
        filters: default 64. blocks: default 16.
        upsampling: "staged" (default, the paper's) or "direct".
        channels, bicubic_skip, **kwargs: as of `UpscalingNetwork`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import SRResNet
        >>> network = SRResNet(4, filters=8, blocks=1)
        >>> tuple(network(ops.zeros((1, 5, 7, 3))).shape), network.radius
        ((1, 20, 28, 3), 10)

    Reference:
        Ledig et al. 2017, arXiv:1609.04802, figure 4.
    """

    def __init__(self, scale, filters=64, blocks=16, upsampling="staged", **kwargs):
        if kwargs.pop("activation", "linear") != "linear":
            raise ValueError("Expected no `activation`: SRResNet has parametric ReLUs. Received one. Use `EDSR`.")
        super().__init__(scale, filters, blocks, upsampling, activation=None, **kwargs)
        self.add(self.convolution(self.filters, 9, name="head"))
        self.add(_activation("prelu", "head_activation", {"dtype": self.dtype_policy}))
        self.add_trunk(self._block, normalization=True)
        self.end(upsampling, self.filters, "prelu", kernel_size=9)

    def _block(self, name):
        own = {"dtype": self.dtype_policy}
        convolutions = [self.convolution(self.filters, name=label) for label in ("first", "second")]
        norms = [BatchNormalization(**own, name=label) for label in ("norm_1", "norm_2")]
        layers = [convolutions[0], norms[0], _activation("prelu", "activation", own), convolutions[1], norms[1]]
        return _Residual(layers, **own, name=name)


@keras.saving.register_keras_serializable(package="keras_gen")
class RRDBNet(_Deep):
    """The generator of ESRGAN: residual blocks of residual dense blocks.

    Args:
        scale: s, the paper's 4.
        filters: default 64. blocks: default 23. growth: filters of the dense layers, default 32.
        residual_scale: b, default 0.2.
        upsampling: "staged" (default; the paper enlarges by repetition) or "direct".
        channels, bicubic_skip, **kwargs: as of `UpscalingNetwork`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import RRDBNet
        >>> network = RRDBNet(4, filters=8, blocks=1, growth=4)
        >>> tuple(network(ops.zeros((1, 5, 7, 3))).shape), network.radius
        ((1, 20, 28, 3), 19)

    Reference:
        Wang et al. 2018, arXiv:1809.00219, figure 4.
    """

    OWN = (*_Deep.OWN, "growth", "residual_scale")

    def __init__(
        self, scale, filters=64, blocks=23, growth=32, residual_scale=0.2, upsampling="staged",
        activation="leaky_relu", **kwargs,
    ):  # fmt: skip
        super().__init__(scale, filters, blocks, upsampling, activation=activation, **kwargs)
        self.growth, self.residual_scale = positive_int(growth, "growth"), float(residual_scale)
        self.add(self.convolution(self.filters, name="head"))
        self.add_trunk(self._block)
        self.end(upsampling, self.filters, self.activation)

    def _block(self, name):
        dense = [self._dense_block(f"dense_{i}") for i in range(3)]
        return _Residual(dense, self.residual_scale, dtype=self.dtype_policy, name=name)

    def _dense_block(self, name):
        counts = (*[self.growth] * 4, self.filters)
        convolutions = [self.convolution(count, name=f"layer_{i}") for i, count in enumerate(counts)]
        return _Dense(convolutions, self.activation, self.residual_scale, dtype=self.dtype_policy, name=name)


class _Body(keras.layers.Layer):
    """Layers within a network, rebuilt by it, not saved by themselves; the size of the image is kept."""

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers

    def compute_output_shape(self, input_shape):
        return input_shape

    @property
    def kernel_sizes(self):
        """Those of all convolutions that come one after the other."""
        return [k for layer in self.inner for k in _kernel_sizes(layer)]


class _Residual(_Body):
    """`h + r inner(h)`."""

    def __init__(self, layers, scale=1.0, **kwargs):
        super().__init__(layers, **kwargs)
        self.residual_scale = scale

    def build(self, input_shape):
        for layer in self.inner:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, x, training=False):
        h = x
        for layer in self.inner:
            h = layer(h, training=training) if isinstance(layer, (_Body, BatchNormalization)) else layer(h)
        return x + (h if self.residual_scale == 1.0 else self.residual_scale * h)


class _Dense(_Body):
    """`x + b W * [x, h_1, ..., h_4]`, each h_i made of all before it."""

    def __init__(self, layers, activation, scale, **kwargs):
        super().__init__(layers, **kwargs)
        self.activation, self.residual_scale = activation, scale

    def build(self, input_shape):
        channels = input_shape[-1]
        for layer in self.inner:
            layer.build((*input_shape[:-1], channels))
            channels += layer.filters

    def call(self, x, training=False):
        *layers, last = self.inner
        features = [x]
        for layer in layers:
            features.append(self.activation(layer(keras.ops.concatenate(features, axis=-1))))
        return x + self.residual_scale * last(keras.ops.concatenate(features, axis=-1))


def _activation(activation, name, own):
    """An activation as a layer; "prelu" has one slope a channel, from 0.25 as in torch."""
    if activation == "prelu":
        slope = keras.initializers.Constant(0.25)
        return keras.layers.PReLU(slope, shared_axes=[1, 2], **own, name=name)
    return keras.layers.Activation(activation or "linear", **own, name=name)


def _kernel_sizes(layer):
    if isinstance(layer, _Body):
        return layer.kernel_sizes
    return [layer.kernel_size[0]] if isinstance(layer, keras.layers.Conv2D) else []


def _factors(scale):
    """2, 2, ... of a power of two, else the scale itself; none of 1."""
    stages = int(math.log2(scale))
    return [2] * stages if 2**stages == scale else [scale]
