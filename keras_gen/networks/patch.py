"""A discriminator of patches: one score for each place of an image, of what it sees around it.

Strided convolutions without a dense layer end in an image of scores, D_p(x) for the patch p. With kernels of k and
strides s_1, ..., s_L, 1 (the last convolution makes the scores), a score sees r x r pixels,

    r_0 = 1,    r_(l+1) = (r_l - 1) s + k,        from the last convolution to the first,

for k = 4 and the strides 2, 2, 2, 1, 1 of the paper 1, 4, 7, 16, 34, 70: the patches of 70 x 70, C64-C128-C256-C512.
It judges texture, in as many independent opinions, has few weights, and takes images of any size; what is further apart
than a patch it cannot compare, which is left to another term (a cycle, an L1 norm). With instance normalisation the
moments of the whole image enter each score too.

`filters` has one number a convolution before the last, all of stride 2 but the last of them: patches of 7, 16, 34, 70,
142 pixels for one to five. Weights begin as N(0, 0.02^2). Deviation: convolutions of stride 1 keep the size, where the
authors' program loses a row and a column in each.

Reference:
    P. Isola, J. Zhu, T. Zhou, A. A. Efros, "Image-to-image translation with conditional adversarial networks",
    arXiv:1611.07004 (2017), section 3.2.2 and appendix 6.1.2.
"""

import keras
from keras import ops

from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.base import Network, normal_initializer

FILTERS = (64, 128, 256, 512, 512)


def as_filters(filters):
    """A tuple of one positive int at least."""
    filters = as_shape(filters, "filters")
    if not filters:
        raise ValueError("Expected `filters` with one positive integer a convolution. Received: none.")
    return filters


@keras.saving.register_keras_serializable(package="keras_gen")
class PatchDiscriminator(Network):
    """Convolutions from an image to an image of scores, `(batch, h, w, 1)`, without a sigmoid.

    Args:
        filters: one a convolution before the last; default (64, 128, 256, 512), patches of 70 x 70.
        kernel_size: k, default 4.
        activation: default "leaky_relu", of slope 0.2.
        normalization: default "instance", in all convolutions but the first and the last; as of `Network`.
        **kwargs: as of `Network`.

    Call arguments:
        x: images `(batch, height, width, channels)` of any size.
        condition: an image that joins x as channels, or a vector, or None.
        training: bool.

    Returns:
        Tensor `(batch, h, w, 1)`, h and w the sides over 2^(len(filters) - 1), rounded up.

    Raises:
        ValueError: sizes that are no positive integers.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import PatchDiscriminator
        >>> PatchDiscriminator().receptive_field
        70
        >>> tuple(PatchDiscriminator((8, 16))(ops.zeros((2, 28, 20, 3))).shape)
        (2, 14, 10, 1)

    Reference:
        Isola et al. 2017, arXiv:1611.07004, section 3.2.2.
    """

    def __init__(
        self, filters=FILTERS[:4], kernel_size=4, activation="leaky_relu", normalization="instance",
        kernel_initializer=None, **kwargs,
    ):  # fmt: skip
        super().__init__(
            activation=activation, normalization=normalization,
            kernel_initializer=kernel_initializer or normal_initializer(), **kwargs,
        )  # fmt: skip
        self.filters = as_filters(filters)
        self.kernel_size = positive_int(kernel_size, "kernel_size")
        self.stages = [self._stage(i, count) for i, count in enumerate(self.filters)]
        self.output_map = self.image_convolution(1, self.kernel_size, name="output_map")

    def _stage(self, i, filters):
        """The first stage has no normalisation: it would hide the colours of the image."""
        normalization, self.normalization = self.normalization, None if i == 0 else self.normalization
        stride = 1 if i == len(self.filters) - 1 else 2
        stage = self.convolution_block(keras.layers.Conv2D, filters, self.kernel_size, stride, name=f"stage_{i}")
        self.normalization = normalization
        return stage

    @property
    def receptive_field(self):
        """r, the side of the patch that a score sees, in pixels."""
        r = self.kernel_size
        for i in reversed(range(len(self.filters))):
            r = (r - 1) * (1 if i == len(self.filters) - 1 else 2) + self.kernel_size
        return r

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        shape = (None, *x_shape[1:-1], x_shape[-1] + attached_channels(x_shape, condition_shape))
        for stage in self.stages:
            stage.build(shape)
            shape = stage.compute_output_shape(shape)
        self.output_map.build(shape)

    def call(self, x, condition=None, training=False):
        self.check_condition(condition)
        h = attach_condition(ops.cast(x, self.compute_dtype), condition)
        for stage in self.stages:
            h = stage(h, training=training)
        return self.output_map(h)

    def compute_output_shape(self, x_shape, condition_shape=None):
        sides = x_shape[1:3]
        for _ in self.filters[1:]:
            sides = tuple(None if n is None else -(-n // 2) for n in sides)
        return (x_shape[0], *sides, 1)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size}


def default_patch_filters(event_shape):
    """Filters of `PatchDiscriminator` by which a patch is no larger than the image: of 7 x 7 to 70 x 70.

    Args:
        event_shape: `(height, width, channels)`.

    Example:
        >>> from keras_gen.networks import default_patch_filters
        >>> [len(default_patch_filters((n, n, 3))) for n in (8, 28, 64, 128)]
        [1, 2, 3, 4]
    """
    least = min(event_shape[:2])
    return FILTERS[: 1 + sum(least >= side for side in (16, 34, 70))]
