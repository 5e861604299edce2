"""Adversarial autoencoders: codes that follow a prior because a discriminator of codes cannot tell them from it.

An autoencoder z = e(x), x' = d(z) reconstructs. Over the data its codes have some distribution q(z). Here q is led to a
prior p(z), of which only draws are needed, by a game in the latent space: draws of p are its data and codes its fakes
(Makhzani et al. 2016, section 2). With l the reconstruction error of `models.Autoencoder`,

    discriminator:    E d(D(z_p), D(e(x))),   z_p ~ p
    autoencoder:      E [l(x, d(e(x))) + weight g(D(e(x)))]

A VAE asks for more: its KL makes each q(z | x) like p, here only their mixture q(z) = E q(z | x). So the prior may be
anything that can be drawn from, a mixture with its modes apart for instance, and samples are d(z), z ~ p. Deviation:
the paper takes the two terms of the autoencoder in turn, here they are one step, with the weight between them.

Reference:
    A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow, B. Frey, "Adversarial autoencoders", arXiv:1511.05644 (2016),
    section 2 and figure 1; the deterministic encoder of section 2.
"""

import keras
from keras import ops

from keras_gen import backend, losses, networks, random
from keras_gen.distributions import Normal
from keras_gen.models.adversarial.checks import as_scores, check_positive
from keras_gen.models.autoencoder import Autoencoder
from keras_gen.models.latent import apply_network


@keras.saving.register_keras_serializable(package="keras_gen")
class AdversarialAutoencoder(Autoencoder):
    """An autoencoder whose codes follow a prior. `model(x)` is the reconstruction; it samples.

    Players: `"autoencoder"` (encoder and decoder), `"discriminator"` (of codes).

    Args:
        event_shape: shape of one example.
        latent_dim: dimension of z, default 2, which can be drawn as a plane.
        encoder, decoder, reconstruction: as of `Autoencoder`.
        discriminator: network z -> score, `(batch, 1)`; default `networks.DenseDiscriminator()`.
        prior: p(z): whatever has `generate`, a `Distribution` of event shape `(latent_dim,)` for instance, such as a
            `Mixture`. Default N(0, I).
        loss: the game, as of `GAN`; default "non_saturating".
        weight: of the game for the autoencoder, default 1.
        seed: of the draws of the prior in training.

    Raises:
        ValueError: a prior that does not fit or cannot be drawn from; a game that compares scores of data and fakes for
            the generator; see also `Autoencoder`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import AdversarialAutoencoder
        >>> model = AdversarialAutoencoder((8, 8, 1), latent_dim=2, seed=0)
        >>> model.compile("adam")
        >>> history = model.fit(np.ones((32, 8, 8, 1)), verbose=0)
        >>> model.encode(np.ones((3, 8, 8, 1))).shape, model.sample(4, seed=0).shape
        ((3, 2), (4, 8, 8, 1))

    Reference:
        Makhzani et al. 2016, arXiv:1511.05644, section 2.
    """

    def __init__(
        self, event_shape, latent_dim=2, *, discriminator=None, prior=None, loss="non_saturating", weight=1.0,
        seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(event_shape, latent_dim, **kwargs)
        self.discriminator = discriminator or networks.DenseDiscriminator(dtype=self.dtype_policy)
        self.prior, self.seed = prior, seed
        self.loss_name, self.game = loss, losses.get_adversarial_loss(loss)
        if self.game.needs_real:
            raise ValueError(f"Expected a game whose generator sees fakes alone, not relativistic. Received: {loss!r}.")
        self.weight = check_positive(weight, "weight")
        origin = ops.zeros((self.latent_dim,), self.real_dtype)
        self._standard_normal = Normal(origin, 1.0, event_shape=(self.latent_dim,))
        self._check_prior()
        self.noise, self.test_noise = random.Noise(seed), random.Noise(seed)

    def _check_prior(self):
        if not hasattr(self.prior_distribution(), "generate"):
            raise ValueError(f"Expected a `prior` with `generate(keys)`. Received: {type(self.prior).__name__}.")
        shape = tuple(self.prior_draw(random.keys(0, 2)).shape)
        if shape != (2, self.latent_dim):
            raise ValueError(f"Expected a `prior` over ({self.latent_dim},). Received one over {shape[1:]}.")

    @property
    def players(self):
        autoencoder = [self.encoder, self.to_code, self.decoder, self.output_head]
        return {"autoencoder": autoencoder, "discriminator": self.discriminator}

    def prior_distribution(self):
        """p(z): what was given as `prior`, or N(0, I)."""
        return self._standard_normal if self.prior is None else self.prior

    def prior_draw(self, keys, temperature=1.0):
        """z ~ p, one for each key."""
        return ops.cast(self.prior_distribution().generate(keys, temperature=temperature), self.real_dtype)

    def score(self, z, training=False):
        """D(z), `(batch,)`."""
        return as_scores(apply_network(self.discriminator, z, training=training), self.real_dtype)

    def _code(self, x, training=False):
        return ops.cast(self.code(x, training=training), self.real_dtype)

    def discriminator_terms(self, batch):
        """Dict of the discriminator's loss and its scores of draws of the prior and of codes, each `(batch,)`."""
        fake = backend.no_grad(lambda: self._code(batch.x, training=True))
        real = backend.no_grad(lambda: self.prior_draw(self.noise.keys(ops.shape(batch.x)[0])))
        scores = [self.score(z, training=True) for z in (real, fake)]
        return {"loss": self.game.discriminator(*scores), "real_score": scores[0], "fake_score": scores[1]}

    def autoencoder_terms(self, batch):
        """Dict of the autoencoder's loss and the reconstruction error in it, each `(batch,)`."""
        z = self._code(batch.x, training=True)
        reconstruction = self._distance(batch.x, self._output(z, training=True))
        g = self.game.generator(None, self.score(z, training=True))
        return {"loss": reconstruction + self.weight * g, "reconstruction": reconstruction}

    def update(self, batch):
        logs = self.minimize(lambda: self.discriminator_terms(batch), "discriminator", batch)
        return logs | self.minimize(lambda: self.autoencoder_terms(batch), "autoencoder", batch)

    def objective(self, x, condition=None, training=False):
        """Losses of both players, for `evaluate`: `loss` is the autoencoder's."""
        z = self._code(x)
        real, fake = self.score(self.prior_draw(self.test_noise.keys(ops.shape(x)[0]))), self.score(z)
        reconstruction = self._distance(x, self._output(z))
        loss = reconstruction + self.weight * self.game.generator(None, fake)
        logs = {"reconstruction": reconstruction, "real_score": real, "fake_score": fake}
        d = self.game.discriminator(real, fake)
        return {"loss": loss, "autoencoder_loss": loss, "discriminator_loss": d, **logs}

    def generate(self, keys, condition=None, temperature=1.0):
        return self.decoded(self.prior_draw(keys, temperature))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "discriminator": serialize(self.discriminator),
            "prior": None if self.prior is None else serialize(self.prior),
            "loss": self.loss_name if isinstance(self.loss_name, str) else serialize(self.loss_name),
            "weight": self.weight,
            "seed": self.seed,
        }
