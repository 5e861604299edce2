"""Where EM begins: a linear dynamical system from the moments of short windows of the data.

Take all windows (y_t ... y_(t+k-1)) of the sequences, their first half x, and their second half f. What of the past
bears on the future is found by canonical correlations: with Sigma the windows' covariance, whitened on both sides,

    Sigma_ff^(-1/2) Sigma_fx Sigma_xx^(-1/2) = U S V^T,          z = V_q^T Sigma_xx^(-1/2) (x - mean),             (1)

the prediction of the state after x is the q numbers of the past that predict the future best. Regressions give what
moves it, with y what comes next after x, z' the prediction one step later, and e the innovation, of covariance S:

    y = d + C z + e,          z' = A z + K e.                                                                      (2)

The state itself has an error about its prediction, of covariance M say, so that S = C M C^T + R and K S = A M C^T. With
N = A^-1 K S, the smallest M with M C^T = N is N (C N)^-1 N^T, and the model that has all these moments is

    R = S - C M C^T,          P_0 = E[z z^T] + M,          Q = P_0 - A P_0 A^T,          m_0 = 0.                  (3)

Of n windows, the variances of a half of m numbers are raised by m / n of themselves in the roots of (1): else few
windows would seem to be predicted exactly. Estimates need not be covariances: R is kept between 0.1 S and S, and Q at
0.02 of the mean variance of the states at least, which EM leaves faster than it would leave small ones.

Reference:
    W. Larimore, "System identification, reduced-order filtering and modeling via canonical variate analysis", American
    Control Conference 1983; P. van Overschee, B. de Moor, "Subspace identification for linear systems" (1996), ch. 3.
"""

import math

import numpy as np
from keras import ops

from keras_gen.models.autoregressive.expectation import floored, matrix_of
from keras_gen.models.autoregressive.matrices import NAMES

SMALLEST = 1e-6  # of the windows' variances, relative to the largest
LEAST_R, LEAST_Q = 0.1, 0.02  # relative to S, and to the mean variance of the states


def window_length(steps, channels, state_dim, missing=False):
    """k: in each half enough for q numbers, and about eight more, which give the better start; at most T.

    Where values may be missing, one step more: of short windows more are whole.
    """
    more = 1 if missing else min(6, max(1, 8 // channels))
    return min(steps, 2 * (math.ceil(state_dim / channels) + more))


def windows(y, k):
    """All windows of k steps of sequences `(n, T, p)`: `(n, T - k + 1, k p)`."""
    count = y.shape[1] - k + 1
    return ops.concatenate([y[:, i : i + count] for i in range(k)], axis=-1)


def begin(mean, covariance, count, channels, state_dim, diagonal, floor):
    """(1) to (3) from the mean and covariance of `count` windows: a dict of numpy arrays `A, C, d, Q, R, m_0, P_0`."""
    p, q, size = channels, state_dim, len(mean)
    past = size // p // 2 * p
    code = np.zeros((q, size))
    code[:, :past] = _predictors(covariance, past, q, past / count)
    C, S = _regression(np.eye(p, size, past), code, covariance)
    A, _ = _regression(np.roll(code, p, axis=1), code, covariance)
    K, _ = _regression(np.roll(code, p, axis=1), np.eye(p, size, past) - C @ code, covariance)
    R, M = _noise(A, C, K, S)
    variance = code @ covariance @ code.T + M
    Q = variance - A @ variance @ A.T
    idle = np.diag(variance) < SMALLEST  # directions without a past: not left at the saddle point C = 0
    C[:, idle] = np.sqrt(np.trace(R) / p) * np.random.default_rng(0).normal(size=(p, q))[:, idle]
    least = max(floor, LEAST_Q * np.trace(variance) / q)
    R = floored(np.diag(np.diag(R)) if diagonal else R, floor)
    values = A, C, mean.reshape(-1, p).mean(axis=0), floored(Q, least), R, np.zeros(q), floored(variance, least)
    return dict(zip(NAMES, values, strict=True))


def _noise(A, C, K, S):
    """R and M of (3)."""
    N = np.linalg.pinv(A, rcond=0.1) @ K @ S
    seen = floored(C @ N, 0.0)
    M = N @ np.linalg.pinv(seen, rcond=0.01, hermitian=True) @ N.T
    values, vectors = np.linalg.eigh(S)
    root = matrix_of(np.sqrt(np.maximum(values, 0.0)), vectors)
    back = _inverse_root(S)
    values, vectors = np.linalg.eigh(back @ (S - C @ M @ C.T) @ back)
    return root @ matrix_of(np.clip(values, LEAST_R, 1.0), vectors) @ root, M


def _predictors(covariance, past, q, ridge):
    """V_q^T Sigma_xx^(-1/2); rows of zeros where the past has fewer than q numbers."""
    wide = covariance + ridge * np.diag(np.diag(covariance))
    white_x, white_f = _inverse_root(wide[:past, :past]), _inverse_root(wide[past:, past:])
    right = np.linalg.svd(white_f @ covariance[past:, :past] @ white_x)[2]
    code = np.zeros((q, past))
    code[:past] = right[:q] @ white_x
    return code


def _inverse_root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    kept = values > SMALLEST * max(values[-1], np.finfo("float64").tiny)
    return matrix_of(np.where(kept, 1.0, 0.0) / np.sqrt(np.where(kept, values, 1.0)), vectors)


def _regression(of, on, covariance):
    """The slope of `of w` on `on w` for w of this covariance, and the covariance of what is left."""
    slope = of @ covariance @ on.T @ np.linalg.pinv(on @ covariance @ on.T, hermitian=True)
    left = of - slope @ on
    return slope, left @ covariance @ left.T
