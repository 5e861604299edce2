"""Photographs of facades and their label maps: CycleGAN, which never sees a pair, beside Pix2Pix, which sees all.

The set is of pairs, 400 for training and 106 for testing, here at 64 x 64 (by area); CycleGAN is given both sides in
orders of their own. What a translation of a test photograph is worth is told by its label map,

    accuracy    share of pixels whose colour is nearest to the same of the 12 label colours as in the true map
    l1          mean |x - y| of a translation and its partner, values in [0, 1]

beside the map that says "facade" everywhere and, for photographs, the mean colour of the training set. An L1 of made
photographs says little: of one map there are many; look at the picture.

    KERAS_BACKEND=tensorflow OMP_NUM_THREADS=1 python -m benchmarks.facades --data facades128.zip \
        --output docs/benchmarks/facades.json --pictures runs/facades
"""

import argparse
import io
import json
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from applications.cyclegan.domains import area
from benchmarks.step_overhead import machine
from keras_gen import models, networks, plots

SIDE, RATE, PARTS = 64, 2e-4, 10
SHAPE = (SIDE, SIDE, 3)
COLORS = np.array([  # of the CMP facade database: background, facade, window, door, cornice, sill, balcony, blind, ...
    (0, 0, 170), (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (85, 255, 170),
    (170, 255, 85), (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (170, 0, 0),
], "float32") / 255  # fmt: skip


def load(path):
    """`{"train" | "test": (photographs, maps)}`, `(n, 64, 64, 3)` in [0, 1], pairs in one order."""
    from PIL import Image

    with zipfile.ZipFile(path) as archive:
        def read(part):
            names = sorted(n for n in archive.namelist() if f"/{part}/" in n and n.endswith(".jpg"))
            images = np.stack([np.asarray(Image.open(io.BytesIO(archive.read(n)))) for n in names])
            channels = np.moveaxis(images.astype("float32") / 255, -1, 0)
            return np.stack([area(channel, (SIDE, SIDE)) for channel in channels], axis=-1)

        return {part: (read(f"{part}A"), read(f"{part}B")) for part in ("train", "test")}


def mirrored(x):
    return np.concatenate([x, x[:, :, ::-1]])


def fall(epoch):
    """The paper's rate: constant for half of the epochs, then falling linearly."""
    return RATE * min(1.0, 2 * (1 - epoch / PARTS))


def trained(model, x, y, steps, batch_size, seed):
    """The model, fitted to photographs x and maps y, and the seconds it took."""
    model.compile(keras.optimizers.Adam(RATE, beta_1=0.5))
    start = time.perf_counter(), time.process_time()
    model.fit(
        x, y, batch_size=batch_size, epochs=PARTS, steps_per_epoch=steps // PARTS, seed=seed, verbose=2,
        callbacks=[keras.callbacks.LearningRateScheduler(fall)],
    )  # fmt: skip
    return {"wall_seconds": time.perf_counter() - start[0], "cpu_seconds": time.process_time() - start[1]}


def cycle_gan(data, options):
    x, y = (mirrored(side) for side in data["train"])
    generators = [networks.TranslationResNet(SHAPE, options.filters, options.blocks) for _ in range(2)]
    discriminators = [networks.PatchDiscriminator((32, 64, 128)) for _ in range(2)]
    model = models.CycleGAN(
        SHAPE, generators=generators, discriminators=discriminators, identity_weight=0.0, seed=options.seed
    )
    row = trained(model, x, y, options.steps, 1, options.seed)
    ways = (lambda given, way=way: model.translate(given, way, verbose=0) for way in ("a2b", "b2a"))
    return row, *ways


def pix2pix(data, options):
    """Two models: one a direction."""
    rows, made = {}, []
    for name, (source, target) in {"maps": (0, 1), "photographs": (1, 0)}.items():
        x, y = (mirrored(data["train"][side]) for side in (target, source))
        generator = networks.TranslationUNet(SHAPE, (32, 64, 128, 256, 256, 256))
        discriminator = networks.PatchDiscriminator((32, 64, 128))
        model = models.Pix2Pix(SHAPE, generator=generator, discriminator=discriminator, seed=options.seed)
        rows[name] = trained(model, x, y, options.paired_steps, 4, options.seed)
        made.append(lambda given, model=model: model.predict((given, given), verbose=0))
    return rows, *made


def classes(maps):
    """The nearest label of each pixel, `(n, height, width)`."""
    return np.stack([((m[:, :, None] - COLORS) ** 2).sum(-1).argmin(-1) for m in maps])


def figures(maps, photographs, test):
    return {
        "maps": {"accuracy": float((classes(maps) == classes(test[1])).mean()), "l1": l1(maps, test[1])},
        "photographs": {"l1": l1(photographs, test[0])},
    }


def l1(x, y):
    return float(np.abs(x - y).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="zip file of trainA, trainB, testA, testB")
    parser.add_argument("--steps", type=int, default=6000, help="of CycleGAN, one image of each (default %(default)s)")
    parser.add_argument("--paired-steps", type=int, default=2000, help="of Pix2Pix, four pairs (default %(default)s)")
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="a JSON file")
    parser.add_argument("--pictures", type=Path, help="a folder")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    data = load(options.data)
    photographs, maps = test = data["test"]
    everywhere = np.broadcast_to(COLORS[1], maps.shape)
    mean = np.broadcast_to(data["train"][0].mean(axis=(0, 1, 2)), maps.shape)
    settings = {k: v for k, v in vars(options).items() if not isinstance(v, Path)} | {"rate": RATE}
    result = {"what": __doc__.splitlines()[0], "machine": machine(), "settings": settings}
    result["constant"], columns = figures(everywhere, mean, test), [photographs, maps]
    for name, train in {"pix2pix": pix2pix, "cycle_gan": cycle_gan}.items():
        row, to_maps, to_photographs = train(data, options)
        made = to_maps(photographs), to_photographs(maps)
        result[name] = figures(*made, test) | {"training": row}
        columns += made
        print(name, result[name], flush=True)
        if options.output:
            options.output.write_text(json.dumps(result, indent=1) + "\n")
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        shown = np.arange(0, len(maps), len(maps) // 10)[:10]
        labels = ["photograph", "map"] + [f"{side}, {m}" for m in ("Pix2Pix", "CycleGAN") for side in ("map", "photo")]
        grid = np.concatenate([column[shown] for column in columns])
        plots.image_grid(grid, options.pictures / "facades.png", rows=6, row_labels=labels)


if __name__ == "__main__":
    main()
