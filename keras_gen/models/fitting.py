"""Keras's own training methods with our checks: `compile`, `fit`, `evaluate`, `predict` and those on one batch.

What a user passes is checked whole before any compute; what Keras would misunderstand (a loss, class weights, a `y`
that is a target) is refused with the reason.
"""

import warnings

import keras
from keras import ops

from keras_gen import backend
from keras_gen.models import inputs
from keras_gen.models.divergence import check_options
from keras_gen.models.guard import Guard
from keras_gen.models.players import optimizer_group, player_variables
from keras_gen.models.run import Run
from keras_gen.models.stream import make_stream

_REFUSED = {
    "loss": "the model is its own loss: override `objective`",
    "loss_weights": "the parts of the objective are weighted by the model's own arguments (such as `beta`)",
    "class_weight": "y is a condition, no target: weight examples by `sample_weight`",
    "weighted_metrics": "pass `metrics`; they receive sample_weight when there is one",
}


class Fitting:
    """Mixin of `GenerativeModel`: compiling, training and evaluating."""

    def compile(
        self,
        optimizer="adam",
        *,
        metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
        divergence=None,
        **refused,
    ):
        """Configure training.

        Args:
            optimizer: a Keras optimizer or its name, default Adam with Keras's own rate; a model with several players
                takes a dict with one a player, or one configuration of which each player gets a copy.
            metrics: as in Keras; they receive `(x, model(x, y))`.
            run_eagerly, jit_compile: as in Keras.
            steps_per_execution: as in Keras; TensorFlow and JAX only.
            divergence: a `Divergence`: what to do about NaN and infinity. By default the first loss that is not finite
                stops training by a `DivergenceError`, and the last finite state comes back.

        Raises:
            ValueError: an argument that is refused (`loss`, `loss_weights`, `class_weight`, `weighted_metrics`), an
                unknown or a missing player, a player without variables, `steps_per_execution` on torch.
        """
        _refuse(refused)
        divergence = check_options(divergence)
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
        self._guard = Guard(self, divergence)
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
        if not config:
            return config
        divergence = keras.saving.serialize_keras_object(self._guard.options)
        return {**config, "jit_compile": self._asked_jit_compile, "divergence": divergence}

    def compile_from_config(self, config):
        config = keras.saving.deserialize_keras_object(config)
        accepted = ("optimizer", "metrics", "run_eagerly", "steps_per_execution", "jit_compile", "divergence")
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
        steps_per_epoch=None,
        seed=None,
        **kwargs,
    ):
        """Train. As `keras.Model.fit`, where `y` is the condition of p(x given y).

        Args:
            x: data `(n, *event_shape)`: an array, or what streams `x`, `(x, y)` or `(x, y, sample_weight)`.
            y: condition: labels `(n,)`, or `(n, *condition_shape)`; None for a model without one.
            sample_weight: `(n,)`; the loss of example i is multiplied by its weight.
            validation_data: `x`, `(x, y)` or `(x, y, sample_weight)`, or what streams them.
            batch_size, epochs, verbose, callbacks, validation_split, shuffle, steps_per_epoch: as in Keras; others by
                name.
            seed: of the order of the data, a non-negative integer; None draws it from Python's generator, which
                `keras.utils.set_random_seed` seeds. Batch s is a function of (seed, s), the same on every backend.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: wrong shape or dtype, NaN or inf, x outside of the support, missing or superfluous y, labels
                out of range, empty data, or `class_weight`. Of what streams the shapes alone are checked: its values
                are not known in advance.
        """
        if class_weight is not None:
            _refuse({"class_weight": class_weight})
        data = inputs.check_arrays(self, x, y, sample_weight)
        if validation_split and validation_data is None:
            data, validation_data = inputs.split_off(data, validation_split)
        elif validation_data is not None:
            validation_data = self._check_tuple(validation_data)
        validation_data = self._divided(validation_data, kwargs.get("validation_batch_size") or batch_size)
        self._require_compiled()
        batch_size = inputs.check_optional_count(batch_size, "batch_size")
        steps_per_epoch = inputs.check_optional_count(steps_per_epoch, "steps_per_epoch")
        stream = make_stream(data, batch_size, shuffle, steps_per_epoch, seed, self.real_dtype)
        x, y, sample_weight = data if stream is None else (stream, None, None)
        if not isinstance(callbacks, (list, tuple, keras.callbacks.CallbackList)):
            callbacks = [callbacks] if callbacks else []
        with Run(self, stream, steps_per_epoch, callbacks) as run:
            return super().fit(
                x=x,
                y=y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=_around(run, callbacks),
                validation_data=validation_data,
                shuffle=False,
                sample_weight=sample_weight,
                steps_per_epoch=steps_per_epoch if stream is None else None,
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
            self._run.close_epoch()
        self._require_compiled()
        if not kwargs.get("_use_cached_eval_dataset"):
            data = self._divided(inputs.check_arrays(self, x, y, sample_weight), batch_size)
            x, y, sample_weight = (*data, None, None)[:3]
        return super().evaluate(x, y, batch_size, verbose, sample_weight, steps, callbacks, **kwargs)

    def _divided(self, data, batch_size):
        """Data to evaluate on, a tuple or what streams; of several processes each takes its rows of each batch."""
        if backend.processes()[1] == 1 or data is None:
            return data
        padded = (*data, None, None)[:3] if isinstance(data, tuple) else (data, None, None)
        batch_size = inputs.check_optional_count(batch_size, "batch_size")
        stream = make_stream(padded, batch_size, shuffle=False, seed=0, dtype=self.real_dtype)
        return data if stream is None else (stream,)

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


def _refuse(arguments):
    for name, value in arguments.items():
        if name not in _REFUSED:
            raise TypeError(f"compile() got an unexpected keyword argument {name!r}")
        if value is not None:
            raise ValueError(f"Expected no `{name}`: {_REFUSED[name]}. Received: {name}={value!r}.")


def _around(run, callbacks):
    """The user's `callbacks` between the model's own, the history before the last."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        listed = callbacks.callbacks
        for position, own in ((0, run), (len(listed) + 1, run.last)):
            listed.insert(position, own)
            run.cleanup.callback(listed.remove, own)
        return callbacks
    has_one = any(isinstance(c, keras.callbacks.History) for c in callbacks)
    return [run, *callbacks, *([] if has_one else [keras.callbacks.History()]), run.last]
