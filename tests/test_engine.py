"""The engine's proof: one `update` trains a WGAN-GP on real digits under `fit`, and carries all of its state.

The WGAN-GP has what a training step may not lose: two players, five critic steps on fresh data, double
back-propagation, batch normalisation, dropout, a seed of its own, two Adams with different schedules, an average.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_gen.models import Batch, GenerativeModel
from tests.wgan_gp import WGANGP, digits

BACKEND = keras.config.backend()
ROOT = Path(__file__).resolve().parents[1]
BATCH = 40
# A step compiled by TensorFlow differs in the last bit from one trace of it to the next, and Adam magnifies that where
# a gradient is tiny; eager steps are repeatable. So what is compared bit for bit runs eagerly there. That a compiled
# step equals an eager one to rounding is a law of its own.
EXACT = {"run_eagerly": True} if BACKEND == "tensorflow" else {}


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def state(model):
    """Every number that training carries: weights, statistics, seeds, the state of both optimizers."""
    found = {f"model.{i}.{v.path}": numbers(v) for i, v in enumerate(model.variables)}
    for player in model.optimizer.players:
        found.update({f"{player}.{i}": numbers(v) for i, v in enumerate(model.optimizer[player].variables)})
    metrics = {id(v) for v in model.metrics_variables}
    own = [id(v) in metrics for v in model.variables]
    return {k: v for (k, v), skip in zip(found.items(), own + [False] * len(found), strict=False) if not skip}


def assert_same(one, two, atol=0.0):
    assert len(one) == len(two)
    for (name, a), b in zip(one.items(), two.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=name)


def wgan(optimizers=None, seed=0, **kwargs):
    compile_arguments = {k: kwargs.pop(k) for k in ("run_eagerly", "steps_per_execution", "metrics") if k in kwargs}
    model = WGANGP((8, 8), units=16, seed=seed, **kwargs)
    model.compile(optimizers or adams(), **compile_arguments)
    return model


def adams(swap=False):
    """The critic's rate decays by a schedule, the generator's is constant and its weights are averaged."""
    decay = keras.optimizers.schedules.ExponentialDecay(2e-3, decay_steps=10, decay_rate=0.5)
    both = {
        "generator": keras.optimizers.Adam(1e-3, beta_1=0.0, use_ema=True, ema_momentum=0.9),
        "critic": keras.optimizers.Adam(decay, beta_1=0.5),
    }
    return dict(reversed(both.items())) if swap else both


def sgds(rate=0.05):
    return {"generator": keras.optimizers.SGD(rate), "critic": keras.optimizers.SGD(0.1 * rate)}


def fit(model, x, epochs=1, **kwargs):
    return model.fit(x, batch_size=BATCH, epochs=epochs, verbose=0, shuffle=False, **kwargs).history


# The WGAN-GP under fit.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A WGAN-GP fitted for two epochs of four steps, saved, and fitted for one more."""
    keras.utils.set_random_seed(0)
    model = wgan(**EXACT)
    before = state(model)
    history = fit(model, digits()[: 4 * BATCH], epochs=2, validation_data=digits()[-30:])
    middle = state(model)
    path = tmp_path_factory.mktemp("wgan") / "wgan.keras"
    model.save(path)
    model.save_weights(path.with_suffix(".weights.h5"))
    logs = fit(model, digits()[: 4 * BATCH])
    return {"model": model, "path": path, "before": before, "history": history, "middle": middle,
            "end": state(model), "logs": logs}  # fmt: skip


def test_logs_name_each_player_and_part(run):
    """Losses by player, parts by name, validation by the objective; all finite, one value an epoch."""
    expected = {"critic_loss", "generator_loss", "wasserstein", "slope", "val_loss"}
    assert set(run["history"]) == expected
    assert all(len(v) == 2 and np.isfinite(v).all() for v in run["history"].values())


def test_all_state_moves(run):
    """Weights, batch statistics, the model's seed, Dropout's seed and both optimizers change in training."""
    still = [k for k, v in run["before"].items() if np.array_equal(v, run["middle"][k])]
    rates = [k for k in still if run["before"][k].shape == ()]
    assert still == rates and len(rates) == 1, still  # the generator's constant learning rate


def test_both_players_count_their_steps(run):
    """Eight batches: eight generator steps and forty critic steps."""
    optimizer = run["model"].optimizer
    assert int(run["middle"]["generator.0"]) == 8 and int(run["middle"]["critic.0"]) == 40
    assert int(numbers(optimizer.iterations)) == 12


def test_a_schedule_is_its_players_own(run):
    """After 60 steps the critic's rate has decayed by 0.5^6; the generator's is what it was."""
    optimizer = run["model"].optimizer
    assert float(numbers(optimizer["critic"].learning_rate)) == pytest.approx(2e-3 * 0.5**6, rel=1e-4)
    assert float(numbers(optimizer["generator"].learning_rate)) == pytest.approx(1e-3)


def test_every_weight_has_a_gradient(run):
    """Adam's second moments are finite and not zero for each trainable variable of each player."""
    for optimizer in run["model"].optimizer.optimizers:
        for variable, moment in zip(optimizer._trainable_variables, optimizer._velocities, strict=True):
            moment = numbers(moment)
            assert np.isfinite(moment).all() and moment.max() > 0.0, variable.path


def test_an_average_ends_in_the_weights(run):
    """With `use_ema` for the generator, its weights end as averages; the critic's are its own."""
    optimizer = run["model"].optimizer["generator"]
    for v, mean in zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True):
        np.testing.assert_array_equal(numbers(v), numbers(mean))


CONTINUE = """
import sys, warnings
import numpy as np, keras
from tests.test_engine import WGANGP, adams, digits, fit, state, wgan, BATCH
warnings.simplefilter("error", UserWarning)
loaded = keras.saving.load_model(sys.argv[1], safe_mode=True)
swapped = wgan(adams(swap=True), seed=99)
swapped.load_weights(sys.argv[1].replace(".keras", ".weights.h5"))
swapped_state = state(swapped)
fit(loaded, digits()[: 4 * BATCH])
np.savez(sys.argv[2], **{f"l{i}": v for i, v in enumerate(state(loaded).values())})
np.savez(sys.argv[3], **{f"l{i}": v for i, v in enumerate(swapped_state.values())})
"""


def in_another_process(code, *arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_saved_model_continues_bit_for_bit_in_another_process(run, tmp_path):
    """Loaded elsewhere and given the same batches, every number after one more epoch is the same.

    Optimizers given in another order load the same states: equal weights and states are an equal continuation.
    """
    ends = tmp_path / "loaded.npz", tmp_path / "swapped.npz"
    in_another_process(CONTINUE, run["path"], *ends)
    for end, expected in zip(ends, (run["end"], run["middle"]), strict=True):
        got = np.load(end)
        for i, (name, value) in enumerate(expected.items()):
            np.testing.assert_array_equal(got[f"l{i}"], value, err_msg=f"{end.stem}: {name}")


def test_load_keeps_compile_state(run):
    """A loaded model is compiled as before: players, schedules, averages; its config is the same."""
    loaded = keras.saving.load_model(run["path"])
    assert loaded.get_config() == run["model"].get_config()
    assert loaded.get_compile_config() == run["model"].get_compile_config()
    assert_same(state(loaded), run["middle"])


class Curious(keras.callbacks.Callback):
    """Calls what a user may call from a callback, in the middle of an epoch and at its end."""

    def __init__(self, evaluate=False):
        super().__init__()
        self.evaluate, self.shapes, self.values = evaluate, [], []

    def look(self):
        self.shapes.append(self.model.sample(3).shape)
        self.values.append(float(self.model.sample(2, seed=5).sum()))
        self.shapes.append(self.model.predict(digits()[:3], verbose=0).shape)
        if self.evaluate:
            self.values.append(self.model.evaluate(digits()[:3], verbose=0))

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.look()

    def on_epoch_end(self, epoch, logs=None):
        self.look()


def test_looking_does_not_change_training(run):
    """Same seeds, with `sample` and `predict` called in the middle: bit for bit the same weights, seeds, states."""
    model, curious = wgan(**EXACT), Curious()
    fit(model, digits()[: 4 * BATCH], epochs=2, validation_data=digits()[-30:], callbacks=[curious])
    assert_same(state(model), run["middle"])
    assert curious.shapes == [(3, 8, 8), (3,)] * 4
    assert len(set(curious.values)) == 4, "sample must see the weights of the running epoch"


def test_evaluate_in_a_callback_does_not_break_training(run):
    """`evaluate` in the middle of an epoch: training goes on, from the weights that it had."""
    model, curious = run["model"], Curious(evaluate=True)
    before = int(numbers(model.optimizer.iterations))
    history = fit(model, digits()[: 4 * BATCH], callbacks=[curious])
    assert int(numbers(model.optimizer.iterations)) == before + 4
    assert np.isfinite(history["critic_loss"]).all() and np.isfinite(curious.values).all()


# Steps, compiled and not.


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no steps_per_execution on torch")
def test_steps_per_execution_equals_single_steps():
    """Four steps in one execution are four single steps, to rounding (SGD, 1e-5)."""
    ends = []
    for steps in (1, 4):
        model = wgan(sgds(), critic_steps=1, steps_per_execution=steps)
        fit(model, digits()[: 4 * BATCH])
        ends.append(state(model))
    assert_same(*ends, atol=1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="refused on torch alone")
def test_steps_per_execution_is_refused_on_torch():
    """A clear error, for Keras runs one step a call there."""
    with pytest.raises(ValueError, match="steps_per_execution=1.*torch"):
        wgan(steps_per_execution=4)


def test_a_compiled_step_equals_an_eager_one():
    """One step of both players, one by Adam and one by SGD: every number agrees to 1e-5."""
    ends = []
    for eager in (False, True):
        optimizers = {"generator": keras.optimizers.Adam(1e-3, use_ema=True), "critic": keras.optimizers.SGD(1e-2)}
        model = wgan(optimizers, critic_steps=1, run_eagerly=eager)
        fit(model, digits()[:BATCH])
        ends.append(state(model))
    assert_same(*ends, atol=1e-5)


def test_minimize_moves_its_player_alone():
    """After a critic step the generator's weights and optimizer are as before, and the other way round."""
    model = wgan(sgds())
    x = ops.convert_to_tensor(digits()[:8])
    steps = {
        "critic": lambda: model.score(x) - model.score(model.fake(8)),
        "generator": lambda: model.generator_loss(8),
    }
    for player, loss in steps.items():
        before = {p: [numbers(v) for v in n.trainable_variables] for p, n in model.players.items()}
        model.minimize(loss, player)
        moved = {
            p: any(not np.array_equal(a, numbers(v)) for a, v in zip(before[p], n.trainable_variables, strict=True))
            for p, n in model.players.items()
        }
        assert moved == {p: p == player for p in moved}


def test_split_gives_fresh_data():
    """The parts of a batch are disjoint, equal in size to within one, and together the batch."""
    model = WGANGP((8, 8))
    x = ops.reshape(ops.arange(7 * 64, dtype="float32"), (7, 8, 8))
    parts = model.split(Batch(x, None, ops.arange(7)), 3)
    firsts = [numbers(p.x)[:, 0, 0] for p in parts]
    assert [len(f) for f in firsts] == [3, 2, 2]
    assert sorted(np.concatenate(firsts)) == [64.0 * i for i in range(7)]
    assert all(
        (numbers(p.sample_weight) * 64 == f).all() and p.condition is None for p, f in zip(parts, firsts, strict=True)
    )
    with pytest.raises(ValueError, match="at least 8 examples"):
        model.split(Batch(x), 8)


def test_a_remainder_smaller_than_the_parts():
    """Batches of 40 and 3 with five critic steps: a clear error, or where the size is unknown until run, no NaN."""
    model = wgan(sgds())
    if BACKEND == "tensorflow":
        history = fit(model, digits()[: BATCH + 3])
        assert np.isfinite(history["critic_loss"]).all()
        assert all(np.isfinite(v).all() for v in state(model).values())
    else:
        with pytest.raises(ValueError, match="at least 5 examples.*3"):
            fit(model, digits()[:3])
        assert all(np.isfinite(v).all() for v in state(model).values()), "the model is as it was"


def test_spectral_normalisation_is_kept():
    """A step of -f on f(x) = x.K/||K||, called twice a loss, gives K <- K/||K|| + 2 rate mean(x) on each backend."""

    class Linear(GenerativeModel):
        def __init__(self):
            super().__init__((3,))
            self.critic = layers.SpectralNormalization(layers.Dense(1, use_bias=False, kernel_initializer="ones"))
            self.critic.build((None, 3))

        def objective(self, x, condition=None, training=False):
            score = self.critic(x, training=training) + self.critic(x, training=training)
            return {"loss": -score[:, 0]}

    model = Linear()
    kernel = model.critic.layer.kernel
    kernel.assign([[3.0], [0.0], [4.0]])
    model.compile(keras.optimizers.SGD(0.5))
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    fit(model, x)
    np.testing.assert_allclose(numbers(kernel)[:, 0], [0.6, 0.0, 0.8] + x.mean(0), rtol=1e-5, atol=1e-6)


# Small models, one law each.


class Mean(GenerativeModel):
    """Fits a mean to data of any event shape: l(x) = 1/2 |x - m|^2, from m = 0."""

    def __init__(self, event_shape=(2,), regularizer=None, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.mean = self.add_weight(shape=self.event_shape, initializer="zeros", regularizer=regularizer, name="mean")
        self.events = []

    def objective(self, x, condition=None, training=False):
        distance = 0.5 * ops.sum((x - self.mean) ** 2, axis=-1)
        return {"loss": distance, "first": x[:, 0]}

    def call(self, x, training=False):
        return x - self.mean

    def end_epoch(self):
        self.events.append("end_epoch")


def mean_model(rate=0.1, metrics=None, **kwargs):
    model = Mean(**kwargs)
    model.compile(keras.optimizers.SGD(rate), metrics=metrics)
    return model


DATA = np.random.default_rng(1).normal(size=(10, 2)).astype("float32")


def trajectory(batches, rate=0.1, decay=0.0):
    """What fit must do, by hand: the mean after each batch, and the log's mean loss over examples."""
    mean, total = np.zeros(2), 0.0
    for x in batches:
        total += 0.5 * ((x - mean) ** 2).sum() + len(x) * decay * (mean**2).sum()
        mean = mean - rate * ((mean - x.mean(0)) + 2 * decay * mean)
    return mean, total / sum(map(len, batches))


def test_logs_are_means_over_examples():
    """Batches of 4, 4 and 2: the logged loss weighs each by its examples, epoch by epoch."""
    model = mean_model()
    history = model.fit(DATA, batch_size=4, epochs=2, verbose=0, shuffle=False).history
    batches = [DATA[:4], DATA[4:8], DATA[8:]]
    mean, loss = trajectory(batches)
    assert history["loss"][0] == pytest.approx(loss, rel=1e-5)
    assert history["first"] == pytest.approx([DATA[:, 0].mean()] * 2, rel=1e-4)
    np.testing.assert_allclose(numbers(model.mean), trajectory(batches * 2)[0], rtol=1e-5)
    expected = 0.5 * ((DATA - numbers(model.mean)) ** 2).sum(1).mean()
    got = model.evaluate(DATA, batch_size=4, verbose=0, return_dict=True)
    assert float(got["loss"]) == pytest.approx(expected, rel=1e-5)


def test_sample_weight_multiplies_the_loss_per_example():
    """One step: m <- m + rate mean(w x), in fit and in evaluate's loss."""
    weights = np.linspace(0.0, 2.0, 10).astype("float32")
    model = mean_model()
    fit(model, DATA, sample_weight=weights)
    np.testing.assert_allclose(numbers(model.mean), 0.1 * (weights[:, None] * DATA).mean(0), rtol=1e-5, atol=1e-7)
    per_example = 0.5 * ((DATA - numbers(model.mean)) ** 2).sum(1)
    got = model.evaluate(DATA, sample_weight=weights, verbose=0, return_dict=True)
    assert float(got["loss"]) == pytest.approx((weights * per_example).mean(), rel=1e-5)


def test_weight_regularisers_count_once():
    """L2 with factor c adds c |m|^2 to loss and log: m <- m - rate (m - x + 2 c m)."""
    model = mean_model(regularizer=keras.regularizers.L2(0.5))
    history = model.fit(DATA, batch_size=5, epochs=1, verbose=0, shuffle=False).history
    mean, loss = trajectory([DATA[:5], DATA[5:]], decay=0.5)
    np.testing.assert_allclose(numbers(model.mean), mean, rtol=1e-5)
    assert history["loss"][0] == pytest.approx(loss, rel=1e-5)


class Adds(layers.Layer):
    """Adds its weight to the loss."""

    def build(self, shape):
        self.w = self.add_weight(shape=(), initializer="zeros", name="w")

    def call(self, x):
        self.add_loss(3.0 * self.w)
        return x + 0.0 * self.w


class Adding(GenerativeModel):
    """Two players with a layer that adds a loss; the second player's layer is not called in its own loss."""

    def __init__(self):
        super().__init__((2,))
        self.one, self.two = Adds(), Adds()
        for layer in (self.one, self.two):
            layer.build((None, 2))

    @property
    def players(self):
        return {"one": self.one, "two": self.two}

    def update(self, batch):
        logs = self.minimize(lambda: ops.sum(self.two(self.one(batch.x)), axis=-1) * 0.0, "one")
        return logs | self.minimize(lambda: ops.sum(batch.x, axis=-1) * 0.0 + 0.0 * self.two.w, "two")


@pytest.mark.parametrize("eager", [False, True])
def test_added_losses_count_once_and_only_where_they_are_added(eager):
    """`add_loss` enters the loss of the player in whose `minimize` the layer ran, once a step; nothing is left over."""
    model = Adding()
    model.compile({"one": keras.optimizers.SGD(0.1), "two": keras.optimizers.SGD(0.1)}, run_eagerly=eager)
    model.two.w.assign(1.0)
    history = model.fit(DATA, batch_size=5, epochs=2, verbose=0).history
    assert float(numbers(model.one.w)) == pytest.approx(-0.3 * 4, rel=1e-5)
    assert float(numbers(model.two.w)) == 1.0 and history["two_loss"] == [0.0, 0.0]


def test_metrics_receive_x_and_the_models_output():
    """A compiled metric compares x with model(x), in fit, in validation and in evaluate."""
    model = mean_model(rate=0.0, metrics=[keras.metrics.MeanAbsoluteError(name="mae")])
    model.mean.assign([0.5, -1.5])
    history = fit(model, DATA, validation_data=DATA[:3])
    assert history["mae"] == pytest.approx([1.0]) and history["val_mae"] == pytest.approx([1.0])
    assert float(model.evaluate(DATA, verbose=0, return_dict=True)["mae"]) == pytest.approx(1.0)


def test_an_epoch_ends_once_before_validation():
    """`end_epoch` comes after the last step, once an epoch, before validation and the user's callbacks."""
    model = mean_model()

    class Order(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            model.events.append("step")

        def on_test_begin(self, logs=None):
            model.events.append("validation")

        def on_epoch_end(self, epoch, logs=None):
            model.events.append("callback")

    model.fit(DATA, batch_size=5, epochs=2, verbose=0, validation_data=DATA, callbacks=[Order()])
    assert list(model.events) == ["step", "step", "end_epoch", "validation", "callback"] * 2
    del model.events[:]
    model.evaluate(DATA, verbose=0)
    assert list(model.events) == []
    model.fit(DATA, batch_size=5, epochs=2, verbose=0, callbacks=[Order()])
    assert list(model.events) == ["step", "step", "end_epoch", "callback"] * 2


class Pieces(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return (DATA[5 * index : 5 * index + 5],)


def as_tf_data():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(DATA).batch(5)


def as_data_loader():
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.as_tensor(DATA)), batch_size=5)


def as_generator():
    yield (DATA[:5],)
    yield (DATA[5:],)


STREAMS = {"tf.data": as_tf_data, "DataLoader": as_data_loader, "PyDataset": Pieces, "generator": as_generator}


@pytest.mark.parametrize("kind", STREAMS)
def test_streams_train_as_arrays_do(kind):
    """The same batches from whatever Keras accepts give the same weights, and the same validation."""
    model = mean_model()
    steps = {"steps_per_epoch": 2, "validation_steps": 2} if kind == "generator" else {}
    streams, shuffle = (STREAMS[kind](), STREAMS[kind]()), {"shuffle": False} if kind == "PyDataset" else {}
    history = model.fit(streams[0], validation_data=streams[1], epochs=1, verbose=0, **steps, **shuffle).history
    np.testing.assert_allclose(numbers(model.mean), trajectory([DATA[:5], DATA[5:]])[0], rtol=1e-5)
    expected = 0.5 * ((DATA - numbers(model.mean)) ** 2).sum(1).mean()
    assert history["val_loss"] == pytest.approx([expected], rel=1e-5)


def test_half_precision_computes_its_loss_in_float32():
    """mixed_float16 and mixed_bfloat16 train, to the same step as float32 (the data reach the objective in float32)."""
    for policy in ("mixed_float16", "mixed_bfloat16"):
        model = mean_model(dtype=policy)
        fit(model, DATA)
        np.testing.assert_allclose(numbers(model.mean), 0.1 * DATA.mean(0), rtol=1e-4, atol=1e-6, err_msg=policy)


def test_state_is_updated_through_a_bare_minimize():
    """Outside of `fit` too, a step moves weights and statistics: a loop of one's own works on each backend."""
    model = mean_model()
    model.minimize(lambda: model.objective(ops.convert_to_tensor(DATA)))
    np.testing.assert_allclose(numbers(model.mean), 0.1 * DATA.mean(0), rtol=1e-5, atol=1e-7)


class Noisy(GenerativeModel):
    """A denoiser with batch normalisation and dropout: what could differ between one device and several."""

    def __init__(self):
        super().__init__((64,))
        dense = [layers.Dense(n, kernel_initializer=keras.initializers.GlorotUniform(seed=n)) for n in (16, 64)]
        middle = [layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.2, seed=1)]
        self.net = keras.Sequential([layers.Input((64,)), dense[0], *middle, dense[1]])
        self.noise = keras.random.SeedGenerator(2)

    def objective(self, x, condition=None, training=False):
        noise = 0.1 * keras.random.normal(ops.shape(x), seed=self.noise)
        return {"loss": ops.sum((self.net(x + noise, training=training) - x) ** 2, axis=-1)}


def train_noisy():
    model = Noisy()
    model.compile(keras.optimizers.SGD(1e-3))
    fit(model, digits()[: 2 * BATCH].reshape(-1, 64))
    return state(model)


class Failing(GenerativeModel):
    """Its objective fails."""

    def __init__(self):
        super().__init__((2,))
        self.fails = False
        self.mean = self.add_weight(shape=(2,), initializer="ones", name="mean")

    def objective(self, x, condition=None, training=False):
        if self.fails:
            raise RuntimeError("as asked")
        return {"loss": ops.sum((x - self.mean) ** 2, axis=-1)}

    call = objective


def test_a_failing_step_leaves_the_model_whole():
    """An error in the first step of fit, evaluate or predict loses no weight (on JAX they live outside meanwhile)."""
    model = Failing()
    model.compile(keras.optimizers.SGD(0.1))
    model.fails = True
    for method in (model.fit, model.evaluate, model.predict):
        with pytest.raises(RuntimeError, match="as asked"):
            method(DATA, verbose=0)
        np.testing.assert_array_equal(numbers(model.mean), [1.0, 1.0])
    assert int(numbers(model.optimizer.iterations)) == 0


PARALLEL = """
import sys
import keras, numpy as np
from tests.test_engine import train_noisy
devices = keras.distribution.list_devices()
assert len(devices) == 2, devices
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False))
np.savez(sys.argv[1], *train_noisy().values())
"""


@pytest.mark.skipif(BACKEND != "jax", reason="Keras distributes on JAX")
def test_two_devices_equal_one(tmp_path):
    """DataParallel over two devices gives one device's numbers to 1e-5 (sums are ordered differently)."""
    in_another_process(PARALLEL, tmp_path / "two.npz", XLA_FLAGS="--xla_force_host_platform_device_count=2")
    two = np.load(tmp_path / "two.npz")
    for i, (name, value) in enumerate(train_noisy().items()):
        np.testing.assert_allclose(two[f"arr_{i}"], value, rtol=1e-5, atol=1e-5, err_msg=name)
