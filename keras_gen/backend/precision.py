"""What dtypes a backend computes in: float64 is asked for by the dtype policy, and must not become float32 unseen.

Two things make it so. JAX holds float64 only where its flag `jax_enable_x64` is on. And Keras's promotion table turns
the result float64 of an operation into float32 on JAX and torch (not on TensorFlow), so that even a dense layer of
float64 weights multiplies in float32. The first is the user's to set: it acts on all of JAX. The second is a table
entry that only acts where float64 is among the operands; it is put right when float64 is first asked for.
"""

import keras
from keras.src.backend.common import dtypes


def check_dtype(dtype, owner):
    """Make sure that the backend computes in `dtype`, never in a narrower one.

    Args:
        dtype: the name of a dtype, or a `keras.DTypePolicy`, of which the variables' dtype and the compute dtype count.
        owner: who asks for it, for the message.

    Raises:
        ValueError: float64 on JAX without x64.
    """
    if "float64" not in (getattr(dtype, name, dtype) for name in ("variable_dtype", "compute_dtype")):
        return
    if keras.config.backend() == "jax":
        _require_x64(getattr(dtype, "name", dtype), owner)
    if keras.backend.result_type("float64", "float32") != "float64":
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"


def _require_x64(dtype, owner):
    import jax

    if not jax.config.jax_enable_x64:
        raise ValueError(
            f"{owner} expects JAX with 64-bit numbers for its dtype. Received: dtype={dtype} while jax_enable_x64 is "
            "off, where JAX computes in float32. Set JAX_ENABLE_X64=1 in the environment, or call "
            '`jax.config.update("jax_enable_x64", True)` before anything else.'
        )
