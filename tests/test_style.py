"""Laws of the style-based and the growing networks and of their models."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, layers, losses, random
from keras_gen.callbacks import ExactResume
from keras_gen.datasets import digits
from keras_gen.models import ProgressiveGAN, StyleGAN
from keras_gen.networks import (
    GrowingDiscriminator,
    GrowingGenerator,
    MappingNetwork,
    StyleDiscriminator,
    StyleGenerator,
    StyleSynthesis,
)
from keras_gen.networks.growing import at_level
from tests.interrupting import Interrupt, Interruption

pytestmark = pytest.mark.usefixtures("networks_as_programs")
EAGER = keras.config.backend() == "tensorflow"  # its graphs do not give the same bits twice
rng = np.random.default_rng(0)


def real(*shape):
    return rng.normal(size=shape).astype("float32")


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def images(n):
    (x, _), _ = digits.load_data()
    return (x[:n, :, :, None] / 16.0).astype("float32")


def labels(n):
    return digits.load_data()[0][1][:n].astype("int32")


def style_gan(compiled=True, **kwargs):
    options = {"modulation": kwargs.pop("modulation", "adain"), "depth": 2, "style_dim": 6, "filters": (6, 4)}
    model = StyleGAN(
        (8, 8, 1), 3, generator=StyleGenerator((8, 8, 1), **options), discriminator=StyleDiscriminator((4, 6)),
        **{"seed": 1, "penalties": losses.R1(1.0, every=2), **kwargs},
    )  # fmt: skip
    if compiled:
        model.compile(keras.optimizers.Adam(1e-2, beta_1=0.0, beta_2=0.99), run_eagerly=EAGER)
    return model


def progressive_gan(run_eagerly=EAGER, **kwargs):
    model = ProgressiveGAN(
        (8, 8, 1), 3, generator=GrowingGenerator((8, 8, 1), (6, 4, 4)), discriminator=GrowingDiscriminator((4, 4, 6)),
        **{"fade_steps": 3, "hold_steps": 2, "seed": 1, **kwargs},
    )  # fmt: skip
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99), run_eagerly=run_eagerly)
    return model


def fit(model, n=16, epochs=1, y=None, **kwargs):
    return model.fit(images(n), y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, **kwargs).history


def state(model):
    """Every number that training carries."""
    return [numbers(v) for v in (*model.variables, *model.optimizer.variables)]


def assert_all_equal(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


# Networks.

# id: network, shapes of its inputs, shape of its output
NETWORKS = {
    "mapping": (lambda **kw: MappingNetwork(6, 2, **kw), [(5,)], (6,)),
    "mapping_of_labels": (lambda **kw: MappingNetwork(6, 2, **kw), [(5,), (3,)], (6,)),
    "synthesis": (lambda **kw: StyleSynthesis((7, 6, 2), (5, 4, 4), **kw), [(6,)], (7, 6, 2)),
    "synthesis_of_weights": (lambda **kw: StyleSynthesis((8, 8, 1), (5, 4), "weights", **kw), [(3, 6)], (8, 8, 1)),
    "generator": (lambda **kw: StyleGenerator((8, 8, 1), 6, 2, (5, 4), **kw), [(5,), (3,)], (8, 8, 1)),
    "discriminator": (lambda **kw: StyleDiscriminator((4, 5, 6), **kw), [(7, 6, 2)], (1,)),
    "discriminator_of_labels": (lambda **kw: StyleDiscriminator((4, 5), **kw), [(7, 6, 2), (3,)], (1,)),
    "growing_generator": (lambda **kw: GrowingGenerator((8, 16, 2), (5, 4, 4), **kw), [(5,), (3,)], (8, 16, 2)),
    "growing_discriminator": (lambda **kw: GrowingDiscriminator((4, 5, 6), **kw), [(8, 16, 2), (3,)], (1,)),
}
cases = pytest.mark.parametrize("name", NETWORKS)


def make(name, **kwargs):
    network, shapes, _ = NETWORKS[name]
    network = network(**kwargs)
    network.build(*[(None, *shape) for shape in shapes])
    return network, [real(4, *shape) for shape in shapes]


@cases
def test_shapes_and_configurations(name):
    """The output is finite and of the stated shape; a network of equal configuration and weights gives the same."""
    network, inputs = make(name)
    assert all(layer.built for layer in network._flatten_layers())
    y = numbers(network(*inputs))
    assert y.shape == (4, *NETWORKS[name][2]) == (4, *network.compute_output_shape(*[i.shape for i in inputs])[1:])
    assert np.isfinite(y).all()
    twin = type(network).from_config(network.get_config())
    twin.build_from_config(network.get_build_config())
    twin.set_weights(network.get_weights())
    np.testing.assert_allclose(numbers(twin(*inputs)), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["generator", "synthesis_of_weights", "growing_generator", "growing_discriminator"])
def test_half_precision(name):
    """bfloat16 out, and finite."""
    network, inputs = make(name, dtype="mixed_bfloat16")
    y = network(*inputs)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16" and np.isfinite(numbers(ops.cast(y, "float32"))).all()


def test_the_mean_style_follows_in_training_and_truncation_draws_to_it():
    """m <- d m + (1 - d) mean w in training alone; psi = 1 leaves a style, psi = 0 gives m, 1/2 the middle."""
    network, (z,) = make("mapping")
    w = numbers(network(z))
    assert np.abs(numbers(network.mean)).max() == 0.0
    for _ in range(2):
        network(z, training=True)
    m = (1 - 0.995**2) * w.mean(0)
    np.testing.assert_allclose(numbers(network.mean), m, rtol=0, atol=1e-6)
    for psi in (0.0, 0.5, 1.0):
        truncated = numbers(network.truncated(ops.convert_to_tensor(w), psi))
        np.testing.assert_allclose(truncated, m + psi * (w - m), rtol=0, atol=1e-6)


def test_the_mapping_sees_the_direction_of_a_latent_alone():
    """z is normalised: its length does not matter."""
    network, (z,) = make("mapping")
    np.testing.assert_allclose(numbers(network(z)), numbers(network(3.0 * z)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("modulation", ["adain", "weights"])
def test_each_layer_of_the_synthesis_has_its_style_and_its_noise(modulation):
    """Another style or noise in layer l alone changes the image, but for the image of an earlier one's layers."""
    network = StyleSynthesis((8, 8, 1), (5, 4), modulation)
    w, noise = real(2, network.num_layers, 6), real(2, network.noise_size)
    network.build(w.shape)
    for layer in network.layers:
        layer.noise.strength.assign(np.ones(layer.noise.strength.shape))
    image = numbers(network(w, noise))
    for i in range(network.num_layers):
        other = w.copy()
        other[:, i] = real(2, 6)
        assert np.abs(numbers(network(other, noise)) - image).max() > 1e-4
    for part in np.split(np.arange(network.noise_size), np.cumsum(network.noise_sizes)[:-1]):
        other = noise.copy()
        other[:, part] = 0.0
        assert np.abs(numbers(network(w, other)) - image).max() > 1e-4
    one = np.repeat(w[:, :1], network.num_layers, axis=1)
    np.testing.assert_allclose(numbers(network(one)), numbers(network(w[:, 0])), rtol=0, atol=1e-6)


# Growing networks.


def at(network, level):
    network.level.assign(level)
    return network


def test_a_growing_generator_fades_from_the_doubled_image_to_the_new_one():
    """alpha = 0: the lower stage, doubled; alpha = 1: the new stage's own image; between: their mixture."""
    network, (z, c) = make("growing_generator")
    levels = {level: numbers(at(network, level)(z, c)) for level in (0.0, 1.0, 1.25, 2.0)}
    small = levels[0.0][:, ::4, ::4]
    assert small.shape == (4, 2, 4, 2)
    np.testing.assert_array_equal(levels[0.0], small.repeat(4, 1).repeat(4, 2))
    np.testing.assert_array_equal(levels[1.0], levels[1.0][:, ::2, ::2].repeat(2, 1).repeat(2, 2))
    np.testing.assert_allclose(levels[1.25], 0.75 * levels[1.0] + 0.25 * levels[2.0], rtol=0, atol=1e-6)
    old = numbers(at(network, 1.0 + 1e-6)(z, c))  # the new stage is computed, at alpha next to 0
    np.testing.assert_allclose(old, levels[1.0], rtol=0, atol=1e-5)
    for lower in network.to_image[:2]:
        lower.set_weights([np.zeros_like(v) for v in lower.get_weights()])
    np.testing.assert_array_equal(numbers(at(network, 2.0)(z, c)), levels[2.0])
    levels[1.0] = numbers(at(network, 1.0)(z, c))
    last = network.to_image[2]
    last.set_weights([10.0 * v for v in last.get_weights()])
    np.testing.assert_array_equal(numbers(at(network, 1.0)(z, c)), levels[1.0])
    assert np.abs(numbers(at(network, 2.0)(z, c)) - levels[2.0]).max() > 1e-3


def test_a_growing_discriminator_fades_alike():
    """alpha = 0: the score of the halved image by the lower stages alone; alpha = 1: nothing of that image itself."""
    network, (x, c) = make("growing_discriminator")
    before = {level: numbers(at(network, level)(x, c)) for level in (0.0, 1.0, 2.0)}
    blocks = x.reshape(4, 4, 2, 8, 2, 2).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(numbers(at(network, 1.0)(blocks, c)), before[1.0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(numbers(at(network, 1.0 + 1e-6)(x, c)), before[1.0], rtol=0, atol=1e-4)
    network.from_image[1].set_weights([np.zeros_like(v) for v in network.from_image[1].get_weights()])
    np.testing.assert_array_equal(numbers(at(network, 2.0)(x, c)), before[2.0])
    np.testing.assert_array_equal(numbers(at(network, 0.0)(x, c)), before[0.0])
    assert np.abs(numbers(at(network, 1.0)(x, c)) - before[1.0]).max() > 1e-3


def test_data_fade_as_fakes_do():
    """Data at a level: halved and doubled to it; what is at the level stays as it is."""
    network, (x, _) = make("growing_discriminator")
    mean = x.reshape(4, 4, 2, 8, 2, 2).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    for level, expected in [(2.0, x), (1.0, mean), (1.25, 0.75 * mean + 0.25 * x)]:
        y = numbers(at_level(ops.convert_to_tensor(x), at(network, level), 2))
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)
    y = at_level(ops.convert_to_tensor(x), at(network, 1.0), 2)
    np.testing.assert_allclose(numbers(at_level(y, network, 2)), numbers(y), rtol=0, atol=1e-6)


def test_a_stage_that_is_off_gets_no_gradient():
    """Of both networks, with a gradient penalty too; stages that are on get one."""
    model = progressive_gan()
    x = ops.convert_to_tensor(images(4))
    for level, expected in [(0.0, {0}), (1.5, {0, 1, 2})]:
        model.generator.level.assign(level)
        model.discriminator.level.assign(level)
        generator, discriminator = model.generator, model.discriminator

        def loss():
            fake = model.fake(ops.ones((4, 3)))
            slope = losses.squared_gradient(lambda x: model.score(x), x)
            return ops.sum(model.score(fake)) + ops.sum(slope)

        kernels = [generator.stage(k)[-1].kernel for k in range(3)] + [discriminator.convolutions[2 * i].kernel
                   for i in (1, 0)]  # fmt: skip
        _, gradients = backend.value_and_grad(loss, kernels)
        moved = [bool(np.abs(numbers(g)).max() > 0) for g in gradients]
        assert moved == [k in expected for k in (0, 1, 2, 1, 2)]


def test_the_schedule_of_growth():
    """Hold, fade, hold, fade, hold: 0 to K, by the number of steps."""
    model = progressive_gan()
    levels = [float(numbers(model.level_after(s))) for s in range(14)]
    third = 1.0 / 3.0
    expected = [0, 0, 0, third, 2 * third, 1, 1, 1, 1 + third, 1 + 2 * third, 2, 2, 2, 2]
    np.testing.assert_allclose(levels, expected, rtol=0, atol=1e-6)


def test_growing_is_one_fit_compiled_once():
    """Twelve steps from the first stage to the last: the step is traced no more often than for three steps."""
    counts = []
    for n in (12, 48):
        model, calls = progressive_gan(run_eagerly=False), []
        levels = [float(numbers(n.level)) for n in (model.generator, model.discriminator, model.average_generator)]
        assert levels == [0.0, 0.0, 0.0]
        terms = model.discriminator_terms
        model.discriminator_terms = lambda batch, terms=terms, calls=calls: calls.append(1) or terms(batch)
        fit(model, n)
        counts.append(len(calls))
    assert model.level == 2.0 == float(numbers(model.discriminator.level))
    assert keras.config.backend() == "torch" or counts[0] == counts[1] <= 3
    sample = model.sample(2, seed=0)
    assert np.abs(sample[:, ::2] - sample[:, 1::2]).max() > 0  # the average generator has grown too


def test_growth_survives_saving(tmp_path):
    """A file in the middle of a fade has its level, and the loaded model trains on as the model itself does."""
    model = progressive_gan()
    fit(model, 16)
    assert model.level == pytest.approx(1.0 / 3.0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.level == model.level
    np.testing.assert_array_equal(model.sample(2, seed=1), loaded.sample(2, seed=1))
    for m in (model, loaded):
        fit(m, 16)
    assert model.level == pytest.approx(1.0)
    assert_all_equal(state(model), state(loaded))


def test_growth_resumes_exactly(run_folder):
    """Killed in a fade, the training started again ends with the bits of the one that ran through."""
    keras.utils.set_random_seed(0)
    whole = progressive_gan()
    fit(whole, 32, seed=5)
    with pytest.raises(Interruption):
        keras.utils.set_random_seed(0)
        fit(progressive_gan(), 32, seed=5, callbacks=[ExactResume("folder", every_steps=1), Interrupt(6)])
    keras.utils.set_random_seed(7)
    resumed = progressive_gan()
    fit(resumed, 32, seed=5, callbacks=[ExactResume("folder", every_steps=1), Interrupt(100)])
    assert_all_equal(state(whole), state(resumed))


# StyleGAN.


def test_every_variable_of_a_style_gan_moves():
    """With mixing, lazy R1, path lengths and labels, every trainable variable gets a finite gradient."""
    model = style_gan(modulation="weights", path_length=2.0, path_length_every=2, num_classes=10)
    before = [numbers(v) for v in model.trainable_variables]
    history = fit(model, 32, y=labels(32), epochs=2)
    assert {"r1", "path_length", "generator_loss", "discriminator_loss"} <= set(history)
    assert all(np.isfinite(values).all() for values in history.values()) and history["r1"][0] > 0
    for v, start in zip(model.trainable_variables, before, strict=True):
        assert np.isfinite(numbers(v)).all() and np.abs(numbers(v) - start).max() > 0, v.path
    assert float(numbers(model.mean_path_length)) > 0
    assert np.abs(numbers(model.average_generator.mapping.mean)).max() > 0
    assert model.sample(3, np.arange(3), seed=0).shape == (3, 8, 8, 1)
    assert np.isfinite(list(model.evaluate(images(8), labels(8), verbose=0, return_dict=True).values())).all()


def noisy(model):
    for layer in model.generator.synthesis.layers + model.average_generator.synthesis.layers:
        layer.noise.strength.assign(np.ones(layer.noise.strength.shape))
    return model


def test_truncation_and_temperature():
    """psi = 0: one image but for the noise; temperature 0: one image; psi = 1 is the model itself."""
    model = style_gan(compiled=False)
    assert np.ptp(model.sample(4, seed=0, truncation=0.0), axis=0).max() == 0.0
    whole = model.sample(4, seed=0)
    assert np.ptp(whole, axis=0).max() > 1e-3
    np.testing.assert_allclose(whole, model.sample(4, seed=0, truncation=1.0), rtol=0, atol=1e-6)
    noisy(model)
    assert np.ptp(model.sample(4, seed=0, truncation=0.0), axis=0).max() > 1e-3
    assert np.ptp(model.sample(4, seed=0, temperature=0.0), axis=0).max() == 0.0


def test_a_sample_and_its_noise_depend_on_the_key_alone():
    """Sample i is the same in any batch; its noise in all layers comes from its key."""
    model = noisy(style_gan(compiled=False))
    whole = model.sample(5, seed=3)
    np.testing.assert_allclose(whole, model.sample(5, seed=3, batch_size=2), rtol=0, atol=1e-5)
    keys = random.keys(3, 5)
    network = model.average_generator
    noise = random.normal(random.fold_in(keys, 0), (network.synthesis.noise_size,))
    w = network.mapping(random.normal(keys, (3,)))
    np.testing.assert_allclose(numbers(network.synthesis(w, noise)), whole, rtol=0, atol=1e-5)


def test_styles_are_mixed_at_the_crossover():
    """Before the crossover the styles of a, from it on those of b; 0 and all layers give b and a."""
    model = style_gan(compiled=False)
    a, b = real(2, 3), real(2, 3)
    layers_ = model.generator.synthesis.num_layers
    np.testing.assert_allclose(model.mix(a, b, 0), model.decode(b), rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.mix(a, b, layers_), model.decode(a), rtol=0, atol=1e-5)
    network = model.average_generator
    w_a, w_b = (numbers(network.mapping(z)) for z in (a, b))
    w = np.stack([w_a, w_b, w_b], axis=1)
    np.testing.assert_allclose(model.mix(a, b, 1), numbers(network.synthesis(w)), rtol=0, atol=1e-5)


def test_training_mixes_with_the_stated_probability():
    """Nine in ten draws have two styles, their crossovers uniform; without mixing, and in evaluation, none has."""
    model = style_gan(compiled=False)
    crossover = numbers(model.draw(2000).crossover)
    shares = [np.mean(crossover == c) for c in (1, 2, 3)]
    np.testing.assert_allclose(shares, [0.45, 0.45, 0.1], rtol=0, atol=0.04)
    assert model.draw(2, model.test_noise).other is None
    assert style_gan(compiled=False, mixing=None).draw(2).other is None


# id: what is refused, what the message says
BAD = {
    "no power of two": (lambda: ProgressiveGAN((28, 28, 1)), "powers of two.*28"),
    "one side": (lambda: GrowingGenerator((8, 12, 1)), "powers of two.*12"),
    "a discriminator's side": (lambda: GrowingDiscriminator((4, 4)).build((None, 12, 8, 1)), "powers of two"),
    "too small to grow": (lambda: ProgressiveGAN((4, 4, 1)), "at least 8"),
    "no image": (lambda: ProgressiveGAN((16,)), "height, width, channels"),
    "too many stages": (lambda: GrowingGenerator((8, 8, 1), (4, 4, 4, 4, 4)), "2 to 4 stages"),
    "one stage": (lambda: GrowingGenerator((8, 8, 1), (4,)), "2 to 4 stages"),
    "unequal stages": (
        lambda: ProgressiveGAN(
            (8, 8, 1), generator=GrowingGenerator((8, 8, 1), (4, 4)), discriminator=GrowingDiscriminator((4, 4, 4))
        ),
        "equally many",
    ),
    "networks that do not grow": (lambda: progressive_gan_of_style(), "GrowingDiscriminator.*StyleDiscriminator"),
    "no steps": (lambda: ProgressiveGAN((8, 8, 1), fade_steps=0), "`fade_steps`.*0"),
    "another modulation": (lambda: StyleSynthesis((8, 8, 1), modulation="film"), "`modulation`.*film"),
    "another generator": (lambda: StyleGAN((8, 8, 1), generator=GrowingGenerator((8, 8, 1))), "StyleGenerator"),
    "a generator of another shape": (
        lambda: StyleGAN((8, 8, 1), generator=StyleGenerator((4, 4, 1), filters=(4,))), r"8, 8, 1.*4, 4, 1",
    ),
    "mixing": (lambda: style_gan(mixing=1.5), "`mixing`.*1.5"),
    "truncation": (lambda: style_gan(compiled=False).sample(2, truncation=-1.0), "`truncation`.*-1"),
    "crossover": (lambda: style_gan(compiled=False).mix(real(2, 3), real(2, 3), 9), "`crossover`.*9"),
    "latents": (lambda: style_gan(compiled=False).mix(real(2, 4), real(2, 4), 1), r"\(batch, 3\)"),
}  # fmt: skip


def progressive_gan_of_style():
    return ProgressiveGAN((8, 8, 1), discriminator=StyleDiscriminator((4, 4)))


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    """What cannot be meant is refused, with what was expected and what was received."""
    call, message = BAD[name]
    with pytest.raises(ValueError, match=f"(?s)Expected.*{message}|{message}"):
        call()


def test_equalised_layers_are_what_the_networks_are_made_of():
    """No layer of the six networks has weights of another scale: kernels begin as N(0, 1 / rate^2)."""
    for name in NETWORKS:
        network, _ = make(name)
        for layer in network._flatten_layers():
            if isinstance(layer, (keras.layers.Dense, keras.layers.Conv2D)):
                raise AssertionError(f"{name}: {layer.name}")
            if isinstance(layer, layers.EqualizedDense) and layer.kernel.shape[0] * layer.units > 200:
                assert np.std(numbers(layer.kernel)) == pytest.approx(1.0 / layer.rate, rel=0.3)
