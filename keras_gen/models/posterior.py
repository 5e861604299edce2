"""The posterior of a VAE: how q(z given x) is drawn from, and how far it is from the prior.

A draw is z = g(e; x), e noise that does not depend on x, so that it is differentiable in what the encoder says
(Kingma, Welling 2014, section 2.4). Of a flow, z = f^-1(e), a draw comes with its log-density, in one pass. From the
prior q is as far as

    KL( q || p ) = E_q[ log q(z given x) - log p(z) ],

closed form for some pairs of families, else the difference at the one z that is drawn, which has that expectation.
"""

from keras import ops

from keras_gen import layers, random
from keras_gen.distributions import Normal, Transformed, has_closed_form_kl, kl_divergence


class AmortizedPosterior:
    """Mixin of a VAE: q(z given x), by a head on the features of an encoder."""

    def _posterior_head(self, posterior, scale):
        options = {} if scale is None else {"scale": scale}
        if scale is not None and posterior != "normal":
            raise ValueError(
                "Expected `posterior_scale` with posterior='normal', whose scale it fixes. "
                f"Received: posterior_scale={scale}, posterior={posterior!r}."
            )
        return named_head(posterior, (self.latent_dim,), dtype=self.dtype_policy, **options)

    def posterior(self, x, condition=None):
        """q(z given x) as a `Distribution` over `(batch, latent_dim)`."""
        return self.posterior_head.distribution(self._features(x, condition))

    def draw(self, q, training=False, copies=1):
        """A reparameterised draw of `q`. Evaluation has noise of its own, so that it never changes training.

        Where the rows of `q` are `copies` of the batch (`tiled`), each example has as many draws. The noise is drawn in
        float32 whatever the policy: it is the same in all of them.
        """
        if not getattr(q, "reparameterized", True):
            raise ValueError(
                "Expected a posterior whose draws are differentiable in its parameters, such as 'normal' or "
                f"'multivariate_normal'. Received: {type(q).__name__}, whose draws are not."
            )
        noise, n = self._source(q, training, copies)
        if not isinstance(q, Normal):
            return q.generate(self._keys(noise, n, copies))
        shape = (n, self.latent_dim) if copies == 1 else (n, copies, self.latent_dim)
        e = noise.normal(shape, dtype="float32")
        e = e if copies == 1 else ops.reshape(ops.swapaxes(e, 0, 1), (-1, self.latent_dim))
        return q.mean() + q.scale * ops.cast(e, q.dtype)

    def drawn(self, q, training=False, copies=1):
        """A draw as by `draw`, and log q of it where the draw itself tells (a flow, in one pass), else None."""
        if not (isinstance(q, Transformed) and q.reparameterized):
            return self.draw(q, training, copies), None
        noise, n = self._source(q, training, copies)
        return q.generate_and_log_density(self._keys(noise, n, copies))

    def _source(self, q, training, copies):
        """The noise of training or of evaluation, and the number of examples."""
        return self.noise if training else self.test_noise, q.full_shape()[0] // copies

    def _keys(self, noise, n, copies):
        return noise.keys(n) if copies == 1 else numbered(noise.keys(n), copies)

    def kl(self, q, z, condition=None, log_q=None):
        """KL(q || p), by (2) or another closed form, `(batch, latent_dim)` where it factorises; else estimated at z.

        What does not factorise, and the estimate at the draw z, are `(batch,)`; `log_q` is log q(z) if it is known.
        """
        p = self.prior_distribution()
        p = p.distribution(*self._prior_arguments(condition)) if hasattr(p, "distribution") else p
        if has_closed_form_kl(q, p):
            return kl_divergence(q, p, reduce=bool(q.joint_axes or p.joint_axes))
        log_q = q.log_density(z) if log_q is None else log_q
        return log_q - self.prior_distribution().log_density(z, *self._prior_arguments(condition))

    def _check_per_dimension(self, kl):
        if len(kl.shape) != 2 and (self.free_bits or self.kl_per_dimension):
            raise ValueError(
                "Expected a posterior and a prior whose KL is closed form in each dimension, which `free_bits` and "
                f"`kl_per_dimension` need. Received: {type(self.posterior_head).__name__} with the prior "
                f"{type(self.prior_distribution()).__name__}. Use free_bits=0 and kl_per_dimension=False."
            )


def named_head(head, event_shape, **options):
    """A named head in the model's own dtype policy; a head that was given stays as it is."""
    return layers.get_head(head, event_shape, **(options if isinstance(head, str) else {}))


def tiled(x, count):
    """`count` copies of the batch, one after another: rows k * batch + i."""
    return ops.tile(x, (count,) + (1,) * (len(x.shape) - 1))


def numbered(keys, count, first=0):
    """`count` copies of `keys`, of which copy k is folded with `first + k`."""
    steps = ops.repeat(ops.arange(count) + first, ops.shape(keys)[0])
    return random.fold_in(tiled(keys, count), steps)
