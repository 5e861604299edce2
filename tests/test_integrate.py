"""Laws of the solvers: orders of convergence, tolerances honoured, examples apart, gradients that are exact."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.backend.common import dtypes

from keras_gen import backend, integrate

X64 = keras.config.backend() != "jax"
DTYPE = "float64" if X64 else "float32"
TOLERANCES = [1e-3, 1e-5, *([1e-10] if X64 else [])]


@pytest.fixture(autouse=True)
def promotion(monkeypatch):
    """Keras's table of promotions is as it was, after each test."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", dtypes.BIT64_TO_BIT32_DTYPE["float64"])


def numpy(*tensors):
    return [ops.convert_to_numpy(t) for t in tensors]


def tensor(x, dtype="float32"):
    return ops.convert_to_tensor(np.asarray(x, dtype))


def logistic(t, y, rate=1.0):
    """dy/dt = rate cos(t) y (1 - y)."""
    return rate * ops.cos(t)[:, None] * y * (1.0 - y)


def logistic_solution(y, t, rate=1.0):
    """The logit of y has moved by rate sin t."""
    return 1.0 / (1.0 + (1.0 / y - 1.0) * np.exp(-rate * np.sin(t)))


def spiral(t, state):
    """A structure: "a" and "b" turn about each other, damped by 0.1."""
    a, (b,) = state["a"], state["b"]
    return {"a": -0.1 * a - b, "b": (a - 0.1 * b,)}


def spiral_solution(a, b, t):
    return np.exp(-0.1 * t) * np.stack([np.cos(t) * a - np.sin(t) * b, np.sin(t) * a + np.cos(t) * b])


def drawn(*shape):
    return np.random.default_rng(0).normal(size=shape)


def solved(fn, state, *args, **options):
    """An adaptive solution, compiled, as numpy: state, success, accepted, rejected."""
    parameters = options.pop("parameters", ())
    run = backend.compile(lambda state, *p: tuple(integrate.solve_adaptive(fn, state, *args, parameters=p, **options)))
    return keras.tree.map_structure(ops.convert_to_numpy, run(state, *parameters))


@pytest.mark.parametrize("method, stop", list(zip(integrate.METHODS, [2.0, -2.0] * 3, strict=False)))
def test_the_error_falls_with_the_order_of_the_method(method, stop):
    order, y = integrate.METHODS[method].order, np.linspace(0.1, 0.9, 8)[:, None]
    few = {1: 64, 2: 32, 4: 12, 5: 20}[order] if X64 else {1: 64, 2: 8, 4: 3, 5: 2}[order]
    errors = []
    for steps in (few, 2 * few):
        times = np.linspace(0, stop, steps + 1)
        end = backend.compile(lambda y, t=times: integrate.solve_fixed(logistic, y, t, method))(tensor(y, DTYPE))
        errors.append(np.sqrt(np.mean((ops.convert_to_numpy(end) - logistic_solution(y, stop)) ** 2)))
    measured = np.log2(errors[0] / errors[1])
    assert abs(measured - order) < (0.35 if X64 else 1.0)


@pytest.mark.parametrize("rtol", TOLERANCES)
def test_the_error_stays_within_a_small_factor_of_the_tolerance(rtol):
    y, dtype = np.linspace(0.1, 0.9, 8)[:, None], DTYPE if rtol < 1e-6 else "float32"
    end, success, *_ = solved(logistic, tensor(y, dtype), 0.0, -3.0, rtol=rtol, atol=rtol)
    assert success.all() and 1e-4 * rtol < np.abs(end - logistic_solution(y, -3.0)).max() < 10 * rtol


def test_a_state_is_a_structure_and_time_begins_anywhere():
    a, b = drawn(2, 4, 3)
    end, *_ = solved(spiral, {"a": tensor(a), "b": (tensor(b),)}, 1.0, 6.0)
    assert np.abs(np.stack([end["a"], end["b"][0]]) - spiral_solution(a, b, 5.0)).max() < 1e-4


def test_an_example_depends_on_itself_alone_and_a_rough_one_takes_more_steps():
    rates = np.array([0.1, 3.0, 30.0, 1.0], "float32")

    def solve(rows):
        field = lambda t, y, rate: logistic(t, y, rate[:, None])  # noqa: E731
        y = tensor(np.full((len(rows), 1), 0.3))
        return solved(field, y, 0.0, 2.0, parameters=(tensor(rates[rows]),))

    whole = solve([0, 1, 2, 3])
    for rows in ([2], [3, 1]):
        for of_whole, of_part in zip(whole, solve(rows), strict=True):
            np.testing.assert_allclose(of_whole[rows], of_part, rtol=1e-6, atol=1e-7)
    accepted = whole[2]
    assert accepted[0] < accepted[1] < accepted[2]


def test_the_gradient_of_the_adaptive_solver_is_that_of_the_closed_form_and_of_a_fine_fixed_one():
    y, rate = tensor(np.linspace(0.1, 0.9, 5)[:, None]), tensor(np.linspace(0.5, 2.0, 5)[:, None])
    options = {"stop": 2.0, "rtol": 1e-5, "atol": 1e-5}

    def adaptive(inputs):
        solution = integrate.solve_adaptive(logistic, inputs[0], **options, parameters=(inputs[1],))
        return ops.square(solution.state)

    def fixed(inputs):
        field = lambda t, y: logistic(t, y, inputs[1])  # noqa: E731
        return ops.square(integrate.solve_fixed(field, inputs[0], np.linspace(0, 2, 41)))

    y_, r_ = numpy(y, rate)
    end = logistic_solution(y_, 2.0, r_)
    slope = 2 * end * end * (1 - end)  # of the square, in the logit of the end
    expected = slope / (y_ * (1 - y_)), slope * np.sin(2.0)
    for fn in (adaptive, fixed):
        run = backend.compile(lambda y, rate, fn=fn: backend.grad(fn, [y, rate]))
        for gradient, right in zip(numpy(*run(y, rate)), expected, strict=True):
            np.testing.assert_allclose(gradient, right, rtol=1e-3, atol=1e-4)


def test_the_gradient_is_that_of_the_steps_that_were_made():
    """Of a linear equation, coarsely solved, with a relative tolerance alone: the steps do not depend on the scale of
    y, so that the end is linear in y, wrong though it is."""
    y = tensor([[0.9], [-0.4]])

    def end(y):
        field = lambda t, y: 2.0 * ops.cos(3.0 * t)[:, None] * y  # noqa: E731
        return integrate.solve_adaptive(field, y, stop=3.0, rtol=0.1, atol=1e-20).state

    run = backend.compile(lambda y: (backend.grad(end, y), end(y) / y))
    gradient, ratio, truth = *numpy(*run(y)), np.exp(2 / 3 * np.sin(9.0))
    np.testing.assert_allclose(gradient, ratio, rtol=1e-5)
    assert np.abs(ratio / truth - 1).min() > 1e-3


def test_compiled_and_eager_are_the_same():
    y, options = tensor(np.linspace(0.1, 0.9, 6)[:, None]), {"stop": 0.5, "rtol": 1e-3, "atol": 1e-3}
    adaptive = lambda y: integrate.solve_adaptive(logistic, y, **options).state  # noqa: E731
    fixed = lambda y: integrate.solve_fixed(logistic, y, np.linspace(0, 2, 3), "heun")  # noqa: E731
    run = lambda y: (adaptive(y), fixed(y), backend.grad(adaptive, y), backend.grad(fixed, y))  # noqa: E731
    for compiled, eager in zip(backend.compile(run)(y), run(y), strict=True):
        np.testing.assert_allclose(*numpy(compiled, eager), rtol=1e-5)


def test_an_example_that_does_not_converge_stays_finite_and_says_so():
    """Of five examples one is smooth, and arrives beside a rough one, one without a solution, two with NaN."""
    fields = [
        lambda t, y: y,
        lambda t, y: 1e4 * ops.cos(1e4 * t) + 0.0 * y,
        lambda t, y: y * y,  # infinite at t = 1 / y
        lambda t, y: ops.sqrt(0.5 - t) * y,  # NaN after 0.5
        lambda t, y: float("nan") * y,
    ]

    def solve(y):
        field = lambda t, y: ops.stack([f(t[i], y[i]) for i, f in enumerate(fields)])  # noqa: E731
        return integrate.solve_adaptive(field, y, max_steps=30)

    end = lambda y: solve(y).state  # noqa: E731
    run = backend.compile(lambda y: (*solve(y), backend.grad(end, y)))
    *parts, gradient = run(tensor([[2.0, 3.0]] * 5))
    solution = integrate.Solution(*parts)
    np.testing.assert_array_equal(*numpy(solution.success), [True, False, False, False, False])
    assert all(np.isfinite(v).all() for v in numpy(solution.state, gradient))
    assert (np.add(*numpy(solution.accepted, solution.rejected)) <= 30).all()
    with pytest.raises(RuntimeError, match="4 of 5 examples did not converge, the first of them example 1, .*steps"):
        solution.check()


def test_no_time_and_no_movement_cost_nothing():
    y = drawn(3, 2).astype("float32")
    same, still = solved(lambda t, y: y, tensor(y), 1.0, 1.0), solved(lambda t, y: 0.0 * y, tensor(y))
    for end, success, accepted, _ in (same, still):
        np.testing.assert_array_equal(end, y)
        assert success.all() and (accepted < 10).all()
    assert not same[2].any()


def test_a_call_that_does_not_fit_says_what_was_expected():
    y, field = ops.ones((2, 3)), lambda t, y: y
    with pytest.raises(ValueError, match=r"Expected `method` as one of \['euler'.*Received: 'rk5'"):
        integrate.solve_fixed(field, y, [0, 1], "rk5")
    for times in ([0.0], [0.0, 1.0, 0.5], [0.0, float("nan")], 3.0):
        with pytest.raises(ValueError, match="`times` as two or more finite numbers that rise or fall"):
            integrate.solve_fixed(field, y, times)
    with pytest.raises(ValueError, match="slopes of the shapes of the state"):
        integrate.solve_fixed(lambda t, y: y[:, :2], y, [0, 1])
    with pytest.raises(ValueError, match="ten times the rounding of float32"):
        integrate.solve_adaptive(field, y, rtol=1e-8)
    with pytest.raises(ValueError, match="`atol` above 0"):
        integrate.solve_adaptive(field, y, atol=0.0)
    with pytest.raises(ValueError, match="state in float32 or float64"):
        integrate.solve_adaptive(field, ops.ones((2, 3), "float16"))
    with pytest.raises(ValueError, match="`max_steps` as an integer of at least 1"):
        integrate.solve_adaptive(field, y, max_steps=0)
    with pytest.raises(ValueError, match="floating tensors .* of one dtype"):
        integrate.solve_fixed(field, ops.ones((2, 3), "int32"), [0, 1])
