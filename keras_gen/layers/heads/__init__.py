"""Distribution heads: layers that turn features into a distribution, and their names."""

from keras_gen.layers.heads.base import DistributionHead
from keras_gen.layers.heads.continuous import (
    LaplaceHead,
    LogisticHead,
    MultivariateNormalHead,
    NormalHead,
    StudentTHead,
)
from keras_gen.layers.heads.discrete import (
    BernoulliHead,
    CategoricalHead,
    DiscretizedLogisticHead,
    DiscretizedLogisticMixtureHead,
)
from keras_gen.layers.heads.flow import FlowHead

HEADS = {
    "bernoulli": BernoulliHead,
    "categorical": CategoricalHead,
    "discretized_logistic": DiscretizedLogisticHead,
    "discretized_logistic_mixture": DiscretizedLogisticMixtureHead,
    "laplace": LaplaceHead,
    "logistic": LogisticHead,
    "multivariate_normal": MultivariateNormalHead,
    "normal": NormalHead,
    "student_t": StudentTHead,
}


def get_head(identifier, event_shape, **options):
    """A distribution head, by name.

    Args:
        identifier: one of the names in `keras_gen.layers.heads.HEADS`, such as "normal", "bernoulli" or
            "discretized_logistic"; or a head, which is given back.
        event_shape: tuple of ints, the shape of one event.
        **options: further arguments of the head's constructor, such as `scale` or `bins`.

    Returns:
        `DistributionHead` of that event shape.

    Raises:
        ValueError: for an unknown name, or a given head of another event shape.

    Example:
    >>> from keras_gen.layers import get_head
    >>> type(get_head("normal", (2,), scale=0.1)).__name__
    'NormalHead'
    """
    if isinstance(identifier, DistributionHead):
        if options or identifier.event_shape != tuple(event_shape):
            raise ValueError(
                f"Expected a head of event_shape={tuple(event_shape)}, and options with a name only. "
                f"Received: {type(identifier).__name__} of {identifier.event_shape}, options={options}."
            )
        return identifier
    if not isinstance(identifier, str) or identifier not in HEADS:
        raise ValueError(f"Expected a distribution head or one of {sorted(HEADS)}. Received: {identifier!r}.")
    return HEADS[identifier](event_shape, **options)


__all__ = [
    "HEADS",
    "BernoulliHead",
    "CategoricalHead",
    "DiscretizedLogisticHead",
    "DiscretizedLogisticMixtureHead",
    "DistributionHead",
    "FlowHead",
    "LaplaceHead",
    "LogisticHead",
    "MultivariateNormalHead",
    "NormalHead",
    "StudentTHead",
    "get_head",
]
