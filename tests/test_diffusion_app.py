"""The program `applications.diffusion` keeps its word on good pictures and on bad ones."""

import functools
import json
import os
import runpy
import signal
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from applications.diffusion import draw, evaluate, known, names, pictures, sets
from applications.diffusion.__main__ import main, parser
from applications.files import Failure
from keras_gen import datasets, diffusion
from keras_gen.diffusion import parametrisations, samplers, schedules, weightings
from keras_gen.models import VAE, DiffusionModel

SMALL = [
    "--channels", "4", "--multipliers", "1", "--epochs", "2", "--batch-size", "8", "--judged", "6", "--pictures", "1",
]  # fmt: skip
SIZE = ["--size", "4", "6"]


def write_pictures(folder, n=20, seed=0):
    """n coloured pictures of 9 x 12, called 00.png, 01.png, ..."""
    rng = np.random.default_rng(seed)
    Path(folder).mkdir(parents=True)
    for k in range(n):
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), "uint8")).save(f"{folder}/{k:02d}.png")


class Coarse(diffusion.ProbabilityFlow):
    """The flow followed in few steps, whatever is asked for."""

    def __init__(self, *_):
        super().__init__(1e-3, 1e-3)


class _few:
    """Short chains; few digits."""

    def __enter__(self):
        self.patch, sample = pytest.MonkeyPatch(), DiffusionModel.sample
        short = lambda self, *args, steps=4, **own: sample(self, *args, steps=steps or 4, **own)  # noqa: E731
        self.patch.setattr(DiffusionModel, "sample", short)
        self.patch.setattr(evaluate, "STEPS", 4)
        (x, y), (test, labels) = datasets.digits.load_data()
        self.patch.setattr(datasets.digits, "load_data", lambda: ((x[:40], y[:40]), (test[:30], labels[:30])))

    def __exit__(self, *_):
        self.patch.undo()


@pytest.fixture(scope="module")
def digits(tmp_path_factory, eager_on_tensorflow):
    """A training on 40 digits: its folder."""
    folder = tmp_path_factory.mktemp("digits")
    with _few():
        assert main(["train", *SMALL, "-o", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def coloured(tmp_path_factory, eager_on_tensorflow):
    """A training on pictures of a flat folder: a folder with both."""
    folder = tmp_path_factory.mktemp("coloured")
    write_pictures(folder / "mine")
    with _few():
        assert main(["train", str(folder / "mine"), *SMALL, *SIZE, "-o", str(folder / "out")]) == 0
    return folder


pytestmark = pytest.mark.usefixtures("eager_on_tensorflow")


@pytest.fixture(scope="module", autouse=True)
def _loaded_once():
    """A model is compiled once for all commands, not once a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "load", functools.cache(known.load))
        yield


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def written(monkeypatch):
    """What is written as a grid or as strips."""
    found = []
    for name in ("write_grid", "write_strips"):
        function = getattr(pictures, name)
        spy = lambda x, target, f=function, **own: found.append(np.asarray(x)) or f(x, target, **own)  # noqa: E731
        monkeypatch.setattr(pictures, name, spy)
    return found


def run(capsys, *arguments, code=0):
    """The lines on stdout and stderr of a command that ends with `code`."""
    capsys.readouterr()
    ended = main([str(a) for a in arguments])
    said = capsys.readouterr()
    assert ended == code, said.err
    assert "Traceback" not in said.err
    return said.out, said.err


# ----------------------------------------------------------------------------------------------------- options


def test_options_have_the_names_of_the_library():
    """Written out, as no backend is loaded for `--help`."""
    assert set(names.SCHEDULES) == set(schedules.NAMES) and set(names.WEIGHTINGS) == set(weightings.NAMES)
    assert set(names.SAMPLERS) == set(samplers.NAMES) and names.GRIDS == diffusion.GRIDS
    assert set(names.PARAMETRISATIONS) == set(parametrisations.NAMES)


def test_a_box_is_four_numbers():
    """And an error otherwise."""
    command = ["inpaint", "a.png", "--model", "m", "-o", "b.png", "--box"]
    assert parser().parse_args([*command, "0,4,8,3"]).box == (0, 4, 8, 3)
    for text in ("1,2,3", "1,2,3,0", "-1,2,3,4", "a,b,c,d"):
        with pytest.raises(SystemExit):
            parser().parse_args([*command, text])


# ---------------------------------------------------------------------------------------------------- pictures


def load(data, *more):
    return sets.load(parser().parse_args(["train", str(data), "-o", "out", *more]))


def test_subfolders_are_classes(run_folder, capsys):
    """A tenth is held out; a damaged picture is left out, with a line; pictures are of the size asked for."""
    write_pictures("mine/cats", 11)
    write_pictures("mine/dogs", 10, seed=1)
    Path("mine/cats/00.png").write_bytes(b"none")
    found = load("mine", *SIZE)
    assert "left out: " in capsys.readouterr().err
    assert found.classes == ["cats", "dogs"] and found.levels == 256
    assert found.train.x.shape == (18, 4, 6, 3) and found.test.x.shape == (2, 4, 6, 3)
    assert found.train.x.dtype == np.float32 and 0 <= found.train.x.min() < found.train.x.max() <= 1
    assert sorted([*found.train.y, *found.test.y]) == [0] * 10 + [1] * 10
    flat = load("mine", *SIZE, "--unlabelled", "--grey")
    assert flat.classes is None and flat.train.y is None and flat.train.x.shape == (18, 4, 6, 1)
    assert load("mine/dogs", "--size", "5").train.x.shape == (9, 5, 5, 3)


def test_the_embedded_digits_keep_their_split():
    """Their levels too."""
    found = load("digits")
    assert found.train.x.shape == (1438, 8, 8, 1) and len(found.test) == 359 and found.levels == 17
    np.testing.assert_array_equal(np.unique(found.train.x), np.arange(17, dtype="float32") / 16)
    assert load("digits", "--unlabelled").test.y is None
    part = found.test.spread(5)
    np.testing.assert_array_equal(part.x, found.test.x[[0, 89, 179, 268, 358]])


def test_what_is_drawn_of_a_picture(run_folder, capsys):
    """White of a mask, which is resized with a notice, a box, or the lower half."""
    Image.fromarray((255 * np.eye(4)).astype("uint8")).save("mask.png")
    command = ["inpaint", "a.png", "--model", "m", "-o", "b.png"]

    def known_part(shape, *more):
        return pictures.known_part(parser().parse_args([*command, *more]), shape)[..., 0]

    np.testing.assert_array_equal(known_part((4, 4, 3), "--mask", "mask.png"), ~np.eye(4, dtype=bool))
    assert known_part((8, 8, 1), "--mask", "mask.png").shape == (8, 8)
    assert "mask.png: 4 x 4 pixels, resized to the 8 x 8 of the model" in capsys.readouterr().err
    np.testing.assert_array_equal(known_part((3, 2, 1)), [[True, True], [False, False], [False, False]])
    np.testing.assert_array_equal(known_part((2, 3, 1), "--box", "0,1,1,2"), [[True, False, False], [True] * 3])
    with pytest.raises(Failure, match="--box 0,1,1,3: it leaves the 2 x 3"):
        known_part((2, 3, 1), "--box", "0,1,1,3")
    Image.new("L", (2, 2)).save("black.png")
    with pytest.raises(Failure, match="nothing in it is white"):
        known_part((2, 2, 1), "--mask", "black.png")


def test_an_animation_has_its_frames(run_folder):
    """Frame k of n pictures side by side; the last one stays; white lines between."""
    x = np.random.default_rng(0).uniform(size=(3, 4, 5, 6, 1))
    pictures.write_animation(x, Path("a.gif"), seconds=1.1)
    with Image.open("a.gif") as gif:
        assert gif.n_frames == 4 and gif.info["loop"] == 0
        scale = (gif.size[0] - 4) // 12
        assert gif.size == (2 * (6 * scale + 2), 2 * (5 * scale + 2))
        lengths = []
        for k in range(4):
            gif.seek(k)
            lengths.append(gif.info["duration"])
            frame = np.asarray(gif.convert("L"))
            np.testing.assert_allclose(frame[1, 1] / 255, x[0, k, 0, 0, 0], atol=0.01)
    assert lengths == [100, 100, 100, 800]


# ---------------------------------------------------------------------------------------------------- training


def test_what_a_training_leaves(digits):
    """Files, and figures of pictures that it has not seen."""
    assert set(os.listdir(digits)) == {
        "checkpoints", "held_out", "history.png", "known.json", "metrics.json", "model.keras", "progress", "samples.png"
    }  # fmt: skip
    assert os.listdir(digits / "progress") == ["epoch_0002.png"]
    assert set(os.listdir(digits / "held_out")) == {f"{k}.png" for k in range(10)}
    found = json.loads((digits / "metrics.json").read_text())
    assert found["pictures"] == {"train": 40, "held_out": 30} and found["size"] == [8, 8, 1] and found["epochs"] == 2
    assert found["samples"]["samples"] == 6 and 0 <= found["samples"]["recognised"] <= 1
    assert found["samples"]["recognised_of_held_out"] > 0.9  # of its own range
    model, knows = known.load(digits)
    assert knows == known.Known("digits", [str(k) for k in range(10)]) and model.levels == 17
    _, (x, y) = datasets.digits.load_data()
    part = sets.Part(x[:30, ..., None].astype("float32") / 16, y[:30]).spread(6)
    terms = model.bound_terms(*part.arrays, steps=4)
    bound = found["bits_per_dim"]
    assert bound["pictures"] == 6 and bound["steps"] == 4
    assert bound["total"] == pytest.approx(sum(terms.values()).mean() / 64 / np.log(2), rel=1e-5)
    assert bound["total"] == pytest.approx(bound["prior"] + bound["diffusion"] + bound["data"], rel=1e-5)


@pytest.mark.filterwarnings("ignore:This training had ended")
def test_a_resumed_training_is_the_uninterrupted_one(coloured, run_folder, monkeypatch, capsys):
    """Ctrl-C saves, and the same command ends with the same weights; other options or pictures are refused."""
    write_pictures("mine")
    command = ["train", "mine", *SMALL, *SIZE, "-o", "out"]
    with _few():
        steps, before = iter(range(100)), signal.signal(signal.SIGINT, signal.default_int_handler)
        with monkeypatch.context() as patch:
            press = lambda self, batch, logs=None: next(steps) == 4 and signal.raise_signal(signal.SIGINT)  # noqa: E731
            patch.setattr(keras.callbacks.LambdaCallback, "on_train_batch_begin", press)
            said = run(capsys, *command, code=130)[1]
        assert "18 pictures of 4 x 6 to learn from, 2 held out, no labels" in said
        assert "saved; the same command goes on" in said
        assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
        assert not Path("out/model.keras").exists()
        assert "Training goes on in epoch" in run(capsys, *command)[0]
        figures = Path("out/metrics.json").read_text()
        assert "Nothing was left" in run(capsys, *command)[0] and Path("out/metrics.json").read_text() == figures
    assert "samples" not in json.loads(figures)  # no classifier of such pictures is shipped
    models = [known.load(folder)[0] for folder in (coloured / "out", "out")]
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "--rate 1.0, before 0.002" in run(capsys, *command, "--rate", 1, code=1)[1]
    Image.new("RGB", (12, 9)).save("mine/00.png")
    assert "other pictures than before" in run(capsys, *command, code=1)[1]


# ----------------------------------------------------------------------------------------------------- drawing


def test_samples_are_of_their_labels_and_seed(digits, run_folder, written, monkeypatch, capsys):
    """A grid with a column a label, or a file each; the same for a seed."""
    asked, drawn = [], DiffusionModel.sample
    spy = lambda self, n, y, **own: asked.append((list(y), own["guidance"])) or drawn(self, n, y, **own)  # noqa: E731
    monkeypatch.setattr(DiffusionModel, "sample", spy)
    command = ["sample", 4, "--steps", 3, "--model", digits, "--sampler", "ddim"]
    for more in (["-o", "a.png"], ["-o", "b.png"], ["-o", "c.png", "--seed", 1]):
        run(capsys, *command, "--label", 7, "--guidance", 2, *more)
    np.testing.assert_array_equal(written[0], written[1])
    assert not np.array_equal(written[0], written[2]) and asked == 3 * [([7] * 4, 2.0)]
    _, said = run(capsys, *command, "--label", 3, 1, "-o", "each")
    assert sorted(os.listdir("each")) == ["0_3.png", "1_1.png", "2_3.png", "3_1.png"] and "4 pictures, in each" in said
    run(capsys, *command, "-o", "all.png")
    assert asked[-2:] == [([3, 1, 3, 1], None), ([0, 1, 2, 3], None)]
    with Image.open("each/0_3.png") as picture:
        assert picture.size == (8, 8) and picture.mode == "L"


def test_what_is_known_of_a_picture_stays(digits, coloured, run_folder, written, capsys):
    """In answers of a label, of none, and of a model without labels."""
    picture, drawn = digits / "held_out" / "3.png", ["--steps", 3, "--resamples", 2, "--drawn", 2, "-o", "filled.png"]
    for more in ([], ["--label", "3"]):
        run(capsys, "inpaint", picture, "--box", "0,4,8,4", *drawn, "--model", digits, *more)
    run(capsys, "inpaint", coloured / "mine" / "00.png", *drawn, "--model", coloured / "out")
    for x in written[:2]:
        assert x.shape == (4, 8, 8, 1)
        np.testing.assert_array_equal(x[2:, :, :4], x[[0, 0], :, :4])
        np.testing.assert_array_equal(x[1, :, 4:], np.full((8, 4, 1), 0.5))
        assert not np.array_equal(x[2], x[3])
    assert not np.array_equal(written[0], written[1])
    np.testing.assert_array_equal(written[2][2:, :2], written[2][[0, 0], :2])


def test_variations_keep_more_at_less_strength(digits, run_folder, written, capsys):
    """Beside the picture itself."""
    for strength in (0.05, 1.0):
        run(capsys, "vary", digits / "held_out" / "1.png", "--strength", strength, "--drawn", 3, "--steps", 4,
            "--model", digits, "-o", "varied.png")  # fmt: skip
    near, far = (np.abs(x[1:] - x[:1]).mean() for x in written)
    assert written[0].shape == (4, 8, 8, 1) and near < 0.5 * far


def test_the_way_between_two_pictures(digits, coloured, run_folder, written, monkeypatch, capsys):
    """One row for a label, or of a model without them; two rows for a label of each."""
    monkeypatch.setattr(diffusion, "ProbabilityFlow", Coarse)
    a, b = (digits / "held_out" / f"{k}.png" for k in (0, 1))
    command = ["interpolate", a, b, "--frames", 3, "--model", digits, "-o"]
    run(capsys, *command, "one.png", "--label", 0)
    run(capsys, *command, "two.png", "--label", 0, 1)
    assert [x.shape for x in written] == [(1, 3, 8, 8, 1), (2, 3, 8, 8, 1)]
    np.testing.assert_allclose(written[0][0, 0], written[1][0, 0], atol=1e-4)
    expected = [pictures.read(file, (8, 8, 1)) for file in (a, b)]
    np.testing.assert_allclose([written[1][0, 0], written[1][1, -1]], expected, atol=0.02)
    files = [coloured / "mine" / f"0{k}.png" for k in (0, 1)]
    _, said = run(capsys, "interpolate", *files, "--frames", 3, "--model", coloured / "out", "-o", "way.gif")
    assert "00.png: 9 x 12 pixels, resized to the 4 x 6 of the model" in said
    with Image.open("way.gif") as gif:
        assert gif.n_frames == 3


def test_noise_becomes_pictures(digits, run_folder, written, monkeypatch, capsys):
    """As an animation, or as strips, the last of which is the sample."""
    command = ["--steps", 4, "--model", digits, "--label", 5, "-o"]
    run(capsys, "animate", 2, "--frames", 5, *command, "reverse.png")
    run(capsys, "animate", 2, "--frames", 5, *command, "reverse.gif")
    run(capsys, "sample", 2, *command, "samples.png")
    np.testing.assert_allclose(written[0][:, -1], written[1], atol=1e-5)
    with Image.open("reverse.gif") as gif:
        assert gif.n_frames == 5


# --------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["none"], 1, "none: no such folder; expected a folder of pictures, or one of digits, mnist, fashion_mnist"),
        (["few"], 1, "few: 2 pictures that can be used; expected at least 10"),
        (["digits", "--size", "8"], 2, "--size is for a folder; digits is as it is"),
        (["mine", "--size", "1", "2", "3"], 2, "--size 1 2 3: expected a side, or height and width"),
        (["mine", "--channels", "6"], 2, "--channels 6: expected an even number, and a multiple of 4"),
        (["mine", "--size", "3", "--multipliers", "1", "1", "1"], 2, "of 3 levels, each of half the size"),
        (["mine", "--parametrisation", "epsilon"], 1, "Expected"),
        (["mine", "-o", "mine/00.png"], 1, "00.png: cannot be written to"),
        (["mine", "--rate", "0"], 2, "a number above 0"),
    ],
    ids=range(9),
)
def test_trainings_that_cannot_be_made(run_folder, monkeypatch, capsys, arguments, code, message):
    """Said before the first step, in a line, and nothing is left behind."""
    write_pictures("mine")
    write_pictures("few", 2)
    monkeypatch.setattr(DiffusionModel, "fit", None)
    schedule = ["--schedule", "cosine"]
    assert message in run(capsys, "train", "-o", "out", *SMALL, *SIZE[: 0 if "digits" in arguments else 3], *schedule,
                          *arguments, code=code)[1]  # fmt: skip
    assert not Path("out").exists()


def test_a_class_of_which_all_is_held_out_is_named(run_folder):
    """Of one picture, by a seed that takes it."""
    write_pictures("mine/often", 10)
    write_pictures("mine/rare", 1)
    seed = next(s for s in range(1000) if np.random.default_rng(s).permutation(11)[0] == 10)
    with pytest.raises(Failure, match="no picture to train on is left of the class 'rare'"):
        load("mine", "--seed", str(seed))


def test_models_and_files_that_cannot_be_used(digits, coloured, run_folder, capsys):
    """Each is named, before anything is computed."""
    mine, picture = coloured / "out", digits / "held_out" / "3.png"
    for name in ("empty", "other"):
        Path(name).mkdir()
    Path("other/known.json").write_bytes((digits / "known.json").read_bytes())
    VAE((3,), 2, seed=0).save("other/model.keras")
    Path("text.png").write_text("text")
    new = ["-o", "new.png", "--model"]
    for arguments, code, message in (
        (["sample", *new, "empty"], 1, "empty: no known.json in it"),
        (["sample", *new, "other"], 1, "expected a diffusion model of pictures, of 10 classes"),
        (["sample", "--label", "12", *new, digits], 1, "--label 12: the model has not learned it; expected one of 0"),
        (["sample", "--label", "1", *new, mine], 1, "--label 1: this model was trained without labels"),
        (["sample", "--guidance", "2", *new, mine], 1, "--guidance 2: this model was trained without labels"),
        (["sample", "--sampler", "heun", "--steps", "1", "-o", "new.jpg", "--model", mine], 1, "ends with .png"),
        (["sample", "-o", "text.png/x.png", "--model", mine], 1, "cannot be written to"),
        (["inpaint", "none.png", *new, digits], 1, "none.png: no such file; expected a picture"),
        (["inpaint", "text.png", *new, digits], 1, "text.png"),
        (["inpaint", picture, "--guidance", "2", *new, digits], 2, "--guidance is towards a --label"),
        (["inpaint", picture, "--sampler", "heun", *new, digits], 1, "Expected"),
        (["inpaint", picture, "--box", "4,4,5,1", *new, digits], 1, "--box 4,4,5,1: it leaves the 8 x 8"),
        (["vary", picture, "--strength", "0", *new, digits], 2, "a number above 0 and at most 1"),
        (["interpolate", picture, picture, *new, digits], 2, "--label: expected one, or one of each picture"),
        (["interpolate", picture, picture, "--frames", "1", "--label", "3", *new, digits], 2, "--frames 1: expected"),
        (["animate", "--frames", "9", "--steps", "3", *new, mine], 1, "frames=9"),
        (["animate", "-o", "new.mp4", "--model", mine], 1, "new.mp4: expected a name that ends with .gif or .png"),
    ):
        assert message in run(capsys, *arguments, code=code)[1]
    assert sorted(os.listdir()) == ["empty", "other", "text.png"]
    for content in ("{}", "[]", "x", '{"data": "digits", "classes": [1]}'):
        Path("other/known.json").write_text(content)
        assert "known.json: cannot be read" in run(capsys, "sample", *new, "other", code=1)[1]


def test_labels_of_a_command(digits):
    """Each class in turn; of what is given a picture, none at all by guidance 0."""
    knows = known.Known("digits", ["a", "b", "c"])

    def asked(*arguments):
        return draw.asked(knows, parser().parse_args([*arguments, "--model", "m", "-o", "x.png"]), 5)

    labels, own = asked("sample")
    assert labels.tolist() == [0, 1, 2, 0, 1] and own["guidance"] is None
    labels, own = asked("vary", "a.png", "--label", "c", "--guidance", "3")
    assert labels.tolist() == [2] * 5 and own["guidance"] == 3.0
    assert asked("vary", "a.png")[1]["guidance"] == 0.0


def test_runs_as_a_module(run_folder, monkeypatch, capsys):
    """`python -m applications.diffusion` ends with the exit code."""
    monkeypatch.delitem(sys.modules, "applications.diffusion.__main__")
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["", "sample", "1", "--model", "none", "-o", "new.png"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("applications.diffusion", run_name="__main__")
    assert ended.value.code == 1 and "none: no known.json" in capsys.readouterr().err
