"""Laws of the layers of style-based and growing networks: statistics, modulation, equalised rates, spectral norm."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, layers, random

rng = np.random.default_rng(0)


def real(*shape):
    return rng.normal(size=shape).astype("float32")


def numbers(x):
    return np.array(ops.convert_to_numpy(ops.cast(x, "float32")))


def dense(**kwargs):
    return keras.layers.Dense(3, **kwargs)


# id: constructor, shapes of the inputs
LAYERS = {
    "adain": (layers.AdaIN, [(3, 4, 4, 2), (3, 5)]),
    "blur": (layers.Blur, [(3, 4, 5, 2)]),
    "equalized_dense": (lambda **kw: layers.EqualizedDense(3, "leaky_relu", rate=0.1, seed=1, **kw), [(3, 5)]),
    "equalized_convolution": (lambda **kw: layers.EqualizedConv2D(3, 2, seed=1, **kw), [(3, 4, 5, 2)]),
    "modulated_convolution": (lambda **kw: layers.ModulatedConv2D(3, seed=1, **kw), [(3, 4, 4, 2), (3, 5)]),
    "modulated_only": (lambda **kw: layers.ModulatedConv2D(3, 1, False, False, **kw), [(3, 4, 4, 2), (3, 5)]),
    "noise": (layers.NoiseInjection, [(3, 4, 4, 2)]),
    "minibatch": (lambda **kw: layers.MinibatchStandardDeviation(2, **kw), [(3, 4, 4, 2)]),
    "pixel": (layers.PixelNormalization, [(3, 4, 4, 2)]),
    "spectral": (lambda **kw: layers.SpectralNormalization(dense(**kw), 2, seed=1), [(3, 5)]),
}
cases = pytest.mark.parametrize("name", LAYERS)


@cases
def test_shapes_and_configurations(name):
    """The output has the stated shape; the configuration makes a layer of equal outputs."""
    make, shapes = LAYERS[name]
    inputs = [real(*shape) for shape in shapes]
    layer = make()
    y = layer(*inputs)
    assert tuple(y.shape) == tuple(layer.compute_output_shape(*shapes))
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert twin.built
    twin.set_weights(layer.get_weights())
    np.testing.assert_allclose(numbers(y), numbers(twin(*inputs)), rtol=0, atol=1e-6)


@cases
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(name, policy):
    """Half precision in and out, near to float32."""
    make, shapes = LAYERS[name]
    inputs = [real(*shape) for shape in shapes]
    layer, half = make(), make(dtype=policy)
    for one in (layer, half):
        one.build(*shapes)
    half.set_weights(layer.get_weights())
    y = half(*inputs)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    np.testing.assert_allclose(numbers(y), numbers(layer(*inputs)), rtol=0.05, atol=0.05)


def test_adain_gives_the_statistics_of_the_style():
    """Mean and standard deviation of each channel of each image are those that the style asks for."""
    x, style = 5.0 + 3.0 * real(2, 8, 8, 3), real(2, 4)
    layer = layers.AdaIN()
    y = numbers(layer(x, style))
    scale, shift = np.split(numbers(layer.affine(style)), 2, axis=-1)
    np.testing.assert_allclose(y.mean((1, 2)), shift, rtol=0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2)), np.abs(1.0 + scale), rtol=0, atol=1e-5)
    turned = numbers(layer(-2.0 * x + 1.0, style))
    np.testing.assert_allclose(turned + y, 2.0 * np.broadcast_to(shift[:, None, None], y.shape), rtol=0, atol=1e-4)


def test_a_modulated_convolution_is_one_kernel_an_example():
    """Scaling inputs and outputs equals a convolution of each image with weights of its own (Karras 2020, eq. 1, 3)."""
    x, style = real(3, 6, 6, 4), real(3, 5)
    layer = layers.ModulatedConv2D(2, seed=0)
    y = numbers(layer(x, style))
    s, w = numbers(layer.affine(style)), layer.scale * numbers(layer.kernel.value)
    for i in range(3):
        own = w * s[i][:, None]
        own = own / np.sqrt((own**2).sum((0, 1, 2)) + 1e-8)
        expected = numbers(ops.conv(x[i : i + 1], own, padding="same", data_format="channels_last"))[0]
        np.testing.assert_allclose(y[i], expected, rtol=0, atol=1e-5)


def test_demodulated_outputs_have_unit_variance():
    """Of independent inputs of unit variance, whatever the style; without demodulation the style sets it."""
    x, style = real(2, 100, 100, 4), 3.0 * real(2, 5)
    for demodulate in (True, False):
        layer = layers.ModulatedConv2D(6, demodulate=demodulate, seed=0)
        variance = numbers(layer(x, style))[:, 1:-1, 1:-1].var((1, 2))
        assert (np.abs(variance - 1.0).max() < 0.1) == demodulate


def test_an_equalized_layer_is_a_plain_one_with_scaled_weights():
    """`c r w` and `r b` in Keras's layers give the same; weights begin as N(0, 1 / r^2), c = gain / sqrt(fan_in)."""
    x, image = real(3, 16), real(3, 5, 6, 2)
    for layer, plain, data, fan_in in [
        (layers.EqualizedDense(64, "tanh", gain=2.0, rate=0.1, bias_initializer="ones"), keras.layers.Dense(64, "tanh"),
         x, 16),
        (layers.EqualizedConv2D(64, 3, "tanh", gain=2.0, rate=0.1), keras.layers.Conv2D(64, 3, padding="same",
         activation="tanh"), image, 18),
    ]:  # fmt: skip
        y = numbers(layer(data))
        plain.build(data.shape)
        w, b = layer.get_weights()
        plain.set_weights([2.0 * 0.1 / np.sqrt(fan_in) * w, 0.1 * b])
        np.testing.assert_allclose(y, numbers(plain(data)), rtol=0, atol=1e-5)
        assert w.std() == pytest.approx(10.0, rel=0.1)


def test_an_equalized_layer_keeps_the_variance_through_a_rectifier():
    """Of unit mean square in, 1.04 comes out of a leaky rectifier of slope 0.2: (1 + 0.2^2) / 2 times the gain's 2."""
    y = layers.EqualizedDense(512, "leaky_relu", seed=0)(real(512, 256))
    assert np.mean(numbers(y) ** 2) == pytest.approx(1.04, rel=0.03)


@pytest.mark.parametrize("n, groups", [(8, [4, 4]), (6, [4, 2]), (3, [3])])
def test_minibatch_standard_deviation(n, groups):
    """One number for each group of consecutive examples, by numpy; the last group has what remains."""
    x = real(n, 2, 3, 5)
    y = numbers(layers.MinibatchStandardDeviation(4)(x))
    expected, start = [], 0
    for size in groups:
        expected += [np.sqrt(x[start : start + size].var(0) + 1e-8).mean()] * size
        start += size
    np.testing.assert_allclose(y[..., :5], x, rtol=0, atol=0)
    np.testing.assert_allclose(y[..., 5], np.array(expected)[:, None, None] + np.zeros((n, 2, 3)), rtol=0, atol=1e-5)


def test_a_noise_by_key_is_that_of_its_key():
    """Noise of example i comes from key i, times the strength; without noise or at strength zero nothing changes."""
    x, keys = real(3, 4, 4, 2), random.keys(0, 3)
    layer = layers.NoiseInjection()
    np.testing.assert_array_equal(numbers(layer(x, keys=keys)), x)
    layer.strength.assign([1.0, 2.0])
    y = numbers(layer(x, keys=keys))
    noise = numbers(random.normal(keys, (4, 4, 1)))
    np.testing.assert_allclose(y - x, noise * np.array([1.0, 2.0]), rtol=0, atol=1e-5)
    np.testing.assert_allclose(y, numbers(layer(x, noise)), rtol=0, atol=1e-6)
    np.testing.assert_allclose(y[1:2], numbers(layer(x[1:2], keys=keys[1:2])), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(numbers(layer(x)), x)


def test_doubling_halving_and_blur():
    """Halving undoes doubling; odd sides round up; flat images stay flat; the blur is the binomial filter."""
    x = real(2, 3, 4, 2)
    np.testing.assert_array_equal(numbers(layers.halved(layers.doubled(x))), x)
    odd = numbers(layers.halved(x))
    assert odd.shape == (2, 2, 2, 2)
    np.testing.assert_allclose(odd[:, 1], x[:, 2].reshape(2, 2, 2, 2).mean(2), rtol=0, atol=1e-6)
    np.testing.assert_allclose(numbers(layers.Blur()(np.ones((1, 3, 2, 1), "float32"))), 1.0, rtol=0, atol=1e-6)
    impulse = np.zeros((1, 5, 5, 1), "float32")
    impulse[0, 2, 2] = 1.0
    taps = np.array([0, 1, 2, 1, 0]) / 4
    np.testing.assert_allclose(numbers(layers.Blur()(impulse))[0, :, :, 0], np.outer(taps, taps), rtol=0, atol=1e-7)


# Spectral normalisation.

KERNELS = {
    "dense": (lambda: keras.layers.Dense(4), (None, 6), lambda w: w),
    "convolution": (lambda: keras.layers.Conv2D(4, 3), (None, 6, 6, 3), lambda w: w.reshape(-1, 4)),
    "transposed": (
        lambda: keras.layers.Conv2DTranspose(4, 3), (None, 6, 6, 3), lambda w: w.swapaxes(2, 3).reshape(-1, 4),
    ),
    "embedding": (lambda: keras.layers.Embedding(5, 4), (None,), lambda w: w),
}  # fmt: skip


@pytest.mark.parametrize("name", KERNELS)
def test_sigma_converges_to_the_largest_singular_value(name):
    """Power iteration in training finds numpy's singular value; inference moves nothing; outputs are of W / sigma."""
    make, shape, matrix = KERNELS[name]
    plain = make()
    plain.build(shape)
    kernel = plain.get_weights()[0]
    U, _, V = np.linalg.svd(matrix(kernel), full_matrices=False)
    known = (U * [1.7, 0.8, 0.4, 0.2]) @ V  # a gap, for a quick convergence
    known = known.reshape(3, 3, 3, 4).swapaxes(2, 3) if name == "transposed" else known.reshape(kernel.shape)
    plain.set_weights([known, *plain.get_weights()[1:]])
    wrapped = layers.SpectralNormalization(plain, power_iterations=15, seed=0)
    wrapped.build(shape)
    x = np.array([0, 3]) if name == "embedding" else real(2, *shape[1:])
    before = numbers(wrapped.u.value)
    wrapped(x)
    np.testing.assert_array_equal(numbers(wrapped.u.value), before)
    y = numbers(wrapped(x, training=True))
    kernel = plain.get_weights()[0]
    sigma = np.linalg.svd(matrix(kernel), compute_uv=False)[0]
    assert numbers(wrapped.sigma()) == pytest.approx(sigma, rel=1e-5)
    np.testing.assert_array_equal(plain.get_weights()[0], kernel)
    assert [v.path for v in wrapped.trainable_variables] == [v.path for v in plain.trainable_variables]
    plain.set_weights([kernel / sigma, *plain.get_weights()[1:]])
    np.testing.assert_allclose(y, numbers(plain(x)), rtol=0, atol=1e-5)


def test_the_gradient_of_a_spectrally_normalised_kernel():
    """(c - (c . W/sigma) u v^T) / sigma for the gradient c in W / sigma (Miyato 2018, eq. 11): the norm cannot grow."""
    plain = keras.layers.Dense(4, use_bias=False)
    wrapped = layers.SpectralNormalization(plain, power_iterations=15, seed=0)
    x, direction = real(8, 6), real(8, 4)
    wrapped(x)
    U, _, V = np.linalg.svd(plain.get_weights()[0], full_matrices=False)
    W = (U * [1.7, 0.8, 0.4, 0.2]) @ V
    plain.set_weights([W])
    loss = lambda: ops.sum(ops.multiply(wrapped(x, training=True), direction))  # noqa: E731
    _, (gradient,) = backend.value_and_grad(loss, wrapped.trainable_variables)
    v, s, u = np.linalg.svd(W)
    c = x.T @ direction
    expected = (c - (c * W).sum() / s[0] * np.outer(v[:, 0], u[0])) / s[0]
    np.testing.assert_allclose(numbers(gradient), expected, rtol=0, atol=2e-5)
    assert abs((numbers(gradient) * W).sum()) < 1e-4


def test_the_state_of_a_spectral_norm_is_saved(tmp_path):
    """A model with it saves u, and gives the same after loading."""
    model = keras.Sequential([keras.Input((6,)), layers.SpectralNormalization(keras.layers.Dense(4), seed=0)])
    x = real(3, 6)
    for _ in range(3):
        model(x, training=True)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numbers(model(x)), numbers(loaded(x)))


BAD = {
    "equalized units": lambda: layers.EqualizedDense(0),
    "equalized gain": lambda: layers.EqualizedDense(3, gain=-1.0),
    "equalized rate": lambda: layers.EqualizedConv2D(3, rate=0),
    "kernel": lambda: layers.EqualizedConv2D(3, kernel_size=1.5),
    "modulated filters": lambda: layers.ModulatedConv2D(-3),
    "group": lambda: layers.MinibatchStandardDeviation(0),
    "no linear layer": lambda: layers.SpectralNormalization(keras.layers.ReLU()),
    "iterations": lambda: layers.SpectralNormalization(dense(), power_iterations=0),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    """Constructors refuse what they cannot mean, and say what they received."""
    with pytest.raises(ValueError, match="Expected .*Received"):
        BAD[name]()
