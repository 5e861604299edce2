"""Schedules of noise: alpha_t and sigma_t for t in [0, 1]. See `keras_gen.diffusion.schedules.base`."""

from keras_gen.diffusion.schedules.base import LARGEST_LOG_SNR, Level, Schedule, get_schedule
from keras_gen.diffusion.schedules.discrete import Chain, Discrete, LinearBeta, ZeroTerminalSNR
from keras_gen.diffusion.schedules.other import EDMSigma, Rectified, VarianceExploding
from keras_gen.diffusion.schedules.preserving import Cosine, Sigmoid, SubVariancePreserving, VariancePreserving

NAMES = {
    "cosine": Cosine,
    "edm": EDMSigma,
    "linear_beta": LinearBeta,
    "rectified": Rectified,
    "sigmoid": Sigmoid,
    "sub_variance_preserving": SubVariancePreserving,
    "variance_exploding": VarianceExploding,
    "variance_preserving": VariancePreserving,
}

__all__ = [
    "LARGEST_LOG_SNR",
    "NAMES",
    "Chain",
    "Cosine",
    "Discrete",
    "EDMSigma",
    "Level",
    "LinearBeta",
    "Rectified",
    "Schedule",
    "Sigmoid",
    "SubVariancePreserving",
    "VarianceExploding",
    "VariancePreserving",
    "ZeroTerminalSNR",
    "get_schedule",
]
