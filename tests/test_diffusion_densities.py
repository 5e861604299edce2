"""Laws of likelihoods: the probability flow's density, the bound and its terms, masses of grey levels, assignments."""

import numpy as np
import pytest
from keras import ops
from scipy import optimize, stats

from keras_gen import backend, random
from keras_gen import diffusion as d
from keras_gen.diffusion import bound, flow
from keras_gen.models.diffusion.flow_matching import assignment
from tests.diffusion_cases import SCHEDULES, normal, tensor, two_normals


def numpy(*tensors):
    return [ops.convert_to_numpy(t).astype("float64") for t in tensors]


def level(schedule, t, n):
    return d.Level(*(tensor(np.full(n, v)) for v in schedule.level(np.float64(t))))


# The flow.


def blurred(denoiser, x_0, keys):
    """log density of x_0 with the noise of the least time in it, in units of x_0: what the flow measures."""
    least = flow.least_time(denoiser.schedule)
    alpha, sigma = denoiser.schedule.alpha_sigma(np.float64(least))
    (eps,) = numpy(random.normal(random.split(keys, 2)[0], x_0.shape[1:]))
    return denoiser.log_density(x_0 + sigma / alpha * eps, 1.0, sigma / alpha)


@pytest.mark.parametrize("law", [normal, two_normals])
@pytest.mark.parametrize("schedule", ["vp", "ve", "rectified"])
def test_the_flow_has_the_density_of_the_law(schedule, law):
    """To 1e-3 nats: at t = 1 it takes a normal law of mean 0 and the variance of the data, which it nearly is."""
    schedule = d.VarianceExploding(0.05, 50.0) if schedule == "ve" else SCHEDULES[schedule]()
    denoiser = normal(schedule, (0.0, 0.0)) if law is normal else law(schedule)
    variance = float(np.trace(denoiser.moments()[1])) / 2
    x, keys = denoiser.draw(12, 5).astype("float32"), random.keys(2, 12)
    run = backend.compile(lambda x, keys: flow.log_density(denoiser, x, keys, variance=variance))
    (found,) = numpy(run(tensor(x), keys))
    np.testing.assert_allclose(found, blurred(denoiser, x.astype("float64"), keys), rtol=0, atol=1e-3)


def test_hutchinsons_trace_is_unbiased_and_the_exact_one_is_exact():
    """Signs e give e^T J e = tr J + 2 J_12 e_1 e_2: with J_12 not 0 a spread, of mean 0."""
    denoiser, n = normal(d.VariancePreserving()), 256
    x, keys = np.tile([[0.3, 0.5]], (n, 1)), random.keys(1, n)
    times = tensor(np.full(n, 0.3))
    axes, probes = (flow._probes(keys, (2,), kind, "float32") for kind in ("exact", "hutchinson"))
    (trace,) = numpy(flow._with_trace(denoiser, times, tensor(x), None, axes)[1])
    (signs,) = numpy(probes)
    (estimate,) = numpy(flow._with_trace(denoiser, times, tensor(x), None, probes)[1])
    alpha, sigma = denoiser.schedule.alpha_sigma(np.float64(0.3))
    slopes = denoiser.schedule.derivatives(np.float64(0.3))
    shrink = alpha * denoiser.spectra[0] / (alpha**2 * denoiser.spectra[0] + sigma**2)
    gain = denoiser.basis * shrink @ denoiser.basis.T
    jacobian = slopes[0] * gain + slopes[1] / sigma * (np.eye(2) - alpha * gain)
    np.testing.assert_allclose(trace, np.trace(jacobian), rtol=1e-4)
    np.testing.assert_allclose(estimate, np.einsum("ni,ij,nj->n", signs[:, 0], jacobian, signs[:, 0]), rtol=1e-4)
    assert set(np.unique(signs)) == {-1.0, 1.0} and abs(jacobian[0, 1]) > 0.1
    assert abs(estimate.mean() - trace[0]) < 4.0 * estimate.std() / np.sqrt(n)
    with pytest.raises(ValueError, match="Received: 'rademacher'"):
        flow._probes(keys, (2,), "rademacher", "float32")


def test_a_density_by_hutchinson_has_the_exact_one_as_its_mean():
    """128 draws at one point; eps of the least time is that of the keys in both."""
    denoiser, n = normal(d.VariancePreserving()), 128
    x, keys = tensor(np.tile([[0.3, 0.5]], (n, 1))), random.keys(1, n)
    options = {"flow": d.ProbabilityFlow(1e-3, 1e-3)}

    @backend.compile
    def run(x, keys):
        kinds = "exact", "hutchinson"
        return tuple(flow.log_density(denoiser, x, keys, trace=trace, **options) for trace in kinds)

    exact, estimate = numpy(*run(x, keys))
    error = estimate - exact
    assert error.std() > 0.1 and abs(error.mean()) < 4.0 * error.std() / np.sqrt(n)


# The bound.


def drawn_bound(denoiser, x_0, steps, draws=64, seed=0):
    """The mean of `draws` of all terms of the bound, numpy `(n,)`, and its standard error."""
    schedule, rng = denoiser.schedule, np.random.default_rng(seed)
    times, x = d.times(schedule, steps, "log_snr"), tensor(np.repeat(x_0, draws, axis=0))
    at = [level(schedule, t, x.shape[0]) for t in times]

    def prediction(here):
        wide = here.over(x)
        return denoiser.predict(wide.alpha * x + wide.sigma * tensor(rng.normal(size=x.shape)), here)

    total = bound.prior_divergence(x, at[0], 0.65) - bound.data_log_density(x, prediction(at[-1]), at[-1])
    for here, after in zip(at, at[1:], strict=False):
        total = total + bound.step_divergence(x, prediction(here), here, after)
    total = numpy(total)[0].reshape(len(x_0), draws)
    return total.mean(axis=1), total.std(axis=1) / np.sqrt(draws)


def test_the_bound_lies_above_and_tightens_with_steps():
    """With the true posterior mean; in the mean over data, and at each of them within what is drawn."""
    denoiser = two_normals(d.VariancePreserving())
    x_0 = denoiser.draw(24, 7)
    exact = -denoiser.log_density(x_0)
    values = {n: drawn_bound(denoiser, x_0, n) for n in (8, 24, 72)}
    gaps = {n: (mean - exact).mean() for n, (mean, _) in values.items()}
    for n, (_, error) in values.items():
        assert gaps[n] > -3.0 * np.sqrt((error**2).sum()) / len(x_0)
    assert gaps[8] > gaps[24] + 1.0 and gaps[24] > gaps[72] + 1.0 and gaps[72] < 1.5


def normal_divergence(mean, variance, mean_p, variance_p):
    return 0.5 * np.sum(variance / variance_p - 1.0 - np.log(variance / variance_p) + (mean - mean_p) ** 2 / variance_p)


def test_the_terms_are_ddpms_equations_6_to_8():
    """A chain of 10 steps, written anew from betas: divergences of normal laws with the means of equation 7."""
    betas, x_0, eps = np.linspace(0.02, 0.4, 10), np.array([[0.4, -1.1, 0.2]]), np.array([[0.3, -0.7, 1.9]])
    chain, estimate = d.LinearBeta(10, 0.02, 0.4), np.array([[0.1, -0.6, 0.9]])
    bar = np.append(1.0, np.cumprod(1.0 - betas))
    prediction = d.Prediction(tensor(estimate), ops.full((1, 3), 0.3))
    prior = numpy(bound.prior_divergence(tensor(x_0), level(chain, 1.0, 1)))[0]
    wanted = normal_divergence(np.sqrt(bar[-1]) * x_0, 1.0 - bar[-1], 0.0, 1.0)
    assert prior[0] == pytest.approx(wanted, rel=1e-4)
    for k in range(10, 1, -1):
        beta, x_t = betas[k - 1], np.sqrt(bar[k]) * x_0 + np.sqrt(1.0 - bar[k]) * eps
        mean, mean_p = (
            np.sqrt(bar[k - 1]) * beta / (1.0 - bar[k]) * x
            + np.sqrt(1.0 - beta) * (1.0 - bar[k - 1]) / (1.0 - bar[k]) * x_t
            for x in (x_0, estimate)
        )
        small = beta * (1.0 - bar[k - 1]) / (1.0 - bar[k])
        here, after = level(chain, k / 10, 1), level(chain, (k - 1) / 10, 1)
        found = numpy(*(bound.step_divergence(tensor(x_0), prediction, here, after, v) for v in (False, True)))
        learned = np.exp(0.3 * np.log(beta) + 0.7 * np.log(small))
        assert found[0][0] == pytest.approx(normal_divergence(mean, small, mean_p, small), rel=1e-4)
        assert found[1][0] == pytest.approx(normal_divergence(mean, small, mean_p, learned), rel=1e-4)
    last = numpy(bound.data_log_density(tensor(x_0), prediction, level(chain, 0.1, 1)))[0]
    scale = np.sqrt((1.0 - bar[1]) / bar[1])
    assert last[0] == pytest.approx(stats.norm.logpdf(x_0, estimate, scale).sum(), rel=1e-5)


def test_levels_that_the_noise_leaves_apart_have_their_posterior():
    """Equation (3) with all 256 levels in float64; the probabilities of all of them sum to one.

    To 2e-3: what float32 loses of x_t, 6e-8, counts alpha / sigma = 400 times in z, and z = 20 times in the logarithm.
    """
    schedule, levels = d.VariancePreserving(), np.linspace(-1.0, 1.0, 256)
    t, width = float(schedule.time(12.0)), 2.0 / 255.0
    alpha, sigma = schedule.alpha_sigma(np.float64(t))
    assert sigma / alpha < 0.5 * width
    for true, z in ((0, -3.0), (0, 2.9), (77, 0.3), (254, 4.5), (255, 1.0)):
        x_t = alpha * levels[true] + sigma * z
        logits = -0.5 * ((x_t / alpha - levels) * alpha / sigma) ** 2
        wanted = logits - np.logaddexp.reduce(logits)
        given = tensor(levels[:, None]), tensor(np.full((256, 1), x_t))
        (found,) = numpy(bound.level_log_probability(*given, level(schedule, t, 256), width))
        near = slice(max(0, true - 2), true + 3)
        np.testing.assert_allclose(found[near], wanted[near], rtol=2e-3, atol=2e-3)
        assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-3)



@pytest.mark.parametrize("t", [0.001, 0.003, 0.05, 0.5])
def test_masses_of_grey_levels_sum_to_one(t):
    """256 levels, estimates within and beyond them; each mass is scipy's."""
    schedule, grid = d.VariancePreserving(), np.linspace(-1.0, 1.0, 256)
    alpha, sigma = schedule.alpha_sigma(np.float64(t))
    for estimate in (-1.3, -1.0, 0.3, 0.997, 1.5):
        prediction = d.Prediction(ops.full((256, 1), estimate))
        (found,) = numpy(
            bound.data_log_density(tensor(grid[:, None]), prediction, level(schedule, t, 256), width=2.0 / 255)
        )
        assert np.exp(found).sum() == pytest.approx(1.0, abs=2e-5)
        edges = np.concatenate([[-np.inf], grid[1:] - 1.0 / 255, [np.inf]])
        z = (edges - estimate) * alpha / sigma
        exact = log_mass(z[:-1], z[1:])
        near = exact > -60.0
        np.testing.assert_allclose(found[near], exact[near], rtol=1e-3, atol=1e-3)
        assert np.isfinite(found).all() and (found[~near] < -50.0).all()


def log_mass(below, above):
    """By scipy, in the tail where the smaller numbers are."""
    flip = below + above > 0
    low, high = np.where(flip, -above, below), np.where(flip, -below, above)
    a, b = stats.norm.logcdf(high), stats.norm.logcdf(low)
    return a + np.log(-np.expm1(b - a))


def test_logarithms_of_normal_masses_in_the_tails():
    z = np.concatenate([np.linspace(-150.0, -8.0, 60), np.linspace(-8.0, 8.0, 200)])
    (found,) = numpy(bound.log_normal_cdf(tensor(z)))
    np.testing.assert_allclose(found, stats.norm.logcdf(z), rtol=2e-6, atol=1e-6)
    for half in (0.05, 0.4, 3.0):
        (found,) = numpy(bound.log_normal_mass(tensor(z - half), tensor(z + half)))
        np.testing.assert_allclose(found, log_mass(z - half, z + half), rtol=1e-4, atol=1e-4)
    far = bound.data_log_density(
        tensor([[-1.0]]), d.Prediction(tensor([[1.0]])), level(d.VariancePreserving(), 0.001, 1), width=2.0 / 255
    )
    alpha, sigma = d.VariancePreserving().alpha_sigma(0.001)
    assert float(far[0]) == pytest.approx(stats.norm.logcdf((-2.0 + 1.0 / 255) * alpha / sigma), rel=1e-5)
    slope = backend.grad(lambda z: bound.log_normal_cdf(z), tensor([-1e4, -50.0, 0.0, 50.0, 1e4]))
    assert np.isfinite(ops.convert_to_numpy(slope)).all()


# Optimal pairs.


@pytest.mark.parametrize("kind", ["random", "points", "ties", "duplicates", "constant", "one"])
def test_an_assignment_is_a_permutation_whose_cost_is_nearly_least(kind):
    """Within n epsilon of the range of costs, the bound of the auction."""
    rng, n = np.random.default_rng(0), 24
    points = rng.normal(size=(2, n, 3))
    cost = {
        "random": rng.uniform(size=(n, n)) * 7.0 - 3.0,
        "points": np.sum((points[0][:, None] - points[1][None]) ** 2, axis=-1),
        "ties": rng.integers(0, 3, (n, n)).astype("float64"),
        "duplicates": np.sum((np.repeat(points[0][:4], 6, 0)[:, None] - points[1][None]) ** 2, axis=-1),
        "constant": np.ones((n, n)),
        "one": np.ones((1, 1)),
    }[kind]
    run = backend.compile(assignment)
    column = ops.convert_to_numpy(run(tensor(cost)))
    n = len(cost)
    assert sorted(column) == list(range(n))
    rows, best = optimize.linear_sum_assignment(cost)
    assert cost[np.arange(n), column].sum() - cost[rows, best].sum() <= n * 1e-3 * np.ptp(cost) + 1e-4


def test_rows_that_get_no_column_in_time_take_those_that_are_left():
    cost = tensor(np.random.default_rng(0).uniform(size=(12, 12)))
    assert sorted(ops.convert_to_numpy(assignment(cost, rounds=1, longest=2))) == list(range(12))
