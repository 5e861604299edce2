"""Layers that do on torch in one operation what Keras does in several: the numbers are Keras's on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend
from keras_gen.layers import BatchNormalization
from keras_gen.layers.transposed import Conv2DTranspose


def _pair(ours, theirs, shape, **options):
    """Both layers with the same weights."""
    pair = [ours(**options), theirs(**options)]
    for layer in pair:
        layer.build(shape)
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.5, 1.5, w.shape) for w in pair[0].get_weights()]
    for layer in pair:
        layer.set_weights(weights)
    return pair


def _values(layer, x, **call):
    """Output, its gradients in x and in the weights, second ones too, and the weights afterwards."""

    def slope():
        return ops.sum(backend.grad(lambda x: ops.sum(ops.sin(layer(x, **call))), x) ** 2)

    y = layer(x, **call)
    after = layer.get_weights()
    g = backend.grad(lambda x: ops.sum(ops.sin(layer(x, **call))), x)
    second = backend.value_and_grad(slope, layer.trainable_variables)[1]
    return [ops.convert_to_numpy(value) for value in [y, g, *second, *after]]


@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 2, 5)])
def test_batch_normalization_is_that_of_keras(shape):
    """Outputs, moving statistics, gradients and gradients of gradients."""
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(1.0, 2.0, shape).astype("float32"))
    ours, theirs = _pair(BatchNormalization, keras.layers.BatchNormalization, shape, momentum=0.5)
    for a, b in zip(_values(ours, x, training=True), _values(theirs, x, training=True), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4)  # second derivatives of float32, several passes


@pytest.mark.parametrize("kernel_size, strides", [(4, 2), (3, 2), (2, 2), (3, 1), ((4, 3), (2, 1)), (1, 2)])
def test_the_transposed_convolution_is_that_of_keras(kernel_size, strides):
    """Margins that are even, and those that are left to Keras."""
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32"))
    options = {"filters": 2, "kernel_size": kernel_size, "strides": strides, "padding": "same", "activation": "relu"}
    ours, theirs = _pair(Conv2DTranspose, keras.layers.Conv2DTranspose, (None, 5, 4, 3), **options)
    for a, b in zip(_values(ours, x), _values(theirs, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_comes_out_as_of_keras(dtype):
    """In the policy's dtype, with the moments in float32."""
    x = ops.convert_to_tensor(np.random.default_rng(0).normal(1.0, 2.0, (4, 4, 4, 2)).astype("float32"))
    doubling = {"filters": 2, "kernel_size": 4, "strides": 2, "padding": "same"}
    for ours, theirs, options, call in (
        (BatchNormalization, keras.layers.BatchNormalization, {}, {"training": True}),
        (Conv2DTranspose, keras.layers.Conv2DTranspose, doubling, {}),
    ):
        pair = _pair(ours, theirs, (None, 4, 4, 2), dtype=dtype, **options)
        a, b = (layer(ops.cast(x, dtype[6:]), **call) for layer in pair)
        assert keras.backend.standardize_dtype(a.dtype) == keras.backend.standardize_dtype(b.dtype) == dtype[6:]
        a, b = (ops.convert_to_numpy(ops.cast(value, "float32")) for value in (a, b))
        np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-1)
