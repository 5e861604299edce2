"""Permutations of the last axis: volume is kept, and the next coupling sees other numbers.

With a permutation p of n elements, z_i = x_p(i), log |det dz/dx| = 0, and x_j = z_q(j) with q = p^-1:

    reverse    p(i) = n - 1 - i
    swap       the last n // 2 elements first, so that the two parts of a coupling change places
    random     drawn from a seed that is kept in the configuration: the same in every process

of vectors the elements are dimensions, of images channels. For a rotation, see `OrthogonalLinear`.

Reference:
    Dinh et al. 2015, arXiv:1410.8516, section 3.3; Papamakarios et al. 2017, arXiv:1705.07057, section 3.
"""

import keras
import numpy as np
from keras import ops

from keras_gen.layers.invertible.base import Bijection, sum_event
from keras_gen.layers.invertible.numbers import check_seed

NAMES = ("swap", "reverse", "random")


@keras.saving.register_keras_serializable(package="keras_gen")
class Permutation(Bijection):
    """z_i = x_p(i) over the last axis.

    Args:
        order: "swap", "reverse", "random" (default), or p as a list of the ints 0, ..., n - 1 in any order.
        seed: of "random", an int >= 0; default None: drawn now, and kept in the configuration.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: an unknown order; a list that is no permutation, or not of the last axis.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import Permutation
        >>> [float(v) for v in Permutation("swap")(ops.convert_to_tensor([[0.0, 1.0, 2.0]]))[0]]
        [2.0, 0.0, 1.0]
    """

    def __init__(self, order="random", seed=None, **kwargs):
        super().__init__(**kwargs)
        self.order = order if isinstance(order, str) else np.asarray(order).ravel().tolist()
        if not _is_order(self.order):
            raise ValueError(
                f"Expected `order` as one of {NAMES}, or as a permutation of 0, ..., n - 1. Received: order={order!r}."
            )
        self.seed = int(np.random.randint(2**31)) if seed is None and self.order == "random" else check_seed(seed)

    def build(self, x_shape, condition_shape=None):
        self._note_shapes(x_shape, condition_shape, "last")
        n = x_shape[-1]
        self.permutation = self._indices(n)
        if len(self.permutation) != n:
            raise ValueError(
                f"Expected `order` as a permutation of the last axis, of {n} elements. Received: one of "
                f"{len(self.permutation)}."
            )
        self.back = np.argsort(self.permutation)

    def _indices(self, n):
        if self.order == "random":
            return np.random.default_rng(self.seed).permutation(n)
        if self.order == "reverse":
            return np.arange(n)[::-1].copy()
        return np.roll(np.arange(n), n // 2) if self.order == "swap" else np.array(self.order)

    def _forward(self, x, condition, training):
        return ops.take(x, self.permutation, axis=-1), sum_event(ops.zeros_like(x))

    def _inverse(self, z, condition, training):
        return ops.take(z, self.back, axis=-1), sum_event(ops.zeros_like(z))

    def get_config(self):
        return {**super().get_config(), "order": self.order, "seed": self.seed}


def _is_order(order):
    """Whether it is a name, or a list of the ints 0, ..., n - 1."""
    if isinstance(order, str):
        return order in NAMES
    return all(type(i) is int for i in order) and sorted(order) == list(range(len(order)))
