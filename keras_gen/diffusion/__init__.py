"""Diffusion in three abstractions: a schedule, a denoiser, a sampler.

    schedule   t -> (alpha_t, sigma_t): x_t = alpha_t x_0 + sigma_t eps        `keras_gen.diffusion.schedules`
    denoiser   (x_t, t, condition) -> E[x_0 given x_t]                         `keras_gen.diffusion.denoisers`
    sampler    a table of rows, each one evaluation and one step               `keras_gen.diffusion.samplers`

Any of each goes with any of the others; guidance, thresholds and another schedule wrap a denoiser and are one.
"""

from keras_gen.diffusion.denoisers import Clipped, Denoiser, Denoising, Prediction, Rescheduled
from keras_gen.diffusion.flow import ProbabilityFlow
from keras_gen.diffusion.grids import GRIDS, times
from keras_gen.diffusion.guidance import ClassifierFree, ClassifierGuided
from keras_gen.diffusion.inpainting import RePaint
from keras_gen.diffusion.samplers import (
    DDIM,
    AdamsBashforth,
    Ancestral,
    AnnealedLangevin,
    DPMSolverPlusPlus,
    Euler,
    Heun,
    PredictorCorrector,
    Sampler,
    Turn,
    get_sampler,
)
from keras_gen.diffusion.schedules import (
    Cosine,
    Discrete,
    EDMSigma,
    Level,
    LinearBeta,
    Rectified,
    Schedule,
    Sigmoid,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    ZeroTerminalSNR,
    get_schedule,
)
from keras_gen.diffusion.weightings import (
    SNR,
    EDMLogNormal,
    Likelihood,
    LogitNormal,
    MinSNR,
    Simple,
    Target,
    Weighting,
    get_weighting,
)

__all__ = [
    "DDIM",
    "GRIDS",
    "SNR",
    "AdamsBashforth",
    "Ancestral",
    "AnnealedLangevin",
    "ClassifierFree",
    "ClassifierGuided",
    "Clipped",
    "Cosine",
    "DPMSolverPlusPlus",
    "Denoiser",
    "Denoising",
    "Discrete",
    "EDMLogNormal",
    "EDMSigma",
    "Euler",
    "Heun",
    "Level",
    "Likelihood",
    "LinearBeta",
    "LogitNormal",
    "MinSNR",
    "Prediction",
    "PredictorCorrector",
    "ProbabilityFlow",
    "RePaint",
    "Rectified",
    "Rescheduled",
    "Sampler",
    "Schedule",
    "Sigmoid",
    "Simple",
    "SubVariancePreserving",
    "Target",
    "Turn",
    "VarianceExploding",
    "VariancePreserving",
    "Weighting",
    "ZeroTerminalSNR",
    "get_sampler",
    "get_schedule",
    "get_weighting",
    "times",
]
