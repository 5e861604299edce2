"""The laws of `keras_gen.backend`, the same on every backend: run this file once under each KERAS_BACKEND."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_gen import backend

JAX = keras.config.backend() == "jax"


def array(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def tensor(*shape, seed=0, scale=1.0):
    return ops.convert_to_tensor(array(*shape, seed=seed, scale=scale))


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def variable(value, trainable=True):
    return keras.Variable(np.asarray(value, "float32"), trainable=trainable)


def jacobian(fn, x, step=1e-3):
    """Central differences in float64 of a numpy function, shape `(y.size, x.size)`."""
    columns = []
    for i in range(x.size):
        e = np.zeros(x.size)
        e[i] = step
        e = e.reshape(x.shape)
        columns.append((fn(x + e) - fn(x - e)).ravel() / (2 * step))
    return np.stack(columns, axis=1)


def scope(variables):
    """Keras's JAX steps run in a stateless scope over all values; the other backends run as they are."""
    if JAX:
        return keras.StatelessScope([(v, v.value) for v in variables])
    return contextlib.nullcontext()


# value_and_grad


def test_value_and_grad_of_a_quadratic():
    """For L = sum(a^2 b), dL/da = 2 a b and dL/db = sum(a^2)."""
    a, b = variable([1.0, 2.0, 3.0]), variable(0.5)
    value, (da, db) = backend.value_and_grad(lambda: ops.sum(a**2 * b), [a, b])
    assert float(numbers(value)) == pytest.approx(7.0)
    np.testing.assert_allclose(numbers(da), [1.0, 2.0, 3.0], rtol=1e-6)
    np.testing.assert_allclose(numbers(db), 14.0, rtol=1e-6)


def test_an_unused_variable_has_zero_gradient():
    """A variable that the loss does not use gets zeros of its shape."""
    a, unused = variable([1.0, 2.0]), variable(np.ones((2, 3)))
    _, (da, zero) = backend.value_and_grad(lambda: ops.sum(a**2), [a, unused])
    np.testing.assert_array_equal(numbers(zero), np.zeros((2, 3)))
    np.testing.assert_allclose(numbers(da), [2.0, 4.0])


def test_a_loss_without_variables_has_zero_gradients():
    """A constant loss has gradient zero everywhere."""
    a = variable([1.0, 2.0])
    value, (da,) = backend.value_and_grad(lambda: ops.sum(ops.ones((3,))), [a])
    assert float(numbers(value)) == 3.0
    np.testing.assert_array_equal(numbers(da), [0.0, 0.0])


def test_aux_is_handed_through():
    """With `has_aux` the gradient is of the first output; the second may be any structure."""
    a = variable([1.0, 2.0])
    (value, aux), (da,) = backend.value_and_grad(
        lambda: (ops.sum(a**3), {"double": 2 * ops.sum(a), "pair": (ops.sum(a), ops.ones((2,)))}),
        [a],
        has_aux=True,
    )
    assert float(numbers(value)) == 9.0 and float(numbers(aux["double"])) == 6.0
    np.testing.assert_array_equal(numbers(aux["pair"][1]), [1.0, 1.0])
    np.testing.assert_allclose(numbers(da), [3.0, 12.0])


def test_gradients_reach_only_the_asked_variables():
    """No gradient is left on variables that were not asked for (torch's `.grad` stays empty)."""
    a, b = variable([1.0]), variable([2.0])
    backend.value_and_grad(lambda: ops.sum(a * b), [a])
    assert getattr(a.value, "grad", None) is None and getattr(b.value, "grad", None) is None


class Stateful(layers.Layer):
    """Batch normalisation, dropout and a metric: everything that a step may write."""

    def __init__(self):
        super().__init__()
        self.norm = layers.BatchNormalization(momentum=0.5)
        self.dropout = layers.Dropout(0.5, seed=1)
        self.metric = keras.metrics.Mean()
        self.norm.build((None, 3))
        self.metric.update_state(0.0)
        self.metric.reset_state()
        self.built = True

    def call(self, x):
        y = self.dropout(self.norm(x, training=True), training=True)
        self.metric.update_state(2.0)
        return y

    def state(self):
        return [*self.norm.variables, self.dropout.seed_generator.state, *self.metric.variables]


def check_side_effects_once(layer, x):
    """After one call from fresh state: moving averages took one step, the seed one draw, the metric one value."""
    mean, variance = numbers(layer.norm.moving_mean), numbers(layer.norm.moving_variance)
    np.testing.assert_allclose(mean, 0.5 * x.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, 0.5 + 0.5 * x.var(0), rtol=1e-5)
    np.testing.assert_array_equal(numbers(layer.dropout.seed_generator.state), [1, 1])
    assert float(numbers(layer.metric.count)) == 1.0 and float(numbers(layer.metric.total)) == 2.0


@pytest.mark.parametrize("scoped", [False, True], ids=["eager", "scope"])
@pytest.mark.parametrize("how", ["value_and_grad", "grad", "vjp", "jvp", "grad inside value_and_grad"])
def test_side_effects_happen_exactly_once(how, scoped):
    """Differentiation neither loses nor repeats what the function writes, eagerly and inside a scope."""
    layer, x = Stateful(), array(16, 3, seed=1)
    ones = ops.ones((16, 3))
    run = {
        "value_and_grad": lambda: backend.value_and_grad(lambda: ops.sum(layer(x) ** 2), [layer.norm.gamma]),
        "grad": lambda: backend.grad(layer, ops.convert_to_tensor(x)),
        "vjp": lambda: backend.vjp(layer, ops.convert_to_tensor(x), ones),
        "jvp": lambda: backend.jvp(layer, ops.convert_to_tensor(x), ones),
        "grad inside value_and_grad": lambda: backend.value_and_grad(
            lambda: ops.sum(backend.grad(layer, ops.convert_to_tensor(x)) ** 2), [layer.norm.gamma]
        ),
    }[how]
    state = layer.state()
    with scope(state) if scoped else contextlib.nullcontext() as opened:
        run()
    if opened is not None:
        assert float(numbers(layer.metric.count)) == 0.0, "a stateless scope must keep the variables as they were"
        for v in state:
            v.assign(opened.get_current_value(v))
    check_side_effects_once(layer, x)


def test_later_reads_see_earlier_writes():
    """Within one differentiated function, a second draw of the seed differs from the first."""
    seed = keras.random.SeedGenerator(3)
    a = variable([1.0])
    draw = lambda: keras.random.normal((4,), seed=seed)  # noqa: E731
    (_, (first, second)), _ = backend.value_and_grad(lambda: (ops.sum(a), (draw(), draw())), [a], has_aux=True)
    _, third = backend.value_and_grad(lambda: (ops.sum(a), draw()), [a], has_aux=True)[0]
    values = [numbers(first), numbers(second), numbers(third)]
    assert len({tuple(np.round(v, 6)) for v in values}) == 3
    np.testing.assert_array_equal(numbers(seed.state), [3, 3])


def test_an_assignment_counts_as_a_constant_shift():
    """A variable assigned under differentiation is differentiated at its new value, as on a tape."""
    a = variable([2.0])

    def loss():
        a.assign(a.value * 3.0)
        return ops.sum(a.value**2)

    _, (da,) = backend.value_and_grad(loss, [a])
    np.testing.assert_allclose(numbers(a), [6.0])
    np.testing.assert_allclose(numbers(da), [12.0])


# grad


def test_grad_of_a_cubic():
    """d sum(x^3) / dx = 3 x^2, for outputs that are no scalar too."""
    x = tensor(4, 3)
    np.testing.assert_allclose(numbers(backend.grad(lambda x: x**3, x)), 3 * array(4, 3) ** 2, rtol=1e-5)


def test_grad_of_an_unused_argument_is_zero():
    """A function that ignores x has gradient zero of x's shape."""
    a = variable([1.0])
    np.testing.assert_array_equal(numbers(backend.grad(lambda x: a * 2.0, tensor(2, 3))), np.zeros((2, 3)))
    np.testing.assert_array_equal(numbers(backend.grad(lambda x: ops.ones((2,)), tensor(2, 3))), np.zeros((2, 3)))


def test_grad_of_grad():
    """The second derivative of x^4 is 12 x^2."""
    x = tensor(5)
    second = backend.grad(lambda x: backend.grad(lambda x: x**4, x), x)
    np.testing.assert_allclose(numbers(second), 12 * array(5) ** 2, rtol=1e-5)


def test_grad_of_a_structure():
    """A structure of tensors in gives the same structure of gradients."""
    x = {"a": tensor(3), "b": (tensor(2, 2, seed=1), tensor(3, seed=2))}
    out = backend.grad(lambda x: ops.sum(x["a"] * x["b"][1]) + ops.sum(x["b"][0] ** 2), x)
    np.testing.assert_allclose(numbers(out["a"]), array(3, seed=2))
    np.testing.assert_allclose(numbers(out["b"][1]), array(3))
    np.testing.assert_allclose(numbers(out["b"][0]), 2 * array(2, 2, seed=1), rtol=1e-6)


def test_gradient_penalty_in_closed_form():
    """For f(x) = w.x the penalty (||w|| - 1)^2 has gradient 2 (||w|| - 1) w / ||w|| in w."""
    w = variable([3.0, 4.0])
    x = tensor(6, 2)

    def penalty():
        slope = backend.grad(lambda x: ops.matmul(x, ops.reshape(w, (2, 1))), x)
        return ops.mean((ops.sqrt(ops.sum(slope**2, axis=1)) - 1.0) ** 2)

    value, (dw,) = backend.value_and_grad(penalty, [w])
    assert float(numbers(value)) == pytest.approx(16.0, rel=1e-5)
    np.testing.assert_allclose(numbers(dw), [8 * 0.6, 8 * 0.8], rtol=1e-5)


def test_grad_does_not_detach_its_argument():
    """For x = a^2 and g = d(x^3)/dx = 3 x^2, dg/da = 12 a^3: the path through x counts (path-length penalties)."""
    a = variable([1.5])

    def loss():
        return ops.sum(backend.grad(lambda x: x**3, a**2))

    value, (da,) = backend.value_and_grad(loss, [a])
    assert float(numbers(value)) == pytest.approx(3 * 1.5**4, rel=1e-5)
    np.testing.assert_allclose(numbers(da), [12 * 1.5**3], rtol=1e-5)


def test_only_the_use_of_the_argument_counts():
    """What else of the function depends on x, outside of its argument, is constant to `grad`."""
    x = tensor(3)
    outer = lambda x: ops.sum(backend.grad(lambda u: u * x, x) * ops.ones((3,)))  # noqa: E731
    np.testing.assert_allclose(numbers(backend.grad(outer, x)), np.ones(3))


def test_grad_without_a_tape():
    """Under `no_grad`, and inside `compile`, `grad` still differentiates (Langevin steps sample that way)."""
    x = tensor(3)
    step = lambda x: x - 0.5 * backend.grad(lambda x: x**2, x)  # noqa: E731
    np.testing.assert_allclose(numbers(backend.no_grad(step, x)), np.zeros(3), atol=1e-7)
    np.testing.assert_allclose(numbers(backend.compile(step)(x)), np.zeros(3), atol=1e-7)


# vjp, jvp, no_grad

W1, W2 = array(3, 4, seed=1, scale=0.7), array(4, 2, seed=2, scale=0.7)


def network(x, lib=ops):
    return lib.matmul(lib.tanh(lib.matmul(x, W1)), W2)


def test_vjp_and_jvp_equal_the_numerical_jacobian():
    """u^T J and J t of a small network agree with central differences in float64, and u^T (J t) = (u^T J) t."""
    x, u, t = array(2, 3), array(2, 2, seed=3), array(2, 3, seed=4)
    J = jacobian(lambda x: network(x, np), x.astype("float64"))
    y, pulled = backend.vjp(network, ops.convert_to_tensor(x), u)
    z, pushed = backend.jvp(network, ops.convert_to_tensor(x), t)
    np.testing.assert_allclose(numbers(y), network(x, np), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(numbers(z), network(x, np), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(numbers(pulled).ravel(), u.ravel() @ J, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(numbers(pushed).ravel(), J @ t.ravel(), rtol=1e-4, atol=1e-5)
    assert np.sum(u * numbers(pushed)) == pytest.approx(np.sum(numbers(pulled) * t), rel=1e-4)


@pytest.mark.parametrize("product", ["vjp", "jvp"])
def test_products_are_differentiable(product):
    """For f(x) = w x^2 the products are 2 w x v: their derivative in w is 2 x v, in x it is 2 w v."""
    w, x, v = variable(0.7), tensor(3), tensor(3, seed=1)
    run = lambda x: getattr(backend, product)(lambda x: w * x**2, x, v)[1]  # noqa: E731
    _, (dw,) = backend.value_and_grad(lambda: ops.sum(run(x)), [w])
    dx = backend.grad(run, x)
    np.testing.assert_allclose(numbers(dw), np.sum(2 * array(3) * array(3, seed=1)), rtol=1e-5)
    np.testing.assert_allclose(numbers(dx), 1.4 * array(3, seed=1), rtol=1e-5)


def test_products_of_a_constant_function_are_zero():
    """A function that ignores x has J = 0."""
    x, c = tensor(2, 3), ops.ones((2, 2))
    np.testing.assert_array_equal(numbers(backend.vjp(lambda x: c, x, np.ones((2, 2)))[1]), np.zeros((2, 3)))
    np.testing.assert_array_equal(numbers(backend.jvp(lambda x: c, x, np.ones((2, 3)))[1]), np.zeros((2, 2)))


def test_no_grad_gives_constants():
    """What passed through `no_grad` has no derivative, whatever its structure; the rest keeps its own."""
    a = variable([2.0])

    def loss():
        frozen = backend.no_grad(lambda s: {"square": s * a**2}, 1.0)
        return ops.sum(frozen["square"] * a)

    value, (da,) = backend.value_and_grad(loss, [a])
    assert float(numbers(value)) == 8.0
    np.testing.assert_allclose(numbers(da), [4.0])


# compile


def test_compiled_function_reads_current_values():
    """After `assign`, a compiled function uses the new value, and is not traced again."""
    a, traces = variable([1.0]), []

    def fn(x):
        traces.append(1)
        return a * x

    run = backend.compile(fn, [a])
    first = numbers(run(ops.ones((2,))))
    before = len(traces)
    a.assign([5.0])
    np.testing.assert_allclose(first, [1.0, 1.0])
    np.testing.assert_allclose(numbers(run(ops.ones((2,)))), [5.0, 5.0])
    if keras.config.backend() != "torch":
        assert len(traces) == before


def test_compiled_equals_eager():
    """A network compiled agrees with the same network run eagerly to 1e-6."""
    net = keras.Sequential([layers.Input((3,)), layers.Dense(8, activation="gelu"), layers.Dense(2)])
    x = tensor(5, 3)
    out = backend.compile(lambda x: net(x), lambda: net.variables)(x)
    np.testing.assert_allclose(numbers(out), numbers(net(x)), atol=1e-6)


def test_compiled_function_leaves_no_side_effect():
    """Sampling changes no variable: batch statistics, seeds and metrics are as before."""
    layer, x = Stateful(), tensor(16, 3, seed=1)
    before = [numbers(v) for v in layer.variables]
    run = backend.compile(layer, lambda: layer.variables)
    first, second = numbers(run(x)), numbers(run(x))
    for old, v in zip(before, layer.variables, strict=True):
        np.testing.assert_array_equal(numbers(v), old, err_msg=v.path)
    np.testing.assert_array_equal(first, second)


# apply_gradients


@pytest.mark.parametrize("scoped", [False, True], ids=["eager", "scope"])
def test_apply_gradients_takes_one_step(scoped):
    """SGD with momentum: v <- 0.9 v - 0.1 g, a <- a + v, twice; `iterations` counts two."""
    a = variable([1.0, -1.0])
    sgd = keras.optimizers.SGD(0.1, momentum=0.9)
    sgd.build([a])
    state = [a, *sgd.variables]
    with scope(state) if scoped else contextlib.nullcontext() as opened:
        for _ in range(2):
            backend.apply_gradients(sgd, [ops.convert_to_tensor([1.0, 2.0])])
    if opened is not None:
        for v in state:
            v.assign(opened.get_current_value(v))
    np.testing.assert_allclose(numbers(a), [1 - 0.1 - 0.19, -1 - 0.2 - 0.38], rtol=1e-5)
    assert int(numbers(sgd.iterations)) == 2


def test_an_overflow_skips_the_step_and_halves_the_scale():
    """With loss scaling, a gradient that is not finite moves nothing but the scale."""
    a = variable([1.0])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0)
    optimizer.build([a])
    backend.apply_gradients(optimizer, [ops.convert_to_tensor([np.inf], "float32")])
    assert numbers(a).tolist() == [1.0] and float(numbers(optimizer.dynamic_scale)) == 4.0
    backend.apply_gradients(optimizer, [ops.convert_to_tensor([4.0])])
    np.testing.assert_allclose(numbers(a), [0.9], rtol=1e-6)


def test_an_assignment_between_two_uses():
    """L = sum(a b)|a=1 + sum(a b)|a=3 for an `a` assigned in between: both uses count, at their own values."""
    a, b = variable([1.0]), variable([2.0])

    def loss():
        first = ops.sum(a * b)
        a.assign(a.value * 3.0)
        return first + ops.sum(a * b)

    value, (da, db) = backend.value_and_grad(loss, [a, b])
    assert float(numbers(value)) == 8.0 and numbers(a).tolist() == [3.0]
    np.testing.assert_allclose([numbers(da), numbers(db)], [[4.0], [4.0]])


def test_an_inner_differentiation_sees_what_the_outer_one_wrote():
    """A draw, then the gradient of a function that draws: the second draw follows the first, and both are counted."""
    seed = keras.random.SeedGenerator(3)
    a = variable([1.0])
    draw = lambda: keras.random.normal((4,), seed=seed)  # noqa: E731

    def loss():
        first = draw()
        second = backend.grad(lambda x: x * draw(), ops.ones((4,)))
        return ops.sum(a), (first, second)

    (_, (first, second)), _ = backend.value_and_grad(loss, [a], has_aux=True)
    assert not np.allclose(numbers(first), numbers(second))
    np.testing.assert_array_equal(numbers(seed.state), [3, 2])


def test_a_weight_assigned_inside_of_a_nested_gradient_is_still_differentiated():
    """v <- v / 2, then a loss of a gradient in x: its gradient in v is that of v's new value, as on a tape."""
    kernel = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    x = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(5, 4)).astype("float32"))

    def gradient(start, halve):
        v = keras.Variable(start)

        def score(x):
            if halve:
                v.assign(v.value * 0.5)
            return ops.sum(ops.tanh(ops.matmul(x, ops.convert_to_tensor(v))) ** 2, axis=-1)

        _, (g,) = backend.value_and_grad(lambda: ops.sum(backend.grad(score, x) ** 2), [v])
        return np.array(ops.convert_to_numpy(g))

    expected = gradient(0.5 * kernel, halve=False)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(gradient(kernel, halve=True), expected, rtol=1e-5, atol=1e-5)


# when


def stateful():
    """A function with all that keeps state: moving statistics, a seed, a counter; and its variables."""
    keras.utils.set_random_seed(3)
    norm, noise, counter = layers.BatchNormalization(momentum=0.5), backend.Noise(0), variable(0.0, trainable=False)
    norm.build((None, 3))

    def fn(x):
        counter.assign(counter + 1.0)
        return ops.sum(norm(x, training=True) ** 2, axis=1) + ops.sum(noise.normal((4, 3), dtype="float32"), axis=1)

    return fn, [*norm.variables, noise.state, counter]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("true", [False, True])
def test_when_runs_all_of_a_function_or_nothing(true, compiled):
    """Where the scalar is true: the value, the gradient and every write of the function, once; else not one of them."""
    fn, variables = stateful()
    w, x = variable([1.0, 2.0, 3.0]), tensor(4, 3)
    before = [numbers(v) for v in variables]

    def step(condition):
        def loss():
            return ops.mean(backend.when(condition > 0, lambda: fn(w * x), ops.zeros(4)) + ops.sum(w))

        value, gradients = backend.value_and_grad(loss, [w, *[v for v in variables if v.trainable]])
        return value, gradients, [ops.convert_to_tensor(v.value) for v in variables]

    everything = [w, *variables]
    if compiled:  # its writes stay inside, and are among its results
        value, gradients, after = backend.compile(step, everything)(ops.convert_to_tensor(int(true)))
    else:
        value, gradients, after = step(ops.convert_to_tensor(int(true)))
    value, gradients, after = numbers(value), [numbers(g) for g in gradients], [numbers(v) for v in after]
    if not true:
        assert value == 6.0 and all((g == 0).all() for g in gradients[1:])
        np.testing.assert_array_equal(gradients[0], np.ones(3))
        for a, b in zip(after, before, strict=True):
            np.testing.assert_array_equal(a, b)
        return
    fn, fresh = stateful()
    plain, expected = backend.value_and_grad(lambda: ops.mean(fn(w * x) + ops.sum(w)), [w, *fresh[:2]])
    np.testing.assert_allclose(value, numbers(plain), rtol=1e-5)
    for a, b in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(a, numbers(b), rtol=1e-4, atol=1e-5)
    for a, b in zip(after, fresh, strict=True):
        np.testing.assert_allclose(a, numbers(b), rtol=1e-6)
    assert after[-1] == 1.0


def test_when_around_a_gradient_that_is_differentiated():
    """A gradient penalty inside: L = |d(a x^2)/dx|^2 if true has dL/da = 8 a x^2."""
    a, x = variable(1.5), tensor(4)

    def loss(true):
        squares = lambda: backend.grad(lambda x: a * x**2, x) ** 2  # noqa: E731
        return ops.sum(backend.when(ops.convert_to_tensor(true), squares, ops.zeros(4)))

    for true in (True, False):
        _, (gradient,) = backend.value_and_grad(lambda true=true: loss(true), [a])
        expected = 8 * 1.5 * np.sum(array(4) ** 2) if true else 0.0
        assert float(numbers(gradient)) == pytest.approx(expected, rel=1e-5)
