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
between x_0 - w/2 and x_0 + w/2, the outer levels having the tails. So (1) counts in nats of x_0 itself, and rises by
nothing when steps are added: with more of them it falls, to the integral of (2) (Kingma et al. 2021, eq. 13 to 17).

Reference:
    J. Ho et al., arXiv:2006.11239 (2020), equations 5 to 8, 13; A. Nichol, P. Dhariwal, arXiv:2102.09672 (2021); D.
    Kingma et al., arXiv:2107.00630 (2021), equations 11 to 17.
"""

import math

from keras import ops

from keras_gen.diffusion.samplers.one_step import transition


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
    above, below = ops.where(last, 40.0, z + half), ops.where(first, -40.0, z - half)
    return sum_events(log_normal_mass(below, above))


def log_normal_mass(below, above):
    """log(Phi(above) - Phi(below)): both moved to the left side, where no digits are lost."""
    flip = below + above > 0
    low, high = ops.where(flip, -above, below), ops.where(flip, -below, above)
    log_high, log_low = log_normal_cdf(high), log_normal_cdf(low)
    return log_high + ops.log(-ops.expm1(ops.minimum(log_low - log_high, -1e-6)))


def log_normal_cdf(z):
    """log Phi(z): by the error function, and far on the left by its series."""
    near = ops.log(0.5 * (1.0 + ops.erf(ops.maximum(z, -4.0) / math.sqrt(2.0))))
    far = ops.minimum(z, -4.0)
    series = ops.log1p(-1.0 / far**2 + 3.0 / far**4 - 15.0 / far**6 + 105.0 / far**8)
    tail = -0.5 * far**2 - ops.log(-far) - 0.5 * math.log(2.0 * math.pi) + series
    return ops.where(z < -4.0, tail, near)


def sum_events(x):
    """Sum over all axes but the first."""
    return ops.sum(ops.reshape(x, (ops.shape(x)[0], -1)), axis=1)


