"""Mixtures of K distributions of one family.

    log p(x) = log sum_k pi_k p_k(x),    pi = softmax(logits)

The K components are one distribution with an extra event axis, the first: its `event_shape` is
`(K, *event_shape)`, and that of the mixture has it summed out. A draw takes a component by perturbed logits,
then that component's own draw: `k = argmax(logits + T g)`.
"""

import keras
from keras import ops

from keras_gen import random
from keras_gen.distributions.base import Distribution
from keras_gen.distributions.shapes import as_tensor, broadcast


@keras.saving.register_keras_serializable(package="keras_gen")
class Mixture(Distribution):
    """Mixture of the K components held along the first event axis of one distribution.

    `log p(x) = logsumexp_k [log_softmax(logits)_k + log p_k(x)]`. A draw is differentiable in the parameters
    of the component drawn, not in the logits. A temperature divides the logits and is passed on to the
    components: 0 gives the location of the heaviest one.

    Args:
        logits: tensor `(batch, K)`, or `(K,)` shared by the batch.
        component: `Distribution` of event shape `(K, *event_shape)`, with or without a batch.

    Raises:
        ValueError: where the component lacks the axis of K, or its density cannot be taken for each k.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import Mixture, Normal
    >>> component = Normal(ops.convert_to_tensor([[-2.0], [2.0]]), 1.0, event_shape=(2, 1))
    >>> p = Mixture(ops.zeros((2,)), component)
    >>> p.event_shape, round(float(p.log_density([[0.0]])[0]), 4)
    ((1,), -2.9189)
    """

    reparameterized = False

    def __init__(self, logits, component):
        logits = as_tensor(logits, component.dtype)
        count = logits.shape[-1] if len(logits.shape) in (1, 2) else None
        if count is None or component.event_shape[:1] != (count,):
            raise ValueError(
                "Mixture expects logits (batch, K) or (K,) and a component of event_shape (K, *event_shape). "
                f"Received: logits of shape {tuple(logits.shape)} and event_shape {component.event_shape}."
            )
        event_shape = component.event_shape[1:]
        if component.joint_axes > len(event_shape):
            raise ValueError(
                f"Mixture expects a density for each of its K components. Received: {component}, whose "
                "density sums over the axis of K. Put K on an axis of its own, before those of the event."
            )
        self.component, self.event_dtype, self.joint_axes = component, component.event_dtype, len(event_shape)
        self._event_rank = len(event_shape)
        super().__init__(event_shape, logits=logits)
        sizes = [(size,) for size in (self.batch_size, component.batch_size) if size is not None]
        self.batch_size = broadcast(*sizes)[0] if len(sizes) == 2 else (sizes[0][0] if sizes else None)

    def _aligned_shape(self, name, shape):
        return shape[:-1] + (1,) * self._event_rank

    def cast(self, dtype):
        """The same mixture with its parameters, and those of its components, in `dtype`."""
        other = super().cast(dtype)
        other.component = self.component.cast(dtype)
        return other

    @property
    def support(self):
        """That of the components."""
        return self.component.support

    @property
    def logits(self):
        """Mixture logits, as given."""
        return self.parameters["logits"]

    def full_shape(self):
        own, inner = super().full_shape(), self.component.full_shape()
        batched = len(inner) > len(self.component.event_shape)
        if batched and (self._batched is None or self.logits.shape[0] == 1):
            return (inner[0], *self.event_shape)
        return own

    def _log_density(self, x):
        inner = self.component._log_density(ops.expand_dims(x, 1))
        inner = ops.sum(inner, axis=tuple(range(2, len(inner.shape))))
        return ops.logsumexp(ops.log_softmax(self.logits, axis=-1) + inner, axis=-1)

    def _generate(self, keys, temperature):
        choice, inner = random.split(keys, 2)
        noise = ops.cast(random.gumbel(choice, tuple(self.logits.shape[-1:])), self.dtype)
        label = ops.cast(ops.argmax(self.logits + temperature * noise, axis=-1), "int32")
        draws = self.component.generate(inner, temperature=temperature)
        label = ops.reshape(label, (-1, 1, *(1 for _ in self.event_shape)))
        label = label + ops.zeros_like(draws[:, :1], dtype="int32")
        return ops.take_along_axis(draws, label, axis=1)[:, 0]

    def mean(self):
        """`sum_k pi_k mean_k`."""
        weights = ops.softmax(self.logits, axis=-1)
        weights = ops.reshape(weights, (*ops.shape(weights), *(1 for _ in self.event_shape)))
        return self.fill(ops.sum(weights * self.component.mean(), axis=-1 - len(self.event_shape)))

    def _inside(self, x):
        inside = self.component._inside(x[:, None])
        if inside.ndim <= 1:
            return inside
        event = tuple(range(2, inside.ndim))
        return inside.all(axis=event, keepdims=True).any(axis=1)

    def get_config(self):
        """Logits, and the component's own config."""
        config = {"logits": ops.convert_to_numpy(self.logits).tolist()}
        return {**config, "component": keras.saving.serialize_keras_object(self.component)}

    @classmethod
    def from_config(cls, config):
        component = keras.saving.deserialize_keras_object(config["component"])
        return cls(config["logits"], component)
