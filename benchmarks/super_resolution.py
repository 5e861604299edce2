"""Super-resolution by a small network on a CPU: PSNR and SSIM on Set5 beside the papers' figures.

    python -m benchmarks.super_resolution --train T91.zip --test Set5.zip --scale 2 --output runs/sr/x2
    python -m benchmarks.super_resolution --train T91.zip --test Set5.zip --scale 3 --initial runs/sr/x2/model.keras ...

Protocol: pictures are cut to multiples of the scale s and made smaller by `datasets.bicubic`, rounded to 8 bits; what
comes back is rounded to 8 bits; PSNR and SSIM of the luma (BT.601, 16..235) with s pixels cropped, and of RGB. Bicubic
by the papers' own protocol (luma rounded first, small image not rounded) is given as well: their figures are of it.
"""

import argparse
import io
import json
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from benchmarks.step_overhead import machine
from keras_gen import datasets, metrics, models, networks
from keras_gen.datasets.patches import degraded

PUBLISHED = {  # PSNR of Set5, luma
    2: {"bicubic": 33.66, "SRCNN": 36.66, "FSRCNN": 37.00, "VDSR": 37.53},
    3: {"bicubic": 30.39, "SRCNN": 32.75, "FSRCNN": 33.16, "VDSR": 33.66},
    4: {"bicubic": 28.42, "SRCNN": 30.49, "FSRCNN": 30.71, "VDSR": 31.35},
}


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="*", default=[], help="zip files of pictures")
    parser.add_argument("--photographs", action="store_true", help="train on the embedded photographs too")
    parser.add_argument("--shrink", type=float, nargs="*", default=[], help="train on copies this much smaller too")
    parser.add_argument("--test", type=Path, required=True, help="zip file of pictures")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--side", type=int, default=24, help="of the small patch")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20000, help="0: only measure the model of --initial")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--initial", type=Path, help="a model, of another scale perhaps, whose body is taken over")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args(arguments)


def pictures(path):
    """Name -> uint8 `(h, w, 3)` of the pictures in a zip file."""
    from PIL import Image

    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".png", ".bmp", ".jpg")))
        return {n: np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB")) for n in names}


def shrunk(image, factor):
    """A copy made smaller by `factor` < 1, uint8: sharper than the picture, and clean of its JPEG blocks."""
    size = tuple(round(side * factor) for side in image.shape[:2])
    return np.clip(np.round(datasets.bicubic(np.float32(image), size)), 0, 255).astype("uint8")


def take_over(model, path):
    """Weights of the same shape, of a model of another scale."""
    other = keras.saving.load_model(path).network
    for v, w in zip(model.network.weights, other.weights, strict=True):
        if v.shape == w.shape:
            v.assign(w)
    model.average_network.set_weights(model.network.get_weights())


def figures(enlarge, images, s):
    """Means over the pictures, by protocol."""
    rows = {}
    for name, image in images.items():
        x = image[: image.shape[0] // s * s, : image.shape[1] // s * s]
        y = np.clip(np.round(255.0 * enlarge(degraded(x, s) / np.float32(255.0), x.shape[:2])), 0, 255) / 255.0
        pair, own = (x[None] / 255.0, y[None]), {"data_range": 1.0, "crop": s}
        rows[name] = {
            f"{kind}_{channel}": float(np.asarray(metric(*pair, channel=channel, **own))[0])
            for kind, metric in (("psnr", metrics.peak_signal_to_noise_ratio), ("ssim", metrics.structural_similarity))
            for channel in ("y", "rgb")
        }
    mean = {key: float(np.mean([row[key] for row in rows.values()])) for key in next(iter(rows.values()))}
    return {"mean": mean, "pictures": rows}


def papers_bicubic(images, s):
    """PSNR of bicubic by the papers' protocol: of the luma rounded first, the small image not rounded."""
    values = []
    for image in images.values():
        x = image[: image.shape[0] // s * s, : image.shape[1] // s * s]
        luma = np.round(16.0 + x @ np.array([65.481, 128.553, 24.966]) / 255.0)
        small = datasets.bicubic(luma, tuple(side // s for side in luma.shape))
        error = (np.clip(np.round(datasets.bicubic(small, luma.shape)), 0, 255) - luma)[s:-s, s:-s]
        values.append(10.0 * np.log10(255.0**2 / np.mean(error**2)))
    return float(np.mean(values))


def measured_only(options):
    """The model of `--initial`, and nothing of a training."""
    return keras.saving.load_model(options.initial), 0, {"psnr": [None]}, 0.0, 0.0


def train(options, images):
    s, patch = options.scale, options.side * options.scale
    images = [image for image in images if min(image.shape[:2]) >= patch]
    network = networks.EDSR(s, options.filters, options.blocks)
    model = models.SuperResolution((patch, patch, 3), s, network)
    if options.initial:
        take_over(model, options.initial)
    batches = min(500, options.steps)
    pairs = datasets.PatchPairs(images, s, patch, options.batch_size, batches, seed=options.seed, workers=1)
    rate = keras.optimizers.schedules.CosineDecay(options.rate, options.steps, alpha=0.005)
    model.compile(keras.optimizers.Adam(rate), jit_compile=False)
    start, cpu = time.perf_counter(), time.process_time()
    history = model.fit(pairs, epochs=options.steps // batches, seed=options.seed, verbose=2).history
    return model, len(images), history, time.perf_counter() - start, time.process_time() - cpu


def main(arguments=None):
    options = parse(arguments)
    keras.utils.set_random_seed(options.seed)
    images = list(datasets.photographs.load_data()[0].values()) if options.photographs else []
    images += [image for path in options.train for image in pictures(path).values()]
    images += [shrunk(image, factor) for factor in options.shrink for image in images]
    test, s = pictures(options.test), options.scale
    model, count, history, seconds, cpu = train(options, images) if options.steps else measured_only(options)
    options.output.mkdir(parents=True, exist_ok=True)
    model.save(options.output / "model.keras")
    cubic = lambda y, size: datasets.bicubic(y, size)  # noqa: E731
    result = {
        "what": f"PSNR and SSIM of {options.test.name}, x{s}",
        "network": {"name": "EDSR", "filters": options.filters, "blocks": options.blocks,
                    "parameters": model.network.count_params()},
        "training": {**{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items() if k != "train"},
                     "pictures": count, "sources": [path.name for path in options.train],
                     "seconds": seconds, "processor_seconds": cpu, "psnr_of_patches": history["psnr"][-1]},
        "network_single": figures(lambda y, size: model.upscale(y), test, s),
        "network_ensemble": figures(lambda y, size: model.upscale(y, ensemble=True), test, s),
        "bicubic": figures(cubic, test, s),
        "bicubic_by_the_papers_protocol": papers_bicubic(test, s),
        "published": PUBLISHED.get(s),
        "machine": machine(),
    }  # fmt: skip
    (options.output / "figures.json").write_text(json.dumps(result, indent=1) + "\n")
    for name in ("network_single", "network_ensemble", "bicubic"):
        print(name, {k: round(v, 3) for k, v in result[name]["mean"].items()})


if __name__ == "__main__":
    main()
