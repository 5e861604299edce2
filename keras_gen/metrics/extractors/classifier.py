"""A small classifier of digits, MNIST or Fashion-MNIST as an extractor, its weights part of the package.

Inception knows photographs, not digits, and is large. This network is small enough that anybody trains it in a few
minutes, and figures of small models can be reproduced without a download. Four convolutions of 3 x 3 with rectifiers,
of which the second and the last have stride 2, an average over space, and a linear layer:

    side -> 16 maps -> side / 2, 32 maps -> 48 maps -> side / 4, 64 maps -> 64 features -> 10 logits

It is trained with batch normalisation, which is folded into the convolutions when the weights are written. Recipe and
measured accuracy: `benchmarks/small_classifier.py` and `docs/benchmarks/small_classifier.json`. Figures made with it
are comparable with each other alone, and only for the same data and the same weights.

The weights are ours, under this package's licence. They were learned from MNIST (LeCun, Cortes and Burges, CC BY-SA
3.0), Fashion-MNIST (Zalando SE, MIT licence) and the UCI digits (Alpaydin and Kaynak, CC BY 4.0).
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_gen.metrics.extractors.base import Extractor

FOLDER = Path(__file__).parent / "weights"
SIDES = {"digits": 8, "mnist": 28, "fashion_mnist": 28}
MOST = {"digits": 16, "mnist": 255, "fashion_mnist": 255}  # what ink is in `keras_gen.datasets`
FILTERS, STRIDES, CLASSES = (16, 32, 48, 64), (1, 2, 1, 2), 10


def small_network(side, normalised=False):
    """The network from images `(n, side, side, 1)` in [0, 1] to `features` `(n, 64)` and `logits` `(n, 10)`.

    With `normalised`, as it is trained: with batch normalisation after each convolution, which then has no bias.
    """
    x = images = keras.Input((side, side, 1), dtype="float32")
    for i, (filters, stride) in enumerate(zip(FILTERS, STRIDES, strict=True)):
        options = {"padding": "same", "use_bias": not normalised, "name": f"conv_{i}", "dtype": "float32"}
        x = layers.Conv2D(filters, 3, stride, data_format="channels_last", **options)(x)
        x = layers.BatchNormalization(name=f"norm_{i}", dtype="float32")(x) if normalised else x
        x = layers.ReLU(dtype="float32")(x)
    features = layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32")(x)
    logits = layers.Dense(CLASSES, name="logits", dtype="float32")(features)
    return keras.Model(images, {"features": features, "logits": logits})


def _assign(network, file):
    """Put the arrays of an `.npz` into the network's variables."""
    wanted = {variable.path: variable for layer in network.layers for variable in layer.variables}
    wanted = {"/".join(path.split("/")[-2:]): variable for path, variable in wanted.items()}
    with np.load(file, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    shapes = {name: tuple(variable.shape) for name, variable in wanted.items()}
    if {name: value.shape for name, value in found.items()} != shapes:
        raise ValueError(f"Expected arrays {shapes} in {file}. Received { {k: v.shape for k, v in found.items()} }.")
    for name, variable in wanted.items():
        variable.assign(found[name])


@keras.saving.register_keras_serializable(package="keras_gen")
class SmallClassifier(Extractor):
    """A convolutional classifier of ten classes: images to 64 features and 10 logits.

    Args:
        data: "mnist", "fashion_mnist" (28 x 28) or "digits" (8 x 8): what it was trained on.
        weights: Path of an `.npz` that `benchmarks/small_classifier.py` wrote; default None: those of the package.
        data_range: `(low, high)` of background and ink; default None: (0, 255), for "digits" (0, 16), as the arrays of
            `keras_gen.datasets` have it. For a model's samples in [0, 1] give (0, 1).
        batch_size: Images in a batch; default 256.

    Returns:
        A callable: images `(n, side, side, 1)` or `(n, side, side)` to a dict of float32 arrays, `features` `(n, 64)`
        and `logits` `(n, 10)`. Its `is_reference` is False.

    Raises:
        ValueError: If `data` is another name, the weights are of another network, or images have another shape or
            range.

    Example:
        >>> from keras_gen.datasets import digits
        >>> from keras_gen.metrics.extractors import SmallClassifier
        >>> (_, _), (x, y) = digits.load_data()
        >>> found = SmallClassifier("digits")(x)
        >>> found["features"].shape, found["logits"].shape
        ((359, 64), (359, 10))
        >>> bool((found["logits"].argmax(axis=1) == y).mean() > 0.97)
        True

    Reference:
        MNIST: LeCun, Bottou, Bengio and Haffner 1998. Fashion-MNIST: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
        Digits: Alpaydin and Kaynak 1998.
    """

    def __init__(self, data, *, weights=None, data_range=None, batch_size=256):
        if data not in SIDES:
            raise ValueError(f"Expected `data` as one of {sorted(SIDES)}. Received {data!r}.")
        network, side = small_network(SIDES[data]), SIDES[data]
        _assign(network, weights or FOLDER / f"{data}.npz")
        name = f"small_classifier_{data}" + ("" if weights is None else "_other_weights")
        data_range = data_range or (0, MOST[data])
        super().__init__(network, name, (1,), (side, side), data_range=data_range, batch_size=batch_size)
        self.data, self.weights = data, weights and str(weights)

    def __call__(self, images):
        images = keras.ops.convert_to_numpy(images)
        return super().__call__(images[..., None] if images.ndim == 3 else images)

    def prepare(self, x):
        return x / 255

    def get_config(self):
        """Configuration; a weights file of your own stays where it is."""
        return {**super().get_config(), "data": self.data, "weights": self.weights}
