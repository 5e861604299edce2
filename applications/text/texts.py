"""A text as tokens: its file, the pieces to learn from, and the nats of its characters.

The last tenth is held out. Let a window be T = `--length` + 1 characters, the first of which is given. To learn,
windows begin anywhere; to measure, each begins with the last character of the one before, so that each character but
the very first is predicted once, from 1 to T - 1 characters before it.
"""

from pathlib import Path

import keras
import numpy as np

from applications.files import Failure, counted
from keras_gen.datasets import shakespeare

FEW = 8


def read(file):
    """The text of a file, or the embedded one.

    Raises:
        Failure: no file, or no text in UTF-8.
    """
    if file is None:
        return "".join(shakespeare.load_excerpt())
    file = Path(file).expanduser()
    try:
        return file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise Failure(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file}: no text in UTF-8, from byte {error.start} on; expected a text") from error


def split(text, length, name):
    """The first nine tenths and the rest.

    Raises:
        Failure: too few characters for windows of `length` + 1.
    """
    least = 10 * (length + 2)
    if len(text) < least:
        raise Failure(f"{name}: {counted(len(text), 'character')}; at least {least:,} are needed at --length {length}")
    n = int(0.9 * len(text))
    return text[:n], text[n:]


def encoded(vocabulary, text, name):
    """The integers of a text.

    Raises:
        Failure: it names the characters that the model does not know.
    """
    if unknown := sorted(set(text) - set(vocabulary.tokens)):
        shown = " ".join(map(repr, unknown[:FEW])) + (f" and {len(unknown) - FEW} more" if len(unknown) > FEW else "")
        known = "".join(vocabulary.tokens)
        raise Failure(f"{name}: the model does not know {shown}; it knows {known[:200]!r}, which it has learned from")
    return vocabulary.encode(text)


class Pieces(keras.utils.PyDataset):
    """Batches of windows at random places of a text: batch i of pass p is a function of (seed, p, i).

    Args:
        tokens: int32 `(n,)`.
        length: T, of a window.
        batch_size: windows.
        steps: batches a pass.
    """

    def __init__(self, tokens, length, batch_size, steps):
        super().__init__()
        self.tokens, self.length, self.size, self.steps = tokens, length, batch_size, steps

    @property
    def num_batches(self):
        return self.steps

    def at(self, number, index, seed):
        """The batch: int32 `(batch_size, length)`."""
        starts = np.random.default_rng([seed or 0, number, index]).integers(
            len(self.tokens) - self.length + 1, size=self.size
        )
        return self.tokens[starts[:, None] + np.arange(self.length)]

    def __getitem__(self, index):
        return self.at(0, index, 0)


def windows(tokens, length):
    """Windows `(m, length)`, each from the last token of the one before on; what is beyond the end is 0."""
    starts = np.arange(0, max(len(tokens) - 1, 1), length - 1)
    return np.pad(tokens, (0, length))[starts[:, None] + np.arange(length)]


def nats(model, tokens):
    """-log p of each token but the first: float64 `(n - 1,)`."""
    log_p = model.stepwise_log_prob(windows(tokens, model.length))
    return -log_p[:, 1:].astype("float64").reshape(-1)[: len(tokens) - 1]
