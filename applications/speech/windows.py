"""Recordings as arrays of one length, for training, and the bits of whole recordings of any length, by windows.

A model learns the beginnings of recordings, of `length` samples; shorter ones are followed by zeros, so that it learns
how a recording ends too. The network looks back R samples, its receptive field, wherever it is: longer recordings are
scored in windows that overlap by R.
"""

import numpy as np

from applications.speech.voices import FRAME

SCALE = 32768.0  # of 16 bits


def cut(recording, start, length):
    """The window `(length, 1)` in [-1, 1) that begins at sample `start`, float32; zeros where there is no recording."""
    x = np.zeros((length, 1), "float32")
    first, last = max(start, 0), min(start + length, len(recording))
    if first < last:
        x[first - start : last - start, 0] = recording[first:last] / SCALE
    return x


def beginnings(recordings, length):
    """float32 `(n, length, 1)` of a list of int16 arrays."""
    return np.stack([cut(x, 0, length) for x in recordings])


def bits(model, part, voices, batch_size=16, verbose=0):
    """Bits of each recording's levels, given what the model is told of it: float64 `(n,)`.

    Exact: each sample is scored once, in a window that holds all before it that the network looks at.
    """
    length, context = model.length, model.network.receptive_field
    hop = (length - context) // FRAME * FRAME
    places = [(i, s) for i, x in enumerate(part.x) for s in range(0, max(len(x) - length, 0) + hop, hop)]
    x = np.stack([cut(part.x[i], start, length) for i, start in places])
    told = [(part.labels[i], part.speakers[i], len(part.x[i]), start, length) for i, start in places]
    c = np.stack([voices.frames(*each) for each in told])
    log_p = model.stepwise_log_prob(x, c, batch_size=batch_size, verbose=verbose).astype("float64")
    total = np.zeros(len(part))
    for row, (i, start) in zip(log_p, places, strict=True):
        skipped = length - hop if start else 0
        total[i] -= row[skipped : max(skipped, len(part.x[i]) - start)].sum()
    return total / np.log(2.0)
