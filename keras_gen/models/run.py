"""Where a call of `fit` is: which epoch, how many of its steps are done; and how it goes on from another place.

Keras counts the batches of an epoch from 0. A training that goes on after k steps of an epoch of T runs the T - k that
are left: the stream of data begins at batch k, and the epoch ends when step T is done.
"""

import contextlib

import keras


class _EpochIsOver:
    """What `stop_training` is when the epoch that was gone on with ends: true, and not what a callback would set."""


class Run(keras.callbacks.Callback):
    """The model's own callback, before the user's: counts, and tells the model that epochs begin and end.

    It acts when a batch begins, never when one ends: Keras would wait for the logs of every step.

    Args:
        model: the model that trains.
        stream: the `Stream` of its data, or None for data with an order of its own.
        steps: steps an epoch, None if unknown.
        callbacks: the user's callbacks.

    Attributes:
        epoch, step: the epoch, and how many of its steps are done, when a batch or an epoch begins.
        last: a callback behind the user's; it calls the functions in the list `after_epoch` when an epoch has ended.
        cleanup: what is undone when `fit` ends, however it ends.
    """

    def __init__(self, model, stream, steps, callbacks):
        super().__init__()
        self.owner, self.stream = model, stream
        self.callbacks = list(getattr(callbacks, "callbacks", callbacks))
        self.steps = steps if stream is None else stream.steps
        self.epoch, self.step, self._skip = 0, 0, 0
        self._open, self.after_epoch = False, []
        self.last = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: [call() for call in self.after_epoch])
        self.cleanup = contextlib.ExitStack()

    def __enter__(self):
        self.owner._run = self
        return self

    def __exit__(self, *error):
        self.owner._run = None
        self.owner._initial_epoch = None
        self.cleanup.close()

    def on_epoch_begin(self, epoch, logs=None):
        if epoch != self.epoch:
            self._skip = 0
        self.epoch, self.step = epoch, self._skip
        if self.stream is not None:
            self.stream.epoch, self.stream.skip = epoch, self._skip
        self._open = True
        if not self._skip:
            self.owner.begin_epoch()

    def on_train_batch_begin(self, batch, logs=None):
        self.step = self._skip + batch
        self.owner._guard.begin_batch(batch)
        if self._skip and self.is_last() and not self.owner.stop_training:
            self.owner.stop_training = _EpochIsOver()

    def on_epoch_end(self, epoch, logs=None):
        self.close_epoch()
        logs.update(self.owner._guard.epoch_logs())
        if isinstance(self.owner.stop_training, _EpochIsOver):
            self.owner.stop_training = False

    def is_last(self):
        """Whether the epoch is over after this batch; of an epoch of unknown length that is not known."""
        return self.steps is None or self.step + self.owner.steps_per_execution >= self.steps

    def close_epoch(self):
        """The steps of an epoch are over: `end_epoch`, once."""
        if self._open:
            self._open = False
            self.owner._guard.end_epoch()
            self.owner.end_epoch()

    # What a training needs that goes on in another process, beside the variables.

    def total(self, epoch, step):
        """The training steps before `step` of `epoch`."""
        return epoch * (self.steps or 1) + step

    def state(self, epoch, step):
        """A dict of plain values and arrays; after a look at the losses, so that none is of a state with NaN."""
        stream, model = self.stream, self.owner
        return {
            "guard": model._guard.state(),
            "seed": None if stream is None else stream.seed,
            "data": None if stream is None else stream.source.state(self.total(epoch, step)),
            "names": [list(means.names) for means in (model._train_means, model._test_means)],
            "model": model.get_training_state(),
        }

    def restore_data(self, state, epoch, step):
        """Go on in `epoch` after `step` of its steps, with the data that are due; to be called when training begins."""
        self.owner._initial_epoch = epoch
        self.epoch, self._skip = epoch, step
        if self.stream is not None:
            self.stream.seed = state["seed"]
            self.stream.source.restore(state["data"], self.total(epoch, step))

    def restore(self, state):
        """Put back what `state` gave; the variables have their values."""
        model = self.owner
        for means, names in zip((model._train_means, model._test_means), state["names"], strict=True):
            means.names[:] = names
        model.set_training_state(state["model"])
        model._guard.set_state(state["guard"])
