"""The contract of a model: one class that trains on three backends, with one optimizer or one a player.

A family states a loss per example, l(x_i, y_i), by `objective`; training minimises

    L = 1/n sum_i w_i l(x_i, y_i) + regularisers,        w_i the sample weights (1 by default),

by one step of the optimizer: `update`. A game overrides `update` and calls `minimize` once a player: each call
differentiates one loss in one player's variables and steps that player's optimizer. The same code is the training
step on TensorFlow, JAX and torch: `keras_gen.backend` says how.
"""

import functools
import inspect
import math
import warnings
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_gen import backend
from keras_gen.models import inputs
from keras_gen.models.players import optimizer_group, player_layers, player_variables
from keras_gen.models.tracking import Means
from keras_gen.models.twins import Twins

_REFUSED = {
    "loss": "the model is its own loss: override `objective`",
    "loss_weights": "the parts of the objective are weighted by the model's own arguments (such as `beta`)",
    "class_weight": "y is a condition, no target: weight examples by `sample_weight`",
    "weighted_metrics": "pass `metrics`; they receive sample_weight when there is one",
}


class Batch(NamedTuple):
    """What a training step sees: data `x`, its `condition` (or None) and the `sample_weight` (or None)."""

    x: object
    condition: object = None
    sample_weight: object = None


class _EpochEnd(keras.callbacks.Callback):
    """Tells a model that an epoch begins and ends, before the user's callbacks hear of the end."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model._epoch_open = True
        self.model.begin_epoch()

    def on_epoch_end(self, epoch, logs=None):
        self.model._close_epoch()


@keras.saving.register_keras_serializable(package="keras_gen")
class GenerativeModel(Twins, backend.Trainer, keras.Model):
    """A generative model p(x) or p(x given y) that trains with `fit` on TensorFlow, JAX and torch.

    Subclasses build their networks in the constructor and write `objective(x, condition, training)`, a dict of
    tensors of shape `(batch,)` of which `"loss"` is minimised and the others are logged. What samples writes
    `generate(keys, condition, temperature)`; what has a likelihood writes `log_density(x, condition)`. A game
    overrides `players` and `update` instead.

    What a model is made of is fixed by its constructor: compiled functions do not see an attribute set later, unless it
    is a variable.

    Args:
        event_shape: shape of one example, without the batch.
        num_classes: number of classes if the condition is an integer label.
        condition_shape: shape of one condition if it is a vector or an image. Neither of the two: no condition.
        name, dtype: as in `keras.Model`.

    Raises:
        ValueError: a shape with a size that is no positive int, or both kinds of condition.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.models import GenerativeModel
        >>> class Mean(GenerativeModel):
        ...     "Fits the mean of a unit normal."
        ...     def __init__(self, event_shape, **kwargs):
        ...         super().__init__(event_shape, **kwargs)
        ...         self.mean = self.add_weight(shape=event_shape, initializer="zeros", name="mean")
        ...     def objective(self, x, condition=None, training=False):
        ...         return {"loss": 0.5 * keras.ops.sum((x - self.mean) ** 2, axis=-1)}
        >>> model = Mean((2,))
        >>> model.compile(keras.optimizers.SGD(0.5))
        >>> history = model.fit(np.ones((64, 2), "float32"), epochs=10, verbose=0)
        >>> bool(history.history["loss"][-1] < 1e-3)
        True

    Reference:
        Keras 3 asks for one `train_step` a backend (keras.io/guides, "Customizing what happens in fit()" with
        TensorFlow, JAX, PyTorch); this class is written once.
    """

    likelihood = None
    """`"exact"`, `"bound"`, or None for a model without a likelihood."""

    event_dtype = "float32"
    """Dtype in which `objective` receives x: `"float32"` (at least), or `"int32"` for tokens."""

    def __init__(self, event_shape, num_classes=None, condition_shape=None, **kwargs):
        super().__init__(**kwargs)
        if num_classes is not None and condition_shape is not None:
            raise ValueError(
                "Expected `num_classes` (labels) or `condition_shape` (vectors, images), not both. "
                f"Received: num_classes={num_classes}, condition_shape={condition_shape}."
            )
        self.event_shape = _shape(event_shape, "event_shape")
        self.num_classes = None if num_classes is None else inputs.check_count(num_classes, "num_classes")
        self.condition_shape = () if num_classes is not None else condition_shape
        if condition_shape is not None:
            self.condition_shape = _shape(condition_shape, "condition_shape")
        self.diagnostics = []
        self._compiled_functions = {}
        self._epoch_open = False
        self._train_means = Means(name="train_means")
        self._test_means = Means(name="test_means")

    def __init_subclass__(cls, **kwargs):
        """After the constructor of a model's own class, what is still missing is built: never during `fit`."""
        super().__init_subclass__(**kwargs)
        construct = cls.__init__

        @functools.wraps(construct)
        def construct_and_build(self, *args, **kwargs):
            construct(self, *args, **kwargs)
            if type(self) is cls:
                self.build()

        construct_and_build.__signature__ = inspect.signature(construct)  # Keras reads the arguments from it
        cls.__init__ = construct_and_build

    # What a family writes.

    def objective(self, x, condition=None, training=False):
        """Dict of tensors of shape `(batch,)`: `"loss"` is minimised, the others are logged."""
        raise NotImplementedError(
            f"{type(self).__name__} states no `objective`: fit needs it (or an `update` of your own), evaluate too."
        )

    @property
    def players(self):
        """Dict, player -> what its optimizer moves: a layer, or a list of layers or of variables."""
        return {"model": self}

    def update(self, batch):
        """One training step on `batch`; returns the dict of its logs. By default one `minimize` of the objective."""
        return self.minimize(lambda: self.objective(batch.x, batch.condition, training=True), batch=batch)

    def begin_epoch(self):
        """Called by `fit` before the first step of each epoch: what an interrupted epoch left is put away here."""

    def end_epoch(self):
        """Called by `fit` after the last step of each epoch, before validation: for EM and closed forms."""

    def check_support(self, x):
        """Raise `ValueError` if the numpy array `x` lies outside of the support of the likelihood."""

    def generate(self, keys, condition=None, temperature=1.0):
        """Samples as a tensor `(n, *event_shape)`, one for each of the random `keys` `(n, 2)`; traces in graphs."""
        raise NotImplementedError(f"{type(self).__name__} does not sample.")

    def log_density(self, x, condition=None):
        """log p(x given condition) as a tensor `(batch,)`, nats; traces inside other graphs."""
        raise NotImplementedError(self._no_likelihood())

    # Training.

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
        backend.apply_gradients(optimizer, gradients)
        return {_log_name(name, player): value for name, value in terms.items()}

    def split(self, batch, parts):
        """`batch` in `parts` of fresh examples, equal in size to within one: part k takes examples k, k + parts, ...

        A batch of fewer examples than parts is an error; where its size is only known at run time (a compiled step on
        TensorFlow), its parts share examples instead: the mean over none would be NaN.
        """
        size = batch.x.shape[0]
        if size is not None and size < parts:
            raise ValueError(
                f"Expected at least {parts} examples a batch, one for each of the {parts} parts of a step. "
                f"Received: {size}. Use a larger batch_size, or one that leaves no such remainder."
            )
        if size is not None:
            return [Batch(*(None if t is None else t[k::parts] for t in batch)) for k in range(parts)]
        rows = [_rows(ops.shape(batch.x)[0], k, parts) for k in range(parts)]
        return [Batch(*(None if t is None else ops.take(t, r, axis=0) for t in batch)) for r in rows]

    def train_on(self, data):
        """One training step on `data` as Keras delivers it; returns the logs so far in this epoch."""
        batch = self._batch(data)
        logs = {name: _mean(value) for name, value in self.update(batch).items()}
        self.optimizer.advance()
        return self._log(self._train_means, logs, batch)

    def test_on(self, data):
        """The mean objective on `data`; returns the logs so far."""
        batch = self._batch(data)
        terms = _mean_terms(self.objective(batch.x, batch.condition, training=False), batch.sample_weight)
        if "nll" in terms:
            terms["bits_per_dim"] = terms["nll"] / (math.prod(self.event_shape) * math.log(2.0))
        return self._log(self._test_means, terms, batch)

    def predict_on(self, data):
        """`model(x)` or `model(x, condition)`."""
        x, condition, _ = keras.utils.unpack_x_y_sample_weight(data)
        x, condition = x if isinstance(x, (tuple, list)) else (x, condition)
        return self(x, training=False) if not self.conditional else self(x, condition, training=False)

    def _log(self, tracker, terms, batch):
        tracker.update_state(terms, ops.shape(batch.x)[0])
        logs = tracker.means(terms)
        for metric in self.diagnostics:
            logs.update(metric.result())
        if self._compile_metrics is not None:
            logs.update(self._metric_logs(batch))
        return logs

    def _metric_logs(self, batch):
        own = {metric.name for metric in (self._train_means, self._test_means, *self.diagnostics)}
        args = (batch.x,) if not self.conditional else (batch.x, batch.condition)
        results = self.compute_metrics(*args[:1], batch.x, self(*args, training=False), batch.sample_weight)
        return {name: value for name, value in results.items() if name not in own}

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
        return [_float32(ops.sum(loss)) for loss in losses]

    def _close_epoch(self):
        if self._epoch_open:
            self._epoch_open = False
            self.end_epoch()

    # Keras's own methods, with our checks.

    def build(self, input_shape=None):
        """Create what is missing by one evaluation of the objective on two zero examples; done on construction."""
        if not self.built:
            self.built = True
            if type(self).objective is not GenerativeModel.objective:
                x = ops.zeros((2, *self.event_shape), self.event_dtype)
                self.objective(x, self._zero_condition(2), training=False)

    def compile(
        self, optimizer="adam", *, metrics=None, run_eagerly=False, steps_per_execution=1, jit_compile="auto", **refused
    ):
        """Configure training.

        Args:
            optimizer: a Keras optimizer or its name, default Adam with Keras's own rate; a model with several players
                takes a dict with one a player, or one configuration of which each player gets a copy.
            metrics: as in Keras; they receive `(x, model(x, y))`.
            run_eagerly, jit_compile: as in Keras.
            steps_per_execution: as in Keras; TensorFlow and JAX only.

        Raises:
            ValueError: an argument that is refused (`loss`, `loss_weights`, `class_weight`, `weighted_metrics`), an
                unknown or a missing player, a player without variables, `steps_per_execution` on torch.
        """
        _refuse(refused)
        if steps_per_execution != 1 and keras.config.backend() == "torch":
            raise ValueError(
                "Expected `steps_per_execution=1` on the torch backend: Keras runs one step a call there. "
                f"Received: {steps_per_execution}. Leave it out, or use TensorFlow or JAX."
            )
        variables = {player: player_variables(player, moved) for player, moved in self.players.items()}
        group = optimizer_group(optimizer, list(variables), self.dtype_policy)
        super().compile(
            optimizer=group,
            metrics=metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=False,
        )
        group.build(variables)
        self._loss_tracker = None
        self._asked_jit_compile = jit_compile
        self._build_metrics()

    def _build_metrics(self):
        """Create the compiled metrics' variables now: shapes are known, and Keras would guess them without y."""
        if self._compile_metrics is not None:
            x = ops.zeros((2, *self.event_shape), self.event_dtype)
            args = (x,) if not self.conditional else (x, self._zero_condition(2))
            self._compile_metrics.build(x, self(*args, training=False))

    def get_compile_config(self):
        config = super().get_compile_config()
        return {**config, "jit_compile": self._asked_jit_compile} if config else config

    def compile_from_config(self, config):
        config = keras.saving.deserialize_keras_object(config)
        accepted = ("optimizer", "metrics", "run_eagerly", "steps_per_execution", "jit_compile")
        if keras.config.backend() == "torch" and config.get("steps_per_execution", 1) != 1:
            warnings.warn("Keras runs one step a call on torch: `steps_per_execution` is 1 here.", stacklevel=2)
            config["steps_per_execution"] = 1
        self.compile(**{name: config[name] for name in accepted if name in config})

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        **kwargs,
    ):
        """Train. As `keras.Model.fit`, where `y` is the condition of p(x given y).

        Args:
            x: data `(n, *event_shape)`: an array, or what streams `x`, `(x, y)` or `(x, y, sample_weight)`.
            y: condition: labels `(n,)`, or `(n, *condition_shape)`; None for a model without one.
            sample_weight: `(n,)`; the loss of example i is multiplied by its weight.
            validation_data: `x`, `(x, y)` or `(x, y, sample_weight)`, or what streams them.
            batch_size, epochs, verbose, callbacks, validation_split, shuffle: as in Keras; others by name.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: wrong shape or dtype, NaN or inf, x outside of the support, missing or superfluous y, labels
                out of range, empty data, or `class_weight`. Of what streams the shapes alone are checked: its values
                are not known in advance.
        """
        if class_weight is not None:
            _refuse({"class_weight": class_weight})
        x, y, sample_weight = inputs.check_arrays(self, x, y, sample_weight)
        if validation_data is not None:
            validation_data = self._check_tuple(validation_data)
        self._require_compiled()
        return super().fit(
            x=x,
            y=y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=self._with_epoch_end(callbacks),
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle and (inputs.is_array(x) or isinstance(x, keras.utils.PyDataset)),
            sample_weight=sample_weight,
            **kwargs,
        )

    def _require_compiled(self):
        """A model that no optimizer moves needs no `compile`."""
        if not self.compiled and not self.players:
            self.compile()
        if not self.compiled:
            raise ValueError(
                f"Expected {type(self).__name__} to be compiled. Received: a model without an optimizer. "
                "Call `compile(optimizer)` before `fit` and `evaluate`."
            )

    def _with_epoch_end(self, callbacks):
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(_EpochEnd())
            return callbacks
        listed = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
        return [_EpochEnd(), *listed]

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None, **kwargs
    ):
        """The mean objective and its parts over the data; `nll` (nats) and `bits_per_dim` where there is a likelihood.

        `fit` calls it for validation; arguments and data as in `keras.Model.evaluate` and `fit`.

        Returns:
            with `return_dict=True` a dict, name -> float; else the loss first, then the others sorted by name (a single
            float where there is nothing but the loss).
        """
        if kwargs.get("_use_cached_eval_dataset"):  # `fit` validates: the steps of the epoch are over
            self._close_epoch()
        self._require_compiled()
        if not kwargs.get("_use_cached_eval_dataset"):
            x, y, sample_weight = inputs.check_arrays(self, x, y, sample_weight)
        return super().evaluate(x, y, batch_size, verbose, sample_weight, steps, callbacks, **kwargs)

    def _flatten_metrics_in_order(self, logs):
        """What `evaluate`, `train_on_batch` and `test_on_batch` list: the loss first, then the others by name."""
        values = [logs[name] for name in sorted(logs, key=lambda name: (name != "loss", name))]
        return values[0] if len(values) == 1 else values

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """One training step on one batch; data as in `fit`, results as in `evaluate`."""
        _refuse({"class_weight": class_weight})
        self._require_compiled()
        x, y, sample_weight = inputs.check_arrays(self, x, y, sample_weight)
        return super().train_on_batch(x, y, sample_weight, return_dict=return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """The mean objective on one batch; data as in `fit`, results as in `evaluate`."""
        self._require_compiled()
        x, y, sample_weight = inputs.check_arrays(self, x, y, sample_weight)
        return super().test_on_batch(x, y, sample_weight, return_dict=return_dict)

    def predict(self, x, *args, **kwargs):
        """`model(x)` in batches, as numpy. A model with a condition takes `predict((x, y))`."""
        if isinstance(x, (tuple, list)) and len(x) == 2 and inputs.is_array(x[0]):
            x = inputs.check_arrays(self, *x)[:2]
        elif inputs.is_array(x):
            x = inputs.check_arrays(self, x)[0]
        return super().predict(x, *args, **kwargs)

    def _check_tuple(self, data):
        if not isinstance(data, (tuple, list)) or not len(data) or not inputs.is_array(data[0]):
            return inputs.check_arrays(self, data)[0] if inputs.is_array(data) else data
        checked = inputs.check_arrays(self, *data)
        return checked[: max(len(data), 2 if self.conditional else 1)]

    # State.

    @property
    def conditional(self):
        """Whether the model has a condition."""
        return self.condition_shape is not None

    def condition_description(self):
        """The condition in words, for messages."""
        if self.num_classes is not None:
            return f"integer labels in [0, {self.num_classes}) of shape (batch,)"
        return f"an array of shape (batch, {', '.join(map(str, self.condition_shape))})"

    def _zero_condition(self, n):
        if not self.conditional:
            return None
        return ops.zeros((n, *self.condition_shape), "int32" if self.num_classes is not None else "float32")

    def _no_likelihood(self):
        return (
            f"{type(self).__name__} has no likelihood. Families that have one: exact: ProbabilisticPCA; "
            "a bound: VAE, ConditionalVAE, IWAE."
        )

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs):
        """Write `model(x)` for serving, as `keras.Model.export`; the signature is known from the event's shape."""
        if input_signature is None:
            input_signature = [keras.InputSpec(shape=(None, *self.event_shape), dtype=self.event_dtype)]
            if self.conditional:
                dtype = "int32" if self.num_classes is not None else "float32"
                input_signature.append(keras.InputSpec(shape=(None, *self.condition_shape), dtype=dtype))
        return super().export(filepath, format, verbose, input_signature=input_signature, **kwargs)

    def save_own_variables(self, store):
        """Keras saves no seeds and would reset them on load; here each generator's state is kept."""
        super().save_own_variables(store)
        for i, variable in enumerate(self._seed_states()):
            store[f"seed_{i}"] = ops.convert_to_numpy(variable.value)

    def load_own_variables(self, store):
        keys = list(store.keys())
        super().load_own_variables({k: store[k] for k in keys if not k.startswith("seed_")})
        for i, variable in enumerate(self._seed_states()):
            if f"seed_{i}" in keys:
                variable.assign(store[f"seed_{i}"])

    def _seed_states(self):
        return [v for v in self.variables if v.name == "seed_generator_state"]

    def __dir__(self):
        """Keras saves what it finds by `dir`; `players` only names again what is there, the model itself included."""
        return [name for name in super().__dir__() if name != "players"]

    def get_build_config(self):
        return {"event_shape": self.event_shape}

    def build_from_config(self, config):
        """Nothing to do: the constructor built it."""

    def get_config(self):
        config = {"name": self.name, "dtype": keras.dtype_policies.serialize(self.dtype_policy)}
        config["event_shape"] = self.event_shape
        if self.num_classes is not None:
            config["num_classes"] = self.num_classes
        elif self.conditional:
            config["condition_shape"] = self.condition_shape
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        restore = keras.saving.deserialize_keras_object
        return cls(**{k: restore(v, custom_objects=custom_objects) for k, v in config.items()})


def _shape(shape, name):
    """`shape` as a tuple of positive ints."""
    items = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not items or not all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) and i > 0 for i in items):
        raise ValueError(f"Expected `{name}` as a tuple of positive integers. Received: {name}={shape!r}.")
    return tuple(int(i) for i in items)


def _refuse(arguments):
    for name, value in arguments.items():
        if name not in _REFUSED:
            raise TypeError(f"compile() got an unexpected keyword argument {name!r}")
        if value is not None:
            raise ValueError(f"Expected no `{name}`: {_REFUSED[name]}. Received: {name}={value!r}.")


def _rows(size, k, parts):
    """The rows k, k + parts, ... of `size` (a tensor: unknown while TensorFlow traces); at least one, modulo `size`."""
    count = ops.maximum((size - k + parts - 1) // parts, 1)
    return (k + parts * ops.arange(count)) % size


def _mean_terms(terms, sample_weight):
    """Each term's mean over the batch in float32; the loss weighted by `sample_weight`."""
    terms = dict(terms) if isinstance(terms, dict) else {"loss": terms}
    if sample_weight is not None:
        terms["loss"] = _float32(terms["loss"]) * _float32(sample_weight)
    return {name: _mean(value) for name, value in terms.items()}


def _mean(value):
    """The mean over the batch in float32; a scalar is one already."""
    value = _float32(value)
    return ops.mean(value) if len(value.shape) else value


def _float32(value):
    """`value` in float32; a tensor that is so already costs no operation, which on torch take their time."""
    if ops.is_tensor(value) and keras.backend.standardize_dtype(value.dtype) == "float32":
        return value
    return ops.cast(value, "float32")


def _log_name(name, player):
    return f"{player}_loss" if name == "loss" and player not in (None, "model") else name
