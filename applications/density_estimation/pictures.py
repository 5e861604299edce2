"""Pictures of a density: of one or two columns beside the data, of more as a corner plot of data and samples."""

import numpy as np

from applications.files import whole
from keras_gen.plots.figure import COLORS, INK, new_figure, save, style

SIDE, MOST_COLUMNS, MOST_POINTS, EDGE, BATCH = 160, 5, 2000, 0.5, 2048
DATA, FLOW = COLORS[0], COLORS[3]


def draw(model, known, part, output, seed):
    """`density.png` of one or two columns without a condition, else `corner.png` of the held-out rows."""
    if part.c is None and len(known.names) <= 2:
        figure, name = (line if len(known.names) == 1 else plane)(model, known, part), "density.png"
    else:
        chosen = np.random.default_rng(seed).permutation(len(part))[:MOST_POINTS]
        c = None if part.c is None else part.c[chosen]
        drawn = model.sample(len(chosen), c, seed=seed, batch_size=BATCH, verbose=0)
        figure, name = corner(known, part.z[chosen], drawn), "corner.png"
    with whole(output / name) as temporary:
        save(figure, temporary)


def plane(model, known, part):
    """The data, and p on a grid."""
    grid, lines = _grid(part.z, SIDE)
    p = np.exp(model.log_prob(grid, batch_size=BATCH, verbose=0).astype("float64")).reshape(SIDE, SIDE)
    edges = [known.mean[i] + known.scale[i] * line[[0, -1]] for i, line in enumerate(lines)]
    figure = new_figure(9.2, 4.4)
    left, right = figure.subplots(1, 2)
    x = known.restored(part.z[:MOST_POINTS])
    left.scatter(*x.T, s=4, alpha=0.6, linewidths=0, color=DATA)
    right.imshow(p, origin="lower", extent=np.concatenate(edges), aspect="auto", cmap="viridis",
                 vmax=np.quantile(p, 0.995) or None)  # fmt: skip
    for axes, title in ((left, "held-out rows"), (right, "density of the flow")):
        style(axes, title)
        axes.set(xlim=edges[0], ylim=edges[1])
        axes.set_xlabel(known.names[0], color=INK)
    left.set_ylabel(known.names[1], color=INK)
    return figure


def line(model, known, part):
    """The histogram of the data, and p."""
    grid, (z,) = _grid(part.z, 512)
    p = np.exp(model.log_prob(grid, batch_size=BATCH, verbose=0)) / known.scale[0]
    figure = new_figure(5.6, 3.6)
    axes = figure.subplots()
    _histogram(axes, known.restored(part.z)[:, 0], DATA, "held-out rows", int(np.clip(len(part) ** 0.5, 8, 40)))
    axes.plot(known.mean[0] + known.scale[0] * z, p, color=FLOW, label="flow", linewidth=1.6)
    style(axes)
    axes.set_xlabel(known.names[0], color=INK)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _grid(z, side):
    """Points over the range of the data and a little more, and the lines that they lie on."""
    lines = [np.linspace(a - EDGE, b + EDGE, side, dtype="float32") for a, b in zip(z.min(0), z.max(0), strict=True)]
    return np.stack(np.meshgrid(*lines), axis=-1).reshape(-1, len(lines)), lines


def corner(known, z, drawn):
    """Histograms of the first columns on the diagonal, points of each pair below it; data and samples."""
    names = known.names[:MOST_COLUMNS]
    n, sets = len(names), [(known.restored(v), *look) for v, look in ((z, (DATA, "held-out rows")),
                                                                     (drawn, (FLOW, "samples")))]  # fmt: skip
    figure = new_figure(1.9 * n + 1.2, 1.9 * n + 0.6)
    grid = figure.subplots(n, n, squeeze=False)
    figure.subplots_adjust(wspace=0.08, hspace=0.08)
    for i in range(n):
        for j in range(n):
            _cell(grid[i, j], i, j, sets) if j <= i else grid[i, j].remove()
    for k, name in enumerate(names):
        grid[-1, k].set_xlabel(name, fontsize=8, color=INK)
        if k:
            grid[k, 0].set_ylabel(name, fontsize=8, color=INK)
    _legend(figure, sets)
    if len(known.names) > n:
        figure.suptitle(f"the first {n} of {len(known.names)} columns", fontsize=9, color=INK, y=0.92)
    return figure


def _cell(axes, i, j, sets):
    data = sets[0][0]
    for x, color, label in sets:
        if i == j:
            _histogram(axes, x[:, i], color, label, np.linspace(*_limits(data[:, i]), 31))
        else:
            axes.scatter(x[:, j], x[:, i], s=3, alpha=0.35, linewidths=0, color=color)
            axes.set_ylim(_limits(data[:, i]))
    axes.set_xlim(_limits(data[:, j]))
    style(axes)
    if j or i == 0:
        axes.set_yticklabels([])
    if i < axes.get_gridspec().nrows - 1:
        axes.set_xticklabels([])
    axes.tick_params(labelsize=6)


def _limits(column):
    low, high = np.quantile(column, (0.001, 0.999))
    low, high = (low, high) if high > low else (low - 0.5, low + 0.5)
    return low - 0.1 * (high - low), high + 0.1 * (high - low)


def _histogram(axes, x, color, label, bins):
    axes.hist(x, bins=bins, density=True, histtype="step", color=color, label=label, linewidth=1.3)


def _legend(figure, sets):
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=color, label=label, linewidth=2) for _, color, label in sets]
    figure.legend(handles=handles, loc="upper right", frameon=False, fontsize=9, bbox_to_anchor=(0.9, 0.88))
