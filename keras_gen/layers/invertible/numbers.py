"""Checks of numbers that constructors of bijections share."""

import numbers


def positive(value, name):
    """`value` as a float above 0, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < float("inf"):
        raise ValueError(f"Expected `{name}` as a number above 0. Received: {name}={value!r}.")
    return float(value)
