"""Counter-based random numbers: the same seed gives the same numbers on TensorFlow, JAX and PyTorch.

Training noise is `keras.random` by way of `Noise`; the noise of sampling comes from here. There is no hidden state.
A draw is a pure function of a key, and a key is one row of an int32 tensor `(n, 2)`, one row a sample, so
that sample i depends on the seed and on i alone: not on the batch size, the backend or what was drawn before.

**Generator.** Threefry-2x32 with 20 rounds is a bijection of the counter `(c0, c1)` for each key `(k0, k1)`,
four 32-bit words. With `k2 = k0 ^ k1 ^ 0x1BD11BDA` and all additions modulo 2**32::

    x0, x1 = c0 + k0, c1 + k1
    round r = 0 ... 19:   x0 = x0 + x1;   x1 = rotl(x1, R[r % 8]) ^ x0
    after rounds 4 i (i = 1 ... 5):   x0 = x0 + k[i % 3];   x1 = x1 + k[(i + 1) % 3] + i

Words are int32: its sums and products wrap around alike on the three backends (uint32 does not exist
everywhere), a shift to the left is a product, and a logical shift to the right is the arithmetic one with the
copies of the sign masked away. Operators on the tensors, not `ops`, halve the cost of small eager draws.

**Streams.** The second counter word is a tag naming the use, the first one an index:

    ============  ===============  =======================  ==========
    use           key              index c0                 tag c1
    ============  ===============  =======================  ==========
    `bits`, ...   a row of `keys`  block of the event       0
    `fold_in`     a row of `keys`  step                     1
    `split`       a row of `keys`  0 ... k - 1              2
    `keys`        the seed         index of the sample      3
    ============  ===============  =======================  ==========

For one key the generator is a bijection, so blocks, folded keys and split keys of one key never coincide; for
different keys they coincide as independent 64-bit words would. The seed is itself the key (high word, low
word) of the last row: a derived key equals a given seed with probability 2**-64. *One key, one draw*: two
draws with the same key share their bits (`uniform` and `normal` too), and a shorter event is the beginning of
a longer one. For several draws use `split`, for the steps of a loop `fold_in`.

**Numbers.** Element j of the event is word j mod 2 of block j // 2 (`integers`: both words of block j). With
w, w0, w1 such words, `m = w & 0x7FFFFFFF` and `v(w) = min((m + 1/2) 2**-31, 1 - 2**-24)`, never 0 or 1::

    uniform       u = (w >> 8) 2**-24, shifted logically
    exponential   e = -log v
    gumbel        g = -log(-log(1 - v))
    normal        radius = sign(w0) sqrt(-2 log v(w0)),  theta = (pi / 2) 2**-31 float32(w1)
                  (z0, z1) = (radius cos theta, radius sin theta)

The last line is the transform of Box and Muller with the angle on the right half circle and the sign of the
radius for the left one: a small angle has a small rounding error. Normals reach sqrt(64 log 2) = 6.66 and are
always finite.

**What agrees.** Bits, integers and uniforms are the same on every backend and in every batch, compiled or
not; so are the float32 numbers v and theta. Their logarithm, sine and cosine belong to the backend: normals
are within 1e-6 of the exact function of v and theta, exponentials and Gumbels within 3e-7 of their size or
of 1, and on TensorFlow the last bits of these three can depend on the place in the batch.

Reference:
    J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section
    4.2 (Threefry). G. Box, M. Muller, "A note on the generation of random normal deviates", Ann. Math.
    Statist. 29 (1958).
"""

import math

import numpy as np
from keras import backend, ops

from keras_gen.backend import Noise, check_dtype  # noqa: F401

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_ELEMENTS, _FOLD_IN, _SPLIT, _KEYS = range(4)


def keys(seed, n, start=0):
    """Random keys of the samples `start ... start + n - 1`, the key of sample i being Threefry(seed, (i, 3)).

    Args:
        seed: Python int, 0 <= seed < 2**64.
        n: Python int, number of keys, at least 1.
        start: Python int, index of the first key, at least 0; `start + n` is at most 2**31. Default 0.

    Returns:
        int32 tensor `(n, 2)`. Row i depends on `seed` and `start + i` alone.

    Raises:
        ValueError: if an argument is no int (a bool is none) or out of its range.

    Example:
        >>> from keras import ops
        >>> from keras_gen import random
        >>> random.keys(42, 3).shape[0]
        3
        >>> bool(ops.all(random.keys(42, 3)[2:] == random.keys(42, 1, start=2)))
        True
    """
    seed = _checked_int("seed", seed, 0, 2**64 - 1)
    n = _checked_int("n", n, 1, 2**31)
    start = _checked_int("start", start, 0, 2**31 - n)
    seed_key = np.array([[seed >> 32, seed & 0xFFFFFFFF]], "uint32").view("int32")
    index = np.arange(start, start + n, dtype="int32")[:, None]
    return ops.convert_to_tensor(np.concatenate(_threefry(seed_key, index, _KEYS, xp=np), axis=-1))


def fold_in(keys, step):
    """Keys of step number `step`: row i is Threefry(keys[i], (step, 1)). Inside loops: one step, one key.

    Args:
        keys: int32 tensor `(n, 2)`.
        step: Python int, 0 <= step < 2**31, or an integer tensor, scalar or `(n,)` (a step for each row).

    Returns:
        int32 tensor `(n, 2)`.

    Raises:
        ValueError: if `keys` is no int32 `(n, 2)`, or `step` no integer of the stated range and shape.

    Example:
        >>> from keras_gen import random
        >>> key = random.keys(0, 4)
        >>> tuple(random.fold_in(key, 7).shape)
        (4, 2)
    """
    keys = _checked_keys(keys)
    words = _threefry(keys, ops.reshape(_checked_step(step, keys.shape[0]), (-1, 1)), _FOLD_IN)
    return ops.concatenate(words, axis=-1)


def split(keys, k):
    """`k` independent sets of keys, for `k` different draws: set j is Threefry(keys, (j, 2)).

    Args:
        keys: int32 tensor `(n, 2)`.
        k: Python int, at least 1. Set j does not depend on it.

    Returns:
        Tuple of `k` int32 tensors `(n, 2)`.

    Raises:
        ValueError: if `keys` is no int32 `(n, 2)`, or `k` no positive int.

    Example:
        >>> from keras_gen import random
        >>> first, second = random.split(random.keys(0, 4), 2)
        >>> tuple(second.shape)
        (4, 2)
    """
    k = _checked_int("k", k, 1, 2**31 - 1)
    x0, x1 = _threefry(_checked_keys(keys), ops.arange(k, dtype="int32"), _SPLIT)
    return tuple(ops.stack([x0[:, j], x1[:, j]], axis=-1) for j in range(k))


def bits(keys, shape):
    """Uniform random 32-bit words.

    Args:
        keys: int32 tensor `(n, 2)`.
        shape: tuple of positive Python ints, the shape of the event; `()` for a scalar.

    Returns:
        int32 tensor `(n, *shape)`, identical on all backends; row i depends on `keys[i]` alone.

    Raises:
        ValueError: if `keys` is no int32 `(n, 2)`, or `shape` no tuple of positive ints.

    Example:
        >>> from keras_gen import random
        >>> tuple(random.bits(random.keys(0, 4), (3, 5)).shape)
        (4, 3, 5)
    """
    shape = _checked_shape(shape)
    return _events(_blocks(keys, -(-math.prod(shape) // 2)), shape)


def uniform(keys, shape, minval=0.0, maxval=1.0, dtype="float32"):
    """Uniform numbers in [minval, maxval): `minval + (maxval - minval) u`, u a multiple of 2**-24.

    Args:
        keys: int32 tensor `(n, 2)`.
        shape: tuple of positive Python ints, the shape of the event.
        minval: Python number, the least value. Default 0.
        maxval: Python number above `minval`, never returned, in no dtype. Default 1.
        dtype: floating dtype of the result; computed in float32, then cast. Default "float32".

    Returns:
        Tensor `(n, *shape)`, identical on all backends. Its resolution is `(maxval - minval) 2**-24`, or that
        of `dtype` where this is coarser.

    Raises:
        ValueError: if `keys` or `shape` are wrong, `dtype` is not floating, or `minval` and `maxval` are no
            finite numbers with a value of `dtype` between them.

    Example:
        >>> from keras import ops
        >>> from keras_gen import random
        >>> u = random.uniform(random.keys(0, 1000), (2,), -1.0, 1.0)
        >>> float(ops.min(u)) >= -1.0 and float(ops.max(u)) < 1.0
        True
    """
    dtype = _checked_dtype(dtype)
    low, width, most = _checked_interval(minval, maxval, dtype)
    u = ops.cast(_shift(bits(keys, shape), 8), "float32") * 2.0**-24
    return ops.cast(low + ops.minimum(width * u, most), dtype)


def integers(keys, shape, low, high):
    """Uniform integers in [low, high): `low + floor((high - low) f)` with f a multiple of 2**-60 in [0, 1).

    No probability differs from 1 / (high - low) by more than 2**-60, under one part in 5e8 for any range.

    Args:
        keys: int32 tensor `(n, 2)`.
        shape: tuple of positive Python ints, the shape of the event.
        low: Python int, the least value, at least -2**31.
        high: Python int above `low`, never returned, at most 2**31 - 1, with `high - low` < 2**31.

    Returns:
        int32 tensor `(n, *shape)`, identical on all backends.

    Raises:
        ValueError: if `keys` or `shape` are wrong, or the range is empty, too wide or not given by ints.

    Example:
        >>> from keras import ops
        >>> from keras_gen import random
        >>> dice = random.integers(random.keys(0, 1000), (2,), 1, 7)
        >>> int(ops.min(dice)), int(ops.max(dice))
        (1, 6)
    """
    low = _checked_int("low", low, -(2**31), 2**31 - 2)
    high = _checked_int("high", high, low + 1, min(low + 2**31 - 1, 2**31 - 1))
    shape = _checked_shape(shape)
    words = _blocks(keys, math.prod(shape))
    return ops.reshape(low + _scaled(words, high - low), (-1, *shape))


def normal(keys, shape, dtype="float32"):
    """Standard normal numbers, by the transform of Box and Muller (formulas in the module's docstring).

    Args:
        keys: int32 tensor `(n, 2)`.
        shape: tuple of positive Python ints, the shape of the event.
        dtype: floating dtype of the result; computed in float32, then cast. Default "float32".

    Returns:
        Tensor `(n, *shape)`, finite, of absolute value at most 6.67; backends agree to 1e-6.

    Raises:
        ValueError: if `keys` is no int32 `(n, 2)`, `shape` no tuple of positive ints or `dtype` not floating.

    Example:
        >>> from keras import ops
        >>> from keras_gen import random
        >>> z = random.normal(random.keys(0, 1000), (2, 3))
        >>> tuple(z.shape), abs(float(ops.mean(z))) < 0.05
        ((1000, 2, 3), True)
    """
    shape, dtype = _checked_shape(shape), _checked_dtype(dtype)
    pair = _box_muller(*_blocks(keys, -(-math.prod(shape) // 2)))
    return ops.cast(_events(pair, shape), dtype)


def exponential(keys, shape, dtype="float32"):
    """Standard exponential numbers, density exp(-e) on e > 0: `e = -log v`.

    Args:
        keys: int32 tensor `(n, 2)`.
        shape: tuple of positive Python ints, the shape of the event.
        dtype: floating dtype of the result; computed in float32, then cast. Default "float32".

    Returns:
        Tensor `(n, *shape)` with values from 2**-24 to 32 log 2 = 22.2.

    Raises:
        ValueError: if `keys` is no int32 `(n, 2)`, `shape` no tuple of positive ints or `dtype` not floating.

    Example:
        >>> from keras import ops
        >>> from keras_gen import random
        >>> e = random.exponential(random.keys(0, 1000), (4,))
        >>> float(ops.min(e)) > 0.0, abs(float(ops.mean(e)) - 1.0) < 0.1
        (True, True)
    """
    return ops.cast(-ops.log(_unit(bits(keys, shape))), _checked_dtype(dtype))


def gumbel(keys, shape, dtype="float32"):
    """Standard Gumbel numbers, distribution function exp(-exp(-g)): `g = -log(-log(1 - v))`.

    Args:
        keys: int32 tensor `(n, 2)`.
        shape: tuple of positive Python ints, the shape of the event.
        dtype: floating dtype of the result; computed in float32, then cast. Default "float32".

    Returns:
        Tensor `(n, *shape)`, finite, from -2.9 to 32 log 2 = 22.2; the fine end of v serves the long right
        tail, that decides a maximum.

    Raises:
        ValueError: if `keys` is no int32 `(n, 2)`, `shape` no tuple of positive ints or `dtype` not floating.

    Example:
        >>> from keras import ops
        >>> from keras_gen import random
        >>> g = random.gumbel(random.keys(0, 1000), (4,))
        >>> abs(float(ops.mean(g)) - 0.5772) < 0.1
        True
    """
    return ops.cast(-ops.log(-ops.log1p(-_unit(bits(keys, shape)))), _checked_dtype(dtype))


def categorical(keys, logits):
    """Classes drawn with probabilities softmax(logits): argmax over c of `logits[c] + gumbel[c]`.

    Args:
        keys: int32 tensor `(n, 2)`.
        logits: float tensor `(n, *shape, classes)`, unnormalised log-probabilities; -inf excludes a class.
            All axes but the first are static.

    Returns:
        int32 tensor `(n, *shape)`. Backends agree but where the two best classes are within 1e-5.

    Raises:
        ValueError: if `keys` is no int32 `(n, 2)`, or `logits` is no float tensor of that shape.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from keras_gen import random
        >>> logits = np.log(np.full((1000, 2), [0.25, 0.75], "float32"))
        >>> c = random.categorical(random.keys(0, 1000), logits)
        >>> 0.7 < float(ops.mean(c)) < 0.8
        True
    """
    keys, logits = _checked_keys(keys), _checked_logits(logits)
    if None not in (keys.shape[0], logits.shape[0]) and keys.shape[0] != logits.shape[0]:
        raise ValueError(
            "`categorical` expected one key for each row of `logits`. Received: "
            f"keys.shape={tuple(keys.shape)}, logits.shape={tuple(logits.shape)}. Make "
            f"{logits.shape[0]} keys with `keys(seed, {logits.shape[0]})`."
        )
    perturbed = ops.cast(logits, "float32") + gumbel(keys, tuple(logits.shape[1:]))
    return first_largest(perturbed)


def first_largest(x):
    """The index of the largest number along the last axis, the first of equal ones: int32.

    As `ops.argmax`, by two plain reductions: XLA's argmax on a CPU takes five times as long, and computes what it is of
    anew for each comparison.

    Args:
        x: tensor `(..., classes)`.

    Returns:
        int32 tensor `(...)`.

    Example:
        >>> from keras_gen import random
        >>> int(random.first_largest([0.0, 2.0, 1.0, 2.0]))
        1
    """
    x = ops.convert_to_tensor(x)
    last = ops.shape(x)[-1] - 1
    places = ops.where(ops.equal(x, ops.max(x, axis=-1, keepdims=True)), ops.arange(last + 1, dtype="int32"), last)
    return ops.min(places, axis=-1)


def _threefry(keys, c0, c1, xp=ops):
    """Both output words for the keys `(n, 2)`, the counter c0 `(m,)` or `(n, 1)` and the tag c1.

    `xp` is `ops` for tensors and numpy for arrays: `keys`, that knows its values, need compile nothing.
    """
    k0, k1 = keys[:, :1], keys[:, 1:]
    schedule = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0, x1 = c0 + k0, c1 + k1
    for i in range(1, 6):
        for rotation in _ROTATIONS[(i - 1) % 2]:
            x0 = x0 + x1
            x1 = _rotate(x1, rotation, xp) ^ x0
        x0 = x0 + schedule[i % 3]
        x1 = x1 + (schedule[(i + 1) % 3] + i)
    return x0, x1


def _rotate(x, r, xp=ops):
    """The bits of x moved r places to the left, those that leave coming back on the right."""
    return x * (1 << r) + _shift(x, 32 - r, xp)


def _shift(x, r, xp=ops):
    """Logical shift to the right: the arithmetic one without the copies of the sign."""
    return xp.right_shift(x, r) & ((1 << (32 - r)) - 1)


def _blocks(keys, m):
    """Two words of m blocks for each key, each `(n, m)`."""
    return _threefry(_checked_keys(keys), ops.arange(m, dtype="int32"), _ELEMENTS)


def _events(pair, shape):
    """The pair `(n, m)`, `(n, m)` interleaved, cut to the size of the event and shaped `(n, *shape)`."""
    size = math.prod(shape)
    flat = ops.reshape(ops.stack(pair, axis=-1), (-1, size + size % 2))
    return ops.reshape(flat[:, :size], (-1, *shape))


def _box_muller(w0, w1):
    """Two normals from two words."""
    radius = ops.sqrt(-2.0 * ops.log(_unit(w0)))
    radius = ops.where(w0 < 0, -radius, radius)
    theta = ops.cast(w1, "float32") * (math.pi / 2 * 2.0**-31)
    return radius * ops.cos(theta), radius * ops.sin(theta)


def _unit(words):
    """v in the open interval (0, 1), from 2**-32 to 1 - 2**-24."""
    m = ops.cast(words & 0x7FFFFFFF, "float32")
    return ops.minimum(m * 2.0**-31 + 2.0**-32, 1.0 - 2.0**-24)


def _scaled(words, span):
    """floor(span f) for the 60-bit fraction f = (limb_3, limb_2, limb_1, limb_0), 15 bits each.

    Long multiplication from the last limb, `total = floor((limb * span + total) / 2**15)` with `span` in two
    parts, so that every product fits into 31 bits and every sum into 32 bits without a sign.
    """
    high, low = span >> 15, span & 0x7FFF
    total = 0
    for word in reversed(words):
        for limb in (word, ops.bitwise_right_shift(word, 15)):
            limb = limb & 0x7FFF
            total = limb * high + _shift(limb * low + total, 15)
    return total


def _checked_int(name, value, low, high):
    """`value` as a Python int in [low, high]."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integer or not low <= value <= high:
        raise ValueError(
            f"`{name}` expected a Python int from {low} to {high}. Received: {name}={value!r} "
            f"({type(value).__name__}). Give an int of this range."
        )
    return int(value)


def _checked_keys(keys):
    """`keys` as an int32 tensor `(n, 2)`."""
    keys = ops.convert_to_tensor(keys)
    shape, dtype = tuple(keys.shape), backend.standardize_dtype(keys.dtype)
    if len(shape) != 2 or shape[1] != 2 or dtype != "int32":
        raise ValueError(
            "`keys` expected an int32 tensor of shape (n, 2), one key a sample. Received: "
            f"shape={shape}, dtype={dtype}. Make it with `keras_gen.random.keys(seed, n)`."
        )
    return keys


def _checked_step(step, n):
    """`step` as an int32 tensor, scalar or `(n,)`."""
    if isinstance(step, (bool, int, float, np.number)):
        step = _checked_int("step", step, 0, 2**31 - 1)
    step = ops.convert_to_tensor(step)
    shape, dtype = tuple(step.shape), backend.standardize_dtype(step.dtype)
    one_each = shape == () or len(shape) == 1 and (n is None or shape[0] in (None, n))
    if not one_each or not backend.is_int_dtype(dtype):
        raise ValueError(
            f"`step` expected an int, or an integer tensor, a scalar or of shape ({n},). Received: "
            f"shape={shape}, dtype={dtype}. Count the steps with ints, one for all keys or one for each."
        )
    return ops.cast(step, "int32")


def _checked_shape(shape):
    """`shape` as a tuple of positive Python ints."""
    if not isinstance(shape, (tuple, list)):
        raise ValueError(
            f"`shape` expected a tuple of positive ints. Received: shape={shape!r}. Write `(3,)` for three "
            "numbers a sample and `()` for one."
        )
    return tuple(_checked_int("shape", size, 1, 2**31 - 1) for size in shape)


def _checked_dtype(dtype):
    """`dtype` as the name of a floating dtype."""
    name = backend.standardize_dtype(dtype)
    if not backend.is_float_dtype(name):
        raise ValueError(
            f"`dtype` expected a floating dtype. Received: dtype={dtype!r}. Use 'float32', 'float16' or "
            "'bfloat16'; `bits` and `integers` give ints."
        )
    check_dtype(name, "`keras_gen.random`")
    return name


def _checked_logits(logits):
    """`logits` as a float tensor `(n, *shape, classes)` with static event axes."""
    logits = ops.convert_to_tensor(logits)
    shape, dtype = tuple(logits.shape), backend.standardize_dtype(logits.dtype)
    if len(shape) < 2 or None in shape[1:] or not backend.is_float_dtype(dtype):
        raise ValueError(
            "`logits` expected a float tensor of shape (n, *shape, classes), static but for n. Received: "
            f"shape={shape}, dtype={dtype}. Repeat one row of logits for each key."
        )
    return logits


def _checked_interval(minval, maxval, dtype):
    """The least value, the width, and the most that may be added without reaching maxval, in float32.

    The bound on what is added has a second use: no compiler can contract the product before it and the sum
    after it into one operation with one rounding, which would change the last bit on some backends.
    """
    ends = (minval, maxval)
    if all(isinstance(end, (int, float, np.number)) and abs(end) < _largest(dtype) for end in ends):
        low, width, below = np.float32(minval), maxval - minval, _below(float(maxval), dtype)
        if low <= below and width < _largest("float32"):
            most = np.float32(below - float(low))
            while low + most > np.float32(below):
                most = np.nextafter(most, np.float32(0))
            return float(low), float(np.float32(width)), float(most)
    raise ValueError(
        f"`minval` and `maxval` expected finite numbers, minval < maxval, with a {dtype} value between them. "
        f"Received: minval={minval!r}, maxval={maxval!r}. Draw on [0, 1) and scale, where they are tensors."
    )


def _largest(dtype):
    """The greatest finite value of float16, or of float32 for any other dtype."""
    return float(np.finfo("float16" if dtype == "float16" else "float32").max)


def _below(value, dtype):
    """The greatest number of `dtype`, no finer than a normal float32, that is less than `value`."""
    below = np.array(value, "float16" if dtype == "float16" else "float32")
    if float(below) >= value:
        below = np.nextafter(below, -np.inf, dtype=below.dtype)
    if dtype == "bfloat16":  # the upper half of a float32, rounded downwards
        word = int(below.view("int32"))
        below = np.array((word if word >= 0 else word + 0xFFFF) & -0x10000, "int32").view("float32")
    tiny = float(np.finfo("float32").tiny)
    return float(below) if abs(float(below)) >= tiny else -tiny
