"""Laws of the denoising networks: where they begin, what they see, their derivatives, precision and saving."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend
from keras_gen.layers import ImageAttention, TimeFeatures
from keras_gen.networks import DenoisingMLP, DiffusionTransformer, UNet
from keras_gen.networks.diffusion import transformer
from keras_gen.networks.diffusion.blocks import AttentionBlock, GroupNormalization, ResidualBlock, group_count

pytestmark = pytest.mark.usefixtures("networks_as_programs", "eager_on_tensorflow")
SMALL = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "heads": 2}
NARROW = {"width": 16, "depth": 2, "heads": 2, "features": 8}

# id: network, shape of x, of the condition (or None), channels of the output
NETWORKS = {
    "mlp": (lambda **kw: DenoisingMLP((3,), (12, 12), features=8, **kw), (3,), (4,), 3),
    "mlp_image": (lambda **kw: DenoisingMLP((4, 3, 2), (9, 12), features=8, **kw), (4, 3, 2), (2, 2, 1), 2),
    "unet": (lambda **kw: UNet((7, 10, 3), attention=(4,), out_channels=6, **SMALL, **kw), (7, 10, 3), (4,), 6),
    "unet_add": (lambda **kw: UNet((5, 4, 1), 8, (1,), 1, heads=2, modulation="add", **kw), (5, 4, 1), None, 1),
    "unet_image": (lambda **kw: UNet((6, 5, 1), attention=(), **SMALL, **kw), (6, 5, 1), (3, 3, 2), 1),
    "transformer": (lambda **kw: DiffusionTransformer((4, 6, 1), out_channels=2, **NARROW, **kw), (4, 6, 1), (4,), 2),
    "transformer_image": (lambda **kw: DiffusionTransformer((6, 3, 2), 3, **NARROW, **kw), (6, 3, 2), (2, 2, 1), 2),
}
networks = pytest.mark.parametrize("case", NETWORKS)
N = 3


def values(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def make(case, move=0.2, **kwargs):
    """A built network whose weights are moved from where they begin, and its arguments."""
    network, x_shape, condition_shape, _ = NETWORKS[case]
    network, rng = network(**kwargs), np.random.default_rng(0)
    arguments = [rng.normal(size=(N, *x_shape)), np.linspace(-6, 5, N)]
    arguments += [] if condition_shape is None else [rng.normal(size=(N, *condition_shape))]
    network.build(*(argument.shape for argument in arguments))
    for weight in network.trainable_weights:
        weight.assign(values(weight.value) + move * rng.normal(size=weight.shape))
    return network, [argument.astype("float32") for argument in arguments]


def program(network):
    """The network compiled once, for several calls; no draw moves a seed."""
    return backend.compile(lambda *arguments: network(*arguments), lambda: network.variables)


def as_model(network, arguments):
    inputs = [keras.Input(argument.shape[1:]) for argument in arguments]
    return keras.Model(inputs, network(*inputs))


# Beginnings and shapes.


@networks
def test_a_new_network_gives_zeros_of_the_promised_shape(case):
    """Eager, symbolic and computed shapes agree with the table, and the last layer begins at zero."""
    network, arguments = make(case, move=0.0)
    expected = (*NETWORKS[case][1][:-1], NETWORKS[case][3])
    y = values(network(*arguments))
    assert y.shape == (N, *expected) and not y.any()
    assert network.compute_output_shape(*[argument.shape for argument in arguments]) == (N, *expected)
    assert as_model(network, arguments).outputs[0].shape == (None, *expected)


def test_blocks_begin_as_the_identity_and_no_map_inside_of_them_is_shut():
    """Residual, attention and gated blocks give x; with their zeros moved they do not."""
    rng = np.random.default_rng(0)
    image, tokens, e = (rng.normal(size=s).astype("float32") for s in [(2, 4, 3, 8), (2, 5, 8), (2, 6)])
    glorot = keras.initializers.GlorotUniform
    for block, arguments in [
        (ResidualBlock(8, 32, "scale_shift", ops.silu, glorot, 0.0), (image, e)),
        (AttentionBlock(32, 2, None), (image,)),
        (transformer._Block(8, 2, 2, glorot, 0.0), (tokens, e)),
    ]:
        np.testing.assert_array_equal(values(block(*arguments)), arguments[0])
        shut = [w for w in block.trainable_weights if w.name == "kernel" and not values(w.value).any()]
        assert len(shut) == 1  # two in a row would never open
        shut[0].assign(np.ones(shut[0].shape))
        assert np.abs(values(block(*arguments)) - arguments[0]).max() > 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (5, 33), (28, 28), (17, 6)])
def test_the_unet_takes_any_size(size):
    """Three levels, down to single pixels: the output has the size of x, and every value is finite."""
    network = UNet((*size, 1), channels=4, blocks=1, heads=1)
    network.build((None, *size, 1), (None,))
    rng = np.random.default_rng(0)
    for weight in network.trainable_weights:
        weight.assign(values(weight.value) + 0.1 * rng.normal(size=weight.shape))
    y = values(network(rng.normal(size=(1, *size, 1)).astype("float32"), np.zeros(1, "float32")))
    assert y.shape == (1, *size, 1) and np.isfinite(y).all() and np.abs(y).min() > 0


# What the output depends on.


@networks
def test_examples_do_not_mix_and_each_argument_counts(case):
    """A permutation of the batch permutes the output; x, log_snr and condition each change it."""
    network, arguments = make(case)
    run, order = program(network), [2, 0, 1]
    y = values(run(*arguments))
    np.testing.assert_allclose(values(run(*[a[order] for a in arguments])), y[order], atol=1e-5)
    for i in range(len(arguments)):
        moved = values(run(*[a + 0.5 if i == j else a for j, a in enumerate(arguments)]))
        assert np.abs(moved - y).reshape(N, -1).max(axis=1).min() > 1e-3, i


@pytest.mark.parametrize("case", ["mlp", "unet", "transformer"])
def test_a_condition_of_zeros_is_none_at_all(case):
    """A vector enters by a map without bias: zeros give what a network without the map gives to any condition."""
    network, (x, log_snr, condition) = make(case)
    run = program(network)
    y = values(run(x, log_snr, 0.0 * condition))
    kernel = network.embedding.of_condition.kernel
    kernel.assign(0.0 * kernel)
    np.testing.assert_array_equal(values(run(x, log_snr, condition)), y)


def test_a_transformer_without_places_permutes_its_patches():
    """Without places patches are a set: their permutation permutes the output's; with places it does not."""
    network = DiffusionTransformer((4, 6, 1), **NARROW)
    rng = np.random.default_rng(0)
    network.build((None, 4, 6, 1), (None,))
    for weight in network.trainable_weights:
        weight.assign(values(weight.value) + 0.2 * rng.normal(size=weight.shape))
    x, order = rng.normal(size=(2, 4, 6, 1)).astype("float32"), rng.permutation(6)

    def shuffled(x):
        return transformer.images(ops.take(transformer.patches(ops.convert_to_tensor(x), 2), order, 1), (2, 3), 2)

    def difference():
        log_snr = np.zeros(2, "float32")
        return np.abs(values(network(values(shuffled(x)), log_snr)) - values(shuffled(network(x, log_snr)))).max()

    assert difference() > 0.01
    network.places = 0.0 * network.places
    assert difference() < 1e-5


def test_attention_is_where_it_is_asked_for():
    """At the levels named, twice on the way up for once on the way down, and in the middle."""

    def with_attention(attention):
        stages = UNet((9, 12, 1), attention=attention, **{**SMALL, "multipliers": (1, 2, 2)})
        return [[stage.attention is not None for stage in part] for part in (stages.down, stages.middle, stages.up)]

    middle = [True, False]
    assert with_attention(None) == with_attention((3,)) == [[False] * 2 + [True], middle, [False] * 4 + [True] * 2]
    assert with_attention((9, 5)) == [[True] * 2 + [False], middle, [True] * 4 + [False] * 2]
    assert with_attention(()) == [[False] * 3, middle, [False] * 6]


# Derivatives.


@networks
def test_gradient_reaches_every_weight(case):
    """The gradient of a squared error in each variable is finite and not zero."""
    network, arguments = make(case)
    target = np.random.default_rng(1).normal(size=(N, *NETWORKS[case][1][:-1], NETWORKS[case][3])).astype("float32")
    target = ops.convert_to_tensor(target)

    def loss():
        return ops.mean((network(*arguments, training=True) - target) ** 2)

    variables = network.trainable_variables
    run = backend.compile(lambda: backend.value_and_grad(loss, variables)[1], lambda: network.variables)
    for variable, gradient in zip(variables, run(), strict=True):
        gradient = values(gradient)
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, variable.path


@pytest.mark.parametrize("case", ["mlp", "unet_add", "transformer"])
def test_derivatives_are_those_of_finite_differences(case):
    """J t is the slope along t, u^T (J t) is (u^T J) t, and the divergence u^T J u can be differentiated again."""
    network, (x, *others) = make(case, move=0.1)
    rng = np.random.default_rng(1)
    t = rng.normal(size=x.shape).astype("float32")
    u = rng.normal(size=(*x.shape[:-1], NETWORKS[case][3])).astype("float32")
    x_tensor, t_tensor, u_tensor = (ops.convert_to_tensor(a) for a in (x, t, u))

    def of_x(x):
        return network(x, *others)

    def derivatives(x, t, u):
        return backend.jvp(of_x, x, t)[1], backend.vjp(of_x, x, u)[1]

    def second(x, t, u):
        return backend.grad(lambda x: ops.sum(backend.vjp(of_x, x, u)[1] * t), x)

    variables = lambda: network.variables  # noqa: E731
    run = backend.compile(derivatives, variables)
    forward, reverse = (values(d) for d in run(x_tensor, t_tensor, u_tensor))
    step = 0.01
    ahead, behind = (values(program(network)(x + s * t, *others)) for s in (step, -step))
    slope = (ahead - behind) / (2 * step)
    scale = np.abs(slope).max()
    np.testing.assert_allclose(forward, slope, atol=3e-3 * scale)  # the third derivative times step^2, and rounding
    np.testing.assert_allclose(np.sum(u * forward), np.sum(reverse * t), rtol=1e-3, atol=1e-4)
    curved = values(backend.compile(second, variables)(x_tensor, t_tensor, u_tensor))
    ahead, behind = (values(run(ops.convert_to_tensor(x + s * t), t_tensor, u_tensor)[1]) for s in (step, -step))
    expected = np.sum((ahead - behind) * t) / (2 * step)
    np.testing.assert_allclose(np.sum(curved * t), expected, rtol=0.02, atol=0.02 * scale)


# Precision, saving, noise.


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.15)])
@pytest.mark.parametrize("case", ["mlp", "unet_add", "transformer"])
def test_network_computes_in_its_policy(case, policy, tolerance):
    """The output is of the compute dtype and near that of float32, for weights and inputs of the same bits."""
    network, arguments = make(case, move=0.1, dtype=policy)
    full, _ = make(case, move=0.1)
    for weight, other in zip(full.weights, network.weights, strict=True):
        weight.assign(other)
        assert keras.backend.standardize_dtype(other.dtype) == "float32"
    output = network(*arguments)
    assert keras.backend.standardize_dtype(output.dtype) == network.compute_dtype
    np.testing.assert_allclose(values(output), values(full(*arguments)), atol=tolerance)


def test_log_snr_is_not_rounded_to_half_precision():
    """Two log-SNRs that are one number of bfloat16 are told apart by a network that computes in it."""
    network, (x, _, condition) = make("mlp", dtype="mixed_bfloat16")
    one, other = (values(network(x, np.full(N, value, "float32"), condition)) for value in (17.0, 17.02))
    assert np.abs(one - other).max() > 0.01


@networks
def test_network_survives_its_configuration_and_a_keras_file(case, tmp_path):
    """A twin by configuration has the same weights and configuration; a loaded model gives the same output."""
    network, arguments = make(case)
    twin = type(network).from_config(network.get_config())
    twin.build(*(argument.shape for argument in arguments))
    names = [[(w.path.split("/", 1)[1], tuple(w.shape)) for w in each.weights] for each in (network, twin)]
    assert names[0] == names[1] and twin.get_config() == network.get_config()
    model = as_model(network, arguments)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for mine, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(values(mine.value), values(other.value))
    np.testing.assert_allclose(values(loaded(arguments)), values(network(*arguments)), atol=1e-5)


def test_a_saved_network_keeps_every_option(tmp_path):
    options = {"heads": 1, "head_size": 4, "dropout": 0.25, "groups": 2, "modulation": "add", "activation": "relu"}
    network = UNet((5, 4, 1), 4, (1, 3), 1, (2,), out_channels=2, **options)
    config = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(network)).get_config()
    expected = {"channels": 4, "multipliers": (1, 3), "blocks": 1, "attention": (2,), "out_channels": 2, **options}
    assert {name: config[name] for name in expected} == expected


@pytest.mark.parametrize("case", ["mlp", "unet_add", "transformer"])
def test_dropout_draws_in_training_only(case):
    network, arguments = make(case, dropout=0.5)
    np.testing.assert_array_equal(values(network(*arguments)), values(network(*arguments)))
    first, second = (values(network(*arguments, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


# Numbers.


def test_time_features_are_the_formula_over_the_whole_range():
    """Equation (1) in float64 to 1e-4, in bfloat16 to its rounding; one wave in 2 pi / 25, the longest over 40."""
    log_snr = np.linspace(-20, 20, 401).astype("float32")
    w = 25.0 * 10000.0 ** (-np.arange(8) / 8)
    phase = log_snr[:, None].astype("float64") * w
    expected = np.concatenate([np.sin(phase), np.cos(phase)], axis=-1)
    np.testing.assert_allclose(values(TimeFeatures(16)(log_snr)), expected, atol=1e-4)
    np.testing.assert_allclose(values(TimeFeatures(16, dtype="mixed_bfloat16")(log_snr)), expected, atol=2**-8)


@pytest.mark.parametrize("modulated", [False, True])
def test_group_normalisation_is_the_formula(modulated):
    rng = np.random.default_rng(0)
    x = (3.0 + 2.0 * rng.normal(size=(2, 3, 5, 8))).astype("float32")
    s, t, gamma, beta = rng.normal(size=(2, 8)), rng.normal(size=(2, 8)), rng.normal(size=8), rng.normal(size=8)
    layer = GroupNormalization(32)
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    g = x.reshape(2, 15, 2, 4).astype("float64")
    n = (g - g.mean((1, 3), keepdims=True)) / np.sqrt(g.var((1, 3), keepdims=True) + 1e-5)
    expected, given = gamma * n.reshape(x.shape) + beta, ()
    if modulated:
        expected = (1 + s[:, None, None]) * expected + t[:, None, None]
        given = (np.concatenate([s, t], axis=-1).astype("float32"),)
    np.testing.assert_allclose(values(layer(x, *given)), expected, atol=1e-5)


def test_groups_divide_and_hold_four_channels():
    cases = {(128, 32): 32, (64, 32): 16, (256, 32): 32, (8, 32): 2, (3, 32): 1, (30, 32): 6, (64, 3): 2, (64, 1): 1}
    assert {case: group_count(*case) for case in cases} == cases


@pytest.mark.parametrize("options", [{"heads": 2}, {"head_size": 2}])
def test_image_attention_is_the_formula(options):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 2, 8)).astype("float32")
    layer = ImageAttention(**options)
    layer.build(x.shape)
    weights = [0.5 * rng.normal(size=w.shape) for w in layer.weights]
    layer.set_weights(weights)
    to_heads, bias, to_out, out_bias = weights
    heads = options.get("heads", 4)
    h = (x.reshape(2, 6, 8) @ to_heads + bias).reshape(2, 6, 3, heads, 8 // heads)
    scores = np.einsum("bihd,bjhd->bhij", h[:, :, 0], h[:, :, 1]) / np.sqrt(8 // heads)
    share = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    y = np.einsum("bhij,bjhd->bihd", share, h[:, :, 2]).reshape(2, 6, 8) @ to_out + out_bias
    np.testing.assert_allclose(values(layer(x)), y.reshape(x.shape), atol=1e-4)


def test_patches_are_squares_row_by_row_and_go_back():
    x = np.arange(4 * 6 * 2, dtype="float32").reshape(1, 4, 6, 2)
    cut = transformer.patches(ops.convert_to_tensor(x), 2)
    np.testing.assert_array_equal(values(cut)[0, 4], x[0, 2:4, 2:4].ravel())
    np.testing.assert_array_equal(values(transformer.images(cut, (2, 3), 2)), x)


def test_places_tell_rows_from_columns():
    """Rows in the first half, columns in the second, sines and cosines of the place."""
    p = transformer.places((2, 3), 8).reshape(2, 3, 8)
    assert (p[:, 0, :4] == p[:, 2, :4]).all() and (p[0, :, 4:] == p[1, :, 4:]).all()
    row, column = np.array([1.0, 0.01]), np.array([2.0, 0.02])
    np.testing.assert_allclose(p[1, 2], [*np.sin(row), *np.cos(row), *np.sin(column), *np.cos(column)], rtol=1e-6)


def wave(shape, phase):
    return np.sin(1.7 * np.arange(np.prod(shape, dtype=int)) + phase).reshape(shape)


# case: the first number, the last one, their mean and standard deviation
GOLDEN = {
    "mlp": (-0.985857, 0.742351, 0.186871, 0.829646),
    "unet": (1.26676, -1.252454, -0.127767, 1.241849),
    "unet_add": (-0.816619, -0.847678, -1.070464, 0.232672),
    "transformer": (-1.952502, -1.726518, -0.174242, 1.771333),
}


@pytest.mark.parametrize("case", ["mlp", "unet", "unet_add", "transformer"])
def test_numbers_are_the_same_on_all_backends(case):
    """Weights and inputs of a formula; the numbers were written once, on JAX."""
    network, arguments = make(case)
    for i, weight in enumerate(network.trainable_weights):
        weight.assign(wave(tuple(weight.shape), i) / np.sqrt(max(1, np.prod(weight.shape[:-1], dtype=int))))
    arguments = [wave(a.shape, i).astype("float32") for i, a in enumerate(arguments)]
    y = values(program(network)(*arguments)).ravel()
    np.testing.assert_allclose([y[0], y[-1], np.mean(y), np.std(y)], GOLDEN[case], rtol=0, atol=1e-5)


BAD = {
    "no_hidden_layer": lambda: DenoisingMLP((2,), ()),
    "an_event_without_axes": lambda: DenoisingMLP(()),
    "odd_features": lambda: DenoisingMLP((2,), features=7),
    "x_of_another_shape": lambda: DenoisingMLP((2,)).build((None, 3), (None,)),
    "log_snr_of_another_shape": lambda: DenoisingMLP((2,)).build((None, 2), (None, 1)),
    "unet_of_vectors": lambda: UNet((4,)),
    "attention_nowhere": lambda: UNet((28, 28, 1), attention=(8,)),
    "heads": lambda: UNet((8, 8, 1), channels=6, heads=5),
    "modulation": lambda: UNet((8, 8, 1), modulation="film"),
    "patch": lambda: DiffusionTransformer((7, 8, 1)),
    "width_and_heads": lambda: DiffusionTransformer((8, 8, 1), width=20, heads=8),
    "width_and_places": lambda: DiffusionTransformer((8, 8, 1), width=6, heads=2),
    "attention_of_vectors": lambda: ImageAttention(2).build((None, 8)),
    "features": lambda: TimeFeatures(3),
    "scale": lambda: TimeFeatures(4, scale=0.0),
    "missing_condition": lambda: make("mlp")[0](*make("mlp")[1][:2]),
    "superfluous_condition": lambda: make("unet_add")[0](*make("unet_add")[1], np.zeros((N, 4), "float32")),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    """Wrong arguments and shapes are a ValueError that says what was received."""
    with pytest.raises(ValueError, match="Received"):
        BAD[case]()


def test_an_attention_that_never_occurs_names_the_levels():
    with pytest.raises(ValueError, match=r"\[28, 14, 7\]"):
        UNet((28, 40, 1), attention=(8,))
