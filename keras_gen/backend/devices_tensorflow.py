"""`keras_gen.backend.devices` on TensorFlow: the replicas of `tf.distribute.MirroredStrategy`.

Inside of `strategy.run` the replica context knows the others; outside of a strategy there is one replica.
"""

import contextlib

import keras
import tensorflow as tf


def _context():
    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context


def replicas():
    """P, the number of replicas that run this step."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def rows(n):
    """`(o_r, N)`: where this replica's `n` rows lie in the global batch."""
    context = _context()
    if context is None:
        return 0, n
    after = tf.range(context.num_replicas_in_sync + 1) > tf.cast(context.replica_id_in_sync_group, "int32")
    ends = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(after, tf.cast(n, "float32"), 0.0))
    ends = tf.cast(ends, "int32")
    return ends[context.replica_id_in_sync_group], ends[-1]


def divided(n, parts):
    """Nothing: sizes are known when a graph runs."""


def all_sum(values):
    """The sum over the replicas of each tensor."""
    context = _context()
    return values if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def summed(variables):
    """A context in which sums of each replica read as sums over all."""
    if _context() is None or not variables:
        return contextlib.nullcontext()
    return keras.StatelessScope(list(zip(variables, all_sum([v.value for v in variables]), strict=True)))


def processes():
    """`(index, count)` of the processes that divide the data."""
    return 0, 1


def agree(number):
    """The int of process 0."""
    return number


def share(variables):
    """Nothing: there is one process."""
