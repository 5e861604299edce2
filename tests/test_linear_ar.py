"""Laws of the linear autoregression: least squares, whatever the batches."""

import numpy as np
import pytest
from scipy import stats

from keras_gen import models


def sequences(n=40, length=30, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    a = np.array([[[0.6, 0.2], [-0.1, 0.5]], [[-0.3, 0.0], [0.1, 0.2]]])
    x = rng.normal(size=(n, length, channels)) @ np.array([[1.0, 0.4], [0.0, 0.7]]) + 0.5
    for t in range(length):
        for k in range(2):
            if t > k:
                x[:, t] += x[:, t - 1 - k] @ a[k].T
    return x.astype("float32")


def design(x, order):
    """phi_t and x_t in float64, by a plain loop."""
    n, length, channels = x.shape
    rows, targets = [], []
    for sequence in x.astype("float64"):
        past = np.concatenate([np.zeros((order, channels)), sequence])
        for t in range(length):
            rows.append(np.concatenate([past[t : t + order].ravel(), [1.0]]))
            targets.append(sequence[t])
    return np.array(rows), np.array(targets)


def least_squares(x, order, weight=None):
    phi, y = design(x, order)
    w = np.ones(len(phi)) if weight is None else np.repeat(weight, x.shape[1])
    root = np.sqrt(w)[:, None]
    solution = np.linalg.lstsq(root * phi, root * y, rcond=None)[0]
    residual = root * (y - phi @ solution)
    return solution, residual.T @ residual / w.sum(), phi, y


@pytest.mark.parametrize("batch_size", [7, 40])
@pytest.mark.parametrize("order", [1, 3])
def test_fit_is_least_squares(order, batch_size):
    x = sequences()
    model = models.LinearAR(x.shape[1:], order)
    model.fit(x, batch_size=batch_size, verbose=0)
    w, covariance, phi, y = least_squares(x, order)
    ours = np.concatenate([model.coefficients[::-1].transpose(0, 2, 1).reshape(-1, 2), model.intercept[None]])
    np.testing.assert_allclose(ours, w, atol=1e-4)
    np.testing.assert_allclose(model.covariance, covariance, atol=1e-4)
    log_p = stats.multivariate_normal.logpdf(y - phi @ w, cov=covariance).reshape(len(x), -1)
    np.testing.assert_allclose(model.log_prob(x), log_p.sum(1), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(model.predict(x, verbose=0), (phi @ w).reshape(x.shape), atol=1e-3)


def test_small_numbers_are_fitted_as_large_ones():
    fitted = []
    for unit in (1.0, 1e-9):
        x = unit * sequences().astype("float64")
        model = models.LinearAR(x.shape[1:], 2)
        model.fit(x, verbose=0)
        fitted.append(np.concatenate([model.coefficients.ravel(), model.covariance.ravel() / unit**2]))
    np.testing.assert_allclose(*fitted, rtol=1e-4, atol=1e-4)


def test_a_sequence_that_is_predicted_exactly_has_a_finite_density():
    for x in (np.zeros((4, 6, 2)), np.tile(1.5 * 0.5 ** np.arange(6)[None, :, None], (4, 1, 2)) * [1.0, 1e-3]):
        model = models.LinearAR((6, 2))
        model.fit(x, verbose=0)
        assert np.isfinite(model.log_prob(x)).all()


def test_sample_weights_count_as_repetitions():
    x, weight = sequences(12), np.array([0, 1, 2] * 4, "float32")
    model = models.LinearAR(x.shape[1:], 2)
    model.fit(x, sample_weight=weight, batch_size=5, verbose=0)
    w, covariance, *_ = least_squares(x, 2, weight)
    np.testing.assert_allclose(model.intercept, w[-1], atol=1e-4)
    np.testing.assert_allclose(model.covariance, covariance, atol=1e-4)


@pytest.mark.parametrize("batch_size", [5, 12])
def test_an_epoch_logs_the_loss_of_what_it_has_fitted(batch_size):
    """And its bits and perplexity, weighted as `evaluate` weighs the loss; again in a second epoch."""
    x, weight = sequences(12), np.array([0.5, 1, 2] * 4, "float32")
    for options in ({}, {"sample_weight": weight}):
        model = models.LinearAR(x.shape[1:], 2)
        history = model.fit(x, epochs=2, batch_size=batch_size, verbose=0, **options).history
        assert set(history) == {"loss", "bits_per_element", "perplexity"}
        found = model.evaluate(x, verbose=0, return_dict=True, **options)
        np.testing.assert_allclose(history["loss"], 2 * [found["loss"]], rtol=1e-4)
        nats = found["loss"] / 30 / (weight.mean() if options else 1.0)
        np.testing.assert_allclose(history["perplexity"], 2 * [np.exp(nats)], rtol=1e-4)
        np.testing.assert_allclose(history["bits_per_element"], 2 * [nats / np.log(2)], rtol=1e-4)


def test_nearly_collinear_sound_is_fitted_to_single_precision():
    """A slow sine and little noise: the normal equations in float32 would be off in the first digit."""
    rng = np.random.default_rng(1)
    t = np.arange(400)[None] + rng.integers(0, 100, (20, 1))
    x = (np.sin(0.05 * t) + 1e-3 * rng.normal(size=(20, 400)))[..., None].astype("float32")
    model = models.LinearAR((400, 1), 8)
    model.fit(x, verbose=0)
    w, covariance, phi, y = least_squares(x, 8)
    ours = y[:, 0] - model.predict(x, verbose=0).ravel()
    assert np.mean(ours**2) < covariance[0, 0] * (1 + 1e-3)
    np.testing.assert_allclose(model.covariance, covariance, rtol=1e-2)


def test_cached_samples_continue_as_the_recursion_says():
    x = sequences()
    model = models.LinearAR(x.shape[1:], 2)
    model.fit(x, verbose=0)
    y = model.sample(3, prime=x[:3, :10], temperature=0.0, seed=0)
    np.testing.assert_allclose(y[:, :10], x[:3, :10], atol=1e-6)
    for t in range(10, 30):
        mean = model.intercept + sum(y[:, t - 1 - k] @ model.coefficients[k].T for k in range(2))
        np.testing.assert_allclose(y[:, t], mean, atol=1e-4)


def test_an_order_beyond_the_data_is_refused():
    with pytest.raises(ValueError, match="at least 13 elements"):
        models.LinearAR((6, 2), 5).fit(np.zeros((1, 6, 2)), verbose=0)
    with pytest.raises(ValueError, match="`order`"):
        models.LinearAR((6, 2), 0)
    with pytest.raises(ValueError, match="no condition"):
        models.LinearAR((6, 2), 1, num_classes=3)


@pytest.mark.parametrize("own", [{"head": "laplace"}, {"embedding_size": 3}, {"upsampling": "repeat"}])
def test_arguments_that_do_nothing_are_refused(own):
    with pytest.raises(TypeError, match=f"LinearAR has no arguments .*{next(iter(own))}"):
        models.LinearAR((30, 2), **own)
