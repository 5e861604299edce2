"""What a model may be given as a density of its latents: the base of a flow, the prior of a VAE.

It is whatever has `generate` and `log_density`. What it says of itself is checked when the model is made: the shape of
its events, and whether log p(z) has a gradient in z, which training needs. A density of levels, or of labels, has none.
"""

from keras_gen.distributions import Distribution


def check_density(density, name, latent_shape):
    """`density`, or None, if it can be one of latents of this shape.

    Raises:
        ValueError: no `generate` or no `log_density`; a class; events of another shape; a batch; discrete events.
    """
    if density is None:
        return None
    if isinstance(density, type) or not (hasattr(density, "generate") and hasattr(density, "log_density")):
        raise ValueError(
            f"Expected `{name}` with `generate` and `log_density`, such as `distributions.Normal(zeros, 1.0, "
            f"event_shape=shape)`, and an instance, not a class. Received: {name}={density!r}."
        )
    _check_events(density, name, tuple(latent_shape))
    if is_discrete(density):
        raise ValueError(
            f"Expected `{name}` as a density of continuous events, with a gradient in them. Received: {name}="
            f"{density!r}, whose events are discrete. Give a flow no `levels`; take a continuous distribution."
        )
    return density


def _check_events(density, name, latent_shape):
    shape, batch = getattr(density, "event_shape", None), getattr(density, "batch_size", None)
    if (shape is not None and tuple(shape) != latent_shape) or batch not in (None, 1):
        raise ValueError(
            f"Expected `{name}` of events of the shape of z, {latent_shape}, without a batch. Received: "
            f"{type(density).__name__} of event_shape={shape} and a batch of {batch}. Give a distribution its "
            "`event_shape`: else axis 0 of its parameters is a batch."
        )


def is_discrete(density):
    """Whether events have levels or labels: of a flow, a distribution, or what a mixture or a flow is made of."""
    inner = getattr(density, "component", getattr(density, "base", None))
    if getattr(density, "levels", None) is not None or (inner is not None and is_discrete(inner)):
        return True
    return inner is None and isinstance(density, Distribution) and not density.reparameterized
