"""A training by two processes that is killed, as a program: `python -m tests.resume_processes FOLDER STOP INDEX PORT`.

`ExactResume` saves in FOLDER after each step, and process 1 must not write; before step STOP of this program the
process ends as if killed, with status 9. A training that came to its end is compared with one that was not interrupted:
all of weights and moments, bit for bit.
"""

import os
import sys

import keras
import numpy as np

from keras_gen.callbacks import ExactResume
from keras_gen.callbacks.checkpoints import Checkpoints
from tests.interrupting import Interrupt
from tests.many_devices import images, jax_process, leave, torch_process
from tests.wgan_gp import WGANGP


def refuse(*arguments):
    raise AssertionError("process 1 wrote a checkpoint")


def train(callbacks):
    keras.utils.set_random_seed(0)
    model = WGANGP((8, 8), units=8, critic_steps=2, seed=3)
    model.compile({p: keras.optimizers.Adam(1e-3) for p in ("critic", "generator")})
    model.fit(images(96)[0], batch_size=32, epochs=3, seed=5, verbose=0, callbacks=callbacks)
    return [keras.ops.convert_to_numpy(v.value) for v in (*model.variables, *model.optimizer.variables)]


def main(folder, stop, index, port):
    {"torch": torch_process, "jax": jax_process}[keras.config.backend()](index, port)
    if index == "1":
        Checkpoints.save = refuse
    kill = Interrupt(int(stop), stop=lambda: os._exit(9))
    resumed = train([ExactResume(folder, every_steps=1), kill])
    for one, other in zip(resumed, train([]), strict=True):
        np.testing.assert_array_equal(one, other)
    if keras.config.backend() == "torch":
        leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
