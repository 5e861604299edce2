"""Streams of batches as `tf.data.Dataset`: what Keras iterates on TensorFlow. Other backends iterate in Python."""

import keras
import numpy as np
import tensorflow as tf


def row_dataset(rows, arrays, dtypes, width):
    """A `tf.data.Dataset` of batches of rows of `arrays`.

    Args:
        rows: function that gives the row numbers of an epoch, `(steps, batch_size)` int64; -1: no row.
        arrays, dtypes: numpy arrays (or None), and the dtypes of their batches.
        width: the size of every batch, or None if some are smaller.
    """
    indices = tf.data.Dataset.range(1).map(lambda _: tf.numpy_function(rows, [], tf.int64))
    indices = indices.flat_map(lambda table: tf.data.Dataset.from_tensor_slices(tf.ensure_shape(table, (None, width))))
    if width is None:
        indices = indices.map(lambda r: r[: tf.reduce_sum(tf.cast(r >= 0, tf.int32))])
    kept = [(tf.constant(a), d) for a, d in zip(arrays, dtypes, strict=True) if a is not None]
    whole = tf.data.Dataset.from_tensors(tuple(a for a, _ in kept)).repeat()

    def take(rows, tensors):
        taken = iter([tf.cast(tf.gather(t, rows), d) for t, (_, d) in zip(tensors, kept, strict=True)])
        return tuple(None if a is None else next(taken) for a in arrays)

    return _prepared(tf.data.Dataset.zip((indices, whole)).map(take, num_parallel_calls=tf.data.AUTOTUNE))


def batch_dataset(batches, example):
    """A `tf.data.Dataset` of what `batches()` yields, batches like `example` of any size."""
    signature = keras.tree.map_structure(
        lambda t: tf.TensorSpec((None, *np.shape(t)[1:]), tf.as_dtype(np.asarray(t).dtype)), example
    )
    return _prepared(tf.data.Dataset.from_generator(batches, output_signature=signature))


def _prepared(dataset):
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False  # it would copy the captured data
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
