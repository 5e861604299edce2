"""A head whose distribution is a flow: q(z given h), or p(x given h), of any shape.

    e ~ N(m(h), diag(s(h)^2)),      z = f^-1(e; h)

with f a bijection from z to e, which sees the features h as its condition if it takes one. Drawn and scored in one pass
of f^-1, of which an `Inverse(MaskedAutoregressive(...))` is the fast one: Kingma et al.'s inverse autoregressive flow.

Reference:
    Rezende, Mohamed 2015, arXiv:1505.05770, section 4; Kingma et al. 2016, arXiv:1606.04934, section 3.
"""

import keras
from keras import ops

from keras_gen.distributions import Transformed
from keras_gen.layers.heads.base import DistributionHead
from keras_gen.layers.heads.continuous import NormalHead
from keras_gen.layers.invertible.base import Bijection
from keras_gen.layers.invertible.compose import Chain


@keras.saving.register_keras_serializable(package="keras_gen")
class FlowHead(DistributionHead):
    """q(z given h): a diagonal normal pushed through a bijection, whose condition is h.

    `VAE(posterior=FlowHead((latent_dim,), bijection))` is a VAE with a flow posterior; as `likelihood`, of events x, it
    is a flow decoder, whose reconstruction is the image of the base's mean.

    Args:
        event_shape: tuple of ints, the shape of one z.
        bijection: f, a `Bijection` of such events, from z to e, or a list of them.
        **kwargs: as of `NormalHead`, such as `scale`; `name`, `dtype`.

    Raises:
        ValueError: see `NormalHead`; no bijection, or one that changes the shape of events.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import FlowHead, Planar
        >>> head = FlowHead((2,), Planar(conditioner=(8,)))
        >>> q = head.distribution(ops.ones((5, 16)))
        >>> tuple(q.log_density(ops.zeros((5, 2))).shape)
        (5,)

    Reference:
        Rezende, Mohamed 2015, arXiv:1505.05770, equation 15.
    """

    def __init__(self, event_shape, bijection, **kwargs):
        own = {k: kwargs[k] for k in ("name", "dtype", "trainable") if k in kwargs}
        super().__init__(event_shape, **own)
        options = {k: v for k, v in kwargs.items() if k not in own}
        self.base_options = options
        self.base_head = NormalHead(self.event_shape, dtype=self.dtype_policy, name="base_head", **options)
        many = isinstance(bijection, (list, tuple))
        self.bijection = Chain(bijection, dtype=self.dtype_policy) if many else bijection
        if not isinstance(self.bijection, Bijection):
            raise ValueError(f"Expected `bijection` as a `layers.Bijection` or a list. Received: {bijection!r}.")

    def build(self, input_shape):
        self.base_head.build(input_shape)
        condition = (None, *input_shape[1:]) if self.bijection.takes_condition else None
        self.bijection.ensure_built((None, *self.event_shape), condition)
        if self.bijection.latent_shape(self.event_shape) != self.event_shape:
            raise ValueError(
                f"FlowHead expects a bijection that keeps the shape {self.event_shape} of events. Received: one that "
                f"makes {self.bijection.latent_shape(self.event_shape)} of it. Leave out what changes the shape."
            )

    def call(self, h):
        return self.base_head(h)

    def raw_shape(self):
        return self.base_head.raw_shape()

    def read(self, raw):
        raise NotImplementedError("A FlowHead's distribution depends on the features: use `distribution(h)`.")

    def validate(self, x):
        self.base_head.validate(x)
        self.bijection.validate(x)

    def distribution(self, h, training=False):
        if not self.built:
            self.build(tuple(h.shape))
        base = self.base_head.distribution(h)
        given = ops.cast(h, self.parameter_dtype) if self.bijection.takes_condition else None
        return Transformed(base, self.bijection, given, training=training)

    def get_config(self):
        config = super().get_config()
        for name in ("kernel_initializer", "bias_initializer"):
            del config[name]
        return {**config, "bijection": keras.saving.serialize_keras_object(self.bijection), **self.base_options}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "bijection": keras.saving.deserialize_keras_object(config["bijection"])})
