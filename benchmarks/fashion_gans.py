"""GANs on Fashion-MNIST: samples as pictures, and FID, KID, precision, recall, density and coverage of them.

Each model is trained by `fit` on the 60,000 training images in [0, 1]. 10,000 samples of the (average) generator, as
pictures of 8 bits, are held against the 10,000 test images by the features of the shipped classifier of Fashion-MNIST.
`data` is the row to compare with: 10,000 training images in place of samples. Conditional samples are also given to the
classifier: the share that it recognises as what was asked for (it is right about 91.2 % of test images).

    KERAS_BACKEND=jax python -m benchmarks.fashion_gans --epochs 10 --output docs/benchmarks/fashion_gans.json \
        --pictures docs/images
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_gen import losses, metrics, models, plots
from keras_gen.datasets import fashion_mnist
from keras_gen.metrics.extractors import EightBits, SmallClassifier

SHAPE, N = (28, 28, 1), 10_000


def adam(rate, beta_1=0.5, beta_2=0.999):
    return keras.optimizers.Adam(rate, beta_1=beta_1, beta_2=beta_2)


MODELS = {  # model, optimizer, batch size
    "dcgan": lambda: (models.DCGAN(SHAPE, average=0.999, seed=0), adam(2e-4), 64),
    "dcgan_r1": lambda: (models.DCGAN(SHAPE, average=0.999, penalties=losses.R1(1.0), seed=0), adam(2e-4), 64),
    "lsgan": lambda: (models.LSGAN(SHAPE, average=0.999, seed=0), adam(2e-4), 64),
    "wgan_gp": lambda: (models.WGANGP(SHAPE, average=0.999, seed=0), adam(2e-4, 0.0, 0.9), 320),
    "conditional_projection": lambda: (
        models.ConditionalGAN(SHAPE, num_classes=10, condition="projection", penalties=losses.R1(1.0), seed=0),
        adam(2e-4), 64,
    ),
    "infogan": lambda: (models.InfoGAN(SHAPE, seed=0), adam(2e-4), 64),
}  # fmt: skip


def judge(extractor, real, samples):
    """All figures of the samples; features are extracted once."""
    features = extractor(samples)["features"]
    figures = {"fid": metrics.frechet_inception_distance(real, features)}
    figures["kid"] = metrics.kernel_inception_distance(real, features)[0]
    figures["precision"], figures["recall"] = metrics.precision_recall(real, features)
    figures["density"], figures["coverage"] = metrics.density_coverage(real, features)
    return figures


def train(name, x, y, epochs):
    keras.utils.set_random_seed(0)
    model, optimizer, batch_size = MODELS[name]()
    several = {} if keras.config.backend() == "torch" else {"steps_per_execution": 20}
    model.compile(optimizer, **several)
    start = time.perf_counter(), time.process_time()
    condition = y if model.conditional else None
    history = model.fit(x, condition, batch_size=batch_size, epochs=epochs, verbose=2, seed=0)
    seconds = round(time.perf_counter() - start[0]), round(time.process_time() - start[1])
    last = {key: values[-1] for key, values in history.history.items()}
    return model, {"wall_seconds": seconds[0], "cpu_seconds": seconds[1], "batch_size": batch_size, "last": last}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", metrics.NotComparableWarning)
    (x, y), (x_test, _) = fashion_mnist.load_data()
    x, x_test = (a.reshape(-1, *SHAPE).astype("float32") / 255.0 for a in (x, x_test))
    extractor = EightBits(SmallClassifier("fashion_mnist", data_range=(0, 1)))
    real = extractor(x_test)["features"]
    found = {"epochs": arguments.epochs, "n": N, "backend": keras.config.backend()}
    found["data"] = judge(extractor, real, x[:N])
    print(found, flush=True)
    for name in arguments.models:
        model, row = train(name, x, y, arguments.epochs)
        labels = np.arange(N) % 10 if model.conditional else None
        samples = model.sample(N, labels, seed=0, verbose=0)
        row |= judge(extractor, real, samples)
        if labels is not None:
            row["recognised"] = float((extractor(samples)["logits"].argmax(axis=1) == labels).mean())
        found[name] = row
        print(name, row, flush=True)
        if arguments.output:
            arguments.output.write_text(json.dumps(found, indent=1, default=float) + "\n")
        if arguments.pictures:
            plots.image_grid(samples[:100], arguments.pictures / f"fashion_{name}.png", columns=10)


if __name__ == "__main__":
    main()
