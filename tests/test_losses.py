"""The laws of adversarial losses and penalties: their formulas, their values at the best discriminator, gradients."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import optimize, stats

from keras_gen import backend, losses
from keras_gen.distributions import Categorical, Normal

rng = np.random.default_rng(0)
N = 20
P = np.repeat(np.arange(5), [7, 5, 4, 3, 1])  # two distributions on five points, as batches of 20
Q = np.repeat(np.arange(5), [1, 2, 3, 5, 9])
p, q = (np.bincount(batch) / N for batch in (P, Q))


def numbers(x):
    return ops.convert_to_numpy(x)


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def softplus(a):
    return np.logaddexp(0.0, a)


def relu(a):
    return np.maximum(a, 0.0)


def kl(a, b):
    return np.sum(a * np.log(a / b))


def js(a, b):
    return (kl(a, (a + b) / 2) + kl(b, (a + b) / 2)) / 2


# The formulas.

FORMULAS = {  # name: discriminator, generator, of scores r of data and f of fakes
    "minimax": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: -softplus(f)),
    "non_saturating": (lambda r, f: softplus(-r) + softplus(f), lambda r, f: softplus(-f)),
    "least_squares": (lambda r, f: (r - 1) ** 2 / 2 + f**2 / 2, lambda r, f: (f - 1) ** 2 / 2),
    "hinge": (lambda r, f: relu(1 - r) + relu(1 + f), lambda r, f: -f),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "relativistic": (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
    "relativistic_average": (
        lambda r, f: softplus(-(r - f.mean())) + softplus(f - r.mean()),
        lambda r, f: softplus(-(f - r.mean())) + softplus(r - f.mean()),
    ),
}


@pytest.mark.parametrize("name", losses.ADVERSARIAL_LOSSES)
def test_losses_are_their_formulas(name):
    """One number an example, also for scores of a size at which e^a overflows."""
    game, (r, f) = losses.get_adversarial_loss(name), rng.normal(0.0, 3.0, (2, 16)).astype("float32")
    r[:2], f[:2] = [200.0, -200.0], [-200.0, 200.0]
    for ours, formula in zip((game.discriminator, game.generator), FORMULAS[name], strict=True):
        ours = numbers(ours(tensor(r), tensor(f)))
        assert ours.shape == (16,)
        np.testing.assert_allclose(ours, formula(r.astype("float64"), f.astype("float64")), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [n for n in FORMULAS if not n.startswith("relativistic")])
def test_only_relativistic_generators_need_the_scores_of_data(name):
    assert numbers(losses.get_adversarial_loss(name).generator(None, tensor([0.5]))).shape == (1,)
    assert not losses.get_adversarial_loss(name).needs_real
    assert losses.get_adversarial_loss("relativistic").needs_real


# The best discriminator of two known densities.


def expected_loss(name, scores, fakes=Q):
    """E over x ~ p and y ~ q of the discriminator's loss, for D given as its five values: the mean over all pairs."""
    real, fake = ops.take(scores, np.repeat(P, N)), ops.take(scores, np.tile(fakes, N))
    return ops.mean(losses.get_adversarial_loss(name).discriminator(real, fake))


BEST = {  # name: best D, the loss there
    "minimax": (np.log(p / q), np.log(4) - 2 * js(p, q)),
    "non_saturating": (np.log(p / q), np.log(4) - 2 * js(p, q)),
    "least_squares": (p / (p + q), 1 / 4 - np.sum((p - q) ** 2 / (p + q)) / 8),
    "hinge": (np.sign(p - q), 2 - np.abs(p - q).sum()),
}


@pytest.mark.parametrize("name", BEST)
def test_the_best_discriminator_gives_its_divergence(name):
    """The value of the table; no gradient there (hinge has a corner instead); and no other D has a lower loss."""
    best, value = BEST[name]
    assert float(expected_loss(name, tensor(best))) == pytest.approx(value, abs=1e-6)
    if name != "hinge":
        gradient = numbers(backend.grad(lambda d: expected_loss(name, d), tensor(best)))
        np.testing.assert_allclose(gradient, 0.0, atol=1e-7)
    for scale in (0.01, 0.1, 1.0):
        other = best + scale * rng.normal(size=best.shape)
        assert float(expected_loss(name, tensor(other))) > value - 1e-6


@pytest.mark.parametrize("name, bound", [("relativistic", np.log(2)), ("relativistic_average", np.log(4))])
def test_relativistic_losses_are_bounded_with_equality_at_p_equal_q(name, bound):
    """The least loss over all D, found by BFGS, is below the bound if p differs from q, and is the bound if not."""

    def least(fakes):
        def loss(d):
            value = float(numbers(expected_loss(name, tensor(d), fakes)))
            return value, numbers(backend.grad(lambda d: expected_loss(name, d, fakes), tensor(d))).astype("float64")

        return optimize.minimize(loss, rng.normal(size=5), jac=True, options={"maxiter": 30}).fun

    assert least(Q) < bound - 0.1
    assert least(P) == pytest.approx(bound, abs=1e-5)


@pytest.mark.parametrize("mean, scale", [(2.0, 1.0), (1.0, 2.0)])
def test_the_best_lipschitz_critic_gives_the_wasserstein_distance(mean, scale):
    """Two normals on a line, D' = sign(G - F) of their distribution functions; SciPy's distance on the same grid."""
    x = np.linspace(-12.0, 12.0, 4801)
    f, g = (stats.norm.pdf(x, m, s) for m, s in ((0.0, 1.0), (mean, scale)))
    f, g = f / f.sum(), g / g.sum()
    slope = np.sign(np.cumsum(g) - np.cumsum(f))
    critic = np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(x))])
    assert np.abs(np.diff(critic) / np.diff(x)).max() <= 1.0 + 1e-9
    game, zero = losses.Wasserstein(), ops.zeros(len(x))
    loss = ops.sum(tensor(f) * game.discriminator(tensor(critic), zero))
    loss = loss + ops.sum(tensor(g) * game.discriminator(zero, tensor(critic)))
    assert float(loss) == pytest.approx(-stats.wasserstein_distance(x, x, f, g), abs=1e-4)
    assert game.lipschitz and not losses.Hinge().lipschitz


GENERATORS = {  # name: what its generator lowers at the best D
    "minimax": lambda q: 2 * js(p, q),
    "non_saturating": lambda q: kl(q, p) - 2 * js(p, q),
    "hinge": lambda q: np.abs(p - q).sum(),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_the_generator_lowers_its_divergence_at_the_best_discriminator(name):
    """Gradient in the logits of q of E_q g(D), D held at the best: that of 2 JS, KL(q, p) - 2 JS, and 2 TV."""
    logits, game = np.log(q), losses.get_adversarial_loss(name)
    loss = lambda v: ops.sum(ops.softmax(v) * game.generator(None, tensor(BEST[name][0])))  # noqa: E731
    of_logits = lambda v: GENERATORS[name](np.exp(v) / np.exp(v).sum())  # noqa: E731
    expected = optimize.approx_fprime(logits, of_logits, 1e-6)
    np.testing.assert_allclose(numbers(backend.grad(loss, tensor(logits))), expected, atol=1e-5)


def test_a_sure_discriminator_stops_the_gradient_of_minimax_alone():
    """At D(y) = -10 it is sigmoid(-10) = 4.5e-5 for minimax, 1 for the non-saturating generator."""
    slopes = []
    for name in ("minimax", "non_saturating"):
        loss = losses.get_adversarial_loss(name).generator
        slopes.append(float(numbers(backend.grad(lambda d, loss=loss: loss(None, d), tensor([-10.0])))[0]))
    assert slopes == pytest.approx([-4.5398e-5, -0.9999546], rel=1e-4)


# Penalties.


class Given:
    """Noise that is what it was told, for formulas."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=None):
        draw = self.draws.pop(0)
        assert tuple(shape) == draw.shape and draw.min() >= minval and draw.max() <= maxval
        return tensor(draw)


X, Y = rng.normal(size=(2, 6, 3, 2)).astype("float32")
T = rng.uniform(size=(6, 1, 1)).astype("float32")
A = rng.normal(size=(6, 6)).astype("float32")
A = A + A.T


def linear(x):
    return ops.sum(ops.reshape(x, (-1, 6)) * tensor(A[0]), axis=1) + 3.0


def quadratic(x):
    flat = ops.reshape(x, (-1, 6))
    return 0.5 * ops.sum(flat * (flat @ tensor(A)), axis=1)


def norms(x):
    """|A x|, the norm of the quadratic's gradient."""
    return np.linalg.norm(x.reshape(-1, 6).astype("float64") @ A, axis=1)


def test_penalties_of_a_linear_discriminator():
    """Its gradient is a everywhere: |a|^2 / 2, (|a| - target)^2, and 0 on the lower side of a one-sided one."""
    a, u = np.linalg.norm(A[0]), rng.uniform(-1, 1, X.shape).astype("float32")
    expected = {
        losses.R1(): a**2 / 2,
        losses.R2(): a**2 / 2,
        losses.GradientPenalty(): (a - 1) ** 2,
        losses.GradientPenalty(target=0.0): a**2,
        losses.GradientPenalty(target=a + 1, one_sided=True): 0.0,
        losses.GradientPenalty(target=a - 1, one_sided=True): 1.0,
    }
    for penalty, value in expected.items():
        found = numbers(penalty.value(linear, tensor(X), tensor(Y), Given(T)))
        np.testing.assert_allclose(found, np.full(6, value), rtol=1e-5, atol=1e-6)
    found = numbers(losses.DRAGAN().value(linear, tensor(X), tensor(Y), Given(u, T)))
    np.testing.assert_allclose(found, np.full(6, (a - 1) ** 2), rtol=1e-5)


def test_penalties_of_a_quadratic_discriminator():
    """Its gradient is A x, so that they tell where it is taken: at data, at fakes, between them, around the data."""
    u = rng.uniform(-1, 1, X.shape).astype("float32")
    cases = [
        (losses.R1(), (), norms(X) ** 2 / 2),
        (losses.R2(), (), norms(Y) ** 2 / 2),
        (losses.GradientPenalty(), (T,), (norms(Y + T * (X - Y)) - 1) ** 2),
        (losses.DRAGAN(), (u, T), (norms(X + T * u * X.std() / 2) - 1) ** 2),
    ]
    for penalty, draws, expected in cases:
        found = numbers(penalty.value(quadratic, tensor(X), tensor(Y), Given(*draws)))
        np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_penalty_reaches_the_weights():
    """For D = w a.x: d/dw R1 = w |a|^2, and d/dw (|w a| - 1)^2 = 2 (|w a| - 1) |a|: second derivatives of D."""
    w, a = keras.Variable(0.7), np.linalg.norm(A[0])
    score = lambda x: w * (linear(x) - 3.0)  # noqa: E731
    for penalty, expected in [(losses.R1(), 0.7 * a**2), (losses.GradientPenalty(), 2 * (0.7 * a - 1) * a)]:
        mean = lambda penalty=penalty: ops.mean(penalty.value(score, tensor(X), tensor(Y), Given(T)))  # noqa: E731
        _, (gradient,) = backend.value_and_grad(mean, [w])
        assert float(numbers(gradient)) == pytest.approx(expected, rel=1e-5)


def test_a_flat_discriminator_has_a_finite_gradient():
    """The root of |g|^2 at g = 0 would make NaN of the weights."""
    w = keras.Variable(0.0)
    mean = lambda: ops.mean(losses.GradientPenalty().value(lambda x: w * linear(x), tensor(X), tensor(Y), Given(T)))  # noqa: E731
    value, (gradient,) = backend.value_and_grad(mean, [w])
    assert float(numbers(value)) == pytest.approx(1.0, abs=1e-5) and float(numbers(gradient)) == 0.0


PENALTIES = {
    "gradient_penalty": lambda: losses.GradientPenalty(5.0, target=2.0, one_sided=True),
    "dragan": lambda: losses.DRAGAN(3.0, every=4),
    "r1_schedule": lambda: losses.R1(keras.optimizers.schedules.ExponentialDecay(2.0, 10, 0.5), every=2),
    "r2": losses.R2,
}


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_have_a_config(name):
    """Serialised and read again they are of the same class, weight and options."""
    one = PENALTIES[name]()
    two = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(one))
    assert type(one) is type(two) and one.get_config() == two.get_config()
    assert not callable(one.weight) or float(one.weight(20)) == float(two.weight(20)) == 0.5


@pytest.mark.parametrize("name", losses.ADVERSARIAL_LOSSES)
def test_losses_have_a_config(name):
    game = losses.ADVERSARIAL_LOSSES[name]()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(game))
    assert type(again) is type(game) and losses.get_adversarial_loss(game) is game


# Terms of a generator.


def test_feature_matching_is_the_distance_of_means():
    """|mean f(x) - mean f(y)|^2 for batches of different size, layers added; no gradient where the means agree."""
    f, g = rng.normal(size=(8, 3, 2)), rng.normal(size=(5, 3, 2))
    expected = np.sum((f.mean(0) - g.mean(0)) ** 2)
    np.testing.assert_allclose(numbers(losses.feature_matching(tensor(f), tensor(g))), [expected] * 5, rtol=1e-5)
    both = losses.feature_matching([tensor(f), tensor(2 * f)], [tensor(g), tensor(2 * g)])
    np.testing.assert_allclose(numbers(both), [5 * expected] * 5, rtol=1e-5)
    mean = lambda g: ops.mean(losses.feature_matching(tensor(f), g))  # noqa: E731
    expected = 2 * (g.mean(0) - f.mean(0)) / 5
    np.testing.assert_allclose(numbers(backend.grad(mean, tensor(g))), np.tile(expected, (5, 1, 1)), atol=1e-5)


def test_mutual_information_of_a_discrete_channel():
    """With the true posterior the mean is I(c; y), here by the joint table; with another posterior it is lower."""
    joint = np.array([[4, 1, 1], [0, 2, 2]]) / 10  # rows c, columns y
    pc, py = joint.sum(1), joint.sum(0)
    c, y = np.repeat(np.indices(joint.shape).reshape(2, -1), (10 * joint).astype(int).ravel(), axis=1)
    prior = Categorical(logits=tensor(np.log(pc)), event_shape=())

    def bound(posterior):
        q = Categorical(logits=tensor(np.log(posterior[:, y].T + 1e-12)))
        return float(ops.mean(losses.mutual_information(ops.convert_to_tensor(c.astype("int32")), q, prior)))

    positive = joint > 0
    information = np.sum(joint[positive] * np.log((joint / np.outer(pc, py))[positive]))
    assert bound(joint / py) == pytest.approx(information, abs=1e-5)
    assert bound(0.8 * joint / py + 0.1) < information - 0.01


def test_mutual_information_of_a_normal_channel():
    """c ~ N(0, 1), y = c + s e: I = log(1 + 1/s^2) / 2, by the posterior N(y / (1 + s^2), s^2 / (1 + s^2))."""
    s, c, e = 0.5, *rng.normal(size=(2, 20000, 1))
    y = c + s * e
    posterior = Normal(tensor(y / (1 + s**2)), s / np.sqrt(1 + s**2))
    prior = Normal(ops.zeros(1), 1.0, event_shape=(1,))
    found = numbers(losses.mutual_information(tensor(c), posterior, prior))
    assert found.shape == (20000,)
    assert found.mean() == pytest.approx(np.log(1 + 1 / s**2) / 2, abs=4 * found.std() / np.sqrt(20000))


def test_path_length_of_a_linear_map():
    """y = B w: l = |B^T n|, of an image over sqrt(height width); of several layers the root of the mean square."""
    b, w, n = rng.normal(size=(3, 12)), rng.normal(size=(5, 3)), rng.normal(size=(5, 12))
    scaled = lambda w: w @ tensor(b)  # noqa: E731
    expected = np.linalg.norm(n @ b.T, axis=1)
    np.testing.assert_allclose(numbers(losses.path_length(scaled, tensor(w), tensor(n))), expected, rtol=1e-5)
    image = lambda w: ops.reshape(scaled(w), (-1, 2, 2, 3))  # noqa: E731
    found = losses.path_length(image, tensor(w), tensor(n.reshape(5, 2, 2, 3)))
    np.testing.assert_allclose(numbers(found), expected / 2, rtol=1e-5)
    layers = lambda w: scaled(w[:, 0]) + 2 * scaled(w[:, 1])  # noqa: E731
    found = losses.path_length(layers, tensor(np.stack([w, w], 1)), tensor(n))
    np.testing.assert_allclose(numbers(found), expected * np.sqrt((1 + 4) / 2), rtol=1e-5)


def test_path_length_can_be_differentiated_in_the_weights():
    """For y = v w: l = |v| |n|, so d/dv l = |n|."""
    v, n = keras.Variable(1.5), rng.normal(size=(4, 3))
    length = lambda: ops.mean(losses.path_length(lambda w: v * w, ops.ones((4, 3)), tensor(n)))  # noqa: E731
    value, (gradient,) = backend.value_and_grad(length, [v])
    mean = np.linalg.norm(n, axis=1).mean()
    assert [float(numbers(value)), float(numbers(gradient))] == pytest.approx([1.5 * mean, mean], rel=1e-5)


# Bad input.

BAD = {
    "unknown": (lambda: losses.get_adversarial_loss("wgan"), "`loss` as one of.*'wasserstein'.*'wgan'"),
    "none": (lambda: losses.get_adversarial_loss(None), "`loss` as one of.*None"),
    "a list": (lambda: losses.get_adversarial_loss(["hinge"]), "`loss` as one of.*AdversarialLoss"),
    "a class": (lambda: losses.get_adversarial_loss(losses.Hinge), "`loss` as one of.*Hinge"),
    "negative weight": (lambda: losses.R1(-1.0), "`weight` as a number >= 0.*-1.0"),
    "infinite weight": (lambda: losses.R1(np.inf), "`weight` as a number >= 0.*inf"),
    "weight as text": (lambda: losses.R1("10"), "`weight` as a number >= 0.*'10'"),
    "every 0": (lambda: losses.R1(every=0), "`every` as a positive integer.*0"),
    "every 1.5": (lambda: losses.R1(every=1.5), "`every` as a positive integer.*1.5"),
    "features": (lambda: losses.feature_matching([X, X], [X]), "as many features.*2 and 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    call, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        call()
