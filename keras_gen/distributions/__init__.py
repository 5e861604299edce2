"""Probability distributions: plain objects that hold tensors, score events and draw them."""

from keras_gen.distributions.base import Distribution
from keras_gen.distributions.continuous import Gumbel, Laplace, Logistic, Normal, Uniform
from keras_gen.distributions.discrete import Bernoulli, Categorical, OneHotCategorical, RelaxedCategorical
from keras_gen.distributions.discretized import DiscretizedLogistic, DiscretizedLogisticMixture
from keras_gen.distributions.divergences import (
    has_closed_form_kl,
    kl_divergence,
    monte_carlo_kl,
    register_kl,
)
from keras_gen.distributions.mixtures import Mixture
from keras_gen.distributions.multivariate import MultivariateNormal
from keras_gen.distributions.student_t import StudentT
from keras_gen.distributions.transformed import Transformed
from keras_gen.distributions.truncation import truncated_logits

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Distribution",
    "Gumbel",
    "Laplace",
    "Logistic",
    "Mixture",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "RelaxedCategorical",
    "StudentT",
    "Transformed",
    "Uniform",
    "has_closed_form_kl",
    "kl_divergence",
    "monte_carlo_kl",
    "register_kl",
    "truncated_logits",
]
