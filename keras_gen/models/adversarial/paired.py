"""Games of image pairs: an image x made of an image y, judged by a discriminator and by the x that belongs to y.

The generator takes y alone, and what is left open it draws by its own dropout, or not at all. With c a content term,

    discriminator, K times:   E d(D(x, y), D(G(y), y)) + penalties
    generator:                E [content_weight c(x, G(y)) + adversarial_weight g(D(G(y), y))]

d and g an objective of `keras_gen.losses`, and D without y where the discriminator sees x alone. In the first
`content_steps` steps the adversarial weight is 0; the discriminator learns meanwhile.

**Pix2Pix** (Isola et al. 2017, equation 4) is this game with the L1 norm for c, a weight of 100 on it, a U-Net for G
whose dropout is its noise, in training and after, and a D of patches that sees y.

Reference:
    P. Isola, J. Zhu, T. Zhou, A. A. Efros, "Image-to-image translation with conditional adversarial networks",
    arXiv:1611.07004 (2017), equations 1 to 4, section 3.
"""

import keras
from keras import ops

from keras_gen import losses, networks
from keras_gen.models import inputs
from keras_gen.models.adversarial.checks import as_scores, check_not_negative, per_example
from keras_gen.models.adversarial.gan import GAN
from keras_gen.models.latent import apply_network


@keras.saving.register_keras_serializable(package="keras_gen")
class PairedGAN(GAN):
    """A GAN of x given an image y, without latents. `fit(x, y)`; `model(x, y)` is G(y), and so is `sample(n, y)`.

    Players: `"generator"`, `"discriminator"`.

    Args:
        event_shape: `(height, width, channels)` of x.
        condition_shape: of y; default that of x.
        generator: network y -> x; default `networks.TranslationResNet`.
        discriminator: network to scores, one an image `(batch, 1)` or one a patch `(batch, h, w, 1)`; default
            `networks.PatchDiscriminator`, of patches up to the size of x. It takes y as its `condition` if
            `conditional_discriminator`.
        content: c, "l1" (default), "l2" or a function of x and G(y) to `(batch,)`, such as a `losses.Perceptual`; one
            that is registered with Keras is saved with the model.
        content_weight, adversarial_weight: numbers >= 0, default 1.0 and 1.0.
        content_steps: steps of the generator for the content alone, default 0.
        conditional_discriminator: whether D sees y, default True.
        **kwargs: as of `GAN`: `loss`, `penalties`, `discriminator_steps`, `average`, `augment`, `seed` and so on.

    Raises:
        ValueError: labels as a condition, an unknown content, weights below 0; see also `GAN`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import PairedGAN
        >>> from keras_gen.networks import PatchDiscriminator, TranslationResNet
        >>> networks = {"generator": TranslationResNet((8, 8, 1), 4, 1), "discriminator": PatchDiscriminator((4,))}
        >>> model = PairedGAN((8, 8, 1), **networks, seed=0)
        >>> model.compile("adam")
        >>> x = y = np.zeros((4, 8, 8, 1), "float32")
        >>> sorted(model.fit(x, y, verbose=0).history)[:3]
        ['adversarial', 'content', 'discriminator_loss']

    Reference:
        Isola et al. 2017, arXiv:1611.07004, equations 1 to 4.
    """

    def __init__(
        self, event_shape, condition_shape=None, *, content="l1", content_weight=1.0, adversarial_weight=1.0,
        content_steps=0, conditional_discriminator=True, **kwargs,
    ):  # fmt: skip
        if kwargs.get("num_classes") is not None:
            raise ValueError(f"Expected an image as the condition of {type(self).__name__}. Received: num_classes.")
        if conditional_discriminator and kwargs.get("augment") is not None:
            raise ValueError(
                "Expected no `augment` with `conditional_discriminator`: x would be moved and y not. "
                f"Received: augment={kwargs['augment']!r}. Augment the pairs before `fit`."
            )
        error = losses.get_image_error(content, "content")
        self.content_weight = check_not_negative(content_weight, "content_weight")
        self.adversarial_weight = check_not_negative(adversarial_weight, "adversarial_weight")
        self.content_steps = 0 if content_steps == 0 else inputs.check_count(content_steps, "content_steps")
        self.conditional_discriminator = bool(conditional_discriminator)
        super().__init__(event_shape, 1, condition_shape=condition_shape or event_shape, **kwargs)
        self.content_name, self.content = content, error  # now, so that the weights of a layer are the model's

    def default_generator(self):
        return networks.TranslationResNet(self.event_shape, dtype=self.dtype_policy)

    def default_discriminator(self):
        options = {"normalization": None} if self.penalties else {}
        filters = networks.default_patch_filters(self.event_shape)
        return networks.PatchDiscriminator(filters, dtype=self.dtype_policy, **options)

    # The two networks as functions of tensors.

    def fake(self, z, condition=None, training=False, network=None):
        """G(y), `(batch, *event_shape)`, in float32 at least; there is no z."""
        y = apply_network(network or self.generator, self.condition_encoder(condition), training=training)
        if tuple(y.shape)[1:] != self.event_shape:
            raise ValueError(
                f"Expected a generator with output (batch, *{self.event_shape}). Received: {tuple(y.shape)}."
            )
        return ops.cast(y, self.real_dtype)

    def score(self, x, condition=None, training=False):
        given = self.condition_encoder(condition) if self.conditional_discriminator else None
        return as_scores(apply_network(self.discriminator, x, given, training), self.real_dtype, patches=True)

    def call(self, x, condition=None, training=False):
        """G(y), by the average generator if there is one."""
        return self.made(condition)

    def made(self, condition):
        """G(y) of the generator that samples: the average one if there is one."""
        return self.fake(None, condition, network=self.average_generator)

    def draw(self, n, noise=None):
        """None: nothing is drawn beside the generator's own dropout."""

    # Training.

    def generator_terms(self, batch):
        y = batch.condition
        fake = self.fake(None, y, training=True)
        score = self.score(self.seen(fake), y, training=True)
        real = self.score(self.seen(batch.x), y, training=True) if self.game.needs_real else None
        content = self.content(batch.x, fake)
        adversarial = per_example(self.game.generator(real, score))
        begun = ops.cast(self.steps >= self.content_steps, adversarial.dtype)
        loss = self.content_weight * content + self.adversarial_weight * begun * adversarial
        return {"loss": loss, "content": content, "adversarial": adversarial}

    def objective(self, x, condition=None, training=False):
        """Losses of both players, of the generator that samples, for `evaluate`: `loss` is the generator's."""
        fake = self.made(condition)
        scores = self.score(x, condition), self.score(fake, condition)
        d, g = (per_example(loss(*scores)) for loss in (self.game.discriminator, self.game.generator))
        content = self.content(x, fake)
        loss = self.content_weight * content + self.adversarial_weight * g
        logs = {"real_score": per_example(scores[0]), "fake_score": per_example(scores[1])}
        own = {"discriminator_loss": d, "generator_loss": loss, "content": content, "adversarial": g}
        return {"loss": loss, **own, **logs}

    # Samples.

    def generate(self, keys, condition=None, temperature=1.0, truncation=None):
        """G(y): the same for all keys."""
        return self.made(condition)

    def sample(self, n, condition=None, *, truncation=None, **kwargs):
        """G(y) of each condition, as `GenerativeModel.sample`; there is nothing to truncate."""
        if truncation is not None:
            raise ValueError(f"Expected no `truncation`: {type(self).__name__} has no latents. Received: {truncation}.")
        return super().sample(n, condition, **kwargs)

    def decode(self, *args, **kwargs):
        """Not of this family: images are made of images, `sample(n, condition)`."""
        raise NotImplementedError(f"{type(self).__name__} has no latents. Use `sample(n, condition)` or `predict`.")

    project = decode
    decoded = property(doc="Not of this family.")  # and nothing to export

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        own = ("content_weight", "adversarial_weight", "content_steps", "conditional_discriminator")
        config = {k: v for k, v in super().get_config().items() if k != "latent_dim"}
        content = self.content_name if isinstance(self.content_name, str) else serialize(self.content_name)
        return {**config, "content": content, **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="keras_gen")
class Pix2Pix(PairedGAN):
    """Images translated by example: a U-Net, an L1 term of weight 100, a discriminator of 70 x 70 patches.

    The paper's optimizers: `keras.optimizers.Adam(2e-4, beta_1=0.5)` for both, batches of 1. Its generator's dropout is
    on after training too, as the only noise; here `sample` and `predict` are without, so that they are functions of y.

    Args:
        event_shape: `(height, width, channels)` of x.
        condition_shape: of y; default that of x.
        generator: default `networks.TranslationUNet`.
        content_weight: default 100, the paper's.
        average: default None, as in the paper.
        **kwargs: as of `PairedGAN`.

    Raises:
        ValueError: see `PairedGAN`.

    Example:
        >>> from keras_gen.models import Pix2Pix
        >>> from keras_gen.networks import PatchDiscriminator, TranslationUNet
        >>> networks = {"generator": TranslationUNet((8, 8, 1), (4, 8)), "discriminator": PatchDiscriminator((4,))}
        >>> model = Pix2Pix((8, 8, 1), (8, 8, 3), **networks, seed=0)
        >>> model.content_weight, model.loss_name
        (100.0, 'non_saturating')

    Reference:
        Isola et al. 2017, arXiv:1611.07004, equation 4.
    """

    def __init__(self, event_shape, condition_shape=None, *, content_weight=100.0, average=None, **kwargs):
        super().__init__(event_shape, condition_shape, content_weight=content_weight, average=average, **kwargs)

    def default_generator(self):
        return networks.TranslationUNet(self.event_shape, dtype=self.dtype_policy)
