"""Laws of schedules, of grids of time and of weightings: ratios fall, inverses invert, formulas by hand."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen import diffusion as d
from keras_gen.diffusion.parametrisations import get_parametrisation
from tests.diffusion_cases import SCHEDULES, tensor

PRESERVING = [name for name in SCHEDULES if name not in ("sub_vp", "ve", "edm", "rectified", "rectified_blurred")]


def inner_times(schedule, n=400):
    """Times from the least one to 1, none of them one of the schedule's own, and 1."""
    t = np.random.default_rng(0).uniform(max(schedule.least_time, 1e-3), 1.0, n)
    return np.append(np.sort(t), 1.0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_ratio_falls_and_time_is_its_inverse(name):
    schedule = SCHEDULES[name]().check_monotone(5000)
    t = inner_times(schedule)
    assert (np.diff(schedule.log_snr(t)) < 0).all()
    alpha, sigma = schedule.alpha_sigma(t)
    np.testing.assert_allclose(schedule.log_snr(t), 2.0 * np.log(alpha / sigma), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(schedule.time(schedule.log_snr(t))[:-1], t[:-1], rtol=0, atol=1e-8)
    assert schedule.time(np.float64(100.0)) >= 0.0
    for lowest in (schedule.log_snr(np.float64(1.0)), np.float64(-100.0)):  # alpha is held at 1e-9, its slope 1 / 20
        assert schedule.time(lowest) == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("name", SCHEDULES)
def test_tensors_of_float32_give_what_float64_gives(name):
    schedule = SCHEDULES[name]()
    t = inner_times(schedule, 100)[:-1].astype("float32")
    exact = schedule.level(t.astype("float64"))
    level = [ops.convert_to_numpy(v) for v in schedule.level(tensor(t))]
    assert all(v.dtype == "float32" for v in level)
    for field, value, true in zip(d.Level._fields, level, exact, strict=True):
        # What is lost is the rounding of log alpha or of exp, at most 1e-5 of slopes that are hundreds.
        np.testing.assert_allclose(value, true, rtol=2e-5, atol=2e-5, err_msg=field)
    np.testing.assert_allclose(ops.convert_to_numpy(schedule.time(tensor(exact.log_snr))), t, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(schedule.time(tensor(level[3]))), t, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_derivatives_are_differences(name):
    schedule, h = SCHEDULES[name](), 1e-6
    t = inner_times(schedule)[:-1] * (1 - 2 * h)
    t = t[t > 2e-3]
    if schedule.steps is not None:  # away from the corners
        t = t[np.abs(t * schedule.steps - np.round(t * schedule.steps)) > 0.05]
    ahead, back = (np.array(schedule.alpha_sigma(t + s)) for s in (h, -h))
    np.testing.assert_allclose(schedule.derivatives(t), (ahead - back) / (2 * h), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["linear_short", "discrete_sigmoid"])
def test_at_the_times_of_a_chain_derivatives_are_of_the_step_that_ends_there(name):
    schedule, h = SCHEDULES[name](), 1e-7
    t = np.arange(1, schedule.steps + 1) / schedule.steps
    differences = (np.array(schedule.alpha_sigma(t)) - np.array(schedule.alpha_sigma(t - h))) / h
    np.testing.assert_allclose(schedule.derivatives(t), differences, rtol=1e-4, atol=1e-4)
    narrow = [ops.convert_to_numpy(v) for v in schedule.derivatives(tensor(t))]
    np.testing.assert_allclose(narrow, schedule.derivatives(t), rtol=1e-4)


@pytest.mark.parametrize("name", PRESERVING)
def test_variance_is_preserved(name):
    alpha, sigma = SCHEDULES[name]().alpha_sigma(np.linspace(0.0, 1.0, 301))
    np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, atol=1e-12)
    assert alpha[0] == pytest.approx(1.0, abs=1e-9) or name.startswith("zero")


def test_closed_forms():
    t, k = np.linspace(0.01, 1.0, 100), np.arange(1, 1001)
    alpha, sigma = d.VariancePreserving().alpha_sigma(t)
    integral = 0.1 * t + 0.5 * (20.0 - 0.1) * t**2  # of beta
    np.testing.assert_allclose(alpha, np.exp(-0.5 * integral), rtol=1e-12)
    np.testing.assert_allclose(sigma, np.sqrt(1.0 - np.exp(-integral)), rtol=1e-9)
    np.testing.assert_allclose(d.SubVariancePreserving().alpha_sigma(t)[1], 1.0 - np.exp(-integral), rtol=1e-9)
    product = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(d.LinearBeta().alpha_sigma(k / 1000)[0] ** 2, product, rtol=1e-9)
    product = np.cumprod(1.0 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    np.testing.assert_allclose(SCHEDULES["linear_scaled"]().alpha_sigma(k / 1000)[0] ** 2, product, rtol=1e-9)
    f = np.cos((np.append(0.0, t) + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(d.Cosine().alpha_sigma(t)[0] ** 2, f[1:] / f[0], rtol=1e-8, atol=1e-15)
    f = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    product = np.cumprod(1.0 - np.minimum(1.0 - f[1:] / f[:-1], 0.999))
    np.testing.assert_allclose(d.Discrete(d.Cosine()).alpha_sigma(k / 1000)[0] ** 2, product, rtol=1e-8)
    np.testing.assert_allclose(d.VarianceExploding().alpha_sigma(t), [t**0, 0.01 * 5000.0**t], rtol=1e-12)
    alpha, sigma = d.Rectified(0.1).alpha_sigma(t[:-1])
    np.testing.assert_allclose([alpha, sigma], [1.0 - t[:-1], 0.1 + 0.9 * t[:-1]], rtol=1e-12)
    gamma = 1.0 / (1.0 + np.exp(-(-3.0 + 6.0 * t)))  # Jabri et al.'s program, start -3, end 3, tau 1
    low, high = 1.0 / (1.0 + np.exp(3.0)), 1.0 / (1.0 + np.exp(-3.0))
    np.testing.assert_allclose(d.Sigmoid().alpha_sigma(t)[0] ** 2, (high - gamma) / (high - low), atol=1e-12)


def test_the_noise_levels_of_edm_are_those_of_karras_et_al():
    """Equation 5, i = 0, ..., n - 1; what follows there as a last 0 is our estimate of clean data."""
    i, n = np.arange(18), 18
    sigmas = (80.0 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80.0 ** (1 / 7))) ** 7
    np.testing.assert_allclose(d.EDMSigma().alpha_sigma(d.times(d.EDMSigma(), 18))[1], sigmas, rtol=1e-12)
    wide = d.VarianceExploding(0.002, 80.0)
    np.testing.assert_allclose(wide.alpha_sigma(d.times(wide, 18, "karras"))[1], sigmas, rtol=1e-9)


def test_zero_terminal_ratio_is_algorithm_1_of_lin_et_al():
    betas = np.linspace(1e-4, 0.02, 1000)
    root = np.sqrt(np.cumprod(1.0 - betas))
    first, last = root[0], root[-1]
    root = (root - last) * first / (first - last)
    alpha = d.ZeroTerminalSNR(d.LinearBeta()).alpha_sigma(np.arange(1, 1001) / 1000)[0]
    np.testing.assert_allclose(alpha, root, rtol=1e-9, atol=2e-9)  # the last is held at 1e-9
    assert root[-1] == 0.0 and alpha[-1] < 2e-9


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_configuration_makes_the_schedule_again(name):
    schedule = SCHEDULES[name]()
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    again = d.get_schedule(config)
    assert type(again) is type(schedule) and repr(again) == repr(schedule)
    t = inner_times(schedule, 10)
    np.testing.assert_array_equal(again.level(t), schedule.level(t))
    assert (again.steps, again.least_time) == (schedule.steps, schedule.least_time)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: d.VariancePreserving(0.0), "beta_min"),
        (lambda: d.VariancePreserving(2.0, 1.0), "beta_max"),
        (lambda: d.VariancePreserving(True), "beta_min"),
        (lambda: d.VariancePreserving(float("nan")), "beta_min"),
        (lambda: d.LinearBeta(0), "steps"),
        (lambda: d.LinearBeta(10.0), "steps"),
        (lambda: d.LinearBeta(10, 0.0), "beta_start"),
        (lambda: d.LinearBeta(10, 1e-4, 1.0), "beta_end"),
        (lambda: d.LinearBeta(10, 0.2, 0.1), "beta_end"),
        (lambda: d.Cosine(0.0), "offset"),
        (lambda: d.Cosine("0.1"), "offset"),
        (lambda: d.Sigmoid(3.0, -3.0), "end"),
        (lambda: d.Sigmoid(tau=0.0), "tau"),
        (lambda: d.Discrete(d.Rectified()), "alpha\\^2"),
        (lambda: d.Discrete(d.SubVariancePreserving()), "alpha\\^2"),
        (lambda: d.Discrete(d.Cosine(), -1), "steps"),
        (lambda: d.Discrete(d.Cosine(), 10, 1.0), "max_beta"),
        (lambda: d.ZeroTerminalSNR("cosine"), "alpha\\^2"),
        (lambda: d.VarianceExploding(0.0), "sigma_min"),
        (lambda: d.VarianceExploding(1.0, 0.5), "sigma_max"),
        (lambda: d.EDMSigma(rho=0.0), "rho"),
        (lambda: d.Rectified(1.0), "sigma_min"),
        (lambda: d.get_schedule("linear"), "Received: 'linear'"),
        (lambda: d.get_schedule(d.Cosine), "Expected `schedule`"),
        (lambda: d.get_weighting("flat"), "Received: 'flat'"),
        (lambda: d.MinSNR(0.0), "gamma"),
        (lambda: d.LogitNormal(deviation=0.0), "deviation"),
        (lambda: d.times(d.Cosine(), 10, "even"), "grid"),
        (lambda: d.times(d.Cosine(), 0), "steps"),
        (lambda: d.times(d.LinearBeta(20), 21), "at most 20"),
        (lambda: d.times(d.LinearBeta(20), 21, "log_snr"), "at most 20"),
        (lambda: d.times(d.Cosine(), 1001, "leading"), "at most 1000"),
        (lambda: d.times(d.Cosine(), 3, [0.1, 0.5]), "fall"),
        (lambda: d.times(d.Cosine(), 3, [0.5, 0.5]), "fall"),
        (lambda: d.times(d.Cosine(), 3, [1.2, 0.5]), "fall"),
        (lambda: d.times(d.Cosine(), 3, [0.5, 0.0]), "with noise"),
        (lambda: d.times(d.Cosine(), 3, []), "fall"),
        (lambda: d.times(d.Cosine(), 3, [0.5, float("nan")]), "fall"),
    ],
)
def test_bad_arguments_are_refused_with_what_is_wrong(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "Received" in str(caught.value)


@keras.saving.register_keras_serializable(package="tests")
class Wave(d.Schedule):
    """A ratio that rises for a while."""

    def alpha_sigma(self, t):
        sigma = 0.5 + 0.4 * np.sin(4.0 * t)
        return np.sqrt(1.0 - sigma**2), sigma


def test_a_schedule_whose_ratio_rises_is_refused():
    with pytest.raises(ValueError, match="falls with t.*Wave.*near t=0\\.3"):
        d.get_schedule(Wave())


# Grids.


def test_grids_by_hand():
    chain, flow, n = d.LinearBeta(), d.VariancePreserving(), 8
    i = np.arange(n)
    np.testing.assert_allclose(d.times(flow, n), np.linspace(1.0, 1e-3, n))
    np.testing.assert_allclose(d.times(flow, n, "trailing"), (n - i) / n)
    np.testing.assert_allclose(d.times(flow, n, "quadratic"), np.linspace(1.0, 1e-3**0.5, n) ** 2)
    np.testing.assert_allclose(d.times(chain, n) * 1000, np.round(1000 + i / (n - 1) * (1 - 1000)))
    np.testing.assert_allclose(d.times(chain, n, "trailing") * 1000, 1000 - 125 * i)
    np.testing.assert_allclose(d.times(chain, n, "leading") * 1000, 1 + 125 * i[::-1])
    ratio = flow.log_snr(d.times(flow, n, "log_snr"))
    np.testing.assert_allclose(ratio[1:], np.linspace(-10.0, flow.log_snr(1e-3), n)[1:], atol=1e-9)
    root = np.exp(-0.5 * flow.log_snr(d.times(flow, n, "karras", rho=3.0))) ** (1 / 3)
    np.testing.assert_allclose(np.diff(root[1:], 2), 0.0, atol=1e-9)
    np.testing.assert_array_equal(d.times(flow, 99, [0.9, 0.2]), [0.9, 0.2])


def test_grids_of_schedules_without_signal_begin_at_1_and_go_on_from_a_ratio_of_minus_10():
    for grid, back in (("log_snr", lambda v: v), ("karras", lambda v: np.exp(-v / 14))):
        t = d.times(d.Rectified(), 5, grid)
        assert t[0] == 1.0
        place = back(np.append(-10.0, d.Rectified().log_snr(t[1:])))
        np.testing.assert_allclose(np.diff(place, 2), 0.0, atol=1e-9)


@pytest.mark.parametrize("grid", d.GRIDS)
@pytest.mark.parametrize("name", ["vp", "linear_short", "zero_linear", "edm", "rectified"])
def test_times_are_distinct_and_have_noise(name, grid):
    schedule = SCHEDULES[name]()
    for n in (1, 2, 7, 33, 50):
        t = d.times(schedule, n, grid)
        assert t.shape == (n,) and t.dtype == np.float64 and (np.diff(t) < 0).all() and t[0] <= 1.0
        assert np.isfinite(schedule.log_snr(t)).all()
        if schedule.steps is not None and grid in ("uniform", "trailing", "leading", "quadratic"):
            np.testing.assert_allclose(t * schedule.steps, np.round(t * schedule.steps), atol=1e-9)
        assert grid == "leading" or t[0] == 1.0


# Weightings.


def test_weights_by_hand():
    schedule, t = d.VariancePreserving(), np.linspace(0.05, 0.95, 7)
    level, snr = schedule.level(tensor(t)), np.exp(schedule.log_snr(t))
    s, h = snr**-0.5, 1e-6
    slope = (np.exp(schedule.log_snr(t + h)) - np.exp(schedule.log_snr(t - h))) / (2 * h)
    wanted = {
        d.Target(): 1.0 + snr,  # of v
        d.Simple(): snr,
        d.SNR(): snr + 1.0,
        d.MinSNR(): np.minimum(snr, 5.0),
        d.EDMLogNormal(): (s**2 + 0.25) / (0.5 * s) ** 2,
        d.Likelihood(): -0.5 * slope,
        d.LogitNormal(): 1.0 + snr,
    }
    for weighting, weights in wanted.items():
        value = ops.convert_to_numpy(weighting.weight(level, get_parametrisation("v")))
        np.testing.assert_allclose(value, weights, rtol=2e-5, err_msg=repr(weighting))
        config = keras.saving.serialize_keras_object(weighting)
        assert repr(d.get_weighting(json.loads(json.dumps(config)))) == repr(weighting)


@pytest.mark.parametrize("name", ["vp", "linear_short", "edm", "rectified"])
def test_the_law_of_training_times(name):
    """u equally spaced over [0, 1): a Kolmogorov distance of 1 / n and what float32 rounds."""
    schedule, n = SCHEDULES[name](), 4000
    u = tensor((np.arange(n) + 0.5) / n)
    t = ops.convert_to_numpy(d.Simple().times(u, schedule))
    if schedule.steps is not None:
        values, counts = np.unique(np.round(t * schedule.steps), return_counts=True)
        assert (values == np.arange(1, 51)).all() and (np.abs(counts - n / 50) <= 1).all()
    else:
        least = max(schedule.least_time, 1e-5)
        assert stats.kstest(t, "uniform", (least, 1.0 - least)).statistic < 1e-3
    logit = ops.convert_to_numpy(d.LogitNormal(0.5, 0.8).times(u, schedule)).astype("float64")
    inner = logit > max(schedule.least_time, 1e-5)
    logit = np.log(logit[inner]) - np.log1p(-logit[inner])
    assert stats.kstest(logit, "norm", (0.5, 0.8)).statistic < 2e-3 + (~inner).mean()
    log_sigma = -0.5 * schedule.log_snr(ops.convert_to_numpy(d.EDMLogNormal().times(u, schedule)).astype("float64"))
    assert stats.kstest(log_sigma, "norm", (-1.2, 1.2)).statistic < 5e-3


@pytest.mark.parametrize("name", ["cosine", "rectified", "edm"])
def test_times_of_little_noise_have_some(name):
    """Levels below all of a schedule: rounded to t = 0, an infinite weight would be the loss."""
    schedule, weighting = SCHEDULES[name](), d.EDMLogNormal(-12.0, 2.0)
    t = weighting.times(ops.convert_to_tensor(np.linspace(0.0, 0.999, 9, dtype="float32")), schedule)
    weight = ops.convert_to_numpy(weighting.weight(schedule.level(t), None))
    assert (ops.convert_to_numpy(t) > 0).all() and np.isfinite(weight).all()
