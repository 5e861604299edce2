"""Metrics of generative models."""

from keras_gen.metrics.latent import LatentUse

__all__ = ["LatentUse"]
