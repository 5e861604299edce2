"""statsmodels' Kalman filter and smoother on a fixed system, kept as golden numbers for the tests.

    pip install --target PEERS statsmodels
    PYTHONPATH=PEERS python -m benchmarks.golden_state_space tests/golden/state_space.npz

The file holds the system (A, C, d, Q, R, m_0, P_0), four sequences `x` of 30 steps, and what statsmodels finds in
float64: `log_prob`, the states filtered and smoothed (means and covariances), and the moments of five more steps.
"""

import sys

import numpy as np

STEPS, AHEAD = 30, 5


def system():
    """Two turning numbers and a decaying one, seen in two channels."""
    rng = np.random.default_rng(7)
    turn = 0.97 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    A = np.block([[turn, np.zeros((2, 1))], [np.zeros((1, 2)), 0.8 * np.eye(1)]])
    factors = [rng.normal(size=(k, k)) for k in (3, 2, 3)]
    Q, R, P_0 = (B @ B.T / len(B) + 0.1 * np.eye(len(B)) for B in factors)
    C, d, m_0 = rng.normal(size=(2, 3)), np.array([3.0, -1.0]), rng.normal(size=3)
    return {"A": A, "C": C, "d": d, "Q": 0.3 * Q, "R": R, "m_0": m_0, "P_0": P_0}


def simulated(matrices, n, steps, rng):
    """n sequences of the system."""
    normal = lambda covariance: rng.multivariate_normal(np.zeros(len(covariance)), covariance, n)  # noqa: E731
    z, x = matrices["m_0"] + normal(matrices["P_0"]), []
    for _ in range(steps):
        x.append(z @ matrices["C"].T + matrices["d"] + normal(matrices["R"]))
        z = z @ matrices["A"].T + normal(matrices["Q"])
    return np.stack(x, axis=1)


def of_statsmodels(matrices, y):
    """What statsmodels finds for one sequence."""
    from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

    model = KalmanSmoother(k_endog=len(matrices["C"]), k_states=len(matrices["A"]))
    model.bind(np.ascontiguousarray(y))
    for name, key in (("transition", "A"), ("design", "C"), ("state_cov", "Q"), ("obs_cov", "R")):
        model[name] = matrices[key]
    model["selection"], model["obs_intercept"] = np.eye(len(matrices["A"])), matrices["d"][:, None]
    model.initialize_known(matrices["m_0"], matrices["P_0"])
    found = model.smooth()
    predicted = found.predict(start=len(y), end=len(y) + AHEAD)
    return {
        "log_prob": found.llf,
        "filtered_mean": found.filtered_state.T,
        "filtered_covariance": found.filtered_state_cov.transpose(2, 0, 1),
        "smoothed_mean": found.smoothed_state.T,
        "smoothed_covariance": found.smoothed_state_cov.transpose(2, 0, 1),
        "forecast_mean": predicted.forecasts[:, -AHEAD:].T,
        "forecast_covariance": predicted.forecasts_error_cov[:, :, -AHEAD:].transpose(2, 0, 1),
    }


if __name__ == "__main__":
    matrices = system()
    x = simulated(matrices, 4, STEPS, np.random.default_rng(8))
    found = [of_statsmodels(matrices, y) for y in x]
    results = {key: np.stack([one[key] for one in found]) for key in found[0]}
    shared = {key: value[0] if key.endswith("covariance") else value for key, value in results.items()}
    np.savez_compressed(sys.argv[1], x=x, **matrices, **shared)
    print({key: value.shape for key, value in shared.items()})
