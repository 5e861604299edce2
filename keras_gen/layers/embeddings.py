"""Conditions: labels, vectors and images made into features, and joined to other features.

A label y in {0, ..., n - 1} becomes its one-hot vector e_y, or a learned row W e_y; a vector or an image is
taken as it is. Joined to a vector h of features, the condition c is flattened and concatenated,

    [h, c];

joined to an image h of features, a vector c stands at every pixel and an image c, resized to h where it
differs, pixel by pixel: [h_ij, c] or [h_ij, c_ij].
"""

import math

import keras
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.shapes import as_shape, positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class ConditionEncoder(keras.layers.Layer):
    """Turns a condition into features: labels to one-hot or embedded vectors, arrays as they are.

    Args:
        num_classes: int, the number of classes of an integer label in [0, num_classes).
        condition_shape: tuple of ints, the shape of a vector, image or other array, without the batch.
            Exactly one of the two is given.
        embedding_size: int, size of a learned embedding of the label. Default None: one-hot vectors.
        flatten: whether arrays become vectors `(batch, features)`, default True. False keeps their shape,
            for images that are to be joined as channels.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        condition: integers `(batch,)` or `(batch, 1)`, or floats `(batch, *condition_shape)`.

    Returns:
        Tensor `(batch, features)`, or `(batch, *condition_shape)` with `flatten=False`.

    Raises:
        ValueError: where both or neither of `num_classes` and `condition_shape` are given, where
            `embedding_size` comes without `num_classes`, or for a condition of another shape.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import ConditionEncoder
    >>> tuple(ConditionEncoder(num_classes=10)(ops.convert_to_tensor([3, 1])).shape)
    (2, 10)
    >>> tuple(ConditionEncoder(condition_shape=(4, 4, 1))(ops.zeros((2, 4, 4, 1))).shape)
    (2, 16)
    """

    def __init__(self, num_classes=None, condition_shape=None, embedding_size=None, flatten=True, **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        if (num_classes is None) == (condition_shape is None):
            raise ValueError(
                "ConditionEncoder expects either `num_classes` (labels) or `condition_shape` (arrays). "
                f"Received: num_classes={num_classes}, condition_shape={condition_shape}."
            )
        if embedding_size is not None and num_classes is None:
            raise ValueError(
                "ConditionEncoder embeds labels only: expected `num_classes` with `embedding_size`. "
                f"Received: embedding_size={embedding_size}, condition_shape={condition_shape}."
            )
        self.num_classes = None if num_classes is None else positive_int(num_classes, "num_classes")
        self.condition_shape = condition_shape
        if condition_shape is not None:
            self.condition_shape = as_shape(condition_shape, "condition_shape")
        self.flatten = bool(flatten)
        self.embedding_size, self.embedding = None, None
        if embedding_size is not None:
            self.embedding_size = positive_int(embedding_size, "embedding_size")
            self.embedding = keras.layers.Embedding(
                self.num_classes, self.embedding_size, dtype=self.dtype_policy, name="embedding"
            )

    def build(self, input_shape=None):
        if input_shape is not None:
            self._check(tuple(input_shape))
        if self.embedding is not None:
            self.embedding.build((None,))

    def call(self, condition):
        if self.num_classes is None:
            condition = ops.cast(condition, self.compute_dtype)
            return ops.reshape(condition, (-1, *self.features_shape()))
        labels = ops.cast(ops.reshape(condition, (-1,)), "int32")
        if self.embedding is not None:
            return self.embedding(labels)
        return ops.one_hot(labels, self.num_classes, dtype=self.compute_dtype)

    def features_shape(self):
        """Shape of the features, without the batch."""
        if self.num_classes is not None:
            return (self.embedding_size or self.num_classes,)
        return (math.prod(self.condition_shape),) if self.flatten else self.condition_shape

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.features_shape())

    def compute_output_spec(self, condition):
        return keras.KerasTensor(self.compute_output_shape(condition.shape), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "condition_shape": self.condition_shape,
            "embedding_size": self.embedding_size,
            "flatten": self.flatten,
        }

    def _check(self, shape):
        if self.num_classes is not None:
            fits, expected = len(shape) == 1 or shape[1:] == (1,), "labels (batch,)"
        else:
            fits, expected = shape[1:] == self.condition_shape, f"(batch, *{self.condition_shape})"
        if not fits:
            raise ValueError(f"ConditionEncoder expects a condition of shape {expected}. Received: {shape}.")


def attach_condition(features, condition):
    """Join a condition to features, along their last axis.

    `[h, c]` for vectors; on a feature image, `[h_ij, c]` for a vector c and `[h_ij, c_ij]` for an image c,
    which is resized (bilinear) where its height or width differ.

    Args:
        features: tensor `(batch, F)`, or an image `(batch, H, W, F)`.
        condition: tensor `(batch, C)` or `(batch, h, w, C)`, cast to the dtype of the features. An array of
            another rank than the features' is flattened. None gives the features back.

    Returns:
        Tensor `(batch, F + C')` or `(batch, H, W, F + C')`, C' as `attached_channels` tells.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import attach_condition
    >>> tuple(attach_condition(ops.zeros((2, 7, 5, 8)), ops.zeros((2, 10))).shape)
    (2, 7, 5, 18)
    """
    if condition is None:
        return features
    condition = ops.cast(condition, features.dtype)
    if len(features.shape) == 2 or len(condition.shape) != 4:
        condition = ops.reshape(condition, (-1, math.prod(condition.shape[1:])))
    if len(features.shape) == 4:
        condition = _as_image(condition, features)
    return ops.concatenate([features, condition], axis=-1)


def attached_channels(features_shape, condition_shape):
    """C', the channels that `attach_condition` adds, from the two shapes (batch included); 0 for None."""
    if condition_shape is None:
        return 0
    if len(features_shape) == 4 and len(condition_shape) == 4:
        return condition_shape[-1]
    return math.prod(condition_shape[1:])


def _as_image(condition, features):
    height, width = features.shape[1:3]
    if len(condition.shape) == 4:
        if tuple(condition.shape[1:3]) == (height, width):
            return condition
        wide = ops.cast(condition, keras.backend.result_type(condition.dtype, "float32"))
        resized = ops.image.resize(wide, (height, width), data_format="channels_last")
        return ops.cast(resized, features.dtype)
    condition = ops.reshape(condition, (-1, 1, 1, condition.shape[-1]))
    return ops.tile(condition, (1, height, width, 1))
