"""Deep generative models as Keras 3 building blocks, on TensorFlow, JAX and PyTorch.

The rooms, each using only those before it::

    backend, random, integrate, distributions, layers, networks, losses, diffusion | mcmc, models, callbacks

with `metrics`, `datasets` and `plots` as leaves that any room may use. A room is loaded when it is first
named, so `import keras_gen` costs little more than `import keras`.
"""

from importlib import import_module
from importlib.util import find_spec

__version__ = "0.1.0"

_ROOMS = (
    "backend", "random", "integrate", "distributions", "layers", "networks", "losses", "diffusion", "mcmc",
    "models", "callbacks", "metrics", "datasets", "plots", "interop",
)  # fmt: skip


def __getattr__(name):
    """Load a room on first use (PEP 562)."""
    if name in _ROOMS and find_spec(f"{__name__}.{name}") is not None:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_ROOMS])
