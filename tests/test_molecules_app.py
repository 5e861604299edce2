"""The program `applications.molecules` keeps its word on molecules, with RDKit and without it."""

import functools
import gzip
import json
import os
import runpy
import signal
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from applications import sequences
from applications.files import Failure
from applications.molecules import chemistry, sets
from applications.molecules.__main__ import main
from applications.molecules.train import encoded
from keras_gen.datasets import molecules
from keras_gen.models import AutoregressiveModel, CharRNN

SMALL = ["--width", "4", "--steps", "6", "--every", "3", "--batch-size", "4"]
needs_rdkit = pytest.mark.skipif(find_spec("rdkit") is None, reason="needs RDKit")


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
    """The folder of a training on short molecules."""
    folder = tmp_path_factory.mktemp("molecules")
    (folder / "some.smi").write_text("\n".join(f"{s} name" for s in molecules.load_small()[0][:60]) + "\n\n")
    with _eager_on_tensorflow():
        assert main(["train", str(folder / "some.smi"), *SMALL, "-o", str(folder / "out")]) == 0
    return folder


def run(capsys, *arguments, code=0):
    """What a command that ends with `code` says on stdout and stderr."""
    capsys.readouterr()
    ended = main([str(a) for a in arguments])
    said = capsys.readouterr()
    assert ended == code, said.err
    assert "Traceback" not in said.err
    return said.out, said.err


# -------------------------------------------------------------------------------------------------------- sets


def test_a_file_is_read_and_split(tmp_path):
    """The first word of a line, gzipped or not; no molecule is in both parts; the same for a seed."""
    file = tmp_path / "m.smi"
    file.write_bytes(gzip.compress(b"\n".join(b"C" * i + b" x" for i in range(1, 41)) + b"\nC\n\n"))
    assert sets.read(file)[:2] == ["C", "CC"] and len(sets.read(file)) == 41
    train, test = sets.load(file, 0)
    assert (len(train), len(test)) == (36, 4) and len({*train, *test}) == 40
    assert (train, test) == sets.load(file, 0) != sets.load(file, 1)
    assert sets.load("small", 0) == molecules.load_small()


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "no such file; expected SMILES, a molecule a line, or small, qm9, zinc250k"),
        (b"C\nCC\n", "2 different molecules; at least 20"),
        (b"C\nC!C\n", "line 2: .*'!' at position 1"),
        (b"\xff\xfe", "cannot be read"),
        (b"\x1f\x8bxxxxxxxxxxxxxxxxxxx", "cannot be read"),
    ],
    ids=range(5),
)
def test_files_that_hold_no_molecules_are_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "m.smi").write_bytes(content)
    with pytest.raises(Failure, match=f"m.smi.*{message}"):
        sets.load(tmp_path / "m.smi", 0)


def test_tokens_are_those_of_chemistry_or_characters():
    """Each row ends; what is decoded is the molecule."""
    parts = (["CCl", "C[nH]C"], ["BrC"])
    for tokens, size, length in (("smiles", 5, 4), ("characters", 9, 7)):
        vocabulary, train, test = encoded(*parts, tokens)
        assert len(vocabulary) == size and train.shape == (2, length) and test.shape == (1, length)
        assert (vocabulary.decode(train, "<end>"), vocabulary.decode(test, "<end>")) == parts


# --------------------------------------------------------------------------------------------------- chemistry


@needs_rdkit
def test_figures_by_their_definitions():
    """Of valid strings, of distinct molecules, of those not learned from; nothing to divide by is None."""
    smiles = ["OCC", "C(C)O", "CCO", "c1ccccc1", "C1CC", "", "C(", "N"]
    found, distinct = chemistry.figures(smiles, {"CCO"})
    assert distinct == ["CCO", "c1ccccc1", "N"]
    assert found["validity"] == 5 / 8 and found["uniqueness"] == 3 / 5 and found["novelty"] == 2 / 3
    assert (found["written"], found["valid"], found["distinct"], found["new"]) == (8, 5, 3, 2)
    found, _ = chemistry.figures(["C("], set())
    assert (found["validity"], found["uniqueness"], found["novelty"]) == (0.0, None, None)


@needs_rdkit
def test_the_embedded_molecules_are_molecules():
    """All that the rules write is one molecule, and no two are the same."""
    train, test = molecules.load_small()
    found, distinct = chemistry.figures(train + test, set())
    assert found["validity"] == 1.0 and len(distinct) == len(train) + len(test)


# ---------------------------------------------------------------------------------------------------- programs


def test_what_a_training_leaves(trained):
    """Files, and figures of the molecules that it has not seen."""
    written = {"checkpoints", "learned.smi", "metrics.json", "model.keras", "vocabulary.json"}
    assert set(os.listdir(trained / "out")) >= written
    found = json.loads((trained / "out" / "metrics.json").read_text())
    assert found["molecules_held_out"] == 6 and found["best_validation"] in (1, 2)
    model, vocabulary = sequences.load(trained / "out")
    train, test = sets.load(trained / "some.smi", 0)
    assert (trained / "out" / "learned.smi").read_text().split() == train
    log_p = model.log_prob(vocabulary.encode_lines(test, model.length))
    assert found["nats_a_molecule"] == pytest.approx(-log_p.mean(), rel=1e-5)
    tokens = sum(len(vocabulary.encode(s)) + 1 for s in test)
    assert found["nats_a_token"] == pytest.approx(-log_p.sum() / tokens, rel=1e-5)


def test_sample_writes_strings_and_without_rdkit_it_says_what_to_install(trained, run_folder, monkeypatch, capsys):
    """The same for a seed; before anything is written RDKit is asked for, and `--no-rdkit` does without it."""
    monkeypatch.setattr(sequences, "load", functools.cache(sequences.load))
    command = ["sample", "-n", 20, "--model", trained / "out", "-o", "made/new.smi"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "rdkit", None)
        said = run(capsys, *command, code=1)[1]
        assert "pip install 'keras_gen[molecules]'" in said and not Path("made").exists()
        assert "20 strings in made/new.smi" in run(capsys, *command, "--no-rdkit")[1]
    first = Path("made/new.smi").read_text()
    assert first.count("\n") == 20 and "<end>" not in first and os.listdir("made") == ["new.smi"]
    run(capsys, *command, "--no-rdkit", "--top-k", 500)
    assert Path("made/new.smi").read_text() == first
    run(capsys, *command, "--no-rdkit", "--seed", 1)
    assert Path("made/new.smi").read_text() != first


@needs_rdkit
def test_samples_are_judged_and_drawn(trained, run_folder, monkeypatch, capsys):
    """A picture of those that are molecules; what was learned from is made canonical once, and none of it is new."""
    from PIL import Image

    _, vocabulary = sequences.load(trained / "out")
    known = [s for s in (trained / "out" / "learned.smi").read_text().split() if s != "C"][:4]
    strings = [*known, known[0], "CCCCCCCCC", "C(", "C="]
    rows = vocabulary.encode_lines(strings, 12)
    monkeypatch.setattr(CharRNN, "sample", lambda self, n, **_: rows[:n])
    command = ["sample", "-n", len(strings), "--model", trained / "out", "-o", "new.smi"]
    out, said = run(capsys, *command)
    assert "of 8 strings 6 are molecules, 5 different ones, 1 of these new" in out
    assert "validity 0.750  uniqueness 0.833  novelty 0.200" in out
    assert "once" in said and "the first 5 in new.png" in said
    assert Path("new.smi").read_text().splitlines() == strings
    with Image.open("new.png") as picture:
        assert picture.size == (8 * chemistry.SIDE, chemistry.SIDE)
    os.remove("new.png")
    assert "once" not in run(capsys, *command, "--drawn", 0)[1] and not Path("new.png").exists()


@pytest.mark.filterwarnings("ignore:This training had ended")
def test_a_resumed_training_is_the_uninterrupted_one(trained, run_folder, monkeypatch, capsys):
    """Ctrl-C saves, and the same command ends with the same weights; other molecules are refused."""
    command = ["train", trained / "some.smi", *SMALL, "-o", "out"]
    with _eager_on_tensorflow():
        steps, before = iter(range(100)), signal.signal(signal.SIGINT, signal.default_int_handler)
        with monkeypatch.context() as patch:
            press = lambda self, batch, logs=None: next(steps) == 4 and signal.raise_signal(signal.SIGINT)  # noqa: E731
            patch.setattr(keras.callbacks.EarlyStopping, "on_train_batch_begin", press)
            assert "saved; the same command goes on" in run(capsys, *command, code=130)[1]
        signal.signal(signal.SIGINT, before)
        assert "goes on in epoch 2 after 1 steps" in run(capsys, *command)[0]
    models = [sequences.load(folder)[0] for folder in (trained / "out", "out")]
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "--tokens characters, before smiles" in run(capsys, *command, "--tokens", "characters", code=1)[1]


def test_what_cannot_be_used_is_named(trained, run_folder, capsys):
    Path("empty").mkdir()
    Path("folder.smi").mkdir()
    (Path("text") / "x").mkdir(parents=True)
    model = CharRNN((4,), 3, units=(4,))
    model.save("text/model.keras")
    Path("text/vocabulary.json").write_text('{"tokens": ["a", "b", "c"], "special": [], "tokenizer": "characters"}')
    sample = ["sample", "--no-rdkit", "-o", "new.smi", "--model"]
    for arguments, code, message in (
        (["train", "none.smi", "-o", "out"], 1, "none.smi: no such file"),
        (["train", "-o", "out", "--model", "lstm", "--heads", 2], 2, "--model lstm has no --heads"),
        ([*sample, "empty"], 1, "empty: no vocabulary.json in it"),
        ([*sample, "text"], 1, "expected a model of molecules, whose sequences end"),
        ([*sample, trained / "out", "-o", "folder.smi"], 1, "it is a folder"),
        ([*sample, trained / "out", "-n", 0], 2, "at least 1, not '0'"),
    ):
        assert message in run(capsys, *arguments, code=code)[1]
    assert not Path("out").exists() and not Path("new.smi").exists()


def test_runs_as_a_module(run_folder, monkeypatch, capsys):
    """`python -m applications.molecules` ends with the exit code."""
    monkeypatch.delitem(sys.modules, "applications.molecules.__main__")
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["", "sample", "--no-rdkit", "--model", "none", "-o", "x.smi"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("applications.molecules", run_name="__main__")
    assert ended.value.code == 1 and "none: no vocabulary.json" in capsys.readouterr().err
