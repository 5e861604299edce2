"""The loops of `step_overhead`, written by hand in torch: `torch.nn`, autograd, `torch.optim`.

Images lie channels first here, as torch has them; the sizes are those of the Keras model. `vae_on_keras_layers` is the
same loop around the Keras layers themselves: what it needs more than `vae` is the cost of Keras's layers.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def run_epoch(step, x, batch_size, totals, steps=None, shuffle=True):
    """One epoch over shuffled minibatches, or its first `steps`; returns the means of the logs."""
    totals.zero_()
    order = np.random.permutation(len(x)) if shuffle else np.arange(len(x))
    steps = steps or len(x) // batch_size
    for i in range(steps):
        batch = torch.from_numpy(x[order[i * batch_size : (i + 1) * batch_size]]).to(DEVICE)
        totals.add_(step(batch))
    return totals.cpu().numpy() / steps


def dense_networks(latent_dim, event_shape):
    """784-200-200-(2 latent_dim) and latent_dim-200-200-784."""
    size = event_shape[0]
    encoder = [nn.Linear(size, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, 2 * latent_dim)]
    decoder = [nn.Linear(latent_dim, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, size)]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def conv_networks(latent_dim, event_shape):
    """Two strided convolutions and a dense layer, and their mirror."""
    height, width = (size // 4 for size in event_shape[:2])
    encoder = nn.Sequential(
        *(nn.Conv2d(event_shape[2], 32, 3, 2, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(height * width * 64, 2 * latent_dim)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(latent_dim, height * width * 64), nn.ReLU(), nn.Unflatten(1, (64, height, width))),
        *(nn.ConvTranspose2d(64, 32, 3, 2, padding=1, output_padding=1), nn.ReLU()),
        *(nn.ConvTranspose2d(32, 32, 3, 2, padding=1, output_padding=1), nn.ReLU(), nn.Conv2d(32, event_shape[2], 1)),
    )
    return encoder, decoder


def vae(model, x, batch_size, learning_rate):
    """An epoch of training networks of the sizes of the VAE `model`."""
    build = dense_networks if len(model.event_shape) == 1 else conv_networks
    encoder, decoder = (network.to(DEVICE) for network in build(model.latent_dim, model.event_shape))
    x = x if len(model.event_shape) == 1 else np.ascontiguousarray(np.moveaxis(x, -1, 1))
    return _vae_epoch(
        encoder, decoder, [*encoder.parameters(), *decoder.parameters()], model, x, batch_size, learning_rate
    )


def vae_on_keras_layers(model, x, batch_size, learning_rate):
    """The same around the Keras layers of `model`."""
    posterior, observation = model.posterior_head.projection, model.observation_head.projection
    variables = [v for part in (model.encoder, posterior, model.decoder, observation) for v in part.trainable_variables]
    return _vae_epoch(
        *(lambda x: posterior(model.encoder(x, training=True)), lambda z: observation(model.decoder(z, training=True))),
        *([v.value for v in variables], model, x, batch_size, learning_rate),
    )


def _vae_epoch(encoder, decoder, parameters, model, x, batch_size, learning_rate):
    optimizer, totals = torch.optim.Adam(parameters, learning_rate, eps=1e-7), torch.zeros(3, device=DEVICE)

    def step(x):
        h = encoder(x).reshape(len(x), model.latent_dim, 2)
        mean, scale = h[..., 0], 1e-5 + torch.exp(torch.clamp(h[..., 1], max=20.0))
        a = decoder(mean + scale * torch.randn_like(mean)).reshape(x.shape)
        reconstruction = (F.softplus(a) - x * a).flatten(1).sum(1)
        kl = 0.5 * (scale**2 + mean**2 - 1.0 - 2.0 * torch.log(scale)).sum(1)
        logs = torch.stack([(reconstruction + kl).mean(), reconstruction.mean(), kl.mean()])
        optimizer.zero_grad()
        logs[0].backward()
        optimizer.step()
        return logs.detach()

    return lambda: run_epoch(step, x, batch_size, totals)


def wgan_networks(latent_dim, units, size):
    generator = nn.Sequential(
        *(nn.Linear(latent_dim, units, bias=False), nn.BatchNorm1d(units, eps=1e-3, momentum=0.1), nn.ReLU()),
        *(nn.Linear(units, size), nn.Sigmoid()),
    )
    hidden = [nn.Linear(size, units), nn.LeakyReLU(0.2), nn.Dropout(0.1)]
    return generator.to(DEVICE), nn.Sequential(*hidden, nn.Linear(units, 1, bias=False)).to(DEVICE)


def wgan_gp(model, x, batch_size, learning_rate):
    """An epoch of training networks of the sizes of the WGAN-GP `model`."""
    generator, critic = wgan_networks(model.latent_dim, model.units, model.event_shape[0])
    a, b = (torch.optim.Adam(n.parameters(), learning_rate, (0.5, 0.9), 1e-7) for n in (generator, critic))
    totals = torch.zeros(4, device=DEVICE)

    def fake(n):
        return generator(torch.randn(n, model.latent_dim, device=DEVICE))

    def critic_step(x):
        with torch.no_grad():
            y = fake(len(x))
        between = (y + torch.rand(len(x), 1, device=DEVICE) * (x - y)).requires_grad_(True)
        (g,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        norm = torch.sqrt((g**2).sum(1) + 1e-12)
        distance = critic(x)[:, 0] - critic(y)[:, 0]
        logs = torch.stack([(10.0 * (norm - 1.0) ** 2 - distance).mean(), distance.mean(), norm.mean()])
        b.zero_grad()
        logs[0].backward()
        b.step()
        return logs.detach()

    def step(x):
        for k in range(model.critic_steps):
            logs = critic_step(x[k :: model.critic_steps])
        loss = -critic(fake(len(x))).mean()
        a.zero_grad()
        loss.backward(inputs=list(generator.parameters()))
        a.step()
        return torch.cat([logs, loss.detach()[None]])

    return lambda: run_epoch(step, x, batch_size, totals)
