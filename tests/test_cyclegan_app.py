"""The program `applications.cyclegan` keeps its word on good and on bad folders; USPS is read as it says."""

import gzip
import json
import signal
import zlib

import keras
import numpy as np
import pytest
from PIL import Image

from applications.cyclegan.__main__ import main, parse
from applications.cyclegan.domains import area, load_domain
from applications.cyclegan.translate import targets_of
from keras_gen.datasets import usps
from keras_gen.models import VAE, CycleGAN

SMALL = ["--size", "16", "16", "--epochs", "2", "--batch-size", "2", "--blocks", "1", "--filters", "4", "--pool", "2"]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(256, size=shape).astype("uint8")


def pixels(file):
    with Image.open(file) as picture:
        return np.asarray(picture)


def fill(folder, sizes, seed=0):
    """A folder of RGB pictures of these sizes, `(height, width)`."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, size in enumerate(sizes):
        Image.fromarray(numbers(*size, 3, seed=seed + k)).save(folder / f"{k}.png")
    return folder


def refusal(capsys, arguments, code=1):
    """What the program says when it ends with `code`."""
    try:
        ended = main([str(a) for a in arguments])
    except SystemExit as error:
        ended = error.code
    said = capsys.readouterr().err
    assert ended == code, said
    assert "Traceback" not in said
    return said


# ------------------------------------------------------------------------------------------------------- USPS


def thousandths(n, seed=0):
    return np.random.default_rng(seed).integers(-1000, 1001, size=(n, 16, 16)).astype("int16")


def write_npz(folder, **changes):
    parts = {"x_train": thousandths(3), "y_train": np.arange(3, dtype="uint8")}
    parts |= {"x_test": thousandths(2, 1), "y_test": np.arange(2, dtype="uint8"), **changes}
    np.savez(folder / "usps.npz", **{k: v for k, v in parts.items() if v is not None})
    return parts


def write_text(folder, parts):
    """The two files as their authors write them: the label as a number with decimals, a blank at the end."""
    for name, part in zip(usps.TEXT_FILES, ("train", "test"), strict=True):
        lines = [
            f"{y:.4f} " + " ".join(f"{v / 1000:.3f}" for v in x.ravel()) + " \n"
            for x, y in zip(parts[f"x_{part}"], parts[f"y_{part}"], strict=True)
        ]
        (folder / name).write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def test_usps_is_the_same_from_both_forms(tmp_path, monkeypatch):
    """`usps.npz`, the text files and KERAS_GEN_DATA give the pixels round(255 (v + 1) / 2)."""
    parts = write_npz(tmp_path)
    (tmp_path / "text").mkdir()
    write_text(tmp_path / "text", parts)
    read = [usps.load_data(path) for path in (tmp_path, str(tmp_path / "usps.npz"), tmp_path / "text")]
    monkeypatch.setenv("KERAS_GEN_DATA", str(tmp_path))
    for found in [*read, usps.load_data()]:
        for (x, y), part in zip(found, ("train", "test"), strict=True):
            expected = np.round(255 * (parts[f"x_{part}"].astype("float64") + 1000) / 2000)
            assert x.dtype == y.dtype == np.uint8
            np.testing.assert_array_equal(x, expected)
            np.testing.assert_array_equal(y, parts[f"y_{part}"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"y_test": None}, r"Missing: \['y_test'\]"),
        ({"x_train": np.zeros((3, 16, 16), "float32")}, "whole numbers"),
        ({"x_train": np.full((3, 16, 16), 1001)}, "whole numbers"),
        ({"x_test": np.zeros((3, 256), "int16")}, r"\(n, 16, 16\)"),
    ],
)
def test_another_usps_npz_is_refused(tmp_path, changes, message):
    """A file of another making is refused by what is wrong in it."""
    write_npz(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        usps.load_data(tmp_path)


LINE = b"1 " + b"0.5 " * 256 + b"\n"
TEXTS = [b"words\n", b"1 0.5\n", LINE.replace(b"0.5", b"1.5", 1), b"10" + LINE[1:], LINE + b"1 2\n", b"\xff\xfe"]


@pytest.mark.filterwarnings("ignore:loadtxt:UserWarning")
@pytest.mark.parametrize(  # gzip writes the time: the default names would differ between processes
    "content", [b"no gzip", gzip.compress(LINE * 9)[:-9], *map(gzip.compress, TEXTS)], ids=map(str, range(8))
)
def test_damaged_usps_is_named(tmp_path, content):
    """A text file that is no gzip, cut short, or has lines of another kind is named."""
    for name in usps.TEXT_FILES:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="zip.train.gz"):
        usps.load_data(tmp_path)


def test_usps_is_fetched_from_its_authors(tmp_path, monkeypatch):
    """Without a local copy the two files are fetched; where that fails, the error says what else can be done."""
    monkeypatch.delenv("KERAS_GEN_DATA", raising=False)
    write_text(tmp_path, parts := write_npz(tmp_path))
    asked = []
    monkeypatch.setattr(keras.utils, "get_file", lambda name, url, **_: asked.append(url) or str(tmp_path / name))
    np.testing.assert_array_equal(usps.load_data()[1][1], parts["y_test"])
    assert [url.rpartition("/")[2] for url in asked] == list(usps.TEXT_FILES)
    monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: 1 / 0)
    with pytest.raises(FileNotFoundError, match="KERAS_GEN_DATA"):
        usps.load_data()


@pytest.mark.real_data
def test_real_usps():
    """The real file has the known class counts."""
    (x_train, y_train), (x_test, y_test) = usps.load_data()
    assert x_train.shape == (7291, 16, 16) and x_test.shape == (2007, 16, 16)
    assert np.bincount(y_train).tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    assert np.bincount(y_test).tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]


# ------------------------------------------------------------------------------------------------------- area


def test_area_keeps_the_mean():
    """Means over areas: exact by whole factors, repeated upwards, and the mean is that of the input."""
    x = np.random.default_rng(0).random((2, 28, 12)).astype("float32")
    np.testing.assert_allclose(area(x, (14, 4)), x.reshape(2, 14, 2, 4, 3).mean((2, 4)), rtol=1e-5)
    np.testing.assert_allclose(area(x, (56, 24)), x.repeat(2, 1).repeat(2, 2), rtol=1e-5)
    np.testing.assert_allclose(area(x, (16, 16)).mean((1, 2)), x.mean((1, 2)), rtol=1e-5)


# ------------------------------------------------------------------------------------------------ the program


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished training on two small folders, one longer than the other, with pictures that cannot be used."""
    folder = tmp_path_factory.mktemp("cyclegan")
    bad_pictures(folder / "a")
    fill(folder / "a", [(20, 24), (18, 18), (40, 20)])
    Image.new("RGB", (15, 40)).save(folder / "a" / "small.png")
    fill(folder / "b", [(30, 30)] * 2, seed=9)
    assert main(training(folder)) == 1
    return folder


def bad_pictures(folder):
    """Three that cannot be used, and one that can."""
    fill(folder, [(24, 24)])
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:60])
    (folder / "text.jpg").write_text("no picture")
    header = b"IHDR" + (9000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    start = b"\x89PNG\r\n\x1a\n\x00\x00\x00\r" + header + zlib.crc32(header).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(start + (folder / "0.png").read_bytes()[33:])
    return ("bomb.png", "cut.png", "text.jpg")


def training(folder, *more):
    return ["train", "--a", str(folder / "a"), "--b", str(folder / "b"), "-o", str(folder / "out"), *SMALL, *more]


def test_training_writes_all_that_it_says(trained):
    """Model, figures, curves, pictures of the way there and back, checkpoints."""
    names = {p.name for p in (trained / "out").iterdir()}
    assert names == {"model.keras", "metrics.json", "history.png", "translations.png", "progress", "checkpoints"}
    assert sorted(p.name for p in (trained / "out" / "progress").iterdir()) == ["epoch_0001.png", "epoch_0002.png"]
    figures = json.loads((trained / "out" / "metrics.json").read_text())
    assert 0 < figures["cycle_error_a"] < 1 and figures["size"] == [16, 16]


def test_training_leaves_out_what_cannot_be_used(trained):
    """Damaged, no picture, a bomb, smaller than the size: exit code 1, above, and each is named with its reason."""
    left_out = json.loads((trained / "out" / "metrics.json").read_text())["left_out"]
    for sentence, name in zip(left_out, ("bomb.png", "cut.png", "small.png", "text.jpg"), strict=True):
        assert name in sentence
    assert "9000 x 9000" in left_out[0] and "at least 16 x 16" in left_out[2] and "40 x 15" in left_out[2]


@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="two more graphs, half a minute; not to the bit")
def test_the_same_command_goes_on(trained, tmp_path, monkeypatch, capsys):
    """Ctrl-C when the first picture is drawn saves; the same command ends with the weights of the uninterrupted one."""
    command = training(trained, "-o", str(tmp_path / "out"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("applications.cyclegan.train.draw", lambda *_: signal.raise_signal(signal.SIGINT))
    assert main(command) == 130 and "saved; the same command goes on" in capsys.readouterr().err
    signal.signal(signal.SIGINT, before)
    for name in ("draw", "report"):
        monkeypatch.setattr(f"applications.cyclegan.train.{name}", lambda *_: None)
    assert main(command) == 1 and "goes on in epoch 2" in capsys.readouterr().out
    paths = trained / "out" / "model.keras", tmp_path / "out" / "model.keras"
    expected, found = (keras.saving.load_model(path, compile=False).get_weights() for path in paths)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_setting_is_refused(trained, tmp_path, capsys):
    """A changed command does not go on in silence with the old one's checkpoints: what changed, and what to do."""
    said = refusal(capsys, training(trained, "--identity", "0", "--no-jitter"))
    assert "--identity 0.0, before 0.5; --no-jitter, before without. " in said and "or another --output" in said
    fill(tmp_path / "b", [(30, 30)] * 2, seed=8)
    assert "other pictures than before" in refusal(capsys, training(trained, "--b", str(tmp_path / "b")))


def test_every_picture_is_translated_at_its_size(trained, tmp_path):
    """Colours of all kinds, odd sizes, two files of one stem: each has its translation."""
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    rgb = Image.fromarray(numbers(21, 17, 3))
    kinds = {"grey.png": "L", "palette.gif": "P", "cmyk.jpg": "CMYK", "alpha.png": "RGBA", "twice.png": "RGB"}
    for name, mode in {**kinds, "twice.bmp": "RGB"}.items():
        rgb.convert(mode).save(source / name)
    Image.fromarray(numbers(21, 17).astype("uint16") * 257).save(source / "deep.png")
    (source / "notes.txt").write_text("passed over")
    (source / "folder.png").mkdir()
    command = ["translate", source, "--model", trained / "out" / "model.keras", "--direction", "a2b", "-o", out]
    assert main([str(part) for part in command]) == 0
    expected = {"grey.png", "palette.png", "cmyk.png", "alpha.png", "deep.png", "twice.png.png", "twice.bmp.png"}
    assert {p.name for p in out.iterdir()} == expected
    assert all(pixels(p).shape == (21, 17, 3) for p in out.iterdir())


def test_translation_is_that_of_the_model(trained, tmp_path):
    """The file holds the model's own translation, rounded to 8 bits."""
    fill(tmp_path / "in", [(19, 23)])
    model = keras.saving.load_model(trained / "out" / "model.keras")
    assert isinstance(model, CycleGAN)
    x = pixels(tmp_path / "in" / "0.png")[None] / np.float32(255)
    for way in ("a2b", "b2a"):
        command = ["translate", tmp_path / "in", "--model", trained / "out" / "model.keras", "--direction", way]
        assert main([str(part) for part in (*command, "-o", tmp_path / way)]) == 0
        found = pixels(tmp_path / way / "0.png").astype("float32")
        np.testing.assert_allclose(found, 255 * model.translate(x, way, verbose=0)[0], atol=0.51)


def test_a_single_picture_is_translated(trained, tmp_path, capsys):
    """To a PNG or into a folder; another format, the picture itself, and what is not there are refused in a line."""
    (file,) = fill(tmp_path / "in", [(16, 18)]).iterdir()
    command = ["translate", file, "--model", trained / "out" / "model.keras", "--direction", "a2b", "-o"]
    assert main([str(part) for part in (*command, tmp_path / "one.png")]) == 0
    assert "1 of 1 picture translated" in capsys.readouterr().out and pixels(tmp_path / "one.png").shape == (16, 18, 3)
    assert targets_of([file], tmp_path / "out", False) == [tmp_path / "out" / "0.png"]
    assert "translations are PNG" in refusal(capsys, [*command, tmp_path / "one.jpg"])
    for name in (file, file.parent):
        assert "overwritten" in refusal(capsys, [*command, name])
    command[1] = "usps"
    assert "a data set is translated in Python" in refusal(capsys, [*command, tmp_path / "out"])


def test_data_sets_are_domains():
    """`--a digits` needs no folder: by default grey, 16 x 16; with a folder beside it, colours."""
    options = parse(["train", "--a", "digits", "--b", "usps", "-o", "out"])
    assert (options.size, options.channels) == ((16, 16), 1)
    assert parse(["train", "--a", "digits", "--b", "folder", "-o", "out"]).channels == 3
    images, problems = load_domain("digits", options.size, options.channels)
    assert (images.shape, images.dtype, images.max(), problems) == ((1438, 16, 16, 1), np.uint8, 255, [])


# -------------------------------------------------------------------------------------------------- bad input


def test_bad_pictures_are_named_and_the_rest_is_translated(trained, tmp_path, capsys):
    """Damaged, no picture, a bomb, too small: a line each, exit code 1, and the good one is there."""
    bad = bad_pictures(tmp_path / "in")
    Image.new("RGB", (1, 1)).save(tmp_path / "in" / "dot.png")
    command = ["translate", tmp_path / "in", "--model", trained / "out" / "model.keras", "--direction", "b2a"]
    said = refusal(capsys, [*command, "-o", tmp_path / "out"]).splitlines()
    for name in (*bad, "dot.png"):
        assert sum(name in line for line in said) == 1
    assert any("9000 x 9000" in line for line in said)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["0.png"]


def test_a_failed_write_leaves_nothing(trained, tmp_path, capsys, monkeypatch):
    """A full disk: no half of a picture, no temporary file, a line that says so."""
    fill(tmp_path / "in", [(16, 16)] * 2)

    def save(self, file, **_):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    command = ["translate", tmp_path / "in", "--model", trained / "out" / "model.keras", "--direction", "b2a"]
    assert "No space left" in refusal(capsys, [*command, "-o", tmp_path / "out"])
    assert list((tmp_path / "out").iterdir()) == []


WRONG_USAGE = [
    ["train", "--a", "x", "-o", "out"],
    ["train", "--b", "x", "-o", "out"],
    ["train", "--a", "x", "--b", "y"],
    ["train", "--a", "x", "--b", "y", "-o", "out", "--epochs", "0"],
    ["train", "--a", "x", "--b", "y", "-o", "out", "--size", "16"],
    ["train", "--a", "x", "--b", "y", "-o", "out", "--size", "4", "4"],
    ["train", "--a", "x", "--b", "y", "-o", "out", "--identity", "-1"],
    ["train", "--a", "x", "--b", "y", "-o", "out", "--rate", "nan"],
    ["translate", "x", "--model", "m.keras", "--direction", "a2c", "-o", "out"],
    ["translate", "x", "--model", "m.keras", "-o", "out"],
    ["transform", "x"],
    [],
]


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_ends_with_2(arguments, capsys, run_folder):
    """One domain only, a wrong direction, numbers out of their range: usage, and nothing is written."""
    assert "usage:" in refusal(capsys, arguments, 2)
    assert not list(run_folder.iterdir())


@pytest.mark.parametrize("what", ["missing", "empty", "without pictures", "only bad ones", "a file"])
@pytest.mark.parametrize("command", ["train", "translate"])
def test_folders_without_pictures_are_named(what, command, tmp_path, capsys, trained):
    """Nothing to do is exit code 1 and a line with the folder's name."""
    folder = tmp_path / "strange"
    if what == "a file":
        folder.write_text("no folder")
    elif what != "missing":
        folder.mkdir()
        names = {"without pictures": "notes.txt", "only bad ones": "1.png"}
        if what in names:
            (folder / names[what]).write_text("no picture")
    if command == "train":
        arguments = ["train", "--a", folder, "--b", trained / "b", "-o", tmp_path / "out", *SMALL]
    else:
        model = trained / "out" / "model.keras"
        arguments = ["translate", folder, "--model", model, "--direction", "a2b", "-o", tmp_path / "out"]
    assert "strange" in refusal(capsys, arguments)


def test_an_output_that_cannot_be_written_is_named(trained, tmp_path, capsys):
    """A file stands where the folder should be; the pictures themselves are never overwritten."""
    (tmp_path / "file").write_text("")
    assert "file: cannot be written to" in refusal(capsys, [*training(trained), "-o", tmp_path / "file"])
    command = ["translate", trained / "a", "--model", trained / "out" / "model.keras", "--direction", "a2b", "-o"]
    assert "file: cannot be written to" in refusal(capsys, [*command, tmp_path / "file"])
    assert "overwritten" in refusal(capsys, [*command, trained / "a"])


def test_another_model_is_refused(trained, tmp_path, capsys):
    """No file, no model, a model of another kind."""
    VAE((4,), 2, seed=0).save(tmp_path / "vae.keras")
    (tmp_path / "text.keras").write_text("no model")
    for name, message in (("none.keras", "no such file"), ("text.keras", "cannot be read"), ("vae.keras", "a VAE")):
        command = ["translate", trained / "a", "--model", tmp_path / name, "--direction", "a2b", "-o", tmp_path / "out"]
        said = refusal(capsys, command)
        assert message in said and name in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()
