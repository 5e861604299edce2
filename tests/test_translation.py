"""Image to image: terms between images, layers, networks, paired and unpaired games against their formulas."""

import pickle

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, layers, losses
from keras_gen.datasets import UnpairedBatches
from keras_gen.layers import InstanceNormalization, ReflectionPadding2D
from keras_gen.models import GAN, Batch, CycleGAN, Pix2Pix
from keras_gen.models.adversarial.image_pool import ImagePool
from keras_gen.networks import (
    DenseDiscriminator,
    PatchDiscriminator,
    TranslationResNet,
    TranslationUNet,
    default_patch_filters,
)
from keras_gen.random import Noise

pytestmark = pytest.mark.usefixtures("networks_as_programs")
rng = np.random.default_rng(0)
SHAPE = (8, 12, 1)
A, B = (rng.uniform(size=(n, *SHAPE)).astype("float32") for n in (7, 4))
COLOURED = rng.uniform(size=(7, 8, 12, 3)).astype("float32")


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def tensors(*arrays):
    return [ops.convert_to_tensor(a) for a in arrays]


def close(found, expected, atol=1e-5):
    np.testing.assert_allclose(numbers(found), expected, rtol=1e-5, atol=atol)


def softplus(a):
    return np.logaddexp(0.0, a)


# Terms between images.


def test_terms_of_pixels_are_their_formulas():
    """Means over pixels and channels; total variation is the sum of both directions over the number of values."""
    x, y = COLOURED[:3], COLOURED[3:6]
    close(losses.absolute_error(*tensors(x, y)), np.abs(x - y).mean((1, 2, 3)))
    close(losses.squared_error(*tensors(x, y)), ((x - y) ** 2).mean((1, 2, 3)))
    variation = sum(np.abs(np.diff(x, axis=axis)).sum((1, 2, 3)) for axis in (1, 2))
    close(losses.total_variation(x), variation / (8 * 12 * 3))
    features = lambda t: {"pixels": t, "rows": ops.mean(t, axis=2)}  # noqa: E731
    expected = ((x - y) ** 2).mean((1, 2, 3)) + ((x.mean(2) - y.mean(2)) ** 2).mean((1, 2))
    close(losses.perceptual(*tensors(x, y), features), expected)


def test_vgg_sees_what_it_was_trained_on():
    """Images in [0, 1] become those of `preprocess_input`; the features are frozen, before the ReLU and scaled."""
    f = losses.vgg19_features(None, "block1_conv1", scale=2.0)
    x = keras.applications.vgg19.preprocess_input(255.0 * COLOURED)
    close(f.get_layer("as_vgg")(COLOURED), x, atol=1e-3)
    kernel, bias = (numbers(v) for v in f.get_layer("block1_conv1").weights)
    middle = np.einsum("nijc,ijck->nk", x[:, 2:5, 3:6], kernel) + bias
    close(f(COLOURED)[:, 3, 4], 2.0 * middle, atol=1e-2)
    assert middle.min() < 0.0 and not f.trainable_variables
    with pytest.raises(ValueError, match="`layer` as one of.*block9"):
        losses.vgg19_features(None, "block9_conv1")


def test_a_perceptual_content_is_saved_with_its_weights(tmp_path):
    """A frozen extractor of random weights gives the same content in the loaded model, and no player moves it."""
    extractor = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(2, 3)])
    model = pix2pix(content=losses.Perceptual(extractor))
    assert {v.path for v in extractor.weights} <= {v.path for v in model.non_trainable_variables}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    close(loaded.content(*tensors(A[:2], A[2:4])), numbers(model.content(*tensors(A[:2], A[2:4]))))
    with pytest.raises(ValueError, match="`extractor` as a Keras layer"):
        losses.Perceptual(np.mean)


# Layers.


def test_reflection_is_that_of_numpy():
    """Each side alone and all together."""
    for padding in (((0, 0), (0, 0)), ((1, 0), (0, 2)), ((7, 7), (11, 3))):
        close(ReflectionPadding2D(padding)(A), np.pad(A, ((0, 0), *padding, (0, 0)), mode="reflect"))
        assert ReflectionPadding2D(padding).compute_output_shape(A.shape) == ReflectionPadding2D(padding)(A).shape
    assert ReflectionPadding2D(2).get_config()["padding"] == ((2, 2), (2, 2))


def test_reflection_differentiates_twice():
    """The gradient of |grad sum reflected(x)^3|^2 / 2 is that of 18 m^2 x^3 with m the times a pixel is seen."""
    layer = ReflectionPadding2D(2)
    (x,) = tensors(A[:1])
    seen = np.zeros(A[:1].shape)
    index = np.pad(np.arange(96).reshape(1, 8, 12, 1), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    np.add.at(seen.reshape(-1), index.reshape(-1), 1.0)

    def penalty(x):
        gradient = backend.grad(lambda x: ops.sum(layer(x) ** 3, axis=(1, 2, 3)), x)
        return ops.sum(gradient**2, axis=(1, 2, 3)) / 2.0

    close(backend.grad(penalty, x), 18.0 * seen**2 * A[:1] ** 3, atol=1e-3)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_instance_normalisation_is_its_formula(policy):
    """Moments over the pixels of one image and channel, in float32: also of values whose squares half cannot hold."""
    layer = InstanceNormalization(dtype=policy)
    layer.build(COLOURED.shape)
    layer.gamma.assign([1.0, 2.0, 3.0])
    layer.beta.assign([0.0, 1.0, 0.0])
    x = COLOURED * (1.0 if policy == "float32" else 512.0)
    m, v = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    y = layer(ops.convert_to_tensor(x))
    expected = (x - m) / np.sqrt(v + 1e-5) * [1, 2, 3] + [0, 1, 0]
    close(ops.cast(y, "float32"), expected, atol=1e-4 if policy == "float32" else 2e-2)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    with pytest.raises(ValueError, match="images.*Use 'layer' or 'batch'"):
        InstanceNormalization().build((None, 3))


# Networks.


@pytest.mark.parametrize("count, side", [(1, 7), (2, 16), (3, 34), (4, 70)])
def test_a_score_sees_as_many_pixels_as_is_said(count, side):
    """The gradient of one score in the middle is not zero on a square of so many pixels, and zero beyond."""
    network = PatchDiscriminator((2,) * count, normalization=None, kernel_initializer="glorot_normal")
    x = ops.convert_to_tensor(rng.normal(size=(1, 128, 128, 1)).astype("float32"))
    network.build(x.shape)
    middle = 128 // 2**count
    gradient = numbers(backend.grad(lambda x: network(x)[:, middle, middle, 0], x))[0, :, :, 0]
    rows, columns = np.nonzero(gradient)
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == side == network.receptive_field


def test_patches_are_no_larger_than_images():
    """The default has the largest of 7, 16, 34, 70 pixels that fits; scores are one a patch, with a condition too."""
    for side, r in [(8, 7), (16, 16), (33, 16), (34, 34), (70, 70), (256, 70)]:
        assert PatchDiscriminator(default_patch_filters((side, side + 1, 3))).receptive_field == r
    network = PatchDiscriminator((2, 3))
    network.build((None, 9, 12, 1), (None, 9, 12, 3))
    assert network(*tensors(np.zeros((2, 9, 12, 1)), np.zeros((2, 9, 12, 3)))).shape == (2, 5, 6, 1)


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (11, 10)])
@pytest.mark.parametrize("make", [TranslationResNet, TranslationUNet])
def test_translations_keep_any_size(make, size):
    """Odd and rectangular images, other channels, values in [0, 1]; what is promised is what comes."""
    network = make((16, 16, 2), filters=2, blocks=1) if make is TranslationResNet else make((16, 16, 2), (2, 3))
    x = rng.normal(size=(2, *size, 3)).astype("float32")
    y = numbers(network(x))
    assert y.shape == (2, *size, 2) == network.compute_output_shape(x.shape)
    assert 0.0 < y.min() < y.max() < 1.0


def test_translations_need_no_size_before_they_run():
    """A compiled function of images of several sizes, of which TensorFlow makes one, gives what the network gives."""
    x = rng.normal(size=(2, 11, 10, 3)).astype("float32")
    for network in (TranslationResNet((16, 16, 2), 2, 1), TranslationUNet((16, 16, 2), (2, 3))):
        network.build((None, None, None, 3))
        run = backend.compile(lambda x, network=network: network(x), lambda network=network: network.variables)
        for images in (x, x[:, :9, :8], x[:1, :8]):
            close(run(ops.convert_to_tensor(images)), numbers(network(images)))


def test_the_size_decides_the_depth():
    """The papers': 6 blocks below 256 pixels, 9 from there; eight halvings of 256 pixels."""
    assert [TranslationResNet((n, 300, 3), 2).blocks for n in (128, 256)] == [6, 9]
    assert TranslationUNet((256, 256, 3)).filters == (64, 128, 256, 512, 512, 512, 512, 512)
    assert TranslationUNet((28, 40, 3)).filters == (64, 128, 256, 512, 512)
    dropped = [stage.drop is not None for stage in TranslationUNet((64, 64, 1), (2,) * 6).up]
    assert dropped == [False, False, True, True, True]


def test_the_noise_of_the_u_net_is_its_dropout():
    """Two calls differ in training, and only there."""
    network = TranslationUNet((8, 8, 1), (3, 4, 4), normalization=None, kernel_initializer="he_normal")
    x = rng.normal(size=(1, 8, 8, 1)).astype("float32")
    assert np.abs(numbers(network(x, training=True)) - numbers(network(x, training=True))).max() > 1e-4
    close(network(x), numbers(network(x)), atol=0)


# Paired games.


def pix2pix(**kwargs):
    networks = {"generator": TranslationUNet(SHAPE, (3, 4), dropout=0.0), "discriminator": PatchDiscriminator((3, 4))}
    return Pix2Pix(SHAPE, (8, 12, 3), **{"seed": 0, **networks, **kwargs})


@pytest.mark.parametrize("loss", ["non_saturating", "least_squares", "relativistic_average"])
def test_losses_of_patches_are_means_of_losses(loss):
    """Both players' losses from the image of scores: the mean over patches after the game's loss, not before."""
    model = pix2pix(loss=loss, content_weight=3.0, adversarial_weight=0.5, discriminator=wide_patches())
    x, y = tensors(A, COLOURED)
    fake = model.fake(None, y)
    real, score = (numbers(model.discriminator(t, y))[..., 0].reshape(7, -1) for t in (x, fake))
    assert real.shape == (7, 24) and real.std() > 0.01
    apart = lambda a, b: softplus(b.mean() - a) + softplus(b - a.mean())  # noqa: E731
    d, g = {
        "non_saturating": (softplus(-real) + softplus(score), softplus(-score)),
        "least_squares": (0.5 * (real - 1) ** 2 + 0.5 * score**2, 0.5 * (score - 1) ** 2),
        "relativistic_average": (apart(real, score), apart(score, real)),
    }[loss]
    found = model.discriminator_terms(Batch(x, y))
    close(found["loss"], d.mean(axis=1))
    close(found["real_score"], real.mean(axis=1))
    content = np.abs(A - numbers(fake)).mean((1, 2, 3))
    terms = model.generator_terms(Batch(x, y))
    close(terms["loss"], 3.0 * content + 0.5 * g.mean(axis=1))
    evaluated = model.objective(x, y)
    close(evaluated["loss"], 3.0 * content + 0.5 * g.mean(axis=1))
    close(evaluated["discriminator_loss"], d.mean(axis=1))


def wide_patches():
    """Scores that differ."""
    return PatchDiscriminator((3, 4), kernel_initializer="he_normal")


def test_a_gan_takes_a_discriminator_of_patches():
    """`model(x)` is the mean score of an image, and so is what a penalty differentiates."""
    discriminator = PatchDiscriminator((4,), normalization=None, kernel_initializer="he_normal")
    model = GAN(SHAPE, 2, discriminator=discriminator, penalties=losses.R1(2.0), seed=0)
    (x,) = tensors(A)
    close(model(x), numbers(discriminator(x)).mean((1, 2, 3)))
    gradient = backend.grad(lambda x: ops.mean(discriminator(x), axis=(1, 2, 3)), x)
    close(model.discriminator_terms(Batch(x))["r1"], (numbers(gradient) ** 2).sum((1, 2, 3)))


def test_the_content_goes_first():
    """In the first `content_steps` steps the generator's loss is the content alone, later both."""
    model = pix2pix(content="l2", content_steps=1)
    batch = Batch(*tensors(A, COLOURED))
    first = {k: numbers(v) for k, v in model.generator_terms(batch).items()}
    close(first["loss"], 100.0 * first["content"])
    close(first["content"], ((A - numbers(model.fake(None, batch.condition))) ** 2).mean((1, 2, 3)))
    model.steps.assign(1)
    close(model.generator_terms(batch)["loss"], first["loss"] + first["adversarial"])


def test_a_discriminator_may_see_the_condition_or_not():
    """Scores depend on y if it is conditional; the generator's y reaches it anyhow."""
    for conditional in (True, False):
        discriminator = wide_patches() if conditional else DenseDiscriminator((4,))
        model = pix2pix(conditional_discriminator=conditional, discriminator=discriminator)
        x, y, other = tensors(A, COLOURED, COLOURED[::-1].copy())
        difference = np.abs(numbers(model.score(x, y)) - numbers(model.score(x, other))).max()
        assert (difference > 0) == conditional


def test_pix2pix_is_the_papers():
    """Defaults: non-saturating, L1 of weight 100, U-Net, patches of the size, no average; 70 pixels from 70 on."""
    model = Pix2Pix((16, 16, 3), seed=0)
    assert (model.loss_name, model.content_name, model.content_weight) == ("non_saturating", "l1", 100.0)
    assert isinstance(model.generator, TranslationUNet) and model.discriminator.receptive_field == 16
    assert model.average is None and model.conditional_discriminator


# The pool.


def by_hand(slots, count, fakes, order, use):
    """A step of a pool of numpy images, one by one; returns what is shown and the new count."""
    shown, full, size = [], count >= len(slots), len(slots)
    for i, y in enumerate(fakes):
        shown.append(y)
        if i >= size:
            continue
        if not full:
            if count < size:
                slots[count], count = y, count + 1
        elif use[i]:
            shown[-1] = slots[order[i]].copy()
            slots[order[i]] = y
    return np.array(shown), count


def test_the_pool_is_a_loop_in_numpy():
    """Batches of 3, 4 and 7 images and a pool of 5: it is filled, then shows and keeps what the loop does."""
    pool, noise, twin = ImagePool(5, SHAPE), Noise(3), Noise(3)
    slots, count, swaps = np.zeros((5, *SHAPE), "float32"), 0, 0
    for step, n in enumerate([3, 4, 7, 3, 4, 7, 1]):
        fakes = rng.uniform(size=(n, *SHAPE)).astype("float32")
        order = numbers(twin.uniform((5,), dtype="float32")).argsort()
        use = numbers(twin.uniform((min(n, 5),), dtype="float32")) < 0.5
        expected, count = by_hand(slots, count, fakes, order, use)
        found = numbers(pool.show(ops.convert_to_tensor(fakes), noise))
        np.testing.assert_array_equal(found, expected, err_msg=f"step {step}")
        np.testing.assert_array_equal(numbers(pool.images), slots)
        assert int(numbers(pool.count)) == count
        swaps += int((found != fakes).any(axis=(1, 2, 3)).sum())
    assert count == 5 and 4 < swaps < 16  # of 20 draws with probability 1/2


# Unpaired data.


def test_each_image_comes_equally_often():
    """The longer set once a pass; the shorter one in whole rounds, each in an order of its own, across passes."""
    data = UnpairedBatches(np.arange(10), np.arange(100, 104), batch_size=4)
    passes = [[data.at(p, i, seed=1) for i in range(len(data))] for p in range(2)]
    a, b = ([np.concatenate([batch[side] for batch in one]) for one in passes] for side in (0, 1))
    assert len(data) == 3 and [len(batch[0]) for batch in passes[0]] == [4, 4, 2]
    assert sorted(a[0]) == sorted(a[1]) == list(range(10)) and list(a[0]) != list(a[1])
    rounds = np.concatenate(b).reshape(5, 4)
    assert (np.sort(rounds, axis=1) == np.arange(100, 104)).all() and len({tuple(r) for r in rounds}) > 1
    assert list(np.concatenate([data[i][1] for i in range(3)])) == [100, 101, 102, 103] * 2 + [100, 101]


def test_an_unpaired_batch_is_a_pure_function():
    """Of (seed, pass, batch): whatever was read before, also after pickling; another seed is another order."""
    data = UnpairedBatches(np.arange(9), list(range(30)), 5, transform=(lambda i: i, None))
    read = [data.at(3, i, 7)[1].tolist() for i in (4, 1, 0)]
    fresh = UnpairedBatches(np.arange(9), list(range(30)), 5)
    assert [pickle.loads(pickle.dumps(fresh)).at(3, i, 7)[1].tolist() for i in (4, 1, 0)] == read
    assert data.at(3, 4, 8)[1].tolist() != read[0]
    tripled = UnpairedBatches([(np.float32(1), 0)], [2, 3], 2, transform=lambda i: 3 * i)
    assert [side.tolist() for side in tripled[0]] == [[3, 3], [6, 9]]


# CycleGAN.


def cycle_gan(other=1, **kwargs):
    shapes = SHAPE, (8, 12, other)
    generators = [TranslationResNet(shape, 2, 1, kernel_initializer="he_normal") for shape in shapes[::-1]]
    networks = {"generators": generators, "discriminators": [wide_patches() for _ in range(2)]}
    return CycleGAN(*shapes, **{"seed": 0, "pool_size": 3, **networks, **kwargs})


def mean_error(x, y):
    return np.abs(numbers(x) - y).mean((1, 2, 3))


@pytest.mark.parametrize("other", [1, 3])
def test_the_losses_of_cycle_gan(other):
    """Both players' losses from what the four networks make; no identity term between domains of other channels."""
    model = cycle_gan(other, adversarial_weight=2.0, cycle_weight=7.0)
    a, b = A[:4], (B if other == 1 else COLOURED[:4])
    to_b, to_a, d_a, d_b = (lambda x, n=n: numbers(n(x)) for n in (*model.generators, *model.discriminators))
    fake_a, fake_b = to_a(b), to_b(a)
    cycle = mean_error(to_a(fake_b), a) + mean_error(to_b(fake_a), b)
    adversarial = sum(0.5 * (d(x) - 1) ** 2 for d, x in ((d_a, fake_a), (d_b, fake_b))).mean((1, 2, 3))
    identity = mean_error(to_a(a), a) + mean_error(to_b(b), b) if other == 1 else 0.0
    terms = model.generator_terms(tensors(a, b))
    assert ("identity" in terms) == (other == 1) and model.identity_weight == (0.5 if other == 1 else 0.0)
    close(terms["loss"], 2.0 * adversarial + 7.0 * (cycle + 0.5 * identity), atol=2e-5)
    shown = tensors(fake_a[::-1].copy(), fake_b[::-1].copy())
    real = [((d(x) - 1) ** 2 / 2).mean((1, 2, 3)) for d, x in ((d_a, a), (d_b, b))]
    fake = [(d(x) ** 2 / 2).mean((1, 2, 3)) for d, x in ((d_a, fake_a[::-1]), (d_b, fake_b[::-1]))]
    close(model.discriminator_terms(tensors(a, b), shown)["loss"], sum(real) + sum(fake), atol=2e-5)
    close(model.objective(*tensors(a, b))["loss"], numbers(terms["loss"]))


def test_unpaired_sets_of_any_lengths_train():
    """`fit(a, b)`, validation of other lengths, a falling rate in both optimizers, the state of the pools."""
    model = cycle_gan(average=0.9)
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5), run_eagerly=keras.config.backend() == "tensorflow")
    a = A[:6]
    fall = keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 * (2 - epoch) / 2)
    own = {"batch_size": 2, "seed": 1, "verbose": 0}
    history = model.fit(a, B, epochs=2, callbacks=[fall], validation_data=(B, a), **own).history
    assert np.isfinite([v for values in history.values() for v in values]).all()
    assert {"generators_loss", "discriminators_loss", "cycle", "identity", "val_loss"} <= set(history)
    assert int(numbers(model.steps)) == 6 and [int(numbers(pool.count)) for pool in model.pools] == [3, 3]
    rates = [values for name, values in history.items() if name.startswith("learning_rate")]
    assert rates == [pytest.approx([1e-3, 5e-4])] * 2
    assert [float(numbers(o.learning_rate)) for o in model.optimizer.optimizers] == pytest.approx([5e-4, 5e-4])
    found = model.evaluate(B, a, batch_size=2, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-4)


def test_translations_of_any_size_both_ways():
    """`translate` is the generator, whatever the batch; `sample` is b2a; the call goes there and back."""
    model = cycle_gan(3)
    x = rng.uniform(size=(3, 9, 15, 1)).astype("float32")
    y = model.translate(x, "a2b", batch_size=2)
    assert y.shape == (3, 9, 15, 3) and y.dtype == np.float32
    close(y, numbers(model.generators[0](x)))
    for height, width in [(8, 8), (10, 13)]:  # of which TensorFlow compiles one function
        other = rng.uniform(size=(1, height, width, 1)).astype("float32")
        close(model.translate(other, "a2b"), numbers(model.generators[0](other)))
    a = model.translate(COLOURED, "b2a")
    close(model.sample(7, COLOURED, seed=5), a)
    close(model(A[:2], COLOURED[:2]), model.translate(model.translate(A[:2], "a2b"), "b2a"))


def test_the_default_networks_are_those_of_the_paper():
    """Residual generators to each other's channels, patches of the size of the image, two of each."""
    model = cycle_gan(3, pool_size=50)
    generators, discriminators = model._default_generators(), model._default_discriminators()  # not built
    assert [g.event_shape[-1] for g in generators] == [3, 1] and generators[0].blocks == 6
    assert [(d.receptive_field, d.normalization) for d in discriminators] == [(7, "instance")] * 2
    assert [pool.size for pool in model.pools] == [50, 50] and cycle_gan(pool_size=0).pools == []
    assert (model.loss_name, model.adversarial_weight, model.cycle_weight) == ("least_squares", 2.0, 10.0)
    assert model.average is None


# What is wrong.

RESNET, WIDE = TranslationResNet(SHAPE, 2, 1), TranslationResNet((8, 12, 3), 2, 1)
BAD = {
    "padding": (lambda: ReflectionPadding2D(-1), "`padding` as an integer >= 0"),
    "padding of three": (lambda: ReflectionPadding2D((1, 2, 3)), "`padding` as an integer >= 0"),
    "too small to reflect": (lambda: ReflectionPadding2D(8)(A), "more than 8 pixels"),
    "filters": (lambda: PatchDiscriminator(()), "filters"),
    "event": (lambda: TranslationUNet((8, 8)), "event_shape"),
    "blocks": (lambda: TranslationResNet(SHAPE, 2, -1), "`blocks` as a positive integer"),
    "labels for pix2pix": (lambda: Pix2Pix(SHAPE, num_classes=3), "image as the condition.*num_classes"),
    "content": (lambda: pix2pix(content="l3"), "`content` as one of.*l3"),
    "content weight": (lambda: pix2pix(content_weight=-1.0), "`content_weight`.*-1"),
    "augment": (lambda: pix2pix(augment=layers.DifferentiableAugmentation()), "no `augment`"),
    "decode": (lambda: model("pix2pix").sample(2, COLOURED[:2], truncation=1.0), "no `truncation`"),
    "no sources": (lambda: UnpairedBatches(A, B[:0], 2), "`b` with.*empty"),
    "batch size": (lambda: UnpairedBatches(A, B, 0), "`batch_size` as an integer >= 1"),
    "sizes that differ": (lambda: UnpairedBatches([A[0], A[0, 1:]], B, 2)[0], "one shape in a batch"),
    "labels": (lambda: CycleGAN(SHAPE, num_classes=2), "num_classes, labels"),
    "vectors": (lambda: CycleGAN((8,)), r"\(height, width, channels\)"),
    "sizes of the domains": (lambda: CycleGAN(SHAPE, (8, 8, 1)), "one height and width"),
    "pool": (lambda: cycle_gan(pool_size=-1), "`pool_size` as a positive integer.*-1"),
    "identity": (lambda: cycle_gan(3, identity_weight=0.5), "`identity_weight=0` between domains of 1 and 3"),
    "one network twice": (lambda: cycle_gan(generators=[RESNET, RESNET]), "`generators` as two different"),
    "channels of a network": (lambda: cycle_gan(generators=[WIDE, RESNET]), r"generator with output.*12, 1\).*12, 3\)"),
    "content steps": (lambda: pix2pix(content_steps=1.5), "`content_steps` as a positive integer.*1.5"),
    "content list": (lambda: pix2pix(content=["l1"]), "`content` as one of"),
    "weights of evaluation": (lambda: model("cycle").evaluate(A, B, sample_weight=A[:, 0, 0, 0]), "no `sample_weight`"),
    "weights of a batch": (
        lambda: model("cycle").train_on_batch(A[:2], B[:2], sample_weight=np.ones(2)), "no sample weights"
    ),
    "validation of one domain": (lambda: model("cycle").fit(A, B, validation_data=(A,)), r"as \(a, b\)"),
    "export of latents": (lambda: model("pix2pix").export("m.pt2", "torch", what="decode"), "no 'decode' to export"),
    "one domain": (lambda: model("cycle").fit(A), "one domain only"),
    "labels in fit": (lambda: model("cycle").fit(A, np.arange(7)), r"b of shape \(batch, 8, 12, 1\).*\(7,\)"),
    "colours": (lambda: model("cycle").fit(A, COLOURED), r"b of shape \(batch, 8, 12, 1\).*3\)"),
    "shape": (lambda: model("cycle").fit(A[:, :4], B), r"x of shape \(batch, 8, 12, 1\)"),
    "nan": (lambda: model("cycle").fit(A, B * np.nan), "finite b"),
    "none of b": (lambda: model("cycle").evaluate(A, B[:0]), "empty b"),
    "weights": (lambda: model("cycle").fit(A, B, sample_weight=np.ones(7)), "no `sample_weight`"),
    "direction": (lambda: model("cycle").translate(A, "b"), "`direction` as one of"),
    "one image": (lambda: model("cycle").translate(A[0], "a2b"), r"image\[None\]"),
    "bytes": (lambda: model("cycle").translate(A.astype("uint8"), "a2b"), "Divide 8-bit"),
}  # fmt: skip
MODELS = {}


def model(name):
    """A compiled model, made once."""
    if name not in MODELS:
        MODELS[name] = {"cycle": cycle_gan, "pix2pix": pix2pix}[name]()
        MODELS[name].compile("sgd")
    return MODELS[name]


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    """`ValueError` before any compute, with what was expected."""
    call, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        call()


def test_what_is_not_of_the_family_is_said():
    """No latents: neither `decode` nor `project`."""
    for method in ("decode", "project"):
        with pytest.raises(NotImplementedError, match="no latents"):
            getattr(model("pix2pix"), method)(A)


def test_images_beyond_the_range_are_warned_of():
    """Of either domain: a generator that ends in a sigmoid makes none below 0."""
    with pytest.warns(UserWarning, match=r"data in \[0, 1\]"), pytest.raises(ValueError, match="`batch_size`"):
        model("cycle").fit(A, 3.0 * B, batch_size=0)


def test_evaluation_is_of_the_generators_that_translate():
    """With an average the logged cycle is that of `translate`, as that of a compiled metric; `predict` needs no b."""
    game = cycle_gan(average=0.5, seed=0)
    game.compile("sgd", metrics=["mae"], run_eagerly=keras.config.backend() == "tensorflow")
    for network in game.generators:
        network.set_weights([w + 0.3 for w in network.get_weights()])
    a, b = A[:3], B[:3]
    back = game.translate(game.translate(a, "a2b"), "b2a")
    forth = game.translate(game.translate(b, "b2a"), "a2b")
    found = game.evaluate(a, b, verbose=0, return_dict=True)
    assert found["mae"] == pytest.approx(np.abs(back - a).mean(), rel=1e-4)
    assert found["cycle"] == pytest.approx(np.abs(back - a).mean() + np.abs(forth - b).mean(), rel=1e-4)
    np.testing.assert_allclose(game.predict(a, verbose=0), back, rtol=0, atol=1e-5)
    np.testing.assert_allclose(game.predict((a, B[:2]), verbose=0), back, rtol=0, atol=1e-5)
