"""Learnable priors of latents: layers that answer `generate` and `log_density`.

The standard prior N(0, I) needs no layer, see `distributions.Normal`. A mixture of K diagonal normals,

    p(z) = sum_k pi_k N(z; m_k, diag(s_k^2)),    pi = softmax(a),

begins with m_k drawn from N(0, r^2 I), s_k^2 = 1 - r^2 and equal weights: averaged over the draw of the means
it has mean 0 and covariance I. A conditional prior reads its parameters from the condition y,

    p(z given y) = N(z; m(y), diag(s(y)^2)),

and begins within a few hundredths of N(0, I) for every y.
"""

import math

import keras
from keras import ops

from keras_gen import distributions
from keras_gen.backend import check_dtype
from keras_gen.layers.embeddings import ConditionEncoder
from keras_gen.layers.heads import NormalHead
from keras_gen.layers.heads.continuous import LOG_SCALE_CAP
from keras_gen.layers.shapes import as_shape, positive_int

FIRST_SPREAD = 0.5


@keras.saving.register_keras_serializable(package="keras_gen")
class LearnedMixturePrior(keras.layers.Layer):
    """Trainable mixture of diagonal normals, `p(z) = sum_k pi_k N(z; m_k, diag(s_k^2))`.

    Its weights exist from the start. `call(z)` is `log_density(z)`.

    Args:
        event_shape: tuple of ints, the shape of one latent z.
        components: int, K. Default 10.
        seed: integer, or None (default) for a random one: the draw of the first means.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: for sizes that are no positive integers.

    Example:
    >>> from keras import ops
    >>> from keras_gen import random
    >>> from keras_gen.layers import LearnedMixturePrior
    >>> prior = LearnedMixturePrior((2,), components=4, seed=0)
    >>> z = prior.generate(random.keys(0, 3))
    >>> tuple(z.shape), tuple(prior.log_density(z).shape)
    ((3, 2), (3,))

    Reference:
        Tomczak, Welling (2017), arXiv:1705.07120, section 2 (there "MoG").
    """

    conditional = False

    def __init__(self, event_shape, components=10, seed=None, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        check_dtype(self.dtype_policy, type(self).__name__)
        self.event_shape = as_shape(event_shape, "event_shape")
        self.components = positive_int(components, "components")
        self.seed = seed
        shape = (self.components, *self.event_shape)
        draw = keras.initializers.RandomNormal(stddev=FIRST_SPREAD, seed=seed)
        self.logits = self._weight((self.components,), "zeros", "logits")
        self.means = self._weight(shape, draw, "means")
        scale = keras.initializers.Constant(0.5 * math.log(1 - FIRST_SPREAD**2))
        self.log_scales = self._weight(shape, scale, "log_scales")
        self.built = True

    def distribution(self, condition=None):
        """The mixture as a `Distribution` without a batch; `condition` must be None."""
        if condition is not None:
            raise ValueError("LearnedMixturePrior is not conditional: expected condition=None. Received one.")
        log_scales = ops.minimum(ops.convert_to_tensor(self.log_scales), LOG_SCALE_CAP)
        means = ops.convert_to_tensor(self.means)
        shape = (self.components, *self.event_shape)
        component = distributions.Normal(means, ops.exp(log_scales), event_shape=shape)
        return distributions.Mixture(ops.convert_to_tensor(self.logits), component)

    def generate(self, keys, condition=None, temperature=1.0):
        """Draw one latent per key `(n, 2)`; tensor `(n, *event_shape)`."""
        return self.distribution(condition).generate(keys, temperature=temperature)

    def log_density(self, z, condition=None):
        """`log p(z)` of latents `(batch, *event_shape)`; tensor `(batch,)`, nats."""
        return self.distribution(condition).log_density(z)

    def call(self, z):
        return self.log_density(z)

    def compute_output_shape(self, input_shape):
        return (input_shape[0],)

    def compute_output_spec(self, z):
        return keras.KerasTensor((z.shape[0],), self.logits.dtype)

    def get_config(self):
        own = {"event_shape": self.event_shape, "components": self.components, "seed": self.seed}
        return {**super().get_config(), **own}

    def _weight(self, shape, initializer, name):
        dtype = keras.backend.result_type(self.variable_dtype, "float32")
        return self.add_weight(shape=shape, initializer=initializer, dtype=dtype, autocast=False, name=name)


@keras.saving.register_keras_serializable(package="keras_gen")
class ConditionalNormalPrior(keras.layers.Layer):
    """Diagonal normal whose mean and scale are a network of the condition, `p(z given y)`.

    Its weights exist from the start. `call(condition)` gives the raw parameters, see `NormalHead`.

    Args:
        event_shape: tuple of ints, the shape of one latent z.
        num_classes: int, for integer labels; or
        condition_shape: tuple of ints, for arrays. Exactly one of the two is given.
        units: tuple of ints, sizes of the hidden layers. Default (): a linear map, which of one-hot labels is
            a free mean and scale per class.
        activation: of the hidden layers, default "relu".
        scale: of `NormalHead`, default "learned".
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: see `ConditionEncoder` and `NormalHead`; where a call comes without a condition.

    Example:
    >>> from keras import ops
    >>> from keras_gen import random
    >>> from keras_gen.layers import ConditionalNormalPrior
    >>> prior = ConditionalNormalPrior((2,), num_classes=3)
    >>> tuple(prior.generate(random.keys(0, 4), condition=ops.arange(4) % 3).shape)
    (4, 2)

    Reference:
        Sohn, Lee, Yan (2015), "Learning structured output representation using deep conditional generative
        models", NeurIPS, section 4.
    """

    conditional = True

    def __init__(
        self,
        event_shape,
        num_classes=None,
        condition_shape=None,
        units=(),
        activation="relu",
        scale="learned",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.event_shape = as_shape(event_shape, "event_shape")
        self.units = as_shape(units, "units")
        self.activation = keras.activations.get(activation)
        policy = self.dtype_policy
        self.encoder = ConditionEncoder(num_classes, condition_shape, dtype=policy, name="encoder")
        self.hidden = [
            keras.layers.Dense(size, activation=self.activation, dtype=policy, name=f"hidden_{i}")
            for i, size in enumerate(self.units)
        ]
        self.head = NormalHead(
            self.event_shape,
            scale=scale,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype=policy,
            name="head",
        )
        self.build((None, *(self.encoder.condition_shape or ())))

    def build(self, input_shape):
        if self.built:
            return
        self.encoder.build(input_shape)
        shape = (None, *self.encoder.features_shape())
        for layer in self.hidden:
            layer.build(shape)
            shape = (None, layer.units)
        self.head.build(shape)

    def call(self, condition):
        h = self.encoder(condition)
        for layer in self.hidden:
            h = layer(h)
        return self.head(h)

    def distribution(self, condition):
        """p(z given condition), a batch of normals."""
        if condition is None:
            raise ValueError("ConditionalNormalPrior expects a condition, one a latent. Received: None.")
        return self.head.read(self(condition))

    def generate(self, keys, condition=None, temperature=1.0):
        """Draw one latent per key `(n, 2)` and row of `condition`; tensor `(n, *event_shape)`."""
        return self.distribution(condition).generate(keys, temperature=temperature)

    def log_density(self, z, condition=None):
        """`log p(z given condition)` of latents `(batch, *event_shape)`; tensor `(batch,)`, nats."""
        return self.distribution(condition).log_density(z)

    def compute_output_shape(self, input_shape):
        return self.head.compute_output_shape(input_shape)

    def compute_output_spec(self, condition):
        return keras.KerasTensor(self.compute_output_shape(condition.shape), self.head.parameter_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "event_shape": self.event_shape,
            "num_classes": self.encoder.num_classes,
            "condition_shape": self.encoder.condition_shape,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "scale": self.head.scale,
        }
