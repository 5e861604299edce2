"""Many images as one: a mosaic of r rows and c columns, drawn pixel by pixel.

Image k stands in row k // c, column k mod c. With a gap of g pixels, the mosaic of h x w images has
r (h + g) - g by c (w + g) - g pixels, and image (i, j) begins at pixel (i (h + g), j (w + g)).
"""

import math

import numpy as np

from keras_gen.plots.figure import INK, new_figure, save

GAP_SHARE = 1 / 14  # the gap between images, as a share of an image's shorter side
WIDTH_RANGE = (0.55, 2.0)  # inches a cell may have
MOST_WIDTH = 8.0  # inches of the whole mosaic, where the range above allows it


def image_grid(
    images, path=None, *, rows=None, columns=None, row_labels=None, column_labels=None, title=None, low=0.0,
    high=None,
):  # fmt: skip
    """A grid of images, filled row by row.

    Args:
        images: `(n, height, width)`, or `(n, height, width, channels)` with 1, 3 or 4 channels. Booleans,
            ints or floats; values beyond `low` and `high` are drawn as these.
        path: File to write, its ending naming the format (`.png`, `.pdf`, ...). Default `None`: write none.
        rows, columns: Of the grid; one alone gives the other, neither makes it nearly square. Cells beyond the
            last image stay empty.
        row_labels, column_labels: Texts beside the rows and above the columns, one each. Default `None`.
        title: Text above the grid. Default `None`.
        low, high: The values drawn as black and as full brightness. Default 0 and, by dtype, 255 for `uint8`,
            1 for others.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If `images` has another shape, is empty or holds NaN, if the grid is too small for the
            images, or if the number of labels is not that of the rows or columns.

    Example:
        >>> import numpy as np
        >>> from keras_gen.plots import image_grid
        >>> figure = image_grid(np.zeros((6, 8, 8)), columns=3, row_labels=["first", "second"])
        >>> figure.axes[0].images[0].get_array().shape  # two rows, three columns, gaps of one pixel
        (17, 26, 3)
    """
    images = as_colors(images, low, high)
    rows, columns = _grid_shape(len(images), rows, columns)
    _check_labels("row", row_labels, rows)
    _check_labels("column", column_labels, columns)
    height, width = images.shape[1:3]
    cell = float(np.clip(MOST_WIDTH / columns, *WIDTH_RANGE))
    figure = new_figure(columns * cell, rows * cell * height / width)
    axes = figure.add_axes((0, 0, 1, 1))
    draw_mosaic(axes, images, rows, columns, _gap_pixels(images))
    _write_labels(axes, images, row_labels, column_labels)
    if title:
        axes.set_title(title, fontsize=11, color=INK, pad=18 if column_labels is not None else 8)
    return save(figure, path)


def interpolation_strip(images, path=None, *, row_labels=None, title=None, low=0.0, high=None):
    """Interpolations from left to right, one a row.

    Args:
        images: One strip, `(steps, height, width)` or `(steps, height, width, channels)`; or several,
            `(strips, steps, height, width)` or `(strips, steps, height, width, channels)`. Of four axes the
            last is read as channels if it has 1, 3 or 4 entries.
        path, row_labels, title, low, high: As for `image_grid`.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ImportError, ValueError: As for `image_grid`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.plots import interpolation_strip
        >>> figure = interpolation_strip(np.linspace(0, 1, 5)[:, None, None] * np.ones((5, 8, 8)))
        >>> figure.axes[0].images[0].get_array().shape
        (8, 44, 3)
    """
    images = np.asarray(images)
    several = images.ndim == 5 or (images.ndim == 4 and images.shape[-1] not in (1, 3, 4))
    strips = images if several else images[None]
    if strips.ndim not in (4, 5) or 0 in strips.shape:
        raise ValueError(
            "Expected `images` of shape (steps, height, width[, channels]) or (strips, steps, height, width"
            f"[, channels]), none of them empty. Received: shape {images.shape}"
        )
    count, steps = strips.shape[:2]
    flat = strips.reshape(count * steps, *strips.shape[2:])
    return image_grid(
        flat, path, rows=count, columns=steps, row_labels=row_labels, title=title, low=low, high=high
    )


def as_colors(images, low=0.0, high=None):
    """Images of any dtype as red, green, blue (and alpha) in [0, 1]: `(n, height, width, 3 or 4)`."""
    images = np.asarray(images)
    high = (255.0 if images.dtype == np.uint8 else 1.0) if high is None else high
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or 0 in images.shape:
        raise ValueError(
            "Expected `images` of shape (n, height, width) or (n, height, width, channels), n > 0, with 1, 3 "
            f"or 4 channels. Received: shape {images.shape}"
        )
    if not high > low:
        raise ValueError(f"Expected `high` above `low`. Received: low={low}, high={high}")
    images = images.astype("float32")
    if np.isnan(images).any():
        raise ValueError(f"Expected `images` without NaN. Received: {int(np.isnan(images).sum())} NaN values")
    images = np.clip((images - low) / (high - low), 0.0, 1.0)
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def draw_mosaic(axes, images, rows, columns, gap):
    """Draw coloured images on `axes` as one picture, `gap` white pixels between them."""
    height, width = images.shape[1] + gap, images.shape[2] + gap
    mosaic = np.ones((rows * height - gap, columns * width - gap, images.shape[-1]), "float32")
    for k, image in enumerate(images):
        top, left = k // columns * height, k % columns * width
        mosaic[top : top + image.shape[0], left : left + image.shape[1]] = image
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def centres(count, side, gap):
    """Pixel coordinates of the middles of `count` cells along one axis."""
    return np.arange(count) * (side + gap) + (side - 1) / 2


def _gap_pixels(images):
    """g, at least one pixel."""
    return max(1, round(min(images.shape[1:3]) * GAP_SHARE))


def _grid_shape(n, rows, columns):
    for name, value in (("rows", rows), ("columns", columns)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"Expected `{name}` to be None or a positive int. Received: {name}={value!r}")
    if columns is None:
        columns = math.ceil(math.sqrt(n) if rows is None else n / rows)
    rows = math.ceil(n / columns) if rows is None else rows
    if rows * columns < n:
        raise ValueError(f"Expected at most {rows} x {columns} images. Received: {n}. Leave out `rows`.")
    return rows, columns


def _check_labels(kind, labels, count):
    if labels is not None and len(labels) != count:
        raise ValueError(f"Expected {count} `{kind}_labels`, one a {kind}. Received: {len(labels)}")


def _write_labels(axes, images, row_labels, column_labels):
    (height, width), gap = images.shape[1:3], _gap_pixels(images)
    options = {"fontsize": 9, "color": INK}
    if row_labels is not None:
        axes.set_yticks(centres(len(row_labels), height, gap), row_labels, **options)
    if column_labels is not None:
        axes.set_xticks(centres(len(column_labels), width, gap), column_labels, **options)
        axes.xaxis.tick_top()
    axes.tick_params(length=0)
