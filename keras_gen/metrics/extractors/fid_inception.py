"""FID's Inception, with the published weights from a local file.

The network, and how it differs from others of its name, is in `inception.py`. Its weights were published once, inside
the TensorFlow graph `classify_image_graph_def.pb` of `inception-2015-12-05.tgz`; PyTorch ports rewrote them as
`pt_inception-2015-12-05-6726825d.pth` (pytorch-fid) and `weights-inception-2015-12-05-6726825d.pth` (torch-fidelity),
two names of one file, of the format before torch 1.6. Whether a file is that one is decided by its fingerprint:

    .pth    95,628,359 bytes, SHA-256 6726825d0af5...; the file's name carries the first eight digits
    .pb     95,673,916 bytes, MD5 e6bb154e85f5...

Weights of another fingerprint are loaded if names and shapes fit, and `is_reference` is False.

The inception score was defined on logits without the bias of the last layer, and so are the `logits` here.
"""

import hashlib
from pathlib import Path

import keras
import numpy as np

from keras_gen.metrics.extractors import graph_file, inception, torch_file
from keras_gen.metrics.extractors.base import Extractor

SIDE = 299
PUBLISHED = {
    ("sha256", 95_628_359): "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ("md5", 95_673_916): "e6bb154e85f5d4331c22abcddb5dcf31",
}
OTHERS = {  # what else people have at hand, by a name inside
    "AuxLogits.fc.weight": "torchvision's Inception-v3, trained anew on ImageNet; its features give other figures",
}


def is_published(file):
    """Whether the file has the length and fingerprint of one that was published."""
    size = Path(file).stat().st_size
    for (algorithm, length), digest in PUBLISHED.items():
        if size == length:
            with open(file, "rb") as stream:
                return hashlib.file_digest(stream, algorithm).hexdigest() == digest
    return False


def read_weights(file):
    """Named arrays of a `.pth`, or of a `.pb` renamed to the names of a `.pth`.

    Args:
        file: Path; a graph if it ends in `.pb`.

    Returns:
        Dict of name to array.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read as either.
    """
    if Path(file).suffix != ".pb":
        return {k: v for k, v in torch_file.read_tensors(file).items() if not k.endswith("num_batches_tracked")}
    constants, weights = graph_file.read_constants(file), {}
    parts = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for name, scope in inception.graph_names().items():
        if f"{scope}/conv2d_params" in constants:
            weights[f"{name}.conv.weight"] = np.transpose(constants[f"{scope}/conv2d_params"], (3, 2, 0, 1))
        found = {there: constants.get(f"{scope}/batchnorm/{here}") for here, there in parts.items()}
        weights.update({f"{name}.bn.{there}": value for there, value in found.items() if value is not None})
    fc = {"fc.weight": constants.get("softmax/weights"), "fc.bias": constants.get("softmax/biases")}
    return weights | {name: np.transpose(value) for name, value in fc.items() if value is not None}


def checked_weights(weights, network, file):
    """The weights, read from `file`, if their names and shapes are those of the network, and their values sound."""
    wanted = dict(inception.shapes(network))
    found = {name: value.shape for name, value in weights.items()}
    wrong = [f"{k}: {found.get(k, 'missing')} for {v}" for k, v in wanted.items() if found.get(k) != v]
    wrong += [f"{k}: {v}, unknown" for k, v in found.items() if k not in wanted]
    if wrong:
        hint = next((f" It seems to be {text}." for name, text in OTHERS.items() if name in found), "")
        raise ValueError(
            f"Expected the weights of FID's Inception, {len(wanted)} arrays. Received: {file}, of which {len(wrong)} "
            f"names or shapes differ.{hint} The first: {'; '.join(wrong[:3])}"
        )
    bad = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if bad or any((weights[name] < 0).any() for name in wanted if name.endswith("running_var")):
        raise ValueError(f"Expected finite weights and variances from 0 on. Received: {file}, damaged in {bad[:3]}")
    return weights


def random_weights(network, seed=0):
    """Weights of those names and shapes, random moments too, that keep activations near 1: for tests."""
    generator, weights = np.random.default_rng(seed), {}
    for name, shape in inception.shapes(network):
        noise = generator.standard_normal(shape)
        if name.endswith("running_var"):
            weights[name] = np.exp(0.3 * noise)
        elif name.endswith("bn.weight"):
            weights[name] = 1 + 0.2 * noise
        else:
            weights[name] = noise * (np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.2)
    return {name: value.astype("float32") for name, value in weights.items()}


@keras.saving.register_keras_serializable(package="keras_gen")
class FIDInception(Extractor):
    """The Inception network of FID, KID and the inception score: images to pool3 features and logits.

    Computes in float32 whatever the dtype policy. Images are resized to 299 x 299 as TensorFlow 1 did.

    Args:
        weights: Path of the published weights: the `.pth` of pytorch-fid or torch-fidelity, or TensorFlow's
            `classify_image_graph_def.pb`. None: random weights, of use to tests alone.
        data_range: `(low, high)` of the images; default (0, 255). Published protocols take 8 bits a value: round.
        repeat_grey: Whether images of one channel are taken, and repeated to three; default False.
        batch_size: Images in a batch; default 32.
        seed: Of the random weights, without a file; default 0.

    Returns:
        A callable: images `(n, height, width, 3)` to a dict of float32 arrays, `features` `(n, 2048)` and `logits`
        `(n, 1008)`, the latter without bias. `bias` is that bias, `(1008,)`. `is_reference` is True if the file is, by
        its fingerprint, one that was published.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds the weights of another network, is damaged, or is no file of weights; if images
            have another shape or range.

    Example:
        >>> from keras_gen.metrics.extractors import FIDInception
        >>> extractor = FIDInception(weights=None)
        >>> extractor.network.count_params(), extractor.is_reference
        (23832736, False)

    Reference:
        Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter 2017, arXiv:1706.08500. Salimans et al. 2016,
        arXiv:1606.03498 (logits). Weights: TensorFlow authors, Apache License 2.0.
    """

    def __init__(self, weights, *, data_range=(0, 255), repeat_grey=False, batch_size=32, seed=0):
        found = None if weights is None else read_weights(weights)
        network = inception.inception()
        found = random_weights(network, seed) if found is None else checked_weights(found, network, weights)
        inception.assign(network, found)
        channels = (1, 3) if repeat_grey else (3,)
        name = "fid_inception" if weights is not None else "fid_inception_random"
        super().__init__(network, name, channels, data_range=data_range, batch_size=batch_size)
        self.weights, self.repeat_grey, self.seed = weights and str(weights), repeat_grey, seed
        self.bias = np.array(found["fc.bias"])
        self.is_reference = weights is not None and is_published(weights)

    def prepare(self, x):
        x = keras.ops.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x
        return (inception.resize_like_tensorflow_1(x, SIDE) - 128) / 128

    def get_config(self):
        """Configuration; the weights stay in their file, whose path it holds."""
        config = {"weights": self.weights, "repeat_grey": self.repeat_grey, "seed": self.seed}
        return {**super().get_config(), **config}
