"""Frechet distances between the Gaussians that two sets of features have for moments.

Between N(m, S) and N(m', S') the squared 2-Wasserstein distance is (Dowson and Landau 1982, eq. 4)

    d^2 = |m - m'|^2 + tr S + tr S' - 2 tr (S S')^(1/2).

The last trace needs no root of a matrix. With S = A A^T and S' = B B^T, the eigenvalues of S S' = A A^T B B^T are those
of (A^T B)(A^T B)^T, the squares of the singular values of A^T B, so that

    tr (S S')^(1/2) = sum_i sigma_i(A^T B).

A is Cholesky's factor, or U diag(l)^(1/2) of S = U diag(l) U^T where S is singular; B likewise. No factor is squared on
the way. Rounding perturbs a singular value by eps |A| |B|; it perturbs an eigenvalue of S S' by eps |S| |S'|, and the
root of an eigenvalue that should be zero by eps^(1/2). That is what implementations that take the root of the product
lose where covariances are singular (fewer samples than features) or ill-conditioned.

Heusel et al. 2017 (eq. 6) print the distance of features of an Inception network as the FID; covariances are unbiased
(divided by n - 1) in their program and here. The FID of n samples is biased upwards by about c / n, where c depends on
the model (Binkowski et al. 2018, section 3.2): figures compare at the same n alone.

Reference:
    D. C. Dowson, B. V. Landau, "The Frechet distance between multivariate normal distributions", J. Multivariate
    Anal. 12 (1982).
    M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler, S. Hochreiter, "GANs trained by a two time-scale update rule
    converge to a local Nash equilibrium", arXiv:1706.08500 (2017).
    T. Miyato, M. Koyama, "cGANs with projection discriminator", arXiv:1802.05637 (2018), section 5: the class-wise FID.
    M. Binkowski, D. J. Sutherland, M. Arbel, A. Gretton, "Demystifying MMD GANs", arXiv:1801.01401 (2018).
"""

import keras
import numpy as np

from keras_gen.metrics.sets import Moments, SetMetric, check_count, pair, rows, values


def _factor(covariance):
    """A with A A^T the covariance: Cholesky's, or of a singular one by eigenvalues (rounding's negatives are zero)."""
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        eigenvalues, vectors = np.linalg.eigh(covariance)
        vectors *= np.sqrt(np.clip(eigenvalues, 0.0, None))
        return vectors


def _overlap(scatter, other):
    """sum_i sigma_i(A^T B)"""
    product = _factor(scatter).T @ _factor(other)
    return np.linalg.svd(product, compute_uv=False).sum()


def frechet_distance(mean, covariance, other_mean, other_covariance):
    """Squared 2-Wasserstein distance of two Gaussians, |m - m'|^2 + tr S + tr S' - 2 tr (S S')^(1/2).

    Args:
        mean, other_mean: `(d,)`.
        covariance, other_covariance: `(d, d)`, symmetric and positive semi-definite; singular ones too.

    Returns:
        A float, the unit of the features squared.

    Raises:
        ValueError: shapes that do not fit, numbers that are not finite.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import frechet_distance
        >>> frechet_distance([0.0], [[1.0]], [3.0], [[4.0]])  # (0 - 3)^2 + (1 - 2)^2
        10.0

    Reference:
        Dowson and Landau 1982, eq. 4.
    """
    given = (mean, covariance, other_mean, other_covariance)
    mean, covariance, other_mean, other_covariance = given = [values(x).astype("float64", copy=False) for x in given]
    d = mean.shape[0] if mean.ndim == 1 else -1
    if [x.shape for x in given] != [(d,), (d, d)] * 2 or not all(np.isfinite(x).all() for x in given):
        raise ValueError(
            f"Expected two finite means (d,) and covariances (d, d). Received shapes {[x.shape for x in given]}."
        )
    difference, traces = mean - other_mean, np.trace(covariance) + np.trace(other_covariance)
    return float(difference @ difference + traces - 2.0 * _overlap(covariance, other_covariance))


def _of_moments(real, generated):
    """The same of scatters, which are not copied: S = M / (n - 1)."""
    difference, n, m = real.mean - generated.mean, real.count - 1, generated.count - 1
    traces = np.trace(real.scatter) / n + np.trace(generated.scatter) / m
    return float(difference @ difference + traces - 2.0 * _overlap(real.scatter, generated.scatter) / np.sqrt(n * m))


def _moments(features):
    summary = Moments()
    summary.update(features)
    return summary


def frechet_inception_distance(real, generated):
    """FID of two sets of features, `(n, d)` each; the numbers of rows may differ.

    Returns:
        A float. It is the published FID if the features are those of `extractors.FIDInception` with its weights.

    Raises:
        ValueError: fewer than two rows, widths that differ, NaN.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import frechet_inception_distance
        >>> x = np.random.default_rng(0).normal(size=(100, 8))
        >>> round(frechet_inception_distance(x, x + 0.5), 6)  # 8 x 0.25
        2.0

    Reference:
        Heusel et al. 2017, eq. 6.
    """
    real, generated = pair(real, generated, least=2)
    return _of_moments(_moments(real), _moments(generated))


@keras.saving.register_keras_serializable(package="keras_gen")
class FrechetInceptionDistance(SetMetric):
    """FID, streamed: count, mean and scatter of each side, 2 d^2 numbers whatever n.

    Args:
        extractor: images to features, for example `extractors.FIDInception(weights=path)`; None: data are features.

    Example:
        >>> import warnings, numpy as np
        >>> from keras_gen.metrics import FrechetInceptionDistance, NotComparableWarning
        >>> warnings.simplefilter("ignore", NotComparableWarning)  # 100 samples
        >>> x = np.random.default_rng(0).normal(size=(100, 8))
        >>> fid = FrechetInceptionDistance()
        >>> fid.update_state(real=x)
        >>> fid.update_state(generated=x[:50] + 0.5)
        >>> fid.update_state(generated=x[50:] + 0.5)
        >>> round(fid.result(), 6)
        2.0

    Reference:
        Heusel et al. 2017, arXiv:1706.08500, eq. 6.
    """

    least = 2

    def __init__(self, extractor=None, name="fid"):
        super().__init__(extractor, name=name)

    def make_summary(self):
        return Moments()

    def compute(self, real, generated):
        return _of_moments(real, generated)


class _ClassMoments:
    """Moments of the rows of each class."""

    def __init__(self, num_classes):
        self.classes = [Moments() for _ in range(num_classes)]

    @property
    def count(self):
        return sum(c.count for c in self.classes)

    @property
    def width(self):
        return next((c.width for c in self.classes if c.count), None)

    def reset(self):
        for c in self.classes:
            c.reset()

    def update(self, x, labels):
        for label in np.unique(labels):
            self.classes[label].update(x[labels == label])

    def merge(self, other):
        for ours, theirs in zip(self.classes, other.classes, strict=True):
            ours.merge(theirs)


def _labels(labels, n, num_classes, side):
    labels = values(labels, f"{side}_labels")
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    whole = labels.ndim == 1 and labels.size and labels.dtype.kind in "fiub" and np.all(labels == np.floor(labels))
    if labels.shape != (n,) or not whole or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"Expected `{side}_labels` as {n} integers from 0 to {num_classes - 1}. Received shape {labels.shape}"
            + (f" in [{labels.min()}, {labels.max()}]." if labels.size and labels.dtype.kind in "fiub" else ".")
        )
    return labels.astype("int64")


def classwise_frechet_inception_distance(real, real_labels, generated, generated_labels, num_classes=None):
    """Mean over classes of the FID within a class (intra-FID), and the FIDs `(num_classes,)`.

    Labels are integers; at least two rows of each class are needed on each side.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import classwise_frechet_inception_distance
        >>> x, y = np.random.default_rng(0).normal(size=(100, 4)), np.arange(100) % 2
        >>> shifted = x + y[:, None]  # class 1 is off by 1 in each of 4 features
        >>> mean, each = classwise_frechet_inception_distance(x, y, shifted, y)
        >>> round(mean, 6), [round(float(d), 6) + 0.0 for d in each]
        (2.0, [0.0, 4.0])

    Reference:
        Miyato and Koyama 2018, section 5.
    """
    if num_classes is None:
        num_classes = _labels(real_labels, len(rows(real, "real")), np.inf, "real").max() + 1
    metric = ClasswiseFrechetInceptionDistance(num_classes)
    metric.update_features(real, generated, real_labels, generated_labels)
    each = metric.each()
    return float(each.mean()), each


@keras.saving.register_keras_serializable(package="keras_gen")
class ClasswiseFrechetInceptionDistance(SetMetric):
    """Mean over classes of the FID within a class, streamed; num_classes x 2 d^2 numbers (10 x 67 MB at d = 2048).

    It sees what the FID of all classes together does not: images of the wrong class, and collapse within a class.

    Args:
        num_classes: number of classes; labels are integers below it.
        extractor: as of `FrechetInceptionDistance`.

    Example:
        >>> import warnings, numpy as np
        >>> from keras_gen.metrics import ClasswiseFrechetInceptionDistance, NotComparableWarning
        >>> warnings.simplefilter("ignore", NotComparableWarning)
        >>> x, y = np.random.default_rng(0).normal(size=(100, 4)), np.arange(100) % 2
        >>> metric = ClasswiseFrechetInceptionDistance(2)
        >>> metric.update_state(x, x + 1.0, real_labels=y, generated_labels=y)
        >>> round(metric.result(), 6)
        4.0

    Reference:
        Miyato and Koyama 2018, arXiv:1802.05637, section 5.
    """

    least = 2

    def __init__(self, num_classes, extractor=None, name="classwise_fid"):
        self._num_classes = check_count("num_classes", num_classes)
        super().__init__(extractor, name=name)
        self.num_classes = self._num_classes

    def make_summary(self):
        return _ClassMoments(self._num_classes)

    def update_state(self, real=None, generated=None, real_labels=None, generated_labels=None, **unknown):
        """Batches of data with the label of each example, `(batch,)` integers."""
        self.refuse(unknown)
        self.update_features(self.extract(real), self.extract(generated), real_labels, generated_labels)

    def update_features(self, real=None, generated=None, real_labels=None, generated_labels=None):
        checked = self.check_features(real, generated)
        given = {"real": real_labels, "generated": generated_labels}
        labels = {side: _labels(given[side], len(x), self.num_classes, side) for side, x in checked.items()}
        for side, x in checked.items():
            getattr(self, f"_{side}").update(x, labels[side])

    def each(self):
        """FID of each class, `(num_classes,)`."""
        for side in self.sides:
            poor = [i for i, c in enumerate(getattr(self, f"_{side}").classes) if c.count < 2]
            if poor:
                raise ValueError(f"Expected at least two {side} examples of each class. Received fewer of {poor}.")
        return np.array([_of_moments(r, g) for r, g in zip(self._real.classes, self._generated.classes, strict=True)])

    def compute(self, real, generated):
        return float(self.each().mean())

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
