"""Adversarial models."""

from keras_gen.models.adversarial.conditional import ConditionalGAN
from keras_gen.models.adversarial.gan import GAN
from keras_gen.models.adversarial.infogan import InfoGAN
from keras_gen.models.adversarial.recipes import DCGAN, LSGAN, WGAN, WGANGP

__all__ = ["ConditionalGAN", "DCGAN", "GAN", "InfoGAN", "LSGAN", "WGAN", "WGANGP"]
