"""Laws of `keras_gen.random`, held against a second implementation on Python's integers and float64.

`python tests/test_random.py` writes `tests/golden/random.npz` anew from that second implementation.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen import backend, random

# Keras's conversion of a torch tensor to numpy meets a signature of torch that numpy 2 calls old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

GOLDEN = Path(__file__).parent / "golden" / "random.npz"
SEEDS = (0, 1, 2**32 + 5, 2**64 - 1)
# Threefry-2x32, 20 rounds: counter, key and output of the vectors published with Random123.
KNOWN_ANSWERS = (
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
)


# --- The second implementation: one block at a time, Python's own integers -------------------------------


def threefry(key, counter):
    """Threefry-2x32-20 of one block, with Python ints modulo 2**32."""
    word = 0xFFFFFFFF
    injected = [*key, key[0] ^ key[1] ^ 0x1BD11BDA]
    a, b = ((c + k) & word for c, k in zip(counter, key, strict=True))
    for r, turn in enumerate([13, 15, 26, 6, 17, 29, 16, 24, 13, 15, 26, 6, 17, 29, 16, 24, 13, 15, 26, 6]):
        a = (a + b) & word
        b = a ^ (((b << turn) | (b >> (32 - turn))) & word)
        if r % 4 == 3:
            s = r // 4 + 1
            a, b = (a + injected[s % 3]) & word, (b + injected[(s + 1) % 3] + s) & word
    return a, b


def reference_bits(key, size):
    """`size` words of one key, in the order of the event."""
    return [word for j in range(-(-size // 2)) for word in threefry(key, (j, 0))][:size]


def reference_integer(block, low, high):
    """The 60-bit fraction of a block, scaled by exact arithmetic."""
    fraction = ((block[0] & 0x3FFFFFFF) << 30) | (block[1] & 0x3FFFFFFF)
    return low + ((high - low) * fraction >> 60)


def reference_unit(words):
    m = (words & 0x7FFFFFFF).astype("float32").astype("float64")
    return np.minimum((m * 2.0**-31 + 2.0**-32).astype("float32").astype("float64"), 1 - 2.0**-24)


def reference_pair(w0, w1):
    """Box and Muller in float64, of the float32 numbers v and theta."""
    radius = np.sqrt(-2 * np.log(reference_unit(w0))) * np.where(w0 >> 31, -1.0, 1.0)
    theta = (w1.view("int32").astype("float32") * np.float32(np.pi / 2 * 2.0**-31)).astype("float64")
    return radius * np.cos(theta), radius * np.sin(theta)


def reference_normal(words):
    return np.stack(reference_pair(words[:, ::2], words[:, 1::2]), axis=-1).reshape(words.shape)


def golden_values():
    """Everything that the golden file holds, by the second implementation alone."""
    values = {}
    for number, seed in enumerate(SEEDS):
        seed_key = (seed >> 32, seed & 0xFFFFFFFF)
        keys = [threefry(seed_key, (i, 3)) for i in range(5)]
        words = np.array([reference_bits(key, 14) for key in keys], "uint32")
        u = ((words[:, :7] >> 8) * np.float32(2.0**-24)).astype("float32")
        blocks = [[threefry(key, (j, 0)) for j in range(7)] for key in keys]
        values |= {
            f"keys_{number}": np.array(keys, "uint32").view("int32"),
            f"folded_{number}": np.array([threefry(k, (9, 1)) for k in keys], "uint32").view("int32"),
            f"split_{number}": np.array([threefry(k, (2, 2)) for k in keys], "uint32").view("int32"),
            f"bits_{number}": words[:, :7].view("int32"),
            f"uniform_{number}": u,
            f"scaled_{number}": (np.float32(-1.3) + (np.float32(3.4) * u).astype("float32")).astype("float32"),
            f"dice_{number}": np.array([[reference_integer(b, 1, 7) for b in row] for row in blocks], "int32"),
            f"wide_{number}": np.array([[reference_integer(b, -(2**31), -1) for b in row] for row in blocks], "int32"),
            f"normal_{number}": reference_normal(words)[:, :7],
        }
    return values


# --- Helpers ------------------------------------------------------------------------------------------------

DRAWS = {
    "bits": lambda keys: random.bits(keys, (5, 7)),
    "uniform": lambda keys: random.uniform(keys, (5, 7)),
    "uniform_scaled": lambda keys: random.uniform(keys, (5, 7), -1.3, 2.1),
    "integers": lambda keys: random.integers(keys, (5, 7), -3, 10**9),
    "normal": lambda keys: random.normal(keys, (5, 7)),
    "gumbel": lambda keys: random.gumbel(keys, (5, 7)),
    "exponential": lambda keys: random.exponential(keys, (5, 7)),
    "fold_in": lambda keys: random.fold_in(keys, 4),
    "split": lambda keys: random.split(keys, 3)[1],
}
EXACT = {"bits", "uniform", "uniform_scaled", "integers", "fold_in", "split"}


def array(x):
    return ops.convert_to_numpy(x)


def assert_same(name, a, b):
    """Equal bit for bit; draws with a logarithm to 1e-6 (a packet and a scalar of TensorFlow differ)."""
    if name in EXACT:
        np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(a, b, rtol=3e-7, atol=1e-6)


def compiled(name, shape):
    """The draw `name` of events of this shape as one graph: far quicker than eager execution on JAX."""
    return backend.compile(lambda keys: getattr(random, name)(keys, shape))


@pytest.fixture(scope="module")
def sample():
    """Draws of 2000 keys, 50 elements each, as `name -> array`."""
    keys = random.keys(20240501, 2000)
    names = ("bits", "uniform", "normal", "gumbel", "exponential")
    return {name: array(compiled(name, (50,))(keys)) for name in names} | {"keys": array(keys)}


# --- The algorithm ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counter, key, output", KNOWN_ANSWERS)
def test_known_answers(counter, key, output):
    """The published vectors come out, of the package and of the second implementation."""
    key_tensor = ops.convert_to_tensor(np.array([key], "uint32").view("int32"))
    c0, c1 = np.array(counter, "uint32").view("int32")
    words = random._threefry(key_tensor, ops.convert_to_tensor(np.array([c0], "int32")), int(c1))
    assert tuple(int(array(word)[0, 0]) & 0xFFFFFFFF for word in words) == output
    assert threefry(key, counter) == output


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX holds the third implementation")
def test_jax_agrees():
    """JAX's own Threefry gives the same words."""
    from jax.extend.random import threefry_2x32

    for counter, key, output in KNOWN_ANSWERS:
        words = threefry_2x32(np.array(key, "uint32"), np.array(counter, "uint32"))
        assert tuple(int(word) for word in words) == output


def test_golden_file_is_the_reference():
    """The committed file holds what the second implementation gives today."""
    with np.load(GOLDEN) as golden:
        values = golden_values()
        assert set(golden) == set(values)
        for name in golden:
            np.testing.assert_array_equal(golden[name], values[name])


@backend.compile
def golden_draws(keys):
    """What the golden file holds, of the package."""
    return {
        "folded": random.fold_in(keys, 9),
        "split": random.split(keys, 3)[2],
        "bits": random.bits(keys, (7,)),
        "uniform": random.uniform(keys, (7,)),
        "scaled": random.uniform(keys, (7,), -1.3, 2.1),
        "dice": random.integers(keys, (7,), 1, 7),
        "wide": random.integers(keys, (7,), -(2**31), -1),
        "normal": random.normal(keys, (7,)),
    }


@pytest.mark.parametrize("number, seed", tuple(enumerate(SEEDS)))
def test_golden_values(number, seed):
    """Every backend gives the golden values: exactly, and normals to 1e-6."""
    keys = random.keys(seed, 5)
    got = golden_draws(keys) | {"keys": keys}
    with np.load(GOLDEN) as golden:
        normal = array(got.pop("normal"))
        np.testing.assert_allclose(normal, golden[f"normal_{number}"], rtol=0, atol=1e-6)
        for name, value in got.items():
            np.testing.assert_array_equal(array(value), golden[f"{name}_{number}"], err_msg=name)


@pytest.mark.parametrize("span", [1, 2, 7, 2**15 - 1, 2**15, 2**15 + 1, 10**6 + 3, 2**31 - 1])
def test_integers_are_exact_long_multiplication(span):
    """The 16-bit arithmetic equals exact arithmetic for every size of range, at the largest fractions too."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (2, 100), dtype="uint32")
    words[:, :3] = [[0, 0xFFFFFFFF, 0x3FFFFFFF], [0, 0xFFFFFFFF, 0x3FFFFFFF]]
    got = array(random._scaled([ops.convert_to_tensor(word.view("int32")) for word in words], span))
    expected = [reference_integer((int(a), int(b)), 0, span) for a, b in words.T]
    np.testing.assert_array_equal(got, expected)


def test_normals_are_accurate_in_the_tails():
    """Within 1e-6 of float64 for words of every magnitude, both ends of both included; always finite."""
    rng = np.random.default_rng(0)
    m = (rng.integers(0, 2**31, 200_000) >> rng.integers(0, 32, 200_000)).astype("uint32")
    m[::4] = 2**31 - 1 - m[::4]
    w0 = m | (rng.integers(0, 2, m.size, dtype="uint32") << 31)
    w1 = (rng.integers(-(2**31), 2**31, m.size) >> rng.integers(0, 32, m.size)).astype("int32").view("uint32")
    ends = np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 1], "uint32")
    w0[:25], w1[:25] = np.repeat(ends, 5), np.tile(ends, 5)
    pair = random._box_muller(*(ops.convert_to_tensor(w.view("int32")[None]) for w in (w0, w1)))
    for got, expected in zip(pair, reference_pair(w0, w1), strict=True):
        got = array(got)[0]
        assert np.isfinite(got).all() and 6.6 < np.abs(got).max() < 6.67
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_gumbels_and_exponentials_are_accurate(monkeypatch):
    """Within 3e-7 of their size (or of 1) for words of every magnitude; exponentials positive."""
    rng = np.random.default_rng(0)
    words = (rng.integers(0, 2**31, 100_000) >> rng.integers(0, 32, 100_000)).astype("uint32")
    words[::4] = 2**31 - 1 - words[::4]
    v = reference_unit(words)
    tensor = ops.convert_to_tensor(words.view("int32"))
    np.testing.assert_array_equal(array(random._unit(tensor)), v)
    monkeypatch.setattr(random, "bits", lambda keys, shape: tensor)
    gumbel, exponential = (array(draw(None, None)) for draw in (random.gumbel, random.exponential))
    np.testing.assert_allclose(gumbel, -np.log(-np.log1p(-v)), rtol=3e-7, atol=3e-7)
    np.testing.assert_allclose(exponential, -np.log(v), rtol=3e-7)
    assert exponential.min() > 0 and np.isfinite(gumbel).all()


# --- Row i depends on key i alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWS)
def test_a_row_depends_on_its_key_alone(name):
    """Slices, single rows and permutations of the keys give those of the draw."""
    keys = random.keys(5, 64)
    draw = backend.compile(DRAWS[name])
    full, keys = array(draw(keys)), array(keys)
    order = np.random.default_rng(0).permutation(64)
    for rows in (slice(0, 1), slice(11, 12), slice(0, 7), slice(7, 14), order):
        assert_same(name, array(draw(ops.convert_to_tensor(keys[rows]))), full[rows])


def test_keys_depend_on_the_index_alone():
    """`start` and `n` only choose rows; seeds that differ in one word only give other keys."""
    full = array(random.keys(7, 64))
    np.testing.assert_array_equal(array(random.keys(7, 7, start=50)), full[50:57])
    np.testing.assert_array_equal(array(random.keys(7, 1)), full[:1])
    last = array(random.keys(7, 1, start=2**31 - 1))
    assert np.unique(np.concatenate([full, last]), axis=0).shape == (65, 2)
    assert not (array(random.keys(7 + 2**32, 64)) == full).any(axis=1).all()


def test_a_shorter_event_begins_a_longer_one():
    """Elements keep their values when the event grows, and when it changes shape."""
    keys = random.keys(1, 3)
    long, short, one = (array(compiled("bits", shape)(keys)) for shape in ((4, 6), (5,), ()))
    np.testing.assert_array_equal(short, long.reshape(3, 24)[:, :5])
    np.testing.assert_array_equal(one, long[:, 0, 0])


def test_steps_may_be_tensors():
    """An int, a scalar tensor and a step a row mean the same in `fold_in`."""
    keys = random.keys(1, 3)
    each = [array(random.fold_in(keys, step))[step - 4] for step in (4, 5, 6)]
    steps = ops.convert_to_tensor(np.array([4, 5, 6], "int32"))
    np.testing.assert_array_equal(array(random.fold_in(keys, steps)), each)
    scalar = random.fold_in(keys, ops.convert_to_tensor(np.array(4, "int64")))
    np.testing.assert_array_equal(array(scalar), array(random.fold_in(keys, 4)))


def test_split_sets_do_not_depend_on_their_number():
    """Set j is the same however many sets are asked for."""
    keys = random.keys(1, 3)
    for a, b in zip(random.split(keys, 2), random.split(keys, 5), strict=False):
        np.testing.assert_array_equal(array(a), array(b))


def test_streams_do_not_collide():
    """Blocks, folded keys, split keys and seeded keys of the same key are all different."""
    key = random.keys(3, 1)
    fold = backend.compile(random.fold_in)
    steps = ops.convert_to_tensor(np.arange(200, dtype="int32"))
    blocks = array(compiled("bits", (400,))(key)).reshape(200, 2)
    folded = array(fold(key + ops.zeros((200, 1), "int32"), steps))
    parts = np.concatenate([array(part) for part in backend.compile(lambda k: random.split(k, 20))(key)])
    high, low = (int(word) & 0xFFFFFFFF for word in array(key)[0])
    seeded = array(random.keys(high << 32 | low, 200))
    assert np.unique(np.concatenate([blocks, folded, parts, seeded]), axis=0).shape == (620, 2)


# --- Distributions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, law",
    [("uniform", "uniform"), ("normal", "norm"), ("gumbel", "gumbel_r"), ("exponential", "expon")],
)
def test_kolmogorov_smirnov(sample, name, law):
    """100 000 numbers follow their distribution function (fixed seed: p is a constant)."""
    assert stats.kstest(sample[name].ravel(), law).pvalue > 0.01


def test_every_bit_is_fair(sample):
    """Each of the 32 bits is set in half of the words, and no two go together."""
    words = sample["bits"][:400].ravel()
    table = (words[:, None] >> np.arange(32)) & 1
    deviations = (table.mean(axis=0) - 0.5) * 2 * np.sqrt(words.size)
    assert np.abs(deviations).max() < 4.5
    correlations = np.corrcoef(table.T) - np.eye(32)
    assert np.abs(correlations).max() * np.sqrt(words.size) < 4.5


def test_one_bit_of_the_key_changes_half_of_the_output(sample):
    """Avalanche: each bit flipped in a key flips 16 of 32 bits in a word, on average."""
    keys = sample["keys"][:200]
    draw = compiled("bits", (50,))
    for bit in range(0, 64, 7):
        other = keys.copy()
        other[:, bit // 32] ^= np.uint32(1 << (bit % 32)).view("int32")
        change = sample["bits"][:200] ^ array(draw(ops.convert_to_tensor(other)))
        flipped = ((change[..., None] >> np.arange(32)) & 1).sum(-1).mean()
        assert abs(flipped - 16) < 4.5 * np.sqrt(8 / change.size)


@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_neighbours_are_uncorrelated(sample, name):
    """Keys, elements, steps and seeds next to each other give uncorrelated draws and squares."""
    draw = compiled(name, (50,))
    x = sample[name]
    keys = ops.convert_to_tensor(sample["keys"])
    pairs = {
        "keys": (x[1:], x[:-1]),
        "elements": (x[:, 1:], x[:, :-1]),
        "blocks": (x[:, 2:], x[:, :-2]),
        "steps": tuple(array(draw(random.fold_in(keys, step))) for step in (0, 1)),
        "seeds": (x, array(draw(random.keys(20240502, 2000)))),
        "parent and child": (x, array(draw(random.split(keys, 1)[0]))),
    }
    for where, (a, b) in pairs.items():
        for power in (1, 2):
            r = np.corrcoef((a - x.mean()).ravel() ** power, (b - x.mean()).ravel() ** power)[0, 1]
            assert abs(r) * np.sqrt(a.size) < 4.5, where


@pytest.mark.parametrize("low, high, bins", [(0, 7, 7), (-5, 5, 10), (-(2**31), -1, 16), (0, 3 * 2**29, 12)])
def test_integers_are_uniform(low, high, bins):
    """Chi-square over equal bins, small ranges and the widest."""
    draw = array(random.integers(random.keys(8, 2000), (20,), low, high)).astype("int64")
    assert draw.dtype == "int64" and low <= draw.min() and draw.max() < high
    counts = np.bincount((draw.ravel() - low) * bins // (high - low), minlength=bins)
    assert stats.chisquare(counts).pvalue > 0.01


def test_categorical_follows_softmax():
    """Chi-square against the probabilities; an excluded class never appears."""
    probabilities = np.array([0.5, 0.2, 0.0, 0.25, 0.04, 0.01])
    with np.errstate(divide="ignore"):
        logits = np.broadcast_to(np.log(probabilities) + 3.0, (2000, 20, 6)).astype("float32")
    draw = random.categorical(random.keys(4, 2000), ops.convert_to_tensor(logits))
    assert keras.backend.standardize_dtype(draw.dtype) == "int32" and tuple(draw.shape) == (2000, 20)
    counts = np.bincount(array(draw).ravel(), minlength=6)
    assert counts[2] == 0
    allowed = probabilities > 0
    assert stats.chisquare(counts[allowed], probabilities[allowed] * draw.shape[0] * 20).pvalue > 0.01


def test_categorical_is_the_gumbel_maximum():
    """The class is the argmax of logits plus the Gumbel numbers of the same keys."""
    keys = random.keys(4, 64)
    logits = np.random.default_rng(0).normal(size=(64, 5, 7)).astype("float32")
    expected = np.argmax(logits + array(random.gumbel(keys, (5, 7))), axis=-1)
    np.testing.assert_array_equal(array(random.categorical(keys, logits)), expected)


# --- Intervals and dtypes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 0.0), (-1.3, 2.1), (100.0, 101.0), (-3e-5, 0.0)])
def test_uniform_never_returns_maxval(dtype, low, high):
    """The largest u stays below `maxval` in every dtype, the least is `minval`."""
    least, width, most = random._checked_interval(low, high, dtype)
    u = ops.convert_to_tensor(np.array([0.0, 1 - 2.0**-24], "float32"))
    ends = ops.cast(least + ops.minimum(width * u, most), dtype)
    first, last = array(ops.cast(ends, "float32")).astype("float64")
    assert last < high and first == array(ops.cast(ops.cast(low, dtype), "float32"))
    resolution = {"float16": 2**-9, "bfloat16": 2**-6, "float32": 2**-20}[dtype]
    assert last >= high - max(abs(high), high - low, 2**-14) * resolution
    draw = array(ops.cast(random.uniform(random.keys(0, 64), (5, 7), low, high, dtype), "float32"))
    assert first <= draw.min() and draw.max() < high


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", ["uniform", "normal", "gumbel", "exponential"])
def test_low_precision_is_a_cast(name, dtype):
    """Computed in float32, then cast, whatever the global float type is."""
    keys = random.keys(0, 64)
    full = getattr(random, name)(keys, (5, 7))
    keras.config.set_floatx("float16")
    try:
        draw = getattr(random, name)(keys, (5, 7), dtype=dtype)
    finally:
        keras.config.set_floatx("float32")
    assert keras.backend.standardize_dtype(draw.dtype) == dtype
    expected, draw = (array(ops.cast(ops.cast(x, dtype), "float32")) for x in (full, draw))
    if name == "uniform":
        expected = np.minimum(expected, random._below(1.0, dtype))
    np.testing.assert_array_equal(draw, expected)


# --- Graphs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWS)
def test_compiled_equals_eager(name):
    """Graph and jit give what eager execution gives."""
    keys = random.keys(9, 64)
    assert_same(name, array(backend.compile(DRAWS[name])(keys)), array(DRAWS[name](keys)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow traces with an open batch")
@pytest.mark.parametrize("name", DRAWS)
def test_batch_may_be_dynamic(name):
    """One graph with an unknown batch serves every batch, and keeps the static event shape."""
    import tensorflow as tf

    graph = tf.function(DRAWS[name], input_signature=[tf.TensorSpec((None, 2), "int32")])
    for n in (1, 7):
        keys = random.keys(2, n)
        assert_same(name, array(graph(keys)), array(DRAWS[name](keys)))
    shape = graph.get_concrete_function().structured_outputs.shape
    assert shape[1:].is_fully_defined() and shape[0] is None


def test_step_may_be_traced():
    """A step that is a tensor inside a compiled function gives the key of that step."""
    keys = random.keys(2, 5)
    fold = backend.compile(lambda keys, step: random.fold_in(keys, step))
    got = fold(keys, ops.convert_to_tensor(np.array(6, "int32")))
    np.testing.assert_array_equal(array(got), array(random.fold_in(keys, 6)))


# --- Errors -------------------------------------------------------------------------------------------------

KEY = np.zeros((2, 2), "int32")
ERRORS = {
    "seed is a bool": (lambda: random.keys(True, 2), "seed"),
    "seed is a float": (lambda: random.keys(1.0, 2), "seed"),
    "seed is None": (lambda: random.keys(None, 2), "seed"),
    "seed is negative": (lambda: random.keys(-1, 2), "seed"),
    "seed is too large": (lambda: random.keys(2**64, 2), "seed"),
    "training noise of a negative seed": (lambda: random.Noise(-1), "`seed`"),
    "training noise of too large a seed": (lambda: random.Noise(2**32), "`seed`"),
    "training noise of a fraction": (lambda: random.Noise(1.5), "`seed`"),
    "no keys": (lambda: random.keys(0, 0), "`n`"),
    "n is a float": (lambda: random.keys(0, 2.0), "`n`"),
    "start is negative": (lambda: random.keys(0, 2, start=-1), "start"),
    "start is too large": (lambda: random.keys(0, 2, start=2**31 - 1), "start"),
    "keys of floats": (lambda: random.bits(KEY.astype("float32"), (2,)), "keys"),
    "keys of three words": (lambda: random.bits(np.zeros((2, 3), "int32"), (2,)), "keys"),
    "one key without its axis": (lambda: random.bits(KEY[0], (2,)), "keys"),
    "a seed for keys": (lambda: random.normal(0, (2,)), "keys"),
    "step is a float": (lambda: random.fold_in(KEY, 1.5), "step"),
    "step is negative": (lambda: random.fold_in(KEY, -1), "step"),
    "steps are floats": (lambda: random.fold_in(KEY, np.ones(2, "float32")), "step"),
    "steps are a matrix": (lambda: random.fold_in(KEY, np.ones((2, 2), "int32")), "step"),
    "wrong number of steps": (lambda: random.fold_in(KEY, np.ones(3, "int32")), "step"),
    "split into none": (lambda: random.split(KEY, 0), "`k`"),
    "shape is an int": (lambda: random.bits(KEY, 3), "shape"),
    "shape has a zero": (lambda: random.bits(KEY, (3, 0)), "shape"),
    "shape has None": (lambda: random.normal(KEY, (None, 3)), "shape"),
    "shape has a float": (lambda: random.normal(KEY, (2.0,)), "shape"),
    "dtype is an integer's": (lambda: random.normal(KEY, (2,), "int32"), "dtype"),
    "uniform integers": (lambda: random.uniform(KEY, (2,), 0, 5, dtype="int32"), "dtype"),
    "empty interval": (lambda: random.uniform(KEY, (2,), 1.0, 1.0), "minval"),
    "reversed interval": (lambda: random.uniform(KEY, (2,), 1.0, 0.0), "minval"),
    "interval without a value": (lambda: random.uniform(KEY, (2,), 1.001, 1.002, "bfloat16"), "minval"),
    "interval without end": (lambda: random.uniform(KEY, (2,), 0.0, float("inf")), "minval"),
    "interval of NaN": (lambda: random.uniform(KEY, (2,), float("nan"), 1.0), "minval"),
    "interval beyond float16": (lambda: random.uniform(KEY, (2,), 0.0, 1e6, "float16"), "minval"),
    "empty range": (lambda: random.integers(KEY, (2,), 3, 3), "high"),
    "range of floats": (lambda: random.integers(KEY, (2,), 0.0, 3), "low"),
    "range too wide": (lambda: random.integers(KEY, (2,), -(2**31), 2**31 - 1), "high"),
    "logits without classes": (lambda: random.categorical(KEY, np.zeros(2, "float32")), "logits"),
    "logits are integers": (lambda: random.categorical(KEY, np.zeros((2, 3), "int32")), "logits"),
    "logits of another batch": (lambda: random.categorical(KEY, np.zeros((3, 3), "float32")), "logits"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_input_is_named(case):
    """Each wrong argument is a `ValueError` that names it, what came and what to do."""
    call, argument = ERRORS[case]
    with pytest.raises(ValueError, match=rf"(?s)(?=.*{argument}).* expected .*Received: .*\. [A-Z]"):
        call()


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **golden_values())
