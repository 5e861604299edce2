"""GANs on Fashion-MNIST: samples as pictures, and FID, KID, precision, recall, density and coverage of them.

Each model is trained by `fit` on the 60,000 training images in [0, 1]. 10,000 samples of the average generator, as
pictures of 8 bits, are held against the 10,000 test images by the features of the shipped classifier of Fashion-MNIST.
`data` is the row to compare with: 10,000 training images in place of samples. Samples of a label are also given to the
classifier: the share that it recognises as what was asked for (it is right about 91.2 % of test images). What a model
can do beside drawing samples is a second picture: codes traversed, styles mixed, images reconstructed, a plane.

    KERAS_BACKEND=torch python -m benchmarks.fashion_gans --output docs/benchmarks/fashion_gans.json \
        --pictures docs/images
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_gen import losses, metrics, models, networks, plots
from keras_gen.datasets import fashion_mnist
from keras_gen.metrics.extractors import EightBits, SmallClassifier

SHAPE, N = (28, 28, 1), 10_000
FILTERS = (32, 64)


def pair(normalization=None):
    """The networks of DCGAN, small; batch normalisation in the discriminator only where no gradient is penalised."""
    return {
        "generator": networks.DCGANGenerator(SHAPE, FILTERS[::-1]),
        "discriminator": networks.DCGANDiscriminator(FILTERS, normalization=normalization),
    }


def style_gan():
    return models.StyleGAN(
        SHAPE, 64, generator=networks.StyleGenerator(SHAPE, 64, 4, (64, 32, 16)),
        discriminator=networks.StyleDiscriminator((16, 32, 64)), penalties=losses.R1(0.1, every=8), seed=0,
    )  # fmt: skip


R1 = losses.R1(0.1)
MODELS = {  # model, rate of Adam (for all, or a player) and its beta_1, batch size of a step of fit, steps of fit
    "dcgan": lambda: (models.DCGAN(SHAPE, average=0.999, seed=0, **pair("batch")), 2e-4, 0.5, 64, 12_000),
    "conditional": lambda: (
        models.ConditionalGAN(SHAPE, num_classes=10, condition="projection", penalties=R1, seed=0, **pair()),
        4e-4, 0.5, 64, 12_000,
    ),
    "infogan": lambda: (models.InfoGAN(
            SHAPE, 32, information_weight=0.3, continuous_weight=0.03, penalties=R1, seed=0, **pair()
        ), 4e-4, 0.5, 64, 12_000),
    "wgan_gp": lambda: (models.WGANGP(SHAPE, 64, average=0.999, seed=0, **pair()), 2e-4, 0.0, 320, 4_000),
    "adversarial_autoencoder": lambda: (models.AdversarialAutoencoder(SHAPE, 2, seed=0), 5e-4, 0.5, 100, 6_000),
    "style_gan": lambda: (style_gan(), 1e-3, 0.0, 32, 6_000),
    "bigan": lambda: (
        models.BiGAN(SHAPE, 16, penalties=R1, seed=0, **pair()),
        {"generator": 1e-4, "encoder": 1e-4, "discriminator": 4e-4}, 0.5, 64, 10_000,
    ),
}  # fmt: skip


def infogan_codes(model, x, y, path):
    """One row a drawn noise, one column a label of the code; and below, the two numbers from -2 to 2."""
    labels = model.traverse(5, label=0, seed=1)
    numbers = [model.traverse(3, number=i, steps=10, seed=1) for i in range(2)]
    names = ["label"] * 5 + ["number 1"] * 3 + ["number 2"] * 3
    plots.interpolation_strip(np.concatenate([labels, *numbers]), path, row_labels=names)


def style_mixing(model, x, y, path):
    """Columns give the styles of the first three layers, rows those of the last two."""
    a, b = np.random.default_rng(3).normal(size=(2, 8, model.latent_dim))
    middle = 3
    grid = model.mix(np.tile(a, (6, 1)), np.repeat(b[:6], 8, axis=0), middle, truncation=0.8)
    top, left = model.mix(a, a, 0, truncation=0.8), model.mix(b, b, 0, truncation=0.8)
    rows = [np.concatenate([np.ones_like(top[:1]), top])]
    rows += [np.concatenate([left[i : i + 1], grid[8 * i : 8 * i + 8]]) for i in range(6)]
    plots.image_grid(np.concatenate(rows), path, columns=9)


def reconstructions(model, x, y, path):
    """Test images, and below each its reconstruction G(E(x))."""
    shown = np.concatenate([x[y == k][:2] for k in range(10)])
    pairs = np.stack([shown.reshape(2, 10, *SHAPE), model.reconstruct(shown).reshape(2, 10, *SHAPE)], axis=1)
    plots.image_grid(pairs.reshape(-1, *SHAPE), path, columns=10, row_labels=["data", "G(E(x))"] * 2)


def plane(model, x, y, path):
    plots.decoded_plane(model.decode, path, n=16)
    plots.latent_scatter(model.encode(x), y, path.with_name(f"{path.stem}_codes.png"), class_names=NAMES)


NAMES = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
ABILITIES = {  # the file, and what draws it; the grid of samples has the name of the model
    "infogan": ("fashion_infogan_codes.png", infogan_codes),
    "style_gan": ("fashion_style_mixing.png", style_mixing),
    "bigan": ("fashion_bigan_reconstructions.png", reconstructions),
    "adversarial_autoencoder": ("fashion_aae_plane.png", plane),
}


def judge(extractor, real, samples):
    """All figures of the samples; features are extracted once."""
    features = extractor(samples)["features"]
    figures = {"fid": metrics.frechet_inception_distance(real, features)}
    figures["kid"] = metrics.kernel_inception_distance(real, features)[0]
    figures["precision"], figures["recall"] = metrics.precision_recall(real, features)
    figures["density"], figures["coverage"] = metrics.density_coverage(real, features)
    return figures


def train(name, x, y, share):
    """The trained model, and what the training was and took."""
    keras.utils.set_random_seed(0)
    model, rate, beta_1, batch_size, steps = MODELS[name]()
    steps = round(share * steps)
    adam = {}
    for player in model.players:  # a schedule counts the steps of its own player
        first = rate[player] if isinstance(rate, dict) else rate
        k = model.discriminator_steps if player == "discriminator" and hasattr(model, "discriminator_steps") else 1
        falling = keras.optimizers.schedules.PolynomialDecay(first, k * steps, 0.05 * first)
        adam[player] = keras.optimizers.Adam(falling, beta_1=beta_1, beta_2=0.99)
    several = {} if keras.config.backend() == "torch" else {"steps_per_execution": 20}
    model.compile(adam, **several)
    start = time.perf_counter(), time.process_time()
    condition = y if model.conditional else None
    history = model.fit(x, condition, batch_size=batch_size, steps_per_epoch=steps // 10, epochs=10, verbose=2, seed=0)
    seconds = round(time.perf_counter() - start[0]), round(time.process_time() - start[1])
    row = {"wall_seconds": seconds[0], "cpu_seconds": seconds[1], "batch_size": batch_size, "steps": steps}
    return model, row | {"last": {key: values[-1] for key, values in history.history.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--share", type=float, default=1.0, help="of the stated steps")
    parser.add_argument("--output", type=Path, help="a JSON file; rows of other models in it are kept")
    parser.add_argument("--pictures", type=Path, help="a folder")
    parser.add_argument("--keep", type=Path, help="a folder for the trained models")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", metrics.NotComparableWarning)
    (x, y), (x_test, y_test) = fashion_mnist.load_data()
    x, x_test = (a.reshape(-1, *SHAPE).astype("float32") / 255.0 for a in (x, x_test))
    extractor = EightBits(SmallClassifier("fashion_mnist", data_range=(0, 1)))
    real = extractor(x_test)["features"]
    for name in arguments.models:
        model, row = train(name, x, y, arguments.share)
        row["backend"] = keras.config.backend()
        if arguments.keep:
            model.save(arguments.keep / f"{name}.keras")
        labels = np.arange(N) % 10 if model.conditional else None
        samples = model.sample(N, labels, seed=0, verbose=0)
        row |= judge(extractor, real, samples)
        if labels is not None:
            row["recognised"] = float((extractor(samples)["logits"].argmax(axis=1) == labels).mean())
        if hasattr(model, "reconstruct"):
            row["squared_error"] = float(np.square(model.reconstruct(x_test) - x_test).sum(axis=(1, 2, 3)).mean())
        print(name, row, flush=True)
        if arguments.output:
            write(arguments.output, name, row, lambda: judge(extractor, real, x[:N]))
        if arguments.pictures:
            plots.image_grid(samples[:100], arguments.pictures / f"fashion_{name}.png", columns=10)
            if name in ABILITIES:
                file, show = ABILITIES[name]
                show(model, x_test, y_test, arguments.pictures / file)


def write(path, name, row, of_data):
    """Add a row to the file of figures."""
    found = json.loads(path.read_text()) if path.exists() else {"n": N, "data": of_data()}
    path.write_text(json.dumps(found | {name: row}, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
