"""Figures of a trained model: bits a dimension by the bound, Frechet distance, and how many samples are recognised.

The bound is that of a chain of 256 steps, of held-out pictures on their grey levels; a longer chain has a lower one.
The features are those of the shipped classifier of the data set; the distance of as many training pictures, and the
share of held-out pictures that the classifier recognises, stand beside.
"""

import math
import warnings

import numpy as np

from applications.diffusion.names import DATA_SETS
from applications.files import counted
from keras_gen import metrics
from keras_gen.metrics.extractors import EightBits, SmallClassifier

STEPS, PIXELS, LEAST = 256, 2**15, 64  # of a chain; of all pictures that the bound is of, which are no fewer than that


def figures(model, found, options):
    """A dict of what can be measured: "bits_per_dim" where pictures are held out, "samples" of a data set."""
    own = {}
    if len(found.test):
        most = max(LEAST, PIXELS // math.prod(model.event_shape[:2]))
        own["bits_per_dim"] = bits(model, found.test.spread(min(most, options.judged)))
    if options.data in DATA_SETS:
        own["samples"] = judged(model, found, options)
    return own


def bits(model, part):
    """Of the bound, with its terms, their standard error over pictures."""
    terms = model.bound_terms(*part.arrays, steps=STEPS)
    scale = math.prod(model.event_shape) * math.log(2.0)
    total = sum(terms.values()) / scale
    return {
        "total": float(total.mean()),
        "standard_error": float(total.std() / math.sqrt(len(part))),
        **{name: float(values.mean() / scale) for name, values in terms.items()},
        "steps": STEPS,
        "pictures": len(part),
    }


def judged(model, found, options):
    """The Frechet distance of samples to the held-out pictures, and the share that is of its label."""
    own, n = EightBits(SmallClassifier(options.data, data_range=(0.0, 1.0))), options.judged
    real = found.train.spread(n)
    x = model.sample(len(real), real.y, seed=options.seed + 1)
    content = {
        "samples": len(real),
        "frechet_distance": distance(own, found.test.x, x),
        "frechet_distance_of_training_pictures": distance(own, found.test.x, real.x),
    }
    if real.y is not None:
        content["recognised"] = recognised(own, x, real.y)
        content["recognised_of_held_out"] = recognised(own, *found.test.arrays)
    return content


def distance(extractor, real, x):
    metric = metrics.FrechetInceptionDistance(extractor)
    metric.update_state(real=real, generated=x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.NotComparableWarning)  # as many training pictures stand beside
        return float(metric.result())


def recognised(extractor, x, y):
    return float(np.mean(extractor(x)["logits"].argmax(axis=1) == y))


def lines(content):
    """What is said of figures."""
    if bound := content.get("bits_per_dim"):
        terms = ", ".join(f"{name} {bound[name]:.4f}" for name in ("prior", "diffusion", "data"))
        yield f"held out: {bound['total']:.4f} +- {bound['standard_error']:.4f} bits a dimension, at most ({terms})"
    if found := content.get("samples"):
        yield (
            f"{counted(found['samples'], 'sample')}: Frechet distance {found['frechet_distance']:.3f} to held-out "
            f"pictures; of as many training pictures {found['frechet_distance_of_training_pictures']:.3f}"
        )
    if "recognised" in (found or {}):
        yield (
            f"recognised as their label: {found['recognised']:.1%} of the samples, "
            f"{found['recognised_of_held_out']:.1%} of held-out pictures"
        )
