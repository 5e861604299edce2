"""GANs with an encoder: a third player that leads data back to latents."""

import keras
from keras import ops

from keras_gen import networks
from keras_gen.models.adversarial.gan import GAN
from keras_gen.models.latent import Coding, apply_network, refuse_condition


class EncodingGAN(Coding, GAN):
    """A GAN with an encoder: `encode`, `decode`, `reconstruct`, `interpolate`. Abstract: a family writes `code`."""

    def __init__(self, event_shape, latent_dim=64, *, encoder=None, **kwargs):
        refuse_condition(type(self).__name__, kwargs)
        super().__init__(event_shape, latent_dim, **kwargs)
        self.encoder = encoder or networks.default_encoder(self.event_shape, dtype=self.dtype_policy)

    def encoded(self, x, training=False):
        """The encoder's features of x, `(batch, features)`."""
        return apply_network(self.encoder, x, training=training)

    def decoded(self, z, condition=None):
        return GAN.decoded(self, z)

    def turns(self, batch, terms):
        """K turns of the discriminator, then one of each player of `terms`, a dict, player -> function of a batch."""
        for k, part in enumerate(self.split(batch, self.discriminator_steps)):
            self._step = self.optimizer.iterations * self.discriminator_steps + k
            logs = self.minimize(lambda part=part: self.discriminator_terms(part), "discriminator", part)
            self._clip_weights()
        for player, fn in terms.items():
            logs |= self.minimize(lambda fn=fn: fn(part), player, part)
        self.update_averages()
        return logs

    def squared_error(self, x):
        """|x - G(E(x))|^2 of each example, by the generator that samples: `(batch,)`."""
        return ops.sum(ops.square(x - self(x)), axis=tuple(range(1, len(self.event_shape) + 1)))

    def get_config(self):
        return {**super().get_config(), "encoder": keras.saving.serialize_keras_object(self.encoder)}
