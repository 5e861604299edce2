"""Whole networks made of layers."""

from keras_gen.networks.base import Network
from keras_gen.networks.causal.base import CausalNetwork
from keras_gen.networks.causal.convolutional import CausalConvolutions, GatedConvolutions
from keras_gen.networks.causal.recurrent import Recurrent
from keras_gen.networks.causal.transformer import Transformer
from keras_gen.networks.convolutional import ConvDecoder, ConvEncoder
from keras_gen.networks.dcgan import (
    DCGANDiscriminator,
    DCGANGenerator,
    DenseDiscriminator,
    DenseGenerator,
    default_discriminator,
    default_generator,
)
from keras_gen.networks.default import default_decoder, default_encoder
from keras_gen.networks.detail import DetailGenerator
from keras_gen.networks.diffusion.mlp import DenoisingMLP
from keras_gen.networks.diffusion.transformer import DiffusionTransformer
from keras_gen.networks.diffusion.unet import UNet
from keras_gen.networks.equalized import StyleDiscriminator
from keras_gen.networks.growing import GrowingDiscriminator, GrowingGenerator
from keras_gen.networks.mlp import MLP
from keras_gen.networks.patch import PatchDiscriminator, default_patch_filters
from keras_gen.networks.residual import ResidualDiscriminator, ResidualGenerator
from keras_gen.networks.style import MappingNetwork, StyleGenerator, StyleSynthesis
from keras_gen.networks.translation import TranslationResNet, TranslationUNet
from keras_gen.networks.upscaling import EDSR, ESPCN, RRDBNet, SRResNet

__all__ = [
    "CausalConvolutions",
    "CausalNetwork",
    "ConvDecoder",
    "ConvEncoder",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DenoisingMLP",
    "DenseDiscriminator",
    "DenseGenerator",
    "DetailGenerator",
    "DiffusionTransformer",
    "EDSR",
    "ESPCN",
    "GatedConvolutions",
    "GrowingDiscriminator",
    "GrowingGenerator",
    "MLP",
    "MappingNetwork",
    "Network",
    "PatchDiscriminator",
    "RRDBNet",
    "Recurrent",
    "ResidualDiscriminator",
    "ResidualGenerator",
    "SRResNet",
    "StyleDiscriminator",
    "StyleGenerator",
    "StyleSynthesis",
    "Transformer",
    "TranslationResNet",
    "TranslationUNet",
    "UNet",
    "default_decoder",
    "default_discriminator",
    "default_encoder",
    "default_generator",
    "default_patch_filters",
]
