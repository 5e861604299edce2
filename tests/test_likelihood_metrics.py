"""Bits per dimension, perplexity, bits per character and active units, against closed forms and plain sums."""

import math

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats

from keras_gen import backend, metrics
from keras_gen.metrics import BitsPerCharacter, BitsPerDim, LatentUse, Perplexity
from keras_gen.models import GenerativeModel

SHAPE = (4, 3)
VOCABULARY = 7


def nats(n=50, seed=0):
    return -np.random.default_rng(seed).gamma(2.0, 20.0, n)


def sequences(n=12, time=9, seed=0):
    """Tokens, logits, and a mask that keeps the first few of each sequence."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, time + 1, n)
    tokens, logits = rng.integers(0, VOCABULARY, (n, time)), 3 * rng.normal(size=(n, time, VOCABULARY))
    return tokens.astype("int32"), logits.astype("float32"), np.arange(time) < lengths[:, None]


def nll_of(tokens, logits):
    return -np.take_along_axis(special.log_softmax(logits.astype("float64"), axis=-1), tokens[..., None], -1)[..., 0]


# Bits per dimension.


def test_bits_do_not_depend_on_the_scale_of_the_data():
    """The density of x = s y is that of y divided by s^D: the bits of the integers are the same."""
    y = np.random.default_rng(0).normal(100.0, 20.0, (50, *SHAPE))
    expected = -stats.norm(100.0, 20.0).logpdf(y).mean(axis=(1, 2)) / np.log(2.0)
    for scale in (1.0, 1 / 256, 1 / 127.5, 3.0):
        log_prob = stats.norm(100.0 * scale, 20.0 * scale).logpdf(y * scale).sum(axis=(1, 2))
        np.testing.assert_allclose(metrics.bits_per_dim(log_prob, SHAPE, scale), expected, rtol=1e-12)


def test_bits_of_dequantised_data_bound_those_of_the_integers():
    """For a density constant on each cell the bound is an equality: the entropy of the integers."""
    p = np.array([0.1, 0.2, 0.3, 0.4])
    rng = np.random.default_rng(0)
    k = rng.choice(4, p=p, size=(20000, 2))
    x = (k + rng.random(k.shape)) / 4  # in [0, 1): the density is 4 p_k
    log_prob = np.log(4 * p)[np.floor(4 * x).astype(int)].sum(axis=1)
    found = metrics.bits_per_dim(log_prob, (2,), scale=1 / 4).mean()
    assert found == pytest.approx(-np.log2(p)[k].mean(), abs=1e-12)
    assert found == pytest.approx(stats.entropy(p, base=2), abs=0.01)


def test_bits_agree_with_those_of_evaluate():
    """With scale 1 they are those that a model reports; with 1/256 they are 8 more."""

    class Normal(GenerativeModel):
        players = {}  # nothing to train

        def objective(self, x, condition=None, training=False):
            nll = ops.sum(0.5 * x**2 + 0.5 * math.log(2 * math.pi), axis=-1)
            return {"loss": nll, "nll": nll}

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    logs = Normal((4,)).evaluate(x, verbose=0, return_dict=True)
    metric, eighth = BitsPerDim((4,)), BitsPerDim((4,), scale=1 / 256)
    for m in (metric, eighth):
        m.update_state(np.full(32, -logs["nll"]))
    assert float(metric.result()) == pytest.approx(logs["bits_per_dim"], rel=1e-6)
    assert float(eighth.result()) == pytest.approx(logs["bits_per_dim"] + 8, rel=1e-6)


# Streams, weights, masks and merging.

CASES = {
    "bits_per_dim": (lambda: BitsPerDim(SHAPE, scale=1 / 256), lambda m, x, w: m.update_state(x, w)),
    "perplexity": (Perplexity, lambda m, x, w: m.update_nats(-x, np.full(len(x), 40.0), w)),
    "bits_per_character": (BitsPerCharacter, lambda m, x, w: m.update_nats(-x, np.full(len(x), 40.0), w)),
}
TWINS = {
    "bits_per_dim": lambda x, w: np.average(metrics.bits_per_dim(x, SHAPE, 1 / 256), weights=w),
    "perplexity": lambda x, w: metrics.perplexity(-w * x, 40.0 * w),
    "bits_per_character": lambda x, w: metrics.bits_per_character(-w * x, 40.0 * w),
}


@pytest.mark.parametrize("name", CASES)
def test_streaming_equals_merging_equals_the_twin(name):
    """In uneven batches, with weights of which some are 0, in one metric or in three that are merged."""
    make, update = CASES[name]
    x, w = nats(), np.random.default_rng(1).integers(0, 3, 50).astype("float64")
    expected = TWINS[name](x, w)
    parts, streamed = [make() for _ in range(3)], make()
    for part, rows in zip(parts, np.split(np.arange(50), [1, 20]), strict=True):
        update(part, x[rows], w[rows])
        update(streamed, x[rows], w[rows])
    parts[0].merge_state(parts[1:])
    assert float(streamed.result()) == pytest.approx(expected, rel=1e-6)
    assert float(parts[0].result()) == pytest.approx(expected, rel=1e-6)
    streamed.reset_state()
    assert np.isnan(float(streamed.result()))
    update(streamed, x, None)
    assert float(streamed.result()) == pytest.approx(TWINS[name](x, np.ones(50)), rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_configuration_and_registration(name):
    """A metric comes back from its configuration with the same figure."""
    make, update = CASES[name]
    metric = make()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    for m in (metric, again):
        update(m, nats(), None)
    assert type(again) is type(metric) and float(again.result()) == float(metric.result())


def test_perplexity_of_logits_is_that_of_the_nats():
    """With a mask that hides tokens out of range and logits that are NaN; the streamed figure is that of the twin."""
    tokens, logits, mask = sequences()
    nll = np.where(mask, nll_of(tokens, logits), 0.0)
    tokens, logits = np.where(mask, tokens, -100), np.where(mask[..., None], logits, np.nan)
    perplexity, bits = Perplexity(), BitsPerCharacter()
    for rows in (slice(0, 4), slice(4, 12)):
        for metric in (perplexity, bits):
            metric.update_state(tokens[rows], logits[rows], sample_weight=mask[rows])
    expected = np.exp(nll.sum() / mask.sum())
    assert metrics.perplexity(nll.sum(axis=1), mask.sum(axis=1)) == pytest.approx(expected, rel=1e-12)
    assert metrics.bits_per_character(nll.sum(axis=1), mask.sum(axis=1)) == pytest.approx(np.log2(expected), rel=1e-12)
    assert float(perplexity.result()) == pytest.approx(expected, rel=1e-5)
    assert float(bits.result()) == pytest.approx(np.log2(expected), rel=1e-5)


def test_perplexity_is_not_the_mean_of_perplexities():
    """Two sequences of 1 and 9 tokens that cost 2 and 0 nats a token."""
    assert metrics.perplexity([2.0, 0.0], [1, 9]) == pytest.approx(np.exp(0.2), rel=1e-12)


def test_metrics_stand_in_compiled_steps():
    """`compile(metrics=[...])` calls them with tokens and logits, under jit; weights reach them."""
    tokens, logits, _ = sequences(n=8)
    model = keras.Sequential([keras.Input((9, VOCABULARY)), keras.layers.Identity()])
    model.compile(loss=lambda y, logits: 0.0 * logits[:, 0, 0], weighted_metrics=[Perplexity(), BitsPerCharacter()])
    weight = np.array([1.0, 0, 2, 1, 0, 1, 1, 3], "float32")
    nll = (weight[:, None] * nll_of(tokens, logits)).sum() / (9 * weight.sum())
    logs = model.evaluate(logits, tokens, sample_weight=weight, batch_size=4, verbose=0, return_dict=True)
    assert logs["perplexity"] == pytest.approx(np.exp(nll), rel=1e-5)
    assert logs["bits_per_character"] == pytest.approx(nll / np.log(2.0), rel=1e-5)


def test_bits_per_dim_stands_in_compiled_functions():
    """Updated under `compile`, the state is that of the plain update."""
    metric, x = BitsPerDim(SHAPE, scale=1 / 256), nats().astype("float32")

    def step(log_prob):
        return metric.stateless_update_state([v.value for v in metric.variables], log_prob)

    state = backend.compile(step, lambda: metric.variables)(ops.convert_to_tensor(x))
    metric.update_state(x)
    for found, variable in zip(state, metric.variables, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(found), ops.convert_to_numpy(variable.value), rtol=1e-6)


def test_what_is_impossible_makes_the_result_infinite_or_nan_never_smaller():
    """A probability of 0 costs infinitely much; a token that is none of the classes is no token."""
    assert metrics.perplexity([np.inf, 1.0], 3) == np.inf and metrics.perplexity([5000.0], 1) == np.inf
    assert metrics.bits_per_dim(-np.inf, SHAPE) == np.inf
    metric = Perplexity()
    metric.update_state(ops.convert_to_tensor([[7]]), ops.zeros((1, 1, VOCABULARY)))
    assert np.isnan(float(metric.result()))


def test_sums_of_many_batches_stay_exact_enough():
    """Ten thousand batches of 100 in float32: the mean to 1e-5."""
    metric, x = BitsPerDim((1,)), np.full(100, -2.1)
    sums = BitsPerDim((1,))
    sums.update_state(x)
    for _ in range(4):  # times 10 each: what is added is small beside the sum in the end
        parts = [BitsPerDim((1,)) for _ in range(9)]
        for part in parts:
            part.merge_state([sums])
        sums.merge_state(parts)
    for v, s in zip(metric.variables, sums.variables, strict=True):
        v.assign(s)
    for _ in range(300):
        metric.update_state(x)
    assert float(metric.result()) == pytest.approx(2.1 / np.log(2.0), rel=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: metrics.bits_per_dim([np.nan], SHAPE), "NaN"),
        (lambda: metrics.bits_per_dim([], SHAPE), "log_prob"),
        (lambda: metrics.bits_per_dim(0.0, (0,)), "event_shape"),
        (lambda: metrics.bits_per_dim(0.0, ()), "event_shape"),
        (lambda: metrics.bits_per_dim(0.0, SHAPE, 0.0), "scale"),
        (lambda: metrics.bits_per_dim(0.0, SHAPE, "255"), "scale"),
        (lambda: BitsPerDim((3, -1)), "event_shape"),
        (lambda: BitsPerDim(SHAPE, scale=np.inf), "scale"),
        (lambda: BitsPerDim(SHAPE).update_state(np.array([np.nan])), "NaN"),
        (lambda: BitsPerDim(SHAPE).update_state(np.zeros(3), np.ones(4)), "sample_weight"),
        (lambda: BitsPerDim(SHAPE).merge_state([BitsPerDim((2,))]), "Expected metrics of the class BitsPerDim"),
        (lambda: Perplexity().merge_state([BitsPerCharacter()]), "Expected metrics of the class Perplexity"),
        (lambda: Perplexity().merge_state([keras.metrics.Mean()]), "Received: Mean"),
        (lambda: Perplexity().update_nats(np.zeros(3), np.ones(2)), "count"),
        (lambda: Perplexity().update_state(np.zeros((2, 3)), np.zeros((2, 4, 5))), "logits"),
        (lambda: Perplexity().update_state(np.zeros((2, 3)), np.zeros((2, 3))), "logits"),
        (lambda: metrics.perplexity([1.0, 2.0], [1, 2, 3]), "tokens"),
        (lambda: metrics.perplexity([1.0], 0), "positive sum"),
        (lambda: metrics.perplexity([1.0], [-1]), ">= 0"),
        (lambda: metrics.perplexity([], 1), "nll"),
        (lambda: metrics.bits_per_character([np.nan], 1), "NaN"),
        (lambda: metrics.active_units(np.zeros((0, 2))), "at least 1"),
        (lambda: metrics.active_units(np.zeros(3)), "shape"),
        (lambda: metrics.active_units([[np.nan]]), "finite"),
    ],
)
def test_what_is_refused(call, message):
    """Bad input is a ValueError that says what was expected."""
    with pytest.raises(ValueError, match=message):
        call()


# Active units.


def test_active_units_streamed_merged_and_by_the_twin():
    """The same count; and the merged KL is that of all examples."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(90, 5)) * [2.0, 0.2, 0.05, 0.0, 1.0] + [0.0, 5.0, 1.0, 3.0, 0.0]
    kl = rng.uniform(size=(90, 5))
    parts = [LatentUse(5), LatentUse(5)]
    for part, rows in zip(parts, (slice(0, 30), slice(30, 90)), strict=True):
        part.update_state(means[rows], kl[rows])
    parts[0].merge_state(parts[1:])
    assert float(parts[0].result()["active_units"]) == metrics.active_units(means) == 3
    np.testing.assert_allclose(ops.convert_to_numpy(parts[0].kl_per_dimension()), kl.mean(axis=0), rtol=1e-5)
    assert metrics.active_units(means, threshold=0.5) == 2
