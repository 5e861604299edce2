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
from keras_gen.losses.image_terms import (
    Perceptual,
    absolute_error,
    get_image_error,
    perceptual,
    squared_error,
    total_variation,
    vgg19_features,
)
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
    "Perceptual",
    "R1",
    "R2",
    "Relativistic",
    "RelativisticAverage",
    "Wasserstein",
    "absolute_error",
    "feature_matching",
    "get_adversarial_loss",
    "get_image_error",
    "mutual_information",
    "path_length",
    "perceptual",
    "squared_error",
    "squared_gradient",
    "total_variation",
    "vgg19_features",
]
