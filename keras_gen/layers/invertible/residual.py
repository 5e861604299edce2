"""Planar and radial flows: one direction, or one point, along which space is stretched.

**Planar**, with vectors u, w and a number b,

    z = x + u tanh(w.x + b),        log |det dz/dx| = log(1 + u.w (1 - tanh^2(w.x + b)))

which is invertible if u.w > -1. From free v, with a = w.v and m(a) = -1 + e + softplus(a + c) > -1 + e, where c makes
m(0) = 0,

    u = v + (m(a) - a) w / |w|^2,   so that u.w = m(a).

The paper has m(a) = -1 + softplus(a), for which v = 0 is not the identity and w = 0 not allowed; here m(a) - a vanishes
with a, and e = 0.01 keeps the slope of the way back below 100. The inverse solves y + u.w tanh(y + b) = w.z for
y = w.x, a monotone equation whose root is within |u.w| of w.z: by bisection, and one step of Newton's, whose
derivatives are those of the root; then x = z - u tanh(y + b).

**Radial**, with a point x_0, numbers alpha > 0 and beta > -alpha, r = |x - x_0|, h = 1 / (alpha + r),

    z = x + beta h (x - x_0),       log |det dz/dx| = (D - 1) log(1 + beta h) + log(1 + alpha beta h^2)

with beta = -alpha + e + softplus(raw + c) likewise, in units of alpha. With R = |z - x_0| = r (1 + beta h) the inverse
is the positive root of r^2 + (alpha + beta - R) r - alpha R = 0, written without cancellation, and
x = x_0 + (z - x_0) / (1 + beta h).

The parameters are weights, or a network of the condition gives them, one set an example: the flow of an amortised
posterior.

Reference:
    D. Rezende, S. Mohamed, "Variational inference with normalizing flows", arXiv:1505.05770 (2015), equations 10 to 14
    and appendix A.
"""

import math

import keras
from keras import ops

from keras_gen.layers.invertible.base import Bijection
from keras_gen.layers.invertible.conditioner import Conditioner, get_network, serialize_network

MARGIN = 0.01
SHIFT = math.log(math.expm1(1.0 - MARGIN))  # softplus(SHIFT) = 1 - MARGIN
BISECTIONS = 30


def above_minus_one(a):
    """m(a) > -1 + MARGIN, increasing, with m(0) = 0."""
    return -1.0 + MARGIN + ops.softplus(a + SHIFT)


class _Amortised(Bijection):
    """Base of the two: `size` raw parameters, weights or given by a network of the condition."""

    def __init__(self, conditioner=None, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.network, self.activation = conditioner, keras.activations.get(activation)
        self.takes_condition = conditioner is not None

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape, "all")
        if len(x_shape) != 2:
            raise ValueError(f"{type(self).__name__} expects vectors (batch, D), flat. Received: {tuple(x_shape)}.")
        size = self._size(x_shape[-1])
        start = keras.initializers.RandomNormal(stddev=0.1)
        self.raw = self.real_weight((1, size), start, "raw")
        if self.takes_condition:
            own = (1, size, self.dtype_policy, self.real_dtype)
            self.conditioner = Conditioner(self.network, self.activation, *own)
            self.conditioner.build((None, math.prod(condition_shape[1:])))

    def _size(self, n):
        raise NotImplementedError

    def _raw(self, condition, training=False):
        """`(batch or 1, size)`: weights, to which a network of the condition adds."""
        raw = ops.convert_to_tensor(self.raw)
        if condition is None:
            return raw
        flat = ops.reshape(condition, (-1, math.prod(condition.shape[1:])))
        return raw + self.conditioner(flat, training=training)[:, 0]

    def get_config(self):
        return {
            **super().get_config(),
            "conditioner": serialize_network(self.network),
            "activation": keras.activations.serialize(self.activation),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "conditioner": get_network(config["conditioner"])})


@keras.saving.register_keras_serializable(package="keras_gen")
class Planar(_Amortised):
    """z = x + u tanh(w.x + b), invertible for all parameters.

    Args:
        conditioner: None (default): v, w, b are weights. Else the map takes a condition, and a Keras layer from the
            flattened condition to features, or a dense network of these hidden sizes, adds to them.
        activation: of the dense network, default "relu".
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: events that are no vectors.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Planar
        >>> planar, x = Planar(), ops.ones((5, 3))
        >>> bool(ops.max(ops.abs(planar.inverse(planar(x)) - x)) < 1e-5)
        True

    Reference:
        Rezende, Mohamed 2015, arXiv:1505.05770, equations 10 to 12, appendix A.1.
    """

    def _size(self, n):
        return 2 * n + 1

    def _read(self, condition, training=False):
        """u, w `(batch or 1, D)`, b and u.w `(batch or 1, 1)`."""
        raw, n = self._raw(condition, training), self.event_shape[0]
        v, w, b = raw[:, :n], raw[:, n : 2 * n], raw[:, 2 * n :]
        a, square = _dot(w, v), ops.maximum(_dot(w, w), 1e-12)
        m = above_minus_one(a)
        return v + (m - a) * w / square, w, b, m

    def _forward(self, x, condition, training):
        u, w, b, m = self._read(condition, training)
        h = ops.tanh(_dot(w, x) + b)
        return x + u * h, ops.log(1.0 + m * (1.0 - h * h))[:, 0]

    def _inverse(self, z, condition, training):
        u, w, b, m = self._read(condition, training)
        h = ops.tanh(_root(_dot(w, z), m, b) + b)
        return z - u * h, -ops.log(1.0 + m * (1.0 - h * h))[:, 0]


def _root(target, m, b):
    """y with y + m tanh(y + b) = target, m > -1."""
    width = ops.abs(m) + ops.zeros_like(target)
    low, high = target - width, target + width

    def halve(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        below = middle + m * ops.tanh(middle + b) < target
        return ops.where(below, middle, low), ops.where(below, high, middle)

    low, high = ops.fori_loop(0, BISECTIONS, halve, (ops.stop_gradient(low), ops.stop_gradient(high)))
    y = ops.stop_gradient(0.5 * (low + high))
    h = ops.tanh(y + b)
    return y - (y + m * h - target) / ops.stop_gradient(1.0 + m * (1.0 - h * h))


@keras.saving.register_keras_serializable(package="keras_gen")
class Radial(_Amortised):
    """z = x + beta (x - x_0) / (alpha + |x - x_0|), invertible for all parameters.

    Args:
        conditioner, activation: as of `Planar`; the parameters are x_0, log alpha and that of beta.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: events that are no vectors.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Radial
        >>> radial, x = Radial(), ops.ones((5, 3))
        >>> bool(ops.max(ops.abs(radial.inverse(radial(x)) - x)) < 1e-5)
        True

    Reference:
        Rezende, Mohamed 2015, arXiv:1505.05770, equations 13, 14, appendix A.2.
    """

    def _size(self, n):
        return n + 2

    def _read(self, condition, training=False):
        raw, n = self._raw(condition, training), self.event_shape[0]
        alpha = ops.exp(3.0 * ops.tanh(raw[:, n : n + 1] / 3.0))
        return raw[:, :n], alpha, alpha * above_minus_one(raw[:, n + 1 :])

    def _log_det(self, alpha, beta, h):
        n = self.event_shape[0]
        return ((n - 1) * ops.log1p(beta * h) + ops.log1p(alpha * beta * h * h))[:, 0]

    def _forward(self, x, condition, training):
        center, alpha, beta = self._read(condition, training)
        h = 1.0 / (alpha + _norm(x - center))
        return x + beta * h * (x - center), self._log_det(alpha, beta, h)

    def _inverse(self, z, condition, training):
        center, alpha, beta = self._read(condition, training)
        big = _norm(z - center)
        p = 0.5 * (alpha + beta - big)
        root = ops.sqrt(p * p + alpha * big)
        negative = p < 0
        r = ops.where(negative, root - p, alpha * big / ops.where(negative, ops.ones_like(p), root + p))
        h = 1.0 / (alpha + r)
        return center + (z - center) / (1.0 + beta * h), -self._log_det(alpha, beta, h)


def _dot(a, b):
    return ops.sum(a * b, axis=-1, keepdims=True)


def _norm(x):
    """|x|, with a gradient at 0."""
    return ops.sqrt(_dot(x, x) + 1e-24)
