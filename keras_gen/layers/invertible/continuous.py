"""The continuous flow: events carried by a velocity, and their volume with them.

A network gives the velocity f(h, t, c) of an event h at the time t, c a condition. From x to z it is followed for the
time T,

    dh/dt = f(h, t, c),    h(0) = x,  h(T) = z,                                                              (1)

and back from T to 0: where f is Lipschitz, as a network of smooth activations is, no two paths meet, and the map is
invertible without any constraint on f. A small piece of volume about h grows at the rate of the divergence,

    d/dt log |det dh(t)/dx| = tr df/dh,     log |det dz/dx| = int_0^T tr df/dh (h(t), t, c) dt,              (2)

the sign being that of the direction, from data to latents. (FFJORD goes from latents to data, and so subtracts it:
its equation 3.) Both are one system of equations for (h, l), l beginning at 0; the inverse runs from T to 0, where the
same integral has the other sign, and gives log |det dx/dz|.

**The trace.** One product with a vector e costs about as much as f, and with J = df/dh

    exact        tr J = sum_d e_d^T J e_d,  e_d the D unit vectors:          D products
    hutchinson   tr J = E e^T J e,  E e e^T = I:                             one product, unbiased           (3)

e is drawn once a solve, one of each event, and stays for all its evaluations: the solver must see one and the same
function. Its elements are -1 or 1 (rademacher, exact where J is diagonal, so for D = 1), or normal.

**Solvers.** `dopri5` chooses the steps of each event by its error (`keras_gen.integrate.solve_adaptive`), and its
gradient is that of the steps that were made. With `steps`, and by any other method, the steps are given, and the way
back is the inverse up to their truncation error. Either way the gradient holds one state a step and computes the rest
anew, and can be taken once; given steps with `checkpoint=False` are differentiated as they are, and hold everything.
The network is computed in float32 at least, whatever the policy: an error of rounding in half precision would be taken
for one of the step.

Reference:
    W. Grathwohl, R. Chen, J. Bettencourt, I. Sutskever, D. Duvenaud, "FFJORD: free-form continuous dynamics for
    scalable reversible generative models", arXiv:1810.01367 (2019), equations 2 to 5; R. Chen et al., "Neural ordinary
    differential equations", arXiv:1806.07366 (2018), theorem 1, for (2).
"""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend, integrate, random
from keras_gen.integrate.control import tolerances
from keras_gen.layers.invertible.base import Bijection, sum_event
from keras_gen.layers.invertible.checks import check_event
from keras_gen.layers.invertible.conditioner import Conditioner, get_network, serialize_network
from keras_gen.layers.invertible.numbers import check_seed, positive
from keras_gen.layers.shapes import positive_int

TRACES, NOISES = ("exact", "hutchinson"), ("rademacher", "normal")
HALF = ("float16", "bfloat16")


@keras.saving.register_keras_serializable(package="keras_gen")
class ContinuousFlow(Bijection):
    """z = h(T), dh/dt = f(h, t, c), h(0) = x; log |det dz/dx| = int_0^T tr df/dh dt.

    `bijection(x)` and `inverse(z)` follow h alone and are cheaper than the two that give the log-determinant.

    Args:
        network: f: any Keras layer of [h, t, c], joined along the last axis, or with a `condition` of its own, to
            features of which a linear map makes the velocity; or the sizes of the hidden layers of a dense network,
            default (64, 64, 64), FFJORD's for two-dimensional data. It is called with `training=False`: f must be the
            same at every evaluation. Smooth activations let the solver take long steps.
        activation: of the dense network, default "tanh".
        time: T, default 1.
        trace: "exact" (default), D products a step, or "hutchinson", one.
        evaluation: trace where nothing is trained: "exact" (default), or "hutchinson", with one vector e, which `seed`
            tells, for all events: deterministic, but biased by that e.
        noise: of Hutchinson's estimate, "rademacher" (default) or "normal".
        solver: "dopri5" (default), or "euler", "midpoint", "heun", "rk4".
        steps: number of steps. Default None: chosen by "dopri5", 8 for the others.
        rtol, atol: tolerances of the chosen steps. Default 1e-5 each, as in FFJORD; in float64 1e-9.
        max_steps: chosen steps that one event may try, default 256. An event that has not arrived by then stays where
            it is, finite: `check` tells.
        checkpoint: of given steps: True (default): one state a step is held for the gradient, and f evaluated again.
            False: all activations are held, faster on torch; TensorFlow's XLA then needs batches of a known size.
        conditional: whether f takes a condition.
        seed: of the noise, an int >= 0; default None: drawn now.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: an unknown trace, noise or solver, numbers out of range, a network of half precision.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import ContinuousFlow
        >>> flow, x = ContinuousFlow((8,)), ops.ones((5, 2))
        >>> z, log_det = flow.forward_and_log_det(x)
        >>> tuple(z.shape), tuple(log_det.shape), bool(ops.max(ops.abs(flow.inverse(z) - x)) < 1e-4)
        ((5, 2), (5,), True)

    Reference:
        Grathwohl et al. 2019, arXiv:1810.01367, equations 2 to 5, algorithm 1. Its time is joined to every layer
        (concatsquash), here to the first.
    """

    def __init__(
        self, network=(64, 64, 64), activation="tanh", *, time=1.0, trace="exact", evaluation="exact",
        noise="rademacher", solver="dopri5", steps=None, rtol=None, atol=None, max_steps=256, checkpoint=True,
        conditional=False, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.network, self.activation = network, keras.activations.get(activation)
        self.time, self.takes_condition, self.seed = positive(time, "time"), bool(conditional), check_seed(seed)
        self.trace, self.evaluation = _one_of(trace, TRACES, "trace"), _one_of(evaluation, TRACES, "evaluation")
        self.noise = _one_of(noise, NOISES, "noise")
        self.solver = _one_of(solver, list(integrate.METHODS), "solver")
        self.steps = None if steps is None else positive_int(steps, "steps")
        self.checkpoint = bool(checkpoint)
        self.rtol, self.atol, self.max_steps = rtol, atol, positive_int(max_steps, "max_steps")
        tolerances(rtol, atol, self.real_dtype)
        self.noise_generator = random.Noise(seed)

    @property
    def adaptive(self):
        """Whether the solver chooses its steps."""
        return self.solver == "dopri5" and self.steps is None

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape, "all")
        own = (x_shape[-1], 1, self.real_dtype, self.real_dtype)
        self.velocity = Conditioner(self.network, self.activation, *own)
        self.velocity.build((*x_shape[:-1], x_shape[-1] + 1), condition_shape)
        _check_precision(self.velocity)

    # The field.

    def _velocity(self, t, h, condition):
        """f, of the shape of h; t is `(batch,)`."""
        times = ops.broadcast_to(ops.reshape(t, (-1, *[1] * (len(h.shape) - 1))), (*ops.shape(h)[:-1], 1))
        velocity = self.velocity(ops.concatenate([h, times], axis=-1), condition, training=False)
        return ops.reshape(velocity, ops.shape(h))

    def _velocity_and_trace(self, t, h, condition, probes):
        """f and tr df/dh, `(batch,)`; probes e are `(batch, K, ...)`, K of them an event, or `(1, K, ...)`."""
        count, batch = probes.shape[1], ops.shape(h)[0]
        t, copies, condition = (_repeated(value, count) for value in (t, h, condition))
        e = ops.reshape(ops.broadcast_to(probes, (batch, *probes.shape[1:])), ops.shape(copies))
        velocity, product = backend.vjp(lambda h: self._velocity(t, h, condition), copies, e)
        trace = ops.sum(ops.reshape(sum_event(product * e), (batch, count)), axis=1)
        return ops.reshape(velocity, (batch, count, *h.shape[1:]))[:, 0], trace

    def _exact_probes(self):
        size = math.prod(self.event_shape)
        return ops.convert_to_tensor(np.eye(size).reshape(1, size, *self.event_shape), self.real_dtype)

    def _probes(self, batch, training):
        """e of (3), for one solve."""
        if (self.trace if training else self.evaluation) == "exact":
            return self._exact_probes()
        if not training:
            key = random.keys(0 if self.seed is None else self.seed, 1)
            draw = random.normal if self.noise == "normal" else _signs
            return ops.cast(draw(key, (1, *self.event_shape)), self.real_dtype)
        shape = (batch, 1, *self.event_shape)
        if self.noise == "normal":
            return self.noise_generator.normal(shape, dtype=self.real_dtype)
        return 2.0 * ops.cast(self.noise_generator.integers(shape, 0, 2), self.real_dtype) - 1.0

    # Both directions.

    def _forward(self, x, condition, training):
        return self._carried_with_volume(x, condition, 0.0, self.time, self._probes(ops.shape(x)[0], training))

    def _inverse(self, z, condition, training):
        return self._carried_with_volume(z, condition, self.time, 0.0, self._probes(ops.shape(z)[0], training))

    def call(self, x, condition=None, training=False):
        """z, by itself."""
        x, condition = self._ready(x, condition)
        check_event(self, "forward", tuple(x.shape), self.event_shape)
        return self._carried(x, condition, 0.0, self.time)

    def inverse(self, z, condition=None, training=False):
        """x, by itself."""
        z, condition = self._ready(z, condition)
        check_event(self, "inverse", tuple(z.shape), self.event_shape)
        return self._carried(z, condition, self.time, 0.0)

    def _carried(self, h, condition, start, stop):
        return self._solve(self._velocity, h, start, stop, condition).state

    def _carried_with_volume(self, h, condition, start, stop, probes):
        return self._solve_with_volume(h, condition, start, stop, probes).state

    def _solve_with_volume(self, h, condition, start, stop, probes):
        def field(t, state, *given):
            return self._velocity_and_trace(t, state[0], *given)

        state = h, ops.zeros((ops.shape(h)[0],), self.real_dtype)
        return self._solve(field, state, start, stop, condition, probes)

    def _solve(self, field, state, start, stop, condition, *probes):
        """A `Solution`, of `field(t, state, condition, *probes)`."""
        weights = [v for v in self.velocity.variables if keras.backend.is_float_dtype(v.dtype)]
        given = [*([] if condition is None else [condition]), *probes]

        def of_parameters(t, state, *parameters):
            given, values = parameters[: -len(weights)], parameters[-len(weights) :]
            with keras.StatelessScope(list(zip(weights, values, strict=True))):
                return field(t, state, *(given if condition is not None else (None, *given)))

        parameters = (*given, *(ops.convert_to_tensor(v.value) for v in weights))
        if self.adaptive:
            options = {"rtol": self.rtol, "atol": self.atol, "max_steps": self.max_steps}
            return integrate.solve_adaptive(of_parameters, state, start, stop, **options, parameters=parameters)
        times, fn = np.linspace(start, stop, (self.steps or 8) + 1), of_parameters
        if not self.checkpoint:
            fn, parameters = functools.partial(_of_state, field, (condition, *probes)), None
        end = integrate.solve_fixed(fn, state, times, self.solver, parameters)
        return integrate.Solution(end, None, None, None)

    def check(self, x, condition=None, inverse=False):
        """Steps that each event takes, of those that are chosen by "dopri5".

        Args:
            x: events `(batch, *event_shape)`; latents if `inverse`.
            condition: as in `forward_and_log_det`.
            inverse: whether to go from T to 0.

        Returns:
            two numpy arrays `(batch,)`: accepted and rejected steps. A step costs six evaluations of f.

        Raises:
            RuntimeError: an event does not arrive within `max_steps`: how many do not, and what to do.
            ValueError: the steps are given; see `forward_and_log_det`.
        """
        if not self.adaptive:
            raise ValueError(
                "`check` expects steps that are chosen, solver='dopri5' and steps=None. Received: "
                f"solver={self.solver!r}, steps={self.steps}, which always arrives. Compare with more steps instead."
            )
        x, condition = self._ready(x, condition)
        check_event(self, "check", tuple(x.shape), self.event_shape)
        start, stop = (self.time, 0.0) if inverse else (0.0, self.time)
        solution = self._solve_with_volume(x, condition, start, stop, self._exact_probes()).check()
        return ops.convert_to_numpy(solution.accepted), ops.convert_to_numpy(solution.rejected)

    def get_config(self):
        names = ("time", "trace", "evaluation", "noise", "solver", "steps", "rtol", "atol", "max_steps")
        return {
            **super().get_config(),
            "network": serialize_network(self.network),
            "activation": keras.activations.serialize(self.activation),
            "conditional": self.takes_condition,
            "checkpoint": self.checkpoint,
            "seed": self.seed,
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "network": get_network(config["network"])})


def _of_state(field, given, t, state):
    """A field as a function of t and its state alone."""
    return field(t, state, *given)


def _repeated(value, count):
    return value if value is None or count == 1 else ops.repeat(value, count, axis=0)


def _signs(keys, shape):
    """-1 or 1, with probability 1/2 each."""
    return 2.0 * ops.cast(random.bits(keys, shape) >= 0, "float32") - 1.0


def _one_of(value, choices, name):
    if value not in choices:
        raise ValueError(f"Expected `{name}` as one of {list(choices)}. Received: {name}={value!r}.")
    return value


def _check_precision(network):
    """Raise for a network whose layers compute in half precision."""
    for layer in network._flatten_layers():
        if layer.compute_dtype in HALF:
            raise ValueError(
                f"ContinuousFlow expects a network of float32 at least. Received: layer {layer.name!r} with dtype "
                f"policy {layer.dtype_policy.name!r}, whose rounding the solver would take for its own error. Build "
                "its layers with dtype='float32'."
            )
