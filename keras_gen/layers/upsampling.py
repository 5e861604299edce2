"""Images made s times as large: by a rearrangement of channels, and by Keys's cubic.

**Sub-pixel.** A pixel with s^2 c channels becomes a block of s x s pixels with c channels,

    y[s i + a, s j + b, k] = x[i, j, (s a + b) c + k],        0 <= a, b < s,

so that a convolution at the low resolution makes the large image, at 1/s^2 of the cost of one at the high resolution
(Shi et al. 2016, eq. 4).

**Bicubic.** Along each axis the output pixel s i + a lies at the input position i + d_a, d_a = (a + 1/2) / s - 1/2, and

    y[s i + a] = sum_m k(d_a - m) x[i + m],        m = -2 ... 2,

k the cubic of Keys with a = -1/2, which is zero beyond 2; beyond its border the image is mirrored. The s phases a are a
convolution with s outputs, in both axes s^2, followed by the rearrangement above. It is what `datasets.bicubic` does
for an integer ratio, as a layer that is the same on all backends (those of `ops.image.resize` differ in a and border).

Reference:
    W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural
    network", arXiv:1609.05158 (2016), eq. 4.
    R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29 (1981), eq. 15.
"""

import keras
import numpy as np
from keras import ops

from keras_gen.datasets.resizing import cubic
from keras_gen.layers.shapes import positive_int


class _Enlarging(keras.layers.Layer):
    """Base: a layer that multiplies height and width by `scale`."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = positive_int(scale, "scale")

    def _sides(self, shape):
        return tuple(None if side is None else side * self.scale for side in shape[1:3])

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="keras_gen")
class SubPixel(_Enlarging):
    """Rearranges `(batch, h, w, s^2 c)` into `(batch, s h, s w, c)`.

    Args:
        scale: s, a positive int.

    Raises:
        ValueError: `scale` is no positive int; channels that s^2 does not divide.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import SubPixel
        >>> x = ops.reshape(ops.arange(8), (1, 1, 2, 4))
        >>> [[int(v) for v in row] for row in SubPixel(2)(x)[0, :, :, 0]]
        [[0, 1, 4, 5], [2, 3, 6, 7]]

    Reference:
        Shi et al. 2016, arXiv:1609.05158, eq. 4.
    """

    def call(self, x):
        return depth_to_space(x, self.scale)

    def compute_output_shape(self, input_shape):
        if input_shape[-1] % self.scale**2:
            raise ValueError(
                f"Expected a number of channels that {self.scale**2} divides. Received: shape {tuple(input_shape)}."
            )
        return (input_shape[0], *self._sides(input_shape), input_shape[-1] // self.scale**2)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)


@keras.saving.register_keras_serializable(package="keras_gen")
class BicubicUpsampling(_Enlarging):
    """Enlarges images `(batch, h, w, c)` to `(batch, s h, s w, c)` by Keys's cubic; constants stay constant.

    Args:
        scale: s, a positive int.

    Raises:
        ValueError: `scale` is no positive int.

    Example:
        >>> import numpy as np
        >>> from keras_gen.datasets import bicubic
        >>> from keras_gen.layers import BicubicUpsampling
        >>> x = np.random.default_rng(0).uniform(size=(1, 5, 4, 3)).astype("float32")
        >>> y = np.asarray(BicubicUpsampling(3)(x))
        >>> bool(np.allclose(y[0], bicubic(x[0], (15, 12)), atol=1e-5))
        True

    Reference:
        Keys 1981, eq. 15.
    """

    RADIUS = 2  # pixels of the input that an output pixel sees on either side

    def call(self, x):
        height, width, channels = ops.shape(x)[1], ops.shape(x)[2], x.shape[3]
        x = _mirrored(_mirrored(x, 1, self.RADIUS), 2, self.RADIUS)
        planes = ops.reshape(ops.transpose(x, (0, 3, 1, 2)), (-1, height + 4, width + 4, 1))
        y = ops.conv(planes, ops.cast(self._kernel(), x.dtype), padding="valid", data_format="channels_last")
        y = depth_to_space(y, self.scale)
        y = ops.reshape(y, (-1, channels, height * self.scale, width * self.scale))
        return ops.transpose(y, (0, 2, 3, 1))

    def _kernel(self):
        """The weights of all phases, `(5, 5, 1, s^2)`."""
        s = self.scale
        d = (np.arange(s) + 0.5) / s - 0.5
        w = cubic(d[:, None] - np.arange(-self.RADIUS, self.RADIUS + 1))
        return np.einsum("am,bn->mnab", w, w).reshape(5, 5, 1, s * s).astype("float32")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self._sides(input_shape), input_shape[-1])


def depth_to_space(x, scale):
    """`(batch, h, w, s^2 c)` to `(batch, s h, s w, c)`."""
    height, width, channels = ops.shape(x)[1], ops.shape(x)[2], x.shape[3] // scale**2
    x = ops.reshape(x, (-1, height, width, scale, scale, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height * scale, width * scale, channels))


def _mirrored(x, axis, n):
    """`x` with n pixels more on both sides of an axis, its border repeated: b a | a b ... y z | z y."""
    if x.shape[axis] == 1:
        return ops.repeat(x, 2 * n + 1, axis=axis)
    first, last = (x[:, :n], x[:, -n:]) if axis == 1 else (x[:, :, :n], x[:, :, -n:])
    return ops.concatenate([ops.flip(first, axis=axis), x, ops.flip(last, axis=axis)], axis=axis)
