"""Terms between images: differences of pixels."""

from keras import ops


def absolute_error(x, y):
    """mean |x - y| over pixels and channels: `(batch,)`."""
    return ops.mean(ops.abs(x - y), axis=tuple(range(1, len(x.shape))))


def squared_error(x, y):
    """mean (x - y)^2 over pixels and channels: `(batch,)`."""
    return ops.mean(ops.square(x - y), axis=tuple(range(1, len(x.shape))))
