"""The contract on TensorFlow: tapes. `keras_gen.backend` states what each name means.

A tape inside a tape is differentiable, so `grad` needs nothing special. `fn` is given an alias of `x` (an identity)
so that, as on JAX, only the use of the argument counts, not what else depends on x.
"""

import functools

import keras
import tensorflow as tf
from keras.src.backend.common.stateless_scope import get_stateless_scope

from keras_gen.backend.devices_tensorflow import replicas
from keras_gen.backend.optimizer_group import unwrapped


def value_and_grad(fn, variables, has_aux=False):
    """`fn()` and its gradient in the Keras `variables`; with `has_aux`, `fn` returns `(value, aux)`."""
    references = [v.value for v in variables]
    with tf.GradientTape() as tape:
        output = fn()
        value = output[0] if has_aux else output
    gradients = tape.gradient(value, references, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return output, gradients


def grad(fn, x):
    """Gradient of `sum(fn(x))` in the tensor (or structure of tensors) `x`, of the same shape."""
    x = tf.nest.map_structure(tf.identity, x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(fn(x))
    return tape.gradient(y, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def when(condition, fn, otherwise):
    """`fn()` where the scalar `condition` is true, else `otherwise`, of the same shapes and dtypes.

    What `fn` writes leaves the branch as a result of it. Replicas cannot meet within a branch: where there are several,
    `fn` is computed in any case, and chosen afterwards.
    """
    written = []

    def kept():
        return otherwise, [tf.convert_to_tensor(v.value) for v in written]

    def run():
        with _Kept() as scope:
            output = fn()
        written[:] = scope.written.values()
        return output, [tf.convert_to_tensor(scope.get_current_value(v)) for v in written]

    if replicas() == 1:  # where it is a graph, `run` is traced before `kept`; where not, one of them runs
        output, values = tf.cond(condition, run, kept)
    else:
        output, values = tf.nest.map_structure(functools.partial(tf.where, condition), run(), kept())
    for variable, value in zip(written, values, strict=True):
        variable.assign(value)
    return output


class _Kept(keras.StatelessScope):
    """Keeps what is written: a constant, that of a trainable weight with its derivative (`keras_gen.backend.jax`)."""

    def __init__(self):
        super().__init__(collect_losses=True)
        self.written = {}
        if (outer := get_stateless_scope()) is not None:
            self.state_mapping.update(outer.state_mapping)

    def add_update(self, update):
        variable, value = update
        value = tf.stop_gradient(value)
        if variable.trainable:
            value = value + (variable.value - tf.stop_gradient(variable.value))
        super().add_update((variable, value))
        self.written[id(variable)] = variable


def vjp(fn, x, cotangent):
    """`(fn(x), cotangent^T J)`, the second of the shape of `x`."""
    x = tf.identity(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = fn(x)
    zero = tf.UnconnectedGradients.ZERO
    return y, tape.gradient(y, x, output_gradients=cotangent, unconnected_gradients=zero)


def jvp(fn, x, tangent):
    """`(fn(x), J tangent)`, the second of the shape of `fn(x)`."""
    x = tf.identity(x)
    with tf.autodiff.ForwardAccumulator(x, tf.cast(tangent, x.dtype)) as accumulator:
        y = fn(x)
    return y, accumulator.jvp(y, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def no_grad(fn, *args):
    """`fn(*args)` as constants: nothing is recorded."""
    return tf.nest.map_structure(tf.stop_gradient, fn(*args))


def compile(fn, variables=None, loop=False):
    """`fn` as one graph. `variables` is not needed here: a graph reads them when it runs.

    A `loop` of many short steps is compiled by XLA: the graph's executor takes microseconds an operation.

    What `fn` assigns stays in a stateless scope: sampling must advance no seed and move no statistic of training.
    TensorFlow counts traces by code object, so two graphs made here would pass for one that is traced again and
    again; a `partial` has none. Autograph is off: loops and branches here are those of `keras.ops`, and reading the
    source of every function that is traced costs a seventh of the tests' time.
    """

    def run(*args):
        with keras.StatelessScope():
            return fn(*args)

    options = {"jit_compile": True} if loop else {"reduce_retracing": True}
    return tf.function(functools.partial(run), autograph=False, **options)


def first_call(fn, *args):
    """`fn(*args)`, for what it builds and for the shapes of its output."""
    return fn(*args)


def apply_gradients(optimizer, gradients, good=None):
    """One step of `optimizer` on the variables that it was built with; none where `good` is a false tensor.

    Keras would sum the gradients of the replicas, after clipping each and testing each for overflow. Here they are
    those of the global batch already.
    """
    if replicas() > 1:
        unwrapped(optimizer)._all_reduce_sum_gradients = _as_they_are
    step = lambda: optimizer.apply(gradients, optimizer._trainable_variables)  # noqa: E731
    step() if good is None else tf.cond(good, step, lambda: None)


def _as_they_are(gradients_and_variables):
    return gradients_and_variables


def append(record, values):
    """Append the scalars `values` to the vector `record`, a Keras variable; the oldest ones fall out."""
    newest = [tf.cast(value, record.dtype) for value in values]
    record.assign(tf.concat([record.value[len(values) :], tf.stack(newest)], axis=0))


def entries(x, indices):
    """The entries of x at `indices` along its first axis."""
    return tf.gather(x, indices)


def entry(x, index, axis=0):
    """The entry `index` of x along `axis`, which falls away."""
    starts, sizes = [0] * len(x.shape), [-1] * len(x.shape)
    starts[axis], sizes[axis] = index, 1
    return tf.squeeze(tf.slice(x, tf.stack(starts), sizes), axis)


def put(x, index, row, axis=0):
    """x with its entry `index` along `axis` replaced by `row`."""
    starts = [0] * len(x.shape)
    starts[axis] = index
    return keras.ops.slice_update(x, tf.stack(starts), tf.cast(tf.expand_dims(row, axis), x.dtype))


def loop(count, body, state):
    """`state = body(i, state)` for i = 0, ..., count - 1, as one loop of the compiled program.

    XLA can differentiate a loop that is told how often it turns, and no other.
    """

    def turn(i, state):
        return i + 1, body(i, state)

    return tf.while_loop(lambda i, _: i < count, turn, (0, state), maximum_iterations=count)[1]


scan_has_gradient = False


def scan(step, carry, xs, steps, reverse=False):
    """The values of `carry = step(carry, [x[t] for x in xs])` after each t, stacked; the carry is a list.

    Without a gradient: XLA differentiates no loop that stacks what it computes.
    """

    def turn(i, state):
        t = steps - 1 - i if reverse else i
        carry = step(state[0], [x[t] for x in xs])
        return carry, [put(record, t, c) for record, c in zip(state[1], carry, strict=True)]

    records = [tf.repeat(tf.zeros_like(c)[None], steps, axis=0) for c in carry]
    return loop(steps, turn, (carry, records))[1]


def reproducible(model):
    """Whether a training gives the same bits each time: a graph that runs its operations side by side does not."""
    return model.jit_compile or model.run_eagerly or tf.config.threading.get_inter_op_parallelism_threads() == 1


class Trainer:
    """Keras's steps on TensorFlow from `train_on`, `test_on` and `predict_on`."""

    def train_step(self, data):
        return self.train_on(data)

    def test_step(self, data):
        return self.test_on(data)

    def predict_step(self, data):
        return self.predict_on(data)

    def synchronize(self):
        """Variables always hold the current state here."""
