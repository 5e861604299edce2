"""Augmentation that a generator's gradient passes through.

A discriminator that sees T(x) and T(G(z)), T a random transformation of each image, cannot learn a small set of data by
heart, and G is not taught T as long as T can be undone in distribution (Zhao et al. 2020, eq. 3 to 5). With u ~ U(0, 1)
anew for each image and each use, x in [0, 1] of size h x w,

    color        brightness   x + 2 b (u - 1/2)
                 saturation   m + 2 u (x - m),           m the mean over the channels of a pixel
                 contrast     m + (u + 1/2) (x - m),     m the mean of the image
    translation  x shifted by integers, uniform in [-h t, h t] and [-w t, w t], zeros coming in
    cutout       zeros in a square of c h x c w, its centre uniform over the image

E T(x) = x for color. All are piecewise linear in x: gradients are those of the pixels that are seen.

Reference:
    S. Zhao, Z. Liu, J. Lin, J.-Y. Zhu, S. Han, "Differentiable augmentation for data-efficient GAN training",
    arXiv:2006.10738 (2020), section 3.2 and appendix; b is for data in [0, 1], half of theirs for [-1, 1].
"""

import keras
import numpy as np
from keras import ops

from keras_gen import random

POLICIES = ("color", "translation", "cutout")


@keras.saving.register_keras_serializable(package="keras_gen")
class DifferentiableAugmentation(keras.layers.Layer):
    """Color, translation and cutout of images, drawn anew for each of them; the identity unless `training`.

    For `GAN(augment=...)`, which applies it to data and to fakes.

    Args:
        policy: some of "color", "translation", "cutout", default all three; the paper's for a tenth of the data.
        brightness: b, the largest change, default 0.25 for data in [0, 1]: half of its range and both signs together.
        translation: t, the largest shift as a part of the size, default 1 / 8.
        cutout: c, side of the square as a part of the size, default 1 / 2.
        seed: of its noise; None (default) for a random one.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`. It computes in the dtype of its input.

    Call arguments:
        x: images `(batch, height, width, channels)`.
        training: bool, default False: x itself.

    Returns:
        Tensor of the shape of x.

    Raises:
        ValueError: an unknown policy, numbers out of [0, 1], input that is no image.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import DifferentiableAugmentation
        >>> augment, x = DifferentiableAugmentation(("translation",), seed=0), ops.ones((2, 8, 8, 1))
        >>> tuple(augment(x, training=True).shape), float(ops.max(ops.abs(augment(x) - x)))
        ((2, 8, 8, 1), 0.0)

    Reference:
        Zhao et al. 2020, arXiv:2006.10738.
    """

    def __init__(self, policy=POLICIES, brightness=0.25, translation=0.125, cutout=0.5, seed=None, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        policy = (policy,) if isinstance(policy, str) else tuple(policy)
        if not policy or set(policy) - set(POLICIES):
            raise ValueError(f"Expected `policy` as some of {POLICIES}. Received: {policy}.")
        self.policy, self.seed = policy, seed
        self.brightness, self.translation, self.cutout = (
            _part(value, name)
            for name, value in (("brightness", brightness), ("translation", translation), ("cutout", cutout))
        )
        self.noise = random.Noise(seed)

    def build(self, input_shape):
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise ValueError(
                "Expected images (batch, height, width, channels) of known size. "
                f"Received: shape {tuple(input_shape)}."
            )

    def call(self, x, training=False):
        if training:
            for name in self.policy:
                x = getattr(self, f"_{name}")(x)
        return x

    def _uniform(self, x, low, high):
        """A number an example, `(batch, 1, 1, 1)`, in the dtype of x."""
        return ops.cast(self.noise.uniform((ops.shape(x)[0], 1, 1, 1), low, high), x.dtype)

    def _integers(self, x, low, high):
        """An integer an example from `low` to `high`, both included, `(batch, 1, 1, 1)`."""
        return self.noise.integers((ops.shape(x)[0], 1, 1, 1), low, high + 1)

    def _color(self, x):
        if self.brightness:
            x = x + self._uniform(x, -self.brightness, self.brightness)
        pixel = ops.mean(x, axis=3, keepdims=True)
        x = pixel + self._uniform(x, 0.0, 2.0) * (x - pixel)
        image = ops.mean(x, axis=(1, 2, 3), keepdims=True)
        return image + self._uniform(x, 0.5, 1.5) * (x - image)

    def _translation(self, x):
        for axis in (1, 2):
            x = self._shifted(x, axis, round(self.translation * x.shape[axis]))
        return x

    def _shifted(self, x, axis, most):
        """x moved along `axis` by an integer of [-most, most]: entry i is that of i + shift, or 0 beyond the ends."""
        size = x.shape[axis]
        place = _along(axis, size) + self._integers(x, -most, most)
        taken = ops.take_along_axis(x, ops.broadcast_to(ops.clip(place, 0, size - 1), ops.shape(x)), axis=axis)
        return taken * ops.cast(ops.logical_and(place >= 0, place < size), x.dtype)

    def _cutout(self, x):
        inside = True
        for axis in (1, 2):
            size, side = x.shape[axis], round(self.cutout * x.shape[axis])
            first = self._integers(x, 0, size - side % 2) - side // 2
            place = _along(axis, size) - first
            inside = ops.logical_and(inside, ops.logical_and(place >= 0, place < side))
        return x * (1.0 - ops.cast(inside, x.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        own = ("policy", "brightness", "translation", "cutout", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _along(axis, size):
    """0 ... size - 1 along `axis` of an image."""
    return ops.reshape(ops.arange(size, dtype="int32"), [size if i == axis else 1 for i in range(4)])


def _part(value, name):
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ValueError(f"Expected `{name}` as a number in [0, 1]. Received: {value!r}.")
    return float(value)
