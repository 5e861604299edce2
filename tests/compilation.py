"""Compilation made quick: a program of a test runs a few times, so that its optimization does not pay.

Half of the processor's time of JAX's tests is XLA's compiler. Without most of its optimizations and without its newer
emitters of fused loops it takes half as long. Outside of a program each operation is compiled by itself, anew for each
shape: initial weights, which have all shapes, are drawn in a few sizes. A third of the time of a training step's first
call on TensorFlow is Grappler, which rewrites its graph. Processes that tests start of their own have it.
"""

import functools
import importlib.util
import math
import mmap
from pathlib import Path

import numpy as np

FLAGS = {"xla_cpu_use_fusion_emitters": "false", "xla_cpu_parallel_codegen_split_count": "1"}


def quick_compilation(environment):
    """Set it in `environment`, for this process if JAX is not yet loaded, and for those that it starts."""
    environment.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    given = environment.get("XLA_FLAGS", "")
    own = [f"--{name}={value}" for name, value in known(FLAGS).items() if name not in given]
    environment["XLA_FLAGS"] = " ".join([given, *own]).strip()


def known(flags):
    """Those that the installed XLA has: one that it does not know ends the process."""
    package = importlib.util.find_spec("jaxlib")
    library = Path(package.origin).with_name("libjax_common.so") if package else Path()
    if not library.is_file():
        return {}
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return {name: value for name, value in flags.items() if text.find(name.encode()) >= 0}


def graphs_as_traced():
    """TensorFlow runs graphs as they were traced."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def draws_of_few_sizes():
    """Keras's draws outside of any program: the first n numbers of a longer draw, whose size is a power of four.

    Number i of a draw is a function of the seed and of i, so they are those of the draw of n, bit for bit.
    """
    from keras.src.backend.jax import random

    for name in ("normal", "uniform", "truncated_normal"):
        setattr(random, name, _of_few_sizes(getattr(random, name)))


def _of_few_sizes(draw):
    import jax
    from jax._src.core import trace_state_clean

    @functools.wraps(draw)
    def drawn(shape, *args, **kwargs):
        size = math.prod(shape) if trace_state_clean() else 0
        if not 0 < size < 2**20:
            return draw(shape, *args, **kwargs)
        longer = draw((2 ** max(10, 2 * math.ceil(math.log2(size) / 2)),), *args, **kwargs)
        return jax.numpy.asarray(np.asarray(longer)[:size].reshape(shape))

    return drawn


def as_one_program(call):
    """`Network.__call__` by one program, where it is called outside of any with arrays: same state before and after."""
    import jax
    import keras
    from jax._src.core import trace_state_clean

    def compiled(network, settings):
        @jax.jit
        def run(values, arrays):
            with keras.StatelessScope(list(zip(network.variables, values, strict=True))) as scope:
                y = call(network, *arrays, **settings)
                return y, [scope.get_current_value(v) for v in network.non_trainable_variables]

        return run

    @functools.wraps(call)
    def called(network, *arrays, **settings):
        plain = all(value is None or isinstance(value, (bool, int)) for value in settings.values())
        if not (plain and trace_state_clean() and all(isinstance(a, (np.ndarray, jax.Array)) for a in arrays)):
            return call(network, *arrays, **settings)
        if not network.built:
            network.build(*(a.shape for a in arrays))
        y, state = compiled(network, settings)([v.value for v in network.variables], arrays)
        for variable, value in zip(network.non_trainable_variables, state, strict=True):
            variable.assign(value)
        return y

    return called


def forget_gradients():
    """TensorFlow keeps the gradient of each `tf.custom_gradient` (silu's is one) of each graph, and so the graph."""
    from tensorflow.python.framework import ops

    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
