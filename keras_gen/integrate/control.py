"""How large a step is: the error of each example, the first step, and what follows an accepted or a rejected one.

For an example with the state y of M elements, and the estimate e of the error of a step from y to y', the measure is

    err = sqrt(1/M sum_m (e_m / sc_m)^2),        sc_m = atol + rtol max(|y_m|, |y'_m|),                     (4.11)

and the step is accepted if err <= 1. As err grows as dt^(q+1), q = 4 the lower of the two orders, the next step is

    dt' = dt min(facmax, max(facmin, fac err^(-1/(q+1)))),                                                  (4.13)

with fac = 0.9, facmin = 0.2, facmax = 10, and facmax = 1 after a rejection.

The first step (II.4, "starting step size") makes an explicit Euler step small beside y, and looks how fast f changes:
with |.| the norm of (4.11), d_0 = |y|, d_1 = |f|, h_0 = 0.01 d_0 / d_1, or 1e-6 where either is below 1e-5,
d_2 = |f(t + h_0, y + h_0 f) - f| / h_0,

    h_1 = (0.01 / max(d_1, d_2))^(1/(q+1)), or max(1e-6, h_0 / 1000) if that is below 1e-15,   dt = min(100 h_0, h_1).

Reference:
    E. Hairer, S. Norsett, G. Wanner, "Solving ordinary differential equations I", 2nd edition (1993), section II.4,
    equations 4.11 and 4.13; the constants are those of its code DOPRI5.
"""

from keras import backend, ops

from keras_gen.integrate.tableaus import root_mean_square

SAFETY, SMALLEST, LARGEST = 0.9, 0.2, 10.0
DEFAULTS = {"float32": (1e-5, 1e-5), "float64": (1e-9, 1e-9)}
EPSILON = {"float32": 2.0**-23, "float64": 2.0**-52}


def tolerances(rtol, atol, dtype):
    """The two numbers, those that are None by the dtype; ValueError for what the dtype cannot hold."""
    if dtype not in DEFAULTS:
        raise ValueError(f"Expected a state in float32 or float64, to control its error. Received: dtype={dtype}.")
    pair = [d if given is None else given for given, d in zip((rtol, atol), DEFAULTS[dtype], strict=True)]
    least = 10.0 * EPSILON[dtype]
    if not least <= pair[0] < 1.0 or not 0.0 < pair[1] < float("inf"):
        raise ValueError(
            f"Expected `rtol` from {least:.1e}, ten times the rounding of {dtype}, to 1, and `atol` above 0. Received: "
            f"rtol={rtol}, atol={atol}."
        )
    return float(pair[0]), float(pair[1])


def error_ratio(error, y, after, rtol, atol):
    """err of (4.11), `(batch,)`; not finite where the step is not."""
    scale = atol + rtol * ops.maximum(ops.abs(y), ops.abs(after))
    return root_mean_square(error / scale)


def growth(ratio, rejected_before, order=5):
    """dt' / dt of (4.13), `(batch,)`: the smallest where `ratio` is not finite."""
    finite = ratio < 1e30
    safe = ops.maximum(ops.where(finite, ratio, ops.ones_like(ratio)), 1e-10)
    factor = ops.clip(SAFETY * safe ** (-1.0 / order), SMALLEST, LARGEST)
    factor = ops.where(rejected_before, ops.minimum(factor, 1.0), factor)
    return ops.where(finite, factor, SMALLEST * ops.ones_like(factor))


def first_step(fn, t, y, slope, direction, rtol, atol, order=5):
    """dt of the first step, `(batch,)`, of the sign of `direction`."""
    scale = atol + rtol * ops.abs(y)
    d0, d1 = root_mean_square(y / scale), root_mean_square(slope / scale)
    small = ops.logical_or(d0 < 1e-5, d1 < 1e-5)
    h0 = ops.where(small, 1e-6 * ops.ones_like(d0), 0.01 * d0 / ops.where(small, ops.ones_like(d1), d1))
    probe = fn(t + direction * h0, y + (direction * h0)[:, None] * slope)
    most = ops.maximum(d1, root_mean_square((probe - slope) / scale) / h0)
    still = most <= 1e-15
    h1 = (0.01 / ops.where(still, ops.ones_like(most), most)) ** (1.0 / order)
    h1 = ops.where(still, ops.maximum(1e-3 * h0, 1e-6), h1)
    return direction * ops.minimum(100.0 * h0, h1)


def epsilon(tensor):
    """Rounding of the dtype of a tensor."""
    return EPSILON[backend.standardize_dtype(tensor.dtype)]
