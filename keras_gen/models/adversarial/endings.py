"""Which activation a network ends in, as far as its structure tells."""

import keras

BOUNDS = {"sigmoid": (0, 1), "hard_sigmoid": (0, 1), "tanh": (-1, 1), "hard_tanh": (-1, 1), "softsign": (-1, 1)}
BOUNDED = ("sigmoid", "hard_sigmoid", "tanh", "hard_tanh", "softmax", "softsign", "sparse_sigmoid")
_KEEP_VALUES = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Dropout)


def ends_in_bounds(network):
    """The name of a bounded activation at the end of `network`; None if there is none, or it cannot be told."""
    name = getattr(_last_activation(network), "__name__", None)
    return name if name in BOUNDED else None


def _last_activation(layer):
    """Of Sequential and Functional models the last layer's, of wrappers the inner layer's."""
    if isinstance(layer, keras.Model):
        layers = [inner for inner in layer.layers if not isinstance(inner, _KEEP_VALUES)]
        return _last_activation(layers[-1]) if layers else None
    if isinstance(inner := getattr(layer, "layer", None), keras.layers.Layer):
        return _last_activation(inner)
    if isinstance(layer, keras.layers.Softmax):
        return keras.activations.softmax
    if type(layer).__module__.startswith("keras."):
        return getattr(layer, "activation", None)
    return getattr(layer, "output_activation", None)
