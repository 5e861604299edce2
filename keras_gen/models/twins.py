"""The numpy twins of a model's tensor methods.

`generate` and `log_density` are functions of tensors that trace inside other graphs. Their twins `sample` and
`log_prob` are to them what Keras's `predict` is to `call`: checked, batched, compiled once, numpy in and out. On JAX
they first give the variables the state of a running epoch.
"""

import math

import numpy as np
from keras import ops

from keras_gen import backend, random
from keras_gen.models import inputs
from keras_gen.models.batching import in_batches

MOST_NUMBERS = 2**22  # of events that are computed at once by default: 85 images of 128 x 128 x 3


class Twins:
    """Mixin of `GenerativeModel`: `sample` and `log_prob`, and what other numpy twins are made of."""

    def sample(self, n, condition=None, *, seed=None, temperature=1.0, batch_size=None, verbose="auto"):
        """Samples from the model.

        Sample i depends on (seed, i) and its condition alone: not on `batch_size`, nor, to rounding, on the backend.

        Args:
            n: number of samples, at least 1.
            condition: for a conditional model, `(n, ...)`, or one condition for all.
            seed: non-negative integer; None draws fresh entropy. Training seeds are never advanced.
            temperature: >= 0, scale of the randomness; 1 is the model itself, 0 its mode where defined.
            batch_size: samples computed at once, default 256, or fewer of large events.
            verbose: `"auto"` shows progress on work of more than two seconds; 0 or 1.

        Returns:
            numpy array `(n, *event_shape)`.

        Raises:
            ValueError: an argument out of its range; a condition missing, superfluous or of the wrong shape.
        """
        n = inputs.check_count(n, "n")
        temperature = inputs.check_temperature(temperature)
        keys = ops.convert_to_numpy(random.keys(inputs.check_seed(seed), n))
        condition = inputs.check_condition(self, self._repeat(condition, n), n)
        arrays = {"keys": keys, "condition": condition}
        extra = {"temperature": np.float32(temperature)} if temperature > 0 else {}
        run = self._compiled("sample" if extra else "mode", lambda **kw: self.generate(**({"temperature": 0.0} | kw)))
        return self._in_batches(run, arrays, extra, batch_size, verbose)

    def log_prob(self, x, condition=None, *, batch_size=None, verbose="auto"):
        """log p(x given condition), nats, numpy `(batch,)`.

        Args:
            x: data `(n, *event_shape)`.
            condition: `(n, ...)` for a conditional model.
            batch_size: examples computed at once, default 256, or fewer of large events.
            verbose: as in `sample`.

        Raises:
            NotImplementedError: the family has no likelihood.
            ValueError: data that `fit` would refuse.
        """
        if self.likelihood is None:
            raise NotImplementedError(self._no_likelihood())
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        run = self._compiled("log_density", lambda x, condition=None: self.log_density(self._event(x), condition))
        return self._in_batches(run, {"x": x, "condition": condition}, {}, batch_size, verbose)

    def _event(self, x):
        """x in the dtype of the objective: integers for tokens, else float32 at least, whatever the policy."""
        return ops.cast(x, self.real_dtype if self.event_dtype == "float32" else self.event_dtype)

    def _compiled(self, name, fn, loop=False):
        """`fn`, of tensors by name, compiled once under `name`; it reads the model's current variables.

        `loop` says that it is a loop of many short steps.
        """
        if name not in self._compiled_functions:
            functions = {}

            def run(**kwargs):
                names = tuple(sorted(kwargs))
                if names not in functions:
                    functions[names] = backend.compile(
                        lambda *args: fn(**dict(zip(names, args, strict=True))), lambda: self.variables, loop
                    )
                return functions[names](*(kwargs[n] for n in names))

            self._compiled_functions[name] = run
        return self._compiled_functions[name]

    def _in_batches(self, run, arrays, extra, batch_size, verbose):
        self.synchronize()
        default = max(1, min(256, MOST_NUMBERS // math.prod(self.event_shape)))
        batch_size = inputs.check_count(default if batch_size is None else batch_size, "batch_size")
        arrays = {name: array for name, array in arrays.items() if array is not None}
        extra = {name: ops.convert_to_tensor(value) for name, value in extra.items()}
        return in_batches(lambda **kw: run(**kw, **extra), arrays, batch_size, verbose)

    def _repeat(self, condition, n):
        """One condition given for all samples, repeated."""
        if condition is None or not self.conditional:
            return condition
        condition = inputs.to_numpy(condition, "condition")
        if condition.ndim == len(self.condition_shape):
            condition = np.broadcast_to(condition, (n, *condition.shape))
        return condition
