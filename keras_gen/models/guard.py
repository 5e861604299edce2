"""The watch over a model in training: what `keras_gen.models.divergence` derives, in the step and between steps.

In the step losses and norms are only noted. Between steps the host reads the record, judges each row, looks at loss
scales and weights, and keeps copies of the state.
"""

import copy

import keras
import numpy as np
from keras import ops

from keras_gen import backend
from keras_gen.models.divergence import DivergenceError

_READ = -1e38  # in a row that was read before
_HALVINGS = 30


class Guard:
    """The watch over one compiled model: `watch` and `finish` inside of the step, all else between steps.

    A plain object, so that Keras neither tracks nor saves it. Columns of the record: the players' losses, sorted by
    name, then their norms.
    """

    def __init__(self, model, options):
        self.model, self.options, self.group = model, options, model.optimizer
        self.players = self.group.players
        self.width = len(self.players) * (1 + options.gradients)
        self.skipped = dict.fromkeys(self.players, 0)
        self._in_a_row, self._at_epoch_begin = dict(self.skipped), dict(self.skipped)
        self._seen, self._good, self._order, self._statistics = None, None, [], []
        self._looked, self._due = 0, 0
        self._kept = None
        if options.skip:
            _check_one_replica(model)
        if options.rate_factor < 1.0:
            _check_rates(self.group)
        if self.players:
            self.group.keep_record((options.check_every + model.steps_per_execution) * self.width, model.real_dtype)
            self.forget()

    # Inside of the step.

    def begin(self):
        """A step begins: nothing seen yet; what a skipped step must put back is held."""
        self._seen, self._good, self._order = {}, None, []
        self._statistics = [(v, ops.copy(v.value)) for v in self._moved_by_a_step()] if self.options.skip else []

    def watch(self, player, terms, gradients):
        """Note a step of `player`; returns whether it may be applied, None for always. A norm joins the `terms`."""
        if self._seen is None:  # `minimize` in a loop of one's own
            return None
        column = self.players.index(player)
        good = self._note(column, terms["loss"])
        if self.options.gradients:
            norm = terms[self._name("gradient_norm", player)] = self._norm(player, gradients)
            also = self._note(len(self.players) + column, norm)
            good = ops.logical_and(good, also) if self.options.skip else None
        if self.options.skip:
            self._good = good if self._good is None else ops.logical_and(self._good, good)
            self._lower_rate(player, good)
        return good

    def _note(self, column, value):
        """Enter `value`, unless this step entered a bad one before; whether it is finite, if that matters."""
        if column in self._seen:
            value = ops.where(ops.isfinite(self._seen[column]), value, self._seen[column])
        else:
            self._order.append(column)
        self._seen[column] = value
        return ops.isfinite(value) if self.options.skip else None

    def _norm(self, player, gradients):
        dtype = self.model.real_dtype
        flat = [ops.reshape(ops.cast(g, dtype), (-1,)) for g in gradients]
        norm = ops.sqrt(sum(ops.dot(g, g) for g in flat))
        scale = self._scale(player)
        if scale is None:
            return norm
        norm = norm / scale
        return ops.where(ops.isfinite(norm), norm, ops.zeros_like(norm))

    def _scale(self, player):
        return getattr(self.group.member(player), "dynamic_scale", None)

    def _lower_rate(self, player, good):
        if self.options.rate_factor < 1.0:
            rate = self.group[player].learning_rate
            rate.assign(rate.value * ops.where(good, 1.0, self.options.rate_factor))

    def _moved_by_a_step(self):
        model = self.model
        return [v for v in [*model.non_trainable_variables, *model.metrics_variables] if "float" in v.dtype]

    def finish(self, logs, count):
        """The step is over: its row enters the record. Returns the logs and examples that enter the epoch's means."""
        if self.players:
            backend.append(self.group.record, [self._seen.get(i, 0.0) for i in range(self.width)])
        good, statistics = self._good, self._statistics
        self._seen, self._good, self._statistics = None, None, []
        if good is None:
            return logs, count
        if statistics:
            variables, old = zip(*statistics, strict=True)
            new = ops.cond(good, lambda: [ops.copy(v.value) for v in variables], lambda: list(old))
            for variable, value in zip(variables, new, strict=True):
                variable.assign(value)
        zero = ops.zeros((), self.model.real_dtype)
        logs = {name: ops.where(good, value, zero) for name, value in logs.items()}
        return logs, ops.where(good, ops.cast(count, self.model.real_dtype), zero)

    # Between steps.

    def begin_batch(self, batch):
        """Batch `batch` of an epoch begins: look, if it is time."""
        if self.players and not self._looked <= batch < self._due:
            self._looked, self._due = batch, batch + self.options.check_every
            self.look()

    def end_epoch(self):
        """The steps of an epoch are over: look at the weights, too."""
        if self.players:
            self.look(weights=True)

    def epoch_logs(self):
        """What an epoch adds to its logs."""
        logs = {}
        if self.options.skip:
            logs = {self._name("skipped", p): self.skipped[p] - self._at_epoch_begin[p] for p in self.players}
            self._at_epoch_begin = dict(self.skipped)
        if self.options.rate_factor < 1.0:
            logs |= {self._name("learning_rate", p): float(_numpy(self.group[p].learning_rate)) for p in self.players}
        return logs

    def _name(self, name, player):
        return name if len(self.players) == 1 else f"{player}_{name}"

    def look(self, weights=False):
        """Read the record, and keep the state if it is time.

        Raises:
            DivergenceError: a bad step that was not skipped, or weights or moments that are not finite.
        """
        self.model.synchronize()
        step = int(_numpy(self.group.iterations))
        rows = _numpy(self.group.record).reshape(-1, self.width)
        if not np.isfinite(rows).all():
            self._judge(rows[rows[:, 0] != np.asarray(_READ, rows.dtype)], step)
            self.forget()
        else:
            self._in_a_row = dict.fromkeys(self.players, 0)
        self._check_scales(step)
        if weights:
            self._check_finite([(p, v) for p in self.players for v in self.group[p]._trainable_variables], step)
        self._keep(step)

    def _judge(self, rows, step):
        """Count bad rows, the last of which is that of `step`; raise at the first that is one too many."""
        count = len(self.players)
        for s, row in enumerate(rows, step - len(rows) + 1):
            bad = [c for c in self._order if not np.isfinite(row[c])]
            for player in self.players:
                hit = [c for c in bad if self.players[c % count] == player]
                self._in_a_row[player] = self._in_a_row[player] + 1 if hit else 0
                self.skipped[player] += bool(hit)
            for c in bad:
                player = self.players[c % count]
                if self._in_a_row[player] > self.options.skip:
                    self.skipped[player] -= 1
                    self._raise(player, s, "gradient norm" if c >= count else "loss", float(row[c]))

    def _check_scales(self, step):
        for player in self.players:
            if (scale := self._scale(player)) is not None:
                value, first = float(_numpy(scale)), self.group.member(player).initial_scale
                if not value > first * 2.0**-_HALVINGS:
                    hint = f"It was halved {_HALVINGS} times: the gradient is not finite at any scale."
                    self._raise(player, step, "loss scale", value, hint)

    def _check_finite(self, owned, step, arrays=None):
        for i, (player, variable) in enumerate(owned):
            array = _numpy(variable) if arrays is None else arrays[i]
            if array is not None and not _all_finite(array):
                value = float(array[~np.isfinite(array)].flat[0])
                hint = "The gradient was not finite: `compile(divergence=Divergence(gradients=True))` tells the step."
                self._raise(player, step, f"variable {variable.path!r}", value, hint)

    def _raise(self, player, step, quantity, value, hint=None):
        if hint is None and self.options.skip:
            hint = f"It was the bad step number {self._in_a_row[player]} in a row."
        elif hint is None:
            hint = (
                "Lower the learning rate, clip gradients (`clipnorm` of the optimizer), or look at the data: what "
                "streams is not checked for NaN, nor for tokens and labels out of range, which give NaN on JAX."
            )
        raise DivergenceError(player, step, quantity, value, None if self._kept is None else self._kept[0], hint)

    # The last finite state.

    def _keep(self, step):
        """Copy the state, if the last copy is `keep_every` steps old, or of a later step (training went back)."""
        every = self.options.keep_every
        if every is None or (self._kept is not None and 0 <= step - self._kept[0] < every):
            return
        owned = [(p, v) for p in self.players for v in self._owned(p)]
        ids = {id(v) for _, v in owned}
        metrics = {id(v) for v in self.model.metrics_variables}
        others = [v for v in [*self.model.variables, *self.group.variables] if id(v) not in ids | metrics]
        arrays = [_numpy(v, copy=True) for _, v in owned]
        self._check_finite(owned, step, arrays)
        pairs = zip([v for _, v in owned] + others, arrays + [_numpy(v, copy=True) for v in others], strict=True)
        pairs = [(v, a) for v, a in pairs if a is not None and v is not self.group.record]
        self._kept = step, pairs, copy.deepcopy(self.model.get_training_state())

    def _owned(self, player):
        return [*self.group[player]._trainable_variables, *self.group.member(player).variables]

    def restore(self):
        """Give the model the state that was kept, if one was."""
        if self._kept is not None:
            self.model.synchronize()
            for variable, array in self._kept[1]:
                variable.assign(array)
            self.model.set_training_state(self._kept[2])

    def forget(self):
        """The record counts as read."""
        if self.players:
            self.group.record.assign(np.full(self.group.record.shape, _READ, self.group.record.dtype))

    def state(self):
        """What it remembers beside the record, after a look: of a state that is not finite there is none."""
        if self.players:
            self.look(weights=True)
        return {"skipped": self.skipped, "at_epoch_begin": self._at_epoch_begin, "in_a_row": self._in_a_row}

    def set_state(self, state):
        """Go on with what `state` gave; what it kept is older, so a new copy is kept."""
        self.close()
        self.skipped, self._at_epoch_begin = dict(state["skipped"]), dict(state["at_epoch_begin"])
        if self.players:
            self.look()
        self._in_a_row = dict(state["in_a_row"])

    def close(self):
        """A call of `fit` is over: a copy of the state would go stale."""
        self.forget()
        self._kept, self._in_a_row, self._looked, self._due = None, dict.fromkeys(self.players, 0), 0, 0


class Guarded:
    """Mixin of `GenerativeModel`, between our `fit` and that of Keras: a divergence leaves the last finite state."""

    def fit(self, *args, **kwargs):
        try:
            return super().fit(*args, **kwargs)
        except DivergenceError:
            self._guard.restore()
            raise
        finally:
            self._guard.close()

    def train_on_batch(self, *args, **kwargs):
        guard = self._guard
        try:
            guard.begin_batch(0)
            result = super().train_on_batch(*args, **kwargs)
            if guard.players:
                guard.look()
            return result
        except DivergenceError:
            guard.restore()
            guard.close()
            raise

    @property
    def skipped_steps(self):
        """Dict, player -> steps that were skipped since `compile`, as far as they were read."""
        return {} if self._guard is None else dict(self._guard.skipped)


def _check_one_replica(model):
    if getattr(getattr(model, "distribute_strategy", None), "num_replicas_in_sync", 1) > 1:
        raise ValueError(
            "Expected `skip=0` under a `tf.distribute` strategy, which applies no gradients within a branch. "
            "Received: skip > 0. Leave it out, or train on one replica."
        )


def _check_rates(group):
    for player in group.players:
        if not isinstance(group[player].learning_rate, keras.Variable):
            raise ValueError(
                "Expected learning rates that are numbers, for `rate_factor` lowers them. "
                f"Received: a schedule for player {player!r}. Leave `rate_factor` out, or give a number."
            )


def _numpy(variable, copy=False):
    """The value of `variable` on the host; None if it is spread over processes, so that none has all of it."""
    if not backend.whole(variable):
        return None
    array = ops.convert_to_numpy(variable.value)
    return np.array(array) if copy else array


def _all_finite(array):
    """Whether all of `array` is finite. A finite sum says so at once."""
    if array.dtype.kind not in "fV":
        return True
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.sum(array))) or bool(np.isfinite(array).all())
