"""Solvers whose steps are given: one loop over the intervals of a grid, differentiable to any order.

The gradient is that of the loop itself, by the backend's own differentiation: a scan on JAX, a loop of a known number
of turns on TensorFlow. It holds the activations of all evaluations of f, memory O(steps times stages). `solve_adaptive`
holds one state a step and recomputes.
"""

import keras
import numpy as np
from keras import ops

from keras_gen.integrate.states import Layout
from keras_gen.integrate.tableaus import advance, get_method


def solve_fixed(fn, state, times, method="rk4"):
    """y(t_n) of dy/dt = f(t, y), y(t_0) given, by one step of the method on each interval of t_0, ..., t_n.

    Args:
        fn: f, a function of `t`, a tensor `(batch,)` with one time an example, and of a state like `state`, that gives
            dy/dt as a like structure.
        state: y(t_0), a structure of floating tensors `(batch, ...)` of one dtype.
        times: t_0, ..., t_n, numbers that rise or fall; such as `numpy.linspace(0, 1, steps + 1)`.
        method: "euler", "midpoint", "heun", "rk4" (default), "dopri5", or a `Tableau`.

    Returns:
        y(t_n), like `state`.

    Raises:
        ValueError: an unknown method, times that are not at least two finite numbers or not in order, slopes of other
            shapes.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from keras_gen import integrate
        >>> y = integrate.solve_fixed(lambda t, y: -y, ops.ones((3, 2)), np.linspace(0, 1, 9))
        >>> tuple(y.shape), bool(abs(float(y[0, 0]) - np.exp(-1)) < 1e-5)
        ((3, 2), True)

    Reference:
        Hairer, Norsett, Wanner 1993, section II.1.
    """
    tableau, times, layout = get_method(method), _check_times(times), Layout(state)
    flat, y = layout.flat(fn), layout.pack(state)
    starts = ops.convert_to_tensor(times[:-1], layout.dtype)
    lengths = ops.convert_to_tensor(np.diff(times), layout.dtype)
    ones = ops.ones_like(y[:, 0])

    def body(i, y):
        return ops.reshape(advance(flat, starts[i] * ones, lengths[i] * ones, y, tableau), ops.shape(y))

    return layout.unpack(repeat(len(times) - 1, body, y))


def repeat(n, body, value):
    """`body(i, value)` for i = 0 ... n - 1, with a gradient on every backend.

    TensorFlow's XLA can only differentiate a loop that is told how often it turns.
    """
    if keras.config.backend() != "tensorflow":
        return ops.fori_loop(0, n, body, value)
    turn = lambda i, value: (i + 1, body(i, value))  # noqa: E731
    return ops.while_loop(lambda i, _: i < n, turn, (0, value), maximum_iterations=n)[1]


def _check_times(times):
    times = np.asarray(times, "float64")
    rises = np.diff(times) if times.ndim == 1 else np.zeros(0)
    if not len(rises) or not np.isfinite(times).all() or not ((rises > 0).all() or (rises < 0).all()):
        raise ValueError(
            f"Expected `times` as two or more finite numbers that rise or fall. Received: times={times}. "
            "Write numpy.linspace(start, stop, steps + 1)."
        )
    return times
