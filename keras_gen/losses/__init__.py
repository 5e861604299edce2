"""Losses per example, `(batch,)`, and penalties: what players minimise."""

from keras_gen.losses.adversarial import (
    ADVERSARIAL_LOSSES,
    AdversarialLoss,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Relativistic,
    RelativisticAverage,
    Wasserstein,
    get_adversarial_loss,
)
from keras_gen.losses.generator_terms import feature_matching, mutual_information, path_length
from keras_gen.losses.image_terms import absolute_error, squared_error
from keras_gen.losses.penalties import DRAGAN, R1, R2, GradientPenalty, Penalty, squared_gradient

__all__ = [
    "ADVERSARIAL_LOSSES",
    "AdversarialLoss",
    "DRAGAN",
    "GradientPenalty",
    "Hinge",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "Penalty",
    "R1",
    "R2",
    "Relativistic",
    "RelativisticAverage",
    "Wasserstein",
    "feature_matching",
    "get_adversarial_loss",
    "mutual_information",
    "path_length",
    "squared_gradient",
]
