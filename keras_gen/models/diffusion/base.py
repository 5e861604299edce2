"""Diffusion models: a denoiser, learned by regression at all levels of noise.

With a schedule x_t = alpha_t x_0 + sigma_t eps the network learns E[x_0 given x_t] by

    L = E_(t, eps) w(t) 1/D || x_0 - D(x_t, t, c) ||^2                                                          (1)

(`keras_gen.diffusion.weightings`), and samples are drawn by asking it at falling levels of noise (`.samplers`). What is
drawn with is the average of the weights over training, which counts for more than any sampler.

**Likelihood.** `log_prob` is the variational bound of a chain of n steps (`keras_gen.diffusion.bound`), or with
`method="flow"` the density of the probability flow (`keras_gen.diffusion.flow`). In `evaluate` the sum over the chain
is estimated without bias by one of its terms, n times, an example.

**Data.** With `data_range` (a, b) events are mapped to x_0 = (2 x - a - b) / (b - a) in [-1, 1], and back;
log-densities count the map. Grey levels, `levels` of them, are k / (L - 1) of the range, and have probabilities.

**Learned variance.** The second half of the network's output says where between its bounds the logarithm of the
variance of a step lies. It is learned by the bound, of which one term an example is added, times `bound_weight`; the
mean is a constant there (Nichol and Dhariwal's hybrid; theirs is in bits and has the data term too, whose variance is
not learned here).

**Conditions left out.** For guidance without a classifier a condition is left out with the probability `unconditional`:
its features are zeros then, and one more feature tells.

Reference:
    J. Ho, A. Jain, P. Abbeel, arXiv:2006.11239 (2020); A. Nichol, P. Dhariwal, arXiv:2102.09672 (2021); Y. Song et al.,
    arXiv:2011.13456 (2021); D. Kingma et al., arXiv:2107.00630 (2021); T. Karras et al., arXiv:2206.00364 (2022).
"""

import functools
import math
import warnings

import keras
import numpy as np
from keras import ops

from keras_gen import backend, diffusion, layers, networks, random
from keras_gen.diffusion import bound
from keras_gen.diffusion.schedules.base import check_number
from keras_gen.models import inputs
from keras_gen.models.averaging import average_network, check_average, step_counter, update_average
from keras_gen.models.base import GenerativeModel
from keras_gen.models.diffusion.coding import FlowCoding
from keras_gen.models.diffusion.densities import Densities
from keras_gen.models.diffusion.guiding import Guiding
from keras_gen.models.diffusion.sampling import DiffusionSampling, get_sampler

FEW = 16  # examples that by chance may all lie in the upper half of the range


@keras.saving.register_keras_serializable(package="keras_gen")
class DiffusionModel(DiffusionSampling, Guiding, Densities, FlowCoding, GenerativeModel):
    """A diffusion model of any schedule, parametrisation, weighting and sampler.

    `model(x)` and `predict` give E[x_0 given x_t = x] at the least level of noise: x without it.

    Args:
        event_shape: shape of one x, such as `(28, 28, 1)` or `(2,)`.
        network: any layer of `(x, log_snr, condition)` (see `diffusion.Denoiser`); default `networks.UNet` for images
            and `networks.DenoisingMLP` for what else. With `learned_variance` it gives twice the channels.
        schedule: a `diffusion.Schedule` or its name, default "cosine".
        parametrisation: "epsilon", "x0", "v" (default), "score", "velocity" or "edm".
        weighting: a `diffusion.Weighting` or its name, default "target".
        sampler: a `diffusion.Sampler` or its name, or a `diffusion.ProbabilityFlow`; default `DPMSolverPlusPlus(2)`.
        steps, grid: times of `sample`, see `diffusion.times`; defaults 32, and the grid of the sampler.
        data_range: (a, b), the range of the data, (-1, 1) of images by default; None: data as they are, estimates are
            not clipped. Default None where events are no images.
        levels: number of grey levels in the range, for likelihoods; default None: data are continuous.
        data_scale: standard deviation of x_0, for "edm" and the law of x_1; default 0.5 of data with a range, else 1.
        learned_variance: whether the network learns the variances of its chain, default False; with a schedule of
            discrete times.
        bound_weight: of the bound, in the loss of a learned variance; default 0.001 (times the number of steps, as each
            of them is one of so many terms).
        average: decay of the average of the weights, default 0.999; None: samples come from the last ones.
        unconditional: probability with which a condition is left out in training, default 0.1; 0 for no guidance.
        num_classes, condition_shape: as in `GenerativeModel`. An image as condition is joined to x: super-resolution.
        seed: of the training noise.
        name, dtype: as in `keras.Model`.

    Raises:
        ValueError: arguments out of their range; a schedule whose ratio does not fall; "epsilon" with a schedule that
            ends without signal; learned variances in continuous time.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen import models, networks
        >>> x = np.random.default_rng(0).normal(size=(256, 2)) * [1.0, 0.1]
        >>> model = models.DiffusionModel((2,), networks.DenoisingMLP((2,), hidden=(64, 64)), seed=0)
        >>> model.compile(keras.optimizers.Adam(1e-2))
        >>> history = model.fit(x, epochs=2, verbose=0)
        >>> model.sample(5, steps=8, seed=0).shape, model.log_prob(x[:3], steps=16).shape
        ((5, 2), (3,))

    Reference:
        Ho et al. 2020, arXiv:2006.11239; Karras et al. 2022, arXiv:2206.00364.
    """

    likelihood = "bound"

    def __init__(
        self, event_shape, network=None, *, schedule="cosine", parametrisation="v", weighting="target",
        sampler="dpm_solver_plus_plus", steps=32, grid=None, data_range="default", levels=None, data_scale=None,
        learned_variance=False, bound_weight=1e-3, average=0.999, unconditional=0.1, num_classes=None,
        condition_shape=None, seed=None, **kwargs,
    ):  # fmt: skip
        super().__init__(event_shape, num_classes=num_classes, condition_shape=condition_shape, **kwargs)
        self.data_range = _check_range(data_range, self.event_shape)
        self.levels = inputs.check_optional_count(levels, "levels")
        self._check_levels()
        self.data_scale = (1.0 if self.data_range is None else 0.5) if data_scale is None else data_scale
        self.weighting = diffusion.get_weighting(weighting, check_number(self.data_scale, "data_scale"))
        self.sampler = get_sampler(sampler, diffusion.get_schedule(schedule))
        self.steps_of_sampling = inputs.check_count(steps, "steps")
        self.seed = seed
        self.bound_weight = check_number(bound_weight, "bound_weight", -1e-12)
        self.average = check_average(average, self.variable_dtype)
        self.unconditional = _share(unconditional) if self.conditional else 0.0
        network = network or self._default_network(learned_variance)
        options = {"data_scale": self.data_scale, "learned_variance": learned_variance, "dtype": self.dtype_policy}
        make = functools.partial(diffusion.Denoiser, schedule=schedule, parametrisation=parametrisation, **options)
        self.denoiser = make(network, name="denoiser")
        self.grid = _check_grid(grid, self.schedule)
        self._check_learned_variance()
        self.condition_encoder = self._condition_encoder()
        self._build(self.denoiser)
        self.average_denoiser = None
        if self.average is not None:
            self.average_denoiser = make(average_network(network), name="average_denoiser", trainable=False)
            self._build(self.average_denoiser)
        self.noise, self.test_noise = random.Noise(seed), random.Noise(seed)
        self.steps = step_counter(self)

    # Construction.

    def _default_network(self, learned_variance):
        last = self.event_shape[-1] * (2 if learned_variance else 1)
        if len(self.event_shape) == 3:
            return networks.UNet(self.event_shape, out_channels=last, dtype=self.dtype_policy)
        return networks.DenoisingMLP(self.event_shape, out_channels=last, dtype=self.dtype_policy)

    def _condition_encoder(self):
        if not self.conditional:
            return None
        shape = None if self.num_classes is not None else self.condition_shape
        return layers.ConditionEncoder(
            self.num_classes, shape, flatten=len(self.condition_shape) != 3, dtype=self.dtype_policy, name="condition"
        )

    def _build(self, denoiser):
        shape, features = (None, *self.event_shape), None
        if self.conditional:
            if not self.condition_encoder.built:
                self.condition_encoder.build((None, *self.condition_shape))
            *sizes, last = self.condition_encoder.features_shape()
            features = (None, *sizes, last + (1 if self.unconditional else 0))
        denoiser.build(shape, (None,), features)

    def _check_levels(self):
        if self.levels is not None and (self.data_range is None or self.levels < 2):
            raise ValueError(f"Expected `levels` >= 2 with a `data_range`. Received: {self.levels}, {self.data_range}.")

    def _check_learned_variance(self):
        if self.denoiser.learned_variance and self.schedule.steps is None:
            raise ValueError(
                f"Expected a schedule of discrete times with `learned_variance`, such as Discrete(Cosine(), 1000). "
                f"Received: {self.schedule!r}."
            )

    @property
    def schedule(self):
        """The schedule of training."""
        return self.denoiser.schedule

    @property
    def players(self):
        return {"model": [self.denoiser, *([] if self.condition_encoder is None else [self.condition_encoder])]}

    # Data.

    def scaled(self, x):
        """x_0 in [-1, 1] of data in `data_range`."""
        low, high = self.data_range or (-1.0, 1.0)
        return x if (low, high) == (-1.0, 1.0) else (2.0 * x - (low + high)) / (high - low)

    def unscaled(self, x_0):
        """Data of x_0."""
        low, high = self.data_range or (-1.0, 1.0)
        return x_0 if (low, high) == (-1.0, 1.0) else 0.5 * (low + high) + 0.5 * (high - low) * x_0

    def check_support(self, x):
        if self.data_range is None or not x.size:
            return
        low, high = self.data_range
        if len(x) >= FEW and low < 0 <= x.min() and x.max() <= 1 == high:
            warnings.warn(
                f"Expected data that fill data_range={self.data_range}. Received: {len(x)} examples in "
                f"[{x.min():.4g}, {x.max():.4g}]. If theirs is [0, 1], make the model with data_range=(0, 1).",
                stacklevel=4,
            )
        slack = 0.05 * (high - low)
        if x.min() < low - slack or x.max() > high + slack:
            warnings.warn(
                f"Expected data within data_range={self.data_range}. Received: values from {x.min():.4g} to "
                f"{x.max():.4g}. Scale them, such as {_scaling(low, high)}, or make the model with "
                f"data_range=({x.min():.4g}, {x.max():.4g}); estimates are clipped to the range.",
                stacklevel=4,
            )

    def encoded(self, condition, keep=None):
        """Features of a condition, and whether it is there; `keep` `(batch,)` of 0 and 1, default all 1."""
        if condition is None:
            return None
        features = self.condition_encoder(condition)
        if not self.unconditional:
            return features
        keep = ops.ones((ops.shape(features)[0],)) if keep is None else keep
        keep = ops.cast(ops.reshape(keep, (-1, *[1] * (len(features.shape) - 1))), features.dtype)
        there = keep * ops.ones_like(features[..., :1])
        return ops.concatenate([features * keep, there], axis=-1)

    # Training.

    def objective(self, x, condition=None, training=False):
        x_0, noise = self.scaled(x), self.noise if training else self.test_noise
        eps = self.paired(x_0, self._normal(noise, ops.shape(x_0)[0]), condition)
        loss = self.paired_loss(x_0, eps, condition, noise, training)
        if training:
            return {"loss": loss}
        return {"loss": loss, **self.estimated_bound(x_0, self.encoded(condition), noise)}

    def paired_loss(self, x_0, eps, condition, noise, training):
        """The loss of each example and its noise, `(batch,)`, at times drawn from `noise`."""
        batch = ops.shape(x_0)[0]
        level = self.schedule.level(self._times(noise, batch))
        given = self.encoded(condition, self._keep(noise, batch) if training else None)
        loss, output, place = self.regression(self.denoiser, x_0, eps, level, given, training)
        if self.denoiser.learned_variance:
            loss = loss + self.bound_weight * self._variance_loss(x_0, eps, level, output, place)
        return loss

    def regression(self, denoiser, x_0, eps, level, given, training):
        """Equation (1) at one level an example, `(batch,)`; the network's output, and its variance."""
        rule, wide = denoiser.rule, level.over(x_0)
        x_t = wide.alpha * x_0 + wide.sigma * eps
        output, place = denoiser.raw(x_t, level, given, training)
        self._check_output(output)
        error = ops.mean(ops.reshape((output - rule.target(x_0, eps, wide)) ** 2, (ops.shape(x_0)[0], -1)), axis=1)
        return error * self.weighting.weight(level, rule) / rule.weight(level), output, place

    def _check_output(self, output):
        if tuple(output.shape[1:]) != self.event_shape:
            raise ValueError(
                f"Expected `network` with the output {self.event_shape} of an event. Received: "
                f"{tuple(output.shape[1:])}. Set its `out_channels`."
            )

    def _times(self, noise, batch):
        return self.weighting.times(self.stratified(noise, batch), self.schedule)

    def stratified(self, noise, batch):
        """Uniform numbers of [0, 1): example i of n has one in [i / n, (i + 1) / n), all shifted by one draw.

        By the shift, modulo 1, each example's is uniform, whatever its place in the batch.
        """
        first, total = backend.rows(batch)
        index = ops.cast(first + ops.arange(batch), self.real_dtype)
        shift = keras.random.uniform((), dtype=self.real_dtype, seed=noise)  # of all replicas alike
        u = (index + noise.uniform((batch,), dtype=self.real_dtype)) / ops.cast(total, self.real_dtype) + shift
        return u - ops.floor(u)

    def _normal(self, noise, batch):
        return noise.normal((batch, *self.event_shape), dtype=self.real_dtype)

    def paired(self, x_0, eps, condition=None):
        """The noise that goes with each example: the same rows, perhaps in another order."""
        return eps

    def _keep(self, noise, batch):
        if not self.unconditional:
            return None
        return noise.uniform((batch,), dtype=self.real_dtype) >= self.unconditional

    def _variance_loss(self, x_0, eps, level, output, place):
        """n times the term of the bound at this time, a dimension, the mean being constant."""
        wide, count = level.over(x_0), self.schedule.steps
        x_t = wide.alpha * x_0 + wide.sigma * eps
        clean = self.denoiser.rule.clean(ops.stop_gradient(output), x_t, wide)
        prediction = diffusion.Prediction(clean, place)
        first = level.t < 1.5 / count
        after = self.schedule.level(ops.maximum(level.t - 1.0 / count, 1.0 / count))
        inside = self.schedule.level(ops.where(first, 2.0 / count, level.t))
        terms = bound.step_divergence(x_0, prediction, inside, after, learned=True)
        return ops.where(first, 0.0, terms) * count / math.prod(self.event_shape)

    def update(self, batch):
        logs = super().update(batch)
        self.follow()
        return logs

    def follow(self):
        """The average follows the denoiser, and the step is counted."""
        if self.average_denoiser is not None:
            update_average(self.average_denoiser, self.denoiser, self.average, self.steps)
        self.steps.assign_add(1)

    # The contract.

    def best(self, clip=True):
        """The denoiser that samples: the average one, with estimates clipped to the range of the data."""
        denoiser = self.denoiser if self.average_denoiser is None else self.average_denoiser
        return diffusion.Clipped(denoiser) if clip and self.data_range is not None else denoiser

    def denoised(self, x, t, condition=None):
        """E[x_0 given x_t = x] as data; t is `(batch,)`, and x is x_t itself: of the scale of x_0."""
        return self.unscaled(self.best()(x, t, self.encoded(condition)))

    def call(self, x, condition=None, training=False):
        """x without the least noise."""
        x = self.scaled(self._event(x))
        t = ops.full((ops.shape(x)[0],), diffusion.flow.least_time(self.schedule), dtype=x.dtype)
        level = self.schedule.level(t)
        return self.unscaled(self.best().predict(x * level.over(x).alpha, level, self.encoded(condition)).clean)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        own = ("data_range", "levels", "data_scale", "bound_weight", "average", "seed")
        config = {**super().get_config(), **{name: getattr(self, name) for name in own}}
        config |= {"network": serialize(self.denoiser.network), "schedule": serialize(self.schedule)}
        config |= {"parametrisation": self.denoiser.parametrisation, "weighting": serialize(self.weighting)}
        config |= {"sampler": serialize(self.sampler), "steps": self.steps_of_sampling, "grid": self.grid}
        return {**config, "learned_variance": self.denoiser.learned_variance, "unconditional": self.unconditional}


def _scaling(low, high):
    """The map of data to the range, in words."""
    return f"{high - low:g} * (x - min) / (max - min)" + (f" {'+' if low > 0 else '-'} {abs(low):g}" if low else "")


def _check_grid(grid, schedule):
    if grid is None:
        return None
    if isinstance(grid, str) and grid not in diffusion.GRIDS:
        raise ValueError(f"Expected `grid` as one of {diffusion.GRIDS}, or the times themselves. Received: {grid!r}.")
    return grid if isinstance(grid, str) else [float(t) for t in diffusion.times(schedule, None, grid)]


def _check_range(data_range, event_shape):
    if isinstance(data_range, str) and data_range == "default":
        return (-1.0, 1.0) if len(event_shape) == 3 else None
    if data_range is None:
        return None
    two = isinstance(data_range, (tuple, list)) and len(data_range) == 2 and np.isreal(data_range).all()
    if not two or not np.isfinite(data_range).all() or data_range[0] >= data_range[1]:
        raise ValueError(
            f"Expected `data_range` as two finite numbers, the first the smaller. Received: {data_range!r}."
        )
    return float(data_range[0]), float(data_range[1])


def _share(unconditional):
    number = isinstance(unconditional, (int, float, np.number)) and not isinstance(unconditional, bool)
    if not number or not 0.0 <= unconditional < 1.0:
        raise ValueError(f"Expected `unconditional` as a probability in [0, 1). Received: {unconditional!r}.")
    return float(unconditional)
