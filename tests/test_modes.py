"""Modes found, good samples and the divergence of modes, against counts by hand and the chi-square law."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen import backend
from keras_gen.datasets import toys
from keras_gen.metrics import ModesCovered, modes_covered

RING = 2.0 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
STD = 0.02


def ring(weights, n=2500, seed=0):
    """Samples of the ring of Gaussians with these weights of the modes, and the modes they were drawn from."""
    rng = np.random.default_rng(seed)
    k = rng.choice(8, p=np.asarray(weights) / np.sum(weights), size=n)
    return RING[k] + STD * rng.normal(size=(n, 2)), k


def result(metric):
    return {name: float(value) for name, value in metric.result().items()}


def test_a_perfect_model_has_the_share_of_the_chi_square_law():
    """All modes, P(chi^2_2 <= 9) of good samples, and a divergence of (K - 1) / (2 n) in the mean."""
    found = [modes_covered(ring(np.ones(8), seed=seed)[0], RING, STD) for seed in range(20)]
    assert {f["modes"] for f in found} == {8}
    expected = stats.chi2(2).cdf(9.0)
    error = np.sqrt(expected * (1 - expected) / 50000)
    assert np.mean([f["good_share"] for f in found]) == pytest.approx(expected, abs=4 * error)
    assert np.mean([f["mode_kl"] for f in found]) == pytest.approx(7 / 5000, rel=0.5)


def test_the_mixture_of_the_toy_data():
    """The eight Gaussians of `keras_gen.datasets.toys`, whose modes overlap a little."""
    found = modes_covered(toys.load("8gaussians", 20000, seed=0), RING * np.sqrt(2), 0.5 / np.sqrt(2))
    assert found["modes"] == 8 and 0.98 < found["good_share"] < 1 and found["mode_kl"] < 1e-3


def test_missed_modes_and_bad_samples_by_hand():
    """Three modes in the ratio 4 : 2 : 1, and one sample far from all, which belongs to the nearest."""
    x = np.repeat(RING[[1, 4, 6]], [4, 2, 1], axis=0)
    x = np.concatenate([x, [[9.0, 0.0]]])
    found = modes_covered(x, RING, STD)
    h = np.array([1, 4, 2, 1]) / 8
    assert found["modes"] == 3 and found["good_share"] == 7 / 8
    assert found["mode_kl"] == pytest.approx(np.sum(h * np.log(8 * h)), abs=1e-12)
    assert modes_covered(x, RING, STD, min_count=2)["modes"] == 2
    assert modes_covered(x, RING, STD, radius=1000.0)["good_share"] == 1.0


def test_weights_and_scales_of_their_own():
    """The divergence from the mixture's weights; a mode of ten times the scale reaches ten times as far."""
    weights = np.array([4.0, 2, 1, 1, 1, 1, 1, 1])
    x, k = ring(weights)
    counts = np.bincount(k, minlength=8)
    found = modes_covered(x, RING, STD, weights=weights)
    assert found["mode_kl"] == pytest.approx(stats.entropy(counts, weights), abs=1e-12)
    assert found["mode_kl"] < 0.01
    scale = np.full(8, STD)
    scale[0] = 10 * STD
    x = RING[[0, 1]] + [[0.0, 0.5], [0.0, 0.5]]
    assert modes_covered(x, RING, scale)["good_share"] == 0.5


def test_streaming_equals_merging_equals_the_twin():
    """On data of which many are bad, in uneven batches."""
    rng = np.random.default_rng(0)
    x = np.concatenate([ring(np.arange(8))[0][:400], rng.uniform(-3, 3, (400, 2))])[rng.permutation(800)]
    options = {"centers": RING, "scale": STD, "radius": 2.5, "min_count": 3, "weights": np.arange(1.0, 9.0)}
    expected = modes_covered(x, **options)
    streamed, parts = ModesCovered(**options), [ModesCovered(**options) for _ in range(2)]
    for part, rows in zip(parts, np.split(np.arange(800), [300]), strict=True):
        streamed.update_state(x[rows])
        part.update_state(x[rows])
    parts[0].merge_state(parts[1:])
    for metric in (streamed, parts[0]):
        assert result(metric) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    streamed.reset_state()
    assert result(streamed)["modes"] == 0 and np.isnan(result(streamed)["good_share"])


def test_stands_in_compiled_functions_and_comes_back_from_its_configuration():
    """Under `compile`, with a row that is not finite: no good sample, of no mode."""
    x = np.concatenate([ring(np.ones(8), 100)[0], [[np.nan, 0.0], [np.inf, 0.0]]]).astype("float32")
    metric = ModesCovered(RING, STD, weights=np.arange(1.0, 9.0))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))

    def step(x):
        return metric.stateless_update_state([v.value for v in metric.variables], x)

    state = backend.compile(step, lambda: metric.variables)(ops.convert_to_tensor(x))
    for variable, value in zip(metric.variables, state, strict=True):
        variable.assign(value)
    again.update_state(ops.convert_to_tensor(x))
    expected = modes_covered(x[:100], RING, STD, weights=np.arange(1.0, 9.0))
    expected["good_share"] *= 100 / 102
    assert result(metric) == pytest.approx(expected, rel=1e-5)
    assert result(again) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"samples": np.zeros((3, 3))}, "2 columns"),
        ({"samples": np.zeros(3)}, "shape"),
        ({"samples": np.zeros((0, 2))}, "at least 1"),
        ({"samples": [[np.nan, 0.0]]}, "finite"),
        ({"centers": np.zeros((0, 2))}, "at least 1"),
        ({"centers": [[np.inf, 0.0]]}, "finite"),
        ({"scale": 0.0}, "scale"),
        ({"scale": [1.0, 2.0]}, "scale"),
        ({"weights": np.ones(7)}, "weights"),
        ({"weights": np.arange(8.0)}, "weights"),
        ({"radius": 0.0}, "radius"),
        ({"min_count": 0}, "min_count"),
        ({"min_count": 1.5}, "min_count"),
    ],
)
def test_what_is_refused(arguments, message):
    """Bad input is a ValueError that says what was expected, of the function and of the metric."""
    arguments = {"samples": np.zeros((3, 2)), "centers": RING, "scale": STD, **arguments}
    with pytest.raises(ValueError, match=message):
        modes_covered(**arguments)
    samples = arguments.pop("samples")
    if "samples" in message or len(samples) == 0:
        return
    with pytest.raises(ValueError, match="samples" if message in ("2 columns", "shape") else message):
        ModesCovered(**arguments).update_state(samples)


def test_only_metrics_of_the_same_mixture_merge():
    """Other centres are other modes."""
    with pytest.raises(ValueError, match="ModesCovered"):
        ModesCovered(RING, STD).merge_state([ModesCovered(2 * RING, STD)])
