"""What must be the same for a training to go on: the program, its data, and the machine as far as bits depend on it."""

import re
import warnings

import keras

_FORMAT = 1
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_FREE = ("name", "registered_name", "divergence", "build_config", "shared_object_id")  # may differ


def describe(run, states, variables):
    """A training as a dict of plain values: model, optimizers, data, callbacks with a memory."""
    return {
        "format": _FORMAT,
        "backend": keras.config.backend(),
        "model": type(run.owner).__name__,
        "configuration": _configuration(run.owner),
        "steps an epoch": run.steps,
        "data": {} if run.stream is None else run.stream.source.fingerprint(),
        "callbacks": states.names(),
        "variables": [[list(v.shape), keras.backend.standardize_dtype(v.dtype)] for v in variables],
    }


def _configuration(model):
    """The model's configuration and that of its optimizers, by path; empty for a model that has none."""
    try:
        config = keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError):
        return {}
    return dict(_leaves(config, ""))


def _leaves(value, path):
    if isinstance(value, dict):
        for key in value:
            if key not in _FREE:
                yield from _leaves(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{path}[{i}]")
    else:
        yield path, _ADDRESS.sub("", repr(value))


def check_same(saved, now):
    """Raise `ValueError` that says what differs."""
    different = [name for name in now if saved.get(name) != now[name]]
    if different:
        said = "; ".join(_difference(name, saved.get(name), now[name]) for name in different)
        raise ValueError(
            f"Expected the training that the checkpoints are of. Received another one: {said}. "
            "Start the same command, or give another folder."
        )


def _difference(name, saved, now):
    if not (isinstance(saved, dict) and isinstance(now, dict)):
        return f"{name}: {_short(saved)}, now {_short(now)}"
    keys = [key for key in {**saved, **now} if saved.get(key) != now.get(key)]
    return "; ".join(f"{name} {key}: {_short(saved.get(key))}, now {_short(now.get(key))}" for key in keys[:3])


def _short(value):
    text = str(value)
    return text if len(text) < 120 else text[:117] + "..."


def warn_of_machine(saved, now):
    """Warn if the checkpoint is of another machine."""
    if saved != now:
        warnings.warn(
            f"The checkpoint was written with {saved}; now there is {now}. Training goes on, but the last bits of its "
            "result may differ.",
            stacklevel=2,
        )
