"""What a linear dynamical system says of given sequences: states filtered and smoothed, and what comes next.

With f_T and F_T the mean and the factor of the last state given all that was seen, the prediction s steps later is

    E[y_(T+s)] = C A^s f_T + d,      Cov[y_(T+s)] = C P_s C^T + R,      P_s = A P_(s-1) A^T + Q,  P_0 = F_T F_T^T.   (1)
"""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_gen import backend, random
from keras_gen.models import inputs
from keras_gen.models.autoregressive import kalman
from keras_gen.models.autoregressive.recursion import covariance, transpose, triangle


class Moments(NamedTuple):
    """Means, one a sequence, and covariances: the same for all sequences, or, with `missing`, one a sequence."""

    mean: np.ndarray
    covariance: np.ndarray


class Forecasting:
    """Mixin of `LinearDynamicalSystem`: methods on sequences of any length of two steps or more."""

    def filter(self, x, *, batch_size=None, verbose="auto"):
        """The states given the past and the present: z_t given y_1 ... y_t.

        Args:
            x: sequences `(n, T, channels)`, T >= 2 free.
            batch_size, verbose: as in `sample`.

        Returns:
            `Moments`, numpy: means `(n, T, state_dim)`, and covariances `(T, state_dim, state_dim)`, of all sequences;
            of a model with `missing` one a sequence, `(n, T, state_dim, state_dim)`.

        Raises:
            ValueError: x of another shape, NaN (but with `missing`) or inf.
        """
        run = lambda x: ops.transpose(self._filtered(x), (1, 0, 2))  # noqa: E731
        spread = lambda system, filtered: filtered.factor  # noqa: E731
        return self._moments("filter", x, run, spread, batch_size, verbose)

    def smooth(self, x, *, batch_size=None, verbose="auto"):
        """The states given the whole sequence: z_t given y_1 ... y_T. Arguments and results as of `filter`."""
        spread = lambda *both: kalman.smoother_covariances(*both).factor  # noqa: E731
        return self._moments("smooth", x, lambda x: self.code(self._event(x)), spread, batch_size, verbose)

    def forecast(self, x, steps, *, batch_size=None, verbose="auto"):
        """The distribution of each of the next `steps` values, given x: normal, with these moments.

        Args:
            x: sequences `(n, T, channels)`, T >= 2 free.
            steps: how many values, a positive int.
            batch_size, verbose: as in `sample`.

        Returns:
            `Moments`, numpy: means `(n, steps, channels)`, covariances `(steps, channels, channels)`, of all sequences;
            of a model with `missing` one a sequence, `(n, steps, channels, channels)`.

        Raises:
            ValueError: x of another shape, NaN (but with `missing`) or inf; `steps` no positive int.
        """
        steps = inputs.check_count(steps, "steps")

        def run(x):
            last = self._filtered(x)[-1]
            still = ops.repeat(ops.zeros_like(last)[:, None], steps, axis=1)
            return self.decoded(self._moved(last, still)[:, 1:])

        def spread(system, filtered):
            step = lambda carry, _: [triangle([ops.matmul(system.A, carry[0]), system.L_Q])]  # noqa: E731
            seen = ops.matmul(system.C, backend.scan(step, [filtered.factor[-1]], [], steps)[0])
            return triangle([seen, ops.repeat(system.L_R[None], steps, axis=0)])

        return self._moments(f"forecast_{steps}", x, run, spread, batch_size, verbose)

    def continuations(self, x, steps, n=1, *, seed=None, temperature=1.0, batch_size=None, verbose="auto"):
        """Samples of the next `steps` values, given x: from their exact joint distribution.

        Args:
            x: sequences `(m, T, channels)`, T >= 2 free.
            steps: how many values, a positive int.
            n: continuations of each sequence, default 1.
            seed, temperature, batch_size, verbose: as in `sample`; continuation j of sequence i is sample i n + j.

        Returns:
            numpy array `(m, n, steps, channels)`.

        Raises:
            ValueError: x of another shape, NaN (but with `missing`) or inf; `steps` or `n` no positive int; a wrong
                seed or temperature.
        """
        x, steps, n = self._sequences(x), inputs.check_count(steps, "steps"), inputs.check_count(n, "n")
        scale = {"temperature": np.array(inputs.check_temperature(temperature), self.real_dtype)}
        keys = ops.convert_to_numpy(random.keys(inputs.check_seed(seed), n * len(x)))
        length, options = x.shape[1], (batch_size, verbose)
        means = self._in_batches(self._compiled(f"state_{length}", self._filtered_last), {"x": x}, {}, *options)
        draw = lambda **kwargs: self._continued(**kwargs, length=length, steps=steps)  # noqa: E731
        run = self._compiled(f"continuations_{length}_{steps}", draw)
        arrays = {"keys": keys, "means": np.repeat(means, n, axis=0)}
        if self.missing:
            factors = self._compiled(f"state_{length}_factor", lambda x: self._covariances(length, x)[1].factor[-1])
            arrays["factor"] = np.repeat(self._in_batches(factors, {"x": x}, {}, *options), n, axis=0)
        return self._in_batches(run, arrays, scale, *options).reshape(len(x), n, steps, -1)

    def _continued(self, keys, means, temperature, length, steps, factor=None):
        factor = self._covariances(length)[1].factor[-1] if factor is None else factor
        keys_z, keys_x = random.split(keys, 2)
        noise = temperature * random.normal(keys_z, (steps + 1, self.state_dim), self.real_dtype)
        last = means + ops.matmul(noise[:, :1], transpose(factor))[:, 0]
        return self._emitted(self._moved(last, noise[:, 1:])[:, 1:], keys_x, temperature)

    def _filtered(self, x):
        """The means f_t `(T, n, q)`."""
        return self._pass(self._event(x)).filtered_means()

    def _filtered_last(self, x):
        return self._filtered(x)[-1]

    def _moments(self, name, x, run, spread, batch_size, verbose):
        x = self._sequences(x)
        name, length = f"{name}_{x.shape[1]}", x.shape[1]
        means = self._in_batches(self._compiled(name, run), {"x": x}, {}, batch_size, verbose)
        if self.missing:
            each = lambda x: ops.moveaxis(covariance(spread(*self._covariances(length, x))), 1, 0)  # noqa: E731
            factors = self._compiled(f"{name}_spread", each)
            return Moments(means, self._in_batches(factors, {"x": x}, {}, batch_size, verbose))
        factors = self._compiled(f"{name}_spread", lambda: covariance(spread(*self._covariances(length))))
        return Moments(means, ops.convert_to_numpy(factors()))

    def _covariances(self, length, x=None):
        """The system and what its filter gives for all sequences of a length, or for each of x."""
        if x is not None:
            run = self._pass(self._event(x))
            return run.system, run.filtered
        return self._current(), kalman.filter_covariances(self._current(), length)

    def _sequences(self, x):
        """x as a checked numpy array `(n, T, channels)`."""
        x, channels = inputs.to_numpy(x, "x"), self.event_shape[1]
        if x.ndim != 3 or x.shape[2] != channels or x.shape[1] < 2 or not len(x):
            raise ValueError(
                f"Expected x of shape (batch, T, {channels}), T >= 2, and a sequence at least. Received: "
                f"shape={x.shape}. One sequence is x[None]."
            )
        inputs.check_values(self, x)
        return x
