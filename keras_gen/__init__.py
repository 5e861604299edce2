"""Deep generative models as Keras 3 building blocks, on TensorFlow, JAX and PyTorch.

The rooms, each using only those before it::

    backend, random, integrate, distributions, layers, networks, losses, diffusion, models, callbacks

with `metrics`, `datasets` and `plots` as leaves that any room may use. All are loaded here, so that
`keras.saving.load_model` knows every class; matplotlib is loaded when the first picture is made.
"""

from keras_gen import (
    backend,
    callbacks,
    datasets,
    diffusion,
    distributions,
    integrate,
    layers,
    losses,
    metrics,
    models,
    networks,
    plots,
    random,
)

__all__ = [
    "backend",
    "callbacks",
    "datasets",
    "diffusion",
    "distributions",
    "integrate",
    "layers",
    "losses",
    "metrics",
    "models",
    "networks",
    "plots",
    "random",
]

__version__ = "0.1.0"
