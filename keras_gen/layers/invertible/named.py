"""Transforms by name."""

import keras

from keras_gen.layers.invertible.splines import SplineTransform
from keras_gen.layers.invertible.transforms import AdditiveTransform, AffineTransform, Transform

TRANSFORMS = {"additive": AdditiveTransform, "affine": AffineTransform, "spline": SplineTransform}


def get_transform(transform):
    """The `Transform` of a name, a configuration, or one that is given back.

    Raises:
        ValueError: none of the three.
    """
    if isinstance(transform, str) and transform in TRANSFORMS:
        return TRANSFORMS[transform]()
    if isinstance(transform, Transform):
        return transform
    if isinstance(transform, dict):
        return keras.saving.deserialize_keras_object(transform)
    raise ValueError(f"Expected `transform` as one of {list(TRANSFORMS)}, or a Transform. Received: {transform!r}.")
