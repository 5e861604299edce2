"""What metrics over two sets have in common: a real and a generated side, each seen batch by batch.

A distance between two sets is a function of two summaries, one of each set. A summary takes batches of features and
forgets them: `Moments` keeps count, mean and scatter, `Reservoir` keeps rows, a uniform sample of at most `capacity`.
Two summaries of parts of a set merge into the summary of the set, so that streams, batches and processes agree.

With n rows of mean m and scatter M = sum (x - m)(x - m)^T, and n', m', M' of further rows,

    mean       m + (m' - m) n' / (n + n')
    scatter    M + M' + (m' - m)(m' - m)^T n n' / (n + n')                                (Chan et al., eq. 2.1)

Summaries are float64 arrays of the host: JAX has no float64 by default, and moments in float32 cannot give a distance
to five digits. So these metrics stand beside a training step, not in it.

Reference:
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
    Stanford STAN-CS-79-773 (1979).
    J. S. Vitter, "Random sampling with a reservoir", ACM TOMS 11 (1985), algorithm R.
"""

import copy
import warnings

import keras
import numpy as np

COMPARABLE = 10_000  # samples below which published protocols call no figure comparable
_ROWS = 1024


class NotComparableWarning(UserWarning):
    """A figure that is legal but not comparable with published ones."""


def warn(message):
    """Warns whoever called the method that calls this by way of another."""
    warnings.warn(message, NotComparableWarning, stacklevel=4)


def values(x, name="x"):
    """`x` on the host, as an array; a tracer of a compiled function is refused."""
    if x is None:
        raise ValueError(f"Expected `{name}` as an array. Received None.")
    try:
        x = np.asarray(keras.ops.convert_to_numpy(x))
    except Exception as error:
        raise ValueError(
            f"Expected `{name}` as an array of numbers that are known. Received {type(x).__name__}. Metrics over whole "
            "sets cannot stand inside a compiled step: call `update_state` between steps, or use "
            "`keras_gen.callbacks.SampleMetrics` in `fit`."
        ) from error
    return x.astype("float32") if x.dtype.name == "bfloat16" else x


def rows(x, name="features", width=None, least=1):
    """`x` as a matrix `(n, d)` of finite floats with at least `least` rows, of `width` columns if that is known."""
    x = values(x, name)
    if x.ndim != 2 or x.dtype.kind not in "fiub" or not x.shape[1]:
        raise ValueError(
            f"Expected `{name}` as numbers of shape (n, d), a row for each example. Received shape {x.shape} and dtype "
            f"{x.dtype}." + " Images need a metric with an `extractor`." * (x.ndim == 4)
        )
    if width is not None and x.shape[1] != width:
        raise ValueError(f"Expected `{name}` with {width} columns, as before. Received shape {x.shape}.")
    if len(x) < least:
        raise ValueError(f"Expected at least {least} rows in `{name}`. Received {len(x)}.")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(axis=1).sum())
        raise ValueError(f"Expected finite `{name}`. Received NaN or infinity in {bad} of {len(x)} rows.")
    return x if x.dtype in (np.float32, np.float64) else x.astype("float64")


def check_count(name, value, least=1):
    """`value` as an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"Expected `{name}` as an integer of at least {least}. Received {value!r}.")
    return int(value)


def pair(real, generated, least=1):
    """Both sets as checked matrices of the same width."""
    real = rows(real, "real", least=least)
    return real, rows(generated, "generated", width=real.shape[1], least=least)


class Moments:
    """Count, mean and scatter of the rows seen, float64; d^2 numbers however many the rows."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.count, self.mean, self.scatter = 0, None, None

    @property
    def width(self):
        return None if self.mean is None else len(self.mean)

    def update(self, x):
        for i in range(0, len(x), _ROWS):
            block = x[i : i + _ROWS].astype("float64")
            mean = block.mean(axis=0)
            block -= mean
            self._add(len(block), mean, block)

    def merge(self, other):
        if other.count:
            self._add(other.count, other.mean, np.zeros((0, other.width)))
            self.scatter += other.scatter

    def _add(self, count, mean, centred):
        """The rows `mean + centred`; the last term of the scatter travels as one more row."""
        if self.mean is None:
            self.mean, self.scatter = np.zeros(len(mean)), np.zeros((len(mean), len(mean)))
        share, shift = count / (self.count + count), mean - self.mean
        centred = np.concatenate([centred, shift[None] * np.sqrt(self.count * share)])
        self.scatter += centred.T @ centred
        self.mean = self.mean + share * shift
        self.count += count


class Reservoir:
    """All rows while they are at most `capacity`, else a uniform sample of so many, by `seed`."""

    def __init__(self, capacity, seed):
        self.capacity, self.seed = capacity, seed
        self.reset()

    def reset(self):
        self.count, self._parts = 0, []
        self._generator = np.random.default_rng(self.seed)

    @property
    def width(self):
        return self._parts[0].shape[1] if self._parts else None

    @property
    def rows(self):
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]

    def update(self, x):
        free = min(len(x), max(0, self.capacity - self.count))
        if free:
            self._parts.append(np.array(x[:free]))
            self.count += free
        self._replace(x[free:])

    def _replace(self, x):
        """Row number i, counted from 1, takes a place of the reservoir with probability capacity / i."""
        places = self._generator.integers(0, self.count + 1 + np.arange(len(x)))
        for row, place in zip(x, places, strict=True):
            if place < self.capacity:
                self.rows[place] = row
        self.count += len(x)

    def merge(self, other):
        """Exact while all rows fit; else each place is drawn from one side or the other by what is left of it."""
        if not other.count:
            return
        if self.count + other.count <= self.capacity:
            return self.update(other.rows)
        ours, theirs = (self.rows if self.count else other.rows[:0]), other.rows
        total, size = self.count + other.count, min(self.capacity, len(ours) + len(theirs))
        taken = int(self._generator.hypergeometric(self.count, other.count, size))
        taken = min(max(taken, size - len(theirs)), len(ours))
        chosen = [self._generator.permutation(len(ours))[:taken], self._generator.permutation(len(theirs))]
        self._parts = [np.concatenate([ours[chosen[0]], theirs[chosen[1][: size - taken]]])]
        self.count = total


class SetMetric(keras.metrics.Metric):
    """Base of metrics over a real and a generated set; a subclass gives `make_summary` and `compute`.

    Args:
        extractor: callable, images to features `(n, d)` or to a dict of them; None if the data are features already.
    """

    needs = "features"
    sides = ("real", "generated")
    keeps_real = True  # or whether the real data must be seen again for each generated set
    least = 1

    def __init__(self, extractor=None, name=None):
        super().__init__(name=name)
        if extractor is not None and not callable(extractor):
            raise ValueError(
                f"Expected `extractor` as a callable, images to features, or None. Received {extractor!r}. Ready ones "
                "are in `keras_gen.metrics.extractors`."
            )
        self.extractor = extractor
        self._real, self._generated = self.make_summary(), self.make_summary()

    def make_summary(self):
        """An empty summary with `update`, `merge`, `reset`, `count` and `width`."""
        raise NotImplementedError

    def compute(self, real, generated):
        """The figure of two summaries."""
        raise NotImplementedError

    def update_state(self, real=None, generated=None, **unknown):
        """Takes a batch of data of either side, or of both; their sizes need not agree."""
        self.refuse(unknown)
        given = {"real": real, "generated": generated}
        self.update_features(**{side: self.extract(x) if side in self.sides else None for side, x in given.items()})

    def refuse(self, unknown):
        """`compile(metrics=...)` passes sample weights, which whole sets do not have."""
        if unknown:
            raise ValueError(
                f"Expected `real` and `generated` data. Received also {sorted(unknown)}. {self.name} is of whole sets "
                "and takes no weights: it does not belong into `compile(metrics=...)`; use "
                "`keras_gen.callbacks.SampleMetrics` in `fit`."
            )

    def extract(self, data):
        """The features of a batch of data; None gives None."""
        return data if data is None or self.extractor is None else self.choose(self.extractor(data))

    def choose(self, found):
        """Of what an extractor gave that which this metric needs: features or logits."""
        if not isinstance(found, dict):
            return found
        if self.needs not in found:
            raise ValueError(
                f"Expected {self.needs!r} for {self.name}. Received what has {sorted(found)}: choose an extractor that "
                "gives them."
            )
        return found[self.needs]

    def update_features(self, real=None, generated=None):
        """Takes features that are extracted already, `(n, d)`."""
        for side, x in self.check_features(real, generated).items():
            getattr(self, f"_{side}").update(x)

    def check_features(self, real, generated):
        """Those given, by side, as checked matrices of the width that was seen before."""
        given = {side: x for side, x in (("real", real), ("generated", generated)) if x is not None}
        if not given:
            raise ValueError("Expected a batch of `real`, of `generated`, or of both. Received neither.")
        width = self._real.width or self._generated.width
        for side, x in given.items():
            given[side] = rows(x, side, width)
            width = given[side].shape[1]
        return given

    def result(self):
        """The figure of all that was seen since the last reset."""
        for name in self.sides:
            count = getattr(self, f"_{name}").count
            if count < self.least:
                raise ValueError(f"Expected at least {self.least} {name} examples before `result`. Received {count}.")
        self.warn_of_what_is_not_comparable()
        return self.compute(self._real, self._generated)

    def warn_of_what_is_not_comparable(self):
        count = min(getattr(self, f"_{name}").count for name in self.sides)
        if count < COMPARABLE:
            warn(f"{self.name} of {count} samples is not comparable with published figures, of {COMPARABLE} and more.")
        if self.extractor is not None and not getattr(self.extractor, "is_reference", False):
            kind = getattr(self.extractor, "__name__", type(self.extractor).__name__)
            name = getattr(self.extractor, "name", kind)
            warn(f"{self.name}: the extractor {name} is not the Inception of published figures.")

    @property
    def has_real(self):
        """Whether the real side has been seen, and is kept."""
        return self.keeps_real and self._real.count > 0

    def reset_state(self):
        """Forgets both sides."""
        self._real.reset()
        self._generated.reset()

    def reset_generated(self):
        """Forgets the generated side; the real one stays, so that it is extracted once for many figures."""
        self._generated.reset()

    def merge_state(self, metrics):
        """Takes over what other metrics of the same kind have seen: then the figure is that of all together.

        Args:
            metrics: metrics of this class and configuration.

        Raises:
            ValueError: one of another class, or of features of another width.
        """
        for other in metrics:
            if type(other) is not type(self):
                raise ValueError(f"Expected metrics of {type(self).__name__}. Received {type(other).__name__}.")
            widths = {s.width for m in (self, other) for s in (m._real, m._generated)} - {None}
            if len(widths) > 1:
                raise ValueError(f"Expected features of one width. Received {sorted(widths)}.")
        for other in metrics:
            self._real.merge(other._real)
            self._generated.merge(other._generated)

    def get_summaries(self):
        """Copies of the two summaries, for `set_summaries`: what a checkpoint of this metric holds."""
        return copy.deepcopy((self._real, self._generated))

    def set_summaries(self, summaries):
        self._real, self._generated = copy.deepcopy(summaries)

    def get_config(self):
        extractor = self.extractor
        if extractor is not None:
            extractor = keras.saving.serialize_keras_object(extractor)
        return {"extractor": extractor, "name": self.name}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if config.get("extractor") is not None:
            config["extractor"] = keras.saving.deserialize_keras_object(config["extractor"])
        return cls(**config)
