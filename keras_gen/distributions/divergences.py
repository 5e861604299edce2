"""Kullback-Leibler divergences, closed where they are known.

    KL(q || p) = E_{x ~ q}[log q(x) - log p(x)] >= 0                (nats)

With r = s_q / s_p the ratio of scales and d = (m_q - m_p) / s_p the distance of locations:

    Normal       (r^2 + d^2 - 1 - 2 log r) / 2
    Laplace      r exp(-|d| / r) + |d| - 1 - log r
    Uniform      log of the ratio of widths where q lies in p, else infinite
    Bernoulli    sigmoid(a) (a - b) - softplus(a) + softplus(b)            (logits a of q, b of p)
    Categorical  sum_c q_c (log q_c - log p_c)
    full Normal  (|L_p^-1 L_q|^2 + |L_p^-1 (m_q - m_p)|^2 - d) / 2 + sum_i log (L_p,ii / L_q,ii)

A factorising pair gives one term per element of the event, the KL per latent dimension.
"""

import keras
from keras import ops

from keras_gen import random
from keras_gen.distributions.continuous import Laplace, Normal, Uniform
from keras_gen.distributions.discrete import FLOOR, Bernoulli, Categorical, OneHotCategorical
from keras_gen.distributions.multivariate import MultivariateNormal
from keras_gen.distributions.shapes import softplus

_CLOSED_FORMS = {}


def register_kl(q_type, p_type):
    """Decorator that registers the closed form of a pair of distribution classes.

    The function takes `(q, p)` and returns the divergence with the event axes kept, less the last
    `q.joint_axes`. A subclass uses the form of its nearest registered base.

    Args:
        q_type: class of q.
        p_type: class of p.

    Returns:
        The decorator, which returns the function unchanged.

    Example:
    >>> from keras_gen.distributions import Normal, has_closed_form_kl
    >>> has_closed_form_kl(Normal(), Normal())
    True
    """

    def register(function):
        _CLOSED_FORMS[q_type, p_type] = function
        return function

    return register


def has_closed_form_kl(q, p):
    """Whether `kl_divergence(q, p)` has a closed form.

    Args:
        q: a `Distribution`.
        p: a `Distribution`, or anything else (then `False`).

    Returns:
        bool.

    Example:
    >>> from keras_gen.distributions import Laplace, Normal, has_closed_form_kl
    >>> has_closed_form_kl(Normal(), Laplace())
    False
    """
    return _closed_form(q, p) is not None


def kl_divergence(q, p, reduce=True):
    """Closed-form divergence KL(q || p) = E_q[log q(x) - log p(x)].

    Args:
        q: a `Distribution`.
        p: a `Distribution` of the same event shape, of a registered pair of types.
        reduce: bool, default `True`: sum over the event. `False` keeps the event axes, one term per
            element (per latent dimension), for pairs that factorise.

    Returns:
        Tensor `(batch,)`, or `(batch, *event_shape)` with `reduce=False`; no batch axis where neither has
        one. Nats, in the wider of their dtypes.

    Raises:
        ValueError: where the pair has no closed form (use `monte_carlo_kl`), the event shapes differ, or
            `reduce=False` is asked of a pair that does not factorise.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import Normal, kl_divergence
    >>> q = Normal(ops.ones((3, 2)), 1.0)
    >>> prior = Normal(ops.zeros((2,)), 1.0, event_shape=(2,))
    >>> tuple(kl_divergence(q, prior).shape), round(float(kl_divergence(q, prior)[0]), 4)
    ((3,), 1.0)
    >>> tuple(kl_divergence(q, prior, reduce=False).shape)
    (3, 2)
    """
    form = _closed_form(q, p)
    if form is None:
        raise ValueError(
            f"KL({type(q).__name__} || {type(p).__name__}) has no registered closed form. Use "
            "`monte_carlo_kl(q, p, keys, num_samples)` for an estimate, or add one with `register_kl`."
        )
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"Expected two distributions of one event shape. Received: {q.event_shape} and {p.event_shape}."
        )
    dtype = keras.backend.result_type(q.dtype, p.dtype)
    q, p = q.cast(dtype), p.cast(dtype)
    joint = max(q.joint_axes, p.joint_axes)
    if joint and not reduce:
        raise ValueError(
            f"KL({type(q).__name__} || {type(p).__name__}) does not factorise over the last event axis: it "
            "has no terms per element. Use reduce=True."
        )
    return _over_event(form(q, p), q, p, joint, reduce)


def _over_event(value, q, p, joint, reduce):
    kept = q.event_shape[: len(q.event_shape) - joint]
    value = value + ops.zeros(kept, value.dtype)
    for side in (q, p):
        value = value + ops.zeros((*_batch(side), *(1 for _ in kept)), value.dtype)
    return ops.sum(value, axis=tuple(range(-len(kept), 0))) if kept and reduce else value


def _batch(distribution):
    shape = distribution.full_shape()
    return shape[: len(shape) - len(distribution.event_shape)]


def _closed_form(q, p):
    for q_type in type(q).__mro__:
        for p_type in type(p).__mro__:
            if (q_type, p_type) in _CLOSED_FORMS:
                return _CLOSED_FORMS[q_type, p_type]
    return None


def monte_carlo_kl(q, p, keys, num_samples=1):
    """Monte Carlo *estimate* of KL(q || p): an average over draws of q, not the divergence itself.

    `(1 / S) sum_s [log q(x_s) - log p(x_s)]`, `x_s ~ q`. It is unbiased, may be negative, and has variance
    `Var_q[log q(x) - log p(x)] / S`. It is differentiable where `q.generate` is.

    Args:
        q: a `Distribution` with a batch of n or without batch.
        p: anything with `log_density`.
        keys: int32 tensor `(n, 2)`; sample s uses `fold_in(keys, s)`.
        num_samples: int >= 1, S. Default 1, the usual choice within a training step (Kingma and Welling
            2013, arXiv:1312.6114, section 2.3). The samples are unrolled in a graph: keep to tens.

    Returns:
        Tensor `(n,)`, nats.

    Raises:
        ValueError: where `num_samples` is no positive integer.

    Example:
    >>> from keras import ops
    >>> from keras_gen import random
    >>> from keras_gen.distributions import Laplace, Normal, monte_carlo_kl
    >>> q, p = Normal(ops.zeros((4, 2)), 1.0), Laplace(0.0, 1.0, event_shape=(2,))
    >>> tuple(monte_carlo_kl(q, p, random.keys(0, 4), num_samples=3).shape)
    (4,)
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < 1:
        raise ValueError(f"Expected an integer num_samples >= 1. Received: {num_samples!r}.")
    total = 0.0
    for s in range(num_samples):
        x = q.generate(random.fold_in(keys, s))
        total = total + q.log_density(x) - p.log_density(x)
    return total / num_samples


@register_kl(Normal, Normal)
def _normal(q, p):
    r = q.scale / p.scale
    d = (q.loc - p.loc) / p.scale
    return 0.5 * (r * r + d * d - 1.0) - ops.log(r)


@register_kl(Laplace, Laplace)
def _laplace(q, p):
    r = q.scale / p.scale
    d = ops.abs(q.loc - p.loc) / p.scale
    return r * ops.exp(-d / r) + d - 1.0 - ops.log(r)


@register_kl(Uniform, Uniform)
def _uniform(q, p):
    within = ops.logical_and(q.low >= p.low, q.high <= p.high)
    return ops.where(within, ops.log(p.high - p.low) - ops.log(q.high - q.low), float("inf"))


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(q, p):
    a, b = q.logits, p.logits
    return ops.sigmoid(a) * (a - b) - softplus(a) + softplus(b)


@register_kl(Categorical, Categorical)
@register_kl(OneHotCategorical, OneHotCategorical)
def _categorical(q, p):
    if q.classes != p.classes:
        raise ValueError(f"Expected as many classes. Received: {q.classes} and {p.classes}.")
    log_q = ops.maximum(q.log_probabilities(), FLOOR)
    log_p = ops.maximum(p.log_probabilities(), FLOOR)
    return ops.sum(ops.exp(log_q) * (log_q - log_p), axis=-1)


@register_kl(MultivariateNormal, MultivariateNormal)
def _full(q, p):
    distance = p.whiten(q.loc - p.loc)
    ratio = p.whiten_columns(q.scale_tril)
    quadratic = ops.sum(ratio * ratio, axis=(-2, -1)) + ops.sum(distance * distance, axis=-1)
    return 0.5 * (quadratic - q.event_shape[-1]) + p.log_scale() - q.log_scale()


@register_kl(Normal, MultivariateNormal)
def _diagonal_full(q, p):
    return _full(MultivariateNormal.from_diagonal(q), p)


@register_kl(MultivariateNormal, Normal)
def _full_diagonal(q, p):
    return _full(q, MultivariateNormal.from_diagonal(p))
