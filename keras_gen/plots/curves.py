"""The curves of a training run: one panel a quantity, training and validation together."""

import math

from keras_gen.plots.figure import COLORS, FAINT, INK, new_figure, save, style

MOST_COLUMNS = 3


def history(history, path=None, *, names=None, title=None):
    """The curves of `fit`: the loss, its parts and the metrics, by epoch.

    Args:
        history: What `fit` returned, or its dict from a name to one value an epoch. `val_NAME` is drawn into
            the panel of `NAME`.
        path: File to write. Default `None`: write none.
        names: The quantities to draw, in order. Default `None`: all but `learning_rate`, the loss first.
        title: Text above all panels. Default `None`.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is nothing to draw, or a name is not in the history.

    Example:
        >>> from keras_gen.plots import history
        >>> figure = history({"loss": [3.0, 2.0], "val_loss": [3.1, 2.2], "kl": [0.1, 0.5]})
        >>> [axes.get_title() for axes in figure.axes]
        ['loss', 'kl']
    """
    curves = getattr(history, "history", history)
    names = _names(curves) if names is None else list(names)
    unknown = [name for name in names if name not in curves]
    if unknown or not names or not any(len(curves[name]) for name in names):
        raise ValueError(f"Expected `names` among those of the history, {sorted(curves)}. Received: {names}")
    columns = min(len(names), MOST_COLUMNS)
    rows = math.ceil(len(names) / columns)
    figure = new_figure(3.3 * columns + 0.4, 2.6 * rows + 0.3 * bool(title))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.subplots_adjust(wspace=0.3, hspace=0.5)
    for axes, name in zip(panels, names, strict=False):
        _draw(axes, name, curves)
    for axes in panels[len(names) :]:
        axes.remove()
    panels[0].legend(frameon=False, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=12, color=INK)
    return save(figure, path)


def _names(curves):
    """Every name once, `loss` before the others, none for its validation alone if it was trained on too."""
    names = [n for n in curves if not n.startswith("learning_rate") and not (n.startswith("val_") and n[4:] in curves)]
    return sorted(names, key=lambda name: name not in ("loss", "val_loss"))


def _draw(axes, name, curves):
    from matplotlib.ticker import MaxNLocator

    name = name.removeprefix("val_")
    for key, label, color in ((name, "training", COLORS[0]), (f"val_{name}", "validation", COLORS[3])):
        values = curves.get(key, ())
        marker = "o" if len(values) == 1 else None
        if len(values):
            axes.plot(range(1, len(values) + 1), values, color=color, label=label, linewidth=1.6,
            marker=marker)
    style(axes, name if name in curves else f"val_{name}")
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.set_xlabel("epoch", fontsize=9, color=INK)
