"""VAE-GAN: a variational autoencoder whose reconstruction is judged by the features of a discriminator.

A VAE's likelihood compares pixels. Here the decoder is the generator G of a GAN, and x and its reconstruction are
compared in the features f of the discriminator, as if f(x) ~ N(f(G(z)), I) (Larsen et al. 2016, eq. 7 to 9):

    KL  = KL(q(z | x), N(0, I)),        R = |f(x) - f(G(z))|^2 / 2,      z ~ q(z | x)

The discriminator D tells data from reconstructions y = G(z) and from samples y_p = G(z_p), z_p ~ N(0, I), and each
player has a loss of its own (their algorithm 1):

    encoder:          E [KL + R]
    generator:        E [gamma R + (g(D(y)) + g(D(y_p))) / 2]
    discriminator:    E [d(D(x), D(y)) + d(D(x), D(y_p))] / 2 + penalties between x and y_p

R is no term of the discriminator, which would make its features vanish. Deviations: f are the last features before the
score; y and y_p together weigh as much as x (in the paper each of them does).

Reference:
    A. B. L. Larsen, S. K. Soenderby, H. Larochelle, O. Winther, "Autoencoding beyond pixels using a learned similarity
    metric", arXiv:1512.09300 (2016).
"""

import keras
from keras import ops

from keras_gen import backend, layers
from keras_gen.distributions import Normal, kl_divergence
from keras_gen.models.adversarial.checks import as_scores, check_between
from keras_gen.models.adversarial.encoding import EncodingGAN
from keras_gen.models.adversarial.features import check_features


@keras.saving.register_keras_serializable(package="keras_gen")
class VAEGAN(EncodingGAN):
    """A GAN with a variational encoder. `model(x)` is the reconstruction G(E_q z).

    Players: `"encoder"`, `"generator"`, `"discriminator"`.

    Args:
        event_shape: shape of one example.
        latent_dim: dimension of z, default 128, the paper's.
        encoder: network x -> features `(batch, features)`; default `networks.default_encoder`. A head for q(z | x),
            a normal, follows.
        gamma: weight of R for the generator, default 1e-2: more reconstructs, less satisfies the discriminator. R grows
            with the number and the size of the features.
        generator, discriminator: as of `GAN`; a discriminator of your own needs `features` and `output_map`.
        **kwargs: as of `GAN`, without a condition.

    Raises:
        ValueError: a condition, a discriminator without features, a `gamma` that is not positive; see also `GAN`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import VAEGAN
        >>> model = VAEGAN((8, 8, 1), latent_dim=2, seed=0)
        >>> model.compile("adam")
        >>> history = model.fit(np.ones((32, 8, 8, 1)), verbose=0)
        >>> model.encode(np.ones((3, 8, 8, 1))).shape, sorted(history.history)[:2]
        ((3, 2), ['discriminator_loss', 'encoder_loss'])

    Reference:
        Larsen et al. 2016, arXiv:1512.09300, eq. 9 and algorithm 1.
    """

    def __init__(self, event_shape, latent_dim=128, *, encoder=None, gamma=1e-2, **kwargs):
        if gamma is None:
            raise ValueError("Expected `gamma` as a positive number. Received: None.")
        self.gamma = check_between(gamma, "gamma", 0.0, float("inf"))
        super().__init__(event_shape, latent_dim, encoder=encoder, **kwargs)
        check_features(self.discriminator)
        if not self.discriminator.built:
            self.discriminator.build((None, *self.event_shape))
        self.posterior_head = layers.get_head("normal", (self.latent_dim,), dtype=self.dtype_policy)
        self._prior = Normal(ops.zeros((self.latent_dim,), self.real_dtype), 1.0, event_shape=(self.latent_dim,))

    @property
    def players(self):
        return {
            "encoder": [self.encoder, self.posterior_head],
            "generator": self.generator,
            "discriminator": self.discriminator,
        }

    def posterior(self, x, training=False):
        """q(z | x) as a `Distribution`."""
        return self.posterior_head.distribution(self.encoded(x, training))

    def code(self, x, condition=None):
        return self.posterior(x).mean()

    def judged(self, x, training=False):
        """f(x) in float32 at least, and D(x)."""
        f = self.discriminator.features(x, training=training)
        return ops.cast(f, self.real_dtype), as_scores(self.discriminator.output_map(f), self.real_dtype)

    def score(self, x, condition=None, training=False):
        return self.judged(x, training)[1]

    def drawn(self, q, noise=None):
        """z ~ q, reparameterised."""
        return q.mean() + q.scale * self.draw(ops.shape(q.mean())[0], noise)

    def difference(self, real, fake):
        """R of features of data and of their reconstructions, `(batch,)`."""
        return 0.5 * ops.sum(ops.square(real - fake), axis=-1)

    # Training.

    def discriminator_terms(self, batch):
        def fakes():
            y = self.fake(self.drawn(self.posterior(batch.x, training=True)), training=True)
            return y, self.fake(self.draw(ops.shape(batch.x)[0]), training=True)

        real, (y, fake) = self.seen(batch.x), backend.no_grad(fakes)
        fake = self.seen(fake)
        scores = [self.score(x, training=True) for x in (real, self.seen(y), fake)]
        terms = self.discriminator_losses(scores[::2], real, fake, None)
        other = self.game.discriminator(*scores[:2]) - self.game.discriminator(*scores[::2])
        return {**terms, "loss": terms["loss"] + 0.5 * other}

    def encoder_terms(self, batch):
        q = self.posterior(batch.x, training=True)
        kl = kl_divergence(q, self._prior)
        y = self.fake(self.drawn(q), training=True)
        difference = self.difference(self.judged(batch.x, True)[0], self.judged(y, True)[0])
        return {"loss": kl + difference, "kl": kl, "feature_error": difference}

    def generator_terms(self, batch):
        x = batch.x
        z = backend.no_grad(lambda: self.drawn(self.posterior(x, training=True)))
        f, _ = self.judged(x, training=True)
        real = self.score(self.seen(x), training=True) if self.game.needs_real else None
        y, fake = self.fake(z, training=True), self.fake(self.draw(ops.shape(x)[0]), training=True)
        f_y, score = self.judged(y, training=True)
        score = score if self.augment is None else self.score(self.seen(y), training=True)
        scores = [score, self.score(self.seen(fake), training=True)]
        g = sum(self.game.generator(real, s) for s in scores) / 2.0
        return {"loss": self.gamma * self.difference(f, f_y) + g}

    def update(self, batch):
        return self.turns(batch, {"encoder": self.encoder_terms, "generator": self.generator_terms})

    def objective(self, x, condition=None, training=False):
        """Losses of the players and |x - G(E_q z)|^2, for `evaluate`: `loss` is the encoder's."""
        q = self.posterior(x)
        y, fake = self.fake(self.drawn(q, self.test_noise)), self.fake(self.draw(ops.shape(x)[0], self.test_noise))
        (f, real), (f_y, score), (_, fake_score) = (self.judged(t) for t in (x, y, fake))
        kl, difference = kl_divergence(q, self._prior), self.difference(f, f_y)
        d = sum(self.game.discriminator(real, s) for s in (score, fake_score)) / 2.0
        g = sum(self.game.generator(real, s) for s in (score, fake_score)) / 2.0 + self.gamma * difference
        losses = {"encoder_loss": kl + difference, "generator_loss": g, "discriminator_loss": d}
        logs = {"kl": kl, "feature_error": difference, "squared_error": self.squared_error(x)}
        return {"loss": kl + difference, **losses, **logs}

    def get_config(self):
        return {**super().get_config(), "gamma": self.gamma}
