"""Means over a batch that several replicas divide: sum_r sum_i t_i / sum_r n_r, differentiable on each of them."""

from keras import ops

from keras_gen import backend


def batch_mean(t, axis=None):
    """The mean of `t` over the global batch, and over all its other axes unless `axis=0`."""
    if backend.replicas() == 1:
        return ops.mean(t, axis=axis)
    total = ops.sum(t, axis=axis)
    size = ops.shape(t)[0] if axis == 0 else ops.size(t)
    total, count = backend.all_sum((total, ops.cast(size, t.dtype)))
    return total / count
