"""Denoisers: the posterior mean E[x_0 given x_t], from which every sampler works.

One function D(x_t, t, c) says all that a sampler needs, since with eps = (x_t - alpha_t D) / sigma_t

    score = grad log p_t(x_t) = (alpha_t D - x_t) / sigma_t^2 = -eps / sigma_t        (Tweedie's formula)
    dx/dt of the probability flow = alpha_t' D + sigma_t' eps.                                                  (1)

`Denoiser` makes D of a network and a parametrisation (`keras_gen.diffusion.parametrisations`). What wraps a denoiser is
one: a change of schedule, thresholds, guidance.

**Another schedule.** Let x_t belong to a schedule (alpha, sigma), and let t' be the time at which the schedule of
training, (alpha', sigma'), has the same ratio. Then x_t r'_t' / r_t, r^2 = alpha^2 + sigma^2, has the law that the
network has learned at t', and D does not change: `Rescheduled`. (So has x_t alpha'_t' / alpha_t, the same number; but
where a ratio lies beyond those of training, r keeps the input of the network in its scale and alpha, near 0, does not.)

Reference:
    B. Efron, "Tweedie's formula and selection bias", JASA 106 (2011); Y. Song et al., arXiv:2011.13456 (2021),
    equations 3, 13; D. Kingma et al., arXiv:2107.00630 (2021), appendix G.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_gen.diffusion.parametrisations import get_parametrisation
from keras_gen.diffusion.schedules import LARGEST_LOG_SNR, Level, get_schedule
from keras_gen.diffusion.schedules.base import ends_without_signal


class Prediction(NamedTuple):
    """What a denoiser says of x_t.

    Args:
        clean: E[x_0 given x_t], of the shape of x_t.
        variance: of a network that learns its variances, where they lie between the least (0) and the largest (1) in
            logarithms, of the shape of x_t; else None.
    """

    clean: Any
    variance: Any = None

    def noise(self, x_t, level):
        """The estimate of eps."""
        return (x_t - level.alpha * self.clean) / level.sigma


class Denoising:
    """What a sampler asks: `schedule` and `predict(x_t, level, condition)`; `denoiser(x_t, t, condition)` by itself."""

    learned_variance = False

    def predict(self, x_t, level, condition=None, training=False):
        """A `Prediction`; the entries of `level`, a `Level`, are `(batch,)`."""
        raise NotImplementedError


class Wrapper(Denoising):
    """A denoiser around another."""

    def __init__(self, denoiser):
        self.denoiser, self.schedule = denoiser, denoiser.schedule
        self.learned_variance = denoiser.learned_variance

    def __call__(self, x_t, t, condition=None):
        """The estimate of x_0 of x_t at times `(batch,)`."""
        return self.predict(x_t, self.schedule.level(t), condition).clean


@keras.saving.register_keras_serializable(package="keras_gen")
class Denoiser(Denoising, keras.layers.Layer):
    """E[x_0 given x_t] by a network F(c x_t, log SNR_t, condition).

    Args:
        network: any layer of `(x, log_snr, condition)`, or a functional model of these inputs; x scaled to about unit
            variance, log_snr `(batch,)` held within +- 20, without a condition of the first two: `networks.UNet`,
            `networks.DenoisingMLP`, `networks.DiffusionTransformer`, one's own.
        schedule: of training, a `Schedule` or its name.
        parametrisation: "epsilon", "x0", "v", "score", "velocity" or "edm".
        data_scale: standard deviation of the data, for "edm"; default 0.5.
        learned_variance: whether the network gives twice the channels, the second half v in [-1, 1] being the place
            (v + 1) / 2 of the logarithm of the variance between its bounds; default False.
        name, dtype: as in `keras.layers.Layer`.

    Raises:
        ValueError: an unknown schedule or parametrisation; "epsilon" or "score" with a schedule that ends without any
            signal, where the noise tells nothing of x_0.

    Example:
        >>> from keras import ops
        >>> from keras_gen import diffusion, networks
        >>> network = networks.DenoisingMLP((2,), hidden=(16,))
        >>> denoiser = diffusion.Denoiser(network, "cosine", "v")
        >>> tuple(denoiser(ops.ones((3, 2)), ops.convert_to_tensor([0.1, 0.5, 0.9])).shape)
        (3, 2)

    Reference:
        Karras et al. 2022, arXiv:2206.00364, equation 7; learned variances: Nichol, Dhariwal 2021, arXiv:2102.09672,
        equation 15.
    """

    def __init__(self, network, schedule, parametrisation, data_scale=0.5, learned_variance=False, **kwargs):
        super().__init__(autocast=False, **kwargs)  # the network is narrow in mixed precision: times and estimates not
        self.network, self.schedule = network, get_schedule(schedule)
        self.parametrisation, self.data_scale = parametrisation, data_scale
        self.rule = get_parametrisation(parametrisation, data_scale)
        self.learned_variance = bool(learned_variance)
        if self.rule.needs_signal and ends_without_signal(self.schedule):
            raise ValueError(
                f"Expected parametrisation \"v\", \"x0\", \"velocity\" or \"edm\" with {self.schedule!r}, which ends "
                f"without any signal: there the noise tells nothing of x_0. Received: {parametrisation!r}."
            )

    def build(self, x_t_shape, t_shape=None, condition_shape=None):
        if not self.network.built:
            given = () if condition_shape is None else (condition_shape,)
            _build(self.network, [x_t_shape, (None,), *given])

    def _asked(self, *inputs, training):
        """Functional models take their inputs as a list."""
        functional = isinstance(self.network, keras.Model) and getattr(self.network, "inputs", None) is not None
        return self.network(list(inputs), training=training) if functional else self.network(*inputs, training=training)

    def raw(self, x_t, level, condition=None, training=False):
        """F, and the place of the variance or None."""
        scaled = x_t * self.rule.scale(level.over(x_t))
        log_snr = ops.clip(level.log_snr, -LARGEST_LOG_SNR, LARGEST_LOG_SNR)
        given = () if condition is None else (condition,)
        output = ops.cast(self._asked(scaled, log_snr, *given, training=training), x_t.dtype)
        if not self.learned_variance:
            return output, None
        if output.shape[-1] != 2 * x_t.shape[-1]:
            raise ValueError(
                f"Expected `network` with twice the channels of x_t, {2 * x_t.shape[-1]}, for `learned_variance`. "
                f"Received: an output of {output.shape[-1]}. Set its `out_channels`."
            )
        output, place = ops.split(output, 2, axis=-1)
        return output, 0.5 * (place + 1.0)

    def predict(self, x_t, level, condition=None, training=False):
        output, place = self.raw(x_t, level, condition, training)
        return Prediction(self.rule.clean(output, x_t, level.over(x_t)), place)

    def call(self, x_t, t, condition=None, training=False):
        """E[x_0 given x_t] at times t `(batch,)`, of the schedule of training."""
        return self.predict(x_t, self.schedule.level(t), condition, training).clean

    def compute_output_shape(self, x_t_shape, t_shape=None, condition_shape=None):
        return x_t_shape

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        config = {"network": serialize(self.network), "schedule": serialize(self.schedule)}
        config |= {"parametrisation": self.parametrisation, "data_scale": self.data_scale}
        return {**super().get_config(), **config, "learned_variance": self.learned_variance}

    @classmethod
    def from_config(cls, config):
        parts = {k: keras.saving.deserialize_keras_object(config[k]) for k in ("network", "schedule")}
        return cls(**{**config, **parts})


def _build(network, shapes):
    if type(network).build in (keras.Layer.build, keras.Model.build):
        names = ("x_shape", "log_snr_shape", "condition_shape")[: len(shapes)]
        raise ValueError(
            f"Expected `network` with a method build(self, {', '.join(names)}) that makes its weights, or a functional "
            f"model of {len(shapes)} inputs. Received: {type(network).__name__}, which leaves that to its first call."
        )
    network.build(*shapes)


class Rescheduled(Wrapper):
    """A denoiser under another schedule: exactly the same estimates, at the times where the ratios agree.

    Args:
        denoiser: a denoiser.
        schedule: the other schedule, or its name. Ratios beyond those of training are held at their ends.

    Example:
        >>> from keras_gen import diffusion, networks
        >>> trained = diffusion.Denoiser(networks.DenoisingMLP((2,), hidden=(16,)), "variance_preserving", "epsilon")
        >>> straight = diffusion.Rescheduled(trained, "rectified")
        >>> type(straight.schedule).__name__
        'Rectified'

    Reference:
        Kingma et al. 2021, arXiv:2107.00630, section 5.1, appendix G.
    """

    def __init__(self, denoiser, schedule):
        super().__init__(denoiser)
        self.schedule = get_schedule(schedule)

    def predict(self, x_t, level, condition=None, training=False):
        own = self.denoiser.schedule
        t = own.time(ops.clip(level.log_snr, -LARGEST_LOG_SNR, LARGEST_LOG_SNR))
        there = Level(*(ops.broadcast_to(v, ops.shape(level.alpha)) for v in own.level(t)))
        x = x_t * (_size(there.over(x_t)) / _size(level.over(x_t)))
        return self.denoiser.predict(x, there, condition, training)


def _size(level):
    """r, with r^2 = alpha^2 + sigma^2."""
    return ops.sqrt(level.alpha**2 + level.sigma**2)


class Clipped(Wrapper):
    """A denoiser whose estimates are held within [low, high], where data of this range cannot lie beyond.

    Args:
        denoiser: a denoiser.
        low, high: default -1 and 1.
        quantile: None (default), or q in (0, 1): dynamic thresholds. With s the q-quantile of |x_0| of each example, at
            least `high`, estimates are held within +- s and divided by s / high; for strong guidance.

    Raises:
        ValueError: `low` not below `high`, or a quantile out of (0, 1).

    Reference:
        Ho et al. 2020's program; dynamic: C. Saharia et al., arXiv:2205.11487 (2022), section 2.3.
    """

    def __init__(self, denoiser, low=-1.0, high=1.0, quantile=None):
        super().__init__(denoiser)
        if not low < high or not (quantile is None or 0.0 < quantile < 1.0):
            raise ValueError(f"Expected low < high, quantile in (0, 1). Received: {low}, {high}, {quantile}.")
        self.low, self.high, self.quantile = float(low), float(high), quantile

    def predict(self, x_t, level, condition=None, training=False):
        prediction = self.denoiser.predict(x_t, level, condition, training)
        if self.quantile is None:
            return prediction._replace(clean=ops.clip(prediction.clean, self.low, self.high))
        flat = ops.abs(ops.reshape(prediction.clean, (ops.shape(x_t)[0], -1)))
        s = ops.maximum(ops.quantile(flat, self.quantile, axis=1), self.high)
        s = ops.reshape(s, (-1, *[1] * (len(x_t.shape) - 1)))
        return prediction._replace(clean=ops.clip(prediction.clean, -s, s) * (self.high / s))
