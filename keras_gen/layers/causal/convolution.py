"""Causal convolution of sequences, dilated, with the queue of its past.

With a kernel of K taps at a dilation d, tap K - 1 on the present,

    y_t = b + sum_(k = 0 ... K-1) W_k^T x_(t - (K - 1 - k) d),        x_s = 0 for s < 0:                        (1)

zeros are put before the sequence, (K - 1) d of them, none after it. y_t depends on x_t and on what lies up to (K - 1) d
steps before: the receptive field of one layer is 1 + (K - 1) d, that of a stack

    1 + sum_l (K_l - 1) d_l.                                                                                    (2)

A step needs the K - 1 inputs at multiples of d in the past: they are kept in a queue, see `queues`.

In parallel, the taps are put side by side and multiplied by one matrix: the same sums as in a step.

Reference:
    van den Oord et al. 2016, arXiv:1609.03499, section 2.1; queues: Le Paine et al. 2016, arXiv:1611.09482, section 2.
"""

import keras
from keras import ops

from keras_gen.layers.causal.base import CausalLayer
from keras_gen.layers.causal.queues import Queues
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class CausalConv1D(CausalLayer):
    """y_t = f(b + sum_k W_k^T x_(t - (K - 1 - k) d)): a convolution that sees no later input.

    Args:
        filters: channels of y.
        kernel_size: K, taps.
        dilation_rate: d, default 1.
        groups: groups of channels, each seeing its part of the input alone; default 1. Divides both numbers of
            channels.
        activation: f, default None.
        use_bias: default True.
        kernel_initializer: default "glorot_uniform", Keras's own.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: tensor `(batch, time, channels)` of any length.

    Returns:
        Tensor `(batch, time, filters)`.

    Raises:
        ValueError: sizes that are no positive ints; groups that do not divide the channels; a condition.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import CausalConv1D
        >>> layer = CausalConv1D(1, 2, dilation_rate=3, kernel_initializer="ones")
        >>> x = ops.reshape(ops.cast(ops.arange(1, 7), "float32"), (1, 6, 1))
        >>> ops.convert_to_numpy(layer(x))[0, :, 0].tolist(), layer.receptive_field
        ([1.0, 2.0, 3.0, 5.0, 7.0, 9.0], 4)

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, section 2.1.
    """

    def __init__(
        self, filters, kernel_size, dilation_rate=1, groups=1, activation=None, use_bias=True,
        kernel_initializer="glorot_uniform", **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.filters = positive_int(filters, "filters")
        self.kernel_size = positive_int(kernel_size, "kernel_size")
        self.dilation_rate = positive_int(dilation_rate, "dilation_rate")
        self.groups = positive_int(groups, "groups")
        self.activation, self.use_bias = keras.activations.get(activation), bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.queue = Queues([self.dilation_rate], self.kernel_size)
        if self.filters % self.groups:
            raise ValueError(f"Expected `groups` that divide filters={filters}. Received: groups={groups}.")

    @property
    def receptive_field(self):
        """1 + (K - 1) d."""
        return 1 + (self.kernel_size - 1) * self.dilation_rate

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels is None or channels % self.groups:
            raise ValueError(
                f"CausalConv1D expects channels that its {self.groups} groups divide. Received: x {tuple(input_shape)}."
            )
        shape, start = (self.kernel_size, channels // self.groups, self.filters), self.kernel_initializer
        self.kernel = self.add_weight(shape=shape, initializer=start, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        self.channels = channels

    def of_taps(self, taps):
        """y of the inputs at the K taps, a list of tensors `(..., channels)`, the oldest first."""
        kernel = ops.cast(self.kernel, self.compute_dtype)
        if self.groups == 1:
            taps = taps[0] if len(taps) == 1 else ops.concatenate(taps, axis=-1)
            y = ops.matmul(taps, ops.reshape(kernel, (-1, self.filters)))
        else:
            y = self._of_groups(ops.stack(taps, axis=-2), kernel)
        y = y + ops.cast(self.bias, y.dtype) if self.use_bias else y
        return y if self.activation is None else self.activation(y)

    def _of_groups(self, taps, kernel):
        """y of taps `(..., K, channels)`: for each group of its own channels."""
        size, width = self.channels // self.groups, self.filters // self.groups
        x = ops.reshape(taps, (*ops.shape(taps)[:-1], self.groups, size))
        kernel = ops.reshape(kernel, (self.kernel_size, size, self.groups, width))
        y = ops.einsum("...kgc,kcgf->...gf", x, kernel)
        return ops.reshape(y, (*ops.shape(y)[:-2], self.filters))

    def call(self, x, condition=None, training=False):
        self.refuse(condition)
        length = ops.shape(x)[1]
        padded = ops.pad(x, [[0, 0], [self.receptive_field - 1, 0], [0, 0]])
        starts = [k * self.dilation_rate for k in range(self.kernel_size)]
        return self.of_taps([padded[:, start : start + length] for start in starts])

    def init_cache(self, batch_size, length, condition=None):
        """Its queue."""
        self.refuse(condition)
        self.check_built()
        return self.queue.empty(batch_size, self.channels, self.compute_dtype)

    def step(self, x, cache, t):
        x = ops.cast(x, self.compute_dtype)
        return self.of_taps([*self.queue.past(cache, 0), x]), self.queue.put(cache, [x], t)

    def compute_output_shape(self, input_shape, condition_shape=None):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
