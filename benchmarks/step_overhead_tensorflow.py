"""The loops of `step_overhead`, written by hand in TensorFlow: `GradientTape` in one `tf.function` a step.

The networks are Keras layers and the optimizer is Keras's, as in any TensorFlow program; sums for the logs are kept
in one variable. `compiled` switches XLA on exactly where `fit` has it on.
"""

import keras
import numpy as np
import tensorflow as tf


def run_epoch(step, x, batch_size, totals, steps=None, shuffle=True):
    """One epoch over shuffled minibatches, or its first `steps`; returns the means of the logs."""
    totals.assign(tf.zeros_like(totals))
    order = np.random.permutation(len(x)) if shuffle else np.arange(len(x))
    steps = steps or len(x) // batch_size
    for i in range(steps):
        step(x[order[i * batch_size : (i + 1) * batch_size]])
    return totals.numpy() / steps


def vae(model, x, batch_size, learning_rate):
    """An epoch of training the networks of the VAE `model`."""
    encoder, posterior = model.encoder, model.posterior_head.projection
    decoder, observation = model.decoder, model.observation_head.projection
    variables = [v for part in (encoder, posterior, decoder, observation) for v in part.trainable_variables]
    optimizer, totals = keras.optimizers.Adam(learning_rate), tf.Variable(tf.zeros(3))
    optimizer.build(variables)

    def terms(x):
        h = tf.reshape(posterior(encoder(x, training=True)), (-1, model.latent_dim, 2))
        mean, scale = h[..., 0], 1e-5 + tf.exp(tf.minimum(h[..., 1], 20.0))
        z = mean + scale * tf.random.normal(tf.shape(mean))
        a = tf.reshape(observation(decoder(z, training=True)), tf.shape(x))
        reconstruction = tf.reduce_sum(tf.nn.softplus(a) - x * a, axis=tuple(range(1, len(x.shape))))
        kl = 0.5 * tf.reduce_sum(scale**2 + mean**2 - 1.0 - 2.0 * tf.math.log(scale), axis=-1)
        return [tf.reduce_mean(t) for t in (reconstruction + kl, reconstruction, kl)]

    @tf.function(jit_compile=model.jit_compile)
    def step(x):
        with tf.GradientTape() as tape:
            logs = terms(x)
        optimizer.apply(tape.gradient(logs[0], [v.value for v in variables]), variables)
        totals.assign_add(tf.stack(logs))

    return lambda: run_epoch(step, x, batch_size, totals)


def wgan_gp(model, x, batch_size, learning_rate):
    """An epoch of training the networks of the WGAN-GP `model`."""
    generator, critic, parts = model.generator, model.critic, model.critic_steps
    players = (generator.trainable_variables, critic.trainable_variables)
    optimizers = [keras.optimizers.Adam(learning_rate, 0.5, 0.9) for _ in players]
    for optimizer, variables in zip(optimizers, players, strict=True):
        optimizer.build(variables)
    totals = tf.Variable(tf.zeros(4))

    def score(x):
        return critic(x, training=True)[:, 0]

    def fake(n):
        return generator(tf.random.normal((n, model.latent_dim)), training=True)

    def critic_terms(x):
        n = tf.shape(x)[0]
        y = tf.stop_gradient(fake(n))
        between = y + tf.random.uniform((n, 1)) * (x - y)
        with tf.GradientTape() as inner:
            inner.watch(between)
            total = tf.reduce_sum(score(between))
        norm = tf.sqrt(tf.reduce_sum(inner.gradient(total, between) ** 2, axis=1) + 1e-12)
        distance = score(x) - score(y)
        return [tf.reduce_mean(t) for t in (10.0 * (norm - 1.0) ** 2 - distance, distance, norm)]

    def minimise(terms, player):
        variables = players[player]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            logs = terms()
        optimizers[player].apply(tape.gradient(logs[0], [v.value for v in variables]), variables)
        return logs

    @tf.function(jit_compile=model.jit_compile)
    def step(x):
        for k in range(parts):
            logs = minimise(lambda k=k: critic_terms(x[k::parts]), 1)
        logs += minimise(lambda: [-tf.reduce_mean(score(fake(tf.shape(x)[0])))], 0)
        totals.assign_add(tf.stack(logs))

    return lambda: run_epoch(step, x, batch_size, totals)
