"""The same two sets under the settings of several toolkits: how far a figure moves when the model does not.

Two sets of CIFAR-10, `n` training and `n` test images, the latter with noise of standard deviation 8 grey levels.
FID by the Inception of FID under each toolkit's resizing and estimate, with random weights: the figures mean nothing,
their ratios show what settings do. And FID by the classifier of MNIST, training against test images, by the number of
samples and by what is divided by.

    KERAS_BACKEND=torch python -m benchmarks.toolkit_settings CIFAR.npz --output docs/benchmarks/toolkit_settings.json
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from keras import ops

from keras_gen import datasets, metrics
from keras_gen.metrics.extractors import FIDInception, SmallClassifier

SIDE = 299


def pillow(mode):
    """Resizing by Pillow, which antialiases only where an image shrinks."""
    from PIL import Image

    def resize(x):
        channels = [[Image.fromarray(c).resize((SIDE, SIDE), getattr(Image, mode)) for c in np.moveaxis(i, -1, 0)]
                    for i in x.astype("float32")]  # fmt: skip
        return np.stack([np.stack([np.asarray(c) for c in image], axis=-1) for image in channels])

    return resize


def keras_bilinear(x):
    """Half-pixel centres, as of torch's `interpolate` and Keras's `resize`."""
    return ops.convert_to_numpy(ops.image.resize(x.astype("float32"), (SIDE, SIDE), interpolation="bilinear"))


RESIZES = {
    "TensorFlow 1, bilinear, corners apart (the reference; torch-fidelity)": None,
    "bilinear, centres apart (pytorch-fid, Keras)": keras_bilinear,
    "bicubic, float32 (clean-fid)": pillow("BICUBIC"),
    "bicubic, rounded to 8 bits": lambda x: np.rint(np.clip(pillow("BICUBIC")(x), 0, 255)),
    "nearest": pillow("NEAREST"),
}


def by_resizing(sets):
    """FID under each resizing, of both sets, and of the reference resizing of one against another of the same set."""
    inception, found, reference = FIDInception(None, seed=0), {}, None
    for name, resize in RESIZES.items():
        features = [extract(inception, x, resize) for x in sets]
        reference = features if reference is None else reference
        found[name] = {
            "fid": metrics.frechet_inception_distance(*features),
            "of the real set from itself": metrics.frechet_inception_distance(reference[0], features[0]),
        }
        print(name, found[name], flush=True)
    found["divided by n, not n - 1"] = {"fid": by_n(*reference)}
    half = [x[: len(x) // 2] for x in reference]
    found["half of the samples"] = {"fid": metrics.frechet_inception_distance(*half)}
    return found


def extract(extractor, x, resize, batch=32):
    parts = [x[i : i + batch] for i in range(0, len(x), batch)]
    return np.concatenate([extractor(p if resize is None else np.clip(resize(p), 0, 255))["features"] for p in parts])


def by_n(real, generated):
    """FID of covariances divided by n."""
    moments = [(x.mean(axis=0, dtype="float64"), np.cov(x, rowvar=False, ddof=0)) for x in (real, generated)]
    return metrics.frechet_distance(*moments[0], *moments[1])


def by_samples():
    """FID of training against test images of MNIST."""
    (train, _), (test, _) = datasets.mnist.load_data()
    classify = SmallClassifier("mnist")
    train, test = (classify(x.reshape(-1, 28, 28, 1))["features"] for x in (train[:10_000], test))
    return {n: {"n - 1": metrics.frechet_inception_distance(train[:n], test[:n]), "n": by_n(train[:n], test[:n])}
            for n in (500, 1000, 2000, 5000, 10_000)}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cifar", type=Path, help="arrays x_train and x_test of CIFAR-10, uint8")
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", metrics.NotComparableWarning)
    data = np.load(arguments.cifar)
    sets = [images(data[name])[: arguments.n] for name in ("x_train", "x_test")]
    noise = 8.0 * np.random.default_rng(0).normal(size=sets[1].shape)
    sets[1] = np.rint(np.clip(sets[1] + noise, 0, 255)).astype("uint8")
    found = {"n": arguments.n, "resizing": by_resizing(sets), "samples": by_samples()}
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1) + "\n")


def images(x):
    """`(n, 32, 32, 3)`, also of an array whose channels come first of all."""
    return np.moveaxis(x, 0, -1) if x.shape[0] == 3 else x


if __name__ == "__main__":
    main()
