"""Generators from image to image: the residual network of CycleGAN and the U-Net of Pix2Pix, for images of any size.

**TranslationResNet** (Johnson et al. 2016; Zhu et al. 2017, appendix 7.2), with W_k a convolution of kernel k, n an
instance normalisation, f a ReLU and F = `filters`,

    c7s1-F       h = f(n(W_7 * x))                               1
    d2F, d4F     h = f(n(W_3 * h)), stride 2                     1/2, 1/4 of the sides
    R4F, ...     h = h + n(W_3 * f(n(W_3 * h))), `blocks` times
    u2F, uF      h = f(n(W_3' * h)), transposed, stride 2        1/2, 1
    c7s1-c       y = activation(W_7 * h)

W_7 and those of the blocks see images padded by reflection. An image whose sides 4 does not divide is padded by
reflection at its end, and the result is cut.

**TranslationUNet** (Isola et al. 2017, appendix 6.1.1): the encoder halves the image, h_l = n(W_4 * g(h_(l-1))) with g
a LeakyReLU, the first without n and g; the decoder doubles it, from the innermost h_L,

    u_L = h_L,        u_(l-1) = [drop(n(W_4' * f(u_l))), h_(l-1)],        y = activation(W_4' * f(u_1))

so that what is fine goes over the skip. Dropout, of rate 0.5, in the first three stages of the decoder is the only
noise. A stage of odd size is rounded up on the way down, and cut on the way up. The innermost stage has no n: of an
image of one pixel nothing would be left.

Weights begin as N(0, 0.02^2). Deviations: the papers end in tanh, for data in [-1, 1], here in a sigmoid, the same map;
the U-Net has instance instead of batch normalisation, the same for the batches of one of the paper.

Reference:
    J. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent adversarial
    networks", arXiv:1703.10593 (2017), appendix 7.2; P. Isola et al., arXiv:1611.07004 (2017), appendix 6.1.1.
"""

import keras
from keras import ops

from keras_gen.layers import ReflectionPadding2D
from keras_gen.layers.padding import reflected
from keras_gen.layers.shapes import positive_int
from keras_gen.layers.transposed import Conv2DTranspose
from keras_gen.networks.base import Block, ImageConvolution, Network, normal_initializer
from keras_gen.networks.equalized import image_shape
from keras_gen.networks.patch import as_filters

DROPPED = 3  # stages of the U-Net's decoder with dropout


class _Translation(Network):
    """Base of the two: `network(x)` of images of any size; `event_shape` states the channels of the result."""

    def __init__(self, event_shape, output_activation, activation, normalization, kernel_initializer, **kwargs):
        super().__init__(
            activation=activation, normalization=normalization,
            kernel_initializer=kernel_initializer or normal_initializer(), **kwargs,
        )  # fmt: skip
        self.event_shape = image_shape(event_shape)
        self.output_activation = keras.activations.get(output_activation)

    def compute_output_shape(self, x_shape):
        return (*x_shape[:-1], self.event_shape[-1])

    def get_config(self):
        activation = keras.activations.serialize(self.output_activation)
        own = {"event_shape": self.event_shape, "filters": self.filters, "output_activation": activation}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_gen")
class TranslationResNet(_Translation):
    """Residual blocks at a quarter of the size, between two strided convolutions down and two up.

    Args:
        event_shape: `(height, width, channels)` of the result; its channels count, images of any size from 8 x 8 do.
        filters: F, default 64.
        blocks: default 9 from 256 pixels a side, else 6, as in the paper.
        output_activation: default "sigmoid", for data in [0, 1]; "tanh" for [-1, 1]; None.
        activation: f, default "relu".
        normalization: n, default "instance"; as of `Network`.
        **kwargs: as of `Network`.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        training: bool, for `dropout` and batch normalisation.

    Returns:
        Tensor of the size of x.

    Raises:
        ValueError: an event that is no image, sizes that are no positive integers; images too small to be reflected.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import TranslationResNet
        >>> network = TranslationResNet((64, 64, 3), filters=8, blocks=1)
        >>> tuple(network(ops.zeros((2, 17, 30, 1))).shape)
        (2, 17, 30, 3)

    Reference:
        Zhu et al. 2017, arXiv:1703.10593, appendix 7.2.
    """

    def __init__(
        self, event_shape, filters=64, blocks=None, output_activation="sigmoid", activation="relu",
        normalization="instance", kernel_initializer=None, **kwargs,
    ):  # fmt: skip
        super().__init__(event_shape, output_activation, activation, normalization, kernel_initializer, **kwargs)
        self.filters = positive_int(filters, "filters")
        self.blocks = 9 if blocks is None and min(self.event_shape[:2]) >= 256 else positive_int(blocks or 6, "blocks")
        f, down, up = self.filters, keras.layers.Conv2D, Conv2DTranspose
        self.stages = [
            self.reflected_block(f, 7, "head"),
            self.convolution_block(down, 2 * f, 3, 2, name="down_0"),
            self.convolution_block(down, 4 * f, 3, 2, name="down_1"),
            *(self._residual(4 * f, f"block_{i}") for i in range(self.blocks)),
            self.convolution_block(up, 2 * f, 3, 2, name="up_0"),
            self.convolution_block(up, f, 3, 2, name="up_1"),
        ]
        padding = ReflectionPadding2D(3, dtype=self.dtype_policy, name="padding")
        last = self._unpadded(ImageConvolution, self.event_shape[-1], 7, use_bias=True)
        self.to_image = Block(last, before=padding, dtype=self.dtype_policy, name="to_image")

    def reflected_block(self, filters, kernel_size, name):
        """A convolution block that sees its input reflected."""
        padding = ReflectionPadding2D(kernel_size // 2, dtype=self.dtype_policy, name="padding")
        return self._block(self._unpadded(keras.layers.Conv2D, filters, kernel_size), name, before=padding)

    def _unpadded(self, layer, filters, kernel_size, use_bias=None):
        linear = self._linear(layer, filters, kernel_size, padding="valid", data_format="channels_last")
        linear.use_bias = linear.use_bias if use_bias is None else use_bias
        return linear

    def _residual(self, filters, name):
        first, second = (self.reflected_block(filters, 3, label) for label in ("first", "second"))
        second.activation = None
        return _Residual(first, second, dtype=self.dtype_policy, name=name)

    def build(self, x_shape):
        shape = (None, None, None, x_shape[-1])
        for stage in [*self.stages, self.to_image]:
            stage.build(shape)
            shape = stage.compute_output_shape(shape)

    def call(self, x, training=False):
        height, width = ops.shape(x)[1:3]
        h = reflected(ops.cast(x, self.compute_dtype), ((0, -height % 4), (0, -width % 4)))
        for stage in self.stages:
            h = stage(h, training=training)
        h = self.to_image(h)[:, :height, :width]
        return self.output_activation(h)

    def get_config(self):
        return {**super().get_config(), "blocks": self.blocks}


class _Residual(keras.layers.Layer):
    """`h + second(first(h))`, a part of a network and rebuilt by it, not saved by itself."""

    def __init__(self, first, second, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = first, second

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build(self.first.compute_output_shape(input_shape))

    def call(self, x, training=False):
        return x + self.second(self.first(x, training=training), training=training)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="keras_gen")
class TranslationUNet(_Translation):
    """An encoder and a decoder with a skip at each size.

    Args:
        event_shape: `(height, width, channels)` of the result. Its channels count; images may be of any size.
        filters: one a stage of the encoder; default the paper's (64, 128, 256, 512, 512, 512, 512, 512), as many as
            halve the shorter side to one pixel.
        output_activation: default "sigmoid", for data in [0, 1]; "tanh" for [-1, 1]; None.
        dropout: in the inner decoder, default 0.5.
        activation: of the decoder, default "relu"; the encoder has a LeakyReLU of slope 0.2.
        normalization: n, default "instance"; as of `Network`.
        **kwargs: as of `Network`.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        training: bool, for dropout and batch normalisation.

    Returns:
        Tensor of the size of x.

    Raises:
        ValueError: an event that is no image, sizes that are no positive integers.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import TranslationUNet
        >>> tuple(TranslationUNet((16, 16, 3), (8, 16))(ops.zeros((2, 17, 30, 1))).shape)
        (2, 17, 30, 3)

    Reference:
        Isola et al. 2017, arXiv:1611.07004, appendix 6.1.1; O. Ronneberger et al., "U-Net", arXiv:1505.04597 (2015).
    """

    def __init__(
        self, event_shape, filters=None, output_activation="sigmoid", dropout=0.5, activation="relu",
        normalization="instance", kernel_initializer=None, **kwargs,
    ):  # fmt: skip
        options = {"dropout": dropout, **kwargs}
        super().__init__(event_shape, output_activation, activation, normalization, kernel_initializer, **options)
        self.filters = _default_filters(self.event_shape) if filters is None else as_filters(filters)
        count = len(self.filters)
        self.leaky = keras.activations.get("leaky_relu")
        self.down = [self._stage(keras.layers.Conv2D, i, f"down_{i}", 0 < i < count - 1) for i in range(count)]
        inner = count - 1 - DROPPED
        self.up = [self._stage(Conv2DTranspose, i, f"up_{i}", True, i >= inner) for i in range(count - 1)]
        self.to_image = Conv2DTranspose(
            self.event_shape[-1], 4, 2, padding="same", data_format="channels_last",
            kernel_initializer=self._initializer(), dtype=self.dtype_policy, name="to_image",
        )  # fmt: skip

    def _stage(self, layer, i, name, normalized, dropped=False):
        """A block without activation, which comes before the next one's convolution."""
        kept = self.activation, self.normalization, self.dropout
        self.activation, self.normalization = None, self.normalization if normalized else None
        self.dropout = self.dropout if dropped else 0.0
        stage = self.convolution_block(layer, self.filters[i], 4, 2, name=name)
        self.activation, self.normalization, self.dropout = kept
        return stage

    def build(self, x_shape):
        channels = x_shape[-1]
        for stage, count in zip(self.down, self.filters, strict=True):
            stage.build((None, None, None, channels))
            channels = count
        for stage, count in zip(self.up[::-1], self.filters[-2::-1], strict=True):
            stage.build((None, None, None, channels))
            channels = 2 * count
        self.to_image.build((None, None, None, channels))

    def call(self, x, training=False):
        h, sizes, skips = ops.cast(x, self.compute_dtype), [], []
        for i, stage in enumerate(self.down):
            sizes.append(ops.shape(h)[1:3])
            h = stage(self.leaky(h) if i else h, training=training)
            skips.append(h)
        for i in reversed(range(len(self.up))):
            height, width = sizes[i + 1]
            h = self.up[i](self.activation(h), training=training)[:, :height, :width]
            h = ops.concatenate([h, skips[i]], axis=-1)
        height, width = sizes[0]
        return self.output_activation(self.to_image(self.activation(h))[:, :height, :width])


def _default_filters(event_shape):
    """One stage a halving, until one pixel is left of the shorter side: eight for 256."""
    stages = max(min(event_shape[:2]) - 1, 1).bit_length()
    return tuple(min(64 * 2**i, 512) for i in range(min(stages, 8)))
