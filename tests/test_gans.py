"""The laws of adversarial models, for every one of the registry `cases.py`, and the formulas of each family."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import random
from keras_gen.callbacks import ExactResume
from keras_gen.models import WGAN, WGANGP
from keras_gen.models.players import player_variables
from tests.cases import ADVERSARIAL

BATCH = 32
EAGER = keras.config.backend() == "tensorflow"  # its graphs do not give the same bits twice


def make(name, **kwargs):
    keras.utils.set_random_seed(1)
    return ADVERSARIAL[name].make(**{"seed": 2, **kwargs})


def compiled(name, optimizer=None, eager=False, **kwargs):
    model = make(name, **kwargs)
    model.compile(optimizer or keras.optimizers.Adam(1e-3), run_eagerly=eager)
    return model


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def data(name, n):
    x, y = ADVERSARIAL[name].data(n)
    return (x,) if y is None else (x, y)


def fit(model, name, n=2 * BATCH, epochs=1, **kwargs):
    return model.fit(*data(name, n), batch_size=BATCH, epochs=epochs, seed=3, verbose=0, **kwargs).history


def state(model):
    metrics = {id(v) for v in model.metrics_variables}
    return [numbers(v) for v in [*model.variables, *model.optimizer.variables] if id(v) not in metrics]


def assert_all_equal(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def moves(name):
    """Of one eager step: (player, paths of its variables, paths of all that moved) of each turn."""
    model, turns = compiled(name, eager=True), []
    minimize = model.minimize

    def watched(fn, player=None, batch=None):
        before = {v.path: numbers(v) for v in model.trainable_variables}
        logs = minimize(fn, player, batch)
        moved = {v.path for v in model.trainable_variables if np.abs(numbers(v) - before[v.path]).max() > 0}
        assert all(np.isfinite(numbers(v)).all() for v in model.trainable_variables)
        turns.append((player, {v.path for v in player_variables(player, model.players[player])}, moved))
        return logs

    model.minimize = watched
    fit(model, name, n=BATCH)
    return turns


def constant_of_the_game(name, path):
    """The bias of a Wasserstein critic's score: E D(x) - E D(y) does not depend on it."""
    return name.startswith("wgan") and path.endswith("output/linear/bias")


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_a_turn_moves_all_that_is_its_players_and_nothing_else(name):
    """Every variable of the player gets a finite gradient that is not zero; Adam leaves the others where they are."""
    turns = moves(name)
    assert {player for player, _, _ in turns} == set(make(name).players)
    for player, own, moved in turns:
        idle = {path for path in own if constant_of_the_game(name, path)}
        assert own - idle <= moved <= own, player


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_a_sample_depends_on_its_key_alone(name):
    """Row i of `generate` is a function of key i and condition i; samples differ."""
    model = make(name)
    condition = data(name, 5)[1:]
    keys = ops.convert_to_tensor(random.keys(3, 5))
    whole = numbers(model.generate(keys, *condition))
    part = numbers(model.generate(keys[2:4], *(c[2:4] for c in condition)))
    assert whole.shape == (5, *model.event_shape) and np.abs(whole[0] - whole[1]).max() > 1e-4
    np.testing.assert_allclose(whole[2:4], part, rtol=0, atol=1e-5)


class Interrupt(keras.callbacks.Callback):
    """Stops the training before its n-th step, once."""

    def __init__(self, n):
        super().__init__()
        self.left = n

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise InterruptedError


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_an_interrupted_and_a_saved_game_go_on_with_the_same_bits(name, tmp_path):
    """Stopped in its second epoch and begun again it ends with the bits of the whole; saved and loaded it goes on so."""
    whole = compiled(name, eager=EAGER)
    fit(whole, name, epochs=2, callbacks=[Interrupt(100)])
    with pytest.raises(InterruptedError):
        fit(compiled(name, eager=EAGER), name, epochs=2, callbacks=[ExactResume(tmp_path, every_steps=1), Interrupt(3)])
    resumed = compiled(name, eager=EAGER)
    fit(resumed, name, epochs=2, callbacks=[ExactResume(tmp_path, every_steps=1), Interrupt(100)])
    assert_all_equal(state(whole), state(resumed))
    resumed.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    condition = data(name, 3)[1:]
    np.testing.assert_array_equal(*(m.sample(3, *condition, seed=1) for m in (whole, loaded)))
    np.testing.assert_array_equal(*(numbers(m(*data(name, 3))) for m in (whole, loaded)))
    assert fit(whole, name) == fit(loaded, name)
    assert_all_equal(state(whole), state(loaded))


@functools.cache
def evaluated(name):
    model = compiled(name)
    history = fit(model, name)
    return model, history, model.evaluate(*data(name, 40), verbose=0, return_dict=True)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_training_and_evaluation_log_finite_numbers(name):
    """`fit` logs a loss a player, `evaluate` the same and `loss`; sampling moves no state."""
    model, history, found = evaluated(name)
    losses = {f"{player}_loss" for player in model.players}
    assert losses <= set(history) and losses | {"loss"} <= set(found)
    assert np.isfinite([*found.values(), *(v for values in history.values() for v in values)]).all()
    before = state(model)
    model.sample(3, *data(name, 3)[1:])
    assert_all_equal(before, state(model))


# Recipes.


def test_the_weights_of_wgan_are_clipped_after_each_step():
    """All weights of the critic lie in [-clip, clip], those that moved most at its ends."""
    model = compiled("wgan", keras.optimizers.RMSprop(5e-2))
    fit(model, "wgan")
    largest = [np.abs(numbers(v)).max() for v in model.discriminator.trainable_variables]
    assert max(largest) == np.float32(0.01)


def test_recipes_are_the_papers():
    """Defaults: objective, steps, clip, penalty, no average; any of them can be changed."""
    wgan, wgan_gp = WGAN((2,)), WGANGP((2,), discriminator_steps=3)
    assert (wgan.loss_name, wgan.clip, wgan.discriminator_steps, wgan.average) == ("wasserstein", 0.01, 5, None)
    assert (wgan_gp.loss_name, wgan_gp.discriminator_steps, wgan_gp.penalties[0].weight) == ("wasserstein", 3, 10.0)
    images = WGANGP((28, 28, 1))
    assert images.discriminator.normalization is None
    assert type(make("dcgan")).from_config(make("dcgan").get_config()).loss_name == "non_saturating"
