"""`keras_gen.backend.devices` on torch: the processes of `torch.distributed`.

Keras 3.15 has no distribution of its own on torch. Where the user has called `torch.distributed.init_process_group`,
each process is a replica: it reads its block of each global batch, and sums go through `all_reduce`. A list of tensors
is summed as one vector a dtype. `rows` asks the others for their sizes, but for sizes that are known to be the same in
all: those of the batch, if they were found equal when the step began (`step`), and of its equal parts (`divided`).
"""

import contextlib

import keras
import torch
import torch.distributed as dist

_equal = set()  # numbers of rows that are the same in every process, in the step that is running


def _initialized():
    return dist.is_available() and dist.is_initialized()


def processes():
    """`(index, count)` of the processes that divide the data."""
    return (dist.get_rank(), dist.get_world_size()) if _initialized() else (0, 1)


def replicas():
    """P, the number of replicas that run this step."""
    return processes()[1]


def _device():
    """Where small numbers are exchanged: the host if the process group reaches it, without waiting for the device."""
    return "cpu" if "cpu" in str(dist.get_backend_config()) else keras.ops.zeros(()).device


def _sizes(n):
    index, count = processes()
    sizes = torch.zeros(count, dtype=torch.int64, device=_device())
    sizes[index] = int(n)
    dist.all_reduce(sizes)
    return sizes.tolist()


@contextlib.contextmanager
def step(n):
    """A step in which this process has `n` rows: notes whether all have as many."""
    if replicas() > 1 and len(set(_sizes(n))) == 1:
        _equal.add(n)
    try:
        yield
    finally:
        _equal.clear()


def divided(n, parts):
    """The rows of this step are divided in `parts`: that they are as many on each replica is remembered."""
    if n in _equal and n % parts == 0:
        _equal.add(n // parts)


def rows(n):
    """`(o_r, N)`: where this replica's `n` rows lie in the global batch."""
    index, count = processes()
    if count == 1:
        return 0, n
    if n in _equal:
        return index * n, count * n
    sizes = _sizes(n)
    return sum(sizes[:index]), sum(sizes)


class _AllSum(torch.autograd.Function):
    """y = sum_r x_r, so dL/dx_r = sum_s dL_s/dy: the backward pass is the same sum."""

    @staticmethod
    def forward(context, x):
        y = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(y)
        return y

    @staticmethod
    def backward(context, gradient):
        return _AllSum.apply(gradient)


def all_sum(values):
    """The sum over the replicas of each tensor."""
    if replicas() == 1:
        return values
    tensors = [torch.as_tensor(v) for v in keras.tree.flatten(values)]
    sums = list(tensors)
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        places = [i for i, t in enumerate(tensors) if t.dtype == dtype]
        flat = _AllSum.apply(torch.cat([tensors[i].reshape(-1) for i in places]))
        for i, part in zip(places, flat.split([tensors[i].numel() for i in places]), strict=True):
            sums[i] = part.reshape(tensors[i].shape)
    return keras.tree.pack_sequence_as(values, sums)


def summed(variables):
    """A context in which sums of each replica read as sums over all."""
    if replicas() == 1 or not variables:
        return contextlib.nullcontext()
    with torch.no_grad():
        return keras.StatelessScope(list(zip(variables, all_sum([v.value for v in variables]), strict=True)))


def agree(number):
    """The int of process 0."""
    if replicas() == 1:
        return number
    box = [number]
    dist.broadcast_object_list(box, device=torch.device(_device()))
    return box[0]


def share(variables):
    """Every process takes the values of process 0."""
    if replicas() > 1:
        for variable in variables:
            dist.broadcast(variable.value.data, 0)
