"""The numbers of diffusers and k-diffusion, step by step, for the same network, noise and times.

They were written once by `benchmarks/golden_diffusion.py`. What is told differently:

- index n of a chain there is k = n + 1 here, at t = k / T: their times 0 ... 999 are our 1 / 1000 ... 1;
- Euler's and Heun's schedulers, and k-diffusion, hold x_t / alpha_t;
- where they go on to a last sigma of 0, we take the estimate of x_0 at the last time. That is the same step, but for
  k-diffusion's `sample_lms`, which takes its multistep formula there too: its last step is not ours;
- the third order of k-diffusion lacks the 2 of Newton's form (see `keras_gen.diffusion.samplers.multistep`): with it
  left out our numbers are theirs, and with it they are not. Their second step is the same.
"""

from pathlib import Path

import numpy as np
import pytest

from keras_gen import diffusion as d
from keras_gen.diffusion.samplers import multistep
from keras_gen.diffusion.schedules.base import library
from tests.diffusion_cases import interpreted, loop, random

FILE = Path(__file__).parent / "golden" / "diffusion.npz"
CHAINED = {
    "ddpm_small": d.Ancestral,
    "ddpm_large": lambda: d.Ancestral("large"),
    "ddim": d.DDIM,
    "ddim_noise": lambda: d.DDIM(1.0),
    "dpm_2m": d.DPMSolverPlusPlus,
    "dpm_sde": lambda: d.DPMSolverPlusPlus(2, eta=1.0),
    "euler": d.DDIM,
    "heun": d.Heun,
}
OF_SIGMA = {
    "k_heun": d.Heun,
    "k_dpm_2m": d.DPMSolverPlusPlus,
    "k_lms": d.AdamsBashforth,
    "k_dpm_2m_sde": lambda: d.DPMSolverPlusPlus(2, eta=1.0),
}


class Formula(d.Denoising):
    """The network of the file."""

    def __init__(self, schedule):
        self.schedule = schedule

    def clean(self, x, alpha, sigma):
        x, ratio = x / alpha, sigma / alpha
        return (x + ratio * library(x).tanh(x / (1.0 + ratio) + 0.3)) / (1.0 + ratio**2)

    def predict(self, x_t, level, condition=None, training=False):
        wide = level.over(x_t)
        return d.Prediction(self.clean(x_t, wide.alpha, wide.sigma))


@pytest.fixture(scope="module")
def golden():
    with np.load(FILE) as file:
        return dict(file)


def trajectory(sampler, denoiser, times, x, noise):
    """x after each turn, as x_t / alpha_t too."""
    found, ratios = [], []

    def seen(x, alpha, sigma):
        found.append(x)
        ratios.append(x / alpha)
        return x

    interpreted(sampler, denoiser, times, x, lambda i: noise[i], constrain=seen)
    return np.stack(found), np.stack(ratios)


@pytest.mark.parametrize("name", CHAINED)
def test_each_step_is_that_of_diffusers(name, golden):
    """Their chain in float32: 1e-4 of its sigmas."""
    chain, sampler = Formula(d.LinearBeta()), CHAINED[name]()
    n = golden[f"{name}/times"]
    times = (n[np.append(True, np.diff(n) != 0)] + 1) / 1000  # Heun's scheduler tells the second of a pair too
    plain, ratio = trajectory(sampler, chain, times, golden["x"], golden["noise"])
    wanted = golden[f"{name}/x"]
    found = ratio if name in ("euler", "heun") else plain
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    if name in ("ddim", "dpm_2m", "euler", "heun"):
        last = loop(sampler, chain, times)(golden["x"], random.keys(0, 3))
        np.testing.assert_allclose(last, wanted[-1], rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", OF_SIGMA)
def test_each_step_is_that_of_k_diffusion(name, golden):
    schedule, sampler = d.EDMSigma(0.02, 20.0), OF_SIGMA[name]()
    times = d.times(schedule, 8)
    np.testing.assert_allclose(schedule.alpha_sigma(times)[1], golden["k_sigmas"][:-1], rtol=1e-5)
    x = golden[f"{name}/x"]
    found, _ = trajectory(sampler, Formula(schedule), times, x[0], golden["noise"])
    steps = found[1:-1:2] if name == "k_heun" else found[:-1]  # what follows a step, not what is tried within
    np.testing.assert_allclose(steps, x[1:-1], rtol=1e-5, atol=1e-5)
    same = np.allclose(found[-1], x[-1], rtol=1e-5, atol=1e-5)
    assert same == (name != "k_lms")
    if "sde" not in name:
        last = loop(sampler, Formula(schedule), times)(x[0], random.keys(0, 3))
        np.testing.assert_allclose(last, found[-1], rtol=1e-4, atol=1e-4)


def test_the_third_order_of_k_diffusion_is_ours_without_the_2(golden, monkeypatch):
    schedule, wanted = d.EDMSigma(0.02, 20.0), golden["k_dpm_3m/x"]
    run = lambda: trajectory(  # noqa: E731
        d.DPMSolverPlusPlus(3), Formula(schedule), d.times(schedule, 8), wanted[0], golden["noise"]
    )[0]
    ours, whole = run(), multistep._third_order
    monkeypatch.setattr(multistep, "_third_order", lambda a, b, phi_3, *r: whole(a, b, 0.5 * phi_3, *r))
    np.testing.assert_allclose(run(), wanted[1:], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours[:2], wanted[1:3], rtol=1e-5, atol=1e-5)
    assert np.abs(ours[2:] - wanted[3:]).max(axis=(1, 2)).min() > 1e-4
