"""Multistep samplers: one evaluation a step, and earlier ones remembered.

**DPM-Solver++.** Let lambda = log(alpha / sigma), from t to s, h = lambda_s - lambda_t > 0, and h' = (1 + eta) h. The
probability flow (eta = 0), or the reverse equation with eta times its noise, is linear in x but for D, and is solved
exactly for a D that is a polynomial in lambda,

    x_s / alpha_s = e^(-h') x_t / alpha_t + phi_1 D + phi_2 D_1 - phi_3 D_2
                    + (sigma_s / alpha_s) sqrt(1 - e^(-2 eta h)) z,                                             (1)
    phi_1 = 1 - e^(-h'),   phi_2 = 1 - phi_1 / h',   phi_3 = phi_2 / h' - 1/2,

where D_1 and D_2 are h and h^2 times the differences of D that estimate its derivatives: with r_0 = h_0 / h, r_1 =
h_1 / h, h_0 and h_1 being the lengths of the last step and of the one before,

    order 2    D_1 = (p_0 - p_1) / r_0,  phi_2 replaced by phi_1 / 2: equal to second order (Lu et al.'s 2M)
    order 3    a = (p_0 - p_1) / r_0,  b = (p_1 - p_2) / r_1,  D_1 = a + r_0 / (r_0 + r_1) (a - b),
               D_2 = 2 (a - b) / (r_0 + r_1).                                                                   (2)

The 2 in D_2 is that of Newton's form, D'' = 2 D[t_0, t_1, t_2], and the weights (1) are the integrals of 1, lambda
and lambda^2 / 2. The authors' program, diffusers and k-diffusion leave it out: what they call the third order is then
of the second, which the errors on a mixture of normals show (a test holds both).

The first steps are of lower order; so is the last, to clean data, where h is infinite.

**Adams and Bashforth.** In coordinates (s, u) (see `keras_gen.diffusion.samplers.base`) the slope d of x / s is
interpolated through the last k evaluations by a polynomial in u and integrated exactly:

    x_s / s_s = x_t / s_t + sum_j c_j d_j,     c_j = int_(u_t)^(u_s) prod_(k != j) (u - u_k) / (u_j - u_k) du.    (3)

Reference:
    C. Lu, Y. Zhou, F. Bao, J. Chen, C. Li, J. Zhu, "DPM-Solver++", arXiv:2211.01095 (2022), algorithm 2, equations 11
    to 13, appendix; K. Crowson, k-diffusion (order 3, and eta); E. Hairer et al. 1993, section III.1 and, for steps
    of varying length, III.5; L. Liu, Y. Ren, Z. Lin, Z. Zhao, arXiv:2202.09778 (2022), for (3) in diffusion (PLMS).
"""

import keras
import numpy as np

from keras_gen.diffusion.samplers.base import Sampler, Turn, check_variable, coordinates, last_turn, levels
from keras_gen.diffusion.schedules.base import check_number


@keras.saving.register_keras_serializable(package="keras_gen")
class DPMSolverPlusPlus(Sampler):
    """DPM-Solver++ of given order, deterministic (2M, 3M) or with noise (SDE).

    Args:
        order: 1, 2 (default) or 3.
        eta: share of the noise of the reverse equation, default 0; 1 is its SDE form.

    Raises:
        ValueError: another order, a negative eta; fewer steps than the order.

    Example:
        >>> from keras_gen.diffusion import Cosine, DPMSolverPlusPlus, times
        >>> table, turns = DPMSolverPlusPlus(order=2).table(Cosine(), times(Cosine(), 20))
        >>> turns
        20

    Reference:
        Lu et al. 2022, arXiv:2211.01095, algorithm 2.
    """

    default_grid = "log_snr"  # its steps are of log SNR: of equal length, extrapolation is as good as can be

    def __init__(self, order=2, eta=0.0):
        if order not in (1, 2, 3) or not isinstance(order, int):
            raise ValueError(f"Expected `order` as 1, 2 or 3. Received: order={order!r}.")
        self.order, self.memory, self.eta = order, order - 1, check_number(eta, "eta", -1e-12)

    def turns(self, schedule, times):
        at = levels(schedule, times)
        place = [0.5 * level.log_snr for level in at]
        return [*(self._between(at, place, i) for i in range(len(at) - 1)), last_turn(times[-1])]

    def _between(self, at, place, i):
        t, s, h = at[i], at[i + 1], place[i + 1] - place[i]
        k = (1.0 + self.eta) * h
        phi_1 = -np.expm1(-k)
        if self.order == 3 and i >= 2:
            phi_2 = 1.0 - phi_1 / k
            r_0, r_1 = ((place[j] - place[j - 1]) / h for j in (i, i - 1))
            weights = _third_order(phi_1, phi_2, phi_2 / k - 0.5, r_0, r_1)
        elif self.order >= 2 and i >= 1:
            bend = 0.5 * phi_1 if self.order == 2 else 1.0 - phi_1 / k
            r = (place[i] - place[i - 1]) / h
            weights = (phi_1 + bend / r, -bend / r)
        else:
            weights = (phi_1,)
        noise = s.sigma * np.sqrt(-np.expm1(-2.0 * self.eta * h))
        x = s.alpha / t.alpha * np.exp(-k)
        return Turn(t.t, x, tuple(s.alpha * w for w in weights), noise=noise, after=s.t)

    def get_config(self):
        return {"order": self.order, "eta": self.eta}


def _third_order(phi_1, phi_2, phi_3, r_0, r_1):
    """Weights of p_0, p_1, p_2, from (2)."""
    a, b = np.array([1.0, -1.0, 0.0]) / r_0, np.array([0.0, 1.0, -1.0]) / r_1
    first = a + r_0 / (r_0 + r_1) * (a - b)
    return tuple(np.array([phi_1, 0.0, 0.0]) + phi_2 * first - phi_3 * 2.0 * (a - b) / (r_0 + r_1))


@keras.saving.register_keras_serializable(package="keras_gen")
class AdamsBashforth(Sampler):
    """Equation (3): the linear multistep solver of order k.

    Args:
        order: k, from 1 to 4, default 4.
        variable: coordinates, "ratio" (default; Karras et al.) or "rectified", for schedules that end without signal.

    Raises:
        ValueError: another order or variable; fewer steps than the order.

    Example:
        >>> from keras_gen.diffusion import AdamsBashforth, EDMSigma, times
        >>> AdamsBashforth(3).table(EDMSigma(), times(EDMSigma(), 10))[1]
        10

    Reference:
        Hairer, Norsett, Wanner 1993, section III.1; Liu et al. 2022, arXiv:2202.09778.
    """

    remembers = "slope"

    def __init__(self, order=4, variable="ratio"):
        if order not in (1, 2, 3, 4) or not isinstance(order, int):
            raise ValueError(f"Expected `order` as 1, 2, 3 or 4. Received: order={order!r}.")
        self.order, self.memory, self.variable = order, order - 1, check_variable(variable)

    def turns(self, schedule, times):
        at = levels(schedule, times)
        s, u = np.transpose([coordinates(level, self.variable) for level in at])
        between = [self._between(times, s, u, i) for i in range(len(at) - 1)]
        return [*between, self._last(times[-1], s[-1], u[-1])]

    def _between(self, times, s, u, i):
        nodes = u[max(0, i - self.order + 1) : i + 1][::-1]
        weights = [s[i + 1] * _integral(nodes, j, u[i], u[i + 1]) for j in range(len(nodes))]
        return Turn(times[i], s[i + 1] / s[i], tuple(weights), after=times[i + 1])

    def _last(self, t, s, u):
        """The estimate of x_0 from the slope: D = x / s - u d."""
        return Turn(t, 1.0 / s, (-u,))

    def get_config(self):
        return {"order": self.order, "variable": self.variable}


def _integral(nodes, j, start, stop):
    """The integral of the polynomial that is 1 at node j and 0 at the others, in a variable of the size of the step."""
    scale = stop - start
    places = (nodes - start) / scale
    others = np.delete(places, j)
    polynomial = np.poly1d(np.poly(others) / np.prod(places[j] - others)) if len(others) else np.poly1d([1.0])
    primitive = polynomial.integ()
    return scale * (primitive(1.0) - primitive(0.0))
