"""Samplers with Langevin steps: annealed Langevin dynamics, and predictor and corrector.

At a fixed level of noise with score g, steps

    x <- x + e g + sqrt(2 e) z                                                                                  (1)

draw from p_t as e -> 0. Annealed dynamics makes L of them at each level, from the noisiest on, with e = c sigma_t^2 /
2 (Song and Ermon's alpha_i / 2 at sigma_i; here of x_t / alpha_t times alpha_t, so that there must be an alpha). A
corrector makes them after each step of another sampler, the predictor, with

    e = 2 a r^2 sigma_t^2,    a = alpha_t^2 / alpha_s^2 of the step that led there,                              (2)

r the ratio of noise to signal. Song et al. have (|z| / |g|)^2, norms averaged over the batch, in the place of
sigma_t^2, which is that ratio where x_t is mostly noise. A sample would then depend on its neighbours; and with norms
of its own, on a score that happens to vanish.

The reverse-diffusion predictor of Song et al. and DDPM's `Ancestral` differ by terms of second order in the step: we
take the latter.

Reference:
    Y. Song, S. Ermon, arXiv:1907.05600 (2019), algorithm 1; Y. Song et al., arXiv:2011.13456 (2021), algorithms 1 to 5,
    appendix G.
"""

import keras
import numpy as np

from keras_gen.diffusion.samplers.base import Sampler, Turn, get_sampler, last_turn, levels
from keras_gen.diffusion.schedules.base import check_number, ends_without_signal
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class AnnealedLangevin(Sampler):
    """L steps (1) at each level of the grid, e = step_size sigma_t^2 / 2.

    Args:
        inner_steps: L, default 5.
        step_size: c, default 0.1.

    It needs many levels, each near the one before: with L = 5, Song and Ermon's 232 levels from sigma = 50 to 0.01.
    With a model's 32 the noise of the first ones is still there at the end.

    Raises:
        ValueError: numbers that are not positive; a grid that begins without any signal.

    Example:
        >>> from keras_gen.diffusion import AnnealedLangevin, VarianceExploding, times
        >>> AnnealedLangevin(5).table(VarianceExploding(), times(VarianceExploding(), 10))[1]
        51

    Reference:
        Song, Ermon 2019, arXiv:1907.05600, algorithm 1. The last turn, Tweedie's estimate, is A. Jolicoeur-Martineau et
        al.'s, arXiv:2009.05475; 232 levels: Song, Ermon 2020, arXiv:2006.09011.
    """

    order = None

    def __init__(self, inner_steps=5, step_size=0.1):
        self.inner_steps, self.step_size = positive_int(inner_steps, "inner_steps"), check_number(step_size,
        "step_size")

    def evaluations(self, steps):
        return self.inner_steps * steps + 1

    def turns(self, schedule, times):
        at, turns = levels(schedule, times), []
        if ends_without_signal(schedule, times[0]):
            raise ValueError(
                f"Expected a grid that begins with some signal, for x_t / alpha_t. Received: {schedule!r} at "
                f"t={times[0]}. Take a schedule such as VarianceExploding(), or another sampler."
            )
        for level, after in zip(at, [*at[1:], at[-1]], strict=True):
            ratio = after.alpha / level.alpha
            for i in range(self.inner_steps):
                turns.append(self._inner(level, ratio if i == self.inner_steps - 1 else 1.0, after))
        return [*turns, last_turn(times[-1])]

    def _inner(self, level, ratio, after):
        """x + e g, g = (alpha D - x) / sigma^2, in the scale of the next level where it is the last one."""
        share = 0.5 * self.step_size
        weights = (ratio * share * level.alpha,)
        noise = ratio * np.sqrt(self.step_size) * level.sigma
        return Turn(level.t, ratio * (1.0 - share), weights, noise=noise, after=after.t)

    def get_config(self):
        return {"inner_steps": self.inner_steps, "step_size": self.step_size}


@keras.saving.register_keras_serializable(package="keras_gen")
class PredictorCorrector(Sampler):
    """A step of a predictor, then `corrections` steps (1), (2) at the level that it has reached.

    Args:
        predictor: a sampler of one evaluation a step that remembers none, or its name; default "ancestral".
        corrections: default 1.
        signal_to_noise: r, default 0.16 (Song et al., CIFAR-10).

    Raises:
        ValueError: a predictor that remembers, numbers that are not positive.

    Example:
        >>> from keras_gen.diffusion import PredictorCorrector, VariancePreserving, times
        >>> PredictorCorrector().table(VariancePreserving(), times(VariancePreserving(), 10))[1]
        19

    Reference:
        Song et al. 2021, arXiv:2011.13456, algorithms 1, 4, 5.
    """

    order = None
    least_steps = 1

    def __init__(self, predictor="ancestral", corrections=1, signal_to_noise=0.16):
        self.predictor = get_sampler(predictor)
        self.corrections = positive_int(corrections, "corrections")
        self.signal_to_noise = check_number(signal_to_noise, "signal_to_noise")
        self.names = self.predictor.names
        if not self.predictor.is_chain:
            raise ValueError(
                f"Expected `predictor` of one evaluation a step that remembers no other: \"ancestral\", \"ddim\". "
                f"Received: {predictor!r}."
            )

    def evaluations(self, steps):
        return steps + self.corrections * (steps - 1)

    def turns(self, schedule, times):
        *steps, last = self.predictor.turns(schedule, times)
        at, turns = levels(schedule, times), []
        for before, level, turn in zip(at, at[1:], steps, strict=False):
            turns += [turn, *[self._corrector(before, level)] * self.corrections]
        return [*turns, last]

    def _corrector(self, before, level):
        """x + e g + sqrt(2 e) z, g = (alpha D - x) / sigma^2."""
        share = 2.0 * (before.alpha / level.alpha * self.signal_to_noise) ** 2
        noise = np.sqrt(2.0 * share) * level.sigma
        return Turn(level.t, 1.0 - share, (share * level.alpha,), noise=noise, after=level.t)

    def step(self, state, prediction, row, noise, level, after):
        return self.predictor.step(state, prediction, row, noise, level, after)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.predictor)
        return {"predictor": inner, "corrections": self.corrections, "signal_to_noise": self.signal_to_noise}

