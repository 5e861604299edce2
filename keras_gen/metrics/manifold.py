"""Precision, recall, density and coverage: how good samples are, apart from how much of the data they cover.

Around each row x_i of a set lies the ball B_k(x_i) whose radius is the distance to its k-th nearest other row; their
union is taken for the support of the distribution. With n real rows x and m generated rows y,

    precision  1/m sum_j [y_j lies in some B_k(x_i)]                               (Kynkaanniemi et al. 2019, eq. 1, 2)
    recall     1/n sum_i [x_i lies in some B_k(y_j)]
    density    1/(k m) sum_j sum_i [y_j lies in B_k(x_i)]                          (Naeem et al. 2020, eq. 4)
    coverage   1/n sum_i [some y_j lies in B_k(x_i)]                                  (eq. 5)

Precision and recall count a point once however many balls hold it, so a single outlier with a large ball raises them;
density counts balls, and coverage has balls of real rows alone. Of equal distributions the expected density is 1 and
the expected coverage 1 - (n-1)...(n-k) / ((n+m-1)...(n+m-k)) (lemma 2), which tells how to choose k.

Distances are float64 and computed by blocks of rows, n^2 of them but never stored. A radius is widened by what rounding
may do to it, so that a copy of the row that sets it lies in the ball.

Reference:
    T. Kynkaanniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila, "Improved precision and recall metric for assessing
    generative models", arXiv:1904.06991 (2019).
    M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi, J. Yoo, "Reliable fidelity and diversity metrics for generative models",
    arXiv:2002.09797 (2020).
"""

import keras
import numpy as np

from keras_gen.metrics.kernel import ReservoirMetric, blocks, squared_distances
from keras_gen.metrics.sets import check_count, pair

_ROUNDING = 1e-9  # relative, far above that of float64 and far below distances of different rows


def _parts(x):
    return (x[rows] for rows in blocks(len(x)))


def _squared_radii(x, k):
    """Squared distance of each row to its k-th nearest other row; the nearest of all is the row itself."""
    found = [np.partition(squared_distances(block, x), k, axis=1)[:, k] for block in _parts(x)]
    found = np.concatenate(found)
    reach = np.sqrt(np.square(x).sum(axis=1)) + np.sqrt(found)  # no point of the ball is farther from the origin
    return found * (1.0 + _ROUNDING) + _ROUNDING**1.5 * reach**2


def _balls(points, centres, squared_radii):
    """For each point the number of balls that hold it; for each centre whether its ball holds a point."""
    counts, held = [], np.zeros(len(centres), bool)
    for block in _parts(points):
        inside = squared_distances(block, centres) <= squared_radii
        counts.append(inside.sum(axis=1))
        held |= inside.any(axis=0)
    return np.concatenate(counts), held


def _prepare(real, generated, k):
    check_count("k", k)
    real, generated = (x.astype("float64") for x in pair(real, generated, least=k + 1))
    centre = real.mean(axis=0)
    return real - centre, generated - centre


def precision_recall(real, generated, k=3):
    """Improved precision and recall.

    Args:
        real, generated: features `(n, d)`, `(m, d)`, more than k rows each.
        k: which neighbour sets the radius, default 3 (Kynkaanniemi et al. 2019, section 3).

    Returns:
        Two floats in [0, 1], `(precision, recall)`.

    Raises:
        ValueError: too few rows, widths that differ, NaN.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import precision_recall
        >>> grid = np.arange(20.0)[:, None]
        >>> precision_recall(grid, grid[:10] / 20.0, k=1)  # all within the data, of which they cover the first
        (1.0, 0.05)

    Reference:
        Kynkaanniemi et al. 2019, eq. 2.
    """
    real, generated = _prepare(real, generated, k)
    precise = _balls(generated, real, _squared_radii(real, k))[0] > 0
    recalled = _balls(real, generated, _squared_radii(generated, k))[0] > 0
    return float(precise.mean()), float(recalled.mean())


def density_coverage(real, generated, k=5):
    """Density and coverage.

    Args:
        real, generated: features `(n, d)`, `(m, d)`, more than k rows each.
        k: which neighbour sets the radius, default 5 (Naeem et al. 2020, section 5).

    Returns:
        Two floats, `(density, coverage)`: density is at least 0 and may exceed 1, coverage is in [0, 1].

    Raises:
        ValueError: too few rows, widths that differ, NaN.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import density_coverage
        >>> grid = np.arange(20.0)[:, None]
        >>> density_coverage(grid, grid[:10] + 0.5, k=1)  # two balls of radius 1 hold each; 11 balls hold some
        (2.0, 0.55)

    Reference:
        Naeem et al. 2020, eq. 4 and 5.
    """
    real, generated = _prepare(real, generated, k)
    counts, covered = _balls(generated, real, _squared_radii(real, k))
    return float(counts.mean() / k), float(covered.mean())


class _Manifold(ReservoirMetric):
    def __init__(self, extractor, k, capacity, sample_seed, name):
        check_count("k", k)
        check_count("capacity", capacity, k + 1)
        super().__init__(extractor, capacity, sample_seed, name)
        self.k, self.least = k, k + 1

    def get_config(self):
        return {**super().get_config(), "k": self.k}


@keras.saving.register_keras_serializable(package="keras_gen")
class PrecisionRecall(_Manifold):
    """Improved precision and recall, streamed: `result()` is a dict of `precision` and `recall`.

    Args:
        extractor: images to features; None: the data are features.
        k: default 3.
        capacity, sample_seed: rows kept of each side, default 10,000, and the seed of that sample; published figures
            have 50,000.

    Example:
        >>> import warnings, numpy as np
        >>> from keras_gen.metrics import NotComparableWarning, PrecisionRecall
        >>> warnings.simplefilter("ignore", NotComparableWarning)
        >>> metric = PrecisionRecall(k=1)
        >>> metric.update_state(np.arange(20.0)[:, None], np.arange(10.0)[:, None] / 20.0)
        >>> metric.result()
        {'precision': 1.0, 'recall': 0.05}

    Reference:
        Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 2.
    """

    def __init__(self, extractor=None, *, k=3, capacity=10_000, sample_seed=0, name="precision_recall"):
        super().__init__(extractor, k, capacity, sample_seed, name)

    def compute(self, real, generated):
        return dict(zip(("precision", "recall"), precision_recall(real.rows, generated.rows, self.k), strict=True))


@keras.saving.register_keras_serializable(package="keras_gen")
class DensityCoverage(_Manifold):
    """Density and coverage, streamed: `result()` is a dict of `density` and `coverage`.

    Args:
        extractor: images to features; None: the data are features.
        k: default 5.
        capacity, sample_seed: rows kept of each side, default 10,000 as published, and the seed of that sample.

    Example:
        >>> import warnings, numpy as np
        >>> from keras_gen.metrics import DensityCoverage, NotComparableWarning
        >>> warnings.simplefilter("ignore", NotComparableWarning)
        >>> metric = DensityCoverage(k=1)
        >>> metric.update_state(np.arange(20.0)[:, None], np.arange(10.0)[:, None] + 0.5)
        >>> metric.result()
        {'density': 2.0, 'coverage': 0.55}

    Reference:
        Naeem et al. 2020, arXiv:2002.09797, eq. 4 and 5.
    """

    def __init__(self, extractor=None, *, k=5, capacity=10_000, sample_seed=0, name="density_coverage"):
        super().__init__(extractor, k, capacity, sample_seed, name)

    def compute(self, real, generated):
        return dict(zip(("density", "coverage"), density_coverage(real.rows, generated.rows, self.k), strict=True))
