"""Laws of the residual pair and of conditional batch normalisation: blocks, pooling, projection, singular values."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, layers
from keras_gen.models import ConditionalGAN
from keras_gen.networks import ResidualDiscriminator, ResidualGenerator
from tests.test_networks import traced_shape

pytestmark = pytest.mark.usefixtures("networks_as_programs")
rng = np.random.default_rng(0)
EVENT = (7, 5, 1)
ZEROS = {"kernel_initializer": "zeros"}


def real(*shape):
    return rng.normal(size=shape).astype("float32")


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def randomised(layer):
    """The built layer with other weights, none of them zero, the variances positive."""
    for weight in layer.weights:
        weight.assign(rng.uniform(0.1, 1.0, weight.shape) * (1 if "variance" in weight.path else rng.choice([-1, 1])))
        if weight.name == "kernel":
            weight.assign(0.5 * real(*weight.shape))
    return layer


def program(fn, layer):
    """`fn`, which reads the weights of `layer`, as one program from numpy to a list of numpy arrays."""
    run = backend.compile(fn, lambda: layer.variables)
    return lambda *arrays: [numbers(y) for y in run(*map(ops.convert_to_tensor, arrays))]


def convolved(x, layer):
    y = ops.conv(x, ops.convert_to_tensor(layer.kernel), padding="same", data_format="channels_last")
    return y if layer.bias is None else y + ops.convert_to_tensor(layer.bias)


@pytest.mark.parametrize("event_shape", [(28, 28, 1), (1, 9, 2), (4, 4, 3)])
def test_the_pair_takes_any_size(event_shape):
    """What the default generator makes of latents, one discriminator scores."""
    generator = ResidualGenerator(event_shape, **ZEROS)
    discriminator = ResidualDiscriminator((2, 4, 4), spectral=False, **ZEROS)
    assert traced_shape(generator, (3,)) == event_shape == generator.compute_output_shape((None, 3))[1:]
    assert traced_shape(discriminator, event_shape) == (1,)


def test_the_published_pairs():
    """The pair of 32 x 32 pixels: three blocks from 4 x 4; four blocks, two of them halving, the other two plain."""
    generator = ResidualGenerator((32, 32, 3), (256, 256, 256, 256))
    assert generator.smallest == (4, 4) and len(generator.blocks) == 3
    discriminator = ResidualDiscriminator((128, 128, 128, 128), halvings=2)
    for network in (discriminator, ResidualDiscriminator.from_config(discriminator.get_config())):
        assert [block.halve for block in network.blocks] == [True, True, False, False]
    assert [block.shortcut is None for block in discriminator.blocks] == [False, False, True, True]
    deeper = ResidualDiscriminator((64, 128, 1024))
    assert [block.halve for block in deeper.blocks] == [True, True, False]
    assert [block.first.layer.filters for block in deeper.blocks] == [64, 64, 128]


def test_a_block_of_the_generator_is_its_formula():
    """y = s * up(x) + c_2 * f(n_2(c_1 * up(f(n_1(x))))), up() before s as in the paper; s * up(x) for c_2 of zero."""
    block = ResidualGenerator(EVENT, (3, 4), **ZEROS).blocks[0]
    block.build((None, 4, 3, 3))
    randomised(block)

    def both(x):
        h = layers.doubled(ops.relu(block.norm_1(x)))[:, :7, :5]
        h = convolved(ops.relu(block.norm_2(convolved(h, block.first))), block.second)
        shortcut = convolved(layers.doubled(x)[:, :7, :5], block.shortcut)
        return block(x), shortcut + h, shortcut

    run, x = program(both, block), real(2, 4, 3, 3)
    y, formula, _ = run(x)
    np.testing.assert_allclose(y, formula, rtol=0, atol=1e-5)
    block.second.kernel.assign(np.zeros(block.second.kernel.shape))
    y, _, shortcut = run(x)
    np.testing.assert_allclose(y, shortcut, rtol=0, atol=1e-5)


def test_a_block_of_the_discriminator_is_its_formula():
    """y = down(s * x) + down(c_2 * f(c_1 * f(x))), down() after s as in the paper, no f before the first c_1.

    The third block keeps size and depth: x for down(s * x). With c_2 of zero the shortcut is all there is.
    """
    network = ResidualDiscriminator((3, 4, 4), spectral=False, **ZEROS)
    network.build((None, *EVENT))
    randomised(network)
    first, _, third = network.blocks

    def formulas(*inputs):
        for block, x in zip(network.blocks, inputs, strict=True):
            down = (lambda h: h) if block is third else layers.halved
            h = convolved(ops.relu(convolved(x if block is first else ops.relu(x), block.first)), block.second)
            shortcut = x if block is third else down(convolved(x, block.shortcut))
            yield from (block(x), shortcut + down(h), shortcut)

    run, inputs = program(lambda *x: list(formulas(*x)), network), (real(2, *EVENT), real(2, 4, 3, 3), real(2, 2, 2, 4))
    found = run(*inputs)
    for y, formula in zip(found[::3], found[1::3], strict=True):
        np.testing.assert_allclose(y, formula, rtol=0, atol=1e-5)
    for block in network.blocks:
        for weight in block.second.weights:
            weight.assign(np.zeros(weight.shape))
    found = run(*inputs)
    for y, shortcut in zip(found[::3], found[2::3], strict=True):
        np.testing.assert_allclose(y, shortcut, rtol=0, atol=1e-5)


def test_the_score_of_constant_features_is_their_sum():
    """Of features b at each of the 4 x 3 pixels: 12 f(b), and the score w . 12 f(b) + a."""
    network = ResidualDiscriminator((4, 6), spectral=False, **ZEROS)
    network.build((None, *EVENT))
    b, w = real(6), real(6, 1)
    network.blocks[-1].second.bias.assign(b)
    network.output_map.set_weights([w, np.array([0.5])])
    features, score = program(lambda x: (network.features(x), network(x)), network)(real(3, *EVENT))
    expected = np.tile(12.0 * np.maximum(b, 0.0), (3, 1))
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(score, expected @ w + 0.5, rtol=1e-5, atol=1e-5)


def test_each_linear_map_is_divided_by_its_largest_singular_value():
    """No kernel is left out; the vectors move in training alone, until W / sigma has the largest singular value 1."""
    network = ResidualDiscriminator((4, 6, 6), **ZEROS)
    network.build((None, *EVENT))
    randomised(network)
    parts = list(network._flatten_layers())
    wrapped = [layer for layer in parts if isinstance(layer, layers.SpectralNormalization)]
    linear = [layer for layer in parts if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))]
    assert len(wrapped) == len(linear) == 9  # three blocks of three, one shortcut less, and the score

    def state(training):
        network(ops.ones((1, *EVENT)), training=training)
        return [layer.u.value for layer in wrapped] + [layer.sigma() for layer in wrapped]

    for layer in linear:  # one singular value far above the others: the iteration is quick
        layer.kernel.assign(numbers(layer.kernel) + 0.5)
    before = [numbers(layer.u) for layer in wrapped]
    for u, old in zip(program(lambda: state(False), network)()[:9], before, strict=True):
        np.testing.assert_array_equal(u, old)
    train = program(lambda: state(True), network)
    for _ in range(30):
        found = train()
        for layer, u in zip(wrapped, found[:9], strict=True):
            layer.u.assign(u)
    for layer, old, sigma in zip(wrapped, before, found[9:], strict=True):
        assert (numbers(layer.u) != old).any()
        W = numbers(layer.layer.kernel).reshape(-1, layer.layer.kernel.shape[-1])
        assert np.linalg.svd(W / sigma)[1][0] == pytest.approx(1.0, abs=1e-4)


def conditional_gan():
    """Of one block each: its objective is evaluated once to build it, op by op, which takes JAX seconds."""
    pair = {"generator": ResidualGenerator((4, 4, 1), (4, 4), **ZEROS)}
    pair["discriminator"] = ResidualDiscriminator((4,), halvings=1, **ZEROS)
    return ConditionalGAN((4, 4, 1), 3, num_classes=3, average=None, seed=0, **pair)


def test_the_score_under_projection():
    """D(x, c) = w . f(x) / |w| + b + (V c) . f(x) by numpy."""
    model = conditional_gan()
    D, y = randomised(model.discriminator), np.array([0, 1, 2, 1], "int32")
    f, score = program(lambda x, y: (D.features(x), model.score(x, y)), model)(real(4, 4, 4, 1), y)
    assert f.shape == (4, 4)
    w, b = (numbers(v) for v in D.output_map.layer.weights)
    expected = f @ w[:, 0] / np.linalg.norm(w) + b + np.sum(numbers(model.head.kernel)[y] * f, axis=-1)
    np.testing.assert_allclose(score, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_conditional_batch_normalisation_is_an_affine_map_of_the_plain_one(training):
    """(1 + gamma) n + beta with gamma, beta of the condition; with weights of zero, as they begin, n itself."""
    x, condition = 2.0 + 3.0 * real(4, 5, 3, 2), real(4, 3)
    layer, plain = layers.ConditionalBatchNormalization(), layers.BatchNormalization(center=False, scale=False)
    layer.build(x.shape, condition.shape)
    plain.build(x.shape)
    for norm in (layer.norm, plain):
        norm.set_weights(np.array([[1.0, 2.0], [4.0, 9.0]]))

    def both(x, condition):
        y, n = layer(x, condition, training=training), plain(x, training=training)
        return y, n, layer.norm.moving_mean.value, plain.moving_mean.value

    run = program(both, keras.Sequential([layer.affine, layer.norm, plain]))  # a holder of their weights
    y, n, *means = run(x, condition)
    np.testing.assert_allclose(y, n, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(*means)
    assert (np.abs(means[0] - [1.0, 2.0]).max() > 1e-4) == training
    kernel, bias = real(3, 4), real(4)
    layer.affine.set_weights([kernel, bias])
    y, n, *_ = run(x, condition)
    gamma, beta = np.split((condition @ kernel + bias)[:, None, None], 2, axis=-1)
    np.testing.assert_allclose(y, (1.0 + gamma) * n + beta, rtol=0, atol=1e-5)


def test_the_condition_steers_the_generator_through_its_normalisations():
    """All conditions begin alike; each normalisation of the blocks moves the image of its own."""
    network = ResidualGenerator(EVENT, (6, 4), **ZEROS)
    network.build((None, 3), (None, 2))
    norms = [network.blocks[0].norm_1, network.blocks[0].norm_2]
    randomised(network)
    run, z = program(lambda z, c: [network(z, c)], network), np.tile(real(1, 3), (2, 1))
    for moved in [[], *([norm] for norm in norms)]:
        for norm in norms:
            norm.affine.kernel.assign((norm in moved) * real(2, norm.affine.kernel.shape[-1]))
        one, other = run(z, np.eye(2, dtype="float32"))[0]
        assert (np.abs(one - other).max() > 1e-3) == bool(moved)


def test_the_pair_in_bfloat16():
    """Images and scores are finite, of the compute dtype, and near those of float32 with the same weights."""
    found, values = [], None
    for policy in ("float32", "mixed_bfloat16"):
        G, D = ResidualGenerator(EVENT, (6, 4), dtype=policy), ResidualDiscriminator((4, 6), dtype=policy)
        G.build((None, 3), (None, 2))
        D.build((None, *EVENT))
        both = keras.Sequential([G, D])  # a holder of their weights
        values = values or randomised(both).get_weights()
        both.set_weights(values)

        def run(z, c, G=G, D=D):
            y = G(z, c)
            score = D(y)
            assert keras.backend.standardize_dtype(score.dtype) == D.compute_dtype
            return ops.cast(y, "float32"), ops.cast(score, "float32")

        found.append(program(run, both)(0.1 * np.ones((2, 3), "float32"), np.eye(2, dtype="float32")))
    for full, half in zip(*found, strict=True):
        np.testing.assert_allclose(half, full, rtol=0, atol=0.1 * np.abs(full).max())  # 8 bits, over sums of tens


def test_the_pair_survives_a_file(tmp_path):
    """All weights and settings of a conditional GAN, the vectors and moving statistics too, come back."""
    model = conditional_gan()
    for network in (model.generator, model.discriminator, model.head):
        randomised(network)
    model.compile("adam")
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    for network, other in [(model.generator, twin.generator), (model.discriminator, twin.discriminator)]:
        assert network.get_config() == other.get_config()
    paths = [v.path.split("/", 1)[1] for v in model.weights]
    assert {path.rpartition("/")[2] for path in paths} >= {"u", "moving_mean", "kernel", "gamma"}
    for path, one, other in zip(paths, model.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(numbers(one), numbers(other), err_msg=path)


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
