"""The evidence of a latent-variable model, by importance sampling from its posterior.

    log p(x) ~ log 1/K sum_k w_k,   w_k = p(x given z_k) p(z_k) / q(z_k given x),   z_k ~ q,                   (1)

(Burda et al. 2016, eq. 8): its expectation is a lower bound that rises with K; K = 1 is the bound that a VAE trains.
"""

import math

from keras import ops

from keras_gen import random
from keras_gen.models import inputs
from keras_gen.models.posterior import numbered, tiled

_ROWS = 8192  # rows (examples times samples) computed at once


class ImportanceSampling:
    """Mixin of a VAE: `log_prob` and `elbo`, and their tensor twins."""

    def log_density(self, x, condition=None, keys=None, num_samples=1):
        """Estimate (1) of log p(x) with `num_samples` draws, tensor `(batch,)`; `keys` None draws them."""
        n = ops.shape(x)[0]
        keys = self.test_noise.keys(n) if keys is None else keys
        features = self._features(x, condition)
        chunk = max(1, min(num_samples, _ROWS // (x.shape[0] or 256)))
        chunks = -(-num_samples // chunk)

        def body(c, total):
            log_w = self.log_weights(x, condition, features, keys, c * chunk, chunk)
            if chunks * chunk != num_samples:
                inside = c * chunk + ops.arange(chunk) < num_samples
                log_w = ops.where(inside[:, None], log_w, -ops.full_like(log_w, 1e38))
            return ops.logaddexp(total, ops.logsumexp(log_w, axis=0))

        start = ops.full((n,), -1e38, dtype=self.real_dtype)
        total = body(0, start) if chunks == 1 else ops.fori_loop(0, chunks, body, start)
        return total - math.log(num_samples)

    def log_weights(self, x, condition, features, keys, first, count):
        """log w_k of (1) for k = first, ..., first + count - 1: tensor `(count, batch)`."""
        q = self.posterior_head.distribution(tiled(features, count))
        z, log_q = q.generate_and_log_density(numbered(keys, count, first))
        conditions = None if condition is None else tiled(condition, count)
        log_p = self.observation(z, conditions).log_density(tiled(x, count))
        log_p = log_p + self.prior_distribution().log_density(z, *self._prior_arguments(conditions))
        return ops.reshape(log_p - log_q, (count, -1))

    def log_prob(self, x, condition=None, *, num_samples=128, seed=0, batch_size=None, verbose="auto"):
        """log p(x given condition) by importance sampling, log 1/K sum_k w_k: a lower bound in expectation.

        Args:
            x: data `(n, *event_shape)`.
            condition: `(n, ...)` for a conditional model.
            num_samples: K, default 128; the papers report 5000.
            seed: seed of the draws; example i depends on (seed, i) alone.
            batch_size: examples computed at once, default 64.
            verbose: as in `sample`.

        Returns:
            numpy `(n,)`, nats.

        Raises:
            ValueError: data that `fit` would refuse, `num_samples` < 1.
        """
        return self._estimate("log_density", x, condition, num_samples, seed, batch_size, verbose)

    def elbo(self, x, condition=None, *, num_samples=1, seed=0, batch_size=None, verbose="auto"):
        """The bound E_q[log w] of each example, mean of `num_samples` draws: numpy `(n,)`, nats. As `log_prob`."""
        return self._estimate("_bound", x, condition, num_samples, seed, batch_size, verbose)

    def _estimate(self, method, x, condition, num_samples, seed, batch_size, verbose):
        """The numpy twin of `method(x, condition, keys, num_samples)`."""
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        num_samples = inputs.check_count(num_samples, "num_samples")
        run = self._compiled(
            f"{method}_{num_samples}",
            lambda x, keys, condition=None: getattr(self, method)(self._event(x), condition, keys, num_samples),
        )
        keys = ops.convert_to_numpy(random.keys(inputs.check_seed(seed), len(x)))
        batch_size = 64 if batch_size is None else batch_size
        return self._in_batches(run, {"x": x, "keys": keys, "condition": condition}, {}, batch_size, verbose)

    def _bound(self, x, condition, keys, num_samples):
        features = self._features(x, condition)

        def body(k, total):
            return total + self.log_weights(x, condition, features, keys, k, 1)[0]

        total = ops.fori_loop(0, num_samples, body, ops.zeros((ops.shape(x)[0],), self.real_dtype))
        return total / num_samples
