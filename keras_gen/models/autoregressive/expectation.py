"""Expectation and maximisation for a linear dynamical system, in deviations from the current parameters.

With the current parameters, let w = z_(t+1) - A z_t and v = y_t - d - C z_t be the noises, u = z_1 - m_0. The
expectation step gathers, over all sequences i of weights c_i and all t, what the smoother gives of

    W = sum E[(w, z_t)(w, z_t)^T],     V = sum E[(v, z_t, 1)(v, z_t, 1)^T],     U = sum E[(u, 1)(u, 1)^T],         (1)

each the sum of a product of means and of a covariance, which is the same for all sequences. The maximisation step is a
regression of the noises on what they must not depend on. With the blocks of W named W_ww, W_wz, W_zz, and N = sum c_i,

    A' = A + W_wz W_zz^-1,            Q' = (W_ww - W_wz W_zz^-1 W_zw) / (N (T - 1)),                               (2)
    (C', d') = (C, d) + V_vx V_xx^-1, R' = (V_vv - V_vx V_xx^-1 V_xv) / (N T),       x = (z, 1),                   (3)
    m_0' = m_0 + U_u1 / N,            P_0' = U_uu / N - (U_u1 / N)(U_u1 / N)^T.                                    (4)

Where values are missing, steps of which nothing is seen stay out of V and of its count of N T. Of the others what is
missing is a part of what EM completes: with M of `kalman` (7), the noise is

    v = G e + (I - G) v,        G = R M (M R M + I - M)^-1,        e = M (y - d - C z),                             (5)

a linear map of what is seen (of the seen channels themselves it is the identity) and a rest that depends on nothing
seen, of the factor (I - G) L_R; so E[v] = G E[e], and the factor of (v, z) is [-G C S_t  (I - G) L_R] over [S_t  0].

It is the textbook's step: only its sums are of small numbers, so that float32 holds them. Eigenvalues of Q', R' and
P_0' (of a diagonal R': its elements) below a floor are set to it, which is the maximum under that constraint. No step
lowers the likelihood.

Reference:
    R. Shumway, D. Stoffer, "An approach to time series smoothing and forecasting using the EM algorithm", J. Time
    Series Analysis 3 (1982), eq. 9 to 14; Z. Ghahramani, G. Hinton, "Parameter estimation for linear dynamical
    systems", CRG-TR-96-2 (1996), eq. 14 to 25, from which (2) to (4) follow.
"""

import numpy as np
from keras import ops

from keras_gen.models.autoregressive import kalman
from keras_gen.models.autoregressive.recursion import covariance, transpose


def expectations(system, y, weight, missing=False):
    """log p(y) `(n,)`, and W, V, U of (1), for sequences y `(n, T, p)` of weights `(n,)`, NaN where it is missing."""
    run = kalman.go(system, y, missing)
    smoothed, z = run.smoothed()
    if missing:
        emission = _emission_of_seen(system, smoothed, z, kalman.observed(y)[0], run.seen)
        known = weight * ops.max(run.seen, axis=-1)
    else:
        emission, known = _emission(system, smoothed, z, y), weight
    noises = (_transition(system, smoothed, z), weight), (emission, known), (_initial(system, smoothed, z), weight)
    return run.log_density(), [_gram(*pair, weight) for pair, weight in noises]


def _gram(means, factors, weight):
    """sum over t of sum_i c_i (m_i m_i^T + B B^T), m `(T, n, k)`, B `(T, k, r)` or `(T, n, k, r)`, c `([T,] n)`."""
    weighted = ops.reshape(means * weight[..., None], (-1, means.shape[-1]))
    shared = len(factors.shape) == 3
    factors = factors if shared else factors * ops.sqrt(weight)[..., None, None]
    flat = ops.reshape(transpose(factors), (-1, factors.shape[-2]))
    spread = (ops.sum(weight) if shared else 1.0) * ops.matmul(transpose(flat), flat)
    return ops.matmul(transpose(weighted), ops.reshape(means, (-1, means.shape[-1]))) + spread


def _transition(system, smoothed, z):
    """Means of (w, z_t); factors, for z_t = ... + J_t (z_(t+1) - ...) + D_t noise."""
    after, gain, own = smoothed.factor[1:], smoothed.gain, smoothed.conditional
    back = ops.matmul(gain, after)
    above = [after - ops.matmul(system.A, back), -ops.matmul(system.A, own)]
    factors = [ops.concatenate(row, axis=-1) for row in (above, [back, own])]
    noise = z[1:] - ops.matmul(z[:-1], transpose(system.A))
    return ops.concatenate([noise, z[:-1]], axis=-1), ops.concatenate(factors, axis=-2)


def _emission(system, smoothed, z, y):
    """Means of (v, z_t, 1), and factors."""
    noise = ops.transpose(y - system.d, (1, 0, 2)) - ops.matmul(z, transpose(system.C))
    factors = [-ops.matmul(system.C, smoothed.factor), smoothed.factor, ops.zeros_like(smoothed.factor[:, :1])]
    return ops.concatenate([noise, z, ops.ones_like(z[..., :1])], axis=-1), ops.concatenate(factors, axis=-2)


def _emission_of_seen(system, smoothed, z, y, seen):
    """The same where values are missing, by (5)."""
    G, S = _completion(system, seen), smoothed.factor
    noise = seen * (ops.transpose(y - system.d, (1, 0, 2)) - ops.matmul(z, transpose(system.C)))
    noise = ops.matmul(noise[:, :, None], transpose(G))[:, :, 0]
    rest = ops.matmul(ops.eye(seen.shape[-1], dtype=seen.dtype) - G, system.L_R)
    none = ops.zeros_like(transpose(ops.matmul(rest, system.C)))
    of_v = ops.concatenate([-ops.matmul(G, ops.matmul(system.C, S)), rest], axis=-1)
    of_z = ops.concatenate([S, none], axis=-1)
    factors = ops.concatenate([of_v, of_z, ops.zeros_like(of_z[..., :1, :])], axis=-2)
    return ops.concatenate([noise, z, ops.ones_like(z[..., :1])], axis=-1), factors


def _completion(system, seen):
    """G of (5) `(T, n, p, p)`."""
    R, one, m = covariance(system.L_R), ops.eye(seen.shape[-1], dtype=seen.dtype), seen[..., None]
    of_seen = m * R * transpose(m) + one * (1.0 - m)
    return ops.where(m > 0, one, transpose(ops.solve(of_seen, m * R)))


def _initial(system, smoothed, z):
    """Means of (u, 1), and factors."""
    first = smoothed.factor[:1]
    means = [z[:1] - system.m_0, ops.ones_like(z[:1, :, :1])]
    return ops.concatenate(means, axis=-1), ops.concatenate([first, ops.zeros_like(first[..., :1, :])], axis=-2)


def maximized(old, sums, steps, diagonal, floor):
    """(2) to (4) in float64: the new parameters from the old, dicts of numpy arrays `A, C, d, Q, R, m_0, P_0`."""
    (p, q), (transition, emission, initial) = old["C"].shape, sums
    count = initial[-1, -1]
    slope_A, Q = _regression(transition, q)
    slope_C, R = _regression(emission, p)
    shift = initial[:q, q] / count
    P_0 = initial[:q, :q] / count - np.outer(shift, shift)
    Q, R = Q / (count * (steps - 1)), R / emission[-1, -1]
    return {
        "A": old["A"] + slope_A, "C": old["C"] + slope_C[:, :q], "d": old["d"] + slope_C[:, q],
        "Q": floored(Q, floor), "R": floored(np.diag(np.diag(R)) if diagonal else R, floor),
        "m_0": old["m_0"] + shift, "P_0": floored(P_0, floor),
    }  # fmt: skip


def _regression(moments, k):
    """The slope of the first k variables on the others, and the squares that are left."""
    slope = np.linalg.lstsq(moments[k:, k:], moments[k:, :k], rcond=None)[0].T
    return slope, moments[:k, :k] - slope @ moments[k:, :k]


def floored(matrix, floor):
    """The symmetric matrix with its eigenvalues at `floor` at least."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return matrix_of(np.maximum(values, floor), vectors)


def matrix_of(values, vectors):
    """The symmetric matrix of these eigenvalues and eigenvectors."""
    return (vectors * values) @ vectors.T
