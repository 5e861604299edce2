"""What every picture shares: a figure that belongs to no window, one look, and how it reaches the disk."""

from pathlib import Path

INK, FAINT = "#222222", "#8a8a8a"
# Okabe and Ito's colours, told apart by colour-blind readers, then four darker ones for classes 7 to 10.
COLORS = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7",
    "#56B4E9", "#7A5195", "#8C6D31", "#4D4D4D", "#B5CF3A",
)  # fmt: skip
DPI = 150


def new_figure(width, height):
    """An empty `Figure` of `width` x `height` inches, drawn by Agg and unknown to pyplot."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("keras_gen.plots needs matplotlib: pip install 'keras_gen[plots]'") from error
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style(axes, title=None):
    """Faint, open axes with small type."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(labelsize=8, color=FAINT, labelcolor=INK)
    if title:
        axes.set_title(title, fontsize=10, color=INK)


def save(figure, path):
    """Write `figure` to `path` (a file name, whose folder is made, or an open binary file), if any; return it."""
    if path is not None:
        if not hasattr(path, "write"):
            path = Path(path)
            path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.1)
    return figure
