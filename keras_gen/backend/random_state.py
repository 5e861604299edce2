"""The random generators that a process has beside those of its models: what unseeded draws come from.

Python's and NumPy's; Keras's global seed, from which `keras.random` draws without a seed; on torch also torch's own,
from which Keras takes the masks of a Dropout without a seed. (TensorFlow's own is not read: Keras does not use it.)
"""

import random
import sys

import keras
import numpy as np
from keras.src.backend.common import global_state


def random_state():
    """The states, a dict of numbers, tuples and arrays."""
    seed = global_state.get_global_attribute("global_seed_generator")
    state = {"python": random.getstate(), "numpy": np.random.get_state()}
    if seed is not None:
        state["keras"] = np.asarray(keras.ops.convert_to_numpy(seed.state.value))
    if keras.config.backend() == "torch":
        torch = sys.modules["torch"]
        state["torch"] = torch.get_rng_state().numpy()
        state["cuda"] = [s.numpy() for s in torch.cuda.get_rng_state_all()] if torch.cuda.is_available() else []
    return state


def set_random_state(state):
    """Put back what `random_state` gave."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    if "keras" in state:
        from keras.src.random.seed_generator import global_seed_generator

        global_seed_generator().state.assign(state["keras"])
    if "torch" in state:
        torch = sys.modules["torch"]
        torch.set_rng_state(torch.from_numpy(np.array(state["torch"])))
        if state["cuda"]:
            torch.cuda.set_rng_state_all([torch.from_numpy(np.array(s)) for s in state["cuda"]])
