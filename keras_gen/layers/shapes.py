"""Checks of sizes and shapes that constructors share."""

import numbers


def positive_int(value, name):
    """`value` as a positive int, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"Expected `{name}` as a positive integer. Received: {name}={value!r}.")
    return int(value)


def as_shape(value, name):
    """`value` as a tuple of positive ints (a lone int is a tuple of one), or ValueError."""
    items = value if isinstance(value, (tuple, list)) else (value,)
    try:
        return tuple(positive_int(item, name) for item in items)
    except ValueError:
        raise ValueError(
            f"Expected `{name}` as a tuple of positive integers. Received: {name}={value!r}."
        ) from None
