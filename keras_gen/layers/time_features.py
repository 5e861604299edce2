"""Sinusoidal features of a number: how a denoising network is told the noise of its input.

A network cannot tell from one number l, added somewhere, both the coarse and the fine; waves of all lengths can:

    f(l) = (sin w_0 l, ..., sin w_(n-1) l, cos w_0 l, ..., cos w_(n-1) l),    w_i = s P^(-i/n),    n = size / 2.    (1)

**The frequencies.** Ho et al. give the step t = 0, 1, ..., 1000 with s = 1 and P = 10000. Here l is the log signal-to-
noise ratio log(alpha_t^2 / sigma_t^2) in [-20, 20], which says the same whatever the schedule and however many steps it
has. Kingma et al. map its range onto 0 ... 1000, so s = 1000 / 40 = 25:

    w_0 = 25,  a wave in 0.25 nats, the finest,    ...,    w_(n-1) ~ 0.0025,  a tenth of a radian over all 40: linear.

Phases reach 500. They are computed in float32 at least, where they are right to 3e-5; bfloat16 would round l = 17 to a
sixteenth, a phase of 1.6, so the layer does not let Keras cast its input, and the caller must not either.

Reference:
    A. Vaswani et al., "Attention is all you need", arXiv:1706.03762 (2017), section 3.5; J. Ho, A. Jain, P. Abbeel,
    "Denoising diffusion probabilistic models", arXiv:2006.11239 (2020), appendix B; D. P. Kingma, T. Salimans,
    B. Poole, J. Ho, "Variational diffusion models", arXiv:2107.00630 (2021), appendix B, for the log-SNR.
"""

import keras
import numpy as np
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class TimeFeatures(keras.layers.Layer):
    """`(sin w_i l, cos w_i l)`, `w_i = scale max_period^(-2i/size)`, of a number l.

    Args:
        size: number of features, even.
        scale: s, the highest frequency, in radians a unit of l. Default 25, for a log-SNR in [-20, 20]; 1 for steps
            0, 1, ..., 1000, and 1000 for times in [0, 1].
        max_period: P, the ratio of the longest wave to the shortest one, about. Default 10000, Vaswani's.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: floats of any shape, most often `(batch,)`, in float32: they are not cast to the compute dtype.

    Returns:
        Tensor `(*x.shape, size)` in the compute dtype, in [-1, 1].

    Raises:
        ValueError: a size that is no even positive integer, a scale or period that is not positive.

    Example:
        >>> from keras import ops
        >>> from keras_gen.layers import TimeFeatures
        >>> [round(float(v), 3) for v in TimeFeatures(4, scale=1.0)(ops.ones((1,)))[0]]
        [0.841, 0.01, 0.54, 1.0]

    Reference:
        Ho et al. 2020, arXiv:2006.11239, whose program has P^(-i/(n-1)); Kingma et al. 2021, arXiv:2107.00630.
    """

    def __init__(self, size, scale=25.0, max_period=10000.0, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        check_dtype(self.dtype_policy, type(self).__name__)
        self.size = positive_int(size, "size")
        if self.size % 2:
            raise ValueError(f"Expected `size` as an even integer, sines and cosines. Received: size={size!r}.")
        if not (scale > 0 and max_period > 0):
            raise ValueError(
                "Expected `scale` and `max_period` as positive numbers. "
                f"Received: scale={scale!r}, max_period={max_period!r}."
            )
        self.scale, self.max_period = float(scale), float(max_period)
        count = self.size // 2
        self.frequencies = self.scale * self.max_period ** (-np.arange(count) / count)

    def call(self, x):
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        phase = ops.cast(x, wide)[..., None] * ops.cast(self.frequencies, wide)
        return ops.cast(ops.concatenate([ops.sin(phase), ops.cos(phase)], axis=-1), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.size)

    def compute_output_spec(self, x):
        return keras.KerasTensor(self.compute_output_shape(x.shape), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "scale": self.scale, "max_period": self.max_period}
