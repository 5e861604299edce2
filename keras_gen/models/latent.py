"""What every model with a latent space offers: encode, decode, reconstruct, interpolate.

A family writes two functions of tensors, x -> code z(x) and z -> decoded x(z); the rest follows:
reconstruct(x) = x(z(x)), and interpolate(a, b) = x((1 - t) z(a) + t z(b)) for t from 0 to 1.
"""

import numpy as np
from keras import ops

from keras_gen.layers.calls import takes
from keras_gen.layers.invertible.base import Bijection
from keras_gen.models import inputs
from keras_gen.models.base import GenerativeModel


class Coding:
    """Mixin of a model with a latent space: a family writes `code`, `decoded`, and `latent_shape` if z is no vector."""

    @property
    def latent_shape(self):
        """Shape of one z, `(latent_dim,)` by default."""
        return (self.latent_dim,)

    def code(self, x, condition=None):
        """The code of x as a tensor `(batch, *latent_shape)`."""
        raise NotImplementedError

    def decoded(self, z, condition=None):
        """The expected x of the code z as a tensor `(batch, *event_shape)`."""
        raise NotImplementedError

    def predict(self, x, *args, **kwargs):
        """`model(x)` in batches, as numpy. A model with a condition takes `predict((x, y))`."""
        self._refresh()
        return super().predict(x, *args, **kwargs)

    def _in_batches(self, run, arrays, extra, batch_size, verbose):
        self._refresh()
        return super()._in_batches(run, arrays, extra, batch_size, verbose)

    def _refresh(self):
        """What bijections keep of their weights, such as an inverse, brought up to date once, before all batches."""
        self.synchronize()
        for bijection in _bijections(self):
            bijection.refresh()

    def call(self, x, condition=None, training=False):
        """The reconstruction of x."""
        return self.decoded(self.code(self._event(x), condition), condition)

    def encode(self, x, condition=None, *, batch_size=None, verbose="auto"):
        """Codes of the data.

        Args:
            x: data `(n, *event_shape)`.
            condition: `(n, ...)` for a conditional model.
            batch_size: examples computed at once, default 256.
            verbose: as in `sample`.

        Returns:
            numpy array `(n, *latent_shape)`.

        Raises:
            ValueError: data that `fit` would refuse.
        """
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        run = self._compiled("encode", lambda x, condition=None: self.code(self._event(x), condition))
        return self._in_batches(run, {"x": x, "condition": condition}, {}, batch_size, verbose)

    def decode(self, z, condition=None, *, batch_size=None, verbose="auto"):
        """Expected data of codes: `(n, *latent_shape)` -> numpy `(n, *event_shape)`. Arguments as in `encode`."""
        z = inputs.to_numpy(z, "z").astype(self.real_dtype)
        inputs.check_shape(z.shape, self.latent_shape, "z")
        inputs.check_finite(z, "z")
        inputs.check_count(len(z), "len(z)")
        condition = inputs.check_condition(self, self._repeat(condition, len(z)), len(z))
        run = self._compiled("decode", lambda z, condition=None: self.decoded(z, condition))
        return self._in_batches(run, {"z": z, "condition": condition}, {}, batch_size, verbose)

    def reconstruct(self, x, condition=None, *, batch_size=None, verbose="auto"):
        """`decode(encode(x))`: numpy of the shape of x. Arguments as in `encode`."""
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        run = self._compiled("reconstruct", lambda x, condition=None: self._reconstruct(x, condition))
        return self._in_batches(run, {"x": x, "condition": condition}, {}, batch_size, verbose)

    def _reconstruct(self, x, condition):
        return self(x, training=False) if condition is None else self(x, condition, training=False)

    def interpolate(self, a, b, steps=8, condition=None, *, batch_size=None, verbose="auto"):
        """Decoded points on the line between the codes of `a` and of `b`, straight unless the model says otherwise.

        Args:
            a, b: data `(n, *event_shape)`, the two ends.
            steps: points on each line, the ends included, at least 2; default 8.
            condition: `(n, ...)` for a conditional model, kept along the line.

        Returns:
            numpy array `(n, steps, *event_shape)`.

        Raises:
            ValueError: fewer than 2 steps, or ends of different number.
        """
        if inputs.check_count(steps, "steps") < 2:
            raise ValueError(f"Expected `steps` >= 2: the two ends count. Received: steps={steps}.")
        condition = self._repeat(condition, len(a))
        ends = [self.encode(end, condition, batch_size=batch_size, verbose=verbose) for end in (a, b)]
        if len(ends[0]) != len(ends[1]):
            raise ValueError(f"Expected as many a as b. Received: {len(ends[0])} and {len(ends[1])}.")
        line = self.between(*ends, np.linspace(0.0, 1.0, steps, dtype=self.real_dtype))
        if condition is not None:
            condition = np.repeat(inputs.to_numpy(condition, "condition"), steps, axis=0)
        x = self.decode(line.reshape(-1, *self.latent_shape), condition, batch_size=batch_size, verbose=verbose)
        return x.reshape(len(ends[0]), steps, *self.event_shape)

    def between(self, a, b, shares):
        """Codes on the line from a to b, arrays `(n, *latent_shape)`, at the `shares` of it: `(n, steps, ...)`."""
        shares = shares.reshape(1, -1, *[1] * len(self.latent_shape))
        return (1.0 - shares) * a[:, None] + shares * b[:, None]


def _bijections(layer):
    """The outermost bijections among the parts of a layer."""
    for part in layer._flatten_layers(include_self=False, recursive=False):
        yield from [part] if isinstance(part, Bijection) else _bijections(part)


class LatentModel(Coding, GenerativeModel):
    """A model with a latent space of shape `(latent_dim,)`. Abstract: a family writes `code` and `decoded`.

    Args:
        event_shape: shape of one example.
        latent_dim: dimension of z, a positive int.
        **kwargs: as in `GenerativeModel`.

    Raises:
        ValueError: `latent_dim` is no positive int.
    """

    def __init__(self, event_shape, latent_dim, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.latent_dim = inputs.check_count(latent_dim, "latent_dim")

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}


def refuse_condition(name, arguments):
    """Raise for a family that models p(x) alone."""
    given = sorted({"num_classes", "condition_shape"} & set(arguments))
    if given:
        raise ValueError(f"Expected no condition: {name} models x alone. Received: {given}. Use `ConditionalVAE`.")


def apply_network(network, x, condition=None, training=False):
    """`network(x)`, with the condition in the way that the network takes it.

    A network whose `call` has an argument `condition` receives it there; any other model receives `[x, condition]`.
    """
    kwargs = {"training": training} if takes(network, "training") else {}
    if condition is None:
        return network(x, **kwargs)
    if takes(network, "condition"):
        return network(x, condition=condition, **kwargs)
    if len(getattr(network, "inputs", None) or [x, condition]) == 1:  # Keras would leave the condition out
        raise ValueError(
            "Expected a network for a conditional model that takes the condition: a Keras model of two inputs, "
            "[x, condition], or a layer whose `call` has an argument `condition`. "
            f"Received: {network.name!r}, of one input. A label comes one-hot, `(batch, num_classes)`."
        )
    return network([x, condition], **kwargs)


def flatten(x):
    """`(batch, ...)` to `(batch, size)`."""
    return ops.reshape(x, (ops.shape(x)[0], -1))
