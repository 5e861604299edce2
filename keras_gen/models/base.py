"""The contract of a model: one class that trains on three backends, with one optimizer or one a player.

A family states a loss per example, l(x_i, y_i), by `objective`; training minimises

    L = 1/n sum_i w_i l(x_i, y_i) + regularisers,        w_i the sample weights (1 by default),

by one step of the optimizer: `update`. A game overrides `update` and calls `minimize` once a player: each call
differentiates one loss in one player's variables and steps that player's optimizer. The same code is the training
step on TensorFlow, JAX and torch: `keras_gen.backend` says how.
"""

import functools
import inspect

import keras
from keras import ops

from keras_gen import backend
from keras_gen.models import inputs
from keras_gen.models.fitting import Fitting
from keras_gen.models.guard import Guarded
from keras_gen.models.saving import Saving
from keras_gen.models.steps import Batch, Steps
from keras_gen.models.tracking import Means
from keras_gen.models.twins import Twins

__all__ = ["Batch", "GenerativeModel"]


@keras.saving.register_keras_serializable(package="keras_gen")
class GenerativeModel(Fitting, Guarded, Steps, Twins, Saving, backend.Trainer, keras.Model):
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
    """Dtype in which `objective` receives x: `"float32"` (or float64 under that policy), or `"int32"` for tokens."""

    def __init__(self, event_shape, num_classes=None, condition_shape=None, **kwargs):
        super().__init__(**kwargs)
        backend.check_dtype(self.dtype_policy, type(self).__name__)
        if num_classes is not None and condition_shape is not None:
            raise ValueError(
                "Expected `num_classes` (labels) or `condition_shape` (vectors, images), not both. "
                f"Received: num_classes={num_classes}, condition_shape={condition_shape}."
            )
        self.event_shape = inputs.check_sizes(event_shape, "event_shape")
        self.num_classes = None if num_classes is None else inputs.check_count(num_classes, "num_classes")
        self.condition_shape = () if num_classes is not None else condition_shape
        if condition_shape is not None:
            self.condition_shape = inputs.check_sizes(condition_shape, "condition_shape")
        self.diagnostics = []
        self._compiled_functions = {}
        self._run = self._guard = None
        self._train_means = Means(name="train_means", dtype=self.real_dtype)
        self._test_means = Means(name="test_means", dtype=self.real_dtype)

    def __init_subclass__(cls, **kwargs):
        """After the constructor of a model's own class, what is still missing is built: never during `fit`."""
        super().__init_subclass__(**kwargs)
        construct = cls.__init__

        @functools.wraps(construct)
        def construct_and_build(self, *args, **kwargs):
            construct(self, *args, **kwargs)
            if type(self) is cls:
                self.build()
                self._check_dtypes()

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

    def get_training_state(self):
        """What training needs beside the variables, such as a replay buffer: a dict of arrays, numbers and strings."""
        return {}

    def set_training_state(self, state):
        """Put back what `get_training_state` gave."""

    def check_support(self, x):
        """Raise `ValueError` if the numpy array `x` lies outside of the support of the likelihood."""

    def check_condition_support(self, y):
        """Raise `ValueError` if the numpy array of conditions `y` is not what the model takes."""

    def generate(self, keys, condition=None, temperature=1.0):
        """Samples as a tensor `(n, *event_shape)`, one for each of the random `keys` `(n, 2)`; traces in graphs."""
        raise NotImplementedError(f"{type(self).__name__} does not sample.")

    def log_density(self, x, condition=None):
        """log p(x given condition) as a tensor `(batch,)`, nats; traces inside other graphs."""
        raise NotImplementedError(self._no_likelihood())

    # State.

    def build(self, input_shape=None):
        """Create what is missing by one evaluation of the objective on two zero examples; done on construction."""
        if not self.built:
            self.built = True
            if type(self).objective is not GenerativeModel.objective:
                x = self._event(ops.zeros((2, *self.event_shape), self.event_dtype))
                condition = self._zero_condition(2)
                backend.first_call(lambda: self.objective(x, condition, training=False))

    def _check_dtypes(self):
        """No layer may narrow a float64 model unseen: a policy that JAX does not hold, an `Input` that casts."""
        for layer in self._flatten_layers(include_self=False):
            backend.check_dtype(layer.dtype_policy, f"{type(layer).__name__} {layer.name!r}")
            narrow = isinstance(layer, keras.layers.InputLayer) and layer.dtype in ("float32", "float16", "bfloat16")
            if narrow and self.real_dtype == "float64":
                raise ValueError(
                    f"Expected the networks of a float64 model to take float64. Received: the Input {layer.name!r} of "
                    f"dtype {layer.dtype}, to which Keras casts. Write `keras.Input(shape, dtype=\"float64\")`."
                )

    @property
    def real_dtype(self):
        """Dtype of losses, densities and data: float32, or float64 under that policy; never half precision."""
        return keras.backend.result_type(self.variable_dtype, "float32")

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
        return ops.zeros((n, *self.condition_shape), "int32" if self.num_classes is not None else self.real_dtype)

    def _no_likelihood(self):
        return (
            f"{type(self).__name__} has no likelihood. Families that have one: exact: "
            "AutoregressiveModel, LinearDynamicalSystem, NormalizingFlow, ProbabilisticPCA; a bound: VAE, "
            "ConditionalVAE, IWAE."
        )
