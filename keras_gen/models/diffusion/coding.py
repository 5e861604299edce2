"""Latents of a diffusion model: where the probability flow carries data to.

The flow dx/dt of `keras_gen.diffusion.flow` is an ordinary differential equation. Followed from the least time to 1 it
makes of each x one z, followed back it makes of z that x again: z = x(1) / sqrt(alpha_1^2 d^2 + sigma_1^2), nearly
standard normal. A straight line between two z passes through lengths that normal vectors of many dimensions never have;
so `interpolate` goes along the great circle,

    z(s) = (sin((1 - s) w) a + sin(s w) b) / sin w,    w the angle between a and b.                              (1)

Reference:
    Y. Song et al., arXiv:2011.13456 (2021), section 4.3; J. Song et al., arXiv:2010.02502 (2021), section 5.3, appendix
    D.5, for (1); K. Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
"""

import numpy as np
from keras import ops

from keras_gen import diffusion
from keras_gen.diffusion import flow
from keras_gen.models.latent import Coding


class FlowCoding(Coding):
    """Mixin of `DiffusionModel`: `encode`, `decode`, `reconstruct`, `interpolate`, by the probability flow."""

    @property
    def latent_shape(self):
        """That of events."""
        return self.event_shape

    def _latent_scale(self):
        alpha, sigma = (float(v) for v in self.schedule.alpha_sigma(np.float64(1.0)))
        return float(np.sqrt(alpha**2 * self.prior_variance() + sigma**2))

    def _flow(self):
        """The model's sampler if it follows the flow, with its tolerances; else tolerances of 1e-5."""
        follows = isinstance(self.sampler, diffusion.ProbabilityFlow)
        return self.sampler if follows else diffusion.ProbabilityFlow(1e-5, 1e-5)

    def code(self, x, condition=None):
        least = flow.least_time(self.schedule)
        start = float(self.schedule.alpha_sigma(np.float64(least))[0]) * self.scaled(x)
        stop = flow.last_time(self.schedule)
        solution = self._flow().solve(self.best(clip=False), start, self.encoded(condition), least, stop)
        return solution.state / self._latent_scale()

    def decoded(self, z, condition=None):
        start, given = self._latent_scale() * ops.cast(z, self.real_dtype), self.encoded(condition)
        x_0 = self._flow().sample(self.best(clip=False), start, given)
        return self.unscaled(x_0 if self.data_range is None else ops.clip(x_0, -1.0, 1.0))

    def _reconstruct(self, x, condition):
        return self.decoded(self.code(self._event(x), condition), condition)

    def between(self, a, b, shares):
        """Equation (1), `(n, steps, *event_shape)`; parallel a and b: the straight line."""
        flat = [v.reshape(len(v), -1).astype("float64") for v in (a, b)]
        lengths = [np.maximum(np.linalg.norm(v, axis=1), 1e-12) for v in flat]
        angle = np.arccos(np.clip((flat[0] * flat[1]).sum(axis=1) / (lengths[0] * lengths[1]), -1.0, 1.0))[:, None]
        sine, far = np.sin(angle), np.sin(angle) > 1e-4
        safe = np.where(far, sine, 1.0)
        weights = [
            np.where(far, np.sin(s * angle) / safe, s) for s in (1.0 - shares[None], shares[None])
        ]  # each (n, steps)
        line = sum(w[..., None] * v[:, None] for w, v in zip(weights, flat, strict=True))
        return line.reshape(len(a), len(shares), *self.event_shape).astype(a.dtype)
