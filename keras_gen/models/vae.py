"""The variational autoencoder and its family.

Model: z ~ p(z), x ~ p(x given z). For any q(z given x),

    log p(x) >= ELBO(x) = E_q[ log p(x given z) ] - KL( q(z given x) || p(z) ),                                 (1)

with equality when q is the posterior (Kingma and Welling 2014, eq. 3). One draw z = m(x) + s(x) eps, eps ~ N(0, I),
gives an unbiased gradient (their eq. 10), and with p(z) = N(0, I) the second term is closed:

    KL = 1/2 sum_j ( s_j^2 + m_j^2 - 1 - log s_j^2 ).                                                           (2)

Minimised is

    loss = - log p(x given z) + beta sum_j max( lambda, KL_j ),                                                 (3)

beta = 1 and lambda = 0 being (1). beta != 1 is the beta-VAE; a beta that grows from 0 is KL annealing; lambda > 0,
with KL_j averaged over the batch inside the maximum, is free bits (Kingma et al. 2016, eq. 15). The gradient of (3)
where a batch mean falls below lambda is zero, so KL_j is replaced by the constant there.

The evidence itself is estimated by importance sampling (Burda et al. 2016, eq. 8):

    log p(x) ~ log 1/K sum_k w_k,   w_k = p(x given z_k) p(z_k) / q(z_k given x),   z_k ~ q,                   (4)

whose expectation is a lower bound that rises with K; K = 1 is (1).
"""

import numbers

import keras
from keras import ops

from keras_gen import backend, layers, networks, random
from keras_gen.distributions import Normal
from keras_gen.metrics import LatentUse
from keras_gen.models.densities import check_density
from keras_gen.models.importance import ImportanceSampling
from keras_gen.models.latent import LatentModel, apply_network
from keras_gen.models.posterior import AmortizedPosterior, named_head


@keras.saving.register_keras_serializable(package="keras_gen")
class VAE(AmortizedPosterior, ImportanceSampling, LatentModel):
    """Variational autoencoder: a latent-variable model trained by the bound (1).

    Args:
        event_shape: shape of one example, such as `(28, 28, 1)` or `(784,)`.
        latent_dim: dimension of z, default 2, which can be drawn as a plane.
        encoder: any Keras model, x -> features `(batch, features)`; default `networks.default_encoder`.
        decoder: any Keras model, z -> features; default `networks.default_decoder`.
        likelihood: p(x given z): a name (`"bernoulli"` for x in [0, 1], `"normal"`, `"laplace"`,
            `"discretized_logistic"`, ... see `layers.get_head`) or a distribution head, default `"bernoulli"`. With a
            `layers.FlowHead` it is a flow, whose "mean" in what follows is the image of its base's mean.
        posterior: q(z given x): `"normal"` (diagonal), `"multivariate_normal"`, or a distribution head. With a
            `layers.FlowHead` it is a flow; its "mean" likewise.
        posterior_scale: a positive float fixes s(x), one remedy of collapse; None learns it.
        prior: p(z): whatever has `generate` and `log_density`: a distribution, a layer, a flow, another model of events
            `(latent_dim,)`, whose density has a gradient: not a flow of `levels`. Default N(0, I). A closed-form KL is
            used where there is one, else log q(z) - log p(z) at the drawn z, an unbiased estimate. Its layers are
            computed as in evaluation.
        beta: weight of the KL, default 1 (the bound). A `keras.optimizers.schedules.LearningRateSchedule`, or another
            function of the training step that is registered with Keras, anneals it.
        free_bits: lambda of (3), nats per latent dimension, default 0. Needs a closed-form KL.
        skip: True feeds z to every layer of the default decoder (Dieng et al. 2019), default False.
        kl_per_dimension: also log `kl_0`, `kl_1`, ... during `fit`, default False. Needs a closed-form KL.
        sample_observation: False (default): `sample` returns E[x given z], as pictures of VAEs do; True: x is drawn.
        num_classes, condition_shape: a condition, see `ConditionalVAE`.
        seed: seed of the training noise.
        name, dtype: as in `keras.Model`.

    Returns of the contract: `model(x)` and `predict` give the reconstruction E[x given z = E_q z]; `evaluate` gives
    `loss`, `reconstruction` (-log p(x given z), nats), `kl`, `nll` (minus the bound), `bits_per_dim` and
    `active_units`, of posterior means; `log_prob` is (4). The "mean" of a flow posterior costs one more pass of it,
    without gradient, in each step: little for an inverse autoregressive one, D steps for an autoregressive one.

    Raises:
        ValueError: an argument out of its range, a prior that is discrete or of events of another shape, x outside of
            the support of the likelihood.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.models import VAE
        >>> x = (np.arange(64 * 16).reshape(64, 16) % 3 == 0).astype("float32")
        >>> model = VAE((16,), latent_dim=2, seed=0)
        >>> model.compile(keras.optimizers.Adam(1e-2))
        >>> history = model.fit(x, epochs=2, verbose=0)
        >>> model.sample(5, seed=1).shape, model.encode(x).shape, model.log_prob(x, num_samples=8).shape
        ((5, 16), (64, 2), (64,))

    Reference:
        Kingma, Welling 2014, arXiv:1312.6114, eq. 3, 7, 10. beta: Higgins et al. 2017; annealing: Bowman et al. 2016,
        arXiv:1511.06349; free bits: Kingma et al. 2016, arXiv:1606.04934, eq. 15; skip: Dieng et al. 2019,
        arXiv:1807.04863; fixed scale and capacity: Burgess et al. 2018, arXiv:1804.03599.
    """

    likelihood = "bound"

    def __init__(
        self,
        event_shape,
        latent_dim=2,
        *,
        encoder=None,
        decoder=None,
        likelihood="bernoulli",
        posterior="normal",
        posterior_scale=None,
        prior=None,
        beta=1.0,
        free_bits=0.0,
        skip=False,
        kl_per_dimension=False,
        sample_observation=False,
        num_classes=None,
        condition_shape=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(event_shape, latent_dim, num_classes=num_classes, condition_shape=condition_shape, **kwargs)
        self.encoder = encoder or networks.default_encoder(self.event_shape, dtype=self.dtype_policy)
        self.decoder = decoder or networks.default_decoder(self.event_shape, skip=skip, dtype=self.dtype_policy)
        self.posterior_head = self._posterior_head(posterior, posterior_scale)
        self.observation_head = named_head(likelihood, self.event_shape, dtype=self.dtype_policy)
        if self.conditional:
            self.condition_encoder = layers.ConditionEncoder(
                num_classes, condition_shape, flatten=False, dtype=self.dtype_policy
            )
        self.prior = check_density(prior, "prior", (self.latent_dim,))
        origin = ops.zeros((self.latent_dim,), self.real_dtype)
        self._standard_normal = Normal(origin, 1.0, event_shape=(self.latent_dim,))
        self.free_bits = _not_negative(free_bits, "free_bits")
        self.skip, self.sample_observation = bool(skip), bool(sample_observation)
        self.kl_per_dimension, self.seed = bool(kl_per_dimension), seed
        self.beta_schedule = beta if callable(beta) else None
        self.beta_start = 0.0 if callable(beta) else _not_negative(beta, "beta")
        constant = keras.initializers.Constant(self.beta_start)
        self.beta = self.add_weight(shape=(), initializer=constant, trainable=False, autocast=False, name="beta")
        self.noise = random.Noise(seed)
        self.test_noise = random.Noise(seed)
        self.diagnostics = [LatentUse(self.latent_dim, self.kl_per_dimension, dtype=self.real_dtype)]
        self._build_arguments = {"likelihood": likelihood, "posterior": posterior, "posterior_scale": posterior_scale}

    # The parts of the model as distributions.

    def observation(self, z, condition=None, training=False):
        """p(x given z) as a `Distribution` over `(batch, *event_shape)`."""
        features = apply_network(self.decoder, z, self._encoded(condition), training)
        return self.observation_head.distribution(features, training)

    def prior_distribution(self):
        """p(z): what was given as `prior`, or N(0, I)."""
        return self._standard_normal if self.prior is None else self.prior

    def _features(self, x, condition, training=False):
        return apply_network(self.encoder, x, self._encoded(condition), training)

    def _encoded(self, condition):
        return None if condition is None else self.condition_encoder(condition)

    def _prior_arguments(self, condition):
        return (condition,) if getattr(self.prior, "conditional", False) else ()

    # Training.

    def objective(self, x, condition=None, training=False):
        q = self.posterior_head.distribution(self._features(x, condition, training), training)
        z, log_q = self.drawn(q, training)
        reconstruction = -self.observation(z, condition, training).log_density(x)
        kl = self.kl(q, z, condition, log_q)
        self._check_per_dimension(kl)
        self.diagnostics[0].update_state(backend.no_grad(q.location), kl if len(kl.shape) == 2 else None)
        total = self._total(kl)
        loss = reconstruction + ops.cast(self.beta, self.real_dtype) * self._total(self._freed(kl))
        terms = {"loss": loss, "reconstruction": reconstruction, "kl": total}
        return terms if training else {**terms, "nll": reconstruction + total}

    def _total(self, kl):
        return ops.sum(kl, axis=-1) if len(kl.shape) == 2 else kl

    def _freed(self, kl):
        """KL_j, or the constant lambda where its batch mean is below: equation (3)."""
        if not self.free_bits:
            return kl
        total, n = backend.all_sum((ops.sum(kl, axis=0, keepdims=True), ops.cast(ops.shape(kl)[0], kl.dtype)))
        return ops.where(total / n > self.free_bits, kl, ops.full_like(kl, self.free_bits))

    def update(self, batch):
        if self.beta_schedule is not None:
            self.beta.assign(ops.cast(self.beta_schedule(self.optimizer.iterations), self.beta.dtype))
        return super().update(batch)

    # The contract.

    def check_support(self, x):
        self.observation_head.validate(x)

    def code(self, x, condition=None):
        return self.posterior(x, condition).location()

    def decoded(self, z, condition=None):
        return self.observation(z, condition).location()

    def generate(self, keys, condition=None, temperature=1.0):
        keys_z, keys_x = random.split(keys, 2)
        z = self.prior_distribution().generate(keys_z, *self._prior_arguments(condition), temperature=temperature)
        x = self.observation(z, condition)
        return x.generate(keys_x, temperature=temperature) if self.sample_observation else x.location()

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        config = {
            **super().get_config(),
            **{
                k: v if isinstance(v, (str, float, int, type(None))) else serialize(v)
                for k, v in self._build_arguments.items()
            },
            "encoder": serialize(self.encoder),
            "decoder": serialize(self.decoder),
            "prior": None if self.prior is None else serialize(self.prior),
            "beta": serialize(self.beta_schedule) if self.beta_schedule is not None else self.beta_start,
            "free_bits": self.free_bits,
            "skip": self.skip,
            "kl_per_dimension": self.kl_per_dimension,
            "sample_observation": self.sample_observation,
            "seed": self.seed,
        }
        return config


@keras.saving.register_keras_serializable(package="keras_gen")
class ConditionalVAE(VAE):
    """p(x given y): a VAE whose encoder, decoder and, if asked, prior see the condition y.

        log p(x given y) >= E_q(z given x, y)[ log p(x given z, y) ] - KL( q(z given x, y) || p(z) )

    Args:
        event_shape: shape of one example.
        latent_dim: dimension of z, default 2.
        num_classes: number of classes if y is an integer label; or
        condition_shape: shape of one y if it is a vector (attributes, continuous values) or an image.
        **kwargs: as in `VAE`. A prior with `conditional = True`, such as `layers.ConditionalNormalPrior`, is
            p(z given y).

    Raises:
        ValueError: neither or both of `num_classes` and `condition_shape`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import ConditionalVAE
        >>> model = ConditionalVAE((8, 8, 1), latent_dim=2, num_classes=10, seed=0)
        >>> model.compile()
        >>> x, y = np.zeros((20, 8, 8, 1), "float32"), np.arange(20) % 10
        >>> history = model.fit(x, y, verbose=0)
        >>> model.sample(3, condition=7, seed=0).shape, model.predict((x, y), verbose=0).shape
        ((3, 8, 8, 1), (20, 8, 8, 1))

    Reference:
        Sohn, Lee, Yan 2015 (NIPS), eq. 4; attributes: Yan et al. 2016, arXiv:1512.00570.
    """

    def __init__(self, event_shape, latent_dim=2, *, num_classes=None, condition_shape=None, **kwargs):
        if (num_classes is None) == (condition_shape is None):
            raise ValueError(
                "Expected one of `num_classes` (labels) and `condition_shape` (vectors, images). "
                f"Received: num_classes={num_classes}, condition_shape={condition_shape}."
            )
        super().__init__(event_shape, latent_dim, num_classes=num_classes, condition_shape=condition_shape, **kwargs)


def _not_negative(value, name):
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < float("inf"):
        raise ValueError(f"Expected `{name}` as a finite number >= 0. Received: {name}={value!r}.")
    return float(value)
