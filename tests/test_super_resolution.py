"""Super-resolution: resampling against formulas and Pillow, the reach of networks, tiles, training, files."""

import io
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_gen.callbacks import ExactResume
from keras_gen.datasets import PatchPairs, bicubic
from keras_gen.datasets.patches import degraded, symmetry
from keras_gen.datasets.resizing import weights
from keras_gen.layers import BicubicUpsampling, SubPixel
from keras_gen.losses import absolute_error
from keras_gen.models import SRGAN, Batch, SuperResolution
from keras_gen.models.tiling import windows
from keras_gen.networks import EDSR, ESPCN, DCGANDiscriminator, RRDBNet, SRResNet
from tests.interrupting import Interrupt, Interruption

pytestmark = pytest.mark.usefixtures("networks_as_programs")
GOLDEN = Path(__file__).parent / "golden"
EAGER = keras.config.backend() == "tensorflow"  # its graphs do not give the same bits twice

NETWORKS = {
    "espcn": lambda s, **kw: ESPCN(s, (4,), **kw),
    "edsr": lambda s, **kw: EDSR(s, 4, 1, residual_scale=0.5, **kw),
    "edsr_staged": lambda s, **kw: EDSR(s, 4, 1, upsampling="staged", **kw),
    "srresnet": lambda s, **kw: SRResNet(s, 4, 1, **kw),
    "rrdb": lambda s, **kw: RRDBNet(s, 4, 1, growth=2, residual_scale=0.8, upsampling="direct", **kw),
}


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def draw(shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype("float32")


def network(name, scale=2, **kwargs):
    """A network all of whose weights are random: as constructed its last layer is zero."""
    keras.utils.set_random_seed(0)
    built = NETWORKS[name](scale, **kwargs)
    built.build((None, None, None, 3))
    rng = np.random.default_rng(1)
    built.set_weights([w + 0.1 * rng.normal(size=w.shape) * (np.ptp(w) == 0) for w in built.get_weights()])
    return built


def picture(height, width, seed=0):
    """A smooth picture with edges, uint8."""
    i, j = np.mgrid[:height, :width]
    waves = np.stack([np.sin(i / 5 + j / 9 + k + seed) + (i > height / 2) * (j > width / 3) for k in range(3)], -1)
    return np.uint8(np.clip(80 * waves + 90, 0, 255))


# Resampling.


@pytest.mark.parametrize("size", [(7, 9), (30, 31), (14, 5)])
def test_bicubic_is_the_antialiased_one_of_pillow_away_from_the_border(size):
    """Pillow computes the same weights in float, and cuts them at the border where we mirror."""
    x = draw((21, 24))
    found = bicubic(x, size)
    expected = np.asarray(Image.fromarray(x, mode=None).resize(size[::-1], Image.Resampling.BICUBIC))
    inner = tuple(slice(int(np.ceil(2 * max(1, m / n))) + 1, -int(np.ceil(2 * max(1, m / n))) - 1)
                  for n, m in zip(x.shape, size, strict=True))  # fmt: skip
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0, atol=2e-6)


def test_the_weights_of_bicubic_sum_to_one_and_reproduce_quadratics():
    """Keys's cubic with a = -1/2 reproduces polynomials of degree 2 away from the border when it enlarges."""
    rows, w = weights(20, 60)
    np.testing.assert_allclose(w.sum(1), 1.0)
    u = (np.arange(60) + 0.5) / 3 - 0.5
    inner = slice(9, -9)
    np.testing.assert_allclose(np.sum(w * (rows**2 - 3 * rows), 1)[inner], (u**2 - 3 * u)[inner], atol=1e-9)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.real_data
def test_bicubic_gives_the_papers_figures_on_set5(scale, monkeypatch):
    """33.66, 30.39 and 28.42 dB (Timofte et al. 2014) to 0.02 dB, by the papers' protocol."""
    if not os.environ.get("KERAS_GEN_DATA"):
        pytest.skip("KERAS_GEN_DATA names no folder")
    errors = []
    with zipfile.ZipFile(os.path.join(os.environ["KERAS_GEN_DATA"], "sr", "Set5.zip")) as archive:
        for name in sorted(archive.namelist()):
            x = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
            x = x[: x.shape[0] // scale * scale, : x.shape[1] // scale * scale]
            luma = np.round(16 + x @ np.array([65.481, 128.553, 24.966]) / 255)
            back = bicubic(bicubic(luma, tuple(side // scale for side in luma.shape)), luma.shape)
            errors.append(np.mean((np.clip(np.round(back), 0, 255) - luma)[scale:-scale, scale:-scale] ** 2))
    found = np.mean(10 * np.log10(255**2 / np.array(errors)))
    assert found == pytest.approx({2: 33.66, 3: 30.39, 4: 28.42}[scale], abs=0.02)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_bicubic_layer_is_the_bicubic_of_arrays(scale):
    """Borders and images of one pixel a side included."""
    for shape in [(2, 5, 4, 3), (1, 1, 3, 1), (1, 2, 1, 2)]:
        x = draw(shape)
        found = numbers(BicubicUpsampling(scale)(x))
        expected = [bicubic(image, (scale * shape[1], scale * shape[2])) for image in x]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_sub_pixels_are_where_the_formula_puts_them():
    """y[s i + a, s j + b, k] = x[i, j, (s a + b) c + k]."""
    x, s, c = draw((2, 3, 4, 18)), 3, 2
    y = numbers(SubPixel(s)(x))
    for a, b in np.ndindex(s, s):
        np.testing.assert_array_equal(y[:, a::s, b::s], x[..., (s * a + b) * c : (s * a + b) * c + c])
    with pytest.raises(ValueError, match="that 9 divides"):
        SubPixel(3)(x[..., :17])


# Networks.


@pytest.mark.parametrize("name", NETWORKS)
def test_an_output_pixel_sees_its_radius_and_no_further(name):
    """A change of one small pixel reaches large pixels within the radius, and some that far away by it."""
    net, s = network(name, 2, bicubic_skip=False), 2
    r = net.radius
    n = 2 * r + 3
    x = draw((1, n, n, 3))
    changed = x.copy()
    changed[0, r + 1, r + 1] += 10.0
    moved = np.abs(numbers(net(x)) - numbers(net(changed)))[0].max(-1) > 0
    rows, columns = np.nonzero(moved)
    for index in (rows, columns):
        reach = max(r + 1 - index.min() // s, index.max() // s - (r + 1))
        assert r - 1 <= reach <= r  # the radius is rounded up where layers work at the high resolution


@pytest.mark.parametrize("name", NETWORKS)
def test_training_begins_at_the_bicubic_image(name):
    """As constructed, a network with the bicubic skip is the bicubic enlargement."""
    x = draw((1, 6, 7, 3))
    net = NETWORKS[name](3)
    np.testing.assert_allclose(numbers(net(x)), numbers(BicubicUpsampling(3)(x)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 6])
def test_staged_upsampling_reaches_any_scale(scale):
    """Powers of two in stages of two, others in one; the configuration makes the same network."""
    net = network("edsr_staged", scale)
    again = type(net).from_config(net.get_config())
    again.build((None, None, None, 3))
    again.set_weights(net.get_weights())
    x = draw((1, 5, 4, 3))
    assert net(x).shape == (1, 5 * scale, 4 * scale, 3)
    np.testing.assert_array_equal(numbers(net(x)), numbers(again(x)))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_agrees_to_its_precision(policy):
    """A network under a mixed policy gives what it gives in float32, to a hundredth."""
    x = draw((1, 6, 6, 3))
    net, half = network("edsr"), network("edsr", dtype=policy)
    half.set_weights(net.get_weights())
    np.testing.assert_allclose(numbers(ops.cast(half(x), "float32")), numbers(net(x)), rtol=0, atol=3e-2)


# Tiles.


@pytest.mark.parametrize(("n", "tile", "margin"), [(1, 4, 2), (9, 4, 2), (8, 4, 0), (23, 4, 3), (100, 16, 7)])
def test_windows_cover_an_axis_once(n, tile, margin):
    """Each pixel is kept from a window that reaches `margin` further, or to the border; all windows are of one size."""
    spans = list(windows(n, tile, margin))
    assert len({stop - start for start, stop, _, _ in spans}) == 1
    assert spans[0][2] == 0 and spans[-1][3] == n
    kept = np.zeros(n, bool)
    for start, stop, first, last in spans:
        assert (first - start >= margin or first == start == 0) and (stop - last >= margin or last == stop == n)
        kept[first:last] = True
    assert kept.all()


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_equal_the_whole_image(name):
    """Odd sizes, images smaller than a tile, tiles of any size: to 1e-5, borders included."""
    net = network(name, bicubic_skip=name != "espcn")
    model = SuperResolution((8, 8, 3), 2, net, average=None)
    for shape in [(2 * net.radius + 11, 13, 3)] + [(3, 5, 3)] * (name == "edsr"):
        image = draw(shape)
        whole = np.clip(numbers(net(image[None]))[0], 0, 1)
        np.testing.assert_allclose(model.upscale(image, tile=4), whole, rtol=0, atol=1e-5)


def test_a_smaller_overlap_leaves_seams():
    """The test above can fail: without the radius tiles differ from the whole."""
    net = network("edsr")
    model, image = SuperResolution((8, 8, 3), 2, net, average=None), draw((20, 20, 3))
    whole = model.upscale(image, tile=64)
    assert np.abs(model.upscale(image, tile=6, overlap=0) - whole).max() > 1e-3


def test_the_ensemble_is_the_mean_over_the_symmetries_of_the_square():
    """What is turned is turned back: the ensemble of an image is that of the turned image, turned back."""
    model, image = SuperResolution((8, 8, 3), 2, network("edsr"), average=None), draw((6, 9, 3))
    found = model.upscale(image, ensemble=True)
    for k in range(8):
        turned = model.upscale(np.ascontiguousarray(symmetry(image, k)), ensemble=True)
        np.testing.assert_allclose(turned, symmetry(found, k), rtol=0, atol=1e-5)


# Data.


def test_pairs_are_pieces_of_one_picture_turned_alike():
    """Every small patch is found in the small picture at the place of its large one, and the batch is pure."""
    image = picture(37, 45)
    pairs = PatchPairs([image], 2, patch=12, batch_size=6, batches=3, augment=False)
    x, y = pairs.at(1, 2, 5)
    small = degraded(image[:36, :44], 2) / np.float32(255)
    large = image / np.float32(255)
    for high, low in zip(x, y, strict=True):
        found = [(i, j) for i in range(13) for j in range(17) if np.array_equal(small[i : i + 6, j : j + 6], low)]
        assert any(np.array_equal(large[2 * i : 2 * i + 12, 2 * j : 2 * j + 12], high) for i, j in found)
    np.testing.assert_array_equal(x, pairs.at(1, 2, 5)[0])
    assert not np.array_equal(x, pairs.at(2, 2, 5)[0])
    turned = PatchPairs([image], 2, patch=36, batch_size=8, batches=1)
    for high, low in zip(*turned[0], strict=True):
        np.testing.assert_allclose(bicubic(high, (18, 18))[3:-3, 3:-3], low[3:-3, 3:-3], atol=3 / 255)


# The model.


def trained(folder=None, stop=None, epochs=2, **kwargs):
    keras.utils.set_random_seed(3)
    model = SuperResolution((16, 16, 3), 2, EDSR(2, 4, 1), **kwargs)
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=EAGER)
    pairs = PatchPairs([picture(40, 50), picture(32, 32, 2)], 2, patch=16, batch_size=4, batches=3)
    calls = [] if folder is None else [ExactResume(folder, every_steps=1)]
    history = model.fit(pairs, epochs=epochs, seed=1, verbose=0, callbacks=[*calls, *([stop] if stop else [])])
    return model, history.history


def test_an_interrupted_training_goes_on_and_a_file_holds_all(tmp_path):
    """Weights, optimizer and average: the bits of a training without interruption, and of a loaded model."""
    model, history = trained()
    with pytest.raises(Interruption):
        trained(tmp_path / "run", Interrupt(4))
    again, _ = trained(tmp_path / "run", Interrupt(100))
    state = lambda m: [numbers(v) for v in [*m.weights, *m.optimizer.variables]]  # noqa: E731
    for a, b in zip(state(model), state(again), strict=True):
        np.testing.assert_array_equal(a, b)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for a, b in zip(state(model), state(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(loaded.upscale(draw((5, 6, 3))), model.upscale(draw((5, 6, 3))))
    assert history["loss"][-1] < history["loss"][0]


def test_a_model_gives_the_same_by_all_its_names():
    """`sample`, `predict`, `model(x, y)` and `upscale` are G(y) of the average network, whatever the seed and batch."""
    model, _ = trained(epochs=1)
    x, y = draw((3, 16, 16, 3)), draw((3, 8, 8, 3), 1)
    expected = numbers(model.average_network(y))
    for found in (model.sample(3, y, seed=5, batch_size=2), model.predict((x, y), verbose=0), numbers(model(x, y))):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.upscale(y[0]), np.clip(expected[0], 0, 1), rtol=0, atol=1e-5)
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    error = np.mean(np.abs(x - expected))
    psnr = np.mean(-10 * np.log10(np.mean((x - expected) ** 2, axis=(1, 2, 3))))
    assert found["loss"] == pytest.approx(error, rel=1e-5) and found["psnr"] == pytest.approx(psnr, rel=1e-5)


def test_the_average_follows_by_its_formula():
    """a_t = b_t a_(t-1) + (1 - b_t) w_t with b_t = min(b, (1 + t) / (10 + t)), t counted from 0 over three steps."""
    model = SuperResolution((8, 8, 3), 2, network("edsr"), average=0.15)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGER)
    average = [numbers(v) for v in model.average_network.weights]
    for t in range(3):
        model.train_on_batch(draw((4, 8, 8, 3), t), draw((4, 4, 4, 3), t))
        b = min(0.15, (1 + t) / (10 + t))
        average = [b * a + (1 - b) * numbers(w) for a, w in zip(average, model.network.weights, strict=True)]
    for a, v in zip(average, model.average_network.weights, strict=True):
        np.testing.assert_allclose(numbers(v), a, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_variable_gets_a_gradient(name):
    """After two steps every trainable variable has moved (the first moves the zero layer alone)."""
    model = SuperResolution((8, 8, 3), 2, NETWORKS[name](2), loss="l2", average=None)
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=EAGER)
    before = [numbers(v) for v in model.trainable_variables]
    for _ in range(2):
        model.train_on_batch(draw((4, 8, 8, 3)), draw((4, 4, 4, 3), 1))
    assert all((numbers(v) != w).any() for v, w in zip(model.trainable_variables, before, strict=True))


BAD = {
    "scale of 1": (lambda m: SuperResolution((8, 8, 3), 1), "`scale` as an integer >= 2"),
    "a side that the scale does not divide": (lambda m: SuperResolution((8, 9, 3), 2), "sides that scale=2 divides"),
    "no image": (lambda m: SuperResolution((8,), 2), "height, width, channels"),
    "unknown loss": (lambda m: SuperResolution((8, 8, 3), 2, loss="l3"), "`loss` as one of"),
    "a network of another scale": (lambda m: SuperResolution((8, 8, 3), 2, EDSR(4, 2, 1)), r"output of shape"),
    "a network of other channels": (lambda m: SuperResolution((8, 8, 1), 2, EDSR(2, 2, 1)), "`channels`"),
    "average of 1": (lambda m: SuperResolution((8, 8, 3), 2, average=1.0), "`average` as a number between"),
    "unknown upsampling": (lambda m: EDSR(2, upsampling="bilinear"), "`upsampling` as one of"),
    "a batch": (lambda m: m.upscale(draw((1, 4, 4, 3))), r"\(height, width, 3\)"),
    "grey": (lambda m: m.upscale(draw((4, 4, 1))), r"\(height, width, 3\)"),
    "8 bits": (lambda m: m.upscale(np.zeros((4, 4, 3), "uint8")), r"floats in \[0, 1\]"),
    "beyond 1": (lambda m: m.upscale(draw((4, 4, 3)) * 255), r"floats in \[0, 1\]"),
    "nan": (lambda m: m.upscale(draw((4, 4, 3)) * np.nan), "finite"),
    "tile of 0": (lambda m: m.upscale(draw((4, 4, 3)), tile=0), "`tile` as a positive integer"),
    "8 bits in fit": (lambda m: m.fit(np.ones((2, 8, 8, 3), "uint8"), draw((2, 4, 4, 3))), r"x, large.*floats in"),
    "small images beyond 1": (lambda m: m.fit(draw((2, 8, 8, 3)), 255 * draw((2, 4, 4, 3))), r"y, small.*floats in"),
    "activation of SRResNet": (lambda m: SRResNet(2, activation="gelu"), "no `activation`"),
    "average in half precision": (lambda m: SuperResolution((8, 8, 3), 2, dtype="bfloat16"), "`average=None`"),
    "radius of -1": (lambda m: SuperResolution((8, 8, 3), 2, radius=-1), "`radius`"),
    "a large image and no radius": (lambda m: plain_model().upscale(draw((9, 9, 3)), tile=4), "`radius` of the model"),
    "overlap of -1": (lambda m: m.upscale(draw((4, 4, 3)), overlap=-1), "`overlap`"),
    "no pictures": (lambda m: PatchPairs([], 2), "at least one picture"),
    "float pictures": (lambda m: PatchPairs([draw((40, 40, 3))], 2, patch=8), "uint8"),
    "small pictures": (lambda m: PatchPairs([picture(20, 20)], 2, patch=32), "at least patch=32"),
    "patch and scale": (lambda m: PatchPairs([picture(40, 40)], 3, patch=32), "multiple of scale=3"),
    "other channels": (lambda m: PatchPairs([picture(9, 9), picture(9, 9)[..., :1]], 2, 8), "as many channels"),
    "resampled to nothing": (lambda m: bicubic(draw((4, 4)), (0, 2)), "`size`"),
    "resampled no image": (lambda m: bicubic(draw(4), (2, 2)), "`image`"),
}


def plain_model(**kwargs):
    """A model of a network as a user makes it, which states no radius."""
    x = keras.Input((None, None, 3))
    y = SubPixel(2)(keras.layers.Conv2D(12, 3, padding="same")(x))
    return SuperResolution((8, 8, 3), 2, keras.Model(x, y), **kwargs)


def test_a_network_of_ones_own_states_its_radius(tmp_path):
    """`radius` is an argument of the model, kept by its file, with the average as without; one tile needs none."""
    image = draw((9, 11, 3))
    for average in (None, 0.9):
        model = plain_model(radius=1, average=average, loss=absolute_error)
        whole = plain_model(average=average)
        whole.set_weights(model.get_weights())
        np.testing.assert_allclose(model.upscale(image, tile=4), whole.upscale(image), rtol=0, atol=1e-5)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(loaded.upscale(image, tile=4), whole.upscale(image), rtol=0, atol=1e-5)


def test_a_file_of_another_backend_gives_the_same_images():
    """`golden/srresnet_tensorflow.keras` was written on TensorFlow, by `write_file` below."""
    model = keras.saving.load_model(GOLDEN / "srresnet_tensorflow.keras")
    with np.load(GOLDEN / "srresnet_tensorflow.npz") as golden:
        np.testing.assert_allclose(model.upscale(golden["image"]), golden["large"], rtol=0, atol=1e-5)


def write_file():
    keras.utils.set_random_seed(0)
    model, image = SuperResolution((8, 8, 3), 2, network("srresnet")), draw((7, 6, 3))
    model.save(GOLDEN / "srresnet_tensorflow.keras")
    np.savez_compressed(GOLDEN / "srresnet_tensorflow.npz", image=image, large=model.upscale(image))


@pytest.fixture(scope="module")
def small_model():
    return SuperResolution((8, 8, 3), 2, EDSR(2, 2, 1), average=None)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_compute(case, small_model):
    """A ValueError says what was expected and what came."""
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call(small_model)


# SRGAN.


def srgan(**kwargs):
    keras.utils.set_random_seed(4)
    pair = {"generator": EDSR(2, 4, 1), "discriminator": DCGANDiscriminator((4, 8))}
    return SRGAN((16, 16, 3), 2, seed=0, **{**pair, **kwargs})


def fit(model, epochs=2, **kwargs):
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=EAGER)
    pairs = PatchPairs([picture(40, 50)], 2, patch=16, batch_size=4, batches=2)
    return model.fit(pairs, epochs=epochs, seed=1, verbose=0, **kwargs).history


def test_the_generators_loss_of_srgan_is_its_formula():
    """content_weight c + adversarial_weight g, of the weights as they are; the discriminator sees x alone."""
    model = srgan(content_weight=2.0, adversarial_weight=0.5)
    x, y = draw((5, 16, 16, 3)), draw((5, 8, 8, 3), 1)
    terms = model.generator_terms(Batch(ops.convert_to_tensor(x), ops.convert_to_tensor(y)))
    fake = numbers(model.generator(y))
    score = numbers(model.discriminator(fake, training=True))[:, 0]
    content = np.mean((x - fake) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(numbers(terms["content"]), content, rtol=1e-4)
    np.testing.assert_allclose(numbers(terms["loss"]), 2 * content + 0.5 * np.logaddexp(0, -score), rtol=1e-4)


def test_content_comes_first():
    """For `content_steps` steps the generator goes the way of content alone, then another."""
    weights = []
    for own in ({"adversarial_weight": 0.0}, {"content_steps": 100}, {"content_steps": 2}):
        model = srgan(**{"adversarial_weight": 10.0, **own})
        history = fit(model)
        assert {"content", "adversarial", "discriminator_loss", "generator_loss"} <= set(history)
        weights.append(np.concatenate([numbers(v).ravel() for v in model.generator.weights]))
    np.testing.assert_allclose(weights[0], weights[1], rtol=0, atol=1e-6)
    assert np.abs(weights[0] - weights[2]).max() > 1e-3


def test_srgan_resumes_saves_and_upscales(tmp_path, loss="relativistic_average"):
    """Interrupted it ends with the same bits; the file holds average and scale; `upscale` is `sample`."""
    options = {"loss": loss, "average": 0.9, "content_steps": 1}
    model = srgan(**options)
    fit(model)
    with pytest.raises(Interruption):
        fit(srgan(**options), callbacks=[ExactResume(tmp_path / "run", every_steps=1), Interrupt(3)])
    again = srgan(**options)
    fit(again, callbacks=[ExactResume(tmp_path / "run", every_steps=1), Interrupt(100)])
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(numbers(a), numbers(b))
    model.save(tmp_path / "model.keras")
    loaded, image = keras.saving.load_model(tmp_path / "model.keras"), draw((8, 8, 3))
    assert loaded.scale == 2 and loaded.loss_name == loss
    np.testing.assert_array_equal(loaded.upscale(image), model.upscale(image))
    expected = np.clip(model.sample(1, image[None], seed=3)[0], 0, 1)
    np.testing.assert_allclose(model.upscale(image), expected, rtol=0, atol=1e-5)
    with pytest.raises(NotImplementedError, match="no latents"):
        model.project(draw((1, 16, 16, 3)))
