"""The contract on JAX: pure functions under `keras.StatelessScope`. `keras_gen.backend` states what each name means.

JAX differentiates functions of values, while a Keras layer writes to variables: batch statistics, seeds, metrics.
Let S be the map variable -> value of the scope that is open (empty when none is). To differentiate `fn`, open an
inner scope holding S, so that every read sees the current value (Keras consults the innermost scope alone); run `fn`;
return as auxiliary outputs the entries that changed; and write these into S, or into the variables themselves when
no scope was open. What was a tracer of the differentiation comes out as a value of the surrounding trace.

A tape differentiates in a variable v itself: after an assignment v <- a, reads of v count as dv, and a is a constant.
The inner scope writes a + (v - stop(v)) instead, a's value with v's derivative, so that layers that assign to a
trainable weight (`SpectralNormalization`) have the same gradient on the three backends.
"""

import jax
import keras
from keras.src.backend.common.stateless_scope import get_stateless_scope


class _Scope(keras.StatelessScope):
    """A stateless scope that begins with the values of the scope around it and remembers what was written."""

    def __init__(self, mapping=()):
        super().__init__(mapping, collect_losses=True)
        self.differentiated = dict(self.state_mapping)
        outer = get_stateless_scope()
        if outer is not None:
            self.state_mapping = {**outer.state_mapping, **self.state_mapping}
        if isinstance(outer, _Scope):  # a gradient inside of a gradient: the outer variables are differentiated too
            self.differentiated = {**outer.differentiated, **self.differentiated}
        self.written = {}

    def add_update(self, update):
        variable, value = update
        if (v := self.differentiated.get(id(variable))) is not None:
            value = jax.lax.stop_gradient(value) + (v - jax.lax.stop_gradient(v))
        super().add_update((variable, value))
        self.written[id(variable)] = variable

    def updates(self):
        """The variables written inside, and their new values."""
        variables = list(self.written.values())
        return variables, [self.get_current_value(v) for v in variables]


def _hand_over(variables, values):
    """Write what an inner scope changed into the scope around it, or into the variables."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _pure(fn, variables=()):
    """`fn` as a pure function `(values, *args) -> (output, new values)`, and a cell naming what was written."""
    written = []

    def run(values, *args):
        with _Scope(list(zip(variables, values, strict=True))) as scope:
            output = fn(*args)
        written[:], new = scope.updates()
        return output, new

    return run, written


def value_and_grad(fn, variables, has_aux=False):
    """`fn()` and its gradient in the Keras `variables`; with `has_aux`, `fn` returns `(value, aux)`."""
    run, written = _pure(fn, variables)

    def loss(values):
        output, new = run(values)
        return (output[0] if has_aux else output), (output, new)

    (_, (output, new)), gradients = jax.value_and_grad(loss, has_aux=True)([v.value for v in variables])
    _hand_over(written, new)
    return output, gradients


def grad(fn, x):
    """Gradient of `sum(fn(x))` in the array (or structure of arrays) `x`, of the same shape."""
    run, written = _pure(fn)

    def total(x):
        output, new = run([], x)
        return output.sum(), new

    gradient, new = jax.grad(total, has_aux=True)(x)
    _hand_over(written, new)
    return gradient


def when(condition, fn, otherwise):
    """`fn()` where the scalar `condition` is true, else `otherwise`, of the same shapes and dtypes."""
    run, written = _pure(fn)
    jax.eval_shape(lambda: run([]))  # to know what `fn` writes
    kept = [v.value for v in written]
    output, new = jax.lax.cond(condition, lambda: run([]), lambda: (otherwise, kept))
    _hand_over(written, new)
    return output


def vjp(fn, x, cotangent):
    """`(fn(x), cotangent^T J)`, the second of the shape of `x`."""
    run, written = _pure(fn)
    y, pull_back, new = jax.vjp(lambda x: run([], x), x, has_aux=True)
    _hand_over(written, new)
    return y, pull_back(jax.numpy.asarray(cotangent, y.dtype))[0]


def jvp(fn, x, tangent):
    """`(fn(x), J tangent)`, the second of the shape of `fn(x)`."""
    run, written = _pure(fn)
    tangent = jax.numpy.asarray(tangent, x.dtype)
    y, product, new = jax.jvp(lambda x: run([], x), (x,), (tangent,), has_aux=True)
    _hand_over(written, new)
    return y, product


def no_grad(fn, *args):
    """`fn(*args)` as constants."""
    return jax.tree.map(jax.lax.stop_gradient, fn(*args))


def compile(fn, variables=(), loop=False):
    """`fn` compiled; `variables` (a list, or a function that returns it) enter as arguments, never as constants."""
    listed = variables if callable(variables) else lambda: variables

    @jax.jit
    def run(values, *args):
        with keras.StatelessScope(list(zip(listed(), values, strict=True))):
            return fn(*args)

    return lambda *args: run([v.value for v in listed()], *args)


def first_call(fn, *args):
    """What `fn(*args)` builds, and its output as shapes and dtypes: traced and not computed, it changes no state.

    Computed, each of its operations would be a program of its own to compile.
    """
    with keras.StatelessScope():  # variables that are made in it get their values when it ends
        return jax.eval_shape(fn, *args)


def apply_gradients(optimizer, gradients, good=None):
    """One step of `optimizer` on the variables that it was built with; none where `good` is a false tensor.

    It goes through `stateless_apply`: a `LossScaleOptimizer` branches on the gradients, and only its stateless form
    keeps what the branches write.
    """
    trainable, own = optimizer._trainable_variables, optimizer.variables
    old = [v.value for v in trainable], [v.value for v in own]
    step = lambda: optimizer.stateless_apply(old[1], gradients, old[0])  # noqa: E731
    values = step() if good is None else jax.lax.cond(good, step, lambda: old)
    _hand_over([*trainable, *own], [*values[0], *values[1]])


def append(record, values):
    """Append the scalars `values` to the vector `record`, a Keras variable; the oldest ones fall out."""
    newest = jax.numpy.stack(values).astype(record.dtype)
    record.assign(jax.numpy.concatenate([record.value[len(values) :], newest]))


def entries(x, indices):
    """The entries of x at `indices` along its first axis."""
    return jax.numpy.take(x, indices, axis=0, mode="clip")


def entry(x, index, axis=0):
    """The entry `index` of x along `axis`, which falls away."""
    return jax.lax.dynamic_index_in_dim(x, index, axis, keepdims=False)


def put(x, index, row, axis=0):
    """x with its entry `index` along `axis` replaced by `row`."""
    return jax.lax.dynamic_update_index_in_dim(x, row.astype(x.dtype), index, axis)


def loop(count, body, state):
    """`state = body(i, state)` for i = 0, ..., count - 1, as one loop of the compiled program."""
    return keras.ops.fori_loop(0, count, body, state)


scan_has_gradient = True


def scan(step, carry, xs, steps, reverse=False):
    """The values of `carry = step(carry, [x[t] for x in xs])` after each t, stacked; the carry is a list."""
    return keras.ops.scan(lambda c, x: (step(c, x),) * 2, carry, xs, length=steps, reverse=reverse)[1]


def reproducible(model):
    """Whether a training gives the same bits each time."""
    return True


class Trainer:
    """Keras's steps on JAX from `train_on`, `test_on` and `predict_on`: state in, state out."""

    def __setattr__(self, name, value):
        """Keras puts the whole state into `_jax_state` at each step; tracking it as if it were layers costs 0.1 ms."""
        if name == "_jax_state":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def train_step(self, state, data):
        return self._stateless(self.train_on, self._state_variables(optimizer=True), state, data)

    def test_step(self, state, data):
        return self._stateless(self.test_on, self._state_variables(), state, data)

    def predict_step(self, state, data):
        groups = [self.trainable_variables, self.non_trainable_variables]
        outputs, new = self._stateless(self.predict_on, groups, state, data)
        return outputs, new[1]

    def _state_variables(self, optimizer=False):
        """The groups of variables in the order in which Keras passes their values."""
        own = [self.optimizer.variables] if optimizer else []
        return [self.trainable_variables, self.non_trainable_variables, *own, self.metrics_variables]

    def _stateless(self, step, groups, state, data):
        pairs = [pair for group, values in zip(groups, state, strict=True) for pair in zip(group, values, strict=True)]
        with keras.StatelessScope(pairs) as scope:
            logs = step(data)
        return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)

    def _get_jax_state(self, **which):
        """Keras takes the values out of the variables when an epoch begins: keep them in case the first step fails."""
        state = super()._get_jax_state(**which)
        if which.pop("purge_model_variables", False):
            self._jax_state = dict(zip([name for name, wanted in which.items() if wanted], state, strict=True))
            self._jax_state_synced = False
        return state

    def evaluate(self, *args, **kwargs):
        return self._or_restore(super().evaluate, args, kwargs)

    def predict(self, *args, **kwargs):
        return self._or_restore(super().predict, args, kwargs)

    def _or_restore(self, method, args, kwargs):
        """What Keras's `fit` does and these two do not: an error leaves the model as it was before the step."""
        try:
            return method(*args, **kwargs)
        except BaseException:
            self.jax_state_sync()
            raise

    def synchronize(self):
        """Give the variables the state of a running epoch: during `fit` it lives outside of them."""
        self.jax_state_sync()
