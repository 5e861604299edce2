"""Data sets: shapes, ranges, fixed splits, densities of the toys, errors for damaged and missing files."""

import gzip
import hashlib

import numpy as np
import pytest
import toy_densities
from PIL import Image
from sklearn.datasets import load_digits

from keras_gen.datasets import binarized_mnist, digits, fashion_mnist, image_folder, mnist, toys


@pytest.fixture(autouse=True)
def no_folder_in_environment(request, monkeypatch):
    """Only tests of real data see KERAS_GEN_DATA."""
    if "real_data" not in request.keywords:
        monkeypatch.delenv("KERAS_GEN_DATA", raising=False)


# ---------------------------------------------------------------------------------------------------- digits


def test_digits_are_those_of_the_source():
    """Train and test together are the 1,797 images of the source, each once, with its label."""
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    source = load_digits()
    ours = {(x.tobytes(), int(y)) for x, y in zip([*x_train, *x_test], [*y_train, *y_test], strict=True)}
    images = source.images.astype("uint8")
    theirs = {(x.tobytes(), int(y)) for x, y in zip(images, source.target, strict=True)}
    assert ours == theirs
    assert len(x_train) + len(x_test) == len(source.images)


def test_digits_split_is_fixed_and_stratified():
    """The split never changes, and a class gives one fifth of its images to the test set."""
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert (x_train.shape, y_train.shape) == ((1438, 8, 8), (1438,))
    assert (x_test.shape, y_test.shape) == ((359, 8, 8), (359,))
    assert x_train.dtype == x_test.dtype == y_train.dtype == np.uint8
    assert (x_train.min(), x_train.max()) == (0, 16)
    share = np.bincount(y_test) / (np.bincount(y_test) + np.bincount(y_train))
    np.testing.assert_allclose(share, 0.2, atol=0.005)
    assert hashlib.sha256(x_test.tobytes() + y_test.tobytes()).hexdigest()[:16] == "a8dee80a4bf306c6"


# ------------------------------------------------------------------------------------ MNIST and its relatives


def test_mnist_is_read_from_a_folder_or_file(tmp_path, monkeypatch):
    """A folder, the file itself, and KERAS_GEN_DATA give the same arrays."""
    parts = {p: np.arange(3 * 784, dtype="uint8").reshape(3, 28, 28) for p in ("x_train", "x_test")}
    parts |= {p: np.arange(3, dtype="uint8") for p in ("y_train", "y_test")}
    np.savez(tmp_path / "mnist.npz", **parts)
    by_folder, by_file = mnist.load_data(tmp_path), mnist.load_data(str(tmp_path / "mnist.npz"))
    monkeypatch.setenv("KERAS_GEN_DATA", str(tmp_path))
    for (x_train, y_train), (x_test, y_test) in (by_folder, by_file, mnist.load_data()):
        np.testing.assert_array_equal(x_train, parts["x_train"])
        np.testing.assert_array_equal(y_train, parts["y_train"])
        np.testing.assert_array_equal(x_test, parts["x_test"])
        np.testing.assert_array_equal(y_test, parts["y_test"])


def test_mnist_lacking_an_array_is_named(tmp_path):
    """A file of another making is refused by what it lacks."""
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros(3))
    with pytest.raises(ValueError, match=r"Missing: \['x_test', 'y_test', 'y_train'\]"):
        mnist.load_data(tmp_path)


def write_idx(file, array):
    header = bytes([0, 0, 8, array.ndim]) + np.asarray(array.shape, ">u4").tobytes()
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))


@pytest.mark.parametrize("subfolder", ["", "fashion-mnist"])
def test_fashion_mnist_is_read_from_the_official_files(tmp_path, subfolder):
    """The four IDX files are found in the folder or in its subfolder, and read in the right order."""
    x = np.random.default_rng(0).integers(256, size=(5, 28, 28)).astype("uint8")
    for i, file in enumerate(fashion_mnist.FILES):
        write_idx(tmp_path / subfolder / file, x[i:] if "images" in file else np.arange(i, 5, dtype="uint8"))
    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data(tmp_path)
    np.testing.assert_array_equal(x_train, x)
    np.testing.assert_array_equal(y_train, np.arange(1, 5))
    np.testing.assert_array_equal(x_test, x[2:])
    np.testing.assert_array_equal(y_test, np.arange(3, 5))


DAMAGED = [b"no gzip", *(gzip.compress(content, mtime=0) for content in (b"abcd", bytes([0, 0, 8, 1, 0, 0, 0, 9, 1])))]


@pytest.mark.parametrize("content", [*DAMAGED, gzip.compress(bytes(16), mtime=0)[:-6]])
def test_damaged_fashion_mnist_is_named(tmp_path, content):
    """A file that is no gzip, no IDX, or cut short is named."""
    for file in fashion_mnist.FILES:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match="train-images-idx3-ubyte.gz"):
        fashion_mnist.load_data(tmp_path)


def test_binarized_mnist_is_read_from_text_and_npz(tmp_path):
    """Both layouts give the same three arrays of zeros and ones."""
    parts = [np.random.default_rng(i).integers(2, size=(i + 1, 28, 28)).astype("uint8") for i in range(3)]
    for file, x in zip(binarized_mnist.TEXT_FILES, parts, strict=True):
        np.savetxt(tmp_path / file, x.reshape(len(x), 784), fmt="%d")
    read = [binarized_mnist.load_data(tmp_path)]
    np.savez(tmp_path / "binarized_mnist.npz", **dict(zip(binarized_mnist.PARTS, parts, strict=True)))
    for arrays in [*read, binarized_mnist.load_data(tmp_path)]:
        for ours, x in zip(arrays, parts, strict=True):
            np.testing.assert_array_equal(ours, x)


def test_binarized_mnist_says_where_it_comes_from(tmp_path):
    """There is no download: the error names the source and what to do."""
    for path in (None, tmp_path):
        with pytest.raises(FileNotFoundError, match="larocheh"):
            binarized_mnist.load_data(path)
    for file in binarized_mnist.TEXT_FILES:
        (tmp_path / file).write_text("0 1 2")
    with pytest.raises(ValueError, match="784 values"):
        binarized_mnist.load_data(tmp_path)


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_a_folder_without_the_files_is_an_error(module, tmp_path):
    """A folder named by the caller is never replaced by a download in silence."""
    with pytest.raises(FileNotFoundError, match="Expected `path` to be a folder that holds"):
        module.load_data(tmp_path)


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_a_failed_download_says_what_else_can_be_done(module, monkeypatch):
    """Without a network the error names `path=` and KERAS_GEN_DATA."""
    def fail():
        raise Exception("URL fetch failure")

    monkeypatch.setattr(f"keras.datasets.{module.__name__.rpartition('.')[2]}.load_data", fail)
    with pytest.raises(FileNotFoundError, match="KERAS_GEN_DATA"):
        module.load_data()


@pytest.mark.real_data
def test_real_mnist():
    """The real files have the published class counts."""
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert np.bincount(y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.real_data
def test_real_fashion_mnist():
    """Each class has 6,000 training and 1,000 test images."""
    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
    assert x_train.shape == (60000, 28, 28) and x_test.shape == (10000, 28, 28)
    assert set(np.bincount(y_train)) == {6000} and set(np.bincount(y_test)) == {1000}


@pytest.mark.real_data
def test_real_binarized_mnist():
    """50,000, 10,000 and 10,000 images of zeros and ones."""
    parts = binarized_mnist.load_data()
    assert [len(x) for x in parts] == [50000, 10000, 10000]
    assert all(x.shape[1:] == (28, 28) and set(np.unique(x)) == {0, 1} for x in parts)


# ---------------------------------------------------------------------------------------------- image folders


@pytest.fixture
def pictures(tmp_path):
    """Two classes; class `a` has a 6 x 4 and an 8 x 8 picture, class `b` one of 8 x 8."""
    for name, size in (("a/1.png", (4, 6)), ("a/2.PNG", (8, 8)), ("b/1.jpg", (8, 8))):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", size, (255, 0, 0)).save(file)
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    (tmp_path / ".cache").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "size, channels, shape", [(8, 3, (3, 8, 8, 3)), ((5, 7), 1, (3, 5, 7, 1)), (4, 4, (3, 4, 4, 4))]
)
def test_image_folder_reads_sorted_classes(pictures, size, channels, shape):
    """Images, labels and class names in sorted order, at the asked size and channels."""
    x, y, class_names = image_folder(pictures, size=size, channels=channels)
    assert (x.shape, x.dtype) == (shape, np.uint8)
    assert (y.tolist(), class_names) == ([0, 0, 1], ["a", "b"])


def test_image_folder_keeps_pixels_of_one_size(tmp_path):
    """Without `size` no pixel is changed."""
    x = np.random.default_rng(0).integers(256, size=(2, 5, 7, 3)).astype("uint8")
    (tmp_path / "only").mkdir()
    for i in range(2):
        Image.fromarray(x[i]).save(tmp_path / "only" / f"{i}.png")
    np.testing.assert_array_equal(image_folder(tmp_path)[0], x)


def test_image_folder_cuts_in_the_middle(tmp_path):
    """A wide picture is cut to the ratio of `size`, not squeezed."""
    x = np.zeros((4, 12), "uint8")
    x[:, 4:8] = 255
    (tmp_path / "only").mkdir()
    Image.fromarray(x).save(tmp_path / "only" / "wide.png")
    assert image_folder(tmp_path, size=4, channels=1)[0].min() == 255


def spoil(pictures, how):
    if how == "damaged":
        (pictures / "a" / "1.png").write_bytes((pictures / "a" / "1.png").read_bytes()[:40])
    elif how == "empty class":
        (pictures / "c").mkdir()
    return {"no folder": pictures / "missing", "no subfolder": pictures / "b"}.get(how, pictures)


@pytest.mark.parametrize(
    "how, options, message",
    [
        ("damaged", {"size": 8}, "readable picture.*1.png"),
        ("empty class", {"size": 8}, "Received: none"),
        ("mixed sizes", {}, "2 sizes.*`size=`"),
        ("no folder", {}, "to be a folder"),
        ("no subfolder", {}, "one subfolder a class"),
        ("size", {"size": 0}, "int > 0"),
        ("size", {"size": (4, 4, 3)}, "int > 0"),
        ("channels", {"channels": 2}, "`channels` to be one of"),
    ],
)
def test_image_folder_errors(pictures, how, options, message):
    """Damaged, empty and mixed folders are refused by name."""
    with pytest.raises(ValueError, match=message):
        image_folder(spoil(pictures, how), **options)


# ------------------------------------------------------------------------------------------------------- toys


@pytest.mark.parametrize("name", toys.NAMES)
def test_toys_are_seeded(name):
    """The same seed gives the same points, another seed others; n may be odd."""
    a, b, c = toys.load(name, 501, seed=1), toys.load(name, 501, seed=1), toys.load(name, 501, seed=2)
    assert (a.shape, a.dtype) == ((501, 2), np.float32)
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.1 and np.abs(a).max() < 5


@pytest.mark.parametrize("name", toys.ENTROPIES)
def test_entropies_are_those_of_the_densities(name):
    """The density integrates to one, and -p log p to the entropy given, to half of its last figure."""
    found, mass = toy_densities.entropy(name)
    np.testing.assert_allclose(mass, 1, atol=1e-5)
    np.testing.assert_allclose(found, toys.ENTROPIES[name], atol=6e-5)


@pytest.mark.parametrize("name", toys.ENTROPIES)
def test_samples_have_the_density(name):
    """Cell by cell, counts agree with the density: chi-square below its 99.9 % point."""
    n, cells = 20000, 12
    edges = np.linspace(-4.8, 4.8, cells + 1)
    counts = np.histogram2d(*toys.load(name, n, seed=3).T.astype("float64"), bins=(edges, edges))[0].ravel()
    expected = n * cell_masses(name, edges)
    enough = expected > 5
    statistic = np.sum((counts - expected)[enough] ** 2 / expected[enough])
    degrees = enough.sum() - 1
    assert counts[~enough].sum() < 5 * max(1, (~enough).sum())
    assert statistic < degrees + 3.3 * np.sqrt(2 * degrees)


def cell_masses(name, edges, fine=12):
    """The integral of the density over each cell, by the midpoint rule on fine x fine points."""
    cells, step = len(edges) - 1, (edges[1] - edges[0]) / fine
    side = edges[0] + step * (np.arange(cells * fine) + 0.5)
    x = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    p = np.concatenate([toy_densities.DENSITIES[name](part) for part in np.array_split(x, 40)])
    return p.reshape(cells, fine, cells, fine).sum((1, 3)).ravel() * step**2


def test_pinwheel_has_five_bent_arms():
    """With z = x_1 + i x_2, w = z / |z|: E|z|^2 = 4 (1 + 0.09 + 0.01); E w^5 is one arm's; E w^m = 0, m < 5."""
    z = toys.load("pinwheel", 50000, seed=0).astype("float64") @ (1, 1j)
    np.testing.assert_allclose(np.mean(np.abs(z) ** 2), 4.4, rtol=0.01)
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    a, b = 1 + 0.3 * node[:, None], 0.1 * node
    arm = ((a + 1j * b) / np.abs(a + 1j * b) * np.exp(-0.25j * np.exp(a))) ** 5
    for m in range(1, 6):
        expected = weight @ arm @ weight if m == 5 else 0
        assert abs(np.mean((z / np.abs(z)) ** m) - expected) < 4 / np.sqrt(len(z))


@pytest.mark.parametrize("arguments", [("spiral", 10), ("moons", 0), ("moons", 2.5), ("moons", True)])
def test_toy_errors(arguments):
    """An unknown name lists the known ones; n must be a positive int."""
    with pytest.raises(ValueError, match="Expected `n(ame)?` to be"):
        toys.load(*arguments)
