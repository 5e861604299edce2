"""What a model of text is used for: writing on from a prompt, and measuring texts.

Attention has learned positions within T characters alone. So a transformer writes in windows: what it has written last,
half of a window, is the prime of the next one. Recurrent cells go on for ever.
"""

import math
import sys

import numpy as np

from applications import sequences
from applications.files import Failure, counted
from applications.text import texts
from applications.text.lines import say

CHUNK = 4  # characters that are printed at a time


def sample(options):
    """Print the prompt, and then the characters as they come."""
    model, vocabulary = sequences.load(options.model)
    prompt = texts.encoded(vocabulary, options.prompt, "--prompt")
    draw = {"temperature": options.temperature, "top_p": options.top_p, "top_k": options.top_k}
    if options.top_k is not None:
        draw["top_k"] = min(options.top_k, len(vocabulary))
    sys.stdout.write(options.prompt)
    for part in written(model, prompt, options.length, options.seed, draw):
        sys.stdout.write(vocabulary.decode(part))
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0


def written(model, prompt, length, seed, draw):
    """The next `length` tokens after the prompt, an iterator of int32 arrays."""
    if isinstance(model.network, sequences.RECURRENT):
        yield from _after(model, prompt, len(prompt) + length, seed, draw)
        return
    window = max(2, model.length - model.length % CHUNK)
    text, left, number = prompt, length, 0
    while left > 0:
        prime = text if len(text) < window else text[-(window // 2) :]
        for part in _after(model, prime, window, seeds(seed, number), draw):
            part = part[:left]
            text, left = np.concatenate([text, part])[-window:], left - len(part)
            yield part
            if not left:
                return
        number += 1


def seeds(seed, number):
    """The seed of a window; of the first one that of the user."""
    return seed if number == 0 else int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _after(model, prime, length, seed, draw):
    """What the model writes after `prime`, up to `length` tokens with it."""
    given = {"prime": prime} if len(prime) else {}
    skip = len(prime)
    for part in model.stream(1, length=length, chunk=CHUNK, seed=seed, **given, **draw):
        part, skip = part[0, skip:], max(0, skip - part.shape[1])
        if len(part):
            yield part


def score(options):
    """Print the bits a character of a text."""
    text = texts.read(options.file)
    if len(text) < 2:
        raise Failure(f"{options.file}: {counted(len(text), 'character')}; the first one is given, so two are needed")
    model, vocabulary = sequences.load(options.model)
    found = texts.nats(model, texts.encoded(vocabulary, text, options.file))
    bits = found / math.log(2.0)
    print(f"{bits.mean():.4f} bits a character, {found.mean():.4f} nats")
    say(f"{counted(len(found), 'character')} after the first; {bits.sum() / 8:,.0f} bytes in all")
    return 0
