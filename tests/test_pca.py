"""PCA and probabilistic PCA against scikit-learn and SciPy, and the law of the streamed moments."""

import keras
import numpy as np
import pytest
from scipy import stats
from sklearn import decomposition

from keras_gen.models import PCA, ProbabilisticPCA
from tests.cases import images

D, Q = 6, 2


def data(n=400, offset=0.0):
    """Correlated data of falling variances 9, 4, 1, 0.25, ... in a rotated frame."""
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(D, D)))[0]
    return (rng.normal(size=(n, D)) * [3.0, 2.0, 1.0, 0.5, 0.4, 0.3] @ rotation.T + offset).astype("float32")


def fitted(model, x, **kwargs):
    model.fit(x, **{"batch_size": 64, "verbose": 0, **kwargs})
    return model


def numbers(x):
    return np.array(keras.ops.convert_to_numpy(x.value))


def parameters(model):
    return [numbers(v) for v in (model.location, model.components, model.eigenvalues)]


def covariance(model):
    """W W^T + sigma^2 I of a fitted probabilistic PCA."""
    u, lambdas, variance = (numbers(v).astype("float64") for v in (model.components, model.eigenvalues, model.variance))
    return (u * (lambdas - variance)) @ u.T + variance * np.eye(len(u))


def oracle(x, q=Q):
    return decomposition.PCA(q, svd_solver="full").fit(x.astype("float64"))


# PCA.


def test_components_and_eigenvalues():
    """Those of scikit-learn, up to sign; its variances divide by n - 1, ours by n."""
    x = data()
    model, other = fitted(PCA((D,), Q), x), oracle(x)
    u = numbers(model.components)
    np.testing.assert_allclose(np.abs(u.T @ other.components_.T), np.eye(Q), rtol=0, atol=1e-5)
    np.testing.assert_allclose(numbers(model.location), other.mean_, rtol=0, atol=1e-5)
    np.testing.assert_allclose(numbers(model.eigenvalues), other.explained_variance_ * 399 / 400, rtol=1e-5)
    assert (u[np.abs(u).argmax(axis=0), np.arange(Q)] > 0).all()  # the sign is fixed


def test_codes_and_reconstructions():
    """encode and reconstruct are scikit-learn's, and the loss is the sum of the eigenvalues left out."""
    x = data()
    model, other = fitted(PCA((D,), Q), x), oracle(x)
    signs = np.sign((numbers(model.components) * other.components_.T).sum(axis=0))
    np.testing.assert_allclose(model.encode(x), other.transform(x) * signs, rtol=0, atol=2e-5)
    expected = other.inverse_transform(other.transform(x))
    np.testing.assert_allclose(model.reconstruct(x), expected, rtol=0, atol=2e-5)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=0, atol=2e-5)
    left_out = np.linalg.eigvalsh(np.cov(x.T, bias=True))[:-Q].sum()
    assert model.evaluate(x, verbose=0) == pytest.approx(left_out, rel=1e-4)


def test_samples_of_pca_lie_in_the_plane_with_the_variances_of_the_data():
    """x = U z + mu: covariance U Lambda U^T."""
    x = data()
    model = fitted(PCA((D,), Q), x)
    samples = model.sample(20000, seed=0, batch_size=20000)
    u, lambdas = numbers(model.components), numbers(model.eigenvalues)
    np.testing.assert_allclose(np.cov(samples.T), (u * lambdas) @ u.T, rtol=0, atol=0.3)  # 5 standard errors of 9
    np.testing.assert_allclose(model.reconstruct(samples[:9]), samples[:9], rtol=0, atol=1e-4)


# The likelihood.


def test_log_prob_is_that_of_the_normal():
    """SciPy's normal of covariance W W^T + sigma^2 I; scikit-learn's score, which divides by n - 1."""
    x = data()
    model = fitted(ProbabilisticPCA((D,), Q), x)
    normal = stats.multivariate_normal(numbers(model.location), covariance(model))
    np.testing.assert_allclose(model.log_prob(x), normal.logpdf(x), rtol=0, atol=5e-5)  # of ten nats
    np.testing.assert_allclose(model.log_prob(x), oracle(x).score_samples(x), rtol=0, atol=0.05)
    doubled = np.concatenate([x, x])  # n and n - 1 draw together
    assert np.abs(model.log_prob(x) - oracle(doubled).score_samples(x)).max() < 0.03


def test_the_fit_is_the_maximum_of_the_likelihood():
    """sigma^2 of eq. 8 is the mean of the eigenvalues left out; any step away from W, sigma^2 lowers the mean log p."""
    x = data()
    model = fitted(ProbabilisticPCA((D,), Q), x)
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    assert float(model.variance) == pytest.approx(eigenvalues[:-Q].mean(), rel=1e-4)
    w = numbers(model.components) * np.sqrt(numbers(model.eigenvalues) - float(model.variance))
    best = model.log_prob(x).mean()
    rng = np.random.default_rng(0)
    for _ in range(5):
        moved = w + rng.normal(0, 0.05, (D, Q))
        other = moved @ moved.T + float(model.variance) * np.exp(rng.normal(0, 0.05)) * np.eye(D)
        assert stats.multivariate_normal(numbers(model.location), other).logpdf(x).mean() < best


def test_codes_are_posterior_means():
    """E[z given x] = M^-1 W^T (x - mu), M = W^T W + sigma^2 I."""
    x = data()
    model = fitted(ProbabilisticPCA((D,), Q), x)
    w = numbers(model.components) * np.sqrt(numbers(model.eigenvalues) - float(model.variance))
    m = w.T @ w + float(model.variance) * np.eye(Q)
    np.testing.assert_allclose(
        model.encode(x), np.linalg.solve(m, w.T @ (x - numbers(model.location)).T).T, rtol=0, atol=2e-5
    )
    np.testing.assert_allclose(model.decode(np.eye(Q)), w.T + numbers(model.location), rtol=0, atol=2e-5)


def test_samples_have_the_covariance_of_the_model():
    """x = W z + mu + sigma eps."""
    x = data()
    model = fitted(ProbabilisticPCA((D,), Q), x)
    samples = model.sample(20000, seed=0, batch_size=20000)
    np.testing.assert_allclose(np.cov(samples.T), covariance(model), rtol=0, atol=0.3)  # 5 standard errors of 9
    np.testing.assert_allclose(samples.mean(axis=0), numbers(model.location), rtol=0, atol=0.1)


def test_evaluate_gives_nats_and_bits():
    """nll is the mean of -log p, bits_per_dim that over d log 2."""
    x = data()
    model = fitted(ProbabilisticPCA((D,), Q), x)
    result = model.evaluate(x, verbose=0, return_dict=True)
    assert result["nll"] == pytest.approx(-model.log_prob(x).mean(), abs=1e-4) == result["loss"]
    assert result["bits_per_dim"] == pytest.approx(result["nll"] / (D * np.log(2)), abs=1e-5)


# Moments that stream.


@pytest.mark.parametrize("batch_size", [1, 7, 400])
def test_uneven_batches_equal_the_whole(batch_size):
    """Merged moments do not know the batches, the last and smaller one included."""
    x = data(100)
    whole = fitted(ProbabilisticPCA((D,), Q), x, batch_size=100)
    streamed = fitted(ProbabilisticPCA((D,), Q), x, batch_size=batch_size)
    for a, b in zip(parameters(whole), parameters(streamed), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


def test_a_second_epoch_begins_anew():
    """Two epochs on the same data, or a fit on other data, leave no trace of the first."""
    x = data(100)
    once, twice = fitted(PCA((D,), Q), x), fitted(PCA((D,), Q), 5.0 * x + 1.0)
    fitted(twice, x, epochs=2)
    for a, b in zip(parameters(once), parameters(twice), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_sample_weights_are_repeated_rows():
    """A weight of 3 is a row three times, of 0 no row; a batch without any weight changes nothing."""
    x = data(96)
    weights = np.tile([0.0, 1.0, 3.0], 32).astype("float32")
    weights[32:64] = 0.0
    repeated = fitted(ProbabilisticPCA((D,), Q), np.repeat(x, weights.astype(int), axis=0))
    weighted = fitted(ProbabilisticPCA((D,), Q), x, sample_weight=weights, batch_size=32, shuffle=False)
    for a, b in zip(parameters(repeated), parameters(weighted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)
    leading = np.repeat([0.0, 1.0, 1.0], 32)
    started = fitted(PCA((D,), Q), x, sample_weight=leading, batch_size=32, shuffle=False)
    np.testing.assert_allclose(parameters(started)[0], x[32:].mean(axis=0), rtol=0, atol=1e-5)


def test_small_weights_are_weights():
    """Only the ratios of the weights matter, not their sum."""
    x = data(64)
    one = fitted(PCA((D,), Q), x)
    small = fitted(PCA((D,), Q), x, sample_weight=np.full(64, 0.01))
    for a, b in zip(parameters(one), parameters(small), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [16, 100])
def test_a_large_offset_keeps_accuracy(batch_size):
    """Mean 1e3, deviations from 0.3 to 3: no digits cancel, for the moments are of deviations."""
    x = data(2000, offset=1e3)
    model = fitted(ProbabilisticPCA((D,), Q), x, batch_size=batch_size)
    exact = np.linalg.eigh(np.cov(x.astype("float64").T, bias=True))
    np.testing.assert_allclose(numbers(model.location), x.astype("float64").mean(axis=0), rtol=0, atol=3e-4)
    np.testing.assert_allclose(numbers(model.eigenvalues), exact[0][::-1][:Q], rtol=1e-4)
    assert float(model.variance) == pytest.approx(exact[0][:-Q].mean(), rel=1e-3)
    normal = stats.multivariate_normal(x.astype("float64").mean(axis=0), covariance(model))
    np.testing.assert_allclose(model.log_prob(x[:200]), normal.logpdf(x[:200]), rtol=0, atol=0.02)  # x itself: 6e-5


def test_constant_pixels_leave_a_finite_density():
    """Digits have pixels that are always 0; the floor of the variance keeps log p and its samples finite."""
    x = images(300)[0]
    assert (x.std(axis=0) == 0).any()
    for q in (2, 60):
        model = fitted(ProbabilisticPCA((8, 8, 1), q), x)
        assert np.isfinite(model.log_prob(x)).all() and np.isfinite(model.sample(4, seed=0)).all()
        assert float(model.variance) >= 1e-6 * (1 - 1e-6)


def test_constant_data_leave_a_finite_density():
    """Every element constant: eigenvalues at the floor, the density that of a narrow normal."""
    model = fitted(ProbabilisticPCA((3,), 1), np.ones((8, 3)))
    assert model.log_prob(np.ones((1, 3)))[0] == pytest.approx(1.5 * np.log(1e6 / (2 * np.pi)), abs=1e-3)


def test_images_keep_their_shape():
    """Reconstruction and samples are images, and more components reconstruct better."""
    x = images(300)[0]
    errors = [fitted(PCA((8, 8, 1), q), x).evaluate(x, verbose=0) for q in (2, 10, 30)]
    assert errors[0] > errors[1] > errors[2]
    assert fitted(PCA((8, 8, 1), 2), x).sample(3, seed=0).shape == (3, 8, 8, 1)


def test_needs_no_compile_and_two_examples():
    """There is no optimizer; one example has no variance."""
    with pytest.raises(ValueError, match="at least 2 examples"):
        PCA((D,), Q).fit(data(1), verbose=0)
    with pytest.raises(ValueError, match="below the 6 dimensions"):
        PCA((D,), D)


class _Interrupt(keras.callbacks.Callback):
    """Stops `fit` as Ctrl-C does, or looks at the data, after the first batch."""

    def __init__(self, look=None):
        super().__init__()
        self.look = look

    def on_train_batch_end(self, batch, logs=None):
        if self.look is None:
            raise KeyboardInterrupt
        self.model.evaluate(self.look, verbose=0)


def test_an_interrupted_fit_leaves_nothing_to_the_next():
    """The moments of an epoch that did not end are put away."""
    model, x = PCA((D,), Q), data()
    with pytest.raises(KeyboardInterrupt):
        fitted(model, x + 100.0, callbacks=[_Interrupt()])
    np.testing.assert_allclose(numbers(fitted(model, x).location), x.mean(axis=0), rtol=0, atol=1e-5)


def test_evaluating_within_an_epoch_does_not_end_it():
    """A callback may evaluate: the parameters still come from all batches."""
    x = data()
    model = fitted(PCA((D,), Q), x, callbacks=[_Interrupt(look=x[:32])])
    np.testing.assert_allclose(numbers(model.location), x.mean(axis=0), rtol=0, atol=1e-5)
