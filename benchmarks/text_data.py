"""The windows, and the rates, that both sides of `text_transformer` learn by: nanoGPT's small setting."""

import math

import numpy as np

from keras_gen.datasets import Vocabulary, shakespeare

BLOCK, BATCH, STEPS, WARM_UP = 64, 12, 2000, 100


def texts():
    """The vocabulary of Tiny Shakespeare, and its two parts as integers."""
    train, test = shakespeare.load_data()
    vocabulary = Vocabulary.of(train + test, special=())
    return vocabulary, vocabulary.encode(train), vocabulary.encode(test)


def drawn(tokens, steps, seed):
    """`(steps * BATCH, BLOCK + 1)` windows at random places."""
    starts = np.random.default_rng(seed).integers(len(tokens) - BLOCK, size=steps * BATCH)
    return tokens[starts[:, None] + np.arange(BLOCK + 1)]


def held_out(tokens):
    """Windows of BLOCK + 1 characters, each beginning with the last one of the window before."""
    return np.lib.stride_tricks.sliding_window_view(tokens, BLOCK + 1)[::BLOCK].copy()


def rate_at(step, steps=STEPS):
    """1e-3 after a linear warm-up, along half a cosine to 1e-4."""
    if step < WARM_UP:
        return 1e-3 * (step + 1) / (WARM_UP + 1)
    done = min(1.0, (step - WARM_UP) / (steps - WARM_UP))
    return 1e-4 + 0.5 * (1.0 + math.cos(math.pi * done)) * 9e-4
