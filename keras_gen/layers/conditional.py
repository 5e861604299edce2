"""Batch normalisation whose gain and bias come from a condition.

With m and v the mean and variance of each channel over the batch and the pixels,

    n = (x - m) / sqrt(v + epsilon),        y = (1 + gamma) n + beta,        (gamma, beta) = A c + a,

c the condition: for a one-hot label, a pair (gamma, beta) a class. A and a are zero at first, so that all conditions
begin as plain batch normalisation. The statistics are of all examples, whatever their condition.

Reference:
    V. Dumoulin, J. Shlens, M. Kudlur, "A learned representation for artistic style", arXiv:1610.07629 (2017), eq. 5,
    for instances instead of batches; H. de Vries et al., "Modulating early visual processing by language",
    arXiv:1707.00683 (2017), section 3; T. Miyato, M. Koyama, "cGANs with projection discriminator", arXiv:1802.05637
    (2018), for generators.
"""

import math

import keras
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.global_batch import BatchNormalization


@keras.saving.register_keras_serializable(package="keras_gen")
class ConditionalBatchNormalization(keras.layers.Layer):
    """`y = (1 + gamma) n + beta`, n the batch-normalised input, gamma and beta affine in the condition, zero at first.

    Args:
        momentum, epsilon, synchronized: as of `BatchNormalization`, default 0.99, 1e-3 (Keras's) and True.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: tensor `(batch, ..., channels)`.
        condition: tensor `(batch, ...)`, flattened; labels one-hot.
        training: bool; whether the moments are those of the batch, or the moving ones.

    Returns:
        Tensor of the shape of x.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import ConditionalBatchNormalization
        >>> layer = ConditionalBatchNormalization()
        >>> layer.build((None, 1), (None, 2))
        >>> _ = layer.affine.kernel.assign([[1.0, 0.0], [0.0, 5.0]])  # class 0: gamma 1, class 1: beta 5
        >>> y = layer(ops.convert_to_tensor([[0.0], [2.0]]), ops.eye(2), training=True)
        >>> [round(v, 1) for v in ops.convert_to_numpy(y)[:, 0].tolist()]
        [-2.0, 6.0]

    Reference:
        de Vries et al. 2017, arXiv:1707.00683, section 3; Miyato, Koyama 2018, arXiv:1802.05637.
    """

    def __init__(self, momentum=0.99, epsilon=1e-3, synchronized=True, **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        own = {"momentum": momentum, "epsilon": epsilon, "synchronized": synchronized, "dtype": self.dtype_policy}
        self.norm = BatchNormalization(center=False, scale=False, **own, name="norm")

    def build(self, x_shape, condition_shape):
        self.affine = keras.layers.Dense(
            2 * x_shape[-1], kernel_initializer="zeros", dtype=self.dtype_policy, name="affine"
        )
        self.affine.build((None, math.prod(condition_shape[1:])))
        self.norm.build(x_shape)

    def call(self, x, condition, training=False):
        n = self.norm(x, training=training)
        c = ops.reshape(ops.cast(condition, n.dtype), (-1, math.prod(condition.shape[1:])))
        gamma_beta = ops.reshape(self.affine(c), (-1, *[1] * (len(x.shape) - 2), 2 * x.shape[-1]))
        gamma, beta = ops.split(gamma_beta, 2, axis=-1)
        return (1.0 + gamma) * n + beta

    def compute_output_shape(self, x_shape, condition_shape=None):
        return x_shape

    def get_config(self):
        own = {name: getattr(self.norm, name) for name in ("momentum", "epsilon", "synchronized")}
        return {**super().get_config(), **own}
