"""Instance normalisation: each channel of each image has mean 0 and variance 1 over its own pixels.

With m and v the mean and variance over the pixels i, j of one image and one channel,

    y_ij = gamma (x_ij - m) / sqrt(v + epsilon) + beta,

the same in training and after; no example depends on another one. The contrast of an image, which a translation is to
replace, is taken out. It is a group normalisation with one channel a group; moments are in float32 at least.

Reference:
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the missing ingredient for fast stylization",
    arXiv:1607.08022 (2016), eq. 2.
"""

import keras
from keras import ops

from keras_gen.backend import check_dtype


@keras.saving.register_keras_serializable(package="keras_gen")
class InstanceNormalization(keras.layers.Layer):
    """`gamma (x - m) / sqrt(v + epsilon) + beta`, moments over the pixels of each image and channel.

    Args:
        epsilon: default 1e-5, that of the papers' programs.
        center, scale: whether there are beta and gamma, default True; they begin as 0 and 1.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: images `(batch, ..., channels)`, of one pixel at least: of one alone y is beta.

    Raises:
        ValueError: an input without pixels, `(batch, channels)`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.layers import InstanceNormalization
        >>> x = np.array([[1.0, 3.0], [10.0, 30.0]], "float32").reshape(2, 2, 1, 1)
        >>> y = InstanceNormalization()(x)
        >>> np.round(keras.ops.convert_to_numpy(y).reshape(2, 2), 3).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]

    Reference:
        Ulyanov et al. 2016, arXiv:1607.08022, eq. 2.
    """

    def __init__(self, epsilon=1e-5, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.epsilon, self.center, self.scale = float(epsilon), bool(center), bool(scale)
        self.gamma = self.beta = None

    def build(self, input_shape):
        if len(input_shape) < 3:
            raise ValueError(
                f"InstanceNormalization expects images (batch, ..., channels). Received: {tuple(input_shape)}. "
                "Use 'layer' or 'batch' normalisation for vectors."
            )
        channels = (input_shape[-1],)
        if self.scale:
            self.gamma = self.add_weight(shape=channels, initializer="ones", name="gamma")
        if self.center:
            self.beta = self.add_weight(shape=channels, initializer="zeros", name="beta")

    def call(self, x, training=False):
        wide = ops.cast(x, keras.backend.result_type(self.compute_dtype, "float32"))
        axes = tuple(range(1, len(x.shape) - 1))
        centered = wide - ops.mean(wide, axis=axes, keepdims=True)
        factor = ops.rsqrt(ops.mean(ops.square(centered), axis=axes, keepdims=True) + self.epsilon)
        factor = factor if self.gamma is None else factor * ops.cast(self.gamma, wide.dtype)
        y = centered * factor
        y = y if self.beta is None else y + ops.cast(self.beta, wide.dtype)
        return ops.cast(y, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon, "center": self.center, "scale": self.scale}
