"""Data larger than memory: each example once a pass, a batch a pure function, memory flat, sources with distrust."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_gen.datasets import Batches, ImageFolder, NpzShards, image_folder
from keras_gen.models import PCA

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def shards(tmp_path):
    """Five shards of 7, 3, 5, 4 and 6 rows; x holds the number of the example, y its negative."""
    start = 0
    for k, rows in enumerate((7, 3, 5, 4, 6)):
        x = np.arange(start, start + rows, dtype="int32")
        np.savez(tmp_path / f"{k}.npz", x=np.stack([x, x], 1), y=-x)
        start += rows
    return tmp_path


def sources(folder):
    return {"permuted": range(25), "in shards": NpzShards(folder, ("x", "y"), shuffle_shards=2)}


def numbers(dataset, p, seed, batches=range(7)):
    """The numbers of the examples in the batches of a pass."""
    columns = [dataset.at(p, b, seed)[0] for b in batches]
    return [x.reshape(len(x), -1)[:, 0].tolist() for x in columns]


@pytest.mark.parametrize("kind", ["permuted", "in shards"])
def test_each_example_comes_once_a_pass(shards, kind):
    """A pass is a permutation; passes and seeds differ; the last batch holds the rest."""
    dataset = Batches(sources(shards)[kind], batch_size=4)
    passes = [sum(numbers(dataset, p, seed), []) for p, seed in ((0, 1), (1, 1), (0, 2))]
    assert all(sorted(order) == list(range(25)) for order in passes)
    assert len({tuple(order) for order in passes}) == 3
    assert [len(batch) for batch in numbers(dataset, 0, 1)] == [4] * 6 + [1]


@pytest.mark.parametrize("kind", ["permuted", "in shards"])
def test_a_batch_is_a_pure_function(shards, kind):
    """The same pass, batch and seed give the same examples, whatever was read before, in any object."""
    one, two = (Batches(sources(shards)[kind], batch_size=4) for _ in range(2))
    forward = numbers(one, 3, 5)
    numbers(two, 0, 5)
    numbers(two, 1, 6)
    assert numbers(two, 3, 5, batches=range(6, -1, -1)) == forward[::-1]
    assert numbers(one, 3, 5) == forward


def test_items_follow_the_source_or_the_seed(shards):
    """Without a seed `dataset[b]` is the order of the source, with one that of its first pass."""
    source = NpzShards(shards, ("x", "y"))
    x = np.concatenate([batch[0] for batch in Batches(source, 4)])
    np.testing.assert_array_equal(x[:, 0], np.arange(25))
    dataset = Batches(source, 4, seed=3)
    np.testing.assert_array_equal(dataset[2][0], dataset.at(0, 2, 3)[0])
    with pytest.raises(IndexError):
        dataset[7]


def test_x_and_y_stay_together(shards):
    """Row i of each array is one example."""
    for x, y in (Batches(NpzShards(shards, ("x", "y")), 4).at(0, b, 1) for b in range(7)):
        np.testing.assert_array_equal(x[:, 0], -y)


@pytest.mark.parametrize("group", [1, 2, 5])
def test_a_pass_reads_each_shard_once(shards, group, monkeypatch):
    """Examples mix within a group of shards alone, and at most two groups are held."""
    source = NpzShards(shards, ("x", "y"), shuffle_shards=group)
    read, load = [], source._load
    monkeypatch.setattr(source, "_load", lambda shard: read.append(shard) or load(shard))
    dataset = Batches(source, 4)
    for b in range(len(dataset)):
        dataset.at(0, b, 1)
        assert len(source._shards) <= 2 * group
    assert sorted(read) == list(range(5))
    shard_of = np.searchsorted(source._starts, source.order(np.random.default_rng(0)), side="right")
    changes = np.count_nonzero(np.diff(shard_of))
    assert changes == 4 if group == 1 else changes > 4


def test_sources_are_sequences(shards):
    """They end, and count from the end too, as lists do: whoever reads them may rely on it."""
    Image.new("RGB", (4, 4)).save(shards / "1.png")
    (shards / "labels.csv").write_text("file,label\n1.png,3")
    pictures, examples = ImageFolder(shards, labels=shards / "labels.csv"), NpzShards(shards)
    assert (len(list(pictures)), len(list(examples))) == (1, 25)
    assert pictures[-1][1] == 3 and examples[-1][0][0] == 24 and examples[-25][0][0] == 0
    for source in (pictures, examples):
        with pytest.raises(IndexError):
            source[len(source)]


def test_threads_change_nothing(shards):
    """Keras's reading by two threads gives the same as by none, in the same order."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(2.0)])
    for workers in (1, 2):
        dataset = Batches(NpzShards(shards), 4, workers=workers, max_queue_size=3)
        np.testing.assert_array_equal(model.predict(dataset, verbose=0)[:, 0], 2 * np.arange(25))


@pytest.mark.parametrize("read", ["fit", "predict"])
def test_two_workers_read_at_once(read):
    """An example is handed out only while another one is being read too: one worker alone would wait in vain."""
    together, met = threading.Barrier(2, timeout=20), set()

    def meet(i):
        if threading.current_thread() is not threading.main_thread():  # which may look at a batch for its shape
            together.wait()
            met.add(i)
        return np.full(2, i, "float32")

    dataset = Batches(range(8), 1, transform=meet, workers=2, max_queue_size=2)
    if read == "fit":
        PCA((2,), latent_dim=1).fit(dataset, verbose=0)
    else:
        keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(1.0)]).predict(dataset, verbose=0)
    assert met == set(range(8))


def trained(folder, workers):
    """Weights after two passes over the shards."""
    keras.utils.set_random_seed(0)
    dataset = Batches(NpzShards(folder), 4, lambda e: e[0].astype("float32"), workers=workers, max_queue_size=3)
    model = PCA((2,), latent_dim=1)
    model.fit(dataset, verbose=0)
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


def test_fit_reads_every_example_of_a_stream(shards):
    """A model of this package, fitted to shards by threads or by none, equals the one fitted to the array."""
    keras.utils.set_random_seed(0)
    whole = PCA((2,), latent_dim=1)
    whole.fit(np.stack([np.arange(25.0)] * 2, 1).astype("float32"), verbose=0)
    for workers in (1, 2):
        for ours, theirs in zip(trained(shards, workers), whole.weights, strict=True):
            np.testing.assert_allclose(np.abs(ours), np.abs(keras.ops.convert_to_numpy(theirs)), rtol=1e-4, atol=1e-4)


def test_an_image_folder_streams_what_it_holds(tmp_path):
    """One by one and at once give the same pictures, labels and names."""
    for k in range(6):
        (tmp_path / "ab"[k % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (8, 6), (k, 0, 0)).save(tmp_path / "ab"[k % 2] / f"{k}.png")
    source = ImageFolder(tmp_path, size=4)
    x, y, class_names = image_folder(tmp_path, size=4)
    streamed = list(Batches(source, 4))
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in streamed]), x)
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in streamed]), y)
    assert source.class_names == class_names


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Batches(iter([1]), 4), "len.source"),
        (lambda: Batches([], 4), "empty"),
        (lambda: Batches([1], 0), "`batch_size`"),
        (lambda: Batches([1], True), "`batch_size`"),
        (lambda: Batches([1], 1, seed=-1), "`seed`"),
        (lambda: Batches([np.zeros(2), np.zeros(3)], 2)[0], "one shape"),
        (lambda: NpzShards([]), "list of them"),
    ],
)
def test_batches_errors(make, words):
    """What is no source, and examples that do not fit together, are refused."""
    with pytest.raises(ValueError, match=words):
        make()


def spoil(folder, how):
    file = folder / "3.npz"
    if how == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif how == "other":
        np.savez(file, z=np.zeros(3))
    elif how == "shape":
        np.savez(file, x=np.zeros((4, 3), "int32"), y=np.zeros(4, "int32"))
    elif how == "rows":
        np.savez(file, x=np.zeros((4, 2), "int32"), y=np.zeros(5, "int32"))
    elif how == "objects":
        np.savez(file, x=np.array([{}] * 4), y=np.zeros(4, "int32"))
    elif how == "bomb":
        np.savez_compressed(file, x=np.zeros((2**12, 2**10), "int32"), y=np.zeros(2**12, "int32"))
    elif how == "pipe":
        file.unlink()
        os.mkfifo(file)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut", "arrays.*3.npz"),
        ("other", "3.npz.*x.npy"),
        ("shape", "one shape.*3.npz"),
        ("rows", "as many rows.*3.npz"),
        ("objects", "3.npz.*pickled"),
        ("bomb", "at most 1000000 bytes.*3.npz"),
        ("pipe", "3.npz.*no regular file"),
    ],
)
def test_a_bad_shard_is_refused_by_its_headers(shards, how, words):
    """Damaged, different, pickled and too large shards are named before any data is read."""
    spoil(shards, how)
    with pytest.raises(ValueError, match=words):
        NpzShards(shards, ("x", "y"), max_shard_bytes=10**6)


def test_a_shard_changed_later_is_refused(shards):
    """The headers are checked again when the data is read."""
    source = NpzShards(shards, ("x", "y"))
    spoil(shards, "bomb")
    with pytest.raises(ValueError, match="3.npz"):
        source[18]


def epochs(folder, *kinds):
    """The figures of `tests.epoch_in_memory` at a limit of 64 MiB."""
    command = [sys.executable, "-m", "tests.epoch_in_memory", str(folder), "64", *kinds]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the limit and its reading are Linux's")
def test_memory_is_flat_over_an_epoch_ten_times_the_limit(tmp_path):
    """The process may take 64 MiB more and reads 640: pictures, shards, and what else is installed."""
    kinds = ["images", "npz"]
    if importlib.util.find_spec("grain") and importlib.util.find_spec("array_record"):
        kinds.append("arrayrecord")
    if keras.backend.backend() == "tensorflow":
        kinds.append("tfrecord")
    for figures in epochs(tmp_path, *kinds):
        assert figures["read"] >= 10 * figures["limit"] and figures["growth"] < figures["limit"], figures
