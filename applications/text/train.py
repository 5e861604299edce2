"""Learn a text, and measure the model on the tenth that it has not seen.

Checkpoints lie in the output folder, so that the same command goes on with a training that was interrupted, to the same
weights (on TensorFlow but for rounding: its graphs do not give the same bits twice).
"""

import math
import zlib
from pathlib import Path

import keras
import numpy as np

from applications import arguments, resuming, sequences
from applications.files import writable
from applications.text import texts
from applications.text.lines import say
from keras_gen.datasets import Vocabulary

EMBEDDED = "the embedded text"
VALIDATION = 512  # windows, of all the text that is held out


def train(options):
    """Run the command; returns the exit code."""
    arguments.check_model_options(options)
    options.output = options.output.expanduser()
    keras.utils.set_random_seed(options.seed)
    name = EMBEDDED if options.file is None else options.file
    text = texts.read(options.file)
    parts = texts.split(text, options.length, name)
    known = settings(options, text)
    resuming.check_options(options.output / "checkpoints", known)
    writable(options.output)
    vocabulary = Vocabulary.of(text, special=())
    seen, held_out = map(vocabulary.encode, parts)
    length = options.length + 1
    model = sequences.build(options, length, vocabulary, length)
    say(f"{len(seen):,} characters to learn from, {len(held_out):,} held out, {len(vocabulary)} different ones")
    say(f"{options.model}, {model.count_params():,} weights, {keras.config.backend()}")
    losses, seconds = sequences.fit(model, pieces(seen, options), validation(held_out, length), options, known, say)
    sequences.save(model, vocabulary, options.output)
    found = texts.nats(model, held_out)
    report(found, losses, seconds, options, known, model)
    return 0


def settings(options, text):
    """What makes another training."""
    file = EMBEDDED if options.file is None else str(Path(options.file).expanduser().resolve())
    own = {"FILE": file, "its checksum": zlib.crc32(text.encode()), "--length": options.length}
    return sequences.settings(options, **own)


def pieces(tokens, options):
    return texts.Pieces(tokens, options.length + 1, options.batch_size, options.every)


def validation(tokens, length):
    """At most `VALIDATION` whole windows, evenly spread."""
    x = texts.windows(tokens, length)[: max(1, (len(tokens) - 1) // (length - 1))]
    return x[np.unique(np.linspace(0, len(x) - 1, VALIDATION).astype(int))]


def report(found, losses, seconds, options, known, model):
    """Figures to `metrics.json` and to the terminal."""
    mean, error = float(found.mean()), float(found.std() / math.sqrt(len(found)))
    content = {
        "settings": known,
        "weights": int(model.count_params()),
        "characters_held_out": len(found) + 1,
        "nats_a_character": mean,
        "standard_error": error,
        "bits_a_character": mean / math.log(2.0),
        "best_validation": int(np.argmin(losses)) + 1 if losses else None,
        "seconds_of_this_run": seconds,
    }
    sequences.write_figures(options.output, content, again=seconds is None)
    print(f"held out: {mean:.4f} +- {error:.4f} nats, {mean / math.log(2.0):.4f} bits a character")
    print("Nothing was left to train." if seconds is None else f"Trained in {seconds:.0f} s.", "Written to", end=" ")
    print(f"{options.output.resolve()}:", *(f"  {path.name}" for path in sorted(options.output.iterdir())), sep="\n")
