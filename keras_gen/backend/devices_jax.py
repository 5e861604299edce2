"""`keras_gen.backend.devices` on JAX: a program is written for the global batch, and XLA divides it among devices.

Under `keras.distribution.DataParallel` and `ModelParallel` a batch is one array, however many devices hold it, and
sums, moments and draws are those of the whole. Processes bring their own rows, of which Keras makes that array.
"""

import contextlib

import jax
import keras
import numpy as np


def replicas():
    return 1


def rows(n):
    return 0, n


def divided(n, parts):
    """Nothing: sizes are not asked for."""


def all_sum(values):
    return values


def summed(variables):
    return contextlib.nullcontext()


def processes():
    distribution = keras.distribution.distribution()
    if distribution is None or jax.process_count() == 1:
        return 0, 1
    return distribution.data_shard_id, min(distribution.num_model_replicas, jax.process_count())


def agree(number):
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int64(number) if jax.config.jax_enable_x64 else number))


def share(variables):
    """Nothing: Keras seeds every process alike, and a replicated array has one value."""
