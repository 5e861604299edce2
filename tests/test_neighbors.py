"""Nearest neighbours against scikit-learn; copies, and their absence, are told by the figures of memorisation."""

import warnings

import keras
import numpy as np
import pytest
from sklearn import neighbors

from keras_gen.metrics import (
    NearestNeighbors,
    NotComparableWarning,
    authenticity,
    memorization,
    nearest_neighbors,
)
from keras_gen.metrics import neighbors as module


def oracle(queries, data, k):
    tree = neighbors.NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(data)
    return tree.kneighbors(queries)


def points(n, d=5, seed=0, offset=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + offset


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("block", [2**22, 700])
def test_neighbors_are_those_of_scikit_learn(monkeypatch, k, block):
    """In one block and in many, near the origin and far from it."""
    monkeypatch.setattr(module, "_BLOCK", block)
    for offset in (0.0, 1e4):
        queries, data = points(80, seed=1, offset=offset), points(900, offset=offset)
        distances, indices = nearest_neighbors(queries, data, k)
        expected = oracle(queries, data, k)
        np.testing.assert_array_equal(indices, expected[1])
        np.testing.assert_allclose(distances, expected[0], rtol=1e-11)


def test_a_copy_has_the_distance_zero():
    """Whatever the size of the numbers and their type; of equal distances the lower index comes first."""
    data = points(50, offset=1e6).astype("float32")
    distances, indices = nearest_neighbors(data[::-1], np.concatenate([data, data]), k=2)
    assert not distances.any()
    np.testing.assert_array_equal(indices, np.stack([np.arange(50)[::-1], np.arange(50)[::-1] + 50], axis=1))
    distances, _ = nearest_neighbors(np.full((1, 2, 2, 1), 255, "uint8"), np.zeros((1, 2, 2, 1), "uint8"))
    assert distances.item() == 510.0


def test_streaming_equals_merging_equals_the_twin():
    """Real data in uneven batches, some smaller than k; in one metric, and in two that are merged."""
    queries, data = points(40, seed=1), points(300)
    expected = nearest_neighbors(queries, data, k=3)
    streamed, parts = NearestNeighbors(k=3), [NearestNeighbors(k=3), NearestNeighbors(k=3)]
    for metric in (streamed, *parts):
        metric.update_state(generated=queries[:30])
        metric.update_state(generated=queries[30:])
    for rows in np.split(np.arange(300), [1, 2, 100]):
        streamed.update_state(real=data[rows])
    parts[0].update_state(real=data[:120])
    parts[1].update_state(real=data[120:])
    parts[0].merge_state(parts[1:])
    for metric in (streamed, parts[0]):
        np.testing.assert_allclose(metric.neighbors()[0], expected[0], rtol=1e-11)
        np.testing.assert_array_equal(metric.neighbors()[1], expected[1])
        assert metric.result() == {"nearest_distance": pytest.approx(expected[0][:, 0].mean(), rel=1e-11)}


def test_images_and_an_extractor():
    """Images are flattened, or given to the extractor; the configuration makes the metric again."""
    images = np.random.default_rng(0).uniform(size=(20, 4, 4, 1))
    plain = NearestNeighbors()
    plain.update_state(real=images[:10], generated=images[10:])
    expected = nearest_neighbors(images[10:], images[:10])
    np.testing.assert_array_equal(plain.neighbors()[0], expected[0])
    extractor = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.GlobalAveragePooling2D()])
    metric = NearestNeighbors(extractor, k=2)
    again = NearestNeighbors.from_config(metric.get_config())
    for m in (metric, again):
        m.update_state(real=images[:10], generated=images[10:])
    means = images.mean(axis=(1, 2))
    np.testing.assert_array_equal(again.neighbors()[1], nearest_neighbors(means[10:], means[:10], 2)[1])
    assert again.k == 2 and metric.result() == again.result()


def test_authenticity_by_hand_and_by_scikit_learn():
    """A sample is a copy if it lies nearer to its nearest training point than that to any other."""
    assert authenticity([[0.1], [0.6], [4.0]], [[0.0], [1.0], [9.0]]) == pytest.approx(1 / 3)
    samples, train = points(200, seed=1), points(300)
    distance, nearest = oracle(samples, train, 1)
    own = oracle(train, train, 2)[0][:, 1]
    assert authenticity(samples, train) == np.mean(distance[:, 0] > own[nearest[:, 0]])


def test_training_points_that_occur_twice_have_each_other_as_neighbours():
    """Then whatever is not exactly there is authentic."""
    train = np.concatenate([points(10), points(10)])
    assert authenticity(points(10) + 1e-9, train) == 1.0 and authenticity(points(10), train) == 0.0


def test_copies_are_told_from_samples_that_are_new():
    """Of a model that knows the density alone the figures are those of their references; of copies they are not."""
    train, held_out, new = points(600, seed=0), points(600, seed=1), points(2000, seed=2)
    found = memorization(new, train, held_out)
    error = 0.5 / np.sqrt(2000)
    assert found["train_share"] == pytest.approx(found["expected_share"], abs=6 * error)  # one draw of the 1200 points
    assert found["authenticity"] == pytest.approx(found["authenticity_held_out"], abs=0.08)
    assert found["distance_ratio"] == pytest.approx(1.0, abs=0.05)
    copies = memorization(train[:300] + 1e-3 * points(300, seed=3), train, held_out)
    assert copies["authenticity"] < 0.02 and copies["train_share"] > 0.98 and copies["distance_ratio"] < 0.05


def test_the_expected_share_is_that_of_sizes():
    """Over many draws the nearest of both lies in the training data as often as sizes say, whatever the density."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        train, held_out, new = (rng.exponential(size=(n, 2)) ** 3 for n in (30, 10, 50))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotComparableWarning)
            found = memorization(new, train, held_out)
        shares.append(found["train_share"])
    assert found["expected_share"] == 0.75
    assert np.mean(shares) == pytest.approx(0.75, abs=4 * np.std(shares) / np.sqrt(60))


def test_sets_of_different_sizes_are_warned_of():
    """The ratio's reference is 1 for sets of one size only."""
    with pytest.warns(NotComparableWarning, match="distance_ratio"):
        memorization(points(5, seed=2), points(20), points(10, seed=1))


def filled():
    metric = NearestNeighbors(k=2)
    metric.update_state(real=points(3), generated=points(3))
    return metric


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: nearest_neighbors(points(3), points(3, d=4)), "5 columns"),
        (lambda: nearest_neighbors(points(3), points(2), k=3), "at least 3"),
        (lambda: nearest_neighbors(points(3), points(3), k=0), "`k`"),
        (lambda: nearest_neighbors(points(3), points(3), k=True), "`k`"),
        (lambda: nearest_neighbors(points(0), points(3)), "at least 1"),
        (lambda: nearest_neighbors([[np.nan]], [[1.0]]), "finite"),
        (lambda: nearest_neighbors(np.zeros(3), np.zeros(3)), "shape"),
        (lambda: authenticity(points(3), points(1)), "at least 2"),
        (lambda: memorization(points(3), points(3), points(3, d=2)), "held_out"),
        (lambda: NearestNeighbors(k=1.5), "`k`"),
        (lambda: NearestNeighbors("inception"), "extractor"),
        (lambda: NearestNeighbors().update_state(), "neither"),
        (lambda: NearestNeighbors().update_state(real=points(3)), "generated samples before"),
        (lambda: NearestNeighbors().result(), "generated samples before"),
        (lambda: filled().update_state(generated=points(3)), "begin anew"),
        (lambda: filled().update_state(real=points(3, d=4)), "5 columns"),
        (lambda: filled().merge_state([NearestNeighbors(k=2)]), "same generated samples"),
        (lambda: filled().merge_state([NearestNeighbors(k=1)]), "k=2"),
    ],
)
def test_what_is_refused(call, message):
    """Bad input is a ValueError that says what was expected."""
    with pytest.raises(ValueError, match=message):
        call()


def test_fewer_real_examples_than_neighbours():
    """They may still come; asked before, it is an error that says how many are missing."""
    metric = NearestNeighbors(k=2)
    metric.update_state(real=points(1), generated=points(3))
    with pytest.raises(ValueError, match="at least 2 real"):
        metric.result()
    metric.update_state(real=points(1, seed=1))
    assert metric.neighbors()[0].shape == (3, 2)
