"""Checks of the shapes that bijections are built for and called with."""


def check_event(bijection, direction, shape, event_shape):
    """Raise unless `shape` is `(batch, *event_shape)`; a size that is None on either side fits."""
    pairs = list(zip(shape[1:], event_shape, strict=False))
    if len(shape) != len(event_shape) + 1 or any(a != b for a, b in pairs if None not in (a, b)):
        expected = ", ".join(["batch", *map(str, event_shape)])
        raise ValueError(
            f"{type(bijection).__name__}.{direction} {bijection.name!r} expects events of shape ({expected}). "
            f"Received: {shape}."
        )


def check_known(bijection, shape, which):
    """Raise for a size that is None among those that are needed of `shape`, the batch not included: of the "last"
    axis; of "all" axes, at least one; of "each", of which there may be none; of "none".
    """
    needed = {"none": (), "last": shape[-1:] or (None,), "all": shape or (None,), "each": shape}[which]
    if None in needed:
        raise ValueError(
            f"{type(bijection).__name__} {bijection.name!r} expects events and conditions of at least one axis, "
            f"{'the last of a known size' if which == 'last' else 'all of known sizes'}. Received: {shape}. Give "
            "`keras.Input` the sizes, or call `build((None, *event_shape))`."
        )


def check_batches(bijection, shape, condition):
    """Raise for a condition that is missing, that is not taken, or that has another batch than the events."""
    if (condition is not None) != (bijection.given_shape is not None):
        bijection._refuse_condition(condition is not None)
    if condition is None:
        return
    given = tuple(condition.shape)
    if None not in (shape[0], given[0]) and shape[0] != given[0]:
        raise ValueError(
            f"{type(bijection).__name__} {bijection.name!r} expects one condition an event. Received: {shape[0]} "
            f"events and {given[0]} conditions."
        )
    check_event(bijection, "condition of", given, bijection.given_shape)
