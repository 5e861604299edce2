"""Normalizing flows: an exact density by a change of variables.

With a bijection z = f(x; c) from data to latents, c a condition, and a base density p_Z,

    log p(x given c) = log p_Z(f(x; c)) + log |det df/dx|,                                                   (1)

which training maximises and which is exact. A sample is x = f^-1(z), z ~ p_Z. At a temperature t, z is drawn with its
scale multiplied by t: t acts on the base, never on the scales of the couplings.

**Discrete data.** A density of grey levels could be infinite. With L levels k, given as x = k / (L - 1), and u uniform
in [0, 1)^D, y = (k + u) / L is continuous, and by Jensen's inequality

    log P(k) = log int p(y) L^-D du >= E_u log p(y) - D log L,                                               (2)

a bound, of which `log_prob` takes the logarithm of the mean over several u, a tighter one. Bits per dimension are
-log P / (D log 2): of the levels, with every term of (1), those of a logit included.

Reference:
    Papamakarios et al. 2021, arXiv:1912.02762, equations 3, 5, 6; L. Theis, A. van den Oord, M. Bethge, "A note on the
    evaluation of generative models", arXiv:1511.01844 (2016), section 3.1, for (2).
"""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend, layers, random
from keras_gen.distributions import Normal
from keras_gen.models import inputs
from keras_gen.models.base import GenerativeModel
from keras_gen.models.densities import check_density
from keras_gen.models.latent import Coding


@keras.saving.register_keras_serializable(package="keras_gen")
class NormalizingFlow(Coding, GenerativeModel):
    """log p(x given c) = log p_Z(f(x; c)) + log |det df/dx|, for any bijection f.

    `model(x)` and `encode` are z = f(x), `decode` is f^-1. Layers that are set by data, such as `ActNorm`, are
    initialised by the first batch of the first `fit`, those of a base that is a flow likewise.

    Args:
        event_shape: shape of one x, such as `(2,)`.
        bijection: f, a `layers.Bijection`, or a list of them, of which the first sees the data.
        base: p_Z, whatever has `generate` and `log_density` of events of z's shape: a distribution (`Normal`,
            `MultivariateNormal`, `StudentT`, `Uniform`, `Mixture`), a layer such as `layers.LearnedMixturePrior`,
            another model. Default N(0, I). With `conditional = True`, such as `layers.ConditionalNormalPrior`, it is
            p_Z(z given c).
        levels: L, of data that are grey levels k / (L - 1); default None: data are continuous.
        num_classes: number of classes if c is an integer label; or
        condition_shape: shape of c if it is an array.
        seed: of the dequantising noise.
        name, dtype: as in `keras.Model`.

    Raises:
        ValueError: no bijections, or some of float32 in a flow of float64; a base that is no density of events of z's
            shape; a condition that neither f nor the base takes, or the reverse; `levels` below 2; data out of the
            bijection's domain; at `fit`, NaN, and elements of continuous x that do not vary, where a density has no
            upper bound.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.layers import ActNorm, AffineCoupling, Permutation
        >>> from keras_gen.models import NormalizingFlow
        >>> steps = [ActNorm(), AffineCoupling((16,)), Permutation("swap"), AffineCoupling((16,))]
        >>> model = NormalizingFlow((2,), steps)
        >>> model.compile(keras.optimizers.Adam(1e-2))
        >>> x = np.random.default_rng(0).normal(3.0, 2.0, (256, 2))
        >>> history = model.fit(x, epochs=2, verbose=0)
        >>> model.sample(5, seed=0).shape, model.log_prob(x).shape
        ((5, 2), (256,))
        >>> bool(np.abs(model.decode(model.encode(x)) - x).max() < 1e-4)
        True

    Reference:
        Papamakarios et al. 2021, arXiv:1912.02762, equation 3.
    """

    @property
    def likelihood(self):
        """"exact" of continuous data; "bound" of grey levels."""
        return "exact" if self.levels is None else "bound"

    def __init__(
        self, event_shape, bijection, base=None, *, levels=None, num_classes=None, condition_shape=None, seed=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(event_shape, num_classes=num_classes, condition_shape=condition_shape, **kwargs)
        many = isinstance(bijection, (list, tuple))
        self.bijection = layers.Chain(bijection, dtype=self.dtype_policy) if many else bijection
        self._check_bijection()
        self.base, self.seed = base, seed
        self.levels = _check_levels(levels)
        self.noise, self.test_noise = random.Noise(seed), random.Noise(seed)
        self._check_condition_is_used()
        if self.bijection.takes_condition:
            options = {"flatten": False, "dtype": self.dtype_policy, "name": "condition_encoder"}
            self.condition_encoder = layers.ConditionEncoder(self.num_classes, condition_shape, **options)
        self._build_bijection()
        check_density(base, "base", self.latent_shape)
        zeros = ops.zeros(self.latent_shape, self.real_dtype)
        self._standard_normal = Normal(zeros, 1.0, event_shape=self.latent_shape)
        self._pending, self._begun = True, False

    def _check_bijection(self):
        if not isinstance(self.bijection, layers.Bijection):
            raise ValueError(f"Expected `bijection` as a `layers.Bijection` or a list. Received: {self.bijection!r}.")
        parts = [part for part in self.bijection._flatten_layers() if isinstance(part, layers.Bijection)]
        narrow = [part for part in parts if part.real_dtype != self.real_dtype == "float64"]
        if narrow:
            raise ValueError(
                f"Expected bijections of float64 in a flow of float64. Received: {type(narrow[0]).__name__} "
                f"{narrow[0].name!r}, which computes in {narrow[0].real_dtype}. Build it with dtype='float64'."
            )

    def _check_condition_is_used(self):
        taken = self.bijection.takes_condition or getattr(self.base, "conditional", False)
        if taken != self.conditional:
            raise ValueError(
                "Expected a condition exactly where the bijection or the base takes one. Received: "
                f"num_classes={self.num_classes}, condition_shape={self.condition_shape}, and a bijection and a base "
                f"of which {'one takes' if taken else 'none takes'} a condition. Build the bijection with "
                "`conditional=True`, or leave the condition out."
            )

    def _build_bijection(self):
        given = None
        if self.bijection.takes_condition:
            self.condition_encoder.build((None, *self.condition_shape))
            given = (None, *self.condition_encoder.features_shape())
        self.bijection.ensure_built((None, *self.event_shape), given)

    @property
    def latent_shape(self):
        """Shape of one z."""
        return self.bijection.latent_shape(self.event_shape)

    # Densities.

    def base_distribution(self):
        """p_Z: what was given as `base`, or N(0, I)."""
        return self._standard_normal if self.base is None else self.base

    def _base_arguments(self, condition):
        return (condition,) if getattr(self.base, "conditional", False) else ()

    def _encoded(self, condition):
        return self.condition_encoder(condition) if self.bijection.takes_condition else None

    def continuous_log_density(self, y, condition=None, training=False):
        """Equation (1) of continuous data y, `(batch,)`."""
        z, log_det = self.bijection.forward_and_log_det(y, self._encoded(condition), training)
        return self.base_distribution().log_density(z, *self._base_arguments(condition)) + log_det

    def dequantized(self, x, u):
        """(k + u) / L of grey levels x = k / (L - 1)."""
        return (ops.round(x * (self.levels - 1)) + u) / self.levels

    def objective(self, x, condition=None, training=False):
        y, constant = x, 0.0
        if self.levels is not None:
            noise = self.noise if training else self.test_noise
            y, constant = self.dequantized(x, self._uniform(noise, ops.shape(x)[0])), self._log_cells()
        nll = constant - self.continuous_log_density(y, condition, training)
        return {"loss": nll} if training else {"loss": nll, "nll": nll}

    def _uniform(self, noise, n):
        return ops.cast(random.uniform(noise.keys(n), self.event_shape), self.real_dtype)

    def _log_cells(self):
        return math.prod(self.event_shape) * math.log(self.levels)

    def log_density(self, x, condition=None, keys=None, num_samples=1):
        """Equation (1); of grey levels, the logarithm of the mean over `num_samples` draws of (2)."""
        if self.levels is None:
            return self.continuous_log_density(x, condition)
        keys = self.test_noise.keys(ops.shape(x)[0]) if keys is None else keys

        def body(k, total):
            u = ops.cast(random.uniform(random.fold_in(keys, k), self.event_shape), self.real_dtype)
            return ops.logaddexp(total, self.continuous_log_density(self.dequantized(x, u), condition))

        start = ops.full((ops.shape(x)[0],), -1e38, dtype=self.real_dtype)
        total = ops.fori_loop(0, num_samples, body, start)
        return total - math.log(num_samples) - self._log_cells()

    def log_prob(self, x, condition=None, *, num_samples=8, seed=0, batch_size=None, verbose="auto"):
        """log p(x given condition), nats: exact for continuous data, else the bound (2).

        Args:
            x: data `(n, *event_shape)`.
            condition: `(n, ...)` for a conditional model.
            num_samples: draws of u of each example, of grey levels; default 8.
            seed: of the draws; example i depends on (seed, i) alone.
            batch_size, verbose: as in `sample`.

        Returns:
            numpy `(n,)`.

        Raises:
            ValueError: data that `fit` would refuse, `num_samples` < 1.
        """
        count, seed = inputs.check_count(num_samples, "num_samples"), inputs.check_seed(seed)
        if self.levels is None:
            return super().log_prob(x, condition, batch_size=batch_size, verbose=verbose)
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        run = self._compiled(
            f"log_density_{count}",
            lambda x, keys, condition=None: self.log_density(self._event(x), condition, keys, count),
        )
        keys = ops.convert_to_numpy(random.keys(seed, len(x)))
        return self._in_batches(run, {"x": x, "keys": keys, "condition": condition}, {}, batch_size, verbose)

    # Samples and latents.

    def code(self, x, condition=None):
        x = x if self.levels is None else self.dequantized(x, 0.5)
        return self.bijection.forward_and_log_det(x, self._encoded(condition))[0]

    def decoded(self, z, condition=None):
        y = self.bijection.inverse(z, self._encoded(condition))
        if self.levels is None:
            return y
        return ops.clip(ops.floor(y * self.levels), 0, self.levels - 1) / (self.levels - 1)

    def call(self, x, condition=None, training=False):
        """z = f(x)."""
        return self.code(self._event(x), condition)

    def _reconstruct(self, x, condition):
        return self.decoded(self.code(self._event(x), condition), condition)

    def generate(self, keys, condition=None, temperature=1.0):
        z = self.base_distribution().generate(keys, *self._base_arguments(condition), temperature=temperature)
        return self.decoded(z, condition)

    def generate_and_log_density(self, keys, condition=None):
        """Samples and their log-density in one pass, of continuous data: what a posterior needs."""
        if self.levels is not None:
            raise NotImplementedError("A flow of `levels` has a bound alone. Use `sample` and `log_prob`.")
        z = self.base_distribution().generate(keys, *self._base_arguments(condition))
        x, log_det = self.bijection.inverse_and_log_det(z, self._encoded(condition))
        return x, self.base_distribution().log_density(z, *self._base_arguments(condition)) - log_det

    # Training.

    def check_support(self, x):
        if self.levels is not None:
            _check_levels_of(x, self.levels)
        else:
            self.bijection.validate(x)

    @functools.wraps(GenerativeModel.fit)
    def fit(self, x=None, *args, **kwargs):
        if self.levels is None and inputs.is_array(x):
            _check_variation(inputs.check_data(self, x))
        self._pending, self._begun = True, False
        return super().fit(x, *args, **kwargs)

    def begin_epoch(self):
        """From the second epoch of a `fit` on, all is initialised: no step asks any more."""
        self._pending, self._begun = self._pending and not self._begun, True

    def update(self, batch):
        self._initialize(batch)
        return super().update(batch)

    def initialize(self, x, condition=None):
        """Set what is set from data, by a batch of continuous x: of the bijection, and of a base that is a flow."""
        z = self.bijection.initialize(x, self._encoded(condition))
        if isinstance(self.base, NormalizingFlow):
            self.base.initialize(z, *self._base_arguments(condition))

    def _initialized(self):
        """The flags of all that is set from data."""
        parts = [part for part in self.bijection._flatten_layers() if isinstance(part, layers.Bijection)]
        flags = [part.initialized for part in parts if part.initialized is not None]
        return flags + (self.base._initialized() if isinstance(self.base, NormalizingFlow) else [])

    def _initialize(self, batch):
        """Set what is set from data by this batch, if it has not been."""
        flags = self._initialized()
        if not (flags and self._pending):
            return
        missing = ops.logical_not(functools.reduce(ops.logical_and, [ops.convert_to_tensor(flag) for flag in flags]))

        def run():
            x = batch.x
            if self.levels is not None:
                x = self.dequantized(x, self._uniform(self.noise, ops.shape(x)[0]))
            self.initialize(x, batch.condition)
            return ops.ones((), self.real_dtype)

        backend.when(missing, run, ops.ones((), self.real_dtype))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        base = None if self.base is None else serialize(self.base)
        own = {"bijection": serialize(self.bijection), "base": base, "levels": self.levels, "seed": self.seed}
        return {**super().get_config(), **own}


def _check_variation(x):
    """Raise for elements that are the same in all of several examples."""
    constant = (x == x[:1]).reshape(len(x), -1).all(axis=0)
    if len(x) > 1 and constant.any():
        raise ValueError(
            "Expected x that varies in each element: else its density has no upper bound. Received: "
            f"{constant.sum()} of {constant.size} elements that are the same in all {len(x)} examples, the first at "
            f"{constant.argmax()} of the flattened event. Leave them out, add noise, or give `levels` of grey levels."
        )


def _check_levels(levels):
    if levels is None:
        return None
    if inputs.check_count(levels, "levels") < 2:
        raise ValueError(f"Expected `levels` as an integer of at least 2. Received: levels={levels}.")
    return int(levels)


def _check_levels_of(x, levels):
    k = np.asarray(x, "float64") * (levels - 1)
    if (k < -1e-3).any() or (k > levels - 1 + 1e-3).any() or (np.abs(k - np.round(k)) > 1e-2).any():
        raise ValueError(
            f"Expected x as grey levels k / {levels - 1}, k an integer from 0 to {levels - 1}. Received: values from "
            f"{np.min(x)} to {np.max(x)}, or between the levels. Divide integers by {levels - 1}, or give no `levels`."
        )
