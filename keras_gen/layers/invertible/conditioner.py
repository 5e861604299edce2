"""The network that gives a transform its parameters.

A conditioner N makes features of what it is shown, and a linear map makes raw parameters of them, `size` numbers for
each of n elements,

    raw = W N([h, c]) + b,        `(batch, ..., n, size)`

with c the condition, joined to h, or given to N as `condition` where its call takes one. W begins as N(0, 0.01^2) and
b as 0, so that a transform begins near the identity, and no gradient begins as 0. On images W acts on each pixel.
"""

import functools
import math

import keras
from keras import ops

from keras_gen.layers.calls import takes
from keras_gen.layers.embeddings import attach_condition, attached_channels
from keras_gen.layers.shapes import as_shape


class Conditioner(keras.layers.Layer):
    """`raw = W N([h, c]) + b`; a part of a bijection and rebuilt by it, not saved by itself.

    Args:
        network: any Keras layer; or the sizes of hidden layers of a dense network.
        activation: of that dense network.
        elements: n, numbers that each vector or pixel has parameters of.
        size: raw parameters of a number.
        dtype: of the network.
        real_dtype: of the parameters.
    """

    def __init__(self, network, activation, elements, size, dtype, real_dtype):
        super().__init__(dtype=dtype, autocast=False, name="conditioner")
        self.network, self.elements, self.size, self.real = network, elements, size, real_dtype
        if not isinstance(network, keras.layers.Layer):
            self.network = dense_network(network, activation, dtype)
        initializer = keras.initializers.RandomNormal(stddev=0.01)
        self.to_raw = keras.layers.Dense(elements * size, kernel_initializer=initializer, dtype=dtype, name="to_raw")

    def build(self, h_shape, condition_shape=None):
        self.takes = takes(self.network, "condition")
        added = 0 if self.takes else attached_channels(h_shape, condition_shape)
        shape = (*h_shape[:-1], h_shape[-1] + added)
        if not self.network.built:
            self.network.build(*((shape, condition_shape) if self.takes and condition_shape else (shape,)))
        features = self.network.compute_output_shape(shape)
        if len(features) != len(h_shape):
            raise ValueError(
                f"Expected a conditioner whose features have as many axes as its input, {shape}. Received: "
                f"{type(self.network).__name__} {self.network.name!r} with {tuple(features)}."
            )
        self.to_raw.build(features)

    def call(self, h, condition=None, training=False):
        options = {"training": training} if takes(self.network, "training") else {}
        h = ops.cast(h, self.compute_dtype)
        if self.takes and condition is not None:
            features = self.network(h, condition=condition, **options)
        else:
            features = self.network(attach_condition(h, condition), **options)
        raw = ops.cast(self.to_raw(features), self.real)
        return ops.reshape(raw, (-1, *raw.shape[1:-1], self.elements, self.size))


def dense_network(units, activation, dtype):
    """Dense hidden layers of the sizes `units`."""
    names = [(size, f"hidden_{i}") for i, size in enumerate(as_shape(units, "conditioner"))]
    layer = functools.partial(_SpreadDense, activation=activation, dtype=dtype)
    return keras.Sequential([layer(size, name=name) for size, name in names], name="network")


class _SpreadDense(keras.layers.Dense):
    """A dense layer whose weights and biases begin uniform in +- 1 / sqrt(inputs); rebuilt by its network.

    The elements of a table are few inputs: with biases of 0 all units would bend at the origin. (On the 10 columns of
    the protein table, five couplings with Keras's beginnings stay 0.2 nats behind.)
    """

    def build(self, input_shape):
        bound = 1.0 / math.sqrt(input_shape[-1])
        self.kernel_initializer = keras.initializers.RandomUniform(-bound, bound)
        self.bias_initializer = keras.initializers.RandomUniform(-bound, bound)
        super().build(input_shape)


def serialize_network(network):
    """What `get_config` keeps of a conditioner as it was given."""
    return keras.saving.serialize_keras_object(network) if isinstance(network, keras.layers.Layer) else network


def get_network(network):
    """The conditioner of what `serialize_network` kept."""
    return keras.saving.deserialize_keras_object(network) if isinstance(network, dict) else network
