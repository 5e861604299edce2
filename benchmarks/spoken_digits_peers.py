"""Other ways to say how many bits the mu-law levels of a recording take: histograms, linear prediction, coders.

**Linear prediction.** w minimises the mean square of x_t - sum_i w_i x_(t-i) over all training recordings, each in
silence: Toeplitz normal equations. The level k of x_t, of the cell [e_k, e_(k+1)), has the probability

    p(k) = (1 - q) (F((e_(k+1) - m_t) / s_t) - F((e_k - m_t) / s_t)) + q / 256,        q = 0.001,

F the Laplace or the normal distribution function, m_t the prediction. The scale s_t is one number; or it follows the
loudness, s_t = a + b r_t, r_t the mean of the past residuals' magnitudes with weights (1 - d) d^i. Numbers a, b (or the
one) and d are those of the fewest bits on training recordings. Predicted are x, or the companded f(x), whose cells are
of one size.

**Coders** know neither the training recordings nor digit and speaker: FLAC (`flac -8 -e`) of the levels as 8 bit
samples, bzip2 and xz (LZMA) of them as bytes, of all recordings end to end.
"""

import bz2
import itertools
import lzma
import shutil
import subprocess

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.signal
import scipy.stats

LEVELS, SHARE = 256, 1e-3
FORGETTING = (0.9, 0.95, 0.98)
CASES = (  # what is predicted, the law of its residual, whether its scale follows the loudness
    ("sample", "norm", False),
    ("sample", "laplace", False),
    ("sample", "laplace", True),
    ("companded", "laplace", True),
)


def companded(x):
    return np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)


def expanded(y):
    return np.sign(y) * np.expm1(np.abs(y) * np.log(256)) / 255


def levels_of(x):
    """Levels of int16 samples."""
    return np.floor((companded(x / 32768.0) + 1) * 127.5 + 0.5).astype(int)


def values(levels, kind):
    """Numbers that are predicted, of one recording, and the edges of the cells."""
    y, edges = 2 * levels / 255 - 1, 2 * (np.arange(LEVELS + 1) - 0.5) / 255 - 1
    edges = edges if kind == "companded" else expanded(edges)
    edges[0], edges[-1] = -np.inf, np.inf
    return (y if kind == "companded" else expanded(y)), edges


def histogram_bits(train, test):
    """Bits a level by how often each is in the training recordings."""
    counts = np.bincount(np.concatenate(train), minlength=LEVELS) + 1.0
    return float(-np.log2(counts / counts.sum())[np.concatenate(test)].mean())


def predictor(recordings, order):
    """w of the normal equations."""
    r = np.zeros(order + 1)
    for x in recordings:
        full = scipy.signal.correlate(x, x, method="fft")[len(x) - 1 :][: order + 1]
        r[: len(full)] += full
    r[0] *= 1 + 1e-9
    return scipy.linalg.solve_toeplitz(r[:-1], r[1:])


def predictions(recordings, w):
    """m_t of each recording."""
    filter_ = np.concatenate([[0.0], w])
    return [scipy.signal.fftconvolve(x, filter_)[: len(x)] for x in recordings]


def running(residuals, d):
    """r_t, of the residuals before t."""
    parts = [scipy.signal.lfilter([0.0, 1 - d], [1.0, -d], np.abs(e)) for e in residuals]
    return np.concatenate(parts)


def cell_bits(k, m, s, edges, law):
    """-log2 p of each level."""
    upper, lower = law.cdf((edges[k + 1] - m) / s), law.cdf((edges[k] - m) / s)
    above = m < edges[k]  # in the upper tail the difference is that of the survival functions
    p = np.where(above, law.sf((edges[k] - m) / s) - law.sf((edges[k + 1] - m) / s), upper - lower)
    return -np.log2((1 - SHARE) * np.maximum(p, 0) + SHARE / LEVELS)


class Linear:
    """A linear predictor of one order, kind and law, with its scale."""

    def __init__(self, train, order, kind, law, adaptive, fitted=40):
        self.order, self.kind, self.law, self.adaptive = order, kind, getattr(scipy.stats, law), adaptive
        self.w = predictor([values(k, kind)[0] for k in train], order)
        chosen = train[:: max(1, len(train) // fitted)]
        tries = [self._fit(chosen, d) for d in (FORGETTING if adaptive else (None,))]
        self.bits, self.scale, self.d = min(tries, key=lambda t: t[0])

    def _fit(self, recordings, d):
        parts = self._parts(recordings, d)
        start = [0.1, 1.0] if self.adaptive else [1.0]
        unit = np.abs(parts[1] - parts[2]).mean()
        bits = lambda z: self._bits(parts, np.exp(z) * ([unit, 1.0] if self.adaptive else [unit]))  # noqa: E731
        found = scipy.optimize.minimize(lambda z: bits(z).mean(), np.log(start), method="Nelder-Mead",
                                        options={"maxiter": 40})  # fmt: skip
        return found.fun, np.exp(found.x) * ([unit, 1.0] if self.adaptive else [unit]), d

    def _parts(self, recordings, d):
        x = [values(k, self.kind)[0] for k in recordings]
        m = predictions(x, self.w)
        r = running([a - b for a, b in zip(x, m, strict=True)], d) if self.adaptive else None
        return np.concatenate(recordings), np.concatenate(x), np.concatenate(m), r

    def _bits(self, parts, scale):
        k, _, m, r = parts
        s = scale[0] if r is None else scale[0] + scale[1] * r
        return cell_bits(k, m, s, values(k[:1], self.kind)[1], self.law)

    def score(self, recordings):
        """Mean bits a level."""
        return float(self._bits(self._parts(recordings, self.d), self.scale).mean())


def linear_rows(train, test, orders=(32, 1000)):
    """A row for each predictor."""
    rows = []
    for order, (kind, law, adaptive) in itertools.product(orders, CASES):
        model = Linear(train, order, kind, law, adaptive)
        row = {"order": order, "predicts": kind, "law": law, "scale": "running" if adaptive else "one number"}
        rows.append({**row, "bits": model.score(test), "bits_training": float(model.bits), "forgetting": model.d})
        print(rows[-1], flush=True)
    return rows


def coder_rows(test, pcm):
    """Bits a sample of coders: of the levels, and FLAC of the 16 bit samples, which is another task."""
    data = np.concatenate(test)
    as_bytes = data.astype(np.uint8).tobytes()
    found = {
        "bzip2 -9, levels": len(bz2.compress(as_bytes, 9)),
        "xz -9e, levels": len(lzma.compress(as_bytes, preset=9 | lzma.PRESET_EXTREME)),
    }
    if shutil.which("flac"):
        found["flac -8 -e, levels"] = len(_flac((data - 128).astype(np.int8), 8))
        found["flac -8 -e, 16 bit samples"] = len(_flac(np.concatenate(pcm).astype("<i2"), 16))
    return {name: 8 * size / len(data) for name, size in found.items()}


def _flac(x, bits):
    raw = ["--force-raw-format", "--endian=little", "--sign=signed", "--channels=1", "--sample-rate=8000"]
    command = ["flac", "-8", "-e", "-s", "-c", "--no-padding", "--no-seektable", *raw, f"--bps={bits}", "-"]
    return subprocess.run(command, input=x.tobytes(), capture_output=True, check=True).stdout
