"""Images made twice as large, half as large, and blurred.

A pixel doubled is repeated twice along each axis; halved, each block of two by two gives its mean; where a side is odd,
its last row or column counts twice. So halving undoes doubling. The blur is the binomial filter along each axis,

    y_i = (x_(i-1) + 2 x_i + x_(i+1)) / 4,

its border repeated, so that flat images stay flat (StyleGAN's program pads with zeros instead, which darkens borders).

All three are sums of slices: they can be differentiated any number of times on every backend.

Reference:
    T. Karras, S. Laine, T. Aila, arXiv:1812.04948 (2019), section 3 and appendix C; R. Zhang, "Making convolutional
    networks shift-invariant again", arXiv:1904.11486 (2019).
"""

import keras
from keras import ops


def doubled(x):
    """Images `(batch, h, w, c)` to `(batch, 2 h, 2 w, c)`, each pixel repeated.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import doubled, halved
        >>> x = ops.reshape(ops.arange(6, dtype="float32"), (1, 2, 3, 1))
        >>> bool(ops.all(halved(doubled(x)) == x))
        True
    """
    return ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)


def halved(x):
    """Images `(batch, h, w, c)` to `(batch, ceil(h / 2), ceil(w / 2), c)`, means of two by two pixels."""
    height, width, channels = x.shape[1:]
    x = ops.concatenate([x, x[:, -1:]], axis=1) if height % 2 else x
    x = ops.concatenate([x, x[:, :, -1:]], axis=2) if width % 2 else x
    blocks = ops.reshape(x, (-1, (height + 1) // 2, 2, (width + 1) // 2, 2, channels))
    return ops.mean(blocks, axis=(2, 4))


@keras.saving.register_keras_serializable(package="keras_gen")
class Blur(keras.layers.Layer):
    """The filter [1, 2, 1] / 4 along height and width; flat images stay flat.

    Call arguments:
        x: images `(batch, height, width, channels)`.

    Returns:
        Tensor of the shape of x.

    Example:
        >>> import numpy as np
        >>> from keras_gen.layers import Blur
        >>> x = np.zeros((1, 3, 3, 1), "float32")
        >>> x[0, 1, 1, 0] = 16.0
        >>> [int(v) for v in Blur()(x)[0, 0, :, 0]]
        [1, 2, 1]

    Reference:
        Karras et al. 2019, arXiv:1812.04948, section 3; Zhang 2019, arXiv:1904.11486.
    """

    def call(self, x):
        up = ops.concatenate([x[:, :1], x[:, :-1]], axis=1)
        down = ops.concatenate([x[:, 1:], x[:, -1:]], axis=1)
        x = 0.25 * up + 0.5 * x + 0.25 * down
        left = ops.concatenate([x[:, :, :1], x[:, :, :-1]], axis=2)
        right = ops.concatenate([x[:, :, 1:], x[:, :, -1:]], axis=2)
        return 0.25 * left + 0.5 * x + 0.25 * right

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):  # of its own: without one Keras refuses a dtype that is a policy
        return super().get_config()
