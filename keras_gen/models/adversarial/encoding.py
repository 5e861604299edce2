"""GANs with an encoder: a third player that leads data back to latents."""

import functools

import keras
from keras import ops

from keras_gen import networks
from keras_gen.models.adversarial.checks import check_network
from keras_gen.models.adversarial.gan import GAN
from keras_gen.models.latent import Coding, apply_network, refuse_condition


class EncodingGAN(Coding, GAN):
    """A GAN with an encoder: `encode`, `decode`, `reconstruct`, `interpolate`. Abstract: a family writes `code`."""

    def __init__(self, event_shape, latent_dim=64, *, encoder=None, **kwargs):
        refuse_condition(type(self).__name__, kwargs)
        super().__init__(event_shape, latent_dim, **kwargs)
        default = functools.partial(networks.default_encoder, self.event_shape, dtype=self.dtype_policy)
        self.encoder = check_network(encoder, "encoder") or default()

    def encoded(self, x, training=False):
        """The encoder's features of x, `(batch, features)`."""
        return apply_network(self.encoder, x, training=training)

    def decoded(self, z, condition=None):
        return GAN.decoded(self, z)

    def squared_error(self, x):
        """|x - G(E(x))|^2 of each example, by the generator that samples: `(batch,)`."""
        return ops.sum(ops.square(x - self(x)), axis=tuple(range(1, len(self.event_shape) + 1)))

    def get_config(self):
        return {**super().get_config(), "encoder": keras.saving.serialize_keras_object(self.encoder)}
