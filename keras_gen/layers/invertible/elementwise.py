"""Maps of each number by itself, without parameters or with one scale and shift an element.

With f applied to each element, log |det dz/dx| = sum_i log |f'(x_i)|:

    z = x exp(s) + t          sum s                             elements have their own s, t, or a network of the
                                                                condition gives them
    exp       z = e^x         x                                 inverse log z
    softplus  z = log(1+e^x)  -softplus(-x)                     inverse z + log(1 - e^-z)
    sigmoid   z = 1/(1+e^-x)  -softplus(-x) - softplus(x)       inverse log z - log(1 - z)
    tanh      z = tanh x      2 (log 2 - x - softplus(-2x))     inverse artanh z
    leaky     z = x or a x    0 or log a, below 0               inverse x or x / a

Each is written by what does not overflow: softplus for log(1 + e^x), and no quotient of exponentials. Those of
exp to tanh have bounded latents, out of which `validate_latent` refuses data; an inverse of what rounding has pushed to
the border is taken a rounding error inside of it, so that values and gradients are finite.

**Logit** is the inverse of a sigmoid, with a margin: with a in (0, 1/2), u = a + (1 - 2 a) x and x in [0, 1],

    z = log u - log(1 - u),        dz/dx = (1 - 2 a) / (u (1 - u)).

Its log-determinant belongs to the density of the data: bits per dimension without it are not of x.

Reference:
    Dinh et al. 2017, arXiv:1605.08803, section 4.1, for the logit with a margin of 0.05 (1e-6 on MNIST in
    Papamakarios et al. 2017, arXiv:1705.07057).
"""

import math
import numbers

import keras
import numpy as np
from keras import ops

from keras_gen.layers.invertible.base import Bijection, sum_event
from keras_gen.layers.invertible.numbers import positive


class _Elementwise(Bijection):
    """z = f(x): a subclass writes `_map(x)` and `_unmap(z)`, and `_log_slope(x)`, log f'(x)."""

    bounds = None  # between which all z lie

    def validate_latent(self, z):
        if self.bounds is None:
            return
        low, high = self.bounds
        outside = ~((z > low) & (z < high))
        if outside.any():
            raise ValueError(
                f"The inverse of {type(self).__name__} expects data in ({low:g}, {high:g}). Received: {outside.sum()} "
                f"values outside, the first one {z[outside][0]}. Move or scale the data."
            )

    def _forward(self, x, condition, training):
        return self._map(x), sum_event(self._log_slope(x))

    def _inverse(self, z, condition, training):
        x = self._unmap(z)
        return x, -sum_event(self._log_slope(x))

    def _limit(self, z, low, high):
        """z kept a rounding error within (low, high)."""
        e = float(np.finfo(self.real_dtype).eps)
        low, high = (None if b is None else b + side * e for b, side in ((low, 1), (high, -1)))
        z = z if low is None else ops.maximum(z, low)
        return z if high is None else ops.minimum(z, high)

    def get_config(self):
        """Written out, though it adds nothing: Keras's own fails where a dtype policy was given as an object."""
        return super().get_config()


@keras.saving.register_keras_serializable(package="keras_gen")
class Exp(_Elementwise):
    """z = exp(x), from the real numbers to those above 0; log |det| = sum x.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Exp
        >>> z, log_det = Exp().forward_and_log_det(ops.zeros((1, 3)))
        >>> float(z[0, 0]), float(log_det[0])
        (1.0, 0.0)
    """

    bounds = (0.0, math.inf)

    def _map(self, x):
        return ops.exp(x)

    def _unmap(self, z):
        return ops.log(ops.maximum(z, float(np.finfo(self.real_dtype).tiny)))

    def _log_slope(self, x):
        return x


@keras.saving.register_keras_serializable(package="keras_gen")
class Softplus(_Elementwise):
    """z = log(1 + exp(x)), from the real numbers to those above 0; log |det| = -sum softplus(-x).

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Softplus
        >>> round(float(Softplus()(ops.zeros((1, 1)))[0, 0]), 4)
        0.6931
    """

    bounds = (0.0, math.inf)

    def _map(self, x):
        return ops.softplus(x)

    def _unmap(self, z):
        z = ops.maximum(z, float(np.finfo(self.real_dtype).tiny))
        return z + ops.log(-ops.expm1(-z))

    def _log_slope(self, x):
        return -ops.softplus(-x)


@keras.saving.register_keras_serializable(package="keras_gen")
class Sigmoid(_Elementwise):
    """z = 1 / (1 + exp(-x)), from the real numbers to (0, 1); log |det| = -sum [softplus(-x) + softplus(x)].

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Sigmoid
        >>> z, log_det = Sigmoid().forward_and_log_det(ops.zeros((1, 1)))
        >>> float(z[0, 0]), round(float(log_det[0]), 4)
        (0.5, -1.3863)
    """

    bounds = (0.0, 1.0)

    def _map(self, x):
        return ops.sigmoid(x)

    def _unmap(self, z):
        tiny = float(np.finfo(self.real_dtype).tiny)
        z = self._limit(ops.maximum(z, tiny), None, 1.0)
        return ops.log(z) - ops.log1p(-z)

    def _log_slope(self, x):
        return -ops.softplus(-x) - ops.softplus(x)


@keras.saving.register_keras_serializable(package="keras_gen")
class Tanh(_Elementwise):
    """z = tanh(x), from the real numbers to (-1, 1); log |det| = sum 2 [log 2 - x - softplus(-2 x)].

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Tanh
        >>> z, log_det = Tanh().forward_and_log_det(ops.zeros((1, 1)))
        >>> float(z[0, 0]), float(log_det[0])
        (0.0, 0.0)
    """

    bounds = (-1.0, 1.0)

    def _map(self, x):
        return ops.tanh(x)

    def _unmap(self, z):
        z = self._limit(z, -1.0, 1.0)
        return 0.5 * (ops.log1p(z) - ops.log1p(-z))

    def _log_slope(self, x):
        return 2.0 * (math.log(2.0) - x - ops.softplus(-2.0 * x))


@keras.saving.register_keras_serializable(package="keras_gen")
class LeakyReLU(_Elementwise):
    """z = x where x >= 0, else a x; log |det| = log a times the number of negative elements.

    Args:
        negative_slope: a, a number above 0, default 0.3, Keras's own.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: a slope that is not above 0.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import LeakyReLU
        >>> float(LeakyReLU(0.5)(-ops.ones((1, 1)))[0, 0])
        -0.5
    """

    def __init__(self, negative_slope=0.3, **kwargs):
        super().__init__(**kwargs)
        self.negative_slope = positive(negative_slope, "negative_slope")

    def _map(self, x):
        return ops.where(x >= 0, x, self.negative_slope * x)

    def _unmap(self, z):
        return ops.where(z >= 0, z, z / self.negative_slope)

    def _log_slope(self, x):
        return ops.where(x >= 0, 0.0 * x, math.log(self.negative_slope) + 0.0 * x)

    def get_config(self):
        return {**super().get_config(), "negative_slope": self.negative_slope}


@keras.saving.register_keras_serializable(package="keras_gen")
class Logit(_Elementwise):
    """z = logit(a + (1 - 2 a) x), from data x in [0, 1] to the real numbers.

    Data out of [0, 1] are refused by `validate`, and so by `fit` of a flow that begins with this; what a computation
    gives is taken to the border, up to a rounding error.

    Args:
        margin: a, a number in [0, 1/2): how far from 0 and 1 the data are kept. Default 0.05, of the paper; 0 for data
            that are never 0 or 1.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: a margin out of its range.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Logit
        >>> z, log_det = Logit(0.05).forward_and_log_det(0.5 * ops.ones((1, 1)))
        >>> float(z[0, 0]), round(float(log_det[0]), 4)  # log(0.9 / 0.25)
        (0.0, 1.2809)

    Reference:
        Dinh et al. 2017, arXiv:1605.08803, section 4.1.
    """

    def __init__(self, margin=0.05, **kwargs):
        super().__init__(**kwargs)
        if isinstance(margin, bool) or not isinstance(margin, numbers.Real) or not 0 <= margin < 0.5:
            raise ValueError(f"Expected `margin` as a number in [0, 0.5). Received: margin={margin!r}.")
        self.margin = float(margin)

    def _shrunk(self, x):
        tiny = float(np.finfo(self.real_dtype).tiny)
        return self._limit(ops.maximum(self.margin + (1.0 - 2.0 * self.margin) * x, tiny), None, 1.0)

    def _map(self, x):
        u = self._shrunk(x)
        return ops.log(u) - ops.log1p(-u)

    def _unmap(self, z):
        return (ops.sigmoid(z) - self.margin) / (1.0 - 2.0 * self.margin)

    def _log_slope(self, x):
        u = self._shrunk(x)
        return math.log(1.0 - 2.0 * self.margin) - ops.log(u) - ops.log1p(-u)

    def _inverse(self, z, condition, training):
        log_slope = ops.softplus(-z) + ops.softplus(z) + math.log(1.0 - 2.0 * self.margin)
        return self._unmap(z), -sum_event(log_slope)

    def validate(self, x):
        low, high = (0.0, 1.0) if self.margin else (np.finfo("float32").tiny, 1.0 - 2.0**-24)
        outside = ~((x >= low) & (x <= high))
        if outside.any():
            where = "[0, 1]" if self.margin else "(0, 1)"
            raise ValueError(
                f"Logit expects data in {where}. Received: {outside.sum()} values outside, the first one "
                f"{x[outside][0]}. Scale the data; integers 0..255 become (x + u) / 256 with u uniform in [0, 1)."
            )

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}
