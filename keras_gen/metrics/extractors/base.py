"""From images to features: what all extractors have in common.

An extractor is a callable, `images -> {"features": (n, d), "logits": (n, k)}`, both float32 on the host, computed in
batches of one size by one compiled function; the last batch is filled up with zeros, whose rows are dropped. It has

    name          identifies it in reports
    is_reference  whether its figures may stand beside published ones

Images are arrays `(n, height, width, channels)` of the range that `data_range` declares. They are mapped to 0..255,

    x -> 255 (x - low) / (high - low),

and only then resized and scaled as the network asks. Values are not rounded: published protocols take images of 8 bits,
so round samples before.
"""

import keras
import numpy as np
from keras import ops

from keras_gen.metrics.pairs import check_data_range
from keras_gen.metrics.sets import check_count, values

ROUNDING = 1e-5  # of the range: values that rounding puts beyond it are within


def checked_images(images, data_range, channels, sides=None):
    """`images` as an array that fits the declared range.

    Args:
        images: Array or tensor `(n, height, width, channels)`.
        data_range: `(low, high)` of its values.
        channels: The numbers of channels that are allowed, a tuple; `None`: any.
        sides: The height and width that is needed; `None`: any.

    Returns:
        A numpy array.

    Raises:
        ValueError: If rank, channels, size, number or values of the images are not what they should be.
    """
    x, (low, high) = values(images, "images"), data_range
    if x.ndim != 4 or 0 in x.shape or (channels is not None and x.shape[-1] not in channels):
        wanted = "channels" if channels is None else " or ".join(str(c) for c in channels)
        hint = " Grey images need `repeat_grey=True`." if x.shape[-1:] == (1,) and channels == (3,) else ""
        raise ValueError(
            f"Expected images of shape (n, height, width, {wanted}), channels last, n at least 1. Received shape "
            f"{x.shape}.{hint}"
        )
    if sides is not None and x.shape[1:3] != tuple(sides):
        raise ValueError(f"Expected images of {sides[0]} x {sides[1]} pixels. Received shape {x.shape}: resize first.")
    if x.dtype.kind not in "uif":
        raise ValueError(f"Expected images of numbers. Received dtype {x.dtype}.")
    least, most = float(x.min()), float(x.max())
    slack = ROUNDING * (high - low)
    if not (low - slack <= least and most <= high + slack):  # also where a value is NaN
        raise ValueError(
            f"Expected values from {low:g} to {high:g}. Received {least:.6g} to {most:.6g}. Give the range of your "
            "images as `data_range=(low, high)`, or clip them: `extractors.EightBits(extractor)` does, for samples."
        )
    if low == 0 and high > 1 and 0 < most <= 1:
        raise ValueError(
            f"Expected values from {low:g} to {high:g}. Received none above {most:.6g}, so these seem to lie in 0..1. "
            "Use `data_range=(0, 1)`, or multiply them."
        )
    return x


class Pipeline(keras.Model):
    """Preparation, then a network, as one compiled function."""

    def __init__(self, prepare, network):
        super().__init__(dtype="float32")
        self.prepare, self.network = prepare, network
        self.compile(jit_compile=keras.config.backend() == "jax")

    def call(self, x):
        return self.network(self.prepare(ops.cast(x, "float32")), training=False)


class Extractor:
    """Base of the extractors; see the module for what one is.

    A subclass calls the constructor with its network and gives `prepare`.

    Args:
        network: A `keras.Model` from prepared images to a dict of `features` and, if it has them, `logits`.
        name: What reports call it.
        channels: Numbers of channels that it takes, a tuple; `None`: any.
        sides: `(height, width)` that it takes; `None`: any.
        data_range: `(low, high)`, what the least and the greatest value of the images stand for, or a number R for
            (0, R); default (0, 255).
        batch_size: Images in a batch; default 32.
    """

    is_reference = False

    def __init__(self, network, name, channels=None, sides=None, data_range=(0, 255), batch_size=32):
        self.name, self.network, self.batch_size = name, network, check_count("batch_size", batch_size)
        self.data_range = check_data_range(data_range)
        self.channels, self.sides = channels, sides
        self._pipeline = Pipeline(self._prepare, network)

    def prepare(self, x):
        """Images `(n, height, width, channels)`, a float32 tensor of values 0..255, as the network wants them."""
        raise NotImplementedError

    def _prepare(self, x):
        low, high = self.data_range
        return self.prepare(x if (low, high) == (0, 255) else (x - low) * (255 / (high - low)))

    def __call__(self, images):
        """Features, and logits if there are any.

        Args:
            images: Array or tensor `(n, height, width, channels)` of values in `data_range`, of any dtype of numbers.

        Returns:
            Dict of float32 arrays: `features` `(n, d)`, `logits` `(n, k)`.

        Raises:
            ValueError: If the images have another shape or range.
        """
        x = checked_images(images, self.data_range, self.channels, self.sides)
        parts = [self._batch(x[i : i + self.batch_size]) for i in range(0, len(x), self.batch_size)]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    def _batch(self, x):
        missing = self.batch_size - len(x)
        filled = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)]) if missing else x
        filled = filled if filled.dtype == np.uint8 else filled.astype("float32")
        found = self._pipeline.predict_on_batch(filled)
        return {key: np.asarray(value, "float32")[: len(x)] for key, value in found.items()}

    def get_config(self):
        """Arguments of the constructor that the extractors share."""
        return {"data_range": list(self.data_range), "batch_size": self.batch_size}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_gen")
class EightBits:
    """An extractor that sees samples as the pictures that they would be saved as: clipped, and rounded to 256 levels.

    Published figures are of pictures of 8 bits; models sample real numbers, some beyond the range.

    Args:
        extractor: An `Extractor`, whose `data_range` and `is_reference` are kept.

    Raises:
        ValueError: If it is another object.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics.extractors import EightBits, SmallClassifier
        >>> extractor = EightBits(SmallClassifier("digits", data_range=(0, 1)))
        >>> extractor(np.full((1, 8, 8, 1), 1.7))["features"].shape
        (1, 64)
    """

    def __init__(self, extractor):
        if not isinstance(extractor, Extractor):
            raise ValueError(f"Expected `extractor` as an `Extractor`. Received {type(extractor).__name__}.")
        self.extractor, self.name = extractor, f"{extractor.name}, 8 bits"
        self.is_reference, self.data_range = extractor.is_reference, extractor.data_range
        self.channels = extractor.channels

    def __call__(self, images):
        """As of the extractor; values that are not finite are refused, not clipped."""
        low, high = self.data_range
        x = values(images, "images").astype("float32")
        if not np.isfinite(x).all():
            bad = int((~np.isfinite(x)).sum())
            raise ValueError(f"Expected finite images. Received NaN or infinity in {bad} of {x.size} values.")
        levels = np.rint(255.0 * np.clip((x - low) / (high - low), 0.0, 1.0))
        return self.extractor((low + (high - low) / 255.0 * levels).astype("float32"))

    def get_config(self):
        return {"extractor": keras.saving.serialize_keras_object(self.extractor)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["extractor"]))
