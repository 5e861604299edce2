"""Normalizing flows as models: exact densities, conditions, data-dependent layers, grey levels."""

import os

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from keras_gen import distributions, layers, random
from keras_gen.models import NICE, NormalizingFlow, RealNVP

X64 = keras.config.backend() != "jax" or os.environ.get("JAX_ENABLE_X64") == "1"


def coupling_flow(event=2, **kwargs):
    steps = [
        layers.ActNorm(), layers.SplineCoupling((16,), bins=4), layers.Permutation("swap"),
        layers.AffineCoupling((16,)),
    ]  # fmt: skip
    return NormalizingFlow((event,), steps, seed=0, **kwargs)


def two_moons(n=512, seed=0):
    generator = np.random.default_rng(seed)
    angle, side = generator.uniform(0, np.pi, n), generator.integers(0, 2, n)
    x = np.stack([np.cos(angle) - 0.5 + side, np.sin(angle) - 2 * side * np.sin(angle)], axis=1)
    return (3.0 + 2.0 * (x + 0.05 * generator.normal(size=(n, 2)))).astype("float32"), side.astype("int32")


def test_a_transformed_normal_is_the_log_normal_and_the_logit_normal_of_scipy():
    x = np.linspace(0.05, 0.95, 7, dtype="float32")[:, None]
    normal = distributions.Normal([0.3], 0.8, event_shape=(1,))
    log, logit = layers.Inverse(layers.Exp()), layers.Inverse(layers.Sigmoid())
    for bijection in (log, logit):
        bijection.build((None, 1))
    p = distributions.Transformed(normal, log)
    expected = scipy.stats.lognorm(0.8, scale=np.exp(0.3)).logpdf(x[:, 0])
    np.testing.assert_allclose(ops.convert_to_numpy(p.log_density(x)), expected, rtol=1e-5, atol=1e-5)
    z = np.log(x / (1 - x))
    expected = scipy.stats.norm(0.3, 0.8).logpdf(z) - np.log(x * (1 - x))
    p = distributions.Transformed(normal, logit)
    np.testing.assert_allclose(ops.convert_to_numpy(p.log_density(x)), expected[:, 0], rtol=1e-5, atol=1e-5)


def test_a_draw_knows_its_density_without_the_way_forward():
    flow = coupling_flow()
    p = distributions.Transformed(distributions.Normal(np.zeros(2), 1.0, event_shape=(2,)), flow.bijection)
    for q in (p, flow):
        x, log_p = q.generate_and_log_density(random.keys(0, 64))
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (log_p, q.log_density(x))), atol=1e-4)


def test_a_flow_fits_moons_better_than_a_normal_and_its_density_integrates_to_one():
    x, _ = two_moons()
    model = coupling_flow()
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(x, batch_size=128, epochs=15, verbose=0, seed=0)
    fitted = scipy.stats.multivariate_normal(x.mean(0), np.cov(x.T)).logpdf(x).mean()
    assert model.log_prob(x).mean() > fitted + 0.2
    line = np.linspace(-10, 16, 400, dtype="float32")
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    total = np.exp(model.log_prob(grid, batch_size=20000).astype("float64")).sum() * (line[1] - line[0]) ** 2
    np.testing.assert_allclose(total, 1.0, atol=5e-3)
    results = model.evaluate(x, verbose=0, return_dict=True)
    np.testing.assert_allclose(results["nll"], -model.log_prob(x).mean(), rtol=1e-4)
    np.testing.assert_allclose(results["bits_per_dim"], results["nll"] / (2 * np.log(2)), rtol=1e-5)


def test_act_norm_is_set_by_the_first_batch_of_the_first_fit_alone():
    x, _ = two_moons()
    model = NormalizingFlow((2,), [layers.ActNorm()])
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(x, batch_size=128, epochs=2, shuffle=False, verbose=0)
    z = model.encode(x[:128])
    np.testing.assert_allclose([z.mean(0), z.std(0)], [[0, 0], [1, 1]], atol=1e-4)
    model.fit(10.0 * x, verbose=0)
    np.testing.assert_array_equal(model.encode(x[:128]), z)


class Centring(layers.Bijection):
    """z = x - m, m the mean of the first batch."""

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape)
        self.mean = self.real_weight(self.event_shape, "zeros", "mean")
        self.initialized = self.real_weight((), "zeros", "initialized", trainable=False)

    def _forward(self, x, condition, training):
        return x - self.mean, ops.zeros_like(x[:, 0])

    def _inverse(self, z, condition, training):
        return z + self.mean, ops.zeros_like(z[:, 0])

    def initialize(self, x, condition=None):
        done = ops.convert_to_tensor(self.initialized)
        self.mean.assign(ops.where(done > 0, ops.convert_to_tensor(self.mean), ops.mean(x, axis=0)))
        self.initialized.assign(ops.ones_like(done))
        return super().initialize(x, condition)


@pytest.mark.parametrize("where", ["inverse", "base", "conditional base", "own"])
def test_all_that_is_set_from_data_is_set_by_the_first_batch(where):
    x, y = two_moons()
    own, steps, given = {}, [layers.Permutation("swap")], ()
    if where == "inverse":
        steps = [layers.Inverse(layers.ActNorm()), *steps]
    elif where == "own":
        steps = [Centring(), *steps]
    else:
        own = {"num_classes": 2} if where == "conditional base" else {}
        given = (y,) if own else ()
        base = NormalizingFlow((2,), [layers.ActNorm(), layers.ElementwiseAffine((4,) if own else None)], **own)
        own["base"] = base
    model = NormalizingFlow((2,), steps, **own)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(x, *given, batch_size=len(x), epochs=2, shuffle=False, verbose=0)
    found = model.encode(x, *given)
    z = found if not own else ops.convert_to_numpy(base.bijection.bijections[0](found))
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-4)
    np.testing.assert_allclose(z.std(0), x.std(0)[::-1] if where == "own" else 1.0, rtol=1e-4)
    model.fit(10.0 * x, *given, batch_size=len(x), verbose=0)
    np.testing.assert_array_equal(model.encode(x, *given), found)
    if own:
        np.testing.assert_array_equal(ops.convert_to_numpy(base.bijection.bijections[0](found)), z)


@pytest.mark.skipif(not X64, reason="JAX needs JAX_ENABLE_X64=1")
def test_a_list_of_bijections_is_computed_in_float64_where_the_model_is():
    x = two_moons(16)[0].astype("float64")
    listed = [layers.ActNorm(dtype="float64"), layers.AffineCoupling((8,), dtype="float64")]
    for model in (RealNVP((2,), steps=2, units=(8,), dtype="float64"), NormalizingFlow((2,), listed, dtype="float64")):
        np.testing.assert_allclose(model.decode(model.encode(x)), x, rtol=0, atol=1e-12)
    head = layers.FlowHead((2,), [layers.AffineCoupling((8,), dtype="float64")], dtype="float64")
    assert head.bijection.real_dtype == "float64"
    with pytest.raises(ValueError, match="bijections of float64 in a flow of float64.*AffineCoupling"):
        NormalizingFlow((2,), layers.AffineCoupling((8,)), dtype="float64")


def test_a_flow_that_was_loaded_is_saved_again(tmp_path):
    model, x = RealNVP((2,), steps=1, units=(4,)), two_moons(8)[0]
    for name in ("first.keras", "second.keras"):
        model.save(tmp_path / name)
        copy = keras.saving.load_model(tmp_path / name)
        np.testing.assert_array_equal(copy.log_prob(x), model.log_prob(x))
        model = copy


@pytest.mark.parametrize("kind", ["bijection", "base"])
def test_a_condition_selects_its_part_of_the_data(kind):
    x, y = two_moons()
    if kind == "bijection":
        steps, base = [layers.ActNorm(), layers.AffineCoupling((16,), conditional=True)], None
        steps += [layers.Permutation("swap"), layers.AffineCoupling((16,), conditional=True)]
    else:
        steps, base = [layers.ActNorm()], layers.ConditionalNormalPrior((2,), num_classes=2)
    model = NormalizingFlow((2,), steps, base, num_classes=2, seed=0)
    model.compile(keras.optimizers.Adam(3e-2))
    model.fit(x, y, batch_size=128, epochs=10, verbose=0, seed=0)
    assert model.log_prob(x, y).mean() > model.log_prob(x, 1 - y).mean() + 0.5
    means = [model.sample(500, condition=k, seed=0).mean(0) for k in (0, 1)]
    np.testing.assert_allclose(means, [x[y == k].mean(0) for k in (0, 1)], atol=0.5)


def test_a_condition_that_nothing_takes_is_refused():
    with pytest.raises(ValueError, match="none takes a condition"):
        coupling_flow(num_classes=3)
    with pytest.raises(ValueError, match="one takes a condition"):
        NormalizingFlow((2,), [layers.AffineCoupling((8,), conditional=True)])


def test_temperature_scales_the_base_and_zero_is_its_mode():
    model = coupling_flow()
    z = model.encode(model.sample(400, seed=0, temperature=0.5))
    np.testing.assert_allclose(z, 0.5 * model.encode(model.sample(400, seed=0)), atol=1e-3)
    np.testing.assert_allclose(model.encode(model.sample(1, temperature=0.0)), 0.0, atol=1e-4)


def test_the_bound_of_grey_levels_is_that_of_the_uniform_at_the_uniform():
    uniform = distributions.Uniform(np.zeros(4), np.ones(4), (4,))
    model = NormalizingFlow((4,), [layers.ActNorm()], uniform, levels=8)
    model.compile()
    x = np.random.default_rng(0).integers(0, 8, (20, 4)) / 7
    assert model.likelihood == "bound"
    np.testing.assert_allclose(model.log_prob(x), -4 * np.log(8), rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(x, verbose=0, return_dict=True)["bits_per_dim"], 3.0, rtol=1e-5)
    np.testing.assert_allclose(model.reconstruct(x), x, atol=1e-6)
    assert set(np.round(7 * model.sample(50, seed=0)).astype(int).ravel()) <= set(range(8))


def test_the_bound_of_grey_levels_lies_below_the_exact_value_and_rises_with_more_draws():
    x = np.arange(4)[:, None] / 3
    normal = distributions.Normal([0.5], 0.2, event_shape=(1,))
    model = NormalizingFlow((1,), [layers.Permutation("reverse")], normal, levels=4)
    edges = scipy.stats.norm(0.5, 0.2).cdf(np.arange(5) / 4)
    one, many = (model.log_prob(np.repeat(x, 500, 0), num_samples=k).reshape(4, 500).mean(1) for k in (1, 64))
    assert (one < many).all() and (many <= np.log(np.diff(edges)) + 0.02).all()
    np.testing.assert_allclose(many, np.log(np.diff(edges)), atol=0.05)


def test_data_out_of_the_domain_are_refused_before_compute():
    model = NormalizingFlow((2,), [layers.Logit(), layers.AffineCoupling((8,))])
    model.compile()
    with pytest.raises(ValueError, match=r"Logit expects data in \[0, 1\]"):
        model.fit(np.full((8, 2), 1.5))
    model = coupling_flow(levels=256)
    model.compile()
    with pytest.raises(ValueError, match="grey levels k / 255"):
        model.fit(np.full((8, 2), 17.0))


def test_a_distribution_does_not_lose_weights_in_a_file_unseen():
    flow = coupling_flow()
    p = distributions.Transformed(distributions.Normal(np.zeros(2), 1.0, event_shape=(2,)), flow.bijection)
    with pytest.raises(ValueError, match="bijection without weights"):
        p.get_config()


def test_the_noise_of_training_is_drawn_once_more_by_the_first_step_alone():
    x = np.random.default_rng(0).integers(0, 8, (64, 2)) / 7
    states = []
    for steps in ([layers.ActNorm()], [layers.ElementwiseAffine()]):
        model = NormalizingFlow((2,), steps, levels=8, seed=0)
        model.compile(keras.optimizers.SGD(1e-3))
        model.fit(x, batch_size=32, epochs=3, verbose=0)
        states.append([ops.convert_to_numpy(v) for v in model._seed_states()])
    counts = [int(sum(s[-1] for s in state)) for state in states]
    assert counts[0] == counts[1] + 1


def test_a_base_is_one_distribution_of_the_latents():
    """A base that says the shape of its events is held to that of z when the flow is made; a class is no base."""
    wide = distributions.Normal(np.zeros(3), 1.0, event_shape=(3,))
    batch = distributions.Normal(np.zeros((5, 2)), 1.0)
    for base in (wide, batch, distributions.Normal(np.zeros(2), 1.0), layers.LearnedMixturePrior((3,)),
                 NormalizingFlow((3,), layers.ActNorm())):  # fmt: skip
        with pytest.raises(ValueError, match=r"events of the shape of z, \(2,\), without a batch"):
            coupling_flow(base=base)
    with pytest.raises(ValueError, match="an instance, not a class"):
        coupling_flow(base=distributions.Normal)
    with pytest.raises(ValueError, match=r"\(4,\), without a batch"):
        NICE((4,), base=wide)
    coupling_flow(base=NormalizingFlow((2,), layers.ActNorm()))


def test_arguments_that_cannot_be_are_named_before_compute():
    with pytest.raises(ValueError, match="Expected `base` with `generate` and `log_density`"):
        coupling_flow(base="normal")
    with pytest.raises(ValueError, match="num_samples"):
        coupling_flow().log_prob(np.zeros((2, 2)), num_samples=0)
    for make in (layers.Invertible1x1Conv, layers.OrthogonalLinear, layers.Permutation, layers.ContinuousFlow):
        with pytest.raises(ValueError, match="Expected `seed` as an int >= 0, or None. Received: seed=-1"):
            make(seed=-1)
