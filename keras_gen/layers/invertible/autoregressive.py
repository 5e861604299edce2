"""Masked autoregressive maps: each number is transformed by parameters that the numbers before it give.

In an order of the D numbers, with x_r the one of rank r, c a condition and T a monotone transform,

    z_r = T(x_r; raw_r(x_0, ..., x_(r-1), c)),      log |det dz/dx| = sum_r log dT/dx_r,                     (1)

since the Jacobian is triangular in that order. One masked network (see `layers.masked`) gives all raw_r at once, so
that the forward map takes one pass. The inverse finds x_0, then x_1, ...: D steps, each by the inverse transform.

**Cached.** The naive inverse evaluates the network D times. But a hidden unit of degree k sees only x_0, ..., x_(k-1):
it is known from step k on and never changes. With the units of each layer sorted by degree, step r computes

    the units of degree r in the first layer, then in the second, ..., then raw_r, then x_r,

which over all steps is the arithmetic of one forward pass (of blocks of m units a degree, m the largest number of units
that have one degree; blocks that are smaller are filled up with units that nothing sees). It is one compiled loop, with
static bounds, so that it can be differentiated in reverse on every backend; that stores what every step computed. (On
torch, which is eager, it is a loop of Python.) A step multiplies a few rows by all units that are kept of the batch:
its time is that of reading them, so that the inverse takes the multiplications, not the time, of one pass.

`Inverse` of this is the inverse autoregressive flow (IAF): samples in one pass, densities of given data in D steps.

The network is computed in float32 at least, whatever the policy: forward and inverse sum in different orders, and in
half precision would not find back.

Reference:
    G. Papamakarios, T. Pavlakou, I. Murray, "Masked autoregressive flow for density estimation", arXiv:1705.07057
    (2017), equations 3 to 5; D. Kingma et al., arXiv:1606.04934 (2016), for the inverse; splines: Durkan et al. 2019.
"""

import numbers

import keras
import numpy as np
from keras import ops

from keras_gen.layers.invertible.base import Bijection, sum_event
from keras_gen.layers.invertible.named import get_transform
from keras_gen.layers.invertible.numbers import check_seed
from keras_gen.layers.masked import MaskedDense, hidden_degrees, made_masks
from keras_gen.layers.shapes import as_shape

ORDERS = ("natural", "reverse", "random")


@keras.saving.register_keras_serializable(package="keras_gen")
class MaskedAutoregressive(Bijection):
    """z_r = T(x_r; raw_r(x_0, ..., x_(r-1), c)) in an order of the numbers of a vector.

    Args:
        units: sizes of the hidden layers of the masked network, at least one; default (64, 64).
        transform: T, "affine" (default), "additive", "spline", or such as `layers.SplineTransform(bins=16)`.
        order: "natural" (default), "reverse", "random", or the ranks of the numbers as a permutation of 0, ..., D - 1.
        conditional: whether the map takes a condition, which every unit sees; default False.
        activation: of the network, default "relu".
        seed: of the random order, an int >= 0; default None: drawn now, and kept in the configuration.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: events that are no vectors of a known size; an order that is no permutation of their numbers; an
            unknown transform; units that are no positive ints; a seed that is no int >= 0.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import MaskedAutoregressive
        >>> bijection, x = MaskedAutoregressive((16,)), ops.ones((5, 3))
        >>> z, log_det = bijection.forward_and_log_det(x)
        >>> bool(ops.max(ops.abs(bijection.inverse(z) - x)) < 1e-5), tuple(log_det.shape)
        (True, (5,))

    Reference:
        Papamakarios et al. 2017, arXiv:1705.07057, equations 3 to 5.
    """

    def __init__(
        self, units=(64, 64), transform="affine", order="natural", conditional=False, activation="relu", seed=None,
        **kwargs,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self.units = as_shape(units, "units")
        if not self.units:
            raise ValueError("Expected `units` as at least one hidden layer. Received: units=().")
        self.transform = get_transform(transform)
        self.order = _checked_order(order)
        self.takes_condition = bool(conditional)
        self.activation = keras.activations.get(activation)
        self.seed = int(np.random.randint(2**31)) if seed is None and self.order == "random" else check_seed(seed)

    def build(self, x_shape, condition_shape=None):
        if len(x_shape) != 2 or not x_shape[-1]:
            raise ValueError(f"MaskedAutoregressive expects vectors (batch, D). Received: {tuple(x_shape)}. Flatten x.")
        self._note_shapes(x_shape, condition_shape, "all")
        self.ranks = self._ranks(x_shape[-1])
        self.at_rank = np.argsort(self.ranks)
        size = len(self.ranks)
        self.degrees = [hidden_degrees(size, n, self.takes_condition) for n in self.units]
        masks = made_masks(np.arange(size), self.degrees)
        masks[-1] = np.repeat(masks[-1], self.transform.size, axis=1)
        self.dense = [self._dense(mask, f"hidden_{i}") for i, mask in enumerate(masks[:-1])]
        self.to_raw = self._dense(masks[-1], "to_raw", None, keras.initializers.RandomNormal(stddev=0.01))
        for layer in [*self.dense, self.to_raw]:
            layer.build((None, layer.mask.shape[0]))
        if self.takes_condition:
            options = {"use_bias": False, "dtype": self.real_dtype, "name": "of_condition"}
            self.of_condition = keras.layers.Dense(self.units[0], **options)
            self.of_condition.build((None, int(np.prod(condition_shape[1:]))))

    def _dense(self, mask, name, activation=None, initializer="glorot_uniform"):
        return MaskedDense(mask, activation, kernel_initializer=initializer, dtype=self.real_dtype, name=name)

    def _ranks(self, size):
        if self.order == "random":
            return np.random.default_rng(self.seed).permutation(size)
        if isinstance(self.order, str):
            return np.arange(size) if self.order == "natural" else np.arange(size)[::-1].copy()
        if len(self.order) != size:
            raise ValueError(
                f"Expected `order` as the ranks of the {size} numbers of an event, a permutation of "
                f"0, ..., {size - 1}. Received: order={self.order!r}."
            )
        return np.array(self.order)

    # The map, on vectors whose axis is in the order of ranks.

    def raw(self, x, condition):
        """Raw parameters `(batch, D, size)` of vectors x in the order of ranks, by one pass."""
        h = self.dense[0](x) + self._shift(condition)
        h = self.activation(h)
        for layer in self.dense[1:]:
            h = self.activation(layer(h))
        return ops.reshape(self.to_raw(h), (-1, len(self.ranks), self.transform.size))

    def _shift(self, condition):
        """What the condition adds in the first layer, `(batch, units)`, or 0."""
        if condition is None:
            return 0.0
        flat = ops.reshape(condition, (-1, int(np.prod(condition.shape[1:]))))
        return self.of_condition(flat)

    def _forward(self, x, condition, training):
        x = ops.take(x, self.at_rank, axis=-1)
        z, log_slope = self.transform.forward(x, self.raw(x, condition))
        return ops.take(z, self.ranks, axis=-1), sum_event(log_slope)

    def _inverse(self, z, condition, training):
        z = ops.take(z, self.at_rank, axis=-1)
        x, log_det = cached_inverse(self, z, self._shift(condition))
        return ops.take(x, self.ranks, axis=-1), log_det

    def naive_inverse_and_log_det(self, z, condition=None):
        """As `inverse_and_log_det`, by D evaluations of the whole network: what the cached way is held against."""
        z, condition = self._ready(z, condition)
        z = ops.take(z, self.at_rank, axis=-1)

        def step(_, x):
            return self.transform.inverse(z, self.raw(x, condition))[0]

        x = ops.fori_loop(0, len(self.ranks), step, ops.zeros_like(z))
        log_slope = self.transform.forward(x, self.raw(x, condition))[1]
        return ops.take(x, self.ranks, axis=-1), -sum_event(log_slope)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "transform": keras.saving.serialize_keras_object(self.transform),
            "order": self.order,
            "conditional": self.takes_condition,
            "activation": keras.activations.serialize(self.activation),
            "seed": self.seed,
        }


def _checked_order(order):
    """An order by its name, or ranks as a list of ints; or ValueError."""
    if isinstance(order, str) and order in ORDERS:
        return order
    ranks = list(order) if isinstance(order, (list, tuple, np.ndarray)) else [None]
    whole = all(isinstance(r, numbers.Integral) and not isinstance(r, bool) for r in ranks)
    if not whole or not ranks or sorted(ranks) != list(range(len(ranks))):
        raise ValueError(
            f"Expected `order` as one of {ORDERS}, or as the ranks of the D numbers of an event, a permutation of "
            f"0, ..., D - 1. Received: order={order!r}."
        )
    return [int(r) for r in ranks]


def cached_inverse(bijection, z, shift):
    """x and log |det dx/dz| of vectors z in the order of ranks: the loop over ranks, units cached.

    Examples are the last axis here: what step r computes is one entry of the first axis of each cache.
    """
    size, count = len(bijection.ranks), bijection.transform.size
    blocks = [_Blocks(degrees, size) for degrees in bijection.degrees]
    kernels = [ops.transpose(layer.masked_kernel()) for layer in bijection.dense]  # (units, inputs)
    weights = [block.split(kernel) for block, kernel in zip(blocks, _fit_inputs(kernels, blocks), strict=True)]
    biases = [b.split(layer.bias[:, None]) for b, layer in zip(blocks, bijection.dense, strict=True)]
    z = ops.transpose(z)
    if not isinstance(shift, float):
        biases[0] = biases[0] + blocks[0].split(ops.transpose(shift))
    to_raw = blocks[-1].fit(ops.transpose(bijection.to_raw.masked_kernel()))
    to_raw = ops.reshape(to_raw, (size, count, -1))
    raw_bias = ops.reshape(bijection.to_raw.bias, (size, count, 1))

    def step(r, state):
        x, *hidden, log_det = state
        below = x
        for i, block in enumerate(blocks):
            h = bijection.activation(ops.matmul(weights[i][r], below) + biases[i][r])
            hidden[i] = _put(hidden[i], r, h)
            below = ops.reshape(hidden[i], (size * block.width, -1))
        raw = ops.transpose(ops.matmul(to_raw[r], below) + raw_bias[r])
        x_r, log_slope = bijection.transform.inverse(z[r], raw)
        return _put(x, r, x_r), *hidden, log_det + log_slope

    hidden = [ops.zeros((size, block.width, ops.shape(z)[1]), z.dtype) for block in blocks]
    state = ops.fori_loop(0, size, step, (ops.zeros_like(z), *hidden, ops.zeros_like(z[0])))
    return ops.transpose(state[0]), state[-1]


def _put(x, r, row):
    """x with its entry r of the first axis replaced."""
    return ops.scatter_update(x, ops.reshape(ops.convert_to_tensor(r, "int32"), (1, 1)), row[None])


def _fit_inputs(kernels, blocks):
    """Kernels `(units, inputs)` whose inputs are those of the filled-up layer below."""
    return [kernels[0]] + [block.fit(kernel) for block, kernel in zip(blocks[:-1], kernels[1:], strict=True)]


class _Blocks:
    """Hidden units, sorted by degree, in blocks of one width: block r holds the units of degree r, then dummies."""

    def __init__(self, degrees, size):
        counts = np.bincount(degrees, minlength=size)
        self.size, self.width, self.units = size, int(counts.max()), len(degrees)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        place = np.arange(self.width)[None]
        self.unit_at = np.where(place < counts[:, None], starts[:, None] + place, self.units).ravel()

    def split(self, matrix):
        """`(units, n)` to blocks `(size, width, n)`, zeros for dummies."""
        padded = ops.concatenate([matrix, ops.zeros_like(matrix[:1])], axis=0)
        return ops.reshape(ops.take(padded, self.unit_at, axis=0), (self.size, self.width, -1))

    def fit(self, matrix):
        """`(n, units)` to `(n, size width)`, zeros for dummies."""
        return ops.take(ops.concatenate([matrix, ops.zeros_like(matrix[:, :1])], axis=1), self.unit_at, axis=1)
