"""BiGAN: a generator and an encoder that meet in a discriminator of pairs.

The generator makes pairs (G(z), z), z ~ p(z), the encoder pairs (x, E(x)), x from the data. A discriminator D(x, z) of
pairs is to score those of data high (Donahue et al. 2017, eq. 2; at its best the others minimise the Jensen-Shannon
divergence of the two joint distributions),

    discriminator:    E d(D(x, E(x)), D(G(z), z)) + penalties of the pair
    generator:        E g(D(G(z), z))
    encoder:          E g(D'(x, E(x))),     D' = - D the score with the sides exchanged (1 - D for least squares)

where the joint distributions agree G and E are each other's inverse: G(E(x)) = x, though no term asks for it. A
relativistic game has one loss g(D(x, E(x)), D(G(z), z)) for both. D takes z as its condition: beside x in dense
networks, as constant channels in convolutional ones. Penalties take the gradient in the pair as one vector.

Deviation: by default there is one, R1: without a penalty the codes of an encoder that has no batch normalisation can
collapse to nearly one point. Reconstruction comes late; few latents and batch normalisation in the encoder hasten it.

Reference:
    J. Donahue, P. Kraehenbuehl, T. Darrell, "Adversarial feature learning", arXiv:1605.09782 (2017), eq. 2 and section
    3.4; V. Dumoulin et al., "Adversarially learned inference", arXiv:1606.00704 (2017).
"""

import math

import keras
from keras import ops

from keras_gen import backend
from keras_gen.losses import R1, LeastSquares
from keras_gen.models.adversarial.checks import as_scores
from keras_gen.models.adversarial.encoding import EncodingGAN
from keras_gen.models.latent import apply_network


@keras.saving.register_keras_serializable(package="keras_gen")
class BiGAN(EncodingGAN):
    """A GAN that also learns the way back, x -> z. `model(x)` is the reconstruction G(E(x)).

    Players: `"generator"`, `"encoder"`, `"discriminator"`.

    Args:
        event_shape: shape of one example.
        latent_dim: dimension of z, default 50, the paper's for MNIST.
        encoder: network x -> features `(batch, features)`; default `networks.default_encoder`. A dense layer to z
            follows.
        generator, discriminator: as of `GAN`; the discriminator receives z as its `condition`.
        penalties: of the pair, as of `GAN`; default `losses.R1(1.0)`; () for none, as in the paper.
        **kwargs: as of `GAN`, without a condition.

    Raises:
        ValueError: a condition; see also `GAN`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import BiGAN
        >>> model = BiGAN((2,), latent_dim=2, seed=0)
        >>> model.compile("adam")
        >>> history = model.fit(np.ones((32, 2)), verbose=0)
        >>> model.encode(np.ones((3, 2))).shape, model.reconstruct(np.ones((3, 2))).shape
        ((3, 2), (3, 2))

    Reference:
        Donahue et al. 2017, arXiv:1605.09782, eq. 2.
    """

    def __init__(self, event_shape, latent_dim=50, *, encoder=None, penalties=None, **kwargs):
        penalties = R1(1.0) if penalties is None else penalties
        super().__init__(event_shape, latent_dim, encoder=encoder, penalties=penalties, **kwargs)
        self.to_code = keras.layers.Dense(self.latent_dim, dtype=self.dtype_policy, name="code")

    @property
    def players(self):
        return {
            "generator": self.generator,
            "encoder": [self.encoder, self.to_code],
            "discriminator": self.discriminator,
        }

    def code(self, x, condition=None, training=False):
        return ops.cast(self.to_code(self.encoded(x, training)), self.real_dtype)

    # Pairs.

    def pair(self, x, z):
        """(x, z) as one vector, `(batch, size of the event + latent_dim)`."""
        return ops.concatenate([ops.reshape(x, (-1, math.prod(self.event_shape))), z], axis=-1)

    def score(self, x, condition=None, training=False):
        """D of pairs as `pair` makes them, `(batch,)`."""
        size = math.prod(self.event_shape)
        data = ops.reshape(x[:, :size], (-1, *self.event_shape))
        return as_scores(apply_network(self.discriminator, data, x[:, size:], training), self.real_dtype)

    def data_pair(self, x, training=False):
        """(x, E(x))."""
        return self.pair(self.seen(x) if training else x, self.code(x, training=training))

    def fake_pair(self, n, noise=None, training=False):
        """(G(z), z) for z ~ p(z)."""
        z = self.draw(n, noise)
        fake = self.fake(z, training=training)
        return self.pair(self.seen(fake) if training else fake, z)

    # Training.

    def discriminator_terms(self, batch):
        n = ops.shape(batch.x)[0]
        real = backend.no_grad(lambda: self.data_pair(batch.x, training=True))
        fake = backend.no_grad(lambda: self.fake_pair(n, training=True))
        scores = [self.score(pair, training=True) for pair in (real, fake)]
        return self.discriminator_losses(scores, real, fake, None)

    def generator_terms(self, batch):
        fake = self.score(self.fake_pair(ops.shape(batch.x)[0], training=True), training=True)
        real = None
        if self.game.needs_real:
            real = self.score(backend.no_grad(lambda: self.data_pair(batch.x, training=True)), training=True)
        return {"loss": self.game.generator(real, fake)}

    def encoder_terms(self, batch):
        real = self.score(self.data_pair(batch.x, training=True), training=True)
        fake = None
        if self.game.needs_real:
            n = ops.shape(batch.x)[0]
            fake = self.score(backend.no_grad(lambda: self.fake_pair(n, training=True)), training=True)
        return {"loss": self.encoder_loss(real, fake)}

    def encoder_loss(self, real, fake):
        """The generator's loss with the sides exchanged, `(batch,)`."""
        if self.game.needs_real:
            return self.game.generator(real, fake)
        return self.game.generator(None, 1.0 - real if isinstance(self.game, LeastSquares) else -real)

    def update(self, batch):
        return self.turns(batch, {"generator": self.generator_terms, "encoder": self.encoder_terms})

    def objective(self, x, condition=None, training=False):
        """Losses of the players and |x - G(E(x))|^2, for `evaluate`: `loss` is the discriminator's."""
        fake = self.score(self.fake_pair(ops.shape(x)[0], self.test_noise))
        real = self.score(self.data_pair(x))
        d, g = self.game.discriminator(real, fake), self.game.generator(real, fake)
        losses = {"discriminator_loss": d, "generator_loss": g, "encoder_loss": self.encoder_loss(real, fake)}
        return {"loss": d, **losses, "real_score": real, "fake_score": fake, "squared_error": self.squared_error(x)}
