"""Schedules that preserve variance: alpha_t^2 + sigma_t^2 = 1.

They are told by l(t) = log alpha_t, which falls from 0:

    alpha = exp l,  sigma^2 = -expm1(2 l),  log SNR = -log expm1(-2 l),  alpha' = alpha l',  sigma' = -alpha^2 l' /
    sigma,

which loses no digits near t = 0, where 1 - alpha^2 would.

    VariancePreserving   l = -t^2 (beta_max - beta_min) / 4 - t beta_min / 2          (Song et al. 2021, eq. 29, 33)
    LinearBeta           alpha_k^2 = prod_(i <= k) (1 - beta_i), t = k / T            (Ho et al. 2020, eq. 4)
    Cosine               alpha = cos(a_t) / cos(a_0), a_t = pi/2 (t + s) / (1 + s)    (Nichol, Dhariwal 2021, eq. 17)
    Sigmoid              alpha^2 falls as a sigmoid from 1 to 0                       (Jabri et al. 2022, algorithm 1)
    Discrete             any of them at T times, with beta_k <= max_beta
    ZeroTerminalSNR      alpha shifted and scaled so that alpha_1 = 0                 (Lin et al. 2023, algorithm 1)

Between the times of a discrete one, l is linear. `SubVariancePreserving` has the alpha of the first and sigma = 1 -
alpha^2 (Song et al. 2021, eq. 29, 33).

Reference:
    J. Ho, A. Jain, P. Abbeel, arXiv:2006.11239 (2020); A. Nichol, P. Dhariwal, arXiv:2102.09672 (2021); Y. Song et al.,
    arXiv:2011.13456 (2021); A. Jabri, D. Fleet, T. Chen, arXiv:2212.11972 (2022); S. Lin, B. Liu, J. Li, X. Yang,
    arXiv:2305.08891 (2023).
"""

import keras
import numpy as np
from keras import ops

from keras_gen.diffusion.schedules.base import LEAST_ALPHA, Schedule, check_number, library

LEAST_LOG = float(np.log(LEAST_ALPHA))


class Preserving(Schedule):
    """A schedule told by `log_alpha`, `log_alpha_slope` and `time_of_log_alpha`; alpha^2 + sigma^2 = 1."""

    def log_alpha(self, t):
        """l(t)."""
        raise NotImplementedError

    def log_alpha_slope(self, t):
        """dl/dt."""
        raise NotImplementedError

    def time_of_log_alpha(self, log_alpha):
        """The inverse of l."""
        raise NotImplementedError

    def alpha_sigma(self, t):
        xp, log_alpha = library(t), self.log_alpha(t)
        return xp.exp(log_alpha), xp.sqrt(-xp.expm1(2.0 * log_alpha))

    def log_snr(self, t):
        xp = library(t)
        with np.errstate(divide="ignore"):
            return -xp.log(xp.expm1(-2.0 * self.log_alpha(t)))

    def derivatives(self, t):
        (alpha, sigma), slope = self.alpha_sigma(t), self.log_alpha_slope(t)
        return alpha * slope, -(alpha**2) * slope / sigma

    def time(self, log_snr):
        xp = library(log_snr)
        log_alpha = -0.5 * (np.logaddexp(0.0, -log_snr) if xp is np else ops.softplus(-log_snr))
        return xp.clip(self.time_of_log_alpha(xp.maximum(log_alpha, LEAST_LOG)), 0.0, 1.0)


@keras.saving.register_keras_serializable(package="keras_gen")
class VariancePreserving(Preserving):
    """VP: the limit of DDPM's chain, log alpha_t = -t^2 (beta_max - beta_min) / 4 - t beta_min / 2.

    Args:
        beta_min, beta_max: rates of noise at t = 0 and t = 1, a unit of time; defaults 0.1 and 20, Song et al.'s, which
            are DDPM's 1e-4 and 0.02 a step, of a thousand.

    Raises:
        ValueError: rates that are no positive numbers, or `beta_max` not above `beta_min`.

    Example:
        >>> from keras_gen.diffusion import VariancePreserving
        >>> alpha, sigma = VariancePreserving().alpha_sigma(1.0)
        >>> round(float(alpha), 4), round(float(sigma), 4)
        (0.0066, 1.0)

    Reference:
        Song et al. 2021, arXiv:2011.13456, equations 11, 29, 32, 33.
    """

    def __init__(self, beta_min=0.1, beta_max=20.0):
        self.beta_min = check_number(beta_min, "beta_min")
        self.beta_max = check_number(beta_max, "beta_max", self.beta_min)

    def log_alpha(self, t):
        return -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min

    def log_alpha_slope(self, t):
        return -0.5 * (self.beta_min + t * (self.beta_max - self.beta_min))

    def time_of_log_alpha(self, log_alpha):
        width, xp = self.beta_max - self.beta_min, library(log_alpha)
        return -4.0 * log_alpha / (self.beta_min + xp.sqrt(self.beta_min**2 - 4.0 * width * log_alpha))

    def get_config(self):
        return {"beta_min": self.beta_min, "beta_max": self.beta_max}


@keras.saving.register_keras_serializable(package="keras_gen")
class SubVariancePreserving(VariancePreserving):
    """sub-VP: alpha_t of `VariancePreserving`, sigma_t = 1 - alpha_t^2: never more variance than VP.

    Args:
        beta_min, beta_max: as in `VariancePreserving`.

    Example:
        >>> from keras_gen.diffusion import SubVariancePreserving, VariancePreserving
        >>> sub, full = (s().alpha_sigma(0.3) for s in (SubVariancePreserving, VariancePreserving))
        >>> bool(sub[1] < full[1]), bool(sub[0] == full[0])
        (True, True)

    Reference:
        Song et al. 2021, arXiv:2011.13456, equations 12, 29.
    """

    def alpha_sigma(self, t):
        xp, log_alpha = library(t), self.log_alpha(t)
        return xp.exp(log_alpha), -xp.expm1(2.0 * log_alpha)

    def log_snr(self, t):
        return Schedule.log_snr(self, t)

    def derivatives(self, t):
        (alpha, _), slope = self.alpha_sigma(t), self.log_alpha_slope(t)
        return alpha * slope, -2.0 * alpha**2 * slope

    def time(self, log_snr):
        """From r = alpha / (1 - alpha^2): alpha = 2 r / (1 + sqrt(1 + 4 r^2))."""
        xp = library(log_snr)
        r = xp.exp(0.5 * log_snr)
        variance = 2.0 / (1.0 + xp.sqrt(1.0 + 4.0 * r**2))  # 1 - alpha^2 = alpha / r
        low = xp.log(xp.maximum(r * variance, LEAST_ALPHA))
        log_alpha = xp.where(variance < 0.5, 0.5 * xp.log1p(-xp.minimum(variance, 0.5)), low)
        return xp.clip(self.time_of_log_alpha(log_alpha), 0.0, 1.0)


@keras.saving.register_keras_serializable(package="keras_gen")
class Cosine(Preserving):
    """alpha_t = cos(a_t) / cos(a_0), a_t = (pi / 2) (t + s) / (1 + s).

    Args:
        offset: s in (0, 1), default 0.008: noise at the beginning of the size of a grey level.

    Raises:
        ValueError: an offset out of its range.

    Example:
        >>> from keras_gen.diffusion import Cosine
        >>> alpha, sigma = Cosine().alpha_sigma(0.5)
        >>> round(float(alpha), 3), round(float(sigma), 3)
        (0.703, 0.711)

    Reference:
        Nichol, Dhariwal 2021, arXiv:2102.09672, equation 17. Their chain of T steps with beta <= 0.999 is
        `Discrete(Cosine(), T)`.
    """

    def __init__(self, offset=0.008):
        self.offset = check_number(offset, "offset", 0.0, 1.0)
        self._rate = 0.5 * np.pi / (1.0 + self.offset)

    def log_alpha(self, t):
        """cos a_t is the sine of pi/2 - a_t; near t = 0 the difference from cos a_0 is a product of sines."""
        xp, first = library(t), self._rate * self.offset
        drop = 2.0 * xp.sin(0.5 * self._rate * t + first) * xp.sin(0.5 * self._rate * t) / np.cos(first)
        late = xp.sin(self._rate * (1.0 - t)) / np.cos(first)
        return xp.where(t < 0.5, xp.log1p(-xp.minimum(drop, 0.9)), xp.log(xp.maximum(late, LEAST_ALPHA)))

    def log_alpha_slope(self, t):
        xp = library(t)
        return -self._rate * xp.cos(self._rate * (1.0 - t)) / xp.maximum(xp.sin(self._rate * (1.0 - t)), LEAST_ALPHA)

    def time_of_log_alpha(self, log_alpha):
        """By the half angle: sin^2(a/2) = (1 - cos a) / 2, which loses no digits near a_0."""
        xp, first = library(log_alpha), self._rate * self.offset
        lost = -np.cos(first) * xp.expm1(log_alpha) + 2.0 * np.sin(0.5 * first) ** 2  # 1 - cos a
        early = 2.0 * xp.arcsin(xp.sqrt(0.5 * xp.clip(lost, 0.0, 1.0)))
        late = 0.5 * np.pi - xp.arcsin(xp.clip(np.cos(first) * xp.exp(log_alpha), 0.0, 1.0))
        return xp.where(lost < 0.3, early, late) / self._rate - self.offset

    def get_config(self):
        return {"offset": self.offset}


@keras.saving.register_keras_serializable(package="keras_gen", name="SigmoidSchedule")  # `layers.Sigmoid` is another
class Sigmoid(Preserving):
    """alpha_t^2 = (S(end) - S(u_t)) / (S(end) - S(start)), u_t = start + t (end - start), S(u) = sigmoid(u / tau).

    Args:
        start, end: the part of the sigmoid, defaults -3 and 3.
        tau: its temperature, default 1: smaller is steeper.

    Raises:
        ValueError: `end` not above `start`, or a `tau` that is not positive.

    Example:
        >>> from keras_gen.diffusion import Sigmoid
        >>> round(float(Sigmoid().alpha_sigma(0.5)[0]) ** 2, 3)
        0.5

    Reference:
        Jabri, Fleet, Chen 2022, arXiv:2212.11972, algorithm 1.
    """

    def __init__(self, start=-3.0, end=3.0, tau=1.0):
        self.start, self.tau = check_number(start, "start", -np.inf), check_number(tau, "tau")
        self.end = check_number(end, "end", self.start)
        self._first, self._last = (1.0 / (1.0 + np.exp(-u / self.tau)) for u in (self.start, self.end))

    def _position(self, t):
        return (self.start + t * (self.end - self.start)) / self.tau

    def log_alpha(self, t):
        """1 - alpha^2 grows from 0 by S(u) - S(start) = S(u) S(-start) (1 - exp((start - u) / tau))."""
        xp, u = library(t), self._position(t)
        total = self._last - self._first
        grown = -xp.expm1(self.start / self.tau - u) * (1.0 - self._first) / ((1.0 + xp.exp(-u)) * total)
        left = -xp.expm1(u - self.end / self.tau) * self._last / ((1.0 + xp.exp(u)) * total)
        early = xp.log1p(-xp.minimum(grown, 0.9))
        return 0.5 * xp.where(grown < 0.5, early, xp.log(xp.maximum(left, LEAST_ALPHA**2)))

    def log_alpha_slope(self, t):
        xp, u = library(t), self._position(t)
        density = 1.0 / ((1.0 + xp.exp(-u)) * (1.0 + xp.exp(u)))
        rate = (self.end - self.start) / self.tau / (self._last - self._first)
        return -0.5 * density * rate * xp.exp(-2.0 * self.log_alpha(t))

    def time_of_log_alpha(self, log_alpha):
        xp = library(log_alpha)
        s = self._first - (self._last - self._first) * xp.expm1(2.0 * log_alpha)
        u = (xp.log(s) - xp.log1p(-s)) * self.tau
        return (u - self.start) / (self.end - self.start)

    def get_config(self):
        return {"start": self.start, "end": self.end, "tau": self.tau}
