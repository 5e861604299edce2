"""Recurrent networks under the causal contract: the state is the cache.

    s_t = cell(x_t + u_t, s_(t-1)),       y_t the output of the last cell,       s_0 = 0,

for layers of LSTM or gated recurrent units, u what a condition adds to the input. A step is one call of the cells.

Reference:
    S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997); K. Cho et al.,
    arXiv:1406.1078 (2014), for gated recurrent units; A. Graves, arXiv:1308.0850 (2013), for generating sequences.
"""

import keras
import numpy as np
from keras import ops

from keras_gen import layers
from keras_gen.layers.shapes import as_shape
from keras_gen.networks.causal.base import CausalNetwork, check_rate

CELLS = {"lstm": (keras.layers.LSTM, 2), "gru": (keras.layers.GRU, 1)}


@keras.saving.register_keras_serializable(package="keras_gen")
class Recurrent(CausalNetwork):
    """Layers of LSTM or GRU, one after another.

    Args:
        units: of each layer, default (256,).
        cell: "lstm" (default) or "gru".
        dropout: float in [0, 1), before each layer but the first, default 0.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: sizes that are no positive ints, an unknown cell, a rate that is none.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import Recurrent
        >>> tuple(Recurrent((8, 16), "gru")(ops.ones((2, 10, 3))).shape)
        (2, 10, 16)

    Reference:
        Graves 2013, arXiv:1308.0850, section 2.
    """

    def __init__(self, units=(256,), cell="lstm", dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        if cell not in CELLS:
            raise ValueError(f"Expected `cell` as one of {list(CELLS)}. Received: cell={cell!r}.")
        self.units, self.cell, self.dropout = as_shape(units, "units"), cell, check_rate(dropout)
        if not self.units:
            raise ValueError("Expected `units` as at least one positive integer, one a layer. Received: ().")

    def build_parts(self, input_shape):
        make, self.states = CELLS[self.cell]
        self.parts = [
            make(n, return_sequences=True, dtype=self.dtype_policy, name=f"{self.cell}_{i}")
            for i, n in enumerate(self.units)
        ]
        for part, size in zip(self.parts, (input_shape[-1], *self.units), strict=False):
            part.build((*input_shape[:-1], size))
        seeds = [int(np.random.randint(2**31)) for _ in self.units]
        self.drops = [layers.Dropout(self.dropout, seed=s, dtype=self.dtype_policy) for s in seeds[1:]]

    def features(self, input_shape):
        return self.units[-1]

    def _forward(self, x, added, training):
        x = x if added is None else x + ops.cast(added, x.dtype)
        for i, part in enumerate(self.parts):
            x = part(self.drops[i - 1](x, training=training) if i else x)
        return x

    def _caches(self, batch_size, length):
        return [[self.empty(batch_size, n) for _ in range(self.states)] for n in self.units]

    def _step(self, x, caches, t, added):
        x, new = x if added is None else x + ops.cast(added, x.dtype), []
        for part, states in zip(self.parts, caches, strict=True):
            x, states = part.cell(x, states)
            new.append(list(states))
        return x, new

    def get_config(self):
        return {**super().get_config(), "units": self.units, "cell": self.cell, "dropout": self.dropout}
