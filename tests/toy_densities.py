"""The densities of `keras_gen.datasets.toys`, evaluated numerically and independently of its samplers.

Each toy is a latent curve or set of centres plus noise, so p(x) = E[N(x; centre, noise)] is a sum over a fine
grid of the latent. Entropies are sums of -p log p over a grid of the plane.
"""

import numpy as np
from scipy.special import ndtr


def gaussian_mixture(centres, weights, scale):
    def density(x):
        squared = ((x[:, None] - centres) ** 2).sum(-1) / scale**2
        return np.exp(-squared / 2) @ weights / (2 * np.pi * scale**2)

    return density


def circle(radius, n=400):
    angle = 2 * np.pi * np.arange(n) / n
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def uniform_on(centres, scale):
    return gaussian_mixture(centres, np.full(len(centres), 1 / len(centres)), scale)


def moons():
    angle = np.pi * (np.arange(300) + 0.5) / 300
    upper = np.stack([np.cos(angle), np.sin(angle)], 1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    return uniform_on(2 * np.concatenate([upper, lower]) - (1.0, 0.2), 0.2)


def two_spirals(n=800):
    """Along the arm the noise is a box of side 1/6 convolved with a normal of scale 0.1, coordinate-wise."""
    t = 3 * np.pi * np.sqrt((np.arange(n) + 0.5) / n)
    low = np.stack([-t * np.cos(t), t * np.sin(t)], 1) / 3

    def arm(x):
        offset = (x[:, None] - low) / 0.1
        return np.prod(6 * (ndtr(offset) - ndtr(offset - 1 / 0.6)), axis=-1).mean(1)

    return lambda x: (arm(x) + arm(-x)) / 2


def checkerboard(x):
    inside = (np.abs(x) < 4).all(1)
    return np.where(inside & (np.floor(x / 2).sum(1) % 2 == 0), 1 / 32, 0.0)


DENSITIES = {
    "8gaussians": uniform_on(circle(4 / np.sqrt(2), 8), 0.5 / np.sqrt(2)),
    "moons": moons(),
    "circles": uniform_on(np.concatenate([circle(1.5), circle(3.0)]), 0.24),
    "rings": uniform_on(np.concatenate([circle(r, 800) for r in (0.75, 1.5, 2.25, 3.0)]), 0.08),
    "2spirals": two_spirals(),
    "checkerboard": checkerboard,
}


def entropy(name, n=96, reach=4.8):
    """-sum p log p over the centres of n x n cells of [-reach, reach]^2, and sum p, which is 1."""
    side = (np.arange(n) + 0.5) / n * 2 * reach - reach
    x = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    p = np.concatenate([DENSITIES[name](part) for part in np.array_split(x, max(1, n // 16))])
    area = (2 * reach / n) ** 2
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0)) * area, p.sum() * area
