"""Truncated categorical distributions: what is unlikely is never drawn.

A model of text that gives each of many thousand wrong tokens a little probability draws one of them every few steps.
Two truncations of p(c) = softmax(a)_c take them out, and leave the ratios of the others:

    top-k:      V = the k most probable classes,
    top-p:      V = the fewest most probable classes with sum_(c in V) p(c) >= P            (the nucleus),
    q(c) = p(c) / sum_(c' in V) p(c')  for c in V,  else 0.                                                  (1)

Sorted, p_(1) >= p_(2) >= ..., class (i) is in the nucleus where p_(1) + ... + p_(i-1) < P: so is the first one, always.
A class that is as probable as the last one of V is in V too, by either: V depends on probabilities alone, never on the
order of classes or on how a backend sorts.

Reference:
    A. Fan, M. Lewis, Y. Dauphin, "Hierarchical neural story generation", arXiv:1805.04833 (2018), section 5.4 (top-k);
    A. Holtzman, J. Buys, L. Du, M. Forbes, Y. Choi, "The curious case of neural text degeneration", arXiv:1904.09751
    (2020), equations 2 and 3 (top-p).
"""

import numbers

import keras
from keras import ops

from keras_gen.distributions.discrete import FLOOR


def truncated_logits(logits, top_k=None, top_p=None):
    """The logits of q: those of the classes out of V are -1e30, the others stay as they are.

    With both, top-k comes first, then top-p of what it leaves, renormalised. Divide the logits by a temperature before.
    `Categorical(truncated_logits(a, ...))` is the distribution q.

    Args:
        logits: a, tensor `(..., classes)`; minus infinity forbids a class.
        top_k: k, an int from 1 to `classes`, or None (default) for all. 1 is the most probable class; `classes` changes
            nothing. More than k are kept where several are equal to the k-th.
        top_p: P in (0, 1], or None (default) for 1, which changes nothing. Sums are rounded as float32 is: a class
            where p_(1) + ... + p_(i-1) is within 1e-6 of P may be in or out.

    Returns:
        Tensor of that shape, of the dtype of `logits`, float32 at least.

    Raises:
        ValueError: before any compute, `top_k` or `top_p` out of its range, or logits whose number of classes is not
            known.

    Example:
        >>> from keras import ops
        >>> from keras_gen.distributions import Categorical, truncated_logits
        >>> logits = ops.log(ops.array([[0.5, 0.25, 0.15, 0.1]]))
        >>> [round(float(q), 3) for q in Categorical(truncated_logits(logits, top_p=0.7)).probabilities()[0]]
        [0.667, 0.333, 0.0, 0.0]
        >>> [round(float(q), 3) for q in Categorical(truncated_logits(logits, top_k=3)).probabilities()[0]]
        [0.556, 0.278, 0.167, 0.0]

    Reference:
        Holtzman et al. 2020, arXiv:1904.09751, equations 2 and 3; both in one as in Hugging Face's `generate`, where
        ties are cut by the order of a sort.
    """
    logits = ops.convert_to_tensor(logits)
    top_k, top_p = _check(top_k, top_p, logits.shape[-1] if len(logits.shape) else None)
    logits = ops.cast(logits, keras.backend.result_type(logits.dtype, "float32"))
    if top_k is not None and top_k < logits.shape[-1]:
        logits = _at_least(logits, ops.top_k(logits, top_k)[0][..., -1:])
    if top_p is not None and top_p < 1:
        logits = _at_least(logits, _last_of_nucleus(logits, top_p))
    return logits


def _at_least(logits, smallest):
    return ops.where(logits < smallest, ops.full_like(logits, FLOOR), logits)


def _last_of_nucleus(logits, top_p):
    """The smallest logit in V, `(..., 1)`."""
    falling = -ops.sort(-logits, axis=-1)
    p = ops.softmax(falling, axis=-1)
    before = ops.cumsum(p, axis=-1) - p
    first = ops.max(falling, axis=-1, keepdims=True)
    return ops.min(ops.where(before < top_p, falling, first), axis=-1, keepdims=True)


def _check(top_k, top_p, classes):
    if classes is None:
        raise ValueError("Expected `logits` (..., classes), of a known number of classes. Received: no such axis.")
    whole = isinstance(top_k, numbers.Integral) and not isinstance(top_k, bool)
    if top_k is not None and (not whole or not 1 <= top_k <= classes):
        raise ValueError(
            f"Expected `top_k` as an integer from 1 to {classes}, the number of classes, or None. Received: "
            f"top_k={top_k!r}."
        )
    real = isinstance(top_p, numbers.Real) and not isinstance(top_p, bool)
    if top_p is not None and (not real or not 0 < top_p <= 1):
        raise ValueError(f"Expected `top_p` as a number in (0, 1], or None. Received: top_p={top_p!r}.")
    return None if top_k is None else int(top_k), None if top_p is None else float(top_p)
