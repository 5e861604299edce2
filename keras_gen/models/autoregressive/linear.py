"""Linear autoregression, fitted by least squares in one epoch.

Of sequences of C channels and an order p,

    x_t = c + sum_(k = 1 ... p) A_k x_(t - k) + e_t,      e_t ~ N(0, S),      x_s = 0 for s < 1:                (1)

an `AutoregressiveModel` whose network is one causal convolution of p taps without activation and whose head is a normal
of one covariance. With a row phi_t = (x_(t-p), ..., x_(t-1), 1) for each element and n rows in all, the likelihood is
greatest where

    W = argmin sum_t |x_t - phi_t W|^2,            S = 1/n sum_t (x_t - phi_t W)(x_t - phi_t W)^T.              (2)

The rows are not kept. Of [Phi X], all rows below one another, the triangular factor R of a QR decomposition is: with
new rows below it, it is decomposed again. Then

    R = [ R_1  R_2 ]         W = R_1^-1 R_2,         S = R_3^T R_3 / n,                                         (3)
        [  0   R_3 ]

which loses half the digits that the normal equations Phi^T Phi W = Phi^T X would: sound of neighbouring samples is
nearly collinear. R_1^-1 is taken in float64, at the end of the epoch. R_3 tells the nats of all rows so far at their
best W and S,

    N = n/2 (C log 2 pi + log det S) + 1/2 |S^(-1/2) R_3^T|^2,                                                  (4)

whose last term is n C / 2 but where S was kept from being singular. A batch logs by how much it raises N, so that the
mean over an epoch is the loss of what was fitted in it.

Reference:
    H. Luetkepohl, "New introduction to multiple time series analysis" (2005), section 3.2, for (2); G. Golub, C. Van
    Loan, "Matrix computations" (2013), section 6.5.1, for (3).
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import layers
from keras_gen.distributions import MultivariateNormal, Normal
from keras_gen.models import inputs
from keras_gen.models.autoregressive.base import AutoregressiveModel
from keras_gen.models.latent import refuse_condition

OF_OTHERS = {"network", "head", "quantizer", "vocabulary_size", "stop_token", "embedding_size", "upsampling"}
SMALLEST = 1e-6  # of the scale, relative to x's: sequences that are predicted exactly leave the density finite


@keras.saving.register_keras_serializable(package="keras_gen")
class LinearAR(AutoregressiveModel):
    """x_t = c + sum_k A_k x_(t-k) + e_t, e_t ~ N(0, S): `fit` with one epoch computes it exactly, from data that may
    stream.

    Args:
        event_shape: `(T, channels)`.
        order: p, elements of the past that x_t depends on; default 1.
        name, dtype: as in `keras.Model`.

    Returns of the contract: `model(x)` and `predict` give the mean of x_t given what is before it; `log_prob` is exact,
    with zeros before the first element; `evaluate` as `AutoregressiveModel`. There is no optimizer: `compile()` may be
    left out. What an epoch of `fit` logs is of the parameters that it ends with.

    Raises:
        ValueError: an order that is no positive int, a condition; at the end of an epoch, fewer elements than there are
            coefficients.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import LinearAR
        >>> noise = np.random.default_rng(0).normal(size=(200, 50, 1))
        >>> x = noise.copy()
        >>> for t in range(1, 50):
        ...     x[:, t] += 0.8 * x[:, t - 1]
        >>> model = LinearAR((50, 1), order=2)
        >>> history = model.fit(x, verbose=0)
        >>> [round(float(a), 1) for a in model.coefficients[:, 0, 0]]
        [0.8, 0.0]

    Reference:
        Luetkepohl 2005, section 3.2.
    """

    def __init__(self, event_shape, order=1, **kwargs):
        refuse_condition(type(self).__name__, kwargs)
        if unknown := sorted(OF_OTHERS & set(kwargs)):
            raise TypeError(f"{type(self).__name__} has no arguments {unknown}.")
        self.order = inputs.check_count(order, "order")
        channels = inputs.check_sizes(event_shape, "event_shape")[-1]
        wide = keras.dtype_policies.get(kwargs.get("dtype") or keras.config.dtype_policy()).variable_dtype == "float64"
        options = {"kernel_initializer": "zeros", "dtype": "float64" if wide else "float32", "name": "network"}
        network = layers.CausalConv1D(channels, order, **options)
        super().__init__(event_shape, network, **kwargs)
        self.network.trainable = False
        size = order * channels + 1 + channels
        self.triangle = self._state((size, size), "triangle")
        self.count, self.elements_seen = self._state((), "count"), self._state((), "elements_seen")

    def _state(self, shape, name):
        return self.add_weight(
            shape=shape, initializer="zeros", dtype=self.real_dtype, trainable=False, autocast=False, name=name
        )

    def _make_embedding(self):
        return _Past(dtype=self.real_dtype)

    def _head(self, head):
        return _NormalOfOneCovariance(self.element_shape, dtype=self.real_dtype, name="head")

    @property
    def coefficients(self):
        """A_1, ..., A_p as numpy `(order, channels, channels)`: x_t has the rows of A_k x_(t-k)."""
        self.synchronize()
        return ops.convert_to_numpy(self.network.kernel.value)[::-1].transpose(0, 2, 1)

    @property
    def intercept(self):
        """c, numpy `(channels,)`."""
        self.synchronize()
        return ops.convert_to_numpy(self.network.bias.value)

    @property
    def covariance(self):
        """S, numpy `(channels, channels)`."""
        self.synchronize()
        scale = ops.convert_to_numpy(self.head.scale_tril.value).astype("float64")
        return scale @ scale.T

    @property
    def players(self):
        return {}

    def update(self, batch):
        """Put the rows of a batch below R, and decompose; logs what it adds to (4).

        Sample weights count as repetitions.
        """
        rows = ops.reshape(self._rows(batch.x), (-1, self.triangle.shape[0]))
        weight = ops.ones_like(batch.x[:, 0, 0]) if batch.sample_weight is None else batch.sample_weight
        weight = ops.repeat(ops.cast(weight, self.real_dtype), self.length)
        before, count = self._nats(), ops.sum(weight)
        stacked = ops.concatenate([ops.convert_to_tensor(self.triangle), rows * ops.sqrt(weight)[:, None]], axis=0)
        self.triangle.assign(ops.qr(stacked)[1])
        self.count.assign(self.count + count)
        self.elements_seen.assign(self.elements_seen + ops.sum(ops.cast(weight > 0, self.real_dtype)))
        added = self._nats() - before
        self.diagnostics[0].update_nats(added, count)
        return {"loss": added / ops.cast(ops.shape(batch.x)[0], added.dtype)}

    def _nats(self):
        """Equation (4) of the rows so far."""
        channels, count = self.element_shape[0], ops.convert_to_tensor(self.count)
        scale, root = self._scale(), ops.sqrt(ops.maximum(count, 1e-30))
        left = ops.transpose(ops.convert_to_tensor(self.triangle)[-channels:, -channels:]) / root
        white = ops.sum(ops.square(ops.solve_triangular(scale, left, lower=True)))
        log_det = 2.0 * ops.sum(ops.log(ops.diagonal(scale)))
        return 0.5 * count * (channels * math.log(2.0 * math.pi) + log_det + white)

    def _scale(self):
        """The lower factor of S, its diagonal above 0: relative to x where x is predicted exactly."""
        channels = self.element_shape[0]
        of_x = ops.convert_to_tensor(self.triangle)[:, -channels:] / ops.sqrt(ops.maximum(self.count, 1e-30))
        scale = ops.transpose(of_x[-channels:])
        scale = scale * ops.where(ops.diagonal(scale) < 0, -1.0, 1.0)
        size = ops.sqrt(ops.sum(ops.square(of_x), axis=0))
        least = SMALLEST * ops.where(size > 0, size, 1.0)
        diagonal = ops.diagonal(scale)
        return scale + ops.diag(ops.maximum(diagonal, least) - diagonal)

    def _rows(self, x):
        """phi_t and x_t side by side, `(batch, T, p C + 1 + C)`."""
        padded = ops.pad(x, [[0, 0], [self.order, 0], [0, 0]])
        past = [padded[:, k : k + self.length] for k in range(self.order)]
        return ops.concatenate([*past, ops.ones_like(x[..., :1]), x], axis=-1)

    def begin_epoch(self):
        """No rows yet: an epoch that was interrupted leaves none to the next."""
        for variable in (self.triangle, self.count, self.elements_seen):
            variable.assign(ops.zeros(variable.shape, variable.dtype))

    def end_epoch(self):
        """Equation (3)."""
        seen = float(ops.convert_to_numpy(self.elements_seen.value))
        channels = self.element_shape[0]
        size = self.order * channels + 1
        if seen < size + channels:
            raise ValueError(
                f"Expected at least {size + channels} elements of positive weight in an epoch, for {size} coefficients "
                f"a channel. Received: {seen:g}. Lower the order, or give more data."
            )
        r = ops.convert_to_numpy(self.triangle.value).astype("float64")
        w = np.linalg.lstsq(r[:size, :size], r[:size, size:], rcond=None)[0]
        self.network.kernel.assign(w[:-1].reshape(self.network.kernel.shape).astype(self.real_dtype))
        self.network.bias.assign(w[-1].astype(self.real_dtype))
        self.head.scale_tril.assign(self._scale())
        self.begin_epoch()

    def get_config(self):
        config = super().get_config()
        return {**{k: v for k, v in config.items() if k not in OF_OTHERS}, "order": self.order}


class _Past(keras.layers.Layer):
    """Elements as they are, moved by one, with zeros before the first: a part of the model and rebuilt by it."""

    def build(self, input_shape=None):
        """There are no weights."""

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def moved(self, x):
        return ops.pad(x[:, :-1], [[0, 0], [1, 0], [0, 0]])

    def after(self, x, t):
        return ops.where(ops.equal(t, 0), ops.zeros_like(x), x)


class _NormalOfOneCovariance(layers.DistributionHead):
    """N(h, L L^T) with one L for all h: a part of the model and rebuilt by it."""

    def build(self, input_shape):
        self.scale_tril = self.add_weight(
            shape=2 * self.event_shape, initializer="identity", dtype=self.parameter_dtype, trainable=False,
            autocast=False, name="scale_tril",
        )  # fmt: skip

    def raw_shape(self):
        return self.event_shape

    def call(self, h):
        return ops.cast(h, self.parameter_dtype)

    def read(self, raw):
        scale = ops.convert_to_tensor(self.scale_tril)
        if self.event_shape == (1,):
            return Normal(raw, scale[0], event_shape=self.event_shape)
        return MultivariateNormal(raw, scale, event_shape=self.event_shape)
