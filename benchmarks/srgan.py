"""SRGAN's trade: PSNR for detail. A super-resolution network goes on as the generator of a GAN.

    python -m benchmarks.srgan --model runs/sr/x4/model.keras --train T91.zip --test Set5.zip --output docs/benchmarks

Two networks continue the given one for as many steps on the same batches: one by its L1 loss, one by SRGAN's with the
L1 content and an adversarial term. Figures, of the test pictures: PSNR (luma, s pixels cropped), and how far the local
detail is from that of true pictures,

    D = energy distance between 7 x 7 patches of luma, each less its mean, of the made and of the true pictures,

4,000 patches at the same places of both; no network with weights of its own is at hand that would tell perceptual
distances. The pictures are crops of the embedded test photographs.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np

from benchmarks.step_overhead import machine
from benchmarks.super_resolution import figures, pictures
from keras_gen import datasets, metrics, models, networks, plots
from keras_gen.datasets.patches import degraded

LUMA = np.array([65.481, 128.553, 24.966], "float32") / 255.0
CROPS = {"chelsea": (88, 156), "coffee": (60, 150)}
SIDE = 112


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a trained SuperResolution")
    parser.add_argument("--train", type=Path, nargs="*", default=[], help="zip files of pictures")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--adversarial-weight", type=float, default=5e-3)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder")
    parser.add_argument("--picture", type=Path, help="of crops")
    return parser.parse_args(arguments)


def game(model, weight, seed):
    """The SRGAN that goes on from the network of `model`; without the adversarial term if `weight` is 0."""
    side = 24 * model.scale
    generator = type(model.network).from_config(model.network.get_config())
    generator.build((None, None, None, 3))
    generator.set_weights(model.average_network.get_weights())
    discriminator = networks.DCGANDiscriminator((32, 64, 128), normalization=None)
    options = {"content": "l1", "adversarial_weight": weight, "loss": "relativistic_average", "average": 0.99}
    return models.SRGAN((side, side, 3), model.scale, generator=generator, discriminator=discriminator,
                        seed=seed, **options)  # fmt: skip


def detail(model, test, seed):
    """D, and the mean size of the patches' detail beside that of true ones."""
    rng, rows = np.random.default_rng(seed), ([], [])
    for image in test.values():
        s = model.scale
        x = image[: image.shape[0] // s * s, : image.shape[1] // s * s]
        y = model.upscale(degraded(x, s) / np.float32(255.0))
        at = [rng.integers(s, n - 7 - s, 4000 // len(test)) for n in x.shape[:2]]
        for kept, picture in zip(rows, (x / np.float32(255.0), y), strict=True):
            luma = picture @ LUMA
            patches = np.stack([luma[i : i + 7, j : j + 7].ravel() for i, j in zip(*at, strict=True)])
            kept.append(patches - patches.mean(1, keepdims=True))
    true, made = (np.concatenate(kept) for kept in rows)
    sizes = [float(np.sqrt(np.mean(patches**2))) for patches in (made, true)]
    distance = float(metrics.energy_distance(true, made))
    return {"energy_distance_of_detail": distance, "detail_to_true": sizes[0] / sizes[1]}


def main(arguments=None):
    options = parse(arguments)
    keras.utils.set_random_seed(options.seed)
    base, test = keras.saving.load_model(options.model), pictures(options.test)
    s, images = base.scale, list(datasets.photographs.load_data()[0].values())
    images += [image for path in options.train for image in pictures(path).values() if min(image.shape[:2]) >= 24 * s]
    batches = options.steps // 5
    pairs = datasets.PatchPairs(images, s, 24 * s, options.batch_size, batches, seed=options.seed)
    found, made = {}, {"start": base}
    for name, weight in (("l1", 0.0), ("srgan", options.adversarial_weight)):
        made[name] = game(base, weight, options.seed)
        made[name].compile(keras.optimizers.Adam(options.rate, beta_1=0.9))
        made[name].fit(pairs, epochs=5, seed=options.seed, verbose=2)
    for name, model in made.items():
        psnr = figures(lambda y, size, model=model: model.upscale(y), test, s)["mean"]
        found[name] = {**psnr, **detail(model, test, options.seed)}
        print(name, {key: round(value, 4) for key, value in found[name].items()}, flush=True)
    kept = {k: v for k, v in vars(options).items() if k not in ("train", "picture")}
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in kept.items()}
    result = {"what": __doc__.splitlines()[0], "settings": settings, "figures": found, "machine": machine()}
    (options.output / "srgan.json").write_text(json.dumps(result, indent=1) + "\n")
    if options.picture:
        draw(made, s, options.picture)


def draw(made, s, path):
    """Crops: bicubic, the L1 network, SRGAN, the original."""
    cells = []
    for name, (i, j) in CROPS.items():
        x = datasets.photographs.load_data()[1][name]
        x = x[: x.shape[0] // s * s, : x.shape[1] // s * s]
        y = degraded(x, s) / np.float32(255.0)
        row = [datasets.bicubic(y, x.shape[:2]), made["l1"].upscale(y), made["srgan"].upscale(y), x / np.float32(255.0)]
        cells += [np.clip(image, 0, 1)[i : i + SIDE, j : j + SIDE] for image in row]
    labels = ["bicubic", "L1", "SRGAN", "original"]
    plots.image_grid(np.stack(cells), path, columns=4, column_labels=labels, title=f"Crops, x{s}")


if __name__ == "__main__":
    main()
