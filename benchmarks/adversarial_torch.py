"""The loops of `adversarial`, written by hand in torch: `torch.nn`, autograd, `torch.optim`.

Images lie channels first here, as torch has them; the weights are those of the Keras networks. `layers` is the same
loop around the Keras networks themselves: what it needs more is the cost of Keras's layers.
"""

import math

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.adversarial_networks import stages
from benchmarks.step_overhead_torch import DEVICE, run_epoch

ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": lambda: nn.LeakyReLU(0.2), "sigmoid": nn.Sigmoid, "linear": nn.Identity}


def linear(layer, rows, columns):
    """The map of the Keras `layer` with its weights, those of a dense one in the order of `rows` and `columns`."""
    kernel, bias = torch.from_numpy(keras.ops.convert_to_numpy(layer.kernel)), layer.use_bias
    if isinstance(layer, keras.layers.Dense):
        made, kernel = nn.Linear(*kernel.shape, bias=bias), kernel[rows][:, columns].T
    elif isinstance(layer, keras.layers.Conv2D):
        made, kernel = nn.Conv2d(*kernel.shape[2:], 4, 2, 1, bias=bias), kernel.permute(3, 2, 0, 1)
    else:
        made, kernel = nn.ConvTranspose2d(*kernel.shape[:1:-1], 4, 2, 1, bias=bias), kernel.permute(3, 2, 0, 1)
    with torch.no_grad():
        made.weight.copy_(kernel)
        if bias:
            made.bias.copy_(layer.bias.value)
    return made


def channels_first(shape):
    """The pixels of an image of `shape`, flattened channels last, in the order of one flattened channels first."""
    return torch.arange(math.prod(shape)).reshape(shape).permute(2, 0, 1).flatten()


def by_hand(network):
    """The network in `torch.nn`, channels first: dense weights at images are put into the order of their pixels."""
    modules, found = [], stages(network)
    for i, stage in enumerate(found):
        rows = columns = slice(None)
        to_image = found[i + 1].shape if i + 1 < len(found) and len(found[i + 1].shape or ()) == 3 else None
        if len(stage.shape or ()) == 1:  # from an image
            channels = found[i - 1].linear.filters
            side = math.isqrt(stage.shape[0] // channels)
            rows = channels_first((side, side, channels))
            modules.append(nn.Flatten())
        if to_image:
            columns = channels_first(to_image)
        modules.append(linear(stage.linear, rows, columns))
        if stage.norm is not None:
            norm = nn.BatchNorm1d if isinstance(stage.linear, keras.layers.Dense) else nn.BatchNorm2d
            modules.append(norm(stage.norm.gamma.shape[0], eps=1e-3, momentum=0.01))
        modules.append(ACTIVATIONS[stage.activation]())
        if to_image:
            modules.append(nn.Unflatten(1, (to_image[2], *to_image[:2])))
    return nn.Sequential(*modules).to(DEVICE).train()


class OnLayers(nn.Module):
    """The Keras network as a module."""

    def __init__(self, network):
        super().__init__()
        vars(self)["network"] = network
        self.weights = nn.ParameterList([v.value for v in network.trainable_variables])

    def forward(self, x):
        return self.network(x, training=True)

    def buffers(self):
        return [v.value for v in self.network.non_trainable_variables]


def advance(optimizer, beta_2):
    """A step of torch's Adam with the epsilon of Keras's: 1e-7 beside sqrt(v), not beside sqrt(v / (1 - beta_2^t))."""
    (group,) = optimizer.param_groups
    group["t"] = group.get("t", 0) + 1
    group["eps"] = 1e-7 / math.sqrt(1.0 - beta_2 ** group["t"])
    optimizer.step()


def loop(model, x, batch_size, optimizer, layers=False, noise=None):
    """A function that trains the networks of the GAN `model` for an epoch; its logs are the losses and mean scores."""
    generator, discriminator = (OnLayers(n) if layers else by_hand(n) for n in (model.generator, model.discriminator))
    rate, *betas = optimizer
    a, b = (torch.optim.Adam(n.parameters(), rate, betas) for n in (generator, discriminator))
    parts, wasserstein = model.discriminator_steps, bool(model.penalties)
    average = [[t.detach().clone() for t in ts] for ts in (generator.parameters(), generator.buffers())]
    half = not layers and model.compute_dtype == "bfloat16"
    x = x if layers or x.ndim == 2 else np.ascontiguousarray(np.moveaxis(x, -1, 1))
    totals, count = torch.zeros(4, device=DEVICE), [0]

    def draw(kind, shape):
        if noise is None:
            return {"normal": torch.randn, "uniform": torch.rand}[kind](shape, device=DEVICE)
        return torch.from_numpy(getattr(noise, kind)(shape)).to(DEVICE)

    def call(network, x):
        with torch.autocast(DEVICE, torch.bfloat16, enabled=half):
            return network(x).float()

    def fake(n):
        return call(generator, draw("normal", (n, model.latent_dim)))

    def score(x):
        return call(discriminator, x)[:, 0]

    def penalty(x, y):
        between = (y + draw("uniform", (len(x), 1)) * (x - y)).requires_grad_(True)
        (slope,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
        return 10.0 * (torch.sqrt((slope**2).sum(1) + 1e-12) - 1.0) ** 2

    def discriminator_step(x):
        with torch.no_grad():
            y = fake(len(x))
        real, other = score(x), score(y)
        loss = other - real + penalty(x, y) if wasserstein else F.softplus(-real) + F.softplus(other)
        logs = torch.stack([t.mean() for t in (loss, real, other)])
        b.zero_grad()
        logs[0].backward()
        advance(b, betas[1])
        return logs.detach()

    def generator_step(n):
        scores = score(fake(n))
        loss = (-scores if wasserstein else F.softplus(-scores)).mean()
        a.zero_grad()
        loss.backward(inputs=list(generator.parameters()))
        advance(a, betas[1])
        return loss.detach()[None]

    @torch.no_grad()
    def follow():
        t = count[0]
        torch._foreach_lerp_(average[0], list(generator.parameters()), 1.0 - min(model.average, (1 + t) / (10 + t)))
        torch._foreach_copy_(average[1], list(generator.buffers()))
        count[0] += 1

    def step(x):
        for k in range(parts):
            logs = discriminator_step(x[k::parts])
        logs = torch.cat([logs, generator_step(len(x[k::parts]))])
        if model.average is not None:
            follow()
        return logs

    return lambda steps=None, shuffle=True: run_epoch(step, x, batch_size, totals, steps, shuffle)
