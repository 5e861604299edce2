"""One training step, test step and prediction step, from what a family states.

Training minimises L = 1/n sum_i w_i l(x_i, y_i) + regularisers, with w_i the sample weights (1 by default). `minimize`
differentiates one such loss in one player's variables and steps that player's optimizer; `train_on`, `test_on` and
`predict_on` are what `keras_gen.backend.Trainer` calls with the data as Keras delivers it.
"""

import math
from typing import NamedTuple

import keras
from keras import ops

from keras_gen import backend
from keras_gen.models import inputs
from keras_gen.models.players import player_layers


class Batch(NamedTuple):
    """What a training step sees: data `x`, its `condition` (or None) and the `sample_weight` (or None)."""

    x: object
    condition: object = None
    sample_weight: object = None


class Steps:
    """Mixin of `GenerativeModel`: the steps."""

    def minimize(self, fn, player=None, batch=None):
        """One optimizer step of `player` on the mean of `fn()`; returns the logs.

        Args:
            fn: function without arguments that returns a scalar or `(batch,)` tensor, or a dict with such a tensor as
                `"loss"` and others to log.
            player: name of the player to step; may be left out when there is one.
            batch: the `Batch` whose sample weights multiply the loss per example.

        Returns:
            dict of scalars. A player that has a name logs its loss as `"{player}_loss"`.

        Raises:
            ValueError: an unknown player.
        """
        optimizer = self._member(player)
        weight = None if batch is None else batch.sample_weight

        def loss():
            for layer in player_layers(self.players[player or self.optimizer.players[0]]):
                layer._clear_losses()  # those of another step or player
            terms = _mean_terms(fn(), weight)
            terms["loss"] = sum(self._regularisation(player), terms["loss"])
            return optimizer.scale_loss(terms["loss"]), terms

        (_, terms), gradients = backend.value_and_grad(loss, optimizer._trainable_variables, has_aux=True)
        terms, gradients = backend.all_sum((terms, gradients))
        good = self._guard.watch(player or self.optimizer.players[0], terms, gradients)
        backend.apply_gradients(optimizer, gradients, good)
        return {_log_name(name, player): value for name, value in terms.items()}

    def split(self, batch, parts):
        """`batch` in `parts` of fresh examples, equal in size to within one: part k takes examples k, k + parts, ...

        Examples are counted through the global batch: the parts are the same however many replicas divide it. A batch
        of fewer examples than parts is an error; where its size is only known at run time (a compiled step on
        TensorFlow), its parts share examples instead: the mean over none would be NaN.
        """
        size = batch.x.shape[0]
        first, _ = backend.rows(ops.shape(batch.x)[0])
        if size is not None and size < parts:
            raise ValueError(
                f"Expected at least {parts} examples a batch, one for each of the {parts} parts of a step. "
                f"Received: {size}. Use a larger batch_size, or one that leaves no such remainder."
            )
        if size is not None:
            backend.divided(size, parts)
            starts = [(k - first) % parts for k in range(parts)]
            return [Batch(*(None if t is None else t[start::parts] for t in batch)) for start in starts]
        rows = [_rows(ops.shape(batch.x)[0], (k - first) % parts, parts) for k in range(parts)]
        return [Batch(*(None if t is None else ops.take(t, r, axis=0) for t in batch)) for r in rows]

    def train_on(self, data):
        """One training step on `data` as Keras delivers it; returns the logs so far in this epoch."""
        batch = self._batch(data)
        self._guard.begin()
        logs = {name: _mean(value) for name, value in self.update(batch).items()}
        self.optimizer.advance()
        return self._log(self._train_means, *self._guard.finish(logs, ops.shape(batch.x)[0]), batch)

    def test_on(self, data):
        """The mean objective on `data`; returns the logs so far."""
        batch = self._batch(data)
        terms = _mean_terms(self.objective(batch.x, batch.condition, training=False), batch.sample_weight)
        terms = backend.all_sum(terms)
        if "nll" in terms:
            terms["bits_per_dim"] = terms["nll"] / (math.prod(self.event_shape) * math.log(2.0))
        return self._log(self._test_means, terms, ops.shape(batch.x)[0], batch)

    def predict_on(self, data):
        """`model(x)` or `model(x, condition)`."""
        x, condition, _ = keras.utils.unpack_x_y_sample_weight(data)
        x, condition = x if isinstance(x, (tuple, list)) else (x, condition)
        return self(x, training=False) if not self.conditional else self(x, condition, training=False)

    def _log(self, tracker, terms, count, batch):
        tracker.update_state(terms, count)
        results = {} if self._compile_metrics is None else self._metric_results(batch)
        with backend.summed(self.metrics_variables):
            logs = tracker.means(terms)
            for metric in self.diagnostics:
                logs.update(metric.result())
            if results and backend.replicas() > 1:
                results = self.get_metrics_result()
        own = {metric.name for metric in (self._train_means, self._test_means, *self.diagnostics)}
        return logs | {name: value for name, value in results.items() if name not in own}

    def _metric_results(self, batch):
        args = (batch.x,) if not self.conditional else (batch.x, batch.condition)
        return self.compute_metrics(*args[:1], batch.x, self(*args, training=False), batch.sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the compiled metrics with `(x, model(x, y))`: what is modelled is x."""
        return super().compute_metrics(x, x, y_pred, sample_weight)

    def _batch(self, data):
        x, condition, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        inputs.check_shape(x.shape, self.event_shape, "x")
        if condition is not None and tuple(condition.shape)[1:] == (0,):  # `inputs.check_arrays` says why
            condition = None
        if (condition is None) == self.conditional:
            inputs.check_condition(self, condition, 0)
        if condition is not None:
            column = self.num_classes is not None and tuple(condition.shape)[1:] == (1,)
            condition = condition[:, 0] if column else condition
            inputs.check_shape(condition.shape, self.condition_shape, "y")
            condition = ops.cast(condition, "int32" if self.num_classes else self.variable_dtype)
        return Batch(self._event(x), condition, sample_weight)

    def _member(self, player):
        names = self.optimizer.players
        if player is None and len(names) == 1:
            return self.optimizer.member(names[0])
        if player not in names:
            raise ValueError(f"Expected `player` as one of {list(names)}. Received: player={player!r}.")
        return self.optimizer.member(player)

    def _regularisation(self, player):
        """The losses that the player's layers added, weight regularisers and `add_loss`, as scalars."""
        losses = [
            loss for layer in player_layers(self.players[player or self.optimizer.players[0]]) for loss in layer.losses
        ]
        return [_share(ops.cast(ops.sum(loss), self.real_dtype)) for loss in losses]


def _rows(size, k, parts):
    """The rows k, k + parts, ... of `size` (a tensor: unknown while TensorFlow traces); at least one, modulo `size`."""
    count = ops.maximum((size - k + parts - 1) // parts, 1)
    return (k + parts * ops.arange(count)) % size


def _mean_terms(terms, sample_weight):
    """Each term's mean over the batch in float32 at least; the loss weighted by `sample_weight`.

    Of several replicas each gives its part of the mean over the global batch: the parts sum to it.
    """
    terms = dict(terms) if isinstance(terms, dict) else {"loss": terms}
    if sample_weight is not None:
        loss = _wide(terms["loss"])
        terms["loss"] = loss * ops.cast(sample_weight, loss.dtype)
    if backend.replicas() == 1:
        return {name: _mean(value) for name, value in terms.items()}
    terms = {name: _wide(value) for name, value in terms.items()}
    sizes = [ops.shape(value)[0] for value in terms.values() if len(value.shape)]
    total = backend.rows(sizes[0])[1] if sizes else None
    return {name: ops.sum(v) / ops.cast(total, v.dtype) if len(v.shape) else _share(v) for name, v in terms.items()}


def _share(value):
    """An equal part of what every replica computes alike, so that the parts sum to it."""
    count = backend.replicas()
    return value if count == 1 else value / count


def _mean(value):
    """The mean over the batch in float32 at least; a scalar is one already."""
    value = _wide(value)
    return ops.mean(value) if len(value.shape) else value


def _wide(value):
    """`value` in float32, or float64 if it is that; what is wide already costs no operation, which torch would feel."""
    dtype = keras.backend.standardize_dtype(value.dtype) if ops.is_tensor(value) else None
    return value if dtype in ("float32", "float64") else ops.cast(value, "float32")


def _log_name(name, player):
    return f"{player}_loss" if name == "loss" and player not in (None, "model") else name
