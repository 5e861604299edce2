"""An interrupted training, started again, ends with the bits of the one that was not interrupted."""

import contextlib
import functools
import os
import random
import resource
import signal
import warnings

import keras
import numpy as np
import pytest

from benchmarks import kill_and_resume
from keras_gen.callbacks import Anneal, ExactResume, load_checkpoint
from keras_gen.callbacks.checkpoints import DamagedCheckpoint, read_checkpoint, write_checkpoint
from keras_gen.models import VAE
from keras_gen.models.stream import make_stream
from keras_gen.networks import MLP
from tests.interrupting import Interrupt, Interruption
from tests.wgan_gp import WGANGP, digits

EAGER = keras.config.backend() == "tensorflow"  # its graphs do not give the same bits twice
X = functools.cache(lambda: digits()[:100, ::2, ::2])


def vae(dtype=None, use_ema=False):
    encoder, decoder = MLP((8,), dtype=dtype), MLP((8,), dtype=dtype)
    model = VAE((4, 4), latent_dim=2, encoder=encoder, decoder=decoder, seed=3, dtype=dtype)
    averages = {"use_ema": True, "ema_overwrite_frequency": 5} if use_ema else {}
    optimizer = keras.optimizers.Adam(1e-2, name="adam", **averages)
    model.compile(optimizer, metrics=[keras.metrics.MeanSquaredError()], run_eagerly=EAGER)
    return model


def wgan_gp(dtype=None):
    model = WGANGP((4, 4), units=8, critic_steps=2, seed=3, dtype=dtype)
    rates = {"critic": 1e-3, "generator": 2e-3}
    model.compile({p: keras.optimizers.Adam(rate) for p, rate in rates.items()}, run_eagerly=EAGER)
    return model


def state(model):
    """Every number that a training leaves."""
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(v.value) for v in variables]


def callbacks():
    """Callbacks with a memory."""
    return [
        Anneal("optimizer.learning_rate", lambda step: 0.01 / (1 + step), per="step", log=False),
        keras.callbacks.EarlyStopping("loss", patience=100, restore_best_weights=True, mode="min"),
        keras.callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.7, mode="min", min_delta=100.0),
    ]


def swapping():
    """Validation and the end of training see the averages of the weights."""
    return [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)]


def train(make, folder, data=None, interrupt_before=None, make_callbacks=list, every=1, epochs=3, **arguments):
    """The model after `fit`, and its history; None if it was interrupted."""
    keras.utils.set_random_seed(0)
    model = make()
    resume = [] if folder is None else [ExactResume(folder, every_steps=every)]
    interrupt = [] if interrupt_before is None else [Interrupt(interrupt_before)]
    arguments = {"batch_size": 32, "seed": 5, "callbacks": [*resume, *make_callbacks(), *interrupt], **arguments}
    try:
        history = model.fit(X() if data is None else data(), epochs=epochs, verbose=0, **arguments)
    except Interruption:
        return None
    return state(model), history.history, history.epoch


@contextlib.contextmanager
def warned(said):
    """A warning that says this is expected. `pytest.warns` would raise those of Keras again, without their module."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert any(said in str(w.message) for w in caught)


def assert_same(one, other):
    assert one[1:] == other[1:]
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(a, b)


def pieces(make, folder, stops, **arguments):
    """A training interrupted again and again, before the given numbers of steps of each process."""
    for stop in stops:
        assert train(make, folder, interrupt_before=stop, **arguments) is None
    return train(make, folder, interrupt_before=10**6, **arguments)


MODELS = {
    "vae_ema": functools.partial(vae, use_ema=True),
    "wgan_gp_float16": functools.partial(wgan_gp, "mixed_float16"),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_interrupted_training_ends_with_the_same_bits(name, tmp_path):
    """12 steps in 3 epochs, interrupted before an epoch's last step, and at the beginning of the next epoch."""
    whole = train(MODELS[name], None, interrupt_before=10**6)
    assert_same(pieces(MODELS[name], tmp_path, (3, 1)), whole)


def test_callbacks_validation_and_history_go_on(tmp_path):
    """Annealing by step, early stopping, plateaus and validation: as without interruption."""
    arguments = {"validation_split": 0.2, "make_callbacks": callbacks, "epochs": 5, "every": 2}
    whole = train(vae, None, interrupt_before=10**6, **arguments)
    resumed = pieces(vae, tmp_path, (4, 4), **arguments)
    assert_same(resumed, whole)
    assert "val_nll" in resumed[1] and "learning_rate_adam" in resumed[1]


def test_averages_that_are_swapped_in_for_validation_go_on(tmp_path):
    arguments = {"make_callbacks": swapping, "validation_split": 0.2}
    make = functools.partial(vae, use_ema=True)
    whole = train(make, None, interrupt_before=10**6, **arguments)
    assert_same(pieces(make, tmp_path, (4, 2), **arguments), whole)


class Shards(keras.utils.PyDataset):
    """The data in batches of 32, read by two workers; with `at`, in an order of its own."""

    def __init__(self):
        super().__init__(workers=2)

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return X()[32 * i : 32 * (i + 1)]


class OwnOrder(Shards):
    def at(self, pass_index, batch_index, seed):
        rows = np.random.default_rng([seed, pass_index]).permutation(100)
        return X()[rows[32 * batch_index : 32 * (batch_index + 1)]]


@pytest.mark.parametrize("data", [Shards, OwnOrder])
def test_a_dataset_goes_on_at_its_batch(data, tmp_path):
    whole = train(vae, None, data, interrupt_before=10**6, batch_size=None)
    assert_same(pieces(vae, tmp_path, (3,), data=data, batch_size=None), whole)


def test_grain_goes_on_by_the_state_of_its_iterator(tmp_path):
    """A shuffled Grain dataset without end, with epochs of 3 steps of its passes of 4."""
    grain = pytest.importorskip("grain", reason="needs the package grain")

    def data():
        batches = grain.MapDataset.source(X()).shuffle(seed=1).repeat().batch(25)
        return batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2))  # not 500 ahead

    arguments = {"data": data, "batch_size": None, "steps_per_epoch": 3}
    whole = train(vae, None, interrupt_before=10**6, **arguments)
    assert_same(pieces(vae, tmp_path, (2, 3), **arguments), whole)


def order(*epochs, seed=3, **arguments):
    """The rows of ten in the order in which the epochs give them."""
    stream = make_stream((np.arange(10.0), None, None), seed=seed, **arguments)
    for stream.epoch in epochs:
        yield from ([int(row) for row in batch[0]] for batch in stream.get_numpy_iterator())


ORDER = [[6, 8, 4, 1], [3, 5, 9, 7], [0, 2], [2, 4, 0, 5], [8, 1, 3, 9], [7, 6]]


def test_the_order_of_the_data_is_a_function_of_the_seed():
    """The same on every backend, from any epoch on, in epochs of any length; and each pass takes each row once."""
    assert list(order(0, 1, batch_size=4)) == ORDER
    assert list(order(1, batch_size=4)) == ORDER[3:]
    assert list(order(0, 1, 2, batch_size=4, steps=2)) == ORDER
    assert sorted(sum(order(0, batch_size=3, shuffle="batch"), [])) == list(range(10))
    assert list(order(0, batch_size=8, shuffle=False)) == [list(range(8)), [8, 9]]


def test_training_takes_the_rows_in_that_order():
    seen = []

    class Spy(VAE):
        def train_on(self, data):
            seen.append([round(10 * value) for value in keras.ops.convert_to_numpy(data[0])[:, 0].tolist()])
            return {"loss": keras.ops.zeros(())}

    model = Spy((1,), latent_dim=1, encoder=MLP((2,)), decoder=MLP((2,)))
    model.compile(run_eagerly=True)
    model.fit(np.arange(10)[:, None] / 10, verbose=0, batch_size=4, epochs=2, seed=3)
    assert seen == ORDER


def files(folder):
    return sorted(folder.glob("step_*.ckpt"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_of_a_damaged_checkpoint_the_one_before_is_used(damage, tmp_path):
    """Known by its checksum, with a warning that says so; the end is the same."""
    whole = train(vae, None, interrupt_before=10**6)
    assert train(vae, tmp_path, interrupt_before=6) is None
    content = bytearray(files(tmp_path)[-1].read_bytes())
    content[len(content) // 2] ^= 1
    content = {"truncated": content[:-100], "flipped": content, "empty": b""}[damage]
    files(tmp_path)[-1].write_bytes(content)
    with warned("The checkpoint before it is used"):
        assert_same(train(vae, tmp_path, interrupt_before=10**6), whole)


def test_if_all_checkpoints_are_damaged_training_does_not_begin_anew_silently(tmp_path):
    assert train(vae, tmp_path, interrupt_before=2) is None
    for file in files(tmp_path):
        file.write_bytes(b"no checkpoint")
    with warned("damaged"), pytest.raises(ValueError, match="all damaged"):
        train(vae, tmp_path)


def test_every_flipped_byte_of_a_checkpoint_is_noticed(tmp_path):
    """Whatever byte of a file changes, reading raises `DamagedCheckpoint`: never silent garbage, never a crash."""
    tree = {"weights": [np.arange(5.0)], ("a", 1): (b"bytes", None, True, float("inf")), "scalar": np.float32(0.1)}
    write_checkpoint(tmp_path / "one", tree)
    content = (tmp_path / "one").read_bytes()
    for i in range(len(content)):
        (tmp_path / "two").write_bytes(content[:i] + bytes([content[i] ^ 0x5A]) + content[i + 1 :])
        with pytest.raises(DamagedCheckpoint):
            read_checkpoint(tmp_path / "two")
    again = read_checkpoint(tmp_path / "one")
    np.testing.assert_array_equal(again["weights"][0], tree["weights"][0])
    assert again["scalar"].dtype == "float32" and again[("a", 1)] == tree[("a", 1)]


def test_with_a_full_disk_training_goes_on_and_the_last_good_checkpoint_loads(tmp_path):
    """A limit on the size of files makes the third write fail, as a full disk does; what was there is untouched."""

    class Full(keras.callbacks.Callback):
        def get_state(self):
            return {}

        def set_state(self, state):
            pass

        def on_train_batch_begin(self, batch, logs=None):
            if len(files(tmp_path)) == 2 and limited:
                resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))

    whole = train(vae, None, interrupt_before=10**6, make_callbacks=lambda: [Full()])
    limits, limited = resource.getrlimit(resource.RLIMIT_FSIZE), True
    try:
        with warned("Training goes on"):
            assert train(vae, tmp_path, make_callbacks=lambda: [Full()], interrupt_before=7) is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        limited = False
    assert len(files(tmp_path)) == 2 and not list(tmp_path.glob(".*"))
    assert_same(pieces(vae, tmp_path, (), make_callbacks=lambda: [Full()]), whole)


def test_a_folder_that_cannot_be_written_to_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="can be written to"):
        train(vae, tmp_path / "file" / "folder")


def test_sigterm_saves_and_ends_the_process_cleanly(tmp_path):
    """`SystemExit(143)` before the next step; what `SIGTERM` did before is restored; the end is the same."""

    class Ask(Interrupt):
        def on_train_batch_begin(self, batch, logs=None):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    whole = train(vae, None, interrupt_before=10**6)
    with pytest.raises(SystemExit) as end:
        train(vae, tmp_path, every=10**6, make_callbacks=lambda: [Ask(3)], interrupt_before=10**6)
    assert end.value.code == 143 and signal.getsignal(signal.SIGTERM) is before
    assert [file.name for file in files(tmp_path)] == ["step_000000000003.ckpt"]
    assert_same(train(vae, tmp_path, make_callbacks=lambda: [Ask(-1)], interrupt_before=10**6), whole)


def test_a_training_that_had_ended_is_restored_and_says_so(tmp_path):
    """The same command again trains nothing; with more epochs it goes on, as one training of so many epochs."""
    whole, longer = train(vae, tmp_path / "a"), train(vae, None, epochs=4)
    with warned("had ended after 3 epochs"):
        assert_same(train(vae, tmp_path / "a"), whole)
    assert_same(train(vae, tmp_path / "a", epochs=4), longer)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    assert train(vae, tmp_path, interrupt_before=2) is None
    for change in ({"batch_size": 16}, {"data": lambda: X() * 0.5}):
        with pytest.raises(ValueError, match="Received another one: .*data"):
            train(vae, tmp_path, **{"interrupt_before": 1, **change})
    with pytest.raises(ValueError, match="Received another one: model"):
        train(wgan_gp, tmp_path, interrupt_before=1)


def test_arguments_are_checked():
    for arguments in ({"every_steps": 0}, {"every_steps": 1.5}, {"every_minutes": -1}, {"keep": 0}, {"keep": None}):
        with pytest.raises(ValueError, match=f"Expected `{next(iter(arguments))}`"):
            ExactResume("folder", **arguments)
    with pytest.raises(ValueError, match="Expected `directory` as a path"):
        ExactResume(None)


def test_it_refuses_another_callback_that_resumes_and_another_kind_of_model(tmp_path):
    with pytest.raises(ValueError, match="one callback that resumes"):
        train(vae, tmp_path, make_callbacks=lambda: [keras.callbacks.BackupAndRestore(tmp_path / "other")])
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match="GenerativeModel"):
        model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0, callbacks=[ExactResume(tmp_path)])


def test_a_callback_with_a_memory_that_it_does_not_tell_is_named(tmp_path):
    class Counting(keras.callbacks.Callback):
        count = 0

        def __init__(self):
            super().__init__()
            self.count = 0

        def on_train_batch_begin(self, batch, logs=None):
            self.count += 1

    with warned("Counting changes while it runs (count)"):
        train(vae, tmp_path, make_callbacks=lambda: [Counting()])


def test_keras_checkpoints_keep_working_beside_it(tmp_path):
    """`ModelCheckpoint` counts on over an interruption, and its `.keras` file loads."""
    path = str(tmp_path / "best.keras")

    def best():
        return [keras.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True, mode="min")]

    whole = train(vae, None, make_callbacks=best, interrupt_before=10**6)
    assert_same(pieces(vae, tmp_path / "run", (5,), make_callbacks=best), whole)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(loaded.sample(2, seed=0).shape, (2, 4, 4))


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="only TensorFlow's graphs differ in their bits")
def test_tensorflow_graphs_are_said_not_to_be_reproducible(tmp_path):
    def graph():
        model = vae()
        model.compile(run_eagerly=False, jit_compile=False)
        return model

    with warned("do not give the same bits twice"):
        train(graph, tmp_path, epochs=1)


@pytest.mark.skipif(keras.config.backend() == "torch", reason="Keras has no steps_per_execution on torch")
def test_several_steps_an_execution(tmp_path):
    """3 steps an execution in epochs of 4: saved between executions, and the same as without interruption."""

    def make():
        model = vae()
        model.compile(keras.optimizers.Adam(1e-2, name="adam"), steps_per_execution=3, run_eagerly=EAGER)
        return model

    whole = train(make, None, interrupt_before=10**6)
    assert_same(pieces(make, tmp_path, (1, 1)), whole)


def test_what_a_model_keeps_outside_of_variables_goes_on(tmp_path):
    """A buffer of earlier data, given by `get_training_state`, as an energy-based model has one."""

    class Replaying(VAE):
        buffer = np.zeros(0)

        def begin_epoch(self):
            self.buffer = np.append(self.buffer, float(self.optimizer.iterations.value))

        def get_training_state(self):
            return {"buffer": self.buffer}

        def set_training_state(self, state):
            self.buffer = state["buffer"]

        def end_epoch(self):
            self.optimizer["model"].learning_rate.assign(1e-3 * (1.0 + self.buffer.sum()))

    def make():
        model = Replaying((4, 4), latent_dim=2, encoder=MLP((8,)), decoder=MLP((8,)), seed=3)
        model.compile(keras.optimizers.Adam(1e-2, name="adam"), run_eagerly=EAGER)
        return model

    whole = train(make, None, interrupt_before=10**6)
    assert_same(pieces(make, tmp_path, (3, 3)), whole)


def test_data_with_an_order_of_its_own_warns(tmp_path):
    """A generator's order is not saved: the rest is restored, with a warning."""

    def data():
        return ((X()[:32],) for _ in range(100))

    arguments = {"data": data, "batch_size": None, "steps_per_epoch": 3}
    assert train(vae, tmp_path, interrupt_before=2, **arguments) is None
    with warned("order of this kind of data"):
        train(vae, tmp_path, interrupt_before=10**6, **arguments)


def test_a_process_that_is_killed_again_and_again_ends_with_the_same_bits():
    """Twice SIGKILL at a random moment of a training of compiled steps, two optimizers, a checkpoint a step."""
    assert kill_and_resume.trial("wgan_gp", 0, 2, 4, random.Random(0))["equal"]


def test_unseeded_draws_go_on(tmp_path):
    """Keras's own Dropout without a seed, and `keras.random` without one, in a callback: the process's generators."""

    class Draws(keras.callbacks.Callback):
        def get_state(self):
            return {}

        def set_state(self, state):
            pass

        def on_epoch_end(self, epoch, logs=None):
            logs["draw"] = float(keras.ops.convert_to_numpy(keras.random.uniform((), 0, 1)))

    def make():
        model = vae()
        layers = [keras.layers.Input((4, 4)), keras.layers.Flatten(), keras.layers.Dropout(0.5)]
        layers += [keras.layers.Dense(8, kernel_initializer=keras.initializers.GlorotUniform(seed=1))]
        model = VAE((4, 4), latent_dim=2, encoder=keras.Sequential(layers), decoder=MLP((8,)), seed=3)
        model.compile(keras.optimizers.Adam(1e-2, name="adam"), run_eagerly=EAGER)
        return model

    arguments = {"make_callbacks": lambda: [Draws()]}
    whole = train(make, None, interrupt_before=10**6, **arguments)
    assert_same(pieces(make, tmp_path, (6, 2), **arguments), whole)


def test_other_settings_are_refused(tmp_path):
    """A changed learning rate, optimizer or weight of a loss: the checkpoint's would silently win."""

    def other(rate=1e-2, optimizer=keras.optimizers.Adam, beta=1.0):
        model = VAE((4, 4), latent_dim=2, encoder=MLP((8,)), decoder=MLP((8,)), beta=beta, seed=3)
        model.compile(optimizer(rate, name="adam"), run_eagerly=EAGER)
        return model

    assert train(other, tmp_path, interrupt_before=2) is None
    for change in ({"rate": 1e-3}, {"optimizer": keras.optimizers.Adamax}, {"beta": 0.5}):
        with pytest.raises(ValueError, match="Received another one: configuration"):
            train(functools.partial(other, **change), tmp_path, interrupt_before=1)


@pytest.mark.parametrize("place", ["before", "behind"])
def test_more_epochs_go_on_from_before_the_end_of_fit(place, tmp_path):
    """Weight averages and the best weights replace the weights when `fit` ends: a longer training does not see that."""

    def stopping():
        return [keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True, mode="min", baseline=0.1)]

    def order(epochs, resume=True):
        own = [ExactResume(tmp_path)] if resume else []
        listed = [*own, *stopping()] if place == "before" else [*stopping(), *own]
        return train(functools.partial(vae, use_ema=True), None, epochs=epochs, callbacks=listed)

    longer, short = order(4, resume=False), order(2, resume=False)
    assert_same(order(2), short)
    with warned("had ended after 2 epochs"):
        assert_same(order(2), short)
    assert_same(order(4), longer)


def test_a_training_that_a_callback_stopped_stays_so(tmp_path):
    """Early stopping would stop a training of more epochs at the same place."""

    def stopping():
        return [keras.callbacks.EarlyStopping("loss", patience=1, mode="max")]

    stopped = train(vae, tmp_path, epochs=4, make_callbacks=stopping)
    assert len(stopped[2]) < 4
    with warned("a callback had stopped it"):
        assert_same(train(vae, tmp_path, epochs=9, make_callbacks=stopping), stopped)


def test_a_checkpoint_gives_its_weights_to_another_training(tmp_path):
    assert train(vae, tmp_path, interrupt_before=6) is None
    model, twin = vae(), wgan_gp()
    load_checkpoint(model, tmp_path)
    model.compile("sgd")
    saved = read_checkpoint(files(tmp_path)[-1])["variables"]
    for variable, value in zip(model.variables, saved, strict=False):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), value)
    with pytest.raises(ValueError, match="other weights"):
        load_checkpoint(twin, tmp_path)
    with pytest.raises(ValueError, match="Received: none"):
        load_checkpoint(twin, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_stop_in_a_resumed_epoch_is_obeyed(tmp_path):
    """In the last batch of a resumed epoch; and stopped within an epoch, it goes on with the next when asked again."""

    class Stop(Interrupt):
        def on_train_batch_end(self, batch, logs=None):
            self.left -= 1
            if self.left == 0:
                self.model.stop_training = True

        def on_train_batch_begin(self, batch, logs=None):
            pass

    assert train(vae, tmp_path, interrupt_before=2, make_callbacks=lambda: [Stop(99)]) is None
    stopped = train(vae, tmp_path, interrupt_before=99, make_callbacks=lambda: [Stop(2)])
    assert stopped[2] == [0]
    assert train(vae, tmp_path / "b", make_callbacks=lambda: [Stop(2)])[2] == [0]
    assert train(vae, tmp_path / "b", make_callbacks=lambda: [Stop(99)])[2] == [0, 1, 2]


def test_a_callback_list_can_be_used_twice():
    model = vae()
    listed = keras.callbacks.CallbackList([], add_history=True, model=model)
    for _ in range(2):
        model.fit(X(), verbose=0, callbacks=listed)
        assert [type(c).__name__ for c in listed.callbacks] == ["History"]


def test_a_dataset_that_changes_between_epochs_is_named(tmp_path):
    class Shuffled(Shards):
        def on_epoch_end(self):
            pass

    with warned("Shuffled changes between epochs"):
        train(vae, tmp_path, data=Shuffled, batch_size=None)


def test_tensors_in_logs_are_saved(tmp_path):
    def log():
        return [keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: logs.update(beta=keras.Variable(1.0)))]

    assert train(vae, tmp_path, interrupt_before=6, make_callbacks=log) is None
    assert len(train(vae, tmp_path, interrupt_before=10**6, make_callbacks=log)[1]["beta"]) == 3


def test_the_order_of_unseeded_data_goes_on(tmp_path):
    """Without a seed it is drawn anew by each process, and taken from the checkpoint by one that goes on."""

    def elsewhere():
        model = vae()
        random.seed(99)
        return model

    whole = train(vae, None, interrupt_before=10**6, seed=None)
    assert train(vae, tmp_path, interrupt_before=2, seed=None) is None
    assert_same(train(elsewhere, tmp_path, interrupt_before=10**6, seed=None), whole)
