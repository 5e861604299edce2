"""The probability flow: an ordinary differential equation with the marginals of the diffusion, and its likelihood.

    dx/dt = f(x, t) = alpha_t' D(x, t) + sigma_t' (x - alpha_t D(x, t)) / sigma_t                                (1)

carries p_t along (equation 1 of `keras_gen.diffusion.denoisers`). From t = 1 down to the schedule's least time it makes
samples, deterministically; upwards it measures a density, by the change of variables

    log p_least(x) = log p_1(x(1)) + int_least^1 tr df/dx dt,    p_1 ~ N(0, (alpha_1^2 d^2 + sigma_1^2) I),       (2)

d^2 the variance of the data, which matters where alpha_1 is not 0. What is measured is the density of data with the
noise of the least time in it: x_least = alpha x_0 + sigma eps. For a density of x_0, one draw of eps an example is
taken, and as x_least / alpha is x_0 + (sigma / alpha) eps, the density of x_0 blurred by sigma / alpha is

    log p(x_0) ~ log p_least(x_least) + D log alpha_least.                                                      (3)

The trace is exact, by one product a dimension, or Hutchinson's estimate e^T (df/dx) e with one e of signs an example.
Steps are those of Dormand and Prince, chosen for each example by its own error: a sample does not depend on its batch.

Reference:
    Y. Song et al., arXiv:2011.13456 (2021), equations 13, 36 to 40, appendix D; W. Grathwohl et al., arXiv:1810.01367
    (2019), for the trace.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend, integrate, random
from keras_gen.diffusion.schedules.base import check_number, is_steep


def velocity(denoiser, x, t, condition=None):
    """f of equation (1); t is `(batch,)`."""
    level = denoiser.schedule.level(t)
    prediction = denoiser.predict(x, level, condition)
    wide = level.over(x)
    return wide.alpha_slope * prediction.clean + wide.sigma_slope * prediction.noise(x, wide)


def least_time(schedule):
    """Where the flow ends: the schedule's least time, and no less than makes sigma positive."""
    return max(schedule.least_time, 1e-5 if float(schedule.alpha_sigma(np.float64(0.0))[1]) == 0.0 else 0.0)


def last_time(schedule):
    """Where the flow begins: 1, or just before, where alpha falls to 0 with an infinite slope (`Sigmoid`)."""
    return 1.0 - 1e-5 if is_steep(schedule, 1.0) else 1.0


class ProbabilityFlow:
    """Samples by equation (1), with steps chosen by Dormand and Prince's pair.

    Args:
        rtol, atol: tolerances, defaults 1e-4 each (Song et al. take 1e-5).
        max_steps: steps that an example may try, default 512; one that has not arrived then is NaN.

    Raises:
        ValueError: tolerances that are not positive.

    Example:
        >>> from keras_gen.diffusion import ProbabilityFlow
        >>> ProbabilityFlow(rtol=1e-5).get_config()["rtol"]
        1e-05

    Reference:
        Song et al. 2021, arXiv:2011.13456, section 4.3, appendix D.4.
    """

    def __init__(self, rtol=1e-4, atol=1e-4, max_steps=512):
        self.rtol, self.atol, self.max_steps = check_number(rtol, "rtol"), check_number(atol, "atol"), max_steps

    def solve(self, denoiser, x, condition=None, start=None, stop=None):
        """A `Solution` from x at `start` to `stop`, default the last and the least time; NaN where it stays behind."""
        start = last_time(denoiser.schedule) if start is None else start
        stop = least_time(denoiser.schedule) if stop is None else stop
        field = lambda t, x: velocity(denoiser, x, t, condition)  # noqa: E731
        options = {"rtol": self.rtol, "atol": self.atol, "max_steps": self.max_steps, "parameters": None}
        return arrived(integrate.solve_adaptive(field, x, start, stop, **options))

    def sample(self, denoiser, x, condition=None):
        """From noise x at t = 1 to the estimate of x_0 at the least time."""
        x = self.solve(denoiser, x, condition).state
        t = ops.full((ops.shape(x)[0],), least_time(denoiser.schedule), dtype=x.dtype)
        return denoiser.predict(x, denoiser.schedule.level(t), condition).clean

    def get_config(self):
        return {"rtol": self.rtol, "atol": self.atol, "max_steps": self.max_steps}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        return f"ProbabilityFlow({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


ProbabilityFlow = keras.saving.register_keras_serializable(package="keras_gen")(ProbabilityFlow)


def arrived(solution):
    """A `Solution` whose examples are NaN that stopped on the way: what they reached is neither data nor noise."""
    success = lambda x: ops.reshape(solution.success, (-1, *[1] * (len(x.shape) - 1)))  # noqa: E731
    state = keras.tree.map_structure(lambda x: ops.where(success(x), x, ops.full_like(x, np.nan)), solution.state)
    return solution._replace(state=state)


def log_density(denoiser, x_0, keys, condition=None, trace="exact", variance=1.0, flow=None):
    """Equations (2) and (3), `(batch,)`, nats.

    Args:
        denoiser: a denoiser of floats in the dtype of `x_0`.
        x_0: data `(batch, ...)`.
        keys: `(batch, 2)`, of eps and of Hutchinson's signs.
        condition: `(batch, ...)`, or None.
        trace: "exact" or "hutchinson".
        variance: d^2 of equation (2), default 1.
        flow: a `ProbabilityFlow` with the tolerances, default 1e-5.
    """
    flow, schedule = flow or ProbabilityFlow(1e-5, 1e-5), denoiser.schedule
    least, shape = least_time(schedule), tuple(x_0.shape[1:])
    alpha, sigma = (float(v) for v in schedule.alpha_sigma(np.float64(least)))
    draw, signs = random.split(keys, 2)
    x = alpha * x_0 + sigma * ops.cast(random.normal(draw, shape), x_0.dtype)
    probes = _probes(signs, shape, trace, x.dtype)
    field = lambda t, state: _with_trace(denoiser, t, state[0], condition, probes)  # noqa: E731
    start = (x, ops.zeros_like(x[(slice(None), *[0] * len(shape))]))
    options = {"rtol": flow.rtol, "atol": flow.atol, "max_steps": flow.max_steps, "parameters": None}
    end, grown = arrived(integrate.solve_adaptive(field, start, least, last_time(schedule), **options)).state
    alpha_1, sigma_1 = (float(v) for v in schedule.alpha_sigma(np.float64(last_time(schedule))))
    spread, size = alpha_1**2 * variance + sigma_1**2, math.prod(shape)
    squares = ops.sum(ops.reshape(end**2, (-1, size)), axis=1)
    prior = -0.5 * squares / spread - 0.5 * size * math.log(2.0 * math.pi * spread)
    return prior + grown + size * math.log(alpha)


def _probes(keys, shape, trace, dtype):
    """e: `(K, ...)` unit vectors, or `(batch, 1, ...)` signs."""
    if trace == "exact":
        size = math.prod(shape)
        return ops.convert_to_tensor(np.eye(size).reshape(1, size, *shape), dtype)
    if trace != "hutchinson":
        raise ValueError(f'Expected `trace` as "exact" or "hutchinson". Received: {trace!r}.')
    return 2.0 * ops.cast(random.uniform(keys, (1, *shape)) < 0.5, dtype) - 1.0


def _with_trace(denoiser, t, x, condition, probes):
    """f and tr df/dx, each e one product."""
    count, batch = probes.shape[1], ops.shape(x)[0]
    times, copies, given = (_repeated(v, count) for v in (t, x, condition))
    e = ops.reshape(ops.broadcast_to(probes, (batch, *probes.shape[1:])), ops.shape(copies))
    f, product = backend.vjp(lambda x: velocity(denoiser, x, times, given), copies, e)
    trace = ops.sum(ops.reshape(product * e, (batch, -1)), axis=1)
    return ops.reshape(f, (batch, count, *x.shape[1:]))[:, 0], trace


def _repeated(value, count):
    return value if value is None or count == 1 else ops.repeat(value, count, axis=0)
