"""Latents of given images: descent on what is seen of them.

For x the latent is z* = argmin_z d(G(z), x), d a distance an example. The descent begins at the nearest of some draws
z ~ p(z), and takes T steps of Adam, each example on its own, with rates that fall from r to 0,

    g = dd/dz,    m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g^2,    z <- z - r_t m' / (sqrt v' + e),
    r_t = r (1 + cos(pi t / T)) / 2,    m' = m / (1 - b1^t),    v' = v / (1 - b2^t),

and gives the nearest z on its way. What G cannot make is given what is nearest to it in the sense of d; the latent of
an unusual image can lie where p(z) is small.

Reference:
    J.-Y. Zhu, P. Krahenbuhl, E. Shechtman, A. Efros, "Generative visual manipulation on the natural image manifold",
    arXiv:1609.03552 (2016), eq. 2; Adam: Kingma and Ba, arXiv:1412.6980 (2014), algorithm 1.
"""

import math

from keras import ops

from keras_gen import backend

_B1, _B2, _TINY = 0.9, 0.999, 1e-8


def squared_distance(y, x):
    """The mean of (y - x)^2 over each example, `(batch,)`."""
    return ops.mean(ops.square(y - x), axis=tuple(range(1, len(x.shape))))


def nearest_draw(draw, distance_of, count):
    """The draw z_k = `draw(k)`, k = 0 ... count - 1, of least `distance_of(z)`, for each example."""

    def keep_nearer(k, state):
        z = draw(k)
        return _nearer(z, distance_of(z), *state)

    z = draw(0)
    return ops.fori_loop(1, count, keep_nearer, (z, distance_of(z)))


def descend(distance_of, z, nearest, steps, rate):
    """T = `steps` steps from `z`, of distance `nearest`; the nearest latent on the way, `(batch, latent_dim)`."""

    def step(i, state):
        z, m, v, best, nearest = state
        g = backend.grad(distance_of, z)
        m, v = _B1 * m + (1.0 - _B1) * g, _B2 * v + (1.0 - _B2) * ops.square(g)
        t = ops.cast(i, z.dtype)
        r = 0.5 * rate * (1.0 + ops.cos(math.pi * t / steps))
        first, second = m / (1.0 - _B1 ** (t + 1.0)), v / (1.0 - _B2 ** (t + 1.0))
        z = z - r * first / (ops.sqrt(second) + _TINY)
        return z, m, v, *_nearer(z, distance_of(z), best, nearest)

    zeros = ops.zeros_like(z)
    return ops.fori_loop(0, steps, step, (z, zeros, zeros, z, nearest))[3]


def _nearer(z, distance, best, nearest):
    closer = distance < nearest
    return ops.where(closer[:, None], z, best), ops.where(closer, distance, nearest)
