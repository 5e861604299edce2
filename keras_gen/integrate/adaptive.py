"""The adaptive solver: Dormand and Prince's pair of orders 5 and 4, each example with steps of its own.

All examples of a batch go through one loop. In each of its turns each example tries one step of its own length, keeps
it or not, and those that have arrived stand still. So example i depends on example i alone, whatever the batch, and a
stiff one slows the others down but does not change them. The last stage of a step is the first of the next one, so
that a turn costs six evaluations of f.

**Where it stops.** An example that has not arrived after `max_steps` turns, or whose step has become too short to move
the time, stays where the last accepted step has put it, which is finite; `success` tells. NaN or infinity in f counts
as an error too large.

**Gradients.** Let the accepted steps be y_(n+1) = phi_n(y_n; w), w all that f depends on. Then backwards

    a_N = dL/dy_N,     a_n = a_(n+1)^T dphi_n/dy_n,     dL/dw = sum_n a_(n+1)^T dphi_n/dw                      (1)

is the exact gradient of what was computed, the lengths of the steps held constant. The way back first solves again,
now keeping the states y_n, and then goes through them from the last one; each phi_n is evaluated anew and
differentiated by itself. So nothing is kept between the two ways but y_0 and w; then one state a step, never the
activations of more than one step. The adjoint equation of Chen et al., integrated backwards, keeps no states, but the
y that it reconstructs is not that of the forward way; the form (1), with checkpoints, is that of Zhuang et al. It is
made of loops of unknown length on all backends, JAX among them, and can be differentiated once, not twice.

Reference:
    J. Dormand, P. Prince 1980; Hairer, Norsett, Wanner 1993, section II.4 (`keras_gen.integrate.control`); R. Chen,
    Y. Rubanova, J. Bettencourt, D. Duvenaud, "Neural ordinary differential equations", arXiv:1806.07366 (2018);
    J. Zhuang et al., "Adaptive checkpoint adjoint method for gradient estimation in neural ODE", arXiv:2006.02493
    (2020), algorithm 2.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_gen.integrate import control
from keras_gen.integrate.states import Layout
from keras_gen.integrate.tableaus import METHODS, looped_stages, pull_back

DOPRI5 = METHODS["dopri5"]


class Solution(NamedTuple):
    """What an adaptive solver gives.

    Args:
        state: y(stop), like the state at the start; where `success` is false, y at the time that was reached.
        success: bool `(batch,)`, whether the example has arrived.
        accepted, rejected: int32 `(batch,)`, steps of the example; f was evaluated 2 + 6 (accepted + rejected) times.
    """

    state: Any
    success: Any
    accepted: Any
    rejected: Any

    def check(self):
        """The solution itself; RuntimeError, where values are known, if an example has not arrived."""
        success = ops.convert_to_numpy(self.success)
        if not success.all():
            first = int(np.argmin(success))
            raise RuntimeError(
                f"{int((~success).sum())} of {len(success)} examples did not converge, the first of them example "
                f"{first}, after {int(self.accepted[first])} accepted and {int(self.rejected[first])} rejected steps. "
                "Raise `max_steps`, or `rtol` and `atol`; if most steps are rejected, the field is stiff, not smooth "
                "or not finite."
            )
        return self


def solve_adaptive(fn, state, start=0.0, stop=1.0, *, rtol=None, atol=None, max_steps=256, parameters=()):
    """y(stop) of dy/dt = f(t, y), y(start) given, with an error of about `atol + rtol |y|` in each example.

    Args:
        fn: f, a function of `t`, a tensor `(batch,)` with one time an example, of a state like `state`, and of
            `*parameters`, that gives dy/dt as a like structure.
        state: y(start), a structure of tensors `(batch, ...)`, float32 or float64.
        start, stop: numbers; `stop` may be the smaller one.
        rtol, atol: tolerances. Default 1e-5 each (the setting of FFJORD), in float64 1e-9. They bound the error of a
            step; that of the whole grows with their number and with the stretching of the flow.
        max_steps: steps that an example may try, default 256.
        parameters: tensors, all that f depends on and that shall have a gradient. What f takes from elsewhere is
            constant. None: nothing has a gradient, and f may use variables.

    Returns:
        A `Solution`. Its state is differentiable, once, in `state` and in `parameters`.

    Raises:
        ValueError: tolerances that the dtype cannot hold, times that are not finite, slopes of other shapes.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from keras_gen import integrate
        >>> solution = integrate.solve_adaptive(lambda t, y: -y, ops.ones((3, 2)), stop=2.0).check()
        >>> bool(abs(float(solution.state[0, 0]) - np.exp(-2)) < 1e-4)
        True

    Reference:
        Hairer, Norsett, Wanner 1993, section II.4; gradients: Zhuang et al. 2020, arXiv:2006.02493, algorithm 2.
    """
    layout = Layout(state)
    rtol, atol = control.tolerances(rtol, atol, layout.dtype)
    _check_span(start, stop, max_steps)
    turns = _Turns(layout.flat(fn), float(start), float(stop), rtol, atol, int(max_steps))
    solve = (lambda y: turns.solve(y, ())) if parameters is None else _with_gradient(turns)
    rows = solve(layout.pack(state), *(parameters or ()))
    success, accepted, rejected = (ops.stop_gradient(rows[:, i]) for i in (-3, -2, -1))
    counts = ops.cast(accepted, "int32"), ops.cast(rejected, "int32")
    return Solution(layout.unpack(rows[:, :-3]), success > 0.5, *counts)


def _check_span(start, stop, max_steps):
    if not np.isfinite([start, stop]).all() or not isinstance(max_steps, (int, np.integer)) or max_steps < 1:
        raise ValueError(
            "Expected `start` and `stop` as finite numbers and `max_steps` as an integer of at least 1. Received: "
            f"start={start}, stop={stop}, max_steps={max_steps}."
        )


def _with_gradient(turns):
    """`run(y, *parameters)`: rows of y(stop), success, accepted, rejected, `(batch, M + 3)`, with the gradient (1)."""

    @ops.custom_gradient
    def run(y, *parameters):
        def pull_back(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            return tuple(turns.pull_back(y, parameters, upstream[:, :-3]))

        return turns.solve(y, parameters), pull_back

    return run


class _Turns:
    """The loop of one problem: the field `fn(t, rows, *parameters)` of rows, its span and its tolerances.

    The loop carries n, the rows y, t, dt, the slope at (t, y), and the counts: accepted, rejected, and whether the last
    attempt was rejected.
    """

    def __init__(self, fn, start, stop, rtol, atol, max_steps):
        self.fn, self.start, self.stop, self.max_steps = fn, start, stop, max_steps
        self.rtol, self.atol, self.direction = rtol, atol, 1.0 if stop >= start else -1.0

    def solve(self, y, parameters):
        """Rows `(batch, M + 3)`."""
        fn = lambda t, y: self.fn(t, y, *parameters)  # noqa: E731
        turn = lambda *carry: self._turn(fn, *carry)[0]  # noqa: E731
        _, y, t, _, _, accepted, rejected, _ = ops.while_loop(self._goes_on, turn, self._begin(fn, y))
        arrived = ops.cast(t == self.stop, y.dtype)
        return ops.concatenate([y, ops.stack([arrived, accepted, rejected], axis=1)], axis=1)

    def _begin(self, fn, y):
        zeros = ops.zeros_like(y[:, 0])
        t = zeros + self.start
        slope = fn(t, y)
        dt = control.first_step(fn, t, y, slope, self.direction, self.rtol, self.atol)
        return 0, y, t, dt, ops.reshape(slope, ops.shape(y)), zeros, zeros, zeros

    def _moving(self, t, dt):
        """Whether an example has not arrived, and its step moves the time."""
        moves = ops.abs(dt) > control.epsilon(t) * ops.abs(t)
        return ops.logical_and((self.stop - t) * self.direction > 0, moves)

    def _goes_on(self, n, y, t, dt, *rest):
        return ops.logical_and(n < self.max_steps, ops.any(self._moving(t, dt)))

    def _turn(self, fn, n, y, t, dt, slope, accepted, rejected, again):
        """One attempt of each example: what the loop carries, and the length of what was accepted, else 0."""
        moving = self._moving(t, dt)
        last = ops.abs(dt) >= ops.abs(self.stop - t)
        dt = ops.where(last, self.stop - t, dt)
        tried = ops.where(moving, dt, ops.zeros_like(dt))
        slopes = looped_stages(fn, t, tried, y, DOPRI5, slope)
        weights = ops.convert_to_tensor([DOPRI5.weights, DOPRI5.error_weights], y.dtype)
        change, error = (tried[:, None] * ops.tensordot(weights[i], slopes, axes=1) for i in (0, 1))
        after = y + change
        ratio = control.error_ratio(error, y, after, self.rtol, self.atol)
        good = ops.logical_and(moving, ratio <= 1.0)
        bad = ops.logical_and(moving, ops.logical_not(good))
        count = lambda total, which: total + ops.cast(which, total.dtype)  # noqa: E731
        carry = (
            n + 1,
            ops.reshape(ops.where(good[:, None], after, y), ops.shape(y)),
            ops.where(good, ops.where(last, self.stop * ops.ones_like(t), t + dt), t),
            ops.where(moving, dt * control.growth(ratio, again > 0.5), dt),
            ops.reshape(ops.where(good[:, None], slopes[-1], slope), ops.shape(y)),
            count(accepted, good),
            count(rejected, bad),
            ops.cast(bad, y.dtype),
        )
        return carry, ops.where(good, tried, ops.zeros_like(tried))

    # The way back.

    def _recorded(self, y, parameters):
        """The number of turns, and of each the rows of y, t and the accepted length, `(max_steps, batch, M + 2)`."""
        fn = lambda t, y: self.fn(t, y, *parameters)  # noqa: E731
        record = ops.zeros_like(ops.concatenate([y, y[:, :1], y[:, :1]], axis=1))
        record = ops.repeat(record[None], self.max_steps, axis=0)

        def turn(record, n, y, t, *rest):
            carry, length = self._turn(fn, n, y, t, *rest)
            row = ops.concatenate([y, t[:, None], length[:, None]], axis=1)
            return (ops.slice_update(record, (n, 0, 0), row[None]), *carry)

        goes_on = lambda record, *carry: self._goes_on(*carry)  # noqa: E731
        record, n, *_ = ops.while_loop(goes_on, turn, (record, *self._begin(fn, y)))
        return n, record

    def pull_back(self, y, parameters, upstream):
        """The gradients (1) in y and in each of the parameters."""
        n, record = self._recorded(y, parameters)

        def turn(n, adjoint, *sums):
            row = record[n - 1]
            t, length = row[:, -2], row[:, -1]
            before, *more = pull_back(self.fn, t, length, row[:, :-2], parameters, DOPRI5, adjoint)
            before = ops.where((length != 0)[:, None], before, adjoint)  # who stood still, where f may be NaN
            return (n - 1, before, *(a + b for a, b in zip(sums, more, strict=True)))

        zeros = [ops.zeros_like(p) for p in parameters]
        return ops.while_loop(lambda n, *_: n > 0, turn, (n, upstream, *zeros))[1:]
