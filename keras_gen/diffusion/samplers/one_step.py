"""Samplers of one evaluation a step: the chain of DDPM, DDIM, Euler.

From t to s < t, with D the estimate of x_0 and the normal law of x_s given x_t and x_0, of variance (equation 2 of
`keras_gen.diffusion.schedules`)

    s2 = sigma_t|s^2 sigma_s^2 / sigma_t^2  (least)    or    sigma_t|s^2  (largest, where variance is preserved), (1)

DDIM has eps = (x - alpha_t D) / sigma_t and, with 0 <= eta,

    x_s = alpha_s D + sqrt(sigma_s^2 - eta^2 s2) eps + eta sqrt(s2) z.                                          (2)

eta = 1 is DDPM with the least variance, eta = 0 deterministic: Euler's step of the probability flow in both pairs of
coordinates of `keras_gen.diffusion.samplers.base`, its last step included. Euler's step in t itself is

    x_s = x + (s - t) (alpha' D + sigma' eps).                                                                  (3)

A network that learns its variances gives v in [0, 1], and log variance = v log sigma_t|s^2 + (1 - v) log s2.

Reference:
    J. Ho et al., arXiv:2006.11239 (2020), equations 6, 7, algorithm 2; J. Song et al., arXiv:2010.02502 (2021),
    equations 12, 16; A. Nichol, P. Dhariwal, arXiv:2102.09672 (2021), equation 15.
"""

import keras
import numpy as np
from keras import ops

from keras_gen.diffusion.samplers.base import Sampler, Turn, last_turn, levels
from keras_gen.diffusion.schedules.base import check_number, is_steep


def transition(later, earlier):
    """sigma_t|s^2 and the least variance s2 of (1), from the level of t and that of s."""
    variance = later.sigma**2 - (later.alpha / earlier.alpha) ** 2 * earlier.sigma**2
    return variance, variance * earlier.sigma**2 / later.sigma**2


@keras.saving.register_keras_serializable(package="keras_gen")
class DDIM(Sampler):
    """Equation (2).

    Args:
        eta: share of the noise of DDPM, default 0: none. Any eta >= 0 for which the root of (2) is real.

    Raises:
        ValueError: a negative eta, or one too large for the steps.

    Example:
        >>> from keras_gen.diffusion import DDIM, Cosine, times
        >>> table, turns = DDIM().table(Cosine(), times(Cosine(), 50))
        >>> turns
        50

    Reference:
        Song, Meng, Ermon 2021, arXiv:2010.02502, equations 12, 16.
    """

    def __init__(self, eta=0.0):
        self.eta = check_number(eta, "eta", -1e-12)

    def turns(self, schedule, times):
        at = levels(schedule, times)
        return [*(self._between(t, s) for t, s in zip(at, at[1:], strict=False)), last_turn(times[-1])]

    def _between(self, t, s):
        spread = self.eta**2 * transition(t, s)[1]
        if spread > s.sigma**2 * (1 + 1e-9):
            raise ValueError(f"Expected eta with eta^2 s2 <= sigma_s^2 at each step. Received: eta={self.eta}.")
        x = np.sqrt(max(s.sigma**2 - spread, 0.0)) / t.sigma
        return Turn(t.t, x, (s.alpha - x * t.alpha,), noise=np.sqrt(spread), after=s.t)

    def get_config(self):
        return {"eta": self.eta}


@keras.saving.register_keras_serializable(package="keras_gen")
class Ancestral(Sampler):
    """DDPM's chain backwards: the mean of x_s given x_t and x_0 = D, and noise of a fixed or learned variance.

    Args:
        variance: "small" (default), the least of (1), "large", or "learned", where the network gives it.

    Raises:
        ValueError: another variance; "learned" of a denoiser that learns none.

    Example:
        >>> from keras_gen.diffusion import Ancestral, LinearBeta, times
        >>> table, turns = Ancestral("large").table(LinearBeta(), times(LinearBeta(), 1000))
        >>> turns, float(table["noise"][turns - 1])
        (1000, 0.0)

    Reference:
        Ho et al. 2020, arXiv:2006.11239, section 3.2, algorithm 2; Nichol, Dhariwal 2021, arXiv:2102.09672, equation
        15.
    """

    names = ("log_small", "log_large")

    def __init__(self, variance="small"):
        if variance not in ("small", "large", "learned"):
            raise ValueError(f'Expected `variance` as "small", "large" or "learned". Received: {variance!r}.')
        self.variance = variance

    def turns(self, schedule, times):
        at = levels(schedule, times)
        return [*(self._between(t, s) for t, s in zip(at, at[1:], strict=False)), last_turn(times[-1])]

    def _between(self, t, s):
        large, small = transition(t, s)
        x = t.alpha / s.alpha * s.sigma**2 / t.sigma**2
        scale = {"small": np.sqrt(small), "large": np.sqrt(large), "learned": 1.0}[self.variance]
        extra = {"log_small": np.log(small), "log_large": np.log(large)}
        return Turn(t.t, x, (s.alpha * large / t.sigma**2,), noise=scale, after=s.t, extra=extra)

    def step(self, state, prediction, row, noise, level, after):
        if self.variance == "learned":
            if prediction.variance is None:
                raise ValueError('Expected variance "small" or "large": this network learns no variances.')
            place = ops.cast(prediction.variance, noise.dtype)
            noise = noise * ops.exp(0.5 * (place * row["log_large"] + (1.0 - place) * row["log_small"]))
        return super().step(state, prediction, row, noise, level, after)

    def get_config(self):
        return {"variance": self.variance}


@keras.saving.register_keras_serializable(package="keras_gen")
class Euler(Sampler):
    """Euler's steps of the probability flow in t: equation (3).

    For the straight line of `Rectified` they are `DDIM`'s; where the schedule bends, larger errors of the same order.

    Raises:
        ValueError: a grid that begins where alpha falls with an infinite slope, as `Sigmoid` does at t = 1.

    Example:
        >>> import numpy as np
        >>> from keras_gen.diffusion import DDIM, Euler, Rectified, times
        >>> grid = times(Rectified(), 10)
        >>> a, b = (s.table(Rectified(), grid)[0] for s in (Euler(), DDIM()))
        >>> bool(np.allclose(a["x"], b["x"], atol=1e-6) and np.allclose(a["p0"], b["p0"], atol=1e-6))
        True

    Reference:
        Song et al. 2021, arXiv:2011.13456, equation 13; Lipman et al. 2023, arXiv:2210.02747.
    """

    def turns(self, schedule, times):
        at = levels(schedule, times)
        if is_steep(schedule, times[0]):
            raise ValueError(
                f"Expected a schedule of finite slopes for Euler's steps in t. Received: {schedule!r} at t={times[0]}. "
                "Take DDIM(), Euler's steps in a variable in which the slope is finite."
            )
        return [*(self._between(t, s) for t, s in zip(at, at[1:], strict=False)), last_turn(times[-1])]

    def _between(self, t, s):
        bend = t.sigma_slope / t.sigma
        return Turn(t.t, 1.0 + (s.t - t.t) * bend, ((s.t - t.t) * (t.alpha_slope - bend * t.alpha),), after=s.t)
