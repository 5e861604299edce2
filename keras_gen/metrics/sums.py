"""What metrics whose state is sums over examples have in common.

If S(A) is a sum over the examples of a set A, then S(A and B) = S(A) + S(B) for disjoint A and B: the metric of both
parts is that of the added states. So it is for batches, replicas and processes.
"""

import keras
from keras import ops


class SumMetric(keras.metrics.Metric):
    """Base of metrics all of whose variables are sums over examples."""

    def merge_state(self, metrics):
        """Add what other metrics of the same kind have seen.

        Args:
            metrics: an iterable of metrics of this class with the same configuration, but for name and dtype.

        Raises:
            ValueError: another class or configuration.
        """
        metrics = list(metrics)
        for metric in metrics:
            if type(metric) is not type(self) or _settings(metric) != _settings(self):
                raise ValueError(
                    f"Expected metrics of the class {type(self).__name__} with {_settings(self)}. Received: "
                    f"{type(metric).__name__} with {_settings(metric) if isinstance(metric, SumMetric) else None}."
                )
        for metric in metrics:
            for ours, theirs in zip(self.variables, metric.variables, strict=True):
                ours.assign(ours + ops.cast(theirs.value, ours.dtype))


def _settings(metric):
    return {k: v for k, v in metric.get_config().items() if k not in ("name", "dtype")}
