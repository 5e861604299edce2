"""The laws of a distribution: its density is one, its draws have it, its gradients are finite and right."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
from keras import ops
from scipy import integrate, special, stats

from keras_gen import backend, random
from keras_gen import distributions as d
from tests.distribution_cases import CASES, COARSE, LOGITS, MEAN, SCALARS, SCALE, TRIL

GOLDEN = Path(__file__).parent / "golden" / "distributions.npz"
N = 20000  # one size throughout: JAX compiles each operation once a shape
WITHOUT_MODE = ["relaxed_categorical", "uniform"]


def array(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.fixture(params=CASES, name="case")
def _case(request):
    return CASES[request.param]


@pytest.mark.parametrize("name", CASES)
def test_log_density_is_the_oracles(name):
    """log p(x) is SciPy's in float64."""
    case = CASES[name]
    expected = case.oracle(case.points)
    np.testing.assert_allclose(array(case.make().log_density(case.points)), expected, rtol=1e-5, atol=1e-5)


TORCH = {
    "normal": lambda t, a: t.Normal(*a(MEAN, SCALE)),
    "laplace": lambda t, a: t.Laplace(*a(MEAN, SCALE)),
    "gumbel": lambda t, a: t.Gumbel(*a(MEAN, SCALE + 0.5)),
    "multivariate_normal": lambda t, a: t.MultivariateNormal(a(MEAN)[0], scale_tril=a(TRIL)[0]),
    "bernoulli": lambda t, a: t.Bernoulli(logits=a(MEAN)[0]),
    "categorical": lambda t, a: t.Categorical(logits=a(LOGITS)[0]),
    "relaxed_categorical": lambda t, a: t.RelaxedOneHotCategorical(torch.tensor(0.7), logits=a(LOGITS[:, 0])[0]),
}


@pytest.mark.parametrize("name", TORCH)
def test_log_density_is_that_of_torch_distributions(name):
    """log p(x) is torch.distributions' in float64."""
    points = torch.as_tensor(CASES[name].points, device="cpu").double()
    oracle = TORCH[name](torch.distributions, lambda *v: [torch.tensor(x, device="cpu").double() for x in v])
    expected = oracle.log_prob(points).reshape(3, -1).sum(1).numpy()
    actual = array(CASES[name].make().log_density(CASES[name].points))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SCALARS)
def test_density_integrates_to_one(name):
    """The integral of p over the line is 1, by quadrature in x = sinh(u)."""
    make, oracle = SCALARS[name]
    u = np.linspace(-14, 14, N) if name != "uniform" else np.arcsinh(np.linspace(-1, 3, N))
    p = np.exp(array(make().log_density(np.sinh(u).astype("float32"))).astype("float64"))
    assert abs(integrate.trapezoid(p * np.cosh(u), u) - 1) < 1e-4


@pytest.mark.parametrize("name", COARSE)
def test_masses_sum_to_one(name):
    """The masses of all events of a discrete distribution sum to 1."""
    make, events = COARSE[name]
    assert abs(np.exp(array(make().log_density(np.asarray(events)))).sum() - 1) < 1e-5


def test_relaxed_density_integrates_to_one():
    """The relaxed categorical of two classes integrates to 1 over its segment, x = sigmoid(u)."""
    u = np.linspace(-40, 40, 8001)
    x = np.stack([special.expit(u), special.expit(-u)], -1).astype("float32")
    p = d.RelaxedCategorical(0.6, LOGITS[0, 0, :2], event_shape=(2,))
    density = np.exp(array(p.log_density(x)).astype("float64"))
    assert abs(integrate.trapezoid(density * special.expit(u) * special.expit(-u), u) - 1) < 1e-4


@pytest.mark.parametrize("name", SCALARS)
def test_draws_have_the_density(name):
    """A seeded Kolmogorov-Smirnov test of 20000 draws against SciPy's distribution function."""
    make, oracle = SCALARS[name]
    draws = array(make().generate(random.keys(3, N)))
    assert draws.shape == (N,)
    assert stats.kstest(draws, oracle.cdf).pvalue > 0.005


@pytest.mark.parametrize("name", COARSE)
def test_draws_have_the_masses(name):
    """A seeded chi-squared test of 20000 draws against exp(log_density)."""
    make, events = COARSE[name]
    events = np.asarray(events, "float32").reshape(len(events), -1)
    draws = array(make().generate(random.keys(4, N))).astype("float32").reshape(N, -1)
    hit = np.abs(draws[:, None] - events[None]).max(-1) < 1e-5
    assert (hit.sum(1) == 1).all()
    expected = N * np.exp(array(make().log_density(np.asarray(COARSE[name][1]))).astype("float64"))
    rare = expected < 5
    observed = np.append(hit.sum(0)[~rare], hit.sum(0)[rare].sum() + 1e-9)
    expected = np.append(expected[~rare], N - expected[~rare].sum() + 1e-9)
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 0.005


def test_draws_of_joint_densities_have_their_moments():
    """Full normal: mean and covariance. Relaxed categorical: E[x] against quadrature. Mixture: E[x]."""
    keys = random.keys(5, N)
    x = array(d.MultivariateNormal(MEAN[0], TRIL, event_shape=(2,)).generate(keys))
    np.testing.assert_allclose(x.mean(0), MEAN[0], atol=4 * 1.5 / N**0.5)
    np.testing.assert_allclose(np.cov(x.T), TRIL @ TRIL.T, atol=4 * 1.5**2 * (2 / N) ** 0.5)
    p = d.RelaxedCategorical(0.6, LOGITS[0, 0, :2], event_shape=(2,))
    u = np.linspace(-40, 40, 8001)
    grid = np.stack([special.expit(u), special.expit(-u)], -1).astype("float32")
    weight = np.exp(array(p.log_density(grid))) * special.expit(u) * special.expit(-u)
    expected = integrate.trapezoid(weight * special.expit(u), u)
    assert abs(array(p.generate(keys))[:, 0].mean() - expected) < 4 * 0.4 / N**0.5
    m = d.Mixture(LOGITS[0, 0, :2], d.Normal(MEAN[:2], SCALE[:2], event_shape=(2, 2)))
    np.testing.assert_allclose(array(m.generate(keys)).mean(0), array(m.mean()), atol=4 * 2 / N**0.5)


@pytest.mark.parametrize("name", CASES)
def test_a_draw_is_an_event_of_the_support(name):
    """generate gives (n, *event_shape) inside the support, with a finite log-density of shape (n,)."""
    p = CASES[name].make()
    for temperature in (0.0, 0.7, 1.0):
        x = p.generate(random.keys(0, 3), temperature=temperature)
        assert tuple(x.shape) == (3, *p.event_shape)
        p.validate(array(x))
    log_p = array(p.log_density(p.generate(random.keys(0, 3))))
    assert log_p.shape == (3,) and log_p.dtype == "float32" and np.isfinite(log_p).all()


@pytest.mark.parametrize("name", [n for n in CASES if "prior" in n or "standard" in n or "of_cat" in n])
def test_row_i_depends_on_key_i_alone(name):
    """A draw does not depend on the size of its batch."""
    p, keys = CASES[name].make(), random.keys(1, 7)
    np.testing.assert_allclose(array(p.generate(keys))[4:], array(p.generate(keys[4:])), rtol=1e-6)


@pytest.mark.parametrize("name", ["normal", "laplace", "logistic", "student_t", "multivariate_normal", "gumbel"])
def test_temperature_scales_about_the_location(name):
    """x(T) - mode is T times x(1) - mode; T = 0 is the mode."""
    p, keys = CASES[name].make(), random.keys(2, 3)
    one, two = (array(p.generate(keys, temperature=t) - p.mode()) for t in (1.0, 2.5))
    np.testing.assert_allclose(two, 2.5 * one, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(array(p.generate(keys, temperature=0.0)), array(p.mode()))


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "one_hot_categorical"])
def test_temperature_divides_the_logits(name):
    """A draw at T is a draw from logits / T; T = 0 is the mode."""
    make = {
        "bernoulli": d.Bernoulli,
        "categorical": d.Categorical,
        "one_hot_categorical": d.OneHotCategorical,
    }[name]
    logits, keys = np.repeat(LOGITS[:1], 500, axis=0), random.keys(2, 500)
    cooled = array(make(logits / 0.5).generate(keys))
    np.testing.assert_array_equal(array(make(logits).generate(keys, temperature=0.5)), cooled)
    np.testing.assert_array_equal(array(make(logits).generate(keys, temperature=0.0)), array(make(logits).mode()))


@pytest.mark.parametrize("name", [n for n in CASES if n not in WITHOUT_MODE and "mixture" not in n])
def test_mode_is_most_probable(name):
    """No draw is more probable than the mode."""
    p = CASES[name].make()
    best = array(p.log_density(ops.broadcast_to(p.mode(), (3, *p.event_shape))))
    for seed in range(4):
        assert (array(p.log_density(p.generate(random.keys(seed, 3)))) <= best + 1e-5).all()


@pytest.mark.parametrize("name", [*SCALARS, *COARSE])
def test_mean_and_entropy_are_expectations(name):
    """mean and entropy are the averages of x and -log p over 20000 draws, within 4 standard errors."""
    p = {**SCALARS, **COARSE}[name][0]()
    x = p.generate(random.keys(6, N))
    checks = [(array(x).astype("float64"), p.mean), (-array(p.log_density(x)).astype("float64"), p.entropy)]
    for values, closed in checks:
        try:
            expected = array(closed())
        except NotImplementedError:
            continue
        if name == "student_t_1" and closed == p.mean:
            continue  # it has none
        # half a bin of slack for the mean of rounded or coupled values, which is stated as approximate
        slack = 1e-6 + (0.5 * getattr(getattr(p, "component", p), "delta", 0.0)) * (closed == p.mean)
        assert np.all(np.abs(values.mean(0) - expected) <= 4 * values.std(0) / N**0.5 + slack)


def test_unbatched_values_have_no_batch_axis():
    """mean and entropy have the parameters' shape: a batch axis where they have one."""
    assert tuple(d.Normal(event_shape=(2,)).mean().shape) == (2,)
    assert tuple(d.Normal(event_shape=(2,)).entropy().shape) == ()
    assert tuple(d.Normal(MEAN, 1.0).entropy().shape) == (3,)
    assert tuple(d.Normal(0.0, SCALE).mean().shape) == (3, 2)
    assert tuple(CASES["mixture"].make().mean().shape) == (3, 2)
    assert tuple(CASES["multivariate_normal"].make().entropy().shape) == (3,)


# Gradients ----------------------------------------------------------------------------------------------

FAR = np.array([-1e6, -300.0, -1.0, 0.0, 1.0, 300.0, 1e6], "float32")
EXTREMES = {
    "normal_mean": lambda v: d.Normal(v, 1e-3).log_density(np.zeros(7)),
    "normal_scale": lambda v: d.Normal(0.0, ops.abs(v) + 1e-4, event_shape=()).log_density(FAR),
    "laplace": lambda v: d.Laplace(v, 1e-3).log_density(np.zeros(7)),
    "logistic": lambda v: d.Logistic(v, 1e-3).log_density(np.zeros(7)),
    "student_t_loc": lambda v: d.StudentT(2.0, v * 1e20, 1e-3, event_shape=()).log_density(np.zeros(7)),
    "student_t_df": lambda v: d.StudentT(ops.abs(v) + 1e-3, event_shape=()).log_density(FAR),
    "bernoulli": lambda v: d.Bernoulli(v).log_density(np.ones(7)),
    "categorical": lambda v: d.Categorical(v, event_shape=()).log_density([0, 3, 6]),
    "relaxed": lambda v: d.RelaxedCategorical(0.1, v, event_shape=(7,)).log_density(np.eye(7)),
    "grid_mean": lambda v: d.DiscretizedLogistic(v, -9.0, bins=65536).log_density(np.linspace(0, 1, 7)),
    "grid_mean_tight": lambda v: d.DiscretizedLogistic(v, -90.0).log_density(np.linspace(0, 1, 7)),
    "grid_mean_absurd": lambda v: d.DiscretizedLogistic(v + 1e25, -90.0).log_density(np.linspace(0, 1, 7)),
    "grid_scale": lambda v: d.DiscretizedLogistic(0.3, v, event_shape=()).log_density(np.linspace(0, 1, 7)),
    "grid_scale_far": lambda v: d.DiscretizedLogistic(1e6, v, event_shape=()).log_density(np.linspace(0, 1, 7)),
    "pixels": lambda v: d.DiscretizedLogisticMixture(
        ops.zeros((1, 7)), v[None, None], -v[None, None], event_shape=(1,)
    ).log_density([[0.0], [0.5], [1.0]]),
    "mixture": lambda v: d.Mixture(ops.zeros(7), d.Normal(v, 0.1, event_shape=(7,))).log_density(FAR),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_value_and_gradient_are_finite_at_extremes(name):
    """log p and its gradient in a parameter are finite, far outside the data too."""
    v = ops.convert_to_tensor(FAR)
    assert np.isfinite(array(EXTREMES[name](v))).all()
    assert np.isfinite(array(backend.grad(EXTREMES[name], v))).all()


def test_gradient_of_the_log_density_is_the_analytic_one():
    """d log p / d mean of the normal, and a central difference of the discretised logistic's."""
    mean = ops.convert_to_tensor(MEAN)
    slope = array(backend.grad(lambda m: d.Normal(m, SCALE).log_density(np.zeros((3, 2))), mean))
    np.testing.assert_allclose(slope, -MEAN / SCALE**2, rtol=1e-5)
    x, s = np.array([0.0, 0.4, 0.8, 1.0], "float32"), np.array([-5.0, -1.0, 0.5, -3.0], "float32")

    def log_p(log_scale):
        return d.DiscretizedLogistic(0.6, log_scale, bins=6).log_density(x)

    central = (array(log_p(s + 1e-2)).astype("float64") - array(log_p(s - 1e-2))) / 2e-2
    slope = array(backend.grad(log_p, ops.convert_to_tensor(s)))
    np.testing.assert_allclose(slope, central, rtol=5e-3, atol=1e-3)  # the difference is good to h^2, eps / h


@pytest.mark.parametrize("family", [d.Normal, d.Laplace, d.Logistic, d.Gumbel])
def test_draws_are_reparameterised(family):
    """dx / d loc = 1 and dx / d scale = (x - loc) / scale, so d E[x] / d loc = 1."""
    keys = random.keys(0, 3)
    x = array(family(MEAN, SCALE).generate(keys))
    by_loc = backend.grad(lambda v: family(v, SCALE).generate(keys), ops.convert_to_tensor(MEAN))
    by_scale = backend.grad(lambda v: family(MEAN, v).generate(keys), ops.convert_to_tensor(SCALE))
    np.testing.assert_allclose(array(by_loc), np.ones_like(MEAN), rtol=1e-6)
    np.testing.assert_allclose(array(by_scale), (x - MEAN) / SCALE, rtol=1e-3, atol=1e-4)


def test_student_t_draws_are_reparameterised_in_df():
    """d E|z| / d df of 20000 draws is the derivative of SciPy's expectation, within 4 standard errors."""
    df, keys = np.full(N, 6.0, "float32"), random.keys(8, N)
    slopes = array(backend.grad(lambda v: ops.abs(d.StudentT(v).generate(keys)), ops.convert_to_tensor(df)))
    absolute = [2 * stats.t(v).expect(lambda z: z, lb=0) for v in (5.99, 6.01)]
    assert abs(slopes.mean() - (absolute[1] - absolute[0]) / 0.02) < 4 * slopes.std() / N**0.5


# Divergences --------------------------------------------------------------------------------------------

LINE = np.linspace(-30, 30, 60001).astype("float32")
PAIRS = {
    "normal": (lambda: d.Normal(0.7, 0.5), lambda: d.Normal(-1.0, 2.0)),
    "laplace": (lambda: d.Laplace(0.7, 0.5), lambda: d.Laplace(-1.0, 2.0)),
    "uniform": (lambda: d.Uniform(0.2, 0.6), lambda: d.Uniform(0.0, 3.0)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_closed_form_is_the_quadrature(name):
    """KL(q || p) is the integral of q (log q - log p)."""
    q, p = (make() for make in PAIRS[name])
    x = np.linspace(0.2, 0.6, 2001).astype("float32") if name == "uniform" else LINE
    log_q, log_p = (array(side.log_density(x)).astype("float64") for side in (q, p))
    expected = integrate.trapezoid(np.exp(log_q) * (log_q - log_p), x)
    assert abs(float(d.kl_divergence(q, p)) - expected) < 1e-4


def full(mean, tril=TRIL):
    return d.MultivariateNormal(mean, tril, event_shape=(2,))


CLOSED = {
    "normal": (lambda: d.Normal(MEAN, SCALE), lambda: d.Normal(0.5, 2.0, event_shape=(2,))),
    "laplace": (lambda: d.Laplace(MEAN, SCALE), lambda: d.Laplace(0.5, 2.0, event_shape=(2,))),
    "bernoulli": (lambda: d.Bernoulli(MEAN), lambda: d.Bernoulli(0.5, event_shape=(2,))),
    "categorical": (lambda: d.Categorical(LOGITS), lambda: d.Categorical(np.ones(3), event_shape=(2,))),
    "one_hot": (
        lambda: d.OneHotCategorical(LOGITS),
        lambda: d.OneHotCategorical(LOGITS[0, 0], event_shape=(2, 3)),
    ),
    "full": (lambda: full(MEAN), lambda: full(MEAN[0], TRIL * [[1, 1], [3, 2]])),
    "full_diagonal": (lambda: full(MEAN), lambda: d.Normal(0.5, SCALE[0], event_shape=(2,))),
    "diagonal_full": (lambda: d.Normal(MEAN, SCALE), lambda: full(MEAN[1])),
}
KL_TORCH = {
    "normal": lambda t, a: (t.Normal(a(MEAN), a(SCALE)), t.Normal(a(0.5), a(2.0))),
    "laplace": lambda t, a: (t.Laplace(a(MEAN), a(SCALE)), t.Laplace(a(0.5), a(2.0))),
    "bernoulli": lambda t, a: (t.Bernoulli(logits=a(MEAN)), t.Bernoulli(logits=a(0.5))),
    "categorical": lambda t, a: (
        t.Categorical(logits=a(LOGITS)),
        t.Categorical(logits=a(np.ones((3, 2, 3)))),
    ),
    "full": lambda t, a: (
        t.MultivariateNormal(a(MEAN), scale_tril=a(TRIL)),
        t.MultivariateNormal(a(MEAN[0]), scale_tril=a(TRIL * [[1, 1], [3, 2]])),
    ),
}


@pytest.mark.parametrize("name", KL_TORCH)
def test_closed_form_is_that_of_torch(name):
    """KL(q || p) is torch.distributions' in float64."""
    as_torch = KL_TORCH[name](torch.distributions, lambda v: torch.tensor(v, device="cpu").double())
    expected = torch.distributions.kl_divergence(*as_torch).reshape(3, -1).sum(1).numpy()
    q, p = (make() for make in CLOSED[name])
    np.testing.assert_allclose(array(d.kl_divergence(q, p)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CLOSED)
def test_monte_carlo_estimate_is_within_its_error(name):
    """monte_carlo_kl is within 4 standard errors of the closed form, which is zero for q = p."""
    q, p = (make() for make in CLOSED[name])
    config = {key: array(value) for key, value in q.parameters.items()}
    many = {key: np.repeat(value, 500, axis=0) if len(value) == 3 else value for key, value in config.items()}
    many = type(q)(**many, event_shape=q.event_shape)
    rows = array(d.monte_carlo_kl(many, p, random.keys(0, 1500), num_samples=2)).reshape(3, 500)
    closed = array(d.kl_divergence(q, p))
    assert closed.shape == (3,) and (closed > 0).all()
    assert (np.abs(rows.mean(1) - closed) < 4 * rows.std(1) / 500**0.5 + 1e-6).all()
    np.testing.assert_allclose(array(d.kl_divergence(q, q)), np.zeros(3), atol=2e-6)


@pytest.mark.parametrize("name", ["normal", "laplace", "bernoulli", "categorical"])
def test_terms_of_a_factorising_pair_sum_to_the_divergence(name):
    """reduce=False keeps the event axes."""
    q, p = (make() for make in CLOSED[name])
    terms = array(d.kl_divergence(q, p, reduce=False))
    assert terms.shape == (3, *q.event_shape)
    np.testing.assert_allclose(terms.sum(1), array(d.kl_divergence(q, p)), rtol=1e-6)


def test_terms_are_broadcast_to_the_event():
    """Parameters that are scalars still give one term per element and row."""
    terms = d.kl_divergence(d.Normal(0.0, SCALE[:, :1], event_shape=(2,)), d.Normal(event_shape=(2,)), reduce=False)
    assert tuple(terms.shape) == (3, 2)
    whole = d.kl_divergence(d.Normal(0.0, SCALE[:, :1], event_shape=(2,)), d.Normal(event_shape=(2,)))
    np.testing.assert_allclose(array(whole), array(terms).sum(1), rtol=1e-6)


def test_uniform_outside_has_infinite_divergence():
    """KL of a uniform that leaves the other's box is infinite."""
    assert np.isinf(float(d.kl_divergence(d.Uniform(0.0, 2.0), d.Uniform(0.0, 1.0))))


# The discretised logistic -------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [2, 256, 65536])
@pytest.mark.parametrize("log_scale", [-12.0, -7.0, -2.0, 1.0])
def test_discretized_logistic_in_the_tails(bins, log_scale):
    """Against float64 to 1e-5, with locations far outside and log-masses down to -8e6."""
    index = np.array([0, 1, bins // 2, bins - 2, bins - 1])
    means = np.array([-50.0, -1.0, 0.0, 0.5, 1.0, 3.0, 50.0])
    k, m = (v.ravel() for v in np.meshgrid(np.clip(index, 0, bins - 1), means))
    p = d.DiscretizedLogistic(m.astype("float32"), log_scale, bins=bins)
    actual = array(p.log_density((k / (bins - 1)).astype("float32")))
    np.testing.assert_allclose(actual, exact_log_mass(k, m, log_scale, bins), rtol=1e-5, atol=1e-5)


def exact_log_mass(k, mean, log_scale, bins):
    """log(sigmoid(b) - sigmoid(a)) = log sigmoid(b) + log(1 - sigmoid(a) / sigmoid(b)), reflected so that the
    bin is in the lower tail, where the ratio keeps its digits."""
    scale, half, x = np.exp(log_scale), 0.5 / (bins - 1), k / (bins - 1)
    a = np.where(k == 0, -np.inf, (x - half - mean) / scale)
    b = np.where(k == bins - 1, np.inf, (x + half - mean) / scale)
    a, b = np.where(a > 0, -b, a), np.where(a > 0, -a, b)
    return special.log_expit(b) + np.log(-np.expm1(special.log_expit(a) - special.log_expit(b)))


def test_mean_of_the_discretized_logistic_is_within_half_a_bin():
    """mean() against the sum over the grid."""
    grid = np.linspace(0, 1, 17)
    for location in (-3.0, 0.0, 0.21, 0.9, 5.0):
        for log_scale in (-8.0, -2.0, 0.0, 3.0, 12.0):
            p = d.DiscretizedLogistic(location, log_scale, bins=17)
            exact = np.sum(grid * np.exp(array(p.log_density(grid))))
            assert abs(float(p.mean()) - exact) <= 0.5 / 16 + 1e-5


# Precision, tracing, saving -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["normal", "bernoulli", "student_t", "categorical"])
def test_half_precision_is_scored_in_float32(name, dtype):
    """float16 and bfloat16 parameters and data give float32 densities, draws and means."""
    families = {
        "normal": d.Normal,
        "bernoulli": d.Bernoulli,
        "student_t": d.StudentT,
        "categorical": d.Categorical,
    }
    p = families[name](ops.cast(ops.ones((3, 2)), dtype))
    x = ops.cast(ops.ones((3, *p.event_shape)), dtype)
    for value in (p.log_density(x), p.mean()):
        assert keras.backend.standardize_dtype(value.dtype) == "float32"


class Score(keras.layers.Layer):
    """A layer that builds a distribution from its input, draws from it and scores the draw."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def call(self, h):
        p = self.make(h)
        keys = ops.cast(ops.stack([h[:, 0], h[:, 1]], axis=-1) * 1000, "int32")
        return p.log_density(p.generate(keys)) + ops.sum(ops.reshape(p.mean(), (-1,))) * 0


TRACED = {
    "normal": lambda h: d.Normal(h, 1.0),
    "full": lambda h: d.MultivariateNormal(h, ops.eye(6), event_shape=(6,)),
    "mixture": lambda h: d.Mixture(h[:, :2], d.Normal(ops.reshape(h, (-1, 2, 3)), 1.0)),
    "pixels": lambda h: d.DiscretizedLogisticMixture(
        h[:, None, :2],
        ops.reshape(h, (-1, 1, 3, 2)),
        ops.reshape(h, (-1, 1, 3, 2)),
        ops.reshape(h, (-1, 1, 3, 2)),
    ),
}


@pytest.mark.parametrize("name", TRACED)
def test_traced_with_an_unknown_batch(name):
    """A distribution is built, drawn and scored in a compiled graph whose batch size is unknown."""
    inputs = keras.Input((6,))
    model = keras.Model(inputs, Score(TRACED[name])(inputs))
    assert model.output_shape == (None,)
    h = np.linspace(0.1, 3.0, 30).reshape(5, 6).astype("float32")
    np.testing.assert_allclose(model.predict(h, verbose=0), array(model(h)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_config_round_trip(name):
    """A distribution saved as JSON and loaded scores alike."""
    case = CASES[name]
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(case.make())))
    loaded = keras.saving.deserialize_keras_object(config)
    assert type(loaded) is type(case.make()) and loaded.event_shape == case.make().event_shape
    np.testing.assert_array_equal(array(loaded.log_density(case.points)), array(case.make().log_density(case.points)))


@pytest.mark.parametrize("name", CASES)
def test_draws_agree_with_the_golden_file(name):
    """The same keys give the same draws on the three backends, to 1e-5 (`GOLDEN=write` renews the file)."""
    draws = array(CASES[name].make().generate(random.keys(11, 3)))
    if os.environ.get("GOLDEN") == "write":
        old = dict(np.load(GOLDEN)) if GOLDEN.exists() else {}
        np.savez(GOLDEN, **{**old, name: draws})
    np.testing.assert_allclose(draws, np.load(GOLDEN)[name], rtol=1e-5, atol=1e-5)


# Bad input ----------------------------------------------------------------------------------------------

KEYS = np.zeros((3, 2), "int32")
BAD = {
    "condition": (lambda: d.Normal(MEAN).log_density(MEAN, 1.0), "not conditional"),
    "condition in generate": (lambda: d.Normal(MEAN).generate(KEYS, MEAN), "not conditional"),
    "negative temperature": (lambda: d.Normal(MEAN).generate(KEYS, temperature=-0.1), "temperature >= 0"),
    "NaN temperature": (lambda: d.Normal(MEAN).generate(KEYS, temperature=float("nan")), "temperature >= 0"),
    "keys rank": (lambda: d.Normal(MEAN).generate(KEYS[0]), r"shape \(n, 2\)"),
    "keys number": (lambda: d.Normal(MEAN).generate(KEYS[:2]), "as many keys"),
    "event shape": (lambda: d.Normal(MEAN).log_density(MEAN[:, :1]), r"shape \(batch, 2\)"),
    "event rank": (lambda: d.Normal(MEAN).log_density(MEAN[0]), r"shape \(batch, 2\)"),
    "event number": (lambda: d.Normal(MEAN).log_density(MEAN[:2]), "as many events"),
    "parameters differ": (lambda: d.Normal(MEAN, np.ones((3, 5))), "broadcast"),
    "event_shape differs": (lambda: d.Normal(MEAN, event_shape=(3,)), "broadcast"),
    "event_shape too short": (lambda: d.Normal(MEAN, event_shape=()), "broadcast"),
    "scale of zero": (lambda: d.Normal(0.0, 0.0), "scale` > 0"),
    "negative df": (lambda: d.StudentT(-1.0), "df` > 0"),
    "empty box": (lambda: d.Uniform(1.0, 1.0), "low < high"),
    "scale_tril": (lambda: d.MultivariateNormal(MEAN, SCALE), "scale_tril"),
    "relaxation": (lambda: d.RelaxedCategorical(0.0, MEAN), "temperature` > 0"),
    "grid ends": (lambda: d.DiscretizedLogistic(0.0, 0.0, 1.0, 0.0), "low < high"),
    "bins": (lambda: d.DiscretizedLogistic(0.0, 0.0, bins=1), "bins >= 2"),
    "bins a float": (lambda: d.DiscretizedLogistic(0.0, 0.0, bins=8.0), "bins >= 2"),
    "coupling of two channels": (
        lambda: d.DiscretizedLogisticMixture(np.zeros((1, 4)), *[np.zeros((1, 2, 4))] * 2, np.zeros((1, 3, 4))),
        "3 channels",
    ),
    "mixture axis": (lambda: d.Mixture(np.zeros(3), d.Normal(MEAN)), "component of event_shape"),
    "mixture of joints": (lambda: d.Mixture(np.zeros(2), full(MEAN)), "axis of K"),
    "kl unknown": (lambda: d.kl_divergence(d.Normal(), d.Laplace()), "monte_carlo_kl"),
    "kl events": (lambda: d.kl_divergence(d.Normal(MEAN), d.Normal()), "one event shape"),
    "kl terms": (lambda: d.kl_divergence(full(MEAN), full(MEAN), reduce=False), "factorise"),
    "kl classes": (lambda: d.kl_divergence(d.Categorical(LOGITS), d.Categorical(LOGITS[..., :2])), "classes"),
    "kl samples": (lambda: d.monte_carlo_kl(d.Normal(), d.Normal(), KEYS, 0), "num_samples >= 1"),
    "validate shape": (lambda: d.Normal(MEAN).validate(np.zeros((5, 3))), r"shape \(batch, 2\)"),
    "validate NaN": (lambda: d.Normal(MEAN).validate([[0.0, np.nan]]), "finite"),
    "validate infinity": (lambda: d.Normal(MEAN).validate([[0.0, np.inf]]), "finite"),
    "validate text": (lambda: d.Normal(MEAN).validate([["a", "b"]]), "numeric"),
    "grey of 255": (lambda: d.Bernoulli(MEAN).validate([[0.0, 255.0]]), r"\[0, 1\].*255"),
    "label too large": (lambda: d.Categorical(LOGITS).validate([[0, 3]]), "integers from 0 to 2"),
    "label a fraction": (lambda: d.Categorical(LOGITS).validate([[0.5, 1]]), "integers from 0 to 2"),
    "not one-hot": (lambda: d.OneHotCategorical(MEAN).validate([[1, 1]]), "one-hot"),
    "off the simplex": (lambda: d.RelaxedCategorical(1.0, MEAN).validate([[0.7, 0.7]]), "simplex"),
    "off the grid": (lambda: d.DiscretizedLogistic(MEAN, 0.0).validate([[0.0, 1.1]]), "256 values"),
    "out of the box": (lambda: d.Uniform(MEAN[0], 9.0, event_shape=(2,)).validate([[0.0, 9.5]]), "box"),
    "mixture support": (
        lambda: d.Mixture(np.zeros(2), d.Categorical(LOGITS[0], event_shape=(2,))).validate([7]),
        "integers from 0 to 2",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_compute(name):
    """ValueError, saying what was expected."""
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_points_of_the_support_are_valid(case):
    """validate accepts what log_density scores, and grey levels for a Bernoulli."""
    case.make().validate(case.points)
    d.Bernoulli(MEAN).validate(np.full((5, 2), 0.3))
    d.Bernoulli(MEAN).validate(np.ones((5, 2), bool))


def test_a_subclass_uses_the_divergence_of_its_base():
    """The registry looks along the bases."""

    class Posterior(d.Normal):
        pass

    assert d.has_closed_form_kl(Posterior(MEAN), d.Normal(MEAN))
    assert not d.has_closed_form_kl(d.Normal(MEAN), "a model")
