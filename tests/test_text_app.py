"""The program `applications.text` keeps its word on texts and prompts, good and bad."""

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

from applications import sequences
from applications.files import Failure
from applications.text import apply, texts
from applications.text.__main__ import main
from keras_gen.datasets import Vocabulary
from keras_gen.models import AutoregressiveModel, CausalTransformer, CharRNN

TEXT = "Ein Käfer, ein Faß; \nder Käfer im Faß.\n" * 12
SMALL = ["--model", "gru", "--width", "4", "--length", "7", "--steps", "6", "--every", "3", "--batch-size", "2"]


class _eager_on_tensorflow:
    """A graph costs seconds there."""

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        if keras.config.backend() == "tensorflow":
            compiled = AutoregressiveModel.compile
            self.patch.setattr(AutoregressiveModel, "compile", lambda self, o: compiled(self, o, run_eagerly=True))

    def __exit__(self, *_):
        self.patch.undo()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a text and of a training on it."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    with _eager_on_tensorflow():
        assert main(["train", str(folder / "text.txt"), *SMALL, "-o", str(folder / "out")]) == 0
    return folder


def run(capsys, *arguments, code=0):
    """What a command that ends with `code` says on stdout and stderr."""
    capsys.readouterr()
    ended = main([str(a) for a in arguments])
    said = capsys.readouterr()
    assert ended == code, said.err
    assert "Traceback" not in said.err
    return said.out, said.err


@pytest.fixture
def loaded_once(monkeypatch):
    """A model is read once, so that what is compiled for it serves again."""
    monkeypatch.setattr(apply.sequences, "load", functools.cache(sequences.load))


@pytest.fixture(scope="module")
def attention():
    return CausalTransformer((9,), 5, width=8, depth=1, heads=2)


def rnn(length=8, seed=0):
    keras.utils.set_random_seed(seed)
    return CharRNN((length,), 5, units=(4,), cell="gru", embedding_size=4)


# ------------------------------------------------------------------------------------------------------- texts


def test_a_text_is_read_and_its_last_tenth_held_out(tmp_path):
    """UTF-8, with a byte order mark and the lines of Windows or without; the embedded text is there without a file."""
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert texts.read(tmp_path / "t.txt") == TEXT
    train, test = texts.split(TEXT, 7, "t.txt")
    assert train + test == TEXT and len(train) == int(0.9 * len(TEXT))
    assert len(texts.read(None)) == 99_844
    (tmp_path / "t.txt").write_bytes(b"a\xff")
    for file, message in ((tmp_path / "t.txt", "no text in UTF-8, from byte 1 on"), (tmp_path, "cannot be read")):
        with pytest.raises(Failure, match=message):
            texts.read(file)
    with pytest.raises(Failure, match="89 characters; at least 90"):
        texts.split("a" * 89, 7, "t.txt")


def test_pieces_are_windows_at_any_place_and_functions_of_their_number():
    """Batch i of pass p by (seed, p, i) alone; the first and the last window are among them."""
    tokens = np.arange(10, dtype="int32")
    data = texts.Pieces(tokens, 4, 64, 3)
    x = data.at(0, 1, 5)
    np.testing.assert_array_equal(x, data.at(0, 1, 5))
    assert x.shape == (64, 4) and x.dtype == np.int32 and (np.diff(x, axis=1) == 1).all()
    assert set(x[:, 0]) == set(range(7))
    others = [data.at(1, 1, 5), data.at(0, 2, 5), data.at(0, 1, 6)]
    assert all((x != other).any() for other in others)


@pytest.mark.parametrize("n", [2, 8, 9, 15, 16, 30])
def test_each_character_but_the_first_is_scored_once(n):
    """In windows that begin with the last character of the one before; what is beyond the end does not count."""
    model, tokens = rnn(), np.random.default_rng(n).integers(5, size=n).astype("int32")
    found = texts.nats(model, tokens)
    assert found.shape == (n - 1,) and found.dtype == np.float64
    expected = []
    for start in range(0, n - 1, 7):
        part = tokens[start : start + 8]
        padded = np.concatenate([part, np.full(8 - len(part), 3, "int32")])
        expected.append(-model.stepwise_log_prob(padded[None])[0, 1 : len(part)])
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-5)
    if n == 15:
        x = np.stack([tokens[:8], tokens[7:]])
        assert found.sum() == pytest.approx(-model.log_prob(x, context=1).sum(), rel=1e-5)


def test_unknown_characters_are_named():
    vocabulary = Vocabulary.of("abc", special=())
    assert texts.encoded(vocabulary, "cab", "x").tolist() == [2, 0, 1]
    with pytest.raises(Failure, match="--prompt: the model does not know 'x' 'y'; it knows 'abc'"):
        texts.encoded(vocabulary, "abxyx", "--prompt")
    with pytest.raises(Failure, match="and 18 more"):
        texts.encoded(vocabulary, "defghijklmnopqrstuvwxyz012", "--prompt")


# ----------------------------------------------------------------------------------------------------- samples


def test_recurrent_cells_write_on_as_sample_does():
    """What is written after the prompt is `sample` with it as the prime, of any length."""
    model, prompt = rnn(), np.array([1, 2, 3], "int32")
    found = np.concatenate(list(apply.written(model, prompt, 18, 7, {"temperature": 0.9})))
    np.testing.assert_array_equal(found, model.sample(1, length=21, prime=prompt, seed=7, temperature=0.9)[0, 3:])


@pytest.mark.parametrize("first", [0, 3, 20])
def test_attention_writes_in_windows(attention, first):
    """The first window is that of `sample`; each other one is primed by half a window of what came before."""
    model = attention
    prompt = np.random.default_rng(0).integers(5, size=first).astype("int32")
    found = np.concatenate(list(apply.written(model, prompt, 18, 7, {"top_k": 3})))
    assert found.shape == (18,)
    text = np.concatenate([prompt, found])
    place, number = first, 0
    while place < len(text):
        prime = text[:place] if place < 8 else text[place - 4 : place]
        given = {"prime": prime} if len(prime) else {}
        window = model.sample(1, length=8, seed=apply.seeds(7, number), top_k=3, **given)[0, len(prime) :]
        np.testing.assert_array_equal(text[place : place + len(window)], window[: len(text) - place])
        place, number = place + len(window), number + 1


# ---------------------------------------------------------------------------------------------------- programs


def test_what_a_training_leaves(trained, capsys):
    """Files, and figures of the tenth that it has not seen; `score` gives the same of that tenth."""
    written = {"checkpoints", "metrics.json", "model.keras", "vocabulary.json"}
    assert set(os.listdir(trained / "out")) == written
    found = json.loads((trained / "out" / "metrics.json").read_text())
    assert found["characters_held_out"] == len(TEXT) - int(0.9 * len(TEXT)) and found["best_validation"] in (1, 2)
    assert found["bits_a_character"] == pytest.approx(found["nats_a_character"] / np.log(2))
    (trained / "end.txt").write_text(TEXT[int(0.9 * len(TEXT)) :], encoding="utf-8")
    out, said = run(capsys, "score", trained / "end.txt", "--model", trained / "out")
    assert float(out.split()[0]) == pytest.approx(found["bits_a_character"], abs=1e-4)
    assert f"{found['characters_held_out'] - 1} characters after the first" in said


def test_sample_prints_the_prompt_and_so_many_characters(trained, loaded_once, capsys):
    """The same for a seed, another for another; without a prompt, too."""
    command = ["sample", "--model", trained / "out" / "model.keras", "--prompt", "er Käfer", "--length", 8]
    out = run(capsys, *command)[0]
    assert out.startswith("er Käfer") and len(out) == 8 + 8 + 1 and set(out) <= set(TEXT)
    assert run(capsys, *command)[0] == out != run(capsys, *command, "--seed", 1)[0]
    assert len(run(capsys, *command, "--prompt", "", "--top-k", 500, "--top-p", 0.9)[0]) == 9
    greedy = [run(capsys, *command, "--temperature", 0, "--seed", seed)[0] for seed in (0, 1)]
    assert greedy[0] == greedy[1]


def test_a_resumed_training_is_the_uninterrupted_one(trained, run_folder, monkeypatch, capsys):
    """Ctrl-C saves, and the same command ends with the same weights; other options or texts are refused by name."""
    command = ["train", trained / "text.txt", *SMALL, "-o", "out"]
    with _eager_on_tensorflow():
        steps, before = iter(range(100)), signal.signal(signal.SIGINT, signal.default_int_handler)
        with monkeypatch.context() as patch:
            press = lambda self, batch, logs=None: next(steps) == 4 and signal.raise_signal(signal.SIGINT)  # noqa: E731
            patch.setattr(keras.callbacks.EarlyStopping, "on_train_batch_begin", press)
            out, said = run(capsys, *command, code=130)
            assert "saved; the same command goes on" in said and "Ctrl-C" in said and "SIGTERM" not in out + said
        signal.signal(signal.SIGINT, before)
        assert not Path("out/model.keras").exists()
        assert "goes on in epoch 2 after 1 steps" in run(capsys, *command)[0]
        figures = Path("out/metrics.json").read_text()
        out, said = run(capsys, *command)
        assert "Nothing was left" in out and Path("out/metrics.json").read_text() == figures
        assert "this training had ended after --steps 6; for another one give another --output" in said
        assert "more epochs" not in out + said
    models = [sequences.load(folder)[0] for folder in (trained / "out", "out")]
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "--rate 0.5, before 0.001" in run(capsys, *command, "--rate", 0.5, code=1)[1]
    Path("other.txt").write_text(TEXT * 2, encoding="utf-8")
    command[1] = "other.txt"
    assert "holds another training: FILE" in run(capsys, *command, code=1)[1]


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["none.txt"], 1, "none.txt: cannot be read: No such file"),
        (["few.txt"], 1, "few.txt: 50 characters; at least 90 are needed at --length 7"),
        (["text.txt", "--heads", "2"], 2, "--model gru has no --heads"),
        (["text.txt", "--model", "transformer"], 2, "--heads 4 must divide half of --width 4"),
        (["text.txt", "--dropout", "1"], 2, "below 1, not '1'"),
        (["text.txt", "--steps", "0"], 2, "a whole number of at least 1, not '0'"),
        (["text.txt", "--rate", "nan"], 2, "a number above 0, not 'nan'"),
        (["text.txt", "-o", "few.txt"], 1, "few.txt: cannot be written to"),
    ],
    ids=range(8),
)
def test_trainings_that_cannot_be_made(run_folder, monkeypatch, capsys, arguments, code, message):
    """Said before the first step, in a line, and nothing is left behind."""
    Path("text.txt").write_text(TEXT, encoding="utf-8")
    Path("few.txt").write_text(TEXT[:50], encoding="utf-8")
    monkeypatch.setattr(CharRNN, "fit", None)
    assert message in run(capsys, "train", *SMALL, "-o", "out", *arguments, code=code)[1]
    assert not Path("out").exists()


def test_models_prompts_and_texts_that_cannot_be_used(trained, run_folder, capsys):
    """Each is named before anything is printed."""
    for name in ("empty", "other"):
        Path(name).mkdir()
    Path("other/vocabulary.json").write_text(Vocabulary.of("abcdefg", special=()).to_json())
    rnn().save("other/model.keras")
    Path("x.txt").write_text("xyz")
    Path("one.txt").write_text("e")
    model = trained / "out"
    for arguments, message in (
        (["sample", "--model", "empty"], "empty: no vocabulary.json in it"),
        (["sample", "--model", "other"], "expected an autoregressive model of 7 tokens"),
        (["sample", "--model", model, "--prompt", "Qed"], "--prompt: the model does not know 'Q'"),
        (["score", "x.txt", "--model", model], "x.txt: the model does not know 'x' 'y' 'z'"),
        (["score", "one.txt", "--model", model], "one.txt: 1 character; the first one is given"),
    ):
        out, said = run(capsys, *arguments, code=1)
        assert message in said and not out
    Path("other/vocabulary.json").write_text("{}")
    assert "vocabulary.json: cannot be read" in run(capsys, "sample", "--model", "other", code=1)[1]
    assert "at most 1, not '2'" in run(capsys, "sample", "--model", model, "--top-p", 2, code=2)[1]


def test_runs_as_a_module(run_folder, monkeypatch, capsys):
    """`python -m applications.text` ends with the exit code."""
    monkeypatch.delitem(sys.modules, "applications.text.__main__")
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["", "sample", "--model", "none"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("applications.text", run_name="__main__")
    assert ended.value.code == 1 and "none: no vocabulary.json" in capsys.readouterr().err
