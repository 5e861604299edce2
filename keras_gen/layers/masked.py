"""Dense layers with connections left out, and the masks that make a network autoregressive (MADE).

Let the D inputs stand in an order, input i at rank r(i) in 0, ..., D - 1. A hidden unit of degree k sees the inputs of
rank below k alone, and the output that belongs to rank r sees units of degree at most r:

    input -> hidden     M_ij = 1 if r(i) < k_j
    hidden -> hidden    M_ij = 1 if k_i <= k_j
    hidden -> output    M_ij = 1 if k_i <= r_j

Along every path the ranks seen stay below that of the output: output r is a function of the inputs before it. Degrees
go from 1 to D - 1, spread evenly and sorted; from 0 where there is a condition, which every unit sees: the units of
degree 0 are functions of it alone.

Reference:
    M. Germain, K. Gregor, I. Murray, H. Larochelle, "MADE: masked autoencoder for distribution estimation",
    arXiv:1502.03509 (2015), equations 8, 12 and 13 (there degrees are drawn at random).
"""

import keras
import numpy as np
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class MaskedDense(keras.layers.Layer):
    """y = f(x (M * W) + b), with a mask M of zeros and ones: a dense layer with connections left out.

    Args:
        mask: M, `(inputs, units)`, of zeros and ones.
        activation: f, default None.
        use_bias: default True.
        kernel_initializer: default "glorot_uniform", Keras's own.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: a mask that is no matrix of zeros and ones, inputs of another size.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import MaskedDense
        >>> layer = MaskedDense([[1, 0], [0, 1]], kernel_initializer="ones")
        >>> ops.convert_to_numpy(layer(ops.convert_to_tensor([[2.0, 3.0]])))[0].tolist()
        [2.0, 3.0]

    Reference:
        Germain et al. 2015, arXiv:1502.03509, equation 4.
    """

    def __init__(self, mask, activation=None, use_bias=True, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.mask = np.asarray(mask)
        whole = self.mask.ndim == 2 and self.mask.size and self.mask.dtype.kind in "biuf"
        if not whole or not np.isin(self.mask, (0, 1)).all():
            raise ValueError(
                "Expected `mask` as a matrix (inputs, units) of zeros and ones. Received: shape "
                f"{self.mask.shape}, dtype {self.mask.dtype}, mask={np.array2string(self.mask, threshold=20)}."
            )
        self.activation, self.use_bias = keras.activations.get(activation), bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        if input_shape[-1] != self.mask.shape[0]:
            raise ValueError(f"MaskedDense expects {self.mask.shape[0]} inputs. Received: {tuple(input_shape)}.")
        start = self.kernel_initializer
        self.kernel = self.add_weight(shape=self.mask.shape, initializer=start, autocast=False, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=self.mask.shape[1:], initializer="zeros", autocast=False, name="bias")

    def masked_kernel(self):
        """M * W."""
        kernel = ops.convert_to_tensor(self.kernel)
        return kernel * ops.convert_to_tensor(self.mask, kernel.dtype)

    def call(self, x):
        y = ops.matmul(x, ops.cast(self.masked_kernel(), x.dtype))
        y = y + ops.cast(self.bias, y.dtype) if self.use_bias else y
        return y if self.activation is None else self.activation(y)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.mask.shape[1])

    def get_config(self):
        return {
            **super().get_config(),
            "mask": self.mask.astype(int).tolist(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def hidden_degrees(size, units, conditional):
    """Degrees of `units` hidden units for inputs of `size`, sorted and spread evenly."""
    lowest = 0 if conditional or size == 1 else 1
    return lowest + np.arange(positive_int(units, "units")) * (size - lowest) // units


def made_masks(ranks, degrees):
    """The masks between layers: from inputs of `ranks` through hidden layers of `degrees` to outputs by rank.

    Args:
        ranks: of the inputs, ints `(D,)`, a permutation of 0, ..., D - 1.
        degrees: list of arrays, those of each hidden layer.

    Returns:
        list of boolean arrays `(inputs, units)`; the last is to outputs of rank 0, ..., D - 1, in this order.
    """
    first = np.asarray(ranks)[:, None] < degrees[0][None]
    hidden = [a[:, None] <= b[None] for a, b in zip(degrees[:-1], degrees[1:], strict=True)]
    return [first, *hidden, degrees[-1][:, None] <= np.arange(len(ranks))[None]]
