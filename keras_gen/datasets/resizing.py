"""Images resampled by Keys's cubic, with antialiasing: the degradation that super-resolution is measured by.

With s the ratio of sizes along an axis (output over input) and k the cubic of Keys with a = -1/2,

    k(t) = 3/2 |t|^3 - 5/2 |t|^2 + 1,                 |t| <= 1,
         = -1/2 |t|^3 + 5/2 |t|^2 - 4 |t| + 2,        1 < |t| <= 2,        else 0,

output pixel j stands at u_j = (j + 1/2) / s - 1/2 among the input pixels and is

    y_j = sum_i w_ji x_i,        w_ji = k(r (u_j - i)) / sum_i' k(r (u_j - i')),        r = min(s, 1),

so that the kernel is as much wider as the image becomes smaller: no frequency folds over. Beyond its border the image
is mirrored, the border pixel repeated. This is what MATLAB's `imresize` computes, by which the low-resolution images
of the literature were made; the other common forms differ (a = -3/4, no antialiasing, other borders), and the figures
of a network that was trained on one and tested on another are worth nothing.

Reference:
    R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29 (1981), eq. 15.
"""

import numpy as np


def cubic(t):
    """Keys's cubic k(t), a = -1/2, of an array."""
    t = np.abs(t)
    near, far = (1.5 * t - 2.5) * t**2 + 1.0, ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    return np.where(t <= 1.0, near, np.where(t <= 2.0, far, 0.0))


def bicubic(image, size):
    """An image resampled to another size.

    Args:
        image: `(height, width)` or `(height, width, channels)`, of any real dtype.
        size: `(height, width)` of the result, positive ints.

    Returns:
        float32 array `(*size)` or `(*size, channels)`, in the units of the image. Values may lie a little beyond its
        range, as the cubic has negative lobes: clip, and round, what becomes a picture.

    Raises:
        ValueError: an array that is no image or is empty, a size that is no pair of positive ints.

    Example:
        >>> import numpy as np
        >>> from keras_gen.datasets import bicubic
        >>> ramp = np.arange(8.0) * np.ones((4, 1))
        >>> [round(float(v), 2) for v in bicubic(ramp, (2, 4))[0]]
        [0.45, 2.49, 4.51, 6.55]

    Reference:
        Keys 1981, eq. 15; antialiased, as `imresize` of MATLAB.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or 0 in image.shape or image.dtype.kind not in "fiub":
        raise ValueError(
            "Expected `image` as numbers (height, width) or (height, width, channels). "
            f"Received: shape {image.shape}, dtype {image.dtype}."
        )
    size = _check_size(size)
    for axis in (0, 1):
        image = _resampled(image, size[axis], axis)
    return image.astype("float32")


def weights(n, m):
    """Rows and weights of n input pixels for m output pixels: two arrays `(m, taps)`."""
    scale = m / n
    r = min(scale, 1.0)
    taps = int(np.ceil(4.0 / r)) + 2
    u = (np.arange(m) + 0.5) / scale - 0.5
    i = np.floor(u - taps / 2.0).astype(int)[:, None] + 1 + np.arange(taps)
    w = cubic(r * (u[:, None] - i))
    mirrored = np.mod(i, 2 * n)
    return np.where(mirrored < n, mirrored, 2 * n - 1 - mirrored), w / w.sum(1, keepdims=True)


def _resampled(image, m, axis):
    rows, w = weights(image.shape[axis], m)
    image = np.moveaxis(image.astype("float64"), axis, 0)
    result = sum(w[:, k].reshape(-1, *[1] * (image.ndim - 1)) * image[rows[:, k]] for k in range(w.shape[1]))
    return np.moveaxis(result, 0, axis)


def _check_size(size):
    sides = tuple(size) if isinstance(size, (tuple, list, np.ndarray)) else ()
    if len(sides) != 2 or not all(isinstance(s, (int, np.integer)) and s > 0 for s in sides):
        raise ValueError(f"Expected `size` as (height, width), two positive ints. Received: size={size!r}.")
    return sides
