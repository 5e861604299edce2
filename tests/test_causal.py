"""Laws of the causal layers and networks: no later input is seen, and steps give what the parallel way gives."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, layers, networks

LAYERS = {
    "convolution": lambda: layers.CausalConv1D(6, 3, 2),
    "convolution_of_one_tap": lambda: layers.CausalConv1D(6, 1),
    "grouped_convolution": lambda: layers.CausalConv1D(6, 2, 3, groups=2, activation="tanh"),
    "attention": lambda: layers.CausalSelfAttention(2),
    "rotary_attention": lambda: layers.CausalSelfAttention(1, rotary=True),
}
NETWORKS = {
    "convolutions": lambda **kw: networks.CausalConvolutions(5, (1, 2, 4), activation="tanh", **kw),
    "gated": lambda **kw: networks.GatedConvolutions(6, 7, (1, 2, 4, 1), **kw),
    "gated_of_three_taps": lambda **kw: networks.GatedConvolutions(6, 7, (1, 3), kernel_size=3, **kw),
    "lstm": lambda **kw: networks.Recurrent((6, 5), **kw),
    "gru": lambda **kw: networks.Recurrent((6,), "gru", **kw),
    "transformer": lambda **kw: networks.Transformer(4, 2, 2, **kw),
    "transformer_of_learned_positions": lambda **kw: networks.Transformer(4, 2, 1, "learned", 12, **kw),
}
BOUNDED = [name for name in NETWORKS if name.startswith(("conv", "gated"))]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numbers(x):
    return ops.convert_to_numpy(ops.stop_gradient(x))


def stepped(layer, x, condition=None):
    """What `layer` gives step by step, in one compiled loop."""
    batch, length = x.shape[:2]

    def run(x, condition=None):
        def body(t, state):
            cache, out = state
            y, cache = layer.step(backend.entry(x, t, axis=1), cache, t)
            return cache, backend.put(out, t, y)

        out = ops.zeros((length, batch, layer.compute_output_shape(x.shape)[-1]), layer.compute_dtype)
        return ops.fori_loop(0, length, body, (layer.init_cache(batch, length, condition), out))[1]

    arrays = [x] if condition is None else [x, condition]
    run = backend.compile(run, lambda: layer.variables, loop=True)
    return np.swapaxes(ops.convert_to_numpy(run(*map(ops.convert_to_tensor, arrays))), 0, 1)


def made(name, condition_shape=None, **options):
    keras.utils.set_random_seed(1)
    network = {**LAYERS, **NETWORKS}[name](**options)
    network.build((None, 12, 4), *([] if condition_shape is None else [condition_shape]))
    return network


@pytest.mark.parametrize("name", [*LAYERS, *NETWORKS])
def test_steps_give_what_the_parallel_way_gives(name):
    network, x = made(name), draw(3, 12, 4)
    np.testing.assert_allclose(stepped(network, x), ops.convert_to_numpy(network(x)), atol=1e-5)


@pytest.mark.parametrize("shape", [None, (3, 12), (3, 12, 12)], ids=["none", "global", "local"])
def test_steps_of_a_gated_block_give_both_of_its_outputs(shape):
    """A block by itself: its own queue, and the condition of each time given to the step."""
    layer, x = layers.GatedResidualBlock(6, 5, 3, 2), draw(3, 12, 6)
    condition = None if shape is None else draw(*shape, seed=1)
    both, cache = layer(x, condition), layer.init_cache(3, 12)
    for t in range(12):
        given = condition if condition is None or condition.ndim == 2 else condition[:, t]
        found, cache = layer.step(ops.convert_to_tensor(x[:, t]), cache, t, given)
        for y, whole in zip(found, both, strict=True):
            np.testing.assert_allclose(numbers(y), numbers(whole)[:, t], atol=1e-5)
    if shape is not None:
        assert np.abs(numbers(both[0]) - numbers(layer(x)[0])).max() > 1e-2


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(3, 2), (3, 12, 2)], ids=["global", "local"])
def test_a_condition_moves_steps_and_the_parallel_way_alike(name, shape):
    network, x, condition = made(name, (None, *shape[1:])), draw(3, 12, 4), draw(*shape, seed=1)
    y = ops.convert_to_numpy(network(x, condition))
    np.testing.assert_allclose(stepped(network, x, condition), y, atol=1e-5)
    assert np.abs(y - ops.convert_to_numpy(network(x, condition + 1.0))).max() > 1e-3
    with pytest.raises(ValueError, match="was built for a condition"):
        network(x)


def jacobian(network, x):
    """|d y_t / d x_s| with channels of y weighed at random, those of x summed: `(t, s)`."""
    weights = ops.convert_to_tensor(draw(network.compute_output_shape(x.shape)[-1], seed=2))

    def row(x, at):
        return backend.grad(lambda x: network(x) * weights * at[None, :, None], x)

    row, length = backend.compile(row, lambda: network.variables), x.shape[1]
    rows = [ops.convert_to_numpy(row(ops.convert_to_tensor(x), at)) for at in ops.eye(length)]
    return np.abs(np.stack(rows)).sum(axis=(1, 3))


@pytest.mark.parametrize("name", NETWORKS)
def test_no_output_depends_on_a_later_input_and_each_on_its_receptive_field(name):
    network = made(name)
    j = jacobian(network, draw(2, 12, 4))
    reach = network.receptive_field or 12
    distance = np.arange(12)[:, None] - np.arange(12)[None]
    np.testing.assert_array_equal(j > 0, (distance >= 0) & (distance < reach))
    assert (reach < 12) == (name in BOUNDED)


def test_a_causal_convolution_is_that_of_keras():
    layer, x = layers.CausalConv1D(6, 3, 2), draw(3, 12, 4)
    peer = keras.layers.Conv1D(6, 3, dilation_rate=2, padding="causal")
    layer(x), peer(x)
    peer.set_weights(layer.get_weights())
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), ops.convert_to_numpy(peer(x)), atol=1e-5)


def test_rotary_attention_sees_distances_alone():
    layer, x = layers.CausalSelfAttention(2, rotary=True), draw(1, 6, 4)
    y = ops.convert_to_numpy(layer(x))
    layer._heads_at = layer._heads
    layer._heads = lambda x, positions: layer._heads_at(x, positions + 100)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), y, atol=1e-5)
    plain = layers.CausalSelfAttention(2)
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    assert np.abs(ops.convert_to_numpy(plain(x)) - y).max() > 1e-3


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_steps_give_what_the_parallel_way_gives(name, policy):
    network, x = made(name, dtype=policy), draw(3, 12, 4)
    y = ops.convert_to_numpy(ops.cast(network(x), "float32"))
    got = stepped(network, x).astype("float32")
    digits = 2.0**-10 if policy == "mixed_float16" else 2.0**-7
    np.testing.assert_allclose(got, y, atol=4 * digits, rtol=digits)  # a few last places of numbers of about 1


@pytest.mark.parametrize("name", [*LAYERS, *NETWORKS])
def test_shapes_are_told_by_the_names_of_build(name):
    """As Keras asks in `summary()`; the network's own are those of its outputs."""
    network = made(name)
    assert tuple(network.compute_output_shape(**network._build_shapes_dict))[1:] == network(draw(2, 12, 4)).shape[1:]


def test_a_gated_block_tells_the_shapes_of_both_of_its_outputs():
    layer = layers.GatedResidualBlock(4, 5)
    layer.build((None, 12, 4), (None, 8))
    assert layer.compute_output_shape(**layer._build_shapes_dict) == ((None, 12, 4), (None, 12, 5))


@pytest.mark.parametrize("name", NETWORKS)
def test_configurations_make_the_same_network(name):
    network, x = made(name), draw(2, 12, 4)
    other = type(network).from_config(network.get_config())
    other.build((None, 12, 4))
    other.set_weights(network.get_weights())
    np.testing.assert_array_equal(ops.convert_to_numpy(other(x)), ops.convert_to_numpy(network(x)))
