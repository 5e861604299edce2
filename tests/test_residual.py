"""Laws of the residual pair and of conditional batch normalisation: blocks, pooling, projection, singular values."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import layers
from keras_gen.models import ConditionalGAN
from keras_gen.networks import ResidualDiscriminator, ResidualGenerator
from tests.test_networks import traced_shape

rng = np.random.default_rng(0)
EVENT = (7, 5, 1)


def real(*shape):
    return rng.normal(size=shape).astype("float32")


def numbers(x):
    return np.array(ops.convert_to_numpy(ops.cast(x.value if isinstance(x, keras.Variable) else x, "float32")))


def pair(**kwargs):
    return {
        "generator": ResidualGenerator(EVENT, (6, 4), **kwargs),
        "discriminator": ResidualDiscriminator((4, 6), **kwargs),
    }


def randomised(network):
    """A network whose biases, gains and moving statistics are no zeros or ones any more."""
    for weight in network.weights:
        if len(weight.shape) == 1:
            weight.assign(numbers(weight) + rng.uniform(0.1, 0.5, size=weight.shape))
    return network


def convolved(x, layer):
    y = ops.conv(x, layer.kernel.value, padding="same", data_format="channels_last")
    return y if layer.bias is None else y + layer.bias.value


@pytest.mark.parametrize("event_shape", [(28, 28, 1), (7, 5, 3), (1, 9, 2), (33, 17, 1), (4, 4, 1)])
def test_the_pair_takes_any_size(event_shape):
    """What the default generator makes of latents, one discriminator scores."""
    generator, discriminator = ResidualGenerator(event_shape), ResidualDiscriminator((2, 4, 4))
    assert traced_shape(generator, (3,)) == event_shape == generator.compute_output_shape((None, 3))[1:]
    assert traced_shape(discriminator, event_shape) == (1,)


def test_the_published_pairs():
    """The pair of 32 x 32 pixels: three blocks from 4 x 4; four blocks, two of them halving, of which two are plain."""
    generator = ResidualGenerator((32, 32, 3), (256, 256, 256, 256))
    assert generator.smallest == (4, 4) and len(generator.blocks) == 3
    discriminator = ResidualDiscriminator((128, 128, 128, 128), halvings=2)
    assert [block.halve for block in discriminator.blocks] == [True, True, False, False]
    assert [block.shortcut is None for block in discriminator.blocks] == [False, False, True, True]
    assert [block.before is None for block in discriminator.blocks] == [True, False, False, False]
    twin = ResidualDiscriminator.from_config(discriminator.get_config())
    assert [block.halve for block in twin.blocks] == [True, True, False, False]
    deeper = ResidualDiscriminator((64, 128, 1024))
    assert [block.halve for block in deeper.blocks] == [True, True, False]
    assert [block.first.layer.filters for block in deeper.blocks] == [64, 64, 128]


def test_a_block_of_the_generator_is_its_formula():
    """y = s * up(x) + c_2 * f(n_2(c_1 * up(f(n_1(x))))), up() before s as in the paper."""
    block = ResidualGenerator(EVENT, (3, 4)).blocks[0]
    block.build((None, 4, 3, 3))
    x = real(2, 4, 3, 3)
    y = randomised(block)(x)
    h = layers.doubled(ops.relu(block.norm_1(x)))[:, :7, :5]
    h = convolved(ops.relu(block.norm_2(convolved(h, block.first))), block.second)
    shortcut = convolved(layers.doubled(x)[:, :7, :5], block.shortcut)
    np.testing.assert_allclose(numbers(y), numbers(shortcut + h), rtol=0, atol=1e-5)
    block.second.kernel.assign(ops.zeros_like(block.second.kernel))
    np.testing.assert_allclose(numbers(block(x)), numbers(shortcut), rtol=0, atol=1e-5)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_a_block_of_the_discriminator_is_its_formula(i):
    """y = down(s * x) + down(c_2 * f(c_1 * f(x))), down() after s as in the paper; no f before the first block."""
    block = ResidualDiscriminator((3, 4, 4), spectral=False).blocks[i]
    x = real(2, 7, 5, (2, 3, 4)[i])
    block.build(x.shape)
    y = randomised(block)(x)
    down = layers.halved if i < 2 else lambda h: h
    h = down(convolved(ops.relu(convolved(x if i == 0 else ops.relu(x), block.first)), block.second))
    shortcut = x if i == 2 else numbers(down(convolved(x, block.shortcut)))
    np.testing.assert_allclose(numbers(y), shortcut + numbers(h), rtol=0, atol=1e-5)
    block.second.kernel.assign(ops.zeros_like(block.second.kernel))
    alone = shortcut + numbers(block.second.bias)
    np.testing.assert_allclose(numbers(block(x)), alone, rtol=0, atol=1e-5)


def test_the_score_of_constant_features_is_their_sum():
    """Of features b at each of the 4 x 3 pixels: 12 f(b), and the score w . 12 f(b) + a."""
    network = ResidualDiscriminator((4, 6), spectral=False)
    network.build((None, *EVENT))
    for weight in network.blocks[-1].weights:
        weight.assign(ops.zeros(weight.shape))
    b = real(6)
    network.blocks[-1].second.bias.assign(b)
    network.output_map.bias.assign([0.5])
    features = np.tile(12.0 * np.maximum(b, 0.0), (3, 1))
    np.testing.assert_allclose(numbers(network.features(real(3, *EVENT))), features, rtol=1e-5, atol=1e-5)
    score = features @ numbers(network.output_map.kernel) + 0.5
    np.testing.assert_allclose(numbers(network(real(3, *EVENT))), score, rtol=1e-5, atol=1e-5)


def test_each_linear_map_is_divided_by_its_largest_singular_value():
    """No kernel is left out; the vectors move in training alone, and W / sigma gets the singular value 1."""
    network = ResidualDiscriminator((4, 6, 6))
    network.build((None, *EVENT))
    parts = list(network._flatten_layers())
    wrapped = [layer for layer in parts if isinstance(layer, layers.SpectralNormalization)]
    linear = [layer for layer in parts if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))]
    assert len(wrapped) == len(linear) == 9
    before = [numbers(layer.u) for layer in wrapped]
    network(real(2, *EVENT))
    assert all((numbers(layer.u) == u).all() for layer, u in zip(wrapped, before, strict=True))
    network(real(2, *EVENT), training=True)
    assert all((numbers(layer.u) != u).any() for layer, u in zip(wrapped, before, strict=True))
    for layer in wrapped:
        layer.power_iterations = 100
        layer.sigma(training=True)
        W = numbers(layer.layer.kernel).reshape(-1, layer.layer.kernel.shape[-1])
        assert np.linalg.svd(W / numbers(layer.sigma()))[1][0] == pytest.approx(1.0, abs=1e-3)


def test_the_score_under_projection():
    """D(x, c) = w . f(x) / |w| + b + (V c) . f(x) by numpy, and the auxiliary head reads the same features."""
    model = ConditionalGAN(EVENT, 3, num_classes=3, average=None, seed=0, **pair())
    x, y = real(4, *EVENT), np.array([0, 1, 2, 1])
    randomised(model.discriminator)
    f = numbers(model.discriminator.features(x))
    assert f.shape == (4, 6)
    w, b = (numbers(v) for v in model.discriminator.output_map.layer.weights)
    V = numbers(model.head.kernel)
    expected = f @ w[:, 0] / np.linalg.norm(w) + b + np.sum(V[y] * f, axis=-1)
    np.testing.assert_allclose(numbers(model.score(x, y)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_conditional_batch_normalisation_is_an_affine_map_of_the_plain_one(training):
    """(1 + gamma) n + beta with gamma, beta of the condition; with weights of zero, as they begin, n itself."""
    x, condition = 2.0 + 3.0 * real(4, 5, 3, 2), real(4, 3)
    layer, plain = layers.ConditionalBatchNormalization(), layers.BatchNormalization(center=False, scale=False)
    layer.build(x.shape, condition.shape)
    plain.build(x.shape)
    for norm in (layer.norm, plain):
        norm.moving_mean.assign([1.0, 2.0])
        norm.moving_variance.assign([4.0, 9.0])
    n = numbers(plain(x, training=training))
    np.testing.assert_array_equal(numbers(layer(x, condition, training=training)), n)
    np.testing.assert_array_equal(numbers(layer.norm.moving_mean), numbers(plain.moving_mean))
    kernel, bias = real(3, 4), real(4)
    layer.affine.kernel.assign(kernel)
    layer.affine.bias.assign(bias)
    n = numbers(plain(x, training=training))
    gamma, beta = np.split((condition @ kernel + bias)[:, None, None], 2, axis=-1)
    y = numbers(layer(x, condition, training=training))
    np.testing.assert_allclose(y, (1.0 + gamma) * n + beta, rtol=0, atol=1e-5)


def test_the_condition_steers_the_generator_through_its_normalisations():
    """All conditions begin alike; each normalisation of the blocks moves the image of its own."""
    network = ResidualGenerator(EVENT, (6, 4))
    network.build((None, 3), (None, 2))
    z, (one, other) = real(1, 3), np.eye(2, dtype="float32")[:, None]
    difference = lambda: np.abs(numbers(network(z, one)) - numbers(network(z, other))).max()  # noqa: E731
    assert difference() == 0.0
    for norm in (network.blocks[0].norm_1, network.blocks[0].norm_2):
        norm.affine.kernel.assign(real(*norm.affine.kernel.shape))
        assert difference() > 1e-3
        norm.affine.kernel.assign(ops.zeros_like(norm.affine.kernel))


def test_a_trained_pair_survives_a_file(tmp_path):
    """After a step in bfloat16 scores and samples are finite, and those of the loaded file; all state has moved."""
    model = ConditionalGAN(EVENT, 3, num_classes=3, seed=0, dtype="mixed_bfloat16", **pair(dtype="mixed_bfloat16"))
    before = [numbers(v) for v in model.weights]
    model.compile("adam")
    x, y = rng.uniform(size=(8, *EVENT)).astype("float32"), np.arange(8) % 3
    model.fit(x, y, batch_size=8, verbose=0)
    still = [v.path for v, old in zip(model.weights, before, strict=True) if (numbers(v) == old).all()]
    assert [path.split("/", 1)[1] for path in still] == ["output_map/u"]  # of one output: it has nowhere to go
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    scores, samples = numbers(model(x, y)), model.sample(3, np.arange(3), seed=1)
    assert np.isfinite(scores).all() and np.isfinite(samples).all()
    np.testing.assert_array_equal(numbers(twin(x, y)), scores)
    np.testing.assert_array_equal(twin.sample(3, np.arange(3), seed=1), samples)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ResidualGenerator((7,)),
        lambda: ResidualGenerator(EVENT, (8,)),
        lambda: ResidualDiscriminator(()),
        lambda: ResidualDiscriminator((4, 6), halvings=3),
        lambda: ResidualDiscriminator((4, 6), halvings=-1),
    ],
)
def test_bad_sizes_are_refused(make):
    """A ValueError says what was received."""
    with pytest.raises(ValueError, match="Received"):
        make()
