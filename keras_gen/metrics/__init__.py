"""Metrics of generative models: of examples, of pairs, and of whole sets."""

from keras_gen.metrics import extractors
from keras_gen.metrics.energy import EnergyDistance, energy_distance
from keras_gen.metrics.frechet import (
    ClasswiseFrechetInceptionDistance,
    FrechetInceptionDistance,
    classwise_frechet_inception_distance,
    frechet_distance,
    frechet_inception_distance,
)
from keras_gen.metrics.image_quality import (
    MultiScaleStructuralSimilarity,
    PeakSignalToNoiseRatio,
    StructuralSimilarity,
    multi_scale_structural_similarity,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from keras_gen.metrics.inception_score import InceptionScore, inception_score
from keras_gen.metrics.kernel import (
    KernelInceptionDistance,
    MaximumMeanDiscrepancy,
    kernel_inception_distance,
    maximum_mean_discrepancy,
)
from keras_gen.metrics.latent import LatentUse, active_units
from keras_gen.metrics.likelihood import (
    BitsPerCharacter,
    BitsPerDim,
    Perplexity,
    bits_per_character,
    bits_per_dim,
    perplexity,
)
from keras_gen.metrics.manifold import DensityCoverage, PrecisionRecall, density_coverage, precision_recall
from keras_gen.metrics.modes import ModesCovered, modes_covered
from keras_gen.metrics.neighbors import NearestNeighbors, authenticity, memorization, nearest_neighbors
from keras_gen.metrics.perceptual import PerceptualDistance, feature_maps, lpips_heads, perceptual_distance
from keras_gen.metrics.sets import NotComparableWarning, SetMetric

__all__ = [
    "BitsPerCharacter",
    "BitsPerDim",
    "ClasswiseFrechetInceptionDistance",
    "DensityCoverage",
    "EnergyDistance",
    "FrechetInceptionDistance",
    "InceptionScore",
    "KernelInceptionDistance",
    "LatentUse",
    "MaximumMeanDiscrepancy",
    "ModesCovered",
    "MultiScaleStructuralSimilarity",
    "NearestNeighbors",
    "NotComparableWarning",
    "PeakSignalToNoiseRatio",
    "PerceptualDistance",
    "Perplexity",
    "PrecisionRecall",
    "SetMetric",
    "StructuralSimilarity",
    "active_units",
    "authenticity",
    "bits_per_character",
    "bits_per_dim",
    "classwise_frechet_inception_distance",
    "density_coverage",
    "energy_distance",
    "extractors",
    "feature_maps",
    "frechet_distance",
    "frechet_inception_distance",
    "inception_score",
    "kernel_inception_distance",
    "lpips_heads",
    "maximum_mean_discrepancy",
    "memorization",
    "modes_covered",
    "multi_scale_structural_similarity",
    "nearest_neighbors",
    "peak_signal_to_noise_ratio",
    "perceptual_distance",
    "perplexity",
    "precision_recall",
    "structural_similarity",
]
