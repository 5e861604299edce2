"""Quantisers: real numbers as integer levels, evenly spaced, or spaced as loudness is heard.

**Uniform.** On [a, b] there are L levels, both ends among them, at a distance d = (b - a) / (L - 1):

    v_k = a + k d,        Q(x) = k where v_k - d/2 <= x < v_k + d/2,        k = 0 ... L - 1,                 (1)

the nearest level, an edge to the upper one; what lies beyond an end is of that end. So |v_Q(x) - x| <= d/2 on [a, b],
and Q(v_k) = k. Grey levels k / (L - 1) are these, with a = 0 and b = 1.

**mu-law.** Sound is quantised after the companding f of `mu_law_compress`, which is steep at 0, so that quiet samples
are told apart finely. Q is (1) of f(x) on [-1, 1] with L = mu + 1 levels,

    k = floor((f(x) + 1) mu / 2 + 1/2),        v_k = f^-1(2 k / mu - 1),                                     (2)

the convention of torchaudio and of the published WaveNets: -1 and 1 are levels, and the figures of others compare. For
an odd mu the two middle levels lie on either side of silence, at +- f^-1(1 / mu), 8.6e-5 for mu = 255, or 3 steps of 16
bits.

**The same bits everywhere.** Levels and edges are computed once, in float64, and rounded. An edge in x is the f^-1 of
one in f(x). Arithmetic of the backend then guesses k to within one, and two comparisons with the edges settle it:

    k = g - [x < e_g] + [x >= e_(g+1)],        e_0 = -inf, e_L = inf,                                        (3)

so that all backends give the same integers and the same numbers, however each rounds a logarithm. (Denormal numbers,
below 1.2e-38, count as 0 on some.)

Reference:
    ITU-T Recommendation G.711 (1988), section 3; A. van den Oord et al., "WaveNet: a generative model for raw audio",
    arXiv:1609.03499 (2016), section 2.2.
"""

import numbers

import keras
import numpy as np
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.companding import mu_law_compress
from keras_gen.layers.shapes import positive_int

MOST_LEVELS = 2**16  # 16 bits; the tables of a quantiser are this long
STEP_IN_ULPS = 8  # d, in units of the last place of the larger end: below it a guess could be off by more than one


class _Quantizer(keras.layers.Layer):
    """Base: levels and edges as tables, a guess, and (3). A subclass writes `low`, `high`, `_expand` and `_position`.

    The method `quantize` of Keras's layers is another thing, that of weights.
    """

    def __init__(self, levels, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        check_dtype(self.dtype_policy, type(self).__name__)
        self.levels = positive_int(levels, "levels")
        if not 2 <= self.levels <= MOST_LEVELS:
            raise ValueError(f"Expected `levels` from 2 to {MOST_LEVELS}. Received: levels={levels}.")

    def _make_tables(self):
        k = np.arange(self.levels + 1)
        self._values = self._expand(k[:-1]).astype(self.real_dtype)
        edges = self._expand(k - 0.5).astype(self.real_dtype)
        edges[0], edges[-1] = -np.inf, np.inf
        self._edges = edges

    def _expand(self, k):
        """v_k as float64, for k between the levels too."""
        raise NotImplementedError

    def _position(self, x):
        """k as a real number: the inverse of `_expand`, to within one."""
        raise NotImplementedError

    @property
    def real_dtype(self):
        """float32, or float64 under that policy."""
        return keras.backend.result_type(self.variable_dtype, "float32")

    def call(self, x):
        x = ops.cast(ops.convert_to_tensor(x), self.real_dtype)
        edges = ops.convert_to_tensor(self._edges)
        inside = ops.clip(x, float(self.low), float(self.high))
        guess = ops.cast(ops.clip(ops.floor(self._position(inside) + 0.5), 0, self.levels - 1), "int32")
        guess = ops.clip(guess, 0, self.levels - 1)  # an integer cast of NaN is anything
        below = ops.cast(inside < ops.take(edges, guess), "int32")
        above = ops.cast(inside >= ops.take(edges, guess + 1), "int32")
        return guess - below + above

    def dequantize(self, k):
        """The numbers v_k of levels: float32, or float64 under that policy, of the shape of k.

        Integers beyond the levels are taken as the nearer of the two last ones.
        """
        k = ops.clip(ops.cast(ops.convert_to_tensor(k), "int32"), 0, self.levels - 1)
        return ops.take(ops.convert_to_tensor(self._values), k)

    def validate(self, x):
        """Raise `ValueError` if the numpy array x leaves the range, or holds NaN."""
        x = np.asarray(x)
        wrong = np.count_nonzero(~((x >= self.low) & (x <= self.high)))
        if wrong:
            raise ValueError(
                f"{type(self).__name__} expects numbers from {self.low} to {self.high}. Received: {wrong} of {x.size} "
                f"beyond or NaN, from {np.min(x)} to {np.max(x)}. Scale them, or clip a few that stick out: "
                f"np.clip(x, {self.low}, {self.high}). Samples of 16 bits are divided by 32768."
            )

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, "int32")

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}


@keras.saving.register_keras_serializable(package="keras_gen")
class UniformQuantizer(_Quantizer):
    """The nearest of L evenly spaced levels v_k = a + k (b - a) / (L - 1), as an integer k.

    `quantizer(x)` is Q(x), int32, and `dequantize(k)` gives v_k back. |v_Q(x) - x| <= (b - a) / (2 (L - 1)) for x in
    [a, b], and Q(v_k) = k. The integers are the same on all backends. There are no weights and no gradients.

    Args:
        levels: L, from 2 to 65536, default 256: 8 bits.
        low, high: a and b, default -1.0 and 1.0, the range of sound.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`. Mixed policies compute in float32.

    Call arguments:
        x: tensor of any shape. Numbers out of the range have the level of its nearer end, NaN has any; `validate`
            refuses both.

    Returns:
        Tensor of that shape, int32 from 0 to L - 1.

    Raises:
        ValueError: `levels` out of its range; `low` and `high` that are no finite numbers, not in order, or so close
            to each other, for their size, that the float type does not tell the levels apart; on JAX, a float64
            policy without x64.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import UniformQuantizer
        >>> quantizer = UniformQuantizer(levels=5, low=0.0, high=1.0)
        >>> [int(k) for k in quantizer(ops.array([0.1, 0.2, 0.9, 7.0]))]
        [0, 1, 4, 4]
        >>> [float(x) for x in quantizer.dequantize([0, 1, 4])]
        [0.0, 0.25, 1.0]

    Reference:
        The grey levels k / (L - 1) of images are of this kind; van den Oord et al. 2016, arXiv:1601.06759, section 3.
    """

    def __init__(self, levels=256, low=-1.0, high=1.0, **kwargs):
        super().__init__(levels, **kwargs)
        self.low, self.high = _check_range(low, high)
        step, size = (self.high - self.low) / (self.levels - 1), max(abs(self.low), abs(self.high))
        if step < STEP_IN_ULPS * np.finfo(self.real_dtype).eps * size:
            raise ValueError(
                f"Expected levels that {self.real_dtype} tells apart. Received: levels={levels}, low={low}, "
                f"high={high}, a step of {step:.3g} at numbers as large as {size:.6g}. Subtract a mean first, take "
                "fewer levels, or dtype='float64'."
            )
        self._make_tables()

    def _expand(self, k):
        return self.low + k * ((self.high - self.low) / (self.levels - 1))

    def _position(self, x):
        return (x - self.low) * ((self.levels - 1) / (self.high - self.low))

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high}


@keras.saving.register_keras_serializable(package="keras_gen")
class MuLawQuantizer(_Quantizer):
    """Sound in [-1, 1] as L levels, evenly spaced after the mu-law f, mu = L - 1: k = floor((f(x) + 1) mu / 2 + 1/2).

    `quantizer(x)` is Q(x), int32, and `dequantize(k)` is f^-1(2 k / mu - 1). So |f(v_Q(x)) - f(x)| <= 1 / mu, half a
    step, and Q(v_k) = k. The integers are the same on all backends. There are no weights and no gradients.

    Args:
        levels: L, from 2 to 65536, default 256, by which a softmax over levels is small enough to be learnt.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`. Mixed policies compute in float32.

    Call arguments:
        x: tensor of any shape. Numbers out of the range have the level of its nearer end, NaN has any; `validate`
            refuses both.

    Returns:
        Tensor of that shape, int32 from 0 to L - 1.

    Raises:
        ValueError: `levels` out of its range; on JAX, a float64 policy without x64.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import MuLawQuantizer
        >>> quantizer = MuLawQuantizer()
        >>> [int(k) for k in quantizer(ops.array([-1.0, -0.01, 0.0, 0.01, 1.0]))]
        [0, 98, 128, 157, 255]
        >>> [round(float(x), 6) for x in quantizer.dequantize([127, 128])]
        [-8.6e-05, 8.6e-05]

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, section 2.2; ITU-T G.711 (1988) for the law, not for its codes.
    """

    low, high = -1.0, 1.0

    def __init__(self, levels=256, **kwargs):
        super().__init__(levels, **kwargs)
        self._make_tables()

    @property
    def mu(self):
        """`levels` - 1."""
        return self.levels - 1

    def _expand(self, k):
        y = 2 * k / self.mu - 1
        return np.sign(y) * np.expm1(np.abs(y) * np.log1p(self.mu)) / self.mu

    def _position(self, x):
        return (mu_law_compress(x, self.mu) + 1.0) * (self.mu / 2)


def _check_range(low, high):
    real = all(isinstance(v, numbers.Real) and not isinstance(v, bool) and np.isfinite(v) for v in (low, high))
    if not real or not low < high:
        raise ValueError(f"Expected finite numbers `low` < `high`. Received: low={low!r}, high={high!r}.")
    return float(low), float(high)
