"""Single layers: draws, distribution heads, learnable priors, conditions, what adversarial networks are made of."""

from keras_gen.layers.augmentation import DifferentiableAugmentation
from keras_gen.layers.conditional import ConditionalBatchNormalization
from keras_gen.layers.embeddings import ConditionEncoder, attach_condition, attached_channels
from keras_gen.layers.equalized import EqualizedConv2D, EqualizedDense
from keras_gen.layers.global_batch import BatchNormalization, Dropout
from keras_gen.layers.heads import (
    BernoulliHead,
    CategoricalHead,
    DiscretizedLogisticHead,
    DiscretizedLogisticMixtureHead,
    DistributionHead,
    LaplaceHead,
    LogisticHead,
    MultivariateNormalHead,
    NormalHead,
    StudentTHead,
    get_head,
)
from keras_gen.layers.instance import InstanceNormalization
from keras_gen.layers.minibatch import MinibatchStandardDeviation
from keras_gen.layers.padding import ReflectionPadding2D
from keras_gen.layers.priors import ConditionalNormalPrior, LearnedMixturePrior
from keras_gen.layers.resampling import Blur, doubled, halved
from keras_gen.layers.spectral import SpectralNormalization
from keras_gen.layers.stochastic import Sampling
from keras_gen.layers.style import AdaIN, ModulatedConv2D, NoiseInjection, PixelNormalization
from keras_gen.layers.upsampling import BicubicUpsampling, SubPixel

__all__ = [
    "AdaIN",
    "BatchNormalization",
    "BernoulliHead",
    "BicubicUpsampling",
    "Blur",
    "CategoricalHead",
    "ConditionEncoder",
    "ConditionalBatchNormalization",
    "ConditionalNormalPrior",
    "DifferentiableAugmentation",
    "DiscretizedLogisticHead",
    "DiscretizedLogisticMixtureHead",
    "DistributionHead",
    "Dropout",
    "EqualizedConv2D",
    "EqualizedDense",
    "InstanceNormalization",
    "LaplaceHead",
    "LearnedMixturePrior",
    "LogisticHead",
    "MinibatchStandardDeviation",
    "ModulatedConv2D",
    "MultivariateNormalHead",
    "NoiseInjection",
    "NormalHead",
    "PixelNormalization",
    "ReflectionPadding2D",
    "Sampling",
    "SpectralNormalization",
    "StudentTHead",
    "SubPixel",
    "attach_condition",
    "attached_channels",
    "doubled",
    "get_head",
    "halved",
]
