"""A small network that hears which digit a recording is, and who says it: the judge of generated recordings.

Input is the log-magnitude spectrogram of the mu-law levels' numbers, peak 1: 256 samples a frame, 128 apart, -70 dB as
silence, of `LENGTH` samples. In training a recording begins up to 80 ms later, is cut by up to that, and its bands are
masked now and then.
"""

import keras
import numpy as np

LENGTH, WINDOW, HOP, MOST_SHIFT, FLOOR = 6000, 256, 128, 640, -70.0


def heard(x):
    """Spectrograms `(n, frames, 64, 1)` in [0, 1] of recordings, a list of floats."""
    hann = np.hanning(WINDOW + 1)[:-1]
    padded = np.zeros((len(x), LENGTH))
    for row, one in zip(padded, x, strict=True):
        row[: len(one)] = one[:LENGTH] / max(np.abs(one[:LENGTH]).max(), 1e-4)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
    power = np.abs(np.fft.rfft(frames * hann)[..., :128]) ** 2
    power = power.reshape(*power.shape[:2], 64, 2).mean(-1)
    s = 10 * np.log10(np.maximum(power / (hann.sum() / 2) ** 2, 1e-10))
    return np.clip(1 - s / FLOOR, 0, 1).astype("float32")[..., None]


def network(frames, digits, speakers):
    """Four convolutions, the mean and the largest over time, two softmaxes."""
    inputs = keras.Input((frames, 64, 1))
    h = inputs
    for filters in (16, 32, 48, 64):
        h = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(h)
        h = keras.layers.ReLU()(keras.layers.BatchNormalization()(h))
        h = keras.layers.MaxPooling2D(2, padding="same")(h)
    h = keras.layers.Dropout(0.3)(keras.layers.Flatten()(h))
    h = keras.layers.Dropout(0.3)(keras.layers.Dense(64, activation="relu")(h))
    outputs = [keras.layers.Dense(n, name=name)(h) for n, name in ((digits, "digit"), (speakers, "speaker"))]
    return keras.Model(inputs, outputs)


def moved(x, rng):
    """Recordings that begin later or are cut, quieter after the loudest or not."""
    shifts = rng.integers(-MOST_SHIFT, MOST_SHIFT, len(x))
    return [np.concatenate([np.zeros(s), one]) if s > 0 else one[-s:] for s, one in zip(shifts, x, strict=True)]


def masked(s, rng):
    """With two bands of up to 8 frequencies, each of one value, the mean."""
    for one in s:
        first, width = rng.integers(64), rng.integers(8)
        one[:, first : first + width] = one.mean()
    return s


def trained(x, digit, speaker, seed, epochs=12, batch_size=32):
    """The network, after so many epochs; x a list of float recordings, digit and speaker ints."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = network(heard(x[:1]).shape[1], int(digit.max()) + 1, int(speaker.max()) + 1)
    steps = epochs * -(-len(x) // batch_size)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)), [loss, loss])
    for _ in range(epochs):
        order = rng.permutation(len(x))
        s = masked(heard(moved([x[i] for i in order], rng)), rng)
        logs = model.fit(s, [digit[order], speaker[order]], batch_size=batch_size, shuffle=False, verbose=0)
        print({k: round(v[0], 4) for k, v in logs.history.items()}, flush=True)
    return model


def judged(model, x):
    """The digit and the speaker that are heard: two int arrays."""
    return tuple(logits.argmax(-1) for logits in model.predict(heard(x), verbose=0))
