"""Metrics of fresh samples during `fit`: logged figures, and a training that does not notice them."""

import csv
import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import metrics, random
from keras_gen.callbacks import ExactResume, SampleMetrics
from keras_gen.metrics import (
    ClasswiseFrechetInceptionDistance,
    EnergyDistance,
    FrechetInceptionDistance,
    InceptionScore,
    KernelInceptionDistance,
    ModesCovered,
    NearestNeighbors,
    PrecisionRecall,
    extractors,
)
from keras_gen.models import VAE, GenerativeModel
from keras_gen.networks import MLP
from tests.cases import images
from tests.interrupting import Interrupt, Interruption

EAGER = keras.config.backend() == "tensorflow"  # its graphs do not give the same bits twice
pytestmark = pytest.mark.filterwarnings("ignore::keras_gen.metrics.NotComparableWarning")
X = functools.cache(lambda: images(96)[0][:, 2:6, 2:6])
Y = functools.cache(lambda: images(96)[1])


class Extractor:
    """Eight features and four logits; counts the images that it saw."""

    def __init__(self):
        self.weights, self.seen = np.random.default_rng(0).normal(size=(16, 12)), 0

    def __call__(self, x):
        self.seen += len(x)
        found = np.tanh(np.asarray(x).reshape(len(x), 16) @ self.weights)
        return {"features": found[:, :8], "logits": 5.0 * found[:, 8:]}


class Gaussian(GenerativeModel):
    """A mean that is learned: the smallest model that samples."""

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.mean = self.add_weight(shape=event_shape, initializer="zeros", name="mean")

    def objective(self, x, condition=None, training=False):
        return {"loss": ops.mean((x - self.mean) ** 2, axis=tuple(range(1, len(x.shape))))}

    def call(self, x, condition=None, training=False):
        return x

    def generate(self, keys, condition=None, temperature=1.0):
        return self.mean + 0.1 * temperature * random.normal(keys, self.event_shape)


def gaussian(event_shape=(4, 4, 1), **kwargs):
    made = Gaussian(event_shape, **kwargs)
    made.compile(keras.optimizers.SGD(0.1))
    return made


def model():
    keras.utils.set_random_seed(0)
    made = VAE((4, 4, 1), latent_dim=2, encoder=MLP((8,)), decoder=MLP((8,)), seed=3)
    made.compile(keras.optimizers.Adam(1e-2), run_eagerly=EAGER)
    return made


def fit(made, *callbacks, epochs=3, **arguments):
    return made.fit(X(), epochs=epochs, batch_size=32, seed=5, verbose=0, callbacks=list(callbacks), **arguments)


def state(made):
    variables = [*made.variables, *made.optimizer.variables]
    return [keras.ops.convert_to_numpy(v.value) for v in variables]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def several(extractor):
    return [
        FrechetInceptionDistance(extractor),
        KernelInceptionDistance(extractor, subsets=3, subset_size=40),
        PrecisionRecall(extractor),
        InceptionScore(extractor, splits=2),
    ]


def test_figures_are_those_of_the_functional_twins():
    """On the samples of the seed after the last epoch; each extractor sees reference and samples once."""
    made, extractor = gaussian(), Extractor()
    history = fit(made, SampleMetrics(several(extractor), X(), n=50, seed=7, batch_size=20, prefix="s_")).history
    assert extractor.seen == 96 + 3 * 50
    real, generated = extractor(X()), extractor(made.sample(50, seed=7))
    found = {name: values[-1] for name, values in history.items() if name.startswith("s_")}
    score = InceptionScore(splits=2)
    score.update_state(generated=generated["logits"])
    score = score.result()
    x, y = real["features"], generated["features"]
    kid, kid_std = metrics.kernel_inception_distance(x, y, subsets=3, subset_size=40)
    precision, recall = metrics.precision_recall(x, y)
    assert found == {
        "s_fid": pytest.approx(metrics.frechet_inception_distance(x, y), rel=1e-6),
        "s_kid": pytest.approx(kid, rel=1e-6),
        "s_kid_std": pytest.approx(kid_std, rel=1e-6),
        "s_precision": pytest.approx(precision, abs=1e-9),
        "s_recall": pytest.approx(recall, abs=1e-9),
        "s_inception_score": pytest.approx(score["inception_score"], rel=1e-6),
        "s_inception_score_std": pytest.approx(score["inception_score_std"], rel=1e-4),
    }


def resumable(folder, stop):
    """Weights and history of a VAE whose training stops before step `stop` of this process, if it comes that far."""
    made = model()
    reports = SampleMetrics(several(Extractor()), X(), n=50, every=3)
    history = fit(made, ExactResume(folder, every_steps=1), reports, Interrupt(stop), epochs=5).history
    return state(made), history


def test_training_does_not_notice_and_a_resumed_one_logs_the_same(tmp_path):
    """Weights, seeds and optimizer end equal, to the bit, with the callback and without it; and when the training is
    interrupted, within an epoch whose log repeats figures too, all figures are those of one run."""
    plain = model()
    fit(plain, epochs=5)
    whole = resumable(tmp_path / "whole", 10**6)
    assert_same(state(plain), whole[0])
    assert {"fid", "kid", "kid_std", "precision", "recall", "inception_score"} <= whole[1].keys()
    for stop in (2, 3):
        with pytest.raises(Interruption):
            resumable(tmp_path / "parts", stop)
    parts = resumable(tmp_path / "parts", 10**6)
    assert parts[1] == whole[1]
    assert_same(parts[0], whole[0])


def test_every_so_many_epochs_and_repeated_between():
    """After the first and each third; the logs always have a value, for callbacks that want one."""
    made, extractor = gaussian(), Extractor()
    history = fit(made, SampleMetrics(FrechetInceptionDistance(extractor), X(), n=50, every=3), epochs=7).history["fid"]
    assert extractor.seen == 96 + 3 * 50
    assert history[0] == history[1] != history[2] == history[3] == history[4] != history[5] == history[6]


def test_keras_callbacks_see_the_figures(tmp_path):
    """`CSVLogger` writes them, `EarlyStopping` stops by them."""
    made = gaussian()
    stopping = keras.callbacks.EarlyStopping("energy_distance", mode="min", min_delta=1e3, patience=2)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    report = SampleMetrics(EnergyDistance(extractor=Extractor()), X(), n=50)
    history = fit(made, report, stopping, log, epochs=9).history
    assert len(history["energy_distance"]) == 3
    with open(tmp_path / "log.csv", newline="") as file:
        written = [float(row["energy_distance"]) for row in csv.DictReader(file)]
    assert written == history["energy_distance"]


def test_class_wise_metrics_get_the_labels():
    """Those of the reference, and the condition of each sample; without an extractor here, on 16 pixels."""
    made = gaussian(num_classes=10)
    condition, few = np.arange(60) % 4, Y() < 4
    x, y = X().reshape(-1, 16), Y()

    class Flatten:
        def __call__(self, x):
            return np.asarray(x).reshape(len(x), 16)

    metric = ClasswiseFrechetInceptionDistance(4, Flatten())
    report = SampleMetrics(metric, (X()[few], Y()[few]), n=60, condition=condition, batch_size=25)
    history = fit(made, report, epochs=1, y=Y()).history
    samples = made.sample(60, condition, seed=0).reshape(-1, 16)
    expected = metrics.classwise_frechet_inception_distance(x[few], y[few], samples, condition)[0]
    assert history["classwise_fid"][-1] == pytest.approx(expected, rel=1e-6)


class Stored(keras.utils.PyDataset):
    """The images in batches of 40."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X()[40 * i : 40 * (i + 1)], Y()[40 * i : 40 * (i + 1)]


@pytest.mark.parametrize("kind", ["dataset", "batches", "features", "before"])
def test_references_of_every_kind_give_the_same_figure(kind):
    """A dataset, a list of batches, stored features, and a metric that was filled before."""
    extractor = Extractor()
    metric = FrechetInceptionDistance(extractor)
    if kind == "before":
        metric.update_state(real=X())
    reference = {
        "dataset": Stored(),
        "batches": [X()[:1], X()[1:]],
        "features": extractor(X()),
        "before": None,
    }[kind]
    made = gaussian()
    history = fit(made, SampleMetrics(metric, reference, n=50), epochs=2).history
    samples = extractor(made.sample(50, seed=0))["features"]
    expected = metrics.frechet_inception_distance(extractor(X())["features"], samples)
    assert history["fid"][-1] == pytest.approx(expected, rel=1e-6)


def test_metrics_of_samples_alone_and_of_neighbours():
    """Modes need no reference; nearest neighbours stream it again for each epoch's samples."""
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    centers, points = np.array([[0.0, 0.0], [3.0, 3.0]]), x.astype("float64")
    made = gaussian((2,))
    report = SampleMetrics([ModesCovered(centers, 1.0), NearestNeighbors()], points, n=40)
    history = made.fit(x, epochs=2, verbose=0, callbacks=[report]).history
    samples = made.sample(40, seed=0)
    expected = metrics.modes_covered(samples, centers, 1.0)
    assert {name: history[name][-1] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-6)
    nearest = metrics.nearest_neighbors(samples, points)[0].mean()
    assert history["nearest_distance"][-1] == pytest.approx(nearest, rel=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"metrics": []}, "metrics"),
        ({"metrics": ["fid"]}, "metrics"),
        ({"n": 0}, "`n`"),
        ({"every": 0}, "`every`"),
        ({"batch_size": 2.5}, "`batch_size`"),
        ({"reference": None}, "`reference` for"),
        ({"reference": np.zeros((0, 4, 4, 1))}, "at least one row"),
        ({"reference": iter(())}, "used up"),
        ({"reference": 3}, "Received: int"),
        ({"reference": (np.zeros((5, 4, 4, 1)), np.zeros(3))}, "as many in each array"),
        ({"reference": (np.zeros((5, 4, 4, 1)), np.zeros(5), np.zeros(5))}, "Received one of 3"),
        ({"reference": {"logits": np.zeros((5, 3))}}, "'features' for fid"),
        ({"metrics": [FrechetInceptionDistance(Extractor()), FrechetInceptionDistance(Extractor())]}, "'fid'.*twice"),
        ({"metrics": FrechetInceptionDistance(Extractor(), name="loss")}, "logs do not have yet.*'loss'"),
    ],
)
def test_what_is_refused(arguments, message):
    """Bad input is a ValueError."""
    arguments = {"metrics": FrechetInceptionDistance(Extractor()), "reference": X(), "n": 50, **arguments}
    with pytest.raises(ValueError, match=message):
        fit(gaussian(), SampleMetrics(**arguments), epochs=1)


@pytest.mark.parametrize("n, reference", [(50, slice(1)), (1, slice(96))])
def test_too_few_for_a_figure_is_said_before_training(n, reference):
    """Not after an epoch: the weights are those of before."""
    made = gaussian()
    with pytest.raises(ValueError, match="at least 2 samples and real examples for fid"):
        fit(made, SampleMetrics(FrechetInceptionDistance(Extractor()), X()[reference], n=n))
    assert not np.any(keras.ops.convert_to_numpy(made.mean))


def test_a_metric_of_pairs_is_refused():
    with pytest.raises(ValueError, match="no counterpart"):
        SampleMetrics(keras.metrics.MeanSquaredError(), X)


def test_samples_beyond_the_range_are_seen_as_pictures():
    """Clipped and rounded to 256 levels, as saved pictures are; a configuration brings it back."""
    plain = extractors.SmallClassifier("digits", data_range=(0, 1))
    eight = extractors.EightBits(plain)
    x = np.random.default_rng(0).normal(0.5, 0.5, (4, 8, 8, 1)).astype("float32")
    pictures = np.rint(255 * np.clip(x, 0, 1)).astype("float32") / 255
    for found in (eight, keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(eight))):
        np.testing.assert_allclose(found(x)["features"], plain(pictures)["features"], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="EightBits"):
        plain(x)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="1 of 256 values"):
            eight(np.where(np.arange(256).reshape(4, 8, 8, 1) == 7, bad, x))
