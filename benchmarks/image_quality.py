"""PSNR, SSIM, MS-SSIM and the perceptual distance against other implementations, on real images: agreement and time.

Images are the CIFAR-10 test images with blur and noise, and Set5 reduced by 4 and enlarged again (Pillow's bicubic
filter, rounded to 8 bits), at values 0..255 and 0..1, in colour and grey. Peers compute in float64 where they can:
scikit-image (PSNR, SSIM, luma), torchmetrics and TensorFlow (MS-SSIM), lpips (its distance on a random backbone).
A figure of agreement is the largest difference over all images. The table of Set5 stands beside published figures.
torchmetrics counts windows that reach beyond the image, where it mirrors it, in SSIM and at the last scale of MS-SSIM;
the others, and we, do not: that is its whole difference from us.
Times are of one process, one thread, a batch a call, and given as peer's over ours: above 1 we are faster.

    KERAS_BACKEND=jax python -m benchmarks.image_quality DATA --output docs/benchmarks/image_quality-jax.json

DATA is a folder with `cifar10_subset.npz` and `sr/Set5.zip`. Needs scikit-image, torchmetrics, lpips, scipy, pillow.
"""

import argparse
import functools
import importlib
import json
import platform
import time
import zipfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from keras_gen import backend, metrics

SCALE = 4
PUBLISHED = {  # of Set5 x4; the second with another program, whose SSIM is not Wang's window
    "Lim et al. 2017 (EDSR), arXiv:1707.02921": {"psnr y": 28.42, "ssim y": 0.8104},
    "Ledig et al. 2017 (SRGAN), arXiv:1609.04802": {"psnr y": 28.43, "ssim y": 0.8211},
}


def cifar(folder, n=200):
    """Pairs (image, blurred and noisy image), uint8 `(n, 32, 32, 3)`."""
    from scipy.ndimage import gaussian_filter

    d = np.load(folder / "cifar10_subset.npz")["x_test"][:, :n].cumsum(3, dtype="uint8").cumsum(2, dtype="uint8")
    x = np.stack([d[0] + d[1], d[1], d[2] + d[1]], axis=-1)
    blurred = gaussian_filter(x.astype("float64"), (0, 1, 1, 0))
    noise = np.random.default_rng(0).normal(size=x.shape) * np.linspace(0, 40, n)[:, None, None, None]
    return x, np.clip(np.round(blurred + noise), 0, 255).astype("uint8")


def set5(folder):
    """Name -> pair (image, reduced by 4 and enlarged again by bicubic interpolation), uint8 `(1, h, w, 3)`."""
    from PIL import Image

    pairs = {}
    with zipfile.ZipFile(folder / "sr" / "Set5.zip") as archive:
        for name in sorted(archive.namelist()):
            image = Image.open(archive.open(name)).convert("RGB")
            size = [s - s % SCALE for s in image.size]
            image = image.crop((0, 0, *size))
            small = image.resize([s // SCALE for s in size], Image.BICUBIC)
            pairs[Path(name).stem] = tuple(np.asarray(i)[None] for i in (image, small.resize(size, Image.BICUBIC)))
    return pairs


def variants(pairs):
    """(x, y, data_range) of each pair in colour and grey, 0..255 and 0..1."""
    for x, y in pairs:
        for a, b in ((x, y), (x[..., 1:2], y[..., 1:2])):
            yield a, b, 255
            yield (a / 255.0).astype("float32"), (b / 255.0).astype("float32"), 1.0


def numpy(x):
    return keras.ops.convert_to_numpy(x).astype("float64")


def skimage_psnr(x, y, data_range):
    from skimage.metrics import peak_signal_noise_ratio

    x, y = x.astype("float64"), y.astype("float64")
    return np.array([peak_signal_noise_ratio(a, b, data_range=data_range) for a, b in zip(x, y, strict=True)])


def skimage_ssim(x, y, data_range):
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    x, y = x.astype("float64"), y.astype("float64")
    return np.array([structural_similarity(a, b, data_range=data_range, **options) for a, b in zip(x, y, strict=True)])


def torchmetrics_figure(name, x, y, data_range):
    """Each channel as an image, as here, in float64."""
    import torch
    import torchmetrics.functional.image as peer

    channels = (torch.tensor(np.moveaxis(i, -1, 0)[:, :, None].astype("float64")) for i in (x, y))
    pairs = zip(*channels, strict=True)
    each = [getattr(peer, name)(a, b, data_range=float(data_range), reduction=None).numpy() for a, b in pairs]
    return np.mean(each, axis=0)


def tensorflow_figure(name, x, y, data_range):
    """In float32: it has no float64."""
    import tensorflow as tf

    return getattr(tf.image, name)(*(tf.constant(i, tf.float32) for i in (x, y)), data_range).numpy()


def skimage_luma(x):
    """Y of 0..255 images on that scale."""
    from skimage.color import rgb2ycbcr

    return rgb2ycbcr(x)[..., :1]


def agreement(folder):
    """Largest differences between our figures and a peer's, by name."""
    small, large = [cifar(folder)], list(set5(folder).values())
    found = defaultdict(float)

    def note(name, ours, theirs):
        found[name] = max(found[name], float(np.abs(numpy(ours) - theirs).max()))

    for x, y, r in variants(small + large):
        ours = metrics.structural_similarity(x, y, r)
        note("psnr", metrics.peak_signal_to_noise_ratio(x, y, r), skimage_psnr(x, y, r))
        note("ssim scikit-image", ours, skimage_ssim(x, y, r))
        note("ssim tensorflow", ours, tensorflow_figure("ssim", x, y, r))
        note("ssim torchmetrics", ours, torchmetrics_figure("structural_similarity_index_measure", x, y, r))
    for x, y, r in variants([(x, y) for x, y in large if min(x.shape[1:3]) >= 176]):
        ours = metrics.multi_scale_structural_similarity(x, y, r)
        note("ms_ssim tensorflow", ours, tensorflow_figure("ssim_multiscale", x, y, r))
        x, y = (i[:, : i.shape[1] // 16 * 16, : i.shape[2] // 16 * 16] for i in (x, y))  # odd sides are cut there
        ours = metrics.multi_scale_structural_similarity(x, y, r)
        theirs = torchmetrics_figure("multiscale_structural_similarity_index_measure", x, y, r)
        note("ms_ssim torchmetrics", ours, theirs)
    for x, y in small + large:
        luma = skimage_luma(x), skimage_luma(y)
        note("psnr y", metrics.peak_signal_to_noise_ratio(x, y, 255, channel="y"), skimage_psnr(*luma, 255))
        note("ssim y", metrics.structural_similarity(x, y, 255, channel="y"), skimage_ssim(*luma, 255))
    return found


def lpips_distance(folder):
    """Largest difference from lpips on its own random backbones, on the maps that they give: with and without heads."""
    import lpips
    import torch

    found = defaultdict(float)
    pairs = [*set5(folder).values(), tuple(i[:20].repeat(2, axis=1).repeat(2, axis=2) for i in cifar(folder))]
    for net in ("alex", "vgg", "squeeze"):
        torch.manual_seed(0)
        heads = metrics.lpips_heads(Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth")
        trained = lpips.LPIPS(net=net, pnet_rand=True, pretrained=True, verbose=False)
        plain = lpips.LPIPS(net=net, pnet_rand=True, lpips=False, verbose=False)
        plain.net = trained.net
        for pair in pairs:
            images = [torch.tensor(np.moveaxis(i, -1, 1) / 127.5 - 1.0, dtype=torch.float32) for i in pair]
            with torch.no_grad():
                outputs = [trained.net(trained.scaling_layer(i)) for i in images]
                maps = [[np.moveaxis(m.numpy(), 1, -1) for m in each] for each in outputs]
                for name, peer, weights in (("heads", trained, heads), ("ones", plain, None)):
                    ours = numpy(metrics.perceptual_distance(*maps, weights))
                    theirs = peer(*images).numpy().reshape(-1)
                    found[f"{net} {name}"] = max(found[f"{net} {name}"], float(np.abs(ours - theirs).max()))
                    found[f"{net} {name}, greatest"] = max(found[f"{net} {name}, greatest"], float(theirs.max()))
    return found


def rounded_luma(x):
    """Y of 8 bits, as MATLAB gives it for an image of 8 bits."""
    return np.round(skimage_luma(x)).astype("uint8")


def super_resolution(folder):
    """PSNR and SSIM of bicubic enlargement by 4, 4 pixels cropped: Y, Y of 8 bits, RGB; each image and the mean."""
    table = {}
    for name, (x, y) in set5(folder).items():
        row = {}
        rounded = rounded_luma(x), rounded_luma(y)
        for label, a, b, channel in (("y", x, y, "y"), ("y 8 bit", *rounded, None), ("rgb", x, y, "rgb")):
            row[f"psnr {label}"] = float(metrics.peak_signal_to_noise_ratio(a, b, 255, channel, SCALE)[0])
            row[f"ssim {label}"] = float(metrics.structural_similarity(a, b, 255, channel, SCALE)[0])
        table[name] = row
    table["mean"] = {key: float(np.mean([row[key] for row in table.values()])) for key in row}
    return table


def timed(repeats, call, *args):
    """Least milliseconds of a call, after one that is not counted."""
    call(*args)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call(*args)
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds)


def speed_of(name, x, y):
    """Milliseconds an image of the compiled function `name`, and how many times longer the peers take."""
    import torch
    from torchmetrics.functional import image as peer

    ours, torchs, skimages = {
        "psnr": (metrics.peak_signal_to_noise_ratio, peer.peak_signal_noise_ratio, skimage_psnr),
        "ssim": (metrics.structural_similarity, peer.structural_similarity_index_measure, skimage_ssim),
        "ms_ssim": (metrics.multi_scale_structural_similarity,
                    peer.multiscale_structural_similarity_index_measure, None),
    }[name]  # fmt: skip
    compiled = backend.compile(functools.partial(ours, data_range=1.0))
    tensors = [keras.ops.convert_to_tensor(i) for i in (x, y)]
    own = timed(7, lambda *args: keras.ops.convert_to_numpy(compiled(*args)), *tensors)
    tensors = [torch.tensor(i).permute(0, 3, 1, 2).contiguous() for i in (x, y)]
    torchs = functools.partial(torchs, data_range=1.0)
    row = {"ms an image": own / len(x), "torchmetrics": timed(7, torchs, *tensors) / own}
    if skimages is not None:
        row["scikit-image"] = timed(3, skimages, x, y, 1.0) / own
    return row


def speed():
    """By shape and figure."""
    import torch

    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    small, large = (generator.random((2, *shape), "float32") for shape in ((64, 32, 32, 3), (8, 256, 256, 3)))
    return {"64 x 32 x 32 x 3": {name: speed_of(name, *small) for name in ("psnr", "ssim")},
            "8 x 256 x 256 x 3": {name: speed_of(name, *large) for name in ("psnr", "ssim", "ms_ssim")}}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    report = {"backend": keras.config.backend(), "machine": platform.machine()}
    packages = ("keras", "numpy", "skimage", "torchmetrics", "torch", "tensorflow", keras.config.backend())
    report["versions"] = {name: importlib.import_module(name).__version__ for name in packages}
    report["versions"]["lpips"] = version("lpips")
    report["agreement"] = agreement(arguments.data)
    report["perceptual_distance"] = lpips_distance(arguments.data)
    report["super_resolution"] = {"published": PUBLISHED, "measured": super_resolution(arguments.data)}
    report["speed"] = speed()
    text = json.dumps(report, indent=1)
    print(text)
    if arguments.output:
        Path(arguments.output).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
