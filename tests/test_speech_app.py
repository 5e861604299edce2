"""The program `applications.speech` keeps its word on good recordings and on bad ones."""

import json
import os
import runpy
import signal
import sys
import warnings
import wave
from pathlib import Path

import keras
import numpy as np
import pytest

from applications.files import Failure
from applications.speech import recordings, speak, voices, windows
from applications.speech.__main__ import main
from keras_gen.datasets import write_wav
from keras_gen.models import VAE, WaveNet

RATE = 4000
SMALL = [
    "--sample-rate", str(RATE), "--length", "320", "--channels", "2", "--skip-channels", "2", "--kernel-size", "2",
    "--dilations", "1", "2", "--epochs", "2", "--batch-size", "4",
]  # fmt: skip


def write_words(folder, seed=0, each=6):
    """Words "high" and "low", tones, by two speakers, one louder than the other; of 400 samples and more."""
    rng = np.random.default_rng(seed)
    Path(folder).mkdir()
    for label, frequency in (("high", 900), ("low", 300)):
        for speaker, loudness in (("anna", 0.6), ("ben", 0.2)):
            for k in range(each):
                n = 400 + 20 * k
                tone = np.sin(2 * np.pi * frequency * np.arange(n) / RATE + rng.uniform(0, 6))
                write_wav(f"{folder}/{label}_{speaker}_{k}.wav", loudness * tone, RATE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training on the words: its folder."""
    folder = tmp_path_factory.mktemp("speech")
    write_words(folder / "words")
    with _eager_on_tensorflow():
        assert main(["train", str(folder / "words"), *SMALL, "-o", str(folder / "out")]) == 0
    return folder


class _eager_on_tensorflow:
    """A graph costs seconds there."""

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        if keras.config.backend() == "tensorflow":
            compiled = WaveNet.compile
            self.patch.setattr(WaveNet, "compile", lambda self, o: compiled(self, o, run_eagerly=True))

    def __exit__(self, *_):
        self.patch.undo()


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments, code=0):
    """The lines on stdout and stderr of a command that ends with `code`."""
    capsys.readouterr()
    ended = main([str(a) for a in arguments])
    said = capsys.readouterr()
    assert ended == code, said.err
    assert "Traceback" not in said.err
    return said.out, said.err


def samples(file):
    with wave.open(str(file), "rb") as stream:
        assert (stream.getnchannels(), stream.getsampwidth(), stream.getframerate()) == (1, 2, RATE)
        return np.frombuffer(stream.readframes(stream.getnframes()), "<i2")


# -------------------------------------------------------------------------------------------------- recordings


def test_a_recording_is_cut_or_followed_by_silence():
    """Samples as parts of 32768."""
    x = np.arange(1, 6, dtype="int16")
    found = windows.beginnings([x, x[:2]], 3)
    assert found.shape == (2, 3, 1) and found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0] * 32768, [[1, 2, 3], [1, 2, 0]])
    np.testing.assert_array_equal(windows.cut(x, 3, 4)[:, 0] * 32768, [4, 5, 0, 0])


def test_bits_of_windows_are_those_of_the_whole_recording():
    """Each sample is scored once, as by a model whose length holds all of it."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = [rng.integers(-9000, 9000, n).astype("int16") for n in (1, 192, 193, 260, 630)]
    part = recordings.Part(x, ["a", "b", "a", "b", "a"], ["u"] * 5)
    known = voices.Voices.of(part, RATE)
    small, large = (_wavenet(length, known) for length in (192, 640))
    large.set_weights(small.get_weights())
    log_p = large.stepwise_log_prob(windows.beginnings(x, 640), known.beginnings(part, 640), verbose=0)
    expected = [-row[: len(one)].sum() / np.log(2) for row, one in zip(log_p, x, strict=True)]
    np.testing.assert_allclose(windows.bits(small, part, known), expected, rtol=1e-5)


def _wavenet(length, known):
    own = {"channels": 2, "skip_channels": 2, "kernel_size": 2, "dilations": (1, 4), "upsampling": voices.upsampling()}
    return WaveNet((length, 1), condition_shape=(length // voices.FRAME, known.size), **own)


def test_what_a_model_is_told():
    """Label and speaker by one-hot vectors, the place by two numbers that sum to one, the end, the duration."""
    known = voices.Voices(["no", "yes"], ["u", "v"], 8000, {"no_": 0.5, "yes_": 0.4, "yes_v": 0.3})
    c = known.frames("yes", "u", size=6000, start=0, length=6400)
    assert c.shape == (100, known.size) and c.dtype == np.float32
    np.testing.assert_array_equal(c[:, :4], [[0, 1, 1, 0]] * 100)
    np.testing.assert_allclose(c[:, 4:16].sum(1), [1] * 94 + [0] * 6, atol=1e-6)
    place = c[:94, 4:16] @ np.arange(12) / 11
    np.testing.assert_allclose(place, (64 * np.arange(94) + 32) / 6000, atol=1e-6)
    np.testing.assert_array_equal(c[:, 16], [0] * 94 + [1] * 6)
    np.testing.assert_allclose(c[:, 17], np.log(2), rtol=1e-6)
    np.testing.assert_array_equal(known.frames("yes", "u", 6000, 640, 640), c[10:20])
    assert (known.seconds("yes", "v"), known.seconds("yes", "u"), known.seconds("no", "v")) == (0.3, 0.4, 0.5)


def test_the_embedded_digits_keep_their_split():
    """108 to train on, 12 that validate, 20 held out."""
    parts = recordings.load("excerpt", 8000, seed=0)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [108, 12, 20]
    known = voices.Voices.of(parts["train"], 8000)
    assert known.labels == [str(k) for k in range(10)] and len(known.speakers) == 2
    assert all(0.2 < known.seconds(k, v) < 0.9 for k in known.labels for v in known.speakers)
    again = recordings.load("excerpt", 8000, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(parts["train"].x, again["train"].x, strict=True))


def test_a_folder_of_wav_files_is_split_by_the_seed(run_folder):
    """A tenth is held out; the samples are those of the files."""
    write_words("words")
    parts = recordings.load("words", RATE, seed=0)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [20, 2, 2]
    found = {(one.tobytes(), k, v) for p in parts.values() for one, k, v in zip(p.x, p.labels, p.speakers, strict=True)}
    files = [(samples(f).tobytes(), *f.stem.split("_")[:2]) for f in Path("words").iterdir()]
    assert found == set(files)


# ---------------------------------------------------------------------------------------------------- training


def test_what_a_training_leaves(trained):
    """Files, and the bits of recordings that it has not heard."""
    assert set(os.listdir(trained / "out")) == {
        "checkpoints", "history.png", "metrics.json", "model.keras", "voices.json",
    }  # fmt: skip
    found = json.loads((trained / "out" / "metrics.json").read_text())
    assert found["recordings"] == {"train": 20, "validation": 2, "test": 2}
    assert found["epochs"] == 2 and found["receptive_field"] == 4
    model, known = speak.load(trained / "out")
    assert (known.labels, known.speakers, known.rate) == (["high", "low"], ["anna", "ben"], RATE)
    test = recordings.load(trained / "words", RATE, 0)["test"]
    total = windows.bits(model, test, known).sum()
    assert found["bits_per_sample"] == pytest.approx(total / test.samples, rel=1e-5)
    assert 0 < found["bits_per_sample"] < 8.1


def test_what_is_said(trained, run_folder, monkeypatch, capsys):
    """Of the length asked for, the same for a seed, by any voice; its spectrogram beside it."""
    model, made, asked, stream = trained / "out", [], [], WaveNet.stream
    spy = lambda self, n, c, **own: asked.append(c[0, :4].tolist()) or stream(self, n, c, **own)  # noqa: E731
    monkeypatch.setattr(WaveNet, "stream", spy)
    for name, own in (("a", []), ("b", []), ("c", ["--seed", 1]), ("d", ["--voice", "ben"])):
        arguments = ["speak", "high", "low", "--seconds", 0.05, "--model", model, "-o", f"{name}.wav", *own]
        _, said = run(capsys, *arguments)
        made.append(samples(f"{name}.wav"))
    assert "low by ben: 0.05 of 0.05 s" in said and "400 samples, 0.10 s, in d.wav" in said
    assert all(len(x) == 400 for x in made)
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    assert asked == 3 * [[1, 0, 1, 0], [0, 1, 1, 0]] + [[1, 0, 0, 1], [0, 1, 0, 1]]
    assert sorted(os.listdir()) == sorted(f"{n}.{e}" for n in "abcd" for e in ("png", "wav"))


def test_a_stream_is_the_file(trained, run_folder, capfdbinary):
    """Raw 16 bits, and nothing else, on stdout."""
    arguments = ["speak", "high", "--seconds", "0.08", "--model", str(trained / "out" / "model.keras"), "-o"]
    assert main([*arguments, "said.wav"]) == 0
    capfdbinary.readouterr()
    assert main([*arguments, "-"]) == 0
    np.testing.assert_array_equal(np.frombuffer(capfdbinary.readouterr().out, "<i2"), samples("said.wav"))


def test_a_recording_is_gone_on_with(trained, run_folder, capsys):
    """It stays as it was; what comes after depends on it; another rate and stereo are converted, with a notice."""
    begun = recordings.integers(0.3 * np.sin(np.arange(301) / 4))
    command = ["--label", "low", "--seconds", 0.08, "-o", "made/whole.wav", "--model", trained / "out"]
    write_wav("begun.wav", begun, RATE)
    run(capsys, "continue", "begun.wav", *command)
    found = samples("made/whole.wav")
    np.testing.assert_array_equal(found[:301], begun)
    assert len(found) == 320 and Path("made/whole.png").exists()
    with wave.open("stereo.wav", "wb") as stream:
        stream.setparams((2, 2, 2 * RATE, 0, "NONE", ""))
        stream.writeframes(np.repeat(begun, 4).astype("<i2").tobytes())
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        run(capsys, "continue", "stereo.wav", *command)
    said = " ".join(str(w.message) for w in notices)
    assert "the mean of 2 channels" in said and "resampled from 8000 to 4000" in said
    assert len(samples("made/whole.wav")) == 320


@pytest.mark.filterwarnings("ignore:This training had ended")
def test_a_resumed_training_is_the_uninterrupted_one(trained, run_folder, monkeypatch, capsys):
    """Ctrl-C saves, and the same command ends with the same weights; other options or recordings are refused."""
    write_words("words")
    command = ["train", "words", *SMALL, "-o", "out"]
    with _eager_on_tensorflow():
        steps, before = iter(range(100)), signal.signal(signal.SIGINT, signal.default_int_handler)
        with monkeypatch.context() as patch:
            press = lambda self, batch, logs=None: next(steps) == 6 and signal.raise_signal(signal.SIGINT)  # noqa: E731
            patch.setattr(keras.callbacks.EarlyStopping, "on_train_batch_begin", press)
            said = run(capsys, *command, code=130)[1]
        assert "20 recordings of more than --length 320 samples" in said and "saved; the same command goes on" in said
        assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
        assert not Path("out/model.keras").exists()
        assert "Training goes on in epoch" in run(capsys, *command)[0]
        figures = Path("out/metrics.json").read_text()
        assert "Nothing was left" in run(capsys, *command)[0] and Path("out/metrics.json").read_text() == figures
    models = [speak.load(folder)[0] for folder in (trained / "out", "out")]
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "--rate 1.0, before 0.002" in run(capsys, *command, "--rate", 1, code=1)[1]
    write_wav("words/low_ben_0.wav", np.full(400, 0.1), RATE)
    assert "other recordings than before" in run(capsys, *command, code=1)[1]


# --------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["none"], 1, "none: no such file; expected a folder of wav files, fsdd.npz, or one of excerpt, spoken_digits"),
        (["few"], 1, "few: 2 wav files in it; expected at least 10"),
        (["names"], 1, "names/seven.wav: expected a name such as seven_anna_0.wav"),
        (["damaged"], 1, "damaged/low_ben_1.wav"),
        (["excerpt"], 1, "--sample-rate 4000: excerpt has 8000"),
        (["words", "--length", "4"], 2, "expected a multiple of 64, and at least 64 more than the 4 samples"),
        (["words", "--rate", "0"], 2, "a number above 0"),
        (["words", "-o", "words/low_ben_0.wav"], 1, "low_ben_0.wav: cannot be written to"),
    ],
    ids=range(8),
)
def test_trainings_that_cannot_be_made(run_folder, monkeypatch, capsys, arguments, code, message):
    """Said before the first step, in a line, and nothing is left behind."""
    write_words("words")
    write_words("names")
    write_words("damaged")
    Path("names/low_ben_0.wav").rename("names/seven.wav")
    Path("damaged/low_ben_1.wav").write_bytes(b"RIFF")
    Path("few").mkdir()
    for file in ("low_ben_0.wav", "low_ben_1.wav"):
        Path("few", file).write_bytes(Path("words", file).read_bytes())
    monkeypatch.setattr(WaveNet, "fit", None)
    assert message in run(capsys, "train", "-o", "out", *SMALL, *arguments, code=code)[1]
    assert not Path("out").exists()


def test_a_label_of_which_all_is_held_out_is_named(run_folder):
    """Of one recording, by a seed that takes it."""
    write_words("words")
    Path("words/low_ben_5.wav").rename("words/rare_ben_0.wav")
    seed = next(s for s in range(1000) if 23 in np.random.default_rng(s).permutation(24)[:2])
    with pytest.raises(Failure, match="no recording to train on is left of the label 'rare'"):
        recordings.load("words", RATE, seed)


def test_models_and_files_that_cannot_be_used(trained, run_folder, capsys):
    """Each is named, before anything is computed."""
    model = trained / "out"
    for name in ("empty", "other"):
        Path(name).mkdir()
    Path("other/voices.json").write_bytes((model / "voices.json").read_bytes())
    VAE((3,), 2, seed=0).save("other/model.keras")
    Path("text.wav").write_text("text")
    write_wav("long.wav", np.zeros(400), RATE)
    write_wav("part.wav", np.zeros(240), RATE)
    go_on = ["continue", "--model", model, "-o", "new.wav", "--label", "low"]
    for arguments, message in (
        (["speak", "low", "--model", "empty", "-o", "new.wav"], "empty: no voices.json in it"),
        (["speak", "low", "--model", "other", "-o", "new.wav"], "expected a WaveNet that is told 18 numbers a frame"),
        (["speak", "up", "--model", model, "-o", "new.wav"], "label 'up': the model has not learned it; expected one"),
        (["speak", "low", "--model", model, "-o", "new.mp3"], "new.mp3: expected a name that ends with .wav"),
        (["speak", "low", "--model", model, "-o", "text.wav/x.wav"], "cannot be written to"),
        (["speak", "low", "--model", model, "-o", "new.wav", "--seconds", 1], "--seconds 1: expected at most 0.080"),
        ([*go_on, "long.wav"], "0.08 s of the whole. Give its beginning: the model knows 0.08 s, by --length"),
        ([*go_on, "part.wav", "--seconds", 0.05], "Give --seconds above 0.06, 0.08 at most, or its beginning"),
        ([*go_on, "none.wav"], "none.wav: no such file"),
        ([*go_on, "text.wav"], "text.wav"),
        ([*go_on, "text.wav", "--voice", "carl"], "--voice 'carl': the model has not learned it"),
    ):
        assert message in run(capsys, *arguments, code=1)[1]
    assert sorted(os.listdir()) == ["empty", "long.wav", "other", "part.wav", "text.wav"]
    Path("other/voices.json").write_text("{}")
    assert "voices.json: cannot be read" in run(capsys, "speak", 1, "--model", "other", "-o", "new.wav", code=1)[1]
    assert "usage:" in run(capsys, "speak", 1, "--seconds", 0, code=2)[1]


def test_names_and_voices_are_checked_at_the_boundary(tmp_path):
    """A file of voices that is none is refused."""
    durations = '"durations": {"1_": 0.3}}'
    for content in ("[]", '{"labels": [1], "speakers": ["a"], "rate": 8000, ' + durations, "x"):
        (tmp_path / "voices.json").write_text(content)
        with pytest.raises(Failure, match="voices.json: cannot be read"):
            voices.Voices.read(tmp_path / "voices.json")


def test_runs_as_a_module(run_folder, monkeypatch, capsys):
    """`python -m applications.speech` ends with the exit code."""
    monkeypatch.delitem(sys.modules, "applications.speech.__main__")
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["", "speak", "1", "--model", "none", "-o", "new.wav"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("applications.speech", run_name="__main__")
    assert ended.value.code == 1 and "none: no voices.json" in capsys.readouterr().err
