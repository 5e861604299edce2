"""The laws of a bijection, for every entry of the registry: what it maps it finds back, and its volume is right."""

import os
import subprocess
import sys
import zlib

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.backend.common import dtypes

from keras_gen import backend
from keras_gen import layers as kl
from tests.bijection_cases import CASES

BATCH = 6
X64 = keras.config.backend() != "jax" or os.environ.get("JAX_ENABLE_X64") == "1"
CONDITIONED = [name for name, case in CASES.items() if case.condition]


def generator_of(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def made(name, dtype=None):
    """The bijection, built, its weights moved well away from the identity."""
    case, generator = CASES[name], generator_of(name)
    bijection = case.make(**({"dtype": dtype} if dtype else {}))
    given = (None, *case.condition) if case.condition else None
    bijection.build((None, *case.shape), given)
    for v in bijection.trainable_variables:
        v.assign(ops.convert_to_numpy(v) + 0.2 * generator.normal(size=v.shape))
    return bijection


def drawn(name, dtype="float32", latent=False):
    """x (or z) and the condition, tensors."""
    case, generator = CASES[name], generator_of(name + "data")
    shape = (BATCH, *case.shape)
    event = (case.draw_latent if latent else case.draw)(generator, shape)
    given = generator.normal(size=(BATCH, *case.condition)) if case.condition else None
    return (None if value is None else ops.convert_to_tensor(value, dtype) for value in (event, given))


def numpy(*tensors):
    return [ops.convert_to_numpy(t) for t in tensors]


def whole(fn, variables=()):
    """`fn` as one program on JAX, where each operation by itself would be one to compile."""
    return backend.compile(fn, variables) if keras.config.backend() == "jax" else fn


def jacobian_log_det(fn, x):
    """log |det d fn(x) / dx| of each event, by one gradient an output."""
    n = int(np.prod(x.shape[1:]))
    flat = lambda x: ops.reshape(fn(x), (BATCH, n))  # noqa: E731
    gradients = lambda x: [backend.grad(lambda x, i=i: flat(x)[:, i], x) for i in range(n)]  # noqa: E731
    rows = whole(gradients)(x)
    matrices = np.stack([ops.convert_to_numpy(row).reshape(BATCH, n) for row in rows], axis=1)
    return np.linalg.slogdet(matrices.astype("float64"))[1]


@pytest.mark.parametrize("name", CASES)
def test_what_is_mapped_is_found_back_and_the_two_log_dets_cancel(name):
    bijection, tolerance = made(name), CASES[name].tolerance
    x, given = drawn(name)
    z, log_det = bijection.forward_and_log_det(x, given)
    back, inverse_log_det = bijection.inverse_and_log_det(z, given)
    assert tuple(log_det.shape) == tuple(inverse_log_det.shape) == (BATCH,)
    np.testing.assert_allclose(*numpy(back, x), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(*numpy(log_det, -inverse_log_det), rtol=tolerance, atol=tolerance)
    z, given = drawn(name, latent=True)
    np.testing.assert_allclose(
        *numpy(bijection(bijection.inverse(z, given), given), z), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", CASES)
def test_log_det_is_that_of_the_autodiff_jacobian_both_ways(name):
    bijection, tolerance = made(name), CASES[name].tolerance
    x, given = drawn(name)
    expected = jacobian_log_det(lambda x: bijection(x, given), x)
    log_det = bijection.forward_and_log_det(x, given)[1]
    np.testing.assert_allclose(ops.convert_to_numpy(log_det), expected, rtol=tolerance, atol=tolerance)
    z, given = drawn(name, latent=True)
    expected = jacobian_log_det(lambda z: bijection.inverse(z, given), z)
    log_det = bijection.inverse_and_log_det(z, given)[1]
    np.testing.assert_allclose(ops.convert_to_numpy(log_det), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_finite_far_out_of_the_domain(name):
    bijection = made(name)
    _, given = drawn(name)
    far = np.array([-30.0, -3.0, 0.0, 1.0, 3.0, 30.0], "float32").reshape(-1, *[1] * len(CASES[name].shape))
    far = ops.convert_to_tensor(np.broadcast_to(far, (BATCH, *CASES[name].shape)).copy())
    variables = bijection.trainable_variables

    def everything(far):
        """Values and gradients of both directions, in the events and in the weights."""
        found = []
        for direction in (bijection.forward_and_log_det, bijection.inverse_and_log_det):
            total = lambda x, direction=direction: sum(ops.sum(part) for part in direction(x, given))  # noqa: E731
            found += [*direction(far, given), backend.grad(lambda x, total=total: total(x)[None], far)]
            if variables:
                found += backend.value_and_grad(lambda total=total: total(far), variables)[1]
        return found

    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in whole(everything, variables)(far))


@pytest.mark.parametrize("name", CONDITIONED)
def test_the_condition_moves_the_map_and_its_volume(name):
    bijection = made(name)
    x, given = drawn(name)
    first, second = (bijection.forward_and_log_det(x, c) for c in (given, given + 1.0))
    assert all(np.abs(np.subtract(*numpy(a, b))).max() > 1e-3 for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_copy_by_configuration_and_weights_is_the_same_map(name, tmp_path):
    case, bijection = CASES[name], made(name)
    x, given = drawn(name)
    inputs = [keras.Input(case.shape), *([keras.Input(case.condition)] if case.condition else [])]
    model = keras.Model(inputs, bijection(*inputs))
    assert tuple(model.outputs[0].shape[1:]) == bijection.latent_shape(case.shape)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    for mine, other in zip(bijection.forward_and_log_det(x, given), copy.forward_and_log_det(x, given), strict=True):
        np.testing.assert_array_equal(*numpy(mine, other))


@pytest.mark.parametrize("name", CASES)
def test_what_was_loaded_or_has_a_policy_for_its_dtype_can_be_saved(name):
    bijection = CASES[name].make(dtype=keras.DTypePolicy("float32"))
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(bijection))
    assert keras.saving.serialize_keras_object(copy) == keras.saving.serialize_keras_object(bijection)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_events_stay_in_float32_under_a_policy_of_half_precision(name, policy):
    bijection, tolerance = made(name, policy), CASES[name].tolerance
    x, given = drawn(name)
    z, log_det = bijection.forward_and_log_det(x, given)
    assert {keras.backend.standardize_dtype(t.dtype) for t in (z, log_det, bijection(x, given))} == {"float32"}
    np.testing.assert_allclose(*numpy(bijection.inverse(z, given), x), rtol=tolerance, atol=tolerance)


@pytest.mark.skipif(not X64, reason="JAX needs JAX_ENABLE_X64=1: run in a process of its own")
@pytest.mark.parametrize("name", CASES)
def test_in_float64_the_way_back_is_exact_to_1e_10(name, monkeypatch):
    """Of what a solver carries, to 1e-8: its own tolerance is 1e-9, and given steps have a truncation error."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", dtypes.BIT64_TO_BIT32_DTYPE["float64"])
    bijection = made(name, "float64")
    x, given = drawn(name, "float64")
    there = lambda x: bijection.forward_and_log_det(x, given)  # noqa: E731
    z, log_det = whole(there, bijection.variables)(x)
    assert {keras.backend.standardize_dtype(t.dtype) for t in (z, log_det)} == {"float64"}
    tolerance = 1e-8 if name.startswith("continuous") else 1e-10
    back = whole(lambda z: bijection.inverse(z, given), bijection.variables)(z)
    np.testing.assert_allclose(*numpy(back, x), rtol=tolerance, atol=tolerance)


@pytest.mark.skipif(X64, reason="for JAX without x64")
def test_float64_in_a_process_with_x64():
    """On JAX the law holds in a process with 64-bit numbers: of a few maps here; of all with JAX_ENABLE_X64=1."""
    names = " or ".join(f"1e_10[{name}]" for name in ("chain", "autoregressive"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", names, __file__]
    done = subprocess.run(command, env={**os.environ, "JAX_ENABLE_X64": "1"}, capture_output=True, text=True)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout[-3000:]


def test_a_call_that_does_not_fit_says_what_was_expected():
    coupling = kl.AffineCoupling((8,), conditional=True, name="c")
    x, given = ops.ones((4, 3)), ops.ones((4, 2))
    with pytest.raises(ValueError, match="AffineCoupling 'c' expects a condition. Received: none"):
        coupling(x)
    coupling(x, given)
    with pytest.raises(ValueError, match=r"expects events of shape \(batch, 3\). Received: \(4, 5\)"):
        coupling(ops.ones((4, 5)), given)
    with pytest.raises(ValueError, match="one condition an event. Received: 4 events and 3 conditions"):
        coupling.inverse(x, given[:3])
    with pytest.raises(ValueError, match="expects no condition. Received: one"):
        kl.AffineCoupling((8,))(x, given)
    with pytest.raises(ValueError, match="by which nothing would be changed"):
        kl.AffineCoupling((8,)).build((None, 1))
    with pytest.raises(ValueError, match=r"\(height, width, channels\) for mask='checkerboard'"):
        kl.AffineCoupling((8,), "checkerboard").build((None, 4))
    with pytest.raises(ValueError, match="permutation of the last axis, of 3 elements. Received: one of 2"):
        kl.Permutation([1, 0]).build((None, 3))
    with pytest.raises(ValueError, match="features have as many axes"):
        kl.AffineCoupling(keras.layers.Flatten()).build((None, 4, 4, 2))
    with pytest.raises(ValueError, match="Expected each bijection once"):
        kl.Chain([coupling, coupling])


def test_a_number_is_an_event_of_an_elementwise_map():
    """Events without an axis, `(batch,)`, are scaled and shifted as others are."""
    affine, x = kl.ElementwiseAffine(), ops.convert_to_tensor([1.0, -2.0, 0.5])
    affine.build((None,))
    affine.raw.assign([0.3, 1.0])
    z, log_det = affine.forward_and_log_det(x)
    np.testing.assert_allclose(*numpy(affine.inverse(z), x), atol=1e-6)
    assert tuple(z.shape) == tuple(log_det.shape) == (3,)


def test_a_log_scale_is_bounded_and_the_bound_is_reached():
    x = ops.ones((1, 2))
    for bound in (0.5, 3.0):
        _, log_slope = kl.AffineTransform(bound).forward(x, 1e3 * ops.ones((1, 2, 2)))
        np.testing.assert_allclose(ops.convert_to_numpy(log_slope), bound, rtol=1e-6)
    _, log_slope = kl.AffineTransform(None).forward(x, 10.0 * ops.ones((1, 2, 2)))
    np.testing.assert_allclose(ops.convert_to_numpy(log_slope), 10.0)


def test_raw_parameters_of_zero_are_the_identity():
    x = ops.convert_to_tensor(np.linspace(-4, 4, 41, dtype="float32"))
    for transform in (kl.AffineTransform(), kl.AdditiveTransform(), kl.SplineTransform(5)):
        z, log_slope = transform.forward(x, ops.zeros((41, transform.size)))
        np.testing.assert_allclose(*numpy(z, x), atol=1e-6)
        np.testing.assert_allclose(ops.convert_to_numpy(log_slope), 0.0, atol=1e-6)


def test_act_norm_is_set_once_by_its_first_batch_and_never_again_after_a_load(tmp_path):
    generator = np.random.default_rng(0)
    x = (generator.normal(size=(64, 3, 2)) * [3.0, 0.01] + [5.0, -1.0]).astype("float32")
    x = np.concatenate([x, np.full((64, 3, 1), 7.0, "float32")], axis=-1)  # a constant channel
    layer = kl.ActNorm()
    z = ops.convert_to_numpy(layer.initialize(x))
    np.testing.assert_allclose(z.mean((0, 1)), 0.0, atol=1e-4)
    np.testing.assert_allclose(z.std((0, 1)), [1.0, 1.0, 0.0], atol=1e-4)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.initialize(x + 1.0)), ops.convert_to_numpy(layer(x + 1.0)))
    model = keras.Sequential([keras.Input((3, 3)), layer])
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    np.testing.assert_array_equal(*numpy(copy.initialize(5.0 * x), layer(5.0 * x)))


def test_a_chain_is_initialised_part_by_part():
    x = 5.0 + 3.0 * np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    chain = kl.Chain([kl.ActNorm(), kl.AffineCoupling((8,)), kl.ActNorm()])
    z = ops.convert_to_numpy(chain.initialize(x))
    np.testing.assert_allclose([z.mean(0), z.std(0)], [[0.0] * 4, [1.0] * 4], atol=1e-4)


def test_an_inverse_is_initialised_by_what_comes_to_its_other_side():
    x = 5.0 + 3.0 * np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    for make in (kl.ActNorm, lambda: kl.Chain([kl.ActNorm(), kl.Inverse(kl.ActNorm()), kl.AffineCoupling((8,))])):
        inverse = kl.Inverse(make())
        z = ops.convert_to_numpy(inverse.initialize(x))
        np.testing.assert_allclose([z.mean(0), z.std(0)], [[0.0] * 4, [1.0] * 4], atol=1e-4)
        np.testing.assert_array_equal(z, ops.convert_to_numpy(inverse(x)))
        np.testing.assert_array_equal(*numpy(inverse.initialize(x + 1.0), inverse(x + 1.0)))


def test_batch_normalisation_of_a_flow_uses_the_batch_in_training_and_moving_moments_after():
    x = 5.0 + 3.0 * np.random.default_rng(0).normal(size=(256, 2)).astype("float32")
    layer = kl.FlowBatchNormalization(momentum=0.5)
    z = ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_allclose([z.mean(0), z.std(0)], [[0.0] * 2, [1.0] * 2], atol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean), 0.5 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_variance), 0.5 + 0.5 * x.var(0), rtol=1e-4)


def test_a_kept_inverse_is_never_stale_and_has_the_gradient_of_the_true_one():
    layer, z = kl.Invertible1x1Conv("full", seed=0), ops.convert_to_tensor(np.eye(3, dtype="float32"))
    layer(z)
    for refreshed in (False, True):
        layer.linear.kernel.assign(ops.convert_to_numpy(layer.linear.kernel) + 0.1 * np.arange(9.0).reshape(3, 3))
        layer.refresh() if refreshed else None
        w = ops.convert_to_numpy(layer.linear.kernel)
        np.testing.assert_allclose(ops.convert_to_numpy(layer.inverse(z)), np.linalg.inv(w).T, atol=1e-5)
        _, (gradient,) = backend.value_and_grad(lambda: ops.sum(layer.inverse(z)), [layer.linear.kernel])
        c = np.linalg.inv(w)
        np.testing.assert_allclose(ops.convert_to_numpy(gradient), -(c.T @ np.ones((3, 3)) @ c.T), atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_plu_begins_as_the_rotation_that_its_factors_were_made_of(size):
    from keras_gen.layers.invertible.linear import random_rotation

    x = np.eye(size, dtype="float32")
    w = ops.convert_to_numpy(kl.Invertible1x1Conv("plu", seed=5)(x)).T
    np.testing.assert_allclose(w, random_rotation(size, 5), atol=1e-5)
    np.testing.assert_allclose(w @ w.T, np.eye(size), atol=1e-5)


def test_planar_and_radial_stay_invertible_whatever_their_parameters():
    x = 2.0 * np.random.default_rng(0).normal(size=(200, 2)).astype("float32")
    for layer in (kl.Planar(), kl.Radial()):
        layer(x)
        for seed in range(3):
            layer.raw.assign(4.0 * np.random.default_rng(seed).normal(size=layer.raw.shape))
            z, log_det = layer.forward_and_log_det(x)
            assert np.isfinite(ops.convert_to_numpy(log_det)).all()
            np.testing.assert_allclose(ops.convert_to_numpy(layer.inverse(z)), x, atol=2e-3)


def test_logit_refuses_data_out_of_its_domain_and_names_the_remedy():
    with pytest.raises(ValueError, match=r"Logit expects data in \[0, 1\]. Received: 2 values outside.*256"):
        kl.Chain([kl.Logit(), kl.Sigmoid()]).validate(np.array([[0.5, 2.0], [-1.0, 0.0]]))


@pytest.mark.parametrize("make, border", [(kl.Exp, 0.0), (kl.Softplus, 0.0), (kl.Sigmoid, 1.0), (kl.Tanh, -1.0)])
def test_an_inverse_refuses_data_that_its_bijection_does_not_reach(make, border):
    for bijection in (kl.Inverse(make()), kl.Chain([kl.Inverse(kl.Chain([kl.LeakyReLU(), make()])), kl.Logit()])):
        bijection.validate(np.array([0.5, 0.25]))
        with pytest.raises(ValueError, match=f"inverse of {make.__name__} expects data in .*1 values outside"):
            bijection.validate(np.array([0.5, border]))
    kl.Inverse(kl.Logit()).validate(np.array([-5.0, 5.0]))
    with pytest.raises(ValueError, match="Logit expects"):
        kl.Inverse(kl.Inverse(kl.Logit())).validate(np.array([-5.0, 5.0]))


def test_a_convolution_drawn_without_a_seed_is_the_same_after_its_weights_are_put_back():
    x = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    for kind in ("plu", "full"):
        one, other = (kl.Invertible1x1Conv(kind) for _ in range(2))
        z, _ = one(x), other(x)
        other.set_weights(one.get_weights())
        np.testing.assert_array_equal(*numpy(other(x), z))
        np.testing.assert_allclose(ops.convert_to_numpy(other.inverse(z)), x, atol=1e-5)


def test_an_order_may_be_an_array_and_must_be_of_whole_numbers():
    z = kl.Permutation(np.array([2, 0, 1]))(ops.convert_to_tensor([[0.0, 1.0, 2.0]]))
    assert ops.convert_to_numpy(z)[0].tolist() == [2.0, 0.0, 1.0]
    with pytest.raises(ValueError, match="permutation of 0"):
        kl.Permutation([0.2, 1.9])
    for order in ([1.0, 0.0], [True, False]):
        with pytest.raises(ValueError, match="permutation of 0"):
            kl.Permutation(order)
