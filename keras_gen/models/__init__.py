"""Generative models under one contract."""

from keras_gen.models.adversarial import DCGAN, GAN, LSGAN, WGAN, WGANGP, ConditionalGAN, InfoGAN
from keras_gen.models.archive import check_archive
from keras_gen.models.autoencoder import Autoencoder, DenoisingAutoencoder
from keras_gen.models.base import Batch, GenerativeModel
from keras_gen.models.divergence import Divergence, DivergenceError
from keras_gen.models.iwae import IWAE
from keras_gen.models.pca import PCA, ProbabilisticPCA
from keras_gen.models.vae import VAE, ConditionalVAE

__all__ = [
    "Autoencoder",
    "Batch",
    "ConditionalGAN",
    "ConditionalVAE",
    "DCGAN",
    "DenoisingAutoencoder",
    "Divergence",
    "DivergenceError",
    "GAN",
    "GenerativeModel",
    "IWAE",
    "InfoGAN",
    "LSGAN",
    "PCA",
    "ProbabilisticPCA",
    "VAE",
    "WGAN",
    "WGANGP",
    "check_archive",
]
