"""`fit` and `evaluate` of two arrays that do not belong together, row by row, and may have different lengths.

What Keras takes for x and y, one condition an example, is here two sets of images: they become
`datasets.UnpairedBatches`, in which each side has an order of its own.
"""

import numpy as np

from keras_gen.datasets.unpaired import UnpairedBatches
from keras_gen.models import inputs
from keras_gen.models.adversarial.checks import warn_of_range

PIXELS = 2**20  # that are computed at once, by default


class Unpaired:
    """Mixin of a model of two domains: events are those of the first, conditions those of the second."""

    def fit(self, x=None, y=None, batch_size=None, *args, validation_data=None, **kwargs):
        """Train. As `GenerativeModel.fit`, of two sets of images.

        Args:
            x, y: arrays of images a `(n_a, *event_shape)` and b `(n_b, *condition_shape)`, of any two lengths; or x a
                `UnpairedBatches`, or what streams `(a, b)`.
            batch_size: images of each domain a step; default 1, the paper's. An epoch goes once over the larger set.
            validation_data: `(a, b)`, or what streams them.
            *args, **kwargs: as there; no `sample_weight`, no `validation_split`.

        Returns:
            `keras.callbacks.History`.

        Raises:
            ValueError: one domain only, images of another shape, NaN or inf, weights.
        """
        for name in ("sample_weight", "validation_split"):
            given = kwargs.pop(name, None)
            if given is not None and not (np.isscalar(given) and given == 0):
                raise ValueError(f"Expected no `{name}`: images a and b are no pairs. Received one. Leave it out.")
        if isinstance(validation_data, (tuple, list)) and inputs.is_array(validation_data[0]):
            if len(validation_data) != 2:
                raise ValueError(f"Expected `validation_data` as (a, b). Received: {len(validation_data)} arrays.")
            validation_data = self._unpaired(*validation_data, kwargs.get("validation_batch_size") or batch_size)
        if _is_data(x):
            x, y, batch_size = self._unpaired(x, y, batch_size), None, None
        return super().fit(x, y, batch_size, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """The mean losses over the larger set, the other one gone through again; arguments as in `fit`.

        `batch_size`: default 32, or fewer images, of 2^20 pixels together. Results as in `GenerativeModel.evaluate`.
        """
        if kwargs.get("sample_weight") is not None:
            raise ValueError("Expected no `sample_weight`: images a and b are no pairs. Received one. Leave it out.")
        if _is_data(x) and not kwargs.get("_use_cached_eval_dataset"):
            batch_size = min(32, batch_of(self.event_shape)) if batch_size is None else batch_size
            x, y, batch_size = self._unpaired(x, y, batch_size), None, None
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """`model(a)`, images a there and back; images b beside them, `(a, b)`, are left out."""
        pair = isinstance(x, (tuple, list)) and len(x) == 2 and inputs.is_array(x[0])
        a = x[0] if pair else x
        if inputs.is_array(a):
            a = inputs.check_data(self, a)
            x = a, np.zeros((len(a), *self.condition_shape), a.dtype if a.dtype.kind == "f" else self.real_dtype)
        return super().predict(x, *args, **kwargs)

    def _batch(self, data):
        """Weights of streams and of single batches are refused too."""
        batch = super()._batch(data)
        if batch.sample_weight is not None:
            raise ValueError("Expected no sample weights: images a and b are no pairs. Received some. Leave them out.")
        return batch

    def _unpaired(self, a, b=None, batch_size=None):
        """Checked arrays as `UnpairedBatches`."""
        if b is None:
            raise ValueError(
                f"Expected two sets of images, fit(a, b). Received: one domain only. {type(self).__name__} learns from "
                "examples of both."
            )
        a, b = inputs.check_data(self, a), inputs.to_numpy(b, "b")
        inputs.check_shape(b.shape, self.condition_shape, "b")
        if len(b) == 0:
            raise ValueError(f"Expected at least one image of b. Received: empty b of shape {b.shape}.")
        inputs.check_finite(b, "b")
        warn_of_range(b, self.generators[0])
        size = inputs.check_count(1 if batch_size is None else batch_size, "batch_size")
        return UnpairedBatches(*(_narrow(x, self.real_dtype) for x in (a, b)), size)


def batch_of(shape):
    """How many images of a shape have 2^20 pixels: one at least."""
    return max(1, PIXELS // (shape[0] * shape[1]))


def _is_data(x):
    """Whether x are images themselves, and not what streams them."""
    return x is not None and not isinstance(x, (tuple, dict)) and inputs.is_array(x)


def _narrow(x, dtype):
    return x.astype(dtype, copy=False) if x.dtype.kind == "f" else x


def check_images(images, channels):
    """`images` as a numpy array of floats `(n, height, width, channels)`."""
    images = inputs.to_numpy(images, "images")
    if images.ndim != 4 or images.shape[-1] != channels or 0 in images.shape:
        raise ValueError(
            f"Expected `images` of shape (n, height, width, {channels}). Received: {images.shape}. Of one image pass "
            "image[None]; grey images are repeated for colours, `np.repeat(images, 3, axis=-1)`."
        )
    inputs.check_finite(images, "images")
    if images.dtype.kind != "f":
        raise ValueError(
            f"Expected `images` as floats of the range of training. Received: {images.dtype}. Divide 8-bit images by "
            "255."
        )
    return images
