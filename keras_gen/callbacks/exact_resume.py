"""A training that is interrupted goes on as if nothing had happened.

The state after step s of a training is a tuple (w, o, r, m, c): weights and other variables w of the model (seeds and
moving averages among them), optimizers o, random generators r of the process, running metrics m, and what callbacks
and the history remember, c. One step is a function of it and of the batch, and batch s is a function of (seed, s) alone
(`GenerativeModel.fit`). So it is enough to save the tuple, s and the seed between two steps, and to put them back at
the same place: before the same step, in the same callback, when `fit` is called again.
"""

import importlib.metadata
import numbers
import os
import random
import signal
import sys
import threading
import time
import warnings

import keras
import numpy as np
from keras import ops

from keras_gen import backend
from keras_gen.callbacks.checkpoints import Checkpoints
from keras_gen.callbacks.states import CallbackStates

_FORMAT = 1


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

    SIGTERM saves before the next step and ends the process by `SystemExit(143)`. A second one acts as it did before.
    A checkpoint that cannot be written (full disk) gives a warning; training goes on.

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
        >>> model.compile()
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
        _positive(every_steps, "every_steps", int)
        _positive(every_minutes, "every_minutes", numbers.Real)
        _positive(keep, "keep", int)
        self.directory, self.every_steps, self.every_minutes, self.keep = directory, every_steps, every_minutes, keep
        self._asked_to_end = False

    # When training begins: the newest checkpoint is read; Keras is told where to go on.

    def on_train_begin(self, logs=None):
        self._run = getattr(self.model, "_run", None)
        if self._run is None:
            raise ValueError(
                f"Expected a `keras_gen.models.GenerativeModel`. Received: {type(self.model).__name__}. "
                "Keras's own `fit` cannot go on within an epoch: use `keras.callbacks.BackupAndRestore` there."
            )
        self._others = [c for c in self._run.callbacks if c is not self]
        _check_alone(self._others)
        self._store = Checkpoints(self.directory, self.keep)
        self._states = CallbackStates(self._others)
        self._saved = self._store.latest()
        if self._saved is not None:
            self._begin_again()
        self._count_from_here()
        self._listen()
        if not backend.reproducible(self.model):
            warnings.warn(
                "TensorFlow's graphs do not give the same bits twice, interrupted or not. For a resumed training with "
                "the bits of an uninterrupted one: `compile(jit_compile=True)`, or "
                "`tf.config.threading.set_inter_op_parallelism_threads(1)` when the program begins.",
                stacklevel=2,
            )

    def _begin_again(self):
        saved, run = self._saved, self._run
        _check_same(saved["training"], self._description())
        _warn_of_machine(saved["machine"], _machine())
        finished = saved["stopped"] or saved["epoch"] >= self.params["epochs"]
        run.resume(self.params["epochs"] if finished else saved["epoch"], saved["step"])
        if run.stream is not None:
            run.stream.seed = saved["seed"]
            run.stream.source.restore(saved["data"], self._steps(saved["epoch"], saved["step"]))
        elif not finished:
            warnings.warn("The order of this kind of data is not saved: a new pass over it begins.", stacklevel=2)
        if finished:
            warnings.warn(
                f"This training had ended after {saved['epoch']} epochs: its state is restored, nothing is trained. "
                f"Ask for more epochs, or give another folder than {str(self.directory)!r}.",
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

    def on_train_end(self, logs=None):
        if self._saved is not None:  # there was nothing left to train
            self._restore()
        else:
            self._save(epoch=self._run.epoch + 1, step=0, stopped=bool(self.model.stop_training))
        self._end_if_asked()
        self._listen_no_more()

    def _is_due(self):
        steps = self._steps(self._run.epoch, self._run.step) - self._last_step
        by_steps = self.every_steps is not None and steps >= self.every_steps
        by_time = self.every_minutes is not None and time.monotonic() - self._last_time >= 60 * self.every_minutes
        within_epoch = self._run.step and self._run.steps is None  # an epoch of unknown length cannot be gone on with
        return (by_steps or by_time or self._asked_to_end) and not within_epoch

    def _steps(self, epoch, step):
        return epoch * (self._run.steps or 1) + step

    def _count_from_here(self):
        self._last_step = self._steps(self._run.epoch, self._run.step)
        self._last_time = time.monotonic()

    # The state.

    def _save_here(self):
        self._save(self._run.epoch, self._run.step, stopped=False)
        self._end_if_asked()

    def _save(self, epoch, step, stopped):
        self.model._guard.look(weights=True)  # a checkpoint holds nothing that is not finite
        tree = {"epoch": epoch, "step": step, "stopped": stopped, **self._state(epoch, step)}
        try:
            if backend.processes()[0] == 0:  # of several processes, the first one writes for all
                self._store.save(self._steps(epoch, step), tree)
        except OSError as error:
            where = str(self.directory)
            warnings.warn(f"No checkpoint was written in {where!r}: {error}. Training goes on.", stacklevel=2)
        self._last_step, self._last_time = self._steps(epoch, step), time.monotonic()

    def _state(self, epoch, step):
        stream, history = self._run.stream, self.model.history
        return {
            "training": self._description(),
            "machine": _machine(),
            "seed": None if stream is None else stream.seed,
            "data": None if stream is None else stream.source.state(self._steps(epoch, step)),
            "variables": [_array(v) for v in self._variables()],
            "model": self.model.get_training_state(),
            "callbacks": self._states.get(),
            "history": [dict(history.history), list(history.epoch)],
            "random": [random.getstate(), np.random.get_state()],
        }

    def _restore(self):
        saved, self._saved = self._saved, None
        self.model.synchronize()
        for variable, value in zip(self._variables(), saved["variables"], strict=True):
            variable.assign(value)
        self.model.set_training_state(saved["model"])
        self._states.set(saved["callbacks"])
        self.model.history.history, self.model.history.epoch = saved["history"]
        random.setstate(saved["random"][0])
        np.random.set_state(saved["random"][1])
        if not saved["step"]:
            self.model.reset_metrics()
        self.model._guard.close()  # what it kept is older
        self._count_from_here()

    def _variables(self):
        """Every variable of the training, each once; but the record of losses, whose length is an option."""
        model = self.model
        variables = (*model.variables, *model.metrics_variables, *model.optimizer.variables)
        return list({id(v): v for v in variables if v is not model.optimizer.record}.values())

    def _description(self):
        """What must be the same for a training to go on."""
        stream = self._run.stream
        return {
            "format": _FORMAT,
            "model": type(self.model).__name__,
            "backend": keras.config.backend(),
            "steps an epoch": self._run.steps,
            "data": {} if stream is None else stream.source.fingerprint(),
            "callbacks": [type(c).__name__ for c in self._others],
            "variables": [[list(v.shape), keras.backend.standardize_dtype(v.dtype)] for v in self._variables()],
        }

    # SIGTERM.

    def _listen(self):
        self._asked_to_end = False
        self._handler = None
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGTERM, self._on_signal)
            self._run.cleanup.callback(self._listen_no_more)  # also when `fit` ends by an error

    def _on_signal(self, number, frame):
        self._asked_to_end = True
        self._listen_no_more()

    def _listen_no_more(self):
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
            self._handler = None

    def _end_if_asked(self):
        if self._asked_to_end:
            sys.exit(128 + signal.SIGTERM)


def _positive(value, name, kind):
    if value is not None and (isinstance(value, bool) or not isinstance(value, kind) or not value > 0):
        raise ValueError(f"Expected `{name}` as a positive number, or None. Received: {name}={value!r}.")


def _array(variable):
    """The value as numpy; 16-bit floats that numpy cannot store in full precision of float32, which is exact."""
    value = ops.convert_to_numpy(variable.value)
    return value.astype("float32") if value.dtype.kind == "V" else value


def _check_alone(callbacks):
    refused = (keras.callbacks.BackupAndRestore, ExactResume)
    if other := [type(c).__name__ for c in callbacks if isinstance(c, refused)]:
        raise ValueError(f"Expected one callback that resumes. Received beside `ExactResume`: {other}. Leave it out.")


def _check_same(saved, now):
    different = [name for name in now if saved.get(name) != now[name]]
    if different:
        said = "; ".join(f"{name}: {_short(saved.get(name))}, now {_short(now[name])}" for name in different)
        raise ValueError(
            f"Expected the training that the checkpoints are of. Received another one: {said}. "
            "Start the same command, or give another folder."
        )


def _short(value):
    text = str(value)
    return text if len(text) < 120 else text[:117] + "..."


def _machine():
    """What the last bits of a result depend on, beside the program."""
    package = {"tensorflow": "tensorflow", "jax": "jaxlib", "torch": "torch"}[keras.config.backend()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    version = sys.modules["tensorflow"].__version__ if package == "tensorflow" else importlib.metadata.version(package)
    return {
        "keras": keras.__version__,
        package: version,
        "cores": cores,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }


def _warn_of_machine(saved, now):
    if saved != now:
        warnings.warn(
            f"The checkpoint was written with {saved}; now there is {now}. Training goes on, but the last bits of its "
            "result may differ.",
            stacklevel=2,
        )
