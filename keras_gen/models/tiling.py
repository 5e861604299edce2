"""A map of images to images s times as large, applied to an image of any size in tiles, without seams.

Let an output pixel depend on at most r input pixels on either side (`radius` of the networks). Along an axis of n
pixels windows of w = min(n, t + 2 r) pixels begin at

    a_k = min(k (w - 2 r), n - w),        k = 0, 1, ...

and window k is kept from a_k + r to a_k + w - r, the first one from 0 and the last one to n. What is kept of a window
has seen all that it sees of the whole image: within, since the window reaches r pixels further; at the border of the
image, since the window ends there too, and whatever the network does at a border happens at the same place. So the
result is that of the whole image, up to the order of sums.

Memory: the input, the result, and what the network needs for one window, whatever the size of the image.
"""

import math

import numpy as np
from keras import ops

from keras_gen.metrics.feeding import Progress


def in_tiles(run, image, scale, tile, margin, verbose="auto"):
    """`run` on the windows of an image, put together.

    Args:
        run: function of a tensor `(1, h, w, c)` to one `(1, s h, s w, c')`.
        image: float array `(height, width, c)`.
        scale: s.
        tile: t, pixels that a window adds to the result along each axis.
        margin: r.
        verbose: `"auto"`, 0 or 1.

    Returns:
        float32 array `(s height, s width, c')`.
    """
    spans = [list(windows(n, tile, margin)) for n in image.shape[:2]]
    progress, result = Progress(math.prod(map(len, spans)), verbose), None
    for k, (rows, columns) in enumerate((a, b) for a in spans[0] for b in spans[1]):
        piece = image[None, rows[0] : rows[1], columns[0] : columns[1]]
        piece = ops.convert_to_numpy(run(ops.convert_to_tensor(piece)))[0]
        if result is None:
            sides = [scale * n for n in image.shape[:2]]
            result = np.empty((*sides, piece.shape[-1]), "float32")
        _put(result, piece, rows, columns, scale)
        progress.update(k + 1)
    return result


def windows(n, tile, margin):
    """`(start, stop, first kept, last kept + 1)` of each window along an axis of n pixels."""
    w = min(n, tile + 2 * margin)
    step, start = w - 2 * margin, 0
    while True:
        start = min(start, n - w)
        yield start, start + w, start + margin if start else 0, n if start + w == n else start + w - margin
        if start + w == n:
            return
        start += step


def _put(result, piece, rows, columns, s):
    (top, _, i, j), (left, _, k, m) = rows, columns
    result[s * i : s * j, s * k : s * m] = piece[s * (i - top) : s * (j - top), s * (k - left) : s * (m - left)]
