"""Single layers: draws, distribution heads, learnable priors, conditions, what adversarial networks are made of."""

from keras_gen.layers.augmentation import DifferentiableAugmentation
from keras_gen.layers.causal.attention import CausalSelfAttention
from keras_gen.layers.causal.base import CausalLayer
from keras_gen.layers.causal.convolution import CausalConv1D
from keras_gen.layers.causal.gated import GatedResidualBlock
from keras_gen.layers.companding import mu_law_compress, mu_law_expand
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
    FlowHead,
    LaplaceHead,
    LogisticHead,
    MultivariateNormalHead,
    NormalHead,
    StudentTHead,
    get_head,
)
from keras_gen.layers.image_attention import ImageAttention
from keras_gen.layers.instance import InstanceNormalization
from keras_gen.layers.invertible.affine import ElementwiseAffine
from keras_gen.layers.invertible.autoregressive import MaskedAutoregressive
from keras_gen.layers.invertible.base import Bijection
from keras_gen.layers.invertible.compose import Chain, Inverse
from keras_gen.layers.invertible.continuous import ContinuousFlow
from keras_gen.layers.invertible.coupling import AdditiveCoupling, AffineCoupling, Coupling, SplineCoupling
from keras_gen.layers.invertible.elementwise import Exp, LeakyReLU, Logit, Sigmoid, Softplus, Tanh
from keras_gen.layers.invertible.linear import Invertible1x1Conv, OrthogonalLinear
from keras_gen.layers.invertible.normalization import ActNorm, FlowBatchNormalization
from keras_gen.layers.invertible.permutation import Permutation
from keras_gen.layers.invertible.residual import Planar, Radial
from keras_gen.layers.invertible.splines import SplineTransform
from keras_gen.layers.invertible.transforms import AdditiveTransform, AffineTransform, Transform
from keras_gen.layers.masked import MaskedDense
from keras_gen.layers.minibatch import MinibatchStandardDeviation
from keras_gen.layers.padding import ReflectionPadding2D
from keras_gen.layers.priors import ConditionalNormalPrior, LearnedMixturePrior
from keras_gen.layers.quantization import MuLawQuantizer, UniformQuantizer
from keras_gen.layers.resampling import Blur, doubled, halved
from keras_gen.layers.sequence_upsampling import SequenceUpsampling
from keras_gen.layers.spectral import SpectralNormalization
from keras_gen.layers.stochastic import Sampling
from keras_gen.layers.style import AdaIN, ModulatedConv2D, NoiseInjection, PixelNormalization
from keras_gen.layers.time_features import TimeFeatures
from keras_gen.layers.upsampling import BicubicUpsampling, SubPixel

__all__ = [
    "ActNorm",
    "AdaIN",
    "AdditiveCoupling",
    "AdditiveTransform",
    "AffineCoupling",
    "AffineTransform",
    "BatchNormalization",
    "BernoulliHead",
    "BicubicUpsampling",
    "Bijection",
    "Blur",
    "CategoricalHead",
    "CausalConv1D",
    "CausalLayer",
    "CausalSelfAttention",
    "Chain",
    "ConditionEncoder",
    "ConditionalBatchNormalization",
    "ConditionalNormalPrior",
    "ContinuousFlow",
    "Coupling",
    "DifferentiableAugmentation",
    "DiscretizedLogisticHead",
    "DiscretizedLogisticMixtureHead",
    "DistributionHead",
    "Dropout",
    "ElementwiseAffine",
    "EqualizedConv2D",
    "EqualizedDense",
    "Exp",
    "FlowBatchNormalization",
    "FlowHead",
    "GatedResidualBlock",
    "ImageAttention",
    "InstanceNormalization",
    "Inverse",
    "Invertible1x1Conv",
    "LaplaceHead",
    "LeakyReLU",
    "LearnedMixturePrior",
    "LogisticHead",
    "Logit",
    "MaskedAutoregressive",
    "MaskedDense",
    "MinibatchStandardDeviation",
    "ModulatedConv2D",
    "MuLawQuantizer",
    "MultivariateNormalHead",
    "NoiseInjection",
    "NormalHead",
    "OrthogonalLinear",
    "Permutation",
    "PixelNormalization",
    "Planar",
    "Radial",
    "ReflectionPadding2D",
    "Sampling",
    "SequenceUpsampling",
    "Sigmoid",
    "Softplus",
    "SpectralNormalization",
    "SplineCoupling",
    "SplineTransform",
    "StudentTHead",
    "SubPixel",
    "Tanh",
    "TimeFeatures",
    "Transform",
    "UniformQuantizer",
    "attach_condition",
    "attached_channels",
    "doubled",
    "get_head",
    "halved",
    "mu_law_compress",
    "mu_law_expand",
]
