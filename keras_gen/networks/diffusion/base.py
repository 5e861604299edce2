"""What the denoising networks share: their call, the embedding of noise and condition, and where they begin.

A denoising network maps x_t = alpha_t x + sigma_t noise, scaled to about unit variance, to what the noise and x can be
told from (epsilon, x or v). How noisy x_t is it is told by l = log(alpha_t^2 / sigma_t^2), the log signal-to-noise
ratio, by way of the embedding

    e = silu(W_2 silu(W_1 f(l) + b_1) + b_2 + V c),                                                              (1)

f the sinusoidal features of `layers.TimeFeatures` and c the condition where it is a vector: for a one-hot label V c is
a learned vector a class (Dhariwal, Nichol 2021). V has no bias, so c = 0 is no condition at all, which is what
classifier-free guidance drops it to. A condition that is an image has places, and is joined to x as channels, resized
where its size differs.

**Beginnings.** The last layer of each network begins at zero, and so does what each block writes into the sum: a new
network gives 0, the mean of what it predicts, and its blocks begin as the identity or, where the width changes, as one
linear map (Ho et al. 2020, their program; Dhariwal, Nichol 2021, appendix; Peebles, Xie 2023, adaLN-Zero).

Reference:
    J. Ho, A. Jain, P. Abbeel, "Denoising diffusion probabilistic models", arXiv:2006.11239 (2020), appendix B;
    P. Dhariwal, A. Nichol, "Diffusion models beat GANs on image synthesis", arXiv:2105.05233 (2021).
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import layers
from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.base import Network


class DenoisingNetwork(Network):
    """Base: `network(x, log_snr, condition=None, training=False)`, of the shape of x.

    A subclass makes its layers in the constructor, builds them in `build_parts(shape)` and writes
    `denoised(x, e, training)`, x with the image of the condition joined to it, in the compute dtype.

    Args:
        event_shape: shape of x without the batch.
        features: size of f.
        embedding_size: size of e.
        out_channels: of the output, default those of x; learned variances take twice as many.
        activation: of the hidden layers, default "silu".
        dropout: float in [0, 1), default 0.
        name, dtype, trainable: as of `keras.layers.Layer`.
    """

    def __init__(
        self, event_shape, features, embedding_size, out_channels=None, activation="silu", dropout=0.0,
        kernel_initializer="glorot_uniform", **kwargs,
    ):  # fmt: skip
        own = {"activation": activation, "dropout": dropout, "kernel_initializer": kernel_initializer}
        super().__init__(**{"autocast": False, **own, **kwargs})  # half precision would spoil log_snr
        self.event_shape = as_shape(event_shape, "event_shape")
        if not self.event_shape:
            raise ValueError(f"Expected `event_shape` with one or more axes. Received: event_shape={event_shape!r}.")
        default = self.event_shape[-1]
        self.out_channels = default if out_channels is None else positive_int(out_channels, "out_channels")
        self.embedding = NoiseEmbedding(features, embedding_size, dtype=self.dtype_policy, name="embedding")

    def build(self, x_shape, log_snr_shape, condition_shape=None):
        if tuple(x_shape[1:]) != self.event_shape:
            raise ValueError(
                f"{type(self).__name__} expects x of shape (batch, *{self.event_shape}). Received: {tuple(x_shape)}."
            )
        if len(log_snr_shape) != 1:
            raise ValueError(
                f"{type(self).__name__} expects one log_snr an example, of shape (batch,). "
                f"Received: {tuple(log_snr_shape)}."
            )
        self.set_conditional(condition_shape)
        image = is_image(condition_shape)
        self.embedding.build(log_snr_shape, None if image else condition_shape)
        shape = self._image_or_flat(x_shape)
        added = attached_channels(shape, condition_shape) if image else 0
        self.build_parts((None, *shape[1:-1], shape[-1] + added))

    def _image_or_flat(self, shape):
        """x as it is if it is an image, else flattened."""
        return (None, *shape[1:]) if len(shape) == 4 else (None, math.prod(shape[1:]))

    # What a subclass writes.

    def build_parts(self, shape):
        """Build the layers, for x of this shape, channels of the condition included."""
        raise NotImplementedError(f"{type(self).__name__} writes no `build_parts`.")

    def denoised(self, x, e, training):
        """The output of x and of the embedding `(batch, embedding_size)`."""
        raise NotImplementedError(f"{type(self).__name__} writes no `denoised`.")

    # The contract.

    def call(self, x, log_snr, condition=None, training=False):
        self.check_condition(condition)
        image = condition is not None and is_image(condition.shape)
        e = self.embedding(log_snr, None if image else condition)
        x = ops.cast(x, self.compute_dtype)
        x = ops.reshape(x, (-1, *self._image_or_flat(x.shape)[1:]))
        return self.denoised(attach_condition(x, condition) if image else x, e, training)

    def check_condition(self, condition):
        if (condition is not None) != self.conditional:
            expected, received = ("a condition", "none") if self.conditional else ("no condition", "one")
            raise ValueError(
                f"{type(self).__name__} {self.name!r} was built for {expected}. Received: {received}. Build it by "
                "`build(x_shape, log_snr_shape, condition_shape)` as it is to be called."
            )

    def compute_output_shape(self, x_shape, log_snr_shape=None, condition_shape=None):
        return (*x_shape[:-1], self.out_channels)

    def compute_output_spec(self, x, log_snr, condition=None, training=False):
        return keras.KerasTensor(self.compute_output_shape(x.shape), self.compute_dtype)

    def get_config(self):
        config = {**super().get_config(), "event_shape": self.event_shape, "out_channels": self.out_channels}
        del config["normalization"]
        return config


class NoiseEmbedding(keras.layers.Layer):
    """Equation (1), `(batch, units)`: a part of a network and rebuilt by it, not saved by itself."""

    def __init__(self, features, units, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        options = {"dtype": self.dtype_policy}
        self.units = positive_int(units, "units")
        self.features = layers.TimeFeatures(features, **options, name="features")
        self.first = keras.layers.Dense(units, "silu", **options, name="first")
        self.second = keras.layers.Dense(units, **options, name="second")

    def build(self, log_snr_shape, condition_shape=None):
        self.features.build(log_snr_shape)
        self.first.build((None, self.features.size))
        self.second.build((None, self.units))
        if condition_shape is not None:
            options = {"use_bias": False, "dtype": self.dtype_policy}
            self.of_condition = keras.layers.Dense(self.units, **options, name="of_condition")
            self.of_condition.build((None, math.prod(condition_shape[1:])))

    def call(self, log_snr, condition=None):
        e = self.second(self.first(self.features(log_snr)))
        if condition is not None:
            c = ops.cast(condition, self.compute_dtype)
            e = e + self.of_condition(ops.reshape(c, (-1, math.prod(c.shape[1:]))))
        return ops.silu(e)

    def compute_output_shape(self, log_snr_shape, condition_shape=None):
        return (log_snr_shape[0], self.units)


def dropout(rate, **kwargs):
    """Dropout with a seed of its own: without one Keras draws from torch's global generator, which no file holds."""
    return layers.Dropout(rate, seed=int(np.random.randint(2**31)), **kwargs, name="drop")


def is_image(condition_shape):
    """Whether a condition has places, `(batch, height, width, channels)`."""
    return condition_shape is not None and len(condition_shape) == 4
