"""Any number of batch axes made one, and back.

With S the batch of x, C that of a condition and n the rank of an event,

    x (*S, *event)  ->  rows (prod B, *event),    B = broadcast(S, C),    results (prod B, ...)  ->  (*B, ...).
"""

import tensorflow as tf


class Rows:
    """x and a condition as rows, and results of rows as what they were.

    Args:
        x: tensor `(*S, *event)`.
        event: shape of an event, known.
        condition: tensor `(*C, *given)`, or None.
        given: shape of a condition of one event.
        owner: whose events they are, for errors.

    Raises:
        ValueError: x or a condition of another shape.
    """

    def __init__(self, x, event, condition, given, owner):
        self.static, self.batch = _batch_of(x, event, owner)
        if condition is not None:
            static, batch = _batch_of(condition, given, f"a condition of {owner}")
            self.static = tf.broadcast_static_shape(self.static, static)
            self.batch = tf.broadcast_dynamic_shape(self.batch, batch)
            x, condition = (_spread(value, self.batch, shape) for value, shape in ((x, event), (condition, given)))
        self.x = tf.reshape(x, (-1, *event))
        self.condition = None if condition is None else tf.reshape(condition, (-1, *given))

    def back(self, value, shape=()):
        """`(prod B, *shape)` as `(*B, *shape)`."""
        value = tf.reshape(value, tf.concat([self.batch, tf.constant(shape, tf.int32)], 0))
        return tf.ensure_shape(value, self.static.concatenate(shape))


def _batch_of(value, event, owner):
    rank = value.shape.rank
    if rank is None or rank < len(event) or not value.shape[rank - len(event) :].is_compatible_with(event):
        raise ValueError(f"Expected {owner} of shape (..., {', '.join(map(str, event))}). Received: {value.shape}.")
    return value.shape[: rank - len(event)], tf.shape(value)[: rank - len(event)]


def _spread(value, batch, event):
    return tf.broadcast_to(value, tf.concat([batch, tf.constant(event, tf.int32)], 0))
