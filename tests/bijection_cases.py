"""The registry of bijections: id to constructor and events. What enters here inherits the laws of test_bijections."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_gen import layers as kl

CHECKER = np.add.outer(np.arange(4), np.arange(3)) % 2 == 0


@dataclass(frozen=True)
class Case:
    """`make(**kwargs)` builds it; x is `draw(generator, (n, *shape))`, z likewise for the inverse by itself."""

    make: Callable
    shape: tuple = (4,)
    condition: tuple | None = None
    draw: Callable = staticmethod(lambda generator, shape: generator.normal(size=shape))
    draw_latent: Callable = staticmethod(lambda generator, shape: generator.normal(size=shape))
    tolerance: float = 1e-4
    trains: bool = True  # False: it has no weights


def uniform(low, high):
    return lambda generator, shape: generator.uniform(low, high, size=shape)


def _chain(**kwargs):
    first, second = kl.SplineCoupling((8,), bins=4, **kwargs), kl.AffineCoupling((8,), flip=True, **kwargs)
    return kl.Chain([first, kl.Permutation("random", seed=1, **kwargs), second], **kwargs)


def _conditional_chain(**kwargs):
    coupling = kl.AffineCoupling((8,), conditional=True, **kwargs)
    return kl.Chain([kl.ElementwiseAffine(**kwargs), coupling, kl.Permutation("swap", **kwargs)], **kwargs)


def _convolutions():
    return keras.Sequential([keras.layers.Conv2D(8, 3, padding="same", activation="tanh")])


CASES = {
    "elementwise_affine": Case(kl.ElementwiseAffine, shape=(2, 3)),
    "elementwise_affine_of_condition": Case(lambda **k: kl.ElementwiseAffine((8,), **k), condition=(3,)),
    "exp": Case(kl.Exp, draw_latent=uniform(0.1, 5.0), trains=False),
    "softplus": Case(kl.Softplus, draw_latent=uniform(0.1, 5.0), trains=False),
    "sigmoid": Case(kl.Sigmoid, draw_latent=uniform(0.05, 0.95), trains=False),
    "tanh": Case(kl.Tanh, draw_latent=uniform(-0.9, 0.9), trains=False),
    "leaky_relu": Case(kl.LeakyReLU, trains=False),
    "logit": Case(kl.Logit, draw=uniform(0.0, 1.0), draw_latent=uniform(-2.5, 2.5), trains=False),
    "logit_of_images": Case(kl.Logit, (3, 2, 1), draw=uniform(0.0, 1.0), draw_latent=uniform(-2.5, 2.5), trains=False),
    "permutation": Case(lambda **k: kl.Permutation(seed=3, **k), shape=(5,), trains=False),
    "permutation_swap": Case(lambda **k: kl.Permutation("swap", **k), shape=(2, 5), trains=False),
    "plu_convolution": Case(lambda **k: kl.Invertible1x1Conv(seed=4, **k), shape=(3, 2, 4)),
    "plu_of_vectors": Case(lambda **k: kl.Invertible1x1Conv(seed=4, **k)),
    "full_convolution": Case(lambda **k: kl.Invertible1x1Conv("full", seed=4, **k), shape=(2, 2, 3)),
    "orthogonal": Case(lambda **k: kl.OrthogonalLinear(seed=2, **k), shape=(5,), trains=False),
    "act_norm": Case(kl.ActNorm, shape=(3, 2, 4)),
    "batch_norm": Case(kl.FlowBatchNormalization, shape=(3, 4)),
    "autoregressive": Case(lambda **k: kl.MaskedAutoregressive((8, 6), **k), shape=(3,)),
    "autoregressive_spline_few_units": Case(
        lambda **k: kl.MaskedAutoregressive((2,), kl.SplineTransform(4), "random", seed=1, **k), shape=(4,)
    ),
    "autoregressive_conditioned": Case(
        lambda **k: kl.MaskedAutoregressive((8, 8), "affine", [2, 0, 1], conditional=True, **k), (3,), (2,)
    ),
    "autoregressive_of_one_conditioned": Case(
        lambda **k: kl.MaskedAutoregressive((8,), "spline", conditional=True, **k), (1,), (2,)
    ),
    "inverse_autoregressive": Case(lambda **k: kl.Inverse(kl.MaskedAutoregressive((8,), **k), **k), (3,)),
    "planar": Case(kl.Planar, shape=(3,)),
    "planar_of_condition": Case(lambda **k: kl.Planar((8,), **k), shape=(3,), condition=(2,)),
    "radial": Case(kl.Radial, shape=(3,)),
    "radial_of_condition": Case(lambda **k: kl.Radial((8,), **k), shape=(3,), condition=(2,)),
    "affine_coupling": Case(lambda **k: kl.AffineCoupling((8,), **k), shape=(5,)),
    "affine_coupling_alternating": Case(lambda **k: kl.AffineCoupling((8,), "alternating", flip=True, **k)),
    "affine_coupling_of_channels": Case(lambda **k: kl.AffineCoupling(_convolutions(), **k), shape=(3, 2, 4)),
    "affine_coupling_checkerboard": Case(
        lambda **k: kl.AffineCoupling(_convolutions(), "checkerboard", **k), shape=(4, 3, 1)
    ),
    "affine_coupling_conditioned": Case(lambda **k: kl.AffineCoupling((8,), conditional=True, **k), condition=(2,)),
    "additive_coupling": Case(lambda **k: kl.AdditiveCoupling((8,), [True, False, False, True], **k)),
    "spline_coupling": Case(  # on both sides of its bound
        lambda **k: kl.SplineCoupling((8,), **k), (5,), draw=uniform(-6.0, 6.0), draw_latent=uniform(-6.0, 6.0)
    ),
    "spline_coupling_conditioned": Case(
        lambda **k: kl.SplineCoupling((8,), flip=True, bins=4, conditional=True, **k), condition=(2,)
    ),
    "continuous": Case(
        lambda **k: kl.ContinuousFlow((8,), time=0.25, conditional=True, **k), (2,), condition=(2,), tolerance=1e-3
    ),
    "continuous_of_given_steps": Case(
        lambda **k: kl.ContinuousFlow((8,), time=0.25, solver="rk4", steps=2, **k), shape=(2,), tolerance=1e-3
    ),
    "chain": Case(_chain),
    "chain_conditioned": Case(_conditional_chain, condition=(2,)),
    "inverse": Case(lambda **k: kl.Inverse(kl.SplineCoupling((8,), bins=4, **k), **k)),
}
