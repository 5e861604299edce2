"""The queues of causal convolutions in one tensor: written row by row, read all at once.

A convolution of K taps at a dilation d needs, in step t, its inputs of the steps t - d, t - 2 d, ..., t - (K - 1) d:
they are in a queue of its last Q = (K - 1) d inputs, written round and round,

    input of step t  ->  row t mod Q,            read for step t + 1:  rows (t + 1 + k d) mod Q,  k = 0 ... K - 2,

the oldest first: that of k = 0 is the row that step t + 1 will write. The queues of several convolutions of equal
channels are laid one after another. What step t + 1 reads is read at the end of step t, after all writing, by one
gather, and handed on: the tensor is never read before it is written within one step, so that a compiler writes in
place. (The other way round XLA copies every queue in every step, and a step's cost grows with the receptive field.)

Reference:
    T. Le Paine et al., "Fast WaveNet generation algorithm", arXiv:1611.09482 (2016), section 2.
"""

import numpy as np
from keras import ops

from keras_gen import backend


class Queues:
    """Queues of convolutions of K taps and the given dilations, their channels alike.

    Args:
        dilations: of the convolutions.
        kernel_size: K.
    """

    def __init__(self, dilations, kernel_size):
        self.dilations, self.taps = np.array(dilations, "int32"), kernel_size - 1
        self.lengths = self.taps * self.dilations
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype("int32")

    def empty(self, batch_size, channels, dtype):
        """Queues of zeros, and what step 0 reads of them."""
        if not self.taps:
            return {}
        rows = ops.zeros((int(self.lengths.sum()), batch_size, channels), dtype)
        return {"rows": rows, "past": ops.zeros((len(self.dilations) * self.taps, batch_size, channels), dtype)}

    def past(self, cache, i):
        """Inputs of convolution i in the steps that it sees now, the oldest first: a list of `(batch, channels)`."""
        return [cache["past"][i * self.taps + k] for k in range(self.taps)]

    def put(self, cache, inputs, t):
        """The queues with the inputs of step t, one of each convolution, and what the next step reads."""
        if not self.taps:
            return cache
        rows = cache["rows"]
        for x, start, length in zip(inputs, self.starts, self.lengths, strict=True):
            rows = backend.put(rows, int(start) + t % int(length), x)
        return {"rows": rows, "past": backend.entries(rows, self._next(t))}

    def _next(self, t):
        """Rows that step t + 1 reads, convolution by convolution."""
        later = (1 + np.arange(self.taps)[None] * self.dilations[:, None]).ravel()
        constants = (later, np.repeat(self.lengths, self.taps), np.repeat(self.starts, self.taps))
        later, lengths, starts = (ops.convert_to_tensor(c, "int32") for c in constants)
        return starts + (later + t) % lengths
