"""Normal distribution with a full covariance, by its Cholesky factor.

With a lower triangular L of positive diagonal, the covariance is L L^T and

    x = m + L e,  e standard normal,        y = L^-1 (x - m)   (one triangular solve)
    log p(x) = -|y|^2 / 2 - sum_i log L_ii - d log(2 pi) / 2
    H[x] = d log(2 pi e) / 2 + sum_i log L_ii
"""

import math

import keras
from keras import ops

from keras_gen import random
from keras_gen.distributions.base import Distribution


@keras.saving.register_keras_serializable(package="keras_gen")
class MultivariateNormal(Distribution):
    """Normal distribution with covariance `L L^T` over the last event axis.

    `log p(x) = -|L^-1 (x - mean)|^2 / 2 - sum_i log L_ii - d log(2 pi) / 2`.

    Args:
        mean: tensor `(batch, *event_shape)` or what broadcasts to it; d = event_shape[-1].
        scale_tril: tensor `(batch, *event_shape, d)`, or `(d, d)` shared with `event_shape` given: the
            lower Cholesky factor L of the covariance, its diagonal positive. Only the lower triangle is read.
        event_shape: tuple of ints; default `None`, the parameters' shape without axis 0.

    Raises:
        ValueError: where `scale_tril` is not square in its last axes; see also `Distribution`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import MultivariateNormal
    >>> p = MultivariateNormal(ops.zeros((2,)), ops.eye(2), event_shape=(2,))
    >>> round(float(p.log_density(ops.zeros((1, 2)))[0]), 4)
    -1.8379
    """

    joint_axes = 1
    trailing_axes = {"scale_tril": 1}

    def __init__(self, mean, scale_tril, event_shape=None):
        super().__init__(event_shape, mean=mean, scale_tril=scale_tril)
        shape = tuple(self.parameters["scale_tril"].shape)
        if len(self.event_shape) < 1 or len(shape) < 2 or shape[-2:] != (self.event_shape[-1],) * 2:
            raise ValueError(
                "MultivariateNormal expects scale_tril of shape (..., d, d) with d the last event axis. "
                f"Received: shape {shape} with event_shape={self.event_shape}."
            )

    @classmethod
    def from_diagonal(cls, normal):
        """The same distribution as a diagonal `Normal`."""
        scale = normal.scale + ops.zeros(normal.event_shape, normal.dtype)
        eye = ops.eye(normal.event_shape[-1], dtype=normal.dtype)
        return cls(normal.loc, ops.expand_dims(scale, -1) * eye, event_shape=normal.event_shape)

    @property
    def loc(self):
        """The mean, as given."""
        return self.parameters["mean"]

    @property
    def scale_tril(self):
        """The lower Cholesky factor of the covariance."""
        return ops.tril(self.parameters["scale_tril"])

    def log_scale(self):
        """`sum_i log L_ii`, half the log-determinant of the covariance."""
        diagonal = ops.diagonal(self.parameters["scale_tril"], axis1=-2, axis2=-1)
        return ops.sum(ops.log(diagonal), axis=-1)

    def whiten(self, x):
        """`L^-1 x` of vectors `(..., d)`."""
        return self.whiten_columns(ops.expand_dims(x, -1))[..., 0]

    def whiten_columns(self, x):
        """`L^-1 X` of matrices `(..., d, k)`."""
        tril = self.scale_tril
        batch = ops.zeros_like(x[..., :1, :1]) + ops.zeros_like(tril[..., :1, :1])
        return ops.solve_triangular(tril + batch, x + batch, lower=True)

    def _log_density(self, x):
        y = self.whiten(x - self.loc)
        d = self.event_shape[-1]
        return -0.5 * ops.sum(y * y, axis=-1) - self.log_scale() - 0.5 * d * math.log(2 * math.pi)

    def _generate(self, keys, temperature):
        noise = ops.cast(random.normal(keys, self.event_shape), self.dtype)
        step = ops.matmul(self.scale_tril, ops.expand_dims(noise, -1))[..., 0]
        return self.loc + temperature * step

    def _entropy(self):
        return self.log_scale() + 0.5 * self.event_shape[-1] * math.log(2 * math.pi * math.e)

    def mean(self):
        """The mean."""
        return self.fill(self.loc)

    def mode(self):
        """The mean, which is the mode."""
        return self.fill(self.loc)
