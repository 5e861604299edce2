"""Schedules and samplers of the tests, laws whose posterior mean has a closed form, and equation (1) in numpy.

Of a mixture of normals N(m_k, C_k) with weights w_k, x_t is a mixture of N(alpha m_k, S_k), S_k = alpha^2 C_k + sigma^2
I, and

    E[x_0 given x_t] = sum_k r_k (m_k + alpha C_k S_k^-1 (x_t - alpha m_k)),   r_k ~ w_k N(x_t; alpha m_k, S_k).

All C_k have their eigenvectors in common: S_k is a vector in that basis.
"""

import numpy as np
from keras import ops

from keras_gen import backend, random
from keras_gen import diffusion as d
from keras_gen.diffusion.samplers.base import coordinates
from keras_gen.diffusion.schedules.base import library

SCHEDULES = {
    "vp": d.VariancePreserving,
    "sub_vp": d.SubVariancePreserving,
    "cosine": d.Cosine,
    "cosine_wide": lambda: d.Cosine(0.2),
    "sigmoid": d.Sigmoid,
    "sigmoid_steep": lambda: d.Sigmoid(0.0, 3.0, 0.5),
    "linear": d.LinearBeta,
    "linear_short": lambda: d.LinearBeta(50, 1e-3, 0.2),
    "linear_scaled": lambda: d.LinearBeta(1000, 0.00085, 0.012, scaled=True),
    "discrete_cosine": lambda: d.Discrete(d.Cosine(), 1000),
    "discrete_sigmoid": lambda: d.Discrete(d.Sigmoid(), 100),
    "zero_linear": lambda: d.ZeroTerminalSNR(d.LinearBeta()),
    "zero_vp": lambda: d.ZeroTerminalSNR(d.VariancePreserving()),
    "ve": d.VarianceExploding,
    "edm": d.EDMSigma,
    "rectified": d.Rectified,
    "rectified_blurred": lambda: d.Rectified(0.01),
}
SAMPLERS = {
    "euler": d.Euler,
    "ddim": d.DDIM,
    "ddim_noise": lambda: d.DDIM(1.0),
    "ancestral": d.Ancestral,
    "ancestral_large": lambda: d.Ancestral("large"),
    "heun": d.Heun,
    "heun_churn": lambda: d.Heun(churn=4.0, inflation=1.003),
    "heun_rectified": lambda: d.Heun(variable="rectified"),
    "dpm_1": lambda: d.DPMSolverPlusPlus(1),
    "dpm_2": d.DPMSolverPlusPlus,
    "dpm_3": lambda: d.DPMSolverPlusPlus(3),
    "dpm_sde": lambda: d.DPMSolverPlusPlus(2, eta=1.0),
    "adams_2": lambda: d.AdamsBashforth(2),
    "adams_3": lambda: d.AdamsBashforth(3, "rectified"),
    "adams_4": d.AdamsBashforth,
    "adams_4_rectified": lambda: d.AdamsBashforth(4, "rectified"),
    "predictor_corrector": lambda: d.PredictorCorrector(corrections=2),
    "annealed_langevin": lambda: d.AnnealedLangevin(3),
    "repaint": lambda: d.RePaint(resamples=3),
}
STOCHASTIC = (
    "ddim_noise", "ancestral", "ancestral_large", "heun_churn", "dpm_sde", "predictor_corrector", "annealed_langevin",
    "repaint",
)  # fmt: skip
DETERMINISTIC = [name for name in SAMPLERS if name not in STOCHASTIC]


class Mixture(d.Denoising):
    """The closed form. `condition` `(batch, K)`: which components there are; zeros for all, as without."""

    def __init__(self, schedule, means, spectra, weights=None, basis=None):
        self.schedule = schedule
        self.means, self.spectra = np.asarray(means, "float64"), np.asarray(spectra, "float64")
        self.weights = np.full(len(self.means), 1.0 / len(self.means)) if weights is None else np.asarray(weights)
        self.basis = np.eye(self.means.shape[1]) if basis is None else np.asarray(basis)

    def _parts(self, x, alpha, sigma):
        """In the basis: x, and for each component its mean of x_t, its S, and log w N(x_t)."""
        xp = library(x)
        as_x = (lambda v: v) if xp is np else (lambda v: ops.convert_to_tensor(v, x.dtype))
        x, means = xp.matmul(x, as_x(self.basis)), as_x(self.means @ self.basis)[None]
        spread = alpha[..., None] ** 2 * as_x(self.spectra)[None] + sigma[..., None] ** 2
        offset = x[:, None] - alpha[..., None] * means
        log_density = -0.5 * xp.sum(offset**2 / spread + xp.log(2.0 * np.pi * spread), axis=-1)
        return xp, as_x, means, spread, offset, log_density + as_x(np.log(self.weights))[None]

    def clean(self, x, alpha, sigma, present=None):
        """E[x_0 given x_t]; alpha, sigma `(batch or 1, 1)`."""
        xp, as_x, means, spread, offset, logits = self._parts(x, alpha, sigma)
        if present is not None:
            none = xp.sum(present, axis=-1, keepdims=True) == 0
            logits = xp.where(xp.logical_or(present > 0, none), logits, -1e9)
        share = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
        share = (share / xp.sum(share, axis=-1, keepdims=True))[..., None]
        of_each = means + alpha[..., None] * as_x(self.spectra)[None] / spread * offset
        return xp.matmul(xp.sum(share * of_each, axis=1), as_x(self.basis.T))

    def log_density(self, x, alpha=1.0, sigma=0.0):
        """log p_t(x), numpy `(n,)`."""
        return np.logaddexp.reduce(self._parts(x, *(np.full((1, 1), v) for v in (alpha, sigma)))[-1], axis=1)

    def log_posterior(self, x, alpha, sigma):
        """log p(component given x_t), `(batch, K)`."""
        xp, *_, logits = self._parts(x, alpha, sigma)
        top = xp.max(logits, axis=-1, keepdims=True)
        return logits - top - xp.log(xp.sum(xp.exp(logits - top), axis=-1, keepdims=True))

    def predict(self, x_t, level, condition=None, training=False):
        wide = level.over(x_t)
        return d.Prediction(self.clean(x_t, wide.alpha, wide.sigma, condition))

    def draw(self, n, seed=0, alpha=1.0, sigma=0.0):
        """x_t, numpy `(n, D)`."""
        rng = np.random.default_rng(seed)
        k = rng.choice(len(self.weights), n, p=self.weights)
        z = rng.normal(size=(n, self.means.shape[1])) * np.sqrt(alpha**2 * self.spectra[k] + sigma**2)
        return alpha * self.means[k] + z @ self.basis.T

    def moments(self, alpha=1.0, sigma=0.0):
        """Mean and covariance of x_t."""
        mean = self.weights @ self.means
        inside = sum(w * self.basis * s @ self.basis.T for w, s in zip(self.weights, self.spectra, strict=True))
        offset = self.means - mean
        between = np.einsum("k,ki,kj->ij", self.weights, offset, offset)
        return alpha * mean, alpha**2 * (inside + between) + sigma**2 * np.eye(len(mean))


def turned(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def normal(schedule, mean=(0.4, -0.2), spectrum=(1.2, 0.1)):
    """A normal law whose two coordinates hang together."""
    return Mixture(schedule, [mean], [spectrum], basis=turned(0.6))


def two_normals(schedule, variance=0.3):
    """Two normals that overlap, 0.7 to 0.3, with mean 0."""
    return Mixture(schedule, [(-0.6, -0.3), (1.4, 0.7)], [(variance, 0.5 * variance)] * 2, [0.7, 0.3], turned(0.4))


def start(denoiser, n, seed=0):
    """x at t = 1, of its true law, numpy."""
    return denoiser.draw(n, seed, *denoiser.schedule.alpha_sigma(np.float64(1.0)))


def tensor(x, dtype="float32"):
    return ops.convert_to_tensor(np.asarray(x, dtype))


def loop(sampler, denoiser, times, condition=None, temperature=1.0, constrain=None, compiled=True):
    """A function of (x, keys) that runs a sampler's table by its compiled loop; numpy out."""
    table, turns = sampler.table(denoiser.schedule, times, 0)
    table = {name: tensor(column) for name, column in table.items()}

    def run(x, keys):
        options = {"condition": condition, "temperature": temperature, "constrain": constrain}
        return sampler.advance(denoiser, sampler.begin(x), keys, table, 0, turns, **options)["x"]

    run = backend.compile(run) if compiled else run
    return lambda x, keys: ops.convert_to_numpy(run(tensor(x), keys))


def interpreted(sampler, denoiser, times, x, noise=None, clean=None, constrain=None):
    """Equation (1) of `keras_gen.diffusion.samplers.base` in float64: x after all turns; `noise(i)` is z of turn i."""
    schedule, base, earlier = denoiser.schedule, x, []
    for i, turn in enumerate(sampler.turns(schedule, np.asarray(times, "float64"))):
        level = schedule.level(np.float64(turn.t))
        wide = [np.full((1, 1), v) for v in (level.alpha, level.sigma)]
        p = (clean or denoiser.clean)(x, *wide)
        if sampler.remembers == "slope":
            s, u = coordinates(level, sampler.variable)
            p = (x / s - p) / u
        base, earlier = x if turn.keep else base, [p, *earlier][: sampler.memory + 1]
        x = turn.x * x + turn.base * base + sum(c * q for c, q in zip(turn.predictions, earlier, strict=False))
        x = x + turn.noise * noise(i) if turn.noise else x
        if constrain is not None:
            after = (1.0, 0.0) if turn.after is None else schedule.alpha_sigma(np.float64(turn.after))
            x = constrain(x, *after)
    return x


def drawn(seed, shape):
    """z of each turn by numpy's generator."""
    rng = np.random.default_rng(seed)
    return lambda i: rng.normal(size=shape)


def noise_of(keys, shape):
    """z of each turn as the loop draws it."""
    return lambda i: ops.convert_to_numpy(random.normal(random.split(random.fold_in(keys, i), 2)[0], shape))


def flow_of_normal(denoiser, x, t, s):
    """Where the probability flow takes x from t to s: along each axis of a normal law, deviations are scaled."""
    (alpha, sigma), (alpha_s, sigma_s) = (denoiser.schedule.alpha_sigma(np.float64(v)) for v in (t, s))
    spectrum = denoiser.spectra[0]
    scale = np.sqrt((alpha_s**2 * spectrum + sigma_s**2) / (alpha**2 * spectrum + sigma**2))
    offset = (x - alpha * denoiser.means[0]) @ denoiser.basis
    return alpha_s * denoiser.means[0] + (offset * scale) @ denoiser.basis.T


def law_after(sampler, denoiser, times):
    """Mean and covariance after all turns on a normal law, exactly: nothing is drawn.

    D is affine in x, so a turn is an affine map of what the loop carries, (x, y, earlier p's), and adds its noise.
    """
    schedule, size, two = denoiser.schedule, 2 * (2 + sampler.memory), np.eye(2)
    mean, covariance = np.zeros(size), np.zeros((size, size))
    mean[:2], covariance[:2, :2] = denoiser.moments(*schedule.alpha_sigma(np.float64(1.0)))
    for turn in sampler.turns(schedule, np.asarray(times, "float64")):
        level = schedule.level(np.float64(turn.t))
        wide = [np.full((1, 1), v) for v in (level.alpha, level.sigma)]
        clean = denoiser.clean(np.concatenate([np.zeros((1, 2)), two]), *wide)
        heard, constant = (clean[1:] - clean[0]).T, clean[0]
        if sampler.remembers == "slope":
            s, u = coordinates(level, sampler.variable)
            heard, constant = (two / s - heard) / u, -constant / u
        kept, matrix, offset = slice(0, 2) if turn.keep else slice(2, 4), np.zeros((size, size)), np.zeros(size)
        matrix[:2, :2] = turn.x * two + turn.predictions[0] * heard
        matrix[:2, kept] += turn.base * two
        for j, c in enumerate(turn.predictions[1:]):
            matrix[:2, 4 + 2 * j : 6 + 2 * j] += c * two
        offset[:2] = turn.predictions[0] * constant
        matrix[2:4, kept] = two
        if sampler.memory:
            matrix[4:6, :2], offset[4:6] = heard, constant
            matrix[6:, 4:-2] = np.eye(size - 6)
        mean = matrix @ mean + offset
        covariance = matrix @ covariance @ matrix.T
        covariance[:2, :2] += turn.noise**2 * two
    return mean[:2], covariance[:2, :2]
