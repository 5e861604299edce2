"""Adversarial models."""

from keras_gen.models.adversarial.adversarial_autoencoder import AdversarialAutoencoder
from keras_gen.models.adversarial.bigan import BiGAN
from keras_gen.models.adversarial.conditional import ConditionalGAN
from keras_gen.models.adversarial.cycle_gan import CycleGAN
from keras_gen.models.adversarial.gan import GAN
from keras_gen.models.adversarial.infogan import InfoGAN
from keras_gen.models.adversarial.lapgan import LAPGAN
from keras_gen.models.adversarial.paired import PairedGAN, Pix2Pix
from keras_gen.models.adversarial.progressive_gan import ProgressiveGAN
from keras_gen.models.adversarial.recipes import DCGAN, LSGAN, WGAN, WGANGP
from keras_gen.models.adversarial.srgan import SRGAN
from keras_gen.models.adversarial.style_gan import StyleGAN
from keras_gen.models.adversarial.vae_gan import VAEGAN

__all__ = [
    "AdversarialAutoencoder",
    "BiGAN",
    "ConditionalGAN",
    "CycleGAN",
    "DCGAN",
    "GAN",
    "InfoGAN",
    "LAPGAN",
    "LSGAN",
    "PairedGAN",
    "Pix2Pix",
    "ProgressiveGAN",
    "SRGAN",
    "StyleGAN",
    "VAEGAN",
    "WGAN",
    "WGANGP",
]
