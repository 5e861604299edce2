"""Linear maps of the last axis: of vectors, and of the channels of images and sequences (1 x 1 convolutions).

With W of n x n and p positions an event (1 for a vector, height times width for an image),

    z_i = W x_i  at each position i,        log |det dz/dx| = p log |det W|.

**full**: W is the weight, begun as a random rotation. Its inverse C is kept beside it, with the W for which it was
computed. Where W is still that one, C is used; where not, the inverse is computed anew: kept is never stale. `refresh`
brings C up to date, once after training and not once a call. Used is not C itself but one step of Newton's iteration,

    W^-1 = C (2 I - W C),

C held constant: for C = W^-1 it has that value, d(W^-1) = -C dW C, the gradient which a constant would lose, and the
square of C's rounding error.

**plu**: W = P L (U + diag(s)), P a permutation, L lower triangular with ones on the diagonal, U strictly upper, and
s = sign exp(a). P and the signs stay, and are saved; L, U, a are weights; log |det W| = sum a. No inverse is made: two
triangular solves.

`OrthogonalLinear` is W = Q, a random rotation that stays: volume is kept, and where a permutation only exchanges
elements, it mixes all.

Reference:
    D. Kingma, P. Dhariwal, "Glow: generative flow with invertible 1x1 convolutions", arXiv:1807.03039 (2018), section
    3.2, equations 9 to 11; Newton's iteration: G. Schulz, ZAMM 13 (1933).
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen.layers.invertible.base import Bijection
from keras_gen.layers.invertible.numbers import check_seed

KINDS = ("full", "plu")


@keras.saving.register_keras_serializable(package="keras_gen")
class Invertible1x1Conv(Bijection):
    """z_i = W x_i at each position, log |det| = positions times log |det W|; of vectors, a linear map.

    Args:
        parametrization: "plu" (default), which cannot become singular and costs O(n) for its log-determinant, or
            "full", O(n^3), whose values are not finite where training makes W singular: `refresh`, and so `sample` and
            `log_prob` of a flow, then refuse.
        seed: of the random rotation with which W begins; default None: drawn now.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: an unknown parametrisation; from `refresh`, a matrix that has become singular.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Invertible1x1Conv
        >>> z, log_det = Invertible1x1Conv(seed=0).forward_and_log_det(ops.ones((2, 4, 4, 6)))
        >>> tuple(z.shape), bool(ops.all(ops.abs(log_det) < 1e-4))  # it begins as a rotation
        ((2, 4, 4, 6), True)

    Reference:
        Kingma, Dhariwal 2018, arXiv:1807.03039, equations 9 to 11.
    """

    def __init__(self, parametrization="plu", seed=None, **kwargs):
        super().__init__(**kwargs)
        if parametrization not in KINDS:
            raise ValueError(f"Expected `parametrization` as one of {KINDS}. Received: {parametrization!r}.")
        self.parametrization, self.seed = parametrization, check_seed(seed)

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape, "all")
        rotation = random_rotation(x_shape[-1], self.seed)
        self.linear = (_Plu if self.parametrization == "plu" else _Full)(self, rotation)

    def _positions(self):
        return float(math.prod(self.event_shape[:-1]))

    def _forward(self, x, condition, training):
        return self.linear.apply(x), self._log_det(x, 1.0)

    def _inverse(self, z, condition, training):
        return self.linear.solve(z), self._log_det(z, -1.0)

    def _log_det(self, x, sign):
        value = sign * self._positions() * self.linear.log_det()
        return ops.broadcast_to(value, (ops.shape(x)[0],))

    def refresh(self):
        self.linear.refresh()

    def get_config(self):
        return {**super().get_config(), "parametrization": self.parametrization, "seed": self.seed}


class _Full:
    """W itself, with its inverse kept."""

    def __init__(self, layer, rotation):
        start = [keras.initializers.Constant(r) for r in (rotation, rotation.T, rotation)]
        self.kernel = layer.real_weight(rotation.shape, start[0], "kernel")
        self.kept = layer.real_weight(rotation.shape, start[1], "kernel_inverse", trainable=False)
        self.kept_of = layer.real_weight(rotation.shape, start[2], "kernel_of_inverse", trainable=False)

    def apply(self, x):
        return ops.matmul(x, ops.transpose(self.kernel))

    def solve(self, z):
        return ops.matmul(z, ops.transpose(self.inverse()))

    def inverse(self):
        w = ops.convert_to_tensor(self.kernel)
        c = ops.cond(self._fresh(), lambda: ops.convert_to_tensor(self.kept), lambda: ops.inv(w))
        c = ops.stop_gradient(c)
        return ops.matmul(c, 2.0 * ops.eye(w.shape[0], dtype=w.dtype) - ops.matmul(w, c))

    def _fresh(self):
        return ops.all(ops.equal(ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.kept_of)))

    def log_det(self):
        return ops.slogdet(ops.convert_to_tensor(self.kernel))[1]

    def refresh(self):
        if not bool(ops.convert_to_numpy(self._fresh())):
            _check_regular(ops.convert_to_numpy(self.kernel))
            self.kept.assign(ops.inv(ops.convert_to_tensor(self.kernel)))
            self.kept_of.assign(ops.copy(ops.convert_to_tensor(self.kernel)))  # JAX gives no buffer away twice


def _check_regular(w):
    if not np.isfinite(w).all() or np.linalg.matrix_rank(w) < len(w):
        raise ValueError(
            f"Expected a matrix that has an inverse. Received: an Invertible1x1Conv of {len(w)} channels that is "
            "singular or not finite. Use parametrization='plu', or a smaller learning rate."
        )


class _Plu:
    """P L (U + diag(s))."""

    def __init__(self, layer, rotation):
        order, lower, upper = lu(rotation)
        diagonal = np.diag(upper)
        n = len(order)
        self.mask = np.tril(np.ones((n, n)), -1)
        constant = keras.initializers.Constant
        self.lower = layer.real_weight((n, n), constant(lower), "lower")
        self.upper = layer.real_weight((n, n), constant(upper), "upper")
        self.log_scale = layer.real_weight((n,), constant(np.log(np.abs(diagonal))), "log_scale")
        self.order = layer.add_weight(
            shape=(n,), initializer=constant(order), dtype="int32", autocast=False, trainable=False, name="order"
        )
        self.sign = layer.real_weight((n,), constant(np.sign(diagonal)), "sign", trainable=False)

    def _factors(self):
        mask = ops.convert_to_tensor(self.mask, self.lower.dtype)
        lower = mask * self.lower + ops.eye(mask.shape[0], dtype=mask.dtype)
        upper = ops.transpose(mask) * self.upper + ops.diag(self.sign * ops.exp(self.log_scale))
        return lower, upper

    def apply(self, x):
        lower, upper = self._factors()
        back = ops.argsort(ops.convert_to_tensor(self.order))
        w = ops.take(ops.matmul(lower, upper), back, axis=0)  # row i of P A is row back[i] of A
        return ops.matmul(x, ops.transpose(w))

    def solve(self, z):
        lower, upper = self._factors()
        columns = ops.transpose(ops.reshape(ops.take(z, ops.convert_to_tensor(self.order), axis=-1), (-1, z.shape[-1])))
        y = ops.solve_triangular(lower, columns, lower=True)
        x = ops.solve_triangular(upper, y, lower=False)
        return ops.reshape(ops.transpose(x), ops.shape(z))

    def log_det(self):
        return ops.sum(self.log_scale)

    def refresh(self):
        pass


@keras.saving.register_keras_serializable(package="keras_gen")
class OrthogonalLinear(Bijection):
    """z_i = Q x_i at each position, with a random rotation Q that stays; log |det| = 0.

    Args:
        seed: of Q; default None: drawn now. Q is saved with the weights.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import OrthogonalLinear
        >>> z = OrthogonalLinear(seed=0)(ops.ones((1, 5)))
        >>> round(float(ops.sum(z * z)), 4)
        5.0
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = check_seed(seed)

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape, "last")
        start = keras.initializers.Constant(random_rotation(x_shape[-1], self.seed))
        self.rotation = self.real_weight((x_shape[-1],) * 2, start, "rotation", trainable=False)

    def _forward(self, x, condition, training):
        return ops.matmul(x, ops.transpose(self.rotation)), ops.zeros_like(_first(x))

    def _inverse(self, z, condition, training):
        return ops.matmul(z, self.rotation), ops.zeros_like(_first(z))

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def _first(x):
    """One number an event, `(batch,)`."""
    return ops.reshape(x, (ops.shape(x)[0], -1))[:, 0]


def random_rotation(n, seed):
    """An orthogonal matrix, uniform among all: Q of a normal matrix's QR with the signs of R's diagonal."""
    generator = np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
    q, r = np.linalg.qr(generator.normal(size=(n, n)))
    return q * np.sign(np.diag(r))


def lu(a):
    """`(order, L, U)` with a[order] = L U by partial pivoting: numpy alone has none, and this runs once a layer."""
    n, u, lower, order = len(a), a.copy(), np.eye(len(a)), np.arange(len(a))
    for k in range(n):
        pivot = k + np.abs(u[k:, k]).argmax()
        u[[k, pivot]], order[[k, pivot]] = u[[pivot, k]], order[[pivot, k]]
        lower[[k, pivot], :k] = lower[[pivot, k], :k]
        lower[k + 1 :, k] = u[k + 1 :, k] / u[k, k]
        u[k + 1 :] -= np.outer(lower[k + 1 :, k], u[k])
    return order, lower, np.triu(u)
