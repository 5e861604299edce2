"""Peers of `benchmarks.generation` in plain torch: a WaveNet with queues, and a GPT that is sampled without a cache.

The WaveNet is that of Le Paine et al. 2016 (arXiv:1611.09482): a queue a layer, here a tensor written round and round;
its step is plain torch, without gradients. The GPT is sampled as minGPT is: the whole sequence through the network for
each new token.
"""

import torch
from torch import nn


class WaveNet(nn.Module):
    """Gated residual blocks of kernel 2, one step at a time."""

    def __init__(self, channels, skip_channels, dilations, levels=256):
        super().__init__()
        self.dilations, self.channels = dilations, channels
        self.table = nn.Embedding(levels, channels)
        self.first = nn.Linear(channels, channels)
        self.gates = nn.ModuleList(nn.Linear(2 * channels, 2 * channels) for _ in dilations)
        self.outs = nn.ModuleList(nn.Linear(channels, channels + skip_channels) for _ in dilations)
        self.of_skips, self.head = nn.Linear(skip_channels, skip_channels), nn.Linear(skip_channels, levels)

    @torch.no_grad()
    def sample(self, n, length, seed=0):
        """Levels `(length, n)`."""
        generator = torch.Generator().manual_seed(seed)
        queues = [torch.zeros(d, n, self.channels) for d in self.dilations]
        x, out = torch.zeros(n, dtype=torch.long), torch.zeros(length, n, dtype=torch.long)
        for t in range(length):
            h, skips = self.first(self.table(x)), 0.0
            for d, queue, gate, project in zip(self.dilations, queues, self.gates, self.outs, strict=True):
                past = queue[t % d].clone()
                queue[t % d] = h
                a, b = gate(torch.cat([past, h], dim=-1)).chunk(2, dim=-1)
                residual, skip = project(torch.tanh(a) * torch.sigmoid(b)).split(
                    [self.channels, self.head.in_features], -1
                )
                h, skips = h + residual, skips + skip
            logits = self.head(torch.relu(self.of_skips(torch.relu(skips))))
            x = torch.multinomial(torch.softmax(logits, dim=-1), 1, generator=generator)[:, 0]
            out[t] = x
        return out


class GPT(nn.Module):
    """Pre-norm blocks with learned positions; `sample` evaluates the whole sequence for each token."""

    def __init__(self, classes, length, width, depth, heads):
        super().__init__()
        self.table, self.place = nn.Embedding(classes, width), nn.Embedding(length, width)
        block = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        h = self.blocks(self.table(x) + self.place.weight[: x.shape[1]], mask=mask, is_causal=True)
        return self.head(self.norm(h))

    @torch.no_grad()
    def sample(self, n, length, seed=0):
        """Tokens `(n, length)`."""
        generator, x = torch.Generator().manual_seed(seed), torch.zeros(n, 1, dtype=torch.long)
        for _ in range(length):
            p = torch.softmax(self(x)[:, -1], dim=-1)
            x = torch.cat([x, torch.multinomial(p, 1, generator=generator)], dim=1)
        return x[:, 1:]
