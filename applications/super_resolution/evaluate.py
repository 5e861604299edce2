"""PSNR and SSIM of a model and of bicubic interpolation, by the protocol of the literature.

A picture x of 8 bits, its sides cut to multiples of the scale s, has the small picture y = round(bicubic(x, 1/s)). The
model's G(y) and bicubic(y, s) are rounded to 8 bits and compared with x, s pixels left out at each border: in Y, the
luma of ITU-R BT.601, and over R, G and B together. Grey pictures are three equal channels. Means are of figures, not of
errors.

Reference:
    R. Timofte, V. De Smet, L. Van Gool, "A+", ACCV (2014), section 4; B. Lim et al., arXiv:1707.02921, section 4.
"""

import contextlib
import json
import math
import sys

import keras
import numpy as np

from applications.files import Failure, Usage, whole
from applications.super_resolution import pictures, shipped
from applications.super_resolution.files import say, streams_in
from keras_gen import metrics
from keras_gen.datasets import bicubic
from keras_gen.datasets.patches import degraded

LEAST = 11  # pixels that the window of SSIM needs
NAMES = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb")


def evaluate(options):
    """Run the command; returns the exit code."""
    bicubic_alone = options.model == "bicubic"
    if bicubic_alone and options.scale in (None, 1):
        raise Usage("--model bicubic needs a --scale of at least 2")
    streams = _streams(options.pictures, options.max_pixels)
    model = None if bicubic_alone else shipped.load(options.model, options.scale)
    scale = options.scale if bicubic_alone else model.scale
    images, problems = read(streams, options.max_pixels)
    rows = {}
    for k, (name, image) in enumerate(images.items()):
        say(f"{k + 1} of {len(images)}: {name}")
        try:
            rows[name] = measure(model, image, scale, ensemble=options.ensemble, tile=options.tile, quiet=options.quiet)
        except Failure as failure:
            problems.append(f"{name}: {failure}")
            say(f"error: {problems[-1]}")
    if not rows:
        raise Failure(f"{options.pictures}: none of its pictures can be used")
    print(table(rows, scale))
    if options.json is not None:
        write_json(options.json, {**report(rows, scale), **_origin(options), "problems": problems})
    return 1 if problems else 0


def load(path, max_pixels=pictures.MAX_PIXELS, deep=False):
    """The pictures of a folder or zip, name -> uint8 `(h, w, 3)`, and the lines on those that cannot be used."""
    return read(_streams(path, max_pixels, deep), max_pixels)


def _streams(path, max_pixels, deep=False):
    return streams_in(path, pictures.most_bytes(max_pixels), deep)


def read(streams, max_pixels=pictures.MAX_PIXELS):
    """As `load`, of what `streams_in` gives."""
    images, problems = {}, []
    for name, stream in streams:
        try:
            images[name] = pixels(pictures.read(stream, name, max_pixels))
        except Failure as failure:
            problems.append(str(failure))
            say(f"error: {failure}")
    return images, problems


def pixels(picture):
    """The colours of a `Picture` as 8 bits, alpha dropped."""
    colour = np.round(picture.colour * np.float32(255)).astype("uint8")
    return np.repeat(colour, 3, axis=-1) if colour.shape[-1] == 1 else colour


def measure(model, image, scale, *, ensemble=False, tile=None, quiet=True):
    """Figures of one picture, uint8 `(h, w, 3)`; `model` None: of bicubic interpolation alone.

    Returns:
        dict with "height", "width" and, under "bicubic" and "model", the figures by name.

    Raises:
        Failure: it is too small.
    """
    height, width = (side - side % scale for side in image.shape[:2])
    if min(height, width) < LEAST + 2 * scale:
        raise Failure(f"{image.shape[1]} x {image.shape[0]} pixels; at least {LEAST + 3 * scale - 1} a side are needed")
    image = image[:height, :width]
    small = degraded(image, scale)
    interpolated = rounded(bicubic(small, (height, width)))
    result = {"height": height, "width": width, "bicubic": figures(image, interpolated, scale)}
    if model is not None:
        options = {"ensemble": ensemble, "tile": tile, "verbose": 0 if quiet else "auto"}
        with contextlib.redirect_stdout(sys.stderr):  # Keras's progress bars
            large = shipped.enlarge(model, small.astype("float32") / np.float32(255), **options)
        result["model"] = figures(image, rounded(255 * large), scale)
    return result


def rounded(image):
    """An image in 0..255 as 8 bits."""
    return np.clip(np.round(image), 0, 255).astype("uint8")


def figures(image, found, scale):
    """PSNR and SSIM of two uint8 pictures, s pixels left out at the border."""
    pair = [x[None].astype("float32") for x in (image, found)]
    result = {}
    for channel in ("y", "rgb"):
        options = {"data_range": 255.0, "channel": channel, "crop": scale}
        result[f"psnr_{channel}"] = float(metrics.peak_signal_to_noise_ratio(*pair, **options)[0])
        result[f"ssim_{channel}"] = float(metrics.structural_similarity(*pair, **options)[0])
    return result


def report(rows, scale):
    """What the JSON holds of the figures; an infinite PSNR, of equal pictures, is null there."""
    return {"scale": scale, "crop": scale, "pictures": _finite(rows), "mean": _finite(means(rows))}


def means(rows):
    """Means over pictures, by method."""
    methods = [m for m in ("bicubic", "model") if m in next(iter(rows.values()))]
    return {m: {n: float(np.mean([row[m][n] for row in rows.values()])) for n in NAMES} for m in methods}


def _finite(value):
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _origin(options):
    model, backend = options.model or "shipped", keras.config.backend()
    return {"data": str(options.pictures), "model": model, "ensemble": options.ensemble, "backend": backend}


def table(rows, scale):
    """Rows of PSNR / SSIM as text."""
    mean = means(rows)
    wide = max(len(name) for name in (*rows, "picture"))
    columns = [(m, c) for c in ("y", "rgb") for m in mean]
    head = "".join(f"{m + ', ' + c.upper():>18}" for m, c in columns)
    lines = [f"PSNR in dB / SSIM, x{scale}, {scale} pixels left out at the border", f"{'picture':{wide}}{head}"]
    for name, row in [*rows.items(), ("mean", mean)]:
        cells = (f"{row[m][f'psnr_{c}']:.2f} / {row[m][f'ssim_{c}']:.4f}" for m, c in columns)
        lines.append(f"{name:{wide}}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def write_json(file, content):
    """JSON, whole or not at all."""
    try:
        with whole(file) as temporary:
            temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise Failure(f"{file}: cannot be written: {error.strerror}") from error
