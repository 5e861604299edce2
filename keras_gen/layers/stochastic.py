"""The reparameterised draw of a diagonal normal.

With v = log s^2 the log-variance and e standard normal,

    z = m + exp(v / 2) e,        dz/dm = 1,    dz/dv = (z - m) / 2

so that a gradient passes through the draw into m and v, the noise standing still.
"""

import keras
from keras import ops

from keras_gen import random
from keras_gen.backend import check_dtype


@keras.saving.register_keras_serializable(package="keras_gen")
class Sampling(keras.layers.Layer):
    """Draws `z = mean + exp(log_variance / 2) * noise`, with standard normal noise.

    The noise is fresh at every call, by training and by inference alike: `training=False` does not turn the
    layer into its mean (take `mean` itself for that). It is computed in float32 at least, and cast to the
    compute dtype at the end.

    Args:
        seed: integer of the layer's own `SeedGenerator`, or None (default) for a random one.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        inputs: the pair `[mean, log_variance]` of tensors of one shape `(batch, ...)`.

    Returns:
        Tensor of that shape.

    Raises:
        ValueError: where the inputs are no pair, or their shapes differ.

    Example:
    >>> from keras import ops
    >>> from keras_gen.layers import Sampling
    >>> tuple(Sampling(seed=1)([ops.zeros((5, 2)), ops.zeros((5, 2))]).shape)
    (5, 2)

    Reference:
        Kingma, Welling (2013), arXiv:1312.6114, section 2.4.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        check_dtype(self.dtype_policy, type(self).__name__)
        self.seed = seed
        self.seed_generator = random.Noise(seed)

    def build(self, input_shape):
        _pair(input_shape)

    def call(self, inputs):
        mean, log_variance = inputs
        dtype = keras.backend.result_type(mean.dtype, log_variance.dtype, "float32")
        mean, log_variance = ops.cast(mean, dtype), ops.cast(log_variance, dtype)
        noise = self.seed_generator.normal(ops.shape(mean), dtype=dtype)
        return ops.cast(mean + ops.exp(0.5 * log_variance) * noise, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return _pair(input_shape)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def _pair(shapes):
    """The one shape of `[mean, log_variance]`."""
    is_pair = len(shapes) == 2 and all(isinstance(shape, (tuple, list)) for shape in shapes)
    if not is_pair or tuple(shapes[0]) != tuple(shapes[1]):
        raise ValueError(
            f"Sampling expects [mean, log_variance], two tensors of one shape. Received: shapes {shapes}."
        )
    return tuple(shapes[0])
