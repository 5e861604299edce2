"""Normalizing flows by name, for vectors: which bijections, in which order.

    NICE          additive couplings, halves exchanged; a scale and a shift an element at the end; logistic base
    RealNVP       [normalisation, affine coupling], halves exchanged
    MAF           [normalisation, masked autoregressive affine map, order reversed]: density in one pass
    IAF           [normalisation, inverse of a masked autoregressive map, order reversed]: samples in one pass
    NeuralSpline  [normalisation, linear map, rational-quadratic spline], by couplings or autoregressive
    FFJORD        one continuous flow

The normalisation is an `ActNorm` ("act"), which brings every element to mean 0 and variance 1 of the first batch, a
`FlowBatchNormalization` ("batch"), that of the RealNVP and MAF papers, or none. Default "act": the same scale, and
nothing of the batch is in the density.

Reference:
    Dinh et al. 2015, arXiv:1410.8516; Dinh et al. 2017, arXiv:1605.08803; Papamakarios et al. 2017, arXiv:1705.07057;
    Kingma et al. 2016, arXiv:1606.04934; Durkan et al. 2019, arXiv:1906.04032; Grathwohl et al. 2019, arXiv:1810.01367.
"""

import keras
import numpy as np

from keras_gen import layers
from keras_gen.distributions import Logistic
from keras_gen.layers.shapes import as_shape
from keras_gen.models import inputs
from keras_gen.models.flows.flow import NormalizingFlow

NORMALIZATIONS = {"act": layers.ActNorm, "batch": layers.FlowBatchNormalization, None: None}
_CONTRACT = ("base", "levels", "num_classes", "condition_shape", "seed", "name", "dtype")


class _Recipe(NormalizingFlow):
    """Base of the recipes: a subclass writes `bijections(**own)`, of the arguments that are its own."""

    def __init__(self, event_shape, own, **kwargs):
        unknown = sorted(set(kwargs) - set(_CONTRACT))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no arguments {unknown}.")
        size = _vector(event_shape, type(self).__name__)
        self._own = dict(own)
        given = kwargs.get("num_classes") is not None or kwargs.get("condition_shape") is not None
        shared = {"dtype": kwargs.get("dtype")}
        super().__init__(event_shape, self.bijections(size, {**shared, "conditional": given}, shared, **own), **kwargs)

    def bijections(self, size, map_options, options, **own):
        """The list of bijections of vectors of `size`; `map_options` are those of what takes the condition."""
        raise NotImplementedError

    def get_config(self):
        config = super().get_config()
        del config["bijection"]
        return {**config, **self._own}


@keras.saving.register_keras_serializable(package="keras_gen")
class NICE(_Recipe):
    """Additive couplings, one scale and one shift an element: z = exp(s) * (c_K o ... o c_1)(x) + t, s in [-3, 3].

    Args:
        event_shape: `(D,)`, D >= 2.
        steps: K couplings, default 4, as in the paper.
        units: hidden layers of each, default (64, 64); the paper has five of 1000 for images.
        **kwargs: `base` (default a standard logistic, the paper's), `levels`, `num_classes`, `condition_shape`, `seed`,
            `name`, `dtype` of `NormalizingFlow`.

    Raises:
        ValueError: events that are no vectors; see `NormalizingFlow`.

    Example:
        >>> from keras_gen.models import NICE
        >>> NICE((3,), steps=2, units=(8,)).sample(4, seed=0).shape
        (4, 3)

    Reference:
        Dinh, Krueger, Bengio 2015, arXiv:1410.8516, sections 3 and 5.1, without the shift, which centres the data.
    """

    def __init__(self, event_shape, steps=4, units=(64, 64), base=None, **kwargs):
        size = _vector(event_shape, "NICE")
        base = Logistic(np.zeros(size, "float32"), 1.0, event_shape=(size,)) if base is None else base
        super().__init__(event_shape, {"steps": steps, "units": units}, base=base, **kwargs)

    def bijections(self, size, map_options, options, steps, units):
        couplings = [
            layers.AdditiveCoupling(units, "alternating", flip=bool(i % 2), **map_options)
            for i in range(inputs.check_count(steps, "steps"))
        ]
        return [*couplings, layers.ElementwiseAffine(**options)]


@keras.saving.register_keras_serializable(package="keras_gen")
class RealNVP(_Recipe):
    """Affine couplings with halves exchanged: z_b = x_b exp(s(x_a)) + t(x_a).

    Args:
        event_shape: `(D,)`, D >= 2.
        steps: couplings, default 8.
        units: hidden layers of each, default (64, 64).
        normalization: "act" (default), "batch", the paper's, or None.
        **kwargs: as of `NICE`; the base is N(0, I) by default.

    Raises:
        ValueError: events that are no vectors; see `NormalizingFlow`.

    Example:
        >>> from keras_gen.models import RealNVP
        >>> RealNVP((3,), steps=2, units=(8,)).sample(4, seed=0).shape
        (4, 3)

    Reference:
        Dinh, Sohl-Dickstein, Bengio 2017, arXiv:1605.08803, equations 7 to 9.
    """

    def __init__(self, event_shape, steps=8, units=(64, 64), normalization="act", **kwargs):
        super().__init__(event_shape, {"steps": steps, "units": units, "normalization": normalization}, **kwargs)

    def bijections(self, size, map_options, options, steps, units, normalization):
        def coupling(i):
            return [layers.AffineCoupling(units, flip=bool(i % 2), **map_options)]

        return _steps(steps, normalization, options, coupling)


@keras.saving.register_keras_serializable(package="keras_gen")
class MAF(_Recipe):
    """Masked autoregressive flow: z_i = x_i exp(s_i(x_<i)) + t_i(x_<i), the order reversed from step to step.

    Densities take one pass, samples D steps of one compiled loop.

    Args:
        event_shape: `(D,)`.
        steps: default 5, the paper's MAF(5).
        units: hidden layers of each network, default (64, 64).
        normalization: "act" (default), "batch", the paper's, or None.
        **kwargs: as of `NICE`; the base is N(0, I) by default, a `Mixture` makes it the paper's MAF MoG.

    Raises:
        ValueError: events that are no vectors; see `NormalizingFlow`.

    Example:
        >>> from keras_gen.models import MAF
        >>> MAF((3,), steps=2, units=(8,)).sample(4, seed=0).shape
        (4, 3)

    Reference:
        Papamakarios, Pavlakou, Murray 2017, arXiv:1705.07057, equations 3 to 5 (its s has the other sign).
    """

    def __init__(self, event_shape, steps=5, units=(64, 64), normalization="act", **kwargs):
        super().__init__(event_shape, {"steps": steps, "units": units, "normalization": normalization}, **kwargs)

    def bijections(self, size, map_options, options, steps, units, normalization):
        def autoregressive(i):
            return [_autoregressive(units, "affine", i, map_options)]

        return _steps(steps, normalization, options, autoregressive)


@keras.saving.register_keras_serializable(package="keras_gen")
class IAF(_Recipe):
    """Inverse autoregressive flow: x_i = z_i exp(s_i(z_<i)) + t_i(z_<i), read from z, so that samples take one pass.

    Densities of given data take D steps: it serves where its own samples are scored, as a posterior does, which is told
    their density by `generate_and_log_density`.

    Args:
        event_shape: `(D,)`.
        steps, units, normalization: as of `MAF`.
        **kwargs: as of `NICE`; the base is N(0, I) by default.

    Raises:
        ValueError: events that are no vectors; see `NormalizingFlow`.

    Example:
        >>> from keras_gen.models import IAF
        >>> IAF((3,), steps=2, units=(8,)).sample(4, seed=0).shape
        (4, 3)

    Reference:
        Kingma et al. 2016, arXiv:1606.04934, equations 9 and 10.
    """

    def __init__(self, event_shape, steps=5, units=(64, 64), normalization="act", **kwargs):
        super().__init__(event_shape, {"steps": steps, "units": units, "normalization": normalization}, **kwargs)

    def bijections(self, size, map_options, options, steps, units, normalization):
        def inverse(i):
            return [layers.Inverse(_autoregressive(units, "affine", i, map_options), **options)]

        return _steps(steps, normalization, options, inverse)


@keras.saving.register_keras_serializable(package="keras_gen")
class NeuralSpline(_Recipe):
    """Neural spline flow: linear maps P L U and rational-quadratic splines, by couplings or autoregressive.

    Args:
        event_shape: `(D,)`; D >= 2 for couplings.
        steps: default 5.
        units: hidden layers of each network, default (64, 64).
        kind: "coupling" (default) or "autoregressive".
        bins: of the splines, default 8; bound: they act on [-bound, bound], default 3. Both as in the paper's tables.
        normalization: "act" (default), "batch", or None.
        **kwargs: as of `NICE`; the base is N(0, I) by default.

    Raises:
        ValueError: events that are no vectors, an unknown kind; see `NormalizingFlow`.

    Example:
        >>> from keras_gen.models import NeuralSpline
        >>> NeuralSpline((3,), steps=2, units=(8,), bins=4).sample(4, seed=0).shape
        (4, 3)

    Reference:
        Durkan, Bekasov, Murray, Papamakarios 2019, arXiv:1906.04032, sections 3 and 5.1.
    """

    def __init__(
        self, event_shape, steps=5, units=(64, 64), kind="coupling", bins=8, bound=3.0, normalization="act", **kwargs
    ):
        if kind not in ("coupling", "autoregressive"):
            raise ValueError(f'Expected `kind` as "coupling" or "autoregressive". Received: kind={kind!r}.')
        own = {"steps": steps, "units": units, "kind": kind, "bins": bins, "bound": bound}
        super().__init__(event_shape, {**own, "normalization": normalization}, **kwargs)

    def bijections(self, size, map_options, options, steps, units, kind, bins, bound, normalization):
        transform = layers.SplineTransform(bins, bound)

        def spline(i):
            linear = layers.Invertible1x1Conv("plu", seed=i, **options)
            if kind == "autoregressive":
                return [linear, _autoregressive(units, transform, 0, map_options)]
            return [linear, layers.Coupling(units, transform, "alternating", flip=bool(i % 2), **map_options)]

        return _steps(steps, normalization, options, spline)


@keras.saving.register_keras_serializable(package="keras_gen")
class FFJORD(_Recipe):
    """Continuous flow: z is where an ordinary differential equation carries x, dh/dt = f(h, t).

    Args:
        event_shape: `(D,)`.
        units: hidden layers of f, default (64, 64, 64).
        normalization: "act" (default), "batch", or None, before the flow.
        flow: dict of further arguments of `layers.ContinuousFlow`, such as its solver, steps and trace.
        **kwargs: as of `NICE`; the base is N(0, I) by default.

    Raises:
        ValueError: events that are no vectors; a `flow` that is no dict; see `NormalizingFlow`.

    Example:
        >>> from keras_gen.models import FFJORD
        >>> FFJORD((2,), units=(8,)).sample(4, seed=0).shape
        (4, 2)

    Reference:
        Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud 2019, arXiv:1810.01367, equations 3 to 7.
    """

    def __init__(self, event_shape, units=(64, 64, 64), normalization="act", flow=None, **kwargs):
        if flow is not None and not isinstance(flow, dict):
            raise ValueError(
                "Expected `flow` as a dict of arguments of `layers.ContinuousFlow`, such as {'solver': 'rk4'}. "
                f"Received: flow={flow!r}."
            )
        super().__init__(event_shape, {"units": units, "normalization": normalization, "flow": flow}, **kwargs)

    def bijections(self, size, map_options, options, units, normalization, flow):
        def continuous(i):
            return [layers.ContinuousFlow(units, **map_options, **(flow or {}))]

        return _steps(1, normalization, options, continuous)


def _vector(event_shape, name):
    shape = as_shape(event_shape, "event_shape")
    if len(shape) != 1:
        raise ValueError(f"{name} expects vectors, event_shape=(D,). Received: event_shape={event_shape}. Flatten x.")
    return shape[0]


def _steps(steps, normalization, options, make):
    """`steps` times a normalisation and what `make(i)` gives."""
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"Expected `normalization` as one of {list(NORMALIZATIONS)}. Received: {normalization!r}.")
    kind = NORMALIZATIONS[normalization]
    steps = range(inputs.check_count(steps, "steps"))
    return [part for i in steps for part in ([kind(**options)] if kind else []) + make(i)]


def _autoregressive(units, transform, i, options):
    return layers.MaskedAutoregressive(units, transform, order="reverse" if i % 2 else "natural", **options)
