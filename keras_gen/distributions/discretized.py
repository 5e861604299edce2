"""The logistic distribution on a grid, and its mixture, stable to 16 bits and beyond.

The support is `bins` equally spaced values from `low` to `high`, delta apart. In grid units k = (x - low) /
delta is an integer, m = (mean - low) / delta the location and w = delta / scale the width of a bin over the
scale. A bin holds the logistic mass between its edges, and the two outer bins the tails as well:

    P(k) = sigmoid(b) - sigmoid(a),    a = (k - 1/2 - m) w,    b = (k + 1/2 - m) w = a + w
    P(0) = sigmoid(b),                 P(bins - 1) = 1 - sigmoid(a) = sigmoid(-a)

The difference of two sigmoids is computed as a product, for which nothing cancels:

    sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(-w))
    log P(k) = -softplus(-b) - softplus(a) + log(1 - exp(-w))

with log(1 - exp(-w)) = log w - w / 2 + w^2 / 24 for small w. Every term and its gradient stay finite for any
mean. PixelCNN++ subtracts the sigmoids and falls back on the density times delta where the difference is
below 1e-5; the product needs no such case.
"""

import keras
import numpy as np
from keras import ops

from keras_gen import random
from keras_gen.distributions.base import Distribution
from keras_gen.distributions.continuous import logistic_noise
from keras_gen.distributions.shapes import softplus

WIDEST = 40.0  # log w is held to |log w| <= 40 or 80: a bin of e^40 scales is a point mass
FARTHEST = 1e30  # edges are held within it, or an infinite one would meet a zero gradient


class _Grid(Distribution):
    """What the two distributions share: the grid, and masses of its bins."""

    def _set_grid(self, low, high, bins):
        if not low < high:
            raise ValueError(f"{type(self).__name__} expects low < high. Received: low={low}, high={high}.")
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
            raise ValueError(f"{type(self).__name__} expects an integer bins >= 2. Received: {bins!r}.")
        self.low, self.high, self.bins = float(low), float(high), bins
        self.delta = (self.high - self.low) / (bins - 1)
        self.rate = (bins - 1) / (self.high - self.low)  # 1 / delta, exact in float32 for the usual grids

    @property
    def support(self):
        """The grid in words."""
        return f"{self.bins} values from {self.low} to {self.high} (the nearest one is taken)"

    def get_config(self):
        """Parameters, event shape and grid."""
        return {**super().get_config(), "low": self.low, "high": self.high, "bins": self.bins}

    def _inside(self, x):
        half = 0.5 * self.delta
        return (x >= self.low - half) & (x <= self.high + half)

    def _to_index(self, x):
        """The bin of x, a float."""
        return ops.clip(ops.round((x - self.low) * self.rate), 0.0, self.bins - 1.0)

    def _to_value(self, k):
        return self.low + self.delta * k

    def _units(self, mean, log_scale):
        """m and log w."""
        log_width = float(np.log(self.delta)) - log_scale
        return (mean - self.low) * self.rate, ops.clip(log_width, -2 * WIDEST, WIDEST)

    def _log_mass(self, x, mean, log_scale):
        """`log P(x)`, elementwise."""
        k = self._to_index(x)
        m, log_w = self._units(mean, log_scale)
        w = ops.exp(log_w)
        a = ops.clip((k - 0.5 - m) * w, -FARTHEST, FARTHEST)
        b = ops.clip((k + 0.5 - m) * w, -FARTHEST, FARTHEST)
        first, last = k < 0.5, k > self.bins - 1.5
        below = ops.where(first, 0.0, -softplus(a))  # log sigmoid(-a)
        above = ops.where(last, 0.0, -softplus(-b))  # log sigmoid(b)
        return below + above + ops.where(ops.logical_or(first, last), 0.0, log1mexp(log_w))

    def _draw(self, noise, mean, log_scale):
        """The grid value nearest to `mean + scale * noise`."""
        m, log_w = self._units(mean, log_scale)
        k = ops.round(m + ops.exp(-log_w) * noise)
        return self._to_value(ops.clip(k, 0.0, self.bins - 1.0))

    def _expected(self, mean, log_scale):
        """Mean of the logistic clipped to [low, high].

        In grid units `(softplus(u) - softplus(v)) / w` with `u = m w`, `v = u - c`, `c = (bins - 1) w`; for
        c < 1 the difference is `log1p(sigmoid(v) expm1(c))`.
        """
        m, log_w = self._units(mean, log_scale)
        w = ops.exp(log_w)
        c = (self.bins - 1) * w
        u, v = m * w, (m - (self.bins - 1)) * w
        near = ops.log1p(ops.sigmoid(v) * ops.expm1(ops.where(c < 1, c, 1.0)))
        return self._to_value(ops.where(c < 1, near, softplus(u) - softplus(v)) / w)


@keras.saving.register_keras_serializable(package="keras_gen")
class DiscretizedLogistic(_Grid):
    """Logistic distribution rounded to a grid of `bins` values, the tails in the outer bins.

    `P(x) = sigmoid((x + delta/2 - mean) / scale) - sigmoid((x - delta/2 - mean) / scale)`, delta the
    spacing of the grid. The data are scored at the nearest grid value, with gradients in the parameters only.

    Args:
        mean: tensor broadcasting against `(batch, *event_shape)`, the location, in the units of x.
        log_scale: the same, the logarithm of the logistic scale, in the units of x.
        low: float, the least value. Default 0.
        high: float, the greatest value. Default 1.
        bins: int >= 2, number of values from low to high inclusive. Default 256 (8 bits; 65536 for 16).
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: where `low >= high` or `bins < 2`; see also `Distribution`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import DiscretizedLogistic
    >>> p = DiscretizedLogistic(ops.zeros((256,)), -3.0, event_shape=())
    >>> x = ops.arange(256, dtype="float32") / 255
    >>> round(float(ops.sum(ops.exp(p.log_density(x)))), 4)
    1.0

    Reference:
        Salimans, Karpathy, Chen, Kingma (2017), arXiv:1701.05517, equation 2 (one component).
    """

    reparameterized = False

    def __init__(self, mean, log_scale, low=0.0, high=1.0, bins=256, event_shape=None):
        self._set_grid(low, high, bins)
        super().__init__(event_shape, mean=mean, log_scale=log_scale)

    @property
    def loc(self):
        """The location of the logistic before rounding, as given."""
        return self.parameters["mean"]

    @property
    def log_scale(self):
        """The logarithm of the logistic scale, as given."""
        return self.parameters["log_scale"]

    def _log_density(self, x):
        return self._log_mass(x, self.loc, self.log_scale)

    def _generate(self, keys, temperature):
        noise = ops.cast(logistic_noise(keys, self.event_shape), self.dtype)
        return self._draw(temperature * noise, self.loc, self.log_scale)

    def mean(self):
        """The mean of the logistic clipped to [low, high]: that of x to within half a bin."""
        return self.fill(self._expected(self.loc, self.log_scale))

    def mode(self):
        """The most probable value: the one nearest to the location, or an end of the grid."""
        nearest = self._to_value(self._to_index(self.loc))
        best, score = nearest, self._log_density(nearest)
        for end in (self.low, self.high):
            other = self._log_density(ops.full_like(nearest, end))
            best, score = ops.where(other > score, end, best), ops.maximum(other, score)
        return self.fill(best)


@keras.saving.register_keras_serializable(package="keras_gen")
class DiscretizedLogisticMixture(_Grid):
    """Mixture of discretised logistics at each site, its channels sharing the component.

    `log p(x) = sum over sites of log sum_j pi_j prod_c P(x_c; mean_cj, scale_cj)`. With `coefficients`
    (a, b, c) for three channels, the green location is `mean_1 + a x_0` and the blue one
    `mean_2 + b x_0 + c x_1`, x in data units.

    Args:
        logits: tensor `(batch, *sites, components)`, mixture logits.
        mean: tensor `(batch, *sites, channels, components)`, locations in the units of x.
        log_scale: tensor of that shape, log scales in the units of x. The paper holds them above -7.
        coefficients: tensor `(batch, *sites, 3, components)`, or `None` (default) for channels that are
            independent given the component. The paper bounds them by tanh.
        low: float, the least value. Default 0. The paper has -1.
        high: float, the greatest value. Default 1.
        bins: int >= 2, number of values. Default 256.
        event_shape: tuple `(*sites, channels)`; default `None`, `mean.shape[1:-1]`.

    Raises:
        ValueError: where `coefficients` meet other than 3 channels; see also `DiscretizedLogistic`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import DiscretizedLogisticMixture
    >>> mean = ops.zeros((2, 4, 4, 3, 10))
    >>> p = DiscretizedLogisticMixture(ops.zeros((2, 4, 4, 10)), mean, mean - 3.0)
    >>> p.event_shape, tuple(p.log_density(ops.zeros((2, 4, 4, 3))).shape)
    ((4, 4, 3), (2,))

    Reference:
        Salimans, Karpathy, Chen, Kingma (2017), arXiv:1701.05517, equations 1 to 3. We draw a channel on
        the grid before the next one is conditioned on it, as the likelihood does; the authors' code clips it
        only.
    """

    joint_axes = 1
    trailing_axes = {"mean": 1, "log_scale": 1}

    def __init__(
        self, logits, mean, log_scale, coefficients=None, low=0.0, high=1.0, bins=256, event_shape=None
    ):
        self._set_grid(low, high, bins)
        given = {} if coefficients is None else {"coefficients": coefficients}
        super().__init__(event_shape, logits=logits, mean=mean, log_scale=log_scale, **given)
        self.channels = self.event_shape[-1]
        if given and (self.channels != 3 or self.parameters["coefficients"].shape[-2] != 3):
            raise ValueError(
                "DiscretizedLogisticMixture expects coefficients (..., 3, components) with 3 channels. "
                f"Received: shape {tuple(self.parameters['coefficients'].shape)} with {self.channels} "
                "channels. Pass None for independent channels."
            )

    def _aligned_shape(self, name, shape):
        if name == "logits":
            return (*shape[:-1], 1)
        return (*shape[:-2], 1) if name == "coefficients" else shape[:-1]

    @property
    def logits(self):
        """Mixture logits, as given."""
        return self.parameters["logits"]

    def _locations(self, c, x):
        """Locations `(..., components)` of channel c, given the channels of x before it."""
        location = self.parameters["mean"][..., c, :]
        if "coefficients" in self.parameters:
            first = (0, 0, 1)[c]
            for j in range(c):
                location = location + self.parameters["coefficients"][..., first + j, :] * x[j]
        return location

    def _log_scales(self, c):
        return self.parameters["log_scale"][..., c, :]

    def _log_density(self, x):
        channels = [x[..., c, None] for c in range(self.channels)]
        joint = ops.log_softmax(self.logits, axis=-1)
        for c, value in enumerate(channels):
            joint = joint + self._log_mass(value, self._locations(c, channels), self._log_scales(c))
        return ops.logsumexp(joint, axis=-1)

    def _generate(self, keys, temperature):
        choice, noise = random.split(keys, 2)
        gumbel = random.gumbel(choice, (*self.event_shape[:-1], self.logits.shape[-1]))
        label = random.first_largest(self.logits + temperature * ops.cast(gumbel, self.dtype))
        chosen = ops.cast(ops.equal(label[..., None], ops.arange(self.logits.shape[-1], dtype="int32")), self.dtype)
        noise = temperature * ops.cast(logistic_noise(noise, self.event_shape), self.dtype)
        channels = []
        for c in range(self.channels):
            location = ops.sum(chosen * self._locations(c, [v[..., None] for v in channels]), axis=-1)
            log_scale = ops.sum(chosen * self._log_scales(c), axis=-1)
            channels.append(self._draw(noise[..., c], location, log_scale))
        return ops.stack(channels, axis=-1)

    def mean(self):
        """Mean over the components of their clipped means; a coupled channel is taken at the mean of the
        channels before it."""
        weights = ops.softmax(self.logits, axis=-1)
        channels = []
        for c in range(self.channels):
            channels.append(self._expected(self._locations(c, channels), self._log_scales(c)))
        return self.fill(ops.stack([ops.sum(weights * v, axis=-1) for v in channels], axis=-1))


def log1mexp(log_w):
    """`log(1 - exp(-w))` from log w, by its series where w < 1e-3."""
    small = log_w < -7.0
    series = ops.where(small, log_w, -7.0)
    w = ops.exp(series)
    direct = ops.log(-ops.expm1(-ops.exp(ops.where(small, 0.0, log_w))))
    return ops.where(small, series - w * (0.5 - w / 24), direct)
