"""Extractors: FID's Inception against its PyTorch port, its files, its images; Keras models; the small classifier.

Golden files: `fid_inception.npz` holds what torch-fidelity gives, by `benchmarks.fid_inception_peers`; the others are
written by `KERAS_BACKEND=tensorflow python -m tests.test_extractors`, two of them by torch.
"""

import hashlib
import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import datasets
from keras_gen.metrics import extractors
from keras_gen.metrics.extractors import (
    FIDInception,
    KerasExtractor,
    KerasInceptionV3,
    SmallClassifier,
    graph_file,
    inception,
    known,
    torch_file,
)
from keras_gen.metrics.extractors import fid_inception as fid

GOLDEN = Path(__file__).parent / "golden"
BACKEND = keras.config.backend()
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def golden():
    """torch-fidelity's names and activations, weights random of seed 0."""
    with np.load(GOLDEN / "fid_inception.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def random_inception():
    """The network with random weights of seed 0, built while the dtype policy is another one."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    extractor = FIDInception(None, seed=0, batch_size=1)
    keras.config.set_dtype_policy(policy)
    return extractor


@pytest.fixture
def weights(random_inception):
    """Arrays of the right names and shapes, each with other values, cheaply made."""
    shapes = dict(inception.shapes(random_inception.network))
    return {k: np.arange(i, i + np.prod(s), dtype="float32").reshape(s) for i, (k, s) in enumerate(shapes.items())}


# FID's Inception: the network.


def test_inception_gives_what_the_torch_port_gives(random_inception, golden):
    """From 8 bits to features and logits, resize included, under any dtype policy: 1e-5 of the greatest value."""
    found = random_inception(known.images()[0])
    for key in ("features", "logits"):
        np.testing.assert_allclose(found[key], golden[key][:1], rtol=0, atol=1e-5 * np.abs(golden[key]).max())


def test_inception_asks_for_the_published_names_and_shapes(random_inception, golden):
    """94 convolutions with their moments, and the last layer, named as in the published file."""
    wanted = {name: str(shape) for name, shape in inception.shapes(random_inception.network)}
    assert wanted == dict(zip(golden["names"].tolist(), golden["shapes"].tolist(), strict=True))
    assert len(dict(inception.all_convolutions())) == 94


def test_graph_names_are_those_of_the_tensorflow_graph():
    """Scopes of the published graph, one of each kind."""
    names = inception.graph_names()
    assert len(set(names.values())) == 94
    assert {k: names[k] for k in GRAPH} == GRAPH


GRAPH = {
    "Conv2d_1a_3x3": "conv", "Conv2d_4a_3x3": "conv_4", "Mixed_5b.branch1x1": "mixed/conv",
    "Mixed_5b.branch5x5_2": "mixed/tower/conv_1", "Mixed_5d.branch3x3dbl_3": "mixed_2/tower_1/conv_2",
    "Mixed_5c.branch_pool": "mixed_1/tower_2/conv", "Mixed_6a.branch3x3": "mixed_3/conv",
    "Mixed_6a.branch3x3dbl_3": "mixed_3/tower/conv_2", "Mixed_6e.branch7x7dbl_5": "mixed_7/tower_1/conv_4",
    "Mixed_7a.branch3x3_2": "mixed_8/tower/conv_1", "Mixed_7a.branch7x7x3_4": "mixed_8/tower_1/conv_3",
    "Mixed_7b.branch3x3_2b": "mixed_9/tower/mixed/conv_1", "Mixed_7c.branch3x3_1": "mixed_10/tower/conv",
    "Mixed_7c.branch3x3dbl_3a": "mixed_10/tower_1/mixed/conv", "Mixed_7c.branch_pool": "mixed_10/tower_2/conv",
}  # fmt: skip


def windows(x, i, j):
    """The values around (i, j), 3 x 3, as far as there are any."""
    return x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].reshape(len(x), -1, x.shape[-1])


@pytest.mark.parametrize("kind, mean", [(inception.AVERAGE, np.mean), (inception.MAXIMUM, np.max)])
def test_pools_leave_the_padding_out(kind, mean):
    """At the border, the mean is over what is there, and so is the maximum."""
    x = RNG.standard_normal((2, 4, 5, 3)).astype("float32") - 3
    wanted = np.zeros_like(x)
    for i, j in product(range(4), range(5)):
        wanted[:, i, j] = mean(windows(x, i, j), axis=1)
    first = inception.data_format() == "channels_first"
    found = ops.convert_to_numpy(inception.pool(np.moveaxis(x, -1, 1) if first else x, kind))
    np.testing.assert_allclose(np.moveaxis(found, 1, -1) if first else found, wanted, atol=1e-6)


def test_the_last_block_alone_has_a_maximum():
    """As the published weights were trained."""
    pools = {block: branches[-1][0] for block, branches in inception.BLOCKS.items()}
    assert [block for block, pool in pools.items() if pool == inception.MAXIMUM] == ["Mixed_7c"]


def resized_by_hand(x, side):
    """TensorFlow 1's rule, pixel by pixel."""
    height, width = x.shape[:2]
    y = np.zeros((side, side, x.shape[2]), "float64")
    for i, j in product(range(side), range(side)):
        u, v = i * height / side, j * width / side
        a, b = int(u), int(v)
        c, d = min(a + 1, height - 1), min(b + 1, width - 1)
        top = (1 - (v - b)) * x[a, b] + (v - b) * x[a, d]
        y[i, j] = (1 - (u - a)) * top + (u - a) * ((1 - (v - b)) * x[c, b] + (v - b) * x[c, d])
    return y


@pytest.mark.parametrize("size", [(5, 7), (16, 16), (40, 23)])
def test_resize_is_that_of_tensorflow_1(size):
    """No aligned corners, no pixel centres, no smoothing: larger, smaller, and the same."""
    x = RNG.integers(0, 256, (1, *size, 2)).astype("float32")
    found = ops.convert_to_numpy(inception.resize_like_tensorflow_1(ops.convert_to_tensor(x), 16))
    np.testing.assert_allclose(found[0], resized_by_hand(x[0].astype("float64"), 16), atol=1e-3)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        np.testing.assert_array_equal(found, tf.compat.v1.image.resize_bilinear(x, (16, 16)).numpy())


def test_folded_convolutions_give_what_normalised_ones_give():
    """W' x + b' = (W x - m) g / sqrt(v + 0.001) + b."""
    x, shape = RNG.standard_normal((2, 6, 6, 3)).astype("float32"), (3, 3, 3, 4)
    kernel, (m, v, g, b) = RNG.standard_normal(shape), RNG.random((4, 4))
    plain = ops.convert_to_numpy(ops.conv(x, kernel.astype("float32"), padding="same", data_format="channels_last"))
    kernel, bias = (a.astype("float32") for a in inception.folded(kernel, m, v, g, b))
    found = ops.conv(x, kernel, padding="same", data_format="channels_last")
    wanted = (plain - m) * g / np.sqrt(v + 0.001) + b
    np.testing.assert_allclose(ops.convert_to_numpy(found) + bias, wanted, atol=2e-5)


# FID's Inception: its files.

ARRAYS = {
    "a": np.arange(24, dtype="float32").reshape(4, 6), "b": np.arange(24, dtype="float32").reshape(4, 6).T[1:3],
    "n": np.array(7), "half": np.array([0.5, -2.0], "float16"), "empty": np.zeros((0, 3), "float32"),
}  # fmt: skip


@pytest.mark.parametrize("file", ["tensors_zip.pth", "tensors_legacy.pth"])
def test_files_of_torch_are_read_without_torch(file):
    """Both formats, as torch 2.13 wrote them: views of one storage, numbers, halves, empty ones."""
    found = torch_file.read_tensors(GOLDEN / file)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


class Call:
    """Pickles to the call of a function."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def zip_file(path, pickled, name="archive", storages=(), compression=zipfile.ZIP_STORED, extra=()):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{name}/data.pkl", pickled)
        for key, content in storages:
            archive.writestr(f"{name}/data/{key}", content)
        for entry in extra:
            archive.writestr(f"{name}/{entry}", b"x")


def tensor_pickle(storage=("storage", "FloatStorage", "0", "cpu", 4), view=(0, (4,), (1,)), build=None):
    """A pickle of {"a": tensor}, written opcode by opcode; `build` is a state that is then forced on the tensor."""

    def put(value):
        return pickle.dumps(value, 2)[2:-1]

    kind, dtype, *rest = storage
    persistent = b"(" + put(kind) + b"ctorch\n" + dtype.encode() + b"\n" + b"".join(put(v) for v in rest) + b"tQ"
    view = b"".join(put(v) for v in view)
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent + view + b"\x89NtR"
    return b"\x80\x02}" + put("a") + tensor + (put(build) + b"b" if build else b"") + b"s."


def test_the_pickle_written_by_hand_is_good(tmp_path):
    """The control of what follows."""
    zip_file(tmp_path / "x.pth", tensor_pickle(), storages=[("0", np.arange(4, dtype="<f4").tobytes())])
    np.testing.assert_array_equal(torch_file.read_tensors(tmp_path / "x.pth")["a"], np.arange(4))


HOSTILE = {
    "calls a program": {"pickled": pickle.dumps({"a": Call(eval, "open('done', 'w')")})},
    "holds a module": {"pickled": pickle.dumps({"a": Path("x")})},
    "is a list": {"pickled": pickle.dumps([1, 2])},
    "holds numbers": {"pickled": pickle.dumps({"a": 3})},
    "holds what looks like a view": {"pickled": pickle.dumps({"a": ("0", 0, (10**6,), (1,))})},
    "is cut": {"pickled": tensor_pickle()[:-9]},
    "starts behind its storage": {"pickled": tensor_pickle(view=(4, (1,), (1,)))},
    "steps behind its storage": {"pickled": tensor_pickle(view=(0, (4,), (2,)))},
    "steps backward": {"pickled": tensor_pickle(view=(3, (4,), (-1,)))},
    "is huge with steps of 0": {"pickled": tensor_pickle(view=(0, (100, 100), (0, 0)))},
    "has more sides than steps": {"pickled": tensor_pickle(view=(0, (2, 2), (1,)))},
    "has a storage larger than the file": {
        "pickled": tensor_pickle(("storage", "FloatStorage", "0", "cpu", 10**12)),
        "text": "more than the file can hold",
    },
    "has a storage of no number": {"pickled": tensor_pickle(("storage", "BFloat16Storage", "0", "cpu", 4))},
    "has a storage elsewhere": {"pickled": tensor_pickle(("storage", "FloatStorage", "../0", "cpu", 4))},
    "has a shorter storage": {"pickled": tensor_pickle(), "storages": [("0", bytes(12))]},
    "changes what it made": {"pickled": tensor_pickle(build={"sizes": (10**6,)})},
    "is compressed": {"pickled": tensor_pickle(), "compression": zipfile.ZIP_DEFLATED},
    "is a program": {"pickled": tensor_pickle(), "extra": ["code/__torch__.py"]},
    "is another's zip": {"pickled": b"", "name": ""},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_is_no_file_of_tensors_is_refused(what, tmp_path, monkeypatch):
    """By name, with a ValueError, and nothing of it is run."""
    monkeypatch.chdir(tmp_path)
    entries = {"storages": [("0", bytes(16))], "text": ""} | HOSTILE[what]
    text = entries.pop("text")
    zip_file(tmp_path / "x.pth", **entries)
    with pytest.raises(ValueError, match=f"Expected a file of tensors by name.*x.pth.*{text}"):
        torch_file.read_tensors(tmp_path / "x.pth")
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("file", ["tensors_zip.pth", "tensors_legacy.pth"])
def test_damage_is_refused_or_harmless(file, tmp_path):
    """200 files with a few bytes changed, 40 cut: each is read with arrays of known dtypes, or a ValueError."""
    good, refused = (GOLDEN / file).read_bytes(), 0
    for seed in range(240):
        rng, content = np.random.default_rng(seed), np.frombuffer(good, "uint8").copy()
        content[rng.integers(0, len(good), 1 + seed % 8)] ^= rng.integers(1, 256, dtype="uint8")
        (tmp_path / "x.pth").write_bytes(content.tobytes()[: rng.integers(len(good)) if seed >= 200 else None])
        try:
            found = torch_file.read_tensors(tmp_path / "x.pth")
        except ValueError:
            refused += 1
        else:
            assert all(array.nbytes < 1000 for array in found.values())
    assert refused > 100


def message(number, content):
    """A field of a protocol buffer: bytes, or an integer."""
    if isinstance(content, int):
        return bytes([number << 3]) + varint(content)
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(n):
    groups = [n >> shift & 127 for shift in range(0, max(n.bit_length(), 1), 7)]
    return bytes([g | 128 for g in groups[:-1]] + groups[-1:])


def constant(name, array, dtype=1):
    """A node of a graph: a constant."""
    shape = b"".join(message(2, message(1, side)) for side in array.shape)
    tensor = message(1, dtype) + message(2, shape) + message(4, array.tobytes())
    attribute = message(1, b"value") + message(2, message(8, tensor))
    return message(1, message(1, name.encode()) + message(2, b"Const") + message(5, attribute))


def graph_of(weights):
    """A graph with these weights, under the names that the published one has."""
    parts = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    nodes = [constant("softmax/weights", weights["fc.weight"].T.copy()), constant("softmax/biases", weights["fc.bias"])]
    nodes += [constant("pool_3/_reshape/shape", np.zeros(2, "int32"), dtype=3), message(1, message(2, b"Conv2D"))]
    for name, scope in inception.graph_names().items():
        kernel = np.transpose(weights[f"{name}.conv.weight"], (2, 3, 1, 0)).copy()
        nodes.append(constant(f"{scope}/conv2d_params", kernel))
        nodes += [constant(f"{scope}/batchnorm/{there}", weights[f"{name}.bn.{here}"]) for here, there in parts.items()]
    return b"".join(nodes)


def test_weights_come_from_the_tensorflow_graph_without_tensorflow(random_inception, weights, tmp_path):
    """Every array, under the names of the published `.pth`, its axes turned."""
    (tmp_path / "graph.pb").write_bytes(graph_of(weights))
    file = tmp_path / "graph.pb"
    found = fid.checked_weights(fid.read_weights(file), random_inception.network, file)
    assert set(found) == set(weights)
    assert all(np.array_equal(found[name], value) for name, value in weights.items())
    if BACKEND == "tensorflow":
        import tensorflow as tf

        graph = tf.compat.v1.GraphDef.FromString((tmp_path / "graph.pb").read_bytes())
        theirs = {n.name: tf.make_ndarray(n.attr["value"].tensor) for n in graph.node if n.op == "Const"}
        ours = graph_file.read_constants(tmp_path / "graph.pb")
        assert set(theirs) - set(ours) == {"pool_3/_reshape/shape"}
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_constant_of_one_value_fills_its_shape(tmp_path):
    """As TensorFlow writes constants that are the same everywhere: packed values, not content."""
    tensor = message(1, 1) + message(2, message(2, message(1, 3))) + message(5, struct.pack("<f", 2.5))
    node = message(1, b"c") + message(2, b"Const") + message(5, message(1, b"value") + message(2, message(8, tensor)))
    (tmp_path / "graph.pb").write_bytes(message(1, node))
    np.testing.assert_array_equal(graph_file.read_constants(tmp_path / "graph.pb")["c"], [2.5, 2.5, 2.5])


@pytest.mark.parametrize(
    "content, text",
    [(b"", "without any"), (b"no graph at all", "kind 6"), (b"\x0a\xff\xff\xff\xff\x0f", "longer than the file"),
     (b"\x80" * 20, "no end"), (constant("c", np.ones(4, "float32"))[:-9], "longer than the file")],
)  # fmt: skip
def test_what_is_no_graph_is_refused(content, text, tmp_path):
    """A ValueError names the file."""
    (tmp_path / "x.pb").write_bytes(content)
    with pytest.raises(ValueError, match=f"frozen TensorFlow graph.*x.pb.*{text}"):
        fid.read_weights(tmp_path / "x.pb")


def lacking(weights):
    del weights["fc.bias"]


def torchvision_like(weights):
    weights.update({"AuxLogits.fc.weight": np.zeros((1000, 768)), "fc.weight": np.zeros((1000, 2048))})


def not_finite(weights):
    weights["Mixed_5b.branch1x1.bn.bias"][3] = np.nan


def negative(weights):
    weights["Mixed_5b.branch1x1.bn.running_var"][3] = -1


@pytest.mark.parametrize(
    "spoil, text",
    [(lacking, "fc.bias: missing"), (torchvision_like, "torchvision's Inception.*fc.weight: .1000, 2048"),
     (not_finite, "damaged in .*Mixed_5b.branch1x1.bn.bias"), (negative, "variances from 0 on")],
)  # fmt: skip
def test_weights_of_another_network_are_refused(random_inception, weights, spoil, text):
    """Names, shapes and values are checked; the error says what differs."""
    spoil(weights)
    with pytest.raises(ValueError, match=text):
        fid.checked_weights(weights, random_inception.network, "x.pth")


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    """Not that it is damaged."""
    for name in ("x.pth", "x.pb"):
        with pytest.raises(FileNotFoundError):
            fid.read_weights(tmp_path / name)


def test_only_the_published_file_is_a_reference(tmp_path, monkeypatch):
    """Length and fingerprint decide; one byte more or another one, and it is none."""
    content, file = b"weights", tmp_path / "w.pth"
    monkeypatch.setattr(fid, "PUBLISHED", {("sha256", 7): hashlib.sha256(content).hexdigest()})
    verdicts = []
    for text in (content, content[:-1] + b"S", content + b"s"):
        file.write_bytes(text)
        verdicts.append(fid.is_published(file))
    assert verdicts == [True, False, False]


def test_the_fingerprint_is_that_in_the_name_of_the_published_file(random_inception):
    """torch's hub puts the first eight digits of the SHA-256 into the name."""
    assert "pt_inception-2015-12-05-6726825d.pth".split("-")[-1][:8] == next(iter(fid.PUBLISHED.values()))[:8]
    assert not random_inception.is_reference


@pytest.mark.skipif(BACKEND != "torch", reason="writes a file of 96 MB with torch")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_becomes_the_network(random_inception, tmp_path, zipped):
    """The whole way: `torch.save`, read without it, folded, run; an unknown file of good names is no reference."""
    import torch

    weights = fid.random_weights(random_inception.network, seed=0)
    state = OrderedDict((name, torch.from_numpy(value)) for name, value in weights.items())
    state["Conv2d_1a_3x3.bn.num_batches_tracked"] = torch.tensor(0)
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    extractor, x = FIDInception(tmp_path / "w.pth", batch_size=1), known.images()[0]
    np.testing.assert_array_equal(extractor(x)["logits"], random_inception(x)["logits"])
    np.testing.assert_array_equal(extractor.bias, weights["fc.bias"])
    assert not extractor.is_reference and extractor.name == "fid_inception"


# Known activations.


class Told:
    """In the place of an extractor: logits and features as told."""

    bias = np.zeros(1008)

    def __init__(self, logits, features=None):
        self.outputs = {"logits": np.asarray(logits), "features": features}

    def __call__(self, x):
        return self.outputs


def panda_logits(**changed):
    """Logits whose softmax is the published one, but for the classes in `changed`, as `k7=0.1`."""
    told = known.PANDA | {int(k[1:]): value for k, value in changed.items()}
    p = np.full(1008, (1 - sum(told.values())) / (1008 - len(told)))
    p[list(told)] = list(told.values())
    return np.log(p)[None]


def test_the_panda_is_recognised():
    """Published classes and probability pass; another order, or another probability, does not."""
    picture = np.zeros((5, 5, 3), "uint8")
    assert known.check_panda(Told(panda_logits()), picture) == pytest.approx(0.8910737)
    assert known.check_panda(Told(panda_logits(k169=0.88493)), picture) == pytest.approx(0.88493)
    for changed in ({"k7": 0.008}, {"k169": 0.8}, {"k12": 0.01}):
        with pytest.raises(ValueError, match="not the published"):
            known.check_panda(Told(panda_logits(**changed)), picture)


def test_known_activations_are_compared(tmp_path):
    """Equal passes with error 0; beyond 1e-4, or of other shapes, it is refused."""
    one = Told(RNG.standard_normal((1, 1008)), RNG.standard_normal((1, 2048)))
    arrays = {key: np.repeat(value, 3, axis=0) for key, value in one.outputs.items()}
    np.savez(tmp_path / "same.npz", **arrays)
    np.savez(tmp_path / "other.npz", **(arrays | {"logits": arrays["logits"] * 1.001}))
    np.savez(tmp_path / "less.npz", features=arrays["features"])
    assert known.check_known(one, tmp_path / "same.npz") == 0
    for file, text in (("other.npz", "to 0.0001"), ("less.npz", "Expected `logits`")):
        with pytest.raises(ValueError, match=text):
            known.check_known(one, tmp_path / file)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    """Exit with the message of the error."""
    (tmp_path / "x.pth").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match="Expected a file of tensors by name"):
        known.main([str(tmp_path / "x.pth")])


# Images, batches, configuration.


def tiny_model():
    layers = [keras.Input((6, 6, 3)), keras.layers.Conv2D(4, 3, name="maps"), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(5, name="scores")])


PICTURES = RNG.integers(0, 256, (7, 6, 6, 3)).astype("uint8")

BAD_IMAGES = {
    "rank": (PICTURES[0], "channels last.*Received shape .6, 6, 3."),
    "channels first": (np.moveaxis(PICTURES, -1, 1), "channels last"),
    "grey": (PICTURES[..., :1], "channels last"),
    "none": (PICTURES[:0], "n at least 1"),
    "bool": (PICTURES > 0, "dtype bool"),
    "0..1": (PICTURES / 255, "seem to lie in 0..1"),
    "binary": (PICTURES % 2, "seem to lie in 0..1"),
    "negative": (PICTURES - 1.0, "from 0 to 255. Received -1 to"),
    "beyond": (PICTURES * 2.0, "from 0 to 255"),
    "NaN": (np.where(PICTURES > 9, PICTURES, np.nan), "Received nan"),
    "infinite": (np.where(PICTURES > 9, PICTURES, np.inf), "to inf"),
}


@pytest.mark.parametrize("what", BAD_IMAGES)
def test_images_that_do_not_fit_are_refused(what):
    """Shape, channels, number, dtype and range; the error says what was expected and received."""
    images, text = BAD_IMAGES[what]
    with pytest.raises(ValueError, match=text):
        KerasExtractor(tiny_model())(images)


def test_grey_images_are_an_option(random_inception):
    """Three equal channels and one channel that is repeated give the same; without the option, a hint."""
    grey = known.images()[0][..., :1]
    with pytest.raises(ValueError, match="repeat_grey=True"):
        random_inception(grey)
    x = ops.cast(grey, "float32")
    prepared = [random_inception.prepare(v) for v in (x, ops.concatenate([x, x, x], axis=-1))]
    np.testing.assert_array_equal(*(ops.convert_to_numpy(v) for v in prepared))


def test_ranges_are_mapped():
    """Images of 0..255, 0..1 and -1..1 that show the same give the same."""
    model = tiny_model()
    ranges = {(0, 255): PICTURES, (0, 1): PICTURES / 255, (-1, 1): PICTURES / 127.5 - 1}
    found = [KerasExtractor(model, data_range=r)(x)["features"] for r, x in ranges.items()]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-3)


def test_batches_do_not_show():
    """Features are those of the model on all images at once, whatever the batch size; the last is filled up."""
    model = tiny_model()
    wanted = model.predict(PICTURES.astype("float32"), verbose=0)
    for size in (1, 3, 7, 64):
        found = KerasExtractor(model, batch_size=size)(PICTURES)["features"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(BACKEND == "torch", reason="torch does not trace")
def test_the_last_batch_is_not_traced_anew():
    """One trace, however many images."""
    traces = []
    extractor = KerasExtractor(tiny_model(), preprocess=lambda x: (traces.append(1), x)[1], batch_size=4)
    extractor(PICTURES[:4])
    once = len(traces)
    for n in (1, 4, 7):
        extractor(PICTURES[:n])
    assert len(traces) == once


def test_arguments_that_make_no_sense_are_refused():
    """Batch size and range."""
    for options in ({"batch_size": 0}, {"batch_size": 2.5}, {"data_range": (1, 1)}):
        with pytest.raises(ValueError, match=next(iter(options))):
            KerasExtractor(tiny_model(), **options)


def test_configuration_makes_the_same_extractor():
    """Through Keras's serialisation: the same features; the path of weights, not the weights."""
    extractor, x = SmallClassifier("digits", batch_size=5), datasets.digits.load_data()[1][0][:6]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(extractor))
    np.testing.assert_array_equal(again(x)["features"], extractor(x)["features"])
    assert again.get_config() == extractor.get_config()


def test_configuration_of_the_inception_has_all_arguments(random_inception):
    """What the constructor takes is what the configuration holds."""
    wanted = {"weights": None, "data_range": [0, 255], "repeat_grey": False, "batch_size": 1, "seed": 0}
    assert random_inception.get_config() == wanted


# Keras models.


def test_a_layer_of_a_keras_model_gives_features_and_logits():
    """Maps are averaged over space; logits are those of the layer named."""
    model, x = tiny_model(), PICTURES.astype("float32")
    found = KerasExtractor(model, "maps", logits="scores")(PICTURES)
    maps = ops.convert_to_numpy(model.get_layer("maps")(x))
    np.testing.assert_allclose(found["features"], maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found["logits"], model.predict(x, verbose=0), rtol=1e-4, atol=1e-3)


def test_images_are_resized_and_preprocessed():
    """In that order, from values 0..255."""
    extractor = KerasExtractor(tiny_model(), size=(6, 6), preprocess=lambda x: x / 255, data_range=(0, 1))
    found = ops.convert_to_numpy(extractor._prepare(ops.ones((1, 12, 12, 3))))
    np.testing.assert_allclose(found, np.ones((1, 6, 6, 3)), atol=1e-6)


class Subclass(keras.Model):
    def call(self, x):
        return x


def test_models_that_cannot_be_taken_apart_are_refused():
    """Not built, subclassed, or giving sequences; an unknown layer is Keras's own error."""
    built = Subclass()
    built(np.zeros((1, 6, 6, 3), "float32"))
    sequences = keras.Sequential([keras.Input((6, 3)), keras.layers.Dense(2)])
    for model, text in ((keras.Sequential(), "built"), (built, "subclass"), (sequences, "rank 2"), (3, "Keras model")):
        with pytest.raises(ValueError, match=text):
            KerasExtractor(model)
    with pytest.raises(ValueError, match="No such layer: nothing"):
        KerasExtractor(tiny_model(), "nothing")


def test_a_model_without_a_recipe_has_no_configuration():
    """Its weights would be lost; the error says what to do."""
    with pytest.raises(NotImplementedError, match="Write a subclass"):
        KerasExtractor(tiny_model()).get_config()


def keras_inception_in_small(weights, classifier_activation):
    """In the place of Keras's network, whose initialisation alone takes JAX 20 seconds: the names that are used."""
    pool = keras.layers.GlobalAveragePooling2D(name="avg_pool")
    layers = [keras.Input((299, 299, 3)), keras.layers.Conv2D(2048, 1), pool]
    return keras.Sequential([*layers, keras.layers.Dense(1000, classifier_activation, name="predictions")])


def test_keras_inception_is_a_named_extractor(monkeypatch):
    """2048 features, 1000 logits, no reference; the name says which weights."""
    if BACKEND == "jax":
        monkeypatch.setattr(keras.applications, "InceptionV3", keras_inception_in_small)
    extractor = KerasInceptionV3(weights=None)
    shapes = {key: tuple(value.shape) for key, value in extractor.network.output.items()}
    assert shapes == {"features": (None, 2048), "logits": (None, 1000)}
    assert extractor.name == "keras_inception_v3_other_weights" and not extractor.is_reference
    assert extractor.get_config() == {"weights": None, "data_range": [0, 255], "batch_size": 32}
    prepared = ops.convert_to_numpy(extractor.prepare(ops.full((1, 20, 30, 3), 255.0)))
    assert prepared.shape == (1, 299, 299, 3)
    np.testing.assert_allclose(prepared, 1.0, atol=1e-5)


# The small classifier.


def waves(side):
    i, j, n = np.meshgrid(np.arange(side), np.arange(side), np.arange(4), indexing="ij")
    return np.moveaxis((37 * i * (n + 1) + 11 * j * j + 90 * (i > j)) % 256, -1, 0).astype("uint8")[..., None]


def computed_by_classifiers():
    """Features and logits of the shipped weights on images by a formula."""
    found = {}
    for data, side in (("digits", 8), ("mnist", 28), ("fashion_mnist", 28)):
        outputs = SmallClassifier(data, data_range=(0, 255), batch_size=4)(waves(side))
        found.update({f"{data}/{key}": value for key, value in outputs.items()})
    return found


def test_the_small_classifier_gives_the_same_on_all_backends():
    """The shipped weights, on images by a formula: 1e-5 of the greatest value, golden by TensorFlow."""
    with np.load(GOLDEN / "small_classifier.npz") as wanted:
        for key, value in computed_by_classifiers().items():
            np.testing.assert_allclose(value, wanted[key], rtol=0, atol=1e-5 * np.abs(wanted[key]).max())


LEAST = {"digits": 0.97, "mnist": 0.99, "fashion_mnist": 0.91}


@pytest.mark.parametrize("data", ["digits", *(pytest.param(d, marks=pytest.mark.real_data) for d in list(LEAST)[1:])])
def test_the_small_classifier_knows_its_data(data):
    """Accuracy on the test set (its first 2,000 images), given as `load_data` gives it."""
    (_, _), (x, y) = getattr(datasets, data).load_data()
    logits = SmallClassifier(data)(x[:2000])["logits"]
    assert (logits.argmax(axis=1) == y[:2000]).mean() >= LEAST[data] - 0.01 * (data != "digits")


def test_the_small_classifier_refuses_what_it_was_not_trained_on(tmp_path):
    """Other data, sizes, channels and weights."""
    with pytest.raises(ValueError, match="one of .*digits.*Received 'cifar10'"):
        SmallClassifier("cifar10")
    extractor = SmallClassifier("digits")
    for shape, text in (((2, 28, 28, 1), "8 x 8 pixels"), ((2, 8, 8, 3), "channels last")):
        with pytest.raises(ValueError, match=text):
            extractor(np.full(shape, 16, "uint8"))
    np.savez(tmp_path / "w.npz", **{"conv_0/kernel": np.zeros((3, 3, 1, 16), "float32")})
    with pytest.raises(ValueError, match="Expected arrays"):
        SmallClassifier("digits", weights=tmp_path / "w.npz")


def test_shipped_weights_are_small():
    """At most 200 kB each, float32."""
    for data in LEAST:
        file = Path(extractors.__file__).parent / "weights" / f"{data}.npz"
        assert file.stat().st_size <= 200_000
        with np.load(io.BytesIO(file.read_bytes())) as arrays:
            assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}


def write_torch_files():
    """The small files of torch, in both formats."""
    import torch

    state = OrderedDict((name, torch.from_numpy(array)) for name, array in ARRAYS.items())
    state["b"] = state["a"].T[1:3]  # a view of the same storage
    torch.save(state, GOLDEN / "tensors_zip.pth")
    torch.save(state, GOLDEN / "tensors_legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    np.savez(GOLDEN / "small_classifier.npz", **computed_by_classifiers())
    write_torch_files()
