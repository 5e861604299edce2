"""Causal self-attention with a cache of keys and values.

Each x_t gives a query, a key and a value in each of H heads of size d, linear in x_t,

    y_t = W_o [ sum_(s <= t) a_ts v_s ],        a_ts = softmax_(s <= t) ( q_t . k_s / sqrt(d) ).                (1)

Sums over s <= t alone: causal. In a step, k_t and v_t are written into a cache, and q_t meets all that is written. A
step costs O(length), T steps as much as one parallel pass.

**Rotary positions.** q_t and k_t are turned, pair of numbers by pair, by an angle t w_i with w_i = 10000^(-2 i / d):

    (q_i, q_(i + d/2))  ->  (q_i cos t w_i - q_(i + d/2) sin t w_i,   q_i sin t w_i + q_(i + d/2) cos t w_i),   (2)

so that q_t . k_s depends on t - s and on x_t, x_s alone. Pairs are (i, i + d/2), as in GPT-NeoX; the paper pairs
neighbours, which is the same up to an order of the numbers.

Reference:
    A. Vaswani et al., "Attention is all you need", arXiv:1706.03762 (2017), equation 1; J. Su et al., "RoFormer:
    enhanced Transformer with rotary position embedding", arXiv:2104.09864 (2021), equation 34.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend
from keras_gen.layers.causal.base import CausalLayer
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class CausalSelfAttention(CausalLayer):
    """y_t = W_o [ sum_(s <= t) a_ts v_s ], multi-head attention to the present and the past.

    Args:
        heads: H, which divides the channels of x.
        rotary: whether positions turn queries and keys, equation (2); default False. Needs an even d.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: tensor `(batch, time, channels)`.

    Returns:
        Tensor of the shape of x.

    Raises:
        ValueError: heads that do not divide the channels; rotary positions with an odd d; a condition.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import CausalSelfAttention
        >>> tuple(CausalSelfAttention(2, rotary=True)(ops.ones((3, 5, 8))).shape)
        (3, 5, 8)

    Reference:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3; rotary positions: Su et al. 2021, arXiv:2104.09864.
    """

    def __init__(self, heads, rotary=False, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.rotary = positive_int(heads, "heads"), bool(rotary)

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels % self.heads or (self.rotary and channels // self.heads % 2):
            even = " into parts of even size" if self.rotary else ""
            raise ValueError(
                f"CausalSelfAttention expects channels that {self.heads} heads divide{even}. "
                f"Received: x {tuple(input_shape)}."
            )
        self.head_size = channels // self.heads
        self.frequencies = 10000.0 ** (-2.0 * np.arange(self.head_size // 2) / self.head_size)
        self.to_heads = keras.layers.Dense(3 * channels, dtype=self.dtype_policy, name="to_heads")
        self.to_out = keras.layers.Dense(channels, dtype=self.dtype_policy, name="to_out")
        self.to_heads.build(input_shape)
        self.to_out.build(input_shape)

    def _heads(self, x, positions):
        """q, k and v, each `(batch, time, H, d)`, of inputs at the given positions `(time,)`."""
        h = ops.reshape(self.to_heads(x), (*ops.shape(x)[:-1], 3, self.heads, self.head_size))
        q, k, v = h[..., 0, :, :], h[..., 1, :, :], h[..., 2, :, :]
        return (self._turned(q, positions), self._turned(k, positions), v) if self.rotary else (q, k, v)

    def _turned(self, q, positions):
        """Equation (2), in float32: a late position is no number of half precision."""
        angle = ops.cast(positions, "float32")[:, None] * ops.cast(self.frequencies, "float32")
        cos, sin = ops.cos(angle)[None, :, None], ops.sin(angle)[None, :, None]
        half = self.head_size // 2
        a, b = ops.cast(q[..., :half], "float32"), ops.cast(q[..., half:], "float32")
        return ops.cast(ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1), q.dtype)

    def _mixed(self, y):
        return self.to_out(ops.reshape(y, (*ops.shape(y)[:-2], self.heads * self.head_size)))

    def call(self, x, condition=None, training=False):
        self.refuse(condition)
        return self._attended(*self._heads(x, ops.arange(ops.shape(x)[1])), is_causal=True)

    def _attended(self, q, k, v, **which):
        """Equation (1). In float16 it is computed in float32: JAX has no such product of float16 on a CPU."""
        wide = [ops.cast(h, "float32") for h in (q, k, v)] if self.compute_dtype == "float16" else (q, k, v)
        return self._mixed(ops.cast(ops.dot_product_attention(*wide, **which), q.dtype))

    def init_cache(self, batch_size, length, condition=None):
        """Keys and values, each `(batch, H, length, d)`: as a step multiplies them, so that none is moved."""
        self.refuse(condition)
        self.check_built()
        shape = (batch_size, self.heads, length, self.head_size)
        return {"keys": self.empty(*shape), "values": self.empty(*shape)}

    def step(self, x, cache, t):
        q, k, v = self._heads(x[:, None], ops.reshape(ops.convert_to_tensor(t, "int32"), (1,)))
        keys = backend.put(cache["keys"], t, k[:, 0], axis=2)
        values = backend.put(cache["values"], t, v[:, 0], axis=2)
        y = self._attended_to(q[:, 0], keys, values, ops.arange(keys.shape[2]) <= t)
        return self._mixed(y[:, None])[:, 0], {"keys": keys, "values": values}

    def _attended_to(self, q, keys, values, past):
        """Equation (1) of one time: q `(batch, H, d)`, keys and values of a cache, `past` which of them there are."""
        scores = ops.cast(ops.einsum("bhd,bhtd->bht", q, keys), "float32") / math.sqrt(self.head_size)
        share = ops.softmax(ops.where(past, scores, -1e30), axis=-1)
        return ops.einsum("bht,bhtd->bhd", ops.cast(share, values.dtype), values)

    def compute_output_shape(self, input_shape, condition_shape=None):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads, "rotary": self.rotary}
