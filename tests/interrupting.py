"""A callback that stops a training before a step, for the tests of what goes on after it."""

import keras


class Interruption(Exception):
    """What stops a training in these tests."""


class Interrupt(keras.callbacks.Callback):
    """Calls `stop`, which raises by default, before the step number `step` that this process takes."""

    def __init__(self, step, stop=None):
        super().__init__()
        self.left, self.stop = step, stop

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            if self.stop is None:
                raise Interruption
            self.stop()
