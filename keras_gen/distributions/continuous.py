"""Location-scale families on the real line, and the uniform.

With a location `loc`, a `scale` and a standard density f of z,

    x = loc + scale * z,    log p(x) = log f(z) - log scale,    H[x] = H[z] + log scale,

and the families differ in f alone:

    Normal      log f = -z^2 / 2 - log(2 pi) / 2                             H = log(2 pi e) / 2
    Laplace     log f = -|z| - log 2                                         H = 1 + log 2
    Logistic    log f = -softplus(z) - softplus(-z)                          H = 2
    Gumbel      log f = -z - exp(-z)                                         H = 1 + gamma

A temperature T replaces `scale` by `T scale` in sampling, so that T = 0 gives the location.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import random
from keras_gen.distributions.base import Distribution
from keras_gen.distributions.shapes import softplus

EULER_GAMMA = 0.5772156649015329


class LocationScale(Distribution):
    """Abstract `x = loc + scale * z` with a standard density of z.

    Args:
        loc: tensor broadcasting against `(batch, *event_shape)`, the location. Default 0.
        scale: the same, > 0. Default 1.
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: see `Distribution`.
    """

    positive = ("scale",)
    location_name = "loc"

    def __init__(self, loc=0.0, scale=1.0, event_shape=None):
        super().__init__(event_shape, loc=loc, scale=scale)

    @property
    def loc(self):
        """The location, as given."""
        return self.parameters[self.location_name]

    @property
    def scale(self):
        """The scale, as given."""
        return self.parameters["scale"]

    def _standard_log_density(self, z):
        raise NotImplementedError("A location-scale family defines `_standard_log_density`.")

    def _standard_noise(self, keys):
        raise NotImplementedError("A location-scale family defines `_standard_noise`.")

    def _log_density(self, x):
        z = (x - self.loc) / self.scale
        return self._standard_log_density(z) - ops.log(self.scale)

    def _generate(self, keys, temperature):
        noise = ops.cast(self._standard_noise(keys), self.dtype)
        return self.loc + self.scale * (temperature * noise)

    def mean(self):
        """The location, which is the mean."""
        return self.fill(self.loc)

    def mode(self):
        """The location, which is the mode."""
        return self.fill(self.loc)


@keras.saving.register_keras_serializable(package="keras_gen")
class Normal(LocationScale):
    """Normal distribution with a diagonal covariance.

    `log p(x) = sum_i [-(x_i - mean_i)^2 / (2 scale_i^2) - log scale_i - log(2 pi) / 2]`.

    Args:
        mean: tensor broadcasting against `(batch, *event_shape)`. Default 0.
        scale: standard deviation, > 0, broadcasting likewise. Default 1.
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: see `Distribution`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import Normal
    >>> p = Normal(ops.zeros((3, 2)), 1.0)
    >>> log_p = p.log_density(ops.zeros((3, 2)))
    >>> tuple(log_p.shape), round(float(log_p[0]), 4)
    ((3,), -1.8379)
    """

    location_name = "mean"

    def __init__(self, mean=0.0, scale=1.0, event_shape=None):
        Distribution.__init__(self, event_shape, mean=mean, scale=scale)

    def _standard_log_density(self, z):
        return -0.5 * z * z - 0.5 * math.log(2 * math.pi)

    def _standard_noise(self, keys):
        return random.normal(keys, self.event_shape)

    def _entropy(self):
        return ops.log(self.scale) + 0.5 * math.log(2 * math.pi * math.e)


@keras.saving.register_keras_serializable(package="keras_gen")
class Laplace(LocationScale):
    """Laplace distribution, `log p(x) = sum_i [-|x_i - loc_i| / scale_i - log(2 scale_i)]`.

    A draw is the difference of two standard exponentials, scaled.

    Args:
        loc: tensor broadcasting against `(batch, *event_shape)`: mean, median and mode. Default 0.
        scale: mean absolute deviation, > 0. Default 1.
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: see `Distribution`.

    Example:
    >>> from keras_gen.distributions import Laplace
    >>> round(float(Laplace(0.0, 0.5).log_density([0.0])[0]), 4)
    0.0
    """

    def _standard_log_density(self, z):
        return -ops.abs(z) - math.log(2.0)

    def _standard_noise(self, keys):
        e = random.exponential(keys, (2, *self.event_shape))
        return e[:, 0] - e[:, 1]

    def _entropy(self):
        return ops.log(self.scale) + 1.0 + math.log(2.0)


@keras.saving.register_keras_serializable(package="keras_gen")
class Logistic(LocationScale):
    """Logistic distribution, whose distribution function is `sigmoid((x - loc) / scale)`.

    `log p(x) = sum_i [-softplus(z_i) - softplus(-z_i) - log scale_i]`, `z = (x - loc) / scale`. A draw is
    the logarithm of the ratio of two standard exponentials.

    Args:
        loc: tensor broadcasting against `(batch, *event_shape)`: mean, median and mode. Default 0.
        scale: > 0; the standard deviation is `pi / sqrt(3)` of it. Default 1.
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: see `Distribution`.

    Example:
    >>> from keras_gen.distributions import Logistic
    >>> round(float(Logistic(0.0, 0.25).log_density([0.0])[0]), 4)
    0.0
    """

    def _standard_log_density(self, z):
        return -softplus(z) - softplus(-z)

    def _standard_noise(self, keys):
        return logistic_noise(keys, self.event_shape)

    def _entropy(self):
        return ops.log(self.scale) + 2.0


@keras.saving.register_keras_serializable(package="keras_gen")
class Gumbel(LocationScale):
    """Gumbel distribution of maxima, whose distribution function is `exp(-exp(-z))`.

    `log p(x) = sum_i [-z_i - exp(-z_i) - log scale_i]`, `z = (x - loc) / scale`.

    Args:
        loc: tensor broadcasting against `(batch, *event_shape)`, the mode. Default 0.
        scale: > 0. Default 1.
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: see `Distribution`.

    Example:
    >>> from keras_gen.distributions import Gumbel
    >>> round(float(Gumbel(0.0, 1.0).mean()), 4)
    0.5772
    """

    def _standard_log_density(self, z):
        return -z - ops.exp(-z)

    def _standard_noise(self, keys):
        return random.gumbel(keys, self.event_shape)

    def _entropy(self):
        return ops.log(self.scale) + 1.0 + EULER_GAMMA

    def mean(self):
        """`loc + gamma scale` with Euler's constant gamma = 0.5772..."""
        return self.fill(self.loc + EULER_GAMMA * self.scale)


@keras.saving.register_keras_serializable(package="keras_gen")
class Uniform(Distribution):
    """Uniform distribution on the box `[low, high]`, `log p(x) = -sum_i log(high_i - low_i)` within.

    A temperature T draws the fraction min(T, 1) of the box about its centre: no draw leaves the support.

    Args:
        low: tensor broadcasting against `(batch, *event_shape)`. Default 0.
        high: the same, > low. Default 1.
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: where numbers or arrays have `high <= low`; see also `Distribution`.

    Example:
    >>> from keras_gen.distributions import Uniform
    >>> round(float(Uniform(0.0, 2.0).log_density([0.5])[0]), 4)
    -0.6931
    """

    def __init__(self, low=0.0, high=1.0, event_shape=None):
        if not any(hasattr(bound, "dtype") and not isinstance(bound, np.ndarray) for bound in (low, high)):
            if not np.all(np.asarray(low) < np.asarray(high)):
                raise ValueError(f"Uniform expects low < high. Received: low={low}, high={high}.")
        super().__init__(event_shape, low=low, high=high)

    @property
    def low(self):
        """The lower bound, as given."""
        return self.parameters["low"]

    @property
    def high(self):
        """The upper bound, as given."""
        return self.parameters["high"]

    @property
    def support(self):
        """The box in words."""
        return "the box from `low` to `high`"

    def _log_density(self, x):
        inside = ops.logical_and(x >= self.low, x <= self.high)
        return ops.where(inside, -ops.log(self.high - self.low), -float("inf"))

    def _generate(self, keys, temperature):
        u = ops.cast(random.uniform(keys, self.event_shape), self.dtype)
        width = self.high - self.low
        return self.low + width * (0.5 + ops.minimum(temperature, 1.0) * (u - 0.5))

    def _entropy(self):
        return ops.log(self.high - self.low)

    def mean(self):
        """The centre of the box."""
        return self.fill(0.5 * (self.low + self.high))

    def _inside(self, x):
        low, high = ops.convert_to_numpy(self.low), ops.convert_to_numpy(self.high)
        return (x >= low) & (x <= high)


def logistic_noise(keys, shape):
    """Standard logistic noise `(n, *shape)`: log of the ratio of two standard exponentials."""
    e = random.exponential(keys, (2, *shape))
    return ops.log(e[:, 0]) - ops.log(e[:, 1])
