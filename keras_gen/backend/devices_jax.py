"""`keras_gen.backend.devices` on JAX: a program is written for the global batch, and XLA divides it among devices.

Under `keras.distribution.DataParallel` and `ModelParallel` a batch is one array, however many devices hold it, and
sums, moments and draws are those of the whole. Processes bring their own rows, of which Keras makes that array.
"""

import contextlib

import jax
import keras
import numpy as np


def replicas():
    """P, the number of replicas that run this step."""
    return 1


def rows(n):
    """`(o_r, N)`: where this replica's `n` rows lie in the global batch."""
    return 0, n


def divided(n, parts):
    """Nothing: sizes are not asked for."""


def all_sum(values):
    """The sum over the replicas of each tensor."""
    return values


def summed(variables):
    """A context in which sums of each replica read as sums over all."""
    return contextlib.nullcontext()


def processes():
    """`(index, count)` of the processes that divide the data."""
    distribution = keras.distribution.distribution()
    if distribution is None or jax.process_count() == 1:
        return 0, 1
    return distribution.data_shard_id, min(distribution.num_model_replicas, jax.process_count())


def shards():
    """The number of parts into which the devices divide a batch."""
    distribution = keras.distribution.distribution()
    if distribution is None or distribution.batch_dim_name is None:
        return 1
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]


def agree(number):
    """The int of process 0."""
    if jax.process_count() == 1:
        return number
    from jax.experimental import multihost_utils

    return int(multihost_utils.broadcast_one_to_all(np.int64(number) if jax.config.jax_enable_x64 else number))


def share(variables):
    """Nothing: Keras seeds every process alike, and a replicated array has one value."""
