"""States as solvers see them: structures of tensors `(batch, ...)` laid out as one matrix `(batch, M)`.

Row i of it is all that belongs to example i: its norm is that of the example's error, and one where keeps or takes
back its step.
"""

import math

import keras
import numpy as np
from keras import backend, ops

from keras_gen.backend import check_dtype


class Layout:
    """How the leaves of a structure lie in the rows of a matrix.

    Args:
        state: structure of floating tensors `(batch, ...)` of one dtype, static but for the batch.

    Raises:
        ValueError: no tensors, or tensors of other dtypes or with other unknown axes.
    """

    def __init__(self, state):
        leaves = [ops.convert_to_tensor(leaf) for leaf in keras.tree.flatten(state)]
        self.structure, self.shapes = state, [tuple(leaf.shape[1:]) for leaf in leaves]
        dtypes = {backend.standardize_dtype(leaf.dtype) for leaf in leaves}
        wrong = len(dtypes) != 1 or not backend.is_float_dtype(min(dtypes))
        if wrong or any(len(leaf.shape) < 1 or None in leaf.shape[1:] for leaf in leaves):
            raise ValueError(
                "Expected a state of floating tensors (batch, ...) of one dtype, static but for the batch. Received: "
                f"shapes {[tuple(leaf.shape) for leaf in leaves]}, dtypes {sorted(dtypes)}."
            )
        self.dtype = dtypes.pop()
        check_dtype(self.dtype, "A solver")
        self.ends = np.cumsum([math.prod(shape) for shape in self.shapes]).tolist()

    def pack(self, state):
        """`(batch, M)` of a state, or of its slope."""
        leaves = [ops.convert_to_tensor(leaf) for leaf in keras.tree.flatten(state)]
        if [tuple(leaf.shape[1:]) for leaf in leaves] != self.shapes:
            raise ValueError(
                f"Expected slopes of the shapes of the state, (batch, ...) with {self.shapes}. Received: "
                f"{[tuple(leaf.shape) for leaf in leaves]}."
            )
        rows = [ops.reshape(leaf, (ops.shape(leaf)[0], math.prod(leaf.shape[1:]))) for leaf in leaves]
        return rows[0] if len(rows) == 1 else ops.concatenate(rows, axis=1)

    def unpack(self, rows):
        """The structure of `(batch, M)`."""
        starts, batch = [0, *self.ends[:-1]], ops.shape(rows)[0]
        spans = zip(starts, self.ends, self.shapes, strict=True)
        leaves = [ops.reshape(rows[:, a:b], (batch, *shape)) for a, b, shape in spans]
        return keras.tree.pack_sequence_as(self.structure, leaves)

    def flat(self, fn):
        """`fn(t, state, ...)` as a function of rows, giving rows."""
        return lambda t, rows, *args: self.pack(fn(t, self.unpack(rows), *args))
