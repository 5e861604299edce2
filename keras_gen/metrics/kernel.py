"""Maximum mean discrepancy and the kernel inception distance.

With a kernel k and independent x, x' of the real and y, y' of the generated distribution,

    MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y).                                          (Gretton et al., lemma 6)

From n and m rows, the unbiased estimate leaves out the pairs of a row with itself (eq. 3),

    1/(n(n-1)) sum_{i != j} k(x_i, x_j) + 1/(m(m-1)) sum_{i != j} k(y_i, y_j) - 2/(nm) sum_{i,j} k(x_i, y_j),

and may be negative; the biased one (eq. 5) takes all pairs, with n^2 and m^2, and is the squared distance of two means.
Sums are taken over blocks of rows, so that memory does not grow with n m.

The KID is MMD^2 of Inception features in R^d with k(x, y) = (x . y / d + 1)^3, unbiased, averaged over subsets of 1000
(Binkowski et al. 2018, section 3.2 and 4). Its expectation does not depend on n, as that of the FID does. Subsets are
drawn by `numpy.random.RandomState(2020)`, whose stream never changes, in the order of torch-fidelity: the same features
give the same subsets there and here.

Reference:
    A. Gretton, K. Borgwardt, M. Rasch, B. Schoelkopf, A. Smola, "A kernel two-sample test", JMLR 13 (2012).
    M. Binkowski, D. J. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", arXiv:1801.01401 (2018).
"""

import keras
import numpy as np

from keras_gen.metrics.sets import Reservoir, SetMetric, check_count, pair

_BLOCK = 1024


def squared_distances(x, y):
    """|x_i - y_j|^2, `(n, m)`, by one matrix product: to rounding of |x|^2, so centre first; never negative."""
    product = x @ y.T
    product *= -2.0
    product += np.einsum("id,id->i", x, x)[:, None]
    product += np.einsum("jd,jd->j", y, y)
    return np.maximum(product, 0.0, out=product)


def polynomial_kernel(x, y, degree=3, scale=None, offset=1.0):
    """(scale x . y + offset)^degree of all pairs, `(n, m)`; `scale` is 1 / d by default, as of the KID."""
    return (x @ y.T * (1.0 / x.shape[1] if scale is None else scale) + offset) ** degree


class GaussianKernel:
    """sum_h exp(-|x - y|^2 / (2 h^2)) over the bandwidths h, `(n, m)`."""

    def __init__(self, bandwidths):
        self.bandwidths = bandwidths

    def __call__(self, x, y):
        squared = squared_distances(x, y)
        return sum(np.exp(squared / (-2.0 * h * h)) for h in self.bandwidths)


def blocks(n):
    """Slices that cover n rows: what is held at once."""
    return [slice(i, i + _BLOCK) for i in range(0, n, _BLOCK)]


def pair_mean(function, x, y=None):
    """Mean of `function` over all pairs of rows; without `y`, over pairs of different rows of `x`."""
    other = x if y is None else y
    total = sum(function(x[i], other[j]).sum() for i in blocks(len(x)) for j in blocks(len(other)))
    if y is not None:
        return total / (len(x) * len(y))
    own = sum(np.trace(function(x[i], x[i])) for i in blocks(len(x)))
    return (total - own) / (len(x) * (len(x) - 1))


def _mmd(real, generated, kernel, unbiased=True):
    same = [pair_mean(kernel, x) if unbiased else pair_mean(kernel, x, x) for x in (real, generated)]
    return float(sum(same) - 2.0 * pair_mean(kernel, real, generated))


def median_distance(real, generated, most=1000):
    """Median of the distances of different rows of both sets together (the first `most` of each): a bandwidth."""
    x = np.concatenate([real[:most], generated[:most]]).astype("float64")
    x = x - x.mean(axis=0)
    distances = np.sqrt(squared_distances(x, x)[np.triu_indices(len(x), 1)])
    return float(np.median(distances)) or 1.0


def _kernel(kernel, bandwidth, real, generated):
    if callable(kernel):
        return kernel
    if kernel == "polynomial":
        return polynomial_kernel
    if kernel != "gaussian":
        raise ValueError(
            f"Expected `kernel` as 'gaussian', 'polynomial' or a function of two matrices. Received {kernel!r}."
        )
    h = median_distance(real, generated) if bandwidth is None else bandwidth
    bandwidths = np.atleast_1d(h).tolist()
    if not all(isinstance(b, (int, float)) and b > 0 and np.isfinite(b) for b in bandwidths):
        raise ValueError(f"Expected `bandwidth` as positive numbers. Received {bandwidth!r}.")
    return GaussianKernel(bandwidths)


def maximum_mean_discrepancy(real, generated, kernel="gaussian", bandwidth=None, unbiased=True):
    """MMD^2 of two sets of vectors, `(n, d)` and `(m, d)`.

    Args:
        kernel: "gaussian", "polynomial" (that of the KID), or a function `(n, d), (m, d) -> (n, m)`.
        bandwidth: h of exp(-|x - y|^2 / (2 h^2)), or several, whose kernels are added; default the median distance of
            different rows (Gretton et al. 2012, section 8), which depends on the data: give one to compare figures.
        unbiased: leave out the pairs of a row with itself (eq. 3); False gives eq. 5, which is never negative.

    Returns:
        A float.

    Raises:
        ValueError: fewer than two rows, widths that differ, NaN, an unknown kernel.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import maximum_mean_discrepancy
        >>> x = np.random.default_rng(0).normal(size=(400, 2))
        >>> mmd = maximum_mean_discrepancy(x[:200], x[200:] + 1.0, bandwidth=1.0)
        >>> exact = 1.0 / 3.0 * 2.0 * (1.0 - np.exp(-2.0 / 6.0))  # of N(0, I) and N(1, I) in the plane
        >>> bool(abs(mmd - exact) < 0.03)
        True

    Reference:
        Gretton et al. 2012, eq. 3 and 5.
    """
    real, generated = (x.astype("float64") for x in pair(real, generated, least=2))
    centre = real.mean(axis=0) if kernel == "gaussian" else 0.0
    real, generated = real - centre, generated - centre
    return _mmd(real, generated, _kernel(kernel, bandwidth, real, generated), unbiased)


def kernel_inception_distance(real, generated, subsets=100, subset_size=1000, seed=2020):
    """KID of two sets of features: mean and standard deviation over `subsets` of the unbiased MMD^2.

    Args:
        real, generated: `(n, d)`, `(m, d)`, at least `subset_size` rows each.
        subsets, subset_size: default 100 and 1000 (Binkowski et al. 2018); `subsets=None` takes all pairs of all rows.
        seed: of the subsets; 2020 by default, as in torch-fidelity.

    Returns:
        Two floats, `(mean, std)`; the second is 0.0 without subsets.

    Raises:
        ValueError: too few rows, widths that differ, NaN.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import kernel_inception_distance
        >>> x = np.random.default_rng(0).normal(size=(200, 8))
        >>> mean, std = kernel_inception_distance(x, x + 1.0, subsets=10, subset_size=50)
        >>> round(mean), std > 0
        (8, True)

    Reference:
        Binkowski et al. 2018, section 4.
    """
    if subsets is None:
        real, generated = pair(real, generated, least=2)
        return _mmd(real.astype("float64"), generated.astype("float64"), polynomial_kernel), 0.0
    check_count("subsets", subsets)
    real, generated = pair(real, generated, least=check_count("subset_size", subset_size, 2))
    return _of_subsets(real, generated, subsets, subset_size, seed)


def _of_subsets(real, generated, subsets, size, seed):
    draw, found = np.random.RandomState(seed), []
    for _ in range(subsets):
        x = real[draw.choice(len(real), size, replace=False)].astype("float64")
        y = generated[draw.choice(len(generated), size, replace=False)].astype("float64")
        found.append(_mmd(x, y, polynomial_kernel))
    return float(np.mean(found)), float(np.std(found))


class ReservoirMetric(SetMetric):
    """A metric that needs rows: it keeps at most `capacity` of each side, a uniform sample where there are more."""

    least = 2

    def __init__(self, extractor=None, capacity=10_000, sample_seed=0, name=None):
        self._size = check_count("capacity", capacity, 2), sample_seed
        super().__init__(extractor, name=name)
        self.capacity, self.sample_seed = capacity, sample_seed

    def make_summary(self):
        return Reservoir(*self._size)

    def get_config(self):
        return {**super().get_config(), "capacity": self.capacity, "sample_seed": self.sample_seed}


@keras.saving.register_keras_serializable(package="keras_gen")
class KernelInceptionDistance(ReservoirMetric):
    """KID, streamed: `result()` is a dict of `kid`, the mean over subsets, and `kid_std`.

    Args:
        extractor: images to features; None: the data are features.
        subsets, subset_size: 100 subsets of 1000; `subsets=None`: all pairs of all rows.
        seed: of the subsets, default 2020, as of the function.
        capacity: rows kept of each side, default 10,000 (82 MB at d = 2048 in float32); beyond it a uniform sample.
        sample_seed: of that sample.

    Example:
        >>> import warnings, numpy as np
        >>> from keras_gen.metrics import KernelInceptionDistance, NotComparableWarning
        >>> warnings.simplefilter("ignore", NotComparableWarning)
        >>> x = np.random.default_rng(0).normal(size=(200, 8))
        >>> kid = KernelInceptionDistance(subsets=10, subset_size=50)
        >>> kid.update_state(x, x + 1.0)
        >>> {name: round(value) for name, value in kid.result().items()}
        {'kid': 8, 'kid_std': 1}

    Reference:
        Binkowski et al. 2018, arXiv:1801.01401, section 4.
    """

    def __init__(
        self, extractor=None, *, subsets=100, subset_size=1000, seed=2020, capacity=10_000, sample_seed=0, name="kid"
    ):
        least = 2 if subsets is None else check_count("subset_size", subset_size, 2)
        super().__init__(extractor, check_count("capacity", capacity, least), sample_seed, name)
        self.subsets = subsets if subsets is None else check_count("subsets", subsets)
        self.subset_size, self.seed, self.least = subset_size, seed, least

    def compute(self, real, generated):
        mean, std = kernel_inception_distance(
            real.rows, generated.rows, self.subsets, self.subset_size, self.seed
        )
        return {self.name: mean, f"{self.name}_std": std}

    def get_config(self):
        own = {"subsets": self.subsets, "subset_size": self.subset_size, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_gen")
class MaximumMeanDiscrepancy(ReservoirMetric):
    """MMD^2 of vectors, streamed; see `maximum_mean_discrepancy`.

    Args:
        extractor: data to features; None: the data are vectors.
        kernel, bandwidth, unbiased: as of the function.
        capacity, sample_seed: as of `KernelInceptionDistance`.

    Example:
        >>> import warnings, numpy as np
        >>> from keras_gen.metrics import MaximumMeanDiscrepancy, NotComparableWarning
        >>> warnings.simplefilter("ignore", NotComparableWarning)
        >>> x = np.random.default_rng(0).normal(size=(400, 2))
        >>> mmd = MaximumMeanDiscrepancy(bandwidth=1.0)
        >>> mmd.update_state(x[:200], x[200:] + 1.0)
        >>> round(mmd.result(), 1)
        0.2

    Reference:
        Gretton et al. 2012, eq. 3.
    """

    def __init__(
        self, extractor=None, *, kernel="gaussian", bandwidth=None, unbiased=True, capacity=10_000, sample_seed=0,
        name="mmd",
    ):  # fmt: skip
        two = np.zeros((2, 1))
        _kernel(kernel, bandwidth, two, two)
        super().__init__(extractor, capacity, sample_seed, name)
        self.kernel, self.unbiased = kernel, unbiased
        self.bandwidth = None if bandwidth is None else np.asarray(bandwidth).tolist()

    def compute(self, real, generated):
        return maximum_mean_discrepancy(real.rows, generated.rows, self.kernel, self.bandwidth, self.unbiased)

    def get_config(self):
        kernel = self.kernel if isinstance(self.kernel, str) else keras.saving.serialize_keras_object(self.kernel)
        own = {"kernel": kernel, "bandwidth": self.bandwidth, "unbiased": self.unbiased}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        if isinstance(config["kernel"], dict):
            config = {**config, "kernel": keras.saving.deserialize_keras_object(config["kernel"])}
        return super().from_config(config)
