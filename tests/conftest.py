"""Shared by all tests: the backend is printed, seeds are set, runs are temporary, real data is optional."""

import contextlib
import ctypes
import gc
import os
import types
from pathlib import Path

from tests.compilation import (
    as_one_program,
    draws_of_few_sizes,
    forget_gradients,
    graphs_as_traced,
    quick_compilation,
)

if "JAX_COMPILATION_CACHE_DIR" in os.environ and "PYTEST_XDIST_WORKER" in os.environ:
    # JAX's cache is not written whole: a worker must not read what another one is writing.
    os.environ["JAX_COMPILATION_CACHE_DIR"] += "-" + os.environ["PYTEST_XDIST_WORKER"]

if os.environ.get("KERAS_BACKEND") == "jax":
    quick_compilation(os.environ)

import keras  # noqa: E402
import pytest  # noqa: E402

if keras.config.backend() == "jax":
    draws_of_few_sizes()
elif keras.config.backend() == "tensorflow":
    graphs_as_traced()


def pytest_report_header(config):
    return f"keras {keras.__version__}, backend {keras.backend.backend()}"


@pytest.fixture(autouse=True)
def seeded():
    """Every test begins from the same seed, whatever ran before it."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def networks_as_programs(monkeypatch):
    """On JAX a network that is called outside of any program is compiled whole and not operation by operation."""
    if keras.config.backend() == "jax":
        from keras_gen.networks.base import Network

        monkeypatch.setattr(Network, "__call__", as_one_program(Network.__call__))


@contextlib.contextmanager
def _eager():
    if keras.config.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(before)


@pytest.fixture(scope="module")
def eager_on_tensorflow():
    """A file whose laws are not of compiled code runs eagerly on TensorFlow, where graphs cost seconds."""
    with _eager():
        yield


@pytest.fixture
def eager_test_on_tensorflow():
    """As `eager_on_tensorflow`, for one test."""
    with _eager():
        yield


ROOM = 2**29  # bytes that graphs may fill before they are collected
_graphs = types.SimpleNamespace(most=0)


def _resident():
    """Bytes in memory, where the system tells."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@pytest.fixture
def graphs_forgotten():
    """Of a file whose tests make many graphs: they are gone when they fill memory, not all when the file ends."""
    yield
    if keras.config.backend() == "tensorflow" and _resident() > _graphs.most:
        forget_gradients()
        gc.collect()
        _give_back()
        _graphs.most = _resident() + ROOM


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A temporary folder, made the working directory, so that `runs/...` lands in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data_folder():
    """The folder of real data named by KERAS_GEN_DATA; the test is skipped without it."""
    folder = os.environ.get("KERAS_GEN_DATA")
    if not folder:
        pytest.skip("needs real data: set KERAS_GEN_DATA to its folder")
    return Path(folder)


def pytest_collection_finish():
    """What the imports made stays: a collector that looks through it again and again takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True, scope="module")
def collected(request):
    """The models of a file, and what was compiled for them, are gone when it ends: a worker runs a hundred files."""
    yield
    for kept in vars(request.module).values():
        if hasattr(kept, "cache_clear"):
            kept.cache_clear()
    if keras.config.backend() == "tensorflow":
        forget_gradients()
    gc.collect()
    if keras.config.backend() == "jax":
        import jax

        jax.clear_caches()
    _give_back()


def _give_back():
    """Memory that is free goes back to the machine; glibc keeps it otherwise."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def pytest_collection_modifyitems(items):
    """`@pytest.mark.real_data` skips a test without KERAS_GEN_DATA."""
    if os.environ.get("KERAS_GEN_DATA"):
        return
    skip = pytest.mark.skip(reason="needs real data: set KERAS_GEN_DATA to its folder")
    for item in items:
        if "real_data" in item.keywords:
            item.add_marker(skip)
