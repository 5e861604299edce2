"""What callbacks remember between epochs, so that a resumed training goes on with it.

A callback may say it itself, by `get_state()` and `set_state(state)`. Keras's callbacks do not: their attributes are
listed here. Of any other callback it is seen whether its plain attributes change while it runs.
"""

import warnings

import keras
import numpy as np

from keras_gen.callbacks.checkpoints import encode

_ATTRIBUTES = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_weights", "best_epoch"),
    "ReduceLROnPlateau": ("best", "wait", "cooldown_counter"),
    "ModelCheckpoint": ("best", "_batches_seen_since_last_saving", "_last_batch_seen", "_current_epoch"),
    "SwapEMAWeights": ("_ema_weights_in_model",),
    "TensorBoard": ("_global_train_batch", "_global_test_batch"),
    "LearningRateScheduler": (),
    "LambdaCallback": (),
    "CSVLogger": (),
    "ProgbarLogger": (),
    "History": (),
    "TerminateOnNaN": (),
    "RemoteMonitor": (),
}
_PLAIN = (bool, int, float, str, type(None), list, tuple, dict, np.ndarray, np.generic)
_KERAS = ("_model", "params", "validation_data", "monitor_op", "min_delta")


class CallbackStates:
    """The states of `callbacks`, and a warning of those that have one and do not tell.

    Raises:
        ValueError: a state that cannot be saved.
    """

    def __init__(self, callbacks):
        self.callbacks = callbacks
        self._with_state = [c for c in callbacks if hasattr(c, "get_state") or _attributes(c)]
        self._before = {i: _untold(c) for i, c in enumerate(callbacks) if not _tells_all(c)}
        encode(self.get(), {})

    def names(self):
        """The classes of those that remember."""
        return [type(c).__name__ for c in self._with_state]

    def get(self):
        """The states of those that remember."""
        self._warn()
        return [_get(c) for c in self._with_state]

    def set(self, states):
        """Give the callbacks their states back."""
        for callback, state in zip(self._with_state, states, strict=True):
            _set(callback, state)

    def _warn(self):
        for i in list(self._before):
            callback = self.callbacks[i]
            if changed := _changes(self._before[i], _untold(callback)):
                del self._before[i]
                warnings.warn(
                    f"{type(callback).__name__} changes while it runs ({', '.join(changed)}), and a resumed training "
                    "will not know. Give it `get_state()`, a dict, and `set_state(state)`.",
                    stacklevel=2,
                )


def _listed(callback):
    """The class of Keras among those of `callback` whose attributes are listed; None if there is none."""
    kinds = [k for k in type(callback).__mro__ if k.__name__ in _ATTRIBUTES]
    return next((k for k in kinds if k is getattr(keras.callbacks, k.__name__, None)), None)


def _attributes(callback):
    """Names of the attributes that are known to remember."""
    kind = _listed(callback)
    return () if kind is None else _ATTRIBUTES[kind.__name__]


def _tells_all(callback):
    return hasattr(callback, "get_state") or type(callback) is _listed(callback)


def _get(callback):
    if hasattr(callback, "get_state"):
        return plain(callback.get_state())
    return {name: plain(getattr(callback, name, None)) for name in _attributes(callback)}


def plain(value):
    """`value` with numpy arrays for tensors and variables, inside of containers too."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(v) for v in value)
    if isinstance(value, keras.Variable):
        value = value.value
    return np.asarray(keras.ops.convert_to_numpy(value)) if keras.ops.is_tensor(value) else value


def _set(callback, state):
    if hasattr(callback, "set_state"):
        callback.set_state(state)
    else:
        for name, value in state.items():
            setattr(callback, name, value)


def _untold(callback):
    """Its plain attributes but those that are listed, as text, to be compared."""
    told = {*_attributes(callback), *_KERAS}
    return {k: repr(v) for k, v in vars(callback).items() if isinstance(v, _PLAIN) and k not in told}


def _changes(before, after):
    return sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
