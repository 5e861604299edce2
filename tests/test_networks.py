"""Laws of the networks: shapes, saving, precision, gradients, the reach of skip connections."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend
from keras_gen.networks import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    DCGANDiscriminator,
    DCGANGenerator,
    DenseGenerator,
    ResidualDiscriminator,
    ResidualGenerator,
    default_decoder,
    default_discriminator,
    default_encoder,
    default_generator,
)

pytestmark = pytest.mark.usefixtures("networks_as_programs")
rng = np.random.default_rng(0)
Z, Y = (3,), (4,)

# id: network, shape of the input, of the condition (or None), of the output
NETWORKS = {
    "mlp": (lambda **kw: MLP((8, 6), **kw), (2, 3), None, (6,)),
    "mlp_output": (lambda **kw: MLP((8,), output_units=5, **kw), Z, Y, (5,)),
    "mlp_skip": (lambda **kw: MLP((8, 6), output_units=5, skip=True, **kw), Z, Y, (5,)),
    "mlp_none": (lambda **kw: MLP((), **kw), (2, 3), Y, (10,)),
    "mlp_batch": (lambda **kw: MLP((8,), normalization="batch", dropout=0.5, **kw), Z, None, (8,)),
    "mlp_layer": (lambda **kw: MLP((8,), normalization="layer", activation="tanh", **kw), Z, None, (8,)),
    "encoder": (lambda **kw: ConvEncoder((4, 6), **kw), (7, 5, 1), None, (24,)),
    "encoder_vector": (lambda **kw: ConvEncoder((4,), units=9, **kw), (7, 5, 2), Y, (9,)),
    "encoder_image": (lambda **kw: ConvEncoder((4,), normalization="batch", **kw), (7, 5, 2), (3, 3, 1), (48,)),
    "decoder": (lambda **kw: ConvDecoder((7, 5, 1), (6, 4), **kw), Z, None, (7, 5, 4)),
    "decoder_skip": (lambda **kw: ConvDecoder((7, 5, 1), (6, 4), skip=True, **kw), Z, Y, (7, 5, 4)),
    "decoder_nearest": (
        lambda **kw: ConvDecoder((7, 5, 1), (6, 4), upsampling="nearest", normalization="batch", **kw),
        Z, None, (7, 5, 4),
    ),
    "decoder_image": (lambda **kw: ConvDecoder((7, 5, 1), (4,), skip=True, **kw), Z, (3, 3, 1), (7, 5, 4)),
    "dcgan_generator": (lambda **kw: DCGANGenerator((7, 5, 1), (6, 4), **kw), Z, Y, (7, 5, 1)),
    "dcgan_discriminator": (lambda **kw: DCGANDiscriminator((4, 6), **kw), (7, 5, 2), Y, (1,)),
    "dense_generator": (lambda **kw: DenseGenerator((3, 2, 1), (8,), "sigmoid", **kw), Z, Y, (3, 2, 1)),
    "residual_generator": (lambda **kw: ResidualGenerator((7, 5, 1), (6, 4), **kw), Z, Y, (7, 5, 1)),
    "residual_discriminator": (lambda **kw: ResidualDiscriminator((4, 4), **kw), (7, 5, 2), None, (1,)),
}  # fmt: skip
networks = pytest.mark.parametrize("case", NETWORKS)


def make(case, **kwargs):
    """A built network and its arguments, one or two."""
    network, x, condition, _ = NETWORKS[case]
    network = network(**kwargs)
    shapes = [(None, *shape) for shape in (x, condition) if shape is not None]
    network.build(*shapes)
    return network, [rng.normal(size=(5, *shape[1:])).astype("float32") for shape in shapes]


def values(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


class Traced(keras.layers.Layer):
    """The body of a network, traced for its shape and not run: no kernel is compiled for it."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def call(self, x):
        return self.network.call(x)


def traced_shape(network, shape):
    """Shape that the body of a network gives for input `(batch, *shape)`, without the batch."""
    network.build((None, *shape))
    return tuple(Traced(network)(keras.Input(shape)).shape[1:])


def as_model(network, arguments):
    inputs = [keras.Input(argument.shape[1:]) for argument in arguments]
    return keras.Model(inputs, network(*inputs))


@networks
def test_network_shape_is_the_promised_one(case):
    """Eager, symbolic and computed shapes agree with the table."""
    network, arguments = make(case)
    expected = NETWORKS[case][3]
    assert tuple(network(*arguments).shape) == (5, *expected)
    assert network.compute_output_shape(*[argument.shape for argument in arguments]) == (5, *expected)
    assert as_model(network, arguments).outputs[0].shape == (None, *expected)


@networks
def test_build_alone_creates_every_weight(case):
    """A call adds no weight to what `build` made; an unbuilt network builds the same ones when called."""
    network, arguments = make(case)
    names = [(weight.path.split("/", 1)[1], tuple(weight.shape)) for weight in network.weights]
    network(*arguments)
    assert names == [(weight.path.split("/", 1)[1], tuple(weight.shape)) for weight in network.weights]
    twin = type(network).from_config(network.get_config())
    twin(*arguments)
    assert [tuple(weight.shape) for weight in twin.weights] == [shape for _, shape in names]
    assert twin.get_config() == network.get_config()


@networks
def test_network_survives_a_keras_file(case, tmp_path):
    """A saved and loaded model gives the same output."""
    network, arguments = make(case)
    model = as_model(network, arguments)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(values(twin(arguments)), values(model(arguments)))


POLICIES = [(case, "mixed_float16") for case in NETWORKS]
POLICIES += [(case, "mixed_bfloat16") for case in ("mlp_skip", "mlp_batch", "encoder", "decoder_skip")]


@pytest.mark.parametrize(("case", "policy"), POLICIES)
def test_network_computes_in_its_policy(case, policy):
    """Under a mixed policy the output is finite, of the compute dtype, and near that of float32."""
    network, arguments = make(case, dtype=policy)
    full, _ = make(case)
    for weight, other in zip(full.weights, network.weights, strict=True):
        weight.assign(other)
        assert keras.backend.standardize_dtype(other.dtype) == "float32"
    output = network(*arguments)
    assert keras.backend.standardize_dtype(output.dtype) == network.compute_dtype
    tolerance = 0.02 if policy == "mixed_float16" else 0.1  # 11 and 8 bits, over sums of tens of terms
    np.testing.assert_allclose(values(output), values(full(*arguments)), atol=tolerance)


@networks
def test_gradient_reaches_every_weight(case):
    """The gradient of a squared output in each variable is finite and not zero."""
    network, arguments = make(case, **({} if case == "mlp_layer" else {"activation": "elu"}))
    variables = network.trainable_variables
    target = ops.convert_to_tensor(rng.normal(size=(5, *NETWORKS[case][3])).astype("float32"))
    loss = lambda: ops.mean((network(*arguments, training=True) - target) ** 2)  # noqa: E731
    run = backend.compile(lambda: backend.value_and_grad(loss, variables)[1], lambda: network.variables)
    for variable, gradient in zip(variables, run(), strict=True):
        gradient = values(gradient)
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, variable.path


def test_a_convolution_to_one_channel_learns_in_half_precision():
    """The gradients of an image's convolution under mixed_float16 are near those of Keras's layer in float32."""
    x, kernel = (rng.normal(size=shape).astype("float32") for shape in [(2, 4, 5, 3), (3, 3, 3, 1)])
    gradients = []
    for layer in (
        keras.layers.Conv2D(1, 3, padding="same", data_format="channels_last"),
        MLP((), dtype="mixed_float16").image_convolution(1, 3, name="to_image"),
    ):
        layer.build(x.shape)
        layer.kernel.assign(kernel)
        loss = lambda layer=layer: ops.mean(ops.cast(layer(x), "float32") ** 2)  # noqa: E731
        gradients.append([values(g) for g in backend.value_and_grad(loss, layer.trainable_variables)[1]])
    for full, half in zip(*gradients, strict=True):
        np.testing.assert_allclose(half, full, rtol=0, atol=0.01 * np.abs(full).max())


@pytest.mark.parametrize("event_shape", [(7, 5, 1), (28, 28, 1), (1, 9, 2), (33, 17, 3), (8, 8, 1), (2,), (6, 4)])
def test_default_networks_take_any_size(event_shape):
    """Encoder to a vector, decoder to features on the event's pixels, of the computed shapes."""
    encoder = default_encoder(event_shape, kernel_initializer="zeros")
    decoder = default_decoder(event_shape, skip=True, kernel_initializer="zeros")
    h = traced_shape(encoder, event_shape)
    assert (None, *h) == encoder.compute_output_shape((None, *event_shape)) and len(h) == 1
    features = traced_shape(decoder, Z)
    assert (None, *features) == decoder.compute_output_shape((None, *Z))
    large = len(event_shape) == 3 and max(event_shape[:2]) > 8
    assert isinstance(decoder, ConvDecoder) == isinstance(encoder, ConvEncoder) == large
    assert features[:-1] == (event_shape[:2] if large else ())


@pytest.mark.parametrize("event_shape", [(28, 28, 1), (9, 12, 3), (8, 8, 1), (2,), (6, 4)])
def test_default_pairs_take_any_size(event_shape):
    """The default generator makes what the default discriminator scores with one number; images are in [0, 1]."""
    generator, discriminator = default_generator(event_shape), default_discriminator(event_shape)
    assert traced_shape(generator, Z) == event_shape == generator.compute_output_shape((None, *Z))[1:]
    assert traced_shape(discriminator, event_shape) == (1,)
    ends_in_sigmoid = generator.output_activation is keras.activations.sigmoid
    assert ends_in_sigmoid == (len(event_shape) == 3)


def test_weights_of_dcgan_begin_small_and_its_first_stage_is_not_normalised():
    """Kernels N(0, 0.02^2); batch normalisation in every stage of the discriminator but the first (section 3)."""
    pair = DCGANGenerator((16, 16, 1), (64, 32)), DCGANDiscriminator((32, 64))
    pair[0].build((None, 50))
    pair[1].build((None, 16, 16, 1))
    for network in pair:
        for weight in network.trainable_variables:
            if weight.name == "kernel" and np.prod(weight.shape) > 5000:
                assert np.std(values(weight.value)) == pytest.approx(0.02, rel=0.1)
    assert [stage.norm is None for stage in pair[1].stages] == [True, False]
    assert all(stage.norm is not None for stage in [pair[0].project, *pair[0].stages])


@pytest.mark.parametrize("size", [(7, 5), (1, 9), (33, 17), (2, 2), (1, 1)])
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_decoder_goes_back_through_the_sizes_of_the_encoder(size, upsampling):
    """Three stages of any size, down to single pixels."""
    decoder = ConvDecoder((*size, 1), (4, 4, 2), upsampling=upsampling, kernel_initializer="zeros")
    encoder = ConvEncoder((2, 4, 4), kernel_initializer="zeros")
    assert traced_shape(decoder, Z) == (*size, 2)
    assert traced_shape(encoder, (*size, 1)) == (int(np.prod(decoder.smallest)) * 4,)


def kernel_of(block):
    return block.linear.kernel


def skip_path(network, layer, trunk):
    """Zero every kernel, but the rows by which z enters `layer` and the trunk's rows of the layers after it."""
    blocks = network.blocks if isinstance(network, MLP) else [network.first, *network.stages]
    for i, block in enumerate(blocks):
        inputs_last = isinstance(block.linear, keras.layers.Conv2DTranspose)
        kernel = values(kernel_of(block).value)
        kernel = kernel if inputs_last else np.swapaxes(kernel, -1, -2)
        row = np.arange(kernel.shape[-1])
        z_rows, trunk_rows = (row >= trunk[i]) & (row < trunk[i] + Z[0]), row < trunk[i]
        kernel = kernel * (z_rows if i == layer else trunk_rows & (i > layer))
        kernel_of(block).assign(kernel if inputs_last else np.swapaxes(kernel, -1, -2))


@pytest.mark.parametrize("kind", ["mlp", "convolutional"])
def test_skip_connection_reaches_each_layer(kind):
    """With all ways but the one through a given layer shut, z still moves the output; without skip it cannot."""
    for layer in range(3):
        for skip in (True, False):
            if kind == "mlp":
                network, trunk = MLP((8, 6), "linear", output_units=5, skip=skip), (0, 8, 6)
            else:
                network, trunk = ConvDecoder((7, 5, 1), (6, 4), skip=skip, activation="linear"), (0, 6, 6)
            network.build((None, *Z), (None, *Y))
            skip_path(network, layer, trunk)
            z, y = rng.normal(size=(5, *Z)).astype("float32"), np.ones((5, *Y), "float32")
            moved = np.abs(values(network(z, y)) - values(network(-z, y))).max()
            assert (moved > 1e-4) == (skip or layer == 0), (layer, skip)


def test_condition_changes_the_output():
    """What comes in as a condition is used, by every kind of network."""
    for case in ("mlp_output", "mlp_skip", "encoder_vector", "encoder_image", "decoder_skip", "decoder_image"):
        network, (x, condition) = make(case)
        assert np.abs(values(network(x, condition)) - values(network(x, -condition))).max() > 1e-4, case


def test_dropout_and_batch_statistics_work_in_training_only():
    """Inference is repeatable; training draws masks and moves the averages."""
    network, (x,) = make("mlp_batch")
    np.testing.assert_array_equal(values(network(x)), values(network(x)))
    before = [values(weight.value) for weight in network.non_trainable_weights if "moving" in weight.path]
    first, second = values(network(x, training=True)), values(network(x, training=True))
    after = [values(weight.value) for weight in network.non_trainable_weights if "moving" in weight.path]
    assert np.abs(first - second).max() > 0
    assert all(np.abs(one - other).max() > 0 for one, other in zip(before, after, strict=True)) and before


def test_layers_of_one_shape_begin_apart():
    """One unseeded initializer given for all layers draws anew for each."""
    network = MLP((4, 4), kernel_initializer=keras.initializers.HeNormal())
    network.build((None, 4))
    first, second = (values(kernel_of(block).value) for block in network.blocks)
    assert np.abs(first - second).max() > 1e-3


def test_convolutions_agree_with_a_loop():
    """A stride of two with "same" padding, and its transpose, are those of the formula on every backend."""
    x = rng.normal(size=(1, 5, 4, 1)).astype("float32")
    encoder = ConvEncoder((1,), activation="linear")
    encoder.build((None, 5, 4, 1))
    kernel = values(kernel_of(encoder.stages[0]).value)[..., 0, 0]
    padded = np.pad(x[0, ..., 0], ((1, 1), (0, 1)))  # TensorFlow's rule: what is odd goes behind
    expected = [[np.sum(padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3] * kernel) for j in range(2)] for i in range(3)]
    np.testing.assert_allclose(values(encoder(x)).reshape(3, 2), expected, atol=1e-5)
    decoder = ConvDecoder((5, 4, 1), (1,), activation="linear")
    decoder.build((None, 2))
    z = rng.normal(size=(1, 2)).astype("float32")
    small = values(decoder.first(z)).reshape(3, 2)
    kernel = values(kernel_of(decoder.stages[0]).value)[..., 0, 0]
    full = np.zeros((8, 6))
    for i in range(3):
        for j in range(2):
            full[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += small[i, j] * kernel
    np.testing.assert_allclose(values(decoder(z))[0, ..., 0], full[1:6, 1:5], atol=1e-5)


BAD = {
    "units": lambda: MLP((8, 0)),
    "output_units": lambda: MLP((8,), output_units=-1),
    "normalization": lambda: MLP((8,), normalization="group"),
    "dropout": lambda: MLP((8,), dropout=1.0),
    "filters": lambda: ConvEncoder(()),
    "kernel": lambda: ConvEncoder((8,), kernel_size=0),
    "vector_to_encoder": lambda: ConvEncoder((8,)).build((None, 9)),
    "unknown_size": lambda: ConvEncoder((8,)).build((None, None, 9, 1)),
    "decoder_of_vectors": lambda: ConvDecoder((9,)),
    "upsampling": lambda: ConvDecoder((9, 9, 1), upsampling="bilinear"),
    "missing_condition": lambda: make("mlp_output")[0](np.zeros((2, *Z), "float32")),
    "superfluous_condition": lambda: make("decoder")[0](np.zeros((2, *Z), "float32"), np.zeros((2, 4), "float32")),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    """Wrong arguments and shapes are a ValueError that says what was received."""
    with pytest.raises(ValueError, match="Received"):
        BAD[case]()
