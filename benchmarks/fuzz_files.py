"""Random bytes of good files are changed, 500 files of each kind: is every outcome a right load or a clean error?

    python -m benchmarks.fuzz_files [KIND ...] [--files 500] [--output docs/benchmarks/fuzz_files.json]

File i of a kind is a good one in which 1, 2, 4 ... or 64 bytes, at places drawn by a generator seeded with i, are
XORed with values from 1 to 255. It is read in a process of its own kind, watched from outside. Outcomes:

    right    what was read equals what is in the good file (the bytes changed carried nothing)
    refused  a `ValueError`, or for what other libraries read the exception they state, by type
    other    read, and different from the good file: possible only where the format has no checksum
    crash    the process died;  hang: no answer in 30 seconds
    dirty    an exception of any other type

The largest growth of resident memory over one file and the longest time are recorded too.
"""

import argparse
import json
import os
import platform
import select
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

SECONDS = 30
SIDE = 32


def changed(good, seed):
    """A copy of the bytes `good` with some of them changed."""
    rng = np.random.default_rng(seed)
    array = np.frombuffer(good, "uint8").copy()
    where = rng.choice(len(array), size=min(len(array), 2 ** int(rng.integers(7))), replace=False)
    array[where] ^= rng.integers(1, 256, size=len(where), dtype="uint8")
    return array.tobytes()


def pixels():
    noise = np.random.default_rng(0).integers(40, size=(SIDE, SIDE, 3))
    return (np.add.outer(np.arange(SIDE), np.arange(SIDE))[..., None] * 3 + noise).astype("uint8")


# Each kind: `make(file)` writes a good file, `read(file)` reads one, with what a user would call, into arrays.


def make_picture(file):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(pixels()).save(file, exif=exif)


def read_picture(file):
    from keras_gen.datasets import ImageFolder

    return [ImageFolder(file.parent.parent)[0][0]]


def make_npz(file):
    np.savez_compressed(file, x=pixels(), y=np.arange(SIDE))


def read_npz(file):
    from keras_gen.datasets import NpzShards

    source = NpzShards([file], ("x", "y"))
    return [np.stack([source[i][k] for i in range(len(source))]) for k in range(2)]


def make_labels(file):
    for k in range(20):
        file.with_name(f"{k}.png").touch()
    file.write_text("file,label\n" + "".join(f"{k}.png,{k % 3}\n" for k in range(20)))


def read_labels(file):
    from keras_gen.datasets import ImageFolder

    return [ImageFolder(file.parent, labels=file).y]


def network():
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.Input((4,)), keras.layers.Dense(16), keras.layers.BatchNormalization(), keras.layers.Dense(4)]
    return keras.Sequential(layers, name="network")


def weights(model):
    import keras

    return [keras.ops.convert_to_numpy(w) for w in model.weights]


def make_keras(file):
    network().save(file)


def read_keras(file):
    import keras

    from keras_gen.models.archive import check_archive

    check_archive(file)
    return weights(keras.saving.load_model(file))


def make_weights(file):
    network().save_weights(file)


def read_weights(file):
    from keras_gen.models.archive import check_archive

    check_archive(file)
    model = network()
    model.load_weights(file)
    return weights(model)


def make_arrayrecord(file):
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(str(file), "group_size:1,uncompressed")
    for row in pixels():
        writer.write(row.tobytes())
    writer.close()


def read_arrayrecord(file):
    from grain.sources import ArrayRecordDataSource

    source = ArrayRecordDataSource([str(file)])
    return [np.frombuffer(source[i], "uint8") for i in range(len(source))]


def make_tfrecord(file):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(file)) as writer:
        for row in pixels():
            writer.write(row.tobytes())


def read_tfrecord(file):
    import tensorflow as tf

    return [np.frombuffer(record.numpy(), "uint8") for record in tf.data.TFRecordDataset(str(file))]


KINDS = {
    "png": ("only/good.png", make_picture, read_picture, ValueError),
    "jpeg": ("only/good.jpg", make_picture, read_picture, ValueError),
    "bmp": ("only/good.bmp", make_picture, read_picture, ValueError),
    "gif": ("only/good.gif", make_picture, read_picture, ValueError),
    "webp": ("only/good.webp", make_picture, read_picture, ValueError),
    "tiff": ("only/good.tif", make_picture, read_picture, ValueError),
    "npz": ("good.npz", make_npz, read_npz, ValueError),
    "labels csv": ("good.csv", make_labels, read_labels, ValueError),
    "keras": ("good.keras", make_keras, read_keras, ValueError),
    "weights.h5": ("good.weights.h5", make_weights, read_weights, (ValueError, OSError)),
    "arrayrecord": ("good.arrayrecord", make_arrayrecord, read_arrayrecord, (ValueError, RuntimeError, IndexError)),
    "tfrecord": ("good.tfrecord", make_tfrecord, read_tfrecord, Exception),
}
OUR_KINDS = [kind for kind in KINDS if kind not in ("arrayrecord", "tfrecord")]


class Fuzz:
    """One kind of file: a good one, what it holds, and the outcome of changed ones."""

    def __init__(self, kind, folder):
        name, make, self.read, self.refusals = KINDS[kind]
        self.file = Path(folder, name)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        make(self.file)
        self.good = self.file.read_bytes()
        self.content = self.read(self.file)

    def outcome(self, seed):
        """("right" | "refused" | "other" | "dirty", name of the exception)."""
        self.file.write_bytes(changed(self.good, seed))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                content = self.read(self.file)
        except self.refusals as error:
            return "refused", type(error).__name__
        except Exception as error:
            return "dirty", f"{type(error).__name__}: {error}"[:200]
        return ("right" if self._same(content) else "other"), ""

    def _same(self, content):
        return len(content) == len(self.content) and all(map(np.array_equal, content, self.content))


def peak(reset=False):
    """The peak of resident memory since the last reset, in bytes (Linux; elsewhere 0)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def work(kind, start, stop):
    """What the watched process does: a line before and a line after each file."""
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(kind, folder)
        fuzz.outcome(10**6)  # caches are filled
        for seed in range(start, stop):
            print(json.dumps({"seed": seed}), flush=True)
            before, begin = peak(reset=True), time.perf_counter()
            name, detail = fuzz.outcome(seed)
            seconds, growth = time.perf_counter() - begin, peak() - before
            print(json.dumps({"outcome": name, "detail": detail, "seconds": seconds, "growth": growth}), flush=True)


def watch(kind, files):
    """The outcomes of all files; the process is started anew after each one that kills it."""
    records, start = [], 0
    while start < files:
        command = [sys.executable, "-m", "benchmarks.fuzz_files", kind, "--worker", str(start), str(files)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ended = read_lines(process, records)
        process.kill()
        errors = process.communicate()[1].decode(errors="replace")
        if ended != "done" and not records:
            raise RuntimeError(errors)
        if ended != "done" and "outcome" not in records[-1]:
            records[-1].update(outcome=ended, detail=f"exit status {process.returncode}", seconds=0, growth=0)
        start = records[-1]["seed"] + 1
    return records


def read_lines(process, records):
    """Add the process's lines to the records; returns "done", "crash" or "hang"."""
    text, descriptor = b"", process.stdout.fileno()
    while True:
        if not select.select([descriptor], [], [], SECONDS + 60 * (not text))[0]:
            return "hang"
        chunk = os.read(descriptor, 2**16)
        text += chunk
        *lines, text = text.split(b"\n")
        for line in map(json.loads, lines):
            records.append(line) if "seed" in line else records[-1].update(line)
        if not chunk:
            return "done" if process.wait() == 0 else "crash"


def summary(records):
    counts = dict.fromkeys(("right", "refused", "other", "dirty", "crash", "hang"), 0)
    refused = {}
    for record in records:
        counts[record["outcome"]] += 1
        if record["outcome"] == "refused":
            refused[record["detail"]] = refused.get(record["detail"], 0) + 1
    bad = [r for r in records if r["outcome"] in ("dirty", "crash", "hang")]
    return {
        **counts,
        "refused_as": refused,
        "seconds_max": round(max(r["seconds"] for r in records), 3),
        "growth_max_mib": round(max(r["growth"] for r in records) / 2**20, 1),
        "bad": [{"seed": r["seed"], "outcome": r["outcome"], "detail": r["detail"]} for r in bad],
    }


def versions():
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("keras", "numpy", "pillow", "h5py", "grain", "array_record", "tensorflow-cpu"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return {**found, "backend": os.environ.get("KERAS_BACKEND", "")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; default: all")
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--worker", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.kinds[0], *options.worker)
    results = {}
    for kind in options.kinds or KINDS:
        results[kind] = summary(watch(kind, options.files))
        print(f"{kind:12s}", results[kind], flush=True)
    if options.output:
        report = {"files_of_each_kind": options.files, "versions": versions(), "results": results}
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
