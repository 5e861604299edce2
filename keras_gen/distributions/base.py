"""What a distribution is: parameters, an event, a density and a way to draw.

A distribution of events of shape `event_shape` is held as a few tensors, its parameters. Each of them
broadcasts against `(batch, *event_shape)`: axis 0 is the batch, one distribution a row, all other axes are
one event. With `l` the elementwise log-density, the log-density of an event is

    log p(x) = sum over the event axes of l(x)                     (nats, shape (batch,))

and a draw is `x = g(key; parameters)`, with `g` differentiable in the parameters wherever the family allows
it, and row i of the result a function of key i and row i of the parameters alone.

A subclass writes the templates `_log_density` and `_generate`, and where they exist `mean`, `mode` and
`_entropy`; this base checks shapes, refuses a condition, casts to float32 at least and sums.
"""

import copy
import numbers

import numpy as np
from keras import ops

from keras_gen.distributions.shapes import as_tensor, check_positive, resolve_event, show, working_dtype


class Distribution:
    """A probability distribution over events, a plain object holding tensors.

    `log p(x) = sum over the event of the elementwise log-density`, in nats.

    It is no Keras layer: a `keras.Variable` given as a parameter is read once and not tracked. A *learnable*
    distribution is a layer with a method that returns one of these.

    Args:
        event_shape: tuple of ints, the shape of one event. Default `None`: the shape of the parameters
            without axis 0, which is then the batch. Give it for parameters without a batch (a prior).
        **parameters: tensors that broadcast against `(batch, *event_shape)`, of any float dtype. They are
            held in float32 (float64 if a float64 tensor of the backend is among them).

    Raises:
        ValueError: where the parameters do not broadcast to one another or to the event shape, or where a
            scale given as a number or array is not positive.

    Example:
    >>> from keras import ops
    >>> from keras_gen.distributions import Normal
    >>> batched = Normal(ops.zeros((5, 2)), 1.0)
    >>> prior = Normal(ops.zeros((2,)), 1.0, event_shape=(2,))
    >>> batched.event_shape, prior.event_shape
    ((2,), (2,))
    """

    support = "the real numbers"
    positive = ()  # parameters that must be above zero
    trailing_axes = {}  # parameter name: axes that it has after those of the event
    joint_axes = 0  # last event axes that `_log_density` has summed already
    event_dtype = None  # None: that of the parameters
    reparameterized = True  # whether a draw is differentiable in the parameters

    def __init__(self, event_shape=None, **parameters):
        self.dtype = working_dtype(parameters.values())
        for name in self.positive:
            check_positive(type(self).__name__, name, parameters[name])
        self.parameters = {name: as_tensor(value, self.dtype) for name, value in parameters.items()}
        shapes = {
            name: self._aligned_shape(name, tuple(value.shape)) for name, value in self.parameters.items()
        }
        self.event_shape, joint = resolve_event(type(self).__name__, shapes, event_shape)
        self._batched = self._find_batched(shapes)
        self.batch_size = None if self._batched is None else joint[0]

    # Templates ------------------------------------------------------------------------------------------

    def _log_density(self, x):
        """Log-density of shape `(batch, *event_shape)` less the last `joint_axes` axes."""
        raise NotImplementedError(f"{type(self).__name__} has no log-density.")

    def _generate(self, keys, temperature):
        """Draws of shape `(n, *event_shape)`."""
        raise NotImplementedError(f"{type(self).__name__} cannot be sampled.")

    def _entropy(self):
        """Entropy of the shape of `_log_density`, or one that broadcasts to it."""
        raise NotImplementedError(
            f"The entropy of {type(self).__name__} has no closed form here. Average `-log_density` over "
            "draws of `generate` for an estimate."
        )

    def _inside(self, x):
        """Boolean array that broadcasts to the finite numpy array `x`: where it lies in the support."""
        return np.True_

    def mean(self):
        """The expectation of x, of the parameters' shape (with a batch axis where they have one)."""
        raise NotImplementedError(
            f"The mean of {type(self).__name__} has no closed form. Use `generate(keys, temperature=0.0)` "
            "for one representative value."
        )

    def mode(self):
        """The value of highest density, of the parameters' shape (with a batch axis where they have one)."""
        raise NotImplementedError(f"The mode of {type(self).__name__} has no closed form.")

    def _find_batched(self, shapes):
        """Name of the parameter that carries the batch axis, the one that is not of size 1 if any."""
        names = [name for name, shape in shapes.items() if len(shape) == len(self.event_shape) + 1]
        wide = [name for name in names if shapes[name][0] != 1]
        return next(iter(wide + names), None)

    def _aligned_shape(self, name, shape):
        """The part of a parameter's shape that broadcasts against `(batch, *event_shape)`."""
        return shape[: len(shape) - self.trailing_axes.get(name, 0)]

    # The two calls by which models compose --------------------------------------------------------------

    def generate(self, keys, condition=None, temperature=1.0):
        """Draw one event per key.

        Args:
            keys: int32 tensor `(n, 2)`, see `keras_gen.random.keys`. With batched parameters n is the batch.
            condition: must be `None`; it is there because models share this signature.
            temperature: float >= 0. Multiplies the scale of a continuous distribution and divides the logits
                of a discrete one; 1 (default) is the distribution itself, 0 its location or mode.

        Returns:
            Tensor `(n, *event_shape)`, differentiable in the parameters where the family allows it.

        Raises:
            ValueError: for a condition, a negative temperature, keys of another shape than `(n, 2)`, or a
                number of keys that is not the batch of the parameters.
        """
        self._refuse(condition)
        temperature = self._check_temperature(temperature)
        keys = self._check_keys(keys)
        return self._generate(keys, temperature)

    def log_density(self, x, condition=None):
        """Log-density of events.

        Args:
            x: tensor `(batch, *event_shape)`, within the support (see `validate`).
            condition: must be `None`; it is there because models share this signature.

        Returns:
            Tensor `(batch,)`, nats, in float32, or in float64 if the parameters or the tensor x are of it.

        Raises:
            ValueError: for a condition, or an `x` of another event shape.
        """
        self._refuse(condition)
        if self.dtype != working_dtype((x, *self.parameters.values())):
            return self.cast("float64").log_density(x)
        x = as_tensor(x, self.event_dtype or self.dtype)
        self._check_event("log_density", tuple(x.shape))
        value = self._log_density(x)
        return ops.sum(value, axis=tuple(range(1, len(value.shape))))

    def generate_and_log_density(self, keys):
        """Draws and their log-density, `(n, *event_shape)` and `(n,)`: one pass where a family has a way to do both."""
        x = self.generate(keys)
        return x, self.log_density(x)

    def location(self):
        """One representative value of each distribution, of the shape of `mean`, which it is by default."""
        return self.mean()

    def entropy(self):
        """Entropy `-E[log p(x)]`.

        Returns:
            Tensor `(batch,)`, or a scalar where the parameters have no batch; nats.

        Raises:
            NotImplementedError: where there is no closed form.
        """
        return self.sum_event(self._entropy())

    def validate(self, x):
        """Check concrete data before compute: event shape, NaN and infinity, support.

        Args:
            x: numpy array (or what `numpy.asarray` takes) of shape `(batch, *event_shape)`.

        Raises:
            ValueError: saying what was expected and what was found.
        """
        x = np.asarray(x)
        self._check_event("validate", x.shape)
        if x.dtype.name in ("bool", "bfloat16"):
            x = x.astype("float32")
        if not np.issubdtype(x.dtype, np.number):
            raise ValueError(f"{type(self).__name__} expects numeric data. Received: dtype {x.dtype}.")
        if not np.all(np.isfinite(x)):
            raise ValueError(
                f"{type(self).__name__} expects finite data. Received: x with {int(np.sum(~np.isfinite(x)))} "
                "NaN or infinite values. Remove or impute them."
            )
        outside = ~np.broadcast_to(self._inside(x), x.shape)
        if outside.any():
            raise ValueError(
                f"{type(self).__name__} expects x in its support, {self.support}. Received: {outside.sum()} "
                f"values outside, the first one {x[outside][0]}. Rescale the data or choose another "
                "likelihood."
            )

    # Shapes ---------------------------------------------------------------------------------------------

    def cast(self, dtype):
        """The same distribution with its parameters in `dtype`, "float32" or "float64"."""
        if dtype == self.dtype:
            return self
        other = copy.copy(self)
        other.dtype = dtype
        other.parameters = {name: as_tensor(value, dtype) for name, value in self.parameters.items()}
        return other

    def full_shape(self):
        """`(batch, *event_shape)`, or `event_shape` where the parameters have no batch axis."""
        if self._batched is None:
            return self.event_shape
        return (ops.shape(self.parameters[self._batched])[0], *self.event_shape)

    def fill(self, value):
        """Broadcast a value to the full shape of the distribution."""
        return ops.broadcast_to(value, self.full_shape())

    def sum_event(self, value):
        """Sum a value of the shape of `_log_density` over the event; the batch axis, if any, stays."""
        kept = self.event_shape[: len(self.event_shape) - self.joint_axes]
        batch = self.full_shape()[: len(self.full_shape()) - len(self.event_shape)]
        value = ops.broadcast_to(value, (*batch, *kept))
        return ops.sum(value, axis=tuple(range(-len(kept), 0))) if kept else value

    # Checks ---------------------------------------------------------------------------------------------

    def _refuse(self, condition):
        if condition is not None:
            raise ValueError(
                f"{type(self).__name__} is not conditional: expected condition=None. Received a condition of "
                f"type {type(condition).__name__}. Drop it, or use a model that takes one."
            )

    def _check_temperature(self, temperature):
        if isinstance(temperature, numbers.Real):
            if not 0 <= temperature < float("inf"):
                raise ValueError(
                    f"Expected a finite temperature >= 0. Received: {temperature}. 1 is the distribution "
                    "itself, 0 its location or mode."
                )
            return float(temperature)
        return as_tensor(temperature, self.dtype)

    def _check_keys(self, keys):
        keys = as_tensor(keys, "int32")
        shape = tuple(keys.shape)
        if len(shape) != 2 or shape[1] != 2:
            raise ValueError(
                f"Expected random keys of shape (n, 2). Received: shape {shape}. Make them with "
                "`keras_gen.random.keys(seed, n)`."
            )
        if None not in (shape[0], self.batch_size) and self.batch_size not in (1, shape[0]):
            raise ValueError(
                f"{type(self).__name__} with a batch of {self.batch_size} expects as many keys. Received: "
                f"{shape[0]}. If axis 0 of the parameters is no batch, give `event_shape`."
            )
        return keys

    def _check_event(self, method, shape):
        expected = ("batch", *self.event_shape)
        agrees = len(shape) == len(expected) and all(
            None in (a, b) or a == b for a, b in zip(shape[1:], self.event_shape, strict=True)
        )
        if not agrees:
            raise ValueError(
                f"{type(self).__name__}.{method} expects x of shape {show(expected)}. Received: "
                f"{show(shape)}. Reshape x, or give the distribution another `event_shape`."
            )
        if None not in (shape[0], self.batch_size) and 1 not in (shape[0], self.batch_size):
            if shape[0] != self.batch_size and method != "validate":
                raise ValueError(
                    f"{type(self).__name__} with a batch of {self.batch_size} expects as many events. "
                    f"Received: {shape[0]}."
                )

    # Saving ---------------------------------------------------------------------------------------------

    def get_config(self):
        """Parameters as nested lists of numbers, and the event shape; needs concrete tensors."""
        config = {name: ops.convert_to_numpy(value).tolist() for name, value in self.parameters.items()}
        return {**config, "event_shape": list(self.event_shape)}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        return f"{type(self).__name__}(event_shape={self.event_shape})"
