"""A pool of fakes of former steps, from which the discriminator is shown some.

With S slots, of which c are filled, and the fakes y_0, ..., y_(n-1) of a step:

    c < S:     y_i is stored in slot c + i, if there is one, and shown;
    c = S:     with probability 1/2 y_i is shown; else what is in slot s_i is shown, and y_i is stored there,

the s_i drawn without repetition, and of a batch larger than S the first S images alone. So a discriminator goes on
seeing what generators made some 2 S / n steps ago: they cannot return to what it has forgotten, and the game swings
less (Shrivastava et al. 2017, section 2.3).

The slots and c are variables: files and interrupted trainings hold them.

Reference:
    A. Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training",
    arXiv:1612.07828 (2017), section 2.3; J. Zhu et al., arXiv:1703.10593 (2017), section 4: 50 images.
"""

import keras
from keras import ops

from keras_gen import backend


@keras.saving.register_keras_serializable(package="keras_gen")
class ImagePool(keras.layers.Layer):
    """S slots of images; a part of a model, which owns the noise.

    Args:
        size: S, a positive int.
        event_shape: shape of an image.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.
    """

    def __init__(self, size, event_shape, **kwargs):
        super().__init__(**kwargs)
        self.size, self.event_shape = size, tuple(event_shape)
        own = {"initializer": "zeros", "trainable": False, "autocast": False}
        self.images = self.add_weight(shape=(size, *self.event_shape), name="images", **own)
        self.count = self.add_weight(shape=(), dtype="int32", name="count", **own)
        self.built = True

    def show(self, fakes, noise):
        """What the discriminator is shown for `fakes` `(n, *event_shape)`, which are stored; `noise`: a `Noise`."""
        if backend.replicas() > 1:
            raise ValueError(
                "Expected one device for a pool of images: each replica would fill its own. Received: "
                f"{backend.replicas()} replicas. Use `pool_size=0`."
            )
        fakes = ops.cast(fakes, self.images.dtype)
        first, rest = fakes[: self.size], fakes[self.size :]
        n = ops.shape(first)[0]
        slots, swapped = self._draw(n, noise)
        full, place = self.count >= self.size, self.count + ops.arange(n, dtype="int32")
        slots = ops.where(full, slots, place % self.size)
        stored = ops.where(full, swapped, place < self.size)
        old = ops.take(self.images.value, slots, axis=0)
        images = ops.where(_wide(stored, first), first, old)
        self.images.assign(ops.scatter_update(self.images.value, slots[:, None], images))
        self.count.assign(ops.minimum(self.count + n, self.size))
        shown = ops.where(_wide(ops.logical_and(full, swapped), first), old, first)
        return ops.concatenate([shown, rest], axis=0)

    def _draw(self, n, noise):
        """n different slots, and for each whether it is to be used: with probability 1/2."""
        slots = ops.cast(ops.argsort(noise.uniform((self.size,), dtype="float32")), "int32")[:n]
        return slots, noise.uniform((n,), dtype="float32") < 0.5

    def get_config(self):
        return {**super().get_config(), "size": self.size, "event_shape": self.event_shape}


def _wide(mask, images):
    """`(n,)` as `(n, 1, ..., 1)`."""
    return ops.reshape(mask, (-1, *[1] * (len(images.shape) - 1)))
