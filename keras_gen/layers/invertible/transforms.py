"""Monotone maps of single numbers whose parameters a network gives: what couplings and autoregressive maps are made of.

A transform takes numbers x of any shape and raw parameters of that shape and one axis more, of `size` numbers; it gives
z = T(x) and l = log dT/dx, both of the shape of x, and the inverse with its own logarithm, -l at that x. Any raw
parameters are allowed, and raw parameters of 0 give the identity, so that a network that begins near 0 begins there.

**Affine**       z = x exp(s) + t,   l = s,   s = b tanh(a / b), raw parameters (a, t): s lies in [-b, b].
**Additive**     z = x + t,          l = 0.
**Rational-quadratic spline**, see `splines`.

Unbounded, exp(a) overflows in the first steps of deep flows: b bounds the log-scale, so that one map stretches by
exp(b) at most.

Reference:
    L. Dinh et al., "Density estimation using Real NVP", arXiv:1605.08803 (2017), equations 7 and 8; the additive one:
    arXiv:1410.8516 (2015), section 3.2.
"""

import keras
from keras import ops

from keras_gen.layers.invertible.numbers import positive


class Transform:
    """A monotone map z = T(x; raw) of numbers. Abstract: `size`, `forward` and `inverse`."""

    size = None
    """Raw parameters a number has."""

    def forward(self, x, raw):
        """z and log dz/dx, of the shape of x; `raw` is `(*x.shape, size)`."""
        raise NotImplementedError

    def inverse(self, z, raw):
        """x and log dx/dz."""
        raise NotImplementedError

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_gen")
class AffineTransform(Transform):
    """z = x exp(s) + t with s = b tanh(a / b), raw parameters (a, t).

    Args:
        log_scale_bound: b, a number above 0, or None for s = a without a bound. Default 3: a factor of 20 either
            way, on data of unit scale.

    Raises:
        ValueError: a bound that is not above 0.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import AffineTransform
        >>> z, l = AffineTransform(2.0).forward(ops.ones((4, 3)), 100.0 * ops.ones((4, 3, 2)))
        >>> round(float(l[0, 0]), 4)
        2.0

    Reference:
        Dinh et al. 2017, arXiv:1605.08803, equation 7; it bounds s by a tanh and a learned scale.
    """

    size = 2

    def __init__(self, log_scale_bound=3.0):
        self.log_scale_bound = None if log_scale_bound is None else positive(log_scale_bound, "log_scale_bound")

    def _parameters(self, raw):
        a, t = raw[..., 0], raw[..., 1]
        b = self.log_scale_bound
        return a if b is None else b * ops.tanh(a / b), t

    def forward(self, x, raw):
        s, t = self._parameters(raw)
        return x * ops.exp(s) + t, s

    def inverse(self, z, raw):
        s, t = self._parameters(raw)
        return (z - t) * ops.exp(-s), -s

    def get_config(self):
        return {"log_scale_bound": self.log_scale_bound}


@keras.saving.register_keras_serializable(package="keras_gen")
class AdditiveTransform(Transform):
    """z = x + t, raw parameter t: volume is kept.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import AdditiveTransform
        >>> z, l = AdditiveTransform().forward(ops.ones((4, 3)), ops.ones((4, 3, 1)))
        >>> float(z[0, 0]), float(l[0, 0])
        (2.0, 0.0)

    Reference:
        Dinh et al. 2015, arXiv:1410.8516, section 3.2.
    """

    size = 1

    def forward(self, x, raw):
        return x + raw[..., 0], ops.zeros_like(x)

    def inverse(self, z, raw):
        return z - raw[..., 0], ops.zeros_like(z)
