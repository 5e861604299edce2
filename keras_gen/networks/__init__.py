"""Whole networks made of layers."""

from keras_gen.networks.base import Network
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
from keras_gen.networks.mlp import MLP

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DenseDiscriminator",
    "DenseGenerator",
    "MLP",
    "Network",
    "default_decoder",
    "default_discriminator",
    "default_encoder",
    "default_generator",
]
