"""Runge-Kutta methods as tables of numbers, and one step of any of them.

Of dy/dt = f(t, y) a method of s stages with nodes c, weights b and coefficients a, strictly lower triangular, makes

    k_i = f(t + c_i dt, y + dt sum_(j<i) a_ij k_j),        y(t + dt) = y + dt sum_i b_i k_i + O(dt^(p+1))

with p its order, so that n steps across an interval leave an error of O(dt^p). A second set of weights, of a lower
order, estimates the error of the step by the difference of the two results,

    e = dt sum_i (b_i - b*_i) k_i.

Reference:
    E. Hairer, S. Norsett, G. Wanner, "Solving ordinary differential equations I", 2nd edition (1993), section II.1
    (table 1.1, table 1.2) and II.5 (table 5.2); J. Dormand, P. Prince, "A family of embedded Runge-Kutta formulae",
    J. Comp. Appl. Math. 6 (1980).
"""

from dataclasses import dataclass

from keras import ops

from keras_gen import backend


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge-Kutta method.

    Args:
        name: str.
        order: p, of the error of many steps.
        nodes: c, one a stage; the first is 0.
        coefficients: the rows of a, each as long as there are stages before it.
        weights: b.
        error_weights: b - b*, or None for a method that does not estimate its error.
    """

    name: str
    order: int
    nodes: tuple
    coefficients: tuple
    weights: tuple
    error_weights: tuple | None = None


METHODS = {
    method.name: method
    for method in (
        Tableau("euler", 1, (0.0,), ((),), (1.0,)),
        Tableau("midpoint", 2, (0.0, 1 / 2), ((), (1 / 2,)), (0.0, 1.0)),
        Tableau("heun", 2, (0.0, 1.0), ((), (1.0,)), (1 / 2, 1 / 2)),
        Tableau(
            "rk4", 4, (0.0, 1 / 2, 1 / 2, 1.0), ((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
            (1 / 6, 1 / 3, 1 / 3, 1 / 6),
        ),
        Tableau(
            "dopri5", 5, (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
            (
                (),
                (1 / 5,),
                (3 / 40, 9 / 40),
                (44 / 45, -56 / 15, 32 / 9),
                (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
                (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
                (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
            ),
            (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
            (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
        ),
    )
}  # fmt: skip


def stages(fn, t, dt, y, tableau, last=True):
    """k_1, ..., k_s of one step.

    Args:
        fn: f of `t`, `(batch,)`, and `y`, `(batch, M)`.
        t, dt: `(batch,)`.
        y: `(batch, M)`.
        tableau: a `Tableau`.
        last: whether the last stage is asked for, if its weight is 0.

    Returns:
        list of tensors `(batch, M)`.
    """
    slopes = [fn(t, y)]
    count = len(tableau.nodes) if last or tableau.weights[-1] else len(tableau.nodes) - 1
    for c, row in zip(tableau.nodes[1:count], tableau.coefficients[1:count], strict=True):
        slopes.append(fn(t + c * dt, y + dt[:, None] * combine(row, slopes)))
    return slopes


def looped_stages(fn, t, dt, y, tableau, first):
    """k_1, ..., k_s of one step, `(s, batch, M)`, k_1 given, by a loop: f is traced once and not s - 1 times.

    So a program compiles in a third of the time. It is not for being differentiated.
    """
    nodes, rows = (ops.convert_to_tensor(v, y.dtype) for v in (tableau.nodes, _square(tableau.coefficients)))

    def stage(i, slopes):
        k = fn(t + nodes[i] * dt, y + dt[:, None] * ops.tensordot(rows[i], slopes, axes=1))
        return backend.put(slopes, i, ops.cast(k, y.dtype), axis=0)

    unknown = ops.repeat(ops.zeros_like(first)[None], len(tableau.nodes) - 1, axis=0)
    return ops.fori_loop(1, len(tableau.nodes), stage, ops.concatenate([first[None], unknown], axis=0))


def _square(coefficients):
    return [[*row, *[0.0] * (len(coefficients) - len(row))] for row in coefficients]


def combine(weights, slopes):
    """sum_i w_i k_i, over the weights that are not 0."""
    terms = [w * k for w, k in zip(weights, slopes, strict=False) if w]
    return sum(terms[1:], terms[0])


def advance(fn, t, dt, y, tableau):
    """y(t + dt), `(batch, M)`."""
    return y + dt[:, None] * combine(tableau.weights, stages(fn, t, dt, y, tableau, last=False))


def pull_back(fn, t, dt, y, parameters, tableau, adjoint):
    """adjoint^T d y(t + dt) / d(y, *parameters), a list; f is `fn(t, y, *parameters)`."""

    def product(inputs):
        y, *given = inputs
        return adjoint * advance(lambda t, y: fn(t, y, *given), t, dt, y, tableau)

    return backend.grad(product, [y, *parameters])


def get_method(method):
    """The `Tableau` of a name, or the one that is given; ValueError for another."""
    if isinstance(method, Tableau):
        return method
    if method not in METHODS:
        raise ValueError(f"Expected `method` as one of {list(METHODS)}, or a `Tableau`. Received: {method!r}.")
    return METHODS[method]


def root_mean_square(y):
    """Over the elements of each example, `(batch, M)` to `(batch,)`."""
    return ops.sqrt(ops.mean(ops.square(y), axis=-1))
