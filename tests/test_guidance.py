"""Laws of guidance and of in-painting, on laws whose conditional ones have a closed form."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_gen import backend, random
from keras_gen import diffusion as d
from keras_gen.diffusion.inpainting import replacement
from tests.diffusion_cases import (
    SCHEDULES,
    Mixture,
    drawn,
    interpreted,
    loop,
    noise_of,
    normal,
    start,
    tensor,
    two_normals,
)


def numpy(x):
    return ops.convert_to_numpy(x).astype("float64")


def level(schedule, t):
    return d.Level(*(tensor(v) for v in schedule.level(np.asarray(t, "float64"))))


def score(law, x, alpha, sigma):
    """grad log p_t(x) of the law, by differences of its log density."""
    h, log_density = 1e-5, lambda y: law.log_density(y, alpha, sigma)
    return np.stack([(log_density(x + h * e) - log_density(x - h * e)) / (2 * h) for e in np.eye(x.shape[1])], axis=1)


def parts(law):
    """The laws given each component."""
    return [Mixture(law.schedule, [m], [s], basis=law.basis) for m, s in zip(law.means, law.spectra, strict=True)]


FIRST, BOTH = tensor([[1.0, 0.0]] * 6), tensor([[0.0, 0.0]] * 6)


@pytest.mark.parametrize("schedule", ["vp", "edm", "rectified_blurred"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_guidance_without_a_classifier_tilts_the_score_of_each_level(scale, schedule):
    """score' = score + s (score given c - score), from log densities: nothing of D."""
    law = two_normals(SCHEDULES[schedule]())
    for t in (0.2, 0.6):
        alpha, sigma = law.schedule.alpha_sigma(np.float64(t))
        x = law.draw(6, 3, alpha, sigma)
        found = d.ClassifierFree(law, scale).predict(tensor(x), level(law.schedule, np.full(6, t)), FIRST).clean
        whole, given = score(law, x, alpha, sigma), score(parts(law)[0], x, alpha, sigma)
        wanted = whole + scale * (given - whole)
        np.testing.assert_allclose((alpha * numpy(found) - x) / sigma**2, wanted, rtol=1e-3, atol=1e-3 / sigma)


def test_guidance_between_two_normals_of_one_variance_is_a_shift_in_closed_form():
    """D' = m' + k (x - alpha m'), m' = m + s (m_c - m): for p = N(m, v), p given c = N(m_c, v)."""
    v, m, m_c, s, t = 0.3, np.array([0.1, -0.2]), np.array([1.0, 0.5]), 2.5, 0.4
    schedule = d.VariancePreserving()

    class Shifted(d.Denoising):
        def __init__(self):
            self.schedule = schedule

        def predict(self, x_t, here, condition=None, training=False):
            wide = here.over(x_t)
            mean = tensor(m) + condition[:, :1] * tensor(m_c - m)
            shrink = wide.alpha * v / (wide.alpha**2 * v + wide.sigma**2)
            return d.Prediction(mean + shrink * (x_t - wide.alpha * mean))

    x, (alpha, sigma) = np.random.default_rng(0).normal(size=(6, 2)), schedule.alpha_sigma(np.float64(t))
    found = d.ClassifierFree(Shifted(), tensor(s)).predict(tensor(x), level(schedule, np.full(6, t)), FIRST).clean
    mean = m + s * (m_c - m)
    wanted = mean + alpha * v / (alpha**2 * v + sigma**2) * (x - alpha * mean)
    np.testing.assert_allclose(numpy(found), wanted, atol=1e-5)


def exact_classifier(law, component=0):
    def log_probability(x, log_snr):
        here = law.schedule.level(law.schedule.time(log_snr)).over(x)
        return law.log_posterior(x, here.alpha, here.sigma)[:, component]

    return log_probability


@pytest.mark.parametrize("schedule", ["vp", "edm"])
def test_an_exact_classifier_at_scale_1_gives_the_conditional_law(schedule):
    """Bayes: score of p(x_t) and gradient of log p(c given x_t) are the score of p(x_t given c)."""
    law = two_normals(SCHEDULES[schedule]())
    t = np.array([0.05, 0.2, 0.35, 0.5, 0.65, 0.8])
    alpha, sigma = law.schedule.alpha_sigma(t)
    x, here = law.draw(6, 3, alpha[:, None], sigma[:, None]), level(law.schedule, t)
    guided = d.ClassifierGuided(law, exact_classifier(law))
    found = numpy(guided.predict(tensor(x), here).clean)
    wanted = numpy(law.predict(tensor(x), here, FIRST).clean)
    np.testing.assert_allclose(found, wanted, atol=2e-3 * max(1.0, sigma.max() / 10))
    none = numpy(d.ClassifierGuided(law, exact_classifier(law), 0.0).predict(tensor(x), here).clean)
    np.testing.assert_allclose(none, numpy(law.predict(tensor(x), here).clean), atol=1e-6)


@pytest.mark.parametrize("schedule", ["vp", "cosine", "rectified"])
def test_guided_samples_are_of_the_component(schedule):
    """By the loop, compiled, both ways of guidance with scale 1: those of the conditional law itself."""
    law = two_normals(SCHEDULES[schedule]())
    times = d.times(law.schedule, 12, "log_snr")
    x, keys = start(law, 6), random.keys(0, 6)
    wanted = interpreted(d.DPMSolverPlusPlus(2), parts(law)[0], times, x)
    free = loop(d.DPMSolverPlusPlus(2), d.ClassifierFree(law, 1.0), times, FIRST)(x, keys)
    by_classifier = loop(d.DPMSolverPlusPlus(2), d.ClassifierGuided(law, exact_classifier(law)), times)(x, keys)
    np.testing.assert_allclose(free, wanted, atol=1e-4)
    without_signal = schedule != "vp"  # the first step knows no class
    np.testing.assert_allclose(by_classifier, wanted, atol=1e-2 if without_signal else 1e-3)


def test_a_classifier_that_gives_all_classes_is_refused():
    law = two_normals(d.VariancePreserving())
    guided = d.ClassifierGuided(law, lambda x, log_snr: x)
    with pytest.raises(ValueError, match=r"one number an example.*Received: shape \(6, 2\)"):
        guided.predict(tensor(start(law, 6)), level(law.schedule, np.full(6, 0.5)))


def test_what_stands_for_no_condition_is_an_argument():
    law, asked = two_normals(d.VariancePreserving()), []

    def second(condition):
        asked.append(condition.shape)
        return tensor([[0.0, 1.0]] * 6)

    x, here = tensor(start(law, 6)), level(law.schedule, np.full(6, 0.3))
    a, b = (numpy(law.predict(x, here, c).clean) for c in (FIRST, tensor([[0.0, 1.0]] * 6)))
    found = d.ClassifierFree(law, 2.0, second).predict(x, here, FIRST).clean
    np.testing.assert_allclose(numpy(found), b + 2.0 * (a - b), atol=1e-5)
    assert len(asked) == 1


# In-painting.

KNOWN = np.array([1.0, 0.0])


def replaced(x, rng):
    """Equation (1) of in-painting, in numpy."""
    return lambda x_s, alpha, sigma: np.where(KNOWN > 0.5, alpha * x + sigma * rng.normal(size=x.shape), x_s)


def conditional(law, value):
    """Mean and variance of the second coordinate given the first."""
    mean, covariance = law.moments()
    slope = covariance[0, 1] / covariance[0, 0]
    return mean[1] + slope * (value - mean[0]), covariance[1, 1] - slope * covariance[0, 1]


@pytest.mark.parametrize("value", [1.6, -0.5])
def test_repaint_draws_from_the_conditional_law_and_replacement_does_not(value):
    """Its steps of finite size lose a tenth of a deviation; what replacement alone loses is of another size."""
    law, n = normal(d.VariancePreserving()), 2000
    mean, variance = conditional(law, value)
    times, x = d.times(law.schedule, 50, "log_snr"), np.tile([value, 9.0], (n, 1))
    found = {}
    for resamples in (1, 10):
        sampler = d.RePaint(d.Ancestral("large"), resamples)
        y = interpreted(
            sampler, law, times, start(law, n, 1), drawn(2, (n, 2)), constrain=replaced(x, np.random.default_rng(3))
        )
        assert (y[:, 0] == value).all()
        found[resamples] = (y[:, 1].mean() - mean) / variance**0.5, y[:, 1].var() / variance
    error = {k: abs(shift) + abs(ratio - 1.0) for k, (shift, ratio) in found.items()}
    assert abs(found[10][0]) < 0.2 and found[10][1] == pytest.approx(1.0, abs=0.3)
    assert error[1] > 3.0 * error[10]


def test_the_known_part_is_kept_and_the_loop_is_that_of_numpy():
    """Known everywhere: the data themselves, exactly. Known nowhere: as without. In part: that part, exactly."""
    law = two_normals(d.VariancePreserving())
    times, keys = d.times(law.schedule, 6), random.keys(0, 5)
    x, first, sampler = law.draw(5, 4).astype("float32"), start(law, 5), d.RePaint(resamples=2)
    masks = {"all": np.ones((5, 2)), "none": np.zeros((5, 2)), "part": np.tile(KNOWN, (5, 1))}
    found = {
        name: loop(sampler, law, times, constrain=replacement(tensor(x), tensor(mask)))(first, keys)
        for name, mask in masks.items()
    }
    np.testing.assert_array_equal(found["all"], x)
    np.testing.assert_allclose(found["none"], loop(sampler, law, times)(first, keys), atol=1e-6)
    np.testing.assert_array_equal(found["part"][:, 0], x[:, 0])
    assert np.abs(found["part"][:, 1] - x[:, 1]).min() > 1e-3
    turn = itertools.count()  # the noise of the known part is of the second half of a turn's keys

    def replaced(x_s, alpha, sigma):
        z = numpy(random.normal(random.split(random.fold_in(keys, next(turn)), 2)[1], (2,)))
        return np.where(KNOWN > 0.5, alpha * x + sigma * z, x_s)

    wanted = interpreted(sampler, law, times, first, noise_of(keys, (2,)), constrain=replaced)
    np.testing.assert_allclose(found["part"], wanted, atol=1e-4)


def test_a_step_and_the_way_back_are_one_turn():
    """The affine map and the variance of both together are those of one after the other."""
    schedule = d.VariancePreserving()
    times = d.times(schedule, 4)
    step, (back, again) = d.Ancestral().turns(schedule, times)[0], d.RePaint(resamples=2).turns(schedule, times)[:2]
    (alpha, sigma), (alpha_s, sigma_s) = (schedule.alpha_sigma(t) for t in times[:2])
    ratio = alpha / alpha_s
    assert back.x == pytest.approx(ratio * step.x) and back.predictions[0] == pytest.approx(ratio * step.predictions[0])
    assert back.noise**2 == pytest.approx((ratio * step.noise) ** 2 + sigma**2 - (ratio * sigma_s) ** 2)
    assert (back.t, back.after, again) == (times[0], times[0], step)


def test_guidance_traces_in_programs():
    law = two_normals(d.VariancePreserving())
    x, here = tensor(start(law, 6)), level(law.schedule, np.full(6, 0.3))
    for guided in (d.ClassifierFree(law, 2.0), d.ClassifierGuided(law, exact_classifier(law), 2.0)):
        run = backend.compile(lambda x, c, guided=guided: guided.predict(x, here, c).clean)
        wanted = guided.predict(x, here, BOTH).clean
        np.testing.assert_allclose(numpy(run(x, BOTH)), numpy(wanted), atol=1e-5)
