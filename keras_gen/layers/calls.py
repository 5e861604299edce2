"""What the `call` of a layer takes: networks that a user gives may have a `condition` or a `training`, or not."""

import functools
import inspect


def takes(network, argument):
    """Whether the `call` of a layer has an argument of this name."""
    return argument in _parameters(type(network))


@functools.cache
def _parameters(network_class):
    return tuple(inspect.signature(network_class.call).parameters)
