"""The variational bound of a chain, with all its terms.

For times 1 = t_1 > ... > t_n > t_(n+1) = 0, and the reverse chain p(x_s given x_t) of mean and variance as in
`Ancestral`,

    -log p(x_0) <= KL( q(x_1 given x_0) || p(x_1) ) + sum_i E KL( q(x_s given x_t, x_0) || p(x_s given x_t) )
                   - E log p(x_0 given x_(t_n)),                                                                (1)

s = t_(i+1), the sum over i < n, p(x_1) = N(0, alpha_1^2 d^2 + sigma_1^2) with d^2 a variance of the data. With the
least variance s2 (equation 2 of `keras_gen.diffusion.schedules`) a term of the sum is

    1/2 (SNR_s - SNR_t) || x_0 - D ||^2,                                                                        (2)

with another variance v2 it is that of two normals of equal means but D, sum 1/2 (s2 / v2 - 1 - log (s2 / v2) + (mean -
mean')^2 / v2). The last term is the density of N(D, (sigma / alpha)^2) at x_0; of grey levels with width w, its mass
between x_0 - w/2 and x_0 + w/2, the outer levels having the tails. Where the last noise leaves levels apart, sigma /
alpha below w / 2, x_t tells more than a network that has hardly seen such times: then it is the posterior of equal
weights (Kingma et al. 2021),

    p(x_0 = k given x_t) = N(x_t; alpha k, sigma^2) / sum_j N(x_t; alpha j, sigma^2).                           (3)

So (1) counts in nats of x_0 itself, and rises by nothing when steps are added: with more of them it falls, to the
integral of (2) (Kingma et al. 2021, eq. 13 to 17).

Reference:
    J. Ho et al., arXiv:2006.11239 (2020), equations 5 to 8, 13; A. Nichol, P. Dhariwal, arXiv:2102.09672 (2021); D.
    Kingma et al., arXiv:2107.00630 (2021), equations 11 to 17.
"""

import math

from keras import ops

from keras_gen.diffusion.samplers.one_step import transition

FAR, APART = 1e4, 6
ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223,
    0.17087277,
)  # fmt: skip

def prior_divergence(x_0, level, variance=1.0):
    """The first term of (1), `(batch,)`; `level` is that of t = 1."""
    wide = level.over(x_0)
    total = wide.alpha**2 * variance + wide.sigma**2
    ratio = wide.sigma**2 / total
    return sum_events(0.5 * (ratio - 1.0 - ops.log(ratio) + (wide.alpha * x_0) ** 2 / total))


def step_divergence(x_0, prediction, level, after, learned=False):
    """A term of the sum of (1), `(batch,)`; `level` and `after` are those of t and s."""
    t, s = level.over(x_0), after.over(x_0)
    rate = (s.alpha / s.sigma) ** 2 - (t.alpha / t.sigma) ** 2
    error = (x_0 - prediction.clean) ** 2
    if not learned:
        return sum_events(0.5 * rate * error)
    large, small = transition(t, s)
    log_ratio = prediction.variance * (ops.log(small) - ops.log(large))  # log(s2 / v2)
    return sum_events(0.5 * (ops.expm1(log_ratio) - log_ratio + ops.exp(log_ratio) * rate * error))


def data_log_density(x_0, prediction, level, width=None, low=-1.0, high=1.0):
    """log p(x_0 given x_t) at the last time, `(batch,)`: a density, or with a `width` the mass of a grey level."""
    wide = level.over(x_0)
    scale = wide.sigma / wide.alpha
    z = (x_0 - prediction.clean) / scale
    if width is None:
        return sum_events(-0.5 * z**2 - ops.log(scale) - 0.5 * math.log(2.0 * math.pi))
    half = 0.5 * width / scale
    first, last = x_0 < low + 0.5 * width, x_0 > high - 0.5 * width
    above, below = ops.where(last, FAR, z + half), ops.where(first, -FAR, z - half)
    return sum_events(log_normal_mass(below, above))


def level_log_probability(x_0, x_t, level, width, low=-1.0, high=1.0):
    """(3), log, `(batch,)`, for sigma / alpha below w / 2: levels that are further off than `APART` count nothing."""
    wide = level.over(x_0)
    z = (x_t / wide.alpha - x_0) * (wide.alpha / wide.sigma)

    def log_weight(j):
        other = x_0 + j * width
        there = ops.logical_and(other > low - 0.5 * width, other < high + 0.5 * width)
        return ops.where(there, -0.5 * (z - j * width * wide.alpha / wide.sigma) ** 2, -FAR)

    total = ops.logsumexp(ops.stack([log_weight(j) for j in range(-APART, APART + 1)]), axis=0)
    return sum_events(log_weight(0) - total)


def log_normal_mass(below, above):
    """log(Phi(above) - Phi(below)): both moved to the left side, where no digits are lost."""
    flip = below + above > 0
    low, high = ops.where(flip, -above, below), ops.where(flip, -below, above)
    log_high, log_low = log_normal_cdf(high), log_normal_cdf(low)
    return log_high + ops.log(-ops.expm1(ops.minimum(log_low - log_high, -1e-6)))


def log_normal_cdf(z):
    """log Phi(z), to 1e-6 of itself or of 1.

    erfc(x) = t exp(-x^2 + P(t)), t = 1 / (1 + x / 2), for x >= 0, to 1.2e-7 of its value however small it is (Press et
    al., "Numerical recipes", 1992, section 6.2).
    """
    x = ops.abs(z) / math.sqrt(2.0)
    t = 1.0 / (1.0 + 0.5 * x)
    power = 0.0
    for c in reversed(ERFC):
        power = c + t * power
    tail = ops.log(t) - x**2 + power - math.log(2.0)
    return ops.where(z < 0.0, tail, ops.log1p(-ops.exp(tail)))


def sum_events(x):
    """Sum over all axes but the first."""
    return ops.sum(ops.reshape(x, (ops.shape(x)[0], -1)), axis=1)
