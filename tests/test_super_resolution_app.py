"""The application of super-resolution: its photographs, its commands, and all that can be wrong with a file."""

import json
import os
import runpy
import signal
import sys
import types
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from applications import terminal
from applications.files import SUFFIXES, Failure, Usage, one_line
from applications.super_resolution import evaluate, pictures, shipped, train
from applications.super_resolution.__main__ import main
from applications.super_resolution.upscale import seen
from keras_gen import metrics
from keras_gen.datasets import PatchPairs, bicubic, photographs
from keras_gen.datasets.folder import SUFFIXES as OF_FOLDERS
from keras_gen.datasets.patches import degraded
from keras_gen.models import SuperResolution
from keras_gen.networks import EDSR, ESPCN
from tests.test_hostile_files import hostile_picture

Image = pytest.importorskip("PIL.Image", reason="needs Pillow")
TENSORFLOW = keras.config.backend() == "tensorflow"
EXIF_FOLDER = 0x8769


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A tiny x2 model whose last layer is not zero, saved."""
    model = SuperResolution((8, 8, 3), 2, ESPCN(2, filters=(3,)), average=None)
    model.build()
    generator = np.random.default_rng(0)
    model.network.set_weights([generator.normal(0, 0.1, w.shape) for w in model.network.get_weights()])
    file = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(file)
    return file


@pytest.fixture(scope="module")
def model(model_file):
    return shipped.load(model_file)


@pytest.fixture
def upscale(model_file, run_folder, capsys):
    """Runs the command: the exit code, and the lines on stderr."""
    def run(*arguments):
        code = main(["upscale", *map(str, arguments), "--model", str(model_file)])
        return code, capsys.readouterr().err

    return run


def noise(*shape, dtype="uint8", seed=0):
    return np.random.default_rng(seed).integers(np.iinfo(dtype).max + 1, size=shape, dtype=dtype)


def pixels(file):
    with Image.open(file) as picture:
        return np.asarray(picture)


def enlarged(model, x, **options):
    """What a file of 8 bits must hold."""
    return np.round(model.upscale(x.astype("float32") / np.float32(255), **options) * np.float32(255)).astype("uint8")


# ------------------------------------------------------------------------------------------------ photographs


def test_the_photographs_come_back_without_loss(tmp_path, monkeypatch):
    """Sums undo differences modulo 256, of noise in every range, in colour and grey."""
    generator = np.random.default_rng(0)
    colour = generator.integers(256, size=(9, 14, 3), dtype="uint8")
    pictures = {"colour": colour, "grey": np.repeat(colour[..., :1], 3, axis=-1), "chelsea": colour[:3]}
    photographs._save(pictures, tmp_path / "p.npz")
    monkeypatch.setattr(photographs, "FILE", tmp_path / "p.npz")
    train, test = photographs.load_data()
    assert list(train) == ["colour", "grey"] and list(test) == ["chelsea"]
    for name, picture in {**train, **test}.items():
        np.testing.assert_array_equal(picture, pictures[name])


def test_the_photographs_are_pictures_that_the_licence_names():
    """Eleven pictures, none with the blocks of JPEG (a step at every eighth column), each with a line of credit."""
    train, test = photographs.load_data()
    licence = photographs.FILE.with_name("LICENSE-photographs.txt").read_text(encoding="utf-8")
    assert len(train) == 9 and list(test) == ["chelsea", "coffee"] and photographs.FILE.stat().st_size < 2_000_000
    for name, picture in {**train, **test}.items():
        assert picture.dtype == np.uint8 and picture.shape[2] == 3 and min(picture.shape) == 3
        assert min(picture.shape[:2]) >= 213 and f"\n{name} " in licence
        steps = np.abs(np.diff(picture.astype(float), axis=1)).mean((0, 2))
        assert max(steps[k::8].mean() for k in range(8)) < 1.1 * steps.mean()


# --------------------------------------------------------------------------------------------------- upscale


def test_a_picture_becomes_twice_as_large(upscale, model):
    """A file to a file or a folder; with `--ensemble` the mean over eight; tiles change nothing."""
    x = noise(12, 20, 3)
    Image.fromarray(x).save("x.png")
    assert upscale("x.png", "-o", "y.png", "--quiet")[0] == upscale("x.png", "-o", "folder", "--tile", "5")[0] == 0
    np.testing.assert_array_equal(pixels("y.png"), enlarged(model, x))
    assert np.abs(pixels("folder/x.png").astype(int) - pixels("y.png")).max() <= 1
    assert upscale("x.png", "-o", "z.png", "--ensemble")[0] == 0
    np.testing.assert_array_equal(pixels("z.png"), enlarged(model, x, ensemble=True))
    assert (pixels("z.png") != pixels("y.png")).any() and sorted(os.listdir("folder")) == ["x.png"]


def write_kinds(folder):
    """One picture of each kind, 6 x 8 pixels."""
    folder.mkdir()
    rgb, grey = noise(6, 8, 3), noise(6, 8)
    for name, values in {"rgb": rgb, "grey": grey, "rgba": np.maximum(noise(6, 8, 4), 1), "la": noise(6, 8, 2)}.items():
        Image.fromarray(values).save(folder / f"{name}.png")
    Image.fromarray(noise(6, 8, dtype="uint16")).save(folder / "deep.png")
    Image.fromarray(noise(6, 8, dtype="uint16")).save(folder / "deep_tiff.tif")
    Image.fromarray(grey > 127).save(folder / "bit.png")
    Image.fromarray(rgb).quantize(8).save(folder / "palette.gif")
    Image.fromarray(rgb).quantize(8).save(folder / "clear.png", transparency=0)
    Image.fromarray(rgb).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(grey).save(folder / "many.gif", save_all=True, append_images=[Image.fromarray(255 - grey)])


KINDS = {
    "rgb": "RGB", "grey": "L", "rgba": "RGBA", "la": "LA", "deep": "I;16", "deep_tiff": "I;16", "bit": "L",
    "palette": "RGB", "clear": "RGBA", "cmyk": "RGB", "many": "RGB",
}  # fmt: skip
NOTES = ["cmyk.jpg: CMYK, converted to RGB", "many.gif: 2 frames, of which the first one"]


def test_every_kind_of_picture_keeps_its_kind(upscale, model, run_folder):
    """Grey, alpha, 16 bits of grey; palettes become colours, CMYK too with a note; of frames the first one."""
    write_kinds(run_folder / "in")
    code, said = upscale("in", "-o", "out")
    assert code == 0 and all(f"note: in/{note}" in said for note in NOTES) and said.count("note:") == 2
    assert {Path(f).stem for f in os.listdir("out")} == set(KINDS)
    for name, mode in KINDS.items():
        with Image.open(f"out/{name}.png") as picture:
            assert (picture.mode, picture.size) == (mode, (16, 12)), name
    alpha = np.clip(np.round(bicubic(pixels("in/rgba.png")[..., 3], (12, 16))), 0, 255)
    np.testing.assert_allclose(pixels("out/rgba.png")[..., 3], alpha, atol=1)
    np.testing.assert_array_equal(pixels("out/rgba.png")[..., :3], enlarged(model, pixels("in/rgba.png")[..., :3]))
    deep = pixels("in/deep.png").astype("float32")[..., None] / np.float32(65535)
    deep = model.upscale(np.repeat(deep, 3, axis=-1)).mean(-1) * 65535
    np.testing.assert_allclose(pixels("out/deep.png"), deep, atol=1.5)


def test_a_model_of_grey_takes_colours_channel_by_channel(model):
    """And a model of colours takes grey as three equal channels."""
    grey = SuperResolution((8, 8, 1), 2, EDSR(2, 2, 1, channels=1), average=None)
    x = noise(5, 6, 3).astype("float32") / 255
    found = shipped.enlarge(grey, x)
    np.testing.assert_allclose(found[..., 1:2], grey.upscale(x[..., 1:2]), atol=1e-6)
    three = model.upscale(np.repeat(x[..., :1], 3, axis=-1))
    np.testing.assert_allclose(shipped.enlarge(model, x[..., :1])[..., 0], three.mean(-1), atol=1e-6)


@pytest.mark.parametrize("form", ["jpg", "png", "webp", "tif"])
def test_exif_and_profile_are_kept_and_the_picture_is_upright(upscale, model, form):
    """The tag of orientation is gone with the turn; sizes in EXIF are new; a TIFF's own tags do not leak."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[270] = 6, "words"
    exif.get_ifd(EXIF_FOLDER).update({0xA002: 8, 0xA003: 6, 33434: 0.5})
    Image.fromarray(noise(6, 8, 3)).save(f"x.{form}", exif=exif.tobytes(), icc_profile=profile)
    assert upscale(f"x.{form}", "-o", "y.png")[0] == upscale("y.png", "-o", f"z.{form}")[0] == 0
    stored = pixels(f"x.{form}") if form in ("jpg", "webp") else noise(6, 8, 3)  # Pillow itself turns a TIFF
    np.testing.assert_array_equal(pixels("y.png"), enlarged(model, np.rot90(stored, -1)))
    for name, size in (("y.png", (12, 16)), (f"z.{form}", (24, 32))):
        with Image.open(name) as picture:
            found = picture.getexif()
            assert found[270] == "words" and found.get(0x0112, 1) == 1 and (form == "tif" or 273 not in found)
            folder = dict(found.get_ifd(EXIF_FOLDER))
            assert folder == {0xA002: size[0], 0xA003: size[1], 33434: 0.5}
            assert picture.size == size and picture.info["icc_profile"] == profile


BAD_FILES = {
    "bomb": "9000 x 9000 pixels, more than --max-pixels", "huge header": "pixels", "short": "short.png",
    "postscript": "no picture that can be read", "other format": "no picture that can be read",
    "sparse": "bytes; expected 1 to", "loop": "loop.png: no regular file", "text": "no picture that can be read",
    "empty": "it has 0 bytes", "pipe": "no regular file", "torn": "torn.png", "float": "mode F, of unknown range",
}  # fmt: skip


def write_bad(folder):
    for name in list(BAD_FILES)[:7]:
        hostile_picture(folder / f"{name}.png", name)
    (folder / "text.png").write_text("text")
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe.png")
    Image.fromarray(noise(40, 40, 3)).save(folder / "torn.png")
    (folder / "torn.png").write_bytes((folder / "torn.png").read_bytes()[:-100])
    Image.fromarray(np.zeros((4, 4), "float32")).save(folder / "float.tif")


def test_of_a_folder_all_that_can_be_done_is_done(upscale, run_folder):
    """Each bad file has a line of its own, good ones on both sides of it are done, and nothing else is left."""
    (run_folder / "in").mkdir()
    write_bad(run_folder / "in")
    for name in ("a", "z"):
        Image.fromarray(noise(4, 4, 3)).save(f"in/{name}.png")
    Path("in/notes.txt").write_text("notes")
    Path("in/more").mkdir()
    code, said = upscale("in", "-o", "out", "--max-pixels", "1000000")
    errors = [line for line in said.splitlines() if "error: " in line]
    assert code == 1 and len(errors) == len(BAD_FILES) and "2 of 14 pictures" in said and "notes.txt" in said
    assert "in: passed over, as subfolders are not searched: more" in said
    assert sorted(os.listdir("out")) == ["a.png", "z.png"] and "Traceback" not in said
    for name, message in BAD_FILES.items():
        assert any(f"in/{name}." in line and message in line for line in errors), (name, errors)


def test_names_that_would_be_one_are_told_apart(upscale, run_folder):
    """`x.png`, `x.gif`, and a second folder's `x.png`."""
    for folder in ("a", "b"):
        (run_folder / folder).mkdir()
        Image.fromarray(noise(4, 4, 3)).save(f"{folder}/x.png")
    Image.fromarray(noise(4, 4)).save("a/X.gif")
    assert upscale("a", "b", "-o", "out")[0] == 0
    assert sorted(os.listdir("out")) == ["X.gif.png", "x.png.png", "x.png_2.png"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("rgba.jpg", "JPEG holds no transparency"),
        ("deep.jpg", "JPEG holds 8 bits alone"),
        ("deep.webp", "WEBP holds 8 bits alone"),
        ("long.webp", "WEBP holds 16383 pixels a side"),
        ("rgb.png", "would take its place"),
        ("in/none/x.png", "none"),
        ("taken.png/x.png", "cannot be written to"),
    ],
)
def test_results_that_cannot_be_written(upscale, run_folder, name, message):
    """Formats that cannot hold the picture, the picture itself, a folder that is a file: nothing is left behind."""
    write_kinds(run_folder / "in")
    Image.new("RGB", (9000, 1)).save("in/long.png")
    Path("taken.png").touch()
    source = {"in/none/x.png": "in/none.png", "taken.png/x.png": "in/rgb.png"}.get(name, f"in/{Path(name).stem}.png")
    before = sorted(run_folder.rglob("*"))
    target = "in/rgb.png" if name == "rgb.png" else name
    code, said = upscale(source, "-o", target)
    assert code == 1 and message in said
    assert [p for p in sorted(run_folder.rglob("*")) if p not in before] in ([], [run_folder / "in" / "none"])


def test_a_full_disk_leaves_nothing_behind(upscale, run_folder, monkeypatch):
    """The old file stays as it was, the temporary one goes."""
    Image.fromarray(noise(4, 4, 3)).save("x.png")
    Path("y.png").write_bytes(b"old")

    def full(picture, target, form=None):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("applications.super_resolution.pictures.write", full)
    code, said = upscale("x.png", "-o", "y.png")
    assert code == 1 and "y.png: cannot be written: No space left on device" in said
    assert sorted(os.listdir()) == ["x.png", "y.png"] and Path("y.png").read_bytes() == b"old"


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["x.png", "-o", "y.png", "--scale", "3"], 2, "enlarges by 2"),
        (["x.png", "x.png", "-o", "y.png"], 2, "several pictures need a folder"),
        (["in", "-o", "x.png"], 2, "several pictures need a folder"),
        (["x.png", "-o", "y.xyz"], 2, "expected one of the endings"),
        (["x.png", "-o", "y.png", "--format", "png"], 2, "--format"),
        (["x.png", "-o", "y.png", "--tile", "0"], 2, "at least 1"),
        (["x.png"], 2, "--output"),
        (["empty", "-o", "out"], 1, "empty: no pictures in it"),
        (["none.png", "-o", "y.png"], 1, "none.png: no such file"),
    ],
)
def test_arguments_that_cannot_be_followed(upscale, run_folder, arguments, code, message):
    """2 for what is wrong with the arguments, 1 for what is wrong with files."""
    for folder in ("in", "empty"):
        (run_folder / folder).mkdir()
    for name in ("x.png", "in/a.png"):
        Image.fromarray(noise(4, 4, 3)).save(name)
    found, said = upscale(*arguments)
    assert found == code and message in said and "Traceback" not in said and not Path("y.png").exists()


def test_inputs_are_looked_at_before_the_model(run_folder, capsys, monkeypatch):
    """What is not there is named without a model; of the rest of the arguments, one error is one."""
    with monkeypatch.context() as patch:
        patch.setattr(shipped, "load", None)
        assert main(["upscale", "none.png", "-o", "y.png"]) == 1
        assert main(["evaluate", "none"]) == 1 and capsys.readouterr().err.count("none") == 2
    Image.fromarray(noise(4, 4, 3)).save("x.png")
    assert main(["upscale", "x.png", "none.png", "-o", "out"]) == 1
    assert "1 of 1 picture enlarged by 2; 1 error\n" in capsys.readouterr().err


def test_a_message_ends_the_line_of_a_progress_bar(capsys):
    """One that is open, and no other."""
    with terminal.watched():
        terminal.say("p", "first")
        print("bar", end="")
        terminal.say("p", "second")
    assert capsys.readouterr() == ("bar\n", "p: first\np: second\n")


def test_long_messages_keep_their_end():
    """The remedy stands there. (And the endings of pictures are those of `ImageFolder`.)"""
    assert SUFFIXES == OF_FOLDERS
    assert one_line(f"begins {'x' * 5000}\n ends", most=100).endswith(" ends") and one_line(KeyError()) == "KeyError"


def test_models_that_cannot_be_used(run_folder, capsys, model_file, monkeypatch):
    """Missing, damaged, of another kind; and no weights beside the program."""
    Image.fromarray(noise(4, 4, 3)).save("x.png")
    Path("torn.keras").write_bytes(model_file.read_bytes()[:-200])
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save("dense.keras")
    monkeypatch.setattr(shipped, "SHIPPED", run_folder / "shipped.npz")
    for name, message in (("none.keras", "no such file"), ("torn.keras", "cannot be read as a model"),
                          ("dense.keras", "expected a model of super-resolution"), (None, "no weights")):  # fmt: skip
        arguments = ["upscale", "x.png", "-o", "y.png", *(["--model", name] if name else [])]
        assert main(arguments) == 1 and message in capsys.readouterr().err


def test_shipped_weights_are_those_of_the_model(run_folder, model, monkeypatch):
    """To 16 bits, network and scale included; a damaged file is refused."""
    monkeypatch.setattr(shipped, "SHIPPED", run_folder / "shipped.npz")
    shipped.save_shipped(model)
    found, x = shipped.load(scale=2), noise(5, 6, 3).astype("float32") / 255
    assert found.scale == 2 and np.abs(found.upscale(x) - model.upscale(x)).max() < 1 / 255
    shipped.SHIPPED.write_bytes(shipped.SHIPPED.read_bytes()[:-30])
    with pytest.raises(Failure, match="cannot be read as a model"):
        shipped.shipped_model()


# -------------------------------------------------------------------------------------------------- evaluate


def test_figures_are_those_of_the_protocol(run_folder, model_file, model, capsys):
    """Of a zip and of a folder: cut, made smaller, enlarged, rounded, `scale` pixels left out; a bad one is named."""
    (run_folder / "in").mkdir()
    x = noise(25, 30, 3)
    Image.fromarray(x).save("in/x.png")
    Image.new("L", (30, 24), 9).save("in/flat.png")
    Path("in/bad.png").write_text("text")
    with zipfile.ZipFile("in.zip", "w") as archive:
        for name in ("x.png", "flat.png", "bad.png"):
            archive.write(f"in/{name}", f"set/{name}")
        archive.writestr("__MACOSX/x.png", b"")
    reports = []
    for source in ("in.zip", "in"):
        assert main(["evaluate", source, "--model", str(model_file), "--json", "found.json"]) == 1
        printed = capsys.readouterr()
        assert "bad.png" in printed.err and "bicubic, Y" in printed.out and "\nmean" in printed.out
        reports.append(json.loads(Path("found.json").read_text()))
    first, found = reports
    row = found["pictures"]["x.png"]
    assert first["pictures"]["set/x.png"] == row and (row["height"], row["width"]) == (24, 30)
    small = degraded(x[:24], 2)
    for method, y in (("model", enlarged(model, small)), ("bicubic", evaluate.rounded(bicubic(small, (24, 30))))):
        pair = [v[None].astype("float32") for v in (x[:24], y)]
        psnr = metrics.peak_signal_to_noise_ratio(*pair, 255.0, "y", 2)
        ssim = metrics.structural_similarity(*pair, 255.0, "rgb", 2)
        assert row[method]["psnr_y"] == pytest.approx(float(psnr[0]), abs=1e-3)
        assert row[method]["ssim_rgb"] == pytest.approx(float(ssim[0]), abs=1e-5)
    assert found["pictures"]["flat.png"]["bicubic"]["psnr_y"] is None and found["mean"]["bicubic"]["psnr_y"] is None
    mean = np.mean([row["model"]["ssim_y"] for row in found["pictures"].values()])
    assert found["mean"]["model"]["ssim_y"] == pytest.approx(mean) and len(first["problems"]) == 1


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["in", "--model", "bicubic"], 2, "needs a --scale"),
        (["none", "--model", "bicubic", "--scale", "2"], 1, "none: no such folder"),
        (["in", "--model", "bicubic", "--scale", "2"], 1, "in: none of its pictures can be used"),
        (["text.zip", "--model", "bicubic", "--scale", "2"], 1, "neither a folder nor a zip"),
        (["void.zip", "--model", "bicubic", "--scale", "2"], 1, "no pictures in it"),
        (["big", "--model", "bicubic", "--scale", "2", "--json", "none/f.json"], 1, "f.json: cannot be written"),
    ],
)
def test_evaluations_that_cannot_be_made(run_folder, capsys, arguments, code, message):
    """Each with a line that says why."""
    for folder, side in (("in", 12), ("big", 20)):
        (run_folder / folder).mkdir()
        Image.new("RGB", (side, side)).save(f"{folder}/x.png")
    Path("text.zip").write_text("text")
    zipfile.ZipFile("void.zip", "w").close()
    assert main(["evaluate", *arguments]) == code
    assert message in capsys.readouterr().err


@pytest.mark.real_data
@pytest.mark.parametrize("scale, published", [(2, 33.66), (3, 30.39), (4, 28.42)])
def test_bicubic_has_its_published_figures_on_set5(run_folder, data_folder, scale, published):
    """To 0.03 dB: the literature makes the small pictures in MATLAB, and some of it in Y alone."""
    file = data_folder / "sr" / "Set5.zip"
    if not file.is_file():
        pytest.skip("needs sr/Set5.zip")
    assert main(["evaluate", str(file), "--model", "bicubic", "--scale", str(scale), "--json", "found.json"]) == 0
    assert json.loads(Path("found.json").read_text())["mean"]["bicubic"]["psnr_y"] == pytest.approx(published, abs=0.03)


WRONG = {
    "pairs of another scale": (lambda m: m.fit(PatchPairs([noise(24, 24, 3)], 4, 8)), "scale=4, .*, 2, patch=8"),
    "pairs of another size": (lambda m: m.fit(PatchPairs([noise(24, 24, 3)], 2, 16)), "patches .16, 16, 3.*patch=8"),
    "a small image": (lambda m: m.predict(np.zeros((1, 3, 3, 3), "float32")), "x .1, 3, 3, 3., y None.*`upscale"),
    "small pairs": (lambda m: m.predict((np.zeros((1, 2, 2, 3)), np.zeros((1, 1, 1, 3)))), "y .1, 1, 1, 3..*`upscale"),
    "paths": (lambda m: PatchPairs([Path("a.png")], 2), "the path 'a.png'. Read files first"),
    "a path": (lambda m: PatchPairs("a.png", 2), "the path 'a.png'. Read files first"),
    "one picture": (lambda m: PatchPairs(noise(24, 24, 3), 2), "as .image."),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_model_says_what_it_is_given(model, name):
    """Pairs of another scale, images of another size, files in place of pictures: expected, received, what to do."""
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=f"Expected .*Received: .*{message}"):
        call(model)


# ----------------------------------------------------------------------------------------------------- train

TINY = ["--network", "espcn", "--filters", "2", "--steps", "6", "--epochs", "2", "--patch", "8", "--batch-size", "2"]


@pytest.fixture
def training(run_folder, monkeypatch):
    """Runs the command on three small pictures, without compilation where that costs seconds."""
    compile_model = SuperResolution.compile
    if TENSORFLOW:
        monkeypatch.setattr(SuperResolution, "compile",
                            lambda self, optimizer, **_: compile_model(self, optimizer, run_eagerly=True))  # fmt: skip
    (run_folder / "in" / "more").mkdir(parents=True)
    for k, name in enumerate(("a", "b", "more/c")):
        Image.fromarray(noise(24, 32, 3, seed=k)).save(f"in/{name}.png")
    return lambda *arguments: main(["train", "in", *TINY, *map(str, arguments)])


def weights(folder):
    return shipped.load(f"{folder}/model.keras").get_weights()


@pytest.mark.filterwarnings("ignore:This training had ended")
def test_a_resumed_training_is_the_uninterrupted_one(training, monkeypatch, capsys):
    """Ctrl-C within the second epoch saves, and the same command ends with the same bits, and all that it says.

    That done, it leaves the figures as they are; with another option it is refused, by the name of the option.
    """
    assert training("--output", "whole") == 0
    steps = iter(range(100))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        press = lambda self, batch, logs=None: next(steps) == 4 and signal.raise_signal(signal.SIGINT)  # noqa: E731
        patch.setattr(train.Preview, "on_train_batch_begin", press)
        assert training("--output", "parts") == 130
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    said = capsys.readouterr().err
    assert "a second Ctrl-C" in said and "saved; the same command goes on" in said
    assert not Path("parts/model.keras").exists()
    assert training("--output", "parts") == 0
    assert "goes on in epoch 2 after 1 steps" in capsys.readouterr().out
    for a, b in zip(weights("whole"), weights("parts"), strict=True):
        np.testing.assert_array_equal(a, b)
    found = json.loads(Path("parts/metrics.json").read_text())
    assert found["settings"]["filters"] == 2 and len(found["trained_on"]) == 2
    assert len(found["held_out"]["pictures"]) == 1
    assert sorted(os.listdir("parts/progress")) == ["epoch_0001.png", "epoch_0002.png"]
    written = {"checkpoints", "history.png", "metrics.json", "model.keras", "preview.png", "progress"}
    assert set(os.listdir("parts")) == written
    figures = Path("parts/metrics.json").read_text()
    assert training("--output", "parts") == 0
    assert Path("parts/metrics.json").read_text() == figures and "Nothing was left" in capsys.readouterr().out
    assert training("--output", "parts", "--rate", "1", "--batch-size", "3") == 1
    said = capsys.readouterr().err
    assert "--batch-size 3, before 2; --rate 1.0, before 0.0003. Give the same" in said and "--output to begin" in said
    Image.fromarray(noise(24, 32, 3, seed=9)).save("in/d.png")
    assert training("--output", "parts") == 1 and "other pictures than before" in capsys.readouterr().err


def test_a_model_of_another_scale_gives_its_body():
    """All but the layer that makes the pixels; of network and average."""
    small = SuperResolution((8, 8, 3), 2, EDSR(2, 2, 1))
    large = SuperResolution((8, 8, 3), 4, EDSR(4, 2, 1))
    for model in (small, large):
        model.build()
    other = EDSR(2, 3, 1)
    small.average_network.set_weights([w + k for k, w in enumerate(small.average_network.get_weights())])
    assert train.take_over(large, small) == (8, 2)
    for network in (large.network, large.average_network):
        for a, b in zip(network.get_weights()[:8], small.average_network.get_weights(), strict=False):
            np.testing.assert_array_equal(a, b)
    other = SuperResolution((8, 8, 3), 2, other, average=None)
    other.build()
    assert train.take_over(large, other) == (0, 10)


def test_an_initial_model_gives_its_network(model_file):
    """Its kind and sizes, at the scale asked for; what is given must agree."""
    options = types.SimpleNamespace(network=None, blocks=None, filters=None, scale=3, initial="m.keras")
    network = train.make_network(options, shipped.load(model_file))
    assert (type(network), network.scale, network.filters) == (ESPCN, 3, (3,))
    assert (options.network, options.blocks, options.filters) == ("espcn", None, 3)
    for change in ({"filters": 4}, {"blocks": 1}, {"network": "edsr"}):
        name, value = next(iter(change.items()))
        with pytest.raises(Usage, match=f"--{name} {value}: m.keras has .*Leave --{name} out"):
            train.make_network(types.SimpleNamespace(**{**vars(options), **change}), shipped.load(model_file))


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--patch", "9"], 2, "multiple of --scale"),
        (["--scale", "1"], 2, "at least 2"),
        (["--epochs", "9"], 2, "at most --steps"),
        (["--blocks", "2"], 2, "espcn has no --blocks"),
        (["--rate", "0"], 2, "above 0"),
        (["--seed", "-1"], 2, "--seed"),
        (["--patch", "40"], 1, "left out: a.png: 32 x 24 pixels"),
        (["--patch", "40"], 1, "3 pictures left out for the size; a smaller --patch"),
        (["--validation", "none"], 1, "none: no such folder"),
        (["--initial", "none.keras"], 1, "none.keras: no such file"),
        (["--output", "in/a.png"], 1, "cannot be written to"),
        (["--scikit-image"], 1, "pip install"),
    ],
)
def test_trainings_that_cannot_be_made(training, monkeypatch, capsys, arguments, code, message):
    """Said before the first step."""
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    monkeypatch.setattr(SuperResolution, "fit", None)
    assert training("--output", "out", *arguments) == code
    assert message in capsys.readouterr().err


def test_pictures_to_train_on(run_folder, monkeypatch):
    """A tenth is held out, the same for a seed; embedded ones stand in for a single one; scikit-image adds its own."""
    images = {f"{k:02d}": noise(40, 40, 3, seed=k) for k in range(20)}
    rest, held_out = train.hold_out(images, 3, wanted=True)
    assert len(rest) == 18 and len(held_out) == 2 and not set(rest) & set(held_out)
    assert list(train.hold_out(images, 3, wanted=True)[1]) == list(held_out)
    assert list(train.hold_out({"00": images["00"]}, 0, wanted=True)[1]) == ["chelsea", "coffee"]
    skimage = types.ModuleType("skimage.data")
    for name in train.SCIKIT_IMAGE:
        setattr(skimage, name, lambda name=name: noise(20, 30) if name in ("grass", "coins") else noise(20, 30, 3))
    skimage.stereo_motorcycle = lambda: (noise(20, 30, 3), None, None)
    monkeypatch.setitem(sys.modules, "skimage", types.ModuleType("skimage"))
    monkeypatch.setitem(sys.modules, "skimage.data", skimage)
    found = train.scikit_image()
    assert len(found) == 7 and {v.shape for v in found.values()} == {(20, 30, 3), (10, 15, 3), (6, 10, 3)}


def test_runs_as_a_module(run_folder, monkeypatch, capsys):
    """`python -m applications.super_resolution` ends with the exit code."""
    monkeypatch.delitem(sys.modules, "applications.super_resolution.__main__")
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["", "evaluate", "none", "--model", "bicubic", "--scale", "2"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("applications.super_resolution", run_name="__main__")
    assert ended.value.code == 1 and "none: no such folder" in capsys.readouterr().err


def test_hidden_colours_are_not_drawn_into_edges():
    """A white disc on transparent black stays white: what nobody sees goes on from the white beside it."""
    i, j = np.mgrid[:40, :40]
    alpha = ((i - 20) ** 2 + (j - 20) ** 2 < 150).astype("float32")[..., None]
    picture = pictures.Picture(np.repeat(alpha, 3, axis=-1), alpha)
    near = bicubic(alpha, (80, 80)) > 0
    enlarged = bicubic(seen(picture), (80, 80))
    assert bicubic(picture.colour, (80, 80))[near[..., 0]].min() < 0.1 and enlarged[near[..., 0]].min() > 0.99
