"""The networks and loops of `image_to_image`, written by hand in `torch.nn`, channels first.

Weights are copied from the Keras networks: the outputs are compared before anything is timed.
"""

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def convolution(layer):
    """`nn.Conv2d` with the weights of a Keras `Conv2D`."""
    kernel = torch.from_numpy(np.array(keras.ops.convert_to_numpy(layer.kernel))).permute(3, 2, 0, 1)
    made = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], bias=layer.use_bias, padding="same")
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

    layers = network.stages
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


def check_same(network, layer, y):
    """Raise unless the torch network gives what the Keras layer gives for y, in training mode."""
    with torch.no_grad():
        ours = np.array(keras.ops.convert_to_numpy(layer(y, training=True)))
        theirs = network(torch.from_numpy(np.moveaxis(y, -1, 1))).permute(0, 2, 3, 1).numpy()
    if not np.allclose(ours, theirs, rtol=0, atol=1e-4):
        raise SystemExit(f"The networks differ by {np.abs(ours - theirs).max()}.")


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
        head, body, last = network.stages[:3]
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


# CycleGAN: the same layers, weights of their own.


def translator(filters=64, blocks=6, channels=3):
    """`networks.TranslationResNet`."""

    def block(size, out, kernel, stride=1, pad="reflect", act=True):
        layers = [nn.Conv2d(size, out, kernel, stride, kernel // 2, padding_mode=pad, bias=True)]
        return [*layers, nn.InstanceNorm2d(out, affine=True), *([nn.ReLU()] if act else [])]

    def up(size):
        convolution = nn.ConvTranspose2d(size, size // 2, 3, 2, 1, output_padding=1)
        return [convolution, nn.InstanceNorm2d(size // 2, affine=True), nn.ReLU()]

    f, d = filters, 4 * filters
    middle = [Residual(*block(d, d, 3), *block(d, d, 3, act=False)) for _ in range(blocks)]
    down = [*block(f, 2 * f, 3, 2, "zeros"), *block(2 * f, d, 3, 2, "zeros")]
    end = [nn.Conv2d(f, channels, 7, padding=3, padding_mode="reflect"), nn.Sigmoid()]
    return nn.Sequential(*block(channels, f, 7), *down, *middle, *up(d), *up(2 * f), *end)


def patch_discriminator(filters=(64, 128, 256, 512), channels=3):
    """`networks.PatchDiscriminator`."""
    layers, size = [], channels
    for i, count in enumerate(filters):
        last = i == len(filters) - 1
        layers.append(nn.Conv2d(size, count, 4, 1 if last else 2, "same" if last else 1))
        layers += [nn.InstanceNorm2d(count, affine=True)] * (i > 0) + [nn.LeakyReLU(0.2)]
        size = count
    return nn.Sequential(*layers, nn.Conv2d(size, 1, 4, padding="same"))


class Pool:
    """The last 50 fakes: with probability 1/2 one of them is shown, and replaced."""

    def __init__(self, size=50):
        self.size, self.images = size, []

    def __call__(self, image):
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        if np.random.random() < 0.5:
            return image
        k = np.random.randint(self.size)
        shown, self.images[k] = self.images[k], image
        return shown


def cycle_gan(model, a, b, rate, cycle=10.0, identity=0.5):
    """A function that trains a CycleGAN for an epoch of single pairs of images."""
    g_ab, g_ba, d_a, d_b = translator(), translator(), patch_discriminator(), patch_discriminator()
    generators = torch.optim.Adam([*g_ab.parameters(), *g_ba.parameters()], rate)
    discriminators = torch.optim.Adam([*d_a.parameters(), *d_b.parameters()], rate)
    a, b = (torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1))) for x in (a, b))
    pool_a, pool_b, half = Pool(), Pool(), 0.5

    def real(scores):
        return half * ((scores - 1.0) ** 2).mean()

    def fake(scores):
        return half * (scores**2).mean()

    def step(x, y):
        to_b, to_a = g_ab(x), g_ba(y)
        loss = real(d_b(to_b)) + real(d_a(to_a))
        loss = loss + cycle * (F.l1_loss(g_ba(to_b), x) + F.l1_loss(g_ab(to_a), y))
        loss = loss + identity * cycle * (F.l1_loss(g_ba(x), x) + F.l1_loss(g_ab(y), y))
        generators.zero_grad()
        loss.backward(inputs=[*g_ab.parameters(), *g_ba.parameters()])
        generators.step()
        shown_a, shown_b = pool_a(to_a.detach()), pool_b(to_b.detach())
        loss = real(d_a(x)) + fake(d_a(shown_a)) + real(d_b(y)) + fake(d_b(shown_b))
        discriminators.zero_grad()
        loss.backward()
        discriminators.step()
        return loss

    def epoch():
        for k in range(len(a)):
            loss = step(a[k : k + 1], b[k : k + 1])
        return loss.item()

    return epoch
