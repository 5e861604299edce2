"""The progressive GAN: both networks grow from small images to large ones, within one `fit`.

After s training steps the level of both networks (`networks.growing`: stage k counts with a_k = clip(g - (k - 1)),
between 0 and 1) is, for stages k = 1 ... K of which each is faded in over F steps and then held for H,

    g(s) = sum_k clip((s - H - (k - 1) (F + H)) / F, 0, 1),

0 for the first H steps and K from (K + 1) H + K F - H on. The level is a variable of each network, computed from the
number of steps: it is saved with the model, it goes on where a training is resumed, and the step that trains stage 0
is the one that trains stage K, compiled once. The data are brought to the level as the fakes are.

The objective is that of Wasserstein with gradient penalty, and keeps the scores of data near zero:

    discriminator:   E D(y) - D(x) + 10 (|grad D| - 1)^2 + 0.001 D(x)^2,        generator:   - E D(y).

Gradients are taken in images of the last size, whatever the level: where pixels are equal in blocks of m x m, the
distance of two images is m times that of the small ones, so that scores keep their unit as the networks grow.

Reference:
    T. Karras, T. Aila, S. Laine, J. Lehtinen, "Progressive growing of GANs for improved quality, stability, and
    variation", arXiv:1710.10196 (2018), section 2, appendix A.1.
"""

import keras
import numpy as np
from keras import ops

from keras_gen import losses, networks
from keras_gen.models import inputs
from keras_gen.models.adversarial.checks import check_between
from keras_gen.models.adversarial.gan import GAN
from keras_gen.networks.growing import at_level, growing_shape


@keras.saving.register_keras_serializable(package="keras_gen")
class ProgressiveGAN(GAN):
    """A GAN whose networks grow while it trains.

    Args:
        event_shape: `(height, width, channels)`; height and width are powers of two, at least 8.
        latent_dim: dimension of z, default 128.
        generator, discriminator: a `networks.GrowingGenerator` and a `networks.GrowingDiscriminator` of as many stages;
            default: those of the size, from 4 pixels on.
        fade_steps, hold_steps: F and H, default 1000 each. (The paper has 800,000 images each: 50,000 steps of 16.)
        drift: weight of D(x)^2, default 0.001 (the paper's); None for none.
        loss, penalties: default "wasserstein" and `losses.GradientPenalty()`.
        **kwargs: as of `GAN`.

    Raises:
        ValueError: a side that is no power of two, networks that do not grow or of different numbers of stages, numbers
            of steps that are no positive integers; see also `GAN`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import ProgressiveGAN
        >>> from keras_gen.networks import GrowingDiscriminator, GrowingGenerator
        >>> model = ProgressiveGAN(
        ...     (8, 8, 1), 4, generator=GrowingGenerator((8, 8, 1), (4, 4)),
        ...     discriminator=GrowingDiscriminator((4, 4)), fade_steps=4, hold_steps=2, seed=0,
        ... )
        >>> model.compile("adam")
        >>> history = model.fit(np.ones((16, 8, 8, 1)), batch_size=4, verbose=0)
        >>> model.level, model.sample(2, seed=0).shape  # after four steps: the last one was at (3 - 2) / 4
        (0.25, (2, 8, 8, 1))

    Reference:
        Karras et al. 2018, arXiv:1710.10196, section 2.
    """

    def __init__(
        self, event_shape, latent_dim=128, *, generator=None, discriminator=None, fade_steps=1000, hold_steps=1000,
        drift=1e-3, loss="wasserstein", penalties=None, **kwargs,
    ):  # fmt: skip
        growing_shape(event_shape)
        self.fade_steps = inputs.check_count(fade_steps, "fade_steps")
        self.hold_steps = inputs.check_count(hold_steps, "hold_steps")
        penalties = losses.GradientPenalty() if penalties is None else penalties
        super().__init__(
            event_shape, latent_dim, generator=generator, discriminator=discriminator, loss=loss, penalties=penalties,
            **kwargs,
        )  # fmt: skip
        self.drift = check_between(drift, "drift", 0.0, np.inf)
        self.stages = _stages(self.generator, self.discriminator)

    def default_generator(self):
        return networks.GrowingGenerator(self.event_shape, dtype=self.dtype_policy)

    def default_discriminator(self):
        filters = networks.GrowingGenerator(self.event_shape).filters[::-1]
        return networks.GrowingDiscriminator(filters, dtype=self.dtype_policy)

    def build(self, input_shape=None):
        if self.built:
            return
        if not self.discriminator.built:
            condition = (None, *self.condition_encoder.features_shape()) if self.conditional else None
            self.discriminator.build((None, *self.event_shape), condition)
        super().build(input_shape)
        for network in (self.generator, self.discriminator, self.average_generator):
            if network is not None:
                network.level.assign(0.0)

    @property
    def level(self):
        """g: how far the networks have grown, a number from 0 to the number of stages after the first."""
        self.synchronize()
        return float(ops.convert_to_numpy(self.generator.level.value))

    def level_after(self, steps):
        """g(s), of a number or tensor of steps, as a float32 tensor."""
        starts = self.hold_steps + np.arange(self.stages) * (self.fade_steps + self.hold_steps)
        gone = ops.cast(steps, "float32") - ops.convert_to_tensor(starts, "float32")
        return ops.sum(ops.clip(gone / self.fade_steps, 0.0, 1.0))

    def update(self, batch):
        level = self.level_after(self.steps)
        self.generator.level.assign(level)
        self.discriminator.level.assign(level)
        return super().update(batch)

    def at_level(self, x):
        """Data as they are at the level of the networks."""
        return at_level(x, self.discriminator, self.stages)

    def discriminator_terms(self, batch):
        terms = super().discriminator_terms(batch._replace(x=self.at_level(batch.x)))
        if self.drift is not None:
            terms["loss"] = terms["loss"] + self.drift * terms["real_score"] ** 2
        return terms

    def generator_terms(self, batch):
        return super().generator_terms(batch._replace(x=self.at_level(batch.x)))

    def objective(self, x, condition=None, training=False):
        return super().objective(self.at_level(x), condition, training)

    def call(self, x, condition=None, training=False):
        """The discriminator's score of x at the level of the networks, `(batch,)`."""
        return self.score(self.at_level(self._event(x)), condition, training)

    def get_config(self):
        own = ("fade_steps", "hold_steps", "drift")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _stages(generator, discriminator):
    """The number of stages after the first, of both networks."""
    kinds = (networks.GrowingGenerator, networks.GrowingDiscriminator)
    if not all(isinstance(n, k) for n, k in zip((generator, discriminator), kinds, strict=True)):
        raise ValueError(
            "Expected a `GrowingGenerator` and a `GrowingDiscriminator`. "
            f"Received: {type(generator).__name__} and {type(discriminator).__name__}."
        )
    stages = [len(network.filters) - 1 for network in (generator, discriminator)]
    if stages[0] != stages[1]:
        raise ValueError(
            "Expected a generator and a discriminator of equally many `filters`, one a stage. "
            f"Received: {generator.filters} and {discriminator.filters}."
        )
    return stages[0]
