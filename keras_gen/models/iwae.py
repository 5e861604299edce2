"""The importance-weighted autoencoder: a tighter bound from K draws.

With w_k = p(x given z_k) p(z_k) / q(z_k given x) and z_k ~ q(z given x), Jensen's inequality on the average gives

    L_K(x) = E[ log 1/K sum_k w_k ],        ELBO = L_1 <= L_K <= L_(K+1) <= log p(x)

(Burda et al. 2016, eq. 8 and theorem 1). Its gradient weighs each draw by its normalised weight w_k / sum_l w_l
(eq. 14), which is what differentiating the logarithm of the sum gives.
"""

import math

import keras
from keras import ops

from keras_gen import backend
from keras_gen.models import inputs
from keras_gen.models.posterior import tiled
from keras_gen.models.vae import VAE


@keras.saving.register_keras_serializable(package="keras_gen")
class IWAE(VAE):
    """Importance-weighted autoencoder: a VAE trained on the K-sample bound

        L_K(x) = E[ log 1/K sum_k w_k ],    w_k = p(x given z_k) p(z_k) / q(z_k given x),    L_1 <= L_K <= log p(x).

    The gradient is that of Burda et al., eq. 14: every term weighted by its normalised w_k, which automatic
    differentiation of the logarithm of the sum gives.

    Args:
        event_shape, latent_dim: as in `VAE`.
        num_samples: K, default 5; the paper uses 1, 5 and 50.
        **kwargs: as in `VAE`, less `beta`, `free_bits` and `kl_per_dimension`: this bound has no KL to weigh or report.

    Raises:
        ValueError: `num_samples` < 1, or a `beta`, `free_bits` or `kl_per_dimension`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import IWAE
        >>> model = IWAE((16,), latent_dim=2, num_samples=5, seed=0)
        >>> model.compile()
        >>> sorted(model.evaluate(np.ones((8, 16)), verbose=0, return_dict=True))
        ['active_units', 'bits_per_dim', 'loss', 'nll']

    Reference:
        Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519, eq. 8, 14.
    """

    def __init__(self, event_shape, latent_dim=2, *, num_samples=5, **kwargs):
        if kwargs.get("beta", 1.0) != 1.0 or kwargs.get("free_bits") or kwargs.get("kl_per_dimension"):
            received = {k: kwargs[k] for k in ("beta", "free_bits", "kl_per_dimension") if k in kwargs}
            raise ValueError(
                "Expected beta=1, free_bits=0 and kl_per_dimension=False: the K-sample bound has no KL to weigh. "
                f"Received: {received}. Use `VAE`."
            )
        self.num_samples = inputs.check_count(num_samples, "num_samples")
        super().__init__(event_shape, latent_dim, **kwargs)

    def objective(self, x, condition=None, training=False):
        features = self._features(x, condition, training)
        q = self.posterior_head.distribution(tiled(features, self.num_samples), training)
        self.diagnostics[0].update_state(backend.no_grad(self.posterior_head.distribution(features).location))
        z, log_q = self.drawn(q, training, copies=self.num_samples)
        log_q = q.log_density(z) if log_q is None else log_q
        conditions = None if condition is None else tiled(condition, self.num_samples)
        log_w = self.observation(z, conditions, training).log_density(tiled(x, self.num_samples))
        log_w = log_w + self.prior_distribution().log_density(z, *self._prior_arguments(conditions))
        log_w = ops.reshape(log_w - log_q, (self.num_samples, -1))
        bound = ops.logsumexp(log_w, axis=0) - math.log(self.num_samples)
        return {"loss": -bound} if training else {"loss": -bound, "nll": -bound}

    def get_config(self):
        config = {**super().get_config(), "num_samples": self.num_samples}
        return {k: v for k, v in config.items() if k not in ("beta", "free_bits", "kl_per_dimension")}
