"""Weightings: which times are drawn in training, and what the error at each counts.

Minimised is, with t of a distribution that a weighting names and w its weight,

    L = E_(t, eps) w(t) 1/D || x_0 - D(alpha_t x_0 + sigma_t eps, t) ||^2.                                      (1)

All parametrisations have the same family of losses, their own errors being multiples of this one (equation 1 of
`keras_gen.diffusion.parametrisations`): w is told for the error of x_0, with SNR = alpha^2 / sigma^2,

    target       w of the parametrisation: the plain mean square of what the network predicts, t uniform
    simple       SNR: the mean square of eps, t uniform                        (Ho et al. 2020, eq. 14)
    snr          SNR + 1, that of v                                            (Salimans, Ho 2022)
    min_snr      min(SNR, gamma): no time dominates                            (Hang et al. 2023)
    edm          log(sigma / alpha) normal, w = (s^2 + d^2) / (s d)^2, s = sigma / alpha    (Karras et al. 2022)
    likelihood   -1/2 dSNR/dt, t uniform: the bound itself in continuous time  (Kingma et al. 2021, eq. 17;
                 Song, Durkan et al. 2021)
    logit_normal logit t normal, w of the parametrisation                      (Esser et al. 2024)

Reference:
    J. Ho et al., arXiv:2006.11239 (2020); T. Salimans, J. Ho, arXiv:2202.00512 (2022), section 4; T. Hang et al.,
    arXiv:2303.09556 (2023), equation 8; T. Karras et al., arXiv:2206.00364 (2022), table 1; D. Kingma et al.,
    arXiv:2107.00630 (2021); Y. Song, C. Durkan, I. Murray, S. Ermon, arXiv:2101.09258 (2021); P. Esser et al.,
    arXiv:2403.03206 (2024), section 3.1.
"""

import keras
from keras import ops

from keras_gen.diffusion.schedules.base import check_number

INSIDE = 1e-6


class Weighting:
    """Base: `times(u, schedule)` and `weight(level, rule)`."""

    def times(self, u, schedule):
        """Times of uniform numbers u in [0, 1), `(batch,)`: uniform from the least one to 1."""
        if schedule.steps is not None:
            return (ops.floor(u * schedule.steps) + 1.0) / schedule.steps
        least = max(schedule.least_time, 1e-5)
        return least + (1.0 - least) * u

    def weight(self, level, rule):
        """w of equation (1), `(batch,)`; `rule` is the `Parametrisation`."""
        raise NotImplementedError

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


def signal_to_noise(level):
    """SNR = alpha^2 / sigma^2."""
    return (level.alpha / level.sigma) ** 2


@keras.saving.register_keras_serializable(package="keras_gen")
class Target(Weighting):
    """The plain mean square of what the network predicts."""

    def weight(self, level, rule):
        return rule.weight(level)


@keras.saving.register_keras_serializable(package="keras_gen")
class Simple(Weighting):
    """The mean square of eps: SNR."""

    def weight(self, level, rule):
        return signal_to_noise(level)


@keras.saving.register_keras_serializable(package="keras_gen")
class SNR(Weighting):
    """SNR + offset.

    Args:
        offset: default 1.
    """

    def __init__(self, offset=1.0):
        self.offset = check_number(offset, "offset", -1e-12)

    def weight(self, level, rule):
        return signal_to_noise(level) + self.offset

    def get_config(self):
        return {"offset": self.offset}


@keras.saving.register_keras_serializable(package="keras_gen")
class MinSNR(Weighting):
    """min(SNR, gamma).

    Args:
        gamma: default 5.

    Example:
        >>> from keras_gen.diffusion import Cosine, MinSNR
        >>> [round(float(MinSNR().weight(Cosine().level(t), None)), 2) for t in (0.1, 0.5)]
        [5.0, 0.98]
    """

    def __init__(self, gamma=5.0):
        self.gamma = check_number(gamma, "gamma")

    def weight(self, level, rule):
        return ops.minimum(signal_to_noise(level), self.gamma)

    def get_config(self):
        return {"gamma": self.gamma}


@keras.saving.register_keras_serializable(package="keras_gen")
class EDMLogNormal(Weighting):
    """log(sigma / alpha) ~ N(mean, deviation^2), w = (s^2 + d^2) / (s d)^2.

    Args:
        mean, deviation: defaults -1.2 and 1.2, for data of standard deviation 0.5.
        data_scale: d, default 0.5.
    """

    def __init__(self, mean=-1.2, deviation=1.2, data_scale=0.5):
        self.mean, self.deviation = check_number(mean, "mean", -float("inf")), check_number(deviation, "deviation")
        self.data_scale = check_number(data_scale, "data_scale")

    def times(self, u, schedule):
        t = schedule.time(-2.0 * (self.mean + self.deviation * normal_quantile(u)))
        return ops.maximum(t, 1e-5)  # at 0 there may be no noise, and no weight

    def weight(self, level, rule):
        s = level.sigma / level.alpha
        return (s**2 + self.data_scale**2) / (s * self.data_scale) ** 2

    def get_config(self):
        return {"mean": self.mean, "deviation": self.deviation, "data_scale": self.data_scale}


@keras.saving.register_keras_serializable(package="keras_gen")
class Likelihood(Weighting):
    """-1/2 dSNR/dt = SNR (sigma' / sigma - alpha' / alpha)."""

    def weight(self, level, rule):
        return signal_to_noise(level) * (level.sigma_slope / level.sigma - level.alpha_slope / level.alpha)


@keras.saving.register_keras_serializable(package="keras_gen")
class LogitNormal(Weighting):
    """logit t ~ N(mean, deviation^2), and the plain mean square of what the network predicts.

    Args:
        mean, deviation: defaults 0 and 1.
    """

    def __init__(self, mean=0.0, deviation=1.0):
        self.mean, self.deviation = check_number(mean, "mean", -float("inf")), check_number(deviation, "deviation")

    def times(self, u, schedule):
        t = ops.sigmoid(self.mean + self.deviation * normal_quantile(u))
        return ops.maximum(t, max(schedule.least_time, 1e-5))

    def weight(self, level, rule):
        return rule.weight(level)

    def get_config(self):
        return {"mean": self.mean, "deviation": self.deviation}


NAMES = {
    "edm": EDMLogNormal,
    "likelihood": Likelihood,
    "logit_normal": LogitNormal,
    "min_snr": MinSNR,
    "simple": Simple,
    "snr": SNR,
    "target": Target,
}


def normal_quantile(u):
    """The inverse of the normal's distribution function."""
    return 2.0**0.5 * ops.erfinv(ops.clip(2.0 * u - 1.0, -1.0 + INSIDE, 1.0 - INSIDE))


def get_weighting(weighting, data_scale=0.5):
    """A `Weighting` from itself, from its name, or from what `keras.saving.serialize_keras_object` made of it.

    `data_scale` is that of "edm".
    """
    if isinstance(weighting, str) and weighting in NAMES:
        return EDMLogNormal(data_scale=data_scale) if weighting == "edm" else NAMES[weighting]()
    if isinstance(weighting, dict):
        weighting = keras.saving.deserialize_keras_object(weighting)
    if not isinstance(weighting, Weighting):
        raise ValueError(f"Expected `weighting` as a `Weighting`, or one of {sorted(NAMES)}. Received: {weighting!r}.")
    return weighting
