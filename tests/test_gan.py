"""GAN: its training step against a loop in torch, averages, penalties, files; samples, truncation, projection."""

import warnings

import keras
import numpy as np
import pytest
import torch
from keras import ops
from scipy import stats

from keras_gen import layers, losses, random
from keras_gen.models import GAN
from keras_gen.models.adversarial.gan import truncated
from keras_gen.networks import MLP, DCGANGenerator, DenseGenerator

rng = np.random.default_rng(0)
EAGER = keras.config.backend() == "tensorflow"  # its graphs do not give the same bits twice
X = rng.uniform(size=(30, 6)).astype("float32")
IMAGES = rng.uniform(size=(16, 9, 12, 1)).astype("float32")


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def small(model=GAN, **kwargs):
    pair = {"generator": DenseGenerator((6,), (16,)), "discriminator": MLP((16, 8), "leaky_relu", output_units=1)}
    return model((6,), **{"latent_dim": 3, "seed": 5, **pair, **kwargs})


def everything(dtype=None, **kwargs):
    """Batch and spectral normalisation, average, augmentation, a lazy penalty."""
    options = {"dtype": dtype}
    discriminator = keras.Sequential(
        [
            keras.layers.Input((9, 12, 1)),
            layers.SpectralNormalization(keras.layers.Conv2D(4, 3, 2, activation="leaky_relu", **options), **options),
            keras.layers.Flatten(**options),
            keras.layers.Dense(1, **options),
        ]
    )
    return GAN(
        (9, 12, 1), 3, generator=DCGANGenerator((9, 12, 1), (4,), **options), discriminator=discriminator,
        loss="hinge", penalties=losses.R1(1.0, every=2), average=0.9,
        augment=layers.DifferentiableAugmentation(seed=1), seed=5, **options, **kwargs,
    )  # fmt: skip


def step(model, x=X, **kwargs):
    """The logs of one training step on x."""
    history = model.fit(x, batch_size=len(x), shuffle=False, verbose=0, **kwargs).history
    return {name: values[0] for name, values in history.items()}


# The training step.


def loop_in_torch(weights, optimizers, steps, critic_steps, noise):
    """WGAN-GP by hand on X: the losses of critic and generator in each step. `noise` gives numpy arrays."""
    players = {name: [torch.tensor(w, requires_grad=True) for w in values] for name, values in weights.items()}
    optimizers = {name: make(players[name]) for name, make in optimizers.items()}

    def network(player, x):
        pairs = list(zip(players[player][::2], players[player][1::2], strict=True))
        for kernel, bias in pairs[:-1]:
            x = torch.nn.functional.leaky_relu(x @ kernel + bias, 0.2)
        return x @ pairs[-1][0] + pairs[-1][1]

    def minimise(player, loss):
        optimizers[player].zero_grad()
        loss.backward(inputs=players[player])
        optimizers[player].step()
        return loss.item()

    history = []
    for _ in range(steps):
        of_critic = []
        for k in range(critic_steps):
            x = torch.tensor(X[k::critic_steps])
            y = network("generator", noise("normal", (len(x), 3))).detach()
            x_t = (y + noise("uniform", (len(x), 1)) * (x - y)).requires_grad_(True)
            (g,) = torch.autograd.grad(network("discriminator", x_t).sum(), x_t, create_graph=True)
            penalty = 10.0 * (g.norm(dim=1) - 1.0) ** 2
            d = network("discriminator", y) - network("discriminator", x)
            of_critic.append(minimise("discriminator", (d[:, 0] + penalty).mean()))
        y = network("generator", noise("normal", (len(x), 3)))
        history.append((np.mean(of_critic), minimise("generator", -network("discriminator", y).mean())))
    return np.array(history)


SGD = (lambda: keras.optimizers.SGD(0.01), lambda w: torch.optim.SGD(w, 0.01), {"abs": 1e-4})
ADAM = (
    lambda: keras.optimizers.Adam(1e-3, 0.0, 0.9),
    lambda w: torch.optim.Adam(w, 1e-3, (0.0, 0.9), eps=1e-7),
    {"rel": 1e-3, "abs": 1e-4},
)


EAGERLY = {"tensorflow": [False, True], "jax": [False], "torch": [True]}[keras.config.backend()]


@pytest.mark.parametrize("ours, theirs, tolerance, eager", [*((*SGD, eager) for eager in EAGERLY), (*ADAM, EAGERLY[0])])
def test_wgan_gp_equals_a_loop_in_torch(ours, theirs, tolerance, eager):
    """Same weights, same noise, 20 steps of 3 critic steps: losses to 1e-4 with SGD, 1e-3 relative with Adam."""
    model = small(loss="wasserstein", penalties=losses.GradientPenalty(), discriminator_steps=3)
    weights = {name: [numbers(w) for w in network.weights] for name, network in model.players.items()}
    model.compile({"generator": ours(), "discriminator": ours()}, run_eagerly=eager)
    history = model.fit(X, batch_size=len(X), epochs=20, shuffle=False, verbose=0).history
    replay = random.Noise(5)
    expected = loop_in_torch(
        weights, dict.fromkeys(weights, theirs), 20, 3, lambda kind, s: torch.tensor(numbers(getattr(replay, kind)(s)))
    )
    assert np.ptp(expected, axis=0).min() > 0.01
    for column, player in enumerate(("discriminator", "generator")):
        assert history[f"{player}_loss"] == pytest.approx(expected[:, column].tolist(), **tolerance), player


class Noted(GAN):
    """Notes what each turn of a player is given."""

    def discriminator_terms(self, batch):
        self.noted.append(("discriminator", numbers(batch.x)))
        return super().discriminator_terms(batch)

    def generator_terms(self, batch):
        self.noted.append(("generator", numbers(batch.x)))
        return super().generator_terms(batch)


def test_each_step_of_the_discriminator_has_fresh_examples():
    """K = 4 turns on the four parts of the batch, then the generator's on the last of them."""
    model = small(Noted, discriminator_steps=4)
    model.compile("sgd", run_eagerly=True)
    model.noted = []
    step(model)
    assert [player for player, _ in model.noted] == ["discriminator"] * 4 + ["generator"]
    parts = [x for _, x in model.noted]
    rows = np.concatenate(parts[:4])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], X[np.lexsort(X.T)])
    np.testing.assert_array_equal(parts[3], parts[4])


def test_the_average_generator_follows_its_formula():
    """a <- b_t a + (1 - b_t) w with b_t = min(0.15, (1 + t) / (10 + t)); what no optimizer moves is copied."""
    model = small(generator=DenseGenerator((6,), (16,), normalization="batch"), average=0.15)
    model.compile(keras.optimizers.SGD(0.5))
    moved = [v.trainable for v in model.generator.weights]
    expected = [numbers(v) for v in model.average_generator.weights]
    assert not all(moved) and any(moved)
    for t in range(3):
        step(model)
        b = min(0.15, (1 + t) / (10 + t))
        weights = [numbers(v) for v in model.generator.weights]
        expected = [b * a + (1 - b) * w if m else w for a, w, m in zip(expected, weights, moved, strict=True)]
        for a, e in zip(model.average_generator.weights, expected, strict=True):
            np.testing.assert_allclose(numbers(a), e, atol=1e-6)
    assert max(np.abs(a - w).max() for a, w in zip(expected, weights, strict=True)) > 1e-4


def test_samples_come_from_the_average_generator():
    """And from the generator itself where there is none; `model(x)` is the score `(batch,)`."""
    model, z = small(), ops.ones((2, 3))
    model.generator.set_weights([w + 0.1 for w in model.generator.get_weights()])
    np.testing.assert_array_equal(numbers(model.decoded(z)), numbers(model.average_generator(z)))
    assert np.abs(numbers(model.decoded(z)) - numbers(model.generator(z))).max() > 1e-3
    alone = small(average=None)
    np.testing.assert_array_equal(numbers(alone.decoded(z)), numbers(alone.generator(z)))
    np.testing.assert_array_equal(numbers(alone(X)), numbers(alone.discriminator(X))[:, 0])


class Counting(GAN):
    """Has a counter among its variables, for a penalty."""

    def __init__(self, *args, penalties, **kwargs):
        super().__init__(*args, penalties=penalties, **kwargs)
        penalties.count = self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")


class Counted(losses.R1):
    """R1 that counts how often it is computed, in state."""

    def value(self, score, real, fake, noise):
        self.count.assign(self.count + 1.0)
        return super().value(score, real, fake, noise)


@pytest.mark.parametrize("eager", EAGERLY)
def test_a_lazy_penalty_has_the_same_mean_and_is_computed_in_each_kth_step(eager):
    """Eight steps of a discriminator that stands still: R1 in each, or in each fourth with four times its weight."""
    means, counts = [], []
    for every in (1, 4):
        keras.utils.set_random_seed(1)
        model = small(Counting, penalties=Counted(3.0, every=every))
        model.compile(keras.optimizers.SGD(0.0), run_eagerly=eager)
        logs = model.fit(X, batch_size=30, epochs=8, shuffle=False, verbose=0).history
        means.append(np.mean(logs["counted"]))
        counts.append(float(numbers(model.count)))
    assert counts == [8.0, 2.0] and means[1] == pytest.approx(means[0], rel=1e-5) and means[0] > 0


def test_a_scheduled_weight_is_that_of_the_step():
    """A schedule sees the number of training steps."""
    weights = keras.optimizers.schedules.PiecewiseConstantDecay([1, 2], [1.0, 10.0, 0.0])
    model = small(penalties=losses.R1(weights))
    model.compile(keras.optimizers.SGD(0.0))
    logs = model.fit(X, batch_size=30, epochs=4, shuffle=False, verbose=0).history["r1"]
    np.testing.assert_allclose(np.array(logs) / logs[0], [1.0, 1.0, 10.0, 0.0], rtol=1e-5)  # boundaries are included


# Everything together: precision, files, interruptions.


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_scores_fakes_and_samples_are_float32_in_half_precision(dtype):
    """While the networks compute in half."""
    model, z = everything(dtype), ops.zeros((2, 3))
    assert keras.backend.standardize_dtype(model.generator(z).dtype) == dtype.removeprefix("mixed_")
    for output in (model.fake(z), model.score(IMAGES[:2]), model.seen(ops.convert_to_tensor(IMAGES))):
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
    assert model.decode(numbers(z)).dtype == np.float32


def test_a_saved_game_goes_on_bit_for_bit(tmp_path, dtype="mixed_float16"):
    """Averages, moving statistics, singular vectors, seeds, loss scales and both optimizers are in the file."""
    model = everything(dtype)
    model.compile({"generator": keras.optimizers.Adam(1e-3), "discriminator": keras.optimizers.RMSprop(1e-3)},
                  run_eagerly=EAGER)  # fmt: skip
    history = model.fit(IMAGES, batch_size=8, verbose=0, seed=1).history
    assert all(np.isfinite(values).all() for values in history.values())
    path = str(tmp_path / "gan.keras")
    model.save(path)
    again = keras.saving.load_model(path)

    def state(model):
        metrics = {id(v) for v in model.metrics_variables}
        return [numbers(v) for v in [*model.variables, *model.optimizer.variables] if id(v) not in metrics]

    for goes_on in (False, True):
        if goes_on:
            histories = [m.fit(IMAGES, batch_size=8, verbose=0, seed=2).history for m in (model, again)]
            assert histories[0] == histories[1]
        for a, b in zip(state(model), state(again), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(*(m.sample(3, seed=0, truncation=1.0) for m in (model, again)))


def test_a_loss_given_as_an_object_is_saved(tmp_path):
    model = small(loss=losses.Hinge(), penalties=[losses.GradientPenalty(2.0, target=0.5)])
    model.save(str(tmp_path / "gan.keras"))
    again = keras.saving.load_model(str(tmp_path / "gan.keras"))
    assert type(again.game) is losses.Hinge and again.penalties[0].get_config() == model.penalties[0].get_config()


# Samples, truncation, projection.


def test_truncated_latents_are_truncated_normals():
    """No |z_j| exceeds t; Kolmogorov and Smirnov's distance to SciPy's truncated normal; t -> infinity is no bound."""
    model, keys = small(latent_dim=10), random.keys(3, 2000)
    whole = numbers(model.latents(keys))
    for t in (0.3, 1.0, 2.5):
        z = numbers(model.latents(keys, truncation=t))
        assert np.abs(z).max() <= t
        assert stats.kstest(z.ravel(), stats.truncnorm(-t, t).cdf).pvalue > 1e-3
        assert ((z > 0) == (whole > 0)).all()
    np.testing.assert_allclose(numbers(model.latents(keys, truncation=20.0)), whole, rtol=2e-4, atol=1e-5)
    scaled = numbers(model.latents(keys, temperature=2.0, truncation=1.0))
    np.testing.assert_allclose(scaled, 2.0 * numbers(model.latents(keys, truncation=1.0)), rtol=1e-6)


def test_truncated_samples_depend_on_seed_and_place_alone():
    """The same for any batch size, the images of the truncated latents, and less varied than without."""
    model = small(latent_dim=4)
    one, two = (model.sample(40, seed=1, truncation=0.5, batch_size=size) for size in (40, 7))
    np.testing.assert_allclose(one, two, atol=1e-6)
    np.testing.assert_allclose(one, model.decode(numbers(model.latents(random.keys(1, 40), 1.0, 0.5))), atol=1e-6)
    assert one.std(0).mean() < 0.6 * model.sample(40, seed=1).std(0).mean()
    np.testing.assert_array_equal(model.sample(5, seed=1), model.sample(40, seed=1)[:5])


def test_projection_recovers_the_models_own_samples():
    """z is found to 1e-3 where G is a smooth map of few dimensions into more, and the images to 1e-6."""
    generator = DenseGenerator((6,), (32,), activation="tanh")
    model = small(generator=generator, latent_dim=2)
    z = numbers(model.latents(random.keys(7, 9)))
    images = model.sample(9, seed=7)
    found, nearest = model.project(images, steps=300)
    assert found.shape == (9, 2) and nearest.shape == images.shape
    assert np.mean((nearest - images) ** 2, axis=1).max() < 1e-6 < 1e-2 < images.var(axis=0).mean()
    assert np.abs(found - z).max() < 1e-3
    alone, _ = model.project(images[:4], steps=300, batch_size=3)
    np.testing.assert_allclose(alone, found[:4], atol=1e-4)


def test_projection_by_a_distance_of_ones_own():
    """It lowers that distance, here of the first two coordinates, below that of the best of the draws it begins at."""
    model = small()

    def distance(y, x):
        return ops.sum(ops.abs(y[:, :2] - x[:, :2]), axis=1)

    start, end = (model.project(X[:5], steps=steps, distance=distance, learning_rate=r)[1]
                  for steps, r in ((1, 1e-9), (100, 0.1)))  # fmt: skip
    before, after = (np.abs(y - X[:5])[:, :2].sum(1) for y in (start, end))
    assert (after < before).all() and after.mean() < 0.6 * before.mean()


def test_a_condition_is_held_in_projection_and_samples():
    """`sample`, `decode` and `project` of a conditional game lead the condition to the generator."""
    model = GAN((6,), 3, num_classes=4, seed=5, generator=DenseGenerator((6,), (8,)),
                discriminator=MLP((8,), output_units=1))  # fmt: skip
    y = np.array([0, 3, 1])
    images = model.sample(3, y, seed=1, truncation=2.0)
    z, nearest = model.project(images, y, steps=200)
    np.testing.assert_allclose(nearest, model.decode(z, y), atol=1e-6)
    assert np.abs(nearest - images).max() < 0.01
    assert np.abs(model.sample(3, 0, seed=1) - model.sample(3, 1, seed=1)).max() > 1e-3


# Warnings, and batches that K does not fit.

SIGMOID = [
    lambda: [keras.layers.Dense(1, activation="sigmoid")],
    lambda: [keras.layers.Dense(1), keras.layers.Activation("tanh"), keras.layers.Reshape(())],
    lambda: [layers.SpectralNormalization(keras.layers.Dense(1, activation="sigmoid"))],
    lambda: [keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(1, activation="hard_sigmoid")])],
]


@pytest.mark.parametrize("end", SIGMOID)
@pytest.mark.parametrize("loss", ["wasserstein", "non_saturating"])
def test_a_discriminator_that_ends_in_a_sigmoid_warns(end, loss):
    """Losses that read logits cannot be served by it; least squares can, and none of it is said to a linear end."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(loss=loss, discriminator=keras.Sequential([keras.layers.Input((6,)), *end()]))
    assert any("without an activation at its end" in str(w.message) for w in caught)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Expected a discriminator")
        small(loss="least_squares", discriminator=keras.Sequential([keras.layers.Input((6,)), *end()]))
        small(loss=loss, clip=1.0, discriminator=keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(1)]))


@pytest.mark.parametrize("size, batch_size", [(2, 8), (16, 2), (18, 8)])
def test_a_batch_too_small_for_k_is_refused_before_the_first_step(size, batch_size):
    """The whole data, each batch, or a remainder of 2 for K = 3; steps that never reach the remainder are fine."""
    model = small(discriminator_steps=3)
    model.compile("sgd")
    with pytest.raises(ValueError, match="at least 3 examples in each batch.*a batch of 2"):
        model.fit(X[:size], batch_size=batch_size, verbose=0)
    assert int(numbers(model.optimizer.iterations)) == 0
    if size == 18:
        model.fit(X[:18], batch_size=8, steps_per_epoch=2, verbose=0)


# Networks of one's own, and a training that is compiled again.


class Bent(keras.Model):
    """A subclassed generator."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(6)

    def call(self, z):
        return ops.tanh(self.dense(z))


def own_generator(kind):
    z = keras.Input((3,))
    return {
        "sequential": lambda: keras.Sequential([z, keras.layers.Dense(6)]),
        "functional": lambda: keras.Model(z, keras.layers.Dense(6)(z)),
        "subclassed": Bent,
    }[kind]()


@pytest.mark.parametrize("kind", ["sequential", "functional", "subclassed"])
def test_any_keras_model_is_a_generator(kind, tmp_path):
    """It has an average, which samples and is saved."""
    model = small(generator=own_generator(kind), average=0.5)
    model.compile("adam")
    model.fit(X, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"Bent": Bent})
    np.testing.assert_array_equal(loaded.sample(3, seed=0), model.sample(3, seed=0))
    w, a = model.generator.weights[0], model.average_generator.weights[0]
    assert np.abs(numbers(w) - numbers(a)).max() > 0


def test_a_new_compile_goes_on_with_the_average():
    """Steps are counted by the model: at rate 0 the average moves by (1 - b_t) of the distance, not by nine tenths."""
    model = small(average=0.999)
    model.compile(keras.optimizers.SGD(0.5))
    for _ in range(6):
        step(model)
    before = [numbers(v) for v in model.average_generator.weights]
    model.compile(keras.optimizers.SGD(0.0))
    step(model)
    for a, b, w in zip(model.average_generator.weights, before, model.generator.weights, strict=True):
        np.testing.assert_allclose(numbers(a), 7 / 16 * b + 9 / 16 * numbers(w), rtol=0, atol=1e-6)


def test_the_logs_of_lazy_penalties_have_their_mean():
    """Of K = 2 and every = 2 the penalty is due in each second of the turns: their mean is logged."""
    model = small(discriminator_steps=2, penalties=losses.R1(1.0, every=2))
    model.compile(keras.optimizers.SGD(0.0))
    always = small(discriminator_steps=2, penalties=losses.R1(1.0))
    always.compile(keras.optimizers.SGD(0.0))
    always.discriminator.set_weights(model.discriminator.get_weights())
    x = np.repeat(X[:1], 8, axis=0)  # all gradients alike
    one, two = (m.fit(x, batch_size=8, verbose=0).history["r1"][0] for m in (model, always))
    assert one == pytest.approx(two, rel=1e-4)


def test_numbers_in_the_tail_are_not_led_to_the_bound():
    """erf is 1 in float32 beyond 5: the map is the identity there."""
    z = np.array([-6.5, 4.5, 5.3, 5.6, 6.5], "float32")
    np.testing.assert_allclose(numbers(truncated(ops.convert_to_tensor(z), 100.0)), z, rtol=0, atol=0.02)
    assert np.abs(numbers(truncated(ops.convert_to_tensor(z), 2.0))).max() <= 2.0


def test_what_a_gan_warns_of():
    """Batch normalisation beside a penalty, a Wasserstein critic that nothing holds, data out of the range."""
    layers = [keras.Input((6,)), keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(discriminator=keras.Sequential(layers), penalties=losses.R1(1.0))
        small(loss="wasserstein")
        model = small(generator=DenseGenerator((6,), (4,), "sigmoid"))
        model.compile("sgd")
        model.fit(255.0 * np.ones((8, 6), "float32"), verbose=0)
    said = " ".join(str(w.message) for w in caught)
    for words in ("without batch normalisation", "1-Lipschitz critic", "Expected data in [0, 1]"):
        assert said.count(words) == 1
