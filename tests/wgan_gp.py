"""A Wasserstein GAN with gradient penalty, small enough for tests: what the engine must be able to train.

With fakes G(z), z ~ N(0, I), critic f, and x_t = G(z) + t (x - G(z)), t ~ U(0, 1), the two players minimise

    critic:      E f(G(z)) - E f(x) + 10 E (||df/dx (x_t)|| - 1)^2
    generator:   -E f(G(z))

The critic takes `critic_steps` steps a generator step, each on its own part of the batch. The generator has batch
normalisation, the critic dropout, and the noise comes from the model's own seed: each of them keeps state that a
training step must carry. The networks compute in the model's dtype policy; fakes and scores leave them in float32 (or
float64), as the data come.

Reference:
    I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville, "Improved training of Wasserstein GANs",
    arXiv:1704.00028 (2017), algorithm 1.
"""

import functools

import keras
import numpy as np
from keras import layers, ops

from keras_gen import backend, random
from keras_gen.layers import BatchNormalization, Dropout
from keras_gen.models import GenerativeModel

PENALTY = 10.0


@functools.cache
def digits():
    """The 8x8 digits of the UCI repository as scikit-learn ships them, float32 in [0, 1], (1797, 8, 8)."""
    from sklearn.datasets import load_digits

    return (load_digits().images / 16.0).astype("float32")


def generator_network(latent_dim, event_shape, units, seed, dtype=None):
    weights = functools.partial(keras.initializers.GlorotUniform)
    return keras.Sequential(
        [
            layers.Input((latent_dim,), dtype=dtype and dtype.variable_dtype),
            layers.Dense(units, use_bias=False, kernel_initializer=weights(seed=seed), dtype=dtype),
            BatchNormalization(momentum=0.9, dtype=dtype),
            layers.ReLU(dtype=dtype),
            layers.Dense(
                int(np.prod(event_shape)), activation="sigmoid", kernel_initializer=weights(seed=seed + 1), dtype=dtype
            ),
            layers.Reshape(event_shape, dtype=dtype),
        ],
        name="generator_network",
    )


def critic_network(event_shape, units, seed, spectral=False, dtype=None):
    weights = functools.partial(keras.initializers.GlorotUniform)
    wrap = functools.partial(layers.SpectralNormalization, dtype=dtype) if spectral else (lambda layer: layer)
    return keras.Sequential(
        [
            layers.Input(event_shape, dtype=dtype and dtype.variable_dtype),
            layers.Flatten(dtype=dtype),
            wrap(layers.Dense(units, kernel_initializer=weights(seed=seed + 2), dtype=dtype)),
            layers.LeakyReLU(0.2, dtype=dtype),
            Dropout(0.1, seed=seed + 3, dtype=dtype),
            layers.Dense(1, use_bias=False, kernel_initializer=weights(seed=seed + 4), dtype=dtype),
        ],
        name="critic_network",
    )


@keras.saving.register_keras_serializable(package="keras_gen_tests")
class WGANGP(GenerativeModel):
    """WGAN-GP with dense networks. `model(x)` is the critic's score `(batch,)`.

    Args:
        event_shape: shape of one example.
        latent_dim: size of z.
        units: hidden units of both networks.
        critic_steps: critic steps a generator step; a batch must hold as many examples.
        spectral: wrap the critic's first layer in `SpectralNormalization`.
        seed: of the weights and of the training noise.
    """

    def __init__(self, event_shape, latent_dim=8, units=32, critic_steps=5, spectral=False, seed=0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.latent_dim, self.units, self.critic_steps = latent_dim, units, critic_steps
        self.spectral, self.seed = spectral, seed
        self.generator = generator_network(latent_dim, self.event_shape, units, seed, self.dtype_policy)
        self.critic = critic_network(self.event_shape, units, seed, spectral, self.dtype_policy)
        self.noise = random.Noise(seed + 5)

    @property
    def players(self):
        return {"generator": self.generator, "critic": self.critic}

    def call(self, x, training=False):
        return self.score(x, training)

    def fake(self, n, training=True):
        z = self.noise.normal((n, self.latent_dim))
        return ops.cast(self.generator(z, training=training), self.real_dtype)

    def score(self, x, training=True):
        return ops.cast(self.critic(x, training=training)[..., 0], self.real_dtype)

    def critic_loss(self, batch):
        n = ops.shape(batch.x)[0]
        fake = self.fake(n)
        t = self.noise.uniform((n, *(1 for _ in self.event_shape)))
        t = ops.cast(t, self.real_dtype)
        gradient = backend.grad(lambda x: self.score(x), fake + t * (batch.x - fake))
        norm = ops.sqrt(ops.sum(gradient**2, axis=tuple(range(1, len(gradient.shape)))) + 1e-12)
        distance = self.score(batch.x) - self.score(fake)
        return {"loss": PENALTY * (norm - 1.0) ** 2 - distance, "wasserstein": distance, "slope": norm}

    def generator_loss(self, n):
        return -self.score(self.fake(n))

    def update(self, batch):
        for part in self.split(batch, self.critic_steps):
            logs = self.minimize(lambda part=part: self.critic_loss(part), "critic")
        return logs | self.minimize(lambda: self.generator_loss(ops.shape(batch.x)[0]), "generator")

    def objective(self, x, condition=None, training=False):
        fake = self.fake(ops.shape(x)[0], training=training)
        return {"loss": self.score(fake, training) - self.score(x, training)}

    def generate(self, keys, condition=None, temperature=1.0):
        return self.generator(temperature * random.normal(keys, (self.latent_dim,)), training=False)

    def get_config(self):
        own = ("latent_dim", "units", "critic_steps", "spectral", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
