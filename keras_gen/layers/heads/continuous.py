"""Heads of continuous families: normal (diagonal and full), Laplace, logistic, Student t.

A location-scale family reads r as (m, a), the location m and a scale

    s = min_scale + exp(min(a, 20))         or        s = min_scale + softplus(a + log(e - 1))

both near 1 at a = 0. The first is the usual log-scale with a floor that leaves the gradient alive: ds/da
fades on the way to the floor and is not cut off there, as that of a clipped log-scale is. The cap at e^20
keeps a diverging run finite long enough to be reported.
"""

import math
import numbers

import keras
from keras import ops

from keras_gen import distributions
from keras_gen.layers.heads.base import DistributionHead

LOG_SCALE_CAP = 20.0
SOFTPLUS_SHIFT = math.log(math.e - 1.0)
SHARED_SCALES = ("global", "shared")


class LocationScaleHead(DistributionHead):
    """Base of the heads of location-scale families: a location m, and a scale s of one of four kinds.

    Args:
        event_shape: tuple of ints, the shape of one event x.
        scale: "learned" (default): s is read from the features, for each element of each example. "global":
            one trained weight for each element of the event, "shared": one trained weight in all, both begun
            at 1 and independent of the features. A positive float: that number, fixed.
        scale_activation: "exp" (default) or "softplus", from the raw number to s, see the module's notes. The
            trained weights of "global" and "shared" go through it too.
        min_scale: float >= 0, the floor of a learned scale. Default 1e-5, a variance of 1e-10, under which
            float32 squares of O(1) residuals lose all digits.
        loc_activation: name of a Keras activation of the location, such as "sigmoid" for data in [0, 1];
            default None, none.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: for another `scale`, `scale_activation`, or a negative `min_scale`.

    Reference:
        "shared" is the sigma of Rybkin, Daniilidis, Levine (2020), arXiv:2006.13202, section 3.2.
    """

    def __init__(
        self,
        event_shape,
        scale="learned",
        scale_activation="exp",
        min_scale=1e-5,
        loc_activation=None,
        **kwargs,
    ):
        super().__init__(event_shape, **kwargs)
        self.scale = _check_scale(scale)
        if scale_activation not in ("exp", "softplus"):
            raise ValueError(
                f"Expected `scale_activation` as 'exp' or 'softplus'. Received: {scale_activation!r}."
            )
        self.scale_activation = scale_activation
        self.min_scale = _check_min_scale(min_scale)
        self.loc_activation = None if loc_activation is None else keras.activations.get(loc_activation)
        self.raw_scale = None

    def family(self, loc, scale):
        """The distribution of a location and a scale."""
        raise NotImplementedError(f"{type(self).__name__} writes no `family`.")

    def build(self, input_shape):
        super().build(input_shape)
        if self.scale in SHARED_SCALES:
            shape = self.event_shape if self.scale == "global" else ()
            self.raw_scale = self.global_weight(shape, "raw_scale", 0.0)

    def numbers_per_element(self):
        return 2 if self.scale == "learned" else 1

    def read(self, raw):
        loc = raw[..., 0]
        if self.loc_activation is not None:
            loc = self.loc_activation(loc)
        return self.family(loc, self._scale(raw))

    def get_config(self):
        activation = self.loc_activation
        return {
            **super().get_config(),
            "scale": self.scale,
            "scale_activation": self.scale_activation,
            "min_scale": self.min_scale,
            "loc_activation": None if activation is None else keras.activations.serialize(activation),
        }

    def _scale(self, raw):
        if self.scale == "learned":
            return self._positive(raw[..., 1])
        if self.scale in SHARED_SCALES:
            return self._positive(ops.convert_to_tensor(self.raw_scale))
        return self.scale

    def _positive(self, a):
        if self.scale_activation == "exp":
            return self.min_scale + ops.exp(ops.minimum(a, LOG_SCALE_CAP))
        return self.min_scale + ops.softplus(a + SOFTPLUS_SHIFT)


@keras.saving.register_keras_serializable(package="keras_gen")
class NormalHead(LocationScaleHead):
    """Normal distribution with diagonal covariance, `Normal(m(h), s)`.

    A likelihood of real data, and the posterior q(z given x) of a variational model; with a float as `scale`,
    a posterior of fixed variance.

    Args:
        event_shape, scale, scale_activation, min_scale, loc_activation: see `LocationScaleHead`.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: see `LocationScaleHead`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import NormalHead
    >>> p = NormalHead((2,)).distribution(ops.zeros((3, 8)))
    >>> tuple(p.mean().shape), round(float(ops.convert_to_numpy(p.entropy())[0]), 3)
    ((3, 2), 2.838)
    """

    def family(self, loc, scale):
        return distributions.Normal(loc, scale, event_shape=self.event_shape)


@keras.saving.register_keras_serializable(package="keras_gen")
class LaplaceHead(LocationScaleHead):
    """Laplace distribution, `Laplace(m(h), s)`: with a fixed scale, the absolute error as a likelihood.

    Args:
        event_shape, scale, scale_activation, min_scale, loc_activation: see `LocationScaleHead`.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: see `LocationScaleHead`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import LaplaceHead
    >>> p = LaplaceHead((2,), scale=0.5).distribution(ops.zeros((3, 8)))
    >>> round(float(ops.convert_to_numpy(p.log_density(ops.zeros((3, 2))))[0]), 3)
    0.0
    """

    def family(self, loc, scale):
        return distributions.Laplace(loc, scale, event_shape=self.event_shape)


@keras.saving.register_keras_serializable(package="keras_gen")
class LogisticHead(LocationScaleHead):
    """Logistic distribution, `Logistic(m(h), s)`; for data on a grid, `DiscretizedLogisticHead`.

    Args:
        event_shape, scale, scale_activation, min_scale, loc_activation: see `LocationScaleHead`.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: see `LocationScaleHead`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import LogisticHead
    >>> LogisticHead((2,)).distribution(ops.zeros((3, 8))).event_shape
    (2,)
    """

    def family(self, loc, scale):
        return distributions.Logistic(loc, scale, event_shape=self.event_shape)


@keras.saving.register_keras_serializable(package="keras_gen")
class StudentTHead(LocationScaleHead):
    """Student's t distribution, `StudentT(df, m(h), s)`: a likelihood that forgives outliers.

    Args:
        event_shape, scale, scale_activation, min_scale, loc_activation: see `LocationScaleHead`.
        df: degrees of freedom, a float > 0 held fixed, or "shared": one trained weight, begun at 4 and read
            as `min_scale + exp`. Default 4.0, heavy tails with a finite variance.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: for another `df`; see also `LocationScaleHead`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import StudentTHead
    >>> StudentTHead((2,)).distribution(ops.zeros((3, 8))).event_shape
    (2,)
    """

    def __init__(self, event_shape, df=4.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        if df != "shared" and not _is_positive(df):
            raise ValueError(f"Expected `df` as a positive float or 'shared'. Received: df={df!r}.")
        self.df = df if df == "shared" else float(df)
        self.raw_df = None

    def build(self, input_shape):
        super().build(input_shape)
        if self.df == "shared":
            self.raw_df = self.global_weight((), "raw_df", math.log(4.0))

    def family(self, loc, scale):
        df = self.df
        if self.raw_df is not None:
            df = self.min_scale + ops.exp(ops.minimum(ops.convert_to_tensor(self.raw_df), LOG_SCALE_CAP))
        return distributions.StudentT(df, loc, scale, event_shape=self.event_shape)

    def get_config(self):
        return {**super().get_config(), "df": self.df}


@keras.saving.register_keras_serializable(package="keras_gen")
class MultivariateNormalHead(DistributionHead):
    """Normal distribution with full covariance, `MultivariateNormal(m(h), L(h))`.

    Of a vector of size d, the features give d numbers for m and d (d + 1) / 2 for the lower triangle of L,
    row by row; the diagonal of L is `min_scale + exp(a)`.

    Args:
        event_shape: `(d,)`.
        min_scale: float >= 0, the floor of the diagonal of L; default 1e-5, as in `LocationScaleHead`.
        **kwargs: see `DistributionHead`.

    Raises:
        ValueError: for an event that is no vector, or a negative `min_scale`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import MultivariateNormalHead
    >>> p = MultivariateNormalHead((3,)).distribution(ops.zeros((2, 8)))
    >>> tuple(p.scale_tril.shape), round(float(ops.convert_to_numpy(p.scale_tril)[0, 0, 0]), 3)
    ((2, 3, 3), 1.0)
    """

    def __init__(self, event_shape, min_scale=1e-5, **kwargs):
        super().__init__(event_shape, **kwargs)
        if len(self.event_shape) != 1:
            raise ValueError(
                "MultivariateNormalHead expects vectors, event_shape=(d,). "
                f"Received: event_shape={self.event_shape}. Flatten the event, or take `NormalHead`."
            )
        self.min_scale = _check_min_scale(min_scale)

    def raw_shape(self):
        d = self.event_shape[0]
        return (d + d * (d + 1) // 2,)

    def read(self, raw):
        d = self.event_shape[0]
        rows = [self._row(raw, d, i) for i in range(d)]
        return distributions.MultivariateNormal(raw[..., :d], ops.stack(rows, axis=-2))

    def _row(self, raw, d, i):
        """Row i of L: i numbers as they are, one made positive, zeros."""
        start = d + i * (i + 1) // 2
        diagonal = self.min_scale + ops.exp(ops.minimum(raw[..., start + i : start + i + 1], LOG_SCALE_CAP))
        zeros = ops.zeros_like(raw[..., : d - 1 - i])
        return ops.concatenate([raw[..., start : start + i], diagonal, zeros], axis=-1)

    def get_config(self):
        return {**super().get_config(), "min_scale": self.min_scale}


def _is_positive(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 < value < math.inf


def _check_min_scale(min_scale):
    if not isinstance(min_scale, numbers.Real) or not 0 <= min_scale < math.inf:
        raise ValueError(f"Expected `min_scale` as a float >= 0. Received: {min_scale!r}.")
    return float(min_scale)


def _check_scale(scale):
    if isinstance(scale, str) and scale in ("learned", *SHARED_SCALES):
        return scale
    if not _is_positive(scale):
        raise ValueError(
            f"Expected `scale` as 'learned', 'global', 'shared' or a positive float. Received: {scale!r}."
        )
    return float(scale)
