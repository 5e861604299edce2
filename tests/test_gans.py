"""The laws of adversarial models, for every one of the registry `cases.py`, and the formulas of each family."""

import functools

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from keras_gen import losses, random
from keras_gen.callbacks import ExactResume, SampleGrid
from keras_gen.distributions import Normal
from keras_gen.models import (
    GAN,
    LAPGAN,
    VAEGAN,
    WGAN,
    WGANGP,
    AdversarialAutoencoder,
    Batch,
    BiGAN,
    ConditionalGAN,
    InfoGAN,
    ProgressiveGAN,
    adversarial,
)
from keras_gen.models.adversarial.lapgan import enlarged, pyramid
from keras_gen.models.players import player_variables
from keras_gen.networks import MLP, MappingNetwork
from tests.cases import ADVERSARIAL, LATENT_DIM
from tests.interrupting import Interrupt, Interruption

BATCH = 32
PARTS = ("gan", "lsgan", "concatenation", "paired_gan", "srgan")  # of the others
PLAYED = [name for name in ADVERSARIAL if name not in PARTS]
EAGER = keras.config.backend() == "tensorflow"  # its graphs do not give the same bits twice


def make(name, **kwargs):
    keras.utils.set_random_seed(1)
    return ADVERSARIAL[name].make(**{"seed": 2, **kwargs})


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def data(name, n):
    x, y = ADVERSARIAL[name].data(n)
    return (x,) if y is None else (x, y)


def fit(model, name, n=2 * BATCH, epochs=1, **kwargs):
    return model.fit(*data(name, n), batch_size=BATCH, epochs=epochs, seed=3, verbose=0, **kwargs).history


def carried(model):
    """All variables that training carries on."""
    metrics = {id(v) for v in model.metrics_variables}
    return [v for v in [*model.variables, *model.optimizer.variables] if id(v) not in metrics]


def state(model):
    return [numbers(v) for v in carried(model)]


def assert_all_equal(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def constant_of_the_game(model, v):
    """The bias of a Wasserstein critic's score: E D(x) - E D(y) does not depend on it."""
    return model.name.startswith("wgan") and v.path.endswith("output/linear/bias")


def watch(model):
    """Each turn of a player logs how far the least moved of its variables went, and the most moved of the others."""
    minimize = model.minimize

    def watched(fn, player=None, batch=None):
        own = {v.path for v in player_variables(player, model.players[player])}
        before = [ops.convert_to_tensor(v.value) + 0.0 for v in model.trainable_variables]
        logs = minimize(fn, player, batch)
        moves = {True: [], False: [ops.zeros(())]}
        for v, start in zip(model.trainable_variables, before, strict=True):
            if not constant_of_the_game(model, v):
                moves[v.path in own].append(ops.max(ops.abs(ops.cast(v.value - start, "float32"))))
        least, most = ops.min(ops.stack(moves[True])), ops.max(ops.stack(moves[False]))
        return {**logs, f"{player} own": least, f"{player} others": most}

    model.minimize = watched


@functools.cache
def played(name):
    """A model after an epoch of two steps: the model, its state before, the history, the state after."""
    model = make(name)
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=EAGER)
    watch(model)
    before = state(model)
    return model, before, fit(model, name), state(model)


@pytest.mark.parametrize("name", [name for name in PLAYED if name != "progressive_gan"])  # its stages wait their turn
def test_a_turn_moves_all_that_is_its_players_and_nothing_else(name):
    """Every variable of the player gets a finite gradient that is not zero; Adam leaves the others where they are."""
    model, _, history, after = played(name)
    assert all(np.isfinite(value).all() for value in after)
    moved = {key: value[0] for key, value in history.items() if key.split(" ")[0] in model.players and " " in key}
    assert len(moved) == 2 * len(model.players)
    owned = {v.path for player, own in model.players.items() for v in player_variables(player, own)}
    assert owned == {v.path for v in model.trainable_variables}
    assert all((value > 0) == (" own" in key) for key, value in moved.items()), moved


@pytest.mark.parametrize("name", PLAYED)
def test_a_sample_depends_on_its_key_alone(name):
    """Sample i is a function of (seed, i) and condition i, whatever the batch; samples differ."""
    model = played(name)[0]
    condition = data(name, 5)[1:]
    whole = model.sample(5, *condition, seed=4)
    assert whole.shape == (5, *model.event_shape) and np.abs(whole[0] - whole[1]).max() > 1e-4
    np.testing.assert_allclose(whole, model.sample(5, *condition, seed=4, batch_size=2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PLAYED)
def test_an_interrupted_and_a_saved_game_go_on_with_the_same_bits(name, tmp_path):
    """Stopped before its second step and begun again from the start's weights it ends as the whole; a file holds it."""
    model, before, _, after = played(name)
    with pytest.raises(Interruption):
        restore(model, before)
        fit(model, name, callbacks=[ExactResume(tmp_path, every_steps=1), Interrupt(1)])
    restore(model, before)
    fit(model, name, callbacks=[ExactResume(tmp_path, every_steps=1), Interrupt(100)])
    assert_all_equal(state(model), after)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert_all_equal(state(loaded), after)
    condition = data(name, 3)[1:]
    np.testing.assert_allclose(*(m.sample(3, *condition, seed=1) for m in (model, loaded)), rtol=0, atol=1e-6)


def restore(model, values):
    for variable, value in zip(carried(model), values, strict=True):
        variable.assign(value)


@pytest.mark.parametrize("name", PLAYED)
def test_training_and_evaluation_log_finite_numbers(name):
    """`fit` logs a loss a player, `evaluate` the same and `loss`; sampling moves no state."""
    model, _, history, after = played(name)
    found = model.evaluate(*data(name, 40), verbose=0, return_dict=True)
    losses = {f"{player}_loss" for player in model.players}
    assert losses <= set(history) and losses | {"loss"} <= set(found)
    assert np.isfinite([*found.values(), *(v for values in history.values() for v in values)]).all()
    moved = [v for v, value in zip(carried(model), after, strict=True) if not np.array_equal(numbers(v), value)]
    assert {v.name for v in moved} <= {"seed_generator_state"}  # of the noise of evaluation


@pytest.mark.parametrize("name", PLAYED)
def test_the_average_generator_follows(name):
    """After two steps every trainable kernel of the average generator, where there is one, has moved."""
    model, before, _, after = played(name)
    changed = {v.path for v, a, b in zip(carried(model), before, after, strict=True) if not np.array_equal(a, b)}
    for gan in getattr(model, "gans", [model]):
        average = getattr(gan, "average_generator", None)
        paths = [] if average is None else [v.path for v in average.weights if v.name == "kernel"]
        assert name == "progressive_gan" or set(paths) <= changed


def test_every_public_game_is_in_the_registry():
    """A new class enters `cases.py`, or inherits no law."""
    public = {c for c in vars(adversarial).values() if isinstance(c, type) and issubclass(c, keras.Model)}
    assert public == {type(played(name)[0] if name in PLAYED else make(name)) for name in ADVERSARIAL}


# Recipes.


def test_the_weights_of_wgan_are_clipped_after_each_step():
    """All weights of the critic lie in [-clip, clip], those that moved most at its ends."""
    model = make("wgan")
    model.compile(keras.optimizers.RMSprop(5e-2))
    fit(model, "wgan")
    largest = [np.abs(numbers(v)).max() for v in model.discriminator.trainable_variables]
    assert max(largest) == np.float32(0.01)


def test_recipes_are_the_papers():
    """Defaults: objective, steps, clip, penalty, no average; any of them can be changed."""
    wgan, wgan_gp = WGAN((2,)), WGANGP((2,), discriminator_steps=3)
    assert (wgan.loss_name, wgan.clip, wgan.discriminator_steps, wgan.average) == ("wasserstein", 0.01, 5, None)
    assert (wgan_gp.loss_name, wgan_gp.discriminator_steps, wgan_gp.penalties[0].weight) == ("wasserstein", 3, 10.0)
    assert WGANGP((9, 9, 1), 2).discriminator.normalization is None
    assert type(make("dcgan")).from_config(make("dcgan").get_config()).loss_name == "non_saturating"


# Conditional GANs.


def tensors(*arrays):
    return [ops.convert_to_tensor(a) for a in arrays]


def softplus(a):
    return np.logaddexp(0.0, a)


def dense(network, x, last=True):
    """The features of a dense discriminator with one hidden layer, and its score, in numpy."""
    (w, b), (w_out, b_out) = (map(numbers, block.linear.weights) for block in network.blocks)
    h = x.reshape(len(x), -1) @ w + b
    h = np.where(h > 0, h, 0.2 * h)
    return h, (h @ w_out + b_out)[:, 0]


def fixed(model, n):
    """The model with latents that are the same at each draw, and its fakes under the labels of the batch."""
    z = np.random.default_rng(0).normal(size=(n, model.latent_dim)).astype("float32")
    model.draw = lambda *_: ops.convert_to_tensor(z)
    return z


def log_softmax(a):
    return a - np.log(np.exp(a).sum(axis=-1, keepdims=True))


def test_the_projection_score_is_its_formula():
    """D(x, y) = w f(x) + b + (V e_y) . f(x), and each label has a score of its own."""
    model = make("projection")
    x, y = data("projection", 7)
    h, score = dense(model.discriminator, x)
    expected = score + np.sum(numbers(model.head.kernel)[y] * h, axis=1)
    np.testing.assert_allclose(numbers(model.score(*tensors(x, y))), expected, rtol=0, atol=1e-5)
    others = numbers(model.score(*tensors(x, (y + 1) % 10)))
    assert np.abs(others - expected).min() > 1e-4


@pytest.mark.parametrize("kind", ["concatenation", "projection", "auxiliary"])
def test_the_losses_of_a_conditional_gan(kind):
    """Both players' losses of a batch, computed in numpy from the weights."""
    model = make(kind, class_weight=0.5, class_probabilities=None)
    x, y = data(kind, 6)
    z = fixed(model, 6)
    fake = numbers(model.fake(*tensors(z, y)))

    def judge(x):
        if kind == "concatenation":
            return dense(model.discriminator, np.concatenate([x.reshape(6, -1), np.eye(10, dtype="float32")[y]], 1))
        h, score = dense(model.discriminator, x)
        return h, score + (np.sum(numbers(model.head.kernel)[y] * h, axis=1) if kind == "projection" else 0.0)

    def classified(h):
        if kind != "auxiliary":
            return 0.0
        w, b = map(numbers, model.head.weights)
        return -log_softmax(h @ w + b)[np.arange(6), y]

    (h, real), (h_fake, score) = judge(x), judge(fake)
    batch = Batch(*tensors(x, y))
    found = model.discriminator_terms(batch)
    d = softplus(-real) + softplus(score) + 0.5 * (classified(h) + classified(h_fake))
    np.testing.assert_allclose(numbers(found["loss"]), d, rtol=0, atol=1e-5)
    g = softplus(-score) + 0.5 * classified(h_fake)
    np.testing.assert_allclose(numbers(model.generator_terms(batch)["loss"]), g, rtol=0, atol=1e-5)
    if kind == "auxiliary":
        w, b = map(numbers, model.head.weights)
        assert numbers(found["class_accuracy"]).mean() == pytest.approx(np.mean(np.argmax(h @ w + b, axis=1) == y))


def test_the_auxiliary_classifier_learns_the_digits():
    """A few epochs on real digits take the accuracy from chance to most of them."""
    model = make("auxiliary")
    model.compile({"generator": keras.optimizers.Adam(1e-3), "discriminator": keras.optimizers.Adam(1e-2)})
    history = fit(model, "auxiliary", n=512, epochs=8)["class_accuracy"]
    assert history[0] < 0.6 and history[-1] > 0.8


def test_labels_of_fakes_are_drawn_from_the_given_probabilities():
    """Their shares are those of p(c) within four standard deviations; without it they are those of the batch."""
    p = np.array([0.5, 0.0, 0.2, 0.3])
    model = ConditionalGAN((2,), num_classes=4, class_probabilities=p, seed=0)
    batch = Batch(*tensors(np.zeros((4000, 2), "float32"), np.ones(4000, "int32")))
    shares = np.bincount(numbers(model.fake_condition(batch)), minlength=4) / 4000
    assert (np.abs(shares - p) <= 4 * np.sqrt(p * (1 - p) / 4000)).all()
    model = ConditionalGAN((2,), num_classes=4, seed=0)
    np.testing.assert_array_equal(numbers(model.fake_condition(batch)), 1)


def test_conditions_may_be_vectors_and_images():
    """Projection embeds a vector or a flattened image; concatenation leads an image to the networks as it is."""
    x = np.zeros((4, 8, 8, 1), "float32")
    for kind, shape in (("projection", (2,)), ("projection", (8, 8, 1)), ("concatenation", (8, 8, 1))):
        model = ConditionalGAN((8, 8, 1), 2, condition=kind, condition_shape=shape, seed=0)
        model.compile("sgd", run_eagerly=EAGER)
        model.train_on_batch(x, np.ones((4, *shape), "float32"))
        assert model.sample(2, np.ones(shape, "float32"), seed=0).shape == (2, 8, 8, 1)


# InfoGAN.


def test_the_losses_of_infogan():
    """Both players' losses and the bound L, computed from the weights with SciPy's normal density."""
    model, x = make("infogan"), data("infogan", 6)[0]
    rng = np.random.default_rng(0)
    code = model.make_code(6, np.stack([rng.integers(0, 4, 6), rng.integers(0, 2, 6)], 1), rng.uniform(-1, 1, (6, 2)))
    z = np.concatenate([rng.normal(size=(6, LATENT_DIM)), code], axis=1).astype("float32")
    model.draw = lambda *_: ops.convert_to_tensor(z)
    (_, real), (h, fake) = dense(model.discriminator, x), dense(model.discriminator, numbers(model.fake(*tensors(z))))
    w, b = map(numbers, model.recognition.weights)
    q = h @ w + b
    labels = sum((log_softmax(q[:, i]) * code[:, i]).sum(axis=1) for i in (slice(0, 4), slice(4, 6))) + np.log(8.0)
    scale = 0.05 + softplus(q[:, 8:])
    log_q = scipy.stats.norm.logpdf(code[:, 6:], q[:, 6:8], scale).sum(axis=1) + 2 * np.log(2.0)
    r = -labels - 0.1 * log_q
    batch = Batch(*tensors(x))
    found = model.discriminator_terms(batch)
    np.testing.assert_allclose(numbers(found["information"]), labels + log_q, rtol=0, atol=2e-5)
    np.testing.assert_allclose(numbers(found["loss"]), softplus(-real) + softplus(fake) + r, rtol=0, atol=2e-5)
    np.testing.assert_allclose(numbers(model.generator_terms(batch)["loss"]), softplus(-fake) + r, rtol=0, atol=2e-5)


def test_the_bound_of_infogan_is_the_mutual_information_for_the_true_posterior():
    """Of y that tells the label through a channel of known error, L with q = p(c | y) is I(c; y), else less."""
    model = InfoGAN((2,), 2, categorical=(4,), continuous=0, seed=0)
    error, n = 0.2, 20000
    rng = np.random.default_rng(0)
    c = rng.integers(0, 4, n)
    y = np.where(rng.uniform(size=n) < error, (c + rng.integers(1, 4, n)) % 4, c)
    p = np.where(np.eye(4), 1 - error, error / 3)
    exact = np.log(4.0) + np.sum(p[0] * np.log(p[0]))
    bounds = []
    for q in (p, np.where(np.eye(4), 0.6, 0.4 / 3)):
        table = ops.convert_to_tensor(np.log(q).astype("float32"))
        model.read = lambda y, table=table: ([ops.take(table, y, axis=0)], None, None)
        bounds.append(numbers(model.information(*tensors(np.eye(4, dtype="float32")[c], y.astype("int32")))[0]).mean())
    assert bounds[0] == pytest.approx(exact, abs=0.03)  # of 20,000 draws of standard deviation 1.0
    assert bounds[1] < bounds[0] - 0.05


def test_the_code_of_infogan_becomes_readable():
    """On digits the bound of a label rises from nothing to most of log K, and most labels are recovered."""
    model = ADVERSARIAL["infogan"].make(categorical=(4,), continuous=0, seed=0)
    model.compile(keras.optimizers.Adam(5e-3, beta_1=0.5))
    history = fit(model, "infogan", n=512, epochs=8)
    assert history["information"][0] < 0.7 and history["information"][-1] > 1.0  # log 4 = 1.39
    assert history["code_accuracy"][-1] > 0.8


def test_codes_are_varied_with_the_rest_kept():
    """`sample` is `sample_code` of its own codes; a traversal passes through it where the varied part is its own."""
    model = played("infogan")[0]
    codes = numbers(model.codes(random.split(random.keys(3, 5), 2)[1]))
    assert set(codes[:, :6].reshape(-1)) == {0.0, 1.0} and (np.abs(codes[:, 6:]) <= 1).all()
    x = model.sample(5, seed=3)
    np.testing.assert_allclose(model.sample_code(codes, seed=3), x, rtol=0, atol=1e-6)
    varied = model.traverse(5, label=0, seed=3)
    np.testing.assert_allclose(varied[np.arange(5), codes[:, :4].argmax(axis=1)], x, rtol=0, atol=1e-6)
    assert model.traverse(2, number=1, steps=3, seed=3).shape == (2, 3, 8, 8, 1)


# GANs with an encoder.


def mlp(network, x):
    """A dense encoder with one hidden layer of tanh, in numpy."""
    w, b = map(numbers, network.blocks[0].linear.weights)
    return np.tanh(x.reshape(len(x), -1) @ w + b)


def affine(layer, x):
    w, b = map(numbers, layer.weights)
    return x @ w + b


@pytest.mark.parametrize("loss", ["non_saturating", "least_squares", "wasserstein", "relativistic"])
def test_the_discriminator_of_bigan_sees_pairs(loss):
    """Its scores are those of (x, E(x)) and (G(z), z), and each player's loss is that of the game; by numpy."""
    model, x = make("bigan", loss=loss, penalties=[], clip=1.0), data("bigan", 6)[0]
    z = fixed(model, 6)
    flat = [x.reshape(6, -1), affine(model.to_code, mlp(model.encoder, x))], [numbers(model.fake(*tensors(z))), z]
    pairs = [np.concatenate([a.reshape(6, -1), b], axis=1) for a, b in flat]
    real, fake = (dense(model.discriminator, pair)[1] for pair in pairs)
    expected = {
        "non_saturating": (softplus(-real) + softplus(fake), softplus(-fake), softplus(real)),
        "least_squares": (0.5 * (real - 1) ** 2 + 0.5 * fake**2, 0.5 * (fake - 1) ** 2, 0.5 * real**2),
        "wasserstein": (fake - real, -fake, real),
        "relativistic": (softplus(fake - real), softplus(real - fake), softplus(real - fake)),
    }[loss]
    batch = Batch(*tensors(x))
    all_terms = model.discriminator_terms, model.generator_terms, model.encoder_terms
    for terms, value in zip(all_terms, expected, strict=True):
        np.testing.assert_allclose(numbers(terms(batch)["loss"]), value, rtol=0, atol=1e-5)


def test_bigan_trains_on_batches_of_any_size():
    """A last batch that is smaller, whose size a compiled step does not know in advance."""
    model = make("bigan")
    model.compile("adam")
    assert np.isfinite(fit(model, "bigan", n=BATCH + 9)["encoder_loss"]).all()


def test_the_penalty_of_bigan_is_of_the_pair():
    """R1 is half the squared gradient in x and in z, that of a one-layer network by hand."""
    model, x = make("bigan"), data("bigan", 6)[0]
    terms = model.discriminator_terms(Batch(*tensors(x)))
    (w, b), (out, _) = (map(numbers, block.linear.weights) for block in model.discriminator.blocks)
    pairs = np.concatenate([x.reshape(6, -1), affine(model.to_code, mlp(model.encoder, x))], axis=1)
    gradient = (np.where(pairs @ w + b > 0, 1.0, 0.2) * out[:, 0]) @ w.T
    assert gradient.shape == (6, 64 + LATENT_DIM)
    np.testing.assert_allclose(numbers(terms["r1"]), 0.05 * (gradient**2).sum(axis=1), rtol=0, atol=1e-5)


def test_the_losses_of_a_vae_gan():
    """KL, feature error and the games of reconstructions and samples, by numpy."""
    model, x = make("vae_gan", gamma=0.3), data("vae_gan", 6)[0]
    z = fixed(model, 6)
    q = model.posterior(*tensors(x))
    mean, scale = numbers(q.mean()), numbers(q.scale)
    kl = 0.5 * (scale**2 + mean**2 - 1 - 2 * np.log(scale)).sum(axis=1)
    y, fake = (numbers(model.fake(*tensors(code.astype("float32")))) for code in (mean + scale * z, z))
    (f, real), (f_y, score), (_, fake_score) = (dense(model.discriminator, t) for t in (x, y, fake))
    error = 0.5 * ((f - f_y) ** 2).sum(axis=1)
    batch = Batch(*tensors(x))
    expected = {
        model.encoder_terms: kl + error,
        model.generator_terms: 0.3 * error + 0.5 * (softplus(-score) + softplus(-fake_score)),
        model.discriminator_terms: softplus(-real) + 0.5 * (softplus(score) + softplus(fake_score)),
    }
    for terms, value in expected.items():
        np.testing.assert_allclose(numbers(terms(batch)["loss"]), value, rtol=1e-5, atol=1e-5)


def test_the_losses_of_an_adversarial_autoencoder():
    """Reconstruction and the game of codes against draws of the prior, by numpy."""
    model, x = make("adversarial_autoencoder", weight=0.7), data("adversarial_autoencoder", 6)[0]
    prior = np.random.default_rng(0).normal(size=(6, LATENT_DIM)).astype("float32")
    model.prior_draw = lambda *_: ops.convert_to_tensor(prior)
    code = affine(model.to_code, mlp(model.encoder, x))
    real, fake = (dense(model.discriminator, t)[1] for t in (prior, code))
    batch = Batch(*tensors(x))
    found = numbers(model.discriminator_terms(batch)["loss"])
    np.testing.assert_allclose(found, softplus(-real) + softplus(fake), rtol=0, atol=1e-5)
    error = ((x - numbers(model.decoded(*tensors(code)))) ** 2).sum(axis=(1, 2, 3))
    found = numbers(model.autoencoder_terms(batch)["loss"])
    np.testing.assert_allclose(found, error + 0.7 * softplus(-fake), rtol=1e-5, atol=1e-5)


def test_codes_of_an_adversarial_autoencoder_follow_a_mixture():
    """The prior has two modes at -2 and 2: nearly all draws, and so the decoder's input, lie within 4 deviations."""
    model = played("adversarial_autoencoder")[0]
    z = numbers(model.prior_draw(random.keys(0, 200)))
    near = np.abs(np.abs(z) - 2.0).max(axis=1) < 4 * 0.5
    assert near.all() and 60 < (z[:, 0] > 0).sum() < 140 and (np.sign(z) == np.sign(z[:, :1])).all()
    np.testing.assert_allclose(numbers(model.generate(random.keys(0, 4))), model.sample(4, seed=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["bigan", "vae_gan", "adversarial_autoencoder"])
def test_there_and_back(name):
    """`model(x)`, `predict`, `reconstruct` and decode of encode are one; a line begins and ends at reconstructions."""
    model, x = played(name)[0], data(name, 4)[0]
    reconstruction = model.reconstruct(x)
    assert model.encode(x).shape == (4, LATENT_DIM) and reconstruction.shape == x.shape
    np.testing.assert_allclose(numbers(model(x)), reconstruction, rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.decode(model.encode(x)), reconstruction, rtol=0, atol=1e-5)
    line = model.interpolate(x[:2], x[2:], 3)
    ends = np.stack([reconstruction[:2], reconstruction[2:]], axis=1)
    np.testing.assert_allclose(line[:, [0, 2]], ends, rtol=0, atol=1e-5)


# LAPGAN.


def test_the_pyramid_reconstructs_exactly():
    """I_k = l_k + h_k for each level, with l_k = up(down(I_k)), from the coarsest image to the data."""
    x = np.random.default_rng(0).uniform(size=(3, 16, 24, 2)).astype("float32")
    details, image = pyramid(*tensors(x), levels=3)
    assert tuple(image.shape) == (3, 2, 3, 2)
    for detail, coarse in reversed(details):
        np.testing.assert_allclose(numbers(enlarged(image)), numbers(coarse), rtol=0, atol=1e-6)
        image = coarse + detail
    np.testing.assert_allclose(numbers(image), x, rtol=0, atol=1e-6)
    means = x.reshape(3, 8, 2, 12, 2, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(numbers(details[0][1]), doubled(doubled(means, 1), 2), rtol=0, atol=1e-5)


def doubled(x, axis):
    """Bilinear interpolation to twice the size along an axis: 3/4 of the nearest pixel, 1/4 of the next one."""
    x = np.moveaxis(x, axis, 0)
    before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
    pairs = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=1)
    return np.moveaxis(pairs.reshape(-1, *x.shape[1:]), 0, axis)


def test_the_discriminators_of_lapgan_see_details():
    """Level 0's scores are those of (h_0, l_0) and of the fake detail with the same l_0; the losses by numpy."""
    model, x = make("lapgan"), data("lapgan", 6)[0]
    gan, (part, _) = model.gans[0], model.batches(*tensors(x))
    gan._turn = ops.convert_to_tensor(1)
    z = fixed(gan, 6)
    coarse = numbers(part.condition)
    np.testing.assert_allclose(numbers(part.x) + coarse, x, rtol=0, atol=1e-6)
    fake = numbers(gan.fake(*tensors(z), part.condition, training=True))
    real, score = (
        dense(gan.discriminator, np.concatenate([h.reshape(6, -1), coarse.reshape(6, -1)], axis=1))[1]
        for h in (numbers(part.x), fake)
    )
    np.testing.assert_allclose(numbers(gan.generator_terms(part)["loss"]), softplus(-score), rtol=0, atol=1e-5)
    terms = gan.discriminator_terms(part)
    loss = numbers(terms["loss"]) - numbers(terms["r1"])
    np.testing.assert_allclose(loss, softplus(-real) + softplus(score), rtol=0, atol=1e-5)


def test_a_sample_of_lapgan_goes_from_coarse_to_fine():
    """x_k = up(x_(k+1)) + G_k(z_k, up(x_(k+1))), each level's noise from a key of its own."""
    model = played("lapgan")[0]
    keys = random.keys(3, 4)
    coarse = enlarged(model.gans[1].generate(random.fold_in(keys, 1)))
    detail = model.gans[0].generate(random.fold_in(keys, 0), coarse)
    expected = np.clip(numbers(coarse + detail), 0.0, 1.0)
    np.testing.assert_allclose(model.sample(4, seed=3), expected, rtol=0, atol=1e-5)


WRONG = [
    ("labels missing", lambda: labelled_model().fit(X, verbose=0), r"Expected y.*\[0, 3\)"),
    ("one class in the data", lambda: labelled_model().fit(X, np.ones(6), verbose=0), "one class only"),
    ("one class", lambda: ConditionalGAN((2,), num_classes=1), "one class only"),
    ("no condition", lambda: ConditionalGAN((2,)), "num_classes.*neither"),
    ("unknown way", lambda: ConditionalGAN((2,), num_classes=3, condition="project"), "condition.*project"),
    ("a classifier of vectors", lambda: ConditionalGAN((2,), condition="auxiliary", condition_shape=(2,)), "labels"),
    ("probabilities", lambda: ConditionalGAN((2,), num_classes=3, class_probabilities=[0.5, 0.6, 0.2]), "sum 1"),
    ("too few", lambda: ConditionalGAN((2,), num_classes=3, class_probabilities=[0.5, 0.5]), "num_classes=3"),
    ("a negative weight", lambda: ConditionalGAN((2,), num_classes=3, class_weight=-1), "class_weight.*-1"),
    (
        "penalties at fakes of other labels",
        lambda: ConditionalGAN((2,), num_classes=2, class_probabilities=[0.5, 0.5], penalties=losses.R2()),
        "R1.*DRAGAN",
    ),
    (
        "no features",
        lambda: ConditionalGAN((2,), num_classes=2, discriminator=keras.Sequential([keras.layers.Dense(1)])),
        "features.*Sequential",
    ),
]
WRONG += [
    ("no code", lambda: InfoGAN((2,), categorical=(), continuous=0), "a code"),
    ("a label of one value", lambda: InfoGAN((2,), categorical=(1,)), "2 values"),
    ("a condition of InfoGAN", lambda: InfoGAN((2,), num_classes=3), "no condition"),
    ("a label out of range", lambda: InfoGAN((2,)).make_code(2, labels=[10]), "below"),
    ("a traversal of nothing", lambda: InfoGAN((2,)).traverse(2), "either `label` or `number`"),
    ("a number that is not there", lambda: InfoGAN((2,)).traverse(2, number=2), "below.*'number': 2"),
]
WRONG += [
    ("a condition of BiGAN", lambda: BiGAN((2,), num_classes=3), "no condition"),
    ("a gamma of zero", lambda: VAEGAN((2,), gamma=0.0), "gamma"),
    ("features of a VAE-GAN", lambda: VAEGAN((2,), discriminator=MLP((8,), output_units=1)), "features.*MLP"),
    ("a prior of another size", lambda: AdversarialAutoencoder((4,), 2, prior=wide_prior()), r"over \(2,\).*\(3,\)"),
    ("no prior", lambda: AdversarialAutoencoder((4,), prior="normal"), "prior.*str"),
    ("a relativistic game of codes", lambda: AdversarialAutoencoder((4,), loss="relativistic"), "relativistic"),
    ("a side that is not divided", lambda: LAPGAN((28, 28, 1), levels=3), r"2\^levels = 8"),
    ("a pyramid of vectors", lambda: LAPGAN((16,)), "images"),
    ("GANs of other shapes", lambda: LAPGAN((8, 8, 1), levels=1, gans=[GAN((8, 8, 1)), GAN((4, 4, 1))]), "gans"),
    ("bounds", lambda: LAPGAN((8, 8, 1), levels=1, bounds=(1, 0)), "bounds"),
    ("a step of its own", lambda: LAPGAN((16, 16, 1), levels=1, gans=stepping()), "training step.*ProgressiveGAN"),
    ("the latents of InfoGAN", lambda: InfoGAN((2,), latent_dim=3), "noise_dim"),
    ("a network that is none", lambda: GAN((2,), discriminator="dcgan"), "Keras layer"),
    ("an average of half precision", lambda: GAN((2,), dtype="bfloat16"), "mixed_bfloat16"),
    ("a condition left out", lambda: one_sided(), "two inputs"),
    ("a code that is not finite", lambda: InfoGAN((2,)).make_code(2, numbers=[np.nan, 0.0]), "finite|NaN"),
    ("a noise before the first", lambda: coded(noise=[0, -1]), "integers >= 0"),
    ("a noise that is no index", lambda: coded(noise=[0.0, 1.0]), "integers >= 0"),
    ("a target below zero", lambda: losses.GradientPenalty(target=-3.0), "target"),
    ("a side in words", lambda: losses.GradientPenalty(one_sided="no"), "one_sided"),
    ("a mean that grows", lambda: MappingNetwork(4, decay=2.0), "decay"),
    ("a grid without labels", lambda: labelled_model().fit(X, [0, 1, 2] * 2, callbacks=[SampleGrid("grid")]), "y, the"),
    ("labels one-hot", lambda: labelled_model().fit(X, np.eye(3)[[0, 1, 2] * 2]), "argmax"),
]
X = np.linspace(0.0, 1.0, 12, dtype="float32").reshape(6, 2)


def coded(**kwargs):
    model = InfoGAN((2,))
    return model.sample_code(model.make_code(2), **kwargs)


def stepping():
    """A pyramid's GANs of which one grows."""
    shape = (16, 16, 1)
    return [GAN(shape, 2, condition_shape=shape, penalties=losses.R1()), ProgressiveGAN((8, 8, 1), 2)]


def one_sided():
    """A discriminator of one input beside labels."""
    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    return ConditionalGAN((2,), num_classes=3, condition="concatenation", discriminator=discriminator)


def wide_prior():
    return Normal(np.zeros(3, "float32"), 1.0, event_shape=(3,))


@functools.cache
def labelled_model():
    model = ConditionalGAN((2,), num_classes=3, seed=0)
    model.compile("sgd")
    return model


@pytest.mark.parametrize("call, words", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_said(call, words):
    """`ValueError` before any compute, with what was expected."""
    with pytest.raises(ValueError, match=words):
        call()
