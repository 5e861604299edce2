"""Any Keras model as an extractor, and Keras's InceptionV3 as a named one.

Features are what one layer gives, averaged over space if it gives maps. A model says what it wants to see by a side
length, a way to resize, and a function that scales values; these and the weights decide the figures, so figures of two
such extractors are not comparable, nor are those of any with published ones.
"""

import keras
from keras import ops

from keras_gen.metrics.extractors.base import Extractor


def _outputs(model, layer, logits):
    """Symbolic features and logits of a model, by the names of layers; None: the model's own output."""
    if not hasattr(model, "get_layer") or not getattr(model, "built", False):
        raise ValueError(f"Expected `model` as a Keras model that is built. Received {type(model).__name__}.")
    if not (isinstance(model, keras.Sequential) or getattr(model, "inputs", None)):
        raise ValueError(
            "Expected `model` as a functional or sequential Keras model, for its layers have outputs to take. Received "
            f"{type(model).__name__}, a subclass: wrap it, `x = keras.Input(shape); keras.Model(x, model(x))`."
        )
    names = {"features": layer, "logits": logits}
    named = {key: model.get_layer(name).output for key, name in names.items() if name is not None}
    features = named.pop("features", model.outputs[0])
    axes = 1 if keras.config.image_data_format() == "channels_first" else -1
    if len(features.shape) == 4:
        features = ops.mean(features, axis=(2, 3) if axes == 1 else (1, 2))
    if len(features.shape) != 2:
        raise ValueError(f"Expected features of rank 2, or maps of rank 4. {layer!r} gives shape {features.shape}.")
    return {"features": features, **named}


class KerasExtractor(Extractor):
    """A Keras model, or a layer of it, as an extractor.

    Args:
        model: A built functional or sequential model of one input, images channels last.
        layer: Name of the layer whose output is the features, averaged over space if it is of rank 4; default None: the
            model's first output.
        logits: Name of the layer whose output is the logits, before a softmax; default None: no logits.
        size: `(height, width)` that images are resized to; default None: they are not.
        interpolation: How, a name that `keras.ops.image.resize` knows; default "bilinear".
        antialias: Whether images are smoothed when they shrink; default True.
        preprocess: Function of a tensor `(n, height, width, channels)` of values 0..255, to what the model wants;
            default None: values stay.
        data_range: `(low, high)` of the images; default (0, 255).
        batch_size: Images in a batch; default 32.
        name: What reports call it; default the model's name, and the layer's.

    Returns:
        A callable: images to a dict of float32 arrays, `features` `(n, d)` and, if asked for, `logits` `(n, k)`. Its
        `is_reference` is False. It has no configuration: a model's weights are no part of one. To save a metric that
        holds it, write and register a subclass that builds its model.

    Raises:
        ValueError: If the model is not built, or a subclass of `keras.Model` whose layers have no outputs; if there is
            no such layer, or it gives neither vectors nor maps; if images have another shape or range.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.metrics.extractors import KerasExtractor
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(5, 3, name="maps")])
        >>> extractor = KerasExtractor(model, layer="maps", size=(8, 8))
        >>> extractor(np.full((3, 28, 28, 1), 255, "uint8"))["features"].shape
        (3, 5)
    """

    def __init__(
        self, model, layer=None, *, logits=None, size=None, interpolation="bilinear", antialias=True, preprocess=None,
        data_range=(0, 255), batch_size=32, name=None,
    ):  # fmt: skip
        outputs = _outputs(model, layer, logits)
        network = keras.Model(model.inputs, outputs)
        name = name or (f"{model.name}/{layer}" if layer else model.name)
        channels = model.inputs[0].shape[-1]
        super().__init__(network, name, channels and (channels,), data_range=data_range, batch_size=batch_size)
        self.size, self.interpolation, self.antialias, self.preprocess = size, interpolation, antialias, preprocess

    def prepare(self, x):
        if self.size is not None and tuple(x.shape[1:3]) != tuple(self.size):
            x = ops.image.resize(x, self.size, self.interpolation, self.antialias, data_format="channels_last")
        return x if self.preprocess is None else self.preprocess(x)

    def get_config(self):
        """Refused: the weights of a model are no part of a configuration."""
        raise NotImplementedError(
            f"{type(self).__name__} has no configuration, for its model's weights are no part of one. Write a subclass "
            "that builds its model, and register it."
        )


@keras.saving.register_keras_serializable(package="keras_gen")
class KerasInceptionV3(KerasExtractor):
    """Keras's InceptionV3: its 2048 averaged features and 1000 logits (with bias).

    Not the Inception of FID: it was trained anew, pools and resizes otherwise. Images are resized to 299 x 299,
    bilinear and antialiased, and scaled to [-1, 1].

    Args:
        weights: "imagenet" (Keras downloads 96 MB, once), a path of a weights file, or None: random.
        data_range: `(low, high)` of the images; default (0, 255).
        batch_size: Images in a batch; default 32.

    Returns:
        A callable: images `(n, height, width, 3)` to a dict of float32 arrays, `features` `(n, 2048)` and `logits`
        `(n, 1000)`. Its `is_reference` is False.

    Raises:
        ValueError: If there is no such weights file, or images have another shape or range.

    Reference:
        Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2016, arXiv:1512.00567.
    """

    def __init__(self, weights="imagenet", *, data_range=(0, 255), batch_size=32):
        model = keras.applications.InceptionV3(weights=weights, classifier_activation=None)
        super().__init__(
            model, "avg_pool", logits="predictions", size=(299, 299), data_range=data_range, batch_size=batch_size,
            preprocess=keras.applications.inception_v3.preprocess_input,
            name="keras_inception_v3" + ("" if weights == "imagenet" else "_other_weights"),
        )  # fmt: skip
        self.weights = weights and str(weights)

    def get_config(self):
        """Configuration; a weights file stays where it is."""
        return {**super(KerasExtractor, self).get_config(), "weights": self.weights}
