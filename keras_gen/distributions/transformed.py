"""A distribution pushed through a bijection.

With e of a base distribution p_E and a bijection f from data to latents, x = f^-1(e) has the density

    log p(x) = log p_E(f(x)) + log |det df/dx|.                                                              (1)

A draw knows its own density without f being evaluated: with x = f^-1(e),

    log p(x) = log p_E(e) - log |det df^-1/de|,                                                              (2)

so that a flow whose one direction is slow, such as an inverse autoregressive one, is drawn from and scored in one pass.
"""

import keras
import numpy as np

from keras_gen.distributions.base import Distribution


@keras.saving.register_keras_serializable(package="keras_gen")
class Transformed(Distribution):
    """Distribution of x = f^-1(e) with e of `base` and f a `bijection` from data to latents.

    `log p(x) = log p_E(f(x)) + log |det df/dx|`. It is no layer: for a trainable one see `models.NormalizingFlow`.

    Args:
        base: p_E, whatever has `generate(keys)` and `log_density(e)`, such as a `Distribution`.
        bijection: f, built; whatever has `forward_and_log_det` and `inverse_and_log_det`, such as a `layers.Bijection`.
        condition: tensor `(batch, ...)` that f takes, or None.
        event_shape: of x; default that of the bijection.
        training: whether f is computed as in training, such as with dropout; default False. `location` never is.

    Raises:
        ValueError: a bijection that is not built.

    Example:
        >>> from keras_gen.distributions import Normal, Transformed
        >>> from keras_gen.layers import Exp, Inverse
        >>> log = Inverse(Exp())
        >>> log.build((None, 1))
        >>> p = Transformed(Normal([0.0], 1.0, event_shape=(1,)), log)  # log-normal
        >>> round(float(p.log_density([[1.0]])[0]), 4)
        -0.9189

    Reference:
        Papamakarios et al. 2021, arXiv:1912.02762, equation 3.
    """

    def __init__(self, base, bijection, condition=None, event_shape=None, training=False):
        if getattr(bijection, "event_shape", None) is None:
            raise ValueError("Transformed expects a bijection that is built. Call `bijection.build((None, *shape))`.")
        self.base, self.bijection, self.condition = base, bijection, condition
        self.training = bool(training)
        self.event_shape = tuple(event_shape or bijection.event_shape)
        self.dtype = getattr(bijection, "real_dtype", "float32")
        self.parameters, self.batch_size, self._batched = {}, getattr(base, "batch_size", None), None

    @property
    def reparameterized(self):
        """Whether a draw is differentiable in the parameters: if the base's is."""
        return getattr(self.base, "reparameterized", True)

    def generate(self, keys, condition=None, temperature=1.0):
        """Draw one event per key; `temperature` is the base's."""
        self._refuse(condition)
        e = self.base.generate(keys, temperature=temperature)
        return self.bijection.inverse(e, self.condition, self.training)

    def generate_and_log_density(self, keys):
        """Draws and their log-density, by equation (2)."""
        e, log_p = self._generate_base(keys)
        x, log_det = self.bijection.inverse_and_log_det(e, self.condition, self.training)
        return x, log_p - log_det

    def _generate_base(self, keys):
        if hasattr(self.base, "generate_and_log_density"):
            return self.base.generate_and_log_density(keys)
        e = self.base.generate(keys)
        return e, self.base.log_density(e)

    def log_density(self, x, condition=None):
        """Log-density of events `(batch, *event_shape)`, `(batch,)`, nats; equation (1)."""
        self._refuse(condition)
        e, log_det = self.bijection.forward_and_log_det(x, self.condition, self.training)
        return self.base.log_density(e) + log_det

    def location(self):
        """f^-1 of the base's location: one representative value of each distribution, not its mean."""
        return self.bijection.inverse(self.base.location(), self.condition)

    def full_shape(self):
        """`(batch, *event_shape)`, or `event_shape` where the base has no batch."""
        base = self.base.full_shape()
        return (*base[: len(base) - len(self.base.event_shape)], *self.event_shape)

    def validate(self, x):
        """Raise `ValueError` for data of another shape, that are not finite, or out of the bijection's domain."""
        super().validate(x)
        self.bijection.validate(np.asarray(x))

    def cast(self, dtype):
        """Itself: its dtype is that of the bijection."""
        return self

    def get_config(self):
        """Base, bijection and event shape; a condition, a tensor, is none of the configuration."""
        if getattr(self.bijection, "weights", None):
            raise ValueError(
                "Expected a bijection without weights: those of a layer inside a distribution are in no file. "
                f"Received: {type(self.bijection).__name__}. Use `models.NormalizingFlow`, whose are."
            )
        serialize = keras.saving.serialize_keras_object
        config = {"base": serialize(self.base), "bijection": serialize(self.bijection)}
        return {**config, "event_shape": list(self.event_shape)}

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        base, bijection = deserialize(config["base"]), deserialize(config["bijection"])
        if not bijection.built:
            bijection.build((None, *config["event_shape"]))
        return cls(base, bijection, event_shape=config["event_shape"])
