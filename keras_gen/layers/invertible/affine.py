"""Scale and shift of each element.

    z = x exp(s) + t,        log |det dz/dx| = sum s

with s, t weights of the shape of an event, which begin as 0; or, with a condition c, a dense network of c gives them:
then p(x given c) can move and stretch with c though nothing else sees it.
"""

import math

import keras
from keras import ops

from keras_gen.layers.invertible.base import Bijection, sum_event
from keras_gen.layers.invertible.conditioner import Conditioner, get_network, serialize_network
from keras_gen.layers.invertible.transforms import AffineTransform


@keras.saving.register_keras_serializable(package="keras_gen")
class ElementwiseAffine(Bijection):
    """z = x exp(s) + t, of each element, with s in [-b, b].

    Args:
        conditioner: None (default): s, t are weights. Else the map takes a condition, and s, t are given by a Keras
            layer from the flattened condition to features, or by a dense network of these hidden sizes, `()` for a
            linear map.
        log_scale_bound: b of s = b tanh(a / b), default 3; None: without a bound.
        activation: of the dense network, default "relu".
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: a bound that is not above 0.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import ElementwiseAffine
        >>> tuple(ElementwiseAffine(conditioner=(8,))(ops.ones((5, 3)), ops.ones((5, 2))).shape)
        (5, 3)
    """

    def __init__(self, conditioner=None, log_scale_bound=3.0, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.network, self.activation = conditioner, keras.activations.get(activation)
        self.takes_condition = conditioner is not None
        self.transform = AffineTransform(log_scale_bound)

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape, "each")
        if not self.takes_condition:
            self.raw = self.real_weight((*self.event_shape, 2), "zeros", "raw")
            return
        elements = math.prod(self.event_shape)
        options = (elements, 2, self.dtype_policy, self.real_dtype)
        self.conditioner = Conditioner(self.network, self.activation, *options)
        self.conditioner.build((None, math.prod(condition_shape[1:])))

    def _raw(self, condition, training=False):
        if condition is None:
            return ops.expand_dims(ops.convert_to_tensor(self.raw), 0)
        flat = ops.reshape(condition, (-1, math.prod(condition.shape[1:])))
        return ops.reshape(self.conditioner(flat, training=training), (-1, *self.event_shape, 2))

    def _forward(self, x, condition, training):
        z, s = self.transform.forward(x, self._raw(condition, training))
        return z, sum_event(s + ops.zeros_like(x))

    def _inverse(self, z, condition, training):
        x, s = self.transform.inverse(z, self._raw(condition, training))
        return x, sum_event(s + ops.zeros_like(z))

    def get_config(self):
        return {
            **super().get_config(),
            "conditioner": serialize_network(self.network),
            "log_scale_bound": self.transform.log_scale_bound,
            "activation": keras.activations.serialize(self.activation),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "conditioner": get_network(config["conditioner"])})
