"""Fully connected networks, with the input led to every layer where that is asked for.

With x flattened and c the condition,

    h_0 = [x, c],    h_l = f(norm(W_l h_(l-1) + b_l)),    output = W h_L + b

and with skip connections each layer after the first, the output layer too, takes [h_(l-1), x, c] for h_(l-1).
In a decoder x is the latent: no layer can then pass it by, which is the remedy of the Skip-VAE for collapse.
"""

import math

import keras
from keras import ops

from keras_gen.layers import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape, positive_int
from keras_gen.networks.base import Network


@keras.saving.register_keras_serializable(package="keras_gen")
class MLP(Network):
    """Fully connected network `h_l = f(norm(W_l h_(l-1) + b_l))` on flattened input.

    Args:
        units: tuple of ints, sizes of the hidden layers; () for none.
        activation: of the hidden layers, default "relu".
        output_units: int, size of a linear output layer. Default None: the last hidden layer is the output.
        skip: whether input and condition are led to every layer, default False.
        **kwargs: `dropout`, `normalization`, `kernel_initializer`, `name` and so on of `Network`.

    Call arguments:
        x: tensor `(batch, ...)`, flattened.
        condition: tensor `(batch, ...)` or None, flattened and concatenated to x. A network built with a
            condition needs one at each call.
        training: bool, for dropout and batch normalisation.

    Returns:
        Tensor `(batch, output_units)`, or of the last hidden size.

    Raises:
        ValueError: for sizes that are no positive integers; see also `Network`.

    Example:
    >>> from keras import ops
    >>> from keras_gen.networks import MLP
    >>> network = MLP((32, 32), output_units=3)
    >>> network.build((None, 8, 8, 1), (None, 10))
    >>> tuple(network(ops.zeros((5, 8, 8, 1)), ops.zeros((5, 10))).shape)
    (5, 3)

    Reference:
        Dieng, Kim, Rush, Blei (2018), arXiv:1807.04863, section 3, for the skip connections.
    """

    def __init__(self, units, activation="relu", output_units=None, skip=False, **kwargs):
        super().__init__(activation=activation, **kwargs)
        self.units = as_shape(units, "units")
        self.output_units = None if output_units is None else positive_int(output_units, "output_units")
        self.skip = bool(skip)
        self.blocks = [self.dense_block(size, name=f"block_{i}") for i, size in enumerate(self.units)]
        if self.output_units is not None:
            self.blocks.append(self.dense(self.output_units, name="output"))
        self.sizes = (*self.units, *([] if output_units is None else [self.output_units]))

    def build(self, x_shape, condition_shape=None):
        self.set_conditional(condition_shape)
        first = size = self._input_size(x_shape, condition_shape)
        for i, (block, output_size) in enumerate(zip(self.blocks, self.sizes, strict=True)):
            block.build((None, size + first if self.skip and i else size))
            size = output_size

    def call(self, x, condition=None, training=False):
        self.check_condition(condition)
        x = ops.reshape(ops.cast(x, self.compute_dtype), (-1, math.prod(x.shape[1:])))
        h = first = attach_condition(x, condition)
        for i, block in enumerate(self.blocks):
            h = ops.concatenate([h, first], axis=-1) if self.skip and i else h
            h = block(h, training=training)
        return h

    def compute_output_shape(self, x_shape, condition_shape=None):
        size = self.sizes[-1] if self.sizes else self._input_size(x_shape, condition_shape)
        return (x_shape[0], size)

    def get_config(self):
        own = {"units": self.units, "output_units": self.output_units, "skip": self.skip}
        return {**super().get_config(), **own}

    def _input_size(self, x_shape, condition_shape):
        flat = (None, math.prod(x_shape[1:]))
        return flat[1] + attached_channels(flat, condition_shape)
