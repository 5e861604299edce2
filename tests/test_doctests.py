"""Every `>>>` example of the package is executed: on torch, and on TensorFlow or JAX, by turns.

Compiling small programs for each example is most of their time, so that those two share them. All of them, on the
present backend: KERAS_GEN_EXAMPLES=all.
"""

import doctest
import os
import pkgutil
import zlib
from importlib import import_module
from importlib.util import find_spec

import keras
import pytest

import keras_gen

OTHER_BACKENDS = {"tensorflow", "jax", "torch"} - {keras.backend.backend()}
TFP_WORKS = "tensorflow" not in OTHER_BACKENDS and find_spec("tensorflow_probability") is not None
WITHOUT = () if TFP_WORKS else ("keras_gen.interop.tfp",)
pytestmark = pytest.mark.usefixtures("networks_as_programs", "graphs_forgotten")
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def module_names():
    """All modules but those of the backends, and of TensorFlow Probability, that this process does not run."""
    names = [info.name for info in pkgutil.walk_packages(keras_gen.__path__, "keras_gen.")]
    return [name for name in names if name.rpartition(".")[2] not in OTHER_BACKENDS and not name.startswith(WITHOUT)]


def examples():
    """One test for each docstring that has an example."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in module_names():
        try:
            found = finder.find(import_module(name), name)
        except ImportError as error:  # reported as a failing test, not as a broken collection
            yield pytest.param(error, id=name)
            continue
        yield from (pytest.param(test, id=test.name) for test in found if test.examples and runs_here(test.name))


def runs_here(name):
    """Whether this backend has a turn with an example; what only one backend can run always has."""
    if keras.backend.backend() == "torch" or os.environ.get("KERAS_GEN_EXAMPLES") == "all":
        return True
    own = name.startswith(("keras_gen.backend.", "keras_gen.interop."))
    return own or ("tensorflow", "jax")[zlib.crc32(name.encode()) % 2] == keras.backend.backend()


@pytest.mark.parametrize("example", list(examples()))
def test_example_prints_what_it_says(example, run_folder):
    """The example prints what the docstring shows."""
    if isinstance(example, Exception):
        raise example
    report = []
    result = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(example, out=report.append)
    assert result.failed == 0, "".join(report)
