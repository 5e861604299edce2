"""A generator of detail: convolutions at one resolution, from a plane of noise and a coarse image.

    h_0 = [n, l],    h_i = f(norm(W_i * h_(i-1))),    detail = W * h_L

n is a plane of noise beside the channels of l, the coarse image at full resolution, and the last convolution is linear:
a detail is a difference, of either sign (Denton et al. 2015, section 3).

Reference:
    E. Denton, S. Chintala, A. Szlam, R. Fergus, "Deep generative image models using a Laplacian pyramid of adversarial
    networks", arXiv:1506.05751 (2015).
"""

import math

import keras
from keras import ops

from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.base import Network


@keras.saving.register_keras_serializable(package="keras_gen")
class DetailGenerator(Network):
    """Convolutions from noise and an image to an image of the same size, linear in the last of them.

    Args:
        event_shape: `(height, width, channels)` of the detail.
        filters: of the hidden convolutions, default (32, 32).
        kernel_size: default 5.
        activation: default "relu".
        normalization: default "batch"; as of `Network`.
        **kwargs: as of `Network`.

    Call arguments:
        x: noise `(batch, height * width)`, which becomes a plane.
        condition: the coarse image `(batch, height, width, channels)`, or None.
        training: bool.

    Returns:
        Tensor `(batch, *event_shape)`.

    Raises:
        ValueError: noise of another size; see also `Network`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import DetailGenerator
        >>> network = DetailGenerator((8, 8, 3), (4,))
        >>> tuple(network(ops.zeros((2, 64)), condition=ops.zeros((2, 8, 8, 3))).shape)
        (2, 8, 8, 3)
    """

    def __init__(
        self, event_shape, filters=(32, 32), kernel_size=5, activation="relu", normalization="batch", **kwargs
    ):
        super().__init__(activation=activation, normalization=normalization, **kwargs)
        self.event_shape, self.filters = as_shape(event_shape, "event_shape"), as_shape(filters, "filters")
        if len(self.event_shape) != 3:
            raise ValueError(f"Expected `event_shape` as (height, width, channels). Received: {self.event_shape}.")
        self.kernel_size = positive_int(kernel_size, "kernel_size")
        self.stages = [
            self.convolution_block(keras.layers.Conv2D, count, self.kernel_size, 1, name=f"stage_{i}")
            for i, count in enumerate(self.filters)
        ]
        self.to_image = self.image_convolution(self.event_shape[-1], self.kernel_size, name="to_image")

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        height, width, _ = self.event_shape
        if math.prod(x_shape[1:]) != height * width:
            raise ValueError(f"Expected noise of {height} x {width} numbers, a plane. Received: shape {x_shape}.")
        plane = (None, height, width, 1)
        shape = (*plane[:3], 1 + attached_channels(plane, condition_shape))
        for stage in self.stages:
            stage.build(shape)
            shape = stage.compute_output_shape(shape)
        self.to_image.build(shape)

    def call(self, x, condition=None, training=False):
        self.check_condition(condition)
        plane = ops.reshape(ops.cast(x, self.compute_dtype), (-1, *self.event_shape[:2], 1))
        h = attach_condition(plane, condition)
        for stage in self.stages:
            h = stage(h, training=training)
        return self.to_image(h)

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], *self.event_shape)

    def get_config(self):
        own = {"event_shape": self.event_shape, "filters": self.filters, "kernel_size": self.kernel_size}
        return {**super().get_config(), **own}
