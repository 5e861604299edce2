"""The networks and loops of `image_to_image`, written by hand in `torch.nn`, channels first.

Weights are copied from the Keras networks: the outputs are compared before anything is timed.
"""

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def convolution(layer, padding="same", mode="zeros"):
    """`nn.Conv2d` with the weights of a Keras `Conv2D`."""
    kernel = torch.from_numpy(np.array(keras.ops.convert_to_numpy(layer.kernel))).permute(3, 2, 0, 1)
    made = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], bias=layer.use_bias, padding=padding)
    with torch.no_grad():
        made.weight.copy_(kernel)
        if layer.use_bias:
            made.bias.copy_(torch.from_numpy(np.array(keras.ops.convert_to_numpy(layer.bias))))
    return made


def ordered(made, scale):
    """A convolution before a rearrangement: outputs in the order of `nn.PixelShuffle`, channel first."""
    outputs, s2 = made.out_channels, scale * scale
    order = torch.arange(outputs).reshape(s2, outputs // s2).T.flatten()
    with torch.no_grad():
        made.weight.copy_(made.weight[order].clone())
        made.bias.copy_(made.bias[order].clone())
    return made


class Residual(nn.Sequential):
    """`x + inner(x)`."""

    def forward(self, x):
        return x + super().forward(x)


def srresnet(network):
    """`networks.SRResNet` without the bicubic skip."""
    prelu = lambda: nn.PReLU(network.filters, init=0.25)  # noqa: E731
    norm = lambda: nn.BatchNorm2d(network.filters, eps=1e-3, momentum=0.01)  # noqa: E731

    def block(found):
        first, _, _, second, _ = found.inner
        return Residual(convolution(first), norm(), prelu(), convolution(second), norm())

    layers = [layer for layer, _ in network.stages]
    head, body, last = layers[0], layers[2], layers[-1]
    *blocks, end, _ = body.inner
    modules = [convolution(head), prelu(), Residual(*map(block, blocks), convolution(end), norm())]
    for up in layers[3:-1:3]:
        factor = 2 if network.scale in (2, 4, 8) else network.scale
        modules += [ordered(convolution(up), factor), nn.PixelShuffle(factor), prelu()]
    return nn.Sequential(*modules, convolution(last)).train()


def super_resolution(model, x, y, rate):
    """A function that trains SRResNet by the L1 loss for so many steps, one batch after the other."""
    network = srresnet(model.network)
    optimizer = torch.optim.Adam(network.parameters(), rate)
    x, y = (torch.from_numpy(np.ascontiguousarray(np.moveaxis(a, -1, -3))) for a in (x, y))

    def epoch(steps=None):
        for k in range(len(x) if steps is None else steps):
            optimizer.zero_grad()
            loss = F.l1_loss(network(y[k]), x[k])
            loss.backward()
            optimizer.step()
        return loss.item()

    return epoch, network


def upscale(model):
    """A function of an image `(h, w, c)` that runs SRResNet or EDSR on the whole of it."""
    network = edsr(model.network)

    @torch.inference_mode()
    def run(image):
        return network(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()

    return run


class EDSR(nn.Module):
    """`networks.EDSR` with direct upsampling and the bicubic skip, by `F.interpolate` (a = -3/4: the same work)."""

    def __init__(self, network):
        super().__init__()
        head, body, last = (network.stages[i][0] for i in (0, 1, 2))
        *blocks, end = body.inner
        pairs = [(convolution(b.inner[0]), convolution(b.inner[2])) for b in blocks]
        self.head, self.end = convolution(head), convolution(end)
        self.blocks = nn.ModuleList([nn.Sequential(a, nn.ReLU(), b) for a, b in pairs])
        self.last, self.scale, self.r = ordered(convolution(last), network.scale), network.scale, network.residual_scale

    def forward(self, y):
        h = first = self.head(y)
        for block in self.blocks:
            h = h + self.r * block(h)
        detail = F.pixel_shuffle(self.last(first + self.end(h)), self.scale)
        return detail + F.interpolate(y, scale_factor=self.scale, mode="bicubic")


def edsr(network):
    return EDSR(network).eval()
