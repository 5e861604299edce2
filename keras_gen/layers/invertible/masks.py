"""Which part of an event a coupling keeps, and which it changes.

A mask m is 1 where x is kept. On the last axis, of n numbers,

    half           the first (n + 1) // 2         alternating    0, 2, 4, ...

(of images both are masks of channels), or over the pixels of an image `(height, width, channels)`,

    checkerboard   where i + j is even

or any array of booleans that broadcasts against the event. `flip` exchanges the two parts.

Reference:
    Dinh et al. 2017, arXiv:1605.08803, section 3.4, figure 3.
"""

import numpy as np

NAMES = ("half", "alternating", "checkerboard")
_OF_ONE = " A coupling needs two dimensions at least; one number is mapped by `MAF` or `FFJORD`, or an elementwise map."


def make_mask(mask, event_shape, flip):
    """The mask as a numpy array of booleans of the shape of an event, True where x is kept.

    Raises:
        ValueError: an unknown name, a mask that hides nothing or everything, that does not fit the event, or a
            checkerboard on what is no image.
    """
    m = np.broadcast_to(_named(mask, event_shape) if isinstance(mask, str) else _given(mask, event_shape), event_shape)
    m = ~m if flip else m
    if m.all() or not m.any():
        hidden = "nothing would be changed" if m.all() else "nothing would be kept"
        raise ValueError(
            f"Expected a mask that keeps a part of the event {event_shape} and changes the rest. Received: "
            f"mask={mask!r}, by which {hidden}." + _OF_ONE * (m.size == 1)
        )
    return m


def _named(mask, event_shape):
    n = event_shape[-1]
    if mask == "half":
        return np.arange(n) < (n + 1) // 2
    if mask == "alternating":
        return np.arange(n) % 2 == 0
    if mask != "checkerboard":
        raise ValueError(f"Expected `mask` as one of {NAMES}, or an array of booleans. Received: mask={mask!r}.")
    if len(event_shape) != 3:
        raise ValueError(
            f"Expected events (height, width, channels) for mask='checkerboard'. Received: event_shape={event_shape}. "
            "Use mask='alternating' for vectors."
        )
    i, j = np.indices(event_shape[:2])
    return ((i + j) % 2 == 0)[..., None]


def _given(mask, event_shape):
    m = np.asarray(mask)
    try:
        np.broadcast_to(m, event_shape)
    except ValueError:
        m = None
    if m is None or not np.isin(m, (0, 1)).all():
        raise ValueError(
            f"Expected `mask` as booleans that broadcast against the event {event_shape}. Received: {mask!r}."
        )
    return m.astype(bool)
