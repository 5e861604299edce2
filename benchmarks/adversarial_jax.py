"""The loops of `adversarial`, written by hand in JAX: pure functions, `value_and_grad`, `jit` with donated state.

A network is `apply(p, s, h) -> (output, new s)` of its weights p and its moving statistics s. By hand that is JAX's
own operations on the weights of the Keras network; `layers` are the Keras layers as pure functions.
"""

import jax
import jax.numpy as jnp
import keras

from benchmarks.adversarial_networks import stages
from benchmarks.step_overhead_jax import IMAGE, adam, adam_state, epochs

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "leaky_relu": lambda h: jnp.where(h > 0, h, 0.2 * h),
    "sigmoid": jax.nn.sigmoid,
    "linear": lambda h: h,
}


def linear(layer, kernel, h):
    """The dense or convolutional map of the Keras `layer`."""
    if isinstance(layer, keras.layers.Dense):
        return h @ kernel
    if isinstance(layer, keras.layers.Conv2D):
        return jax.lax.conv_general_dilated(h, kernel, (2, 2), "SAME", dimension_numbers=IMAGE)
    return jax.lax.conv_transpose(h, kernel, (2, 2), "SAME", dimension_numbers=IMAGE, transpose_kernel=True)


def normalise(w, s, h):
    """Batch normalisation in training, in float32 at least, and its moving statistics."""
    wide, axes = h.astype(jnp.float32), tuple(range(h.ndim - 1))
    mean, variance = wide.mean(axes), wide.var(axes)
    scale = w["gamma"] * jax.lax.rsqrt(variance + 1e-3)
    moved = [0.99 * old + 0.01 * new for old, new in zip(s, (mean, variance), strict=True)]
    return (wide * scale + (w["beta"] - mean * scale)).astype(h.dtype), moved


def by_hand(network):
    """`(apply, p, s)` in JAX's own operations."""
    found = stages(network)
    p = [{"kernel": jnp.array(stage.linear.kernel.value)} for stage in found]
    for w, stage in zip(p, found, strict=True):
        own = [("bias", stage.linear.bias)] if stage.linear.use_bias else []
        own += [] if stage.norm is None else [("gamma", stage.norm.gamma), ("beta", stage.norm.beta)]
        w.update({name: jnp.array(variable.value) for name, variable in own})
    s = [[jnp.array(v.value) for v in ([] if t.norm is None else t.norm.non_trainable_variables)] for t in found]

    def apply(p, s, h):
        h, moved = h.astype(network.compute_dtype), []
        for stage, w, own in zip(found, p, s, strict=True):
            h = h if stage.shape is None else h.reshape(len(h), *stage.shape)
            h = linear(stage.linear, w["kernel"].astype(h.dtype), h)
            h = h + w["bias"].astype(h.dtype) if "bias" in w else h
            h, own = (h, own) if stage.norm is None else normalise(w, own, h)
            h = ACTIVATIONS[stage.activation](h)
            moved.append(own)
        return h.astype(jnp.float32), moved

    return apply, p, s


def on_layers(network):
    """`(apply, p, s)` of the Keras layers."""
    p, s = ([jnp.array(v.value) for v in vs] for vs in (network.trainable_variables, network.non_trainable_variables))

    def apply(p, s, h):
        h, moved = network.stateless_call(p, s, h, training=True)
        return h.astype(jnp.float32), moved

    return apply, p, s


def copies(tree):
    return jax.tree.map(jnp.array, tree)


def loop(model, x, batch_size, optimizer, layers=False, noise=None):
    """A function that trains the networks of the GAN `model` for an epoch; its logs are the losses and mean scores."""
    make = on_layers if layers else by_hand
    (generate, g, s), (judge, d, u) = make(model.generator), make(model.discriminator)
    parts, wasserstein = model.discriminator_steps, bool(model.penalties)

    def draw(kind, key, shape):
        return getattr(jax.random, kind)(key, shape) if noise is None else getattr(noise, kind)(shape)

    def score(d, u, x):
        scores, u = judge(d, u, x)
        return scores[:, 0], u

    def penalty(d, u, x, fake, key):
        between = fake + draw("uniform", key, (len(x), 1)) * (x - fake)
        slope = jax.grad(lambda y: score(d, u, y)[0].sum())(between)
        return 10.0 * (jnp.sqrt(jnp.sum(slope**2, axis=1) + 1e-12) - 1.0) ** 2

    def discriminator_loss(d, u, x, fake, key):
        real, u = score(d, u, x)
        other, u = score(d, u, fake)
        if wasserstein:
            loss = other - real + penalty(d, u, x, fake, key)
        else:
            loss = jax.nn.softplus(-real) + jax.nn.softplus(other)
        logs = jnp.stack([t.mean() for t in (loss, real, other)])
        return logs[0], (logs, u)

    def generator_loss(g, d, s, u, z):
        fake, s = generate(g, s, z)
        scores, u = score(d, u, fake)
        return (-scores if wasserstein else jax.nn.softplus(-scores)).mean(), (s, u)

    def follow(average, g, s, t):
        b = jnp.minimum(model.average, (1.0 + t) / (10.0 + t))
        return jax.tree.map(lambda a, w: b * a + (1.0 - b) * w, average[0], g), s

    def step(state, x):
        g, s, d, u, average, a, b, t, key, totals = state
        for k in range(parts):
            key, *own = jax.random.split(key, 3)
            part = x[k::parts]
            fake, s = generate(g, s, draw("normal", own[0], (len(part), model.latent_dim)))
            (_, (logs, u)), slope = jax.value_and_grad(discriminator_loss, has_aux=True)(d, u, part, fake, own[1])
            d, b = adam(d, b, slope, *optimizer)
        key, own = jax.random.split(key)
        z = draw("normal", own, (len(part), model.latent_dim))
        (loss, (s, u)), slope = jax.value_and_grad(generator_loss, has_aux=True)(g, d, s, u, z)
        g, a = adam(g, a, slope, *optimizer)
        average = average if average is None else follow(average, g, s, t)
        return g, s, d, u, average, a, b, t + 1.0, key, totals + jnp.append(logs, loss)

    average = None if model.average is None else (copies(g), copies(s))
    state = (g, s, d, u, average, adam_state(g), adam_state(d), jnp.zeros(()), jax.random.key(0), jnp.zeros(4))
    return epochs(jax.jit(step, donate_argnums=0), state, x, batch_size)
