"""Plots: right pixels in the right cells, files written, no global state, clear errors."""

import sys

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from keras_gen import plots

TONES = np.linspace(0, 1, 6)[:, None, None] * np.ones((6, 4, 5))


def mosaic(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def middles(figure, rows, columns):
    """The brightness in the middle of each cell."""
    pixels = mosaic(figure)[..., 0]
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    return pixels[height // 2 :: height + 1, width // 2 :: width + 1][:rows, :columns]


Z, LABELS = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 3
KINDS = {
    "grid": lambda p: plots.image_grid(TONES, p, rows=2, row_labels="ab", column_labels="abc", title="t"),
    "strip": lambda p: plots.interpolation_strip(TONES, p, row_labels=["a"], title="t"),
    "scatter": lambda p: plots.latent_scatter({"a": Z, "b": 2 * Z}, LABELS, p, class_names="xyw", title="t"),
    "plane": lambda p: plots.decoded_plane(lambda z: z[:, :1, None] * np.ones((4, 4)), p, n=4, title="t"),
    "spectrogram": lambda p: plots.spectrogram([np.sin(np.arange(400.0))] * 2, 8000, p, labels="ab", title="t"),
    "history": lambda p: plots.history({"loss": [2.0, 1.0], "val_loss": [2.5, 1.5]}, p, title="t"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_plot_returns_a_figure_and_writes_it(tmp_path, kind):
    """A `path` in a folder that does not exist yet is written; the file is a readable picture."""
    path = tmp_path / "new" / "folder" / "picture.png"
    assert type(KINDS[kind](path)).__name__ == "Figure"
    with Image.open(path) as picture:
        assert min(picture.size) > 50


@pytest.mark.parametrize("kind", KINDS)
def test_plots_leave_no_global_state(kind):
    """No figure is handed to pyplot, so no window opens and nothing has to be closed."""
    KINDS[kind](None)
    assert pyplot.get_fignums() == []


def test_missing_matplotlib_names_the_extra(monkeypatch):
    """Without matplotlib the error says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(ImportError, match=r"keras_gen\[plots\]"):
        plots.image_grid(TONES)


def test_grid_is_filled_row_by_row():
    """Image k stands in row k // columns, column k % columns, with its own brightness."""
    figure = plots.image_grid(TONES, rows=2)
    np.testing.assert_allclose(middles(figure, 2, 3), [[0, 0.2, 0.4], [0.6, 0.8, 1]], atol=1e-6)


@pytest.mark.parametrize(
    "images, options, brightness",
    [
        (np.full((1, 2, 2), 51, "uint8"), {}, 0.2),
        (np.full((1, 2, 2), 4, "uint8"), {"high": 16}, 0.25),
        (np.full((1, 2, 2), 0.5), {"low": -1}, 0.75),
        (np.full((1, 2, 2), 3.0), {}, 1.0),
        (np.full((1, 2, 2, 1), True), {}, 1.0),
    ],
)
def test_brightness_follows_the_range(images, options, brightness):
    """`low` is black, `high` is white, values beyond are clipped, and uint8 counts to 255."""
    np.testing.assert_allclose(mosaic(plots.image_grid(images, **options)), brightness, atol=1e-6)


def test_colors_and_empty_cells_are_kept():
    """Red stays red; cells without an image stay white."""
    pixels = mosaic(plots.image_grid(np.ones((3, 4, 4, 3)) * (1, 0, 0), columns=2))
    np.testing.assert_array_equal(pixels[0, 0], (1, 0, 0))
    np.testing.assert_array_equal(pixels[-1, -1], (1, 1, 1))


def test_strips_run_from_left_to_right():
    """Several strips, one a row."""
    images = np.stack([TONES, TONES[::-1]])
    np.testing.assert_allclose(
        middles(plots.interpolation_strip(images), 2, 6), [TONES[:, 0, 0], TONES[::-1, 0, 0]], atol=1e-6
    )


def test_plane_has_z1_to_the_right_and_z2_upwards():
    """The first axis of z grows to the right, the second upwards, between the quantiles asked for."""
    seen = []

    def decode(z):
        seen.append(z)
        return (z[:, 0] + 10 * z[:, 1])[:, None, None] * np.ones((3, 3))

    pixels = mosaic(plots.decoded_plane(decode, n=3, extent=(0, 1), high=11.0))[1::4, 1::4, 0]
    expected = [[10, 10.5, 11], [5, 5.5, 6], [0, 0.5, 1]]
    np.testing.assert_allclose(pixels, np.array(expected) / 11, atol=1e-6)
    plots.decoded_plane(decode, n=5, coverage=0.025, low=-99)
    np.testing.assert_allclose(np.unique(seen[1][:, 0])[[0, 2, 4]], [-1.95996, 0, 1.95996], atol=1e-4)


def test_scatter_has_a_color_a_class_and_square_axes():
    """Each class is one collection in each panel, named once in the legend; floats get a colour bar."""
    z, labels = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 4
    figure = plots.latent_scatter({"a": z, "b": z}, labels)
    assert [len(axes.collections) for axes in figure.axes] == [4, 4]
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["0", "1", "2", "3"]
    assert all(axes.get_aspect() == 1 for axes in figure.axes)
    assert len(plots.latent_scatter(z, labels.astype("float32")).axes) == 2


def test_history_pairs_training_and_validation():
    """One panel a quantity, loss first, learning_rate only when asked for."""
    curves = {"kl": [1, 2], "val_kl": [1, 3], "loss": [2, 1], "val_loss": [3, 2], "learning_rate": [1, 1]}
    figure = plots.history(curves)
    assert [axes.get_title() for axes in figure.axes] == ["loss", "kl"]
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[2, 1], [3, 2]]
    asked = plots.history(curves, names=["learning_rate"])
    assert [axes.get_title() for axes in asked.axes] == ["learning_rate"]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.image_grid(np.zeros((4, 4))), "images.*Received: shape"),
        (lambda: plots.image_grid(np.zeros((0, 4, 4))), "n > 0"),
        (lambda: plots.image_grid(np.zeros((2, 4, 4, 2))), "channels"),
        (lambda: plots.image_grid(np.full((2, 4, 4), np.nan)), "NaN"),
        (lambda: plots.image_grid(TONES, rows=1, columns=2), "at most 1 x 2"),
        (lambda: plots.image_grid(TONES, rows=0), "`rows`"),
        (lambda: plots.image_grid(TONES, high=-1.0), "`high` above `low`"),
        (lambda: plots.image_grid(TONES, columns=3, row_labels=["a"]), "2 `row_labels`"),
        (lambda: plots.interpolation_strip(np.zeros((4, 4))), "steps"),
        (lambda: plots.latent_scatter(np.zeros((5, 3))), r"\(n, 2\)"),
        (lambda: plots.latent_scatter(np.zeros((5, 2)), np.zeros(4, int)), "labels"),
        (lambda: plots.latent_scatter(np.zeros((5, 2)), np.arange(5), class_names=["a"]), "name for each"),
        (lambda: plots.latent_scatter({}), "at least one panel"),
        (lambda: plots.decoded_plane(lambda z: z, n=1), "at least 2"),
        (lambda: plots.decoded_plane(lambda z: z, coverage=0.6), "coverage"),
        (lambda: plots.decoded_plane(lambda z: z, extent=(1, 0)), "extent"),
        (lambda: plots.decoded_plane(lambda z: z[:3], n=2), "4 images"),
        (lambda: plots.history({"loss": [1.0]}, names=["kl"]), "among those"),
        (lambda: plots.history({}), "among those"),
    ],
)
def test_plot_errors(call, message):
    """Wrong input is refused with what was expected and received."""
    with pytest.raises(ValueError, match=message):
        call()


def test_a_tone_is_one_bright_line_at_its_frequency():
    """Amplitude 1 has 0 dB in the bin of its frequency, a tenth has -20 dB, and far bins are silent; int16 is sound."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    figure = plots.spectrogram([tone, 0.1 * tone, np.round(16384 * tone).astype("int16")], 8000)
    waves, spectra = figure.axes[:6:2], figure.axes[1:6:2]
    for axes, level in zip(spectra, (0, -20, -6.02), strict=True):
        image = axes.images[0]
        s, (left, right, low, high) = np.asarray(image.get_array()), image.get_extent()
        assert s.shape == (129, 126) and s[:, 63].argmax() == 32
        assert abs(s[32, 63] - level) < 0.01 and s[60:, 63].max() < -90
        assert abs(low + (32.5 / 129) * (high - low) - 1.0) < 1e-9  # the middle of bin 32, in kHz
        assert abs(left + (63.5 / 126) * (right - left) - 63 * 64 / 8000) < 1e-9  # of frame 63, in seconds
        assert image.get_clim() == (-80, 0)
    np.testing.assert_allclose(waves[2].lines[0].get_ydata(), 0.5 * tone, atol=1e-4)


def test_a_click_is_one_bright_column_at_its_time():
    """Recordings of several lengths share the time axis of the longest."""
    click = np.zeros(4000)
    click[1600] = 1.0
    figure = plots.spectrogram([click, click[:2000]], 8000, window=64, hop=32)
    s = np.asarray(figure.axes[1].images[0].get_array())
    assert s.mean(0).argmax() == 50 and figure.axes[0].get_xlim() == figure.axes[3].get_xlim() == (0, 0.5)


@pytest.mark.parametrize(
    "waves, options, match",
    [
        ([], {}, "Received: none"),
        ([np.zeros(0)], {}, r"shape \(0,\)"),
        (np.zeros((2, 3, 4)), {}, r"shape \(3, 4\)"),
        ([np.array([0, 1])], {}, "int64"),
        ([np.array([0.0, np.nan])], {}, "not finite"),
        ([np.zeros(9)], {"labels": "ab"}, "1 `labels`"),
        ([np.zeros(9)], {"window": 7}, "`window`"),
        ([np.zeros(9)], {"window": 2}, "`window`"),
        ([np.zeros(9)], {"hop": 0}, "`hop`"),
        ([np.zeros(9)], {"rate": 0}, "`rate`"),
        ([np.zeros(9)], {"floor": 0.0}, "`floor`"),
    ],
)
def test_what_is_no_sound_is_not_drawn(waves, options, match):
    """The message says what came."""
    with pytest.raises(ValueError, match=match):
        plots.spectrogram(waves, **{"rate": 8000, **options})


def test_silence_is_drawn():
    """Zeros have no logarithm, and a recording may be shorter than a window."""
    plots.spectrogram([np.zeros(9), np.zeros(400)], 8000)
