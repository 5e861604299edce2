"""Probability distributions: plain objects that hold tensors, score events and draw them."""

from keras_gen.distributions.base import Distribution
from keras_gen.distributions.continuous import Gumbel, Laplace, Logistic, Normal, StudentT, Uniform
from keras_gen.distributions.discrete import Bernoulli, Categorical, OneHotCategorical, RelaxedCategorical
from keras_gen.distributions.divergences import (
    has_closed_form_kl,
    kl_divergence,
    monte_carlo_kl,
    register_kl,
)
from keras_gen.distributions.multivariate import MultivariateNormal

__all__ = [
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Gumbel",
    "Laplace",
    "Logistic",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "RelaxedCategorical",
    "StudentT",
    "Uniform",
    "has_closed_form_kl",
    "kl_divergence",
    "monte_carlo_kl",
    "register_kl",
]
