"""Objectives of adversarial games.

A discriminator D gives data x ~ p and fakes y ~ q a score, a real number; where it is read as a probability of being
real, that is sigmoid(D). With s(a) = log(1 + e^a), so that log sigmoid(a) = -s(-a) and log(1 - sigmoid(a)) = -s(a), the
losses of an example, and what the discriminator's loss is at the best D, are

    name                   discriminator                          generator              at the best D
    minimax                s(-D(x)) + s(D(y))                     -s(D(y))               log 4 - 2 JS(p, q)
    non_saturating         s(-D(x)) + s(D(y))                     s(-D(y))               log 4 - 2 JS(p, q)
    least_squares          (D(x) - 1)^2 / 2 + D(y)^2 / 2          (D(y) - 1)^2 / 2       1/4 - T(p, q) / 8
    hinge                  max(0, 1 - D(x)) + max(0, 1 + D(y))    -D(y)                  2 - 2 TV(p, q)
    wasserstein            D(y) - D(x)                            -D(y)                  -W(p, q), if |D|_Lipschitz <= 1
    relativistic           s(D(y) - D(x))                         s(D(x) - D(y))         <= log 2, equal if p = q
    relativistic_average   s(-(D(x) - E D(y))) + s(D(y) - E D(x)) the sides exchanged    <= log 4, equal if p = q

with JS = KL(p, m)/2 + KL(q, m)/2 and m = (p + q)/2, TV = 1/2 int |p - q|, T = int (p - q)^2 / (p + q), and the best D

    log p/q  (minimax, non_saturating),    p / (p + q)  (least_squares),    sign(p - q)  (hinge).

The generator of minimax lowers JS, but its gradient dies where D is sure of a fake, sigmoid(D(y)) -> 0; that of
non_saturating does not, and at the best D lowers KL(q, p) - 2 JS instead. JS, TV and T are constant where p and q do
not meet, so that they give no direction unless D is smooth: hence the penalties of `keras_gen.losses.penalties`. W
gives one, and needs D to be 1-Lipschitz: a critic without a constraint has no finite optimum, and its scores diverge.

Reference:
    I. Goodfellow et al., "Generative adversarial networks", arXiv:1406.2661 (2014), eq. 1, theorem 1.
    M. Arjovsky, S. Chintala, L. Bottou, "Wasserstein GAN", arXiv:1701.07875 (2017), eq. 2; and "Towards principled
    methods", arXiv:1701.04862 (2017), theorem 2.5, for the non-saturating generator.
    X. Mao et al., "Least squares generative adversarial networks", arXiv:1611.04076 (2016), eq. 9.
    J. H. Lim, J. C. Ye, "Geometric GAN", arXiv:1705.02894 (2017), for the hinge.
    A. Jolicoeur-Martineau, "The relativistic discriminator", arXiv:1807.00734 (2018), eq. 3 and 6.
"""

import keras
from keras import ops

from keras_gen.losses.batches import batch_mean


class AdversarialLoss:
    """A game of two players; a subclass gives two losses per example. `scores` are `(batch,)`.

    A subclass that is passed to a model as an object is registered, as Keras asks for, to be saved with it.
    """

    lipschitz = False
    """Whether the discriminator must be held 1-Lipschitz by a penalty, by clipping or by its layers."""

    unbounded = True
    """Whether the best scores are any real numbers, which a discriminator that ends in a sigmoid cannot give."""

    def discriminator(self, real, fake):
        """Loss of the discriminator, `(batch,)`, of the scores of data and of fakes."""
        raise NotImplementedError

    def generator(self, real, fake):
        """Loss of the generator, `(batch,)`; `real` is None unless `needs_real`."""
        raise NotImplementedError

    needs_real = False
    """Whether the generator's loss sees the scores of data."""

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_gen")
class Minimax(AdversarialLoss):
    """The game of Goodfellow et al., eq. 1: the generator's gradient dies where the discriminator is sure."""

    def discriminator(self, real, fake):
        return ops.softplus(-real) + ops.softplus(fake)

    def generator(self, real, fake):
        return -ops.softplus(fake)


@keras.saving.register_keras_serializable(package="keras_gen")
class NonSaturating(Minimax):
    """The discriminator of the minimax game; the generator maximises log sigmoid(D(y)) (section 3)."""

    def generator(self, real, fake):
        return ops.softplus(-fake)


@keras.saving.register_keras_serializable(package="keras_gen")
class LeastSquares(AdversarialLoss):
    """Mao et al., eq. 9: targets 1 for data, 0 for fakes, 1 for the generator."""

    unbounded = False

    def discriminator(self, real, fake):
        return 0.5 * ops.square(real - 1.0) + 0.5 * ops.square(fake)

    def generator(self, real, fake):
        return 0.5 * ops.square(fake - 1.0)


@keras.saving.register_keras_serializable(package="keras_gen")
class Hinge(AdversarialLoss):
    """Lim and Ye 2017: scores beyond the margin count no more."""

    def discriminator(self, real, fake):
        return ops.relu(1.0 - real) + ops.relu(1.0 + fake)

    def generator(self, real, fake):
        return -fake


@keras.saving.register_keras_serializable(package="keras_gen")
class Wasserstein(AdversarialLoss):
    """Arjovsky et al. 2017, eq. 2; the critic must be 1-Lipschitz."""

    lipschitz = True

    def discriminator(self, real, fake):
        return fake - real

    def generator(self, real, fake):
        return -fake


@keras.saving.register_keras_serializable(package="keras_gen")
class Relativistic(AdversarialLoss):
    """Jolicoeur-Martineau 2018, eq. 3: each fake against a real example of its own."""

    needs_real = True

    def discriminator(self, real, fake):
        return ops.softplus(fake - real)

    def generator(self, real, fake):
        return ops.softplus(real - fake)


@keras.saving.register_keras_serializable(package="keras_gen")
class RelativisticAverage(AdversarialLoss):
    """Jolicoeur-Martineau 2018, eq. 6: each example against the mean score of the other side, over the batch."""

    needs_real = True

    def discriminator(self, real, fake):
        return ops.softplus(batch_mean(fake) - real) + ops.softplus(fake - batch_mean(real))

    def generator(self, real, fake):
        return self.discriminator(fake, real)


ADVERSARIAL_LOSSES = {
    "minimax": Minimax,
    "non_saturating": NonSaturating,
    "least_squares": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
    "relativistic": Relativistic,
    "relativistic_average": RelativisticAverage,
}


def get_adversarial_loss(loss):
    """The `AdversarialLoss` of a name; one that is given stays as it is.

    Args:
        loss: a name of `ADVERSARIAL_LOSSES`, or an `AdversarialLoss`.

    Raises:
        ValueError: another name or object.

    Example:
        >>> import numpy as np
        >>> from keras_gen.losses import get_adversarial_loss
        >>> hinge = get_adversarial_loss("hinge")
        >>> [round(float(v), 1) for v in hinge.discriminator(np.array([0.2, 3.0]), np.array([-0.5, -2.0]))]
        [1.3, 0.0]
    """
    if isinstance(loss, AdversarialLoss):
        return loss
    if not isinstance(loss, str) or loss not in ADVERSARIAL_LOSSES:
        raise ValueError(
            f"Expected `loss` as one of {list(ADVERSARIAL_LOSSES)} or an `AdversarialLoss`. Received: {loss!r}."
        )
    return ADVERSARIAL_LOSSES[loss]()
