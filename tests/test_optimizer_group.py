"""The laws of `OptimizerGroup`: several optimizers that Keras sees as one, each of them a player's own."""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from keras_gen.backend import OptimizerGroup
from keras_gen.models import GenerativeModel

X = np.ones((8, 2), "float32")
# Before 3.15, Keras's callbacks know one learning rate a model: the group scales every player's with it.
OLD = tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15)


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


@keras.saving.register_keras_serializable(package="keras_gen_tests")
class Duel(GenerativeModel):
    """Two players that pull two vectors to the data, `b` with `pull` times the gradient of `a`."""

    def __init__(self, event_shape=(2,), pull=2.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.pull = pull
        self.a = self.add_weight(shape=self.event_shape, initializer="zeros", name="a")
        self.b = self.add_weight(shape=self.event_shape, initializer="zeros", name="b")

    @property
    def players(self):
        return {"zeta": [self.a], "alpha": [self.b]}

    def distance(self, v, x):
        return 0.5 * ops.sum((ops.cast(v, "float32") - ops.cast(x, "float32")) ** 2, axis=-1)

    def update(self, batch):
        logs = self.minimize(lambda: self.distance(self.a, batch.x), "zeta")
        return logs | self.minimize(lambda: self.pull * self.distance(self.b, batch.x), "alpha")

    def objective(self, x, condition=None, training=False):
        return {"loss": self.distance(self.a, x) + self.distance(self.b, x)}

    def call(self, x, training=False):
        return x - self.a

    def get_config(self):
        return {**super().get_config(), "pull": self.pull}


def adam(rate=0.1, **kwargs):
    return keras.optimizers.Adam(rate, **kwargs)


def sgd(rate=0.1, **kwargs):
    return keras.optimizers.SGD(rate, **kwargs)


def duel(zeta, alpha, **kwargs):
    model = Duel(**kwargs)
    model.compile({"zeta": zeta, "alpha": alpha})
    return model


def fit(model, epochs=1, **kwargs):
    return model.fit(X, batch_size=4, epochs=epochs, verbose=0, shuffle=False, **kwargs).history


def moments(optimizer):
    return [numbers(v) for v in optimizer.variables]


def assert_state_equal(one, two):
    for p, q in zip(one.variables, two.variables, strict=True):
        np.testing.assert_array_equal(numbers(p), numbers(q), err_msg=p.path)
    for player in one.optimizer.players:
        for p, q in zip(one.optimizer[player].variables, two.optimizer[player].variables, strict=True):
            np.testing.assert_array_equal(numbers(p), numbers(q), err_msg=f"{player}: {p.path}")


# What the group is.


def test_players_are_sorted_and_optimizers_unwrapped_and_named():
    """Whatever the order given: players sorted, `.optimizers` in that order, each named by its player."""
    group = OptimizerGroup({"zeta": keras.optimizers.LossScaleOptimizer(adam(0.1)), "alpha": sgd(0.2)})
    assert group.players == ("alpha", "zeta")
    assert [type(o).__name__ for o in group.optimizers] == ["SGD", "Adam"]
    assert [o.name for o in group.optimizers] == ["alpha", "zeta"]
    assert group["zeta"] is group.optimizers[1]
    assert isinstance(group.member("zeta"), keras.optimizers.LossScaleOptimizer)


def test_variables_are_those_of_all():
    """The group's: each player's once, one counter, the record of losses; never a weight (donated twice on JAX)."""
    model = duel(adam(), adam())
    ids = [id(v) for v in model.optimizer.variables]
    assert len(ids) == len(set(ids)) == 2 + sum(len(o.variables) for o in model.optimizer.optimizers)
    assert {id(v) for o in model.optimizer.optimizers for v in o.variables} < set(ids)
    assert not set(ids) & {id(v) for v in model.trainable_variables}


def test_a_step_is_each_players_own():
    """One step on constant data: a <- a + rate_a (1 - a), b <- b + 2 rate_b (1 - b); the group counts it once."""
    model = duel(zeta=sgd(0.1), alpha=sgd(0.2))
    model.fit(X, batch_size=8, epochs=1, verbose=0)
    np.testing.assert_allclose(numbers(model.a), [0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(numbers(model.b), [0.4, 0.4], rtol=1e-6)
    assert int(numbers(model.optimizer.iterations)) == 1


@keras.saving.register_keras_serializable(package="keras_gen_tests")
class Alone(Duel):
    """The same with one player that moves everything."""

    players = GenerativeModel.players
    update = GenerativeModel.update


def test_a_single_optimizer_goes_through_the_same_group():
    """One optimizer, by instance or by name: a group with one player, whose optimizer keeps its own name."""
    model = Alone()
    model.compile(adam(0.3, name="mine"))
    assert isinstance(model.optimizer, OptimizerGroup) and len(model.optimizer.optimizers) == 1
    assert model.optimizer.optimizers[0].name == "mine"
    assert float(numbers(model.optimizer.learning_rate)) == pytest.approx(0.3)
    assert "loss" in fit(model)
    model.compile("sgd")
    assert type(model.optimizer.optimizers[0]).__name__ == "SGD"


def test_one_configuration_gives_each_player_a_copy():
    """`compile(optimizer=Adam(...))` on a game: an Adam of its own, with that rate, for each player."""
    model = Duel()
    model.compile(adam(0.05))
    first, second = model.optimizer.optimizers
    assert first is not second
    assert [float(numbers(o.learning_rate)) for o in (first, second)] == pytest.approx([0.05, 0.05])


# What is refused.


def shared():
    one = adam()
    return {"zeta": one, "alpha": one}


def used():
    other = adam()
    other.build([keras.Variable(np.zeros(3, "float32"))])
    return {"zeta": other, "alpha": adam()}


REFUSED = {
    "unknown player": (
        lambda: {"zeta": adam(), "alpha": adam(), "referee": adam()},
        "unknown player.*referee",
    ),
    "missing player": (lambda: {"zeta": adam()}, "Missing.*alpha"),
    "one instance for two": (shared, "one instance for several"),
    "built elsewhere": (used, "built with other variables"),
    "empty": (dict, "Missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_compile(case):
    """Each wrong choice of optimizers is a ValueError that names it."""
    optimizers, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        Duel().compile(optimizers())


def test_an_unknown_player_in_minimize_is_refused():
    """`minimize` with a name that no player has, or without one in a game, says which there are."""
    model = duel(adam(), adam())
    for player in ("referee", None):
        with pytest.raises(ValueError, match="alpha.*zeta"):
            model.minimize(lambda: ops.zeros((2,)), player)


# Saving.


@pytest.fixture(scope="module")
def trained():
    """A duel of two Adams with different rates and averages, three epochs old."""
    keras.utils.set_random_seed(0)
    model = duel(zeta=adam(0.1, use_ema=True, ema_momentum=0.9), alpha=adam(0.02))
    fit(model, epochs=3)
    return model


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("group") / "duel.keras"
    trained.save(path)
    return path


def test_load_restores_every_state(trained, saved):
    """A loaded model has the compile state, weights, both Adams and averages; warnings are errors here."""
    loaded = keras.saving.load_model(saved)
    assert loaded.compiled and loaded.optimizer.players == ("alpha", "zeta")
    assert loaded.optimizer["zeta"].use_ema and not loaded.optimizer["alpha"].use_ema
    assert int(numbers(loaded.optimizer["zeta"].iterations)) == 6
    assert_state_equal(loaded, trained)


def test_the_two_adams_differ(trained):
    """The test above could not see a swap if the states were equal: they are not."""
    alpha, zeta = (moments(o) for o in trained.optimizer.optimizers)
    assert not np.allclose(alpha[2], zeta[2])


def test_optimizers_in_another_order_load_alike(trained, saved):
    """Weights loaded into a model compiled with the players in another order: no state is swapped."""
    path = saved.with_suffix(".weights.h5")
    trained.save_weights(path)
    model = Duel()
    model.compile({"alpha": adam(0.02), "zeta": adam(0.1, use_ema=True, ema_momentum=0.9)})
    model.load_weights(path)
    assert_state_equal(model, trained)


def test_state_is_saved_once(saved):
    """The file holds as many optimizer values as the optimizers have, under one heading."""
    sizes = {}
    with zipfile.ZipFile(saved) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: sizes.update({name: item.size} if hasattr(item, "size") else {}))
    optimizer = {name: size for name, size in sizes.items() if "optimizer" in name}
    # Two Adams: counter, rate and two moments of 2; an average of 2; the group's counter.
    assert sum(optimizer.values()) == 2 * (1 + 1 + 2 * 2) + 2 + 1, optimizer
    assert len({name.split("/")[0] for name in optimizer}) == 1


def test_a_file_of_other_optimizers_is_refused(trained):
    """State of other players, or of another kind of optimizer, is a ValueError, never dropped in silence."""
    store = {}
    trained.optimizer.save_own_variables(store)
    other = duel(sgd(), adam()).optimizer
    with pytest.raises(ValueError, match="Expected the state of the players"):
        other.load_own_variables(store)


def test_compile_config_round_trip(trained):
    """`get_compile_config` and `compile_from_config` restore players, rates and settings."""
    model = Duel()
    model.compile_from_config(trained.get_compile_config())
    rates = [float(numbers(o.learning_rate)) for o in model.optimizer.optimizers]
    assert rates == pytest.approx([0.02, 0.1])
    assert model.get_compile_config() == trained.get_compile_config()


# Callbacks.


def test_learning_rate_scheduler_acts_on_each_player():
    """Halved each epoch, each from its own rate; logged by player."""
    model = duel(zeta=sgd(0.4), alpha=sgd(0.1))
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    history = fit(model, epochs=2, callbacks=[halve])
    assert [float(numbers(o.learning_rate)) for o in model.optimizer.optimizers] == pytest.approx([0.025, 0.1])
    if OLD:
        return
    assert history["learning_rate_zeta"] == pytest.approx([0.2, 0.1])
    assert history["learning_rate_alpha"] == pytest.approx([0.05, 0.025])


def test_reduce_lr_on_plateau_acts_on_each_player():
    """A loss that no longer falls divides each player's rate by ten."""
    model = duel(zeta=sgd(0.4), alpha=sgd(0.1))
    callback = keras.callbacks.ReduceLROnPlateau("zeta_loss", factor=0.1, patience=1, min_delta=1e6, mode="min")
    fit(model, epochs=2, callbacks=[callback])
    assert [float(numbers(o.learning_rate)) for o in model.optimizer.optimizers] == pytest.approx([0.01, 0.04])


@pytest.mark.skipif(OLD, reason="SwapEMAWeights knows one optimizer before Keras 3.15, and says so")
def test_swap_ema_weights_acts_on_the_players_that_average():
    """During validation the averaging player holds its average, the other its own weights."""
    model = duel(zeta=sgd(0.1, use_ema=True, ema_momentum=0.5), alpha=sgd(0.1))
    seen = []

    class Look(keras.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            self.model.synchronize()

        def on_test_begin(self, logs=None):
            seen.append((numbers(self.model.a)[0], numbers(self.model.b)[0]))

    fit(model, callbacks=[keras.callbacks.SwapEMAWeights(), Look()], validation_data=X)
    # a: 0, 0.1, 0.19; its average begins at the first value that it sees.
    raw, average = 0.0, 0.0
    for step in range(2):
        raw += 0.1 * (1 - raw)
        average = raw if step == 0 else 0.5 * average + 0.5 * raw
    assert seen[0][0] == pytest.approx(average, rel=1e-5)
    assert seen[0][1] == pytest.approx(1 - 0.8**2, rel=1e-5)


def test_setting_the_groups_rate_keeps_the_ratio():
    """`optimizer.learning_rate = r` sets the first player's and scales the others alike."""
    group = duel(zeta=sgd(0.4), alpha=sgd(0.1)).optimizer
    group.learning_rate = 0.05
    assert [float(numbers(o.learning_rate)) for o in group.optimizers] == pytest.approx([0.05, 0.2])


def test_averages_end_in_the_weights_as_copies():
    """With `use_ema`, fit ends with the average in the weights, as a copy: a second fit runs on from there."""
    model = duel(zeta=sgd(0.1, use_ema=True, ema_momentum=0.5), alpha=sgd(0.1))
    fit(model)
    average = model.optimizer["zeta"]._model_variables_moving_average[0]
    np.testing.assert_allclose(numbers(model.a), numbers(average))
    assert model.a.value is not average.value
    fit(model)
    assert np.isfinite(numbers(model.a)).all()
    np.testing.assert_allclose(numbers(model.b), 1 - 0.8**4 * np.ones(2), rtol=1e-5)


# Loss scaling.


def scaled(model, player):
    return float(numbers(model.optimizer.member(player).dynamic_scale))


@pytest.fixture(scope="module")
def half():
    """A duel in mixed_float16, whose player alpha overflows in the first step (its scaled loss is beyond float32)."""
    keras.utils.set_random_seed(0)
    model = duel(zeta=sgd(0.1), alpha=sgd(0.1), dtype="mixed_float16", pull=1e36)
    model.fit(X, batch_size=8, epochs=1, verbose=0)
    return model


def test_each_player_has_its_own_loss_scale(half):
    """mixed_float16 wraps each player once, and Keras adds no wrapper around the group."""
    assert isinstance(half.optimizer, OptimizerGroup)
    for player in half.optimizer.players:
        member = half.optimizer.member(player)
        assert isinstance(member, keras.optimizers.LossScaleOptimizer)
        assert not isinstance(member.inner_optimizer, keras.optimizers.LossScaleOptimizer)


def test_an_overflow_touches_its_player_alone(half):
    """The overflow halves alpha's scale and skips its step; zeta steps with its scale as it was."""
    assert (scaled(half, "zeta"), scaled(half, "alpha")) == (2.0**15, 2.0**14)
    np.testing.assert_allclose(numbers(half.a), [0.1, 0.1], rtol=1e-5)
    np.testing.assert_array_equal(numbers(half.b), [0.0, 0.0])
    assert int(numbers(half.optimizer["alpha"].iterations)) == 0


def test_scaled_state_is_restored(half, tmp_path):
    """Scales and counters of the wrappers come back from a file."""
    half.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    assert (scaled(loaded, "zeta"), scaled(loaded, "alpha")) == (2.0**15, 2.0**14)
    assert_state_equal(loaded, half)
