"""Several devices: what a training step that sees a part of the batch knows of the whole.

The global batch of N examples is the concatenation of the P replicas' rows: replica r has the n_r rows from
o_r = n_0 + ... + n_(r-1) on. The mean loss and its gradient are sums over the replicas of what each computes,

    L = 1/N sum_i l_i = sum_r L_r,     L_r = 1/N sum_(i of r) l_i,     grad L = sum_r grad L_r,

for sizes n_r of any kind, and so are the moments of batch normalisation. Noise of example i is row i of one draw for
the global batch, of which a replica keeps its own rows.

| name | meaning |
|---|---|
| `replicas()` | P, the number of replicas that run this step, each on rows of its own: a Python int |
| `rows(n)` | `(o_r, N)`, where the n rows of this replica lie in the global batch |
| `divided(n, parts)` | tells that the n rows of this replica are now used in so many parts, each on its own |
| `all_sum(values)` | the sum over the replicas of each tensor of a structure; differentiable, twice too |
| `summed(variables)` | a context in which the variables of metrics, sums of each replica, read as sums over all |
| `processes()` | `(index, count)` of the processes among which the rows of a global batch are divided |
| `block(n)` | the slice of a global batch of n rows that this process reads |
| `agree(number)` | the int of process 0, on all |
| `whole(variable)` | whether this process sees all of a variable, or JAX has spread it over processes |
| `share(variables)` | every process takes the values of process 0 |

A *replica* is a part of a step, a *process* a part of the data. `tf.distribute.MirroredStrategy` has replicas in one
process; under `torch.distributed` each process is a replica; a JAX program under `keras.distribution` is written for
the global batch, so it has one replica, whatever the number of devices, and its processes divide the data alone.
"""

import keras

if keras.config.backend() == "tensorflow":
    from keras_gen.backend.devices_tensorflow import agree, all_sum, divided, processes, replicas, rows, share, summed
elif keras.config.backend() == "jax":
    from keras_gen.backend.devices_jax import agree, all_sum, divided, processes, replicas, rows, shards, share, summed
else:
    from keras_gen.backend.devices_torch import agree, all_sum, divided, processes, replicas, rows, share, summed
if keras.config.backend() != "jax":

    def shards():
        """A batch is divided in Python, in parts of any size."""
        return 1


__all__ = ["agree", "all_sum", "block", "divided", "processes", "replicas", "rows", "share", "summed", "whole"]


def whole(variable):
    """Whether this process holds, or can see, all of `variable`: not if it is spread over processes."""
    value = variable.value
    return getattr(value, "is_fully_addressable", True) or value.is_fully_replicated


def block(n):
    """The rows of a global batch of `n` that this process reads, a slice; the blocks differ by one row at most.

    Raises:
        ValueError: fewer rows than processes; on JAX also a number that they do not divide.
    """
    index, count = processes()
    parts = max(count, shards())
    if n < count or n % parts and keras.config.backend() == "jax":
        expected = f"a multiple of {parts}" if keras.config.backend() == "jax" else f"at least {count}"
        raise ValueError(
            f"Expected {expected} examples in each global batch, which so many devices or processes divide. "
            f"Received: {n}. Choose `batch_size`, and the number of examples or `steps_per_epoch`, so that none such "
            "remains."
        )
    return slice(n * index // count, n * (index + 1) // count)
