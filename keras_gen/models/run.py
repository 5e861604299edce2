"""Where a call of `fit` is: which epoch, how many of its steps are done; and how it goes on from another place.

Keras counts the batches of an epoch from 0. A training that goes on after k steps of an epoch of T runs the T - k that
are left: the stream of data begins at batch k, and the epoch ends when step T is done.
"""

import contextlib

import keras


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
        cleanup: what is undone when `fit` ends, however it ends.
    """

    def __init__(self, model, stream, steps, callbacks):
        super().__init__()
        self.owner, self.stream = model, stream
        self.callbacks = list(getattr(callbacks, "callbacks", callbacks))
        self.steps = steps if stream is None else stream.steps
        self.epoch, self.step, self._skip = 0, 0, 0
        self._open = self._stops_early = False
        self.cleanup = contextlib.ExitStack()

    def __enter__(self):
        self.owner._run = self
        return self

    def __exit__(self, *error):
        self.owner._run = None
        self.owner._initial_epoch = None
        self.cleanup.close()

    def resume(self, epoch, step):
        """Let `fit` go on in `epoch` after `step` of its steps; to be called when training begins."""
        self.owner._initial_epoch = epoch
        self.epoch, self._skip = epoch, step

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
        if self._skip and self.step + self.owner.steps_per_execution >= self.steps and not self.owner.stop_training:
            self.owner.stop_training = self._stops_early = True

    def on_epoch_end(self, epoch, logs=None):
        self.close_epoch()
        logs.update(self.owner._guard.epoch_logs())
        if self._stops_early:
            self.owner.stop_training = self._stops_early = False

    def close_epoch(self):
        """The steps of an epoch are over: `end_epoch`, once."""
        if self._open:
            self._open = False
            self.owner._guard.end_epoch()
            self.owner.end_epoch()
