"""The engine room: the only room that imports a backend.

A generative model is written once. What its training step needs and `keras.ops` does not offer is here, in one
contract that each backend fulfils in a file of its own:

| name | meaning |
|---|---|
| `value_and_grad(fn, variables)` | `fn()` and its gradient in `variables`; zeros for one that `fn` does not use |
| `grad(fn, x)` | d sum(fn(x)) / dx, itself differentiable in x and in every variable |
| `vjp(fn, x, cotangent)` | `fn(x)` and the product cotangent^T J |
| `jvp(fn, x, tangent)` | `fn(x)` and the product J tangent |
| `no_grad(fn, *args)` | `fn(*args)` as constants |
| `compile(fn, variables, loop)` | `fn` compiled; a call reads the variables' current values, leaves no side effect |
| `apply_gradients(optimizer, gradients, good)` | one step of the optimizer on its variables; none if `good` is false |
| `append(record, values)` | scalars at the end of a vector that is a variable; the oldest ones fall out |
| `entry(x, index, axis)` | one entry of x along an axis, at an index that a loop may count |
| `entries(x, indices)` | entries of x along its first axis |
| `loop(count, body, state)` | `state = body(i, state)` for i = 0, ..., count - 1, for many short steps |
| `scan(step, carry, xs, steps, reverse)` | what a list carries after each step of a loop over the first axis of xs |
| `scan_has_gradient` | whether the above can be differentiated |
| `put(x, index, row, axis)` | x with one entry along an axis replaced; x is used up: on torch it is written in place |
| `when(condition, fn, otherwise)` | `fn()`, with what it writes, where a scalar is true; else `otherwise` |
| `check_dtype(dtype, owner)` | raises where the backend would silently compute in a narrower dtype |
| `export_options`, `export_onnx` | what exporting needs beyond Keras's exporters |
| `DataAdapter` | the base of what Keras's `fit` takes as data |
| `machine(variables)` | what the last bits of a result depend on: versions, cores, threads, device |
| `random_state()`, `set_random_state(state)` | the process's own generators: Python's, NumPy's, Keras's, torch's |
| `reproducible(model)` | whether a compiled training gives the same bits each time, on the same machine |
| `first_call(fn, *args)` | what `fn` builds when it is called, and its output, which may be shapes and dtypes alone |
| `normalized_by_batch`, `normalized_by_group`, `transposed_convolution` | kernels of torch; None elsewhere |
| `row_dataset`, `batch_dataset` | the data as Keras wants them on TensorFlow; None elsewhere, where it iterates |
| `replicas`, `rows`, `all_sum`, `processes`, `block`, ... | several devices: see `keras_gen.backend.devices` |
| `Trainer` | the mixin that turns `train_on(data)`, `test_on(data)` and `predict_on(data)` into Keras's steps |

Side effects of `fn` (moving averages, seeds, metrics) happen exactly once and survive the differentiation on every
backend. On TensorFlow and torch that is the nature of a tape. JAX differentiates pure functions, so `jax.py` opens
an inner `keras.StatelessScope` that holds all current values, and hands the new ones to the scope around it.
"""

import keras
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from keras_gen.backend.devices import agree, all_sum, block, divided, processes, replicas, rows, share, summed, whole
from keras_gen.backend.export import export_onnx, export_options
from keras_gen.backend.machine import machine
from keras_gen.backend.noise import Noise
from keras_gen.backend.optimizer_group import OptimizerGroup
from keras_gen.backend.precision import check_dtype
from keras_gen.backend.random_state import random_state, set_random_state

row_dataset = batch_dataset = normalized_by_batch = normalized_by_group = transposed_convolution = None

if keras.config.backend() == "tensorflow":
    from keras_gen.backend.data import batch_dataset, row_dataset
    from keras_gen.backend.tensorflow import (
        Trainer,
        append,
        apply_gradients,
        compile,
        entries,
        entry,
        first_call,
        grad,
        jvp,
        loop,
        no_grad,
        put,
        reproducible,
        scan,
        scan_has_gradient,
        value_and_grad,
        vjp,
        when,
    )
elif keras.config.backend() == "jax":
    from keras_gen.backend.jax import (
        Trainer,
        append,
        apply_gradients,
        compile,
        entries,
        entry,
        first_call,
        grad,
        jvp,
        loop,
        no_grad,
        put,
        reproducible,
        scan,
        scan_has_gradient,
        value_and_grad,
        vjp,
        when,
    )
elif keras.config.backend() == "torch":
    from keras_gen.backend.torch import (
        Trainer,
        append,
        apply_gradients,
        compile,
        entries,
        entry,
        first_call,
        grad,
        jvp,
        loop,
        no_grad,
        normalized_by_batch,
        normalized_by_group,
        put,
        reproducible,
        scan,
        scan_has_gradient,
        transposed_convolution,
        value_and_grad,
        vjp,
        when,
    )
else:
    raise ImportError(
        "keras_gen trains on the Keras backends 'tensorflow', 'jax' and 'torch'. "
        f"Received: backend={keras.config.backend()!r}. Set KERAS_BACKEND in the environment before importing Keras."
    )

__all__ = [
    "DataAdapter",
    "Noise",
    "OptimizerGroup",
    "Trainer",
    "agree",
    "all_sum",
    "append",
    "apply_gradients",
    "batch_dataset",
    "block",
    "check_dtype",
    "export_onnx",
    "export_options",
    "compile",
    "divided",
    "entries",
    "entry",
    "first_call",
    "grad",
    "jvp",
    "loop",
    "machine",
    "no_grad",
    "normalized_by_batch",
    "normalized_by_group",
    "processes",
    "put",
    "random_state",
    "replicas",
    "reproducible",
    "row_dataset",
    "rows",
    "scan",
    "scan_has_gradient",
    "set_random_state",
    "share",
    "summed",
    "transposed_convolution",
    "value_and_grad",
    "vjp",
    "whole",
    "when",
]
