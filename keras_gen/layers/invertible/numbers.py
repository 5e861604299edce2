"""Checks of numbers that constructors of bijections share."""

import numbers


def positive(value, name):
    """`value` as a float above 0, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < float("inf"):
        raise ValueError(f"Expected `{name}` as a number above 0. Received: {name}={value!r}.")
    return float(value)


def check_seed(seed):
    """`seed` as an int >= 0, or None; or ValueError."""
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0):
        raise ValueError(f"Expected `seed` as an int >= 0, or None. Received: seed={seed!r}.")
    return None if seed is None else int(seed)
