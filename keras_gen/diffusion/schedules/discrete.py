"""Chains of T steps, and schedules whose last signal is taken away.

A chain x_k = sqrt(1 - beta_k) x_(k-1) + sqrt(beta_k) eps has alpha_k^2 = prod_(i <= k) (1 - beta_i) at t = k / T: it
is the table l_k = log alpha_k, k = 0, ..., T, with l linear between. Index n of programs that count from 0 is our k =
n + 1.
"""

import keras
import numpy as np
from keras import ops

from keras_gen.diffusion.schedules.base import LEAST_ALPHA, check_number, library
from keras_gen.diffusion.schedules.preserving import LEAST_LOG, Preserving
from keras_gen.layers.shapes import positive_int


class Chain(Preserving):
    """The schedule of a table beta_1, ..., beta_T."""

    def _set_betas(self, betas):
        self.betas, self.steps = betas, len(betas)
        self.least_time = 1.0 / self.steps
        self._table = np.maximum(np.concatenate([[0.0], 0.5 * np.cumsum(np.log1p(-betas))]), LEAST_LOG)

    def _place(self, t):
        """The step in which t lies, and l at its two ends."""
        xp = library(t)
        k = xp.clip(xp.floor(t * self.steps * (1 + 1e-7)), 0, self.steps - 1)
        if xp is np:
            k = np.asarray(k, "int64")
            return k, self._table[k], self._table[k + 1]
        table, index = ops.convert_to_tensor(self._table, t.dtype), ops.cast(k, "int32")
        return k, ops.take(table, index, axis=0), ops.take(table, index + 1, axis=0)

    def log_alpha(self, t):
        k, first, last = self._place(t)
        return first + (t * self.steps - k) * (last - first)

    def log_alpha_slope(self, t):
        _, first, last = self._place(t - 1e-3 / self.steps)  # of the step that ends at t, at the times of the chain
        return self.steps * (last - first)

    def time_of_log_alpha(self, log_alpha):
        if library(log_alpha) is np:
            return np.interp(-log_alpha, -self._table, np.arange(self.steps + 1) / self.steps)
        table = ops.convert_to_tensor(-self._table, log_alpha.dtype)
        k = ops.clip(ops.searchsorted(table, ops.reshape(-log_alpha, (-1,)), side="right") - 1, 0, self.steps - 1)
        k = ops.reshape(k, ops.shape(log_alpha))
        first, last = ops.take(table, k, axis=0), ops.take(table, k + 1, axis=0)
        return (ops.cast(k, log_alpha.dtype) + (-log_alpha - first) / (last - first)) / self.steps


@keras.saving.register_keras_serializable(package="keras_gen")
class LinearBeta(Chain):
    """DDPM's chain: beta_1, ..., beta_T equally spaced.

    Args:
        steps: T, default 1000.
        beta_start, beta_end: beta_1 and beta_T, defaults 1e-4 and 0.02, Ho et al.'s for T = 1000.
        scaled: whether the square roots of beta are equally spaced, as in latent diffusion; default False.

    Raises:
        ValueError: betas out of (0, 1), or that fall.

    Example:
        >>> from keras_gen.diffusion import LinearBeta
        >>> round(float(LinearBeta().alpha_sigma(1.0)[0]) ** 2 * 1e5, 2)
        4.04

    Reference:
        Ho, Jain, Abbeel 2020, arXiv:2006.11239, section 4; scaled: Rombach et al. 2022, arXiv:2112.10752.
    """

    def __init__(self, steps=1000, beta_start=1e-4, beta_end=0.02, scaled=False):
        count, self.scaled = positive_int(steps, "steps"), bool(scaled)
        self.beta_start = check_number(beta_start, "beta_start", 0.0, 1.0)
        self.beta_end = check_number(beta_end, "beta_end", np.nextafter(self.beta_start, 0.0), 1.0)
        ends = np.array([self.beta_start, self.beta_end]) ** (0.5 if scaled else 1.0)
        self._set_betas(np.linspace(*ends, count) ** (2 if scaled else 1))

    def get_config(self):
        betas = {"beta_start": self.beta_start, "beta_end": self.beta_end}
        return {"steps": self.steps, **betas, "scaled": self.scaled}


@keras.saving.register_keras_serializable(package="keras_gen")
class Discrete(Chain):
    """A schedule of preserved variance as a chain: beta_k = 1 - (alpha_k / alpha_(k-1))^2, held below `max_beta`.

    Args:
        schedule: such as `Cosine()`, with alpha^2 + sigma^2 = 1.
        steps: T, default 1000.
        max_beta: default 0.999.

    Raises:
        ValueError: a schedule that does not preserve variance.

    Example:
        >>> from keras_gen.diffusion import Cosine, Discrete
        >>> chain = Discrete(Cosine(), 1000)
        >>> chain.steps, bool(chain.alpha_sigma(1.0)[0] > 0)
        (1000, True)

    Reference:
        Nichol, Dhariwal 2021, arXiv:2102.09672, section 3.2.
    """

    def __init__(self, schedule, steps=1000, max_beta=0.999):
        self.schedule = check_preserving(schedule)
        self.max_beta = check_number(max_beta, "max_beta", 0.0, 1.0)
        table = self.schedule.log_alpha(np.arange(positive_int(steps, "steps") + 1) / steps)
        self._set_betas(np.minimum(-np.expm1(2.0 * np.diff(table)), self.max_beta))

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": inner, "steps": self.steps, "max_beta": self.max_beta}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "schedule": keras.saving.deserialize_keras_object(config["schedule"])})


@keras.saving.register_keras_serializable(package="keras_gen")
class ZeroTerminalSNR(Preserving):
    """A schedule whose signal ends at exactly nothing: alpha' = (alpha - alpha_1) alpha_0 / (alpha_0 - alpha_1).

    alpha_0 is that of the first step, 1 / T, where there are steps; it stays as it is.

    Args:
        schedule: such as `LinearBeta()`, with alpha^2 + sigma^2 = 1. Of a network that predicts epsilon, a pure noise
            tells nothing: use "v", "x0" or "velocity".

    Raises:
        ValueError: a schedule that does not preserve variance.

    Example:
        >>> from keras_gen.diffusion import LinearBeta, ZeroTerminalSNR
        >>> float(ZeroTerminalSNR(LinearBeta()).alpha_sigma(1.0)[0]) < 1e-8
        True

    Reference:
        Lin et al. 2023, arXiv:2305.08891, algorithm 1.
    """

    def __init__(self, schedule):
        self.schedule = check_preserving(schedule)
        self.steps, self.least_time = schedule.steps, schedule.least_time
        first, last = np.exp(schedule.log_alpha(np.array([1.0 / schedule.steps if schedule.steps else 0.0, 1.0])))
        self._scale = first / (first - last)
        self._constant = 1.0 - self._scale * (1.0 - last)  # 1 - alpha' where alpha = 1

    def _lost(self, t):
        """1 - alpha'."""
        xp = library(t)
        return xp.clip(self._constant - self._scale * xp.expm1(self.schedule.log_alpha(t)), 0.0, 1.0 - LEAST_ALPHA)

    def log_alpha(self, t):
        xp, lost = library(t), self._lost(t)
        near = xp.log(xp.maximum(self._scale * (xp.exp(self.schedule.log_alpha(t)) - self._last()), LEAST_ALPHA))
        return xp.where(lost < 0.5, xp.log1p(-xp.minimum(lost, 0.9)), near)

    def _last(self):
        return float(np.exp(self.schedule.log_alpha(np.array(1.0))))

    def log_alpha_slope(self, t):
        xp = library(t)
        inner = self.schedule.log_alpha(t)
        return self._scale * xp.exp(inner - self.log_alpha(t)) * self.schedule.log_alpha_slope(t)

    def time_of_log_alpha(self, log_alpha):
        """alpha = 1 - (1 - alpha' - constant) / scale."""
        xp = library(log_alpha)
        lost = xp.maximum((-xp.expm1(log_alpha) - self._constant) / self._scale, 0.0)
        return self.schedule.time_of_log_alpha(xp.log1p(-xp.minimum(lost, 1.0 - 1e-7 if xp is ops else 1.0 - 1e-15)))

    def get_config(self):
        return {"schedule": keras.saving.serialize_keras_object(self.schedule)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]))


def check_preserving(schedule):
    """`schedule`, if alpha^2 + sigma^2 = 1."""
    inside = np.linspace(0.1, 1.0, 10)
    if not isinstance(schedule, Preserving) or np.abs(np.square(schedule.alpha_sigma(inside)).sum(0) - 1).max() > 1e-9:
        raise ValueError(f"Expected `schedule` with alpha^2 + sigma^2 = 1, such as Cosine(). Received: {schedule!r}.")
    return schedule

