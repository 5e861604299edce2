"""Ours as theirs: a bijection as a `tfp.bijectors.Bijector`, a flow as a `tfp.distributions.Distribution`.

TFP asks for an event and for its log-determinant one after the other; ours come together. What comes along is put into
TFP's memory of that event, so that a density takes one pass.
"""

import numbers

import tensorflow as tf
import tensorflow_probability as tfp
from keras import ops

from keras_gen import random
from keras_gen.distributions import Distribution
from keras_gen.interop.tfp.shapes import Rows
from keras_gen.layers import Bijection
from keras_gen.models import NormalizingFlow


class BijectionBijector(tfp.bijectors.Bijector):
    """A built bijection of ours under TFP's names."""

    def __init__(self, bijection, condition=None, name=None):
        parameters = dict(locals())
        self.bijection = bijection
        self.weights = _values(bijection)
        self.condition = _as_condition(condition, bijection.real_dtype)
        self.shapes = bijection.event_shape, bijection.latent_shape(bijection.event_shape)
        super().__init__(
            forward_min_event_ndims=len(self.shapes[0]),
            inverse_min_event_ndims=len(self.shapes[1]),
            dtype=tf.as_dtype(bijection.real_dtype),
            parameters={**parameters, "condition": self.condition},
            name=name or type(bijection).__name__,
        )

    @classmethod
    def _parameter_properties(cls, dtype):
        def rank(self, x_rank):
            return len(self.bijection.given_shape or ()) + x_rank - len(self.shapes[0])

        return {"condition": tfp.util.ParameterProperties(event_ndims=rank)}

    def _forward(self, x, condition=None):
        z, log_det = self._forward_pair(x, condition)
        self._cache.forward_attributes(x, **_given(condition))["ildj"] = -log_det
        return z

    def _inverse(self, y, condition=None):
        x, log_det = self._inverse_pair(y, condition)
        self._cache.inverse_attributes(y, **_given(condition))["ildj"] = log_det
        return x

    def _forward_log_det_jacobian(self, x, condition=None):
        return self._forward_pair(x, condition)[1]

    def _inverse_log_det_jacobian(self, y, condition=None):
        return self._inverse_pair(y, condition)[1]

    def _forward_pair(self, x, condition):
        return self._pair(self.bijection.forward_and_log_det, x, condition, *self.shapes)

    def _inverse_pair(self, y, condition):
        return self._pair(self.bijection.inverse_and_log_det, y, condition, *self.shapes[::-1])

    def _pair(self, direction, x, condition, shape, other):
        check_condition(self.bijection, condition)
        condition = self.condition if condition is None else _as_condition(condition, self.bijection.real_dtype)
        rows = Rows(x, shape, condition, self.bijection.given_shape, f"events of {self.bijection.name!r}")
        value, log_det = direction(rows.x, rows.condition)
        return rows.back(value, other), rows.back(log_det)

    def _forward_event_shape(self, input_shape):
        return self._other_shape(input_shape, *self.shapes)

    def _inverse_event_shape(self, output_shape):
        return self._other_shape(output_shape, *self.shapes[::-1])

    def _forward_event_shape_tensor(self, input_shape):
        return tf.concat([input_shape[: input_shape.shape[0] - len(self.shapes[0])], self.shapes[1]], 0)

    def _inverse_event_shape_tensor(self, output_shape):
        return tf.concat([output_shape[: output_shape.shape[0] - len(self.shapes[1])], self.shapes[0]], 0)

    @staticmethod
    def _other_shape(shape, here, there):
        return shape if shape.rank is None else shape[: shape.rank - len(here)].concatenate(there)


class FlowDistribution(tfp.distributions.Distribution):
    """A flow of ours, or a distribution without a batch, under TFP's names."""

    def __init__(self, flow, condition=None, name=None):
        parameters = dict(locals())
        self.flow = flow
        self.weights = _values(flow)
        self.condition = None if condition is None else tf.convert_to_tensor(condition)
        self.given = tuple(flow.condition_shape) if condition is not None else ()
        base = flow.base_distribution() if isinstance(flow, NormalizingFlow) else flow
        kinds = (tfp.distributions.NOT_REPARAMETERIZED, tfp.distributions.FULLY_REPARAMETERIZED)
        super().__init__(
            dtype=tf.as_dtype(getattr(flow, "real_dtype", flow.dtype)),
            reparameterization_type=kinds[bool(getattr(base, "reparameterized", False))],
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name or type(flow).__name__,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        rank = lambda self: len(self.given)  # noqa: E731
        return {"condition": tfp.util.ParameterProperties(event_ndims=rank)}

    def _event_shape(self):
        return tf.TensorShape(self.flow.event_shape)

    def _event_shape_tensor(self):
        return tf.constant(self.flow.event_shape, tf.int32)

    def _batch_shape(self):
        return tf.TensorShape([]) if self.condition is None else self._rows_of_batch().static

    def _batch_shape_tensor(self, **parameters):
        return tf.constant([], tf.int32) if self.condition is None else self._rows_of_batch().batch

    def _rows_of_batch(self):
        return Rows(self.condition, self.given, None, (), "a condition")

    def _log_prob(self, value):
        rows = Rows(value, self.flow.event_shape, self.condition, self.given, f"events of {self.name!r}")
        return rows.back(self.flow.log_density(rows.x, **_given(rows.condition)))

    def _sample_n(self, n, seed=None):
        draw = lambda keys, condition: self.flow.generate(keys, **_given(condition))  # noqa: E731
        return self._draw(draw, n, seed)[0]

    def _sample_and_log_prob(self, sample_shape, seed):
        draw = lambda keys, condition: self.flow.generate_and_log_density(keys, **_given(condition))  # noqa: E731
        x, log_prob = self._draw(draw, tf.reduce_prod(sample_shape), seed)
        shape = lambda v: tf.concat([sample_shape, tf.shape(v)[1:]], 0)  # noqa: E731
        return tf.reshape(x, shape(x)), tf.reshape(log_prob, shape(log_prob))

    def _draw(self, draw, n, seed):
        """What `draw(keys, condition)` gives of n draws of the whole batch, each `(n, *batch, ...)`."""
        n = tf.convert_to_tensor(n, tf.int32)
        index = tf.zeros(tf.concat([n[None], self.batch_shape_tensor()], 0))
        index = tf.ensure_shape(index, tf.TensorShape([tf.get_static_value(n)]).concatenate(self.batch_shape))
        rows = Rows(index, (), self.condition, self.given, "draws")
        outputs = draw(keys_of(seed, tf.size(index)), rows.condition)
        x, *log_prob = outputs if isinstance(outputs, tuple) else (outputs,)
        return [rows.back(x, self.flow.event_shape), *(rows.back(part) for part in log_prob)]


def keys_of(seed, n):
    """n of our keys from a seed of TFP: an integer, a pair of them, None, or what gives one when called."""
    seed = seed() if callable(seed) else seed
    if isinstance(seed, numbers.Integral) and not isinstance(seed, bool):
        count = tf.get_static_value(n)
        if count is None:
            raise ValueError(
                "Expected a number of samples that is known when a graph is made, for a seed that is an integer. "
                "Received: a tensor. Give a pair of integers as the seed."
            )
        return random.keys(int(seed), max(int(count), 1))[: int(count)]
    seed = tfp.random.sanitize_seed(seed)
    return random.fold_in(tf.broadcast_to(seed, tf.stack([n, 2])), tf.range(n))


def check_bijection(bijection, condition):
    """Raise unless the bijection is built for a known shape and takes what it is given."""
    if not isinstance(bijection, Bijection):
        raise ValueError(f"as_tfp_bijector expects a `layers.Bijection`. Received: {bijection!r}.")
    shape = bijection.event_shape
    if shape is None or None in shape:
        raise ValueError(
            "as_tfp_bijector expects a bijection that is built for events of a known shape. Received: "
            f"{type(bijection).__name__} {bijection.name!r} with event_shape={shape}. Call `build((None, *shape))`."
        )
    check_condition(bijection, condition)


def check_condition(bijection, condition):
    """Raise for a condition that the bijection does not take."""
    if condition is not None and not bijection.takes_condition:
        raise ValueError(f"{type(bijection).__name__} {bijection.name!r} expects no condition. Received: one.")


def check_flow(flow, condition):
    """Raise unless the flow has an exact density of one event, and a condition if it takes one."""
    if not isinstance(flow, (NormalizingFlow, Distribution)):
        raise ValueError(
            "as_tfp_distribution expects a `models.NormalizingFlow` or a `distributions.Distribution`. Received: "
            f"{flow!r}."
        )
    if getattr(flow, "likelihood", "exact") != "exact":
        raise ValueError(
            "as_tfp_distribution expects a flow of continuous data, whose density is exact. Received: one of "
            f"{flow.levels} grey levels, which has a bound. Use its `log_prob` and `sample`."
        )
    batch = getattr(flow, "batch_size", None)
    if batch is not None:
        raise ValueError(f"as_tfp_distribution expects a distribution without a batch. Received: {batch} of them.")
    if (condition is not None) != getattr(flow, "conditional", False):
        wanted, got = ("no condition", "one") if condition is not None else ("a condition", "none")
        raise ValueError(f"{type(flow).__name__} expects {wanted}. Received: {got}.")


def _given(condition):
    return {} if condition is None else {"condition": condition}


def _as_condition(condition, dtype):
    return None if condition is None else ops.cast(condition, dtype)


def _values(layer):
    """The tf.Variables of a layer's weights, for TFP's `trainable_variables`; of what is no layer, none."""
    return [variable.value for variable in getattr(layer, "trainable_variables", ())]
