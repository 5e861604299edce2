"""Laws of denoisers: parametrisations tell one estimate, another schedule the same, precision, saving, thresholds."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend
from keras_gen import diffusion as d
from keras_gen.diffusion.parametrisations import NAMES, get_parametrisation
from keras_gen.networks import DenoisingMLP
from tests.diffusion_cases import SCHEDULES, interpreted, loop, normal, random, start, tensor, two_normals

ALL = ["vp", "sub_vp", "edm", "rectified_blurred"]


def numpy(x):
    return ops.convert_to_numpy(ops.cast(x, "float64") if keras.config.backend() != "jax" else x)


def at(schedule, t, dtype="float32"):
    return d.Level(*(tensor(v, dtype) for v in schedule.level(np.asarray(t, "float64"))))


class Ideal(keras.layers.Layer):
    """The network that has learned the law: the mean of the target, which is linear in x_0 for a given x_t."""

    def __init__(self, law, rule):
        super().__init__(name="ideal")
        self.law, self.rule, self.seen = law, rule, []

    def build(self, *shapes):
        pass

    def call(self, x, log_snr, training=False):
        self.seen.append(x)
        schedule = self.law.schedule
        level = schedule.level(schedule.time(log_snr))
        wide = level.over(x)
        x_t = x / self.rule.scale(wide)
        clean = self.law.predict(x_t, level).clean
        return self.rule.target(clean, (x_t - wide.alpha * clean) / wide.sigma, wide)


def ideal(law, name):
    return d.Denoiser(Ideal(law, get_parametrisation(name)), law.schedule, name)


@pytest.mark.parametrize("schedule", ALL)
@pytest.mark.parametrize("name", NAMES)
def test_the_ideal_network_of_each_parametrisation_gives_the_posterior_mean(name, schedule):
    """And the error of the network is w times that of the estimate, which is told back from the target."""
    law = two_normals(SCHEDULES[schedule]())
    rng, t, rule = np.random.default_rng(0), np.linspace(0.1, 0.95, 6), get_parametrisation(name)
    x_0, eps, output = law.draw(6), rng.normal(size=(6, 2)), tensor(rng.normal(size=(6, 2)))
    level = at(law.schedule, t)
    wide = level.over(output)
    x_t = wide.alpha * tensor(x_0) + wide.sigma * tensor(eps)
    target = rule.target(tensor(x_0), tensor(eps), wide)
    scale = np.maximum(1.0, numpy(wide.sigma))  # of what is lost where x_t is large
    np.testing.assert_allclose(numpy(rule.clean(target, x_t, wide)) / scale, x_0 / scale, atol=1e-4)
    error = numpy(ops.sum((output - target) ** 2, axis=1))
    lost = numpy(ops.sum((tensor(x_0) - rule.clean(output, x_t, wide)) ** 2, axis=1))
    np.testing.assert_allclose(error, numpy(rule.weight(level)) * lost, rtol=2e-3)
    if name not in ("epsilon", "score") or schedule in ("vp", "sub_vp"):  # noise tells little where sigma is 60
        found = numpy(ideal(law, name)(x_t, tensor(t)))
        np.testing.assert_allclose(found, numpy(law.predict(x_t, level).clean), atol=2e-4)


def test_all_parametrisations_give_one_trajectory():
    """DDIM, 10 steps, to 1e-5; the times have ratios of 1e-4 to 1e4, where float32 tells x_0 from epsilon."""
    law = two_normals(d.VariancePreserving())
    times = law.schedule.time(np.linspace(-5.0, 7.0, 10))
    alpha, sigma = law.schedule.alpha_sigma(times[0])
    x, keys = law.draw(8, 0, alpha, sigma), random.keys(0, 8)
    wanted = interpreted(d.DDIM(), law, times, x)
    for name in NAMES:
        found = loop(d.DDIM(), ideal(law, name), times)(x, keys)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_networks_see_inputs_of_unit_variance(name):
    """edm: of data of its scale exactly; the others of data of unit scale, exactly too."""
    schedule = d.EDMSigma()
    rule, (alpha, sigma) = get_parametrisation(name, 0.3), schedule.alpha_sigma(np.linspace(0.0, 1.0, 9))
    scale = 0.3 if name == "edm" else 1.0
    seen = (alpha**2 * scale**2 + sigma**2) * numpy(rule.scale(at(schedule, np.linspace(0.0, 1.0, 9)))) ** 2
    np.testing.assert_allclose(seen, 1.0, rtol=1e-5)


# Another schedule.


@pytest.mark.parametrize("other", ["edm", "rectified_blurred", "cosine", "linear"])
def test_under_another_schedule_estimates_are_the_same(other):
    """At equal ratios, x_t being scaled as alpha; so is the way of DDIM between grids of equal ratios."""
    law, schedule = two_normals(d.VariancePreserving()), SCHEDULES[other]()
    ratios = np.linspace(-4.0, 6.0, 10)
    t, s = law.schedule.time(ratios), schedule.time(ratios)
    x, moved = law.draw(10, 1), d.Rescheduled(law, other if other in ("edm", "cosine") else schedule)
    assert type(moved.schedule) is type(schedule)
    alpha, alpha_s = law.schedule.alpha_sigma(t)[0][:, None], schedule.alpha_sigma(s)[0][:, None]
    here = law.predict(tensor(x * alpha), at(law.schedule, t)).clean
    np.testing.assert_allclose(numpy(moved(tensor(x * alpha_s), tensor(s))), numpy(here), atol=5e-5)
    first = law.draw(6, 2, *law.schedule.alpha_sigma(t[0]))
    wanted = interpreted(d.DDIM(), law, t, first)
    found = loop(d.DDIM(), moved, s)(first * alpha_s[0] / alpha[0], random.keys(0, 6))
    np.testing.assert_allclose(found, wanted, atol=5e-5)


@pytest.mark.parametrize("own, other", [("vp", "rectified"), ("vp", "cosine"), ("edm", "zero_linear"), ("vp", "edm")])
def test_ratios_beyond_those_of_training_are_held_at_their_ends(own, other):
    """Of both ends: the estimate is that of x in the scale of the last level of training."""
    law, schedule = two_normals(SCHEDULES[own]()), SCHEDULES[other]()
    far = d.Rescheduled(law, schedule)
    for t in (1.0, schedule.least_time):
        held = float(law.schedule.time(schedule.log_snr(np.float64(t))))
        sizes = [np.hypot(*s.alpha_sigma(np.float64(u))) for s, u in ((law.schedule, held), (schedule, t))]
        x = law.draw(3, 4, *law.schedule.alpha_sigma(np.float64(held)))
        wanted = numpy(law.predict(tensor(x), at(law.schedule, np.full(3, held))).clean)
        found = numpy(far(tensor(x * sizes[1] / sizes[0]), tensor(np.full(3, t))))
        np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_under_a_schedule_without_signal_samples_are_those_of_the_law():
    """From pure noise, of which the schedule of training has no level."""
    law = normal(d.VariancePreserving())
    straight = d.Rescheduled(law, "rectified")
    x = np.random.default_rng(0).normal(size=(2000, 2))
    found = loop(d.DDIM(), straight, d.times(straight.schedule, 40, "log_snr"))(x, random.keys(0, 2000))
    mean, covariance = law.moments()
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.1)
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=0.15)


# The layer.


def moved(**options):
    """A denoiser whose last weights are not zero."""
    network = DenoisingMLP((3,), (12,), features=8, **options.pop("network", {}))
    denoiser = d.Denoiser(network, **{"schedule": "cosine", "parametrisation": "v", **options})
    denoiser(ops.ones((2, 3)), ops.ones((2,)) * 0.5)
    for i, v in enumerate(denoiser.variables):
        v.assign(0.3 * np.random.default_rng(i).normal(size=v.shape))
    return denoiser


def arguments(dtype="float32"):
    rng = np.random.default_rng(0)
    return tensor(rng.normal(size=(4, 3)), dtype), tensor([0.02, 0.3, 0.6, 0.97], dtype)


@pytest.mark.parametrize("options", [{}, {"schedule": d.EDMSigma(), "parametrisation": "edm", "data_scale": 0.2}])
def test_a_denoiser_is_rebuilt_and_saved(options, tmp_path):
    denoiser = moved(**options)
    x, t = arguments()
    inputs = keras.Input((3,)), keras.Input(())
    model = keras.Model(inputs, denoiser(*inputs))
    model.save(tmp_path / "denoiser.keras")
    again = keras.saving.load_model(tmp_path / "denoiser.keras")
    np.testing.assert_allclose(numpy(again([x, t])), numpy(denoiser(x, t)), atol=1e-6)
    config = denoiser.get_config()
    assert repr(d.Denoiser.from_config(config).schedule) == repr(denoiser.schedule)
    assert (config["parametrisation"], config["data_scale"]) == (denoiser.parametrisation, denoiser.data_scale)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_in_mixed_precision_the_network_alone_is_narrow(policy):
    """The level and the rule stay in float32: a time in bfloat16 has two digits, and x_0 of a large ratio none."""
    wide = moved()
    narrow = moved(dtype=policy, network={"dtype": policy})
    narrow.set_weights(wide.get_weights())
    x, t = arguments()
    found, wanted = narrow(x, t), wide(x, t)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_allclose(numpy(found), numpy(wanted), atol=0.03)
    level = at(wide.schedule, [0.02, 0.3, 0.6, 0.97])
    np.testing.assert_allclose(numpy(found), numpy(narrow.predict(x, level).clean), atol=1e-3)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX has no float64 unless it is told to")
def test_in_float64_all_is_of_float64():
    wide, exact = moved(), moved(dtype="float64", network={"dtype": "float64"})
    exact.set_weights(wide.get_weights())
    found = exact(*arguments("float64"))
    assert keras.backend.standardize_dtype(found.dtype) == "float64"
    np.testing.assert_allclose(numpy(wide(*arguments())), numpy(found), atol=1e-4)


def test_learned_variances_are_the_second_half():
    """v in [-1, 1] is told as a place in [0, 1]."""
    network = DenoisingMLP((3,), (12,), features=8, out_channels=6)
    denoiser = d.Denoiser(network, "linear_beta", "epsilon", learned_variance=True)
    x, t = arguments()
    denoiser(x, t)
    network.last.bias.assign([0.1, 0.2, 0.3, -1.0, 0.0, 1.0])
    prediction = denoiser.predict(x, denoiser.schedule.level(t))
    np.testing.assert_allclose(numpy(prediction.variance), [[0.0, 0.5, 1.0]] * 4, atol=1e-6)
    alpha, sigma = denoiser.schedule.alpha_sigma(numpy(t).astype("float64")[:, None])
    wanted = (numpy(x) - sigma * [0.1, 0.2, 0.3]) / alpha
    np.testing.assert_allclose(numpy(prediction.clean), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("channels", [3, 5])
def test_variances_of_a_network_of_other_channels_are_refused(channels):
    """By the denoiser, so that sampling does not go on with estimates of another shape."""
    network = DenoisingMLP((3,), (12,), features=8, out_channels=channels)
    denoiser = d.Denoiser(network, "linear_beta", "epsilon", learned_variance=True)
    with pytest.raises(ValueError, match=f"twice the channels of x_t, 6.*Received: an output of {channels}"):
        denoiser(*arguments())


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: d.Denoiser(DenoisingMLP((2,)), "cosine", "noise"), "parametrisation"),
        (lambda: d.Denoiser(DenoisingMLP((2,)), "cosines", "v"), "schedule"),
        (lambda: d.Denoiser(DenoisingMLP((2,)), d.ZeroTerminalSNR(d.LinearBeta()), "epsilon"), "without any signal"),
        (lambda: d.Denoiser(DenoisingMLP((2,)), "rectified", "score"), "without any signal"),
        (lambda: d.Denoiser(DenoisingMLP((2,)), "edm", "edm", data_scale=0.0), "data_scale"),
        (lambda: d.Clipped(two_normals(d.Cosine()), 1.0, -1.0), "low < high"),
        (lambda: d.Clipped(two_normals(d.Cosine()), quantile=1.0), "quantile"),
    ],
)
def test_bad_arguments_are_refused_with_what_is_wrong(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "Received" in str(caught.value)


class Fixed(d.Denoising):
    """Says what it was told."""

    def __init__(self, clean):
        self.schedule, self.clean = d.Cosine(), tensor(clean)

    def predict(self, x_t, level, condition=None, training=False):
        return d.Prediction(self.clean)


def test_thresholds():
    """Fixed: clipped. Dynamic: by the quantile of each example, where it is above 1, and divided by it."""
    x = np.array([[0.5, -3.0, 1.5, 0.1], [0.2, -0.4, 0.3, 0.1]])
    np.testing.assert_allclose(numpy(d.Clipped(Fixed(x))(tensor(x), tensor([0.5, 0.5]))), np.clip(x, -1, 1))
    found = numpy(d.Clipped(Fixed(x), quantile=0.75)(tensor(x), tensor([0.5, 0.5])))
    s = np.maximum(np.quantile(np.abs(x), 0.75, axis=1), 1.0)[:, None]
    np.testing.assert_allclose(found, np.clip(x, -s, s) / s, rtol=1e-5)
    in_program = backend.compile(d.Clipped(Fixed(x), quantile=0.75))(tensor(x), tensor([0.5, 0.5]))
    np.testing.assert_allclose(numpy(in_program), found, atol=1e-6)


def test_the_noise_of_a_prediction_makes_x_t_again():
    law = two_normals(d.Cosine())
    x, level = tensor(start(law, 5)), at(law.schedule, np.full(5, 0.4))
    prediction, wide = law.predict(x, level), level.over(x)
    again = wide.alpha * prediction.clean + wide.sigma * prediction.noise(x, wide)
    np.testing.assert_allclose(numpy(again), numpy(x), atol=1e-5)
