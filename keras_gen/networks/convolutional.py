"""Convolutional encoder and decoder for images of any size.

A stage of the encoder halves height and width, rounding up, so that n stages lead through the sizes

    s_0 = (H, W),    s_(i+1) = ceil(s_i / 2),    i = 0 ... n - 1.

The decoder goes back through the same sizes: a dense layer makes an image of size s_n, and each stage doubles
s_i and cuts the last row or column where 2 s_i exceeds s_(i-1) by its one. With skip connections a stage
takes [h, z, c], the latent and the condition at every pixel, for h.
"""

import math

import keras
from keras import ops

from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.layers.transposed import Conv2DTranspose
from keras_gen.networks.base import Network

UPSAMPLINGS = ("transposed", "nearest")


@keras.saving.register_keras_serializable(package="keras_gen")
class ConvEncoder(Network):
    """Strided convolutions that turn an image into a vector of features.

    Each stage is a convolution of stride 2, `h_l = f(norm(W_l * h_(l-1) + b_l))`; the last one is flattened.

    Args:
        filters: tuple of ints, one a stage. Default (32, 64).
        kernel_size: int, default 3.
        units: int, size of a dense layer, activation included, after the last stage. Default None: none.
        **kwargs: `activation`, `dropout`, `normalization`, `kernel_initializer` and so on of `Network`.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        condition: None, a vector `(batch, C)`, which joins x as constant channels, or an image
            `(batch, h, w, C)`, resized to x where its size differs.
        training: bool, for dropout and batch normalisation.

    Returns:
        Tensor `(batch, features)`.

    Raises:
        ValueError: for sizes that are no positive integers, no `filters`, input that is no image of known
            size; see also `Network`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.networks import ConvEncoder
    >>> encoder = ConvEncoder((8, 16))
    >>> encoder.build((None, 7, 5, 1))
    >>> tuple(encoder(ops.zeros((3, 7, 5, 1))).shape)  # 7x5, 4x3, 2x2
    (3, 64)
    """

    def __init__(self, filters=(32, 64), kernel_size=3, units=None, **kwargs):
        super().__init__(**kwargs)
        self.filters = _check_filters(filters)
        self.kernel_size = positive_int(kernel_size, "kernel_size")
        self.units = None if units is None else positive_int(units, "units")
        self.stages = [
            self.convolution_block(keras.layers.Conv2D, count, self.kernel_size, 2, name=f"stage_{i}")
            for i, count in enumerate(self.filters)
        ]
        self.last = None if units is None else self.dense_block(self.units, name="last")

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        _check_image(x_shape)
        shape = (None, *x_shape[1:-1], x_shape[-1] + attached_channels(x_shape, condition_shape))
        for stage in self.stages:
            stage.build(shape)
            shape = stage.compute_output_shape(shape)
        if self.last is not None:
            self.last.build((None, math.prod(shape[1:])))

    def call(self, x, condition=None, training=False):
        self.check_condition(condition)
        h = attach_condition(ops.cast(x, self.compute_dtype), condition)
        for stage in self.stages:
            h = stage(h, training=training)
        h = ops.reshape(h, (-1, math.prod(h.shape[1:])))
        return h if self.last is None else self.last(h, training=training)

    def compute_output_shape(self, x_shape, condition_shape=None):
        _check_image(x_shape)
        smallest = image_sizes(x_shape[1:3], len(self.filters))[-1]
        return (x_shape[0], self.units or math.prod(smallest) * self.filters[-1])

    def get_config(self):
        own = {"filters": self.filters, "kernel_size": self.kernel_size, "units": self.units}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_gen")
class ConvDecoder(Network):
    """Turns a latent vector into an image of features, of the height and width of the event.

    A dense layer makes the smallest image, and each stage doubles it; a distribution head comes after.

    Args:
        event_shape: `(height, width, channels)` of the image that is modelled.
        filters: tuple of ints, one a stage; the first one is also the depth of the smallest image. Default
            (64, 32).
        kernel_size: int; default None: 4 for "transposed", a multiple of its stride, and 3 for "nearest".
        upsampling: "transposed" (default), transposed convolutions of stride 2, or "nearest", each pixel
            repeated and then a convolution.
        skip: whether latent and condition are led to every stage, default False.
        **kwargs: `activation`, `dropout`, `normalization`, `kernel_initializer` and so on of `Network`.

    Call arguments:
        x: latents `(batch, ...)`, flattened.
        condition: tensor `(batch, ...)` or None, flattened and concatenated to x; with `skip` an image
            condition joins the stages as an image, resized.
        training: bool, for dropout and batch normalisation.

    Returns:
        Tensor `(batch, height, width, filters[-1])`.

    Raises:
        ValueError: for an event that is no image, sizes that are no positive integers, no `filters`, another
            `upsampling`; see also `Network`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.networks import ConvDecoder
    >>> decoder = ConvDecoder((7, 5, 1), (16, 8))
    >>> decoder.build((None, 2))
    >>> tuple(decoder(ops.zeros((3, 2))).shape)
    (3, 7, 5, 8)

    Reference:
        Odena, Dumoulin, Olah (2016), "Deconvolution and checkerboard artifacts", Distill, for the kernel
        sizes and for "nearest"; Dieng, Kim, Rush, Blei (2018), arXiv:1807.04863, for the skip connections.
    """

    def __init__(
        self,
        event_shape,
        filters=(64, 32),
        kernel_size=None,
        upsampling="transposed",
        skip=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.event_shape = as_shape(event_shape, "event_shape")
        _check_image((None, *self.event_shape))
        self.filters = _check_filters(filters)
        if upsampling not in UPSAMPLINGS:
            raise ValueError(f"Expected `upsampling` as one of {UPSAMPLINGS}. Received: {upsampling!r}.")
        self.upsampling = upsampling
        default = 4 if upsampling == "transposed" else 3
        self.kernel_size = default if kernel_size is None else positive_int(kernel_size, "kernel_size")
        self.skip = bool(skip)
        *self.sizes, self.smallest = image_sizes(self.event_shape[:2], len(self.filters))
        self.first = self.dense_block(math.prod(self.smallest) * self.filters[0], name="first")
        self.stages = [self._stage(count, name=f"stage_{i}") for i, count in enumerate(self.filters)]

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        flat = (None, math.prod(x_shape[1:]))
        self.first.build((None, flat[1] + attached_channels(flat, condition_shape)))
        shape = (None, *self.smallest, self.filters[0])
        for stage, size, count in zip(self.stages, self.sizes[::-1], self.filters, strict=True):
            extra = flat[1] + attached_channels(shape, condition_shape) if self.skip else 0
            stage.build((*shape[:-1], shape[-1] + extra))
            shape = (None, *size, count)

    def call(self, x, condition=None, training=False):
        self.check_condition(condition)
        z = ops.reshape(ops.cast(x, self.compute_dtype), (-1, math.prod(x.shape[1:])))
        h = self.first(attach_condition(z, condition), training=training)
        h = ops.reshape(h, (-1, *self.smallest, self.filters[0]))
        for stage, (height, width) in zip(self.stages, self.sizes[::-1], strict=True):
            if self.skip:
                h = attach_condition(attach_condition(h, z), condition)
            h = stage(h, training=training)[:, :height, :width]
        return h

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], *self.event_shape[:2], self.filters[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "event_shape": self.event_shape,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "upsampling": self.upsampling,
            "skip": self.skip,
        }

    def _stage(self, filters, name):
        if self.upsampling == "transposed":
            return self.convolution_block(
                Conv2DTranspose, filters, self.kernel_size, 2, name=name
            )
        before = keras.layers.UpSampling2D(
            2, data_format="channels_last", interpolation="nearest", dtype=self.dtype_policy
        )
        return self.convolution_block(
            keras.layers.Conv2D, filters, self.kernel_size, 1, name=name, before=before
        )


def image_sizes(size, stages):
    """`s_0 ... s_n`, the heights and widths from `size` through `stages` halvings that round up."""
    sizes = [tuple(size)]
    for _ in range(stages):
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return sizes


def _check_filters(filters):
    filters = as_shape(filters, "filters")
    if not filters:
        raise ValueError("Expected `filters` as a tuple of one positive integer or more. Received: ().")
    return filters


def _check_image(shape):
    if len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            "Expected images (batch, height, width, channels) of known size. "
            f"Received: shape {tuple(shape)}. Use `MLP` for other data."
        )
