"""What the networks share: blocks of one form, a condition that is there or not, and their settings.

A block is `h -> dropout(f(norm(W h + b)))`, W a dense or convolutional map, in which any part but W may be
missing; before a batch or instance normalisation, which has a shift of its own, b is left out.

A network is built from shapes alone, `build(x_shape, condition_shape)`: all weights exist after it, in the
same order whatever the data, and no call is needed.
"""

import functools
import numbers

import keras
import numpy as np
from keras import ops

from keras_gen import layers
from keras_gen.backend import check_dtype

NORMALIZATIONS = {
    None: None,
    "batch": functools.partial(layers.BatchNormalization, synchronized=False),
    "synchronized_batch": functools.partial(layers.BatchNormalization, synchronized=True),
    "layer": keras.layers.LayerNormalization,
    "instance": layers.InstanceNormalization,
}


def normal_initializer():
    """N(0, 0.02^2), that of DCGAN's and its successors' weights, as a configuration."""
    return {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 0.02, "seed": None}}


class Network(keras.layers.Layer):
    """Base of the networks: `network(x, condition=None, training=False)`.

    Args:
        activation: of the hidden layers, default "relu".
        dropout: float in [0, 1), the rate after each hidden layer. Default 0.0.
        normalization: None (default), "batch", "synchronized_batch" (over all replicas, see
            `layers.BatchNormalization`), "layer" or, of images, "instance", before each activation.
        kernel_initializer: default "glorot_uniform", Keras's own.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Raises:
        ValueError: for another `normalization`, a `dropout` outside of [0, 1); at a call, for a condition
            where the network was built without one, and the reverse.
    """

    def __init__(
        self,
        activation="relu",
        dropout=0.0,
        normalization=None,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                f"Expected `normalization` as one of {list(NORMALIZATIONS)}. Received: {normalization!r}."
            )
        if not isinstance(dropout, numbers.Real) or not 0 <= dropout < 1:
            raise ValueError(f"Expected `dropout` as a float in [0, 1). Received: {dropout!r}.")
        self.activation = keras.activations.get(activation)
        self.dropout = float(dropout)
        self.normalization = normalization
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.conditional = False

    # Blocks.

    def dense(self, units, name):
        """A dense layer in the network's settings, without activation."""
        return Block(self._linear(keras.layers.Dense, units), dtype=self.dtype_policy, name=name)

    def dense_block(self, units, name):
        """A dense block in the network's settings."""
        return self._block(self._linear(keras.layers.Dense, units), name)

    def convolution_block(self, layer, filters, kernel_size, strides, name, before=None):
        """A block of a 2-D convolution class `layer`, padding "same"; `before` acts on its input."""
        options = {"padding": "same", "data_format": "channels_last", "strides": strides}
        return self._block(self._linear(layer, filters, kernel_size, **options), name, before)

    def image_convolution(self, channels, kernel_size, name):
        """A convolution in the network's settings that makes an image of its input's size, with a bias."""
        return ImageConvolution(
            channels, kernel_size, padding="same", data_format="channels_last",
            kernel_initializer=self._initializer(), dtype=self.dtype_policy, name=name,
        )  # fmt: skip

    def _linear(self, layer, size, *args, **kwargs):
        own = {"kernel_initializer": self._initializer(), "use_bias": self.normalization not in ("batch", "instance")}
        return layer(size, *args, **own, **kwargs, dtype=self.dtype_policy, name="linear")

    def _initializer(self):
        """The initializer anew: an unseeded one shared by two layers would draw alike in both."""
        return keras.initializers.get(keras.initializers.serialize(self.kernel_initializer))

    def _block(self, linear, name, before=None):
        own = {"activation": self.activation, "normalization": self.normalization, "dropout": self.dropout}
        return Block(linear, before=before, **own, dtype=self.dtype_policy, name=name)

    # The condition.

    def set_conditional(self, condition_shape):
        """Note at build whether there is a condition."""
        self.conditional = condition_shape is not None

    def check_condition(self, condition):
        """Raise where a condition is missing or superfluous."""
        if (condition is not None) != self.conditional:
            expected = "a condition" if self.conditional else "condition=None"
            received = "none" if condition is None else "one"
            raise ValueError(
                f"{type(self).__name__} {self.name!r} was built for {expected}. Received {received}. "
                "Build it by `build(x_shape, condition_shape)` as it is to be called."
            )

    def get_config(self):
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "normalization": self.normalization,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


class Block(keras.layers.Layer):
    """`dropout(f(norm(linear(before(h)))))`, a part of a network and rebuilt by it, not saved by itself."""

    def __init__(self, linear, activation=None, normalization=None, dropout=0.0, before=None, **kwargs):
        super().__init__(**kwargs)
        self.before = before
        self.linear = linear
        self.norm = None
        if normalization is not None:
            self.norm = NORMALIZATIONS[normalization](dtype=self.dtype_policy, name="norm")
        self.activation = activation
        self.drop = None
        if dropout:
            # A seed of its own: without one Keras draws from torch's global generator, which no file holds.
            seed = int(np.random.randint(2**31))
            self.drop = layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy, name="drop")

    def build(self, input_shape):
        shape = input_shape
        if self.before is not None:
            self.before.build(shape)
            shape = self.before.compute_output_shape(shape)
        self.linear.build(shape)
        if self.norm is not None:
            self.norm.build(self.linear.compute_output_shape(shape))

    def call(self, h, training=False):
        h = h if self.before is None else self.before(h)
        h = self.linear(h)
        h = h if self.norm is None else self.norm(h, training=training)
        h = h if self.activation is None else self.activation(h)
        return h if self.drop is None else self.drop(h, training=training)

    def compute_output_shape(self, input_shape):
        if self.before is not None:
            input_shape = self.before.compute_output_shape(input_shape)
        return self.linear.compute_output_shape(input_shape)


class ImageConvolution(keras.layers.Conv2D):
    """`Conv2D` whose one filter can be learned in half precision by torch on a CPU; rebuilt by its network.

    There the gradient of a kernel `(height, width, channels, 1)` is refused ("grad_weight must be contiguous") unless
    the stride of its last axis, of one number, is that of an axis before all others. The numbers do not change.
    """

    def convolution_op(self, inputs, kernel):
        if kernel.shape[-1] == 1:
            kernel = ops.transpose(ops.reshape(kernel, (1, *kernel.shape[:-1])), (1, 2, 3, 0))
        return super().convolution_op(inputs, kernel)
