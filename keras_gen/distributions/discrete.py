"""Bernoulli and categorical distributions, by their logits.

Bernoulli, with logit a and p(1) = sigmoid(a):

    log p(x) = x log sigmoid(a) + (1 - x) log sigmoid(-a) = x a - softplus(a)

Categorical over classes c, with logits a_c:

    log p(c) = a_c - logsumexp(a)

Both are drawn by perturbing the logits, with a temperature T that divides them. As argmax is unmoved by a
positive factor, `argmax(a / T + g)` is `argmax(a + T g)`, which at T = 0 is the mode:

    x = [a + T l > 0], l standard logistic;    c = argmax_c (a_c + T g_c), g standard Gumbel

Relaxed categorical: the argmax of the second becomes a softmax at relaxation temperature lambda,

    x = softmax((a + T g) / lambda),
    log p(x) = log (n - 1)! + (n - 1) log lambda + sum_c (a_c - (lambda + 1) log x_c)
               - n logsumexp_c (a_c - lambda log x_c)        (n classes, T = 1)
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import random
from keras_gen.distributions.base import Distribution
from keras_gen.distributions.continuous import logistic_noise
from keras_gen.distributions.shapes import softplus

FLOOR = -1e30  # stands for log 0 where it is multiplied by a probability of 0
SMALLEST = 1e-30  # floor of a relaxed probability under a logarithm


@keras.saving.register_keras_serializable(package="keras_gen")
class Bernoulli(Distribution):
    """Independent binary variables.

    `log p(x) = sum_i [x_i logits_i - softplus(logits_i)]`. For x strictly between 0 and 1 the same formula
    is taken: the cross-entropy by which variational autoencoders score grey levels. It is then the expected
    log-probability of a binary image drawn with probabilities x, and no normalised density of x.

    Args:
        logits: tensor `(batch, *event_shape)`, `log p(1) - log p(0)`.
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: see `Distribution`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import Bernoulli
    >>> p = Bernoulli(ops.zeros((1, 3)))
    >>> round(float(p.log_density([[0.0, 1.0, 1.0]])[0]), 4)
    -2.0794
    """

    support = "[0, 1]"

    reparameterized = False

    def __init__(self, logits, event_shape=None):
        super().__init__(event_shape, logits=logits)

    @property
    def logits(self):
        """The logits, as given."""
        return self.parameters["logits"]

    def _log_density(self, x):
        return x * self.logits - softplus(self.logits)

    def _generate(self, keys, temperature):
        noise = ops.cast(logistic_noise(keys, self.event_shape), self.dtype)
        return ops.cast(self.logits + temperature * noise > 0, self.dtype)

    def _entropy(self):
        return softplus(self.logits) - self.logits * ops.sigmoid(self.logits)

    def mean(self):
        """`sigmoid(logits)`, the probability of a one."""
        return self.fill(ops.sigmoid(self.logits))

    def mode(self):
        """One where the logit is positive, else zero."""
        return self.fill(ops.cast(self.logits > 0, self.dtype))

    def _inside(self, x):
        return (x >= 0) & (x <= 1)


class _Logits(Distribution):
    """What the categorical distributions share: logits whose last axis is the classes."""

    reparameterized = False

    def __init__(self, logits, event_shape=None):
        super().__init__(event_shape, logits=logits)
        self.classes = int(self.logits.shape[-1])

    @property
    def logits(self):
        """The logits, as given: `(batch, *sites, classes)`."""
        return self.parameters["logits"]

    def log_probabilities(self):
        """`log_softmax(logits)`, nats."""
        return ops.log_softmax(self.logits, axis=-1)

    def probabilities(self):
        """`softmax(logits)`."""
        return ops.softmax(self.logits, axis=-1)

    def _entropy(self):
        log_p = self.log_probabilities()
        return -ops.sum(ops.exp(log_p) * ops.maximum(log_p, FLOOR), axis=-1)

    def _perturbed(self, keys, temperature):
        noise = random.gumbel(keys, (*self._sites(), self.classes))
        return self.logits + temperature * ops.cast(noise, self.dtype)

    def _drawn(self, keys, temperature):
        """The label of the largest perturbed logit, int32: of rows, whatever the sites, for which XLA has fast code."""
        noise = ops.cast(random.gumbel(keys, (math.prod(self._sites()) * self.classes,)), self.dtype)
        logits = ops.broadcast_to(self.logits, (ops.shape(keys)[0], *self._sites(), self.classes))
        rows = [ops.reshape(x, (-1, self.classes)) for x in (logits, noise)]
        return ops.reshape(random.first_largest(rows[0] + temperature * rows[1]), (-1, *self._sites()))


@keras.saving.register_keras_serializable(package="keras_gen")
class Categorical(_Logits):
    """Integer labels, independent over the event.

    `log p(x) = sum_i log_softmax(logits_i)[x_i]`.

    Args:
        logits: tensor `(batch, *event_shape, classes)`; minus infinity forbids a class.
        event_shape: tuple of ints; default `None`, `logits.shape[1:-1]`.

    Raises:
        ValueError: see `Distribution`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import Categorical
    >>> p = Categorical(ops.zeros((2, 7, 4)))  # 7 positions, 4 classes
    >>> p.event_shape, round(float(p.log_density(ops.ones((2, 7), "int32"))[0]), 4)
    ((7,), -9.7041)
    """

    trailing_axes = {"logits": 1}
    event_dtype = "int32"

    @property
    def support(self):
        """The labels in words."""
        return f"the integers from 0 to {self.classes - 1}"

    def _sites(self):
        return self.event_shape

    def _log_density(self, x):
        log_p = self.log_probabilities()
        x = ops.expand_dims(x, -1)
        log_p = log_p + ops.zeros_like(x, dtype=self.dtype)
        x = x + ops.zeros_like(log_p[..., :1], dtype="int32")
        return ops.take_along_axis(log_p, x, axis=-1)[..., 0]

    def _generate(self, keys, temperature):
        return self._drawn(keys, temperature)

    def mean(self):
        """The expected label, a float: of use where labels are ordered, as grey levels are."""
        labels = ops.cast(ops.arange(self.classes), self.dtype)
        return self.fill(ops.sum(self.probabilities() * labels, axis=-1))

    def mode(self):
        """The label of highest probability, int32."""
        return self.fill(random.first_largest(self.logits))

    def _inside(self, x):
        return (x == np.round(x)) & (x >= 0) & (x < self.classes)


@keras.saving.register_keras_serializable(package="keras_gen")
class OneHotCategorical(_Logits):
    """One-hot vectors, independent over the leading event axes.

    `log p(x) = sum_c x_c log_softmax(logits)[c]`, a cross-entropy where x is a soft label.

    Args:
        logits: tensor `(batch, *event_shape)`, the last event axis the classes.
        event_shape: tuple of ints; default `None`, `logits.shape[1:]`.

    Raises:
        ValueError: see `Distribution`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import OneHotCategorical
    >>> p = OneHotCategorical(ops.zeros((1, 4)))
    >>> round(float(p.log_density([[0.0, 0.0, 1.0, 0.0]])[0]), 4)
    -1.3863
    """

    joint_axes = 1
    support = "one-hot vectors on the last axis"

    def _sites(self):
        return self.event_shape[:-1]

    def _log_density(self, x):
        return ops.sum(x * ops.maximum(self.log_probabilities(), FLOOR), axis=-1)

    def _generate(self, keys, temperature):
        label = self._drawn(keys, temperature)
        return ops.one_hot(label, self.classes, dtype=self.dtype)

    def mean(self):
        """The probabilities."""
        return self.fill(self.probabilities())

    def mode(self):
        """The one-hot vector of the class of highest probability."""
        label = random.first_largest(self.logits)
        return self.fill(ops.one_hot(label, self.classes, dtype=self.dtype))

    def _inside(self, x):
        hot = ((x == 0) | (x == 1)).all(axis=-1) & (x.sum(axis=-1) == 1)
        return hot[..., None]


@keras.saving.register_keras_serializable(package="keras_gen")
class RelaxedCategorical(_Logits):
    """Points of the simplex that approach one-hot vectors (Concrete, Gumbel-softmax).

    `x = softmax((logits + g) / temperature)` with g standard Gumbel, differentiable in the logits; the
    density, on the simplex with respect to its first classes - 1 coordinates, is in the module's notes.
    Probabilities under 1e-30 are scored as 1e-30.

    Args:
        temperature: float or scalar tensor > 0, the relaxation (lambda in the module's notes; the
            `temperature` of `generate` multiplies g instead). Below 1 / (classes - 1) the density has no
            mode inside the simplex.
        logits: tensor `(batch, *event_shape)`, the last event axis the classes.
        event_shape: tuple of ints; default `None`, `logits.shape[1:]`.

    Raises:
        ValueError: where `temperature` is not positive; see also `Distribution`.

    Example:
    >>> from keras import ops
    >>> from keras_gen import random
    >>> from keras_gen.distributions import RelaxedCategorical
    >>> x = RelaxedCategorical(0.5, ops.zeros((3, 4))).generate(random.keys(0, 3))
    >>> tuple(x.shape), round(float(ops.sum(x)), 4)
    ((3, 4), 3.0)

    Reference:
        Maddison, Mnih, Teh (2016), arXiv:1611.00712, equation 10; Jang, Gu, Poole (2016), arXiv:1611.01144.
    """

    joint_axes = 1
    positive = ("temperature",)
    support = "the probability simplex on the last axis"

    reparameterized = True

    def __init__(self, temperature, logits, event_shape=None):
        Distribution.__init__(self, event_shape, temperature=temperature, logits=logits)
        self.classes = int(self.logits.shape[-1])

    def _sites(self):
        return self.event_shape[:-1]

    def _log_density(self, x):
        n, relaxation = self.classes, self.parameters["temperature"]
        log_x = ops.log(ops.maximum(x, SMALLEST))
        a = self.log_probabilities()  # the density is unmoved by a shift of the logits
        total = ops.sum(a - (relaxation + 1) * log_x, axis=-1)
        normaliser = n * ops.logsumexp(a - relaxation * log_x, axis=-1)
        return math.lgamma(n) + (n - 1) * ops.log(relaxation) + total - normaliser

    def _generate(self, keys, temperature):
        return ops.softmax(self._perturbed(keys, temperature) / self.parameters["temperature"], axis=-1)

    def _entropy(self):
        return Distribution._entropy(self)

    def _inside(self, x):
        on_simplex = (x >= 0).all(axis=-1) & (np.abs(x.sum(axis=-1) - 1) < 1e-4)
        return on_simplex[..., None]
