"""The mu-law: a companding of sound by which quiet samples are told apart as finely, for their size, as loud ones.

    f(x) = sign(x) log(1 + mu |x|) / log(1 + mu),        f^-1(y) = sign(y) ((1 + mu)^|y| - 1) / mu.          (1)

f is odd, increasing, and maps [-1, 1] onto itself; its slope falls from mu / log(1 + mu) at 0 to about 1 / log(1 + mu)
at 1. The codes of G.711 are not those of a quantiser of (1): it approximates f by straight pieces.

Reference:
    ITU-T Recommendation G.711 (1988), section 3; A. van den Oord et al., "WaveNet: a generative model for raw audio",
    arXiv:1609.03499 (2016), section 2.2.
"""

import numbers

import keras
import numpy as np
from keras import ops


def mu_law_compress(x, mu=255):
    """f(x) = sign(x) log(1 + mu |x|) / log(1 + mu), odd and increasing, from [-1, 1] onto itself.

    Its slope at 0 is mu / log(1 + mu), 46 for mu = 255, and so is its derivative on every backend.

    Args:
        x: tensor of any shape, within [-1, 1]; beyond, f goes on by the same formula. Integers are cast to Keras's
            float type.
        mu: a number > 0, default 255, that of G.711.

    Returns:
        Tensor of that shape and float type.

    Raises:
        ValueError: `mu` is no positive number.

    Example:
        >>> from keras_gen.layers import mu_law_compress
        >>> [round(float(y), 4) for y in mu_law_compress([-1.0, 0.0, 0.01, 0.5])]
        [-1.0, 0.0, 0.2285, 0.8757]

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, section 2.2.
    """
    mu = _check_mu(mu)
    sign, size = _sign_and_size(_floats(x))
    return sign * ops.log1p(mu * size) / float(np.log1p(mu))


def mu_law_expand(y, mu=255):
    """f^-1(y) = sign(y) ((1 + mu)^|y| - 1) / mu, the inverse of `mu_law_compress`.

    Args:
        y: tensor of any shape, within [-1, 1].
        mu: a number > 0, default 255.

    Returns:
        Tensor of that shape and float type.

    Raises:
        ValueError: `mu` is no positive number.

    Example:
        >>> from keras_gen.layers import mu_law_expand
        >>> [round(float(x), 4) for x in mu_law_expand([-1.0, 0.0, 0.5])]
        [-1.0, 0.0, 0.0588]

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, section 2.2.
    """
    mu = _check_mu(mu)
    sign, size = _sign_and_size(_floats(y))
    return sign * ops.expm1(size * float(np.log1p(mu))) / mu


def _floats(x):
    x = ops.convert_to_tensor(x)
    dtype = keras.backend.standardize_dtype(x.dtype)
    return x if dtype.startswith(("float", "bfloat")) else ops.cast(x, keras.config.floatx())


def _sign_and_size(x):
    """1 or -1, and |x| with the derivative 1 at 0, where that of an absolute value is 0."""
    negative = x < 0
    ones = ops.ones_like(x)
    return ops.where(negative, -ones, ones), ops.where(negative, -x, x)


def _check_mu(mu):
    if isinstance(mu, bool) or not isinstance(mu, numbers.Real) or not 0 < mu < float("inf"):
        raise ValueError(f"Expected `mu` as a finite number > 0, such as 255. Received: mu={mu!r}.")
    return float(mu)
