"""Theirs as ours: a bijector of TFP as a `layers.Bijection`, a distribution of TFP as a base.

Their variables are shared: a `keras.Variable` that is made of a `tf.Variable` holds that variable itself, so Keras's
optimizers, `save_weights` and `trainable` reach them. What TFP remembers of a tensor is not asked for: each call is
made with a new one, since the weights may have moved.
"""

import numbers

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_gen.backend import check_dtype
from keras_gen.interop.tfp.outward import BijectionBijector, FlowDistribution
from keras_gen.layers import Bijection


def bijection_of(bijector, condition_name, networks, **kwargs):
    """The bijection of ours that `bijector` was made of, or else a `BijectorBijection`."""
    if isinstance(bijector, BijectionBijector) and not bijector.bijection.takes_condition:
        return bijector.bijection
    return BijectorBijection(bijector, condition_name, networks, **kwargs)


def base_of(distribution, **kwargs):
    """The flow of ours that `distribution` was made of, or else a `DistributionBase`."""
    if isinstance(distribution, FlowDistribution) and distribution.condition is None:
        return distribution.flow
    return DistributionBase(distribution, **kwargs)


@keras.saving.register_keras_serializable(package="keras_gen")
class BijectorBijection(Bijection):
    """A bijector of TFP under our names."""

    def __init__(self, bijector, condition_name=None, networks=(), **kwargs):
        super().__init__(**kwargs)
        self.bijector, self.condition_name = _check_bijector(bijector), condition_name
        self.takes_condition = condition_name is not None
        self.networks = list(networks)

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape)
        self._check_shape()
        self._make_variables()
        self.shared = _shared(self.bijector)

    def _check_shape(self):
        rank, least = len(self.event_shape), self.bijector.forward_min_event_ndims
        if rank < least:
            raise ValueError(
                f"{self.bijector.name!r} of TFP expects events of at least {least} axes. Received: {self.event_shape}."
            )
        _refuse_batch(self.bijector.name, _batch_shape(self.bijector, rank), "one that acts on an event")

    def _make_variables(self):
        """Networks make theirs when they are first called; halves lie in the domain of most maps."""
        halves = [0.5 * tf.ones((1, *(d or 1 for d in shape))) for shape in (self.event_shape, self.given_shape or ())]
        try:
            self._forward(halves[0], halves[1] if self.takes_condition else None, False)
        except tf.errors.InvalidArgumentError:  # halves are none of its events, and `validate_args` says so
            pass

    def _forward(self, x, condition, training):
        b, rank = self.bijector, len(self.event_shape)
        return self._pair(b.forward, b.forward_log_det_jacobian, b.inverse_dtype(), rank, x, condition)

    def _inverse(self, z, condition, training):
        b, rank = self.bijector, len(self.latent_shape(self.event_shape))
        return self._pair(b.inverse, b.inverse_log_det_jacobian, b.forward_dtype(), rank, z, condition)

    def _pair(self, direction, log_det, dtype, rank, x, condition):
        x = tf.identity(tf.cast(x, dtype or self.real_dtype))
        kwargs = {} if condition is None else {self.condition_name: tf.cast(condition, x.dtype)}
        value, log_det = direction(x, **kwargs), log_det(x, event_ndims=rank, **kwargs)
        value, log_det = tf.cast(value, self.real_dtype), tf.cast(log_det, self.real_dtype)
        return value, tf.broadcast_to(log_det, tf.shape(x)[:1])

    def latent_shape(self, event_shape):
        return tuple(self.bijector.forward_event_shape(event_shape).as_list())

    def get_config(self):
        _refuse_saving(self, "from_tfp_bijector")


@keras.saving.register_keras_serializable(package="keras_gen")
class DistributionBase(keras.layers.Layer):
    """A distribution of TFP under our names; `call(z)` is `log_density(z)`."""

    conditional = False

    def __init__(self, distribution, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        check_dtype(self.dtype_policy, "from_tfp_distribution")
        self.theirs = _check_distribution(distribution)
        self.event_shape = tuple(distribution.event_shape.as_list())
        kind = distribution.reparameterization_type
        self.reparameterized = kind == tfp.distributions.FULLY_REPARAMETERIZED
        self.shared = _shared(distribution)
        self._draws = tf.function(self._draw, [tf.TensorSpec((None, 2), tf.int32)], autograph=False)
        self.built = True

    @property
    def real_dtype(self):
        """Dtype of events and densities: float32, or float64 under that policy."""
        return keras.backend.result_type(self.variable_dtype, "float32")

    def _draw(self, keys):
        one = lambda key: self.theirs.sample(seed=key)  # noqa: E731
        return tf.map_fn(one, keys, fn_output_signature=tf.TensorSpec(self.event_shape, self.theirs.dtype))

    def generate(self, keys, condition=None, temperature=1.0):
        """Row i is `distribution.sample(seed=keys[i])`."""
        _refuse_condition(condition)
        x = self._draws(keys)
        if not (isinstance(temperature, numbers.Real) and temperature == 1):
            x = self._tempered(x, tf.cast(temperature, x.dtype))
        return tf.cast(x, self.real_dtype)

    def _tempered(self, x, temperature):
        try:
            mean = self.theirs.mean()
        except NotImplementedError:
            message = f"Expected temperature=1 of {self.theirs.name!r}, whose mean TFP does not know."
            with tf.control_dependencies([tf.debugging.assert_equal(temperature, tf.ones_like(temperature), message)]):
                return tf.identity(x)
        return tf.where(temperature == 1, x, mean + temperature * (x - mean))

    def log_density(self, z, condition=None):
        """Their log-density of events `(batch, *event_shape)`, `(batch,)`, nats."""
        _refuse_condition(condition)
        z = tf.identity(tf.cast(z, self.theirs.dtype))
        return tf.cast(self.theirs.log_prob(z), self.real_dtype)

    def call(self, z):
        return self.log_density(z)

    def get_config(self):
        _refuse_saving(self, "from_tfp_distribution")


def _shared(module):
    """A `keras.Variable` of each of a `tf.Module`'s own variables."""
    names = [variable.name.split(":")[0].replace("/", "_") for variable in module.variables]
    options = [{"trainable": v.trainable, "dtype": v.dtype.name, "autocast": False} for v in module.variables]
    return [
        keras.Variable(initializer=variable, name=name, **option)
        for variable, name, option in zip(module.variables, names, options, strict=True)
    ]


def _check_bijector(bijector):
    theirs = isinstance(bijector, tfp.bijectors.Bijector) and bijector._is_injective
    ranks = [bijector.forward_min_event_ndims, bijector.inverse_min_event_ndims] if theirs else [()]
    if any(tf.nest.is_nested(rank) for rank in ranks):
        raise ValueError(
            "from_tfp_bijector expects a `tfp.bijectors.Bijector` that is injective and maps one tensor to one. "
            f"Received: {bijector!r}."
        )
    return bijector


def _check_distribution(distribution):
    if not isinstance(distribution, tfp.distributions.Distribution):
        raise ValueError(
            f"from_tfp_distribution expects a `tfp.distributions.Distribution`. Received: {distribution!r}."
        )
    if not getattr(distribution.dtype, "is_floating", False) or not distribution.event_shape.is_fully_defined():
        raise ValueError(
            "from_tfp_distribution expects events of real numbers of a known shape. Received: "
            f"dtype={distribution.dtype}, event_shape={distribution.event_shape}."
        )
    _refuse_batch(distribution.name, distribution.batch_shape, "`tfp.distributions.Independent(d, n)`")
    return distribution


def _batch_shape(bijector, rank):
    try:
        return bijector.experimental_batch_shape(x_event_ndims=rank)
    except NotImplementedError:  # it does not say
        return tf.TensorShape([])


def _refuse_batch(name, shape, remedy):
    if shape.rank != 0:
        raise ValueError(f"Expected {name!r} of TFP without a batch. Received: batch_shape={shape}. Make it {remedy}.")


def _refuse_condition(condition):
    if condition is not None:
        raise ValueError("A distribution of TFP is not conditional: expected condition=None. Received one.")


def _refuse_saving(layer, name):
    raise ValueError(
        f"{layer.name!r}, made by `{name}`, has no configuration: it holds an object of TensorFlow Probability, which "
        "Keras cannot save. Keep the code that makes the model, and use `save_weights` and `load_weights`."
    )
