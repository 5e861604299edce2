"""Normalisations as bijections: of each channel, the last axis, by a scale and a shift.

**ActNorm**: z = (x - m) exp(s), m and s weights, log |det dz/dx| = p sum s, p the positions of an event. `initialize`
sets them from a first batch so that every channel of z has mean 0 and variance 1 over examples and positions,

    m = mean(x),      s = -log std(x),

once: a flag that is saved with the weights keeps a model that was loaded, or trained, from being set again. A channel
that is constant in that batch, std(x) < 1e-6 (1 + |m|), keeps s = 0. The moments are those of the global batch where
replicas divide it. Within an `Inverse` data come as z, and x = z exp(-s) + m is what has mean 0 and variance 1:
s = log std(z), m = -mean(z) exp(-s).

**FlowBatchNormalization**: z = (x - m) / sqrt(v + e) exp(g) + b,

    log |det dz/dx| = p sum [g - log(v + e) / 2]

m, v the batch's moments in training, the moving ones after it. In training the moments are functions of the batch; the
log-determinant is that with them held, as in the papers: it is not that of one example's own map. The inverse has the
moving moments, in training too: those of the x that it is to find are not known, and those of z are others. They are
moved by the forward direction alone, so in an `Inverse`, or a posterior, they stay at 0 and 1, and the layer is a scale
and a shift that are learned. `ActNorm` is the one to take there.

Reference:
    Kingma, Dhariwal 2018, arXiv:1807.03039, section 3.1; Dinh et al. 2017, arXiv:1605.08803, section 3.7, appendix E;
    Papamakarios et al. 2017, arXiv:1705.07057, appendix B.
"""

import math

import keras
from keras import ops

from keras_gen import backend
from keras_gen.layers.invertible.base import Bijection
from keras_gen.layers.invertible.numbers import positive

CONSTANT = 1e-6


def moments(x):
    """Mean and variance of each channel over examples and positions of the global batch."""
    axes = tuple(range(len(x.shape) - 1))
    size = ops.cast(ops.size(x), x.dtype) / x.shape[-1]
    total, count = backend.all_sum((ops.sum(x, axis=axes), size))
    mean = total / count
    return mean, backend.all_sum(ops.sum((x - mean) ** 2, axis=axes)) / count


class _Channels(Bijection):
    """Base of the two: z = (x - m) exp(a), with a the logarithm of what each channel is multiplied by."""

    def _log_det(self, x, log_scale):
        positions = float(math.prod(self.event_shape[:-1]))
        return ops.broadcast_to(positions * ops.sum(log_scale), (ops.shape(x)[0],))

    def get_config(self):
        """Written out, though it adds nothing: Keras's own fails where a dtype policy was given as an object."""
        return super().get_config()


@keras.saving.register_keras_serializable(package="keras_gen")
class ActNorm(_Channels):
    """z = (x - m) exp(s), set by the first batch so that z has mean 0 and variance 1 in each channel.

    `NormalizingFlow.fit` initialises it before its first step, in a base that is a flow too. In a training loop of
    one's own, call `initialize(x)` of it, or of the chain that it is in, once. Until then it is the identity; so it
    begins in a `FlowHead` and in the prior of a VAE, where nothing sets it.

    Args:
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import ActNorm
        >>> layer = ActNorm()
        >>> z = layer.initialize(ops.convert_to_tensor([[1.0], [3.0]]))
        >>> [round(v, 4) for v in ops.convert_to_numpy(z)[:, 0].tolist()]
        [-1.0, 1.0]

    Reference:
        Kingma, Dhariwal 2018, arXiv:1807.03039, section 3.1.
    """

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape, "all")
        shape = (x_shape[-1],)
        self.mean = self.real_weight(shape, "zeros", "mean")
        self.log_scale = self.real_weight(shape, "zeros", "log_scale")
        self.initialized = self.add_weight(
            shape=(), initializer="zeros", dtype="bool", trainable=False, name="initialized"
        )

    def _forward(self, x, condition, training):
        return (x - self.mean) * ops.exp(self.log_scale), self._log_det(x, self.log_scale)

    def _inverse(self, z, condition, training):
        return z * ops.exp(-self.log_scale) + self.mean, self._log_det(z, -self.log_scale)

    def initialize(self, x, condition=None):
        """Set m and s by the batch x unless they have been set; gives z."""
        x, _ = self._ready(x, condition)
        mean, log_std = _mean_and_log_std(x)
        self._set(mean, -log_std)
        return self._forward(x, None, True)[0]

    def initialize_inverse(self, z, condition=None):
        """Set m and s by a batch of z, so that x has mean 0 and variance 1, unless they have been set; gives x."""
        z, _ = self._ready(z, condition)
        mean, log_std = _mean_and_log_std(z)
        self._set(-mean * ops.exp(-log_std), log_std)
        return self._inverse(z, None, True)[0]

    def _set(self, mean, log_scale):
        done = ops.convert_to_tensor(self.initialized)
        for weight, value in ((self.mean, mean), (self.log_scale, log_scale)):
            weight.assign(ops.where(done, ops.convert_to_tensor(weight), value))
        self.initialized.assign(ops.ones_like(done))


def _mean_and_log_std(x):
    """Of each channel; a logarithm of 0 where it is constant."""
    mean, variance = moments(x)
    std = ops.sqrt(variance)
    alive = std > CONSTANT * (1.0 + ops.abs(mean))
    return mean, ops.where(alive, ops.log(ops.where(alive, std, ops.ones_like(std))), ops.zeros_like(std))


@keras.saving.register_keras_serializable(package="keras_gen")
class FlowBatchNormalization(_Channels):
    """z = (x - m) / sqrt(v + e) exp(g) + b, with the moments of the batch in training, the moving ones otherwise.

    The inverse keeps to the moving moments, in training too, and does not move them.

    Args:
        momentum: of the moving moments, a number in (0, 1), default 0.99, Keras's own.
        epsilon: e, default 1e-5, that of the papers' programs.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: numbers out of their range.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import FlowBatchNormalization
        >>> z = FlowBatchNormalization()(ops.convert_to_tensor([[1.0], [3.0]]), training=True)
        >>> [round(v, 3) for v in ops.convert_to_numpy(z)[:, 0].tolist()]
        [-1.0, 1.0]

    Reference:
        Dinh et al. 2017, arXiv:1605.08803, section 3.7; Papamakarios et al. 2017, arXiv:1705.07057, equations 21, 22.
    """

    def __init__(self, momentum=0.99, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = positive(momentum, "momentum"), positive(epsilon, "epsilon")
        if self.momentum >= 1:
            raise ValueError(f"Expected `momentum` as a number in (0, 1). Received: momentum={momentum!r}.")

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape, "all")
        shape = (x_shape[-1],)
        self.shift = self.real_weight(shape, "zeros", "shift")
        self.log_scale = self.real_weight(shape, "zeros", "log_scale")
        self.moving_mean = self.real_weight(shape, "zeros", "moving_mean", trainable=False)
        self.moving_variance = self.real_weight(shape, "ones", "moving_variance", trainable=False)

    def _moments(self, x, training):
        if not training:
            return ops.convert_to_tensor(self.moving_mean), ops.convert_to_tensor(self.moving_variance)
        new = moments(x)
        for moving, value in zip((self.moving_mean, self.moving_variance), new, strict=True):
            kept = ops.stop_gradient(value)
            moving.assign(self.momentum * moving + (1.0 - self.momentum) * kept)
        return new

    def _forward(self, x, condition, training):
        mean, variance = self._moments(x, training)
        a = self.log_scale - 0.5 * ops.log(variance + self.epsilon)
        return (x - mean) * ops.exp(a) + self.shift, self._log_det(x, a)

    def _inverse(self, z, condition, training):
        mean, variance = self._moments(z, False)
        a = self.log_scale - 0.5 * ops.log(variance + self.epsilon)
        return (z - self.shift) * ops.exp(-a) + mean, self._log_det(z, -a)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}
