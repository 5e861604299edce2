"""An interrupted training, started again, ends with the bits of the one that was not interrupted."""

import functools
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gen.callbacks import Anneal, ExactResume
from keras_gen.models import VAE
from keras_gen.networks import MLP
from tests.wgan_gp import WGANGP, digits

# On TensorFlow a compiled step differs in its last bit from one trace to another within a process.
EAGER = keras.config.backend() == "tensorflow"
X = functools.cache(lambda: digits()[:100, ::2, ::2])


class Interruption(Exception):
    """What stops a training in these tests."""


class Interrupt(keras.callbacks.Callback):
    """Raises before the step-th step that this process takes."""

    def __init__(self, step):
        super().__init__()
        self.left = step

    def get_state(self):
        return {}

    def set_state(self, state):
        pass

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise Interruption


def vae(dtype=None, use_ema=False):
    model = VAE((4, 4), latent_dim=2, encoder=MLP((8,), dtype=dtype), decoder=MLP((8,), dtype=dtype), seed=3, dtype=dtype)
    optimizer = keras.optimizers.Adam(1e-2, use_ema=use_ema, ema_overwrite_frequency=5 if use_ema else None, name="adam")
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


def train(make, folder, data=None, interrupt_before=None, make_callbacks=list, every=1, epochs=3, **arguments):
    """The model after `fit`, and its history; None if it was interrupted."""
    keras.utils.set_random_seed(0)
    model = make()
    resume = [] if folder is None else [ExactResume(folder, every_steps=every)]
    interrupt = [] if interrupt_before is None else [Interrupt(interrupt_before)]
    arguments = {"batch_size": 32, "seed": 5, **arguments}
    try:
        history = model.fit(
            X() if data is None else data(), epochs=epochs, verbose=0, callbacks=[*resume, *make_callbacks(), *interrupt],
            **arguments,
        )
    except Interruption:
        return None
    return state(model), history.history, history.epoch


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
