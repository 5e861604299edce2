"""The registry of distributions: id to constructor, points of the support and an oracle.

A new distribution enters here and inherits the laws of `test_distributions.py`. `make` builds it, `points`
are events `(3, *event_shape)` of its support, `oracle(points)` their log-density `(3,)` by SciPy in float64.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from keras_gen import distributions as d

MEAN = np.array([[-1.0, 0.5], [0.3, 2.0], [4.0, -0.2]], "float32")
SCALE = np.array([[0.5, 1.5], [1.0, 0.1], [2.0, 0.7]], "float32")
DF = np.array([[1.0, 3.0], [0.7, 30.0], [5.0, 1e4]], "float32")
X = np.array([[0.2, 0.1], [-1.5, 2.1], [7.0, -3.0]], "float32")
TRIL = np.array([[1.5, 0.0], [-0.7, 0.4]], "float32")
LOGITS = np.array(
    [
        [[0.3, -1.0, 2.0], [0.0, 0.0, 0.0]],
        [[5.0, 1.0, -2.0], [-1.0, 1.0, 0.5]],
        [[0.1, 0.2, 0.3], [9.0, 0.0, 0.0]],
    ],
    "float32",
)
LABELS = np.array([[2, 0], [1, 1], [0, 2]], "int32")
HOT = np.eye(3, dtype="float32")[LABELS]
SIMPLEX = np.array([[0.2, 0.5, 0.3], [0.01, 0.01, 0.98], [0.6, 0.1, 0.3]], "float32")
WEIGHTS = np.array([[0.5, -1.0], [0.0, 2.0], [-3.0, 1.0]], "float32")
COMPONENTS = np.stack([MEAN, -MEAN], axis=1)  # (3, K = 2, 2)
LOG_SCALE = np.log(SCALE) - 2.0
GRID = np.array([[0.0, 85.0], [255.0, 254.0], [128.0, 1.0]], "float32") / np.float32(255)
RNG = np.random.default_rng(7)
PIXEL_MEAN, PIXEL_SCALE = RNG.normal(0.5, 0.5, (3, 2, 3, 4)), RNG.normal(-2.0, 1.0, (3, 2, 3, 4))
PIXEL_LOGITS, PIXEL_COUPLING = RNG.normal(size=(3, 2, 4)), RNG.normal(size=(3, 2, 3, 4))
PIXELS = (RNG.integers(0, 256, (3, 2, 3)) / 255).astype("float32")


@dataclass(frozen=True)
class Case:
    """A distribution, events of its support, and their log-density by an oracle."""

    make: callable
    points: np.ndarray
    oracle: callable


def of_scipy(family, *parameters):
    """Sum of a SciPy family's log-densities over the event."""
    return lambda x: summed(family(*(np.asarray(p, "float64") for p in parameters)).logpdf(x))


def summed(values):
    return values.reshape(len(values), -1).sum(axis=1)


def logistic_mass(x, mean, log_scale, bins=256):
    """Bin masses of the logistic on [0, 1], in float64 and upper or lower tail, whichever is smaller."""
    half, scale = 0.5 / (bins - 1), np.exp(log_scale)
    a = np.where(x < half, -np.inf, (x - half - mean) / scale)
    b = np.where(x > 1 - half, np.inf, (x + half - mean) / scale)
    a, b = np.where(a > 0, -b, a), np.where(a > 0, -a, b)
    return np.log(special.expit(b) - special.expit(a))


def bernoulli_oracle(x):
    p = special.expit(MEAN.astype("float64"))
    return summed(stats.bernoulli(p).logpmf(x))


def categorical_oracle(x):
    log_p = special.log_softmax(LOGITS.astype("float64"), axis=-1)
    return summed(np.take_along_axis(log_p, x[..., None], axis=-1))


def relaxed_oracle(x):
    """Maddison et al. (2016), equation 10, in its own form: alpha = exp(logits), lambda = 0.7."""
    alpha, relaxation, x = np.exp(LOGITS[:, 0].astype("float64")), 0.7, x.astype("float64")
    numerator = special.factorial(2) * relaxation**2 * (alpha * x ** (-relaxation - 1)).prod(-1)
    return np.log(numerator / (alpha * x**-relaxation).sum(-1) ** 3)


def mixture_oracle(x):
    inner = stats.norm(COMPONENTS.astype("float64"), SCALE[:, None]).logpdf(x[:, None]).sum(-1)
    return special.logsumexp(special.log_softmax(WEIGHTS.astype("float64"), -1) + inner, axis=1)


def pixel_oracle(x, coupling=None):
    mean = PIXEL_MEAN.copy()
    if coupling is not None:
        mean[..., 1, :] += coupling[..., 0, :] * x[..., 0, None]
        mean[..., 2, :] += coupling[..., 1, :] * x[..., 0, None] + coupling[..., 2, :] * x[..., 1, None]
    inner = logistic_mass(x[..., None], mean, PIXEL_SCALE).sum(axis=-2)
    return summed(special.logsumexp(special.log_softmax(PIXEL_LOGITS, -1) + inner, axis=-1))


def full_oracle(x):
    covariance = TRIL.astype("float64") @ TRIL.T
    return np.array(
        [stats.multivariate_normal(m, covariance).logpdf(v) for m, v in zip(MEAN, x, strict=True)]
    )


CASES = {
    "normal": Case(lambda: d.Normal(MEAN, SCALE), X, of_scipy(stats.norm, MEAN, SCALE)),
    "normal_prior": Case(
        lambda: d.Normal(MEAN[0], 1.0, event_shape=(2,)), X, of_scipy(stats.norm, MEAN[0], 1.0)
    ),
    "normal_standard": Case(lambda: d.Normal(event_shape=(2,)), X, of_scipy(stats.norm)),
    "multivariate_normal": Case(lambda: d.MultivariateNormal(MEAN, np.stack([TRIL] * 3)), X, full_oracle),
    "multivariate_normal_shared": Case(
        lambda: d.MultivariateNormal(MEAN, TRIL, event_shape=(2,)), X, full_oracle
    ),
    "laplace": Case(lambda: d.Laplace(MEAN, SCALE), X, of_scipy(stats.laplace, MEAN, SCALE)),
    "logistic": Case(lambda: d.Logistic(MEAN, SCALE), X, of_scipy(stats.logistic, MEAN, SCALE)),
    "gumbel": Case(lambda: d.Gumbel(MEAN, SCALE + 0.5), X, of_scipy(stats.gumbel_r, MEAN, SCALE + 0.5)),
    "student_t": Case(lambda: d.StudentT(DF, MEAN, SCALE), X, of_scipy(stats.t, DF, MEAN, SCALE)),
    "student_t_prior": Case(
        lambda: d.StudentT(3.0, 0.0, SCALE[0], event_shape=(2,)), X, of_scipy(stats.t, 3.0, 0.0, SCALE[0])
    ),
    "uniform": Case(
        lambda: d.Uniform(MEAN - 9, MEAN + SCALE + 9), X, of_scipy(stats.uniform, MEAN - 9, SCALE + 18)
    ),
    "bernoulli": Case(lambda: d.Bernoulli(MEAN), LABELS % 2, bernoulli_oracle),
    "categorical": Case(lambda: d.Categorical(LOGITS), LABELS, categorical_oracle),
    "categorical_prior": Case(
        lambda: d.Categorical(LOGITS[0, 0], event_shape=(2,)),
        LABELS,
        lambda x: special.log_softmax(LOGITS[0, 0].astype("float64"))[x].sum(-1),
    ),
    "one_hot_categorical": Case(
        lambda: d.OneHotCategorical(LOGITS), HOT, lambda x: categorical_oracle(x.argmax(-1))
    ),
    "relaxed_categorical": Case(lambda: d.RelaxedCategorical(0.7, LOGITS[:, 0]), SIMPLEX, relaxed_oracle),
    "discretized_logistic": Case(
        lambda: d.DiscretizedLogistic(MEAN, LOG_SCALE),
        GRID,
        lambda x: summed(
            logistic_mass(x.astype("float64"), MEAN.astype("float64"), LOG_SCALE.astype("float64"))
        ),
    ),
    "discretized_logistic_mixture": Case(
        lambda: d.DiscretizedLogisticMixture(PIXEL_LOGITS, PIXEL_MEAN, PIXEL_SCALE),
        PIXELS,
        lambda x: pixel_oracle(x.astype("float64")),
    ),
    "discretized_logistic_mixture_coupled": Case(
        lambda: d.DiscretizedLogisticMixture(PIXEL_LOGITS, PIXEL_MEAN, PIXEL_SCALE, PIXEL_COUPLING),
        PIXELS,
        lambda x: pixel_oracle(x.astype("float64"), PIXEL_COUPLING),
    ),
    "mixture": Case(lambda: d.Mixture(WEIGHTS, d.Normal(COMPONENTS, SCALE[:, None])), X, mixture_oracle),
    "mixture_of_categoricals": Case(
        lambda: d.Mixture(np.zeros(2, "float32"), d.Categorical(LOGITS[0], event_shape=(2,))),
        LABELS[:, 0],
        lambda x: np.log(special.softmax(LOGITS[0].astype("float64"), axis=-1).mean(0)[x]),
    ),
}

# Scalar distributions without a batch, with the SciPy one they are: densities are integrated, draws compared.
SCALARS = {
    "normal": (lambda: d.Normal(0.7, 1.3, event_shape=()), stats.norm(0.7, 1.3)),
    "laplace": (lambda: d.Laplace(-0.4, 0.6), stats.laplace(-0.4, 0.6)),
    "logistic": (lambda: d.Logistic(1.0, 0.5), stats.logistic(1.0, 0.5)),
    "gumbel": (lambda: d.Gumbel(0.2, 2.0), stats.gumbel_r(0.2, 2.0)),
    "student_t_1": (lambda: d.StudentT(1.0, 0.5, 2.0), stats.t(1.0, 0.5, 2.0)),
    "student_t_4": (lambda: d.StudentT(4.5, 0.0, 0.3), stats.t(4.5, 0.0, 0.3)),
    "uniform": (lambda: d.Uniform(-1.0, 3.0), stats.uniform(-1.0, 4.0)),
}
COARSE = {
    "bernoulli": (lambda: d.Bernoulli(0.4), [0.0, 1.0]),
    "categorical": (lambda: d.Categorical(LOGITS[0, 0], event_shape=()), [0, 1, 2]),
    "one_hot_categorical": (lambda: d.OneHotCategorical(LOGITS[0, 0], event_shape=(3,)), np.eye(3)),
    "discretized_logistic": (
        lambda: d.DiscretizedLogistic(0.3, -1.0, -1.0, 1.0, bins=9),
        np.linspace(-1, 1, 9),
    ),
    "discretized_logistic_mixture": (
        lambda: d.DiscretizedLogisticMixture(
            PIXEL_LOGITS[0, 0], PIXEL_MEAN[0, 0], PIXEL_SCALE[0, 0] + 1, PIXEL_COUPLING[0, 0], bins=4,
            event_shape=(3,),
        ),
        np.stack(np.meshgrid(*[np.linspace(0, 1, 4)] * 3), axis=-1).reshape(-1, 3),
    ),
    "mixture": (
        lambda: d.Mixture(WEIGHTS[0], d.DiscretizedLogistic(MEAN[0], -1.0, bins=5, event_shape=(2,))),
        np.linspace(0, 1, 5),
    ),
}  # fmt: skip
