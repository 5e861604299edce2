"""The laws of divergence: a bad loss or gradient is found in its step, named, undone; what is normal is let pass."""

import types

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_gen.models import Divergence, DivergenceError, GenerativeModel
from keras_gen.models.guard import Guard
from tests.test_engine import state, wgan
from tests.test_optimizer_group import Duel, numbers

BACKEND = keras.config.backend()
STEPS, BAD = 8, 6
MODES = {
    "default": {},
    "eager": {"run_eagerly": True},
    "not jitted": {"jit_compile": False},
    "four in one": {"steps_per_execution": 4},
}
MODES = {k: v for k, v in MODES.items() if BACKEND != "torch" or k != "four in one"}


@keras.saving.register_keras_serializable(package="keras_gen_tests")
class Fragile(Duel):
    """A duel whose player alpha has the further loss sum(b) log(50 - max x): -inf for x = 50, NaN above."""

    def update(self, batch):
        logs = self.minimize(lambda: self.distance(self.a, batch.x), "zeta")
        trap = ops.log(50.0 - ops.max(batch.x))
        return logs | self.minimize(lambda: self.distance(self.b, batch.x) + ops.sum(self.b) * trap, "alpha")


def data(bad=BAD, value=60.0, steps=STEPS):
    """Batches of four ones; those of step `bad`, one or several counted from 1, hold `value` instead."""
    x = np.ones((4 * steps, 2), "float32")
    for step in np.atleast_1d(bad):
        x[4 * (step - 1) : 4 * step] = value
    return x


def adams(rate=0.1):
    return {"zeta": keras.optimizers.Adam(rate), "alpha": keras.optimizers.Adam(rate)}


def fragile(optimizer=None, **kwargs):
    model = Fragile()
    model.b.assign([1.0, 1.0])
    model.compile(optimizer or adams(), **kwargs)
    return model


def batches(x):
    """`x` as a stream."""
    for i in range(len(x) // 4):
        yield (x[4 * i : 4 * i + 4],)


def fit(model, x, epochs=1, **kwargs):
    return model.fit(x, batch_size=4, epochs=epochs, verbose=0, shuffle=False, **kwargs).history


def diverge(model, x, **kwargs):
    with pytest.raises(DivergenceError) as caught:
        fit(model, x, **kwargs)
    return caught.value


def without_record(model):
    """The state of training, without the metrics."""
    return [numbers(v) for v in (*model.weights, *model.optimizer._state().values())]


# Stopping.


@pytest.mark.parametrize("mode", MODES)
def test_the_first_bad_loss_is_named_and_the_kept_state_returns(mode):
    """NaN in step 6 for alpha: error with player, step and value; all state is that after step 4, when it was kept."""
    model = fragile(divergence=Divergence(check_every=1, keep_every=3), **MODES[mode])
    error = diverge(model, data())
    kept = 4 if mode == "four in one" else 3
    assert (error.player, error.step, error.quantity, error.restored) == ("alpha", BAD, "loss", kept)
    assert np.isnan(error.value) and f"step {BAD}" in str(error) and "'alpha' is nan" in str(error)
    twin = fragile(**MODES[mode])
    fit(twin, data()[: 4 * kept])
    for one, two in zip(without_record(model), without_record(twin), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


@pytest.mark.parametrize("value, loss", [(50.0, -np.inf), (60.0, np.nan)])
def test_the_value_is_that_of_the_first_bad_step(value, loss):
    """Looked at only when the epoch ends, after steps that are all NaN: step and value are still those of the first."""
    error = diverge(fragile(), data(value=value))
    assert (error.step, error.restored) == (BAD, 0)
    np.testing.assert_equal(error.value, loss)


def test_steps_are_counted_over_epochs():
    """Step 6 + 8 of training is step 6 of the second epoch."""
    model = fragile()
    fit(model, data(bad=[]))
    assert diverge(model, data()).step == STEPS + BAD


def test_a_game_returns_bit_for_bit_to_where_fit_began():
    """A WGAN-GP with an absurd rate: weights, statistics, seeds, moments and counters are as before `fit`."""
    optimizers = {"generator": keras.optimizers.SGD(1e30), "critic": keras.optimizers.Adam(1e30, use_ema=True)}
    model = wgan(optimizers, critic_steps=1)
    before, seed = state(model), numbers(model.noise.state)
    error = diverge(model, np.random.default_rng(0).random((40, 8, 8)).astype("float32"), epochs=2)
    assert error.player in ("critic", "generator") and not np.isfinite(error.value) and error.restored == 0
    np.testing.assert_array_equal(numbers(model.noise.state), seed)
    for (name, one), two in zip(state(model).items(), before.values(), strict=True):
        np.testing.assert_array_equal(one, two, err_msg=name)


def test_training_goes_on_after_a_divergence():
    """The record is read: another `fit` on good data trains, and counts on from the state that came back."""
    model = fragile(divergence=Divergence(check_every=1, keep_every=1))
    diverge(model, data())
    assert np.isfinite(fit(model, data(bad=[]))["alpha_loss"]).all()
    assert int(numbers(model.optimizer.iterations)) == BAD - 1 + STEPS


def test_what_is_kept_is_of_this_fit():
    """Weights that were set between two calls of `fit` are what a divergence in the second one brings back."""
    model = fragile()
    fit(model, data(bad=[]))
    model.b.assign([5.0, 6.0])
    assert diverge(model, data()).restored == STEPS
    np.testing.assert_array_equal(numbers(model.b), [5.0, 6.0])


def test_no_callback_hears_of_the_end_of_a_diverged_epoch():
    """Nothing that follows an epoch happens: no validation, no `on_epoch_end`, no `on_train_end`."""
    heard = []

    class Listen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            heard.append(epoch)

        def on_test_begin(self, logs=None):
            heard.append("validation")

        def on_train_end(self, logs=None):
            heard.append("end")

    diverge(fragile(), data(), callbacks=[Listen()], validation_data=data(bad=[]))
    assert heard == []


def test_a_log_that_is_no_loss_may_be_infinite():
    """What is logged beside the loss is the model's own affair."""

    class Logs(Fragile):
        def update(self, batch):
            return super().update(batch) | {"infinite": ops.sum(batch.x) * np.inf}

    model = Logs()
    model.compile(adams())
    assert np.isinf(fit(model, data(bad=[]))["infinite"]).all()


def test_nothing_is_kept_on_demand():
    """`keep_every=None`: the error says so, and the model is as it diverged."""
    model = fragile(divergence=Divergence(keep_every=None))
    error = diverge(model, data())
    assert error.restored is None and "No earlier state was kept" in str(error)
    assert np.isnan(numbers(model.b)).all()


def test_nan_in_a_stream_is_found():
    """Values of a stream are not checked in advance; the loss tells."""
    with pytest.raises(DivergenceError) as caught:
        fragile().fit(batches(data(value=np.nan)), steps_per_epoch=STEPS, epochs=1, verbose=0)
    assert (caught.value.player, caught.value.step) == ("zeta", BAD), "the player that steps first"


def test_train_on_batch_raises_in_its_own_call():
    """The bad batch raises; weights are those of the first call, when they were kept; the next batch trains."""
    model, x = fragile(), data()
    for i in range(BAD - 1):
        model.train_on_batch(x[4 * i : 4 * i + 4])
    with pytest.raises(DivergenceError) as caught:
        model.train_on_batch(x[4 * BAD - 4 : 4 * BAD])
    assert (caught.value.player, caught.value.step, caught.value.restored) == ("alpha", BAD, 0)
    np.testing.assert_array_equal(numbers(model.b), [1.0, 1.0])
    assert np.isfinite(model.train_on_batch(x[:4])).all()


def test_what_a_model_keeps_beside_its_variables_returns():
    """`get_training_state` is kept, and put back by `set_training_state`."""

    class Buffer(Fragile):
        def begin_epoch(self):
            self.pool = [*getattr(self, "pool", ()), len(getattr(self, "pool", ()))]

        def get_training_state(self):
            return {"pool": list(self.pool)}

        def set_training_state(self, state):
            self.pool = list(state["pool"])

    model = Buffer()
    model.compile(adams())
    with pytest.raises(DivergenceError):
        model.fit(batches(data(bad=STEPS + 3, steps=2 * STEPS)), steps_per_epoch=STEPS, epochs=2, verbose=0)
    assert list(model.pool) == [0]


class Many(Duel):
    """Its player zeta steps three times a training step, with the losses 1, inf and NaN."""

    def update(self, batch):
        for factor in (1.0, np.inf, np.nan):
            logs = self.minimize(lambda factor=factor: ops.sum(batch.x) * factor, "zeta")
        return logs | self.minimize(lambda: self.distance(self.b, batch.x), "alpha")


def test_of_several_steps_of_a_player_the_first_bad_one_counts():
    """Losses 1, inf, NaN of one player in one training step: inf is named."""
    model = Many()
    model.compile(adams())
    error = diverge(model, data(bad=[]))
    assert (error.player, error.step, error.value) == ("zeta", 1, np.inf)


# Gradients.


class Root(GenerativeModel):
    """l(x) = sum(sqrt(m)) + mean |x|: finite at m = 0, where its gradient is infinite."""

    def __init__(self, event_shape=(2,), start=0.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.mean = self.add_weight(shape=self.event_shape, initializer=keras.initializers.Constant(start), name="mean")

    def objective(self, x, condition=None, training=False):
        return {"loss": ops.sum(ops.sqrt(ops.cast(self.mean, "float32"))) + ops.mean(ops.abs(x))}


def root(start=0.0, dtype=None, **kwargs):
    model = Root(start=start, dtype=dtype)
    model.compile(keras.optimizers.SGD(0.1), **kwargs)
    return model


def test_a_watched_gradient_is_named_in_its_own_step():
    """An infinite gradient under a finite loss: named in step 1; unwatched, the loss of step 2 tells."""
    error = diverge(root(divergence=Divergence(gradients=True)), data(bad=[]))
    assert (error.player, error.step, error.quantity, error.value) == ("model", 1, "gradient norm", np.inf)
    model = root()
    error = diverge(model, data(bad=[]))
    assert (error.step, error.quantity) == (2, "loss") and np.isnan(error.value)
    np.testing.assert_array_equal(numbers(model.mean), [0.0, 0.0])


def test_spoilt_weights_are_found_when_the_epoch_ends():
    """A gradient of the last step spoils the weights, no loss tells: the weight is named before anything is saved."""
    model = root()
    error = diverge(model, data(bad=[], steps=1), epochs=3)
    assert error.step == 1 and "mean" in error.quantity and error.value == -np.inf
    np.testing.assert_array_equal(numbers(model.mean), [0.0, 0.0])


def test_the_logged_norm_is_that_of_the_gradient():
    """|d/dm sum sqrt(m)| where n weights are 4: sqrt(n) / 4, loss scale or not; in a game by the player's name."""
    for dtype in (None, "mixed_float16"):
        model = Root((2, 3), start=4.0, dtype=dtype)
        model.compile(keras.optimizers.SGD(0.0), divergence=Divergence(gradients=True))
        history = fit(model, np.ones((8, 2, 3), "float32"))
        assert history["gradient_norm"] == pytest.approx([6**0.5 / 4], rel=1e-3)
    game = fragile(divergence=Divergence(gradients=True))
    assert {"zeta_gradient_norm", "alpha_gradient_norm"} < set(fit(game, data(bad=[])))


def test_an_overflow_under_loss_scaling_is_no_divergence():
    """The scaled loss of alpha overflows in mixed_float16: its scale halves, its step is left out, training goes on."""
    model = Duel(pull=1e36, dtype="mixed_float16")
    model.compile(adams(), divergence=Divergence(gradients=True))
    history = fit(model, data(bad=[]))
    assert float(numbers(model.optimizer.member("alpha").dynamic_scale)) < 2.0**15
    assert np.isfinite(history["alpha_gradient_norm"]).all() and np.isfinite(numbers(model.b)).all()


def test_endless_overflow_is_a_divergence():
    """A gradient that is infinite at any scale halves it 30 times: then training stops."""
    error = diverge(root(dtype="mixed_float16"), data(bad=[], steps=40))
    assert (error.player, error.quantity) == ("model", "loss scale") and error.value <= 2.0**-15


def test_a_bad_loss_is_one_under_loss_scaling_too():
    """NaN in the unscaled loss of a mixed_float16 model stops training."""
    model = Fragile(dtype="mixed_float16")
    model.compile(adams())
    error = diverge(model, data())
    assert (error.player, error.step, error.quantity) == ("alpha", BAD, "loss")


# Skipping.


class Normalised(GenerativeModel):
    """Batch normalisation, then a dense layer; the loss has the trap log(50 - max x)."""

    def __init__(self):
        super().__init__((2,))
        weights = keras.initializers.GlorotUniform(seed=1)
        self.net = keras.Sequential(
            [layers.Input((2,)), layers.BatchNormalization(), layers.Dense(2, kernel_initializer=weights)]
        )

    def objective(self, x, condition=None, training=False):
        distance = ops.sum((self.net(x, training=training) - x) ** 2, axis=-1)
        return {"loss": distance + ops.log(50.0 - ops.max(x)), "distance": distance}


def varied(bad, value=60.0):
    """Random batches; the bad ones hold `value`."""
    x = np.random.default_rng(0).normal(size=(4 * STEPS, 2)).astype("float32")
    return np.where(data(bad) == 60.0, np.float32(value), x)


@pytest.mark.parametrize("mode, value", [(m, np.nan if m == "eager" else 60.0) for m in MODES if m != "not jitted"])
def test_a_skipped_step_is_a_batch_left_out(mode, value):
    """Weights, moments, batch statistics and the epoch's means are those of training without the bad batches."""

    def trained(x, **kwargs):
        model = Normalised()
        model.compile(keras.optimizers.Adam(0.01), **kwargs)
        return model, model.fit(batches(x), steps_per_epoch=len(x) // 4, verbose=0).history

    good = np.concatenate([varied([])[4 * i : 4 * i + 4] for i in (0, 1, 4, 5, 7)])
    model, history = trained(varied([3, 4, 7], value), divergence=Divergence(skip=2), **MODES[mode])
    twin, expected = trained(good, run_eagerly=mode == "eager")
    assert history["skipped"] == [3] and model.skipped_steps == {"model": 3}
    pairs = [*zip(model.weights, twin.weights, strict=True)]
    pairs += zip(model.optimizer["model"].variables, twin.optimizer["model"].variables, strict=True)
    for one, two in pairs:
        np.testing.assert_allclose(numbers(one), numbers(two), rtol=2e-5, atol=1e-7, err_msg=one.path)
    for name in ("loss", "distance"):
        assert history[name] == pytest.approx(expected[name], rel=1e-5)


def test_a_skip_leaves_the_other_player_its_step_and_lowers_the_rate():
    """Alpha skips one step of eight: it counts seven and half its rate, zeta eight and its rate; the logs say so."""
    model = fragile(divergence=Divergence(skip=1, rate_factor=0.5))
    history = fit(model, data(), epochs=2)
    assert [int(numbers(model.optimizer[p].iterations)) for p in ("zeta", "alpha")] == [16, 14]
    assert history["alpha_skipped"] == [1, 1] and history["zeta_skipped"] == [0, 0]
    assert history["alpha_learning_rate"] == pytest.approx([0.05, 0.025])
    assert history["zeta_learning_rate"] == pytest.approx([0.1, 0.1])
    assert np.isfinite(history["alpha_loss"]).all() and np.isfinite(numbers(model.b)).all()


def test_an_infinite_gradient_is_skipped_if_watched():
    """With `gradients` a step is skipped for its gradient, too: the weights stay, until there are too many."""
    model = root(divergence=Divergence(gradients=True, skip=5))
    error = diverge(model, data(bad=[]))
    assert (error.step, error.quantity) == (6, "gradient norm") and "number 6 in a row" in str(error)
    assert model.skipped_steps == {"model": 5}


@pytest.mark.parametrize("every", [1, 3, 100])
def test_too_many_skips_in_a_row_stop(every):
    """Steps 3, 4 and then 6, 7, 8 are bad, two in a row allowed: step 8 stops, however often the record is read."""
    model = fragile(divergence=Divergence(skip=2, check_every=every))
    error = diverge(model, data(bad=[3, 4, 6, 7, 8]))
    assert (error.player, error.step) == ("alpha", 8) and model.skipped_steps["alpha"] == 4


# Options.


def test_options_are_saved_with_the_model(tmp_path):
    """A loaded model is compiled with the same options; the record is in no file."""
    options = Divergence(gradients=True, skip=3, rate_factor=0.5, check_every=7, keep_every=None)
    model = fragile(divergence=options)
    fit(model, data(bad=[]))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.get_compile_config() == model.get_compile_config()
    assert loaded._guard.options.get_config() == options.get_config()
    other = fragile(divergence=Divergence(check_every=9))
    other.save_weights(tmp_path / "m.weights.h5")
    loaded.load_weights(tmp_path / "m.weights.h5")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"check_every": 0}, "`check_every` as a positive integer"),
        ({"keep_every": 0}, "`keep_every` as a positive integer"),
        ({"skip": -1}, "`skip` as a positive integer"),
        ({"skip": 1, "rate_factor": 0.0}, "`rate_factor` in"),
        ({"rate_factor": 0.5}, "`skip` > 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    """A clear error for each."""
    with pytest.raises(ValueError, match=message):
        Divergence(**options)


def test_compile_refuses_what_it_cannot_do(monkeypatch):
    """Options of another kind; a rate that is a schedule, which nothing can lower; skipping on several replicas."""
    with pytest.raises(ValueError, match="`divergence` as a"):
        fragile(divergence="stop")
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    optimizers = {"zeta": keras.optimizers.Adam(schedule), "alpha": keras.optimizers.Adam(0.1)}
    with pytest.raises(ValueError, match="schedule for player 'zeta'"):
        fragile(optimizers, divergence=Divergence(skip=1, rate_factor=0.5))
    model = fragile()
    two = types.SimpleNamespace(num_replicas_in_sync=2)
    monkeypatch.setattr(type(model), "distribute_strategy", two, raising=False)
    with pytest.raises(ValueError, match="`skip=0` under a `tf.distribute`"):
        Guard(model, Divergence(skip=1))
