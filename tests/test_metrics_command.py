"""`python -m keras_gen.metrics`: figures of folders and files are those of the functions, bad input is named."""

import json
import re
import runpy
import sys

import keras
import numpy as np
import pytest

from keras_gen import metrics
from keras_gen.metrics import extractors
from keras_gen.metrics.__main__ import main
from keras_gen.metrics.array_files import ArrayFile
from tests.cases import images

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
pytestmark = pytest.mark.filterwarnings("ignore::keras_gen.metrics.NotComparableWarning")


@pytest.fixture(scope="module")
def sets():
    """Digits as grey pictures of 8 bits: 70 real ones, 50 others."""
    x = np.round(255 * images(120)[0]).astype("uint8")
    return x[:70], x[70:]


def write(folder, x):
    """PNG files, half of them in a subfolder."""
    (folder / "more").mkdir(parents=True)
    for i, picture in enumerate(x):
        Image.fromarray(picture[:, :, 0]).save(folder / ("more" if i % 2 else ".") / f"{i:03d}.png")
    return folder


def run(capsys, *arguments):
    """The report, written and read again, and what was printed."""
    main([*map(str, arguments), "--output", "figures.json", "--quiet"])
    with open("figures.json") as file:
        return json.load(file), capsys.readouterr().out


@pytest.mark.parametrize("kind", ["folder", "npy", "npz"])
def test_figures_are_those_of_the_functions(sets, run_folder, capsys, kind):
    """Of folders with subfolders, `.npy` and compressed `.npz`, in batches that do not divide them; read as grey."""
    paths = [run_folder / (name if kind == "folder" else f"{name}.{kind}") for name in ("real", "generated")]
    for path, x in zip(paths, sets, strict=True):
        {"folder": write, "npy": np.save, "npz": lambda p, x: np.savez_compressed(p, arr_0=x)}[kind](path, x)
    options = ["--extractor", "digits", "--metrics", "fid", "kid", "precision_recall", "--batch-size", "32"]
    options += [] if kind == "folder" else ["--data-range", "0", "255"]
    found, printed = run(capsys, *paths, *options)
    extract = extractors.SmallClassifier("digits", data_range=(0, 255))
    real, generated = (extract(x)["features"] for x in sets)
    kid, kid_std = metrics.kernel_inception_distance(real, generated, subset_size=50)
    precision, recall = metrics.precision_recall(real, generated)
    expected = {"kid": kid, "kid_std": kid_std} if kind != "folder" else {}  # subsets depend on the order of files
    assert {name: found["figures"][name] for name in expected} == pytest.approx(expected, rel=1e-5)
    fid = metrics.frechet_inception_distance(real, generated)
    assert found["figures"]["fid"] == pytest.approx(fid, rel=1e-5)
    assert (found["figures"]["precision"], found["figures"]["recall"]) == pytest.approx((precision, recall))
    assert found["real"]["count"] == 70 and found["generated"]["count"] == 50
    assert found["protocol"]["extractor"] == "small_classifier_digits" and found["protocol"]["resize"] == "none"
    assert found["protocol"]["kid"].startswith("100 subsets of 50 (") and len(found["notes"]) == 2
    assert re.search(rf"^fid +{fid:.3f}", printed, re.MULTILINE) and "not comparable: sets of 50 examples" in printed


def test_features_and_logits(run_folder, capsys):
    """Stored arrays need no extractor; the inception score takes the logits."""
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(40, 6)), rng.normal(size=(60, 6)).astype("float32")
    logits = 3 * rng.normal(size=(60, 4))
    np.save("real.npy", real)
    np.savez("generated.npz", features=generated, logits=logits)
    names = ["fid", "inception_score", "energy_distance"]
    found = run(capsys, "real.npy", "generated.npz", "--features", "--metrics", *names)[0]["figures"]
    score = metrics.InceptionScore()
    score.update_state(generated=logits)
    assert found == pytest.approx(
        {
            "fid": metrics.frechet_inception_distance(real, generated),
            "energy_distance": metrics.energy_distance(real, generated),
            **score.result(),
        }
    )


def test_a_keras_model_as_extractor(sets, run_folder, capsys):
    """Loaded from its file; pictures are read as RGB and brought to one size where that is asked for."""
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(5, 3), keras.layers.Flatten()])
    model.save("model.keras")
    folders = [write(run_folder / name, x[:10]) for name, x in zip("ab", sets, strict=True)]
    Image.new("RGB", (20, 10)).save(folders[0] / "wide.png")
    found, _ = run(capsys, *folders, "--extractor", "model.keras", "--size", "9", "--metrics", "energy_distance")
    assert found["protocol"]["extractor"] == "model.keras" and "9 x 9, Lanczos" in found["protocol"]["resize"]
    assert found["real"]["count"] == 11 and found["figures"]["energy_distance"] > 0


def test_arrays_of_digits_are_of_their_dataset(run_folder, capsys):
    """0..16 unless a range is given: not taken for nearly black pictures of 8 bits."""
    x = np.round(16 * images(40)[0])
    np.save("x.npy", x[:20]), np.save("y.npy", x[20:])
    found, _ = run(capsys, "x.npy", "y.npy", "--extractor", "digits", "--metrics", "fid")
    real, generated = (extractors.SmallClassifier("digits")(part)["features"] for part in (x[:20], x[20:]))
    assert found["protocol"]["data_range"] == [0, 16]
    assert found["figures"]["fid"] == pytest.approx(metrics.frechet_inception_distance(real, generated), rel=1e-5)


def test_files_are_read_batch_by_batch(run_folder):
    """Never more than a batch; grey is repeated where three channels are wanted."""
    x = np.arange(10 * 4, dtype="int16").reshape(10, 2, 2)
    np.savez("x.npz", x)
    file = ArrayFile(run_folder / "x.npz", repeat_grey=True)
    parts = [part for part, _ in file.batches(4)]
    assert [part.shape for part in parts] == [(4, 2, 2, 3), (4, 2, 2, 3), (2, 2, 2, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), np.repeat(x[..., None], 3, axis=-1))


def damaged(folder):
    """Files that cannot be used, by name, and what is said of them."""
    write(folder / "good", np.zeros((3, 8, 8, 1), "uint8"))
    (folder / "empty").mkdir()
    write(folder / "mixed", np.zeros((3, 8, 8, 1), "uint8"))
    Image.new("L", (9, 8)).save(folder / "mixed" / "zz.png")
    write(folder / "torn", np.zeros((3, 8, 8, 1), "uint8"))
    (folder / "torn" / "zz.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write(folder / "one", np.zeros((1, 8, 8, 1), "uint8"))
    np.save(folder / "vectors.npy", np.zeros((5, 3)))
    np.save(folder / "floats.npy", np.full((5, 8, 8, 1), 0.5))
    np.save(folder / "objects.npy", np.array([{}], dtype=object))
    np.save(folder / "turned.npy", np.asfortranarray(np.zeros((5, 8, 8, 1))))
    np.save(folder / "none.npy", np.zeros((0, 8, 8, 1)))
    np.savez(folder / "two.npz", a=np.zeros((5, 8, 8, 1)), b=np.zeros(3))
    content = (folder / "floats.npy").read_bytes()
    (folder / "short.npy").write_bytes(content[:-8])
    (folder / "text.npy").write_text("text")
    (folder / "text.npz").write_text("text")


@pytest.mark.parametrize(
    "path, message",
    [
        ("missing", "does not exist"),
        ("empty", "Expected pictures"),
        ("mixed", "one size.*8 x 8.*8 x 9 in .*zz.png"),
        ("torn", "readable picture.*zz.png"),
        ("one", "two examples"),
        ("vectors.npy", "vectors.npy.*`--features`"),
        ("floats.npy", "in 0..1|0 to 255"),
        ("objects.npy", "objects.npy.*dtype object"),
        ("turned.npy", "turned.npy.*Fortran"),
        ("none.npy", "none.npy.*at least one row"),
        ("two.npz", "two.npz.*not one"),
        ("short.npy", "short.npy.*ends too early"),
        ("text.npy", "text.npy"),
        ("text.npz", "text.npz"),
    ],
)
def test_what_is_refused_is_named(run_folder, path, message):
    """The process ends with a message that names the file, and status 1."""
    damaged(run_folder)
    with pytest.raises(SystemExit, match=f"(?s)error: .*({message})"):
        main(["good", path, "--extractor", "digits", "--quiet"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "Expected `--extractor`"),
        (["--extractor", "inception"], "Expected `--extractor`"),
        (["--extractor", "fid_inception"], "fid_inception:PATH"),
        (["--extractor", "fid_inception:none.pth"], "none.pth"),
        (["--extractor", "mnist"], "28 x 28"),
        (["--features"], "features"),
    ],
)
def test_extractors_that_do_not_fit(run_folder, arguments, message):
    """Said before anything is read, where it can be known."""
    write(run_folder / "good", np.zeros((3, 8, 8, 1), "uint8"))
    with pytest.raises(SystemExit, match=message):
        main(["good", "good", "--quiet", *arguments])


def test_options_that_could_not_be_followed(run_folder, capsys):
    """Arrays are not resized; a report that cannot be written is known before anything is computed."""
    np.save("x.npy", np.zeros((3, 8, 8, 1)))
    for arguments, message in ((["--size", "9"], "a folder of pictures for `--size`"),
                               (["--output", "none/figures.json"], "a folder that exists")):  # fmt: skip
        with pytest.raises(SystemExit, match=message):
            main(["x.npy", "x.npy", "--extractor", "digits", *arguments])
    assert "examples" not in capsys.readouterr().err


def test_the_inception_score_needs_logits(run_folder):
    """Features are not taken for logits."""
    np.save("x.npy", np.zeros((20, 3)))
    with pytest.raises(SystemExit, match="`logits`"):
        main(["x.npy", "x.npy", "--features", "--metrics", "inception_score"])


def test_runs_as_a_module(run_folder, monkeypatch, capsys):
    """`python -m keras_gen.metrics` prints the table."""
    np.save("x.npy", np.random.default_rng(0).normal(size=(20, 3)))
    monkeypatch.delitem(sys.modules, "keras_gen.metrics.__main__")
    monkeypatch.setattr(sys, "argv", ["", "x.npy", "x.npy", "--features", "--metrics", "fid"])
    runpy.run_module("keras_gen.metrics", run_name="__main__")
    printed = capsys.readouterr()
    assert "x.npy, 20" in printed.out and re.search("^fid +", printed.out, re.MULTILINE)
    assert "real: 20 examples" in printed.err
