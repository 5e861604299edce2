"""Numbers of diffusers and k-diffusion, for `tests/golden/diffusion.npz`.

    python -m benchmarks.golden_diffusion tests/golden/diffusion.npz

In an environment with torch, diffusers (0.42) and k-diffusion (0.1.1); what it writes is committed, the tests need
neither. The "network" is a formula, `network`, that is written here and in the test alike. Noise is that of files too:
where a scheduler draws by itself, torch's `randn` is replaced by rows of the array `noise`.
"""

import sys
import types
from pathlib import Path

import numpy as np
import torch

CHAIN = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
STEPS = 8


def network(x, ratio):
    """An estimate of x_0 from x_t / alpha_t and sigma_t / alpha_t: smooth, x itself where there is no noise."""
    return (x + ratio * np.tanh(x / (1.0 + ratio) + 0.3)) / (1.0 + ratio**2)


class Supply:
    """Stands for torch.randn: rows of `noise` one after the other."""

    def __init__(self, noise):
        self.noise, self.place = noise, 0

    def __call__(self, *args, **kwargs):
        self.place += 1
        return torch.as_tensor(self.noise[self.place - 1])


def scheduled(scheduler, x, noise, patched=()):
    """x after each step of a diffusers scheduler that takes predictions of epsilon; its own scale of x throughout."""
    supply = Supply(noise)
    for module in patched:
        module.randn_tensor = supply
    scheduler.set_timesteps(STEPS)
    x, found, times = torch.as_tensor(x) * scheduler.init_noise_sigma, [], []
    bar = scheduler.alphas_cumprod.numpy().astype("float64")
    for t in scheduler.timesteps:
        ratio = float(np.sqrt(1.0 / bar[int(t)] - 1.0))
        scaled = scheduler.scale_model_input(x, t).numpy().astype("float64")
        alpha = np.sqrt(bar[int(t)])
        clean = network(scaled / alpha, ratio)
        epsilon = torch.as_tensor((scaled - alpha * clean) / (alpha * ratio))
        x = scheduler.step(epsilon, t, x).prev_sample.double()
        found.append(x.numpy())
        times.append(int(t))
    return {"x": np.stack(found), "times": np.array(times)}


def diffusers(x, noise):
    import diffusers as peers
    from diffusers.schedulers import scheduling_ddim, scheduling_ddpm, scheduling_dpmsolver_multistep

    multistep = {"algorithm_type": "dpmsolver++", "solver_order": 2, "final_sigmas_type": "zero"}
    sde = {**multistep, "algorithm_type": "sde-dpmsolver++"}
    ddpm = {"clip_sample": False, "timestep_spacing": "leading"}
    makers = {
        "ddpm_small": (lambda: peers.DDPMScheduler(**CHAIN, **ddpm, variance_type="fixed_small"), scheduling_ddpm),
        "ddpm_large": (lambda: peers.DDPMScheduler(**CHAIN, **ddpm, variance_type="fixed_large"), scheduling_ddpm),
        "ddim": (lambda: peers.DDIMScheduler(**CHAIN, clip_sample=False, set_alpha_to_one=True), scheduling_ddim),
        "dpm_2m": (lambda: peers.DPMSolverMultistepScheduler(**CHAIN, **multistep), scheduling_dpmsolver_multistep),
        "dpm_sde": (lambda: peers.DPMSolverMultistepScheduler(**CHAIN, **sde), scheduling_dpmsolver_multistep),
        "euler": (lambda: peers.EulerDiscreteScheduler(**CHAIN, timestep_spacing="leading"), scheduling_ddim),
        "heun": (lambda: peers.HeunDiscreteScheduler(**CHAIN, timestep_spacing="leading"), scheduling_ddim),
    }
    arrays = {}
    for name, (make, module) in makers.items():
        arrays |= {f"{name}/{k}": v for k, v in scheduled(make(), x, noise, [module]).items()}
    scheduler = makers["ddim"][0]()
    step = scheduler.step
    scheduler.step = lambda e, t, x: step(e, t, x, eta=1.0)
    noisy = scheduled(scheduler, x, noise, [scheduling_ddim])
    return arrays | {f"ddim_noise/{k}": v for k, v in noisy.items()}


def k_sampling():
    """k_diffusion.sampling by itself: the package imports much that its samplers do not need."""
    for place in sys.path:
        if (Path(place) / "k_diffusion" / "sampling.py").exists():
            package, utils = types.ModuleType("k_diffusion"), types.ModuleType("k_diffusion.utils")
            package.__path__, package.utils = [str(Path(place) / "k_diffusion")], utils
            utils.append_dims = lambda x, n: x[(...,) + (None,) * (n - x.ndim)]
            sys.modules |= {"k_diffusion": package, "k_diffusion.utils": utils}
    import k_diffusion.sampling as sampling

    return sampling


def k_diffusion(x, noise):
    sampling = k_sampling()
    sigmas = sampling.get_sigmas_karras(STEPS, 0.02, 20.0).double()
    x = torch.as_tensor(x) * sigmas[0]

    def model(x, sigma):
        return torch.as_tensor(network(x.numpy(), sigma.numpy()[:, None]))

    def traced(sampler, **options):
        """x at the beginning of each step, and at the end."""
        found = []
        last = sampler(model, x, sigmas, callback=lambda v: found.append(v["x"].clone()), disable=True, **options)
        return torch.stack([*found, last]).numpy()

    supply, three = Supply(noise), Supply(noise)
    arrays = {
        "k_heun": traced(sampling.sample_heun),
        "k_dpm_2m": traced(sampling.sample_dpmpp_2m),
        "k_lms": traced(sampling.sample_lms, order=4),
        "k_dpm_2m_sde": traced(sampling.sample_dpmpp_2m_sde, noise_sampler=lambda *s: supply()),
        "k_dpm_3m": traced(sampling.sample_dpmpp_3m_sde, eta=0.0, noise_sampler=lambda *s: three()),
    }
    return {f"{k}/x": v for k, v in arrays.items()} | {"k_sigmas": sigmas.numpy()}


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(3, 2)), rng.normal(size=(STEPS, 3, 2))
    np.savez_compressed(sys.argv[1], x=x, noise=noise, **diffusers(x, noise), **k_diffusion(x, noise))
