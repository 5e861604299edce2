"""Generative models under one contract."""

from keras_gen.models.base import Batch, GenerativeModel

__all__ = ["Batch", "GenerativeModel"]
