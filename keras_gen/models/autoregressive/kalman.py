"""The Kalman filter and the Rauch-Tung-Striebel smoother of many sequences, in square roots.

The model of a sequence y_1 ... y_T is, with z_t of dimension q and y_t of dimension p,

    z_1 ~ N(m_0, P_0),     z_(t+1) = A z_t + w_t,  w_t ~ N(0, Q),     y_t = C z_t + d + v_t,  v_t ~ N(0, R).       (1)

A covariance is held as a lower triangular factor L, P = L L^T: rounding can then make no covariance indefinite, and
half of the digits do for the same accuracy. [B_1 B_2 ...] -> L stands for the factor of sum_k B_k B_k^T, which is the
triangle of a QR decomposition of the blocks' transpose. Let L_t be the factor of Cov(z_t given y_1 ... y_(t-1)), of
which L_1 is that of P_0. The filter is

    [ C L_t  L_R ]      [ E_t   0  ]
    [  L_t    0  ]  ->  [ G_t  F_t ],          [A F_t  L_Q] -> L_(t+1),                                            (2)

in which E_t E_t^T is the covariance of the innovation e_t = y_t - d - C E[z_t given y_1 ... y_(t-1)], F_t F_t^T that of
z_t given y_1 ... y_t, and K_t = G_t E_t^-1 is Kalman's gain. L_t comes first, for it may be far larger than L_R: a QR
decomposition is then accurate in the small rows too. Nothing here depends on the data: it is computed once for all
sequences. Their means follow,

    f_t = p_t + K_t e_t,       p_(t+1) = A f_t,       p_1 = m_0,                                                   (3)
    log p(y) = -1/2 sum_t ( |E_t^-1 e_t|^2 + 2 log det E_t + p log 2 pi ).                                         (4)

Backwards in time, with the smoother's gain J_t = B_t L_(t+1)^-1,

    [ A F_t  L_Q ]      [ L_(t+1)   0  ]
    [  F_t    0  ]  ->  [   B_t    D_t ],                                                                          (5)
    s_t = f_t + J_t (s_(t+1) - p_(t+1)),       [J_t S_(t+1)  D_t] -> S_t,                                          (6)

where f_t + J_t (z_(t+1) - p_(t+1)) and D_t are the mean and the factor of z_t given z_(t+1) and y_1 ... y_t, and
s_t and S_t those of z_t given all of y; and Cov(z_(t+1), z_t given y) = S_(t+1) S_(t+1)^T J_t^T.

**Missing values.** Let M_t be diagonal, 1 for each channel of y_t that is seen, 0 for each that is missing. What is
seen is M_t y_t = M_t C z_t + M_t d + M_t v_t; in place of each missing number let there be a 0, seen with a noise of
variance 1 of its own. Then (2) to (6) hold with

    C -> M_t C,        L_R L_R^T -> M_t R M_t + (I - M_t) = [M_t L_R  I - M_t] [M_t L_R  I - M_t]^T,               (7)

e_t -> M_t e_t. A missing row of E_t is that of the identity, its column of K_t is 0, its part of log det E_t and of
|E_t^-1 e_t|^2 is 0: the update leaves it out, and (4) with the number of the seen in place of T p is the density of
what is seen. A step of which nothing is seen has K_t = 0. Covariances are then of each sequence: there is an axis more,
T of n of matrices, and means are rows, `(T, n, 1, .)`.

Reference:
    T. Kailath, A. Sayed, B. Hassibi, "Linear estimation" (2000), section 12.3 (arrays of square roots); H. Rauch,
    F. Tung, C. Striebel, "Maximum likelihood estimates of linear dynamic systems", AIAA Journal 3 (1965), eq. 3.30.
"""

import math
from typing import NamedTuple

from keras import ops

from keras_gen import backend
from keras_gen.models.autoregressive.recursion import recur, transpose, triangle


class System(NamedTuple):
    """The parameters of (1) as tensors, with lower factors for the covariances: Q = L_Q L_Q^T and so on."""

    A: object
    C: object
    d: object
    L_Q: object
    L_R: object
    m_0: object
    L_0: object


class Filtered(NamedTuple):
    """What (2) gives for each t, `(T, ., .)`: the factors of prediction, innovation and filter, and the gain K_t."""

    predicted: object
    innovation: object
    factor: object
    gain: object


class Smoothed(NamedTuple):
    """What (5) and (6) give: S_t for each t `(T, q, q)`; J_t and D_t for each t but the last."""

    factor: object
    gain: object
    conditional: object


def _divide(numerator, factor):
    """B L^-1 of a lower triangular L."""
    return transpose(ops.solve_triangular(transpose(factor), transpose(numerator), lower=False))


def observed(y):
    """y `(n, T, p)` with 0 for NaN, and what is seen of it: 1 or 0, `(T, n, p)`."""
    missing = ops.isnan(y)
    seen = ops.cast(ops.logical_not(missing), y.dtype)
    return ops.where(missing, ops.zeros_like(y), y), ops.transpose(seen, (1, 0, 2))


def repeated(system, n):
    """The system with an axis more, n times itself: of n sequences of which different values are seen."""
    matrices = {name: getattr(system, name) for name in ("A", "C", "L_Q", "L_R", "L_0")}
    return system._replace(**{name: ops.broadcast_to(v, (n, *v.shape)) for name, v in matrices.items()})


def filter_covariances(system, steps, seen=None):
    """`Filtered` of (2) for t = 1 ... `steps`; with what is `seen`, `(T, n, p)`, of a system that is `repeated`."""
    p = system.L_R.shape[-1]
    none = ops.zeros_like(transpose(system.C))

    def step(carry, x):
        predicted = carry[0]
        above, below = [ops.matmul(system.C, predicted), system.L_R], [predicted, none]
        if x:  # equation (7)
            m = x[0][..., None]
            above, below = [m * block for block in above] + [ops.eye(p, dtype=m.dtype) * (1.0 - m)], [*below, none]
        both = triangle(above, below)
        following = triangle([ops.matmul(system.A, both[..., p:, p:]), system.L_Q])
        return [following, predicted, both[..., :p, :p], both[..., p:, :p], both[..., p:, p:]]

    nothing = ops.zeros_like(system.L_0)
    start = [system.L_0, nothing, ops.zeros_like(system.L_R), none, nothing]
    _, predicted, innovation, cross, factor = backend.scan(step, start, [] if seen is None else [seen], steps)
    return Filtered(predicted, innovation, factor, _divide(cross, innovation))


def filter_means(system, filtered, y, seen=None):
    """(3) for sequences y `(n, T, p)`: the means p_t and f_t `(T, n, q)`, and the innovations e_t `(T, n, p)`.

    With what is `seen` the means are rows, `(T, n, 1, .)`.

    The recursion is p_(t+1) = (A - A K_t C) p_t + A K_t (y_t - d); the others are computed for all t at once.
    """
    y = ops.transpose(y - system.d, (1, 0, 2))
    y = y if seen is None else (seen * y)[:, :, None]
    gain = ops.matmul(system.A, filtered.gain)[:-1]
    first = ops.zeros_like(y[0, ..., :1]) + system.m_0
    following = recur(system.A - ops.matmul(gain, system.C), ops.matmul(y[:-1], transpose(gain)), first)
    predicted = ops.concatenate([first[None], following])
    innovations = y - ops.matmul(predicted, transpose(system.C))
    innovations = innovations if seen is None else seen[:, :, None] * innovations
    return predicted, predicted + ops.matmul(innovations, transpose(filtered.gain)), innovations


def log_density(filtered, innovations, seen=None):
    """(4), `(n,)`, nats."""
    squares = ops.square(ops.solve_triangular(filtered.innovation, transpose(innovations), lower=True))
    logs = ops.log(ops.diagonal(filtered.innovation, axis1=-2, axis2=-1))
    if seen is None:
        square, scale, count = ops.sum(squares, axis=(0, 1)), ops.sum(logs), squares.shape[0] * squares.shape[1]
    else:
        square, scale, count = (ops.sum(v, axis=(0, -1)) for v in (squares[..., 0], logs, seen))
    return -0.5 * square - scale - 0.5 * math.log(2.0 * math.pi) * count


def smoother_covariances(system, filtered):
    """`Smoothed` of (5) and (6)."""
    factor, q = filtered.factor[:-1], system.L_Q.shape[-1]
    noise = ops.zeros_like(factor) + system.L_Q
    both = triangle([ops.matmul(system.A, factor), noise], [factor, ops.zeros_like(factor)])
    gain, conditional = _divide(both[..., q:, :q], both[..., :q, :q]), both[..., q:, q:]
    step = lambda carry, x: [triangle([ops.matmul(x[0], carry[0]), x[1]])]  # noqa: E731
    (before,) = backend.scan(step, [filtered.factor[-1]], [gain, conditional], factor.shape[0], reverse=True)
    return Smoothed(ops.concatenate([before, filtered.factor[-1:]]), gain, conditional)


def smoother_means(smoothed, predicted, means):
    """(6): the means s_t `(T, n, q)` from p_t and f_t."""
    terms = means[:-1] - ops.matmul(predicted[1:], transpose(smoothed.gain))
    return ops.concatenate([recur(smoothed.gain, terms, means[-1], reverse=True), means[-1:]])


class Pass(NamedTuple):
    """A filter that has gone through sequences: the system as it was used, what was seen or None, (2), and (3)."""

    system: object
    seen: object
    filtered: object
    predicted: object
    means: object
    innovations: object

    def log_density(self):
        """(4), `(n,)`, nats."""
        return log_density(self.filtered, self.innovations, self.seen)

    def filtered_means(self):
        """f_t `(T, n, q)`."""
        return rows(self.means)

    def smoothed(self):
        """`Smoothed`, and the means s_t `(T, n, q)`."""
        covariances = smoother_covariances(self.system, self.filtered)
        return covariances, rows(smoother_means(covariances, self.predicted, self.means))


def go(system, y, missing=False):
    """The `Pass` through sequences y `(n, T, p)`; where values may be `missing`, NaN stands for them."""
    seen = None
    if missing:
        y, seen = observed(y)
        system = repeated(system, ops.shape(y)[0])
    filtered = filter_covariances(system, y.shape[1], seen)
    return Pass(system, seen, filtered, *filter_means(system, filtered, y, seen))


def rows(means):
    """Means `(T, n, q)`, of rows `(T, n, 1, q)` too."""
    return means[:, :, 0] if len(means.shape) == 4 else means
