"""Metrics of two sets beside pytorch-fid and torch-fidelity: the same features, the figures and the seconds.

`KERAS_BACKEND=jax python -m benchmarks.metric_agreement --peer PYTHON --output FILE` needs an interpreter PYTHON with
the packages pytorch-fid and torch-fidelity, and for the real features MNIST.

Features: Gaussian, rectified, ill-conditioned (standard deviations from 1 to 1e-6), fewer samples than features, pixels
of MNIST (singular: its border is black), the features of the classifier of MNIST. `exact` is the FID from the singular
values of the product of the centred rows themselves, which neither needs covariances nor a root. `--speed` adds 50,000
rows of 2048.
"""

import argparse
import json
import math
import platform
import subprocess
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np

from keras_gen import datasets, metrics

OURS = {
    "pytorch-fid fid": metrics.frechet_inception_distance,
    "torch-fidelity fid": metrics.frechet_inception_distance,
    "torch-fidelity kid": metrics.kernel_inception_distance,
    "torch-fidelity is": lambda real, generated: metrics.inception_score(generated),
    "torch-fidelity precision_recall": metrics.precision_recall,
}


def cases():
    """Name to real and generated features."""
    draw = np.random.default_rng(0)
    basis = np.linalg.qr(draw.normal(size=(256, 256)))[0]
    small = 10.0 ** -np.linspace(0.0, 6.0, 256)

    def normal(n, d=256):
        return draw.normal(size=(n, d))

    found = {
        "gaussian": (normal(4000), 1.1 * normal(3000) + 0.1),
        "rectified": (np.maximum(normal(4000), 0.0), np.maximum(normal(3000) + 0.1, 0.0)),
        "ill-conditioned": ((normal(4000) * small) @ basis, (normal(3000) * small * 1.1) @ basis),
        "fewer samples than features": (np.maximum(normal(200), 0.0), np.maximum(normal(100) + 0.1, 0.0)),
    }
    x = normal(200)
    found["close, fewer samples than features"] = x, x + 1e-3 * normal(200)
    (train, _), (test, _) = datasets.mnist.load_data()
    pixels = [images[:5000].reshape(5000, -1) / 255.0 for images in (train, test)]
    found["pixels of MNIST, train and test"] = tuple(pixels)
    noisy = np.clip(pixels[1] + 0.1 * draw.normal(size=pixels[1].shape), 0.0, 1.0)
    found["pixels of MNIST and noisy ones"] = pixels[0], noisy
    classify = metrics.extractors.SmallClassifier("mnist")
    images = [x.reshape(-1, 28, 28, 1) * 255.0 for x in (*pixels, noisy)]
    features = [classify(x)["features"].astype("float64") for x in images]
    found["classifier of MNIST, train and test"] = features[0], features[1]
    found["classifier of MNIST, noisy"] = features[0], features[2]
    return found


def exact(real, generated):
    """FID by the singular values of the product of centred rows (or of their triangular factors)."""
    a, b = ((x - x.mean(axis=0)) / math.sqrt(len(x) - 1) for x in (real, generated))
    factors = [x if len(x) < x.shape[1] else np.linalg.qr(x, mode="r") for x in (a, b)]
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    shift = real.mean(axis=0) - generated.mean(axis=0)
    return float(shift @ shift + (a * a).sum() + (b * b).sum() - 2.0 * overlap)


def ours(name, real, generated):
    start = time.perf_counter()
    try:
        figure = OURS[name](real, generated)
    except ValueError as error:
        return {"error": str(error)[:200]}
    return {"figure": figure, "seconds": round(time.perf_counter() - start, 3)}


def difference(one, other):
    """Largest relative difference of the figures; None if either refused."""
    if "error" in one or "error" in other:
        return None
    one, other = np.atleast_1d(one["figure"]), np.atleast_1d(other["figure"])
    return float(np.max(np.abs(one - other) / np.maximum(np.abs(other), 1e-12)))


def peers(folder, interpreter):
    program = Path(__file__).with_name("metric_peers.py")
    subprocess.run([interpreter, str(program), folder], check=True)
    return json.loads((Path(folder) / "peers.json").read_text())


def agreement(interpreter):
    data = cases()
    with tempfile.TemporaryDirectory() as folder:
        for name, (real, generated) in data.items():
            np.savez(f"{folder}/{name}.npz", real=real, generated=generated)
        others = peers(folder, interpreter)
    found = {}
    for name, sets in data.items():
        rows = {program: {"ours": ours(program, *sets), "theirs": others[name][program]} for program in OURS}
        for row in rows.values():
            row["relative difference"] = difference(row["ours"], row["theirs"])
        truth = exact(*sets)
        for program in ("pytorch-fid fid", "torch-fidelity fid"):
            off = {side: rows[program][side]["figure"] / truth - 1.0 for side in ("ours", "theirs")}
            rows[program]["relative error"] = off
        found[name] = {"rows": [len(x) for x in sets], "columns": sets[0].shape[1], "exact fid": truth, **rows}
        report(name, found[name])
    return found


def report(name, found):
    print(f"{name}  {found['rows']} x {found['columns']}  FID {found['exact fid']:.7g}")
    for program in OURS:
        row = found[program]
        gap = row["relative difference"]
        refused = f"{row['ours'].get('error')} | {row['theirs'].get('error')}"
        text = refused if gap is None else f"differs by {gap:.1e}"
        error = row.get("relative error")
        text += "" if error is None else f"   error: ours {error['ours']:.1e}, theirs {error['theirs']:.1e}"
        print(f"    {program:<34}{text}", flush=True)


def speed(interpreter, n=50_000, d=2048):
    """Seconds and memory of FID from features in the memory, streamed in batches of 1000, and of pytorch-fid's."""
    draw = np.random.default_rng(0)
    sets = [np.maximum(draw.normal(size=(n, d)).astype("float32") + shift, 0.0) for shift in (0.0, 0.05)]
    fid, start = metrics.FrechetInceptionDistance(), time.perf_counter()
    for i in range(0, n, 1000):
        fid.update_state(sets[0][i : i + 1000], sets[1][i : i + 1000])
    streamed = time.perf_counter() - start
    figure = fid.result()
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/speed.npz", real=sets[0], generated=sets[1], programs=["pytorch-fid fid"])
        theirs = peers(folder, interpreter)["speed"]["pytorch-fid fid"]
    ratio = round(seconds / theirs["seconds"], 3)
    found = {"rows": n, "columns": d, "ours": figure, "seconds": round(seconds, 2), "moments": round(streamed, 2),
             "peak MiB": peak_memory(*(x[:5000] for x in sets)), "theirs": theirs, "ratio": ratio}  # fmt: skip
    print(found, flush=True)
    return found


def peak_memory(real, generated):
    """MiB allocated at most while both sets are streamed and the figure is computed, whatever their size."""
    tracemalloc.start()
    fid = metrics.FrechetInceptionDistance()
    for i in range(0, len(real), 1000):
        fid.update_state(real[i : i + 1000], generated[i : i + 1000])
    fid.result()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return round(peak / 2**20)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", required=True, help="an interpreter with pytorch-fid and torch-fidelity")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", metrics.NotComparableWarning)
    result = {"machine": {"system": platform.platform(), "python": platform.python_version(), "numpy": np.__version__}}
    if arguments.speed:
        result["speed"] = speed(arguments.peer)
    result["agreement"] = agreement(arguments.peer)
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
