"""Padding by reflection: beyond its border an image goes on as its mirror image about the last pixel.

With p rows added on a side, and n rows in the image, row -i is row i and row n - 1 + i is row n - 1 - i, i = 1 ... p:

    3 2 1 | 0 1 2 ... n - 1 | n - 2  n - 3  n - 4

so the border is not repeated, and p < n. A convolution then sees no edge that is not in the image, as it does with
zeros, which is what translated images would show along their borders (Johnson et al. 2016, appendix). It is made of
slices and reversals, which differentiate twice on every backend.

Reference:
    J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual losses for real-time style transfer", arXiv:1603.08155 (2016),
    supplementary material.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_gen")
class ReflectionPadding2D(keras.layers.Layer):
    """Images `(batch, h, w, c)` with `padding` reflected rows and columns more on each side.

    Args:
        padding: an int >= 0 for all four sides, or `((top, bottom), (left, right))`. Default 1.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Returns:
        Tensor `(batch, h + top + bottom, w + left + right, c)`.

    Raises:
        ValueError: a padding of another form; an image without so many rows or columns to reflect.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import ReflectionPadding2D
        >>> x = ops.reshape(ops.arange(3), (1, 1, 3, 1))
        >>> [int(v) for v in ReflectionPadding2D(((0, 0), (2, 1)))(x)[0, 0, :, 0]]
        [2, 1, 0, 1, 2, 1]

    Reference:
        Johnson et al. 2016, arXiv:1603.08155, supplementary material; numpy's mode "reflect".
    """

    def __init__(self, padding=1, **kwargs):
        super().__init__(**kwargs)
        self.padding = _check_padding(padding)

    def call(self, x):
        return reflected(x, self.padding)

    def compute_output_shape(self, input_shape):
        sides = [None if n is None else n + sum(p) for n, p in zip(input_shape[1:3], self.padding, strict=True)]
        return (input_shape[0], *sides, input_shape[3])

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


def reflected(x, padding):
    """Images `(batch, h, w, c)` padded by `((top, bottom), (left, right))` reflected rows and columns.

    Sizes and paddings may be scalar tensors, where TensorFlow knows them only as it runs.
    """
    for axis, (before, after) in zip((1, 2), padding, strict=True):
        n = x.shape[axis]
        if n is not None and max(before, after) >= n:
            raise ValueError(
                f"Expected images of more than {max(before, after)} pixels a side, as many are reflected. "
                f"Received: shape {tuple(x.shape)}. Take larger images, or a network with fewer stages."
            )
        parts = [_mirror(x, axis, before, first=True), x, _mirror(x, axis, after, first=False)]
        parts = [part for part in parts if part is not None]
        x = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=axis)
    return x


def _mirror(x, axis, p, first):
    """The p rows next to the first or the last one, in reverse."""
    if isinstance(p, int) and p == 0:
        return None
    rows = slice(1, p + 1) if first else slice(-p - 1, -1)
    return ops.flip(x[:, rows] if axis == 1 else x[:, :, rows], axis=axis)


def _check_padding(padding):
    pair = lambda p: isinstance(p, (tuple, list)) and len(p) == 2  # noqa: E731
    sides = padding if pair(padding) else ((padding, padding),) * 2
    if not all(pair(p) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in p) for p in sides):
        raise ValueError(
            f"Expected `padding` as an integer >= 0 or ((top, bottom), (left, right)). Received: {padding!r}."
        )
    return tuple(tuple(p) for p in sides)
