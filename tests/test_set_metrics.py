"""Metrics over two sets: closed forms, brute force, published programs, streams, merging, bad input."""

import math
import warnings

import keras
import numpy as np
import pytest
from scipy import linalg, stats
from sklearn.neighbors import NearestNeighbors

from keras_gen import backend, metrics
from keras_gen.metrics import NotComparableWarning
from keras_gen.metrics.sets import Moments, Reservoir

pytestmark = pytest.mark.filterwarnings("ignore::keras_gen.metrics.NotComparableWarning")


def features(n=300, m=200, d=16):
    """Two sets as rectified features are; of a generator whose stream never changes, for the golden numbers."""
    draw = np.random.RandomState(0)
    real = np.maximum(draw.standard_normal((n, d)), 0.0)
    return real, np.maximum(draw.standard_normal((m, d)) * 1.2 + 0.1, 0.0)


def gaussians(n, d=3, shift=1.0, scale=2.0, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, d)), shift + scale * draw.normal(size=(n, d))


def test_published_programs_give_the_same_figures():
    """pytorch-fid 0.3.0 (FID) and torch-fidelity 0.4.0 (KID with seed 2020, IS unshuffled, precision, recall)."""
    real, generated = features()
    assert metrics.frechet_inception_distance(real, generated) == pytest.approx(1.0396971735855391, rel=1e-10)
    kid = metrics.kernel_inception_distance(real, generated, subsets=10, subset_size=50)
    assert kid == pytest.approx((0.13240002875250165, 0.06108755926791313), abs=1e-10)
    score = metrics.inception_score(real)
    assert score == pytest.approx((1.2476099089980794, 0.03323757723778747), rel=1e-10)
    assert metrics.precision_recall(real, generated) == pytest.approx((0.625, 289 / 300), abs=0.0)


def test_frechet_distance_of_gaussians_in_closed_form():
    """Of commuting covariances it is |m - m'|^2 + |s - s'|^2, in any basis; of others SciPy's matrix root agrees."""
    draw = np.random.default_rng(0)
    basis = np.linalg.qr(draw.normal(size=(6, 6)))[0]
    s, t = draw.uniform(0.1, 2.0, (2, 6))
    s[0] = 0.0  # singular
    one, other = (basis * s**2) @ basis.T, (basis * t**2) @ basis.T
    found = metrics.frechet_distance(np.zeros(6), one, np.ones(6), other)
    assert found == pytest.approx(6.0 + ((s - t) ** 2).sum(), rel=1e-10)
    one, other = (lambda a: a @ a.T)(draw.normal(size=(6, 9))), (lambda a: a @ a.T)(draw.normal(size=(6, 9)))
    expected = np.trace(one) + np.trace(other) - 2.0 * np.trace(linalg.sqrtm(one @ other)).real
    assert metrics.frechet_distance(np.zeros(6), one, np.zeros(6), other) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n", [2, 20, 500])
@pytest.mark.parametrize("condition", [0, 8])
def test_frechet_distance_with_singular_and_ill_conditioned_covariances(n, condition):
    """Against the rows themselves: the overlap is the sum of the singular values of X X'^T, of the centred rows.

    The other set is close by, so that the distance is small beside its terms; the root of the product of covariances
    would be off by per cents.
    """
    draw = np.random.default_rng(1)
    scales = 10.0 ** -np.linspace(0, condition, 40)
    x = draw.normal(size=(n, 40)) * scales
    y = x + 0.01 * scales * draw.normal(size=(n, 40))
    a, b = ((v - v.mean(axis=0)) / math.sqrt(n - 1) for v in (x, y))
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + (a * a).sum() + (b * b).sum() - 2.0 * overlap
    assert metrics.frechet_inception_distance(x, y) == pytest.approx(expected, rel=1e-8)


def test_bias_of_fid_falls_as_one_over_n_and_kid_has_none():
    """Two samples of one distribution: the mean FID halves when n doubles; the mean KID is zero within 4 errors."""
    draw = np.random.default_rng(0)
    fid, kid = {}, []
    for n in (200, 400):
        pairs = [draw.normal(size=(2, n, 8)) for _ in range(60)]
        fid[n] = np.mean([metrics.frechet_inception_distance(*p) for p in pairs])
        kid = [metrics.kernel_inception_distance(*p, subsets=None)[0] for p in pairs]
        assert abs(np.mean(kid)) < 4.0 * np.std(kid) / math.sqrt(len(kid))
    assert fid[200] / fid[400] == pytest.approx(2.0, abs=0.2)


def test_moments_of_a_stream_are_those_of_numpy():
    """In batches of any size, float32 far from zero too, and merged."""
    x = (np.random.default_rng(0).normal(size=(1500, 5)) + 1e3).astype("float32")
    for cuts in ([1], [7, 8, 1300], list(range(100, 1500, 100))):
        stream, merged = Moments(), Moments()
        for part in np.split(x, cuts):
            stream.update(part)
            other = Moments()
            other.update(part)
            merged.merge(other)
        for summary in (stream, merged):
            np.testing.assert_allclose(summary.mean, x.mean(axis=0, dtype="float64"), rtol=1e-12)
            expected = np.cov(x.astype("float64"), rowvar=False)
            np.testing.assert_allclose(summary.scatter / 1499, expected, rtol=1e-9, atol=1e-12)


def test_a_reservoir_is_a_uniform_sample_however_the_stream_is_cut():
    """Each of 40 rows stays with probability 1/4, each place alike; whole batches and single rows give the same."""
    x = np.arange(40.0)[:, None]
    kept = np.zeros(40)
    for seed in range(400):
        whole, single = Reservoir(10, seed), Reservoir(10, seed)
        whole.update(x)
        for row in x:
            single.update(row[None])
        np.testing.assert_array_equal(whole.rows, single.rows)
        kept[whole.rows[:, 0].astype(int)] += 1
    assert stats.chisquare(kept).pvalue > 1e-3


def test_merged_reservoirs_are_a_uniform_sample_of_all():
    """Of 30 and 10 rows kept by two reservoirs of 8: each row with the same probability; all rows while they fit."""
    kept = np.zeros(40)
    for seed in range(500):
        one, other = Reservoir(8, seed), Reservoir(8, seed + 10_000)
        one.update(np.arange(30.0)[:, None])
        other.update(np.arange(30.0, 40.0)[:, None])
        one.merge(other)
        assert one.count == 40 and len(one.rows) == 8
        kept[one.rows[:, 0].astype(int)] += 1
    assert stats.chisquare(kept).pvalue > 1e-3
    one, other = Reservoir(8, 0), Reservoir(8, 1)
    one.update(np.arange(3.0)[:, None])
    other.update(np.arange(3.0, 8.0)[:, None])
    one.merge(other)
    np.testing.assert_array_equal(one.rows[:, 0], np.arange(8.0))


def mmd_by_loops(x, y, kernel):
    xx = sum(kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (len(x) * (len(x) - 1))
    yy = sum(kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (len(y) * (len(y) - 1))
    return xx + yy - 2.0 * sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))


def test_mmd_and_energy_distance_are_their_definitions(monkeypatch):
    """Pair by pair, with blocks of seven rows too."""
    x, y = gaussians(20)
    kernels = {
        "gaussian": lambda a, b: sum(math.exp(-((a - b) ** 2).sum() / (2 * h * h)) for h in (0.5, 2.0)),
        "polynomial": lambda a, b: (a @ b / 3.0 + 1.0) ** 3,
    }
    for block in (1024, 7):
        monkeypatch.setattr("keras_gen.metrics.kernel._BLOCK", block)
        for name, kernel in kernels.items():
            found = metrics.maximum_mean_discrepancy(x, y[:15], name, bandwidth=(0.5, 2.0))
            assert found == pytest.approx(mmd_by_loops(x, y[:15], kernel), rel=1e-10)
        found = metrics.energy_distance(x, y[:15], unbiased=True)
        assert found == pytest.approx(mmd_by_loops(x, y[:15], lambda a, b: -np.linalg.norm(a - b)), rel=1e-10)
    assert metrics.maximum_mean_discrepancy(x, x, unbiased=False) == pytest.approx(0.0, abs=1e-12)
    assert metrics.maximum_mean_discrepancy(x, x[::-1], bandwidth=1.0) < 0.0


def test_energy_distance_of_numbers_is_the_square_of_scipys():
    x, y = gaussians(50, d=1)
    expected = stats.energy_distance(x[:, 0], y[:40, 0]) ** 2
    assert metrics.energy_distance(x, y[:40]) == pytest.approx(expected, rel=1e-10)


def test_distances_of_two_gaussians_in_closed_form():
    """Of 4000 samples of N(0, 1) and N(1, 4), within 5 standard errors of the expectations.

    E|u| of u ~ N(m, s^2) is s (2/pi)^(1/2) exp(-m^2 / 2 s^2) + m erf(m / s 2^(1/2)); E exp(-u^2 / 2 h^2) is
    h (h^2 + s^2)^(-1/2) exp(-m^2 / 2 (h^2 + s^2)).
    """

    def absolute(m, v):
        return math.sqrt(2.0 * v / math.pi) * math.exp(-m * m / (2.0 * v)) + m * math.erf(m / math.sqrt(2.0 * v))

    def gaussian(m, v):
        return math.exp(-m * m / (2.0 * (1.0 + v))) / math.sqrt(1.0 + v)

    cases = {
        2.0 * absolute(1, 5) - absolute(0, 2) - absolute(0, 8): lambda x, y: metrics.energy_distance(x, y, True),
        gaussian(0, 2) + gaussian(0, 8) - 2.0 * gaussian(1, 5): lambda x, y: metrics.maximum_mean_discrepancy(
            x, y, bandwidth=1.0
        ),
    }
    for expected, metric in cases.items():
        found = [metric(*gaussians(500, d=1, seed=seed)) for seed in range(8)]
        assert abs(np.mean(found) - expected) < 5.0 * np.std(found, ddof=1) / math.sqrt(8)


def test_inception_score_by_its_definition_and_its_bounds():
    """exp of the mean KL from p(y); k for a classifier sure of k classes alike, 1 if it cannot tell."""
    logits = np.random.default_rng(0).normal(size=(60, 5)) * 3.0
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    parts = [np.exp(np.mean([stats.entropy(row, part.mean(axis=0)) for row in part])) for part in np.split(p, 3)]
    assert metrics.inception_score(logits, 3) == pytest.approx((np.mean(parts), np.std(parts)), rel=1e-10)
    sure = 1e4 * np.eye(5)[np.arange(60) % 5]
    assert metrics.inception_score(sure, 3) == pytest.approx((5.0, 0.0), abs=1e-9)
    assert metrics.inception_score(np.ones((60, 5)), 3) == pytest.approx((1.0, 0.0), abs=1e-9)


def test_precision_recall_density_coverage_by_brute_force(monkeypatch):
    """Against scikit-learn's neighbours, with small blocks; and their expectations for equal distributions."""
    monkeypatch.setattr("keras_gen.metrics.kernel._BLOCK", 64)
    real, generated = features()

    def balls(points, centres, k):
        radii = NearestNeighbors(n_neighbors=k + 1).fit(centres).kneighbors(centres)[0][:, -1]
        return np.linalg.norm(points[:, None] - centres[None], axis=2) <= radii

    inside = balls(generated, real, 3)
    expected = inside.any(axis=1).mean(), balls(real, generated, 3).any(axis=1).mean()
    assert metrics.precision_recall(real, generated) == pytest.approx(expected, abs=0.0)
    inside = balls(generated, real, 5)
    expected = inside.sum(axis=1).mean() / 5, inside.any(axis=0).mean()
    assert metrics.density_coverage(real, generated) == pytest.approx(expected, rel=1e-12)
    same = np.random.default_rng(0).normal(size=(2, 1000, 4))
    density, coverage = metrics.density_coverage(*same)
    outside = np.prod([(1000 - i) / (2000 - i) for i in range(1, 6)])
    assert density == pytest.approx(1.0, abs=0.05) and coverage == pytest.approx(1.0 - outside, abs=0.02)


def test_a_copy_of_the_row_that_sets_a_radius_lies_in_the_ball():
    """Copies of the real rows: each lies in k + 1 balls on average, or rounding would decide."""
    x = np.random.default_rng(0).normal(size=(500, 64)) + 10.0
    assert metrics.precision_recall(x, x.copy()) == (1.0, 1.0)
    assert metrics.density_coverage(x, x.copy(), k=5) == pytest.approx((6.0 / 5.0, 1.0), rel=1e-12)


def test_one_far_row_does_not_widen_the_other_balls():
    """A real row at 1e7 adds its own ball, so at most 1/k; the others are those by distances from differences."""
    real, generated = np.random.default_rng(0).normal(size=(2, 200, 8))
    real[0] = 1e7
    radii = np.sort(np.linalg.norm(real[:, None] - real, axis=2), axis=1)[:, 5]
    others = (np.linalg.norm(generated[:, None] - real, axis=2) <= radii)[:, 1:].sum(axis=1).mean() / 5
    assert others - 1e-9 <= metrics.density_coverage(real, generated)[0] <= others + 1 / 5 + 1e-9


def test_classwise_fid_is_the_mean_of_the_classes():
    real, generated = features()
    labels, others = np.arange(300) % 3, np.arange(200) % 3
    mean, each = metrics.classwise_frechet_inception_distance(real, labels, generated, others)
    for k in range(3):
        assert each[k] == pytest.approx(
            metrics.frechet_inception_distance(real[labels == k], generated[others == k]), rel=1e-10
        )
    assert mean == pytest.approx(each.mean())


STREAMED = {
    "fid": metrics.FrechetInceptionDistance,
    "kid": lambda: metrics.KernelInceptionDistance(subsets=10, subset_size=50),
    "inception_score": lambda: metrics.InceptionScore(splits=4),
    "precision_recall": metrics.PrecisionRecall,
    "density_coverage": metrics.DensityCoverage,
    "mmd": lambda: metrics.MaximumMeanDiscrepancy(bandwidth=np.array([1.0, 2.0])),
    "energy_distance": lambda: metrics.EnergyDistance(unbiased=True),
}


def numbers(result):
    return list(result.values()) if isinstance(result, dict) else [result]


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_gives_what_the_whole_gives_and_parts_merge(name):
    """Batches of tensors of the backend; two metrics, one of each half, merged; reset; configuration."""
    real, generated = features()
    whole, stream, halves = STREAMED[name](), STREAMED[name](), [STREAMED[name](), STREAMED[name]()]
    expected = numbers(whole(real, generated))
    for i in range(0, 300, 40):
        stream.update_state(real=keras.ops.convert_to_tensor(real[i : i + 40], "float64" if X64 else "float32"))
    for part in np.split(generated, [3, 90]):
        stream.update_state(generated=part)
    np.testing.assert_allclose(numbers(stream.result()), expected, rtol=1e-9 if X64 else 1e-4, atol=1e-6)
    for half, x, y in zip(halves, np.split(real, 2), np.split(generated, 2), strict=True):
        half.update_state(x, y)
    halves[0].merge_state(halves[1:])
    np.testing.assert_allclose(numbers(halves[0].result()), expected, rtol=1e-9)
    whole.reset_generated()
    whole.update_state(generated=generated)
    np.testing.assert_allclose(numbers(whole.result()), expected, rtol=1e-12)
    whole.reset_state()
    with pytest.raises(ValueError, match="Received 0"):
        whole.result()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(stream))
    assert again.get_config() == stream.get_config()
    again.set_summaries(stream.get_summaries())
    assert again.result() == stream.result()


X64 = keras.config.backend() != "jax"


def test_what_keeps_rows_keeps_no_more_than_its_capacity():
    metric = metrics.EnergyDistance(capacity=50)
    for seed in range(5):
        metric.update_state(*gaussians(40, seed=seed))
    assert len(metric._real.rows) == 50 and metric._real.count == 200
    assert metric.result() == pytest.approx(metrics.energy_distance(*gaussians(4000)), rel=0.5)


def test_an_inception_score_of_blocks_is_that_of_the_function():
    logits = features()[0]
    metric = metrics.InceptionScore(splits=7, num_samples=300)
    for part in np.split(logits, [11, 150]):
        metric.update_state(generated=part)
    assert tuple(metric.result().values()) == pytest.approx(metrics.inception_score(logits, 7), rel=1e-12)
    with pytest.raises(ValueError, match="Received 301"):
        metric.update_state(generated=logits[:1])


def test_an_extractor_is_asked_for_what_the_metric_needs():
    class Extractor:
        name = "halves"

        def __call__(self, images):
            return {"features": images[:, :8], "logits": images[:, 8:]}

    real, generated = features()
    fid, score = metrics.FrechetInceptionDistance(Extractor()), metrics.InceptionScore(Extractor())
    fid.update_state(real, generated)
    assert fid.result() == pytest.approx(metrics.frechet_inception_distance(real[:, :8], generated[:, :8]))
    score.update_state(generated=generated)
    assert score.result()["inception_score"] == pytest.approx(metrics.inception_score(generated[:, 8:])[0], rel=0.1)


def test_figures_that_do_not_compare_are_said_not_to():
    metric = metrics.FrechetInceptionDistance(lambda x: x[:, :2])
    metric.update_state(*features())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metric.result()
    said = [str(w.message) for w in caught if w.category is NotComparableWarning]
    assert "200 samples" in said[0] and "not the Inception" in said[1]
    metric = metrics.FrechetInceptionDistance()
    metric.update_state(*features(10_000, 10_000, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric.result()


@pytest.mark.skipif(keras.config.backend() == "torch", reason="torch compiles no step")
def test_a_compiled_function_is_refused():
    metric = metrics.FrechetInceptionDistance()

    def step(x):
        metric.update_state(x, x)
        return x

    with pytest.raises(ValueError, match="cannot stand inside a compiled step"):
        backend.compile(step)(keras.ops.ones((4, 2)))


REAL, GENERATED = features(20, 20, 4)
NAN = np.where(np.arange(20)[:, None] == 3, np.nan, REAL)
BAD = {
    "one sample": (lambda: metrics.frechet_inception_distance(REAL[:1], GENERATED), "at least 2 rows in `real`"),
    "nan": (lambda: metrics.frechet_inception_distance(NAN, GENERATED), "NaN or infinity in 1 of 20 rows"),
    "widths": (lambda: metrics.energy_distance(REAL, GENERATED[:, :2]), "4 columns"),
    "images": (lambda: metrics.precision_recall(REAL.reshape(20, 2, 2), GENERATED), r"shape \(n, d\)"),
    "words": (lambda: metrics.precision_recall(np.array([["a"]] * 20), GENERATED), "numbers"),
    "few for k": (lambda: metrics.density_coverage(REAL[:5], GENERATED), "at least 6 rows"),
    "k": (lambda: metrics.precision_recall(REAL, GENERATED, k=0), "Expected `k`"),
    "subset": (lambda: metrics.kernel_inception_distance(REAL, GENERATED), "at least 1000 rows"),
    "subsets": (lambda: metrics.KernelInceptionDistance(subsets=0), "Expected `subsets`"),
    "capacity": (lambda: metrics.KernelInceptionDistance(capacity=10), "Expected `capacity`"),
    "kernel": (lambda: metrics.maximum_mean_discrepancy(REAL, GENERATED, "rbf"), "Expected `kernel`"),
    "bandwidth": (lambda: metrics.MaximumMeanDiscrepancy(bandwidth=-1.0), "Expected `bandwidth`"),
    "splits": (lambda: metrics.inception_score(REAL, 21), "at least 21 rows"),
    "probabilities": (lambda: metrics.inception_score(np.full((20, 5), 0.2)), "Received probabilities"),
    "shapes": (lambda: metrics.frechet_distance([0.0], [1.0], [0.0], [1.0]), r"Received shapes \[\(1,\), \(1,\)"),
    "extractor": (lambda: metrics.FrechetInceptionDistance("inception"), "Expected `extractor` as a callable"),
    "no features": (
        lambda: metrics.FrechetInceptionDistance(lambda x: {"logits": x}).update_state(REAL), "'features' for fid"
    ),
    "images without extractor": (
        lambda: metrics.FrechetInceptionDistance().update_state(np.zeros((4, 8, 8, 3))), "Images need a metric with"
    ),
    "name of a bandwidth": (lambda: metrics.MaximumMeanDiscrepancy(bandwidth="median"), "Expected `bandwidth`"),
    "no splits": (lambda: metrics.InceptionScore(splits=None), "Expected `splits`"),
    "words for labels": (
        lambda: metrics.classwise_frechet_inception_distance(REAL, ["a"] * 20, GENERATED, ["a"] * 20), "20 integers"
    ),
    "nothing": (lambda: metrics.FrechetInceptionDistance().update_state(), "Received neither"),
    "batches": (lambda: metrics.FrechetInceptionDistance().update_state(REAL, GENERATED[:, :3]), "4 columns"),
    "early": (lambda: metrics.FrechetInceptionDistance().result(), "at least 2 real examples"),
    "merge": (lambda: metrics.EnergyDistance().merge_state([metrics.PrecisionRecall()]), "metrics of EnergyDistance"),
    "blocks": (lambda: metrics.InceptionScore(num_samples=100).merge_state([metrics.InceptionScore()]), "not merge"),
    "labels": (
        lambda: metrics.classwise_frechet_inception_distance(REAL, np.arange(19), GENERATED, np.arange(20)),
        "`real_labels` as 20 integers",
    ),
    "label": (
        lambda: metrics.ClasswiseFrechetInceptionDistance(2).update_state(REAL, real_labels=np.arange(20)),
        "0 to 1",
    ),
    "no labels": (lambda: metrics.ClasswiseFrechetInceptionDistance(2).update_state(REAL), "`real_labels` as an array"),
    "class": (
        lambda: metrics.classwise_frechet_inception_distance(
            REAL, np.zeros(20, int), GENERATED, np.zeros(20, int), num_classes=2
        ),
        "fewer of \\[1\\]",
    ),
}


def test_merged_scores_need_samples_in_each_part():
    """Five metrics of one sample each have all of them in the first part; NaN would be no answer."""
    one, *others = [metrics.InceptionScore(splits=2) for _ in range(5)]
    for metric in (one, *others):
        metric.update_state(generated=REAL[:1])
    one.merge_state(others)
    with pytest.raises(ValueError, match=r"samples in each of 2 parts. Received \[5, 0\]"):
        one.result()


def test_in_compile_they_are_refused():
    """What Keras gives to the metrics of `compile` are pairs, with weights; whole sets are no pairs."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile(loss="mse", metrics=[metrics.EnergyDistance()])
    with pytest.raises(ValueError, match="does not belong into `compile"):
        model.fit(REAL, REAL, verbose=0)


def test_half_precision_and_numpy_integers_are_taken():
    """bfloat16 has no kind that numpy knows; the number of classes is often `labels.max() + 1`."""
    x = keras.ops.cast(REAL, "bfloat16")
    expected = metrics.frechet_inception_distance(keras.ops.cast(x, "float32"), GENERATED)
    assert metrics.frechet_inception_distance(x, GENERATED) == pytest.approx(expected)
    assert metrics.ClasswiseFrechetInceptionDistance(np.int64(3)).num_classes == 3


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    call, said = BAD[name]
    with pytest.raises(ValueError, match=said):
        call()
