"""Samplers: rules that turn noise into data by asking a denoiser. See `keras_gen.diffusion.samplers.base`."""

from keras_gen.diffusion.samplers.base import Sampler, Turn, get_sampler
from keras_gen.diffusion.samplers.heun import Heun
from keras_gen.diffusion.samplers.langevin import AnnealedLangevin, PredictorCorrector
from keras_gen.diffusion.samplers.multistep import AdamsBashforth, DPMSolverPlusPlus
from keras_gen.diffusion.samplers.one_step import DDIM, Ancestral, Euler

NAMES = {
    "adams_bashforth": AdamsBashforth,
    "ancestral": Ancestral,
    "annealed_langevin": AnnealedLangevin,
    "ddim": DDIM,
    "dpm_solver_plus_plus": DPMSolverPlusPlus,
    "euler": Euler,
    "heun": Heun,
    "predictor_corrector": PredictorCorrector,
}

__all__ = [
    "NAMES",
    "AdamsBashforth",
    "Ancestral",
    "AnnealedLangevin",
    "DDIM",
    "DPMSolverPlusPlus",
    "Euler",
    "Heun",
    "PredictorCorrector",
    "Sampler",
    "Turn",
    "get_sampler",
]
