"""Keras's layers whose training sees the whole batch, made right for a batch that several replicas divide.

A replica with rows x_i of the N examples of the global batch needs for batch normalisation the global moments

    m = 1/N sum_r sum_(i of r) x_i,        v = 1/N sum_r sum_(i of r) (x_i - m)^2,

two sums over the replicas whose gradients flow to all of them, and for dropout its own rows of the global mask. With
one replica, and on JAX, where a program sees the global batch, both are Keras's layers, number by number; but on torch
batch normalisation is torch's own operation, which is faster than Keras's several.
"""

import keras
from keras import ops

from keras_gen import backend
from keras_gen.backend.noise import global_dropout


@keras.saving.register_keras_serializable(package="keras_gen")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` whose `synchronized=True` works on TensorFlow, JAX and torch.

    Args:
        synchronized: whether the moments are those of the global batch, the default, or of each replica's own examples.
            On JAX the batch is global in any case. Unsynchronised replicas keep moving statistics of their own, of
            which the first replica's are saved.
        **kwargs: as in Keras's layer.

    Call arguments:
        inputs, training, mask: as in Keras's layer.

    Raises:
        ValueError: a mask in a synchronised step of several replicas.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import BatchNormalization
        >>> y = BatchNormalization()(ops.convert_to_tensor([[0.0], [2.0]]), training=True)
        >>> [round(v, 2) for v in ops.convert_to_numpy(y)[:, 0].tolist()]
        [-1.0, 1.0]

    Reference:
        Ioffe, Szegedy 2015, arXiv:1502.03167.
    """

    def __init__(self, *args, synchronized=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.synchronized = bool(synchronized)

    def call(self, inputs, training=None, mask=None):
        if not (training and mask is None and self._has_kernel(inputs)):
            return super().call(inputs, training=training, mask=mask)
        wide = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        gamma, beta = ops.cast(self.gamma, wide.dtype), ops.cast(self.beta, wide.dtype)
        outputs, *moments = backend.normalized_by_batch(wide, gamma, beta, self.epsilon)
        for moving, new in zip((self.moving_mean, self.moving_variance), moments, strict=True):
            old = ops.cast(moving, wide.dtype)
            moving.assign(self.momentum * old + (1.0 - self.momentum) * new)
        return ops.cast(outputs, self.compute_dtype)

    def _has_kernel(self, inputs):
        """Whether the backend has one operation for what a training step needs of this layer."""
        usual = self.trainable and self.scale and self.center and not getattr(self, "renorm", False)
        last = self.axis in (-1, len(inputs.shape) - 1)
        return backend.normalized_by_batch is not None and usual and last and self._alone()

    def _alone(self):
        return backend.replicas() == 1 or not self.synchronized

    def _moments(self, inputs, mask):
        alone = self._alone()
        if mask is None:
            return ops.moments(inputs, axes=self._reduction_axes) if alone else self._global_moments(inputs)
        if not alone:
            raise ValueError("Expected no mask: synchronised moments are over all examples. Use synchronized=False.")
        return super()._moments(inputs, mask)

    def _global_moments(self, inputs):
        axes = self._reduction_axes
        size = ops.cast(ops.size(inputs), inputs.dtype) / inputs.shape[self.axis]
        total, count = backend.all_sum((ops.sum(inputs, axis=axes, keepdims=True), size))
        mean = total / count
        variance = backend.all_sum(ops.sum((inputs - mean) ** 2, axis=axes)) / count
        return ops.reshape(mean, (-1,)), variance

    def get_config(self):
        return {**super().get_config(), "synchronized": self.synchronized}


@keras.saving.register_keras_serializable(package="keras_gen")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` whose mask is that of the global batch, however many replicas divide it.

    Keras's own layer draws the same mask on every replica of `tf.distribute` and in every process of torch.

    Args:
        rate, noise_shape, seed: as in Keras's layer.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Dropout
        >>> y = Dropout(0.5, seed=0)(ops.ones((4, 100)), training=True)
        >>> float(ops.min(y)), float(ops.max(y))
        (0.0, 2.0)

    Reference:
        Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
    """

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        return global_dropout(inputs, self.rate, self.noise_shape, self.seed_generator)
