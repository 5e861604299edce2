"""How a linear dynamical system learns: an epoch of moments, then EM, an epoch a step.

The sums of an epoch are variables, in which the batches are added up; at its end the parameters are computed from them
in float64. `beginning` and `expectation` say how.
"""

from keras import ops

from keras_gen import backend
from keras_gen.models.autoregressive.beginning import begin, window_length, windows
from keras_gen.models.autoregressive.expectation import expectations, maximized
from keras_gen.models.autoregressive.recursion import transpose


class Learning:
    """Mixin of `LinearDynamicalSystem`: `update` adds up, `end_epoch` solves."""

    def _make_sums(self):
        (steps, p), q = self.event_shape, self.state_dim
        size = window_length(steps, p, q, self.missing) * p
        self.sums = [self._state((k, k), f"sum_{i}") for i, k in enumerate((2 * q, p + q + 1, q + 1))]
        self.examples = self._state((), "examples")
        self.window_count = self._state((), "window_count")
        self.window_mean = self._state((size,), "window_mean")
        self.window_scatter = self._state((size, size), "window_scatter")

    @property
    def players(self):
        return {}

    def begin_epoch(self):
        """No sums yet: an epoch that was interrupted leaves none to the next."""
        for variable in (*self.sums, self.examples, self.window_count, self.window_mean, self.window_scatter):
            variable.assign(ops.zeros(variable.shape, variable.dtype))

    def update(self, batch):
        """Add what the batch tells to the sums of the epoch; before there are parameters, to its moments."""
        weight = ops.ones_like(batch.x[:, 0, 0]) if batch.sample_weight is None else batch.sample_weight
        weight = ops.cast(weight, self.real_dtype)
        log_prob, sums = expectations(self._current(), batch.x, weight, self.missing)
        for variable, value in zip(self.sums, sums, strict=True):
            variable.assign(variable + value)
        counted = ops.logical_and(weight > 0, ops.any(ops.logical_not(ops.isnan(batch.x)), axis=(1, 2)))
        self.examples.assign(self.examples + ops.sum(ops.cast(counted, self.real_dtype)))
        backend.when(self.initialized < 0.5, lambda: self._gather(batch.x, weight), ops.zeros((), self.real_dtype))
        return {"loss": -weight * log_prob, "nll": -log_prob}

    def _gather(self, x, weight):
        """Merge the moments of the batch's windows into those of the epoch (Chan et al. 1983, eq. 2.1).

        A window of which a value is missing is left out.
        """
        rows = windows(x, self.window_mean.shape[0] // self.event_shape[1])
        weight = ops.repeat(weight[:, None], rows.shape[1], axis=1)[..., None]
        if self.missing:
            whole = ops.logical_not(ops.any(ops.isnan(rows), axis=-1, keepdims=True))
            weight, rows = weight * ops.cast(whole, weight.dtype), ops.where(whole, rows, ops.zeros_like(rows))
        count = ops.sum(weight)
        mean = ops.divide_no_nan(ops.sum(weight * rows, axis=(0, 1)), count)
        centred = ops.reshape(rows - mean, (-1, rows.shape[-1]))
        weighted = ops.reshape((rows - mean) * weight, (-1, rows.shape[-1]))
        total, delta = self.window_count + count, mean - self.window_mean
        part = ops.divide_no_nan(count, total)
        between = delta[:, None] * delta[None, :] * (self.window_count * part)
        self.window_scatter.assign(self.window_scatter + ops.matmul(transpose(weighted), centred) + between)
        self.window_mean.assign(self.window_mean + delta * part)
        self.window_count.assign(total)
        return ops.ones((), self.real_dtype)

    def end_epoch(self):
        """Parameters from the sums of the epoch, which then start anew."""
        if _numbers(self.examples) < 2:
            raise ValueError(
                "Expected at least 2 sequences of positive weight in an epoch. "
                f"Received: {_numbers(self.examples):g}. Cut a long sequence into several."
            )
        (steps, p), diagonal = self.event_shape, self.noise == "diagonal"
        if _numbers(self.initialized):
            sums = [_numbers(v) for v in self.sums]
            self._set(maximized(self.matrices, sums, steps, diagonal, self.minimum_variance))
        else:
            count = _numbers(self.window_count)
            self._check_windows(count)
            moments = _numbers(self.window_mean), _numbers(self.window_scatter) / count, count
            self._set(begin(*moments, p, self.state_dim, diagonal, self.minimum_variance))
            self.initialized.assign(1.0)
        self.begin_epoch()


    def _check_windows(self, count):
        """Raise unless there is a window to begin from."""
        if not count:
            k = self.window_mean.shape[0] // self.event_shape[1]
            raise ValueError(
                f"Expected windows of {k} steps of which nothing is missing, to begin from. Received: none. Give "
                "`matrices` to begin from."
            )


def _numbers(variable):
    """Its values in float64."""
    return ops.convert_to_numpy(variable.value).astype("float64")
