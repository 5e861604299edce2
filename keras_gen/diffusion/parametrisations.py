"""Parametrisations: what of x_t = alpha x_0 + sigma eps a network F predicts, and what its error weighs.

With c the scale at which F sees x_t, r^2 = alpha^2 + sigma^2 and t = alpha sigma' - alpha' sigma, and target the
quantity of which F gives the mean,

    epsilon    target = eps                                     x_0 = (x_t - sigma F) / alpha
    x0         target = x_0                                     x_0 = F
    v          target = (alpha eps - sigma x_0) / r             x_0 = (alpha x_t / r - sigma F) / r
    score      target = sigma score = -eps                      x_0 = (x_t + sigma F) / alpha
    velocity   target = alpha' x_0 + sigma' eps                 x_0 = (sigma' x_t - sigma F) / t
    edm        F = (x_0 - c_skip y) / c_out,  y = x_t / alpha   x_0 = c_skip y + c_out F

all of them linear in x_0 for a given x_t, so that with w = (d target / d x_0)^2, eps = (x_t - alpha x_0) / sigma put
in,

    || F - target ||^2 = w || x_0 - estimate ||^2,                                                              (1)

    w:   epsilon, score  alpha^2 / sigma^2       x0  1       v  r^2 / sigma^2
         velocity  t^2 / sigma^2      edm  1 / c_out^2.

So a parametrisation is nothing but a scale of the network and a weight of its error. v of Salimans and Ho has r = 1,
where variance is preserved; divided by r it is the same for every schedule of the same ratio. With s = sigma / alpha
and d the standard deviation of the data,

    c_skip = d^2 / (s^2 + d^2),   c_out = s d / sqrt(s^2 + d^2),   c = 1 / (alpha sqrt(s^2 + d^2)),             (2)

for which target and input have variance 1 and the errors of F count least. All others see c = 1 / sqrt(alpha^2 +
sigma^2): 1 where variance is preserved; it keeps the input of a network near unit variance where it explodes.

Reference:
    J. Ho, A. Jain, P. Abbeel, arXiv:2006.11239 (2020), equations 9 to 14; T. Salimans, J. Ho, arXiv:2202.00512 (2022),
    section 4 (v); T. Karras et al., arXiv:2206.00364 (2022), equation 7, table 1, appendix B.6; Y. Lipman et al.,
    arXiv:2210.02747 (2023).
"""

from keras import ops

from keras_gen.diffusion.schedules.base import check_number


class Parametrisation:
    """Base: `target(x_0, eps, level)`, `clean(F, x_t, level)`, `weight(level)`, `scale(level)`; tensors throughout.

    A level is a `Level` whose entries broadcast against the events.
    """

    needs_signal = False
    """Whether alpha = 0 tells nothing, so that a schedule of zero terminal ratio is refused."""

    def target(self, x_0, noise, level):
        """What the network is trained to give."""
        raise NotImplementedError

    def clean(self, output, x_t, level):
        """The estimate of x_0 from the network's output."""
        raise NotImplementedError

    def weight(self, level):
        """w of equation (1)."""
        raise NotImplementedError

    def scale(self, level):
        """c, by which x_t is multiplied for the network."""
        return 1.0 / ops.sqrt(level.alpha**2 + level.sigma**2)


class Epsilon(Parametrisation):
    """The noise."""

    needs_signal = True

    def target(self, x_0, noise, level):
        return noise

    def clean(self, output, x_t, level):
        return (x_t - level.sigma * output) / level.alpha

    def weight(self, level):
        return (level.alpha / level.sigma) ** 2


class Score(Epsilon):
    """The score times sigma."""

    def target(self, x_0, noise, level):
        return -noise

    def clean(self, output, x_t, level):
        return super().clean(-output, x_t, level)


class Clean(Parametrisation):
    """x_0 itself."""

    def target(self, x_0, noise, level):
        return x_0

    def clean(self, output, x_t, level):
        return output

    def weight(self, level):
        return ops.ones_like(level.alpha)


class V(Parametrisation):
    """v."""

    def target(self, x_0, noise, level):
        return (level.alpha * noise - level.sigma * x_0) * self.scale(level)

    def clean(self, output, x_t, level):
        scale = self.scale(level)
        return (level.alpha * scale * x_t - level.sigma * output) * scale

    def weight(self, level):
        return 1.0 + (level.alpha / level.sigma) ** 2


class Velocity(Parametrisation):
    """The derivative of x_t in t."""

    def target(self, x_0, noise, level):
        return level.alpha_slope * x_0 + level.sigma_slope * noise

    def _turn(self, level):
        return level.alpha * level.sigma_slope - level.alpha_slope * level.sigma

    def clean(self, output, x_t, level):
        return (level.sigma_slope * x_t - level.sigma * output) / self._turn(level)

    def weight(self, level):
        return (self._turn(level) / level.sigma) ** 2


class Preconditioned(Parametrisation):
    """Karras et al.'s, for data of standard deviation d."""

    def __init__(self, data_scale=0.5):
        self.variance = check_number(data_scale, "data_scale") ** 2

    def _total(self, level):
        """alpha^2 (s^2 + d^2)."""
        return level.sigma**2 + level.alpha**2 * self.variance

    def _skip_and_out(self, level):
        """c_skip / alpha and c_out: x_0 = (c_skip / alpha) x_t + c_out F."""
        total = self._total(level)
        return self.variance * level.alpha / total, level.sigma * self.variance**0.5 / ops.sqrt(total)

    def target(self, x_0, noise, level):
        skip, out = self._skip_and_out(level)
        return (x_0 - skip * (level.alpha * x_0 + level.sigma * noise)) / out

    def clean(self, output, x_t, level):
        skip, out = self._skip_and_out(level)
        return skip * x_t + out * output

    def weight(self, level):
        return 1.0 / self._skip_and_out(level)[1] ** 2

    def scale(self, level):
        return 1.0 / ops.sqrt(self._total(level))


NAMES = {"epsilon": Epsilon, "x0": Clean, "v": V, "score": Score, "velocity": Velocity, "edm": Preconditioned}


def get_parametrisation(name, data_scale=0.5):
    """The parametrisation of this name."""
    if name not in NAMES:
        raise ValueError(f"Expected `parametrisation` as one of {sorted(NAMES)}. Received: {name!r}.")
    return Preconditioned(data_scale) if name == "edm" else NAMES[name]()
