"""Heads of discrete families: Bernoulli, categorical, discretised logistic and its mixture.

The logits of the first two are the raw numbers themselves. On a grid of `bins` values from low to high, with
c = (low + high) / 2, half-width u = (high - low) / 2 and spacing delta = (high - low) / (bins - 1), one
discretised logistic reads (m, a) as

    mean = c + u m,        scale = u exp(a) + delta / 8

so that features near zero give a wide logistic amid the grid. The floor of an eighth of a bin, at which a bin
about the mean already holds 0.96 of the mass, is close to the e^-7 u of PixelCNN++ at 8 bits, but goes along
with the number of bins; it is added, not clipped, and leaves the gradient alive. Of K components, the j-th
begins at

    mean_j = low + (j + 1/2) 2 u / K,        scale_j = u / K

spread evenly over the grid, for K equal components would stay nearly equal for long.
"""

import math

import keras
from keras import ops

from keras_gen import distributions
from keras_gen.layers.heads.base import DistributionHead
from keras_gen.layers.shapes import positive_int

FLOOR_IN_BINS = 1 / 8


@keras.saving.register_keras_serializable(package="keras_gen")
class BernoulliHead(DistributionHead):
    """Independent binary variables, `Bernoulli(logits(h))`; grey levels in [0, 1] by cross-entropy.

    Args:
        event_shape: tuple of ints, the shape of one event x.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: see `DistributionHead`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import BernoulliHead
    >>> p = BernoulliHead((28, 28, 1)).distribution(ops.zeros((2, 28, 28, 16)))
    >>> tuple(p.mean().shape), float(ops.convert_to_numpy(p.mean())[0, 0, 0, 0])
    ((2, 28, 28, 1), 0.5)
    """

    def numbers_per_element(self):
        return 1

    def read(self, raw):
        return distributions.Bernoulli(raw[..., 0], event_shape=self.event_shape)


@keras.saving.register_keras_serializable(package="keras_gen")
class CategoricalHead(DistributionHead):
    """Integer labels, independent over the event, `Categorical(logits(h))`.

    Args:
        event_shape: tuple of ints, the shape of one event of labels: `()` for one label, `(time,)` for a
            sequence, `(height, width, channels)` for an image of grey levels.
        classes: int, the number of classes.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: for `classes` that is no positive integer.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import CategoricalHead
    >>> p = CategoricalHead((7,), classes=4).distribution(ops.zeros((2, 7, 16)))
    >>> tuple(p.logits.shape)
    (2, 7, 4)
    """

    def __init__(self, event_shape, classes, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.classes = positive_int(classes, "classes")

    def numbers_per_element(self):
        return self.classes

    def read(self, raw):
        return distributions.Categorical(raw, event_shape=self.event_shape)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


class _GridHead(DistributionHead):
    """What the two discretised heads share: the grid, and how raw numbers become means and scales on it."""

    def __init__(self, event_shape, low=0.0, high=1.0, bins=256, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.low, self.high, self.bins = float(low), float(high), positive_int(bins, "bins")
        if not self.low < self.high or self.bins < 2:
            raise ValueError(f"Expected low < high and bins >= 2. Received: {low=}, {high=}, {bins=}.")
        self.half_width = 0.5 * (self.high - self.low)

    def grid(self):
        """The grid, as the distributions take it."""
        return {"low": self.low, "high": self.high, "bins": self.bins}

    def _means(self, m, components=1):
        centres = [self.low + 2 * self.half_width * (j + 0.5) / components for j in range(components)]
        return ops.convert_to_tensor(centres, m.dtype) + self.half_width * m

    def _log_scales(self, a, components=1):
        floor = FLOOR_IN_BINS * 2 * self.half_width / (self.bins - 1)
        log_floor = ops.convert_to_tensor(math.log(floor), a.dtype)
        return ops.logaddexp(a + math.log(self.half_width / components), log_floor)

    def get_config(self):
        return {**super().get_config(), **self.grid()}


@keras.saving.register_keras_serializable(package="keras_gen")
class DiscretizedLogisticHead(_GridHead):
    """Logistic distribution rounded to a grid, `DiscretizedLogistic(mean(h), log_scale(h))`, elementwise.

    The likelihood of grey levels: with the default grid, of 8-bit images divided by 255.

    Args:
        event_shape: tuple of ints, the shape of one event x.
        low: float, the least value. Default 0.
        high: float, the greatest value. Default 1.
        bins: int >= 2, the number of values. Default 256, 8 bits.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: where `low >= high` or `bins < 2`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import DiscretizedLogisticHead
    >>> p = DiscretizedLogisticHead((4, 4, 1), bins=17).distribution(ops.zeros((2, 8)))
    >>> p.event_shape, round(float(ops.convert_to_numpy(p.mean())[0, 0, 0, 0]), 3)
    ((4, 4, 1), 0.5)

    Reference:
        Salimans, Karpathy, Chen, Kingma (2017), arXiv:1701.05517, section 2.1.
    """

    def numbers_per_element(self):
        return 2

    def read(self, raw):
        mean, log_scale = self._means(raw[..., :1])[..., 0], self._log_scales(raw[..., 1])
        return distributions.DiscretizedLogistic(mean, log_scale, **self.grid(), event_shape=self.event_shape)


@keras.saving.register_keras_serializable(package="keras_gen")
class DiscretizedLogisticMixtureHead(_GridHead):
    """Mixture of discretised logistics at each site, its channels sharing the component.

    With three channels and `coupled`, green depends on red, and blue on both, by coefficients in (-1, 1).

    Args:
        event_shape: `(*sites, channels)`; of a vector, all elements share one component.
        components: int, K. Default 5, which the paper finds enough.
        low, high, bins: the grid, see `DiscretizedLogisticHead`.
        coupled: bool; default None: coupled where there are three channels on one site or more.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: for a scalar event, `coupled=True` with other than three channels, or a wrong grid.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import DiscretizedLogisticMixtureHead
    >>> p = DiscretizedLogisticMixtureHead((4, 4, 3)).distribution(ops.zeros((2, 4, 4, 8)))
    >>> p.event_shape, tuple(p.logits.shape)
    ((4, 4, 3), (2, 4, 4, 5))

    Reference:
        Salimans, Karpathy, Chen, Kingma (2017), arXiv:1701.05517, sections 2.1 and 2.2. We spread the first
        means over the grid and bound the scale by the bins, see the module's notes.
    """

    def __init__(self, event_shape, components=5, coupled=None, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.components = positive_int(components, "components")
        if not self.event_shape:
            raise ValueError("Expected `event_shape` as (*sites, channels). Received: event_shape=().")
        three = self.event_shape[-1] == 3
        self.coupled = (three and len(self.event_shape) > 1) if coupled is None else bool(coupled)
        if self.coupled and not three:
            raise ValueError(
                "DiscretizedLogisticMixtureHead couples three channels. Received: coupled=True with "
                f"event_shape={self.event_shape}. Pass coupled=False."
            )

    def raw_shape(self):
        per_component = 1 + 2 * self.event_shape[-1] + 3 * self.coupled
        return (*self.event_shape[:-1], self.components * per_component)

    def read(self, raw):
        k, channels = self.components, self.event_shape[-1]
        raw = ops.reshape(raw, (-1, *self.event_shape[:-1], 1 + 2 * channels + 3 * self.coupled, k))
        return distributions.DiscretizedLogisticMixture(
            raw[..., 0, :],
            self._means(raw[..., 1 : 1 + channels, :], k),
            self._log_scales(raw[..., 1 + channels : 1 + 2 * channels, :], k),
            ops.tanh(raw[..., -3:, :]) if self.coupled else None,
            **self.grid(),
            event_shape=self.event_shape,
        )

    def get_config(self):
        return {**super().get_config(), "components": self.components, "coupled": self.coupled}
