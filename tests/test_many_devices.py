"""Many devices train as one: the same global batch gives the same weights, logs and evaluations to 1e-5.

Many devices are those of a program of its own (`tests.many_devices`), since a process sees its devices when it starts,
and its start takes longer than a case: an epoch of three steps with sampling noise, dropout, normalisation over the
batch, several players, a last batch that the replicas do not divide, validation; then saved, loaded, another epoch.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gen import backend
from tests.many_devices import difference, main

BACKEND = keras.config.backend()
ROOT = Path(__file__).resolve().parents[1]
SIZE = "even" if BACKEND == "jax" else "uneven"
CASES = [f"vae_{SIZE}_saved", f"gan_{SIZE}", f"flow_{SIZE}"]
KINDS = {
    "tensorflow": {"mirrored_2": CASES, "mirrored_4": [f"vae_{SIZE}"]},
    "jax": {"data_parallel": CASES, "model_parallel": [f"vae_{SIZE}"], "jax_processes": [f"vae_{SIZE}"]},
    "torch": {"torch_processes": CASES},
}[BACKEND]


SHARED = [kind for kind in KINDS if kind.endswith("parallel")]  # one process can have them one after the other


def start(kinds, folder, *process):
    """A process that trains the cases of each kind, and writes into a folder of that kind."""
    for kind in kinds:
        (folder / kind).mkdir(exist_ok=True)
    calls = [f"main{(kind, ','.join(KINDS[kind]), str(folder / kind), *map(str, process))}" for kind in kinds]
    flags = os.environ.get("XLA_FLAGS", "")
    if BACKEND == "jax" and not process:
        flags += " --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags, "OMP_NUM_THREADS": "1"}
    return run(environment, "-c", "; ".join(["from tests.many_devices import main", *calls]))


def run(environment, *arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(programs, status=0):
    for program in programs:
        try:
            error = program.communicate(timeout=240)[1]
        finally:
            program.kill()
        assert program.returncode == status, error[-3000:]


def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What one device gives."""
    folder = tmp_path_factory.mktemp("one")
    main("one", ",".join(CASES), folder)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """What the kinds that share a process give, in a folder for each."""
    folder = tmp_path_factory.mktemp("many")
    finish([start(SHARED, folder)] if SHARED else [])
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_many_devices_equal_one(kind, one, many, tmp_path):
    """Weights and statistics to 1e-5, logs and evaluations too, before and after a save and a load; the file too."""
    if kind not in SHARED:
        many, address = tmp_path, port()
        processes = [(index, address) for index in range(2)] if kind.endswith("processes") else [()]
        finish([start([kind], many, *process) for process in processes])
    many = many / kind
    for case in KINDS[kind]:
        case, saved = case.removesuffix("_saved"), case.endswith("_saved")
        weights, logs = difference(one / f"{case}.npz", many / f"{case}.npz")
        assert weights <= 1e-5 and logs <= 1e-5, case
        if saved:
            assert_loads(many / f"{case}.keras", np.load(one / f"{case}.npz"))


def assert_loads(path, expected):
    """The file of the distributed run, loaded here on one device, holds the one-device weights."""
    for i, v in enumerate(keras.saving.load_model(path).weights):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(v), expected[f"weight {i} {v.name}"], rtol=0, atol=1e-5)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="several processes are for JAX and torch")
def test_processes_that_are_killed_go_on_with_the_same_bits(tmp_path):
    """Two processes that share a folder, killed before their sixth step of nine: process 0 writes, both read."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for stop, status in ((5, 9), (100, 0)):
        address = port()
        arguments = [("-m", "tests.resume_processes", tmp_path, stop, index, address) for index in range(2)]
        finish([run(environment, *each) for each in arguments], status)


@pytest.mark.parametrize("n, count", [(8, 2), (9, 2), (10, 4)])
def test_blocks_divide_a_batch(monkeypatch, n, count):
    """The blocks of all processes are the rows of the batch, each once, in order; their sizes differ by one at most."""
    if BACKEND == "jax" and n % count:
        n -= n % count
    blocks = []
    for index in range(count):
        monkeypatch.setattr("keras_gen.backend.devices.processes", lambda index=index: (index, count))
        blocks.append(np.arange(n)[backend.block(n)])
    np.testing.assert_array_equal(np.concatenate(blocks), np.arange(n))
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
    with pytest.raises(ValueError, match="examples in each global batch"):
        backend.block(count - 1)


def test_with_one_replica_noise_is_that_of_keras():
    """`Noise` draws what `keras.random` draws from the same seed, number by number, and advances as it does."""
    noise, keras_noise = backend.Noise(3), keras.random.SeedGenerator(3)
    for _ in range(2):
        for draw in ("normal", "uniform"):
            ours = getattr(noise, draw)((5, 2))
            expected = getattr(keras.random, draw)((5, 2), seed=keras_noise)
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(expected))
