"""A compiled function over arrays of any length: fixed batch size, so one compilation; progress on long work."""

import numpy as np
from keras import ops

from keras_gen.metrics.feeding import Progress


def in_batches(run, arrays, batch_size, verbose="auto"):
    """`run(**arrays)` in batches of `batch_size` rows.

    The last batch is filled by repeating its last row, so that every call has one shape; the filling is cut off.

    Args:
        run: function of tensors, by the names in `arrays`, that returns a tensor with a row for each row.
        arrays: dict, name -> numpy array, all of one length n >= 1.
        batch_size: rows a call; smaller n makes smaller calls.
        verbose: `"auto"`, 0 or 1.

    Returns:
        numpy array of n rows.
    """
    n = len(next(iter(arrays.values())))
    batch_size = min(batch_size, n)
    starts = range(0, n, batch_size)
    progress, outputs = Progress(len(starts), verbose), []
    for step, start in enumerate(starts):
        rows = np.minimum(np.arange(start, start + batch_size), n - 1)
        batch = {name: ops.convert_to_tensor(array[rows]) for name, array in arrays.items()}
        outputs.append(ops.convert_to_numpy(run(**batch)))
        progress.update(step + 1)
    return np.concatenate(outputs)[:n]
