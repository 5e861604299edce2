"""Parameters of a linear dynamical system as a user gives them, checked."""

import numpy as np

NAMES = ("A", "C", "d", "Q", "R", "m_0", "P_0")
COVARIANCES = ("Q", "R", "P_0")


def check_matrices(matrices, channels, state_dim):
    """The parameters as a dict of float64 arrays in the order of `NAMES`; None: some stable system."""
    p, q = channels, state_dim
    default = {
        "A": 0.9 * np.eye(q), "C": np.eye(p, q), "d": np.zeros(p), "Q": np.eye(q), "R": np.eye(p), "m_0": np.zeros(q),
        "P_0": np.eye(q),
    }  # fmt: skip
    if matrices is None:
        return default
    _check_names(matrices)
    given = {name: np.asarray(matrices.get(name, default[name]), "float64") for name in NAMES}
    for name, value in given.items():
        _check_matrix(name, value, default[name].shape)
    return given


def _check_names(matrices):
    names = set(matrices) if isinstance(matrices, dict) else set()
    if not {"A", "C", "Q", "R"} <= names <= set(NAMES):
        raise ValueError(
            f"Expected `matrices` as a dict of A, C, Q, R and, if wanted, d, m_0, P_0. Received: "
            f"{sorted(names) if names else type(matrices).__name__}."
        )


def _check_matrix(name, value, shape):
    if value.shape != shape:
        raise ValueError(f"Expected {name!r} of `matrices` of shape {shape}. Received: shape={value.shape}.")
    if not np.isfinite(value).all():
        raise ValueError(f"Expected finite {name!r} of `matrices`. Received: NaN or inf.")
    if name in COVARIANCES:
        _check_covariance(name, value)


def _check_covariance(name, value):
    symmetric = np.allclose(value, value.T, rtol=1e-5, atol=1e-8 * np.abs(value).max())
    smallest = np.linalg.eigvalsh((value + value.T) / 2)[0]
    if not symmetric or smallest <= 0:
        raise ValueError(
            f"Expected {name!r} of `matrices` symmetric and positive definite. Received: "
            f"{f'the eigenvalue {smallest:.3g}' if symmetric else 'a matrix that is not symmetric'}. "
            "Add a small multiple of the identity, or take the mean with the transpose."
        )


def check_event(event_shape):
    """Raise unless it is `(T, channels)`, T >= 2."""
    if len(event_shape) != 2 or event_shape[0] < 2:
        raise ValueError(
            f"Expected `event_shape` as (T, channels) with T >= 2 steps. Received: {event_shape}. "
            "Sequences of single numbers have 1 channel."
        )


def check_noise(noise):
    """`noise` if it is known."""
    if noise not in ("full", "diagonal"):
        raise ValueError(f"Expected `noise` as 'full' or 'diagonal'. Received: noise={noise!r}.")
    return noise


def check_floor(minimum_variance):
    """`minimum_variance` as a positive float."""
    number = isinstance(minimum_variance, (int, float, np.number)) and not isinstance(minimum_variance, bool)
    if not number or not 0 < minimum_variance < float("inf"):
        raise ValueError(f"Expected `minimum_variance` > 0. Received: {minimum_variance!r}.")
    return float(minimum_variance)
