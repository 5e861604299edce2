"""Heun's method: two evaluations a step, of second order; and Karras et al.'s churn.

In coordinates (s, u) (see `keras_gen.diffusion.samplers.base`) with the slope d, a step is

    y' = y + (u_s - u_t) d(y, u_t),        y'' = y + (u_s - u_t) (d(y, u_t) + d(y', u_s)) / 2,                  (1)

two turns of the table: the second one begins from the y that the first has kept. At the end, to clean data, the first
alone. Churn puts noise in before a step, from u up to (1 + g) u, g = min(churn / n, sqrt 2 - 1) where u lies between
`least` and `most`, with a deviation `inflation` times what that takes; in the table it belongs to the turn before.

Reference:
    T. Karras et al., arXiv:2206.00364 (2022), algorithms 1 and 2.
"""

import keras
import numpy as np

from keras_gen.diffusion.samplers.base import Sampler, Turn, check_variable, coordinates, levels
from keras_gen.diffusion.schedules.base import check_number


@keras.saving.register_keras_serializable(package="keras_gen")
class Heun(Sampler):
    """Equation (1), with churn.

    Args:
        churn: S_churn, default 0: deterministic.
        least, most: S_tmin and S_tmax, between which u noise is put in; defaults 0 and infinity.
        inflation: S_noise, default 1.
        variable: coordinates, "ratio" (default; Karras et al.) or "rectified", for schedules that end without signal.

    Raises:
        ValueError: negative numbers, `most` not above `least`, another variable.

    Example:
        >>> from keras_gen.diffusion import EDMSigma, Heun, times
        >>> Heun().table(EDMSigma(), times(EDMSigma(), 18))[1]
        35

    Reference:
        Karras et al. 2022, arXiv:2206.00364, algorithm 2; a grid of N times takes 2 N - 1 evaluations.
    """

    order, memory, remembers = 2, 1, "slope"
    least_steps = 1

    def __init__(self, churn=0.0, least=0.0, most=float("inf"), inflation=1.0, variable="ratio"):
        self.churn, self.inflation = check_number(churn, "churn", -1e-12), check_number(inflation, "inflation")
        self.least, self.most = check_number(least, "least", -1e-12), most
        if not isinstance(most, (int, float, np.number)) or not most > least:
            raise ValueError(f"Expected `most` above least={least}. Received: most={most!r}.")
        self.variable = check_variable(variable)

    def evaluations(self, steps):
        return 2 * steps - 1

    def turns(self, schedule, times):
        churned = [self._churned(schedule, t, len(times)) for t in times]
        at = levels(schedule, times), levels(schedule, churned)
        plain, noisy = ([coordinates(level, self.variable) for level in some] for some in at)
        turns = []
        for i in range(len(times) - 1):
            turns += self._pair(times, churned, plain, noisy, i)
        s, u = noisy[-1]
        return [*turns, Turn(churned[-1], 1.0 / s, (-u,))]

    def _churned(self, schedule, t, n):
        """The time at which u is (1 + g) times as large."""
        level = schedule.level(np.float64(t))
        u = level.sigma / level.alpha
        if not self.churn or not self.least <= u <= self.most:
            return t
        more = 1.0 + min(self.churn / n, np.sqrt(2.0) - 1.0)
        return max(float(schedule.time(level.log_snr - 2.0 * np.log(more))), t)

    def _pair(self, times, churned, plain, noisy, i):
        """The two turns of a step; the second ends with the noise from which the next step begins."""
        (s, u), (s_next, u_next) = noisy[i], plain[i + 1]
        h, ends = u_next - u, (noisy[i + 1], plain[i + 1], self.variable)
        first = Turn(churned[i], s_next / s, (s_next * h,), keep=True, after=times[i + 1])
        factor = s_next * _signal(*ends)
        weights, noise = (0.5 * h * factor,) * 2, self.inflation * _spread(*ends)
        return first, Turn(times[i + 1], 0.0, weights, base=factor / s, noise=noise, after=churned[i + 1])

    def get_config(self):
        numbers = {"churn": self.churn, "least": self.least, "most": self.most, "inflation": self.inflation}
        return {**numbers, "variable": self.variable}


def _alpha_sigma(place, variable):
    """alpha and sigma from (s, u)."""
    s, u = place
    return (s, s * u) if variable == "ratio" else (s * (1.0 - u), s * u)


def _signal(noisy, plain, variable):
    """alpha of the noisier time over alpha of the other."""
    return _alpha_sigma(noisy, variable)[0] / _alpha_sigma(plain, variable)[0]


def _spread(noisy, plain, variable):
    """Deviation of the noise between the two."""
    signal = _signal(noisy, plain, variable)
    return np.sqrt(max(_alpha_sigma(noisy, variable)[1] ** 2 - (signal * _alpha_sigma(plain, variable)[1]) ** 2, 0.0))
