"""Recipes: `GAN` with the choices of one paper as defaults.

    class     objective (`keras_gen.losses`)    D is held by                   K    optimizers of the paper
    DCGAN     non_saturating                    batch normalisation            1    Adam(2e-4, beta_1=0.5)
    LSGAN     least_squares                     batch normalisation            1    Adam(2e-4, beta_1=0.5)
    WGAN      wasserstein                       weights in [-0.01, 0.01]       5    RMSprop(5e-5)
    WGANGP    wasserstein                       10 (|grad D(x_t)| - 1)^2       5    Adam(1e-4, beta_1=0, beta_2=0.9)

Momentum is left out where the Wasserstein game is played: the critic's loss is not stationary, and WGAN diverged with
it (Arjovsky et al. 2017, section 4). WGANGP's discriminator has no batch normalisation: its penalty is of the gradient
of one example's score in that example, and batch normalisation would make the score depend on the others (Gulrajani et
al. 2017, section 4). None of the four papers averages the generator, so `average` is None here; it is an argument as
every other of `GAN`. Deviations: z is normal (the papers of DCGAN draw it uniform), kernels and weights as in
`networks.dcgan`, and the sizes of the networks follow the data.

Reference:
    A. Radford, L. Metz, S. Chintala, "Unsupervised representation learning with deep convolutional generative
    adversarial networks", arXiv:1511.06434 (2016), sections 3 and 4.
    X. Mao et al., "Least squares generative adversarial networks", arXiv:1611.04076 (2016), eq. 9.
    M. Arjovsky, S. Chintala, L. Bottou, "Wasserstein GAN", arXiv:1701.07875 (2017), algorithm 1.
    I. Gulrajani et al., "Improved training of Wasserstein GANs", arXiv:1704.00028 (2017), algorithm 1.
"""

import keras

from keras_gen import losses, networks
from keras_gen.models.adversarial.gan import GAN
from keras_gen.networks.default import default_filters


@keras.saving.register_keras_serializable(package="keras_gen")
class DCGAN(GAN):
    """The GAN of Radford et al. 2016: convolutional networks with batch normalisation. For images.

    The paper's optimizers: `keras.optimizers.Adam(2e-4, beta_1=0.5)` for both, batches of 128.

    Args:
        event_shape: `(height, width, channels)`.
        latent_dim: default 100.
        **kwargs: as of `GAN`; `average` is None by default.

    Raises:
        ValueError: data that are no images; see also `GAN`.

    Example:
        >>> from keras_gen.models import DCGAN
        >>> model = DCGAN((28, 28, 1), seed=0)
        >>> model.loss_name, model.latent_dim, model.sample(2, seed=0).shape
        ('non_saturating', 100, (2, 28, 28, 1))

    Reference:
        Radford et al. 2016, arXiv:1511.06434, sections 3 and 4.
    """

    def __init__(self, event_shape, latent_dim=100, *, average=None, **kwargs):
        super().__init__(event_shape, latent_dim, average=average, **kwargs)

    def default_generator(self):
        return networks.DCGANGenerator(self.event_shape, self._filters()[::-1], dtype=self.dtype_policy)

    def default_discriminator(self):
        return networks.DCGANDiscriminator(self._filters(), dtype=self.dtype_policy)

    def _filters(self):
        """Of the discriminator's stages, by the size; one stage for images of 8 pixels or fewer."""
        return tuple(2 * count for count in default_filters(self.event_shape)) or (64,)


@keras.saving.register_keras_serializable(package="keras_gen")
class LSGAN(GAN):
    """The GAN of Mao et al. 2016: least squares, targets 1 for data, 0 for fakes, 1 for the generator.

    The paper's optimizers: `keras.optimizers.Adam(2e-4, beta_1=0.5)` for both (Adam(1e-3) on LSUN), batches of 64.

    Args:
        event_shape: shape of one example.
        latent_dim: default 100.
        **kwargs: as of `GAN`; `average` is None by default.

    Raises:
        ValueError: see `GAN`.

    Example:
        >>> from keras_gen.models import LSGAN
        >>> LSGAN((2,), seed=0).loss_name
        'least_squares'

    Reference:
        Mao et al. 2016, arXiv:1611.04076, eq. 9.
    """

    def __init__(self, event_shape, latent_dim=100, *, loss="least_squares", average=None, **kwargs):
        super().__init__(event_shape, latent_dim, loss=loss, average=average, **kwargs)


@keras.saving.register_keras_serializable(package="keras_gen")
class WGAN(GAN):
    """The GAN of Arjovsky et al. 2017: a critic of clipped weights estimates the Wasserstein distance, up to a factor.

    The paper's optimizers: `keras.optimizers.RMSprop(5e-5)` for both, 64 examples a step of the critic, so batches of
    320 with five steps.

    Args:
        event_shape: shape of one example.
        latent_dim: default 100.
        clip: bound of the critic's weights, default 0.01.
        discriminator_steps: steps of the critic a step of the generator, default 5.
        **kwargs: as of `GAN`; `average` is None by default.

    Raises:
        ValueError: see `GAN`.

    Example:
        >>> from keras_gen.models import WGAN
        >>> model = WGAN((2,), seed=0)
        >>> model.loss_name, model.clip, model.discriminator_steps
        ('wasserstein', 0.01, 5)

    Reference:
        Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1.
    """

    def __init__(
        self, event_shape, latent_dim=100, *, loss="wasserstein", clip=0.01, discriminator_steps=5, average=None,
        **kwargs,
    ):  # fmt: skip
        own = {"loss": loss, "clip": clip, "discriminator_steps": discriminator_steps, "average": average}
        super().__init__(event_shape, latent_dim, **own, **kwargs)


@keras.saving.register_keras_serializable(package="keras_gen")
class WGANGP(GAN):
    """The GAN of Gulrajani et al. 2017: a critic whose gradient has norm 1 between data and fakes, by a penalty.

    The paper's optimizers: `keras.optimizers.Adam(1e-4, beta_1=0.0, beta_2=0.9)` for both, 64 examples a step of the
    critic, so batches of 320 with five steps.

    Args:
        event_shape: shape of one example.
        latent_dim: default 128, as in the paper's program.
        penalties: default `losses.GradientPenalty(10.0)`.
        discriminator_steps: steps of the critic a step of the generator, default 5.
        **kwargs: as of `GAN`; `average` is None by default. The default discriminator has no batch normalisation.

    Raises:
        ValueError: see `GAN`.

    Example:
        >>> from keras_gen.models import WGANGP
        >>> model = WGANGP((28, 28, 1), seed=0)
        >>> model.penalties[0].weight, model.discriminator.normalization
        (10.0, None)

    Reference:
        Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1.
    """

    def __init__(
        self, event_shape, latent_dim=128, *, loss="wasserstein", penalties=None, discriminator_steps=5, average=None,
        **kwargs,
    ):  # fmt: skip
        penalties = losses.GradientPenalty() if penalties is None else penalties
        own = {"penalties": penalties, "discriminator_steps": discriminator_steps, "average": average}
        super().__init__(event_shape, latent_dim, loss=loss, **own, **kwargs)

    def default_discriminator(self):
        return networks.default_discriminator(self.event_shape, normalization=None, dtype=self.dtype_policy)
