"""Single layers: draws, distribution heads, learnable priors, conditions."""

from keras_gen.layers.embeddings import ConditionEncoder, attach_condition, attached_channels
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
from keras_gen.layers.priors import ConditionalNormalPrior, LearnedMixturePrior
from keras_gen.layers.stochastic import Sampling

__all__ = [
    "BatchNormalization",
    "BernoulliHead",
    "CategoricalHead",
    "ConditionEncoder",
    "ConditionalNormalPrior",
    "DiscretizedLogisticHead",
    "DiscretizedLogisticMixtureHead",
    "DistributionHead",
    "Dropout",
    "LaplaceHead",
    "LearnedMixturePrior",
    "LogisticHead",
    "MultivariateNormalHead",
    "NormalHead",
    "Sampling",
    "StudentTHead",
    "attach_condition",
    "attached_channels",
    "get_head",
]
