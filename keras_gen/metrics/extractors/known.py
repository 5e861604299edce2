"""A check of FID's Inception, with its published weights, on activations that are known.

    python -m keras_gen.metrics.extractors.known WEIGHTS [--panda cropped_panda.jpg] [--known FILE.npz]

The weights themselves are known by their fingerprint, which is checked first. That the network computes with them what
the TensorFlow graph computes is checked on

    the panda   `cropped_panda.jpg` lies beside the graph in `inception-2015-12-05.tgz`. The published output of the
                graph is class 169, giant panda, with probability 0.8910737, then classes 75, 7, 325 and 878. Decoders
                of JPEG differ, and so do published probabilities, 0.885 to 0.892; 0.02 is allowed here.
    a file      of features and logits that another implementation gave on `images()`, arrays of integers by a formula.
                `benchmarks/fid_inception_peers.py` writes it from torch-fidelity. None comes with this package: no
                activation on a formula's images is published, and none is made up here.

Reference:
    TensorFlow's tutorial "Image Recognition" with `classify_image.py` prints the five classes of the panda.
"""

import argparse
import sys

import numpy as np

PANDA = {169: 0.8910737, 75: 0.0077905, 7: 0.0029591, 325: 0.0014658, 878: 0.0011742}
PANDA_TOLERANCE, TOLERANCE = 0.02, 1e-4
SIZES = [(32, 32), (64, 48), (299, 299)]


def images():
    """Three batches of one image each, uint8, of sizes 32 x 32, 64 x 48 and 299 x 299; integers, alike everywhere."""
    return [_image(height, width) for height, width in SIZES]


def _image(height, width):
    i, j, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((7 * i + 13 * j + 29 * c + i * j // 5 + (i // 8 + j // 8) % 2 * 90) % 256).astype("uint8")[None]


def check_panda(extractor, image):
    """Classify the panda.

    Args:
        extractor: A `FIDInception`.
        image: `cropped_panda.jpg`, decoded: uint8 `(height, width, 3)`.

    Returns:
        Probability of class 169.

    Raises:
        ValueError: If the five likeliest classes are not the published ones, or the probability is off by over 0.02.
    """
    logits = extractor(image[None])["logits"][0].astype("float64") + extractor.bias
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    first = [int(k) for k in np.argsort(-probabilities)[: len(PANDA)]]
    if first != list(PANDA) or abs(probabilities[169] - PANDA[169]) > PANDA_TOLERANCE:
        raise ValueError(
            f"Expected classes {list(PANDA)}, the first with probability {PANDA[169]:.3f}. Received {first} with "
            f"{probabilities[first[0]]:.3f}: this is not the published network, or not the published picture."
        )
    return float(probabilities[169])


def check_known(extractor, file):
    """Compare with what another implementation computed on `images()`.

    Args:
        extractor: A `FIDInception`.
        file: `.npz` of `features` `(3, 2048)` and `logits` `(3, 1008)`.

    Returns:
        The greatest absolute difference over the greatest absolute value, of features and of logits the larger.

    Raises:
        ValueError: If the file has other arrays, or that error is above 1e-4.
    """
    found = [extractor(x) for x in images()]
    errors = {}
    with np.load(file) as known:
        for key in ("features", "logits"):
            ours = np.concatenate([part[key] for part in found])
            if key not in known or known[key].shape != ours.shape:
                raise ValueError(f"Expected `{key}` of shape {ours.shape} in {file}. Received {sorted(known)}.")
            errors[key] = float(np.abs(ours - known[key]).max() / np.abs(known[key]).max())
    if not max(errors.values()) <= TOLERANCE:
        raise ValueError(f"Expected activations as in {file}, to {TOLERANCE}. Received relative errors {errors}.")
    return max(errors.values())


def main(arguments=None):
    """Check a file of weights, say what was found; exit status 1 if anything is not as published."""
    from keras_gen.metrics.extractors.fid_inception import FIDInception

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help=".pth of pytorch-fid or torch-fidelity, or classify_image_graph_def.pb")
    parser.add_argument("--panda", help="cropped_panda.jpg")
    parser.add_argument("--known", help=".npz of features and logits on the images of this module")
    options = parser.parse_args(arguments)
    try:
        extractor = FIDInception(options.weights, batch_size=1)
        print("names and shapes: as published")
        print("fingerprint:", "as published" if extractor.is_reference else "of no published file")
        if options.panda:
            print(f"panda: {check_panda(extractor, _decoded(options.panda)):.5f}")
        if options.known:
            print(f"known activations: relative error {check_known(extractor, options.known):.1e}")
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    return 0 if extractor.is_reference else 1


def _decoded(file):
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError("Reading a picture needs Pillow: pip install 'keras_gen[plots]'") from error
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


if __name__ == "__main__":
    sys.exit(main())
