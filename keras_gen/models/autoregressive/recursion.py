"""Loops over time: of factors, of linear recursions; and what is done with factors of covariances.

A linear recursion u_t = M_t u_(t-1) + b_t has, for upstream gradients g_t, the gradients

    l_t = g_t + M_(t+1)^T l_(t+1)  in b_t,        l_t u_(t-1)^T  in M_t,        M_1^T l_1  in u_0,                 (1)

the first of which is a linear recursion again, in the other direction of time: so it can be differentiated any number
of times. (1) is written by hand where a loop that stacks what it computes has no gradient.
"""

from keras import ops

from keras_gen import backend


def transpose(matrices):
    """The last two axes exchanged."""
    return ops.swapaxes(matrices, -1, -2)


def covariance(factor):
    """L L^T of each of the factors."""
    return ops.matmul(factor, transpose(factor))


def triangle(*rows):
    """The lower triangular L >= 0 on its diagonal with L L^T = M M^T, M given by its rows of blocks."""
    matrix = ops.concatenate([ops.concatenate(row, axis=-1) for row in rows], axis=-2)
    upper = ops.qr(transpose(matrix))[1]
    signs = ops.where(ops.diagonal(upper, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return transpose(upper * ops.cast(signs, upper.dtype)[..., None])


def recur(matrices, terms, start, reverse=False):
    """u_t = M_t u_(t-1) + b_t for each row of `start` `(n, q)`: M `(T, q, q)`, b and the result `(T, n, q)`.

    With `reverse`, u_t = M_t u_(t+1) + b_t. Its gradients are (1).
    """
    run = _recur if backend.scan_has_gradient else _recur_by_hand
    return run(matrices, terms, start, reverse)


def _recur(matrices, terms, start, reverse):
    def step(u, x):
        return [ops.matmul(u[0], transpose(x[0])) + x[1]]

    return backend.scan(step, [start], [matrices, terms], matrices.shape[0], reverse)[0]


def _recur_by_hand(matrices, terms, start, reverse):
    @ops.custom_gradient
    def run(matrices, terms, start):
        def pull_back(upstream):
            adjoint = recur(_shift(transpose(matrices), reverse), upstream, ops.zeros_like(start), not reverse)
            values = recur(matrices, terms, start, reverse)  # anew: those of the loop have no gradient themselves
            before = ops.concatenate([values[1:], start[None]] if reverse else [start[None], values[:-1]])
            end = -1 if reverse else 0
            return ops.matmul(transpose(adjoint), before), adjoint, ops.matmul(adjoint[end], matrices[end])

        return _recur(matrices, terms, start, reverse), pull_back

    return run(matrices, terms, start)


def _shift(x, reverse):
    """x_(t+1) at t, or x_(t-1) if `reverse`; zero beyond the end."""
    nothing = ops.zeros_like(x[:1])
    return ops.concatenate([nothing, x[:-1]] if reverse else [x[1:], nothing])
