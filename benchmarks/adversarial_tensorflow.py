"""The loops of `adversarial`, written by hand in TensorFlow: tapes in one `tf.function` a step, Keras's optimizer.

By hand a network is TensorFlow's own operations on the variables of the Keras network; `layers` is that network.
XLA is on exactly where `fit` has it on.
"""

import keras
import tensorflow as tf

from benchmarks.adversarial_networks import stages
from benchmarks.step_overhead_tensorflow import run_epoch

ACTIVATIONS = {
    "relu": tf.nn.relu,
    "leaky_relu": lambda h: tf.nn.leaky_relu(h, 0.2),
    "sigmoid": tf.nn.sigmoid,
    "linear": tf.identity,
}


def linear(layer, h):
    """The dense or convolutional map of the Keras `layer`."""
    kernel = tf.cast(layer.kernel.value, h.dtype)
    if isinstance(layer, keras.layers.Dense):
        return h @ kernel
    if isinstance(layer, keras.layers.Conv2D):
        return tf.nn.conv2d(h, kernel, 2, "SAME")
    n, height, width, _ = h.shape
    return tf.nn.conv2d_transpose(h, kernel, (n, 2 * height, 2 * width, kernel.shape[2]), 2, "SAME")


def normalise(norm, h):
    """Batch normalisation in training, in float32 at least; its moving statistics move."""
    wide = tf.cast(h, tf.float32)
    mean, variance = tf.nn.moments(wide, list(range(len(h.shape) - 1)))
    for moving, new in ((norm.moving_mean.value, mean), (norm.moving_variance.value, variance)):
        moving.assign(0.99 * moving + 0.01 * new)
    wide = tf.nn.batch_normalization(wide, mean, variance, norm.beta.value, norm.gamma.value, 1e-3)
    return tf.cast(wide, h.dtype)


def by_hand(network):
    """The network as a function, in TensorFlow's own operations."""
    found = stages(network)

    def apply(h):
        h = tf.cast(h, network.compute_dtype)
        for stage in found:
            h = h if stage.shape is None else tf.reshape(h, (h.shape[0], *stage.shape))
            h = linear(stage.linear, h)
            h = h + tf.cast(stage.linear.bias.value, h.dtype) if stage.linear.use_bias else h
            h = h if stage.norm is None else normalise(stage.norm, h)
            h = ACTIVATIONS[stage.activation](h)
        return tf.cast(h, tf.float32)

    return apply


def on_layers(network):
    """The network as a function, of the Keras layers."""
    return lambda h: tf.cast(network(h, training=True), tf.float32)


def loop(model, x, batch_size, optimizer, layers=False, noise=None):
    """A function that trains the networks of the GAN `model` for an epoch; its logs are the losses and mean scores."""
    make = on_layers if layers else by_hand
    generate, judge = make(model.generator), make(model.discriminator)
    parts, wasserstein = model.discriminator_steps, bool(model.penalties)
    players = (model.generator.trainable_variables, model.discriminator.trainable_variables)
    optimizers = [keras.optimizers.Adam(*optimizer) for _ in players]
    for own, variables in zip(optimizers, players, strict=True):
        own.build(variables)
    totals = tf.Variable(tf.zeros(4))

    def draw(kind, shape):
        return getattr(tf.random, kind)(shape) if noise is None else getattr(noise, kind)(shape)

    def fake(n):
        return generate(draw("normal", (n, model.latent_dim)))

    def score(x):
        return judge(x)[:, 0]

    def penalty(x, y):
        between = y + draw("uniform", (x.shape[0], 1)) * (x - y)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(between)
            total = tf.reduce_sum(score(between))
        slope = tape.gradient(total, between)
        return 10.0 * (tf.sqrt(tf.reduce_sum(slope**2, axis=1) + 1e-12) - 1.0) ** 2

    def discriminator_terms(x, y):
        real, other = score(x), score(y)
        if wasserstein:
            loss = other - real + penalty(x, y)
        else:
            loss = tf.nn.softplus(-real) + tf.nn.softplus(other)
        return [tf.reduce_mean(t) for t in (loss, real, other)]

    def generator_terms(n):
        scores = score(fake(n))
        return [tf.reduce_mean(-scores if wasserstein else tf.nn.softplus(-scores))]

    def minimise(terms, player):
        values = [v.value for v in players[player]]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            logs = terms()
        optimizers[player].apply(tape.gradient(logs[0], values), players[player])
        return logs

    def follow(t):
        b = tf.minimum(model.average, (1.0 + t) / (10.0 + t))
        moved = {id(v) for v in players[0]}
        for a, w in zip(model.average_generator.weights, model.generator.weights, strict=True):
            a.value.assign(b * a.value + (1.0 - b) * w.value if id(w) in moved else w.value)

    @tf.function(jit_compile=model.jit_compile)
    def step(x):
        for part in (x[k::parts] for k in range(parts)):
            y = fake(part.shape[0])
            logs = minimise(lambda part=part, y=y: discriminator_terms(part, y), 1)
        logs += minimise(lambda: generator_terms(part.shape[0]), 0)
        if model.average is not None:
            follow(tf.cast(optimizers[0].iterations.value - 1, tf.float32))
        totals.assign_add(tf.stack(logs))

    return lambda steps=None, shuffle=True: run_epoch(step, x, batch_size, totals, steps, shuffle)
