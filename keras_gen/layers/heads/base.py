"""Heads: layers that turn features h into a distribution p(x given h).

A head is one linear map and a reading of it. With k raw numbers for each element of the event,

    r = W h + b,    r of shape (batch, *event_shape, k),    p(x given h) = family(parameters(r))

Where h already lies on the event's sites, as the feature map of a convolutional decoder does, W acts on the
last axis alone (a 1x1 convolution) and is shared by the sites; else h is flattened and W is full.

The map and all parameters are computed in float32 at least, whatever the policy: a mean in half precision
could not tell 256 grey levels apart.
"""

import math

import keras
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.shapes import as_shape


class DistributionHead(keras.layers.Layer):
    """Base of the heads: features in, by `distribution(h)` a distribution out.

    `call(h)` is the raw linear map, so that a head is built, traced and saved as any layer; a subclass says
    by `raw_shape()` what it needs and by `read(raw)` what it means.

    Args:
        event_shape: tuple of ints, the shape of one event x; `()` for a scalar.
        kernel_initializer: of the linear map, default "glorot_uniform", Keras's own.
        bias_initializer: default "zeros".
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        h: features `(batch, ...)`. Of shape `(batch, *event_shape[:-1], F)` or `(batch, *event_shape, F)`,
            they are mapped site by site; any other shape is flattened.

    Returns:
        Tensor `(batch, *raw_shape())`, float32 at least.

    Raises:
        ValueError: for an event shape that holds no positive integers; on JAX, for a float64 policy without x64.
    """

    def __init__(self, event_shape, kernel_initializer="glorot_uniform", bias_initializer="zeros", **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        check_dtype(self.dtype_policy, type(self).__name__)
        self.event_shape = as_shape(event_shape, "event_shape")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.projection = None

    # What a family writes.

    def raw_shape(self):
        """Shape of the raw numbers of one example: `(*event_shape, numbers_per_element())`."""
        return (*self.event_shape, self.numbers_per_element())

    def numbers_per_element(self):
        """k, the raw numbers read for each element of the event."""
        raise NotImplementedError(f"{type(self).__name__} writes no `numbers_per_element` or `raw_shape`.")

    def read(self, raw):
        """The distribution of raw numbers `(batch, *raw_shape())`."""
        raise NotImplementedError(f"{type(self).__name__} writes no `read`.")

    # The layer.

    def distribution(self, h, training=False):
        """The distribution p(x given h) of features `(batch, ...)`, its parameters float32 at least.

        `training` is for heads that have more than a linear map, such as a `FlowHead` with dropout.
        """
        return self.read(self(h))

    def validate(self, x):
        """Raise `ValueError` if the numpy array x `(batch, *event_shape)` lies out of the support."""
        self.read(ops.zeros((1, *self.raw_shape()), self.parameter_dtype)).validate(x)

    @property
    def parameter_dtype(self):
        """float32, or float64 under that policy."""
        return keras.backend.result_type(self.variable_dtype, "float32")

    def build(self, input_shape):
        input_shape = tuple(input_shape)
        sites = self._sites(input_shape)
        features = math.prod(input_shape[1 + len(sites) :])
        self.projection = keras.layers.Dense(
            math.prod(self.raw_shape()[len(sites) :]),
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            dtype=self.parameter_dtype,
            name="projection",
        )
        self._feature_shape = (*sites, features)
        self.projection.build((None, *self._feature_shape))

    def call(self, h):
        h = ops.reshape(ops.cast(h, self.parameter_dtype), (-1, *self._feature_shape))
        return ops.reshape(self.projection(h), (-1, *self.raw_shape()))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.raw_shape())

    def compute_output_spec(self, h):
        return keras.KerasTensor(self.compute_output_shape(h.shape), self.parameter_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "event_shape": self.event_shape,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }

    def global_weight(self, shape, name, value):
        """A trained weight that does not depend on the features, begun at `value`."""
        return self.add_weight(
            shape=shape,
            initializer=keras.initializers.Constant(value),
            dtype=self.parameter_dtype,
            autocast=False,
            name=name,
        )

    def _sites(self, input_shape):
        """The axes of the event on which the features already lie; () where they are to be flattened."""
        for sites in (self.event_shape, self.event_shape[:-1]):
            fits = self.raw_shape()[: len(sites)] == sites
            if sites and fits and len(input_shape) == len(sites) + 2 and input_shape[1:-1] == sites:
                return sites
        return ()
