"""The models of `adversarial`, and their networks stage by stage, for loops that do without Keras's layers.

A stage is `activation(norm(linear(h)))`; `norm` is batch normalisation, or there is none.
"""

from typing import NamedTuple

import keras

from keras_gen import networks
from keras_gen.models import DCGAN, WGANGP

ADAM = {"dcgan": (2e-4, 0.5, 0.999), "wgan_gp": (1e-4, 0.0, 0.9)}
BATCH = {"dcgan": 32, "wgan_gp": 320}
SHAPE = {"dcgan": (64, 64, 3), "wgan_gp": (784,)}


def dcgan():
    return DCGAN(SHAPE["dcgan"], average=0.999, seed=0)


def wgan_gp():
    options = {"units": (512, 512), "dtype": keras.config.dtype_policy()}
    generator = networks.DenseGenerator(SHAPE["wgan_gp"], output_activation="sigmoid", **options)
    discriminator = networks.DenseDiscriminator(**options)
    return WGANGP(SHAPE["wgan_gp"], generator=generator, discriminator=discriminator, seed=0)


MODELS = {"dcgan": dcgan, "wgan_gp": wgan_gp}


class Stage(NamedTuple):
    """A stage of a network, in Keras's layers."""

    linear: keras.layers.Layer
    norm: keras.layers.Layer | None
    activation: str
    shape: tuple | None
    """Shape of an example before `linear`, if it is another than that which the stage before gives."""


def stages(network):
    """The stages of the networks above."""
    blocks = [getattr(network, "project", None), *getattr(network, "stages", []), *getattr(network, "blocks", [])]
    found = [Stage(b.linear, b.norm, b.activation and b.activation.__name__, None) for b in blocks if b is not None]
    if hasattr(network, "to_image"):
        found[1] = found[1]._replace(shape=(*network.smallest, network.filters[0]))
        found.append(Stage(network.to_image, None, "linear", None))
    if hasattr(network, "stages") and hasattr(network, "output_map"):
        size = network.output_map.kernel.shape[0]
        found.append(Stage(network.output_map, None, "linear", (size,)))
    last = getattr(network, "output_activation", keras.activations.linear).__name__
    return [*found[:-1], found[-1]._replace(activation=last)]
