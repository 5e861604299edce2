"""A training by two processes that is killed, as a program: `python -m tests.resume_processes FOLDER STOP INDEX PORT`.

`ExactResume` saves in FOLDER after each step; before step STOP of this program the process ends as if killed, with
status 9. A training that came to its end is compared with one that was not interrupted: all of weights and moments,
bit for bit.
"""

import os
import sys

import keras
import numpy as np

from keras_gen.callbacks import ExactResume
from tests.many_devices import images, jax_process, leave, torch_process
from tests.wgan_gp import WGANGP


class Kill(keras.callbacks.Callback):
    """Ends the process before its step number `left`."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            os._exit(9)


def train(callbacks):
    keras.utils.set_random_seed(0)
    model = WGANGP((8, 8), units=8, critic_steps=2, seed=3)
    model.compile({p: keras.optimizers.Adam(1e-3) for p in ("critic", "generator")})
    model.fit(images(96)[0], batch_size=32, epochs=3, seed=5, verbose=0, callbacks=callbacks)
    return [keras.ops.convert_to_numpy(v.value) for v in (*model.variables, *model.optimizer.variables)]


def main(folder, stop, index, port):
    {"torch": torch_process, "jax": jax_process}[keras.config.backend()](index, port)
    resumed = train([ExactResume(folder, every_steps=1), Kill(int(stop))])
    for one, other in zip(resumed, train([]), strict=True):
        np.testing.assert_array_equal(one, other)
    if keras.config.backend() == "torch":
        leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
