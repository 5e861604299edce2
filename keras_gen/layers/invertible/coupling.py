"""Coupling: one part of an event is kept, and gives the parameters by which the other is changed.

With a mask m (1: kept), x_a = m x and x_b the rest, N a conditioner, c the condition and T a monotone transform,

    z_a = x_a,      z_b = T(x_b; N(x_a, c)),        log |det dz/dx| = sum over x_b of log dT/dx_b.          (1)

The Jacobian is triangular, whatever N: nothing of N is ever inverted or differentiated for it. The inverse has N's same
parameters, since z_a = x_a, and the inverse transform. Two couplings with the masks exchanged change everything.

A mask of the last axis alone cuts the event in two, and N sees x_a. Any other, such as a checkerboard, hides: N sees
m x, and gives parameters for all of it, of which those of the kept part are not used.

Reference:
    Dinh et al. 2017, arXiv:1605.08803, equations 4 to 9; Durkan et al. 2019, arXiv:1906.04032, section 3, for splines.
"""

import keras
import numpy as np
from keras import ops

from keras_gen.layers.invertible.base import Bijection, sum_event
from keras_gen.layers.invertible.conditioner import Conditioner, get_network, serialize_network
from keras_gen.layers.invertible.masks import make_mask
from keras_gen.layers.invertible.named import get_transform
from keras_gen.layers.invertible.splines import SplineTransform
from keras_gen.layers.invertible.transforms import AdditiveTransform, AffineTransform


@keras.saving.register_keras_serializable(package="keras_gen")
class Coupling(Bijection):
    """z_a = x_a, z_b = T(x_b; N(x_a, c)), for any transform T and any network N.

    Args:
        conditioner: N, any Keras layer from `(batch, ..., channels)` to features with as many axes, in which nothing
            need be invertible; or the sizes of the hidden layers of a dense network. Default `(64, 64)`. A condition is
            joined to its input, or given to it as `condition` if its call takes one.
        transform: T, "affine" (default), "additive", "spline", or such as `layers.SplineTransform(bins=16)`.
        mask: "half" (default), "alternating", "checkerboard" (images), or booleans that broadcast against the event,
            True where x is kept. Of an odd size n, "half" keeps (n + 1) // 2.
        flip: whether the two parts are exchanged, default False.
        conditional: whether the coupling takes a condition, default False.
        activation: of the dense network, default "relu".
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: a mask that keeps nothing or everything, such as any of one number; an unknown transform; a
            conditioner whose features have another number of axes.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Coupling
        >>> coupling = Coupling((16,), "spline", mask="alternating")
        >>> z, log_det = coupling.forward_and_log_det(ops.ones((5, 4)))
        >>> bool(ops.all(z[:, ::2] == 1.0)), tuple(log_det.shape)
        (True, (5,))

    Reference:
        Dinh et al. 2017, arXiv:1605.08803, equations 4 to 9.
    """

    def __init__(
        self, conditioner=(64, 64), transform="affine", mask="half", flip=False, conditional=False, activation="relu",
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.takes_condition = bool(conditional)
        self.network, self.activation = conditioner, keras.activations.get(activation)
        self.transform = get_transform(transform)
        self.mask = mask if isinstance(mask, str) else np.asarray(mask).tolist()
        self.flip = bool(flip)

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape, "last")
        mask = make_mask(self.mask, tuple(d or 1 for d in self.event_shape), self.flip)
        rows = mask.reshape(-1, mask.shape[-1])
        self._split = _Split(rows[0]) if (rows == rows[0]).all() else _Hide(mask)
        self.conditioner = Conditioner(
            self.network, self.activation, self._split.changed, self.transform.size, self.dtype_policy, self.real_dtype
        )
        self.conditioner.build((*x_shape[:-1], self._split.shown), condition_shape)

    def _forward(self, x, condition, training):
        return self._map(self.transform.forward, x, condition, training)

    def _inverse(self, z, condition, training):
        return self._map(self.transform.inverse, z, condition, training)

    def _map(self, transform, x, condition, training):
        shown, changed = self._split.cut(x)
        raw = self.conditioner(shown, condition, training=training)
        return self._split.join(x, *transform(changed, raw))

    def get_config(self):
        return {
            **super().get_config(),
            "conditioner": serialize_network(self.network),
            "transform": keras.saving.serialize_keras_object(self.transform),
            "mask": self.mask,
            "flip": self.flip,
            "conditional": self.takes_condition,
            "activation": keras.activations.serialize(self.activation),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "conditioner": get_network(config["conditioner"])})


class _Split:
    """A mask of the last axis: the event is cut in two, by slices where that is possible."""

    def __init__(self, keep):
        self.kept_at, self.changed_at = np.flatnonzero(keep), np.flatnonzero(~keep)
        self.shown, self.changed = len(self.kept_at), len(self.changed_at)
        self.back = np.argsort(np.concatenate([self.kept_at, self.changed_at]))
        in_two = np.count_nonzero(np.diff(keep.astype(int))) == 1
        self.first = ("kept" if keep[0] else "changed") if in_two else None  # the part that the axis begins with

    def cut(self, x):
        if self.first is None:
            return ops.take(x, self.kept_at, axis=-1), ops.take(x, self.changed_at, axis=-1)
        if self.first == "kept":
            return x[..., : self.shown], x[..., self.shown :]
        return x[..., self.changed :], x[..., : self.changed]

    def join(self, x, changed, log_slope):
        kept = self.cut(x)[0]
        parts = [changed, kept] if self.first == "changed" else [kept, changed]
        z = ops.concatenate(parts, axis=-1)
        return z if self.first else ops.take(z, self.back, axis=-1), sum_event(log_slope)


class _Hide:
    """Any mask: what is changed is hidden from the network."""

    def __init__(self, mask):
        self.mask, self.shown, self.changed = mask, mask.shape[-1], mask.shape[-1]

    def cut(self, x):
        return ops.where(self.mask, x, ops.zeros_like(x)), x

    def join(self, x, changed, log_slope):
        zeros = ops.zeros_like(log_slope)
        return ops.where(self.mask, x, changed), sum_event(ops.where(self.mask, zeros, log_slope))


@keras.saving.register_keras_serializable(package="keras_gen")
class AffineCoupling(Coupling):
    """z_b = x_b exp(s(x_a)) + t(x_a), log |det dz/dx| = sum s, with s in [-b, b].

    Args:
        conditioner: see `Coupling`.
        mask, flip, conditional, activation: see `Coupling`.
        log_scale_bound: b of s = b tanh(a / b), default 3; None: without a bound.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: see `Coupling`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import AffineCoupling
        >>> coupling = AffineCoupling((16,))
        >>> x = ops.ones((5, 3))
        >>> z, log_det = coupling.forward_and_log_det(x)
        >>> bool(ops.max(ops.abs(coupling.inverse(z) - x)) < 1e-6)
        True

    Reference:
        Dinh et al. 2017, arXiv:1605.08803, equations 7 and 8 (the log-determinant is the sum of the s).
    """

    def __init__(self, conditioner=(64, 64), mask="half", flip=False, log_scale_bound=3.0, **kwargs):
        super().__init__(conditioner, AffineTransform(log_scale_bound), mask, flip, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["transform"]
        return {**config, "log_scale_bound": self.transform.log_scale_bound}


@keras.saving.register_keras_serializable(package="keras_gen")
class AdditiveCoupling(Coupling):
    """z_b = x_b + t(x_a): volume is kept, log |det dz/dx| = 0.

    Args:
        conditioner: see `Coupling`.
        mask, flip, conditional, activation: see `Coupling`.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: see `Coupling`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import AdditiveCoupling
        >>> float(AdditiveCoupling((16,)).forward_and_log_det(ops.ones((1, 4)))[1][0])
        0.0

    Reference:
        Dinh et al. 2015, arXiv:1410.8516, section 3.2.
    """

    def __init__(self, conditioner=(64, 64), mask="half", flip=False, **kwargs):
        super().__init__(conditioner, AdditiveTransform(), mask, flip, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["transform"]
        return config


@keras.saving.register_keras_serializable(package="keras_gen")
class SplineCoupling(Coupling):
    """z_b = S(x_b; N(x_a)), S a rational-quadratic spline on [-B, B] and the identity outside.

    Args:
        conditioner: see `Coupling`.
        mask, flip, conditional, activation: see `Coupling`.
        bins, bound, min_bin, min_slope: see `SplineTransform`.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: see `Coupling` and `SplineTransform`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import SplineCoupling
        >>> z, log_det = SplineCoupling((16,), bins=4).forward_and_log_det(9.0 * ops.ones((1, 4)))
        >>> bool(ops.all(z == 9.0)), bool(log_det[0] == 0.0)  # beyond the bound: the identity
        (True, True)

    Reference:
        Durkan et al. 2019, arXiv:1906.04032, section 3.
    """

    def __init__(
        self, conditioner=(64, 64), mask="half", flip=False, bins=8, bound=3.0, min_bin=1e-3, min_slope=1e-3, **kwargs
    ):
        super().__init__(conditioner, SplineTransform(bins, bound, min_bin, min_slope), mask, flip, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["transform"]
        return {**config, **self.transform.get_config()}
