"""Masked autoregressive maps, and bijections of other libraries: the same weights give the same numbers."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend
from keras_gen import layers as kl
from keras_gen.layers.masked import hidden_degrees, made_masks

GOLDEN = np.load(Path(__file__).parent / "golden" / "flows.npz")


def golden(prefix):
    return {k.removeprefix(f"{prefix}_"): GOLDEN[k] for k in GOLDEN.files if k.startswith(f"{prefix}_")}


def moved(bijection, *shapes):
    bijection.build(*shapes)
    generator = np.random.default_rng(0)
    for v in bijection.trainable_variables:
        v.assign(ops.convert_to_numpy(v) + 0.3 * generator.normal(size=v.shape))
    return bijection


def numpy(*tensors):
    return [ops.convert_to_numpy(t) for t in tensors]


@pytest.mark.parametrize("order", ["natural", "reverse", "random", [2, 0, 3, 1]])
def test_an_output_sees_what_comes_before_it_and_all_of_it(order):
    bijection = moved(kl.MaskedAutoregressive((24, 24), order=order, activation="tanh", seed=2), (None, 4))
    x = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(1, 4)).astype("float32"))
    rows = [ops.convert_to_numpy(backend.grad(lambda x, i=i: bijection(x)[:, i], x))[0] for i in range(4)]
    ranks = bijection.ranks
    np.testing.assert_array_equal(np.abs(rows) > 1e-7, ranks[None, :] <= ranks[:, None])


@pytest.mark.parametrize(
    ("size", "units", "conditional"),
    [(5, (12, 8), True), (7, (3, 4), False), (7, (2,), True), (1, (4, 4), False), (1, (4,), True)],
)
def test_the_cached_inverse_is_the_naive_one(size, units, conditional):
    given = (None, 2) if conditional else None
    bijection = kl.MaskedAutoregressive(units, "spline", "random", conditional, seed=3)
    moved(bijection, (None, size), given)
    generator = np.random.default_rng(0)
    z = generator.normal(size=(6, size)).astype("float32")
    c = generator.normal(size=(6, 2)).astype("float32") if conditional else None
    cached, naive = bijection.inverse_and_log_det(z, c), bijection.naive_inverse_and_log_det(z, c)
    for a, b in zip(cached, naive, strict=True):
        np.testing.assert_allclose(*numpy(a, b), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX traces a step once, whatever their number")
@pytest.mark.parametrize(("size", "units", "most"), [(8, (64, 64), 1.5), (24, (64, 64), 1.5), (24, (16, 16), 2.3)])
def test_the_inverse_takes_the_multiplications_of_about_one_pass(size, units, most, monkeypatch):
    bijection, product, count = kl.MaskedAutoregressive(units), ops.matmul, []

    def matmul(a, b):
        count.append(int(np.prod(a.shape)) * int(b.shape[-1]))
        return product(a, b)

    bijection.build((None, size))
    monkeypatch.setattr(ops, "matmul", matmul)
    sums = []
    for way in (bijection.forward_and_log_det, bijection.inverse_and_log_det, bijection.naive_inverse_and_log_det):
        count.clear()
        way(np.zeros((2, size), "float32"))
        sums.append(sum(count))
    forward, cached, naive = sums
    assert naive == (size + 1) * forward and cached <= most * forward


@pytest.mark.skipif(keras.config.backend() != "jax", reason="reads JAX's program")
def test_the_inverse_is_one_compiled_loop_of_one_step_a_number():
    import jax

    bijection = kl.MaskedAutoregressive((6, 6))
    bijection.build((None, 9))
    program = jax.make_jaxpr(bijection.inverse_and_log_det)(np.zeros((2, 9), "float32"))
    loops = [e for e in program.eqns if e.primitive.name in ("scan", "while")]
    assert [e.params.get("length") for e in loops] == [9]


def test_the_inverse_has_the_gradient_of_the_implicit_function():
    bijection = moved(kl.MaskedAutoregressive((8,), activation="tanh"), (None, 3))
    z = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(5, 3)).astype("float32"))
    weights = bijection.trainable_variables
    _, found = backend.value_and_grad(lambda: ops.sum(bijection.inverse(z)), weights)
    x = ops.stop_gradient(bijection.inverse(z))
    rows = [ops.convert_to_numpy(backend.grad(lambda x, i=i: bijection(x)[:, i], x)) for i in range(3)]
    ones = np.linalg.solve(np.swapaxes(np.stack(rows, 1), 1, 2), np.ones((5, 3, 1)))[..., 0]
    ones = ops.convert_to_tensor(ones.astype("float32"))
    _, forward = backend.value_and_grad(lambda: -ops.sum(ones * bijection(x)), weights)
    for a, b in zip(found, forward, strict=True):
        np.testing.assert_allclose(*numpy(a, b), rtol=1e-3, atol=1e-4)


def test_degrees_are_spread_evenly_and_masks_compose_to_strictly_below():
    assert hidden_degrees(4, 6, False).tolist() == [1, 1, 2, 2, 3, 3]
    assert hidden_degrees(4, 8, True).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert hidden_degrees(9, 2, False).tolist() == [1, 5]
    masks = made_masks(np.arange(5), [hidden_degrees(5, 8, False), hidden_degrees(5, 12, False)])
    paths = np.linalg.multi_dot([m.astype(int) for m in masks])
    np.testing.assert_array_equal(paths > 0, np.arange(5)[:, None] < np.arange(5)[None])


@pytest.mark.parametrize("order", [[0, 0, 1], [1, 2, 3], [0.0, 1.0], [[0, 1]], [], "backwards", None, 3])
def test_an_order_that_is_no_permutation_is_named(order):
    with pytest.raises(ValueError, match="Expected `order` as .* permutation of 0, ..., D - 1. Received: order="):
        kl.MaskedAutoregressive(order=order)


def test_an_order_may_be_an_array_and_has_to_fit_the_event():
    bijection = kl.MaskedAutoregressive(order=np.array([1, 0, 2]))
    assert bijection.get_config()["order"] == [1, 0, 2]
    with pytest.raises(ValueError, match=r"ranks of the 4 numbers of an event.*Received: order=\[1, 0, 2\]"):
        bijection.build((None, 4))


@pytest.mark.parametrize("shape", [(None, 28, 28, 1), (None, None), (None, 0), (None,)])
def test_events_that_are_no_vectors_are_named(shape):
    with pytest.raises(ValueError, match=r"expects vectors \(batch, D\).*Flatten"):
        kl.MaskedAutoregressive().build(shape)


def test_bad_input_is_named():
    for units in (8.5, (0,), ("a",), None):
        with pytest.raises(ValueError, match="Expected `units` as a tuple of positive integers"):
            kl.MaskedAutoregressive(units)
    with pytest.raises(ValueError, match="at least one hidden layer"):
        kl.MaskedAutoregressive(())
    for seed in (-1, 1.5):
        with pytest.raises(ValueError, match="Expected `seed` as an int >= 0"):
            kl.MaskedAutoregressive(order="random", seed=seed)
    for mask in ([[0, 2]], [], [["a"]], None, np.zeros((0, 3))):
        with pytest.raises(ValueError, match="Expected `mask` as a matrix"):
            kl.MaskedDense(mask)
    with pytest.raises(ValueError, match="MaskedDense expects 1 inputs"):
        kl.MaskedDense([[0, 1]]).build((None, 3))


# Other libraries' numbers: `benchmarks/golden_flows.py` says how they were made.


class SoftsignAffine(kl.Transform):
    """zuko's: log-scale a / (1 + |a / log 1e-3|), raw parameters (t, a)."""

    size = 2

    def forward(self, x, raw):
        t, s = self.parts(raw)
        return x * ops.exp(s) + t, s

    def inverse(self, z, raw):
        t, s = self.parts(raw)
        return (z - t) * ops.exp(-s), -s

    def parts(self, raw):
        return raw[..., 0], raw[..., 1] / (1 + ops.abs(raw[..., 1] / np.log(1e-3)))


class SigmoidAffine(kl.Transform):
    """nflows's: scale sigmoid(a + 2) + 1e-3, raw parameters (a, t)."""

    size = 2

    def forward(self, x, raw):
        scale = ops.sigmoid(raw[..., 0] + 2) + 1e-3
        return x * scale + raw[..., 1], ops.log(scale)


def test_the_spline_of_nflows():
    g = golden("spline")
    spline, raw = kl.SplineTransform(5), g["raw"].copy()
    raw[:, 10:] -= np.log(np.expm1(1 - 1e-3))  # there a raw slope of 0 is softplus(0)
    z, log_slope = spline.forward(ops.convert_to_tensor(g["x"]), ops.convert_to_tensor(raw))
    np.testing.assert_allclose(ops.convert_to_numpy(z), g["z"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(log_slope), g["log_slope"], rtol=1e-4, atol=1e-4)


def test_the_masked_autoregressive_map_of_zuko():
    g = golden("maf")
    bijection = kl.MaskedAutoregressive((6, 9), SoftsignAffine(), conditional=True)
    bijection.build((None, 3), (None, 2))
    degrees = [g["mask_0"][:, :3].sum(1), None]
    sorts = [np.argsort(degrees[0], kind="stable")]
    degrees[1] = np.array([degrees[0][row.astype(bool)].max() for row in g["mask_1"]])
    sorts.append(np.argsort(degrees[1], kind="stable"))
    for found, unsorted in zip(bijection.degrees, degrees, strict=True):
        np.testing.assert_array_equal(found, np.sort(unsorted))
    first, second, last = (g[f"weight_{i}"] for i in range(3))
    bijection.dense[0].kernel.assign(first[sorts[0], :3].T)
    bijection.of_condition.kernel.assign(first[sorts[0], 3:].T)
    bijection.dense[1].kernel.assign(second[sorts[1]][:, sorts[0]].T)
    bijection.to_raw.kernel.assign(last[:, sorts[1]].T)
    bijection.dense[0].bias.assign(g["bias_0"][sorts[0]])
    bijection.dense[1].bias.assign(g["bias_1"][sorts[1]])
    bijection.to_raw.bias.assign(g["bias_2"])
    z, log_det = bijection.forward_and_log_det(g["x"], g["condition"])
    np.testing.assert_allclose(ops.convert_to_numpy(z), g["z"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(log_det), g["log_det"], rtol=1e-5, atol=1e-5)
    x, log_det = bijection.inverse_and_log_det(g["z"], g["condition"])
    np.testing.assert_allclose(ops.convert_to_numpy(x), g["x"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(log_det), -g["log_det"], rtol=1e-5, atol=1e-5)


def test_the_affine_coupling_of_nflows():
    g = golden("coupling")
    coupling = kl.Coupling((7,), SigmoidAffine())
    coupling.build((None, 5))
    hidden, to_raw = coupling.conditioner.network.layers[-1], coupling.conditioner.to_raw
    hidden.kernel.assign(g["weight_0"].T)
    hidden.bias.assign(g["bias_0"])
    order = [2, 0, 3, 1]  # there all t, then all a
    to_raw.kernel.assign(g["weight_1"].T[:, order])
    to_raw.bias.assign(g["bias_1"][order])
    z, log_det = coupling.forward_and_log_det(g["x"])
    np.testing.assert_allclose(ops.convert_to_numpy(z), g["z"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(log_det), g["log_det"], rtol=1e-5, atol=1e-5)


def test_the_convolution_of_nflows():
    g = golden("convolution")
    layer = kl.Invertible1x1Conv("full", seed=0)
    layer.build((None, *g["x"].shape[1:]))
    layer.linear.kernel.assign(g["weight"])
    z, log_det = layer.forward_and_log_det(g["x"])
    np.testing.assert_allclose(ops.convert_to_numpy(z) + g["bias"], g["z"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(log_det), g["log_det"], rtol=1e-4, atol=1e-4)


def test_keras_saves_a_transform_of_ones_own():
    config = keras.saving.serialize_keras_object(kl.Coupling((7,), kl.SplineTransform(5)))
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.transform.get_config() == kl.SplineTransform(5).get_config()
