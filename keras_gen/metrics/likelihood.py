"""Figures of likelihood that do not depend on how the data were scaled or cut into tokens.

**Bits per dimension.** Integers k in Z^D (pixels) become real numbers x = s (k + u), with s the scale and u uniform on
[0, 1)^D. A model gives the density p(x), nats. That of y = x / s, by the change of variables, is s^D p(x), and

    P(k) = integral over u of s^D p(s (k + u)),        log2 P(k) >= E_u log2 (s^D p(x))          (Theis, eqs. 2 to 5)

by Jensen's inequality. So a bound on the bits that the integers cost, a dimension, is the mean of

    b = -log p(x) / (D ln 2) - log2 s.

For 8-bit pixels divided by 256, s = 1/256: 8 bits are added. With s = 1 it is -log p / (D ln 2), that of a probability
of the integers themselves, which needs no u, and of a density in its own units, which compares with nothing else.

**Perplexity, bits per character.** For sequences i of -log p_i nats and n_i tokens or characters, with weights w_i,

    perplexity = exp(sum w_i (-log p_i) / sum w_i n_i)
    bits per character = sum w_i (-log p_i) / (ln 2 sum w_i n_i)

Both are of the sums. The mean of the perplexities of batches is larger (Jensen), and depends on how data are cut.

Reference:
    Theis, van den Oord, Bethge 2016, "A note on the evaluation of generative models", arXiv:1511.01844, section 3.1.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen.metrics.sets import values
from keras_gen.metrics.sums import SumMetric

LN2 = math.log(2.0)


def bits_per_dim(log_prob, event_shape, scale=1.0):
    """-log p(x) / (D ln 2) - log2(scale): bits per dimension of the integers k, where x = scale (k + u).

    Args:
        log_prob: log-densities (or log-probabilities), nats, summed over the event; any shape.
        event_shape: shape of one example; D is the product of its sizes.
        scale: the step between neighbouring integers in x, > 0. 1/256 for 8-bit pixels divided by 256, 1/128 for those
            brought to [-1, 1). Default 1: p is a probability of integers, or a density whose units are kept.

    Returns:
        float64 numpy array of the shape of `log_prob`, bits.

    Raises:
        ValueError: NaN, an empty array, sizes or a scale that are not positive.

    Example:
        >>> from keras_gen.metrics import bits_per_dim
        >>> float(bits_per_dim(0.0, (8, 8, 1), scale=1 / 256))  # the uniform density on [0, 1)
        8.0

    Reference:
        Theis et al. 2016, arXiv:1511.01844, section 3.1.
    """
    log_prob = _nats(log_prob, "log_prob")
    per_nat, constant = _bits(event_shape, scale)
    return log_prob * per_nat + constant


def perplexity(nll, tokens):
    """exp(sum of nll / sum of tokens), the perplexity of a corpus.

    Args:
        nll: -log p of each sequence, nats, summed over its tokens: `(batch,)`.
        tokens: the number of tokens of each, `(batch,)`, or one number for all alike.

    Returns:
        float >= 1 for probabilities; the base of the logarithm does not matter.

    Raises:
        ValueError: NaN, empty arrays, shapes that do not agree, no tokens at all.

    Example:
        >>> from keras_gen.metrics import perplexity
        >>> round(perplexity([6.93147181, 0.0], tokens=[10, 0]), 6)  # ten fair coins, and an empty sequence
        2.0
    """
    with np.errstate(over="ignore"):
        return float(np.exp(_ratio(nll, tokens, "tokens")))


def bits_per_character(nll, characters):
    """Sum of nll / (ln 2 sum of characters): bits that a character costs.

    Args:
        nll: -log p of each sequence, nats, summed over it: `(batch,)`.
        characters: the number of characters of each, `(batch,)`, or one number for all alike. A model of other tokens
            is made comparable by counting the characters of its text.

    Returns:
        float, bits.

    Raises:
        ValueError: as `perplexity`.

    Example:
        >>> from keras_gen.metrics import bits_per_character
        >>> round(bits_per_character([6.93147181, 13.86294361], characters=10), 6)
        1.5
    """
    return _ratio(nll, characters, "characters") / LN2


@keras.saving.register_keras_serializable(package="keras_gen")
class BitsPerDim(SumMetric):
    """The mean of `bits_per_dim` over the examples seen since the last reset.

    `evaluate` of a model with a likelihood reports `bits_per_dim` itself, with `scale=1`; this metric is for another
    scale, and for densities that come from elsewhere.

    Args:
        event_shape, scale: as in `bits_per_dim`.
        name, dtype: as in `keras.metrics.Metric`.

    Raises:
        ValueError: sizes or a scale that are not positive.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import BitsPerDim
        >>> metric = BitsPerDim((8, 8, 1), scale=1 / 256)
        >>> metric.update_state(np.zeros(5))
        >>> float(metric.result())
        8.0
    """

    def __init__(self, event_shape, scale=1.0, name="bits_per_dim", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self._per_nat, self._constant = _bits(event_shape, scale)
        self.event_shape, self.scale = _sizes(event_shape), float(scale)
        self.total = self.add_variable((), initializer="zeros", dtype=self.dtype, name="total")
        self.count = self.add_variable((), initializer="zeros", dtype=self.dtype, name="count")

    def update_state(self, log_prob, sample_weight=None):
        """Add log-densities `(batch,)`, nats, with weights `(batch,)`; what has weight 0 may be anything.

        Raises:
            ValueError: a weight of another shape; NaN in an array. (That of a tensor makes the result NaN.)
        """
        log_prob, weight = _weighted(log_prob, sample_weight, self.dtype, "log_prob")
        bits = log_prob * self._per_nat
        self.total.assign(self.total + ops.sum(bits))
        self.count.assign(self.count + ops.sum(weight))

    def result(self):
        """Scalar, bits; NaN before the first example."""
        return self.total.value / self.count.value + self._constant

    def get_config(self):
        return {**super().get_config(), "event_shape": list(self.event_shape), "scale": self.scale}


class _PerToken(SumMetric):
    """Nats and counts, summed; a subclass says what is made of their ratio."""

    def __init__(self, name, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.nats = self.add_variable((), initializer="zeros", dtype=self.dtype, name="nats")
        self.count = self.add_variable((), initializer="zeros", dtype=self.dtype, name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add tokens and the logits that the model gave for them: what `compile(metrics=[...])` calls.

        Args:
            y_true: integers `(batch, ...)` in [0, classes). One out of this range, of a weight that is not 0, makes the
                result NaN.
            y_pred: logits `(batch, ..., classes)`.
            sample_weight: `(batch,)` or `(batch, ...)`; 0 masks, and what is masked may be anything.

        Raises:
            ValueError: shapes that do not agree.
        """
        y_true, y_pred = ops.cast(y_true, "int32"), ops.cast(y_pred, self.dtype)
        _check_logits(y_true, y_pred)
        self.update_nats(_cross_entropy(y_true, y_pred), 1.0, sample_weight)

    def update_nats(self, nll, count, sample_weight=None):
        """Add -log p of sequences, nats, `(batch,)` (or of tokens, of any shape), and how many tokens each has.

        Args:
            nll: as said.
            count: of the same shape, or one number.
            sample_weight: `(batch,)` or of the shape of `nll`; multiplies nats and counts.

        Raises:
            ValueError: shapes that do not agree; NaN in an array. (That of a tensor makes the result NaN.)
        """
        _check_shape(count, nll, "count", whole=True)
        nats, weight = _weighted(nll, sample_weight, self.dtype, "nll")
        self.nats.assign(self.nats + ops.sum(nats))
        self.count.assign(self.count + ops.sum(weight * ops.cast(count, self.dtype)))


@keras.saving.register_keras_serializable(package="keras_gen")
class Perplexity(_PerToken):
    """exp(sum of nats / sum of tokens) over all that was seen since the last reset; the streaming `perplexity`.

    `update_state(tokens, logits, sample_weight)` in `compile(metrics=[...])`, or `update_nats(nll, tokens)` with the
    nats of whole sequences. Masks of Keras's layers are not read: give them as `sample_weight`.

    Args:
        name, dtype: as in `keras.metrics.Metric`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import Perplexity
        >>> metric = Perplexity()
        >>> metric.update_state(np.zeros((2, 5), "int32"), np.zeros((2, 5, 4)))  # uniform on four tokens
        >>> round(float(metric.result()), 4)
        4.0
    """

    def __init__(self, name="perplexity", dtype=None):
        super().__init__(name, dtype)

    def result(self):
        """Scalar; NaN before the first token."""
        return ops.exp(self.nats.value / self.count.value)


@keras.saving.register_keras_serializable(package="keras_gen")
class BitsPerCharacter(_PerToken):
    """Sum of nats / (ln 2 sum of characters) over all that was seen; the streaming `bits_per_character`.

    `update_state(characters, logits, sample_weight)` for a model of characters; `update_nats(nll, characters)` with the
    number of characters of each text for any other.

    Args:
        name, dtype: as in `keras.metrics.Metric`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import BitsPerCharacter
        >>> metric = BitsPerCharacter()
        >>> metric.update_state(np.zeros((2, 5), "int32"), np.zeros((2, 5, 4)))
        >>> round(float(metric.result()), 4)
        2.0
    """

    def __init__(self, name="bits_per_character", dtype=None):
        super().__init__(name, dtype)

    def result(self):
        """Scalar, bits; NaN before the first character."""
        return self.nats.value / (self.count.value * LN2)


def _bits(event_shape, scale):
    """The factor of the nats, and what is added: b = factor * log p + constant."""
    if not (isinstance(scale, (int, float, np.number)) and math.isfinite(scale) and scale > 0):
        raise ValueError(f"Expected `scale` as a positive number, such as 1 / 256. Received: scale={scale!r}.")
    return -1.0 / (math.prod(_sizes(event_shape)) * LN2), -math.log2(scale)


def _sizes(event_shape):
    sizes = tuple(event_shape) if isinstance(event_shape, (tuple, list)) else (event_shape,)
    if not sizes or not all(isinstance(size, (int, np.integer)) and size > 0 for size in sizes):
        raise ValueError(
            f"Expected `event_shape` as a tuple of positive integers. Received: event_shape={event_shape!r}."
        )
    return tuple(int(size) for size in sizes)


def _nats(x, name):
    """`x` as float64; infinite where a probability is 0, never NaN."""
    x = values(x, name).astype("float64")
    if not x.size or np.isnan(x).any():
        raise ValueError(
            f"Expected `{name}` as numbers, nats. Received: shape {x.shape}, {int(np.isnan(x).sum())} of them NaN."
        )
    return x


def _ratio(nll, counts, name):
    nll, counts = _nats(nll, "nll"), _nats(counts, name)
    if counts.shape not in ((), nll.shape):
        raise ValueError(
            f"Expected `{name}` as one number or of the shape of `nll`, {nll.shape}. Received: shape {counts.shape}."
        )
    counts = np.broadcast_to(counts, nll.shape)
    if (counts < 0).any() or not 0 < counts.sum() < math.inf:
        raise ValueError(f"Expected `{name}` >= 0 with a positive sum. Received: a sum of {counts.sum()}.")
    return float(nll.sum() / counts.sum())


def _weighted(x, weight, dtype, name):
    """`x` times its weights, and the weights, both of the shape of `x`; 0 times NaN or infinity is 0 here."""
    known = not ops.is_tensor(x)
    x = ops.cast(x, dtype)
    if weight is not None:
        _check_shape(weight, x, "sample_weight")
        weight = ops.cast(weight, dtype)
        weight = ops.reshape(weight, (*ops.shape(weight), *[1] * (len(x.shape) - len(weight.shape)))) * ops.ones_like(x)
        x = ops.where(weight == 0.0, 0.0, x * weight)
    if known and ops.convert_to_numpy(ops.any(ops.isnan(x))):
        raise ValueError(f"Expected `{name}` as numbers, nats. Received: NaN among them, of a weight that is not 0.")
    return x, ops.ones_like(x) if weight is None else weight


def _check_shape(given, x, name, whole=False):
    """`given` has the shape of `x`, or of its first axes, or is one number (`whole`: or is one number)."""
    shape, expected = tuple(np.shape(given)), tuple(np.shape(x))
    alike = all(None in (a, b) or a == b for a, b in zip(shape, expected, strict=False))
    if not alike or len(shape) > len(expected) or (whole and len(shape) not in (0, len(expected))):
        raise ValueError(f"Expected `{name}` to fit values of shape {expected}. Received: shape {shape}.")


def _check_logits(y_true, y_pred):
    tokens, logits = tuple(y_true.shape), tuple(y_pred.shape)
    alike = len(logits) == len(tokens) + 1 and len(tokens) > 0
    if not alike or any(None not in (a, b) and a != b for a, b in zip(tokens, logits, strict=False)):
        raise ValueError(
            "Expected tokens of shape (batch, ...) and logits of shape (batch, ..., classes). Received: "
            f"{tokens} and {logits}."
        )


def _cross_entropy(tokens, logits):
    """-log softmax(logits) at the tokens; NaN where a token is none of the classes."""
    classes = logits.shape[-1]
    known = ops.logical_and(tokens >= 0, tokens < classes)
    chosen = ops.take_along_axis(logits, ops.expand_dims(ops.clip(tokens, 0, classes - 1), -1), axis=-1)[..., 0]
    return ops.where(known, ops.logsumexp(logits, axis=-1) - chosen, float("nan"))
