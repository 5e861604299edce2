"""Solvers whose steps are given: one loop over the intervals of a grid.

**Gradients**, in two ways that give the same numbers:

- of the loop itself, by the backend's own differentiation: a scan on JAX, a loop of a known number of turns on
  TensorFlow. It holds the activations of all evaluations of f, memory O(steps times stages), and can be differentiated
  again.
- with `parameters`, step by step from the last one, as of the adaptive solver (`keras_gen.integrate.adaptive`,
  equation 1): the states y_0, ..., y_(n-1) are held, and each step is evaluated anew to be differentiated. That costs
  one more evaluation of f for each, and holds the activations of one step alone. TensorFlow's XLA needs this way where
  the size of a batch is not known: it cannot differentiate a loop whose shapes are not.
"""

import numpy as np
from keras import ops

from keras_gen import backend
from keras_gen.integrate.states import Layout
from keras_gen.integrate.tableaus import advance, get_method, pull_back


def solve_fixed(fn, state, times, method="rk4", parameters=None):
    """y(t_n) of dy/dt = f(t, y), y(t_0) given, by one step of the method on each interval of t_0, ..., t_n.

    Args:
        fn: f, a function of `t`, a tensor `(batch,)` with one time an example, of a state like `state`, and of
            `*parameters`, that gives dy/dt as a like structure.
        state: y(t_0), a structure of floating tensors `(batch, ...)` of one dtype.
        times: t_0, ..., t_n, numbers that rise or fall; such as `numpy.linspace(0, 1, steps + 1)`.
        method: "euler", "midpoint", "heun", "rk4" (default), "dopri5", or a `Tableau`.
        parameters: None (default): the loop is differentiated as it is. Or tensors, all that f depends on and that
            shall have a gradient: one state a step is held, and no activations. What f then takes from elsewhere is
            constant.

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
    intervals = [ops.convert_to_tensor(part, layout.dtype) for part in (times[:-1], np.diff(times))]
    steps = _Steps(layout.flat(fn), *intervals, len(times) - 1, tableau)
    if parameters is None:
        return layout.unpack(steps.solve(layout.pack(state), ()))
    return layout.unpack(_with_gradient(steps)(layout.pack(state), *parameters))


def _with_gradient(steps):
    """`run(y, *parameters)`: y(t_n), with the gradient step by step."""

    @ops.custom_gradient
    def run(y, *parameters):
        end, record = steps.recorded(y, parameters)

        def pull_back(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return tuple(steps.pull_back(record, parameters, upstream))

        return end, pull_back

    return run


class _Steps:
    """The loop of one problem: the field `fn(t, rows, *parameters)` of rows, and the intervals: where each starts, and
    its length.
    """

    def __init__(self, fn, starts, lengths, count, tableau):
        self.fn, self.starts, self.lengths, self.count, self.tableau = fn, starts, lengths, count, tableau

    def _interval(self, i, y):
        """Start and length of interval i, one an example."""
        ones = ops.ones_like(y[:, 0])
        return self.starts[i] * ones, self.lengths[i] * ones

    def _step(self, i, y, parameters):
        fn = lambda t, y: self.fn(t, y, *parameters)  # noqa: E731
        return ops.reshape(advance(fn, *self._interval(i, y), y, self.tableau), ops.shape(y))

    def solve(self, y, parameters):
        """Rows at the end."""
        return backend.loop(self.count, lambda i, y: self._step(i, y, parameters), y)

    def recorded(self, y, parameters):
        """Rows at the end, and those at the start of each step, `(steps, batch, M)`."""

        def turn(i, carry):
            y, record = carry
            return self._step(i, y, parameters), ops.slice_update(record, (i, 0, 0), y[None])

        return backend.loop(self.count, turn, (y, ops.repeat(ops.zeros_like(y)[None], self.count, axis=0)))

    def pull_back(self, record, parameters, upstream):
        """The gradients in y(t_0) and in each of the parameters."""

        def turn(i, carry):
            adjoint, *sums = carry
            i = self.count - 1 - i
            interval = self._interval(i, adjoint)
            adjoint, *more = pull_back(self.fn, *interval, record[i], parameters, self.tableau, adjoint)
            return (adjoint, *(a + b for a, b in zip(sums, more, strict=True)))

        return backend.loop(self.count, turn, (upstream, *(ops.zeros_like(p) for p in parameters)))


def _check_times(times):
    times = np.asarray(times, "float64")
    rises = np.diff(times) if times.ndim == 1 else np.zeros(0)
    if not len(rises) or not np.isfinite(times).all() or not ((rises > 0).all() or (rises < 0).all()):
        raise ValueError(
            f"Expected `times` as two or more finite numbers that rise or fall. Received: times={times}. "
            "Write numpy.linspace(start, stop, steps + 1)."
        )
    return times
