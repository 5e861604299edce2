"""Shapes and dtypes of parameters: static broadcasting with unknown sizes, and float32 at least.

Shapes are tuples of ints in which `None` is a size unknown until run time. Two sizes broadcast where they are
equal, where one is 1, or where one is unknown.
"""

import numbers

import keras
import numpy as np
from keras import ops


def as_tensor(value, dtype):
    """`value` as a tensor of `dtype`: numbers, arrays, tensors, variables, symbolic tensors."""
    if isinstance(value, keras.KerasTensor):
        return ops.cast(value, dtype)
    return ops.convert_to_tensor(value, dtype)


def working_dtype(values):
    """float32, or float64 if a float64 tensor of the backend is among the values."""
    wide = any(
        ops.is_tensor(value) and keras.backend.standardize_dtype(value.dtype) == "float64" for value in values
    )
    return "float64" if wide else "float32"


def softplus(x):
    """`log(1 + exp(x))`. torch's own is x above 20, off by up to 2e-9: enough for float32, not for float64."""
    if keras.backend.standardize_dtype(x.dtype) == "float64":
        return ops.logaddexp(x, ops.zeros_like(x))
    return ops.softplus(x)


def check_positive(owner, name, value):
    """Raise ValueError for a number or array that is not above zero; tensors are not read."""
    concrete = isinstance(value, (numbers.Real, np.ndarray, list, tuple))
    if concrete and not np.all(np.asarray(value) > 0):
        raise ValueError(f"{owner} expects `{name}` > 0. Received: {name}={value}.")


def resolve_event(owner, shapes, event_shape):
    """The event shape, and what the parameter shapes broadcast to together."""
    try:
        joint = ()
        for shape in shapes.values():
            joint = broadcast(joint, shape)
        event = joint[1:] if event_shape is None else tuple(int(size) for size in event_shape)
        within = joint[max(len(joint) - len(event), 0) :]
        fits = len(joint) <= len(event) + 1 and broadcast(within, event) == event
    except ValueError:
        fits = False
        event = event_shape
    if not fits:
        raise ValueError(
            f"{owner} expects parameters that broadcast against (batch, *event_shape)"
            f"{'' if event_shape is None else f' with event_shape={tuple(event_shape)}'}. Received shapes: "
            f"{shapes}. Axis 0 is the batch; give `event_shape` where there is none."
        )
    return event, joint


def broadcast(a, b):
    """Static broadcast of two shapes in which None stands for an unknown size."""
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b)
    sizes = []
    for one, other in zip(a, b, strict=True):
        if one == 1 or other == 1:
            sizes.append(other if one == 1 else one)
        elif None in (one, other) or one == other:
            sizes.append(other if one is None else one)
        else:
            raise ValueError(f"Shapes {a} and {b} do not broadcast.")
    return tuple(sizes)


def show(shape):
    """A shape in words, names and numbers unquoted."""
    return "(" + ", ".join(str(size) for size in shape) + ("," if len(shape) == 1 else "") + ")"
