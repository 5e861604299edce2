"""Causal convolutional networks: plain, and gated with skips, which is WaveNet's.

Plain, with dilations d_1, ..., d_L and a condition that adds u_l,

    h_l = f(conv_l(h_(l-1)) + u_l).                                                                             (1)

Gated: a map of the input to R channels, then blocks (see `layers.GatedResidualBlock`) whose skips are summed,

    y = W_2 f(W_1 f(sum_l skip_l) + b_1) + b_2,      f the rectifier,                                           (2)

less its last map, which belongs to the head. Receptive field of both: 1 + sum_l (K - 1) d_l. Dilations that double,
1, 2, 4, ..., 2^(n-1), give 2^n taps of K = 2 for n layers; the paper repeats that row.

Reference:
    van den Oord et al. 2016, arXiv:1609.03499, sections 2.1, 2.3, 2.4 and figure 4.
"""

import keras
from keras import ops

from keras_gen import layers
from keras_gen.layers.causal.queues import Queues
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.causal.base import CausalNetwork


class _Dilated(CausalNetwork):
    """What both share: the dilations, and the receptive field."""

    def __init__(self, dilations, kernel_size, **kwargs):
        super().__init__(**kwargs)
        self.dilations, self.kernel_size = as_shape(dilations, "dilations"), positive_int(kernel_size, "kernel_size")
        if not self.dilations:
            raise ValueError("Expected `dilations` as at least one positive integer, one a layer. Received: ().")

    @property
    def receptive_field(self):
        """1 + (K - 1) sum_l d_l."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)

    def get_config(self):
        return {**super().get_config(), "dilations": self.dilations, "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable(package="keras_gen")
class CausalConvolutions(_Dilated):
    """h_l = f(conv_l(h_(l-1)) + u_l): causal convolutions one after another.

    Args:
        filters: channels of each layer, default 32.
        dilations: d_l, one a layer, default (1, 2, 4, 8).
        kernel_size: K, default 2.
        activation: f, default "relu".
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: sizes that are no positive ints.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import CausalConvolutions
        >>> network = CausalConvolutions(16)
        >>> tuple(network(ops.ones((2, 10, 3))).shape), network.receptive_field
        ((2, 10, 16), 16)

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, section 2.1.
    """

    def __init__(self, filters=32, dilations=(1, 2, 4, 8), kernel_size=2, activation="relu", **kwargs):
        super().__init__(dilations, kernel_size, **kwargs)
        self.filters, self.activation = positive_int(filters, "filters"), keras.activations.get(activation)
        self.later = Queues(self.dilations[1:], self.kernel_size)

    def build_parts(self, input_shape):
        options = {"dtype": self.dtype_policy}
        self.parts = [
            layers.CausalConv1D(self.filters, self.kernel_size, d, **options, name=f"convolution_{i}")
            for i, d in enumerate(self.dilations)
        ]
        for i, part in enumerate(self.parts):
            part.build((*input_shape[:-1], self.filters) if i else input_shape)

    def added_channels(self, input_shape):
        return len(self.dilations) * self.filters

    def features(self, input_shape):
        return self.filters

    def _activated(self, i, h, added):
        if added is not None:
            h = h + ops.cast(added[..., i * self.filters : (i + 1) * self.filters], h.dtype)
        return self.activation(h)

    def _forward(self, x, added, training):
        for i, part in enumerate(self.parts):
            x = self._activated(i, part(x), added)
        return x

    def _caches(self, batch_size, length):
        """The queue of the first layer, whose channels are the input's, and those of the others in one."""
        rest = self.later.empty(batch_size, self.filters, self.compute_dtype) if self.dilations[1:] else {}
        return {"first": self.parts[0].init_cache(batch_size, length), "later": rest}

    def _step(self, x, caches, t, added):
        h, first = self.parts[0].step(x, caches["first"], t)
        h, seen = self._activated(0, h, added), []
        for i, part in enumerate(self.parts[1:]):
            seen.append(h)
            h = self._activated(i + 1, part.of_taps([*self.later.past(caches["later"], i), h]), added)
        return h, {"first": first, "later": self.later.put(caches["later"], seen, t) if seen else {}}

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "filters": self.filters, "activation": activation}


@keras.saving.register_keras_serializable(package="keras_gen")
class GatedConvolutions(_Dilated):
    """WaveNet's network: gated residual blocks whose skips are summed, and one dense layer between rectifiers.

    Args:
        channels: R of the blocks, default 32.
        skip_channels: of the skips and of the layer after them, default 128.
        dilations: one a block, default 1, 2, 4, ..., 512, the paper's row.
        kernel_size: K, default 2, the paper's.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: sizes that are no positive ints.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import GatedConvolutions
        >>> network = GatedConvolutions(8, 16, dilations=(1, 2, 4))
        >>> tuple(network(ops.ones((2, 10, 3))).shape), network.receptive_field
        ((2, 10, 16), 8)

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, figure 4; conditions: section 2.5.
    """

    def __init__(
        self, channels=32, skip_channels=128, dilations=tuple(2**i for i in range(10)), kernel_size=2, **kwargs
    ):
        super().__init__(dilations, kernel_size, **kwargs)
        self.channels = positive_int(channels, "channels")
        self.skip_channels = positive_int(skip_channels, "skip_channels")
        self.queues = Queues(self.dilations, self.kernel_size)

    def build_parts(self, input_shape):
        options = {"dtype": self.dtype_policy}
        self.to_channels = keras.layers.Dense(self.channels, **options, name="to_channels")
        self.parts = [
            layers.GatedResidualBlock(
                self.channels, self.skip_channels, self.kernel_size, d, **options, name=f"block_{i}"
            )
            for i, d in enumerate(self.dilations)
        ]
        self.of_skips = keras.layers.Dense(self.skip_channels, "relu", **options, name="of_skips")
        self.to_channels.build(input_shape)
        for part in self.parts:
            part.build((*input_shape[:-1], self.channels))
        self.of_skips.build((*input_shape[:-1], self.skip_channels))

    def added_channels(self, input_shape):
        return len(self.dilations) * 2 * self.channels

    def features(self, input_shape):
        return self.skip_channels

    def _of_block(self, i, added):
        """What the condition adds in block i."""
        return None if added is None else added[..., 2 * i * self.channels : 2 * (i + 1) * self.channels]

    def _forward(self, x, added, training):
        h, total = self.to_channels(x), 0.0
        for i, part in enumerate(self.parts):
            h, skip = part(h, self._of_block(i, added))
            total = total + skip
        return self.of_skips(ops.relu(total))

    def _caches(self, batch_size, length):
        return self.queues.empty(batch_size, self.channels, self.compute_dtype)

    def _step(self, x, cache, t, added):
        h, total, seen = self.to_channels(x), 0.0, []
        for i, part in enumerate(self.parts):
            seen.append(h)
            h, skip = part.of_taps([*self.queues.past(cache, i), h], self._of_block(i, added))
            total = total + skip
        return self.of_skips(ops.relu(total)), self.queues.put(cache, seen, t)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "skip_channels": self.skip_channels}
