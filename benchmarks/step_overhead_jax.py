"""The loops of `step_overhead`, written by hand in JAX: pure functions, `value_and_grad`, `jit` with donated state.

Parameters are lists of `(kernel, bias)`, read from the Keras model so that both sides train the same networks.
"""

import jax
import jax.numpy as jnp
import numpy as np

IMAGE = ("NHWC", "HWIO", "NHWC")


def run_epoch(step, state, x, batch_size, steps=None, shuffle=True):
    """One epoch over shuffled minibatches, or its first `steps`; returns the new state and the means of the logs."""
    state = (*state[:-1], jnp.zeros_like(state[-1]))
    order = np.random.permutation(len(x)) if shuffle else np.arange(len(x))
    steps = steps or len(x) // batch_size
    for i in range(steps):
        state = step(state, x[order[i * batch_size : (i + 1) * batch_size]])
    return state, np.asarray(state[-1]) / steps


def epochs(step, state, x, batch_size):
    """A function that trains one epoch, keeping its state between calls; arguments as the last of `run_epoch`."""
    kept = [state]

    def epoch(steps=None, shuffle=True):
        kept[0], logs = run_epoch(step, kept[0], x, batch_size, steps, shuffle)
        return logs

    return epoch


def weights(*layers):
    """The weights of Keras layers as arrays, in one list; copies, for the state is donated."""
    return [jnp.array(w) for layer in layers for w in layer.get_weights()]


def adam_state(p):
    return jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.zeros(())


def adam(p, state, g, rate, beta_1=0.9, beta_2=0.999):
    """One step of Adam on the tree of parameters `p`; written as beta a + (1 - beta) b it takes XLA longer."""
    m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda a, b: a + (1 - beta_1) * (b - a), m, g)
    v = jax.tree.map(lambda a, b: a + (1 - beta_2) * (b * b - a), v, g)
    rate = rate * jnp.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return jax.tree.map(lambda p, a, b: p - rate * a / (jnp.sqrt(b) + 1e-7), p, m, v), (m, v, t)


def dense(h, kernel, bias):
    return h @ kernel + bias


def conv(h, kernel, bias):
    return jax.lax.conv_general_dilated(h, kernel, (2, 2), "SAME", dimension_numbers=IMAGE) + bias


def conv_transpose(h, kernel, bias):
    return jax.lax.conv_transpose(h, jnp.swapaxes(kernel, 2, 3), (2, 2), "SAME", dimension_numbers=IMAGE) + bias


def encode(p, x):
    if x.ndim == 2:
        return dense(jnp.tanh(dense(jnp.tanh(dense(x, *p[:2])), *p[2:4])), *p[4:])
    h = jax.nn.relu(conv(jax.nn.relu(conv(x, *p[:2])), *p[2:4]))
    return dense(h.reshape(len(h), -1), *p[4:])


def decode(p, z, shape):
    if len(shape) == 2:
        return dense(jnp.tanh(dense(jnp.tanh(dense(z, *p[:2])), *p[2:4])), *p[4:])
    h = jax.nn.relu(dense(z, *p[:2])).reshape(len(z), shape[1] // 4, shape[2] // 4, -1)
    h = jax.nn.relu(conv_transpose(jax.nn.relu(conv_transpose(h, *p[2:4])), *p[4:6]))
    return dense(h, *p[6:])


def vae(model, x, batch_size, learning_rate):
    """An epoch of training the networks of the VAE `model`."""
    p = (
        weights(model.encoder, model.posterior_head.projection),
        weights(model.decoder, model.observation_head.projection),
    )

    def loss(p, x, key):
        h = encode(p[0], x).reshape(len(x), -1, 2)
        mean, scale = h[..., 0], 1e-5 + jnp.exp(jnp.minimum(h[..., 1], 20.0))
        a = decode(p[1], mean + scale * jax.random.normal(key, mean.shape), x.shape)
        reconstruction = jnp.sum(jax.nn.softplus(a) - x * a, axis=tuple(range(1, x.ndim)))
        kl = 0.5 * jnp.sum(scale**2 + mean**2 - 1.0 - 2.0 * jnp.log(scale), axis=-1)
        logs = jnp.stack([jnp.mean(t) for t in (reconstruction + kl, reconstruction, kl)])
        return logs[0], logs

    def step(state, x):
        p, optimizer, key, totals = state
        key, draw = jax.random.split(key)
        (_, logs), g = jax.value_and_grad(loss, has_aux=True)(p, x, draw)
        p, optimizer = adam(p, optimizer, g, learning_rate)
        return p, optimizer, key, totals + logs

    state = (p, adam_state(p), jax.random.key(0), jnp.zeros(3))
    return epochs(jax.jit(step, donate_argnums=0), state, x, batch_size)


def generate(p, statistics, z):
    """The generator in training: its output, and the moving statistics of its batch normalisation."""
    h = z @ p[0]
    mean, variance = h.mean(axis=0), h.var(axis=0)
    h = (h - mean) / jnp.sqrt(variance + 1e-3) * p[1] + p[2]
    moved = [0.9 * old + 0.1 * new for old, new in zip(statistics, (mean, variance), strict=True)]
    return jax.nn.sigmoid(dense(jax.nn.relu(h), *p[3:])), moved


def score(p, x, key):
    h = dense(x, *p[:2])
    h = jnp.where(h > 0, h, 0.2 * h)
    kept = jax.random.bernoulli(key, 0.9, h.shape)
    return (jnp.where(kept, h / 0.9, 0.0) @ p[2])[:, 0]


def critic_loss(p, x, fake, key):
    keys = jax.random.split(key, 4)
    between = fake + jax.random.uniform(keys[0], (len(x), 1)) * (x - fake)
    g = jax.grad(lambda y: score(p, y, keys[1]).sum())(between)
    norm = jnp.sqrt(jnp.sum(g**2, axis=1) + 1e-12)
    distance = score(p, x, keys[2]) - score(p, fake, keys[3])
    logs = jnp.stack([jnp.mean(t) for t in (10.0 * (norm - 1.0) ** 2 - distance, distance, norm)])
    return logs[0], logs


def wgan_gp(model, x, batch_size, learning_rate):
    """An epoch of training the networks of the WGAN-GP `model`."""
    w, parts = weights(model.generator), model.critic_steps
    g, statistics, f = [*w[:3], *w[5:]], w[3:5], weights(model.critic)

    def generator_loss(g, f, statistics, n, key):
        draw, drop = jax.random.split(key)
        fake, statistics = generate(g, statistics, jax.random.normal(draw, (n, model.latent_dim)))
        return -score(f, fake, drop).mean(), statistics

    def step(state, x):
        g, f, statistics, a, b, key, totals = state
        for k in range(parts):
            key, draw, rest = jax.random.split(key, 3)
            part = x[k::parts]
            fake, statistics = generate(g, statistics, jax.random.normal(draw, (len(part), model.latent_dim)))
            (_, logs), gradient = jax.value_and_grad(critic_loss, has_aux=True)(f, part, fake, rest)
            f, b = adam(f, b, gradient, learning_rate, 0.5, 0.9)
        key, rest = jax.random.split(key)
        (loss, statistics), gradient = jax.value_and_grad(generator_loss, has_aux=True)(g, f, statistics, len(x), rest)
        g, a = adam(g, a, gradient, learning_rate, 0.5, 0.9)
        return g, f, statistics, a, b, key, totals + jnp.append(logs, loss)

    state = (g, f, statistics, adam_state(g), adam_state(f), jax.random.key(0), jnp.zeros(4))
    return epochs(jax.jit(step, donate_argnums=0), state, x, batch_size)
