"""What adversarial models are given: checks that raise, and warnings of games that cannot be won."""

import warnings

import keras
import numpy as np
from keras import ops

from keras_gen import losses
from keras_gen.layers import SpectralNormalization
from keras_gen.models.adversarial.endings import BOUNDS, ends_in_bounds

SLACK = 0.05  # data are not warned of for less: noise and resizing lead a little beyond


def warn_of_bounded_scores(discriminator, game):
    """Warn where the scores cannot be the real numbers that the loss reads."""
    if game.unbounded and (activation := ends_in_bounds(discriminator)):
        warnings.warn(
            f"Expected a discriminator without an activation at its end: {type(game).__name__} reads its scores as any "
            f"real numbers. Received: {discriminator.name!r}, which ends in {activation}. Remove it.",
            stacklevel=3,
        )


def warn_of_normalised_gradients(discriminator, penalties):
    """Warn where a penalty of the gradient of one example's score meets scores that depend on the others."""
    if penalties and _has(discriminator, keras.layers.BatchNormalization):
        warnings.warn(
            "Expected a discriminator without batch normalisation beside a penalty of its gradient: the score of an "
            f"example must not depend on the others. Received: {discriminator.name!r}, which has some. Build it "
            "without, `normalization=None` in the networks of this package.",
            stacklevel=3,
        )


def warn_of_unheld_critic(discriminator, game, penalties, clip):
    """Warn where the loss has no minimum: twice the scores have twice the value."""
    held = penalties or clip or _has(discriminator, SpectralNormalization)
    if game.lipschitz and not held:
        warnings.warn(
            f"Expected a 1-Lipschitz critic: {type(game).__name__} has no minimum without. Received: "
            f"{discriminator.name!r}, without `penalties`, `clip` or `layers.SpectralNormalization`. Give one, such as "
            "`penalties=losses.GradientPenalty()`.",
            stacklevel=3,
        )


def _has(network, kind):
    return any(isinstance(layer, kind) for layer in network._flatten_layers())


def warn_of_range(x, generator):
    """Warn of data beyond the bounds of the generator's last activation, which it cannot make."""
    bounds = BOUNDS.get(ends_in_bounds(generator))
    if bounds and not bounds[0] - SLACK <= x.min() <= x.max() <= bounds[1] + SLACK:
        warnings.warn(
            f"Expected data in [{bounds[0]}, {bounds[1]}], where the generator's last activation leads. Received: "
            f"values between {x.min()} and {x.max()}. Rescale the data, or give a generator of their range "
            "(`output_activation='tanh'` for [-1, 1]).",
            stacklevel=3,
        )


def check_network(network, name):
    """None, or a Keras layer or model."""
    if network is not None and not isinstance(network, keras.layers.Layer):
        raise ValueError(f"Expected `{name}` as a Keras layer or model, or None. Received: {network!r}.")
    return network


def check_parts(size, parts):
    """Raise unless a batch of `size` examples can be cut into `parts`."""
    if size < parts:
        raise ValueError(
            f"Expected at least {parts} examples in each batch, one for each of discriminator_steps={parts}. Received: "
            f"a batch of {size}. Use another `batch_size`, or a number of examples that leaves no such remainder."
        )


def as_scores(scores, dtype, patches=False):
    """The discriminator's output as `(batch,)`, in `dtype`; with `patches` an image of scores as `(batch, patches)`."""
    shape = tuple(scores.shape)[1:]
    if patches and len(shape) == 3 and shape[-1] == 1 and None not in shape:
        return ops.cast(ops.reshape(scores, (-1, shape[0] * shape[1])), dtype)
    if shape not in ((), (1,)):
        raise ValueError(
            "Expected a discriminator with output (batch, 1), one score an example"
            f"{', or (batch, h, w, 1), one a patch' if patches else ''}. Received: (batch, *{shape})."
        )
    return ops.cast(scores[:, 0] if shape else scores, dtype)


def per_example(values):
    """The mean over patches of what there is one of for each: `(batch,)`; what is `(batch,)` already stays."""
    return values if len(values.shape) == 1 else ops.mean(values, axis=tuple(range(1, len(values.shape))))


def check_penalties(penalties):
    """A list of `Penalty`."""
    penalties = list(penalties) if isinstance(penalties, (list, tuple)) else [penalties]
    if not all(isinstance(p, losses.Penalty) for p in penalties):
        raise ValueError(f"Expected `penalties` as `losses.Penalty`, or a list of them. Received: {penalties!r}.")
    return penalties


def check_positive(value, name):
    """A finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0.0 < value < np.inf:
        raise ValueError(f"Expected `{name}` as a positive number. Received: {name}={value!r}.")
    return float(value)


def check_not_negative(value, name):
    """A finite number, 0 or above."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0.0 <= value < np.inf:
        raise ValueError(f"Expected `{name}` as a number >= 0. Received: {name}={value!r}.")
    return float(value)


def check_between(value, name, low, high):
    """None, or a number in (low, high)."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low < value < high:
        raise ValueError(f"Expected `{name}` as a number between {low:g} and {high:g}, or None. Received: {value!r}.")
    return float(value)
