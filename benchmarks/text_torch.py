"""The Transformer of nanoGPT's small setting in plain torch, from its description: the peer of `text_transformer`.

Learned positions and learned characters are added; blocks of layer normalisation, causal attention by
`scaled_dot_product_attention`, layer normalisation and a map of each position to four times the width and back, with
GELU; no biases; the head shares its weights with the table of characters. Weights begin as N(0, 0.02^2), those that
write into the sum divided by sqrt(2 L).

    python -m benchmarks.text_torch
"""

import argparse
import json
import math
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.text_data import BATCH, BLOCK, STEPS, drawn, held_out, rate_at, texts

WIDTH, DEPTH, HEADS = 128, 4, 4


class Block(nn.Module):
    """`a = h + attention(norm(h))`, `a + map(norm(a))`."""

    def __init__(self):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.to_heads, self.to_out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def attended(self, h):
        n, t, _ = h.shape
        q, k, v = self.to_heads(h).view(n, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.to_out(y.transpose(1, 2).reshape(n, t, WIDTH))

    def forward(self, h):
        a = h + self.attended(self.norm_1(h))
        return a + self.narrow(F.gelu(self.wide(self.norm_2(a))))


class Transformer(nn.Module):
    """Logits `(n, t, V)` of the next character, of characters `(n, t)`."""

    def __init__(self, classes):
        super().__init__()
        self.table, self.place = nn.Embedding(classes, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(WIDTH, bias=False), nn.Linear(WIDTH, classes, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                last = name.endswith(("to_out.weight", "narrow.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * DEPTH) if last else 0.02)
        self.head.weight = self.table.weight

    def forward(self, x):
        h = self.table(x) + self.place.weight[: x.shape[1]]
        return self.head(self.norm(self.blocks(h)))

    def nats(self, windows):
        """Nats of each character of windows `(n, t + 1)` but the first, `(n, t)`."""
        logits = self(windows[:, :-1])
        return F.cross_entropy(logits.transpose(1, 2), windows[:, 1:], reduction="none")


def trained(windows, classes, seed):
    """The model after a step a batch of `windows`, and the (wall, processor) seconds of the training."""
    torch.manual_seed(seed)
    model = Transformer(classes)
    decay = [p for p in model.parameters() if p.ndim >= 2]
    groups = [{"params": decay, "weight_decay": 0.1}, {"params": [p for p in model.parameters() if p.ndim < 2]}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0)
    windows, begun = torch.from_numpy(windows.astype("int64")), (time.perf_counter(), time.process_time())
    for step, batch in enumerate(windows.split(BATCH)):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        loss = model.nats(batch).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model, (time.perf_counter() - begun[0], time.process_time() - begun[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    vocabulary, train, test = texts()
    model, seconds = trained(drawn(train, options.steps, options.seed), len(vocabulary), options.seed)
    with torch.no_grad():
        windows = torch.from_numpy(held_out(test).astype("int64"))
        nats = np.concatenate([model.nats(part).numpy() for part in windows.split(256)])
    weights = sum(p.numel() for p in model.parameters())
    found = {"nats": float(nats.mean()), "weights": weights, "steps": options.steps}
    found = {**found, "wall_seconds": seconds[0], "processor_seconds": seconds[1]}
    print(json.dumps({**found, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
