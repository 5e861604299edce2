"""Schedules of other variances: exploding, EDM's, and the straight line.

    VarianceExploding   alpha = 1, sigma_t = sigma_min (sigma_max / sigma_min)^t            (Song et al. 2021, eq. 30)
    EDMSigma            alpha = 1, sigma_t^(1/rho) linear from sigma_min^(1/rho) to sigma_max^(1/rho)
                                                                                          (Karras et al. 2022, eq. 5)
    Rectified           alpha = 1 - t, sigma_t = sigma_min + t (1 - sigma_min)            (Lipman et al. 2023, eq. 20)

Equal steps of t are the noise levels of Song et al. in the first, and of Karras et al. in the second. Lipman et al.
count time from noise to data; we from data to noise, as everywhere here, so our velocity is minus theirs.

Reference:
    Y. Song et al., arXiv:2011.13456 (2021); T. Karras, M. Aittala, T. Aila, S. Laine, arXiv:2206.00364 (2022); Y.
    Lipman et al., arXiv:2210.02747 (2023); X. Liu, C. Gong, Q. Liu, arXiv:2209.03003 (2023).
"""

import keras
import numpy as np

from keras_gen.diffusion.schedules.base import LEAST_ALPHA, Schedule, check_number, library


class _Exploding(Schedule):
    """alpha = 1."""

    least_time = 0.0

    def _set_sigmas(self, sigma_min, sigma_max):
        self.sigma_min = check_number(sigma_min, "sigma_min")
        self.sigma_max = check_number(sigma_max, "sigma_max", self.sigma_min)

    def alpha_sigma(self, t):
        sigma = self.sigma(t)
        return library(t).ones_like(sigma), sigma

    def derivatives(self, t):
        slope = self.sigma_slope(t)
        return library(t).zeros_like(slope), slope


@keras.saving.register_keras_serializable(package="keras_gen")
class VarianceExploding(_Exploding):
    """VE: alpha_t = 1, sigma_t = sigma_min (sigma_max / sigma_min)^t.

    Args:
        sigma_min: noise at t = 0, default 0.01.
        sigma_max: noise at t = 1, default 50, Song et al.'s for CIFAR-10: about the largest distance between data.

    Raises:
        ValueError: numbers that are not positive, or `sigma_max` not above `sigma_min`.

    Example:
        >>> from keras_gen.diffusion import VarianceExploding
        >>> [round(float(v), 3) for v in VarianceExploding().alpha_sigma(0.5)]
        [1.0, 0.707]

    Reference:
        Song et al. 2021, arXiv:2011.13456, equations 9, 30.
    """

    def __init__(self, sigma_min=0.01, sigma_max=50.0):
        self._set_sigmas(sigma_min, sigma_max)

    def sigma(self, t):
        """sigma_t."""
        return library(t).exp(t * np.log(self.sigma_max / self.sigma_min) + np.log(self.sigma_min))

    def sigma_slope(self, t):
        """d sigma / dt."""
        return self.sigma(t) * np.log(self.sigma_max / self.sigma_min)

    def time(self, log_snr):
        t = (-0.5 * log_snr - np.log(self.sigma_min)) / np.log(self.sigma_max / self.sigma_min)
        return library(log_snr).clip(t, 0.0, 1.0)

    def get_config(self):
        return {"sigma_min": self.sigma_min, "sigma_max": self.sigma_max}


@keras.saving.register_keras_serializable(package="keras_gen")
class EDMSigma(_Exploding):
    """alpha_t = 1 and the noise levels of Karras et al.: sigma^(1/rho) is linear in t.

    Args:
        sigma_min, sigma_max: noise at t = 0 and t = 1, defaults 0.002 and 80, for images in [-1, 1].
        rho: default 7: more steps where there is little noise.

    Raises:
        ValueError: numbers that are not positive, or `sigma_max` not above `sigma_min`.

    Example:
        >>> from keras_gen.diffusion import EDMSigma
        >>> [round(float(EDMSigma().alpha_sigma(t)[1]), 3) for t in (0.0, 0.5, 1.0)]
        [0.002, 2.515, 80.0]

    Reference:
        Karras et al. 2022, arXiv:2206.00364, equation 5, table 1.
    """

    def __init__(self, sigma_min=0.002, sigma_max=80.0, rho=7.0):
        self._set_sigmas(sigma_min, sigma_max)
        self.rho = check_number(rho, "rho")
        self._low, self._high = (s ** (1.0 / self.rho) for s in (self.sigma_min, self.sigma_max))

    def sigma(self, t):
        """sigma_t."""
        return (self._low + t * (self._high - self._low)) ** self.rho

    def sigma_slope(self, t):
        """d sigma / dt."""
        return self.rho * (self._high - self._low) * (self._low + t * (self._high - self._low)) ** (self.rho - 1.0)

    def time(self, log_snr):
        xp = library(log_snr)
        t = (xp.exp(-0.5 * log_snr / self.rho) - self._low) / (self._high - self._low)
        return xp.clip(t, 0.0, 1.0)

    def get_config(self):
        return {"sigma_min": self.sigma_min, "sigma_max": self.sigma_max, "rho": self.rho}


@keras.saving.register_keras_serializable(package="keras_gen")
class Rectified(Schedule):
    """The straight line from data to noise: alpha_t = 1 - t, sigma_t = sigma_min + t (1 - sigma_min).

    Its velocity, eps - x_0 for `sigma_min` 0, does not depend on t along a path.

    Args:
        sigma_min: noise that is left at t = 0, default 0 (rectified flow); Lipman et al. suggest a small one.

    Raises:
        ValueError: `sigma_min` out of [0, 1).

    Example:
        >>> from keras_gen.diffusion import Rectified
        >>> [float(v) for v in Rectified().alpha_sigma(0.25)]
        [0.75, 0.25]

    Reference:
        Liu, Gong, Liu 2023, arXiv:2209.03003, equation 1; Lipman et al. 2023, arXiv:2210.02747, equations 20 to 23.
    """

    def __init__(self, sigma_min=0.0):
        self.sigma_min = check_number(sigma_min, "sigma_min", -1e-12, 1.0)

    def alpha_sigma(self, t):
        alpha = library(t).maximum(1.0 - t, LEAST_ALPHA)
        return alpha, self.sigma_min + t * (1.0 - self.sigma_min)

    def derivatives(self, t):
        ones = library(t).ones_like(t)
        return -ones, (1.0 - self.sigma_min) * ones

    def time(self, log_snr):
        """From (1 - t) = r sigma_t: t = (1 - r sigma_min) / (1 + r (1 - sigma_min)), r = alpha / sigma."""
        xp = library(log_snr)
        r = xp.exp(0.5 * log_snr)
        return xp.clip((1.0 - r * self.sigma_min) / (1.0 + r * (1.0 - self.sigma_min)), 0.0, 1.0)

    def get_config(self):
        return {"sigma_min": self.sigma_min}
