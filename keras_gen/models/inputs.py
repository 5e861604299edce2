"""What a user hands to a model, checked before any compute.

Arrays are checked whole: rank, event shape, dtype, NaN and inf, support, labels. What streams (`tf.data`, `PyDataset`,
`DataLoader`, generators) cannot be read in advance; its shapes are checked when the first batch arrives.
"""

import secrets

import keras
import numpy as np


def is_array(x):
    """Whether `x` is one array: numpy, a list of numbers, or a tensor of the backend."""
    return isinstance(x, (np.ndarray, list, float, int, np.generic)) or keras.ops.is_tensor(x)


def to_numpy(x, what):
    """`x` as a numeric numpy array."""
    try:
        array = x if isinstance(x, np.ndarray) else np.asarray(keras.ops.convert_to_numpy(x))
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected {what} as an array of numbers. Received: {type(x).__name__}, {error}") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"Expected {what} of a real numeric dtype. Received: dtype={array.dtype}. Convert it first.")
    return array


def check_shape(shape, expected, what):
    """Raise unless `shape[1:]` is `expected`; `None` fits any size."""
    received = tuple(shape)
    fits = len(received) == len(expected) + 1 and all(
        r is None or r == e for r, e in zip(received[1:], expected, strict=True)
    )
    if not fits:
        sizes = ", ".join(["batch", *map(str, expected)]) + ("" if expected else ",")
        raise ValueError(f"Expected {what} of shape ({sizes}). Received: shape={received}. Reshape the data.")


def check_finite(array, what):
    """Raise if the numpy `array` holds NaN or inf."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise ValueError(
            f"Expected finite {what}. Received: {bad} of {array.size} values are NaN or inf. Clean the data."
        )


def check_values(model, x):
    """Raise if the numpy array of data `x` holds inf, or NaN, which a model whose `missing` is True takes."""
    missing = getattr(model, "missing", None)
    try:
        check_finite(x[~np.isnan(x)] if missing and x.dtype.kind == "f" else x, "x")
    except ValueError as error:
        hint = "" if missing is None or missing else " Make the model with `missing=True` if NaN is what is missing."
        raise ValueError(f"{error}{hint}") from None


def check_data(model, x):
    """`x` as a checked numpy array of events."""
    x = to_numpy(x, "x")
    check_shape(x.shape, model.event_shape, "x")
    if len(x) == 0:
        raise ValueError(f"Expected at least one example. Received: empty x of shape {x.shape}.")
    check_values(model, x)
    model.check_support(x)
    return x


def check_condition(model, y, n):
    """`y` as a checked numpy array of `n` conditions, or None for a model without one."""
    if not model.conditional:
        if y is not None:
            raise ValueError(
                f"Expected no y, no condition: {type(model).__name__} models p(x) without one. "
                "Received one. Leave it out, or use a conditional model."
            )
        return None
    if y is None:
        raise ValueError(
            f"Expected y, the condition of p(x given y): {model.condition_description()}. Received none. "
            "Pass it: fit(x, y), predict((x, y)), sample(n, condition), log_prob(x, condition)."
        )
    y = to_numpy(y, "y")
    check_finite(y, "y")
    if model.num_classes is not None:
        if y.ndim == 2 and y.shape[1] == model.num_classes > 1:
            raise ValueError(
                f"Expected y as integer labels (batch,). Received: shape={y.shape}, one-hot it seems. "
                "Pass y.argmax(axis=-1)."
            )
        y = _labels(y, model.num_classes)
    check_shape(y.shape, model.condition_shape, "y")
    if len(y) != n:
        raise ValueError(f"Expected as many conditions as examples. Received: {len(y)} conditions, {n} examples.")
    if len(y):
        model.check_condition_support(y)
    return y


def _labels(y, num_classes):
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if (y < 0).any() or (y >= num_classes).any() or (y != np.floor(y)).any():
        raise ValueError(
            f"Expected labels as integers in [0, {num_classes}). Received: values between {y.min()} and {y.max()}, "
            f"dtype={y.dtype}."
        )
    return y.astype("int32")


def check_arrays(model, x, y=None, sample_weight=None, stream=True):
    """The three of them checked, if they are arrays; data that streams is returned as it came."""
    if x is None:
        raise ValueError(f"Expected x of shape (batch, {', '.join(map(str, model.event_shape))}). Received: None.")
    if isinstance(x, (tuple, dict)):
        raise ValueError(
            f"Expected x as one array, or what streams (x, y). Received: a {type(x).__name__}. "
            "Pass fit(x, y) and evaluate(x, y)."
        )
    if not is_array(x):
        if not stream:
            raise ValueError(f"Expected x as an array. Received: {type(x).__name__}. Streams go to `fit`.")
        return x, y, sample_weight
    x = check_data(model, x)
    y = check_condition(model, y, len(x))
    if sample_weight is not None:
        sample_weight = to_numpy(sample_weight, "sample_weight")
        check_shape(sample_weight.shape, (), "sample_weight")
        check_finite(sample_weight, "sample_weight")
        if len(sample_weight) != len(x):
            raise ValueError(f"Expected {len(x)} sample weights, one an example. Received: {len(sample_weight)}.")
        y = np.zeros((len(x), 0), "float32") if y is None else y  # Keras drops the weights of data without y
    return x, y, sample_weight


def split_off(data, fraction):
    """The arrays of `data` without their last `fraction` of rows, and those rows, as Keras splits for validation."""
    if not is_array(data[0]):
        raise ValueError(
            "Expected arrays with `validation_split`: a stream cannot be cut in two. "
            f"Received: {type(data[0]).__name__}. Pass `validation_data`."
        )
    size = len(data[0])
    cut = int(size * (1.0 - fraction))
    if not 0 < cut < size:
        raise ValueError(
            f"Expected `validation_split` in (0, 1) that leaves examples on both sides. Received: {fraction} of {size}."
        )
    return tuple(_part(a, None, cut) for a in data), tuple(_part(a, cut, None) for a in data)


def _part(array, start, stop):
    return None if array is None else array[start:stop]


def check_count(n, name):
    """`n` as a positive int."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"Expected `{name}` as a positive integer. Received: {name}={n!r}.")
    return int(n)


def check_optional_count(n, name):
    """`n` as a positive int, or None."""
    return None if n is None else check_count(n, name)


def check_seed(seed):
    """`seed` as an int; None draws fresh entropy."""
    if seed is None:
        return secrets.randbits(63)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"Expected `seed` as a non-negative integer or None. Received: seed={seed!r}.")
    return int(seed)


def check_temperature(temperature):
    """`temperature` as a finite float, not negative."""
    number = isinstance(temperature, (int, float, np.number)) and not isinstance(temperature, bool)
    if not number or not np.isfinite(temperature) or temperature < 0:
        raise ValueError(f"Expected `temperature` as a finite number >= 0. Received: temperature={temperature!r}.")
    return float(temperature)


def check_sizes(shape, name):
    """`shape` as a tuple of at least one positive int; a lone int is one of one."""
    items = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not items or not all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) and i > 0 for i in items):
        raise ValueError(f"Expected `{name}` as a tuple of positive integers. Received: {name}={shape!r}.")
    return tuple(int(i) for i in items)
