"""Every `>>>` example of the package is executed, under the present backend."""

import doctest
import pkgutil
from importlib import import_module
from importlib.util import find_spec

import keras
import pytest

import keras_gen

OTHER_BACKENDS = {"tensorflow", "jax", "torch"} - {keras.backend.backend()}
TFP_WORKS = "tensorflow" not in OTHER_BACKENDS and find_spec("tensorflow_probability") is not None
WITHOUT = () if TFP_WORKS else ("keras_gen.interop.tfp",)
pytestmark = pytest.mark.usefixtures("networks_as_programs")
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
        yield from (pytest.param(test, id=test.name) for test in found if test.examples)


@pytest.mark.parametrize("example", list(examples()))
def test_example_prints_what_it_says(example, run_folder):
    """The example prints, on this backend, what the docstring shows."""
    if isinstance(example, Exception):
        raise example
    report = []
    result = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(example, out=report.append)
    assert result.failed == 0, "".join(report)
