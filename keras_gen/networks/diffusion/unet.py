"""The U-Net of diffusion models: residual blocks and attention at several sizes, skips between equal ones.

With blocks R (`networks.diffusion.blocks`), A an attention block where `attention` names the size, e the embedding of
noise and condition, and levels l = 0 ... L of sizes s_l = ceil(s_(l-1) / 2) and depths C_l = `channels` m_l,

    down:    h = c * x,  then at each level `blocks` times  h = A(R(h, e)),  between levels  h = c * h  with stride 2,
    middle:  h = R(A(R(h, e)), e),
    up:      at each level blocks + 1 times  h = A(R([h, skip], e)),  between levels  h = c * double(h),
    output   = w * f(n(h)),

where the skips are all h of the way down, the last one first. An odd size is rounded up on the way down; on the way up
each pixel is repeated twice and what exceeds the size of the skip is cut off: any height and width will do. w begins at
zero, and so does what each block adds.

`channels` 128, multipliers (1, 2, 2, 2), two blocks, attention at 16, one head and modulation "add" are Ho et al.'s
network for CIFAR-10; Dhariwal and Nichol have "scale_shift", and attention of 64 numbers a head at 32, 16 and 8.
Deviations: groups of at least four channels; a map of 1 x 1 where the depth changes is a dense layer, which it is.

Reference:
    J. Ho, A. Jain, P. Abbeel, arXiv:2006.11239 (2020), appendix B; A. Nichol, P. Dhariwal, "Improved denoising
    diffusion probabilistic models", arXiv:2102.09672 (2021); P. Dhariwal, A. Nichol, arXiv:2105.05233 (2021),
    section 3; O. Ronneberger et al., "U-Net", arXiv:1505.04597 (2015).
"""

import keras
from keras import ops

from keras_gen import layers
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.base import ImageConvolution
from keras_gen.networks.convolutional import image_sizes
from keras_gen.networks.diffusion.base import DenoisingNetwork
from keras_gen.networks.diffusion.blocks import (
    MODULATIONS,
    AttentionBlock,
    GroupNormalization,
    ResidualBlock,
    convolution,
)
from keras_gen.networks.equalized import image_shape


@keras.saving.register_keras_serializable(package="keras_gen")
class UNet(DenoisingNetwork):
    """Residual blocks with attention at several sizes, from a noisy image to an image of its size.

    Args:
        event_shape: `(height, width, channels)` of x; any sizes.
        channels: C, depth at the full size and size of the features of log_snr, even; default 64.
        multipliers: m_l, one a level, each at half of the size of the one before; default (1, 2, 2).
        blocks: residual blocks a level, default 2.
        attention: tuple of sizes, each the shorter side of a level, that have attention; default the smallest level's.
            () leaves that of the middle alone.
        heads: of the attention, default 4, which divide the depths where there is attention.
        head_size: numbers a head, instead of `heads`; default None.
        dropout: float in [0, 1), before the second convolution of each block, default 0.
        out_channels: default those of x; twice as many for learned variances.
        groups: of the normalisations, default 32; as many as divide the depth and leave four channels a group.
        modulation: how noise and condition enter a block: "scale_shift" (default) or "add".
        activation: f, default "silu".
        **kwargs: `kernel_initializer`, `name`, `dtype`.

    Call arguments:
        x: floats `(batch, height, width, channels)`, of about unit variance.
        log_snr: float32 `(batch,)`, in [-20, 20].
        condition: features `(batch, C)`, which enter the embedding, an image `(batch, h, w, C)`, which is resized and
            joined to x as channels, or None. A network built with a condition needs one at each call.
        training: bool, for dropout.

    Returns:
        Tensor `(batch, height, width, out_channels)`, zeros of a new network.

    Raises:
        ValueError: an event that is no image, sizes that are no positive integers, sizes of attention that no level
            has, heads that do not divide, an unknown modulation, x of another shape, a condition that is missing or
            superfluous.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import UNet
        >>> network = UNet((9, 6, 3), channels=8, multipliers=(1, 2), blocks=1, attention=(3,), heads=2)
        >>> tuple(network(ops.ones((2, 9, 6, 3)), ops.zeros((2,))).shape)
        (2, 9, 6, 3)

    Reference:
        Ho et al. 2020, arXiv:2006.11239, appendix B; Dhariwal, Nichol 2021, arXiv:2105.05233, section 3.
    """

    def __init__(
        self, event_shape, channels=64, multipliers=(1, 2, 2), blocks=2, attention=None, heads=4, head_size=None,
        dropout=0.0, out_channels=None, groups=32, modulation="scale_shift", activation="silu", **kwargs,
    ):  # fmt: skip
        event_shape, channels = image_shape(event_shape), positive_int(channels, "channels")
        super().__init__(event_shape, channels, 4 * channels, out_channels, activation, dropout, **kwargs)
        self.channels, self.multipliers = channels, as_shape(multipliers, "multipliers")
        self.blocks, self.groups = positive_int(blocks, "blocks"), positive_int(groups, "groups")
        self.heads, self.head_size, self.modulation = heads, head_size, _check_modulation(modulation)
        self.depths = [channels * m for m in self.multipliers]
        self.sizes = image_sizes(event_shape[:2], len(self.depths) - 1)
        self.attention = _check_attention(attention, self.sizes)
        self._check_heads()
        self._make_layers()

    def _make_layers(self):
        options, levels = {"dtype": self.dtype_policy}, range(len(self.depths))
        plain = {"kernel_initializer": self._initializer(), **options}
        self.first = convolution(self.channels, **plain, name="first")
        self.down = [self._stage(i, f"down_{i}_{j}") for i in levels for j in range(self.blocks)]
        self.halvings = [self._resampling(i, 2, f"halve_{i}") for i in levels[:-1]]
        self.middle = [self._stage(-1, "middle_0", attention=True), self._stage(-1, "middle_1", attention=False)]
        self.up = [self._stage(i, f"up_{i}_{j}") for i in levels for j in range(self.blocks + 1)]
        self.doublings = [self._resampling(i, 1, f"double_{i}") for i in levels[1:]]
        self.norm = GroupNormalization(self.groups, **options, name="norm")
        zeros = {"padding": "same", "data_format": "channels_last", "kernel_initializer": "zeros", **options}
        self.to_image = ImageConvolution(self.out_channels, 3, **zeros, name="to_image")

    def _stage(self, level, name, attention=None):
        attention = min(self.sizes[level]) in self.attention if attention is None else attention
        options = {"dtype": self.dtype_policy}
        own = (self.groups, self.modulation, self.activation, self._initializer, self.dropout)
        block = ResidualBlock(self.depths[level], *own, **options, name="block")
        attend = AttentionBlock(self.groups, self.heads, self.head_size, **options, name="attention")
        return _Stage(block, attend if attention else None, **options, name=name)

    def _resampling(self, level, strides, name):
        own = {"kernel_initializer": self._initializer(), "dtype": self.dtype_policy}
        return convolution(self.depths[level], strides=strides, **own, name=name)

    def _down(self, level):
        return self.down[level * self.blocks : (level + 1) * self.blocks]

    def _up(self, level):
        return self.up[level * (self.blocks + 1) : (level + 1) * (self.blocks + 1)]

    def build_parts(self, shape):
        e_shape, depth, skips = (None, self.embedding.units), self.channels, [self.channels]
        self.first.build(shape)
        for i in range(len(self.sizes)):
            for stage in self._down(i):
                depth = self._build(stage, i, depth, e_shape)
                skips.append(depth)
            if i < len(self.halvings):
                self.halvings[i].build((None, *self.sizes[i], depth))
                skips.append(depth)
        for stage in self.middle:
            depth = self._build(stage, -1, depth, e_shape)
        for i in reversed(range(len(self.sizes))):
            for stage in self._up(i):
                depth = self._build(stage, i, depth + skips.pop(), e_shape)
            if i:
                self.doublings[i - 1].build((None, *self.sizes[i - 1], depth))
        self.norm.build((None, *self.sizes[0], depth))
        self.to_image.build((None, *self.sizes[0], depth))

    def _build(self, stage, level, depth, e_shape):
        """Build a stage of this level for an input of `depth`; the depth of its output."""
        stage.build((None, *self.sizes[level], depth), e_shape)
        return self.depths[level]

    def denoised(self, x, e, training):
        h = self.first(x)
        skips = [h]
        for i in range(len(self.sizes)):
            for stage in self._down(i):
                h = stage(h, e, training=training)
                skips.append(h)
            if i < len(self.halvings):
                h = self.halvings[i](h)
                skips.append(h)
        for stage in self.middle:
            h = stage(h, e, training=training)
        for i in reversed(range(len(self.sizes))):
            for stage in self._up(i):
                h = stage(ops.concatenate([h, skips.pop()], axis=-1), e, training=training)
            if i:
                height, width = self.sizes[i - 1]
                h = self.doublings[i - 1](layers.doubled(h)[:, :height, :width])
        return self.to_image(self.activation(self.norm(h)))

    def _check_heads(self):
        probe = layers.ImageAttention(self.heads, self.head_size)
        for size, depth in zip(self.sizes, self.depths, strict=True):
            if min(size) in self.attention or size is self.sizes[-1]:
                probe.head_count(depth)

    def get_config(self):
        names = ("channels", "multipliers", "blocks", "attention", "heads", "head_size", "groups", "modulation")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class _Stage(keras.layers.Layer):
    """A residual block, and attention after it or not: a part of a network and rebuilt by it, not saved by itself."""

    def __init__(self, block, attention, **kwargs):
        super().__init__(**kwargs)
        self.block, self.attention = block, attention

    def build(self, x_shape, e_shape):
        self.block.build(x_shape, e_shape)
        if self.attention is not None:
            self.attention.build(self.block.compute_output_shape(x_shape))

    def call(self, x, e, training=False):
        h = self.block(x, e, training=training)
        return h if self.attention is None else self.attention(h)

    def compute_output_shape(self, x_shape, e_shape=None):
        return self.block.compute_output_shape(x_shape)


def _check_attention(attention, sizes):
    """The sizes with attention: those given, each of which must be the shorter side of a level, or the smallest."""
    shorter = [min(size) for size in sizes]
    attention = shorter[-1:] if attention is None else attention
    attention = as_shape(attention, "attention")
    if not set(attention) <= set(shorter):
        raise ValueError(
            f"Expected `attention` as shorter sides of levels, of {shorter}. Received: attention={attention}. "
            "Choose some of them, or other `multipliers`, one a level."
        )
    return attention


def _check_modulation(modulation):
    if modulation not in MODULATIONS:
        raise ValueError(f"Expected `modulation` as one of {MODULATIONS}. Received: modulation={modulation!r}.")
    return modulation
