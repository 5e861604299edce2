"""A network whose weights are the average of another's over training.

With w_t the weights after step t, the average is

    a_t = b_t a_(t-1) + (1 - b_t) w_t,        b_t = min(b, (1 + t) / (10 + t)),

the second so that the first steps, of a network that knows nothing, are soon forgotten. Players that circle around
their equilibrium have averages near it: samples of the average generator are better than those of the last one by as
much as most changes of the objective (Yazici et al. 2019). Statistics that are averages already are copied.

Reference:
    Y. Yazici et al., "The unusual effectiveness of averaging in GAN training", arXiv:1806.04498 (2019).
"""

import keras
import numpy as np
from keras import ops


def check_average(average, dtype):
    """A decay b in (0, 1) of an average of weights of `dtype`, or None for no average."""
    if average is None:
        return None
    number = isinstance(average, (int, float, np.number)) and not isinstance(average, bool)
    if not number or not 0.0 < average < 1.0:
        raise ValueError(f"Expected `average` as a number between 0 and 1, or None. Received: {average!r}.")
    if dtype in ("float16", "bfloat16"):
        raise ValueError(
            f"Expected `average=None` where variables are {dtype}: a last bit is more than a step of the average. "
            f"Received: average={average}. Or use 'mixed_{dtype}'."
        )
    return float(average)


def step_counter(model):
    """A variable that counts the training steps of `model`, for averages and schedules."""
    return model.add_weight(
        shape=(), initializer="zeros", dtype="int32", trainable=False, autocast=False,
        aggregation="only_first_replica", name="steps",
    )  # fmt: skip


def average_network(network, name=None):
    """A built network of the same configuration and weights, that no optimizer moves."""
    config = keras.saving.serialize_keras_object(network)
    if name is not None:
        config["config"]["name"] = name
    own = {type(network).__name__: type(network)}  # a class that is not registered
    average = keras.saving.deserialize_keras_object(config, custom_objects=own, safe_mode=False)
    if not average.built:
        average.build_from_config(network.get_build_config())
    average.set_weights(network.get_weights())
    average.trainable = False
    return average


def update_average(average, network, decay, step):
    """One step a <- b_t a + (1 - b_t) w, in the dtype of the weights."""
    t = ops.cast(step, "float32")
    b = ops.minimum(decay, (1.0 + t) / (10.0 + t))
    moved = {id(v) for v in network.trainable_variables}
    for a, w in zip(average.weights, network.weights, strict=True):
        blended = ops.cast(b, a.dtype) * a + (1.0 - ops.cast(b, a.dtype)) * w
        a.assign(blended if id(w) in moved else w.value)
