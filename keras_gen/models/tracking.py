"""Means over an epoch of whatever a training step reports.

A step returns named scalars l_k, each the mean over n examples. Over an epoch the log shows
sum(n l_k) / sum(n). The names are only known when the step is first traced, while JAX wants the list of state
variables before; so all sums live in one vector: a slot a name for sum(n l_k), then a slot a name for sum(n). One array
instead of many also keeps the number of operations a step small.
"""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="keras_gen")
class Means(keras.metrics.Metric):
    """Means of named scalars, weighted by the number of examples, in one vector.

    `result()` is the vector itself, so that it never passes for one of the named logs; `means()` gives these.

    Args:
        capacity: most names, default 64.
        name, dtype: as in `keras.metrics.Metric`; default float32.

    Raises:
        ValueError: more than `capacity` names.
    """

    def __init__(self, capacity=64, name="means", dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self.capacity = capacity
        self.names = []
        self.sums = self.add_variable((2 * capacity,), initializer="zeros", dtype=self.dtype, name="sums")

    def update_state(self, values, count):
        """Add the scalars in the dict `values`, each a mean over `count` examples."""
        self._register(values)
        if not self.names:
            return
        scalars = ops.cast(ops.stack([values.get(name, 0.0) for name in self.names]), self.dtype)
        rest = np.zeros(2 * self.capacity - len(self.names), self.dtype)
        rest[[self.names.index(name) - len(self.names) + self.capacity for name in values]] = 1.0
        count = float(count) if isinstance(count, int) else ops.cast(count, self.dtype)
        self.sums.assign_add(count * ops.concatenate([scalars, rest]))

    def _register(self, values):
        self.names.extend(name for name in values if name not in self.names)
        if len(self.names) > self.capacity:
            raise ValueError(f"Expected at most {self.capacity} different logs. Received: {self.names}")

    def means(self, names):
        """Dict name -> mean so far, for `names`."""
        ratios = self.result()
        return {name: ratios[self.names.index(name)] for name in names}

    def result(self):
        sums = self.sums.value
        return ops.divide_no_nan(sums[: self.capacity], sums[self.capacity :])

    def get_config(self):
        return {"capacity": self.capacity, "name": self.name, "dtype": self.dtype}
