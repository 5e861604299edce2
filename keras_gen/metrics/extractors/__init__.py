"""Extractors: callables from images to features and logits, for the metrics over two sets."""

from keras_gen.metrics.extractors.base import EightBits, Extractor
from keras_gen.metrics.extractors.classifier import SmallClassifier
from keras_gen.metrics.extractors.fid_inception import FIDInception
from keras_gen.metrics.extractors.keras_models import KerasExtractor, KerasInceptionV3

__all__ = ["EightBits", "Extractor", "FIDInception", "KerasExtractor", "KerasInceptionV3", "SmallClassifier"]
