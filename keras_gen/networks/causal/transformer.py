"""The causal Transformer: blocks of attention and of a map of each position.

With positions p_t (learned), or turned queries and keys (rotary), and layer normalisation first,

    h = x + p + u,        a = h + attention(norm(h)),        h' = a + W_2 gelu(W_1 norm(a)),        y = norm(h_L).

Weights begin as N(0, 0.02^2), those that write into the sum, W_2 and the last map of the attention, divided by
sqrt(2 L), so that the sum begins as wide for any number L of blocks.

Reference:
    A. Vaswani et al., arXiv:1706.03762 (2017); norms first and the scales: A. Radford et al., "Language models are
    unsupervised multitask learners" (2019), section 2.3.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import layers
from keras_gen.layers.shapes import positive_int
from keras_gen.networks.causal.base import CausalNetwork, check_rate


@keras.saving.register_keras_serializable(package="keras_gen")
class Transformer(CausalNetwork):
    """Blocks of causal attention and a dense map of each position.

    Args:
        width: channels, default 128; x has as many.
        depth: L, blocks, default 4.
        heads: of the attention, default 4.
        positions: "rotary" (default), which any length may follow, or "learned", one vector a position up to
            `max_length`.
        max_length: positions that are learned.
        dropout: float in [0, 1), of the input and of what each part adds, default 0.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: sizes that are no positive ints or do not divide, unknown positions, learned ones without
            `max_length`, a sequence longer than it.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import Transformer
        >>> tuple(Transformer(16, depth=2, heads=2)(ops.ones((2, 10, 16))).shape)
        (2, 10, 16)

    Reference:
        Vaswani et al. 2017, arXiv:1706.03762, section 3; Radford et al. 2019, section 2.3.
    """

    def __init__(self, width=128, depth=4, heads=4, positions="rotary", max_length=None, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.width, self.depth = positive_int(width, "width"), positive_int(depth, "depth")
        self.heads, self.positions, self.dropout = positive_int(heads, "heads"), positions, check_rate(dropout)
        if positions not in ("rotary", "learned") or (positions == "learned") != (max_length is not None):
            raise ValueError(
                'Expected `positions` as "rotary", or as "learned" with a `max_length`. '
                f"Received: positions={positions!r}, max_length={max_length!r}."
            )
        self.max_length = None if max_length is None else positive_int(max_length, "max_length")

    def build_parts(self, input_shape):
        if input_shape[-1] != self.width:
            raise ValueError(f"Transformer expects {self.width} channels. Received: x {input_shape}.")
        options = {"dtype": self.dtype_policy}
        self.place = None
        if self.positions == "learned":
            start = keras.initializers.RandomNormal(stddev=0.02)
            self.place = self.add_weight(shape=(self.max_length, self.width), initializer=start, name="place")
        self.drop = layers.Dropout(self.dropout, seed=int(np.random.randint(2**31)), **options)
        self.parts = [
            _Block(self.heads, self.positions == "rotary", self.depth, self.dropout, **options, name=f"block_{i}")
            for i in range(self.depth)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, **options, name="norm")
        for part in [*self.parts, self.norm]:
            part.build(input_shape)

    def features(self, input_shape):
        return self.width

    def _begun(self, x, place, added):
        for more in (place, added):
            x = x if more is None else x + ops.cast(more, x.dtype)
        return x

    def _forward(self, x, added, training):
        self._check_length(x.shape[1])
        h = self._begun(x, None if self.place is None else self.place[: ops.shape(x)[1]], added)
        h = self.drop(h, training=training)
        for part in self.parts:
            h = part(h, training=training)
        return self.norm(h)

    def _check_length(self, length):
        if None not in (length, self.max_length) and length > self.max_length:
            raise ValueError(f"Expected at most max_length={self.max_length} positions. Received: {length}.")

    def _caches(self, batch_size, length):
        self._check_length(length)
        return [part.init_cache(batch_size, length) for part in self.parts]

    def _step(self, x, caches, t, added):
        h, new = self._begun(x, None if self.place is None else ops.take(self.place, t, axis=0), added), []
        for part, cache in zip(self.parts, caches, strict=True):
            h, cache = part.step(h, cache, t)
            new.append(cache)
        return self.norm(h), new

    def get_config(self):
        own = ("width", "depth", "heads", "positions", "max_length", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


class _Block(layers.CausalLayer):
    """`a = h + attention(norm(h))`, `a + W_2 gelu(W_1 norm(a))`: a part of the network and rebuilt by it."""

    def __init__(self, heads, rotary, depth, dropout, **kwargs):
        super().__init__(**kwargs)
        options = {"dtype": self.dtype_policy}
        self.depth = depth
        self.attention = layers.CausalSelfAttention(heads, rotary, **options, name="attention")
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-5, **options, name=f"norm_{i}") for i in range(2)]
        self.drops = [layers.Dropout(dropout, seed=int(np.random.randint(2**31)), **options) for _ in range(2)]

    def build(self, input_shape):
        width, options = input_shape[-1], {"dtype": self.dtype_policy}
        initial = [keras.initializers.RandomNormal(stddev=0.02 * s) for s in (1.0, 1 / math.sqrt(2 * self.depth))]
        self.wide = keras.layers.Dense(4 * width, kernel_initializer=initial[0], **options, name="wide")
        self.narrow = keras.layers.Dense(width, kernel_initializer=initial[1], **options, name="narrow")
        self.attention.build(input_shape)
        self.attention.to_heads.kernel.assign(initial[0](self.attention.to_heads.kernel.shape))
        self.attention.to_out.kernel.assign(initial[1](self.attention.to_out.kernel.shape))
        for part in [*self.norms, self.wide]:
            part.build(input_shape)
        self.narrow.build((*input_shape[:-1], 4 * width))

    def _mapped(self, a):
        return self.narrow(ops.gelu(self.wide(self.norms[1](a)), approximate=True))

    def call(self, h, condition=None, training=False):
        a = h + self.drops[0](self.attention(self.norms[0](h)), training=training)
        return a + self.drops[1](self._mapped(a), training=training)

    def init_cache(self, batch_size, length, condition=None):
        return self.attention.init_cache(batch_size, length)

    def step(self, h, cache, t):
        y, cache = self.attention.step(self.norms[0](h), cache, t)
        a = h + y
        return a + self._mapped(a), cache
