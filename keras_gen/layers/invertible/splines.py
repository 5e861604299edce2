"""Monotone rational-quadratic splines, with linear tails.

On [-B, B] the spline goes through K + 1 knots (x_k, z_k), k = 0, ..., K, with derivatives d_k > 0 at them; outside it
is the identity, and d_0 = d_K = 1 make the two meet smoothly. From raw parameters (u, v, w) of K, K and K - 1 numbers,

    widths    p = p_min + (1 - K p_min) softmax(u),     x_k = -B + 2 B sum_(j <= k) p_j,      heights likewise of v
    slopes    d = d_min + softplus(w + c),              c such that w = 0 gives d = 1

so that raw parameters of 0 are the identity. In bin k, of width W, height H and mean slope s = H / W, with
e = (x - x_k) / W in [0, 1],

    z = z_k + H [s e^2 + d_k e (1 - e)] / D,            D = s + (d_k + d_(k+1) - 2 s) e (1 - e)             (eq. 4)
    dz/dx = s^2 [d_(k+1) e^2 + 2 s e (1 - e) + d_k (1 - e)^2] / D^2                                         (eq. 5)

The inverse solves a e^2 + b e + c = 0 by the root that has no cancellation, e = 2 c / (-b - sqrt(b^2 - 4 a c)), with
y = z - z_k, g = d_k + d_(k+1) - 2 s,

    a = H (s - d_k) + y g,      b = H d_k - y g,      c = -s y                                        (eqs. 6 to 8)

Outside of [-B, B] the number is moved into it before the spline is computed, and the identity chosen afterwards: a
gradient there is that of the identity, never 0 times infinity. The discriminant is kept above 0, against rounding.

Reference:
    C. Durkan, A. Bekasov, I. Murray, G. Papamakarios, "Neural spline flows", arXiv:1906.04032 (2019), equations 4 to 8;
    J. Gregory, R. Delbourgo, IMA Journal of Numerical Analysis 2 (1982).
"""

import math

import keras
from keras import ops

from keras_gen.layers.invertible.numbers import positive
from keras_gen.layers.invertible.transforms import Transform
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class SplineTransform(Transform):
    """Rational-quadratic spline on [-B, B], the identity outside.

    Args:
        bins: K, default 8, as in the paper's tables.
        bound: B, a number above 0, default 3, as there: data should be of about unit scale.
        min_bin: p_min, the least share of a width or height, default 1e-3, as there; K p_min is below 1.
        min_slope: d_min, default 1e-3, as there.

    Raises:
        ValueError: numbers out of their range.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import SplineTransform
        >>> spline = SplineTransform(bins=4)
        >>> x = ops.convert_to_tensor([-5.0, 0.5, 5.0])
        >>> z, l = spline.forward(x, ops.ones((3, spline.size)))
        >>> [float(v) for v in z[::2]], spline.size
        ([-5.0, 5.0], 11)

    Reference:
        Durkan et al. 2019, arXiv:1906.04032, equations 4 to 8.
    """

    def __init__(self, bins=8, bound=3.0, min_bin=1e-3, min_slope=1e-3):
        self.bins, self.bound = positive_int(bins, "bins"), positive(bound, "bound")
        self.min_bin, self.min_slope = positive(min_bin, "min_bin"), positive(min_slope, "min_slope")
        if self.min_bin * self.bins >= 1 or self.min_slope >= 1:
            raise ValueError(
                f"Expected bins * min_bin < 1 and min_slope < 1. Received: bins={bins}, min_bin={min_bin}, "
                f"min_slope={min_slope}."
            )
        self.size = 3 * self.bins - 1
        self._shift = math.log(math.expm1(1.0 - self.min_slope))  # softplus(c) = 1 - d_min

    def forward(self, x, raw):
        inside, clipped = self._inside(x)
        knots, sizes, slopes = self._parameters(raw)
        k = _bin(clipped, knots[0])
        x_k, z_k, width, height, low, high = _at(k, knots, sizes, slopes)
        e = (clipped - x_k) / width
        s, r = height / width, e * (1.0 - e)
        d = s + (low + high - 2.0 * s) * r
        z = z_k + height * (s * e * e + low * r) / d
        return self._choose(inside, x, z, self._log_slope(e, r, s, d, low, high))

    def inverse(self, z, raw):
        inside, clipped = self._inside(z)
        knots, sizes, slopes = self._parameters(raw)
        k = _bin(clipped, knots[1])
        x_k, z_k, width, height, low, high = _at(k, knots, sizes, slopes)
        s, y = height / width, clipped - z_k
        g = y * (low + high - 2.0 * s)
        a, b, c = height * (s - low) + g, height * low - g, -s * y
        e = 2.0 * c / (-b - ops.sqrt(ops.maximum(b * b - 4.0 * a * c, _TINY)))
        r = e * (1.0 - e)
        d = s + (low + high - 2.0 * s) * r
        return self._choose(inside, z, x_k + e * width, -self._log_slope(e, r, s, d, low, high))

    def _log_slope(self, e, r, s, d, low, high):
        f = 1.0 - e
        return 2.0 * ops.log(s / d) + ops.log(high * e * e + 2.0 * s * r + low * f * f)

    def _inside(self, x):
        inside = ops.logical_and(x > -self.bound, x < self.bound)
        return inside, ops.where(inside, x, ops.zeros_like(x))

    def _choose(self, inside, x, z, log_slope):
        return ops.where(inside, z, x), ops.where(inside, log_slope, ops.zeros_like(log_slope))

    def _parameters(self, raw):
        """Knots `(x, z)` and sizes `(W, H)` of the bins, pairs of `(..., K)`, the knots at their left; slopes."""
        bins = self.bins
        sizes = [self._shares(raw[..., i * bins : (i + 1) * bins]) for i in (0, 1)]
        knots = [_left(size) - self.bound for size in sizes]
        slopes = self.min_slope + ops.softplus(raw[..., 2 * bins :] + self._shift)
        return knots, sizes, slopes

    def _shares(self, raw):
        share = self.min_bin + (1.0 - self.bins * self.min_bin) * ops.softmax(raw, axis=-1)
        return 2.0 * self.bound * share

    def get_config(self):
        return {"bins": self.bins, "bound": self.bound, "min_bin": self.min_bin, "min_slope": self.min_slope}


_TINY = 1e-30  # under the root: a gradient at 0 would be infinite


def _left(sizes):
    """Sums of the sizes before each bin."""
    return ops.cumsum(sizes, axis=-1) - sizes


def _bin(x, knots):
    """One-hot `(..., K)` of the bin in which x lies."""
    beyond = ops.cast(ops.expand_dims(x, -1) >= knots[..., 1:], x.dtype)
    one = ops.ones_like(beyond[..., :1])
    return ops.concatenate([one, beyond], axis=-1) - ops.concatenate([beyond, 0.0 * one], axis=-1)


def _at(k, knots, sizes, slopes):
    """Of the bin k: x_k, z_k, W, H, d_k, d_(k+1)."""
    one = ops.ones_like(slopes[..., :1])
    low, high = ops.concatenate([one, slopes], axis=-1), ops.concatenate([slopes, one], axis=-1)
    return [ops.sum(k * value, axis=-1) for value in (*knots, *sizes, low, high)]
