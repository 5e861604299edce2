"""Guidance of a diffusion model: which denoiser draws (`keras_gen.diffusion.guidance`)."""

import contextlib

import numpy as np

from keras_gen import diffusion
from keras_gen.diffusion.schedules.base import check_number


class Guiding:
    """Mixin of `DiffusionModel`: the denoiser of samples, pulled towards a condition."""

    _pull = None

    @contextlib.contextmanager
    def guided_by(self, log_probability, scale=1.0):
        """Within it all that draws (`sample`, `trajectory`, `inpaint`, `image_to_image`) is guided by a classifier:

            D' = D + s sigma_t^2 / alpha_t grad_(x_t) log p(c given x_t).

        Likelihoods, codes and `predict` are not. Within another `guided_by` this one holds alone.

        Args:
            log_probability: function of (x_t, log_snr), tensors `(batch, *event_shape)` in the range -1 to 1 of the
                model plus noise, and `(batch,)`, that gives log p(c given x_t), `(batch,)`, of a classifier that has
                learned data with noise. Its weights are read on entry.
            scale: s, a number; 1 is the law given c, above is sharper. Default 1.

        Raises:
            ValueError: what is no function, or a scale that is no number.

        Example:
            >>> from keras import ops
            >>> from keras_gen import models, networks
            >>> model = models.EDM((2,), networks.DenoisingMLP((2,), hidden=(8,)), seed=0)
            >>> to_the_right = lambda x_t, log_snr: ops.log_sigmoid(10.0 * x_t[:, 0])
            >>> with model.guided_by(to_the_right, scale=4.0):
            ...     x = model.sample(100, seed=0)
            >>> bool(x[:, 0].mean() > 0.5)
            True

        Reference:
            P. Dhariwal, A. Nichol, arXiv:2105.05233 (2021), algorithms 1, 2.
        """
        if not callable(log_probability):
            raise ValueError(
                "Expected `log_probability` as a function of (x_t, log_snr). Received: "
                f"log_probability={log_probability!r}."
            )
        scale = check_number(scale, "scale", -np.inf)
        before, compiled = self._pull, self._compiled_functions
        self._compiled_functions = {}
        self._pull = lambda denoiser: diffusion.ClassifierGuided(denoiser, log_probability, scale)
        try:
            yield self
        finally:
            self._pull, self._compiled_functions = before, compiled

    def _guided(self, guidance, clip=True):
        """What draws: the average of the weights, guided, its estimates within the range of the data."""
        denoiser = self.best(clip=False)
        if guidance is not None:
            denoiser = diffusion.ClassifierFree(denoiser, guidance)
        if self._pull is not None:
            denoiser = self._pull(denoiser)
        return diffusion.Clipped(denoiser) if clip and self.data_range is not None else denoiser

    def _check_guidance(self, guidance):
        if guidance is None:
            return None
        if not self.unconditional:
            raise ValueError(
                "Expected no `guidance`: this model was not trained without a condition. Received: "
                f"guidance={guidance!r}. Make it with a condition and `unconditional` above 0."
            )
        number = isinstance(guidance, (int, float, np.number)) and not isinstance(guidance, bool)
        if not number or not np.isfinite(guidance):
            raise ValueError(f"Expected `guidance` as a finite number. Received: guidance={guidance!r}.")
        return np.float32(guidance)
