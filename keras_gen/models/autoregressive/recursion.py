"""Loops over time: of factors, of linear recursions; and what is done with factors of covariances.

A linear recursion u_t = M_t u_(t-1) + b_t has, for upstream gradients g_t, the gradients

    l_t = g_t + M_(t+1)^T l_(t+1)  in b_t,        l_t u_(t-1)^T  in M_t,        M_1^T l_1  in u_0,                 (1)

the first of which is a linear recursion again, in the other direction of time: so it can be differentiated any number
of times. TensorFlow needs (1) by hand, for its XLA differentiates no loop that stacks what it computes.
"""

import keras
from keras import ops

from keras_gen.integrate.fixed import repeat


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


def trace(step, carry, xs, steps, reverse=False):
    """The values of `carry = step(carry, [x[t] for x in xs])` after each t, stacked; a compiled loop.

    Without a gradient on TensorFlow, whose XLA differentiates no loop that stacks; see `recur`.
    """
    if keras.config.backend() != "tensorflow":
        run = lambda carry, x: (step(carry, x),) * 2  # noqa: E731
        return ops.scan(run, carry, xs, length=steps, reverse=reverse)[1]

    def turn(i, state):
        t = steps - 1 - i if reverse else i
        carry = step(state[0], [x[t] for x in xs])
        return carry, [ops.slice_update(r, (t, 0, 0), c[None]) for r, c in zip(state[1], carry, strict=True)]

    records = [ops.repeat(ops.zeros_like(c)[None], steps, axis=0) for c in carry]
    return repeat(steps, turn, (carry, records))[1]


def recur(matrices, terms, start, reverse=False):
    """u_t = M_t u_(t-1) + b_t for each row of `start` `(n, q)`: M `(T, q, q)`, b and the result `(T, n, q)`.

    With `reverse`, u_t = M_t u_(t+1) + b_t. Its gradients are (1).
    """
    run = _recur_by_hand if keras.config.backend() == "tensorflow" else _recur
    return run(matrices, terms, start, reverse)


def _recur(matrices, terms, start, reverse):
    step = lambda u, x: [ops.matmul(u[0], transpose(x[0])) + x[1]]  # noqa: E731
    return trace(step, [start], [matrices, terms], matrices.shape[0], reverse)[0]


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
