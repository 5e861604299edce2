"""Bijections made of bijections.

`Chain` applies f_1, f_2, ..., f_K in the order in which they are given, from data to latents:

    z = f_K(... f_2(f_1(x))),        log |det df/dx| = sum_k log |det df_k/dh_(k-1)|,   h_0 = x, h_k = f_k(h_(k-1)).

Its inverse goes through them from the last to the first. `Inverse` exchanges the two directions of one.
"""

import keras

from keras_gen.layers.invertible.base import Bijection


@keras.saving.register_keras_serializable(package="keras_gen")
class Chain(Bijection):
    """f_K o ... o f_1, bijections one after another; the first of the list sees the data.

    A condition goes to each of them that takes one.

    Args:
        bijections: a list of bijections, not empty. Chains in it are allowed.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: no list of bijections, an empty one, one that is in it twice (its weights would be shared unseen).

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import AffineCoupling, Chain, Permutation
        >>> chain = Chain([AffineCoupling((8,)), Permutation("swap"), AffineCoupling((8,))])
        >>> z, log_det = chain.forward_and_log_det(ops.ones((5, 4)))
        >>> tuple(z.shape), tuple(log_det.shape)
        ((5, 4), (5,))

    Reference:
        Papamakarios et al. 2021, arXiv:1912.02762, equations 5 and 6.
    """

    def __init__(self, bijections, **kwargs):
        super().__init__(**kwargs)
        self.bijections = _check_list(bijections)
        self.takes_condition = any(b.takes_condition for b in self.bijections)

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape)
        shape = x_shape
        for bijection in self.bijections:
            bijection.ensure_built(shape, condition_shape if bijection.takes_condition else None)
            shape = bijection.compute_output_shape(shape)

    def _forward(self, x, condition, training):
        total = 0.0
        for bijection in self.bijections:
            x, log_det = bijection.forward_and_log_det(x, _given(bijection, condition), training)
            total = total + log_det
        return x, total

    def _inverse(self, z, condition, training):
        total = 0.0
        for bijection in reversed(self.bijections):
            z, log_det = bijection.inverse_and_log_det(z, _given(bijection, condition), training)
            total = total + log_det
        return z, total

    def initialize(self, x, condition=None):
        x, condition = self._ready(x, condition)
        for bijection in self.bijections:
            x = bijection.initialize(x, _given(bijection, condition))
        return x

    def initialize_inverse(self, z, condition=None):
        z, condition = self._ready(z, condition)
        for bijection in reversed(self.bijections):
            z = bijection.initialize_inverse(z, _given(bijection, condition))
        return z

    def refresh(self):
        for bijection in self.bijections:
            bijection.refresh()

    def validate(self, x):
        """Data are checked by the first bijection: what the others receive is computed."""
        self.bijections[0].validate(x)

    def validate_latent(self, z):
        self.bijections[-1].validate_latent(z)

    def latent_shape(self, event_shape):
        for bijection in self.bijections:
            event_shape = bijection.latent_shape(event_shape)
        return tuple(event_shape)

    def get_config(self):
        return {**super().get_config(), "bijections": [keras.saving.serialize_keras_object(b) for b in self.bijections]}

    @classmethod
    def from_config(cls, config):
        bijections = [keras.saving.deserialize_keras_object(b) for b in config["bijections"]]
        return cls(**{**config, "bijections": bijections})


@keras.saving.register_keras_serializable(package="keras_gen")
class Inverse(Bijection):
    """f^-1 as a bijection: what was the inverse is the forward direction.

    `Inverse(MaskedAutoregressive(...))` is an inverse autoregressive flow, whose samples are drawn in one pass.

    Args:
        bijection: the bijection f, whose events keep their shape.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: no bijection; one that changes the shape of events.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Exp, Inverse
        >>> log = Inverse(Exp())
        >>> float(log(ops.ones((1, 1)))[0, 0])
        0.0
    """

    def __init__(self, bijection, **kwargs):
        super().__init__(**kwargs)
        (self.bijection,) = _check_list([bijection])
        self.takes_condition = bijection.takes_condition

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape)
        if self.bijection.latent_shape(self.event_shape) != self.event_shape:
            raise ValueError(
                f"Inverse expects a bijection whose events keep their shape. Received: "
                f"{type(self.bijection).__name__}, which makes {self.bijection.latent_shape(self.event_shape)} of "
                f"{self.event_shape}."
            )
        self.bijection.ensure_built(x_shape, condition_shape)

    def _forward(self, x, condition, training):
        return self.bijection.inverse_and_log_det(x, condition, training)

    def _inverse(self, z, condition, training):
        return self.bijection.forward_and_log_det(z, condition, training)

    def initialize(self, x, condition=None):
        return self.bijection.initialize_inverse(*self._ready(x, condition))

    def initialize_inverse(self, z, condition=None):
        return self.bijection.initialize(*self._ready(z, condition))

    def validate(self, x):
        self.bijection.validate_latent(x)

    def validate_latent(self, z):
        self.bijection.validate(z)

    def refresh(self):
        self.bijection.refresh()

    def get_config(self):
        return {**super().get_config(), "bijection": keras.saving.serialize_keras_object(self.bijection)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "bijection": keras.saving.deserialize_keras_object(config["bijection"])})


def _given(bijection, condition):
    return condition if bijection.takes_condition else None


def _check_list(bijections):
    items = list(bijections) if isinstance(bijections, (list, tuple)) else []
    if not items or not all(isinstance(b, Bijection) for b in items):
        raise ValueError(f"Expected bijections of `keras_gen.layers`, at least one. Received: {bijections!r}.")
    if len({id(b) for b in items}) != len(items):
        raise ValueError("Expected each bijection once: one that is used twice shares its weights. Make two of them.")
    return items
