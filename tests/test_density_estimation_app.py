"""The program `applications.density_estimation` keeps its word on good tables and on bad ones."""

import json
import os
import runpy
import signal
import sys
import types
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.stats

from applications.density_estimation import apply, columns, csv_files, evaluate, pictures, rows, tables, train
from applications.density_estimation.__main__ import FLOWS, TOYS, main
from applications.files import Failure, Usage
from keras_gen.datasets import toys
from keras_gen.models import VAE, NormalizingFlow

SMALL = ["--flow", "realnvp", "--steps", "2", "--units", "4", "--epochs", "2", "--batch-size", "100"]
GIVEN = ["--condition", "kind", "age", "--drop", "id"]


def some_rows(n=240, seed=0):
    """id; a, b, c in their own units; kind and age, on which a depends."""
    rng = np.random.default_rng(seed)
    kind, age = rng.integers(2, size=n), rng.normal(40.0, 10.0, n)
    a = 1000.0 + 50.0 * kind + 3.0 * age + 5.0 * rng.normal(size=n)
    b, c = 0.01 * rng.normal(size=n), rng.normal(size=n) ** 2
    return [[i, *numbers, ("red", "blue")[k]] for i, (*numbers, k) in enumerate(zip(a, b, c, age, kind, strict=True))]


def write_table(file, content, header=("id", "a", "b", "c", "age", "kind"), delimiter=","):
    lines = [delimiter.join(map(str, row)) for row in ([header] if header else []) + list(content)]
    Path(file).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training on the table: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("density")
    write_table(folder / "table.csv", some_rows())
    with _eager_on_tensorflow():
        assert main(["train", str(folder / "table.csv"), *GIVEN, *SMALL, "-o", str(folder / "out")]) == 0
    return folder


class _eager_on_tensorflow:
    """A graph costs seconds there."""

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        if keras.config.backend() == "tensorflow":
            compiled = NormalizingFlow.compile
            self.patch.setattr(NormalizingFlow, "compile", lambda self, o: compiled(self, o, run_eagerly=True))

    def __exit__(self, *_):
        self.patch.undo()


def run(capsys, *arguments, code=0):
    """The lines on stdout and stderr of a command that ends with `code`."""
    capsys.readouterr()
    ended = main([str(a) for a in arguments])
    said = capsys.readouterr()
    assert ended == code, said.err
    assert "Traceback" not in said.err
    return said.out, said.err


# ------------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize(
    "text, names, second",
    [
        ("a,b\n1,2\n3,4\n", ["a", "b"], [2, 4]),
        ("1,2\n3,4\n", ["column1", "column2"], [2, 4]),
        ("\ufeffa;b\r\n1,5;2,5\r\n3;-4e1\r\n", ["a", "b"], [2.5, -40]),
        ("a\tb\n1\tNA\n3\t?\n", ["a", "b"], [np.nan, np.nan]),
        ("1  2.5\n 3   4\n", ["column1", "column2"], [2.5, 4]),
        ('"a, first",a,a\n"1",2,9\n\n3,4,9', ["a, first", "a", "a_2"], [2, 4]),
        ("a,b\n1,2,\n3,4,\n", ["a", "b"], [2, 4]),
        (",b\n1,inf\n", ["column1", "b"], [np.inf]),
        ("a\n1\n2\n", ["a"], None),
        ("x,1\ny,2\n", ["column1", "column2"], [1, 2]),
        ("a,b\nx,?\n", ["a", "b"], [np.nan]),
    ],
    ids=range(11),
)
def test_a_table_is_read_whatever_its_form(tmp_path, text, names, second):
    """Delimiters, decimal commas, headers or none, quotes, byte order marks, empty lines, blanks at the ends."""
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    table = csv_files.read(tmp_path / "t.csv")
    assert list(table.columns) == names
    if second is not None:
        np.testing.assert_array_equal(table.numbers(names[1]), second)


def test_a_header_of_numbers_and_another_encoding_are_asked_for(tmp_path):
    """`--header yes`, `--encoding latin-1`."""
    (tmp_path / "t.csv").write_bytes("2001,gr\xfcn\n1,2\n".encode("latin-1"))
    assert list(csv_files.read(tmp_path / "t.csv", "latin-1").columns) == ["2001", "gr\xfcn"]
    (tmp_path / "t.csv").write_text("2001,2002\n1,2\n")
    assert list(csv_files.read(tmp_path / "t.csv", header="yes").columns) == ["2001", "2002"]
    assert len(csv_files.read(tmp_path / "t.csv")) == 2


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "no such file"),
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"a,b\n", "no rows after the header a, b"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 cells, line 1 has 2"),
        (b"a,b\n\xff\xfe,2\n", "no text in utf-8, from byte 4 on.*--encoding latin-1"),
        (b"a,b\n1,\x002\n", "zero bytes"),
        (b"a\n" + b"9" * 200_000, "cannot be read as CSV: field larger"),
    ],
    ids=range(8),
)
def test_a_file_that_is_no_table_is_named(tmp_path, content, message):
    """With the line or the byte where it is one."""
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(Failure, match=f"t.csv: .*{message}"):
        csv_files.read(tmp_path / "t.csv")
    with pytest.raises(Failure, match="no regular file"):
        csv_files.read(tmp_path)


def numbers(seed=0, n=40, **more):
    rng = np.random.default_rng(seed)
    return tables.Numbers({"a": rng.normal(size=n), "b": 5.0 + rng.normal(size=n), **more}, list(range(n)), True)


def texts(**columns):
    n = len(next(iter(columns.values())))
    return tables.Table(columns, list(range(2, n + 2)), True)


def test_columns_are_chosen_by_name():
    """All but those that are dropped or given; an empty one is left out by itself."""
    table = texts(a=["1", "2"], b=["x", "y"], c=["3", "4"], d=["", "NA"])
    assert columns.choose(table, None, ["c"], ["b"]) == (["a"], ["b"])
    assert columns.choose(table, ["c", "a"], [], []) == (["c", "a"], [])
    with pytest.raises(Failure, match=r"hold text: 'b' \('x' in line 2\). Drop them \(--drop b\)"):
        columns.choose(table, None, [], [])
    with pytest.raises(Failure, match="no column 'z'; there are 'a', 'b', 'c', 'd'"):
        columns.choose(table, None, ["z"], [])
    with pytest.raises(Failure, match=r"no column of numbers is left to model: 'b' \('x' in line 2\)"):
        columns.choose(table, ["b"], [], [])
    with pytest.raises(Usage, match="column 'a': only one of"):
        columns.choose(table, None, ["a"], ["a"])


def test_rows_with_missing_values_are_left_out_and_counted(capsys):
    table = texts(a=["1", "", "inf", "4"], b=["1", "2", "3", "4"], c=["x", "y", "x", ""])
    np.testing.assert_array_equal(columns.usable(table, ["a", "b"], ["c"]), [True, False, False, False])
    assert "3 rows with missing or infinite values (2 in 'a', 1 in 'c')" in capsys.readouterr().err
    table = texts(**{**table.columns, "b": ["", "", "", "4"]})
    with pytest.raises(Failure, match="no row has a value in every column; missing: 3 in 'b', 2 in 'a', 1 in 'c'"):
        columns.usable(table, ["a", "b"], ["c"])


def test_columns_without_a_density_are_refused_by_name(capsys):
    """Constant ones, linear functions of others, conditions that do not vary; values that repeat are remarked on."""
    everything = np.ones(40, bool)
    table = numbers(**{"c d": np.full(40, 1e9)})
    with pytest.raises(Failure, match=r"constant in the rows to train on: 'c d'. .*drop it \(--drop 'c d'\)"):
        columns.fit(table, ["a", "b", "c d"], [], everything)
    table = numbers()
    table.columns["c"] = 2 * table.columns["a"] - table.columns["b"] + 7
    with pytest.raises(Failure, match="'c' is a linear function of 'a', 'b'.*--drop c"):
        columns.fit(table, ["a", "b", "c"], [], everything)
    table.columns["c"] = np.arange(40) % 3
    columns.fit(table, ["a", "b", "c"], [], everything)
    assert "few different values in 40 rows: 'c' 3." in capsys.readouterr().err
    table.columns["c"] = np.ones(40)
    with pytest.raises(Failure, match="condition 'c' is constant"):
        columns.fit(table, ["a"], ["c"], everything)
    names = tables.Table({"a": list(map(str, range(40))), "c": ["same"] * 40}, list(range(40)), True)
    with pytest.raises(Failure, match="condition 'c' has 1 classes; expected 2 to 100"):
        columns.fit(names, ["a"], ["c"], everything)


def test_the_scale_is_that_of_the_rows_to_train_on_and_comes_back():
    """z has mean 0 and deviation 1 there; x comes back to the seventh figure; the file holds all of it."""
    used = np.arange(40) < 30
    table = numbers(big=1e9 + 0.5 * np.random.default_rng(3).normal(size=40))
    known = columns.fit(table, ["a", "b", "big"], [], used)
    known = columns.Columns.from_dict(json.loads(json.dumps(known.to_dict())))
    z, c = known.standardized(table)
    assert c is None
    np.testing.assert_allclose([z[used].mean(0), z[used].std(0)], [[0] * 3, [1] * 3], atol=1e-6)
    back = known.restored(z.astype("float32"))
    for name, column in zip(known.names, back.T, strict=True):
        np.testing.assert_allclose(column, table.columns[name], rtol=0, atol=1e-6)


def test_texts_that_are_given_are_classes():
    """A column of 0 and 1 for each; an unknown or missing one is NaN."""
    table = texts(a=["1", "2", "4"], c=["y", "x", "y"])
    known = columns.fit(table, ["a"], ["c"], np.ones(3, bool))
    np.testing.assert_array_equal(known.standardized(table)[1], [[0, 1], [1, 0], [0, 1]])
    other = texts(a=["1", "2"], c=["z", ""])
    assert np.isnan(known.standardized(other)[1]).all()


# ---------------------------------------------------------------------------------------------------- training


def test_what_a_training_leaves(trained):
    """Files, and figures of rows that it has not seen."""
    written = {"checkpoints", "columns.json", "corner.png", "history.png", "metrics.json", "model.keras"}
    assert set(os.listdir(trained / "out")) == written
    found = json.loads((trained / "out" / "metrics.json").read_text())
    assert (found["columns"], found["conditions"]) == (["a", "b", "c"], ["kind", "age"])
    assert found["rows"] == {"test": 24, "validation": 24, "train": 192, "left_out": 0}
    assert found["epochs"] == 2 and found["best_epoch"] in (1, 2)
    nats = found["nats"]
    assert nats["gain"]["mean"] == pytest.approx(nats["flow"]["mean"] - nats["gaussian"]["mean"])


def test_scores_are_log_densities_of_the_data_in_their_own_units(trained, run_folder, capsys):
    """The scales of the columns are in them; held-out figures are means of scores.

    Columns come by name, whatever their order; rows without a value have no score.
    """
    model = trained / "out"
    out, said = run(capsys, "score", trained / "table.csv", "--model", model)
    scores = np.array(out.splitlines()[1:], float)
    assert len(scores) == 240 and out.startswith("log_density\n") and "do not know" in said.replace("does", "do")
    order = np.random.default_rng(0).permutation(240)[:24]
    figures = json.loads((model / "metrics.json").read_text())["nats"]
    assert scores[order].mean() == pytest.approx(figures["flow"]["mean"], abs=1e-4)
    known = json.loads((model / "columns.json").read_text())
    _, known_now = apply.load(model)
    assert known_now.log_det == pytest.approx(-np.log(known["scale"]).sum())
    shuffled = [[r[4], r[5], r[3], r[1], r[2]] for r in some_rows()[:3]]
    unknown = [[40, "red", 1, "", 0], [40, "green", 1, 1000, 0]]
    write_table("new.csv", shuffled + unknown, ("age", "kind", "c", "a", "b"), ";")
    _, said = run(capsys, "score", "new.csv", "--model", model, "-o", "made/scores.csv")
    found = Path("made/scores.csv").read_text().splitlines()
    np.testing.assert_allclose(np.array(found[1:4], float), scores[:3], atol=1e-4)
    assert found[4:] == ['""', '""'] and "2 rows without a density" in said and "3 log-densities" in said


def test_samples_follow_what_is_given(trained, run_folder, capsys):
    """In the columns and units of the table; the same for a seed; from a file without a header by place, too."""
    model, made = trained / "out", []
    for name, age in (("young", 20), ("old", 60), ("again", 60)):
        given = ["--given", "kind=red", f"age={age}"]
        run(capsys, "sample", "-n", 50, "--model", model / "model.keras", "-o", f"{name}.csv", *given)
        made.append(csv_files.read(f"{name}.csv"))
    assert list(made[0].columns) == ["a", "b", "c"] and len(made[0]) == 50
    young, old, again = (table.numbers("a") for table in made)
    np.testing.assert_array_equal(old, again)
    assert 950 < young.mean() < 1500 and young.mean() != old.mean()
    content = [[*x, "red", 60] for x in zip(*(made[1].numbers(n) for n in "abc"), strict=True)]
    write_table("plain.csv", content, None)
    out, said = run(capsys, "score", "plain.csv", "--model", model)
    assert len(out.splitlines()) == 51 and "has no header" in said


@pytest.mark.filterwarnings("ignore:This training had ended")
def test_a_resumed_training_is_the_uninterrupted_one(trained, run_folder, monkeypatch, capsys):
    """Ctrl-C saves, and the same command ends with the same weights; other options or rows are refused by name."""
    Path("table.csv").write_bytes((trained / "table.csv").read_bytes())
    command = ["train", "table.csv", *GIVEN, *SMALL, "-o", "out"]
    monkeypatch.setattr(pictures, "draw", lambda *_: None)
    with _eager_on_tensorflow():
        steps, before = iter(range(100)), signal.signal(signal.SIGINT, signal.default_int_handler)
        with monkeypatch.context() as patch:
            press = lambda self, batch, logs=None: next(steps) == 3 and signal.raise_signal(signal.SIGINT)  # noqa: E731
            patch.setattr(keras.callbacks.EarlyStopping, "on_train_batch_begin", press)
            assert "saved; the same command goes on" in run(capsys, *command, code=130)[1]
        assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
        assert not Path("out/model.keras").exists()
        assert "goes on in epoch 2 after 1 steps" in run(capsys, *command)[0]
        figures = Path("out/metrics.json").read_text()
        assert "Nothing was left" in run(capsys, *command)[0] and Path("out/metrics.json").read_text() == figures
    models = [apply.load(folder)[0] for folder in (trained / "out", "out")]
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "--rate 1.0, before 0.002" in run(capsys, *command, "--rate", 1, code=1)[1]
    write_table("table.csv", some_rows(seed=1))
    assert "on other rows" in run(capsys, *command, code=1)[1]


def options(**changes):
    base = {"flow": "maf", "steps": 1, "units": [4], "bins": None, "seed": 0, "batch_size": 8, "epochs": 1}
    return types.SimpleNamespace(**{**base, "rate": 1e-3, "holdout": 0.1, "validation": 0.1, **changes})


def test_the_gaussian_is_that_of_scipy_and_of_a_regression():
    """Without a condition N(mean, covariance); with one, its mean is a linear function of it."""
    rng = np.random.default_rng(0)
    z = (rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3))).astype("float32")
    a, b = rows.Part(z[:150], None), rows.Part(z[150:], None)
    normal = scipy.stats.multivariate_normal(a.z.mean(0), np.cov(a.z.T, ddof=0))
    np.testing.assert_allclose(evaluate.gaussian(a, b), normal.logpdf(b.z), rtol=1e-4)
    joint, given = normal, scipy.stats.norm(a.z[:, 2].mean(), a.z[:, 2].std())
    a, b = (rows.Part(part.z[:, :2], part.z[:, 2:]) for part in (a, b))
    expected = joint.logpdf(np.concatenate([b.z, b.c], 1)) - given.logpdf(b.c[:, 0])
    np.testing.assert_allclose(evaluate.gaussian(a, b), expected, rtol=1e-4)


def test_a_toy_has_a_highest_mean_and_pictures_of_one_and_two_columns(tmp_path):
    """The identity's density is N(mean, deviations); of a toy the entropy is known."""
    table = rows.load(types.SimpleNamespace(data="moons", rows=400, seed=1))
    known, parts, left_out = rows.split(table, options(columns=None, drop=[], condition=[]))
    assert (known.names, left_out, len(parts["train"])) == (["x1", "x2"], 0, 320)
    model = types.SimpleNamespace(log_prob=lambda z, c=None, **_: scipy.stats.norm().logpdf(z).sum(1))
    found = evaluate.figures(model, known, parts, "moons")
    assert found["highest_possible"] == -toys.ENTROPIES["moons"] > found["gaussian"]["mean"]
    x = known.restored(parts["test"].z)
    expected = scipy.stats.norm(known.mean, known.scale).logpdf(x).sum(1)
    assert found["flow"]["mean"] == pytest.approx(expected.mean(), rel=1e-5)
    assert found["flow"]["standard_error"] == pytest.approx(expected.std(ddof=1) / np.sqrt(40), rel=1e-4)
    pictures.draw(model, known, parts["test"], tmp_path, 0)
    assert os.listdir(tmp_path) == ["density.png"]
    one = columns.Columns(["x1"], known.mean[:1], known.scale[:1], [])
    curve = pictures.line(model, one, rows.Part(parts["test"].z[:, :1], None)).axes[0].lines[0]
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(1.0, abs=0.05)


def test_all_flows_and_toys_are_known():
    assert tuple(train.FLOWS) == FLOWS and TOYS == toys.NAMES


# --------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["none.csv"], 1, "none.csv: no such file; expected a table as CSV, or one of 8gaussians, moons"),
        (["text.csv"], 1, "no column of numbers is left to model"),
        (["table.csv"], 1, "columns that hold text: 'kind'"),
        (["table.csv", "--condition", "size"], 1, "no column 'size'"),
        (["table.csv", "--columns", "a", "--drop", "b"], 2, "not allowed with"),
        (["table.csv", "--columns", "a", "--flow", "spline"], 1, "one column to model, 'a'"),
        (["few.csv"], 1, "19 rows with a value in every column; at least 20 are needed"),
        (["table.csv", "--flow", "ffjord", "--steps", "2"], 2, "ffjord has no --steps"),
        (["table.csv", "--flow", "maf", "--bins", "2"], 2, "maf has no --bins"),
        (["table.csv", "--holdout", "0.5", "--validation", "0.4"], 2, "must leave a tenth"),
        (["table.csv", "--holdout", "0"], 2, "between 0 and 1"),
        (["table.csv", "--rate", "x"], 2, "above 0"),
        (["table.csv", "--encoding", "none"], 1, "--encoding none: no encoding that is known"),
        (["table.csv", *GIVEN, "-o", "few.csv"], 1, "few.csv: cannot be written to"),
    ],
    ids=range(14),
)
def test_trainings_that_cannot_be_made(run_folder, monkeypatch, capsys, arguments, code, message):
    """Said before the first step, in a line, and nothing is left behind."""
    write_table("table.csv", some_rows(40))
    write_table("few.csv", [r[1:4] for r in some_rows(19)], ("a", "b", "c"))
    write_table("text.csv", [["x", "y"], ["z", "w"]], ("a", "b"))
    monkeypatch.setattr(NormalizingFlow, "fit", None)
    assert message in run(capsys, "train", "-o", "out", *arguments, code=code)[1]
    assert not Path("out").exists()


def test_models_and_files_that_cannot_be_used(trained, run_folder, capsys):
    """Each is named; the conditions of samples are checked by the columns."""
    model = trained / "out"
    for name in ("empty", "other"):
        Path(name).mkdir()
    Path("other/columns.json").write_bytes((model / "columns.json").read_bytes())
    VAE((3,), 2, seed=0).save("other/model.keras")
    write_table("part.csv", [[1, 2]], ("a", "b"))
    sample = ["sample", "-o", "new.csv", "--model"]
    for arguments, message in (
        (["score", "part.csv", "--model", "empty"], "empty: no columns.json in it"),
        (["score", "part.csv", "--model", "other"], "expected a flow of 3 columns"),
        (["score", "part.csv", "--model", model], "part.csv: no column 'c', 'kind', 'age'; expected 'a'"),
        (["score", "part.csv", "--model", model, "-o", "empty"], "empty: cannot be written: it is a folder"),
        (["score", "part.csv", "--model", model, "-o", "part.csv/x"], "part.csv: cannot be written to"),
        ([*sample, model], "expected --given kind=VALUE age=VALUE; found none"),
        ([*sample, model, "--given", "kind=red"], "expected --given kind=VALUE age=VALUE; found kind=red"),
        ([*sample, model, "--given", "kind=green", "age=1"], "--given kind=green: expected one of blue, red"),
        ([*sample, model, "--given", "kind=red", "age=x"], "--given age=x: expected a number"),
    ):
        assert message in run(capsys, *arguments, code=1)[1]
    assert not Path("new.csv").exists()
    Path("other/columns.json").write_text("{}")
    assert "columns.json: cannot be read" in run(capsys, "score", "part.csv", "--model", "other", code=1)[1]
    assert "usage:" in run(capsys, "sample", "-n", 0, code=2)[1]


def test_runs_as_a_module(run_folder, monkeypatch, capsys):
    """`python -m applications.density_estimation` ends with the exit code."""
    monkeypatch.delitem(sys.modules, "applications.density_estimation.__main__")
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "argv", ["", "score", "none.csv", "--model", "none"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("applications.density_estimation", run_name="__main__")
    assert ended.value.code == 1 and "none.csv: no such file" in capsys.readouterr().err
