"""A distance of images in the feature maps of a network: that of LPIPS, on a network that is given.

A network takes images x and y to feature maps f_l and g_l, `(batch, height_l, width_l, channels_l)`. At each position a
map is brought to unit length over its channels, F = f / |f|, and the squared difference weighted by channel:

    d(x, y) = sum_l  mean_hw  sum_c  w_lc (F_lhwc - G_lhwc)^2,        w_lc >= 0.                (Zhang et al., eq. 1)

With w = 1 a layer gives twice the mean of 1 - cos of the angle between the two vectors, so at most 4, and d is a
pseudometric's square: symmetric, d(x, x) = 0. Where a map is zero F is zero, for the length is sqrt(|f|^2 + 1e-20).

A figure is that of the network, the layers and the weights. It is LPIPS, and comparable with published figures, only on
the AlexNet or VGG16 that torchvision trained, with the published weights (`lpips_heads` reads them), for images in
[-1, 1] of which the network takes

    (x - (-0.030, -0.088, -0.188)) / (0.458, 0.448, 0.450).

Reference:
    R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, "The unreasonable effectiveness of deep features as a
    perceptual metric", arXiv:1801.03924 (2018).
"""

import re

import keras
import numpy as np
from keras import ops

from keras_gen.metrics.extractors.torch_file import read_tensors
from keras_gen.metrics.pairs import PairMetric, check_shapes

SQUARED_LENGTH = 1e-20


def _check_weights(weights):
    """`weights` as a list of float32 vectors, or None."""
    if weights is None:
        return None
    vectors = [np.asarray(ops.convert_to_numpy(w), "float32") for w in weights]
    if not vectors or any(w.ndim != 1 or not (np.isfinite(w) & (w >= 0.0)).all() for w in vectors):
        raise ValueError(
            "Expected `weights` as a list with a vector (channels,) of numbers >= 0 for each feature map. Received "
            f"{[f'shape {w.shape}, least {w.min():g}' for w in vectors if w.size]}."
        )
    return vectors


def _check_maps(maps, name):
    """A list of tensors `(batch, ..., channels)`."""
    if not isinstance(maps, (list, tuple)) or not maps or any(len(getattr(m, "shape", ())) < 2 for m in maps):
        received = [tuple(getattr(m, "shape", ())) for m in maps] if isinstance(maps, (list, tuple)) else type(maps)
        raise ValueError(
            f"Expected `{name}` as a list of feature maps (batch, height, width, channels), as `feature_maps(model, "
            f"layers)` gives. Received: {received}."
        )
    return [ops.convert_to_tensor(m) for m in maps]


def _check_together(x, y, weights):
    shapes = [[tuple(m.shape) for m in maps] for maps in (x, y)]
    alike = [len(a) == len(b) and all(i == j or None in (i, j) for i, j in zip(a, b, strict=True)) for a, b in
             zip(*shapes, strict=False)]  # fmt: skip
    if len(x) != len(y) or not all(alike):
        raise ValueError(f"Expected feature maps of the same shapes. Received {shapes[0]} and {shapes[1]}.")
    channels = [shape[-1] for shape in shapes[0]]
    if weights is not None and [len(w) for w in weights] != channels:
        raise ValueError(
            f"Expected `weights` for feature maps of {channels} channels. Received {[len(w) for w in weights]}."
        )


def _directions(f):
    return f * ops.rsqrt(ops.sum(f * f, axis=-1, keepdims=True) + SQUARED_LENGTH)


def _layer_distance(f, g, weight):
    """Mean over space of the weighted squared difference of the directions of `f` and `g`, `(batch,)`."""
    dtype = keras.backend.result_type(f.dtype, g.dtype, "float32")
    squared = (_directions(ops.cast(f, dtype)) - _directions(ops.cast(g, dtype))) ** 2
    if weight is not None:
        squared = squared * ops.cast(weight, dtype)
    squared = ops.sum(squared, axis=-1)
    return ops.mean(squared, axis=list(range(1, len(f.shape) - 1))) if len(f.shape) > 2 else squared


def perceptual_distance(features_x, features_y, weights=None):
    """Sum over feature maps of the weighted squared difference of their directions, the form of LPIPS.

    Args:
        features_x, features_y: lists of feature maps of paired images, `(batch, ..., channels_l)`; computed in float32
            at least.
        weights: list of vectors `(channels_l,)`, >= 0, a feature map each; default None: ones.

    Returns:
        Tensor `(batch,)`, >= 0; 0 for equal maps.

    Raises:
        ValueError: maps of different shapes or numbers, weights that are negative or do not fit.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import perceptual_distance
        >>> x, y = np.zeros((2, 1, 4, 4, 3))
        >>> x[..., 0], y[..., 1] = 5.0, 0.1  # orthogonal directions
        >>> [round(float(perceptual_distance([x], [y], w)[0]), 4) for w in (None, [[0.5, 0.0, 0.0]])]
        [2.0, 0.5]

    Reference:
        Zhang et al. 2018, arXiv:1801.03924, eq. 1.
    """
    weights = _check_weights(weights)
    x, y = _check_maps(features_x, "features_x"), _check_maps(features_y, "features_y")
    _check_together(x, y, weights)
    return sum(_layer_distance(f, g, w) for f, g, w in zip(x, y, weights or [None] * len(x), strict=True))


@keras.saving.register_keras_serializable(package="keras_gen")
class PerceptualDistance(PairMetric):
    """Mean over pairs of images of `perceptual_distance` in the feature maps of `extractor`.

    A configuration holds the weights but not the extractor, whose own weights it could not hold: a metric that was
    loaded says so when it is used, and is given one again by `metric.extractor = ...`.

    Args:
        extractor: callable, images `(batch, height, width, channels)` to a list of feature maps; it sees the images as
            they are given, so it scales them itself. `feature_maps` makes one of a Keras model.
        weights: as of `perceptual_distance`; `lpips_heads` reads the published ones.
        name: default `"perceptual_distance"`.
        dtype: of the sums, default float32.

    Raises:
        ValueError: as `perceptual_distance`; images whose shapes differ, an extractor that gives no list of maps.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.metrics import PerceptualDistance, feature_maps
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, name="a"),
        ...                           keras.layers.Conv2D(4, 3, name="b")])
        >>> metric = PerceptualDistance(feature_maps(model, ["a", "b"]))
        >>> x = np.random.default_rng(0).random((2, 8, 8, 1))
        >>> metric.update_state(x, x)
        >>> float(metric.result())
        0.0

    Reference:
        Zhang et al. 2018, arXiv:1801.03924, eq. 1.
    """

    def __init__(self, extractor=None, weights=None, name="perceptual_distance", dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        if extractor is not None and not callable(extractor):
            raise ValueError(f"Expected `extractor` as a callable, images to feature maps. Received: {extractor!r}.")
        self.extractor, self.weights = extractor, _check_weights(weights)

    def values(self, x, y):
        if self.extractor is None:
            raise ValueError(
                "Expected an extractor. Received none: a configuration holds no network. Set `metric.extractor`, or "
                "compile the model again with `PerceptualDistance(extractor)`."
            )
        check_shapes(x, y)
        return perceptual_distance(self.extractor(x), self.extractor(y), self.weights)

    def get_config(self):
        weights = None if self.weights is None else [w.tolist() for w in self.weights]
        return {**super().get_config(), "weights": weights}


def feature_maps(model, layers):
    """A Keras model that gives the outputs of `layers` of `model`: an extractor for `PerceptualDistance`.

    Args:
        model: functional or sequential Keras model, built; weights are shared with it.
        layers: list of names of its layers.

    Returns:
        `keras.Model`, input of `model` to a list of tensors, in the order of `layers`.

    Raises:
        ValueError: a model without symbolic inputs, no names, a name that no layer has.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.metrics import feature_maps
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, name="a"),
        ...                           keras.layers.Conv2D(5, 3, name="b")])
        >>> [tuple(m.shape) for m in feature_maps(model, ["b", "a"])(np.zeros((2, 8, 8, 1)))]
        [(2, 4, 4, 5), (2, 6, 6, 4)]
    """
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(
            "Expected a functional or a built sequential Keras model. Received: "
            f"{type(model).__name__}, which has no symbolic inputs. Write a function, images to a list of maps."
        )
    names = [layer.name for layer in model.layers]
    if isinstance(layers, str) or not layers or not set(layers) <= set(names):
        raise ValueError(f"Expected `layers` as a list of names among {names}. Received: layers={layers!r}.")
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return keras.Model(inputs, [model.get_layer(name).output for name in layers])


def lpips_heads(source):
    """The published weights w_l of LPIPS, for `PerceptualDistance(weights=...)`.

    They fit the feature maps of the network for which they were trained and of no other: `alex` (64, 192, 384, 256, 256
    channels, after each ReLU of the convolutions), `vgg` (64, 128, 256, 512, 512, before each pooling of VGG16, and the
    last ReLU) or `squeeze`.

    Args:
        source: path of `alex.pth`, `vgg.pth` or `squeeze.pth` (in the Python package `lpips`, folder `weights/v0.1`),
            or a mapping of names to arrays, of which those called `lin0...weight`, `lin1...weight`, ... are taken.

    Returns:
        List of float32 vectors `(channels_l,)`.

    Raises:
        ValueError: no such names, a gap in their numbers, shapes other than `(1, channels, 1, 1)`, negative weights.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import lpips_heads
        >>> [w.shape for w in lpips_heads({"lin0.model.1.weight": np.ones((1, 64, 1, 1))})]
        [(64,)]

    Reference:
        Zhang et al. 2018, arXiv:1801.03924, section 3 and "lin" of table 5.
    """
    arrays = source if hasattr(source, "items") else read_tensors(source)
    found = {int(m[1]): np.asarray(a) for name, a in arrays.items() if (m := re.fullmatch(r"lin(\d+)\..*weight", name))}
    flat = all(a.ndim == 4 and a.shape[:1] + a.shape[2:] == (1, 1, 1) for a in found.values())
    if not found or sorted(found) != list(range(len(found))) or not flat:
        raise ValueError(
            "Expected arrays lin0.model.1.weight, lin1.model.1.weight, ... of shape (1, channels, 1, 1). Received: "
            f"{ {name: tuple(np.shape(a)) for name, a in arrays.items()} }."
        )
    return _check_weights([found[i].reshape(-1) for i in range(len(found))])
