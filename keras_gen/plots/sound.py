"""Sound as pictures: each recording's wave, and beside it the strength of its frequencies over time.

With a Hann window w of W samples moved by H at a time, frame t of a wave x of rate r is

    X[t, f] = sum_(n < W) w[n] x[t H + n] exp(-2 pi i f n / W),        S[t, f] = 20 log10(2 |X[t, f]| / sum w),

S in decibels: a pure tone of amplitude 1 has 0. A wave is continued by W / 2 zeros on either side, so the middle of
frame t is sample t H. S is drawn from `floor` up, frame t at t H / r seconds, bin f at f r / W hertz.
"""

import math
import numbers

import numpy as np

from keras_gen.plots.figure import COLORS, INK, new_figure, save, style

ROW, WIDTH = 1.35, 8.0  # inches


def spectrogram(waves, rate, path=None, *, labels=None, title=None, window=256, hop=64, floor=-80.0):
    """Waves and, beside them, their log-magnitude short-time spectra, one recording a row.

    Args:
        waves: `(n, length)`, or a list of arrays `(length,)` whose lengths may differ; floats in [-1, 1], or int16,
            which are divided by 32768. All rows have the time axis of the longest.
        rate: samples a second, a number > 0.
        path: file to write, its ending naming the format. Default `None`: write none.
        labels: texts beside the rows, one each. Default `None`.
        title: text above the figure. Default `None`.
        window: W, an even int >= 4, default 256: 32 ms and bins of 31 Hz at 8000 samples a second.
        hop: H, a positive int, default 64.
        floor: decibels drawn as silence, below 0, default -80; 0 is the lightest.

    Returns:
        The `matplotlib.figure.Figure`, two axes a row.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no wave, one is empty, of another shape or dtype or holds NaN or infinity; if the number
            of labels is not that of the waves, or another argument is out of its range.

    Example:
        >>> import numpy as np
        >>> from keras_gen.plots import spectrogram
        >>> tones = [np.sin(2 * np.pi * f * np.arange(8000) / 8000) for f in (440, 1000)]
        >>> figure = spectrogram(tones, 8000, labels=["440 Hz", "1000 Hz"])
        >>> figure.axes[1].images[0].get_array().shape  # frequencies, frames
        (129, 126)

    Reference:
        Allen and Rabiner (1977), Proceedings of the IEEE 65(11), equation 1.
    """
    waves = _check_waves(waves)
    _check_arguments(rate, window, hop, floor)
    if labels is not None and len(labels) != len(waves):
        raise ValueError(f"Expected {len(waves)} `labels`, one a wave. Received: {len(labels)}")
    figure = new_figure(WIDTH, ROW * len(waves) + 0.5)
    axes = figure.subplots(len(waves), 2, squeeze=False, sharex=True)
    figure.subplots_adjust(wspace=0.2, hspace=0.25)
    loudest = max(float(np.abs(wave).max()) for wave in waves) or 1.0
    for i, (wave, (left, right)) in enumerate(zip(waves, axes, strict=True)):
        _draw_wave(left, wave, rate, loudest)
        picture = _draw_spectrum(right, wave, rate, window, hop, floor)
        if labels is not None:
            left.set_ylabel(str(labels[i]), fontsize=9, color=INK)
    axes[0, 0].set_xlim(0, max(map(len, waves)) / rate)
    for last in axes[-1]:
        last.set_xlabel("seconds", fontsize=9, color=INK)
    bar = figure.colorbar(picture, ax=axes[:, 1].tolist(), pad=0.02, aspect=12 * len(waves))
    bar.ax.tick_params(labelsize=8)
    bar.set_label("dB", fontsize=9, color=INK)
    if title:
        figure.suptitle(title, fontsize=12, color=INK)
    return save(figure, path)


def decibels(wave, window=256, hop=64):
    """S of one wave `(length,)`: `(frames, window / 2 + 1)`, decibels, of silence -200."""
    padded = np.pad(np.asarray(wave, "float64"), window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    magnitude = np.abs(np.fft.rfft(frames * hann, axis=-1)) * (2 / hann.sum())
    return 20 * np.log10(np.maximum(magnitude, 1e-10))


def _draw_wave(axes, wave, rate, loudest):
    axes.plot(np.arange(len(wave)) / rate, wave, color=COLORS[0], linewidth=0.5)
    axes.set_ylim(-1.05 * loudest, 1.05 * loudest)
    style(axes)


def _draw_spectrum(axes, wave, rate, window, hop, floor):
    s = decibels(wave, window, hop)
    half, bin_half = hop / rate / 2, rate / window / 2000
    extent = (-half, (len(s) - 1) * hop / rate + half, -bin_half, rate / 2000 + bin_half)
    picture = axes.imshow(
        s.T, origin="lower", aspect="auto", extent=extent, vmin=floor, vmax=0, cmap="magma", interpolation="nearest"
    )
    axes.set_ylim(0, rate / 2000)
    style(axes)
    axes.set_ylabel("kHz", fontsize=9, color=INK)
    return picture


def _check_waves(waves):
    waves = [np.asarray(wave) for wave in waves]
    waves = [wave / 32768 if wave.dtype == np.int16 else wave for wave in waves]
    wrong = [w for w in waves if w.ndim != 1 or w.size == 0 or w.dtype.kind != "f" or not np.isfinite(w).all()]
    if not waves or wrong:
        what = f"shape {wrong[0].shape}, dtype {wrong[0].dtype}, or not finite" if wrong else "none"
        raise ValueError(
            f"Expected `waves` (n, length) or a list of arrays (length,), finite floats or int16. Received: {what}."
        )
    return waves


def _check_arguments(rate, window, hop, floor):
    whole = all(isinstance(v, numbers.Integral) and not isinstance(v, bool) for v in (window, hop))
    if not whole or window < 4 or window % 2 or hop < 1:
        raise ValueError(
            f"Expected `window` as an even integer >= 4, `hop` as a positive one. Received: window={window!r}, "
            f"hop={hop!r}."
        )
    for name, value, sign in (("rate", rate, 1), ("floor", floor, -1)):
        if not isinstance(value, numbers.Real) or not math.isfinite(value) or sign * value <= 0:
            raise ValueError(f"Expected `{name}` as a number {'>' if sign > 0 else '<'} 0. Received: {name}={value!r}.")
