"""What callbacks remember between epochs, so that a resumed training goes on with it.

A callback may say it itself, by `get_state()` and `set_state(state)`. Keras's callbacks do not: their attributes are
listed here. Of any other callback it is seen whether its plain attributes change while it runs.
"""

import warnings

import keras
import numpy as np

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
_KERAS = ("_model", "params", "validation_data")


class CallbackStates:
    """The states of `callbacks`, and a warning of those that have one and do not tell."""

    def __init__(self, callbacks):
        self.callbacks = callbacks
        self._before = [_plain(c) if _attributes(c) is None else None for c in callbacks]
        self._warned = set()

    def get(self):
        """A state for each callback; None for one that has none."""
        self._warn()
        return [_get(c) for c in self.callbacks]

    def set(self, states):
        """Give the callbacks their states back."""
        for callback, state in zip(self.callbacks, states, strict=True):
            if state is not None:
                _set(callback, state)

    def _warn(self):
        for i, (callback, before) in enumerate(zip(self.callbacks, self._before, strict=True)):
            if before is not None and i not in self._warned and (changed := _changes(before, _plain(callback))):
                self._warned.add(i)
                warnings.warn(
                    f"{type(callback).__name__} changes while it runs ({', '.join(changed)}), and a resumed training "
                    "will not know. Give it `get_state()`, a dict, and `set_state(state)`.",
                    stacklevel=2,
                )


def _attributes(callback):
    """Names of the attributes that a callback remembers by; empty if it tells itself; None if unknown."""
    if hasattr(callback, "get_state"):
        return ()
    for kind in type(callback).__mro__:
        if kind.__name__ in _ATTRIBUTES and kind is getattr(keras.callbacks, kind.__name__, None):
            return _ATTRIBUTES[kind.__name__]
    return None


def _get(callback):
    if hasattr(callback, "get_state"):
        return callback.get_state()
    return {name: _numpy(getattr(callback, name, None)) for name in _attributes(callback) or ()}


def _numpy(value):
    """Tensors and lists of them, as numpy."""
    if isinstance(value, (list, tuple)):
        return type(value)(_numpy(v) for v in value)
    return np.asarray(keras.ops.convert_to_numpy(value)) if keras.ops.is_tensor(value) else value


def _set(callback, state):
    if hasattr(callback, "set_state"):
        callback.set_state(state)
    else:
        for name, value in state.items():
            setattr(callback, name, value)


def _plain(callback):
    return {k: _frozen(v) for k, v in vars(callback).items() if isinstance(v, _PLAIN) and k not in _KERAS}


def _frozen(value):
    """A copy that can be compared."""
    return repr(value)


def _changes(before, after):
    return sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
