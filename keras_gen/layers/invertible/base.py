"""What a bijection is: an invertible map of events whose change of volume is known.

A bijection z = f(x) of events x of shape `event_shape` answers two questions, each for a batch of events,

    forward_and_log_det(x)    z = f(x)         and  log |det df/dx|      (data to latents)
    inverse_and_log_det(z)    x = f^-1(z)      and  log |det df^-1/dz| = - log |det df/dx|  at that x

the log-determinants of shape `(batch,)`. With a density p_Z of the latents, that of the data is

    log p(x) = log p_Z(f(x)) + log |det df/dx|.                                                             (1)

The sign follows from the map's direction: f from data to latents adds its log-determinant; whoever writes the map g
from latents to data subtracts that of g. For an elementwise map the determinant is a product over the elements and
its logarithm a sum, of log |f'(x_i)|: of the logarithms of the scales, not of the scales.

A subclass writes `_forward` and `_inverse`; this base builds, casts and checks. Events are computed in float32 at
least, or in float64 under that policy, whatever the dtype policy: a map and its inverse in half precision do not find
back. The networks inside a bijection follow the policy.

Reference:
    G. Papamakarios et al., "Normalizing flows for probabilistic modeling and inference", arXiv:1912.02762 (2021),
    equations 3 to 6.
"""

import keras
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.invertible.checks import check_batches, check_event, check_known


class Bijection(keras.layers.Layer):
    """An invertible map of events, with its log-determinant. Abstract.

    `bijection(x)` is z = f(x). Both directions take a `condition`, a float tensor `(batch, ...)` of features, by those
    that say `takes_condition`; the others refuse one.

    A subclass writes `_forward(x, condition, training)` and `_inverse(z, condition, training)`, which give the pair of
    the event and the log-determinant `(batch,)`; `build(x_shape, condition_shape)` if it has weights, by `real_weight`;
    `latent_shape(event_shape)` if z is of another shape; and `initialize(x, condition)`, with a weight `initialized` of
    booleans, if it is set from data.

    Args:
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Example:
        >>> import keras
        >>> from keras import ops
        >>> from keras_gen.layers import Bijection
        >>> class Cube(Bijection):
        ...     "z = x^3."
        ...     def _forward(self, x, condition, training):
        ...         return x**3, ops.sum(ops.log(3.0 * x**2), axis=-1)
        ...     def _inverse(self, z, condition, training):
        ...         x = ops.sign(z) * ops.abs(z) ** (1 / 3)
        ...         return x, -ops.sum(ops.log(3.0 * x**2), axis=-1)
        >>> z, log_det = Cube().forward_and_log_det(2.0 * ops.ones((5, 2)))
        >>> tuple(z.shape), tuple(log_det.shape), round(float(log_det[0]), 3)
        ((5, 2), (5,), 4.97)
        >>> tuple(Cube().inverse(z).shape)
        (5, 2)
    """

    takes_condition = False
    """Whether the map depends on a condition."""

    initialized = None
    """Of a map that is set from data: a weight that says whether it has been, and `initialize` sets. Else None."""

    def __init__(self, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        check_dtype(self.dtype_policy, type(self).__name__)
        self.event_shape = self.given_shape = None

    # What a subclass writes.

    def _forward(self, x, condition, training):
        raise NotImplementedError(f"{type(self).__name__} has no forward map.")

    def _inverse(self, z, condition, training):
        raise NotImplementedError(f"{type(self).__name__} has no inverse map.")

    def latent_shape(self, event_shape):
        """Shape of z for an event x of shape `event_shape`, both without the batch; by default the same."""
        return tuple(event_shape)

    def validate(self, x):
        """Raise `ValueError` if the numpy array x lies out of the domain of the map; by default nothing does."""

    def validate_latent(self, z):
        """Raise `ValueError` if the numpy array z lies out of the domain of the inverse; by default nothing does."""

    def initialize(self, x, condition=None):
        """Set what is set from data, such as `ActNorm`, by a first batch; gives z. By default there is nothing."""
        return self.forward_and_log_det(x, condition, training=True)[0]

    def initialize_inverse(self, z, condition=None):
        """As `initialize`, where data come to the other side, as within an `Inverse`: by a batch of z; gives x."""
        return self.inverse_and_log_det(z, condition, training=True)[0]

    def refresh(self):
        """Bring what is kept of the weights, such as an inverse, up to date. By default nothing is kept."""

    # Both directions.

    def forward_and_log_det(self, x, condition=None, training=False):
        """z = f(x) and log |det df/dx|.

        Args:
            x: tensor `(batch, *event_shape)`.
            condition: tensor `(batch, ...)`, or None.
            training: bool, for bijections and networks that differ then.

        Returns:
            z, `(batch, *latent_shape)`, and `(batch,)`, nats; in float32, or in float64 under that policy.

        Raises:
            ValueError: events of another shape than those it was built for; a condition that is missing, not taken, or
                of another batch.
        """
        x, condition = self._ready(x, condition)
        check_event(self, "forward", tuple(x.shape), self.event_shape)
        return self._forward(x, condition, training)

    def inverse_and_log_det(self, z, condition=None, training=False):
        """x = f^-1(z) and log |det df^-1/dz|; as `forward_and_log_det`. A bijection that is not built cannot tell the
        shape of x: it is taken for that of z.

        With `training=True` networks are as in training, such as with dropout: so a posterior that is trained is drawn
        from. Dropout is drawn in each call: with it no call finds back what another one mapped.
        """
        z, condition = self._ready(z, condition)
        check_event(self, "inverse", tuple(z.shape), self.latent_shape(self.event_shape))
        return self._inverse(z, condition, training)

    def call(self, x, condition=None, training=False):
        """z = f(x)."""
        return self.forward_and_log_det(x, condition, training)[0]

    def inverse(self, z, condition=None, training=False):
        """x = f^-1(z)."""
        return self.inverse_and_log_det(z, condition, training)[0]

    # Building.

    def build(self, x_shape, condition_shape=None):
        """Create the weights for events of a shape, the batch included."""
        self._note_shapes(x_shape, condition_shape)

    def ensure_built(self, x_shape, condition_shape=None):
        """Build, unless it is built: then `ValueError` if it was for other events."""
        if not self.built:
            self.build(x_shape, condition_shape)
        check_event(self, "forward", tuple(x_shape), self.event_shape)

    def _note_shapes(self, x_shape, condition_shape, known="none"):
        """Keep the shapes; `known` are the sizes that may not be None: see `check_known`."""
        self.event_shape = tuple(x_shape[1:])
        self.given_shape = None if condition_shape is None else tuple(condition_shape[1:])
        if (self.given_shape is not None) != self.takes_condition:
            self._refuse_condition(condition_shape is not None)
        check_known(self, self.event_shape, known)
        if self.given_shape:
            check_known(self, self.given_shape, known)

    def _refuse_condition(self, received):
        expected, got = ("no condition", "one") if received else ("a condition", "none")
        raise ValueError(f"{type(self).__name__} {self.name!r} expects {expected}. Received: {got}.")

    def _ready(self, x, condition):
        """x and the condition, cast, with the bijection built for them."""
        x = ops.cast(x, self.real_dtype)
        condition = None if condition is None else ops.cast(condition, self.real_dtype)
        if not self.built:
            self.build(tuple(x.shape), None if condition is None else tuple(condition.shape))
        check_batches(self, tuple(x.shape), condition)
        return x, condition

    @property
    def real_dtype(self):
        """Dtype of events and log-determinants: float32, or float64 under that policy."""
        return keras.backend.result_type(self.variable_dtype, "float32")

    def real_weight(self, shape, initializer, name, trainable=True):
        """A weight in `real_dtype`."""
        check_known(self, tuple(shape), "all" if shape else "none")
        return self.add_weight(
            shape=shape, initializer=initializer, dtype=self.real_dtype, autocast=False, name=name, trainable=trainable
        )

    def compute_output_shape(self, x_shape, condition_shape=None):
        return (x_shape[0], *self.latent_shape(x_shape[1:]))

    def compute_output_spec(self, x, condition=None, training=False):
        return keras.KerasTensor(self.compute_output_shape(x.shape), self.real_dtype)


def sum_event(value):
    """Sum over all axes but the batch: `(batch, ...)` to `(batch,)`."""
    return ops.sum(ops.reshape(value, (ops.shape(value)[0], -1)), axis=-1)
