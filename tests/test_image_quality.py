"""PSNR, SSIM, MS-SSIM, perceptual distance: their definitions in float64, what leaves them unchanged, bad input."""

import functools
import zipfile

import keras
import numpy as np
import pytest
import scipy.ndimage
from keras import ops

from keras_gen import backend
from keras_gen.metrics import (
    MultiScaleStructuralSimilarity,
    PeakSignalToNoiseRatio,
    PerceptualDistance,
    StructuralSimilarity,
    feature_maps,
    lpips_heads,
    multi_scale_structural_similarity,
    peak_signal_to_noise_ratio,
    perceptual_distance,
    structural_similarity,
)
from keras_gen.models import VAE

FUNCTIONS = {
    PeakSignalToNoiseRatio: peak_signal_to_noise_ratio,
    StructuralSimilarity: structural_similarity,
    MultiScaleStructuralSimilarity: multi_scale_structural_similarity,
}
EACH = pytest.mark.parametrize("metric", FUNCTIONS, ids=lambda m: m.__name__)
TWO = pytest.mark.parametrize("metric", [PeakSignalToNoiseRatio, StructuralSimilarity], ids=lambda m: m.__name__)
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def images(height=48, width=None):
    """A smooth image and a noisy, paler one, float64 in 0..1, `(1, height, width, 3)`."""
    i, j = np.mgrid[:height, : width or height] / 16.0
    x = np.stack([0.5 + 0.5 * np.sin(3 * i + 2 * j), 0.5 + 0.4 * np.cos(2.5 * i * j), 0.3 + 0.3 * np.sin(7 * j)], -1)
    noise = np.sin(np.arange(x.size).reshape(x.shape) ** 1.5)
    return x[None], np.clip(0.9 * x + 0.05 + 0.1 * noise, 0.0, 1.0)[None]


def batch(metric):
    """Three pairs of images of increasing difference, float32; for MS-SSIM of its least height."""
    size = (161, 172) if metric is MultiScaleStructuralSimilarity else (24, 24)
    x, y = (i.astype("float32") for i in images(*size))
    share = np.linspace(0.2, 1.0, 3, dtype="float32")[:, None, None, None]
    return np.repeat(x, 3, axis=0), x + share * (y - x)


def array(x):
    return ops.convert_to_numpy(x).astype("float64")


@functools.cache
def compiled(function, options):
    return backend.compile(lambda x, y: function(x, y, *options))


def figures(metric, x, y, *options):
    """The function of `metric` of arrays, as float64; compiled on JAX, which else compiles operation by operation."""
    if keras.config.backend() == "jax":
        function = compiled(FUNCTIONS[metric], options)
        return array(function(ops.convert_to_tensor(x), ops.convert_to_tensor(y)))
    return array(FUNCTIONS[metric](x, y, *options))


def psnr(x, y, r):
    return 10 * np.log10(r**2 / np.mean((x - y) ** 2, axis=(1, 2, 3)))


def ssim_maps(x, y, r):
    """The two factors of Wang et al. 2004, eq. 13, where the 11 x 11 window lies in the image."""
    w = np.exp(-(np.add.outer(np.arange(-5, 6) ** 2, np.arange(-5, 6) ** 2)) / (2 * 1.5**2))
    w = (w / w.sum())[None, :, :, None]

    def local(i):
        return scipy.ndimage.correlate(i, w)[:, 5:-5, 5:-5]

    mx, my, c1, c2 = local(x), local(y), (0.01 * r) ** 2, (0.03 * r) ** 2
    vx, vy, c = local(x * x) - mx**2, local(y * y) - my**2, local(x * y) - mx * my
    return (2 * mx * my + c1) / (mx**2 + my**2 + c1), (2 * c + c2) / (vx + vy + c2)


def ssim(x, y, r):
    luminance, contrast = ssim_maps(x, y, r)
    return np.mean(luminance * contrast, axis=(1, 2, 3))


def halved(x):
    """Averages of 2 x 2 pixels, the last row and column repeated if they are odd."""
    x = np.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)], mode="symmetric")
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def ms_ssim(x, y, r):
    product = 1.0
    for scale, exponent in enumerate(EXPONENTS):
        luminance, contrast = ssim_maps(x, y, r)
        mean = np.mean(luminance * contrast if scale == 4 else contrast, axis=(1, 2))
        product = product * np.maximum(mean, 0.0) ** exponent
        x, y = halved(x), halved(y)
    return np.mean(product, axis=-1)


DEFINITIONS = {PeakSignalToNoiseRatio: psnr, StructuralSimilarity: ssim, MultiScaleStructuralSimilarity: ms_ssim}


# Equal to the definition.


@pytest.mark.parametrize("data_range", [255, 1.0, (-1, 1)], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@TWO
def test_equals_the_definition_in_float64(metric, channels, data_range):
    """Of 8-bit images in each of the three ranges, grey and colour: to 1e-5."""
    x, y = (np.round(255 * i[..., :channels]) for i in images(20, 31))
    expected = DEFINITIONS[metric](x, y, 255.0)
    shift, scale = {255: (0, 1), 1.0: (0, 255), (-1, 1): (127.5, 127.5)}[data_range]
    given = [((i - shift) / scale).astype("uint8" if data_range == 255 else "float32") for i in (x, y)]
    np.testing.assert_allclose(figures(metric, *given, data_range), expected, rtol=0, atol=1e-5)


def test_ms_ssim_equals_the_definition_in_float64():
    """Odd sizes on the way: 161 is 81, 41, 21, 11, and 172 is 86, 43, 22, 11."""
    x, y = batch(MultiScaleStructuralSimilarity)
    found = figures(MultiScaleStructuralSimilarity, x, y, 1.0)
    np.testing.assert_allclose(found, ms_ssim(x.astype("float64"), y.astype("float64"), 1.0), rtol=0, atol=1e-5)


def test_equal_to_other_programs():
    """Figures of scikit-image 0.26 (Gaussian window, biased; `rgb2ycbcr`) in float64, TensorFlow 2.21 for MS-SSIM."""
    x, y = (i.astype("float32") for i in images())
    luma = (1.0, "y", 4)
    for metric, options, expected in (
        (PeakSignalToNoiseRatio, (1.0,), 22.291853),
        (PeakSignalToNoiseRatio, luma, 26.881191),
        (StructuralSimilarity, (1.0,), 0.7897527),
        (StructuralSimilarity, luma, 0.8447673),
    ):
        np.testing.assert_allclose(figures(metric, x, y, *options)[0], expected, rtol=0, atol=1e-5)
    found = figures(MultiScaleStructuralSimilarity, *batch(MultiScaleStructuralSimilarity), 1.0)
    np.testing.assert_allclose(found[2], 0.9720487, rtol=0, atol=1e-5)


def test_flat_bright_images_keep_their_variance():
    """Noise of 1e-2 on 0.9 and 0.85, one window an image: without the shift by the mean it was off by 9e-5."""
    generator = np.random.default_rng(0)
    x, y = (level + 1e-2 * generator.standard_normal((256, 11, 11, 1)).astype("float32") for level in (0.9, 0.85))
    expected = ssim(x.astype("float64"), y.astype("float64"), 1.0)
    np.testing.assert_allclose(figures(StructuralSimilarity, x, y, 1.0), expected, rtol=0, atol=2e-6)


def test_psnr_of_large_images_does_not_round():
    """A million pixels, compiled: one float32 sum over all of them would be off by 1e-3 dB."""
    x = np.random.default_rng(0).random((1, 1024, 1024, 1), "float32")
    x = ops.convert_to_tensor(x)
    found = array(backend.compile(lambda x: peak_signal_to_noise_ratio(x, 0.5 * x, 1.0))(x))
    np.testing.assert_allclose(found, psnr(array(x), 0.5 * array(x), 1.0), rtol=0, atol=2e-5)


def test_luma_of_black_white_and_primaries():
    """BT.601: 16 for black, 235 for white, 81.481, 144.553 and 40.966 for the primaries, against black."""
    colours = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])[:, None, None, :] * np.ones((1, 2, 2, 1))
    found = peak_signal_to_noise_ratio(colours, np.zeros_like(colours), 1.0, channel="y")
    steps = np.array([219.0, 65.481, 128.553, 24.966])
    np.testing.assert_allclose(array(found), 20 * np.log10(255 / steps), rtol=0, atol=1e-5)


@TWO
def test_halves_of_precision_are_computed_in_float32(metric):
    """float16 images give the figure of the same values in float32, of dtype float32."""
    x, y = (i.astype("float16") for i in batch(metric))
    found = FUNCTIONS[metric](x, y, 1.0)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    expected = DEFINITIONS[metric](x.astype("float64"), y.astype("float64"), 1.0)
    np.testing.assert_allclose(array(found), expected, rtol=0, atol=1e-5)


# What leaves a figure unchanged.


@EACH
def test_symmetric_and_falling_with_the_difference(metric):
    """f(x, y) = f(y, x); pairs that differ more have lower figures."""
    x, y = batch(metric)
    found = figures(metric, x, y, 1.0)
    np.testing.assert_array_equal(found, figures(metric, y, x, 1.0))
    assert (np.diff(found) < 0).all()


@EACH
def test_identical_images(metric):
    """Infinity for PSNR, exactly 1 for the others."""
    x, y = batch(metric)
    best = np.inf if metric is PeakSignalToNoiseRatio else 1.0
    np.testing.assert_array_equal(figures(metric, x, x, 1.0), best)
    mixed = figures(metric, x, np.concatenate([y[:2], x[:1]]), 1.0)
    assert mixed[2] == best and (mixed[:2] < best).all()


@TWO
def test_scale_turns_and_flips(metric):
    """The range goes with the values; space has no preferred axis or direction."""
    x, y = batch(metric)
    expected = figures(metric, x, y, 1.0)
    for turn in (lambda i: np.swapaxes(i, 1, 2), lambda i: i[:, ::-1]):
        np.testing.assert_allclose(figures(metric, turn(x), turn(y), 1.0), expected, rtol=0, atol=1e-5)
    for change, data_range in ((lambda i: 2 * i - 1, (-1, 1)), (lambda i: 255 * i, 255)):
        np.testing.assert_allclose(figures(metric, change(x), change(y), data_range), expected, rtol=0, atol=2e-5)


@TWO
def test_crop_and_channels(metric):
    """A crop is that of the arrays; "rgb" is all three channels, and SSIM their mean."""
    x, y = batch(metric)
    inner = [i[:, 3:-3, 3:-3] for i in (x, y)]
    found = figures(metric, *inner, 1.0)
    np.testing.assert_array_equal(figures(metric, x, y, 1.0, None, 3), found)
    np.testing.assert_array_equal(figures(metric, *inner, 1.0, "rgb"), found)
    if metric is StructuralSimilarity:
        each = [figures(metric, *(i[..., c : c + 1] for i in inner), 1.0) for c in range(3)]
        np.testing.assert_allclose(np.mean(each, axis=0), found, rtol=0, atol=1e-5)


# Metrics.


def test_streaming_and_merging_equal_one_batch():
    """Batches of 1 and 2, two metrics merged, one batch of 3: the mean of the function; empty it is NaN."""
    x, y = batch(PeakSignalToNoiseRatio)
    expected = figures(PeakSignalToNoiseRatio, x, y, 1.0).mean()
    parts = [PeakSignalToNoiseRatio(1.0), PeakSignalToNoiseRatio(1.0)]
    for part, rows in zip(parts, (slice(0, 1), slice(1, 3)), strict=True):
        part.update_state(x[rows], y[rows])
    parts[0].merge_state(parts[1:])
    np.testing.assert_allclose(float(parts[0].result()), expected, rtol=1e-6)
    parts[1].update_state(x[:1], y[:1])
    np.testing.assert_allclose(float(parts[1].result()), expected, rtol=1e-6)
    parts[1].reset_state()
    assert np.isnan(float(parts[1].result()))


def test_the_mean_with_an_infinite_image_is_infinite():
    """Of four images one is identical."""
    x, y = batch(PeakSignalToNoiseRatio)
    metric = PeakSignalToNoiseRatio(1.0)
    metric.update_state(x, y)
    metric.update_state(x[:1], x[:1])
    assert float(metric.result()) == np.inf


def test_merging_needs_the_same_settings():
    """Else a mean of dB of Y and of RGB would come out."""
    with pytest.raises(ValueError, match="PeakSignalToNoiseRatio"):
        PeakSignalToNoiseRatio(1.0).merge_state([PeakSignalToNoiseRatio(1.0, channel="y")])


def test_weights_and_an_infinite_image_of_weight_zero():
    """The weighted mean; what has no weight has no say, even if it is infinite."""
    x, y = batch(PeakSignalToNoiseRatio)
    found, metric = array(peak_signal_to_noise_ratio(x, y, 1.0)), PeakSignalToNoiseRatio(1.0)
    metric.update_state(x, np.concatenate([x[:1], y[1:]]), sample_weight=np.array([[0.0], [1.0], [3.0]]))
    np.testing.assert_allclose(float(metric.result()), (found[1] + 3 * found[2]) / 4, rtol=1e-6)


@EACH
def test_configuration_makes_the_same_metric(metric):
    """Through JSON-like config and back."""
    first = metric((-1, 1), channel="y", crop=2, name="mine")
    second = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first))
    assert second.get_config() == first.get_config()
    assert (second.data_range, second.channel, second.crop, second.name) == ((-1.0, 1.0), "y", 2, "mine")


def model(dtype, metrics):
    vae = VAE((12, 12, 1), 2, encoder=keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8, dtype=dtype)]),
              decoder=keras.Sequential([keras.layers.Dense(8, dtype=dtype)]), seed=0, dtype=dtype)  # fmt: skip
    vae.compile(keras.optimizers.SGD(1e-6), metrics=metrics)
    return vae


def extractor():
    options = {"kernel_size": 3, "activation": "relu", "padding": "same"}
    first, second = (keras.layers.Conv2D(n, name=name, **options) for n, name in ((4, "a"), (6, "b")))
    network = keras.Sequential([keras.Input((12, 12, 1)), first, keras.layers.MaxPooling2D(), second])
    return feature_maps(network, ["a", "b"])


def test_in_compile_under_fit():
    """`fit` and `evaluate` report the mean over images of the function of x and `model(x)`, the last batch smaller."""
    x = np.random.default_rng(0).random((20, 12, 12, 1)).astype("float32")
    network, weights = extractor(), [np.ones(4), np.full(6, 0.5)]
    metrics = [PeakSignalToNoiseRatio(1.0), StructuralSimilarity(1.0), PerceptualDistance(network, weights)]
    vae = model("float32", metrics)
    history = vae.fit(x, batch_size=8, verbose=0).history
    logs, y = vae.evaluate(x, batch_size=8, verbose=0, return_dict=True), vae.predict(x, batch_size=8, verbose=0)
    expected = {"psnr": psnr(x, y.astype("float64"), 1.0), "ssim": ssim(x, y.astype("float64"), 1.0),
                "perceptual_distance": array(perceptual_distance(network(x), network(y), weights))}  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_allclose(logs[name], values.mean(), rtol=0, atol=1e-5)
        assert abs(history[name][0] - logs[name]) < 0.1  # the weights hardly move


def test_in_compile_in_mixed_precision():
    """The model's output is float16, the figures are float32: those of `predict`, which rounds on its own."""
    x = np.random.default_rng(0).random((8, 12, 12, 1)).astype("float32")
    vae = model("mixed_float16", [PeakSignalToNoiseRatio(1.0), StructuralSimilarity(1.0)])
    logs, y = vae.evaluate(x, verbose=0, return_dict=True), vae.predict(x, verbose=0).astype("float64")
    for name, values in {"psnr": psnr(x, y, 1.0), "ssim": ssim(x, y, 1.0)}.items():
        np.testing.assert_allclose(logs[name], values.mean(), rtol=0, atol=2e-3)


def test_sizes_that_are_not_known_when_a_function_is_compiled():
    """Images of any size, as networks of convolutions give them: TensorFlow compiles for unknown height and width."""
    if keras.config.backend() != "tensorflow":
        pytest.skip("sizes are always known")
    import tensorflow as tf

    unknown = [tf.TensorSpec((None, None, None, 3), "float32")] * 2
    x, y = (i.astype("float32") for i in images(161, 172))
    for metric, function in FUNCTIONS.items():
        traced = tf.function(lambda x, y, f=function: f(x, y, 1.0, None, 0), input_signature=unknown)
        np.testing.assert_allclose(array(traced(x, y)), figures(metric, x, y, 1.0), rtol=0, atol=1e-5)


def test_a_compiled_step_looks_at_shapes_alone():
    """Values beyond the range pass there, and as tensors in a metric; as arrays they are refused."""
    x = np.full((2, 12, 12, 1), 3.0, "float32")
    tensor = ops.convert_to_tensor(x)
    metric = StructuralSimilarity(1.0)
    metric.update_state(tensor, tensor)
    assert float(metric.result()) == 1.0
    if keras.config.backend() != "torch":  # which compiles nothing
        compiled = backend.compile(lambda x: structural_similarity(x, x, 1.0))
        np.testing.assert_array_equal(array(compiled(tensor)), 1.0)
    for call in (lambda: metric.update_state(x, tensor), lambda: structural_similarity(tensor, tensor, 1.0)):
        with pytest.raises(ValueError, match="data range"):
            call()


# Bad input.

X = np.random.default_rng(0).random((2, 16, 16, 3)).astype("float32")  # refused before anything is computed
BAD = {
    "shapes": (lambda f: f(X, X[:, :15], 1.0), "same shape"),
    "batches": (lambda f: f(X, X[:1], 1.0), "same shape"),
    "grey_against_colour": (lambda f: f(X, X[..., :1], 1.0), "grey is not spread"),
    "grey_for_luma": (lambda f: f(X[..., :1], X[..., :1], 1.0, "y"), "Expected RGB"),
    "grey_for_rgb": (lambda f: f(X[..., :1], X[..., :1], 1.0, "rgb"), "Expected RGB"),
    "no_channels": (lambda f: f(X[..., 0], X[..., 0], 1.0), r"\[\.\.\., None\]"),
    "no_batch": (lambda f: f(X[0], X[0], 1.0), "batch"),
    "unit_for_255": (lambda f: f(X, X, 255), "images in 0..1"),
    "255_for_unit": (lambda f: f(255 * X, 255 * X, 1.0), r"range \[0, 1\]"),
    "signed_for_unit": (lambda f: f(X, X - 0.5, 1.0), r"range \[0, 1\]"),
    "bytes_for_unit": (lambda f: f(*[(255 * X).astype("uint8")] * 2, 1.0), r"range \[0, 1\]"),
    "overshoot": (lambda f: f(X, 1.01 * X / X.max(), 1.0), "clip"),
    "not_a_number": (lambda f: f(X, np.where(X > 0.5, np.nan, X), 1.0), "finite"),
    "channel": (lambda f: f(X, X, 1.0, "luma"), "channel"),
    "crop": (lambda f: f(X, X, 1.0, crop=-1), "crop"),
    "crop_of_all": (lambda f: f(X, X, 1.0, crop=8), "at least"),
    "range_zero": (lambda f: f(X, X, 0), "data_range"),
    "range_backwards": (lambda f: f(X, X, (1, 0)), "data_range"),
    "range_none": (lambda f: f(X, X, None), "data_range"),
    "range_name": (lambda f: f(X, X, "255"), "data_range"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    """A `ValueError` that says what was expected and received, from the functions and from the metrics."""
    call, words = BAD[name]
    for function in (peak_signal_to_noise_ratio, structural_similarity):
        with pytest.raises(ValueError, match=words) as caught:
            call(function)
        assert "Expected" in str(caught.value) and "eceived" in str(caught.value)
    with pytest.raises(ValueError, match=words):
        call(lambda x, y, *args, **options: PeakSignalToNoiseRatio(*args, **options).update_state(x, y))


@pytest.mark.parametrize("function, least", [(structural_similarity, 11), (multi_scale_structural_similarity, 161)])
def test_too_small_images(function, least):
    """The message gives the least size; of this size they are taken."""
    x = np.zeros((1, least, least - 1, 1))
    with pytest.raises(ValueError, match=f"at least {least} x {least}"):
        function(x, x, 1.0)
    x = np.zeros((1, least, least, 1))
    metric = next(m for m, f in FUNCTIONS.items() if f is function)
    assert figures(metric, x, x, 1.0)[0] == 1.0


def test_black_images_have_any_range():
    """All zeros are not taken for images in 0..1; nor are integers that happen to be 0 and 1."""
    x = np.zeros((1, 16, 16, 1))
    assert float(structural_similarity(x, x, 255)[0]) == 1.0
    assert float(structural_similarity(x.astype("uint8"), x.astype("uint8") + 1, 255)[0]) > 0.0


# The perceptual distance.


def maps():
    """Two lists of two feature maps."""
    n = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    f, g = np.sin(n**1.3), np.cos(n**1.2)
    return [f, f[:, :2, :2, :3]], [g, g[:, :2, :2, :3]]


def test_perceptual_distance_equals_the_definition():
    """Directions, weighted squares, mean over space, sum over maps, in numpy; ones by default."""
    weights = [np.linspace(0, 1, 5), np.array([2.0, 0.0, 1.0])]
    for given, w in ((weights, weights), (None, [np.ones(5), np.ones(3)])):
        expected = 0.0
        for f, g, w_l in zip(*maps(), w, strict=True):
            f, g = (i / np.linalg.norm(i, axis=-1, keepdims=True) for i in (f, g))
            expected = expected + np.mean(np.sum(w_l * (f - g) ** 2, axis=-1), axis=(1, 2))
        np.testing.assert_allclose(array(perceptual_distance(*maps(), given)), expected, rtol=1e-5)


def test_perceptual_distance_equals_that_of_lpips():
    """Figures of `normalize_tensor`, `NetLinLayer` and `spatial_average` of lpips 0.1.4 in float64."""
    heads = {f"lin{k}.model.1.weight": np.linspace(0, 1, 5)[:n].reshape(1, n, 1, 1) for k, n in ((1, 3), (0, 5))}
    found = perceptual_distance(*maps(), lpips_heads({**heads, "scaling_layer.shift": np.zeros(3)}))
    np.testing.assert_allclose(array(found), [1.410461851731278, 1.3454350304322018], rtol=1e-5)


def test_heads_of_a_file(tmp_path):
    """A file that torch saved gives the vectors in it."""
    if keras.config.backend() != "torch":
        pytest.skip("written by torch")
    import torch

    heads = {f"lin{i}.model.1.weight": torch.arange(1.0, 4 + i)[None, :, None, None] for i in range(2)}
    torch.save(heads, tmp_path / "a.pth")
    assert [w.tolist() for w in lpips_heads(tmp_path / "a.pth")] == [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]]


def test_laws_of_the_perceptual_distance():
    """Symmetric, zero on equal maps, blind to their length, finite where they are zero, at most 4 a map."""
    x, y = maps()
    found = array(perceptual_distance(x, y))
    np.testing.assert_array_equal(found, array(perceptual_distance(y, x)))
    np.testing.assert_array_equal(array(perceptual_distance(x, x)), 0.0)
    other = array(perceptual_distance([1e4 * f for f in x], [1e-3 * g for g in y]))
    np.testing.assert_allclose(other, found, rtol=1e-5)
    np.testing.assert_allclose(array(perceptual_distance(x, [-f for f in x])), 8.0, rtol=1e-5)
    zeros = [np.zeros_like(f) for f in x]
    np.testing.assert_array_equal(array(perceptual_distance(zeros, zeros)), 0.0)
    np.testing.assert_allclose(array(perceptual_distance(x, zeros)), 2.0, rtol=1e-5)
    half = [np.float16(300 * f) for f in x], [np.float16(300 * g) for g in y]  # whose squares float16 does not hold
    np.testing.assert_allclose(array(perceptual_distance(*half)), found, rtol=1e-2)


def test_perceptual_metric_streams_and_has_no_extractor_in_its_configuration():
    """Two batches are one; what a configuration makes has the weights, and refuses to work without an extractor."""
    x, y = np.random.default_rng(0).random((2, 5, 12, 12, 1)).astype("float32")
    metric, whole = (PerceptualDistance(extractor(), [np.ones(4), np.zeros(6)]) for _ in range(2))
    whole.extractor = metric.extractor
    for rows in (slice(0, 2), slice(2, 5)):
        metric.update_state(x[rows], y[rows])
    whole.update_state(x, y)
    np.testing.assert_allclose(float(metric.result()), float(whole.result()), rtol=1e-6)
    second = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    with pytest.raises(ValueError, match="no network"):
        second.update_state(x, y)
    second.extractor = metric.extractor
    second.update_state(x, y)
    np.testing.assert_allclose(float(second.result()), float(whole.result()), rtol=1e-6)


F, G = maps()
NETWORK = {"lin0.model.1.weight": np.ones((1, 4, 1, 1)), "lin2.model.1.weight": np.ones((1, 4, 1, 1))}
BAD_MAPS = {
    "numbers": (lambda: perceptual_distance(F, G[:1]), "same shapes"),
    "shapes": (lambda: perceptual_distance(F, [g[:, :1] for g in G]), "same shapes"),
    "no_list": (lambda: perceptual_distance(F[0], G[0]), "list of feature maps"),
    "no_maps": (lambda: perceptual_distance([], []), "list of feature maps"),
    "weights_do_not_fit": (lambda: perceptual_distance(F, G, [np.ones(5), np.ones(4)]), "channels"),
    "weights_missing": (lambda: perceptual_distance(F, G, [np.ones(5)]), "channels"),
    "weights_negative": (lambda: perceptual_distance(F, G, [np.ones(5), -np.ones(3)]), ">= 0"),
    "weights_nan": (lambda: PerceptualDistance(len, [np.array([np.nan])]), ">= 0"),
    "extractor": (lambda: PerceptualDistance("vgg"), "callable"),
    "extractor_gives_a_tensor": (lambda: PerceptualDistance(lambda x: x).update_state(X, X), "list of feature maps"),
    "images_differ": (lambda: PerceptualDistance(lambda x: [x]).update_state(X, X[..., :1]), "same shape"),
    "unknown_layer": (lambda: feature_maps(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), ["no"]), "no"),
    "one_name": (lambda: feature_maps(extractor(), "a"), "layers"),
    "not_built": (lambda: feature_maps(keras.Sequential([keras.layers.Dense(1)]), ["dense"]), "built"),
    "no_model": (lambda: feature_maps(len, ["a"]), "built"),
    "heads_with_a_gap": (lambda: lpips_heads(NETWORK), "lin1"),
    "heads_of_another_network": (lambda: lpips_heads({"conv.weight": np.ones(3)}), "conv.weight"),
    "heads_negative": (lambda: lpips_heads({"lin0.model.1.weight": -np.ones((1, 4, 1, 1))}), ">= 0"),
}


@pytest.mark.parametrize("name", BAD_MAPS)
def test_bad_feature_maps(name):
    """A `ValueError` that says what was expected and received."""
    call, words = BAD_MAPS[name]
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "Expected" in str(caught.value) and "eceived" in str(caught.value)


@pytest.mark.real_data
@pytest.mark.skipif(keras.config.backend() == "jax", reason="five sizes, so five compilations of what others test")
def test_bicubic_enlargement_of_set5_has_the_published_figures(data_folder):
    """Y, 4 pixels cropped, 4 times: 28.42 dB and 0.8104 (Lim et al. 2017), to 0.02 dB and 0.001 by Pillow's filter."""
    image = pytest.importorskip("PIL.Image")
    found = []
    with zipfile.ZipFile(data_folder / "sr" / "Set5.zip") as archive:
        for name in archive.namelist():
            x = image.open(archive.open(name)).convert("RGB")
            size = [s - s % 4 for s in x.size]
            x = x.crop((0, 0, *size))
            small = x.resize([s // 4 for s in size], image.BICUBIC)
            pair = [np.asarray(i)[None] for i in (x, small.resize(size, image.BICUBIC))]
            found.append([figures(m, *pair, 255, "y", 4)[0] for m in (PeakSignalToNoiseRatio, StructuralSimilarity)])
    mean = np.mean(found, axis=0)
    assert abs(mean[0] - 28.42) < 0.02 and abs(mean[1] - 0.8104) < 0.001
