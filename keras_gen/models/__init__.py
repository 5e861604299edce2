"""Generative models under one contract."""

from keras_gen.models.adversarial import (
    DCGAN,
    GAN,
    LAPGAN,
    LSGAN,
    SRGAN,
    VAEGAN,
    WGAN,
    WGANGP,
    AdversarialAutoencoder,
    BiGAN,
    ConditionalGAN,
    CycleGAN,
    InfoGAN,
    PairedGAN,
    Pix2Pix,
    ProgressiveGAN,
    StyleGAN,
)
from keras_gen.models.archive import check_archive
from keras_gen.models.autoencoder import Autoencoder, DenoisingAutoencoder
from keras_gen.models.autoregressive.base import AutoregressiveModel
from keras_gen.models.autoregressive.linear import LinearAR
from keras_gen.models.autoregressive.recipes import CausalCNN, CausalTransformer, CharRNN, WaveNet
from keras_gen.models.autoregressive.state_space import LinearDynamicalSystem
from keras_gen.models.base import Batch, GenerativeModel
from keras_gen.models.diffusion import (
    DDPM,
    EDM,
    DiffusionModel,
    FlowMatching,
    ImprovedDDPM,
    RectifiedFlow,
    Reflow,
    ScoreSDE,
)
from keras_gen.models.divergence import Divergence, DivergenceError
from keras_gen.models.flows.flow import NormalizingFlow
from keras_gen.models.flows.recipes import FFJORD, IAF, MAF, NICE, NeuralSpline, RealNVP
from keras_gen.models.iwae import IWAE
from keras_gen.models.pca import PCA, ProbabilisticPCA
from keras_gen.models.super_resolution import SuperResolution
from keras_gen.models.vae import VAE, ConditionalVAE

__all__ = [
    "AdversarialAutoencoder",
    "Autoencoder",
    "AutoregressiveModel",
    "Batch",
    "BiGAN",
    "CausalCNN",
    "CausalTransformer",
    "CharRNN",
    "ConditionalGAN",
    "ConditionalVAE",
    "CycleGAN",
    "DCGAN",
    "DDPM",
    "DenoisingAutoencoder",
    "DiffusionModel",
    "Divergence",
    "DivergenceError",
    "EDM",
    "FFJORD",
    "FlowMatching",
    "GAN",
    "GenerativeModel",
    "IAF",
    "IWAE",
    "ImprovedDDPM",
    "InfoGAN",
    "LAPGAN",
    "LSGAN",
    "LinearAR",
    "LinearDynamicalSystem",
    "MAF",
    "NICE",
    "NeuralSpline",
    "NormalizingFlow",
    "PCA",
    "PairedGAN",
    "Pix2Pix",
    "ProbabilisticPCA",
    "ProgressiveGAN",
    "RealNVP",
    "RectifiedFlow",
    "Reflow",
    "SRGAN",
    "ScoreSDE",
    "StyleGAN",
    "SuperResolution",
    "VAE",
    "VAEGAN",
    "WGAN",
    "WGANGP",
    "WaveNet",
    "check_archive",
]
