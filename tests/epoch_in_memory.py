"""Read one epoch, ten times as large as the memory the process may still take, and print how much it took.

    python -m tests.epoch_in_memory FOLDER LIMIT_MIB KIND ...

A KIND is images, npz, arrayrecord or tfrecord. The files are made in FOLDER, one of them real and the others hard
links to it. RLIMIT_DATA is set to what the process has after its first batches and LIMIT_MIB more: whatever asks for
more fails. Printed, a line of JSON a kind: bytes read (decoded), the growth of the peak resident memory, the seconds.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

SIDE = 512
BATCH = 4
MIB = 2**20


def link(file, n, name):
    """`n` names for one file."""
    for k in range(n):
        os.link(file, file.with_name(name.format(k)))
    file.unlink()


def pattern(n):
    """Pictures that compress well and are not all zero."""
    return np.broadcast_to(np.arange(SIDE, dtype="uint8")[:, None], (n, SIDE, SIDE, 3)).copy()


def images(folder, epoch, limit):
    from PIL import Image

    from keras_gen.datasets import Batches, ImageFolder

    (folder / "only").mkdir()
    Image.fromarray(pattern(1)[0]).save(folder / "only" / "first.bmp")
    Image.open(folder / "only" / "first.bmp").save(folder / "only" / "first.png")
    (folder / "only" / "first.bmp").unlink()
    link(folder / "only" / "first.png", -(-epoch // (SIDE * SIDE * 3)), "{:06}.png")
    return Batches(ImageFolder(folder), BATCH, workers=2, max_queue_size=2)


def npz(folder, epoch, limit):
    from keras_gen.datasets import Batches, NpzShards

    rows = max(1, limit // 8 // (SIDE * SIDE * 3))  # four shards, so half of the limit
    np.savez_compressed(folder / "first.npz", x=pattern(rows))
    link(folder / "first.npz", -(-epoch // (rows * SIDE * SIDE * 3)), "{:06}.npz")
    return Batches(NpzShards(folder), BATCH, workers=2, max_queue_size=2)


def arrayrecord(folder, epoch, limit):
    from array_record.python.array_record_module import ArrayRecordWriter
    from grain.sources import ArrayRecordDataSource

    from keras_gen.datasets import Batches

    writer = ArrayRecordWriter(str(folder / "first.arrayrecord"), "group_size:1,uncompressed")
    for x in pattern(8):
        writer.write(x.tobytes())
    writer.close()
    link(folder / "first.arrayrecord", -(-epoch // (8 * SIDE * SIDE * 3)), "{:06}.arrayrecord")
    files = sorted(str(file) for file in folder.iterdir())

    def decode(record):
        return np.frombuffer(record, "uint8").reshape(SIDE, SIDE, 3)

    return Batches(ArrayRecordDataSource(files), BATCH, transform=decode, workers=2, max_queue_size=2)


def tfrecord(folder, epoch, limit):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(folder / "first.tfrecord")) as writer:
        for x in pattern(8):
            writer.write(x.tobytes())
    link(folder / "first.tfrecord", -(-epoch // (8 * SIDE * SIDE * 3)), "{:06}.tfrecord")
    files = tf.data.Dataset.list_files(str(folder / "*.tfrecord"), seed=1)
    records = files.interleave(tf.data.TFRecordDataset, cycle_length=2, num_parallel_calls=2).shuffle(8, seed=1)
    pictures = records.map(lambda r: tf.reshape(tf.io.decode_raw(r, "uint8"), (SIDE, SIDE, 3)), num_parallel_calls=2)
    return pictures.batch(BATCH).prefetch(2)


def batches(dataset):
    """As `fit` reads: Batches shuffled, by as many threads as it asks for, ahead; others in their own way."""
    if not hasattr(dataset, "at"):
        yield from dataset
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(dataset.workers) as pool:
        ahead = []
        for b in range(len(dataset)):
            ahead.append(pool.submit(dataset.at, 0, b, 1))
            if len(ahead) > dataset.max_queue_size:
                yield ahead.pop(0).result()
        for future in ahead:
            yield future.result()


def size(batch):
    """The bytes of a batch's pictures."""
    return np.asarray(batch[0] if isinstance(batch, tuple) else batch).nbytes


def status(name):
    """A figure of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def measure(kind, folder, limit):
    folder.mkdir()
    dataset = globals()[kind](folder, 10 * limit, limit)
    reader = batches(dataset)
    read = sum(size(next(reader)) for _ in range(4))  # threads, imports and buffers are there
    resource.setrlimit(resource.RLIMIT_DATA, (status("VmData") + limit, resource.RLIM_INFINITY))
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now the present
    before, start = status("VmRSS"), time.perf_counter()
    for batch in reader:
        read += size(batch)
    growth = status("VmHWM") - before
    seconds = round(time.perf_counter() - start, 1)
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return {"kind": kind, "limit": limit, "read": read, "growth": growth, "seconds": seconds}


if __name__ == "__main__":
    for name in sys.argv[3:]:
        print(json.dumps(measure(name, Path(sys.argv[1], name), int(sys.argv[2]) * MIB)))
