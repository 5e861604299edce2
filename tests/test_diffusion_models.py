"""Diffusion models: likelihoods, samples, conditions, files. The laws of every model are in `test_models.py`.

A network of zeros with the parametrisation "edm" is the exact denoiser of N(0, d^2 I), d the `data_scale`: so a new
model has samples and densities that are known.
"""

import functools

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from keras_gen import backend, diffusion, networks, random
from keras_gen.callbacks import ExactResume
from keras_gen.metrics import energy_distance
from keras_gen.models import DDPM, EDM, VAE, DiffusionModel, ImprovedDDPM
from tests.cases import MODELS
from tests.interrupting import Interrupt, Interruption
from tests.test_exact_resume import warned
from tests.test_models import assert_all_equal, compiled, fit, half_precision, numbers, state

pytestmark = pytest.mark.usefixtures("graphs_forgotten")

BACKEND = keras.config.backend()
EAGER = pytest.mark.usefixtures("eager_test_on_tensorflow")
CHAIN = {"schedule": diffusion.LinearBeta(10, 0.01, 0.9)}
COARSE = {"data_scale": 0.7, "schedule": diffusion.EDMSigma(0.02, 20.0)}


def mlp(event_shape=(2,), hidden=(16,), **kwargs):
    return networks.DenoisingMLP(event_shape, hidden=hidden, features=8, **kwargs)


def perturbed(model, scale=0.3):
    """The model with random numbers where its networks are zeros, in the average too."""
    generator = np.random.default_rng(5)
    for v in model.denoiser.trainable_variables:
        v.assign(numbers(v) + scale * generator.normal(size=v.shape))
    if model.average_denoiser is not None:
        model.average_denoiser.set_weights(model.denoiser.get_weights())
    return model


class ExactMixture(keras.layers.Layer):
    """E[x_0 given x_t] of sum_k p_k N(m_k, s^2 I), where variance is preserved: a network for "x0"."""

    def __init__(self, p, means, s, **kwargs):
        super().__init__(**kwargs)
        self.p, self.means, self.s = p, means, s

    def build(self, x_shape, log_snr_shape):
        pass

    def call(self, x, log_snr, training=False):
        a2, s2 = (ops.sigmoid(sign * log_snr)[:, None, None] for sign in (1.0, -1.0))
        a, variance = ops.sqrt(a2), a2 * self.s**2 + s2
        means, log_p = (ops.convert_to_tensor(v, "float32") for v in (self.means, np.log(self.p)))
        away = x[:, None] - a * means
        logits = log_p - 0.5 * ops.sum(away**2 / variance, axis=-1)
        each = means + a * self.s**2 / variance * away
        return ops.sum(ops.softmax(logits)[..., None] * each, axis=1)

    def get_config(self):
        return {**super().get_config(), "p": self.p, "means": self.means, "s": self.s}


def mixture(p, means, s, **kwargs):
    """The exact model of a mixture."""
    event = (len(means[0]),)
    return DiffusionModel(event, ExactMixture(p, means, s), parametrisation="x0", seed=0, **kwargs)


@functools.cache
def two_normals():
    """The exact model of `two_points`. Not to be changed."""
    return mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.15, steps=16, grid="log_snr")


@functools.cache
def normal(event_shape=(2,)):
    """The exact model of N(0, 0.7^2 I). Not to be changed."""
    return EDM(event_shape, mlp(event_shape), **COARSE, steps=8, grid="karras", seed=0)


@functools.cache
def rough(kind="diffusion"):
    """A model of random weights. Not to be changed."""
    if kind == "labels":
        return perturbed(DiffusionModel((2,), mlp(), num_classes=3, steps=6, seed=0))
    if kind == "image":
        network = networks.UNet((4, 4, 1), channels=4, multipliers=(1,), blocks=1, attention=(), heads=2)
        return perturbed(DiffusionModel((4, 4, 1), network, steps=6, seed=0), 0.1)
    if kind == "improved":
        chain = diffusion.Discrete(diffusion.Cosine(), 10)
        return perturbed(ImprovedDDPM((2,), mlp(out_channels=4), schedule=chain, steps=10, seed=0))
    return perturbed(DDPM((2,), mlp(), **CHAIN, seed=0) if kind == "ddpm" else DiffusionModel((2,), mlp(), seed=0))


def points(n=6, seed=0):
    return (0.7 * np.random.default_rng(seed).normal(size=(n, 2))).astype("float32")


# Likelihoods.


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_the_flow_of_the_exact_denoiser_has_the_density_of_the_normal(trace):
    x = points()
    log_p = normal().log_prob(x, method="flow", trace=trace, num_samples=4)
    exact = scipy.stats.norm(0, np.hypot(0.7, 0.02)).logpdf(x).sum(1)
    np.testing.assert_allclose(log_p, exact, atol=0.2)  # x with noise of 0.02: the slope is below 3
    assert abs((log_p - exact).mean()) < 0.05


def test_the_bound_of_the_exact_denoiser_comes_near_its_density_as_one_over_the_steps():
    x = points(4000)
    exact = scipy.stats.norm(0, 0.7).logpdf(x).sum(1).mean()
    gaps = [exact - normal().log_prob(x, steps=n, batch_size=4000).mean() for n in (40, 80)]
    assert 0.1 < gaps[1] < 0.7 and gaps[0] / gaps[1] == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize("kind", ["ddpm", "improved"])
def test_the_nll_of_evaluate_is_an_unbiased_estimate_of_the_bound(kind):
    """Its mean over draws is the sum of all terms, and each part is that part."""
    model, x = rough(kind), np.tile(points(2), (10_000, 1))  # by turns: terms are spread over the batch
    terms = model.bound_terms(x, seed=3, batch_size=20_000)
    drawn = {k: numbers(v) for k, v in model.objective(ops.convert_to_tensor(x)).items()}
    drawn["sum"], terms["sum"] = drawn["nll"], sum(terms.values())
    np.testing.assert_allclose(model.log_prob(x[:5], seed=3), -terms["sum"][:5], rtol=1e-4)
    for name, exact in terms.items():
        one, two = (v.reshape(-1, 2).T.astype("float64") for v in (drawn[name], exact))
        error = np.hypot(one.std(1), two.std(1)) / 100
        assert (np.abs(one.mean(1) - two.mean(1)) < 5 * error + 1e-4).all(), name


def test_evaluate_reports_the_bound():
    model = rough("ddpm")
    model.compile("sgd")
    x = np.repeat(points(1), 4096, axis=0)
    found = model.evaluate(x, verbose=0, batch_size=1024, return_dict=True)
    parts = found["prior"] + found["diffusion"] + found["data"]
    assert found["nll"] == pytest.approx(parts, rel=1e-4)
    assert found["bits_per_dim"] == pytest.approx(found["nll"] / (2 * np.log(2)), rel=1e-4)
    assert found["nll"] == pytest.approx(-model.log_prob(x[:64], num_samples=8).mean(), rel=0.2)


def test_evaluate_and_fit_state_one_objective():
    """With learned variances too: the mean loss in evaluation is that of training, of the same weights."""
    model, x = rough("improved"), ops.convert_to_tensor(np.repeat(points(1), 20_000, axis=0))
    losses = [numbers(model.objective(x, training=t)["loss"]) for t in (False, True)]
    assert abs(losses[0].mean() - losses[1].mean()) < 5 * losses[0].std() / 100


@EAGER
@pytest.mark.parametrize("method", ["bound", "flow"])
def test_the_range_of_the_data_counts_in_the_density(method):
    """x of [-1, 1] and 2 x + 2 of [0, 4] are one model: densities differ by D log 2."""
    options = {"method": method, "seed": 1} | ({"steps": 8} if method == "bound" else {"rtol": 1e-4, "atol": 1e-4})
    make = perturbed if method == "bound" else (lambda model: model)  # a solver's steps are few where slopes are smooth
    edm = {"parametrisation": "edm", "seed": 0}
    one, two = (make(DiffusionModel((2,), mlp(), data_range=r, **edm)) for r in ((-1, 1), (0, 4)))
    two.set_weights(one.get_weights())
    x = np.clip(points(), -1, 1)
    difference = one.log_prob(x, **options) - two.log_prob(2 * x + 2, **options)
    np.testing.assert_allclose(difference, 2 * np.log(2), atol=1e-3)
    np.testing.assert_allclose(2 * one.sample(3, seed=0) + 2, two.sample(3, seed=0), atol=1e-4)


@EAGER
def test_the_probabilities_of_grey_levels():
    """Of one pixel: below those of the data, in sum below 1, and near them with the exact denoiser and many steps."""
    p, levels = [0.2, 0.1, 0.6, 0.1], np.linspace(0, 1, 4, dtype="float32")[:, None]
    model = mixture(p, (2 * levels - 1).tolist(), 0.0, data_range=(0, 1), levels=4, data_scale=0.6)
    x = np.repeat(levels, 1000, axis=0)
    found = np.exp(model.log_prob(x, steps=256, batch_size=4000).reshape(4, 1000).mean(axis=1, dtype="float64"))
    assert (found < np.array(p) + 0.01).all() and 0.9 < found.sum() <= 1.0 + 1e-3


def test_the_bound_of_a_mixture_is_below_the_density_of_its_flow():
    x = two_points(300, seed=9)
    bound = two_normals().log_prob(x, batch_size=300).mean()
    flow = two_normals().log_prob(x, method="flow", rtol=1e-3, atol=1e-3, trace="exact").mean()
    sides = [scipy.stats.norm(m, 0.15).logpdf(x).sum(1) for m in ([-1, 0], [1, 0.5])]
    exact = (np.logaddexp(*sides) - np.log(2)).mean()
    assert flow == pytest.approx(exact, abs=0.1)
    assert exact - 0.4 < bound < exact


def test_example_i_of_log_prob_depends_on_the_seed_and_i_alone():
    x = points(5)
    for model, options in ((rough(), {"steps": 8}), (two_normals(), {"method": "flow", "rtol": 1e-3, "atol": 1e-3})):
        whole, parts, other = (model.log_prob(x, seed=s, batch_size=b, **options) for s, b in [(0, 5), (0, 2), (1, 5)])
        np.testing.assert_allclose(whole, parts, rtol=1e-3, atol=1e-3)
        assert np.abs(whole - other).max() > 1e-3


# It learns.


def two_points(n, seed=0):
    """Two narrow normals at (-1, 0) and (1, 0.5)."""
    generator = np.random.default_rng(seed)
    side = generator.integers(0, 2, n)
    return (np.array([[-1, 0], [1, 0.5]])[side] + 0.15 * generator.normal(size=(n, 2))).astype("float32")


def test_training_moves_samples_to_the_data():
    """The energy distance from fresh data falls to a tenth; that of data from data is nearly nothing."""
    data, fresh = two_points(1500, seed=1), two_points(1500, seed=2)
    model = EDM((2,), mlp(hidden=(32, 32)), data_scale=0.75, steps=12, seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    samples = [model.sample(1500, seed=0)]
    model.fit(two_points(2000), batch_size=200, epochs=20, verbose=0, seed=0)
    samples.append(model.sample(1500, seed=0))
    before, after, floor = (energy_distance(data, x, unbiased=True) for x in (*samples, fresh))
    assert abs(floor) < 0.01 and after < 0.02 and after < 0.1 * before


DRAWING = [
    "ancestral", "ddim", "euler", "heun", diffusion.AdamsBashforth(3, "rectified"),
    diffusion.ProbabilityFlow(1e-3, 1e-3),
]  # fmt: skip


@pytest.mark.parametrize("sampler", DRAWING)
def test_samplers_draw_from_a_mixture(sampler):
    x = two_normals().sample(1000, seed=0, sampler=sampler, steps=40, batch_size=1000)
    assert energy_distance(two_points(1500, seed=1), x, unbiased=True) < 0.02


# Training.


def test_the_time_of_an_example_does_not_depend_on_its_place_in_the_batch():
    """Times are stratified over a batch, and each example's are uniform over steps."""
    model = rough()
    drawn = np.array([numbers(model._times(model.noise, 8)) for _ in range(300)])
    assert (np.abs(drawn.mean(axis=0) - 0.5) < 0.1).all()
    gaps = np.diff(np.sort(drawn, axis=1), axis=1)
    assert (gaps.max(axis=1) < 2.1 / 8).all()


def test_conditions_are_left_out_at_their_rate():
    model = DiffusionModel((2,), mlp(), num_classes=3, unconditional=0.3, seed=0)
    keep = numbers(ops.cast(model._keep(model.noise, 5000), "float32"))
    assert keep.mean() == pytest.approx(0.7, abs=0.03)
    given = numbers(model.encoded(ops.convert_to_tensor([1, 2]), ops.convert_to_tensor([1.0, 0.0])))
    np.testing.assert_array_equal(given, [[0, 1, 0, 1], [0, 0, 0, 0]])


def test_the_average_of_the_weights_draws_the_samples():
    model = DiffusionModel((2,), mlp(), steps=4, seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(points(64), verbose=0)
    before = model.sample(4, seed=0)
    averages, raw = (numbers(d.trainable_variables[0] if d is model.denoiser else d.weights[0])
                     for d in (model.average_denoiser, model.denoiser))  # fmt: skip
    assert np.abs(averages - raw).max() > 1e-5
    perturbed_raw = [w + 1.0 for w in model.denoiser.get_weights()]
    model.denoiser.set_weights(perturbed_raw)
    np.testing.assert_array_equal(model.sample(4, seed=0), before)
    model.average_denoiser.set_weights(perturbed_raw)
    assert np.abs(model.sample(4, seed=0) - before).max() > 1e-2
    last = DiffusionModel((2,), mlp(), steps=4, average=None, seed=0)
    zero = last.sample(4, seed=0)
    perturbed(last)
    assert np.abs(last.sample(4, seed=0) - zero).max() > 1e-2


class Plain(keras.layers.Layer):
    """A network of one's own, not registered: one dense layer of x and log SNR."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def build(self, x_shape, log_snr_shape):
        self.dense.build((None, 3))

    def call(self, x, log_snr, training=False):
        return self.dense(ops.concatenate([x, log_snr[:, None]], axis=1))


@pytest.mark.parametrize("make", [ImprovedDDPM, DiffusionModel])
def test_a_network_with_other_channels_is_refused(make):
    words = r"`network` with (the output \(2,\)|twice the channels of x_t, 4).*out_channels"
    with pytest.raises(ValueError, match=words):
        make((2,), mlp(out_channels=2 if make is ImprovedDDPM else 1), seed=0)


def test_a_network_of_ones_own_needs_no_registration_to_be_averaged():
    model = DiffusionModel((2,), Plain(), steps=4, seed=0)
    model.compile("adam")
    assert np.isfinite(model.fit(points(32), verbose=0).history["loss"]).all()
    assert model.sample(2, seed=0).shape == (2, 2)


def functional():
    """A functional model of x, log SNR and the 3 + 1 features of a label."""
    inputs = [keras.Input(shape) for shape in ((2,), (), (4,))]
    joined = keras.layers.Concatenate()([inputs[0], keras.layers.Reshape((1,))(inputs[1]), inputs[2]])
    return keras.Model(inputs, keras.layers.Dense(2)(joined))


class Unbuilt(keras.layers.Layer):
    """A layer that leaves its building to its first call."""

    def call(self, x, log_snr, condition=None):
        return x


def test_a_layer_without_build_is_refused():
    with pytest.raises(ValueError, match=r"build\(self, x_shape, log_snr_shape\)"):
        DiffusionModel((2,), Unbuilt(), seed=0)


def test_a_functional_model_is_a_network(tmp_path):
    """Trained, averaged, saved and loaded."""
    model = DiffusionModel((2,), functional(), num_classes=3, steps=4, seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    before = [numbers(v) for v in model.denoiser.trainable_variables]
    model.fit(points(32), np.arange(32) % 3, verbose=0)
    after = [numbers(v) for v in model.denoiser.trainable_variables]
    assert len(after) == 2 and all((a != b).any() for a, b in zip(after, before, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.sample(3, 1, seed=0), model.sample(3, 1, seed=0), atol=1e-5)


def test_sample_weights_multiply_the_loss():
    x = points(32)
    runs = []
    for data in (x, np.concatenate([x[:16], 5.0 * x[16:]])):
        model = compiled("diffusion", keras.optimizers.SGD(1e-2))
        fit(model, data, sample_weight=np.repeat([2.0, 0.0], 16).astype("float32"))
        runs.append([numbers(v) for v in model.trainable_variables])
    assert_all_equal(*runs, atol=1e-6)


@pytest.mark.parametrize("name", ["diffusion_of_labels", "flow_matching", "improved_ddpm"])
def test_eager_training_equals_compiled(name):
    x, y = MODELS[name].data(64)
    runs = []
    for eager in (False, True):
        model = compiled(name, keras.optimizers.SGD(1e-2), {"run_eagerly": eager})
        history = fit(model, x, y)
        runs.append([*(numbers(v) for v in model.trainable_variables), np.array(history["loss"]) / 10.0])
    assert_all_equal(*runs, atol=1e-5)


@pytest.mark.parametrize("name, policy", [("flow_matching_optimal", "mixed_float16"), ("edm", "mixed_bfloat16")])
def test_half_precision(name, policy):
    """Networks compute in half precision; objective, samples and densities are in float32."""
    model = half_precision(name, policy)
    model.compile(keras.optimizers.Adam(2e-2))
    x, y = MODELS[name].data(64)
    terms = model.objective(ops.convert_to_tensor(x[:4]))
    assert {keras.backend.standardize_dtype(t.dtype) for t in terms.values()} == {"float32"}
    history = fit(model, x, y, epochs=16)
    losses = history["loss"]
    assert np.isfinite(losses).all() and np.mean(losses[-4:]) < np.mean(losses[:4])
    assert model.sample(2, seed=0).dtype == np.float32
    assert np.isfinite(model.log_prob(x[:2], steps=4)).all()


CONTINUED = ["diffusion_of_labels", "improved_ddpm", "flow_matching_optimal", "reflow"]


@pytest.mark.parametrize("name", CONTINUED)
def test_a_saved_model_continues_bit_for_bit(name, tmp_path):
    model = compiled(name)
    x, y = MODELS[name].data(64)
    fit(model, x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    condition = () if y is None else (y[:3],)
    np.testing.assert_array_equal(numbers(model(x[:3], *condition)), numbers(loaded(x[:3], *condition)))
    if MODELS[name].samples:
        np.testing.assert_array_equal(*(m.sample(3, *condition, seed=1) for m in (model, loaded)))
    assert_all_equal(state(model), state(loaded))
    assert fit(model, x, y) == fit(loaded, x, y)
    assert_all_equal(state(model), state(loaded))


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path):
    x, y = MODELS["diffusion_of_labels"].data(96)
    whole = compiled("diffusion_of_labels", arguments={"run_eagerly": BACKEND == "tensorflow"})
    whole.fit(x, y, batch_size=32, epochs=2, verbose=0, seed=5)
    for stop in (2, 100):
        model = compiled("diffusion_of_labels", arguments={"run_eagerly": BACKEND == "tensorflow"})
        callbacks = [ExactResume(tmp_path, every_steps=1), Interrupt(stop)]
        try:
            model.fit(x, y, batch_size=32, epochs=2, verbose=0, seed=5, callbacks=callbacks)
        except Interruption:
            assert stop == 2
    assert_all_equal(state(whole), state(model))


@EAGER
def test_what_is_no_training_leaves_the_state_of_training():
    model = rough("labels")
    x, y = points(), np.arange(6) % 3
    before = [numbers(v) for v in model.variables]
    model.sample(3, y[:3], guidance=2.0)
    model.log_prob(x, y, steps=4)
    model.log_prob(x, y, method="flow", rtol=0.1, atol=0.1)
    model.inpaint(x, np.array([True, False]), y, resamples=2)
    model.predict((x, y), verbose=0)
    assert_all_equal(before, [numbers(v) for v in model.variables])


def test_data_of_the_upper_half_of_their_range_are_asked_about():
    """Images in [0, 1] given to a model of [-1, 1], which would learn from half of its range without a word."""
    model = DiffusionModel((2,), mlp(), data_range=(-1, 1), steps=4, seed=0)
    model.compile("adam")
    x = np.random.default_rng(0).uniform(size=(32, 2)).astype("float32")
    with warned("32 examples in"):
        model.fit(x, verbose=0)
    model.fit(2.0 * x - 1.0, verbose=0)


SCALINGS = [
    ((-1, 1), "such as 2 * (x - min) / (max - min) - 1,"), ((0, 1), "such as 1 * (x - min) / (max - min),"),
    ((1, 5), "such as 4 * (x - min) / (max - min) + 1,"),
]  # fmt: skip


@pytest.mark.parametrize("data_range, scaling", SCALINGS)
def test_data_out_of_their_range_get_a_warning_with_the_scaling(data_range, scaling):
    model = DiffusionModel((2,), mlp(), data_range=data_range, seed=0)
    model.compile("adam")
    x = np.random.default_rng(0).integers(0, 256, (8, 2)).astype("float32")
    with warned(scaling):
        model.fit(x, verbose=0)
    low, high = data_range
    model.fit(low + (high - low) * x / 255, verbose=0)  # warnings are errors here


# Samples.


def test_samples_of_the_exact_denoiser_are_normal():
    x = normal().sample(4000, seed=0, steps=20, batch_size=4000)
    assert all(scipy.stats.kstest(x[:, i], scipy.stats.norm(0, 0.7).cdf).pvalue > 1e-3 for i in range(2))
    for options in ({"sampler": diffusion.ProbabilityFlow()}, {"grid": np.geomspace(0.5, 0.01, 20)}):
        other = normal().sample(4000, seed=0, batch_size=4000, **options)
        assert scipy.stats.kstest(other[:, 0], scipy.stats.norm(0, 0.7).cdf).pvalue > 1e-3, options


@pytest.mark.parametrize("sampler", [None, "predictor_corrector"])
def test_a_sample_does_not_depend_on_the_batch_size(sampler):
    options = {"condition": np.arange(5) % 3, "sampler": sampler, "guidance": 1.5}
    drawn = [rough("labels").sample(5, seed=4, batch_size=b, **options) for b in (1, 2, 5)]
    np.testing.assert_allclose(drawn[0], drawn[2], atol=2e-5)
    np.testing.assert_allclose(drawn[1], drawn[2], atol=2e-5)
    assert np.abs(rough("labels").sample(5, seed=5, **options) - drawn[2]).max() > 1e-2


@EAGER
def test_what_does_not_arrive_is_not_a_number():
    """Samples, codes and densities of a flow that may try two steps: each says so, none is what was reached."""
    two = diffusion.ProbabilityFlow(1e-5, 1e-5, max_steps=2)
    model = mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.5]], 0.15, sampler=two)
    assert np.isnan(model.sample(3, seed=0)).all() and np.isnan(model.encode(points(3))).all()
    keys = random.keys(0, 3)
    found = diffusion.flow.log_density(model.best(), ops.convert_to_tensor(points(3)), keys, flow=two)
    assert np.isnan(numbers(found)).all()



@EAGER
def test_steps_that_are_chosen_are_chosen_for_each_sample():
    flow = {"sampler": diffusion.ProbabilityFlow(1e-2, 1e-2), "seed": 4}
    drawn = [two_normals().sample(5, batch_size=b, **flow) for b in (2, 5)]
    np.testing.assert_allclose(*drawn, atol=2e-5)


def of_the_left(x_t, log_snr):
    """log p(component at (-1, 0) given x_t) of `two_normals`."""
    a, variance = ops.sqrt(ops.sigmoid(log_snr))[:, None], ops.sigmoid(log_snr) * 0.15**2 + ops.sigmoid(-log_snr)
    left, right = (
        -0.5 * ops.sum((x_t - a * ops.convert_to_tensor(m, x_t.dtype)) ** 2, axis=-1) / variance
        for m in ([-1.0, 0.0], [1.0, 0.5])
    )
    return left - ops.logaddexp(left, right)


def test_a_classifier_pulls_all_that_draws_to_its_class():
    """With scale 1 and the exact classifier samples are of the law given the class, and afterwards as before."""
    model, drawn = two_normals(), {"n": 1000, "seed": 0, "batch_size": 1000}
    before = model.sample(**drawn)
    with model.guided_by(of_the_left):
        x = model.sample(**drawn)
        line = model.trajectory(50, seed=0, frames=2)[:, -1]
    np.testing.assert_allclose(x.mean(axis=0), [-1.0, 0.0], atol=0.03)
    np.testing.assert_allclose(x.std(axis=0), 0.15, atol=0.02)
    np.testing.assert_allclose(line, x[:50], atol=1e-4)
    np.testing.assert_array_equal(model.sample(**drawn), before)


@pytest.mark.parametrize("arguments", [(3.0,), (of_the_left, "much")])
def test_guidance_by_what_is_no_classifier_is_refused(arguments):
    with pytest.raises(ValueError, match="Received"), two_normals().guided_by(*arguments):
        pass




@pytest.mark.parametrize("options, scale", [({}, 1.0), ({"data_range": (0, 1)}, 0.5), ({"data_scale": 0.75}, 0.75)])
def test_edms_weights_are_of_the_scale_of_the_data(options, scale):
    """By name too: with the preconditioning of the same scale every time counts alike in the loss of the network."""
    for model in (EDM, functools.partial(DiffusionModel, schedule="edm", parametrisation="edm", weighting="edm")):
        model = model((2,), mlp(), **options)
        level = model.schedule.level(ops.convert_to_tensor([0.2, 0.5, 0.9]))
        weight, own = (numbers(v) for v in (model.weighting.weight(level, None), model.denoiser.rule.weight(level)))
        assert model.data_scale == scale
        np.testing.assert_allclose(weight, own, rtol=1e-4)


def test_a_sampler_may_be_named_to_the_tensor_twin():
    model, keys = rough("diffusion"), random.keys(0, 3)
    by_name, itself = (numbers(model.generate(keys, sampler=s, steps=4)) for s in ("ddim", diffusion.DDIM()))
    np.testing.assert_array_equal(by_name, itself)


@pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled on torch")
def test_other_numbers_of_sampling_compile_nothing_anew(monkeypatch):
    """Steps, grid, guidance, temperature, seed, strength and number of frames are arguments of the program, and so is
    the table of a sampler with as many earlier predictions."""
    traces = []
    inner = DiffusionModel._advance
    monkeypatch.setattr(DiffusionModel, "_advance", lambda *args, **kw: traces.append(1) or inner(*args, **kw))
    model = perturbed(DiffusionModel((2,), mlp(), num_classes=3, steps=6, seed=0))
    model.sample(4, 1, guidance=2.0)
    count = len(traces)
    assert count
    model.sample(4, 2, guidance=3.0, steps=9, temperature=0.5, seed=3)
    model.sample(4, 0, guidance=0.5, grid="karras", steps=700)
    model.trajectory(4, 1, guidance=2.0, frames=4)
    model.image_to_image(points(4), 1, guidance=2.0, strength=0.4)
    model.sample(4, 1, guidance=2.0, sampler=diffusion.DPMSolverPlusPlus(2, eta=0.5))
    assert len(traces) == count
    for sampler in ("ddim", diffusion.AdamsBashforth(2, "rectified")):  # of fewer predictions, of slopes
        count = len(traces)
        model.sample(4, 1, guidance=2.0, sampler=sampler)
        assert len(traces) > count
    noisy, count = diffusion.DDIM(0.5), len(traces)
    drawn = [model.sample(4, 1, guidance=2.0, sampler=s, seed=0) for s in (noisy, "euler", noisy)]
    assert len(traces) == count
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3


def test_the_scale_of_guidance():
    """1 is the conditional model, 0 the unconditional one; beyond 1 the conditions move apart."""
    model, y = rough("labels"), np.array([0, 1, 2])
    one, plain = model.sample(3, y, seed=0, guidance=1.0), model.sample(3, y, seed=0)
    np.testing.assert_allclose(one, plain, atol=1e-4)
    zero = [model.sample(3, c, seed=0, guidance=0.0) for c in (0, 2)]
    np.testing.assert_allclose(*zero, atol=1e-5)
    apart = [np.ptp([model.sample(3, c, seed=0, guidance=s) for c in (0, 1, 2)], axis=0).mean() for s in (1.0, 2.0)]
    assert apart[0] < apart[1]


@EAGER
@pytest.mark.parametrize("kind", ["diffusion", "image"])
def test_a_trajectory_ends_at_the_sample(kind):
    model = rough(kind)
    line = model.trajectory(3, frames=5, seed=0, steps=6)
    assert line.shape == (3, 5, *model.event_shape)
    np.testing.assert_allclose(line[:, -1], model.sample(3, seed=0, steps=6), atol=1e-5)
    ends = model.trajectory(3, frames=2, seed=0, steps=6)
    np.testing.assert_allclose(ends, line[:, [0, -1]], atol=1e-5)
    np.testing.assert_allclose(line[:, 0], numbers(model.starting_noise(random.keys(0, 3))), atol=1e-5)


@pytest.mark.parametrize("resamples", [1, 3])
def test_inpainting_keeps_what_is_known(resamples):
    model = rough("image")
    x = np.random.default_rng(0).uniform(-1, 1, (2, 4, 4, 1)).astype("float32")
    known = np.arange(16).reshape(4, 4, 1) < 8
    filled = model.inpaint(x, known, seed=0, resamples=resamples)
    np.testing.assert_array_equal(filled[:, known], x[:, known])
    other = model.inpaint(np.where(known, x, 0.5), np.repeat(known[None], 2, axis=0), seed=0, resamples=resamples)
    np.testing.assert_array_equal(filled, other)  # what is unknown may hold any number
    changed = model.inpaint(np.where(known, -x, x), known, seed=0, resamples=resamples)
    assert np.abs(changed - filled)[:, ~known].max() > 1e-4  # and sees what is known
    assert np.abs(model.inpaint(x, known, seed=1, resamples=resamples) - filled).max() > 1e-2


def test_inpainting_draws_from_the_conditional():
    """Of two normals at (-1, 0) and (1, 0.5), what goes with x_1 = 1 lies at 0.5 and not at 0."""
    x = np.repeat([[1.0, 0.0]], 200, axis=0).astype("float32")
    second = two_normals().inpaint(x, np.array([True, False]), seed=0, resamples=5)[:, 1]
    assert second.mean() == pytest.approx(0.5, abs=0.15) and second.std() < 0.35


def test_image_to_image_stays_near_when_it_is_weak():
    """Less strength, less change; with the exact denoiser, strength 1 forgets x."""
    x = points(50)
    moved = [np.abs(normal().image_to_image(x, strength=s, seed=0, steps=16) - x).mean() for s in (0.1, 0.5, 1.0)]
    assert moved[0] < 0.1 < moved[2] and moved[0] < moved[1] < moved[2]
    again = normal().image_to_image(-x, strength=1.0, seed=0, steps=16)
    np.testing.assert_allclose(again, normal().image_to_image(x, strength=1.0, seed=0, steps=16), atol=0.25)


def test_temperature_zero_leaves_no_randomness():
    for sampler in (None, "ancestral", diffusion.ProbabilityFlow(1e-2, 1e-2)):
        x = rough().sample(3, seed=0, temperature=0.0, steps=6, sampler=sampler)
        assert np.ptp(x, axis=0).max() < (1e-3 if isinstance(sampler, diffusion.ProbabilityFlow) else 1e-5)
        assert np.ptp(rough().sample(3, seed=0, steps=6, sampler=sampler), axis=0).max() > 1e-2


def test_generate_traces_inside_other_graphs():
    model, keys = rough("labels"), random.keys(0, 3)
    y = ops.convert_to_tensor(np.array([0, 1, 2], "int32"))
    run = backend.compile(lambda keys, y: 2.0 * model.generate(keys, y, guidance=2.0), lambda: model.variables)
    x = numbers(run(ops.convert_to_tensor(keys), y))
    np.testing.assert_allclose(0.5 * x, model.sample(3, numbers(y), seed=0, guidance=2.0), atol=1e-4)


def test_predict_denoises():
    """E[x_0 given x at the least noise]: of the exact denoiser, x d^2 / (d^2 + s^2)."""
    model = EDM((2,), mlp(), data_scale=0.5, schedule=diffusion.EDMSigma(0.5, 20.0), seed=0)
    x = points()
    np.testing.assert_allclose(model.predict(x, verbose=0), x * 0.5, rtol=0.05)
    t = np.array([1.0] * 6, "float32")
    np.testing.assert_allclose(numbers(model.denoised(ops.convert_to_tensor(x), t)), x * 0.25 / 400.25, atol=1e-5)


@pytest.mark.parametrize("average", [None, 0.999])
def test_a_diffusion_model_is_the_prior_of_a_vae(average):
    """It has `generate` and a `log_density` with a gradient; with an average it is a prior that stays as it is."""
    prior = DDPM((2,), mlp(), **CHAIN, average=average, seed=0)
    x = (np.random.default_rng(0).uniform(size=(64, 4)) < 0.5).astype("float32")
    encoder, decoder = (networks.MLP((8,)) for _ in range(2))
    model = VAE((4,), 2, encoder=encoder, decoder=decoder, prior=prior, seed=0)
    model.compile(keras.optimizers.Adam(2e-2))
    before = [numbers(v) for v in prior.denoiser.trainable_variables]
    history = model.fit(x, epochs=8, verbose=0, batch_size=32).history
    assert np.isfinite(history["loss"]).all()
    assert average is not None or history["loss"][-1] < history["loss"][0]
    after = [numbers(v) for v in prior.denoiser.trainable_variables]
    assert (max(np.abs(a - b).max() for a, b in zip(after, before, strict=True)) > 0) == (average is None)
    assert model.sample(3, seed=0).shape == (3, 4)
