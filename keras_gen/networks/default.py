"""The networks that a model takes where none are given, chosen by the shape of the data.

Vectors, and images up to 8 pixels high and wide, are flattened: two dense layers of 200, those of Burda,
Grosse, Salakhutdinov (2015), arXiv:1509.00519. Larger images take as many halvings as lead to 8 pixels or
fewer, with 32, 64, 128, 256, 256, ... filters: 28x28 comes to 14x14x32 and 7x7x64.
"""

from keras_gen.layers.shapes import as_shape
from keras_gen.networks.convolutional import ConvDecoder, ConvEncoder
from keras_gen.networks.mlp import MLP

SMALLEST = 8
FIRST_FILTERS, MOST_FILTERS = 32, 256


def default_encoder(event_shape, units=(200, 200), filters=None, **options):
    """An encoder of data `(batch, *event_shape)` into features `(batch, features)`: `MLP` or `ConvEncoder`.

    Args:
        event_shape: tuple of ints, the shape of one example.
        units: tuple of ints, layers of a dense network. Default (200, 200).
        filters: tuple of ints, stages of a convolutional one. Default None: by the size, see the notes above.
        **options: `activation`, `dropout`, `normalization`, `kernel_initializer`, `name`, `dtype`.

    Returns:
        A network, not yet built.

    Raises:
        ValueError: see `MLP` and `ConvEncoder`.

    Example:
    >>> from keras_gen.networks import default_encoder
    >>> [type(default_encoder(shape)).__name__ for shape in [(2,), (8, 8, 1), (28, 28, 1)]]
    ['MLP', 'MLP', 'ConvEncoder']
    """
    event_shape = as_shape(event_shape, "event_shape")
    if not is_large_image(event_shape):
        return MLP(units, **options)
    return ConvEncoder(filters or default_filters(event_shape), **options)


def default_decoder(event_shape, units=(200, 200), filters=None, skip=False, **options):
    """A decoder of latents into features for a distribution head of `event_shape`: `MLP` or `ConvDecoder`.

    Args:
        event_shape: tuple of ints, the shape of one example.
        units: tuple of ints, layers of a dense network. Default (200, 200).
        filters: tuple of ints, stages of a convolutional one. Default None: those of the encoder, reversed.
        skip: whether the latent is led to every layer, default False.
        **options: `activation`, `dropout`, `normalization`, `kernel_initializer`, `name`, `dtype`.

    Returns:
        A network, not yet built.

    Raises:
        ValueError: see `MLP` and `ConvDecoder`.

    Example:
    >>> from keras_gen.networks import default_decoder
    >>> decoder = default_decoder((33, 17, 3))
    >>> decoder.compute_output_shape((None, 2))
    (None, 33, 17, 32)
    """
    event_shape = as_shape(event_shape, "event_shape")
    if not is_large_image(event_shape):
        return MLP(units, skip=skip, **options)
    return ConvDecoder(event_shape, filters or default_filters(event_shape)[::-1], skip=skip, **options)


def is_large_image(event_shape):
    """Whether data of this shape are images more than 8 pixels high or wide."""
    return len(event_shape) == 3 and max(event_shape[:2]) > SMALLEST


def default_filters(event_shape):
    """Filters of the encoder's stages."""
    stages, side = 0, max(event_shape[:2])
    while side > SMALLEST:
        stages, side = stages + 1, -(-side // 2)
    return tuple(min(FIRST_FILTERS * 2**i, MOST_FILTERS) for i in range(stages))
