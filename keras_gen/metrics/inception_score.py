"""The inception score.

With a classifier p(y given x) and p(y) = E_x p(y given x) over generated x,

    IS = exp( E_x KL( p(y given x) || p(y) ) ) = exp( H(y) - H(y given x) ),          (Salimans et al. 2016, section 4)

from 1 to the number of classes. It is taken in each of 10 parts of the samples; mean and standard deviation of the
parts are reported. Each part needs sums alone, of p(y given x) and of -H(y given x), so nothing grows with the samples.

Formulas without the exponential, or with the KL from the wrong side, are about. A check: of a classifier that is sure
of one of k classes, each as often, the score is k; of one that cannot tell, 1.

Which sample falls into which part: by default sample number i of a stream into part i mod 10, which needs no count in
advance. The programs of Salimans et al. and of torch-fidelity cut N samples into 10 consecutive blocks (torch-fidelity
after a shuffle): `num_samples=N` does. For samples that are independent of each other both are the same estimate.

Reference:
    T. Salimans, I. Goodfellow, W. Zaremba, V. Cheung, A. Radford, X. Chen, "Improved techniques for training GANs",
    arXiv:1606.03498 (2016), section 4.
    S. Barratt, R. Sharma, "A note on the inception score", arXiv:1801.01973 (2018).
"""

import keras
import numpy as np

from keras_gen.metrics.sets import SetMetric, check_count, rows


def _log_softmax(logits):
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


class _Parts:
    """For each part: count, sum of p(y given x), sum of sum_y p log p."""

    def __init__(self, parts, total):
        self.parts, self.total = parts, total
        self.reset()

    def reset(self):
        self.count, self.counts = 0, np.zeros(self.parts, "int64")
        self.marginals, self.negentropies = None, np.zeros(self.parts)

    @property
    def width(self):
        return None if self.marginals is None else self.marginals.shape[1]

    def part_of(self, n):
        """The parts of the next n samples."""
        index = self.count + np.arange(n)
        if self.total is None:
            return index % self.parts
        edges = np.arange(1, self.parts + 1) * self.total // self.parts
        return np.searchsorted(edges, index, side="right")

    def update(self, logits):
        log_p = _log_softmax(logits.astype("float64"))
        p, part = np.exp(log_p), self.part_of(len(logits))
        if self.marginals is None:
            self.marginals = np.zeros((self.parts, p.shape[1]))
        negentropy = (p * log_p).sum(axis=1)
        for k in np.unique(part):
            self.marginals[k] += p[part == k].sum(axis=0)
            self.negentropies[k] += negentropy[part == k].sum()
            self.counts[k] += (part == k).sum()
        self.count += len(p)

    def merge(self, other):
        if other.count:
            self.marginals = other.marginals + (0.0 if self.marginals is None else self.marginals)
            self.negentropies, self.counts = self.negentropies + other.negentropies, self.counts + other.counts
            self.count += other.count

    def scores(self):
        """exp(E_x sum_y p log p - sum_y p(y) log p(y)) of each part."""
        if not self.counts.all():
            raise ValueError(
                f"Expected samples in each of {self.parts} parts. Received {self.counts.tolist()}: a metric that is "
                "merged from others takes enough in each."
            )
        marginal = self.marginals / self.counts[:, None]
        log_marginal = np.log(np.maximum(marginal, np.finfo("float64").tiny))
        return np.exp(self.negentropies / self.counts - (marginal * log_marginal).sum(axis=1))


def _logits(x, least=1):
    """`x` as checked logits; probabilities, whose softmax is nearly uniform, are refused."""
    x = rows(x, "logits", least=least)
    if x.shape[1] > 1 and x.min() >= 0.0 and np.abs(x.sum(axis=1, dtype="float64") - 1.0).max() < 1e-4:
        raise ValueError("Expected logits, before the softmax. Received probabilities: take their logarithm.")
    return x


def inception_score(logits, splits=10):
    """IS of generated samples: mean and standard deviation over `splits` consecutive blocks.

    Args:
        logits: `(n, k)` of a classifier, before the softmax.
        splits: number of blocks, default 10 (Salimans et al. 2016).

    Returns:
        Two floats, `(mean, std)`, between 1 and k.

    Raises:
        ValueError: fewer samples than splits, NaN, probabilities instead of logits.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import inception_score
        >>> logits = 100.0 * np.eye(5)[np.arange(100) % 5]  # sure of one of five classes
        >>> [round(value, 6) for value in inception_score(logits)]
        [5.0, 0.0]

    Reference:
        Salimans et al. 2016, section 4.
    """
    logits = _logits(logits, check_count("splits", splits))
    parts = _Parts(splits, len(logits))
    parts.update(logits)
    return float(parts.scores().mean()), float(parts.scores().std())


@keras.saving.register_keras_serializable(package="keras_gen")
class InceptionScore(SetMetric):
    """IS, streamed: `result()` is a dict of the mean over parts and its standard deviation, `inception_score_std`.

    Args:
        extractor: images to `{"logits": ...}`, or to an array of logits; None: the data are logits.
        splits: number of parts, default 10.
        num_samples: N; the parts are consecutive blocks of N samples, as published programs have them. None: sample i
            falls into part i mod `splits`.

    Example:
        >>> import warnings, numpy as np
        >>> from keras_gen.metrics import InceptionScore, NotComparableWarning
        >>> warnings.simplefilter("ignore", NotComparableWarning)
        >>> score = InceptionScore(splits=2)
        >>> score.update_state(generated=100.0 * np.eye(5)[np.arange(100) // 2 % 5])
        >>> {name: round(value, 6) for name, value in score.result().items()}
        {'inception_score': 5.0, 'inception_score_std': 0.0}

    Reference:
        Salimans et al. 2016, arXiv:1606.03498, section 4.
    """

    needs = "logits"
    sides = ("generated",)

    def __init__(self, extractor=None, *, splits=10, num_samples=None, name="inception_score"):
        check_count("splits", splits)
        self._cut = splits, num_samples if num_samples is None else check_count("num_samples", num_samples, splits)
        super().__init__(extractor, name=name)
        self.splits, self.num_samples, self.least = splits, num_samples, splits

    def make_summary(self):
        return _Parts(*self._cut)

    def update_features(self, real=None, generated=None):
        """Takes logits `(n, k)`; those of real data are not needed."""
        if generated is None:
            return
        generated = _logits(generated)
        count = self._generated.count + len(generated)
        if self.num_samples is not None and count > self.num_samples:
            raise ValueError(f"Expected `num_samples`={self.num_samples} samples in all. Received {count}.")
        super().update_features(None, generated)

    def merge_state(self, metrics):
        metrics = list(metrics)
        if self.num_samples is not None and metrics:
            raise ValueError("Blocks of `num_samples` do not merge. Leave `num_samples` away to merge scores.")
        super().merge_state(metrics)

    def result(self):
        if self.num_samples not in (None, self._generated.count):
            raise ValueError(f"Expected `num_samples`={self.num_samples} samples. Received {self._generated.count}.")
        return super().result()

    def compute(self, real, generated):
        scores = generated.scores()
        return {self.name: float(scores.mean()), f"{self.name}_std": float(scores.std())}

    def get_config(self):
        return {**super().get_config(), "splits": self.splits, "num_samples": self.num_samples}
