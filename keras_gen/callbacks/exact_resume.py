"""A training that is interrupted goes on as if nothing had happened.

The state after step s of a training is a tuple (w, o, r, m, c): weights and other variables w of the model (seeds and
moving averages among them), optimizers o, random generators r of the process, running metrics m, and what callbacks
and the history remember, c. One step is a function of it and of the batch, and batch s is a function of (seed, s) alone
(`GenerativeModel.fit`). So it is enough to save the tuple, s and the seed between two steps, and to put them back at
the same place: before the same step, in the same callback, when `fit` is called again.
"""

import numbers
import os
import signal
import sys
import threading
import time
import warnings

import keras
from keras import ops

from keras_gen import backend
from keras_gen.callbacks.checkpoints import Checkpoints
from keras_gen.callbacks.identity import check_same, describe, warn_of_machine
from keras_gen.callbacks.states import CallbackStates, plain


class ExactResume(keras.callbacks.Callback):
    """Makes `fit` resumable: the same command, started again, goes on at the saved step and ends with the same weights.

    Saved are weights, every optimizer, seeds, the order of the data and the place in it, annealed scalars, metrics, the
    history, weight averages, the state of callbacks, and what the model adds by `get_training_state`. The result is
    bit-identical to that of the training without interruption on the same backend, versions, device and number of
    threads; on TensorFlow with `jit_compile=True`, eagerly, or with one inter-op thread: its graphs alone do not give
    the same bits twice.

    Arrays and `keras.utils.PyDataset` go on at their batch (a `PyDataset` must be a pure function of the index),
    Grain's datasets by the state of their iterators. Of `tf.data`, `DataLoader` and generators the order is not known:
    all else is restored, and the epoch goes on with the first batches of a new pass.

    SIGTERM saves before the next step (in validation, and for data without `steps_per_epoch` that order themselves,
    when the epoch is over) and ends the process by `SystemExit(143)`. A second one acts as it did before. A checkpoint
    that cannot be written (full disk) gives a warning; training goes on. A changed setting of model or optimizer is
    refused: the checkpoint's would win. To go on with another learning rate, load the newest checkpoint's weights by
    `load_checkpoint(model, directory)` and give a new folder.

    In an epoch that was gone on with, Keras counts batches from 0: a callback that computes from the batch's number
    must call `model.synchronize()` and take `model.optimizer.iterations` instead.

    Args:
        directory: folder of the checkpoints, one for each call of `fit` in a program.
        every_steps: training steps between checkpoints; None (default): none by steps.
        every_minutes: minutes between checkpoints, default 10; None: none by time.
        keep: how many checkpoints are kept, default 2: the newest, and one before should the disk damage it.

    Raises:
        ValueError: an argument out of range; a folder that cannot be written to; checkpoints of another model, data,
            batch size or backend; `BackupAndRestore` beside it; a model that is no `GenerativeModel`.

    Example:
        >>> import tempfile, numpy as np
        >>> from keras_gen.callbacks import ExactResume
        >>> from keras_gen.models import VAE
        >>> model, folder = VAE((4,), latent_dim=2, seed=0), tempfile.mkdtemp()
        >>> model.compile(run_eagerly=True)
        >>> history = model.fit(np.ones((32, 4)), epochs=3, verbose=0, callbacks=[ExactResume(folder)])
        >>> again = model.fit(np.ones((32, 4)), epochs=5, verbose=0, callbacks=[ExactResume(folder)])
        >>> again.epoch
        [0, 1, 2, 3, 4]

    Reference:
        Keras's `BackupAndRestore` repeats the interrupted epoch, keeps no order of data, no metrics and no state of
        callbacks.
    """

    def __init__(self, directory, *, every_steps=None, every_minutes=10.0, keep=2):
        super().__init__()
        if not isinstance(directory, (str, os.PathLike)):
            raise ValueError(f"Expected `directory` as a path. Received: directory={directory!r}.")
        for name, value, kind in (
            ("every_steps", every_steps, int),
            ("every_minutes", every_minutes, numbers.Real),
            ("keep", keep, int),
        ):
            _check_positive(name, value, kind, optional=name != "keep")
        self.directory, self.every_steps, self.every_minutes, self.keep = directory, every_steps, every_minutes, keep
        self._asked_to_end = self._listens = self._finished = False

    # When training begins: the newest checkpoint is read; Keras is told where to go on.

    def on_train_begin(self, logs=None):
        self._run = getattr(self.model, "_run", None)
        if self._run is None:
            raise ValueError(
                f"Expected a `keras_gen.models.GenerativeModel`. Received: {type(self.model).__name__}. "
                "Keras's own `fit` cannot go on within an epoch: use `keras.callbacks.BackupAndRestore` there."
            )
        self._run.cleanup.callback(self._forget)
        self._states = CallbackStates([c for c in self._run.callbacks if c is not self])
        _check_alone(self._states.callbacks)
        _check_whole(self._variables())
        self._writes = backend.processes()[0] == 0  # of several processes, the first one writes for all
        self._store = Checkpoints(self.directory, self.keep)
        self._store.prepare()
        self._training = describe(self._run, self._states, self._variables())
        self._saved, self._ended = self._store.latest(), None
        self._check_shared()
        if self._saved is not None:
            self._begin_again()
        self._run.after_epoch.append(self._after_epoch)
        self._count_from_here()
        self._listen()
        self._warn()

    def _check_shared(self):
        newest = -1 if self._saved is None else self._run.total(self._saved["epoch"], self._saved["step"])
        if backend.agree(newest) != newest:
            raise ValueError(
                f"Expected a folder that all processes share. Received: {str(self.directory)!r}, in which this process "
                "finds another newest checkpoint than the first one."
            )

    def _begin_again(self):
        saved, epochs = self._saved, self.params["epochs"]
        check_same(saved["training"], self._training)
        warn_of_machine(saved["machine"], backend.machine(self._variables()))
        self._finished = saved["stopped"] or saved["epoch"] >= epochs
        self._run.restore_data(saved["run"], epochs if self._finished else saved["epoch"], saved["step"])
        if self._finished:
            reason = "a callback had stopped it" if saved["stopped"] else "ask for more epochs to go on"
            warnings.warn(
                f"This training had ended after {saved['epoch']} epochs ({reason}): its state is restored, nothing is "
                f"trained. For another training, give another folder than {str(self.directory)!r}.",
                stacklevel=2,
            )
        else:
            self._say(f"Training goes on in epoch {saved['epoch'] + 1} after {saved['step']} steps.")

    def _say(self, text):
        if self.params.get("verbose"):
            print(text, flush=True)

    def _warn(self):
        stream = self._run.stream
        if stream is None and self._saved is not None and not self._finished:
            warnings.warn("The order of this kind of data is not saved: a new pass over it begins.", stacklevel=2)
        if stream is not None and getattr(stream.source, "changes", False):
            warnings.warn(
                f"{type(stream.source.data).__name__} changes between epochs, which is not saved: a resumed training "
                "differs. Give it a method `at(pass_index, batch_index, seed)` instead of `on_epoch_end`.",
                stacklevel=2,
            )
        if not backend.reproducible(self.model):
            warnings.warn(
                "TensorFlow's graphs do not give the same bits twice, interrupted or not. For a resumed training with "
                "the bits of an uninterrupted one: `compile(jit_compile=True)`, or "
                "`tf.config.threading.set_inter_op_parallelism_threads(1)` when the program begins.",
                stacklevel=2,
            )

    # Between two steps: put back what was saved here, or save.

    def on_epoch_begin(self, epoch, logs=None):
        if self._saved is not None and not self._saved["step"]:
            self._restore()
        elif self._saved is None and self._is_due():
            self._save_here()

    def on_train_batch_begin(self, batch, logs=None):
        if self._saved is not None:
            self._restore()
        elif self._run.step and self._is_due():
            self._save_here()

    def _after_epoch(self):
        """The last epoch is over, for all callbacks: what a training of more epochs would go on with."""
        epoch, stop = self._run.epoch, bool(self.model.stop_training)
        if stop or epoch + 1 >= self.params["epochs"]:
            stopped = stop and self._run.is_last()  # one that was stopped within an epoch goes on with the next
            self._ended = self._tree(epoch + 1, 0, stopped)

    def on_train_end(self, logs=None):
        if self._saved is not None:  # there was nothing left to train
            self._restore()
        elif self._ended is not None:
            self._write({**self._ended, "final": self._changed_since(self._ended["variables"])})
        self._end_if_asked()

    def _changed_since(self, values):
        """What the end of `fit` made of the variables, by weight averages or the best weights: place and value."""
        now = [_array(v) for v in self._variables()]
        return [(i, a) for i, (a, b) in enumerate(zip(now, values, strict=True)) if a.tobytes() != b.tobytes()]

    def _is_due(self):
        steps = self._run.total(self._run.epoch, self._run.step) - self._last_step
        by_steps = self.every_steps is not None and steps >= self.every_steps
        by_time = self.every_minutes is not None and time.monotonic() - self._last_time >= 60 * self.every_minutes
        within_epoch = self._run.step and self._run.steps is None  # an epoch of unknown length cannot be gone on with
        return (by_steps or by_time or self._asked_to_end) and not within_epoch

    def _count_from_here(self):
        self._last_step = self._run.total(self._run.epoch, self._run.step)
        self._last_time = time.monotonic()

    # The state.

    def _save_here(self):
        self._write(self._tree(self._run.epoch, self._run.step, stopped=False))
        self._end_if_asked()

    def _write(self, tree):
        try:
            if self._writes:
                self._store.save(self._run.total(tree["epoch"], tree["step"]), tree)
        except OSError as error:
            where = str(self.directory)
            warnings.warn(f"No checkpoint was written in {where!r}: {error}. Training goes on.", stacklevel=2)
        self._count_from_here()

    def _tree(self, epoch, step, stopped):
        self.model.synchronize()
        run, history = self._run.state(epoch, step), self.model.history
        return {
            "epoch": epoch,
            "step": step,
            "stopped": stopped,
            "training": self._training,
            "machine": backend.machine(self._variables()),
            "run": run,
            "variables": [_array(v) for v in self._variables()],
            "final": [],
            "callbacks": self._states.get(),
            "history": plain([history.history, history.epoch]),
            "random": backend.random_state(),
        }

    def _restore(self):
        saved, self._saved = self._saved, None
        self.model.synchronize()
        values = dict(enumerate(saved["variables"])) | (dict(saved["final"]) if self._finished else {})
        for i, variable in enumerate(self._variables()):
            variable.assign(values[i])
            _array(variable)  # waits: processes of JAX must not begin a step while they still exchange values
        if not saved["step"]:
            self.model.reset_metrics()
        self._run.restore(saved["run"])
        self._states.set(saved["callbacks"])
        self.model.history.history, self.model.history.epoch = saved["history"]
        backend.set_random_state(saved["random"])
        self._count_from_here()

    def _variables(self):
        """Every variable of the training, each once; but the record of losses, whose length is an option."""
        model = self.model
        variables = (*model.variables, *model.metrics_variables, *model.optimizer.variables)
        return list({id(v): v for v in variables if v is not model.optimizer.record}.values())

    def _forget(self):
        """`fit` ends, however it ends."""
        self._listen_no_more()
        self._run = self._saved = self._ended = self._states = None

    # SIGTERM.

    def _listen(self):
        self._asked_to_end = False
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._on_signal)
            self._listens = True

    def _on_signal(self, number, frame):
        self._asked_to_end = True
        self._listen_no_more()

    def _listen_no_more(self):
        if self._listens:
            self._listens = False
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._before is None else self._before)

    def _end_if_asked(self):
        if self._asked_to_end:
            self._say(f"Asked to end: saved in {str(self.directory)!r} after {self._last_step} steps.")
            sys.exit(128 + signal.SIGTERM)


def load_checkpoint(model, directory):
    """Give `model` the weights, moving statistics and seeds of the newest checkpoint of `ExactResume` in `directory`.

    For a new training that begins where another one was, with other settings: its optimizers begin anew.

    Args:
        model: a model of the same architecture.
        directory: the folder that `ExactResume` was given.

    Raises:
        ValueError: no checkpoint there, or one of a model with other weights.

    Example:
        >>> import tempfile, numpy as np
        >>> from keras_gen.callbacks import ExactResume, load_checkpoint
        >>> from keras_gen.models import VAE
        >>> folder, x = tempfile.mkdtemp(), np.random.default_rng(0).uniform(size=(32, 4))
        >>> model, other = VAE((4,), latent_dim=2), VAE((4,), latent_dim=2)
        >>> model.compile(run_eagerly=True)
        >>> history = model.fit(x, verbose=0, callbacks=[ExactResume(folder)])
        >>> load_checkpoint(other, folder)
        >>> bool(np.allclose(model.encode(x), other.encode(x)))
        True
    """
    saved = Checkpoints(directory).latest()
    shapes = [list(v.shape) for v in model.variables]
    if saved is None or [shape for shape, _ in saved["training"]["variables"][: len(shapes)]] != shapes:
        found = "none" if saved is None else f"one of a {saved['training']['model']} with other weights"
        raise ValueError(
            f"Expected a checkpoint of a {type(model).__name__} in {str(directory)!r}. Received: {found}. "
            "Build the model as it was when it was trained."
        )
    for variable, value in zip(model.variables, saved["variables"], strict=False):
        variable.assign(value)


def _check_positive(name, value, kind, optional):
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, kind) or not value > 0:
        what = "a positive integer" if kind is int else "a positive number"
        raise ValueError(f"Expected `{name}` as {what}{', or None' * optional}. Received: {name}={value!r}.")


def _array(variable):
    """The value as numpy; 16-bit floats that numpy does not know, in float32, which is exact."""
    value = ops.convert_to_numpy(variable.value)
    return value.astype("float32") if value.dtype.kind == "V" else value


def _check_alone(callbacks):
    refused = (keras.callbacks.BackupAndRestore, ExactResume)
    if other := [type(c).__name__ for c in callbacks if isinstance(c, refused)]:
        raise ValueError(f"Expected one callback that resumes. Received beside `ExactResume`: {other}. Leave it out.")


def _check_whole(variables):
    for variable in variables:
        if not backend.whole(variable):
            raise ValueError(
                "Expected weights of which each process has the whole. Received: weights spread over processes "
                "(`ModelParallel`). Save them by a checkpointing library for JAX, such as Orbax."
            )
