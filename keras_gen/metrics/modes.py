"""Which modes of a mixture of Gaussians a model has found, and how much of what it draws lies in them.

The mixture has centres m_1 ... m_K, standard deviations s_1 ... s_K (of a coordinate) and weights w_1 ... w_K. A sample
x belongs to the nearest centre, k(x), and is good if it lies within r standard deviations of it:

    |x - m_k| <= r s_k,        r = 3 in the plane.

From the counts c_k of samples and g_k of good ones, n samples in all,

    modes  = number of k with g_k >= min_count        share = sum_k g_k / n
    kl     = sum_k h_k log(h_k / w_k),  h_k = c_k / sum c        (of the model's modes from the mixture's; nats)

A perfect model in d dimensions has the share P(chi^2_d <= r^2): 0.989 for d = 2 and r = 3, but nearly 0 for d = 100,
for which r must grow. Of n perfect samples, `kl` is about (K - 1) / (2 n), not 0.

Reference:
    Srivastava et al. 2017, VEEGAN, arXiv:1705.07761, section 4 (modes and good samples, r = 3, 2,500 samples).
    Lin et al. 2018, PacGAN, arXiv:1712.04086, section 4 (the divergence of the histograms).
"""

import keras
import numpy as np
from keras import ops

from keras_gen.metrics.sets import check_count, rows
from keras_gen.metrics.sums import SumMetric

_BLOCK = 2**22  # differences held at once: 32 MB


def modes_covered(samples, centers, scale, radius=3.0, min_count=1, weights=None):
    """Modes found, share of good samples, divergence of the modes' histogram, of samples from a model of a mixture.

    Args:
        samples: `(n, d)`.
        centers: m, `(K, d)`.
        scale: s, the standard deviation a coordinate, > 0: one for all, or `(K,)`.
        radius: r, a good sample's greatest distance in standard deviations, default 3 (Srivastava et al.).
        min_count: the good samples that make a mode found, default 1 (Srivastava et al.).
        weights: w, `(K,)`, positive, scaled to sum 1; default None: uniform.

    Returns:
        dict: `modes` (int), `good_share` in [0, 1], `mode_kl` in nats.

    Raises:
        ValueError: shapes that do not agree, NaN or infinity, no samples, an argument out of its range.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import modes_covered
        >>> centers = np.array([[0.0, 0.0], [1.0, 0.0]])
        >>> found = modes_covered([[0.1, 0.0], [0.0, 0.1], [0.0, 0.5], [9.0, 0.0]], centers, scale=0.1)
        >>> found["modes"], found["good_share"], round(found["mode_kl"], 4)
        (1, 0.5, 0.1308)

    Reference:
        Srivastava et al. 2017, arXiv:1705.07761, section 4; Lin et al. 2018, arXiv:1712.04086, section 4.
    """
    m, s, w = _mixture(centers, scale, weights)
    _check_radius(radius)
    check_count("min_count", min_count)
    samples = rows(samples, "samples", width=m.shape[1], least=1)
    counts = np.zeros((2, len(m)))
    block = max(1, _BLOCK // m.size)
    for x in (samples[i : i + block].astype("float64") for i in range(0, len(samples), block)):
        square = ((x[:, None] - m) ** 2).sum(axis=-1)
        k = square.argmin(axis=1)
        good = square[np.arange(len(x)), k] <= (radius * s[k]) ** 2
        counts += [np.bincount(k, minlength=len(m)), np.bincount(k[good], minlength=len(m))]
    h = counts[0] / counts[0].sum()
    kl = np.sum(h[h > 0] * np.log(h[h > 0] / w[h > 0]))
    return {
        "modes": int((counts[1] >= min_count).sum()),
        "good_share": float(counts[1].sum() / len(samples)),
        "mode_kl": float(kl),
    }


@keras.saving.register_keras_serializable(package="keras_gen")
class ModesCovered(SumMetric):
    """The streaming `modes_covered`, on the device and in compiled functions.

    A tensor's rows that are not finite count as samples that are not good, and belong to no mode; in an array they are
    refused. The differences of a batch from the centres, `(batch, K, d)`, are held at once.

    Args:
        centers, scale, radius, min_count, weights: as in `modes_covered`.
        name, dtype: as in `keras.metrics.Metric`.

    Raises:
        ValueError: as `modes_covered`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import ModesCovered
        >>> metric = ModesCovered(np.array([[0.0, 0.0], [1.0, 0.0]]), scale=0.1)
        >>> metric.update_state(np.array([[0.1, 0.0], [0.9, 0.0]]))
        >>> {name: round(float(value), 4) for name, value in metric.result().items()}
        {'modes': 2.0, 'good_share': 1.0, 'mode_kl': 0.0}

    Reference:
        Srivastava et al. 2017, arXiv:1705.07761, section 4; Lin et al. 2018, arXiv:1712.04086, section 4.
    """

    def __init__(self, centers, scale, radius=3.0, min_count=1, weights=None, name="modes_covered", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.centers, self.scales, self.weights = _mixture(centers, scale, weights)
        _check_radius(radius)
        self.radius, self.min_count = float(radius), check_count("min_count", min_count)
        modes = len(self.centers)
        self.counts = self.add_variable((2, modes), initializer="zeros", dtype=self.dtype, name="counts")
        self.seen = self.add_variable((), initializer="zeros", dtype=self.dtype, name="seen")

    def update_state(self, samples):
        """Add samples `(batch, d)`.

        Raises:
            ValueError: another shape; NaN or infinity in an array.
        """
        width = self.centers.shape[1]
        samples = samples if ops.is_tensor(samples) else rows(samples, "samples")
        if len(samples.shape) != 2 or samples.shape[1] != width:
            raise ValueError(f"Expected `samples` of shape (batch, {width}). Received: {tuple(samples.shape)}.")
        x = ops.cast(samples, self.dtype)
        square = ops.sum(ops.square(ops.expand_dims(x, 1) - ops.cast(self.centers, self.dtype)), axis=-1)
        finite = ops.all(ops.isfinite(x), axis=1)
        nearest = ops.argmin(ops.where(ops.expand_dims(finite, 1), square, 0.0), axis=1)
        reach = ops.take(ops.cast((self.radius * self.scales) ** 2, self.dtype), nearest)
        good = ops.logical_and(ops.min(square, axis=1) <= reach, finite)
        belongs = ops.one_hot(nearest, len(self.centers), dtype=self.dtype)
        masks = ops.cast(ops.stack([finite, good]), self.dtype)
        self.counts.assign(self.counts + ops.sum(belongs * ops.expand_dims(masks, -1), axis=1))
        self.seen.assign(self.seen + ops.cast(ops.shape(x)[0], self.dtype))

    def result(self):
        """Dict of scalars: `modes`, `good_share`, `mode_kl`; the last two NaN before the first sample."""
        belong, good = ops.unstack(self.counts.value, 2)
        h = belong / ops.sum(belong)
        ratio = ops.where(h > 0, h / ops.cast(self.weights, self.dtype), 1.0)
        return {
            "modes": ops.sum(ops.cast(good >= self.min_count, self.dtype)),
            "good_share": ops.sum(good) / self.seen.value,
            "mode_kl": ops.sum(h * ops.log(ratio)),
        }

    def get_config(self):
        arrays = {"centers": self.centers.tolist(), "scale": self.scales.tolist(), "weights": self.weights.tolist()}
        limits = {"radius": self.radius, "min_count": self.min_count}
        return {**super().get_config(), **arrays, **limits}


def _mixture(centers, scale, weights):
    """m `(K, d)`, s `(K,)`, w `(K,)`, float64, checked."""
    m = rows(centers, "centers", least=1).astype("float64")
    s = np.asarray(scale, "float64")
    if s.shape not in ((), (len(m),)) or not np.isfinite(s).all() or not (s > 0).all():
        raise ValueError(f"Expected `scale` as a positive number, or ({len(m)},) of them. Received: scale={scale!r}.")
    w = np.ones(len(m)) if weights is None else np.asarray(weights, "float64")
    if w.shape != (len(m),) or not np.isfinite(w).all() or not (w > 0).all():
        raise ValueError(f"Expected `weights` as {len(m)} positive numbers. Received: weights={weights!r}.")
    return m, np.broadcast_to(s, (len(m),)), w / w.sum()


def _check_radius(radius):
    if not radius > 0:
        raise ValueError(f"Expected `radius` > 0 standard deviations. Received: radius={radius!r}.")
