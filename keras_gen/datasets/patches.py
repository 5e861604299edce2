"""Pairs of patches for super-resolution: pieces of pictures, and the same pieces made smaller.

A picture X, its sides cut to multiples of the scale s, has one low-resolution form Y = bicubic(X) of 1/s the sides,
rounded to 8 bits as a file would hold it. A pair is cut from both at one place,

    x = X[s i : s i + p, s j : s j + p],        y = Y[i : i + p / s, j : j + p / s],

so that y has seen beyond the patch, as a piece of a larger picture has, and both are turned and mirrored alike: one of
the 8 symmetries of the square. The place (i, j) is uniform, and a picture is drawn in proportion to its pixels.

Batch b of pass p is a pure function of (seed, p, b): training that was interrupted goes on at any batch.
"""

import os

import keras
import numpy as np

from keras_gen.datasets.resizing import bicubic

READ = 'Read files first, `[np.asarray(PIL.Image.open(path).convert("RGB")) for path in paths]`'


class PatchPairs(keras.utils.PyDataset):
    """Batches `(x, y)` of high- and low-resolution patches, float32 in [0, 1], for `SuperResolution.fit` and `SRGAN`.

    Args:
        images: list of pictures, or dict of such values, uint8 `(height, width, channels)`, of any sizes of at least
            `patch`.
        scale: s, an int >= 1; 1 gives pairs of equal patches.
        patch: p, side of the high-resolution patch, a multiple of `scale`; default 96, that of SRGAN and EDSR.
        batch_size: default 16, as there.
        batches: batches a pass, default 100. A pass is a draw, not every place once.
        augment: whether pairs are turned and mirrored, default True.
        seed: int: `dataset[b]` is `at(0, b, seed)`; default 0.
        **kwargs: `workers`, `max_queue_size` and so on of `keras.utils.PyDataset`.

    Raises:
        ValueError: no picture, one of another form or smaller than `patch`, numbers out of their range.

    Example:
        >>> import numpy as np
        >>> from keras_gen.datasets import PatchPairs
        >>> pairs = PatchPairs([np.zeros((40, 50, 3), "uint8")], scale=2, patch=32, batch_size=4, batches=10)
        >>> x, y = pairs[0]
        >>> len(pairs), x.shape, y.shape
        (10, (4, 32, 32, 3), (4, 16, 16, 3))

    Reference:
        Lim et al. 2017, arXiv:1707.02921, section 4.1.
    """

    def __init__(self, images, scale, patch=96, batch_size=16, batches=100, augment=True, seed=0, **kwargs):
        super().__init__(**kwargs)
        numbers = {"scale": scale, "patch": patch, "batch_size": batch_size, "batches": batches}
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"Expected `{name}` as a positive integer. Received: {name}={value!r}.")
        if patch % scale:
            raise ValueError(f"Expected `patch` as a multiple of scale={scale}. Received: patch={patch}.")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"Expected `seed` as a non-negative integer. Received: seed={seed!r}.")
        self.scale, self.patch, self.batch_size, self.batches, self.seed = scale, patch, batch_size, batches, seed
        self.augment = bool(augment)
        self.high = [_cut(image, scale) for image in _check_images(images, patch)]
        self.low = [degraded(image, scale) for image in self.high]
        pixels = np.array([image.shape[0] * image.shape[1] for image in self.high], "float64")
        self._share = pixels / pixels.sum()

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        return self.at(0, index, self.seed)

    def at(self, pass_index, batch_index, seed):
        """Batch `batch_index` of pass `pass_index`, a pure function of the three numbers; `seed` None is that given."""
        if not 0 <= batch_index < self.batches:
            raise IndexError(f"Expected a batch from 0 to {self.batches - 1}. Received: {batch_index}")
        generator = np.random.default_rng([self.seed if seed is None else seed, pass_index, batch_index])
        pairs = [self._pair(generator) for _ in range(self.batch_size)]
        return tuple(np.stack(side).astype("float32") / np.float32(255.0) for side in zip(*pairs, strict=True))

    def _pair(self, generator):
        k, side, turn = generator.choice(len(self.high), p=self._share), self.patch // self.scale, generator.integers(8)
        i, j = (int(generator.integers(size - side + 1)) for size in self.low[k].shape[:2])
        s, p = self.scale, self.patch
        x, y = self.high[k][s * i : s * i + p, s * j : s * j + p], self.low[k][i : i + side, j : j + side]
        return (symmetry(x, turn), symmetry(y, turn)) if self.augment else (x, y)


def degraded(image, scale):
    """A uint8 picture at 1/scale of its sides, which are multiples of it: bicubic, rounded to 8 bits."""
    size = tuple(side // scale for side in image.shape[:2])
    return np.clip(np.round(bicubic(image, size)), 0, 255).astype("uint8")


def symmetry(image, k):
    """Symmetry k in 0 ... 7 of the square: k mod 4 quarter turns of `(h, w, ...)`, mirrored first if k >= 4."""
    return np.rot90(image[:, ::-1] if k >= 4 else image, k % 4)


def _cut(image, scale):
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height, :width]


def _check_images(images, patch):
    if isinstance(images, np.ndarray) and images.ndim == 3:
        raise ValueError(f"Expected a list of pictures. Received: one, of shape {images.shape}. Give it as [image].")
    images = [images] if isinstance(images, (str, os.PathLike)) else images
    for k, image in enumerate(images.values() if isinstance(images, dict) else images):
        if isinstance(image, (str, os.PathLike)):
            raise ValueError(f"Expected pictures as arrays. Received: images[{k}], the path {str(image)!r}. {READ}.")
    images = [np.asarray(image) for image in (images.values() if isinstance(images, dict) else images)]
    if not images:
        raise ValueError("Expected at least one picture in `images`. Received: none.")
    for k, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3:
            raise ValueError(
                f"Expected pictures as uint8 (height, width, channels). Received: images[{k}] of shape {image.shape}, "
                f"dtype {image.dtype}."
            )
        if min(image.shape[:2]) < patch:
            raise ValueError(
                f"Expected pictures of at least patch={patch} pixels a side. Received: images[{k}] of shape "
                f"{image.shape}. Leave it out, or take a smaller patch."
            )
        if image.shape[2] != images[0].shape[2]:
            raise ValueError(
                f"Expected pictures of as many channels. Received: {images[0].shape[2]} and {image.shape[2]}."
            )
    return images
