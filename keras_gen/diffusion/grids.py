"""Grids of time: where a sampler asks the network.

A grid has n times t_1 = 1 > ... > t_n > 0, at each of which the network may be asked; after t_n comes the estimate of
clean data. (What others call n + 1 times with a last 0.)

    uniform     equally spaced from 1 to the schedule's least time
    trailing    1, 1 - 1/n, ..., 1/n: what is left after a step is whole (Lin et al. 2023, table 2)
    leading     of T discrete times every (T // n)-th from the first: DDPM's and DDIM's; it does not begin at 1
    quadratic   square roots equally spaced (Song, Meng, Ermon 2021, appendix D.2)
    karras      (sigma / alpha)^(1/rho) equally spaced (Karras et al. 2022, eq. 5)
    log_snr     log SNR equally spaced (Lu et al. 2022)

The last two go from a log SNR of -10 where the schedule begins below, their first time being 1 all the same: at such
ratios the best estimate of x_0 is the mean of the data whatever x_t. "leading" takes a continuous time for 1000 steps.
Of a schedule of T discrete times, times are rounded to these, but for `karras` and `log_snr`. Each must be another:
more steps than times are an error, not a repetition.

Reference:
    J. Song, C. Meng, S. Ermon, arXiv:2010.02502 (2021); S. Lin et al., arXiv:2305.08891 (2023); T. Karras et al.,
    arXiv:2206.00364 (2022); C. Lu et al., arXiv:2206.00927 (2022), section 3.4.
"""

import numpy as np

from keras_gen.layers.shapes import positive_int

GRIDS = ("uniform", "trailing", "leading", "quadratic", "karras", "log_snr")
NOISIEST = -10.0


def times(schedule, steps, grid="uniform", rho=7.0):
    """The n times of a grid, from the noisiest, float64 `(steps,)`.

    Args:
        schedule: a `Schedule`.
        steps: n, at least 1.
        grid: "uniform" (default), "trailing", "leading", "quadratic", "karras" or "log_snr"; or the times themselves,
            numbers in (0, 1] that fall.
        rho: of "karras", default 7.

    Raises:
        ValueError: an unknown grid, no positive number of steps, more steps than a discrete schedule has times, times
            that do not fall within (0, 1].

    Example:
        >>> from keras_gen.diffusion import LinearBeta, times
        >>> [round(float(t), 2) for t in times(LinearBeta(), 5, "trailing")]
        [1.0, 0.8, 0.6, 0.4, 0.2]
    """
    if not isinstance(grid, str):
        return _check(np.asarray(grid, "float64"), schedule)
    if grid not in GRIDS:
        raise ValueError(f"Expected `grid` as one of {GRIDS}, or the times themselves. Received: grid={grid!r}.")
    n = positive_int(steps, "steps")
    most = schedule.steps or (1000 if grid == "leading" else n)
    if n > most:
        raise ValueError(
            f"Expected at most {most} steps, the times of {schedule!r} on the grid {grid!r}. Received: steps={n}. Use "
            "fewer, or another grid of a schedule in continuous time."
        )
    return _check(_make(schedule, n, grid, rho), schedule)


def _make(schedule, n, grid, rho):
    least, share = max(schedule.least_time, 0.0), np.arange(n) / max(n - 1, 1)
    if grid in ("karras", "log_snr"):
        power = (lambda v: np.exp(-0.5 * v / rho), lambda v: -2.0 * rho * np.log(v))
        there, back = power if grid == "karras" else (lambda v: v, lambda v: v)
        first, last = (there(max(schedule.log_snr(np.array(t)), NOISIEST)) for t in (1.0, least))
        t = schedule.time(back(first + share * (last - first)))
        t[0] = 1.0
        return t
    if grid == "leading":
        count = schedule.steps or 1000
        return (np.arange(n)[::-1] * (count // n) + 1) / count
    if grid == "trailing":
        t = 1.0 - np.arange(n) / n
    elif grid == "quadratic":
        t = (1.0 + share * (np.sqrt(least) - 1.0)) ** 2
    else:
        t = 1.0 + share * (least - 1.0)
    return t if schedule.steps is None else _spread(np.round(t * schedule.steps)) / schedule.steps


def _spread(k):
    """Whole numbers that fall to at least 1, each moved as little as makes it another than its neighbours."""
    n = len(k)
    for i in range(n - 2, -1, -1):
        k[i] = max(k[i], k[i + 1] + 1)
    return np.maximum(k, n - np.arange(n))


def _check(t, schedule):
    falls = t.ndim == 1 and len(t) and (np.diff(t) < 0).all() and t[0] <= 1.0 and t[-1] >= 0.0
    if not falls or not np.isfinite(schedule.log_snr(t)).all():
        raise ValueError(
            f"Expected times in (0, 1] that fall, each with noise. Received: {t}. Such as numpy.linspace(1, 0.01, 20)."
        )
    return t
