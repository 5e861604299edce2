"""The latent plane: where data fall in it, and what each of its points decodes to.

A standard normal prior puts equal mass between quantiles, so the plane is decoded at

    z_ij = (Phi^-1(u_i), Phi^-1(u_j)),      u_1, ..., u_n evenly from `coverage` to 1 - `coverage`,

with Phi the standard normal distribution function (Kingma and Welling 2014, arXiv 1312.6114, appendix A).
"""

from statistics import NormalDist

import numpy as np

from keras_gen.plots.figure import COLORS, INK, new_figure, save, style
from keras_gen.plots.grid import as_colors, centres, draw_mosaic

GAP = 1  # pixels between the images of the plane: small images touch otherwise


def latent_scatter(z, labels=None, path=None, *, class_names=None, title=None, limit=None):
    """Latent points of the plane, coloured by class; several models side by side.

    Args:
        z: Points `(n, 2)`, or a dict from each panel's title to its points, all with the same `n` if there
            are labels.
        labels: `(n,)`. Ints are classes, each with a colour and a line in the legend; floats are shown by a
            colour bar. Default `None`: one colour.
        path: File to write. Default `None`: write none.
        class_names: Names of the classes in the legend, `class_names[label]`. Default `None`: the labels.
        title: Text above all panels. Default `None`.
        limit: Half the side of the square that is shown, around 0. Default `None`: each panel fits its
            points.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If points are not of shape `(n, 2)`, or labels do not fit them or the class names.

    Example:
        >>> import numpy as np
        >>> from keras_gen.plots import latent_scatter
        >>> z, y = np.random.default_rng(0).normal(size=(2, 100, 2)), np.arange(100) % 10
        >>> figure = latent_scatter({"Autoencoder": z[0], "VAE": z[1]}, y)
        >>> [axes.get_title() for axes in figure.axes]
        ['Autoencoder', 'VAE']
    """
    panels = {name: _points(points) for name, points in (z if isinstance(z, dict) else {"": z}).items()}
    if not panels:
        raise ValueError("Expected `z` to hold at least one panel. Received: an empty dict")
    labels = _checked_labels(labels, panels, class_names)
    figure = new_figure(4.2 * len(panels) + 0.9, 4.2 + 0.4 * bool(title))
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    figure.subplots_adjust(wspace=0.18)
    for axes, (name, points) in zip(all_axes, panels.items(), strict=True):
        drawn = _scatter(axes, points, labels, class_names)
        style(axes, name)
        _frame(axes, points, limit)
    if labels is not None and labels.dtype.kind == "f":
        bar = figure.colorbar(drawn, ax=list(all_axes), shrink=0.8, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8)
    elif labels is not None:
        _legend(all_axes[-1])
    if title:
        figure.suptitle(title, fontsize=12, color=INK)
    return save(figure, path)


def decoded_plane(decode, path=None, *, n=20, extent=None, coverage=0.02, title=None, low=0.0, high=None):
    """What the points of a two-dimensional latent space decode to, on a grid: z_1 to the right, z_2 upwards.

    Args:
        decode: A function from points `(n * n, 2)`, `float32`, to images `(n * n, height, width[, channels])`; or a
            dict from each panel's title to its function, drawn side by side.
        path: File to write. Default `None`: write none.
        n: Images along each axis, an int of at least 2. Default 20, as in the figure of the reference.
        extent: `(low, high)` of evenly spaced points on both axes, or a dict of them for panels. Default `None`: the
            quantiles of a standard normal prior.
        coverage: The lowest quantile, between 0 and 1/2; default 0.02, which gives z from -2.05 to 2.05. It
            is not used if `extent` is given.
        title: Text above the plane. Default `None`.
        low, high: As for `image_grid`.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If `n`, `extent` or `coverage` is out of range, or `decode` gives another number of images.

    Example:
        >>> import numpy as np
        >>> from keras_gen.plots import decoded_plane
        >>> figure = decoded_plane(lambda z: np.ones((8, 8)) * z[:, :1, None], n=5, extent=(0, 1))
        >>> figure.axes[0].images[0].get_array().shape
        (44, 44, 3)

    Reference:
        Kingma and Welling (2014), arXiv 1312.6114, figure 4.
    """
    panels = decode if isinstance(decode, dict) else {None: decode}
    extents = extent if isinstance(extent, dict) else dict.fromkeys(panels, extent)
    planes = {name: _plane(panels[name], n, extents.get(name), coverage, low, high) for name in panels}
    height, width = next(iter(planes.values()))[1].shape[1:3]
    figure = new_figure(6.0 * len(planes), 6.0 * height / width)
    for k, (name, (side, images)) in enumerate(planes.items()):
        axes = figure.add_axes((k / len(planes), 0, 0.9 / len(planes) if len(planes) > 1 else 1, 1))
        draw_mosaic(axes, images, n, n, GAP)
        _plane_axes(axes, side, *images.shape[1:3])
        if name:
            axes.set_title(name, fontsize=11, color=INK)
    if title and len(planes) == 1:
        axes.set_title(title, fontsize=11, color=INK)
    elif title:
        figure.suptitle(title, fontsize=12, color=INK, y=1.06)
    return save(figure, path)


def _plane(decode, n, extent, coverage, low, high):
    """The points along one axis, and the image of each point of the grid, row by row from the top."""
    side = _side(n, extent, coverage)
    z = np.stack(np.meshgrid(side, side[::-1]), axis=-1).reshape(-1, 2).astype("float32")
    images = np.asarray(decode(z))
    if len(images) != n * n:
        raise ValueError(f"Expected `decode` to give {n * n} images, one a point. Received: {images.shape}")
    return side, as_colors(images, low, high)


def _plane_axes(axes, side, height, width):
    """Ticks at a few of the points, labelled by their coordinates."""
    n = len(side)
    shown = np.linspace(0, n - 1, min(n, 4 + n % 2)).round().astype(int)
    axes.set_xticks(centres(n, width, GAP)[shown], [f"{side[k]:.1f}" for k in shown])
    axes.set_yticks(centres(n, height, GAP)[::-1][shown], [f"{side[k]:.1f}" for k in shown])
    axes.set_xlabel("$z_1$", color=INK)
    axes.set_ylabel("$z_2$", color=INK)
    axes.tick_params(labelsize=8, length=0, labelcolor=INK)


def _points(points):
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(
            f"Expected latent points of shape (n, 2). Received: shape {points.shape}. Choose two of the "
            "latent dimensions, or project onto two."
        )
    return points


def _checked_labels(labels, panels, class_names):
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iuf" or any(labels.shape != (len(p),) for p in panels.values()):
        raise ValueError(
            "Expected `labels` to be ints or floats, one a point. Received: "
            f"{[len(p) for p in panels.values()]} points, labels {labels.shape}, dtype {labels.dtype}"
        )
    if class_names is not None and not 0 <= labels.min() <= labels.max() < len(class_names):
        raise ValueError(f"Expected a name for each of the labels. Received: class_names={class_names}")
    return labels


def _scatter(axes, points, labels, class_names):
    """Draw the points, denser clouds with smaller and lighter dots; return the last collection drawn."""
    size = float(np.clip(6000 / len(points), 3, 14))
    options = {"s": size, "alpha": 0.75, "linewidths": 0, "rasterized": True}
    if labels is None:
        return axes.scatter(*points.T, color=COLORS[0], **options)
    if labels.dtype.kind == "f":
        return axes.scatter(*points.T, c=labels, cmap="viridis", **options)
    for k, label in enumerate(np.unique(labels)):
        name = label if class_names is None else class_names[label]
        chosen = points[labels == label]
        drawn = axes.scatter(*chosen.T, color=COLORS[k % len(COLORS)], label=str(name), **options)
    return drawn


def _frame(axes, points, limit):
    """A square window, with the same scale on both axes."""
    middle = (points.max(0) + points.min(0)) / 2 if limit is None else np.zeros(2)
    half = float(np.ptp(points, axis=0).max() / 2 * 1.06) or 1.0
    half = half if limit is None else limit
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_aspect("equal")
    axes.set_xlabel("$z_1$", color=INK)
    axes.set_ylabel("$z_2$", color=INK)


def _legend(axes):
    legend = axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    for handle in legend.legend_handles:
        handle.set_sizes([36])
        handle.set_alpha(1.0)


def _side(n, extent, coverage):
    """The coordinates of the grid along one axis."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise ValueError(f"Expected `n` to be an int of at least 2. Received: n={n!r}")
    if extent is not None:
        if len(extent) != 2 or not extent[0] < extent[1]:
            raise ValueError(f"Expected `extent` to be (low, high) with low < high. Received: {extent}")
        return np.linspace(*extent, n)
    if not 0 < coverage < 0.5:
        raise ValueError(f"Expected `coverage` between 0 and 0.5. Received: coverage={coverage}")
    return np.array([NormalDist().inv_cdf(u) for u in np.linspace(coverage, 1 - coverage, n)])
