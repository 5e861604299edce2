"""Laws of truncated logits: the sets of an independent program, ties, limits that change nothing, errors."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, random
from keras_gen.distributions import Categorical, truncated_logits

numpy = ops.convert_to_numpy


def logits(shape=(50, 11), scale=2.0, seed=0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def kept_by_hand(a, k=None, p=None):
    """V of one row without ties, class by class, in float64; None where a sum is too near to p to tell."""
    order = sorted(range(len(a)), key=lambda c: -a[c])
    order = order if k is None else [c for c in order if a[c] >= a[order[k - 1]]]
    weights = [np.exp(float(a[c]) - float(max(a))) for c in order]
    total, kept, before = sum(weights), set(), 0.0
    for c, w in zip(order, weights, strict=True):
        if p not in (None, 1) and abs(before - p) < 1e-5:
            return None
        if p in (None, 1) or before < p:
            kept.add(c)
        before += w / total
    return kept


SETTINGS = [(1, None), (4, None), (None, 0.1), (None, 0.5), (None, 0.9), (5, 0.7), (11, 0.95), (3, 1.0)]


@pytest.mark.parametrize("k, p", SETTINGS)
def test_the_sets_are_those_of_an_independent_program(k, p):
    """What is kept is unchanged to the bit, all else is -1e30; most rows are told."""
    a = logits()
    b = numpy(truncated_logits(a, k, p))
    sets = [kept_by_hand(row, k, p) for row in a]
    assert sum(s is not None for s in sets) > 45 and len(np.unique(a)) == a.size
    for before, after, kept in zip(a, b, sets, strict=True):
        if kept is not None:
            expected = [x if c in kept else np.float32(-1e30) for c, x in enumerate(before)]
            np.testing.assert_array_equal(after, expected)


def test_the_nucleus_is_the_smallest_set():
    """Its probability is at least p, and without its last class below p; sets grow with p."""
    a = logits((200, 30), 3.0)
    probabilities = numpy(ops.softmax(a)).astype("float64")
    last = np.zeros(a.shape, bool)
    for p in (0.05, 0.3, 0.6, 0.9, 0.99):
        kept = numpy(truncated_logits(a, top_p=p)) > -1e29
        mass = (probabilities * kept).sum(1)
        assert (mass >= p - 1e-5).all()
        assert (mass - np.where(kept, probabilities, 2.0).min(1) < p + 1e-5).all()
        assert (kept | ~last).all()
        last = kept


@pytest.mark.parametrize("options", [{}, {"top_k": 11}, {"top_p": 1.0}, {"top_k": np.int64(11), "top_p": 1}])
def test_limits_change_nothing(options):
    """k = classes and p = 1 give the logits bit for bit, those of probability 0 too."""
    a = logits()
    a[:, 3] = -80.0
    a[0, 5] = -np.inf
    np.testing.assert_array_equal(numpy(truncated_logits(a, **options)), a)


def test_ties_are_kept():
    """Classes equal to the last one kept are kept, so an order of classes does not matter."""
    a = np.log(np.array([[0.3, 0.2, 0.2, 0.2, 0.1]], "float32"))
    for options in ({"top_k": 2}, {"top_p": 0.4}, {"top_k": 4, "top_p": 0.5}):
        assert (numpy(truncated_logits(a, **options)) > -1e29).tolist() == [[True, True, True, True, False]]
    assert (numpy(truncated_logits(np.zeros((2, 7), "float32"), top_k=1, top_p=0.1)) == 0).all()
    b, order = logits(), np.random.default_rng(1).permutation(11)
    for options in ({"top_k": 4}, {"top_p": 0.6}):
        np.testing.assert_array_equal(
            numpy(truncated_logits(b[:, order], **options)), numpy(truncated_logits(b, **options))[:, order]
        )


def test_top_p_acts_on_what_top_k_left():
    """0.4 of (0.4, 0.3, 0.3) needs two classes; the rest of top-k 2 is (4/7, 3/7), of which one is enough for 0.5."""
    a = np.log(np.array([[0.4, 0.32, 0.28]], "float32"))
    assert (numpy(truncated_logits(a, None, 0.5)) > -1e29).sum() == 2
    assert (numpy(truncated_logits(a, 2, 0.5)) > -1e29).sum() == 1


def test_forbidden_classes_stay_forbidden():
    """Minus infinity has no place in V, and does no harm where k asks for more than is allowed."""
    a = logits()
    a[:, :8] = -np.inf
    for options in ({"top_k": 5}, {"top_p": 0.9}, {"top_k": 5, "top_p": 0.9}):
        p = numpy(Categorical(truncated_logits(a, **options)).probabilities())
        assert np.isfinite(p).all() and (p[:, :8] == 0).all()
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)


def test_samples_are_of_the_set():
    """A class out of V is never drawn, those in it as often as q says."""
    a = np.log(np.array([[0.4, 0.3, 0.2, 0.1]], "float32"))
    x = numpy(Categorical(truncated_logits(a, top_k=3), event_shape=()).generate(random.keys(0, 4000)))
    np.testing.assert_allclose(np.bincount(x, minlength=4) / 4000, [4 / 9, 3 / 9, 2 / 9, 0], atol=0.03)
    assert x.max() == 2


@pytest.mark.parametrize("k, p", [(3, None), (None, 0.8), (3, 0.8)])
def test_it_works_in_compiled_functions(k, p):
    """The same bits in a program as outside, with axes before the classes."""
    run = backend.compile(lambda a: truncated_logits(a, k, p), lambda: [])
    a = logits((2, 3, 7))
    np.testing.assert_array_equal(numpy(run(ops.convert_to_tensor(a))), numpy(truncated_logits(a, k, p)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_becomes_float32(dtype):
    """-1e30 is no float16."""
    b = truncated_logits(ops.cast(logits(), dtype), top_k=2, top_p=0.9)
    assert keras.backend.standardize_dtype(b.dtype) == "float32" and np.isfinite(numpy(b)).all()


@pytest.mark.parametrize(
    "options, match",
    [
        *[({"top_k": k}, "from 1 to 11") for k in (0, -1, 12, 2.0, True, "2")],
        *[({"top_p": p}, r"in \(0, 1\]") for p in (0, 0.0, -0.1, 1.0001, float("nan"), True, "0.5")],
    ],
)
def test_wrong_settings_are_named(options, match):
    """Before any compute: symbolic logits too."""
    for a in (logits(), keras.Input((11,))):
        with pytest.raises(ValueError, match=match):
            truncated_logits(a, **options)


def test_a_number_has_no_classes():
    """Logits need a last axis."""
    with pytest.raises(ValueError, match="classes"):
        truncated_logits(1.0, top_k=1)
