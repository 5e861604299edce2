"""Student's t distribution, a location-scale family with heavy tails.

With `x = loc + scale * z`, df degrees of freedom and G the gamma function, the standard density is

    log f(z) = log G((df + 1) / 2) - log G(df / 2) - log(df pi) / 2 - (df + 1) / 2 log(1 + z^2 / df)

For U, V uniform on the unit interval, `z = sqrt(df (U^(-2 / df) - 1)) cos(2 pi V)` has that density. With
E = -log U, a standard exponential, and a = E / df the radius is

    sqrt(df (exp(2 a) - 1)) = sqrt(df) exp(a) sqrt(1 - exp(-2 a))

which keeps its precision at large df and does not overflow before z itself does.
"""

import math

import keras
from keras import ops

from keras_gen import random
from keras_gen.distributions.base import Distribution
from keras_gen.distributions.continuous import LocationScale


@keras.saving.register_keras_serializable(package="keras_gen")
class StudentT(LocationScale):
    """Student's t distribution with `df` degrees of freedom.

    `log p(x) = sum_i [log G((df + 1) / 2) - log G(df / 2) - log(pi df) / 2 - log scale
    - (df + 1) / 2 log(1 + z^2 / df)]`. A draw is exact, without rejection, and differentiable in all
    parameters: with E standard exponential and V uniform, `z = sqrt(df expm1(2 E / df)) cos(2 pi V)`.

    Args:
        df: degrees of freedom, > 0, broadcasting against `(batch, *event_shape)`.
        loc: location, broadcasting likewise; the mean where df > 1. Default 0.
        scale: > 0. Default 1.
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: see `Distribution`.

    Example:
    >>> from keras_gen.distributions import StudentT
    >>> round(float(StudentT(1.0).log_density([0.0])[0]), 4)  # Cauchy: 1 / pi
    -1.1447

    Reference:
        Bailey (1994), "Polar generation of random variates with the t-distribution", Mathematics of
        Computation 62(206), in its form without rejection.
    """

    positive = ("df", "scale")

    def __init__(self, df, loc=0.0, scale=1.0, event_shape=None):
        Distribution.__init__(self, event_shape, df=df, loc=loc, scale=scale)

    @property
    def df(self):
        """Degrees of freedom, as given."""
        return self.parameters["df"]

    def _standard_log_density(self, z):
        df = self.df
        constant = log_gamma_half_step(df / 2) - 0.5 * ops.log(df * math.pi)
        return constant - 0.5 * (df + 1) * _log1p_square(z / ops.sqrt(df))

    def _standard_noise(self, keys):
        e = random.exponential(random.fold_in(keys, 0), self.event_shape)
        v = random.uniform(random.fold_in(keys, 1), self.event_shape)
        a = ops.cast(e, self.dtype) / self.df
        radius = ops.sqrt(self.df) * ops.exp(a) * ops.sqrt(-ops.expm1(-2 * a))  # exp(2 a) may overflow
        return radius * ops.cos(2 * math.pi * ops.cast(v, self.dtype))


def log_gamma_half_step(a):
    """`log G(a + 1/2) - log G(a)` for a > 0, without cancellation at large a.

    Four steps of the recurrence `G(a + 1) = a G(a)`, then the asymptotic series in 1 / a (next term
    below 1e-8).
    """
    steps = sum(ops.log1p(-0.5 / (a + i + 0.5)) for i in range(4))
    b = a + 4.0
    r = 1 / (b * b)
    series = (-1 / 8 + r * (1 / 192 + r * (-1 / 640 + r * (17 / 14336)))) / b
    return steps + 0.5 * ops.log(b) + series


def _log1p_square(y):
    """`log(1 + y^2)`, whose square does not overflow."""
    y = ops.abs(y)
    small = ops.where(y < 1, y, 0.0)
    large = ops.where(y < 1, 1.0, y)
    return ops.where(y < 1, ops.log1p(small * small), 2 * ops.log(large) + ops.log1p(1 / large / large))
