"""Adversarial models."""

from keras_gen.models.adversarial.gan import GAN

__all__ = ["GAN"]
