"""The energy distance of two sets of vectors.

With independent x, x' of one distribution and y, y' of the other,

    D^2 = 2 E|x - y| - E|x - x'| - E|y - y'|                                       (Szekely and Rizzo 2013, eq. 1.1)

is zero only if the distributions are the same. It is the MMD^2 of the kernel -|x - y|, so the estimates are those of
`maximum_mean_discrepancy`: with all pairs (never negative), or unbiased. SciPy's `energy_distance`, of numbers, is the
root of the former.

Reference:
    G. Szekely, M. Rizzo, "Energy statistics: a class of statistics based on distances", J. Stat. Plan. Inference 143
    (2013).
"""

import keras
import numpy as np

from keras_gen.metrics.kernel import ReservoirMetric, pair_mean, squared_distances
from keras_gen.metrics.sets import pair


def _distances(x, y):
    return np.sqrt(squared_distances(x, y))


def energy_distance(real, generated, unbiased=False):
    """D^2 = 2 E|x - y| - E|x - x'| - E|y - y'| of two sets of vectors, `(n, d)` and `(m, d)`.

    Args:
        unbiased: leave out the pairs of a row with itself; the estimate may then be negative.

    Returns:
        A float, the unit of the data.

    Raises:
        ValueError: fewer than two rows, widths that differ, NaN.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import energy_distance
        >>> energy_distance(np.zeros((4, 1)), np.ones((4, 1)))
        2.0

    Reference:
        Szekely and Rizzo 2013, eq. 1.1.
    """
    real, generated = (x.astype("float64") for x in pair(real, generated, least=2))
    centre = real.mean(axis=0)
    real, generated = real - centre, generated - centre
    own = [pair_mean(_distances, x) * (1.0 if unbiased else 1.0 - 1.0 / len(x)) for x in (real, generated)]
    return float(2.0 * pair_mean(_distances, real, generated) - sum(own))


@keras.saving.register_keras_serializable(package="keras_gen")
class EnergyDistance(ReservoirMetric):
    """Energy distance of vectors, streamed.

    Args:
        extractor: data to features; None: the data are vectors.
        unbiased: as of `energy_distance`.
        capacity, sample_seed: as of `KernelInceptionDistance`.

    Example:
        >>> import warnings, numpy as np
        >>> from keras_gen.metrics import EnergyDistance, NotComparableWarning
        >>> warnings.simplefilter("ignore", NotComparableWarning)
        >>> metric = EnergyDistance()
        >>> metric.update_state(np.zeros((4, 1)), np.ones((4, 1)))
        >>> metric.result()
        2.0

    Reference:
        Szekely and Rizzo 2013, eq. 1.1.
    """

    def __init__(self, extractor=None, *, unbiased=False, capacity=10_000, sample_seed=0, name="energy_distance"):
        super().__init__(extractor, capacity, sample_seed, name)
        self.unbiased = unbiased

    def compute(self, real, generated):
        return energy_distance(real.rows, generated.rows, self.unbiased)

    def get_config(self):
        return {**super().get_config(), "unbiased": self.unbiased}
