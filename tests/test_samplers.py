"""Laws of samplers on laws whose posterior mean has a closed form: orders of convergence, laws, seeds, one program."""

import functools
import json

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen import backend, random
from keras_gen import diffusion as d
from keras_gen.diffusion.samplers import multistep
from tests.diffusion_cases import (
    DETERMINISTIC,
    SAMPLERS,
    SCHEDULES,
    STOCHASTIC,
    drawn,
    flow_of_normal,
    interpreted,
    law_after,
    loop,
    noise_of,
    normal,
    start,
    tensor,
    two_normals,
)

RATIOS = -2.0 * np.log(np.array([5.0, 0.05]))  # log SNR from sigma / alpha = 5 to 0.05


def graded(schedule, n):
    """n steps of log SNR, square in their index.

    The first step is of the square of the length of the others: what it loses by being of first order, and the second
    one by being of second order, is of fourth order, so that the order of the solver is seen and not that of its start.
    """
    return schedule.time(RATIOS[0] + (RATIOS[1] - RATIOS[0]) * np.linspace(0.0, 1.0, n + 1) ** 2)


def noisy(denoiser, n=32):
    """x at the first time of `graded`."""
    return denoiser.draw(n, 0, *denoiser.schedule.alpha_sigma(graded(denoiser.schedule, 1)[0]))


def errors(sampler, denoiser, exact, counts=(40, 80, 160)):
    """Root mean squares against `exact(x)`, for grids of these steps, in float64."""
    x = noisy(denoiser)
    found = (interpreted(sampler, denoiser, graded(denoiser.schedule, n), x) for n in counts)
    return np.array([np.sqrt(np.mean((y - exact(x)) ** 2)) for y in found])


def closed_form(denoiser):
    """The flow of a normal law from the first to the last time of `graded`, then the estimate of x_0."""
    first, last = graded(denoiser.schedule, 1)
    level = [np.full((1, 1), v) for v in denoiser.schedule.alpha_sigma(last)]
    return lambda x: denoiser.clean(flow_of_normal(denoiser, x, first, last), *level)


@functools.cache
def best(make):
    """The denoiser that `make` gives on VP, and what the solver of fourth order with 600 steps makes, right to 2e-9."""
    denoiser = make(d.VariancePreserving())
    times = graded(denoiser.schedule, 600)
    return denoiser, interpreted(d.AdamsBashforth(4, "rectified"), denoiser, times, noisy(denoiser))


def order(errors):
    return np.log2(errors[:-1] / errors[1:])[-1]


@pytest.mark.parametrize("schedule", ["vp", "edm", "rectified", "cosine"])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_error_on_a_normal_law_falls_by_the_order(name, schedule):
    """Against the closed form, which needs no other solver."""
    denoiser, sampler = normal(SCHEDULES[schedule]()), SAMPLERS[name]()
    found = errors(sampler, denoiser, closed_form(denoiser))
    assert order(found) == pytest.approx(sampler.order, abs=0.15) and found[-1] < 0.03


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_error_on_a_mixture_falls_by_the_order(name):
    """Against `best`."""
    (denoiser, exact), sampler = best(two_normals), SAMPLERS[name]()
    assert order(errors(sampler, denoiser, lambda x: exact)) == pytest.approx(sampler.order, abs=0.15)


def test_without_the_2_of_newtons_form_the_third_order_is_lost(monkeypatch):
    """D_2 = 2 (a - b) / (r_0 + r_1) of equation (2); without the 2, as elsewhere, the solver is of second order."""
    for make in (normal, two_normals):
        (denoiser, exact), solver = best(make), d.DPMSolverPlusPlus(3)
        with_2 = errors(solver, denoiser, lambda x, exact=exact: exact)
        with monkeypatch.context() as patch:
            whole = multistep._third_order
            patch.setattr(
                multistep, "_third_order", lambda a, b, phi_3, *r, whole=whole: whole(a, b, 0.5 * phi_3, *r)
            )
            without = errors(solver, denoiser, lambda x, exact=exact: exact)
        assert order(with_2) == pytest.approx(3.0, abs=0.15)
        assert order(without) == pytest.approx(2.0, abs=0.15) and without[-1] > 5.0 * with_2[-1]


def test_relations_between_samplers():
    """DDIM is DPM-Solver++ of first order and Euler in both coordinates; with eta 1 it is DDPM's chain."""
    for schedule in (d.VariancePreserving(), d.EDMSigma(), d.Rectified(0.01)):
        denoiser, times = two_normals(schedule), d.times(schedule, 9)
        x, same = start(denoiser, 20), {"rtol": 0, "atol": 1e-7}  # a signal of 1e-9 at t = 1 costs digits
        euler = d.AdamsBashforth(1), d.AdamsBashforth(1, "rectified"), d.DPMSolverPlusPlus(1)
        for other in euler:
            y, z = (interpreted(sampler, denoiser, times, x) for sampler in (d.DDIM(), other))
            np.testing.assert_allclose(y, z, **same)
        y, z, w = (
            interpreted(sampler, denoiser, times, x, drawn(0, x.shape))
            for sampler in (d.DDIM(1.0), d.Ancestral(), d.DPMSolverPlusPlus(1, eta=1.0))
        )
        np.testing.assert_allclose(y, z, **same)
        # lambda's form of the same normal law: e^(-2 h) of x and 1 - e^(-2 h) of D is equation (2) of schedules.
        np.testing.assert_allclose(y, w, **same)


@pytest.mark.parametrize("schedule", ["vp", "edm", "rectified"])
def test_the_adaptive_probability_flow(schedule):
    """To its tolerances, on the closed form; a law of many steps agrees on a mixture."""
    schedule = SCHEDULES[schedule]()
    denoiser = normal(schedule)
    x = start(denoiser, 8)
    least = d.flow.least_time(schedule)
    run = backend.compile(lambda x: d.ProbabilityFlow(2e-6, 2e-6).solve(denoiser, x).state)
    scale = np.abs(x).max()
    np.testing.assert_allclose(
        ops.convert_to_numpy(run(tensor(x))), flow_of_normal(denoiser, x, 1.0, least), atol=2e-5 * scale
    )
    mixture = two_normals(schedule)
    run = backend.compile(lambda x: d.ProbabilityFlow(2e-6, 2e-6).sample(mixture, x))
    x = start(mixture, 8)
    times = d.times(schedule, 400, "log_snr")
    many = interpreted(d.AdamsBashforth(3, "rectified"), mixture, times, x)
    np.testing.assert_allclose(ops.convert_to_numpy(run(tensor(x))), many, atol=2e-3)


def test_the_flow_of_a_schedule_whose_slope_is_infinite_at_the_end():
    """Sigmoid's alpha is a square root there: the flow begins 1e-5 before, where alpha is 0.002."""
    denoiser = normal(d.Sigmoid())
    x, least = start(denoiser, 8), d.flow.least_time(denoiser.schedule)
    solution = d.ProbabilityFlow(1e-5, 1e-5).solve(denoiser, tensor(x))
    assert ops.convert_to_numpy(solution.success).all()
    wanted = flow_of_normal(denoiser, x, 1.0, least)
    np.testing.assert_allclose(ops.convert_to_numpy(solution.state), wanted, atol=4e-3)
    assert d.flow.last_time(d.Cosine()) == d.flow.last_time(d.EDMSigma()) == 1.0


# The loop.


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_compiled_loop_is_equation_1(name):
    """float32 in a program, with the noise of the keys, against float64 in numpy."""
    schedule = d.Rectified() if "rectified" in name else d.VariancePreserving()
    denoiser, sampler = two_normals(schedule), SAMPLERS[name]()
    times, keys, x = d.times(schedule, 6), random.keys(3, 5), start(denoiser, 5).astype("float32")
    assert len(sampler.turns(schedule, times)) == sampler.evaluations(6)
    found = loop(sampler, denoiser, times)(x, keys)
    wanted = interpreted(sampler, denoiser, times, x.astype("float64"), noise_of(keys, (2,)))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["heun_churn", "predictor_corrector", "dpm_sde"])
def test_a_sample_depends_on_its_key_alone(name):
    """Compiled or eager, in one batch or in two; another seed is another sample; without noise the seed is nothing."""
    denoiser, sampler = two_normals(d.VariancePreserving()), SAMPLERS[name]()
    times, keys, x = d.times(denoiser.schedule, 5), random.keys(3, 8), start(denoiser, 8)
    run = loop(sampler, denoiser, times)
    whole = run(x, keys)
    if name == "heun_churn":
        eager = loop(sampler, denoiser, times, compiled=False)
        np.testing.assert_allclose(eager(x, keys), whole, rtol=1e-5, atol=1e-5)
    parts = [run(x[i:j], keys[i:j]) for i, j in ((0, 4), (4, 8))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-5)
    other = run(x, random.keys(4, 8))
    assert np.abs(other - whole).min(axis=1).max() > 0.05
    cold = loop(sampler, denoiser, times, temperature=0.0)
    np.testing.assert_array_equal(cold(x, keys), cold(x, random.keys(4, 8)))


class Learned(d.Denoising):
    """A denoiser that says where its variances lie."""

    learned_variance = True

    def __init__(self, denoiser, place):
        self.denoiser, self.schedule, self.place = denoiser, denoiser.schedule, place

    def predict(self, x_t, level, condition=None, training=False):
        prediction = self.denoiser.predict(x_t, level, condition)
        return prediction._replace(variance=ops.full_like(x_t, self.place))


def test_learned_variances_at_their_bounds_are_the_fixed_ones():
    """And half-way, the noise of a first step is the geometric mean of theirs."""
    denoiser = two_normals(d.VariancePreserving())
    times, keys, x = d.times(denoiser.schedule, 5), random.keys(0, 6), start(denoiser, 6)
    for place, bound in ((0.0, "small"), (1.0, "large")):
        found = loop(d.Ancestral("learned"), Learned(denoiser, place), times)(x, keys)
        np.testing.assert_allclose(found, loop(d.Ancestral(bound), denoiser, times)(x, keys), atol=2e-5)
    small, large, learned = (d.Ancestral(v).turns(denoiser.schedule, times)[1] for v in ("small", "large", "learned"))
    assert learned.extra["log_small"] == pytest.approx(2.0 * np.log(small.noise))
    assert learned.extra["log_large"] == pytest.approx(2.0 * np.log(large.noise))
    with pytest.raises(ValueError, match="learns no variances"):
        loop(d.Ancestral("learned"), denoiser, times, compiled=False)(x, keys)


class Counted(d.Denoising):
    """A denoiser that counts how often Python runs it."""

    def __init__(self, denoiser):
        self.denoiser, self.schedule, self.calls = denoiser, denoiser.schedule, 0

    def predict(self, x_t, level, condition=None, training=False):
        self.calls += 1
        return self.denoiser.predict(x_t, level, condition)


@pytest.mark.skipif(keras.config.backend() == "torch", reason="torch runs eagerly: nothing is compiled")
def test_one_program_for_any_number_of_steps():
    """Tables are arguments of 1024 rows: other steps, grids and schedules trace nothing anew."""
    denoiser = Counted(two_normals(d.VariancePreserving()))
    sampler, keys, x = d.DPMSolverPlusPlus(2), random.keys(0, 3), start(denoiser.denoiser, 3)
    run = backend.compile(
        lambda x, table, count: sampler.advance(denoiser, sampler.begin(x), keys, table, 0, count)["x"], loop=True
    )
    counts = []
    for steps, grid in ((3, "uniform"), (40, "log_snr"), (7, "trailing")):
        table, turns = sampler.table(denoiser.schedule, d.times(denoiser.schedule, steps, grid))
        assert turns == steps and len(table["x"]) == 1024
        y = run(tensor(x), {k: tensor(v) for k, v in table.items()}, ops.convert_to_tensor(turns, "int32"))
        wanted = interpreted(sampler, denoiser.denoiser, d.times(denoiser.schedule, steps, grid), x)
        np.testing.assert_allclose(ops.convert_to_numpy(y), wanted, atol=1e-4)
        counts.append(denoiser.calls)
    assert counts[0] == counts[-1] <= 3


def test_a_loop_goes_on_where_it_stopped():
    denoiser, sampler = two_normals(d.VariancePreserving()), d.AdamsBashforth(3)
    times, keys, x = d.times(denoiser.schedule, 8), random.keys(0, 4), start(denoiser, 4)
    table, turns = sampler.table(denoiser.schedule, times, 0)
    table, state = {k: tensor(v) for k, v in table.items()}, sampler.begin(tensor(x))
    for first, count in ((0, 3), (3, 1), (4, turns - 4)):
        state = sampler.advance(denoiser, state, keys, table, first, count)
    whole = loop(sampler, denoiser, times, compiled=False)(x, keys)
    np.testing.assert_array_equal(ops.convert_to_numpy(state["x"]), whole)


# Laws of samples.


def deviation(found, wanted):
    """Largest difference of mean and of covariance."""
    return max(np.abs(a - b).max() for a, b in zip(found, wanted, strict=True))


CHAINS = {
    **{name: SAMPLERS[name] for name in STOCHASTIC if name != "annealed_langevin"},
    "heun_churn": lambda: d.Heun(churn=4.0),  # inflation is an error that does not fall
    "dpm_sde_1": lambda: d.DPMSolverPlusPlus(1, eta=1.0),
    "dpm_sde_3": lambda: d.DPMSolverPlusPlus(3, eta=1.0),
    "ddim_half": lambda: d.DDIM(0.5),
    "repaint_large": lambda: d.RePaint(d.Ancestral("large"), 4),
}


@pytest.mark.parametrize("name", CHAINS)
def test_the_exact_law_of_a_chain_tends_to_that_of_the_data(name):
    """On a normal law it is normal, and known without any draw. The error is of first order in the step, or better."""
    denoiser = normal(d.EDMSigma())
    found = [
        deviation(law_after(CHAINS[name](), denoiser, d.times(denoiser.schedule, n, "log_snr")), denoiser.moments())
        for n in (100, 200, 400)
    ]
    assert found[-1] < 0.03 and order(np.array(found)) > 0.8


def test_ddpms_chain_by_hand():
    """DDPM on N(0, v): equations 6, 7 and algorithm 2 written anew, the variance after T = 10 steps."""
    betas, v = np.linspace(0.02, 0.4, 10), 0.3
    chain = d.LinearBeta(10, 0.02, 0.4)
    denoiser = normal(chain, (0.0, 0.0), (v, v))
    bar = np.append(1.0, np.cumprod(1.0 - betas))
    for sampler, small in ((d.Ancestral(), True), (d.Ancestral("large"), False)):
        variance = bar[-1] * v + 1.0 - bar[-1]
        for k in range(10, 0, -1):
            gain = np.sqrt(bar[k]) * v / (bar[k] * v + 1.0 - bar[k])  # of the posterior mean
            of_clean = np.sqrt(bar[k - 1]) * betas[k - 1] / (1.0 - bar[k])
            of_x = np.sqrt(1.0 - betas[k - 1]) * (1.0 - bar[k - 1]) / (1.0 - bar[k])
            spread = betas[k - 1] * ((1.0 - bar[k - 1]) / (1.0 - bar[k]) if small else 1.0)
            variance = (of_clean * gain + of_x) ** 2 * variance + (spread if k > 1 else 0.0)
        mean, covariance = law_after(sampler, denoiser, d.times(chain, 10))
        np.testing.assert_allclose(covariance, variance * np.eye(2), atol=1e-12)
        np.testing.assert_allclose(mean, 0.0, atol=1e-12)


def test_langevin_steps_have_the_law_of_their_recursion():
    """At one level: x <- (1 - c/2) x + c/2 alpha D + sqrt(c) sigma z.

    Of a normal law with variance S it is an autoregression with coefficient a = 1 - c sigma^2 / (2 S), of variance
    c sigma^2 / (1 - a^2) = S / (1 - c sigma^2 / (4 S)).
    """
    schedule, c = d.VarianceExploding(0.5, 50.0), 0.2
    denoiser = normal(schedule, (0.0, 0.0), (1.0, 1.0))
    total = 1.0 + 0.25
    stationary = total / (1.0 - c * 0.25 / (4.0 * total))
    end = np.array([0.0])  # one level, the least: 400 steps forget where they began
    mean, covariance = law_after(d.AnnealedLangevin(400, c), denoiser, end)
    np.testing.assert_allclose(covariance, stationary / total**2 * np.eye(2), rtol=1e-3, atol=1e-12)  # D = x / S
    np.testing.assert_allclose(mean, 0.0, atol=1e-12)


def test_the_steps_of_a_corrector_by_hand():
    """x + e g + sqrt(2 e) z with e = 2 a r^2 sigma_s^2, a = alpha_t^2 / alpha_s^2, after each step of the predictor."""
    schedule, r = d.VariancePreserving(), 0.16
    times = d.times(schedule, 4)
    turns = d.PredictorCorrector(corrections=2, signal_to_noise=r).turns(schedule, times)
    assert [turn.t for turn in turns] == [times[i] for i in (0, 1, 1, 1, 2, 2, 2, 3, 3, 3)]
    (alpha, _), (alpha_s, sigma_s) = (schedule.alpha_sigma(t) for t in times[:2])
    e = 2.0 * (alpha / alpha_s) ** 2 * r**2 * sigma_s**2
    for turn in turns[1:3]:
        assert turn.x == pytest.approx(1.0 - e / sigma_s**2) and turn.noise == pytest.approx(np.sqrt(2.0 * e))
        assert turn.predictions[0] == pytest.approx(e * alpha_s / sigma_s**2) and turn.after == times[1]
    assert turns[0] == d.Ancestral().turns(schedule, times)[0] and turns[-1].predictions == (1.0,)


def assert_same_law(found, wanted, bias=0.0):
    """Mean and covariance within 4.5 standard errors and `bias`; Kolmogorov's test along three directions."""
    n = len(found)
    mean, covariance = wanted.mean(axis=0), np.cov(wanted.T)
    spread = np.sqrt(np.diag(covariance))
    assert (np.abs(found.mean(axis=0) - mean) < 4.5 * spread * np.sqrt(2.0 / n) + bias).all()
    assert (np.abs(np.cov(found.T) - covariance) < 4.5 * np.outer(spread, spread) * 2.0 / np.sqrt(n) + bias).all()
    for direction in ((1.0, 0.0), (0.0, 1.0), (0.8, 0.6)):
        result = stats.ks_2samp(found @ direction, wanted @ direction)
        assert result.statistic < 1.95 * np.sqrt(2.0 / n) + bias, direction  # p = 0.001, if there is no bias


@pytest.mark.parametrize("name", STOCHASTIC)
def test_noisy_samplers_leave_the_law_of_the_data(name):
    """A mixture, where D is not affine; in numpy, by equation (1), which the test of the loop ties to the program."""
    schedule = d.VariancePreserving()
    denoiser, langevin = two_normals(schedule), name == "annealed_langevin"
    sampler = d.AnnealedLangevin(20, 0.2) if langevin else SAMPLERS[name]()
    times = d.times(schedule, 30 if langevin else 60, "log_snr")
    x = start(denoiser, 2000, seed=1)
    found = interpreted(sampler, denoiser, times, x, drawn(2, x.shape))
    assert_same_law(found, denoiser.draw(2000, seed=3), bias=0.02)  # steps of finite size


def test_compiled_samples_have_the_law_of_the_chain():
    """Noise of the keys: mean, covariance and distribution of 4000 samples against the exact law of 30 steps."""
    denoiser = normal(d.VariancePreserving())
    times = d.times(denoiser.schedule, 30, "log_snr")
    mean, covariance = law_after(d.Ancestral(), denoiser, times)
    found = loop(d.Ancestral(), denoiser, times)(start(denoiser, 4000), random.keys(5, 4000))
    white = np.linalg.solve(np.linalg.cholesky(covariance), (found - mean).T).T
    np.testing.assert_allclose(white.mean(axis=0), 0.0, atol=4.5 / np.sqrt(4000))
    np.testing.assert_allclose(np.cov(white.T), np.eye(2), atol=4.5 * np.sqrt(2.0 / 4000))
    assert stats.kstest(white.ravel(), "norm").pvalue > 1e-3


# What is refused, and what is kept.


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_configuration_makes_the_sampler_again(name):
    sampler = SAMPLERS[name]()
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(sampler)))
    again = d.get_sampler(config)
    schedule = d.Rectified() if "rectified" in name else d.VariancePreserving()
    (a, n), (b, m) = (s.table(schedule, d.times(schedule, 6), 20) for s in (sampler, again))
    assert type(again) is type(sampler) and n == m and all(np.array_equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: d.DDIM(-0.5), "eta"),
        (lambda: d.DDIM(9.0).table(d.Cosine(), d.times(d.Cosine(), 5)), "eta"),
        (lambda: d.Ancestral("medium"), "variance"),
        (lambda: d.Heun(churn=-1.0), "churn"),
        (lambda: d.Heun(inflation=0.0), "inflation"),
        (lambda: d.Heun(least=1.0, most=0.5), "most"),
        (lambda: d.Heun(most=None), "most"),
        (lambda: d.Heun(variable="sigma"), "variable"),
        (lambda: d.DPMSolverPlusPlus(4), "order"),
        (lambda: d.DPMSolverPlusPlus(2.0), "order"),
        (lambda: d.DPMSolverPlusPlus(2, eta=-1.0), "eta"),
        (lambda: d.AdamsBashforth(0), "order"),
        (lambda: d.AdamsBashforth(2.0), "order"),
        (lambda: d.AdamsBashforth(2, "time"), "variable"),
        (lambda: d.AnnealedLangevin(0), "inner_steps"),
        (lambda: d.AnnealedLangevin(3, 0.0), "step_size"),
        (lambda: d.AnnealedLangevin().table(d.Cosine(), d.times(d.Cosine(), 9)), "some signal"),
        (lambda: d.Euler().table(d.Sigmoid(), d.times(d.Sigmoid(), 9)), "finite slopes"),
        (lambda: d.PredictorCorrector(corrections=0), "corrections"),
        (lambda: d.PredictorCorrector(signal_to_noise=0.0), "signal_to_noise"),
        (lambda: d.PredictorCorrector("heun"), "predictor"),
        (lambda: d.PredictorCorrector("dpm_solver_plus_plus"), "predictor"),
        (lambda: d.PredictorCorrector(d.AdamsBashforth(1)), "predictor"),
        (lambda: d.RePaint("heun"), "remembers nothing"),
        (lambda: d.RePaint(d.AdamsBashforth(1)), "remembers nothing"),
        (lambda: d.RePaint(d.Ancestral("learned")), "fixed variance"),
        (lambda: d.RePaint(resamples=0), "resamples"),
        (lambda: d.ProbabilityFlow(rtol=0.0), "rtol"),
        (lambda: d.get_sampler("dopri5"), "Received: 'dopri5'"),
        (lambda: d.DPMSolverPlusPlus(3).table(d.Cosine(), d.times(d.Cosine(), 2)), "at least 3 steps"),
        (lambda: d.AdamsBashforth(4).table(d.Cosine(), d.times(d.Cosine(), 3)), "at least 4 steps"),
    ],
)
def test_bad_arguments_are_refused_with_what_is_wrong(make, words):
    with pytest.raises(ValueError, match=words) as caught:
        make()
    assert "Received" in str(caught.value)
