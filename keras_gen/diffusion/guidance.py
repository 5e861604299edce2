"""Guidance: denoisers around a denoiser, whose samples are pulled towards a condition.

**By a classifier.** log p(x_t given c) = log p(x_t) + log p(c given x_t) + constant, so that the score of a sharpened
law p_t(x_t) p(c given x_t)^s gains s grad log p(c given x_t), and, by Tweedie's formula,

    D' = D + s sigma_t^2 / alpha_t grad_(x_t) log p(c given x_t).                                               (1)

Where the ratio is beyond what a network is told, below exp(-20), x_t tells nothing of c and the gradient is rounding,
which 1 / alpha_t would make the sample: there D' = D.

**Without one.** A network that has also learned p(x_t), the condition being left out at random, gives
grad log p(c given x_t) as the difference of two scores, so that

    D' = D(x_t) + s (D(x_t, c) - D(x_t)).                                                                       (2)

The scale s: 1 is the conditional model itself, 0 the unconditional one, above 1 is guidance. Ho and Salimans write w
= s - 1; Rombach et al. and diffusers write s. Either way the law at t = 0 is not p(x) p(c given x)^s, but for s = 0
and 1: each level is tilted, not the path.

Reference:
    P. Dhariwal, A. Nichol, arXiv:2105.05233 (2021), equations 10 to 13, algorithms 1, 2; J. Ho, T. Salimans,
    arXiv:2207.12598 (2022), equation 6.
"""

from keras import ops

from keras_gen import backend
from keras_gen.diffusion.denoisers import Prediction, Wrapper
from keras_gen.diffusion.schedules import LARGEST_LOG_SNR, Level


class ClassifierFree(Wrapper):
    """Equation (2).

    Args:
        denoiser: one that was trained with conditions left out at random.
        scale: s: a number, or a tensor. 1 is the conditional model.
        null: function of a condition that gives what stands for none; default zeros.

    Reference:
        Ho, Salimans 2022, arXiv:2207.12598, equation 6, with w = s - 1.
    """

    def __init__(self, denoiser, scale, null=ops.zeros_like):
        super().__init__(denoiser)
        self.scale, self.null = scale, null

    def predict(self, x_t, level, condition=None, training=False):
        """One pass over both halves of a batch twice as large."""
        twice = lambda v: ops.concatenate([v, v], axis=0)  # noqa: E731
        given = ops.concatenate([condition, self.null(condition)], axis=0)
        both = self.denoiser.predict(twice(x_t), Level(*(twice(v) for v in level)), given, training)
        with_c, without = ops.split(both.clean, 2, axis=0)
        place = None if both.variance is None else ops.split(both.variance, 2, axis=0)[0]
        return Prediction(without + self.scale * (with_c - without), place)


class ClassifierGuided(Wrapper):
    """Equation (1).

    Args:
        denoiser: a denoiser, with a condition or without.
        log_probability: function of (x_t, log_snr), tensors `(batch, ...)` and `(batch,)`, that gives log p(c given
            x_t), `(batch,)`, for the condition that is wanted: of a classifier that has learned noisy data.
        scale: s, default 1.

    Raises:
        ValueError: more than one number an example, such as the logits of all classes.

    Reference:
        Dhariwal, Nichol 2021, arXiv:2105.05233, algorithms 1, 2.
    """

    def __init__(self, denoiser, log_probability, scale=1.0):
        super().__init__(denoiser)
        self.log_probability, self.scale = log_probability, scale

    def predict(self, x_t, level, condition=None, training=False):
        prediction = self.denoiser.predict(x_t, level, condition, training)
        pull = backend.grad(lambda x: _one_each(self.log_probability(x, level.log_snr)), x_t)
        wide = level.over(x_t)
        gain = ops.where(wide.log_snr > -LARGEST_LOG_SNR, self.scale * wide.sigma**2 / wide.alpha, 0.0)
        return prediction._replace(clean=prediction.clean + gain * pull)


def _one_each(log_probability):
    """What a classifier gives, if it is of one class."""
    if len(log_probability.shape) != 1:
        raise ValueError(
            "Expected `log_probability` as a function that gives one number an example, (batch,): log p(c given x_t) "
            f"of the class that is wanted. Received: shape {tuple(log_probability.shape)}."
        )
    return log_probability
