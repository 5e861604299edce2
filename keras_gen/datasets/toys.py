"""Two-dimensional densities on which flows and samplers are shown, in the scaling of FFJORD.

u, v are uniform on [0, 1), e is a standard normal vector of the plane, s a fair sign, and
c(a) = (cos a, sin a). Each line is one draw:

    8gaussians    x = (4 c(2 pi k / 8) + e / 2) / sqrt(2),                    k uniform on 0..7
    moons         x = 2 (m + e / 10) + (-1, -0.2),   m = c(pi u) or (1, 1/2) - c(pi u), evenly
    circles       x = 3 r c(2 pi u) + 0.24 e,                                 r uniform on 1/2, 1
    rings         x = 3 r c(2 pi u) + 0.08 e,                                 r uniform on 1/4, 1/2, 3/4, 1
    2spirals      x = s (-t cos t + u / 2, t sin t + v / 2) / 3 + e / 10,     t = 3 pi sqrt(w), w uniform
    checkerboard  x uniform on the eight squares of side 2 in [-4, 4]^2 with
                  floor(x_1 / 2) + floor(x_2 / 2) even
    pinwheel      x = 2 R(-2 pi k / 5 - exp(a) / 4) (a, b),  a = 1 + 0.3 e_1,  b = 0.1 e_2,
                  k uniform on 0..4, R(phi) the rotation by phi

All points are independent: the sources of moons and circles put the angles on an even grid, here pi u and
2 pi u are drawn, which leaves the density as it is; and sqrt(2) stands there as 1.414. No model can reach a
mean negative log-likelihood below the entropy of the density, H = -E[log p(x)]. The checkerboard has the
area 32, so H = ln 32. Eight Gaussians of variance 1/8 that hardly overlap give nearly ln 8 + ln(2 pi e / 8)
= 2.838, less 0.006 for their overlap. The others are integrals of -p log p with p(x) = E[N(x; curve,
noise)], done on a grid fine enough for the figures shown.
"""

import math

import numpy as np

__all__ = ["ENTROPIES", "NAMES", "load"]

NAMES = ("8gaussians", "moons", "circles", "rings", "2spirals", "checkerboard", "pinwheel")
# In nats, right to the last figure. That of the pinwheel is not known.
ENTROPIES = {
    "8gaussians": 2.8316,
    "moons": 2.3939,
    "circles": 3.2681,
    "rings": 2.6232,
    "2spirals": 2.6454,
    "checkerboard": math.log(32.0),
}


def load(name, n, seed=None):
    """Draw `n` independent points of a two-dimensional density.

    Args:
        name: One of `NAMES`: "8gaussians", "moons", "circles", "rings", "2spirals", "checkerboard",
            "pinwheel".
        n: Number of points, a positive int.
        seed: A non-negative int; the same seed gives the same points. Default `None`: fresh entropy.

    Returns:
        Points `(n, 2)`, `float32`, within about [-4, 4]. `ENTROPIES[name]` is the entropy in nats.

    Raises:
        ValueError: If `name` is unknown, or `n` is no positive int.

    Example:
        >>> from keras_gen.datasets import toys
        >>> toys.load("checkerboard", 1000, seed=0).shape
        (1000, 2)
        >>> round(toys.ENTROPIES["checkerboard"], 3)
        3.466

    Reference:
        Grathwohl et al. (2019), FFJORD, arXiv 1810.01367, and its published code; rings: Chen et al. (2019),
        Residual Flows, arXiv 1906.02735.
    """
    if name not in NAMES:
        raise ValueError(f"Expected `name` to be one of {NAMES}. Received: name={name!r}")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"Expected `n` to be a positive int. Received: n={n!r}")
    rng = np.random.default_rng(seed)
    return _DRAW[name](rng, int(n)).astype("float32")


def _direction(angle):
    """c(a), one row an angle."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _noise(rng, n):
    return rng.standard_normal((n, 2))


def _eight_gaussians(rng, n):
    k = rng.integers(8, size=n)
    return (4.0 * _direction(2 * np.pi * k / 8) + _noise(rng, n) / 2) / math.sqrt(2.0)


def _moons(rng, n):
    arc = _direction(np.pi * rng.random(n))
    lower = rng.integers(2, size=(n, 1))
    return 2 * (np.where(lower, (1.0, 0.5) - arc, arc) + _noise(rng, n) / 10) + (-1.0, -0.2)


def _rings(radii, noise):
    def draw(rng, n):
        r = rng.choice(radii, size=(n, 1))
        return 3 * r * _direction(2 * np.pi * rng.random(n)) + noise * _noise(rng, n)

    return draw


def _two_spirals(rng, n):
    t = 3 * np.pi * np.sqrt(rng.random((n, 1)))
    arm = np.concatenate([-np.cos(t), np.sin(t)], axis=1) * t + rng.random((n, 2)) / 2
    sign = rng.choice((-1.0, 1.0), size=(n, 1))
    return sign * arm / 3 + _noise(rng, n) / 10


def _checkerboard(rng, n):
    column = rng.integers(-2, 2, size=n)
    row = 2 * rng.integers(-1, 1, size=n) + column % 2
    return 2 * (np.stack([column, row], axis=1) + rng.random((n, 2)))


def _pinwheel(rng, n):
    k = rng.integers(5, size=n)
    a, b = ((1.0, 0.0) + _noise(rng, n) * (0.3, 0.1)).T
    phi = -2 * np.pi * k / 5 - np.exp(a) / 4
    cos, sin = np.cos(phi), np.sin(phi)
    return 2 * np.stack([cos * a - sin * b, sin * a + cos * b], axis=1)


_DRAW = {
    "8gaussians": _eight_gaussians,
    "moons": _moons,
    "circles": _rings((0.5, 1.0), 0.24),
    "rings": _rings((0.25, 0.5, 0.75, 1.0), 0.08),
    "2spirals": _two_spirals,
    "checkerboard": _checkerboard,
    "pinwheel": _pinwheel,
}
