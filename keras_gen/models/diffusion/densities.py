"""Likelihoods of a diffusion model: the bound of a chain, and the probability flow."""

import math

import numpy as np
from keras import ops

from keras_gen import backend, diffusion, random
from keras_gen.diffusion import bound, flow
from keras_gen.diffusion.schedules.base import check_number
from keras_gen.models import inputs

TERMS = ("prior", "diffusion", "data")


class Densities:
    """Mixin of `DiffusionModel`: `log_prob`, `log_density`, `bound_terms`.

    Densities are of data: what is learned of x_0 in [-1, 1] counts its map too.
    """

    def _log_scale(self):
        """log |d x_0 / d x| of an event; none of grey levels, which have probabilities."""
        low, high = self.data_range or (-1.0, 1.0)
        return 0.0 if self.levels is not None else math.prod(self.event_shape) * math.log(2.0 / (high - low))

    def _width(self):
        return None if self.levels is None else 2.0 / (self.levels - 1)

    def _chain(self, steps):
        """The times of a chain; of discrete schedules all their times by default."""
        steps = steps or self.schedule.steps or 256
        grid = "trailing" if self.schedule.steps is not None else "log_snr"
        return diffusion.times(self.schedule, steps, grid)

    def _rows(self, times):
        """Levels of a chain as tensors `(n, 6)`."""
        rows = np.array([tuple(self.schedule.level(np.float64(t))) for t in times])
        return ops.convert_to_tensor(rows, self.real_dtype)

    def _level(self, row, batch):
        """The level of a row `(6,)`, or of rows `(batch, 6)`, for a batch."""
        row = ops.broadcast_to(row, (batch, 6))
        return diffusion.Level(*(row[:, i] for i in range(6)))

    def _apart(self, times):
        """Whether the last noise of a chain leaves grey levels apart."""
        alpha, sigma = self.schedule.alpha_sigma(np.float64(times[-1]))
        return self.levels is not None and sigma / alpha < 0.5 * self._width()

    def _ends(self, x_0, given, rows, key_noise, apart):
        """The first and the last term of the bound."""
        batch, denoiser = ops.shape(x_0)[0], self.best()
        first, last = self._level(rows[0], batch), self._level(rows[-1], batch)
        wide = last.over(x_0)
        x_t = wide.alpha * x_0 + wide.sigma * key_noise
        if apart:
            data = bound.level_log_probability(x_0, x_t, last, self._width())
        else:
            data = bound.data_log_density(x_0, denoiser.predict(x_t, last, given), last, self._width())
        return bound.prior_divergence(x_0, first, self.prior_variance()), -data - self._log_scale()

    def prior_variance(self):
        """d^2, of x_0."""
        return float(self.data_scale) ** 2

    def _term(self, x_0, given, level, after, eps):
        """One term of the sum."""
        wide, denoiser = level.over(x_0), self.best()
        prediction = denoiser.predict(wide.alpha * x_0 + wide.sigma * eps, level, given)
        return bound.step_divergence(x_0, prediction, level, after, denoiser.learned_variance)

    def estimated_bound(self, x_0, given, noise):
        """`nll` and its parts, of one term of the sum an example, drawn at random, spread over a batch."""
        times, batch = self._chain(None), ops.shape(x_0)[0]
        rows, count = self._rows(times), len(times) - 1
        draw = lambda: self._normal(noise, batch)  # noqa: E731
        prior, data = self._ends(x_0, given, rows, draw(), self._apart(times))
        i = ops.cast(ops.minimum(ops.floor(self.stratified(noise, batch) * count), count - 1), "int32")
        level, after = (self._level(ops.take(rows, j, axis=0), batch) for j in (i, i + 1))
        total = count * self._term(x_0, given, level, after, draw())
        return {"nll": prior + total + data, "prior": prior, "diffusion": total, "data": data}

    def chain_terms(self, x_0, given, keys, steps=None):
        """All terms of the bound, `(batch, 3)`: prior, the sum over the chain, data; one draw of each."""
        times, batch = self._chain(steps), ops.shape(x_0)[0]
        rows, shape = self._rows(times), self.event_shape
        drawn = lambda i: ops.cast(random.normal(random.fold_in(keys, i), shape), self.real_dtype)  # noqa: E731
        prior, data = self._ends(x_0, given, rows, drawn(len(times)), self._apart(times))

        def body(i, total):
            level, after = (self._level(backend.entry(rows, j), batch) for j in (i, i + 1))
            return total + self._term(x_0, given, level, after, drawn(i))

        total = backend.loop(len(times) - 1, body, ops.zeros_like(prior))
        return ops.stack([prior, total, data], axis=1)

    def log_density(self, x, condition=None, keys=None, steps=None):
        """Minus the bound, `(batch,)`, nats, by one draw of each of its terms; traces inside other graphs.

        Of the average weights, which no gradient moves: a prior that learns with a model of latents has `average=None`.
        """
        keys = self.test_noise.keys(ops.shape(x)[0]) if keys is None else keys
        return -ops.sum(self.chain_terms(self.scaled(x), self.encoded(condition), keys, steps), axis=1)

    def flow_log_density(self, x, condition=None, keys=None, trace="hutchinson", rtol=1e-5, atol=1e-5):
        """log p(x) of the probability flow, `(batch,)`, nats; of grey levels, of x with uniform noise in its cell."""
        keys = self.test_noise.keys(ops.shape(x)[0]) if keys is None else keys
        denoiser, solver = self.best(clip=False), diffusion.ProbabilityFlow(rtol, atol)
        x_0, constant = self.scaled(x), self._log_scale()
        if self.levels is not None:
            noise, keys = random.split(keys, 2)
            x_0 = x_0 + self._width() * (ops.cast(random.uniform(noise, self.event_shape), x_0.dtype) - 0.5)
            constant = math.prod(self.event_shape) * math.log(self._width())
        given, variance = self.encoded(condition), self.prior_variance()
        return flow.log_density(denoiser, x_0, keys, given, trace, variance, solver) + constant

    # The numpy twins.

    def bound_terms(
        self, x, condition=None, *, steps=None, num_samples=1, seed=0, batch_size=None, verbose="auto"
    ):
        """The terms of the bound of -log p(x): a dict of numpy `(n,)`, nats: "prior", "diffusion", "data".

        Arguments as in `log_prob`; their sum is minus what that gives.
        """
        terms = self._terms(x, condition, steps, num_samples, seed, batch_size, verbose)
        return dict(zip(TERMS, terms.T, strict=True))

    def _terms(self, x, condition, steps, num_samples, seed, batch_size, verbose):
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        self._chain(inputs.check_optional_count(steps, "steps"))
        count, seed = inputs.check_count(num_samples, "num_samples"), inputs.check_seed(seed)
        run = self._compiled(
            f"bound_{steps}",
            lambda x, keys, condition=None: self.chain_terms(
                self.scaled(self._event(x)), self.encoded(condition), keys, steps
            ),
            loop=True,
        )
        totals = []
        for k in range(count):
            keys = ops.convert_to_numpy(random.fold_in(random.keys(seed, len(x)), k))
            totals.append(self._in_batches(run, {"x": x, "keys": keys, "condition": condition}, {}, batch_size,
            verbose))
        return np.mean(totals, axis=0)

    def log_prob(
        self, x, condition=None, *, method="bound", steps=None, num_samples=1, trace="hutchinson", rtol=1e-5, atol=1e-5,
        seed=0, batch_size=None, verbose="auto",
    ):  # fmt: skip
        """log p(x given condition), nats, numpy `(n,)`: a bound, or the density of the probability flow.

        Args:
            x: data `(n, *event_shape)`. condition: `(n, ...)` for a conditional model. method: "bound" (default):
            minus the variational bound of a chain of `steps` steps, by `num_samples` draws of
                each of its terms, without bias. "flow": the probability flow's density, of x with the least noise of
                the schedule, one draw of it a sample; another model than the chain, and no bound of it.
            steps: of the chain; default all times of a discrete schedule, else 256. More steps, a tighter bound.
            num_samples: draws, of which the mean is taken; default 1.
            trace: of "flow": "hutchinson" (default), one product with a random vector, without bias, or "exact", one a
                dimension.
            rtol, atol: of "flow".
            seed: of the draws; example i depends on (seed, i) alone.
            batch_size, verbose: as in `sample`.

        Raises:
            ValueError: data that `fit` would refuse, an unknown method or trace.
        """
        if method == "bound":
            return -self._terms(x, condition, steps, num_samples, seed, batch_size, verbose).sum(axis=1)
        if method != "flow":
            raise ValueError(f'Expected `method` as "bound" or "flow". Received: {method!r}.')
        if trace not in ("exact", "hutchinson"):
            raise ValueError(f'Expected `trace` as "exact" or "hutchinson". Received: {trace!r}.')
        rtol, atol = check_number(rtol, "rtol"), check_number(atol, "atol")
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        run = self._compiled(
            f"flow_{trace}_{rtol}_{atol}",
            lambda x, keys, condition=None: self.flow_log_density(
                self._event(x), condition, keys, trace, rtol, atol
            ),
        )
        values = []
        for k in range(inputs.check_count(num_samples, "num_samples")):
            keys = ops.convert_to_numpy(random.fold_in(random.keys(inputs.check_seed(seed), len(x)), k))
            arrays = {"x": x, "keys": keys, "condition": condition}
            values.append(self._in_batches(run, arrays, {}, batch_size, verbose))
        return np.mean(values, axis=0)
