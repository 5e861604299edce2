"""Laws of the quantisers: known values, every level comes back, half a step of error, the same integers everywhere."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, layers

QUANTIZERS = {
    "uniform": lambda **k: layers.UniformQuantizer(**k),
    "grey": lambda **k: layers.UniformQuantizer(256, 0.0, 1.0, **k),
    "shifted": lambda **k: layers.UniformQuantizer(1000, -3.0, 17.0, **k),
    "two": lambda **k: layers.UniformQuantizer(2, **k),
    "sixteen_bits": lambda **k: layers.UniformQuantizer(2**16, **k),
    "mu_law": lambda **k: layers.MuLawQuantizer(**k),
    "mu_law_two": lambda **k: layers.MuLawQuantizer(2, **k),
    "mu_law_odd": lambda **k: layers.MuLawQuantizer(17, **k),
    "mu_law_sixteen_bits": lambda **k: layers.MuLawQuantizer(2**16, **k),
}
every = pytest.mark.parametrize("case", QUANTIZERS)
numpy = ops.convert_to_numpy


def compressed(x, mu=255.0):
    """The formula, independently, in float64."""
    x = np.asarray(x, "float64")
    return np.sign(x) * np.log(1 + mu * np.abs(x)) / np.log(1 + mu)


def domain(quantizer, x):
    """x where the levels are evenly spaced, from 0 to L - 1."""
    x = np.asarray(x, "float64")
    if isinstance(quantizer, layers.MuLawQuantizer):
        return (compressed(x, quantizer.levels - 1.0) + 1) / 2 * (quantizer.levels - 1)
    return (x - quantizer.low) / (quantizer.high - quantizer.low) * (quantizer.levels - 1)


def points(quantizer, n=20_000):
    """Numbers in the range, many of them small."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, n) * 10.0 ** rng.uniform(-6, 0, n)
    return np.asarray(quantizer.low + (quantizer.high - quantizer.low) * (x + 1) / 2, "float32")


def at_the_edges(quantizer, most=None):
    """The edges between levels and the numbers just below them, without denormals, which some programs take as 0."""
    edges = quantizer._edges[1:-1][:most]
    below = np.nextafter(edges, np.float32(-np.inf))
    return np.concatenate([edges, np.where(edges == 0, -np.finfo("float32").tiny, below)])


def test_companding_is_the_formula():
    """f and its inverse agree with float64; f of the ends, of 0, of the table's values."""
    x = np.concatenate([np.linspace(-1, 1, 2001), [1e-7, -1e-5, 0.0]]).astype("float32")
    np.testing.assert_allclose(numpy(layers.mu_law_compress(x)), compressed(x), atol=3e-7)
    np.testing.assert_allclose(numpy(layers.mu_law_expand(layers.mu_law_compress(x))), x, atol=2e-6)
    np.testing.assert_allclose(numpy(layers.mu_law_compress(x, 7)), compressed(x, 7.0), atol=3e-7)
    known = {0.0: 0.0, 1.0: 1.0, -1.0: -1.0, 1 / 255: 0.125, 3 / 255: 0.25, 15 / 255: 0.5, -15 / 255: -0.5}
    values = numpy(layers.mu_law_compress(np.array(list(known), "float32")))  # (1 + mu x) a power of 2
    np.testing.assert_allclose(values, list(known.values()), atol=3e-7)


def test_companding_has_the_slope_of_the_formula_at_zero():
    """The derivative is mu / (log(1 + mu) (1 + mu |x|)), at 0 too; that of the inverse is one over it."""
    x = np.array([-0.5, 0.0, 0.25], "float32")
    slope = 255 / np.log(256) / (1 + 255 * np.abs(x))
    gradient = backend.grad(lambda x: ops.sum(layers.mu_law_compress(x)), ops.convert_to_tensor(x))
    np.testing.assert_allclose(numpy(gradient), slope, rtol=1e-5)
    y = ops.convert_to_tensor(compressed(x).astype("float32"))
    gradient = backend.grad(lambda y: ops.sum(layers.mu_law_expand(y)), y)
    np.testing.assert_allclose(numpy(gradient), 1 / slope, rtol=1e-5)


def test_companding_keeps_float_types_and_takes_integers():
    """float16 stays float16, an integer is cast."""
    assert keras.backend.standardize_dtype(layers.mu_law_compress(np.ones(2, "float16")).dtype) == "float16"
    assert numpy(layers.mu_law_compress(np.array([-1, 0, 1], "int32"))).tolist() == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("mu", [0, -1, float("inf"), float("nan"), True, "255"])
def test_companding_refuses_what_is_no_mu(mu):
    """The message says what mu is."""
    for function in (layers.mu_law_compress, layers.mu_law_expand):
        with pytest.raises(ValueError, match="Expected `mu`"):
            function([0.5], mu)


def test_mu_law_levels_are_those_of_the_convention():
    """floor((f + 1) / 2 mu + 0.5) in float64, where x is not at an edge; all 65,536 samples of 16 bits."""
    x = np.arange(-32768, 32768) / 32768
    position = (compressed(x) + 1) / 2 * 255 + 0.5
    clear = np.abs(position - np.round(position)) > 1e-4
    levels = numpy(layers.MuLawQuantizer()(x.astype("float32")))
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(levels[clear], np.floor(position)[clear])
    assert levels.dtype == np.int32 and (levels.min(), levels.max()) == (0, 255)


@every
def test_every_level_comes_back(case):
    """Q(v_k) == k for all k, and the numbers increase within the range."""
    quantizer = QUANTIZERS[case]()
    k = np.arange(quantizer.levels, dtype="int32")
    values = numpy(quantizer.dequantize(k))
    assert values.dtype == np.float32 and (np.diff(values) > 0).all()
    assert (values[0], values[-1]) == (quantizer.low, quantizer.high)
    np.testing.assert_array_equal(numpy(quantizer(values)), k)
    np.testing.assert_array_equal(numpy(quantizer(values.astype("float64"))), k)


@every
def test_error_is_at_most_half_a_step(case):
    """Where the levels are evenly spaced a number and its level differ by half a step, and float32 besides."""
    quantizer = QUANTIZERS[case]()
    x = points(quantizer)
    back = numpy(quantizer.dequantize(quantizer(x)))
    error = np.abs(domain(quantizer, back) - domain(quantizer, x))
    assert error.max() < 0.5 + 2e-7 * quantizer.levels
    assert error.max() > 0.49


@every
def test_levels_increase_with_the_number(case):
    """x <= y gives Q(x) <= Q(y), to the last bit."""
    quantizer = QUANTIZERS[case]()
    x = np.sort(np.concatenate([points(quantizer), at_the_edges(quantizer, 5000)]))
    assert (np.diff(numpy(quantizer(x))) >= 0).all()


@every
def test_levels_are_the_same_on_every_backend(case):
    """They are what a search in the table of edges gives, at the edges too: no arithmetic of a backend is in them."""
    quantizer = QUANTIZERS[case]()
    x = np.concatenate([points(quantizer), at_the_edges(quantizer)])
    expected = np.searchsorted(quantizer._edges[1:-1], x, side="right")
    np.testing.assert_array_equal(numpy(quantizer(x)), expected)


@every
def test_quantizers_work_in_compiled_functions(case):
    """The same integers and numbers in a program as outside, for any batch."""
    quantizer = QUANTIZERS[case]()
    run = backend.compile(lambda x: (quantizer(x), quantizer.dequantize(quantizer(x))), lambda: [])
    for n in (12, 30):
        x = points(quantizer)[:n].reshape(3, -1)
        levels, values = run(ops.convert_to_tensor(x))
        np.testing.assert_array_equal(numpy(levels), numpy(quantizer(x)))
        np.testing.assert_array_equal(numpy(values), numpy(quantizer.dequantize(quantizer(x))))


def test_what_lies_beyond_has_the_level_of_the_end():
    """Infinities too; NaN gives some level, and levels beyond are the last ones."""
    for quantizer in (layers.UniformQuantizer(7), layers.MuLawQuantizer(7)):
        x = np.array([-np.inf, -9.0, 9.0, np.inf, np.nan], "float32")
        levels = numpy(quantizer(x))
        assert levels[:4].tolist() == [0, 0, 6, 6] and 0 <= levels[4] <= 6
        assert numpy(quantizer.dequantize([-5, 99])).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("value", [1.001, -2.0, np.nan, np.inf])
def test_validate_names_what_leaves_the_range(value):
    """The numbers at the ends pass; one beyond is counted, and the message says what to do."""
    quantizer = layers.MuLawQuantizer()
    quantizer.validate(np.array([-1.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match=r"1 of 3 beyond.*np.clip"):
        quantizer.validate(np.array([0.0, value, 1.0]))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_policies_compute_in_float32(policy):
    """256 levels are more than half precision tells apart near 1."""
    for make in (layers.UniformQuantizer, layers.MuLawQuantizer):
        x = points(make())
        np.testing.assert_array_equal(numpy(make(dtype=policy)(x)), numpy(make()(x)))
        assert keras.backend.standardize_dtype(make(dtype=policy).dequantize([3]).dtype) == "float32"


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX holds float64 only under a flag of the process")
@pytest.mark.parametrize("make", [layers.UniformQuantizer, layers.MuLawQuantizer])
def test_float64_policy_is_float64_throughout(make):
    """Numbers are float64, and every one of them comes back as its level."""
    quantizer = make(2**16, dtype="float64")
    k = np.arange(2**16, dtype="int32")
    values = quantizer.dequantize(k)
    assert keras.backend.standardize_dtype(values.dtype) == "float64"
    np.testing.assert_allclose(domain(quantizer, numpy(values)), k, atol=1e-9)
    np.testing.assert_array_equal(numpy(quantizer(values)), k)


@every
def test_quantizer_is_a_layer(case, tmp_path):
    """Config as JSON, symbolic shapes and dtype, a saved model with the same integers, no weights."""
    quantizer = QUANTIZERS[case](name="levels")
    twin = type(quantizer).from_config(json.loads(json.dumps(quantizer.get_config())))
    assert twin.get_config() == quantizer.get_config()
    inputs = keras.Input((5,))
    outputs = quantizer(inputs)
    assert (tuple(outputs.shape), outputs.dtype) == ((None, 5), "int32")
    assert quantizer.compute_output_shape((None, 5)) == (None, 5)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "m.keras")
    x = points(quantizer)[:50].reshape(10, 5)
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(quantizer(x)))
    assert quantizer.weights == []


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: layers.UniformQuantizer(1), "`levels` from 2"),
        (lambda: layers.MuLawQuantizer(2**16 + 1), "to 65536"),
        (lambda: layers.MuLawQuantizer(25.5), "positive integer"),
        (lambda: layers.UniformQuantizer(4, 1.0, -1.0), "`low` < `high`"),
        (lambda: layers.UniformQuantizer(4, 0.0, float("inf")), "finite"),
        (lambda: layers.UniformQuantizer(4, "0", 1.0), "finite"),
        (lambda: layers.UniformQuantizer(2**16, 1000.0, 1001.0), "tells apart"),
    ],
)
def test_wrong_arguments_are_named(make, match):
    """Before any compute."""
    with pytest.raises(ValueError, match=match):
        make()
