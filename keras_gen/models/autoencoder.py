"""Autoencoders: a code that reconstructs, without a distribution over it.

    z = e(x),    x' = d(z),    loss = sum over the event of (x - x')^2, or of the cross-entropy
                                      - x log x' - (1 - x) log(1 - x')   for x in [0, 1].

A denoising autoencoder sees a corrupted x~ ~ c(x~ given x) and is asked for the clean x: loss(x, d(e(x~))), which makes
the vector d(e(x)) - x an estimate of the score of the data (Vincent 2011; Alain and Bengio 2014).
"""

import keras
from keras import ops

from keras_gen import layers, networks, random
from keras_gen.models.latent import LatentModel, apply_network, refuse_condition

_LOSSES = ("squared_error", "cross_entropy")


@keras.saving.register_keras_serializable(package="keras_gen")
class Autoencoder(LatentModel):
    """Deterministic autoencoder, dense or convolutional.

    Args:
        event_shape: shape of one example.
        latent_dim: dimension of the code, default 2.
        encoder: any Keras model, x -> features; default `networks.default_encoder`. A dense layer to the code follows.
        decoder: any Keras model, z -> features; default `networks.default_decoder`. A dense layer to x follows.
        reconstruction: `"squared_error"` (default) or `"cross_entropy"`, for x in [0, 1].
        name, dtype: as in `keras.Model`.

    Returns of the contract: `model(x)` and `predict` give the reconstruction. There is no density over codes, so
    `sample` and `log_prob` raise `NotImplementedError`.

    Raises:
        ValueError: an unknown `reconstruction`; x outside of [0, 1] under the cross-entropy.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import Autoencoder
        >>> model = Autoencoder((8, 8, 1), latent_dim=2)
        >>> model.compile()
        >>> x = np.zeros((32, 8, 8, 1), "float32")
        >>> history = model.fit(x, verbose=0)
        >>> model.encode(x).shape, model.reconstruct(x).shape
        ((32, 2), (32, 8, 8, 1))

    Reference:
        Hinton, Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks".
    """

    def __init__(
        self, event_shape, latent_dim=2, *, encoder=None, decoder=None, reconstruction="squared_error", **kwargs
    ):
        if reconstruction not in _LOSSES:
            raise ValueError(f"Expected `reconstruction` as one of {_LOSSES}. Received: {reconstruction!r}.")
        refuse_condition(type(self).__name__, kwargs)
        super().__init__(event_shape, latent_dim, **kwargs)
        self.encoder = encoder or networks.default_encoder(self.event_shape, dtype=self.dtype_policy)
        self.decoder = decoder or networks.default_decoder(self.event_shape, dtype=self.dtype_policy)
        self.to_code = keras.layers.Dense(self.latent_dim, dtype=self.dtype_policy, name="code")
        self.reconstruction = reconstruction
        head, options = ("bernoulli", {}) if reconstruction == "cross_entropy" else ("normal", {"scale": 1.0})
        self.output_head = layers.get_head(head, self.event_shape, dtype=self.dtype_policy, **options)

    def code(self, x, condition=None, training=False):
        return self.to_code(apply_network(self.encoder, x, training=training))

    def decoded(self, z, condition=None):
        return self._output(z).mean()

    def _output(self, z, training=False):
        """The decoder's output as the distribution of which the loss is minus the log-density, but for constants."""
        return self.output_head.distribution(apply_network(self.decoder, z, training=training))

    def objective(self, x, condition=None, training=False):
        return {"loss": self._distance(x, self._output(self.code(x, training=training), training))}

    def _distance(self, x, output):
        if self.reconstruction == "cross_entropy":
            return -output.log_density(x)
        return ops.sum(ops.square(x - output.mean()), axis=tuple(range(1, len(self.event_shape) + 1)))

    def check_support(self, x):
        if self.reconstruction == "cross_entropy" and (x.min() < 0 or x.max() > 1):
            raise ValueError(
                "Expected x in [0, 1] for the cross-entropy. "
                f"Received: values between {x.min()} and {x.max()}. Rescale, or use 'squared_error'."
            )

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        networks_config = {"encoder": serialize(self.encoder), "decoder": serialize(self.decoder)}
        return {**super().get_config(), **networks_config, "reconstruction": self.reconstruction}


@keras.saving.register_keras_serializable(package="keras_gen")
class DenoisingAutoencoder(Autoencoder):
    """Autoencoder trained to give the clean x for a corrupted one.

    Args:
        event_shape, latent_dim: as in `Autoencoder`.
        noise: `"gaussian"` (default): x~ = x + level * eps, eps ~ N(0, I), on the scale of the data; or `"masking"`:
            each element is set to 0 with probability `level`.
        level: default 0.3; the paper masks between 0.1 and 0.4.
        seed: seed of the corruption.
        **kwargs: as in `Autoencoder`.

    Corruption happens in training alone: `evaluate` reports the reconstruction of what it is given.

    Raises:
        ValueError: unknown noise, or a level that is negative or, for masking, not below 1.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import DenoisingAutoencoder
        >>> model = DenoisingAutoencoder((16,), latent_dim=4, noise="masking", level=0.25, seed=0)
        >>> model.compile()
        >>> history = model.fit(np.ones((32, 16)), verbose=0)
        >>> model.reconstruct(np.ones((2, 16))).shape
        (2, 16)

    Reference:
        Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders", section 2.3;
        Vincent 2011, "A connection between score matching and denoising autoencoders".
    """

    def __init__(self, event_shape, latent_dim=2, *, noise="gaussian", level=0.3, seed=None, **kwargs):
        if noise not in ("gaussian", "masking"):
            raise ValueError(f"Expected `noise` as 'gaussian' or 'masking'. Received: noise={noise!r}.")
        if not 0 <= level < (1 if noise == "masking" else float("inf")):
            raise ValueError(f"Expected `level` >= 0, below 1 for masking. Received: level={level}, noise={noise!r}.")
        self.noise, self.level, self.seed = noise, float(level), seed
        super().__init__(event_shape, latent_dim, **kwargs)
        self.corruption = random.Noise(seed)

    def corrupt(self, x):
        """x~ of the training data x."""
        if self.noise == "masking":
            keep = self.corruption.uniform(ops.shape(x), dtype=x.dtype) >= self.level
            return ops.where(keep, x, ops.zeros_like(x))
        return x + self.level * self.corruption.normal(ops.shape(x), dtype=x.dtype)

    def objective(self, x, condition=None, training=False):
        seen = self.corrupt(x) if training else x
        return {"loss": self._distance(x, self._output(self.code(seen, training=training), training))}

    def get_config(self):
        return {**super().get_config(), "noise": self.noise, "level": self.level, "seed": self.seed}
