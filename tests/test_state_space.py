"""The linear dynamical system against its dense normal vector, statsmodels, and the laws of EM."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from benchmarks.golden_state_space import AHEAD, simulated, system
from keras_gen import backend, random
from keras_gen.models import LinearDynamicalSystem
from tests.test_precision import float64

GOLDEN = Path(__file__).parent / "golden" / "state_space.npz"
T, P, Q = 12, 2, 3
TRUE = system()


def make(steps=T, matrices=TRUE, **kwargs):
    return LinearDynamicalSystem((steps, P), Q, matrices=matrices, **kwargs)


def data(n=6, steps=T, matrices=TRUE, seed=0):
    return simulated(matrices, n, steps, np.random.default_rng(seed))


def dense(m, steps=T):
    """Mean and covariance of (z_1 ... z_T), and of y given them: the map and the noise, all of one vector."""
    q, means, variances = len(m["A"]), [m["m_0"]], [m["P_0"]]
    for _ in range(steps - 1):
        means.append(m["A"] @ means[-1])
        variances.append(m["A"] @ variances[-1] @ m["A"].T + m["Q"])
    S = np.zeros((steps, q, steps, q))
    for t in range(steps):
        block = variances[t]
        for s in range(t, steps):
            S[s, :, t], S[t, :, s] = block, block.T
            block = m["A"] @ block
    H, R = np.kron(np.eye(steps), m["C"]), np.kron(np.eye(steps), m["R"])
    return np.concatenate(means), S.reshape(steps * q, -1), H, np.tile(m["d"], steps), R


def dense_observations(m, steps=T):
    """Mean and covariance of the whole sequence."""
    mean, S, H, d, R = dense(m, steps)
    return H @ mean + d, H @ S @ H.T + R


def dense_states(m, x):
    """Means `(n, T, q)` and covariance `(T q, T q)` of the states given x."""
    steps = x.shape[1]
    mean, S, H, d, R = dense(m, steps)
    gain = np.linalg.solve(H @ S @ H.T + R, H @ S).T
    z = mean + (x.reshape(len(x), -1) - H @ mean - d) @ gain.T
    return z.reshape(len(x), steps, -1), S - gain @ H @ S


def dense_log_prob(m, x):
    normal = stats.multivariate_normal(*dense_observations(m, x.shape[1]))
    return np.atleast_1d(normal.logpdf(x.reshape(len(x), -1)))


def blocks(matrix, steps, lag=0):
    """The blocks (t + lag, t) of a covariance of all states."""
    whole = matrix.reshape(steps, -1, steps, len(matrix) // steps)
    return np.stack([whole[t + lag, :, t] for t in range(steps - lag)])


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


# Densities and states.


def test_log_prob_is_that_of_the_whole_vector():
    """The filter's density is the dense normal's, to 1e-6 of it; so is the loss, and bits are nats over T p log 2."""
    model, x = make(), data(40)
    expected = dense_log_prob(TRUE, x)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=2e-6)
    found = model.evaluate(x, verbose=0, return_dict=True)
    assert found["nll"] == found["loss"] == pytest.approx(-expected.mean(), rel=1e-5)
    assert found["bits_per_dim"] == pytest.approx(found["nll"] / (T * P * np.log(2)), rel=1e-5)


def test_states_are_those_of_conditioning_the_whole_vector():
    """Smoothed: given x; filtered: given its beginning. Means and covariances, and what is decoded of them."""
    model, x = make(), data()
    mean, covariance = dense_states(TRUE, x)
    smoothed = model.smooth(x)
    close(smoothed.mean, mean)
    close(smoothed.covariance, blocks(covariance, T))
    close(model.encode(x), mean)
    for prediction in (model.predict(x, verbose=0), model.reconstruct(x), model.decode(mean)):
        close(prediction, mean @ TRUE["C"].T + TRUE["d"])
    filtered = model.filter(x)
    for t in range(2, T):
        mean, covariance = dense_states(TRUE, x[:, :t])
        close(filtered.mean[:, t - 1], mean[:, -1])
        close(filtered.covariance[t - 1], covariance[-Q:, -Q:])


def test_statsmodels_finds_the_same():
    """Golden numbers of statsmodels 0.15.0: density, states filtered and smoothed, forecasts."""
    golden = np.load(GOLDEN)
    model = make(golden["x"].shape[1], {name: golden[name] for name in TRUE})
    np.testing.assert_allclose(model.log_prob(golden["x"]), golden["log_prob"], rtol=2e-6)
    named = {"filtered": model.filter(golden["x"]), "smoothed": model.smooth(golden["x"])}
    for name, moments in {**named, "forecast": model.forecast(golden["x"], AHEAD)}.items():
        close(moments.mean, golden[f"{name}_mean"])
        close(moments.covariance, golden[f"{name}_covariance"])


@float64
def test_float64_agrees_to_1e_11():
    """Densities, states and forecasts in float64."""
    model, x = make(dtype="float64"), data(20)
    np.testing.assert_allclose(model.log_prob(x), dense_log_prob(TRUE, x), rtol=1e-11)
    mean, covariance = dense_states(TRUE, x)
    close(model.smooth(x).mean, mean, 1e-11)
    close(model.smooth(x).covariance, blocks(covariance, T), 1e-11)


def scalar_log_prob(q, r, p, x):
    """A random walk seen through noise, start of variance p: the filter of one number, in float64."""
    mean, total = np.zeros(len(x)), np.zeros(len(x))
    for t in range(x.shape[1]):
        s = p + r
        total += stats.norm(mean, np.sqrt(s)).logpdf(x[:, t, 0])
        mean, p = mean + p / s * (x[:, t, 0] - mean), p * r / s + q
    return total


def test_square_roots_hold_where_covariances_would_not():
    """A walk of steps 1e-3 from an unknown start, 1e3: in float32, 1e6 - 1e6 would leave no variance of it."""
    one = np.eye(1)
    matrices = {"A": one, "C": one, "Q": 1e-6 * one, "R": 1e-6 * one, "P_0": 1e6 * one}
    model = LinearDynamicalSystem((200, 1), 1, matrices=matrices)
    rng = np.random.default_rng(0)
    x = 1e-3 * (rng.normal(size=(3, 200, 1)).cumsum(axis=1) + rng.normal(size=(3, 200, 1)))
    np.testing.assert_allclose(model.log_prob(x), scalar_log_prob(1e-6, 1e-6, 1e6, x), rtol=1e-5)


def test_half_precision_computes_in_float32():
    """The policies change nothing."""
    model, x = make(), data()
    whole = model.log_prob(x), model.predict(x, verbose=0)
    for policy in ("mixed_float16", "mixed_bfloat16"):
        half = make(dtype=policy)
        np.testing.assert_array_equal(half.log_prob(x), whole[0])
        assert half.sample(2, seed=0).dtype == np.float32
    np.testing.assert_array_equal(half.predict(x, verbose=0), whole[1])


def test_the_density_can_be_differentiated():
    """d log p / dx = -S^-1 (x - mean), of the dense normal; compiled."""
    model, x = make(), data(3)
    mean, covariance = dense_observations(TRUE)
    run = backend.compile(lambda x: backend.grad(model.log_density, x), lambda: model.variables)
    gradient = ops.convert_to_numpy(run(ops.convert_to_tensor(x.astype("float32"))))
    close(gradient.reshape(3, -1), -np.linalg.solve(covariance, (x.reshape(3, -1) - mean).T).T, 1e-4)


# Samples and forecasts.


def test_samples_are_the_recursion_of_its_noise():
    """z and x of the generator's normals, by hand: the same on every backend, for any batch."""
    samples = make().sample(5, seed=3, batch_size=2)
    keys_z, keys_x = random.split(random.keys(3, 5), 2)
    w, v = (ops.convert_to_numpy(random.normal(k, (T, s))) for k, s in ((keys_z, Q), (keys_x, P)))
    L_Q, L_R, L_0 = (np.linalg.cholesky(TRUE[name]) for name in ("Q", "R", "P_0"))
    z = [TRUE["m_0"] + w[:, 0] @ L_0.T]
    for t in range(1, T):
        z.append(z[-1] @ TRUE["A"].T + w[:, t] @ L_Q.T)
    np.testing.assert_allclose(samples, np.stack(z, 1) @ TRUE["C"].T + TRUE["d"] + v @ L_R.T, rtol=0, atol=1e-5)


def test_samples_have_the_moments_of_the_whole_vector():
    """Mean and covariance over 20000 samples, within five standard errors; temperature 0 gives the mean itself."""
    mean, covariance = dense_observations(TRUE)
    scale = np.sqrt(np.diag(covariance))
    samples = make().sample(20000, seed=0, batch_size=20000).reshape(20000, -1)
    assert np.abs((samples.mean(axis=0) - mean) / scale).max() < 5 / np.sqrt(20000)
    assert np.abs((np.cov(samples.T) - covariance) / np.outer(scale, scale)).max() < 5 * np.sqrt(2 / 20000)
    close(make().sample(1, seed=0, temperature=0.0).ravel(), mean)


def test_forecasts_are_those_of_conditioning_the_whole_vector():
    """The moments of y_(T+1) ... given y_1 ... y_T; continuations have them, and their correlations over time."""
    model, x, ahead = make(), data(2), 4
    mean, covariance = dense_observations(TRUE, T + ahead)
    seen, new = slice(0, T * P), slice(T * P, None)
    gain = np.linalg.solve(covariance[seen, seen], covariance[seen, new]).T
    expected = mean[new] + (x.reshape(2, -1) - mean[seen]) @ gain.T
    rest = covariance[new, new] - gain @ covariance[seen, new]
    forecast = model.forecast(x, ahead)
    close(forecast.mean.reshape(2, -1), expected)
    close(forecast.covariance, blocks(rest, ahead))
    drawn = model.continuations(x, ahead, n=10000, seed=0, batch_size=20000)
    assert drawn.shape == (2, 10000, ahead, P)
    scale = np.sqrt(np.diag(rest))
    for one, centre in zip(drawn.reshape(2, 10000, -1), expected, strict=True):
        assert np.abs((one.mean(axis=0) - centre) / scale).max() < 5 / np.sqrt(10000)
        assert np.abs((np.cov(one.T) - rest) / np.outer(scale, scale)).max() < 5 * np.sqrt(2 / 10000)
    few = model.continuations(x, ahead, n=3, seed=1, batch_size=1)
    np.testing.assert_allclose(few, model.continuations(x, ahead, n=3, seed=1), rtol=0, atol=1e-5)


# EM.


def textbook_step(m, x):
    """One step of EM from the dense posterior, in float64, by the formulas of Ghahramani and Hinton."""
    n, steps = x.shape[:2]
    z, covariance = dense_states(m, x)
    own, lagged = blocks(covariance, steps), blocks(covariance, steps, 1)
    zz = np.einsum("nti,ntj->tij", z, z) + n * own
    later = np.einsum("nti,ntj->tij", z[:, 1:], z[:, :-1]) + n * lagged
    A = later.sum(0) @ np.linalg.inv(zz[:-1].sum(0))
    Q = (zz[1:].sum(0) - A @ later.sum(0).T) / (n * (steps - 1))
    wide = np.concatenate([z, np.ones((n, steps, 1))], axis=-1)
    joint = np.einsum("nti,ntj->ij", wide, wide)
    joint[:-1, :-1] += n * own.sum(0)
    cross = np.einsum("nti,ntj->ij", x, wide)
    both = cross @ np.linalg.inv(joint)
    R = (np.einsum("nti,ntj->ij", x, x) - both @ cross.T) / (n * steps)
    m_0 = z[:, 0].mean(0)
    P_0 = zz[0] / n - np.outer(m_0, m_0)
    return {"A": A, "C": both[:, :-1], "d": both[:, -1], "Q": Q, "R": R, "m_0": m_0, "P_0": P_0}


def other():
    """A system to begin from that is not the true one."""
    return {**TRUE, "A": 0.5 * TRUE["A"], "C": TRUE["C"] + 0.3, "Q": np.eye(Q), "R": 2 * np.eye(P), "d": np.zeros(P)}


def test_one_epoch_is_one_step_of_the_textbook():
    """From given matrices, in batches of unequal size: every new parameter."""
    model, x = make(matrices=other()), data(40)
    history = model.fit(x, batch_size=17, verbose=0).history
    assert history["loss"][0] == pytest.approx(-dense_log_prob(other(), x).mean(), rel=1e-5)
    for name, expected in textbook_step(other(), x).items():
        close(model.matrices[name], expected, 2e-5)


@pytest.mark.parametrize("noise", ["full", "diagonal"])
def test_the_likelihood_never_falls(noise):
    """Over 20 epochs, but for the rounding of float32; in the end it is that of the true parameters within 1 %."""
    matrices = TRUE if noise == "full" else {**TRUE, "R": np.diag(np.diag(TRUE["R"]))}
    x, more = data(300, 20, matrices), data(300, 20, matrices, seed=1)
    model = LinearDynamicalSystem((20, P), Q, noise=noise)
    loss = np.array(model.fit(x, epochs=21, batch_size=100, verbose=0).history["loss"][1:])
    assert (np.diff(loss) < 1e-6 * loss[:-1]).all()
    assert noise == "full" or model.matrices["R"][0, 1] == 0.0
    for seen in (x, more):
        assert -model.log_prob(seen).mean() < -make(20, matrices).log_prob(seen).mean() * 1.01


def test_the_fit_does_not_depend_on_order_or_batches():
    """The first epoch's moments and the steps of EM: shuffled in batches of 7, or whole."""
    x = data(60)
    models = [LinearDynamicalSystem((T, P), Q) for _ in range(2)]
    for model, batch_size, order in zip(models, (60, 7), (slice(None), slice(None, None, -1)), strict=True):
        model.fit(x[order], epochs=3, batch_size=batch_size, verbose=0)
    for name, value in models[0].matrices.items():
        close(models[1].matrices[name], value, 1e-3)  # float32, through canonical correlations
    np.testing.assert_allclose(*(m.log_prob(x) for m in models), rtol=1e-4)


def test_sample_weights_are_repetitions():
    """A weight of 3 is a sequence three times, of 0 none; the loss is the weighted mean."""
    x, weights = data(30), np.tile([0.0, 1.0, 3.0], 10)
    models = [LinearDynamicalSystem((T, P), Q) for _ in range(2)]
    histories = [
        models[0].fit(np.repeat(x, weights.astype(int), axis=0), epochs=3, verbose=0).history,
        models[1].fit(x, sample_weight=weights, epochs=3, verbose=0).history,
    ]
    np.testing.assert_allclose(*(m.log_prob(x) for m in models), rtol=1e-4)
    assert histories[1]["loss"][2] * 30 / 40 == pytest.approx(histories[0]["loss"][2], rel=1e-4)


class Interrupt(keras.callbacks.Callback):
    """Stops `fit` as Ctrl-C does, after the first batch."""

    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_an_interrupted_epoch_leaves_nothing():
    """Neither of the moments nor of the sums of EM."""
    x = data(40)
    whole, interrupted = (LinearDynamicalSystem((T, P), Q) for _ in range(2))
    whole.fit(x, epochs=2, batch_size=20, shuffle=False, verbose=0)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            interrupted.fit(x + 50.0, batch_size=20, verbose=0, callbacks=[Interrupt()])
        interrupted.fit(x, batch_size=20, shuffle=False, verbose=0)
    for name, value in whole.matrices.items():
        np.testing.assert_array_equal(interrupted.matrices[name], value)


def test_a_large_offset_keeps_accuracy():
    """Data 1e3 away: the fit is that of the data near 0, to the rounding of x."""
    x = data(60)
    near, far = (LinearDynamicalSystem((T, P), Q) for _ in range(2))
    for model, shift in ((near, 0.0), (far, 1e3)):
        model.fit(x + shift, epochs=4, verbose=0)
    np.testing.assert_allclose(far.log_prob(x + 1e3), near.log_prob(x), rtol=1e-3)


def test_a_saved_model_goes_on_bit_for_bit(tmp_path):
    """Matrices, whether there are any yet, and samples."""
    x, model = data(30), LinearDynamicalSystem((T, P), Q, noise="diagonal")
    model.fit(x, epochs=2, verbose=0)
    model.save(str(tmp_path / "m.keras"))
    loaded = keras.saving.load_model(str(tmp_path / "m.keras"))
    np.testing.assert_array_equal(model.sample(3, seed=0), loaded.sample(3, seed=0))
    for one in (model, loaded):
        one.fit(x, epochs=1, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.log_prob(x), loaded.log_prob(x))
    twin = LinearDynamicalSystem.from_config(make(matrices=other()).get_config())
    np.testing.assert_array_equal(twin.log_prob(x), make(matrices=other()).log_prob(x))


@pytest.mark.parametrize("steps, channels, states", [(2, 1, 1), (3, 2, 5), (2, 3, 2)])
def test_short_sequences_and_many_states(steps, channels, states):
    """Fewer numbers than states: finite, and no epoch lowers the likelihood."""
    x = np.random.default_rng(0).normal(size=(50, steps, channels)).cumsum(axis=1)
    model = LinearDynamicalSystem((steps, channels), states)
    loss = np.array(model.fit(x, epochs=6, verbose=0).history["loss"][1:])
    assert (np.diff(loss) < 1e-5 * np.abs(loss[:-1])).all() and np.isfinite(model.sample(3, seed=0)).all()


def test_constant_channels_leave_a_finite_density():
    """A channel without variance: the floor of R holds the density."""
    x = data(40)
    x[..., 1] = 2.0
    model = LinearDynamicalSystem((T, P), 1)
    model.fit(x, epochs=4, verbose=0)
    assert np.isfinite(model.log_prob(x)).all() and np.linalg.eigvalsh(model.matrices["R"])[0] > 5e-7


def test_one_sequence_is_too_few():
    """m_0 and P_0 have no estimate from one."""
    with pytest.raises(ValueError, match="at least 2 sequences.*Received: 1.*Cut a long"):
        make().fit(data(1), verbose=0)


BAD = [
    ({"event_shape": (1, P)}, "T >= 2"),
    ({"event_shape": (T,)}, r"\(T, channels\)"),
    ({"event_shape": (T, P, 1)}, r"\(T, channels\)"),
    ({"state_dim": 0}, "`state_dim` as a positive integer"),
    ({"state_dim": 1.5}, "`state_dim` as a positive integer"),
    ({"noise": "diag"}, "'full' or 'diagonal'.*diag"),
    ({"minimum_variance": 0.0}, "`minimum_variance` > 0"),
    ({"minimum_variance": "small"}, "`minimum_variance` > 0.*small"),
    ({"condition_shape": (2,)}, "no condition.*condition_shape"),
    ({"matrices": {"A": np.eye(Q)}}, "A, C, Q, R.*'A'"),
    ({"matrices": {**TRUE, "B": np.eye(2)}}, "A, C, Q, R.*'B'"),
    ({"matrices": [np.eye(Q)]}, "as a dict.*list"),
    ({"matrices": {**TRUE, "C": np.eye(Q)}}, r"'C'.*\(2, 3\).*\(3, 3\)"),
    ({"matrices": {**TRUE, "A": np.full((Q, Q), np.nan)}}, "finite 'A'"),
    ({"matrices": {**TRUE, "Q": np.zeros((Q, Q))}}, "'Q'.*positive definite.*eigenvalue 0"),
    ({"matrices": {**TRUE, "R": np.array([[1.0, 0.5], [0.0, 1.0]])}}, "'R'.*not symmetric"),
    ({"matrices": {**TRUE, "P_0": -np.eye(Q)}}, "'P_0'.*eigenvalue -1"),
]


@pytest.mark.parametrize("arguments, message", BAD)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinearDynamicalSystem(**{"event_shape": (T, P), "state_dim": Q, **arguments})


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m, x: m.filter(x[0]), "T >= 2.*One sequence is"),
        (lambda m, x: m.smooth(x[:, :1]), "T >= 2"),
        (lambda m, x: m.smooth(x[:0]), "a sequence at least"),
        (lambda m, x: m.forecast(x, 0), "`steps` as a positive"),
        (lambda m, x: m.forecast(x * np.nan, 2), "finite x"),
        (lambda m, x: m.continuations(x, 2, n=0), "`n` as a positive"),
        (lambda m, x: m.continuations(x, 2, seed=-1), "`seed`"),
        (lambda m, x: m.continuations(x, 2, temperature=-1.0), "`temperature`"),
        (lambda m, x: m.log_prob(x[:, :5]), r"\(batch, 12, 2\)"),
    ],
)
def test_wrong_sequences_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(make(), data(2))


# Missing values.


def with_holes(x, seed=0):
    """Steps and single channels missing at random; a sequence without a hole, and one of which nothing is seen."""
    rng, x = np.random.default_rng(seed), x.copy()
    x[rng.random(x.shape) < 0.2] = np.nan
    x[rng.random(x.shape[:2]) < 0.2] = np.nan
    x[0], x[1] = data(1, x.shape[1])[0], np.nan
    return x


def dense_of_seen(m, x, ahead=0):
    """For each sequence: log p of what is seen, mean and covariance of all states and of all values given it."""
    steps = x.shape[1] + ahead
    mean, S, H, d, R = dense(m, steps)
    whole = np.block([[S, S @ H.T], [H @ S, H @ S @ H.T + R]])
    centre = np.concatenate([mean, H @ mean + d])
    for row in x:
        at = len(mean) + np.flatnonzero(~np.isnan(row.ravel()))
        y = row.ravel()[at - len(mean)]
        log_p = stats.multivariate_normal(centre[at], whole[np.ix_(at, at)]).logpdf(y) if len(at) else 0.0
        gain = np.linalg.solve(whole[np.ix_(at, at)], whole[at]).T
        yield log_p, centre + gain @ (y - centre[at]), whole - gain @ whole[at]


def test_densities_and_states_of_what_is_seen_are_those_of_the_whole_vector():
    """The dense normal's marginal, and its conditionals: densities, states smoothed and filtered, forecasts."""
    model, x, ahead = make(missing=True), with_holes(data()), 3
    found = list(dense_of_seen(TRUE, x, ahead))
    close(model.log_prob(x), np.array([log_p for log_p, *_ in found]))
    smoothed, forecast, filtered = model.smooth(x), model.forecast(x, ahead), model.filter(x)
    close(model.encode(x), smoothed.mean)
    n = (T + ahead) * Q
    for i, (_, mean, covariance) in enumerate(found):
        close(smoothed.mean[i], mean[:n].reshape(-1, Q)[:T])
        close(smoothed.covariance[i], blocks(covariance[:n, :n], T + ahead)[:T])
        close(forecast.mean[i], mean[n:].reshape(-1, P)[T:])
        close(forecast.covariance[i], blocks(covariance[n:, n:], T + ahead)[T:])
        close(filtered.mean[i, -1], smoothed.mean[i, -1])
        close(filtered.covariance[i, -1], smoothed.covariance[i, -1])
    past = list(dense_of_seen(TRUE, x[:, :5]))
    close(filtered.mean[:, 4], np.stack([mean[4 * Q : 5 * Q] for _, mean, _ in past]))
    close(filtered.covariance[:, 4], np.stack([spread[4 * Q : 5 * Q, 4 * Q : 5 * Q] for *_, spread in past]))
    drawn = model.continuations(x, ahead, n=10000, seed=0, batch_size=20000)
    scale = np.sqrt(np.einsum("ntii->nti", forecast.covariance))
    assert (np.abs(drawn.mean(1) - forecast.mean) < 5 / np.sqrt(10000) * scale).all()
    assert (np.abs(drawn.std(1) / scale - 1) < 5 / np.sqrt(20000)).all()


def test_nothing_missing_is_the_same_model():
    x = data()
    model, other = make(), make(missing=True)
    close(other.log_prob(x), model.log_prob(x))
    close(other.predict(x, verbose=0), model.predict(x, verbose=0))
    np.testing.assert_array_equal(other.sample(3, seed=0), model.sample(3, seed=0))
    assert other.smooth(x).covariance.shape == (6, T, Q, Q)
    close(other.forecast(x, 2).covariance[3], model.forecast(x, 2).covariance)


def textbook_step_of_seen(m, x):
    """One step of EM from the dense posterior of states and of what is missing, in steps of which something is seen."""
    sums = {name: 0.0 for name in ("before", "lagged", "after", "yy", "yz", "zz", "first", "square")}
    for row, (_, mean, covariance) in zip(x, dense_of_seen(m, x), strict=True):
        moments = np.outer(mean, mean) + covariance
        zz = moments[: T * Q, : T * Q]
        own, lagged = blocks(zz, T), blocks(zz, T, 1)
        sums["before"] += own[:-1].sum(0)
        sums["after"] += own[1:].sum(0)
        sums["lagged"] += lagged.sum(0)
        sums["first"] += mean[:Q]
        sums["square"] += own[0]
        for t in np.flatnonzero(~np.isnan(row).all(1)):
            of_z, of_y = slice(t * Q, (t + 1) * Q), slice(T * Q + t * P, T * Q + (t + 1) * P)
            one = np.block([[zz[of_z, of_z], mean[of_z, None]], [mean[None, of_z], np.ones((1, 1))]])
            sums["zz"] += one
            sums["yz"] += np.concatenate([moments[of_y, of_z], mean[of_y, None]], axis=1)
            sums["yy"] += moments[of_y, of_y]
    n, A = len(x), sums["lagged"] @ np.linalg.inv(sums["before"])
    both = sums["yz"] @ np.linalg.inv(sums["zz"])
    m_0 = sums["first"] / n
    return {
        "A": A, "Q": (sums["after"] - A @ sums["lagged"].T) / (n * (T - 1)), "C": both[:, :-1], "d": both[:, -1],
        "R": (sums["yy"] - both @ sums["yz"].T) / sums["zz"][-1, -1], "m_0": m_0,
        "P_0": sums["square"] / n - np.outer(m_0, m_0),
    }  # fmt: skip


def test_one_epoch_on_what_is_seen_is_one_step_of_the_textbook():
    """Every new parameter, in batches of unequal size; weights count sequences."""
    model, x = make(matrices=other(), missing=True), with_holes(data(40))
    history = model.fit(x, batch_size=17, verbose=0).history
    log_p = [log_p for log_p, *_ in dense_of_seen(other(), x)]
    assert history["loss"][0] == pytest.approx(-np.mean(log_p), rel=1e-5)
    for name, expected in textbook_step_of_seen(other(), x).items():
        close(model.matrices[name], expected, 1e-4)


def test_the_likelihood_of_what_is_seen_never_falls(tmp_path):
    """Begun from the windows without a hole; then that of the true parameters within 1 %, and saved."""
    x = with_holes(data(200, 20))
    model = LinearDynamicalSystem((20, P), Q, missing=True)
    loss = np.array(model.fit(x, epochs=21, batch_size=100, verbose=0).history["loss"][1:])
    assert (np.diff(loss) < 1e-6 * loss[:-1]).all()
    assert -model.log_prob(x).mean() < -make(20, missing=True).log_prob(x).mean() * 1.01
    model.save(str(tmp_path / "m.keras"))
    loaded = keras.saving.load_model(str(tmp_path / "m.keras"))
    np.testing.assert_array_equal(loaded.log_prob(x), model.log_prob(x))


def test_missing_values_are_refused_where_they_are_not_expected():
    """By a model without `missing`; inf by any; holes everywhere leave no window to begin from."""
    x = with_holes(data())
    for call in (make().log_prob, make().smooth, make().fit):
        with pytest.raises(ValueError, match="finite x.*`missing=True`"):
            call(x)
    with pytest.raises(ValueError, match="finite x"):
        make(missing=True).log_prob(np.where(np.isnan(x), np.inf, x))
    x[:, ::3] = np.nan
    with pytest.raises(ValueError, match="nothing is missing, to begin from.*`matrices`"):
        LinearDynamicalSystem((T, P), Q, missing=True).fit(x, verbose=0)
