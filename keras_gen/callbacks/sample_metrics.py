"""Metrics of fresh samples while a model trains, as logs like any other.

After an epoch, n samples are drawn by `model.sample`, whose stream is its own: training is the same to the bit with and
without this callback. The same seed each time makes the figures of two epochs differ by the model, not by the draw. The
figure of epoch e is a function of the weights after it, of the seed and of the reference: a resumed training finds it
again.
"""

import inspect

import keras
import numpy as np

from keras_gen.metrics.feeding import batches_of, feed, figures, takes
from keras_gen.metrics.sets import SetMetric, check_count


class SampleMetrics(keras.callbacks.Callback):
    """Reports metrics of fresh samples during `fit`, in the logs: `history`, `CSVLogger`, TensorBoard see them.

    The reference is extracted once, when training begins; samples go once through each distinct extractor, however many
    metrics share it. Callbacks that read a figure must come after this one, and Keras must be told its direction:
    `EarlyStopping("fid", mode="min")`.

    Figures are taken after the first epoch and then after each `every` epochs; in between the logs repeat the last
    ones, because Keras's callbacks expect a value in each epoch.

    Args:
        metrics: a metric, or a list of them: over sets (`FrechetInceptionDistance(extractor)`, ...), whose real side is
            kept from epoch to epoch; or of samples alone (`ModesCovered`).
        reference: real data: an array, a tuple `(x, labels)`, a dataset of batches, or a dict of stored features, what
            the extractor would make of them (`{"features": (N, d)}`). None (default) if nothing needs it, or if the
            metrics have been given it by `update_state(real=...)`.
        n: number of samples, default 10,000; published figures have 10,000 to 50,000. They are held in memory.
        every: epochs between figures, default 1.
        seed: of the samples, default 0; None draws other samples each time, and a resumed training finds other figures.
        condition: for a conditional model: one condition for all samples, or `n` of them. Class-wise metrics take them
            as labels, and those of the reference from its tuple or dataset.
        batch_size: samples drawn and extracted at once, default 256.
        prefix: put before the names of the figures, default "".
        **sample_arguments: further arguments of `model.sample`, such as `temperature`.

    Raises:
        ValueError: an argument out of its range; a reference that is missing, empty or does not fit; two figures of one
            name, or one that the logs have already.

    Example:
        >>> import warnings, numpy as np
        >>> from keras_gen.callbacks import SampleMetrics
        >>> from keras_gen.metrics import EnergyDistance, NotComparableWarning
        >>> from keras_gen.models import VAE
        >>> warnings.simplefilter("ignore", NotComparableWarning)  # 50 samples
        >>> x = np.random.default_rng(0).uniform(size=(64, 4))
        >>> model = VAE((4,), latent_dim=2, seed=0)
        >>> model.compile()
        >>> reports = SampleMetrics(EnergyDistance(), x, n=50)
        >>> history = model.fit(x, epochs=2, verbose=0, callbacks=[reports])
        >>> len(history.history["energy_distance"])
        2
    """

    def __init__(
        self, metrics, reference=None, *, n=10_000, every=1, seed=0, condition=None, batch_size=256, prefix="",
        **sample_arguments,
    ):
        super().__init__()
        self.metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]
        for name, value in (("n", n), ("every", every), ("batch_size", batch_size)):
            check_count(name, value)
        if not self.metrics or not all(isinstance(m, keras.metrics.Metric) for m in self.metrics):
            raise ValueError(f"Expected `metrics` as Keras metrics. Received: {metrics!r}.")
        for metric in self.metrics:
            _check_takes_samples(metric)
        self.reference, self.n, self.every, self.seed = reference, int(n), int(every), seed
        self.condition, self.batch_size, self.prefix = condition, int(batch_size), prefix
        self.sample_arguments = sample_arguments
        self._last = None

    def on_train_begin(self, logs=None):
        self._last = None
        needing = [m for m in self.metrics if takes(m, "real")]
        if self.reference is None:
            _check_filled(needing)
        elif kept := [m for m in needing if m.keeps_real]:
            for metric in kept:
                metric.reset_state()
            self._feed_reference(kept)
        _check_sizes([m for m in self.metrics if isinstance(m, SetMetric)], self.n)

    def on_epoch_end(self, epoch, logs=None):
        if self._last is None or (epoch + 1) % self.every == 0:
            self._last = {f"{self.prefix}{name}": value for name, value in self._figures().items()}
        if logs is not None:
            if again := sorted(logs.keys() & self._last.keys()):
                raise ValueError(f"Expected figures that the logs do not have yet. Received: {again}. Use `prefix`.")
            logs.update(self._last)

    def _figures(self):
        """The figures of fresh samples."""
        samples = self.model.sample(
            self.n, self.condition, seed=self.seed, batch_size=self.batch_size, verbose=self._verbose(),
            **self.sample_arguments,
        )  # fmt: skip
        for metric in self.metrics:
            metric.reset_generated() if isinstance(metric, SetMetric) else metric.reset_state()
        data = samples if self.condition is None else (samples, self._labels())
        batches, steps = batches_of(data, self.batch_size)
        feed(self.metrics, batches, "generated", steps, self._verbose())
        if streams := [m for m in self.metrics if takes(m, "real") and not m.keeps_real]:
            self._feed_reference(streams)
        return figures(self.metrics)

    def _feed_reference(self, metrics):
        batches, steps = batches_of(self.reference, self.batch_size)
        feed(metrics, batches, "real", steps, self._verbose())

    def _labels(self):
        """The condition of each sample."""
        condition = np.asarray(keras.ops.convert_to_numpy(self.condition))
        shape = self.model.condition_shape
        return np.broadcast_to(condition, (self.n, *condition.shape)) if condition.ndim == len(shape) else condition

    def _verbose(self):
        return "auto" if (self.params or {}).get("verbose") else 0

    def get_state(self):
        """The last figures, which the logs of the next epochs may repeat."""
        return {"last": self._last}

    def set_state(self, state):
        """Put back what `get_state` gave."""
        self._last = state["last"]


def _check_sizes(metrics, n):
    """Refuses before training what could give no figure after it."""
    for metric in metrics:
        known = takes(metric, "real") and metric.has_real
        if n < metric.least or (known and metric._real.count < metric.least):
            raise ValueError(
                f"Expected at least {metric.least} samples and real examples for {metric.name}. Received n={n}"
                + (f" and {metric._real.count} real ones." if known else ".")
            )


def _check_takes_samples(metric):
    """Refuses a metric of pairs: samples have no counterpart."""
    if not isinstance(metric, SetMetric):
        parameters = inspect.signature(metric.update_state).parameters.values()
        needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        if len(needed) > 1:
            raise ValueError(
                f"Expected metrics over sets, or of samples. Received {metric.name}, which needs {needed}: samples "
                "have no counterpart in the data. Put it into `compile(metrics=[...])`."
            )


def _check_filled(metrics):
    if missing := [m.name for m in metrics if not m.has_real]:
        kept = [m.name for m in metrics if m.name in missing and m.keeps_real]
        hint = f", or real data given to {kept} by `update_state(real=...)` before" if kept else ""
        raise ValueError(f"Expected a `reference` for {missing}{hint}. Received none.")
