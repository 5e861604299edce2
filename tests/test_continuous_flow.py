"""Laws of the continuous flow: linear fields against matrix exponentials, Hutchinson's trace, gradients, training."""

import keras
import numpy as np
import pytest
import scipy.linalg
from keras import ops
from keras.src.backend.common import dtypes

from keras_gen import backend
from keras_gen.layers import ContinuousFlow
from keras_gen.models import NormalizingFlow


@pytest.fixture(autouse=True)
def promotion(monkeypatch):
    """Keras's table of promotions is as it was, after each test."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", dtypes.BIT64_TO_BIT32_DTYPE["float64"])


def numpy(*tensors):
    return [ops.convert_to_numpy(t) for t in tensors]


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def compiled(flow, *directions):
    """The methods named, compiled as one."""

    def run(x, condition=None):
        return [getattr(flow, name)(x, condition) for name in directions]

    return backend.compile(run, flow.variables)


def moved(flow, shape, condition=None):
    """`flow`, built, its weights away from their start."""
    flow.build((None, *shape), condition)
    for i, v in enumerate(flow.trainable_variables):
        v.assign(ops.convert_to_numpy(v) + 0.3 * drawn(*v.shape, seed=i))
    return flow


def linear(matrix, **kwargs):
    """The flow of f = A h + 0 t."""
    n = len(matrix)
    network = keras.Sequential([keras.layers.Identity()])
    flow = ContinuousFlow(network, **kwargs)
    flow.build((None, n))
    kernel, bias = flow.trainable_variables
    kernel.assign(np.concatenate([matrix.T, np.zeros((1, n))]))
    bias.assign(np.zeros(n))
    return flow


@pytest.mark.parametrize("options", [{"rtol": 2e-6}, {"solver": "rk4", "steps": 24}])
def test_a_linear_field_is_the_matrix_exponential_and_its_volume_the_trace(options):
    matrix, x = 0.7 * drawn(3, 3), drawn(5, 3, seed=1)
    flow = linear(matrix, time=1.5, **options)
    (z, log_det), back = compiled(flow, "forward_and_log_det", "inverse")(ops.convert_to_tensor(x))
    expected = scipy.linalg.expm(1.5 * matrix.astype("float64"))
    z, back, log_det = numpy(z, back, log_det)
    np.testing.assert_allclose(z, x @ expected.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(back, x @ np.linalg.inv(expected).T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(log_det, 1.5 * np.trace(matrix), rtol=1e-4)


@pytest.mark.parametrize("noise", ["rademacher", "normal"])
def test_hutchinsons_estimate_has_the_exact_trace_as_its_mean_and_its_noise_stays_for_a_solve(noise):
    """Of a linear field the log-determinant is T e^T A e for one e: a mean over events is the trace."""
    matrix = drawn(3, 3)
    flow = linear(matrix, trace="hutchinson", noise=noise, seed=1, solver="rk4", steps=2)
    x = ops.convert_to_tensor(drawn(4000, 3))
    _, log_det = flow.forward_and_log_det(x, training=True)
    symmetric = 0.5 * (matrix + matrix.T)
    off = symmetric - np.diag(np.diag(symmetric)) if noise == "rademacher" else symmetric
    spread = np.sqrt(2.0 * (off**2).sum())  # the standard deviation of e^T A e
    log_det = ops.convert_to_numpy(log_det)
    assert abs(log_det.mean() - np.trace(matrix)) < 4 * spread / np.sqrt(4000)
    assert abs(log_det.std() / spread - 1.0) < 0.1  # drawn anew at each evaluation, it would be a third of it
    _, other = flow.forward_and_log_det(x, training=True)
    assert np.abs(ops.convert_to_numpy(other) - log_det).max() > 0.1


def test_in_one_dimension_rademachers_estimate_is_exact():
    x = ops.convert_to_tensor(drawn(6, 1))
    flow = moved(ContinuousFlow((8,), trace="hutchinson", solver="heun", steps=3), (1,))
    log_dets = numpy(*(flow.forward_and_log_det(x, training=training)[1] for training in (True, False)))
    np.testing.assert_allclose(*log_dets, rtol=1e-5, atol=1e-6)


def test_evaluation_is_deterministic_and_exact_unless_asked_otherwise():
    x = ops.convert_to_tensor(drawn(6, 3))
    flow = moved(ContinuousFlow((8,), trace="hutchinson", solver="heun", steps=3, seed=0), (3,))
    exact = ContinuousFlow((8,), solver="heun", steps=3)
    fixed = ContinuousFlow((8,), trace="hutchinson", evaluation="hutchinson", solver="heun", steps=3, seed=0)
    for other in (exact, fixed):
        other.build((None, 3))
        other.velocity.set_weights(flow.velocity.get_weights())
    first, second, right = numpy(*(f.forward_and_log_det(x)[1] for f in (flow, flow, exact)))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, right)
    z, estimate = fixed.forward_and_log_det(x)
    _, of_part = fixed.forward_and_log_det(x[2:4])
    np.testing.assert_allclose(*numpy(estimate[2:4], of_part), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(*numpy(estimate, -fixed.inverse_and_log_det(z)[1]), atol=1e-2)
    assert np.abs(ops.convert_to_numpy(estimate) - right).max() > 1e-3


def test_the_gradients_of_chosen_steps_are_those_of_fine_given_ones():
    """In the weights, the events and the condition; held step by step, or differentiated through the loop."""
    inputs = [keras.Variable(drawn(4, 2)), keras.Variable(drawn(4, 3, seed=1))]
    chosen = moved(ContinuousFlow((8,), conditional=True), (2,), (None, 3))
    options = {"conditional": True, "solver": "rk4", "steps": 8}
    fine, through = ContinuousFlow((8,), **options), ContinuousFlow((8,), **options, checkpoint=False)
    for flow in (fine, through):
        flow.build((None, 2), (None, 3))
        flow.set_weights(chosen.get_weights())

    def gradients(flow):
        def loss():
            z, log_det = flow.forward_and_log_det(*(ops.convert_to_tensor(v) for v in inputs))
            return ops.sum(z**2) - ops.sum(log_det)

        variables = [*flow.trainable_variables, *inputs]
        run = backend.compile(lambda: backend.value_and_grad(loss, variables)[1], [*flow.variables, *inputs])
        return numpy(*run())

    for of_chosen, of_fine, right in zip(*map(gradients, (chosen, fine, through)), strict=True):
        assert np.abs(right).max() > 1e-3
        np.testing.assert_allclose(of_fine, right, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(of_chosen, right, rtol=2e-3, atol=5e-4)


def test_an_event_depends_on_itself_alone():
    x = drawn(5, 2) * np.array([[0.1], [1.0], [10.0], [1.0], [3.0]], "float32")
    flow = moved(ContinuousFlow((16,), time=3.0), (2,))
    run = compiled(flow, "forward_and_log_det")
    ((z, log_det),) = run(ops.convert_to_tensor(x))
    ((z_part, log_det_part),) = run(ops.convert_to_tensor(x[2:4]))
    np.testing.assert_allclose(*numpy(z[2:4], z_part), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(*numpy(log_det[2:4], log_det_part), rtol=1e-5, atol=1e-5)


def test_events_that_do_not_arrive_are_told_and_stay_finite():
    flow = linear(np.array([[0.0, -300.0], [300.0, 0.0]]), max_steps=10)
    x = np.ones((3, 2), "float32")
    x[1] = 0.0
    assert all(np.isfinite(v).all() for v in numpy(*flow.forward_and_log_det(ops.convert_to_tensor(x))))
    with pytest.raises(RuntimeError, match="2 of 3 examples did not converge.*Raise `max_steps`"):
        flow.check(x)
    accepted, rejected = linear(0.1 * np.eye(2)).check(x)
    assert accepted.shape == rejected.shape == (3,) and (accepted > 0).all()
    with pytest.raises(ValueError, match="`check` expects steps that are chosen"):
        linear(np.eye(2), solver="rk4").check(x)


def test_images_flow_by_a_convolution_with_time_and_condition_as_channels():
    network = keras.Sequential([keras.layers.Conv2D(4, 3, padding="same", activation="tanh")])
    flow = moved(ContinuousFlow(network, conditional=True, solver="rk4", steps=2), (2, 3, 1), (None, 2, 3, 1))
    x, given = ops.convert_to_tensor(drawn(2, 2, 3, 1)), ops.convert_to_tensor(drawn(2, 2, 3, 1, seed=1))
    z, log_det = flow.forward_and_log_det(x, given)
    assert tuple(z.shape) == (2, 2, 3, 1) and tuple(log_det.shape) == (2,)
    np.testing.assert_allclose(*numpy(flow.inverse(z, given), x), atol=1e-2)


def test_a_flow_is_trained_by_fit_and_samples_what_it_has_learnt():
    x = (drawn(256, 2) * [0.3, 1.0] + [1.0, 0.0]).astype("float32")
    flow = ContinuousFlow((8,), solver="midpoint", steps=2, trace="hutchinson", seed=0)
    model = NormalizingFlow((2,), flow)
    model.compile(keras.optimizers.Adam(2e-2))
    losses = model.fit(x, batch_size=64, epochs=4, verbose=0, shuffle=False).history["loss"]
    assert losses[-1] < losses[0] - 0.1
    assert model.sample(3, seed=0).shape == (3, 2)
    assert abs(model.log_prob(x).mean() + losses[-1]) < 0.3


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="XLA is a choice of TensorFlow")
def test_xla_differentiates_given_steps_of_a_batch_of_unknown_size():
    model = NormalizingFlow((2,), ContinuousFlow((4,), solver="heun", steps=2))
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=True)
    assert np.isfinite(model.fit(drawn(8, 2), batch_size=8, verbose=0).history["loss"]).all()


def test_a_call_that_does_not_fit_says_what_was_expected():
    for options, message in (
        ({"trace": "sum"}, r"`trace` as one of \['exact', 'hutchinson'\]"),
        ({"noise": "cauchy"}, "`noise` as one of"),
        ({"solver": "lsoda"}, r"`solver` as one of \['euler'"),
        ({"steps": 0}, "`steps` as a positive integer"),
        ({"time": -1.0}, "`time` as a number above 0"),
        ({"rtol": 1e-12}, "ten times the rounding of float32"),
    ):
        with pytest.raises(ValueError, match=message):
            ContinuousFlow((8,), **options)
    half = keras.Sequential([keras.layers.Dense(4, dtype="mixed_float16")])
    with pytest.raises(ValueError, match="network of float32 at least.*mixed_float16"):
        ContinuousFlow(half).build((None, 2))
