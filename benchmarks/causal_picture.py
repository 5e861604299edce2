"""The picture of `docs/autoregressive.md`: which inputs an output of a stack of dilated causal convolutions sees.

    python -m benchmarks.causal_picture docs/images/dilated_causal.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

DILATIONS, SHOWN, TAPS = (1, 2, 4, 8), 20, 2
NAMES = ["input", *(f"dilation {d}" for d in DILATIONS[:-1]), f"output, dilation {DILATIONS[-1]}"]


def seen():
    """For each row from the top one down, the places that the last output depends on."""
    rows = [{SHOWN - 1}]
    for d in reversed(DILATIONS):
        rows.append({t - k * d for t in rows[-1] for k in range(TAPS)})
    return rows[::-1]


def draw(path):
    rows = seen()
    figure, axes = plt.subplots(figsize=(9, 3.2))
    for y, d in enumerate(DILATIONS):
        for t in range(SHOWN):
            for s in (t - d, t):
                live = t in rows[y + 1] and s in rows[y]
                color, width, order = ("tab:blue", 1.6, 2) if live else ("0.85", 0.6, 1)
                axes.plot([s, t], [y, y + 1], color=color, linewidth=width, zorder=order)
    for y, row in enumerate(rows):
        for t in range(0 if y == len(DILATIONS) else -3, SHOWN):
            padding = t < 0
            face = "tab:blue" if t in row and not padding else "white"
            axes.scatter(t, y, s=46, color=face, edgecolor="0.75" if padding else "tab:blue", zorder=3)
    axes.set_xlim(-3.5, SHOWN - 0.3)
    axes.set_yticks(range(len(NAMES)), NAMES)
    axes.set_xticks([-2, 0, SHOWN - 1], ["zeros", "x_1", f"x_{SHOWN}"])
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
    figure.savefig(path, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    draw(parser.parse_args().path)


if __name__ == "__main__":
    main()
