"""Laws of export: another runtime gives the model's numbers, the sampler its very samples; what cannot leave says why.

Each cell is loaded by the runtime of its format and fed a batch of a size that was never traced. The whole table is
measured by `benchmarks/export_formats.py`.
"""

import keras
import numpy as np
import pytest
from keras import ops

from benchmarks import export_formats
from keras_gen import random
from keras_gen.models import VAE, Autoencoder, exporting
from tests.wgan_gp import WGANGP

BACKEND = keras.config.backend()
NEEDS = {"onnx": {"tensorflow": ["tf2onnx"], "jax": ["jax2onnx"], "torch": ["onnx", "onnxscript"]}}
# (what, format): those of each backend, the rest of the table is measured by the benchmark
CELLS = {
    "tensorflow": [
        ("call", "tf_saved_model"),
        ("sample", "tf_saved_model"),
        ("sample", "onnx"),
        ("log_prob", "onnx"),
        ("decode", "litert"),
        ("encode", "openvino"),
        ("sample", "openvino"),
    ],
    "jax": [(what, "tf_saved_model") for what in export_formats.METHODS] + [("decode", "onnx")],
    "torch": [("call", "torch"), ("sample", "torch"), ("sample", "onnx"), ("log_prob", "onnx"), ("decode", "openvino")],
}
# The exporters and runtimes of other projects warn of their own future, each version of other things.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in
              ("DeprecationWarning", "FutureWarning", "UserWarning", "ImportWarning")]  # fmt: skip


def need(format):
    """Skip without the format's runtime or the packages by which this backend writes it."""
    for package in [export_formats.RUNTIMES[format], *NEEDS.get(format, {}).get(BACKEND, [])]:
        pytest.importorskip(package)


@pytest.mark.parametrize("what, format", CELLS[BACKEND])
def test_another_runtime_gives_the_models_numbers(what, format, tmp_path):
    """To 1e-5; for "sample" these are the samples of `model.sample` with the same seed, condition and temperature."""
    need(format)
    assert export_formats.difference(what, format, tmp_path) < 1e-5


def test_other_keys_give_other_samples():
    """What the cell above compares depends on the seed: with another one the samples differ."""
    model = export_formats.models()["sample"]
    one, two = (model.sample(5, 0, seed=seed, verbose=0) for seed in (7, 8))
    assert np.abs(one - two).max() > 0.1


def test_a_game_of_ones_own_leaves_as_its_sampler(tmp_path):
    """A model that writes `generate` alone inherits the export; keys of more than one batch of `sample` agree."""
    format = "torch" if BACKEND == "torch" else "tf_saved_model"
    need(format)
    model = WGANGP((4, 4), seed=0)
    path = tmp_path / f"game{export_formats.SUFFIXES[format]}"
    model.export(path, format=format, what="sample", verbose=False)
    inputs = {"keys": ops.convert_to_numpy(random.keys(3, 300)), "temperature": np.array(1.0, "float32")}
    served = export_formats.RUN[format](path, inputs)
    np.testing.assert_allclose(served, model.sample(300, seed=3, verbose=0), rtol=0, atol=1e-5)


NOT_FROM = {
    "tensorflow": [("call", "torch", "KERAS_BACKEND=torch"), ("sample", "litert", "what='decode'")],
    "jax": [
        ("call", "torch", "KERAS_BACKEND=torch"),
        ("decode", "litert", "KERAS_BACKEND=tensorflow"),
        ("call", "openvino", "KERAS_BACKEND=tensorflow"),
        ("sample", "onnx", "KERAS_BACKEND=tensorflow"),
    ],
    "torch": [
        ("call", "tf_saved_model", "KERAS_BACKEND=tensorflow"),
        ("decode", "litert", "KERAS_BACKEND=tensorflow"),
        ("sample", "openvino", "format='onnx'"),
    ],
}
WRONG = [
    ("predictions", "onnx", ".onnx", "Expected `what` as one of"),
    ("call", "pickle", "", "Expected `format` as one of"),
    ("call", "onnx", ".pb", "ending in '.onnx'"),
    ("log_prob", "onnx", ".onnx", "exact likelihood"),
]


@pytest.fixture
def no_work(monkeypatch):
    """Any work fails the test."""

    def work(*args):
        raise AssertionError("work was done before the refusal")

    monkeypatch.setattr(exporting, "Endpoint", work)


@pytest.mark.parametrize("what, format, remedy", NOT_FROM[BACKEND])
def test_what_cannot_leave_says_what_to_use(what, format, remedy, no_work, tmp_path):
    """A pair that does not exist is a ValueError before any work, naming the way that exists."""
    with pytest.raises(ValueError, match=remedy):
        VAE((4,)).export(tmp_path / f"model{export_formats.SUFFIXES[format]}", format=format, what=what)


@pytest.mark.parametrize("what, format, suffix, words", WRONG)
def test_wrong_arguments_are_refused(what, format, suffix, words, no_work, tmp_path):
    """A method, format or file name that there is not, or a bound for a likelihood, is a ValueError before any work."""
    with pytest.raises(ValueError, match=words):
        VAE((4,)).export(tmp_path / f"model{suffix}", format=format, what=what)


def test_a_model_without_samples_has_none_to_export(no_work, tmp_path):
    """An autoencoder has no `sample`, a game no `decode`."""
    for model, what in ((Autoencoder((4,)), "sample"), (WGANGP((4, 4)), "decode")):
        with pytest.raises(ValueError, match=f"has no '{what}' to export"):
            model.export(tmp_path / "model.onnx", format="onnx", what=what)


def test_a_missing_package_is_named(no_work, tmp_path, monkeypatch):
    """Before any work, with the name to install."""
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="Expected the packages.*onnx.*pip install"):
        VAE((4,)).export(tmp_path / "model.onnx", format="onnx", what="decode")
