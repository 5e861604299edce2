"""In-painting: data of which a part is known.

By replacement: after each step to a time s the known part is put in with the noise of s,

    x_s <- m (alpha_s x + sigma_s z) + (1 - m) x_s,                                                             (1)

m being 1 where x is known. The unknown part then sees the known one at the same level of noise, but what was joined
does not fit: the known part never heard of the other. RePaint goes over each step U times: from s back to t by the
forward process, x_t = alpha_t|s x_s + sigma_t|s z, and again. The step and the way back are one turn here,

    a' = alpha_t|s a,  c' = alpha_t|s c,  d'^2 = (alpha_t|s d)^2 + sigma_t|s^2,                                  (2)

the sum of two normal draws being one.

Reference:
    J. Sohl-Dickstein et al., arXiv:1503.03585 (2015), section 3.3; Y. Song et al., arXiv:2011.13456 (2021), appendix
    I.2; A. Lugmayr et al., "RePaint", arXiv:2201.09865 (2022), algorithm 1, with jumps of one step.
"""

import keras
import numpy as np
from keras import ops

from keras_gen import random
from keras_gen.diffusion.samplers import Sampler, get_sampler
from keras_gen.diffusion.samplers.one_step import transition
from keras_gen.layers.shapes import positive_int


def replacement(x, known):
    """The function (1) for `constrain` of a sampler: x the data, known a mask of 0 and 1, tensors `(n, ...)`."""

    def constrain(x_s, level, keys):
        wide = level.over(x_s)
        noisy = wide.alpha * x + wide.sigma * ops.cast(random.normal(keys, tuple(x.shape[1:])), x.dtype)
        return known * noisy + (1.0 - known) * x_s

    return constrain


@keras.saving.register_keras_serializable(package="keras_gen")
class RePaint(Sampler):
    """A sampler that makes each step `resamples` times, with the way back between: equation (2).

    Args:
        sampler: a sampler of one evaluation a step that remembers none, or its name; default "ancestral".
        resamples: U, default 10, Lugmayr et al.'s.

    Raises:
        ValueError: a sampler that remembers, fewer than one resample.

    Example:
        >>> from keras_gen.diffusion import Cosine, RePaint, times
        >>> RePaint(resamples=3).table(Cosine(), times(Cosine(), 10))[1]
        28

    Reference:
        Lugmayr et al. 2022, arXiv:2201.09865, algorithm 1.
    """

    order = None

    def __init__(self, sampler="ancestral", resamples=10):
        self.sampler, self.resamples = get_sampler(sampler), positive_int(resamples, "resamples")
        if not self.sampler.is_chain:
            raise ValueError(f'Expected a sampler that remembers nothing, such as "ddim". Received: {sampler!r}.')
        if getattr(self.sampler, "variance", None) == "learned":
            raise ValueError('Expected a fixed variance, "small" or "large", for RePaint. Received: "learned".')

    def evaluations(self, steps):
        return self.resamples * (steps - 1) + 1

    def turns(self, schedule, times):
        *steps, last = self.sampler.turns(schedule, times)
        return [turn for step in steps for turn in self._again(schedule, step)] + [last]

    def _again(self, schedule, step):
        later, earlier = (schedule.level(np.float64(t)) for t in (step.t, step.after))
        ratio, variance = later.alpha / earlier.alpha, transition(later, earlier)[0]
        noise = np.sqrt((ratio * step.noise) ** 2 + variance)
        weights = tuple(ratio * c for c in step.predictions)
        back = step._replace(x=ratio * step.x, predictions=weights, noise=noise, after=step.t)
        return [back] * (self.resamples - 1) + [step]

    def get_config(self):
        return {"sampler": keras.saving.serialize_keras_object(self.sampler), "resamples": self.resamples}
