"""Recordings as windows of one length, for training, and the bits of whole recordings, by windows that overlap.

A recording stands in silence: `BEFORE` zeros, then its samples, then zeros. A window is `length` samples of that; the
first begins with the silence, the next ones `hop` samples later each, until the recording's end is in one. So a model
learns how a recording begins and ends, and what is to be spoken anew is primed by `BEFORE` zeros.
"""

import numpy as np

BEFORE = 128  # zeros before a recording, 16 ms
SCALE = 32768.0  # of 16 bits


def starts(size, length, hop):
    """Where the windows of a recording of `size` samples begin, in samples from its first one."""
    return np.arange(-BEFORE, max(size - length, -BEFORE) + hop, hop)


def cut(recording, start, length):
    """The window `(length, 1)` in [-1, 1) that begins at `start`, float32; zeros where there is no recording."""
    x = np.zeros((length, 1), "float32")
    first, last = max(start, 0), min(start + length, len(recording))
    if first < last:
        x[first - start : last - start, 0] = recording[first:last] / SCALE
    return x


class Windows:
    """The windows of recordings and their conditions, one by one: a source of `datasets.Batches`.

    Args:
        recordings: a list of int16 arrays.
        conditions: float32 `(n, features)`.
        length, hop: see above.
    """

    def __init__(self, recordings, conditions, length, hop):
        self.recordings, self.conditions, self.length = recordings, conditions, length
        self.places = [(i, int(s)) for i, x in enumerate(recordings) for s in starts(len(x), length, hop)]

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        i, start = self.places[index]
        return cut(self.recordings[i], start, self.length), self.conditions[i]


def bits(model, recordings, conditions, batch_size=16, verbose=0):
    """Bits of each recording's levels, given the silence before it: float64 `(n,)`.

    Exact for a network whose receptive field is at most half of its windows: each sample is scored once, in a window
    that holds all that the network looks at.
    """
    length, context = model.length, model.network.receptive_field
    source = Windows(recordings, conditions, length, length - context)
    x, c = (np.stack(part) for part in zip(*(source[k] for k in range(len(source))), strict=True))
    log_p = model.stepwise_log_prob(x, c, batch_size=batch_size, verbose=verbose).astype("float64")
    total = np.zeros(len(recordings))
    for row, (i, start) in zip(log_p, source.places, strict=True):
        skipped = BEFORE if start < 0 else context
        total[i] -= row[skipped : max(skipped, len(recordings[i]) - start)].sum()
    return total / np.log(2.0)
