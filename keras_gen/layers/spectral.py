"""Spectral normalisation: a linear map divided by its largest singular value, so that it is 1-Lipschitz.

With W the kernel as a matrix, all its axes but the output's in one (fan_in, units), sigma its largest singular value
and u a vector of outputs that follows the leading singular vector by power iteration,

    v = W u / |W u|,        u <- W^T v / |W^T v|,        sigma ~= v^T W u,

one iteration at each call in training; u and v are constants to the gradient, W is not, so that (Miyato, eq. 11-12)
the direction in which sigma grows is taken out of it. The layer's map is linear before its bias and activation:

    f((W / sigma) x + b) = f(W (x / sigma) + b),

so the input is divided by sigma, and the wrapped layer computes as ever. Nothing is written into a trainable weight
(as Keras's own wrapper does, whose kernel then drifts apart from what the optimizer holds); u alone is state.

For a convolution sigma of the reshaped kernel is not the norm of the map on images, which is at most as many times as
large as the kernel has taps, under a root (Miyato 2018, section 2.1, normalises the same matrix).

Reference:
    T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, "Spectral normalization for generative adversarial networks",
    arXiv:1802.05957 (2018), algorithm 1.
"""

import keras
from keras import ops

from keras_gen import backend
from keras_gen.backend import check_dtype
from keras_gen.layers.shapes import positive_int

_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_LINEAR = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, *_TRANSPOSED)
_TINY = 1e-12


@keras.saving.register_keras_serializable(package="keras_gen")
class SpectralNormalization(keras.layers.Layer):
    """The wrapped layer with W / sigma for W, sigma the largest singular value of the kernel as a matrix.

    Args:
        layer: a `Dense`, `Conv1D`, `Conv2D`, `Conv3D`, one of their transposes, or an `Embedding` of Keras.
        power_iterations: at each call in training, default 1 (the paper's).
        seed: of the first u, default None.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`; the dtype is the layer's by default.

    Call arguments:
        x: what the layer takes.
        training: bool; whether u moves.

    Returns:
        What the layer gives.

    Raises:
        ValueError: another layer, `power_iterations` no positive integer.

    Example:
        >>> import keras
        >>> from keras import ops
        >>> from keras_gen.layers import SpectralNormalization
        >>> layer = SpectralNormalization(keras.layers.Dense(2, kernel_initializer="ones", use_bias=False), seed=0)
        >>> _ = layer(ops.ones((1, 2)), training=True)  # W has the singular values 2 and 0
        >>> [round(float(v), 3) for v in ops.convert_to_numpy(layer(ops.ones((1, 2))))[0]]
        [1.0, 1.0]

    Reference:
        Miyato et al. 2018, arXiv:1802.05957, algorithm 1.
    """

    def __init__(self, layer, power_iterations=1, seed=None, **kwargs):
        if not isinstance(layer, (*_LINEAR, keras.layers.Embedding)):
            raise ValueError(
                "Expected `layer` as a Dense, Conv or Embedding layer of Keras: SpectralNormalization divides a linear "
                f"map. Received: {type(layer).__name__}."
            )
        super().__init__(**{"dtype": layer.dtype_policy, **kwargs})
        check_dtype(self.dtype_policy, type(self).__name__)
        self.layer, self.seed = layer, seed
        self.power_iterations = positive_int(power_iterations, "power_iterations")

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)
        normal = keras.initializers.RandomNormal(0.0, 1.0, seed=self.seed)
        self.u = self.add_weight(
            shape=(1, ops.shape(self._matrix())[1]), initializer=normal, trainable=False, autocast=False,
            aggregation="only_first_replica", name="u",
        )  # fmt: skip

    def call(self, x, training=False):
        sigma = self.sigma(training)
        if isinstance(self.layer, keras.layers.Embedding):
            y = self.layer(x)
            return y / ops.cast(sigma, y.dtype)
        x = ops.cast(x, self.compute_dtype)
        return self.layer(x / ops.cast(sigma, x.dtype))

    def sigma(self, training=False):
        """The largest singular value as far as u has found it, a float32 scalar; in training u moves first."""
        W = self._matrix()
        u = backend.no_grad(lambda: _unit(self.u.value))
        for _ in range(self.power_iterations if training else 0):
            u = backend.no_grad(lambda u=u: _unit(ops.matmul(_along(u, W), W)))
        if training:
            self.u.assign(u)
        v = backend.no_grad(lambda: _along(u, W))
        return ops.sum(ops.matmul(v, W) * u)

    def _matrix(self):
        """The kernel as `(fan_in, units)`, in float32 at least whatever the precision of the layer."""
        embedding = isinstance(self.layer, keras.layers.Embedding)
        kernel = ops.convert_to_tensor(self.layer.embeddings if embedding else self.layer.kernel)
        kernel = ops.cast(kernel, keras.backend.result_type(kernel.dtype, "float32"))
        if isinstance(self.layer, _TRANSPOSED):
            kernel = ops.swapaxes(kernel, -1, -2)
        return ops.reshape(kernel, (-1, kernel.shape[-1]))

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer, "power_iterations": self.power_iterations, "seed": self.seed}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})


def _unit(u):
    return u / (ops.sqrt(ops.sum(u**2)) + _TINY)


def _along(u, W):
    """v = W u / |W u|, as a row."""
    return _unit(ops.matmul(u, ops.transpose(W)))
