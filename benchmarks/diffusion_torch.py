"""The same U-Net, its training step and its sampling loops in plain torch, channels first: the peer of `diffusion`.

The network is `networks.UNet` of (28, 28, 1) with as many weights: residual blocks with scale and shift, attention at
the smallest size, the embedding of a number. A training step is the regression of epsilon, Adam and an average of the
weights; sampling is the loop of diffusers: the network in eager mode, coefficients as Python numbers, a step at a time.
"""

import math

import torch
from torch import nn
from torch.nn import functional


def normalization(channels):
    return nn.GroupNorm(max(1, min(32, channels // 4)), channels)


class Block(nn.Module):
    def __init__(self, inputs, outputs, embedding, attention=False):
        super().__init__()
        self.norm_1, self.conv_1 = normalization(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm_2, self.conv_2 = normalization(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.of_e = nn.Linear(embedding, 2 * outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.attention = attention
        if attention:
            self.norm = normalization(outputs)
            self.qkv, self.out = nn.Conv2d(outputs, 3 * outputs, 1), nn.Conv2d(outputs, outputs, 1)

    def forward(self, x, e):
        scale, shift = self.of_e(e)[..., None, None].chunk(2, 1)
        h = self.norm_2(self.conv_1(functional.silu(self.norm_1(x)))) * (1 + scale) + shift
        h = self.shortcut(x) + self.conv_2(functional.silu(h))
        return h + self._attended(h) if self.attention else h

    def _attended(self, h):
        n, c, height, width = h.shape
        q, k, v = self.qkv(self.norm(h)).view(n, 3, 4, c // 4, height * width).transpose(-1, -2).unbind(1)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(-1, -2).reshape(n, c, height, width))


class UNet(nn.Module):
    """From images `(n, 1, h, w)` and numbers `(n,)` to images."""

    def __init__(self, channels=32, multipliers=(1, 2, 2), blocks=1):
        super().__init__()
        embedding, depths = 4 * channels, [channels * m for m in multipliers]
        self.blocks, self.channels = blocks, channels
        dense = nn.Linear(channels, embedding), nn.Linear(embedding, embedding)
        self.embed = nn.Sequential(dense[0], nn.SiLU(), dense[1], nn.SiLU())
        self.first, last = nn.Conv2d(1, channels, 3, padding=1), len(depths) - 1
        self.down, self.up, self.halvings, self.doublings = (nn.ModuleList() for _ in range(4))
        skips, depth = [channels], channels
        for i, d in enumerate(depths):
            for _ in range(blocks):
                self.down.append(Block(depth, d, embedding, i == last))
                depth = d
                skips.append(depth)
            if i < last:
                self.halvings.append(nn.Conv2d(depth, depth, 3, stride=2, padding=1))
                skips.append(depth)
        self.middle = nn.ModuleList([Block(depth, depth, embedding, True), Block(depth, depth, embedding)])
        for i, d in reversed(list(enumerate(depths))):
            for _ in range(blocks + 1):
                self.up.append(Block(depth + skips.pop(), d, embedding, i == last))
                depth = d
            if i:
                self.doublings.append(nn.Conv2d(depth, depth, 3, padding=1))
        self.norm, self.out = normalization(depth), nn.Conv2d(depth, 1, 3, padding=1)

    def forward(self, x, number):
        rates = 25 * 10000 ** (-torch.arange(self.channels // 2) / (self.channels // 2))
        phase = number[:, None] * rates
        e, h = self.embed(torch.cat([phase.sin(), phase.cos()], 1)), self.first(x)
        skips = [h]
        for i in range(len(self.halvings) + 1):
            for block in self.down[i * self.blocks : (i + 1) * self.blocks]:
                h = block(h, e)
                skips.append(h)
            if i < len(self.halvings):
                h = self.halvings[i](h)
                skips.append(h)
        for block in self.middle:
            h = block(h, e)
        for i in range(len(self.doublings) + 1):
            for block in self.up[i * (self.blocks + 1) : (i + 1) * (self.blocks + 1)]:
                h = block(torch.cat([h, skips.pop()], 1), e)
            if i < len(self.doublings):
                h = self.doublings[i](functional.interpolate(h, scale_factor=2, mode="nearest"))
        return self.out(functional.silu(self.norm(h)))


class Trainer:
    """A training step: epsilon's regression, Adam, the average of the weights."""

    def __init__(self, network, decay=0.999):
        self.network, self.decay = network, decay
        self.adam = torch.optim.Adam(network.parameters(), 1e-3)
        self.average = [p.detach().clone() for p in network.parameters()]

    def step(self, x):
        t, noise = torch.rand(len(x)), torch.randn_like(x)
        alpha, sigma = torch.cos(math.pi / 2 * t), torch.sin(math.pi / 2 * t)
        x_t = alpha[:, None, None, None] * x + sigma[:, None, None, None] * noise
        loss = ((self.network(x_t, 2 * (alpha.log() - sigma.log()).clamp(-10, 10)) - noise) ** 2).mean()
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        with torch.no_grad():
            for a, p in zip(self.average, self.network.parameters(), strict=True):
                a.lerp_(p, 1 - self.decay)
        return float(loss)


@torch.no_grad()
def sample(network, x, levels, solver="ddim"):
    """The loop over `levels`, pairs (alpha, sigma), by DDIM or DPM-Solver++ 2M; the network predicts epsilon."""
    before = None
    for i, (alpha, sigma) in enumerate(levels):
        log_snr = 2 * (math.log(alpha) - math.log(sigma))
        eps = network(x, torch.full((len(x),), max(-20.0, min(20.0, log_snr))))
        clean = ((x - sigma * eps) / alpha).clamp(-1, 1)
        if i + 1 == len(levels):
            return clean
        alpha_s, sigma_s = levels[i + 1]
        if solver == "ddim":
            x = alpha_s * clean + sigma_s * (x - alpha * clean) / sigma
            continue
        h = math.log(alpha_s / sigma_s) - log_snr / 2
        bend = 0.0 if before is None else h / before[1] / 2
        mixed = clean if before is None else (1 + bend) * clean - bend * before[0]
        x, before = sigma_s / sigma * x - alpha_s * math.expm1(-h) * mixed, (clean, h)
