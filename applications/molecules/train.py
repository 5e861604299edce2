"""Learn molecules, and measure the model on those that it has not seen.

Checkpoints lie in the output folder, so that the same command goes on with a training that was interrupted, to the same
weights (on TensorFlow but for rounding: its graphs do not give the same bits twice). `learned.smi` are the molecules
that were learned from, for `sample` to tell new ones.
"""

import math
import zlib
from pathlib import Path

import keras
import numpy as np

from applications import arguments, resuming, sequences
from applications.files import Failure, writable
from applications.molecules import sets
from applications.molecules.lines import say
from keras_gen.datasets import Vocabulary

END = "<end>"
VALIDATION = 2048  # molecules, of all that are held out


def train(options):
    """Run the command; returns the exit code."""
    arguments.check_model_options(options)
    options.output = options.output.expanduser()
    keras.utils.set_random_seed(options.seed)
    parts = sets.load(options.data, options.seed)
    known = settings(options, parts)
    resuming.check_options(options.output / "checkpoints", known)
    vocabulary, seen, held_out = encoded(*parts, options.tokens)
    writable(options.output)
    end = vocabulary[END]
    tokens = float((seen != end).sum(1).mean()) + 1
    model = sequences.build(options, seen.shape[1], vocabulary, tokens, stop_token=end)
    say(f"{len(seen):,} molecules to learn from, {len(held_out):,} held out; {len(vocabulary)} tokens,")
    say(f"{tokens:.1f} a molecule, {seen.shape[1]} at most")
    say(f"{options.model}, {model.count_params():,} weights, {keras.config.backend()}")
    sequences.write(options.output / "learned.smi", "\n".join(parts[0]) + "\n")
    losses, seconds = sequences.fit(model, seen, held_out[:VALIDATION], options, known, say)
    sequences.save(model, vocabulary, options.output)
    report(-model.log_prob(held_out).astype("float64"), (held_out != end).sum(1) + 1, losses, seconds, options, known)
    return 0


def settings(options, parts):
    """What makes another training."""
    data = options.data if options.data in sets.NAMES else str(Path(options.data).expanduser().resolve())
    check = zlib.crc32("\n".join(parts[0] + parts[1]).encode())
    return sequences.settings(options, **{"DATA": data, "its checksum": check, "--tokens": options.tokens})


def encoded(train, test, tokens):
    """The vocabulary, and both parts as rows of one length.

    Raises:
        Failure: only one of the parts is there.
    """
    if not train or not test:
        raise Failure("no molecules to learn from, or none to hold out")
    vocabulary = Vocabulary.of([*train, *test], special=(END,), tokenizer=tokens)
    length = max(len(vocabulary.encode(s)) for s in [*train, *test]) + 1
    return vocabulary, *(vocabulary.encode_lines(part, length, END) for part in (train, test))


def report(nats, tokens, losses, seconds, options, known):
    """Figures to `metrics.json` and to the terminal."""
    content = {
        "settings": known,
        "molecules_held_out": len(nats),
        "nats_a_molecule": float(nats.mean()),
        "standard_error": float(nats.std() / math.sqrt(len(nats))),
        "nats_a_token": float(nats.sum() / tokens.sum()),
        "best_validation": int(np.argmin(losses)) + 1 if losses else None,
        "seconds_of_this_run": seconds,
    }
    sequences.write_figures(options.output, content, again=seconds is None)
    print(f"held out: {content['nats_a_molecule']:.3f} +- {content['standard_error']:.3f} nats a molecule", end=", ")
    print(f"{content['nats_a_token']:.4f} a token")
    print("Nothing was left to train." if seconds is None else f"Trained in {seconds:.0f} s.", "Written to", end=" ")
    print(f"{options.output.resolve()}:", *(f"  {path.name}" for path in sorted(options.output.iterdir())), sep="\n")
