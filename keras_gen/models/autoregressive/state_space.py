"""The linear dynamical system: a linear-Gaussian state space model of sequences, with an exact likelihood.

A hidden state z_t of q numbers moves linearly, and is seen through a linear map, both with normal noise:

    z_1 ~ N(m_0, P_0),     z_(t+1) = A z_t + w_t,  w_t ~ N(0, Q),     y_t = C z_t + d + v_t,  v_t ~ N(0, R).       (1)

A whole sequence is one normal vector. The Kalman filter computes its density, and the Rauch-Tung-Striebel smoother the
distribution of the states, in time linear in T (`kalman`); expectation and maximisation fit the parameters
(`expectation`), from a start by canonical correlations (`beginning`). Only what is seen is determined: for any
invertible S, the states S z give the same model of y.
"""

import keras
import numpy as np
from keras import ops

from keras_gen import random
from keras_gen.models import inputs
from keras_gen.models.autoregressive import kalman
from keras_gen.models.autoregressive.forecasting import Forecasting
from keras_gen.models.autoregressive.learning import Learning
from keras_gen.models.autoregressive.matrices import (
    COVARIANCES,
    NAMES,
    check_event,
    check_floor,
    check_matrices,
    check_noise,
)
from keras_gen.models.autoregressive.recursion import recur, transpose
from keras_gen.models.base import GenerativeModel
from keras_gen.models.latent import Coding, refuse_condition


@keras.saving.register_keras_serializable(package="keras_gen")
class LinearDynamicalSystem(Learning, Forecasting, Coding, GenerativeModel):
    """z_(t+1) = A z_t + w_t, y_t = C z_t + d + v_t: fitted by EM through `fit`, with an exact likelihood.

    The first epoch of the first `fit` gathers moments, from which the parameters begin; each later epoch is one step of
    EM. The result does not depend on the order of the data, nor, to rounding, on the batches. What an epoch logs, `nll`
    and `loss` (weighted by the sample weights, which count as repetitions), is of the parameters that it began with:
    `loss` never rises from the second epoch on. A `fit` of a model that has been fitted goes on.

    Args:
        event_shape: `(T, channels)`, T >= 2: one example is one sequence, x = (y_1 ... y_T). Independent of the others.
        state_dim: q, a positive int; it may be larger than the number of channels.
        noise: "full" (default), or "diagonal": of the matrix R.
        matrices: parameters to begin from, for which no epoch gathers moments: a dict of arrays, `A` `(q, q)`, `C`
            `(channels, q)`, `Q` `(q, q)`, `R` `(channels, channels)`, and, if not 0, 0 and the identity, `d`
            `(channels,)`, `m_0` `(q,)`, `P_0` `(q, q)`. Covariances are symmetric and positive definite.
        missing: whether NaN may stand for values that are missing, default False: whole steps, or single channels. They
            are left out of densities, states and learning. Covariances are then of each sequence, and cost as much.
        minimum_variance: floor of the eigenvalues of Q, R and P_0 in `fit`, in squared units of x and z, default 1e-6.
        name, dtype: as in `keras.Model`. Computed in float32 at least, whatever the policy.

    Returns of the contract: `encode` gives the smoothed means E[z_t given x], `(n, T, q)`; `model(x)`, `predict` and
    `reconstruct` C E[z_t given x] + d; `sample` draws x, its noise included; `log_prob` is exact; `evaluate` gives
    `loss` = `nll` and `bits_per_dim`. There is no optimizer: `compile()` may be left out.

    Raises:
        ValueError: an event that is not `(T, channels)` with T >= 2; `state_dim` no positive int; an unknown `noise`;
            matrices that are missing, unknown, of the wrong shape, or not positive definite; a condition; at the end of
            an epoch, fewer than two sequences of positive weight.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import LinearDynamicalSystem
        >>> rng = np.random.default_rng(0)
        >>> x = np.cumsum(rng.normal(size=(64, 20, 1)), axis=1) + rng.normal(size=(64, 20, 1))
        >>> model = LinearDynamicalSystem((20, 1), state_dim=1)
        >>> losses = model.fit(x, epochs=5, verbose=0).history["loss"]
        >>> bool(losses[4] <= losses[3] <= losses[2] <= losses[1])
        True
        >>> mean, covariance = model.forecast(x[:3], steps=4)
        >>> mean.shape, covariance.shape, model.continuations(x[:3], steps=4, n=10, seed=0).shape
        ((3, 4, 1), (4, 1, 1), (3, 10, 4, 1))

    Reference:
        R. Kalman, "A new approach to linear filtering and prediction problems", J. Basic Engineering 82 (1960);
        R. Shumway, D. Stoffer, "An approach to time series smoothing and forecasting using the EM algorithm", J. Time
        Series Analysis 3 (1982), eq. 9 to 14.
    """

    likelihood = "exact"

    def __init__(
        self, event_shape, state_dim, *, noise="full", matrices=None, missing=False, minimum_variance=1e-6, **kwargs
    ):
        refuse_condition(type(self).__name__, kwargs)
        super().__init__(event_shape, **{"autocast": False, **kwargs})
        check_event(self.event_shape)
        self.state_dim = inputs.check_count(state_dim, "state_dim")
        self.noise, self.minimum_variance = check_noise(noise), check_floor(minimum_variance)
        self.missing = bool(missing)
        given = check_matrices(matrices, self.event_shape[1], self.state_dim)
        self.given = None if matrices is None else {name: value.tolist() for name, value in given.items()}
        shapes = {name: value.shape for name, value in given.items()}
        self.system = kalman.System(*(self._state(shapes[name], name) for name in shapes))
        self.initialized = self._state((), "initialized")
        self._set(given)
        self.initialized.assign(float(matrices is not None))
        self._make_sums()

    def _state(self, shape, name):
        return self.add_weight(
            shape=shape, initializer="zeros", dtype=self.real_dtype, trainable=False, autocast=False, name=name
        )

    @property
    def matrices(self):
        """The parameters A, C, d, Q, R, m_0, P_0: a dict of float64 numpy arrays."""
        self.synchronize()
        values = [ops.convert_to_numpy(v.value).astype("float64") for v in self.system]
        return {n: v @ v.T if n in COVARIANCES else v for n, v in zip(NAMES, values, strict=True)}

    def _set(self, matrices):
        for variable, (name, value) in zip(self.system, matrices.items(), strict=True):
            value = np.linalg.cholesky(value) if name in COVARIANCES else value
            variable.assign(value.astype(self.real_dtype))

    def _current(self):
        return kalman.System(*(ops.convert_to_tensor(v) for v in self.system))

    # Densities, codes and samples.

    def log_density(self, x, condition=None):
        return self._pass(x).log_density()

    def _pass(self, x):
        return kalman.go(self._current(), x, self.missing)

    def objective(self, x, condition=None, training=False):
        nll = -self.log_density(x)
        return {"loss": nll, "nll": nll}

    @property
    def latent_shape(self):
        """Shape of the states of one sequence, `(T, state_dim)`."""
        return (self.event_shape[0], self.state_dim)

    def code(self, x, condition=None):
        return ops.transpose(self._pass(x).smoothed()[1], (1, 0, 2))

    def decoded(self, z, condition=None):
        system = self._current()
        return ops.matmul(ops.cast(z, self.real_dtype), transpose(system.C)) + system.d

    def generate(self, keys, condition=None, temperature=1.0):
        system, temperature = self._current(), ops.cast(temperature, self.real_dtype)
        keys_z, keys_x = random.split(keys, 2)
        noise = temperature * random.normal(keys_z, self.latent_shape, self.real_dtype)
        first = system.m_0 + ops.matmul(noise[:, 0], transpose(system.L_0))
        return self._emitted(self._moved(first, noise[:, 1:]), keys_x, temperature)

    def _moved(self, first, noise):
        """z_1 `(n, q)` and the states after it `(n, steps + 1, q)`, driven by standard normals `(n, steps, q)`."""
        system, steps = self._current(), noise.shape[1]
        driven = ops.transpose(ops.matmul(noise, transpose(system.L_Q)), (1, 0, 2))
        z = recur(ops.repeat(system.A[None], steps, axis=0), driven, first)
        return ops.transpose(ops.concatenate([first[None], z]), (1, 0, 2))

    def _emitted(self, z, keys, temperature):
        noise = random.normal(keys, (z.shape[1], self.event_shape[1]), self.real_dtype)
        return self.decoded(z) + temperature * ops.matmul(noise, transpose(self._current().L_R))

    def get_config(self):
        own = {"state_dim": self.state_dim, "noise": self.noise, "matrices": self.given, "missing": self.missing}
        return {**super().get_config(), **own, "minimum_variance": self.minimum_variance}
