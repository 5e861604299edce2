"""Diffusion models and flow matching."""

from keras_gen.models.diffusion.base import DiffusionModel
from keras_gen.models.diffusion.flow_matching import FlowMatching, RectifiedFlow, Reflow
from keras_gen.models.diffusion.recipes import DDPM, EDM, ImprovedDDPM, ScoreSDE

__all__ = ["DDPM", "EDM", "DiffusionModel", "FlowMatching", "ImprovedDDPM", "RectifiedFlow", "Reflow", "ScoreSDE"]
