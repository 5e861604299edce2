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

import math
import numbers

import keras
from keras import ops

from keras_gen import backend, layers, networks, random
from keras_gen.distributions import Normal, Transformed, has_closed_form_kl, kl_divergence
from keras_gen.metrics import LatentUse
from keras_gen.models import inputs
from keras_gen.models.latent import LatentModel, apply_network

_ROWS = 8192  # rows (examples times samples) computed at once by importance sampling


@keras.saving.register_keras_serializable(package="keras_gen")
class VAE(LatentModel):
    """Variational autoencoder: a latent-variable model trained by the bound (1).

    Args:
        event_shape: shape of one example, such as `(28, 28, 1)` or `(784,)`.
        latent_dim: dimension of z, default 2, which can be drawn as a plane.
        encoder: any Keras model, x -> features `(batch, features)`; default `networks.default_encoder`.
        decoder: any Keras model, z -> features; default `networks.default_decoder`.
        likelihood: p(x given z): a name (`"bernoulli"` for x in [0, 1], `"normal"`, `"laplace"`,
            `"discretized_logistic"`, ... see `layers.get_head`) or a distribution head, default `"bernoulli"`.
        posterior: q(z given x): `"normal"` (diagonal), `"multivariate_normal"`, or a distribution head. With a
            `layers.FlowHead` it is a flow, whose "mean" in what follows is the image of its base's mean.
        posterior_scale: a positive float fixes s(x), one remedy of collapse; None learns it.
        prior: p(z): whatever has `generate` and `log_density`: a distribution, a layer, a flow, another model of events
            `(latent_dim,)`. Default N(0, I). A closed-form KL is used where there is one, else
            log q(z) - log p(z) at the drawn z, an unbiased estimate.
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
    `active_units`; `log_prob` is (4).

    Raises:
        ValueError: an argument out of its range, x outside of the support of the likelihood.

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
        self.observation_head = _head(likelihood, self.event_shape, dtype=self.dtype_policy)
        if self.conditional:
            self.condition_encoder = layers.ConditionEncoder(
                num_classes, condition_shape, flatten=False, dtype=self.dtype_policy
            )
        self.prior = prior
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

    def _posterior_head(self, posterior, scale):
        options = {} if scale is None else {"scale": scale}
        if scale is not None and posterior != "normal":
            raise ValueError(
                "Expected `posterior_scale` with posterior='normal', whose scale it fixes. "
                f"Received: posterior_scale={scale}, posterior={posterior!r}."
            )
        return _head(posterior, (self.latent_dim,), dtype=self.dtype_policy, **options)

    # The parts of the model as distributions.

    def posterior(self, x, condition=None):
        """q(z given x) as a `Distribution` over `(batch, latent_dim)`."""
        return self.posterior_head.distribution(self._features(x, condition))

    def observation(self, z, condition=None, training=False):
        """p(x given z) as a `Distribution` over `(batch, *event_shape)`."""
        features = apply_network(self.decoder, z, self._encoded(condition), training)
        return self.observation_head.distribution(features)

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
        noise, n = self.noise if training else self.test_noise, ops.shape(q.location())[0] // copies
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
        noise, n = self.noise if training else self.test_noise, ops.shape(q.location())[0] // copies
        return q.generate_and_log_density(self._keys(noise, n, copies))

    def _keys(self, noise, n, copies):
        return noise.keys(n) if copies == 1 else _numbered(noise.keys(n), copies)

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

    def objective(self, x, condition=None, training=False):
        q = self.posterior_head.distribution(self._features(x, condition, training))
        z, log_q = self.drawn(q, training)
        reconstruction = -self.observation(z, condition, training).log_density(x)
        kl = self.kl(q, z, condition, log_q)
        self._check_per_dimension(kl)
        self.diagnostics[0].update_state(q.location(), kl if len(kl.shape) == 2 else None)
        total = self._total(kl)
        loss = reconstruction + ops.cast(self.beta, self.real_dtype) * self._total(self._freed(kl))
        terms = {"loss": loss, "reconstruction": reconstruction, "kl": total}
        return terms if training else {**terms, "nll": reconstruction + total}

    def _check_per_dimension(self, kl):
        if len(kl.shape) != 2 and (self.free_bits or self.kl_per_dimension):
            raise ValueError(
                "Expected a posterior and a prior whose KL is closed form in each dimension, which `free_bits` and "
                f"`kl_per_dimension` need. Received: {type(self.posterior_head).__name__} with the prior "
                f"{type(self.prior_distribution()).__name__}. Use free_bits=0 and kl_per_dimension=False."
            )

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
        head = self.observation_head
        head.read(ops.zeros((1, *head.raw_shape()), head.parameter_dtype)).validate(x)

    def code(self, x, condition=None):
        return self.posterior(x, condition).location()

    def decoded(self, z, condition=None):
        return self.observation(z, condition).mean()

    def generate(self, keys, condition=None, temperature=1.0):
        keys_z, keys_x = random.split(keys, 2)
        z = self.prior_distribution().generate(keys_z, *self._prior_arguments(condition), temperature=temperature)
        x = self.observation(z, condition)
        return x.generate(keys_x, temperature=temperature) if self.sample_observation else x.mean()

    def log_density(self, x, condition=None, keys=None, num_samples=1):
        """Estimate (4) of log p(x) with `num_samples` draws, tensor `(batch,)`; `keys` None draws them."""
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
        """log w_k of (4) for k = first, ..., first + count - 1: tensor `(count, batch)`."""
        q = self.posterior_head.distribution(tiled(features, count))
        z, log_q = q.generate_and_log_density(_numbered(keys, count, first))
        conditions = None if condition is None else tiled(condition, count)
        log_p = self.observation(z, conditions).log_density(tiled(x, count))
        log_p = log_p + self.prior_distribution().log_density(z, *self._prior_arguments(conditions))
        return ops.reshape(log_p - log_q, (count, -1))

    def log_prob(self, x, condition=None, *, num_samples=128, seed=0, batch_size=None, verbose="auto"):
        """Importance-sampled log p(x given condition), equation (4): a lower bound in expectation.

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
        """The bound (1) of each example, mean of `num_samples` draws: numpy `(n,)`, nats. As `log_prob`."""
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


def _head(head, event_shape, **options):
    """A named head in the model's own dtype policy; a head that was given stays as it is."""
    return layers.get_head(head, event_shape, **(options if isinstance(head, str) else {}))


def tiled(x, count):
    """`count` copies of the batch, one after another: rows k * batch + i."""
    return ops.tile(x, (count,) + (1,) * (len(x.shape) - 1))


def _numbered(keys, count, first=0):
    """`count` copies of `keys`, of which copy k is folded with `first + k`."""
    steps = ops.repeat(ops.arange(count) + first, ops.shape(keys)[0])
    return random.fold_in(tiled(keys, count), steps)


def _not_negative(value, name):
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < float("inf"):
        raise ValueError(f"Expected `{name}` as a finite number >= 0. Received: {name}={value!r}.")
    return float(value)
