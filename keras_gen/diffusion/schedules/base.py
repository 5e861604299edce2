"""Schedules: how much of the data, and how much noise, is left at each time.

Data x_0 become noise along t from 0 to 1,

    x_t = alpha_t x_0 + sigma_t eps,    eps ~ N(0, I),        log SNR_t = log (alpha_t^2 / sigma_t^2),          (1)

and the log signal-to-noise ratio falls. Nothing else of a schedule matters to what a network has to learn: if two
schedules have the same ratio at t and t', then x_t / alpha_t and x_t' / alpha_t' have the same law. So networks see the
ratio, not t, and a schedule can be exchanged after training (`Rescheduled`).

Between two times s < t the process is Markov and, given x_0, normal (Kingma et al. 2021, appendix A):

    q(x_t given x_s) = N(alpha_t|s x_s, sigma_t|s^2),      alpha_t|s = alpha_t / alpha_s,
                                                           sigma_t|s^2 = sigma_t^2 - alpha_t|s^2 sigma_s^2,
    q(x_s given x_t, x_0) = N( alpha_t|s sigma_s^2 / sigma_t^2 x_t + alpha_s sigma_t|s^2 / sigma_t^2 x_0,
                               sigma_t|s^2 sigma_s^2 / sigma_t^2 ).                                             (2)

A time of numpy, or a Python number, gives numbers in float64: the tables of samplers are made so. A tensor gives
tensors of its dtype. At a ratio of zero, alpha is held at 1e-9, so that every formula stays finite.

Reference:
    D. Kingma, T. Salimans, B. Poole, J. Ho, "Variational diffusion models", arXiv:2107.00630 (2021), section 3.1,
    appendices A, G (equivalence of schedules).
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

LEAST_ALPHA = 1e-9
LARGEST_LOG_SNR = 20.0
"""What a network is told of the ratio is held within +- 20: beyond, a float32 of x_t does not tell them apart."""


class Level(NamedTuple):
    """What a schedule says of one time: numbers, or tensors that broadcast against a batch of events.

    Args:
        t: the time in [0, 1].
        alpha, sigma: of x_t = alpha x_0 + sigma eps.
        log_snr: log(alpha^2 / sigma^2).
        alpha_slope, sigma_slope: derivatives of alpha and sigma in t.
    """

    t: Any
    alpha: Any
    sigma: Any
    log_snr: Any
    alpha_slope: Any
    sigma_slope: Any

    def over(self, x):
        """The level with each entry `(batch,)` shaped to broadcast against `x`."""
        return Level(*(ops.reshape(v, (-1, *[1] * (len(x.shape) - 1))) for v in self))


class Schedule:
    """alpha_t and sigma_t on [0, 1]: the base of all schedules.

    A schedule writes `alpha_sigma(t)`, `derivatives(t)` and `time(log_snr)`, which take numpy or tensors, and sets
    `least_time`.
    """

    steps = None
    """Number of discrete times 1/steps, ..., 1, or None: time is continuous."""

    least_time = 1e-3
    """Smallest time at which a network is asked when sampling; what comes after is its estimate of x_0."""

    def alpha_sigma(self, t):
        """alpha_t and sigma_t."""
        raise NotImplementedError

    def derivatives(self, t):
        """d alpha / dt and d sigma / dt, for t > 0."""
        raise NotImplementedError

    def time(self, log_snr):
        """The t with this log signal-to-noise ratio, held within [0, 1]."""
        raise NotImplementedError

    def log_snr(self, t):
        """log(alpha_t^2 / sigma_t^2); infinite where sigma_t is 0."""
        alpha, sigma = self.alpha_sigma(t)
        xp = library(t)
        return 2.0 * (xp.log(alpha) - xp.log(sigma))

    def level(self, t):
        """All of the above, a `Level`."""
        return Level(t, *self.alpha_sigma(t), self.log_snr(t), *self.derivatives(t))

    def check_monotone(self, count=1000):
        """The schedule itself; ValueError unless the ratio falls and is finite on a grid of `count` times."""
        t = np.linspace(self.least_time, 1.0, count)
        values = self.log_snr(t)
        falls = np.diff(values) < 0
        if not np.isfinite(values).all() or not falls.all():
            where = t[int(np.argmin(np.append(falls, True)))]
            raise ValueError(
                f"Expected a schedule whose signal-to-noise ratio falls with t. Received: {type(self).__name__}, whose "
                f"log ratio does not fall, or is not finite, near t={where:.3f}. Change its arguments."
            )
        return self

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        inner = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({inner})"


def library(t):
    """numpy for numpy arrays and numbers, else `keras.ops`: they name their functions alike."""
    return np if isinstance(t, (np.ndarray, np.generic, float, int)) else ops


def is_steep(schedule, t):
    """Whether the slope of alpha is infinite at t, which here is a large number: `Sigmoid` ends so."""
    return bool(abs(schedule.derivatives(np.float64(t))[0]) > 1e3)


def ends_without_signal(schedule, t=1.0):
    """Whether alpha is as good as 0 at t, the last time by default: sigma / alpha and the noise in x_t tell nothing."""
    return bool(schedule.alpha_sigma(np.float64(t))[0] < 1e-6)


def get_schedule(schedule):
    """A `Schedule` from itself, from its name, or from what `keras.saving.serialize_keras_object` made of it."""
    from keras_gen.diffusion.schedules import NAMES

    if isinstance(schedule, str) and schedule in NAMES:
        schedule = NAMES[schedule]()
    if isinstance(schedule, dict):
        schedule = keras.saving.deserialize_keras_object(schedule)
    if not isinstance(schedule, Schedule):
        raise ValueError(f"Expected `schedule` as a `Schedule`, or one of {sorted(NAMES)}. Received: {schedule!r}.")
    return schedule.check_monotone()


def check_number(value, name, low=0.0, high=float("inf")):
    """`value` as a float in the open interval (low, high)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low < value < high:
        raise ValueError(f"Expected `{name}` as a number between {low} and {high}. Received: {name}={value!r}.")
    return float(value)
