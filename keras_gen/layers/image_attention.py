"""Self-attention between all pixels of an image, or all tokens of a set.

Each position gives a query, a key and a value in each of H heads of size d, linear in x_i,

    y_i = W_o [ sum_j a_ij v_j ],        a_ij = softmax_j ( q_i . k_j / sqrt(d) ),

so that one layer carries what is anywhere to everywhere, where a convolution sees its neighbours. It knows no places:
a permutation of the positions permutes the output. N positions cost N^2: 49 pixels are cheap, 1024 are not.

W_o begins at zero where the layer writes into a sum, x + y: the block is then the identity (Dhariwal, Nichol 2021).

The products are written out and not those of a fused kernel, whose derivative most backends cannot differentiate
again: the divergence of a network, which likelihoods need, has to. The softmax is in float32 at least.

Reference:
    A. Vaswani et al., "Attention is all you need", arXiv:1706.03762 (2017), equation 1; X. Wang et al., "Non-local
    neural networks", arXiv:1711.07971 (2018), for images; P. Dhariwal, A. Nichol, "Diffusion models beat GANs on image
    synthesis", arXiv:2105.05233 (2021), section 3, for heads and zeros.
"""

import math

import keras
from keras import ops

from keras_gen.backend import check_dtype
from keras_gen.layers.shapes import positive_int


@keras.saving.register_keras_serializable(package="keras_gen")
class ImageAttention(keras.layers.Layer):
    """`y_i = W_o [ sum_j softmax_j(q_i . k_j / sqrt(d)) v_j ]`, every pixel to every pixel.

    Args:
        heads: H, which divides the channels; default 4.
        head_size: d, instead of `heads`, of as many heads as the channels hold; default None.
        output_initializer: of W_o, default "zeros": x + y begins as x.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Call arguments:
        x: images `(batch, height, width, channels)` or tokens `(batch, n, channels)`, of known sizes.

    Returns:
        Tensor of the shape of x.

    Raises:
        ValueError: heads that do not divide the channels; no positions.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from keras_gen.layers import ImageAttention
        >>> layer = ImageAttention(2, output_initializer="glorot_uniform")
        >>> x = np.random.default_rng(0).normal(size=(1, 3, 5, 8)).astype("float32")
        >>> y = ops.convert_to_numpy(layer(x))
        >>> bool(np.allclose(ops.convert_to_numpy(layer(x[:, ::-1])), y[:, ::-1], atol=1e-5))
        True

    Reference:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2; Dhariwal, Nichol 2021, arXiv:2105.05233, section 3.
    """

    def __init__(self, heads=4, head_size=None, output_initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        check_dtype(self.dtype_policy, type(self).__name__)
        self.heads = positive_int(heads, "heads")
        self.head_size = None if head_size is None else positive_int(head_size, "head_size")
        self.output_initializer = keras.initializers.get(output_initializer)

    def build(self, input_shape):
        channels = input_shape[-1]
        if len(input_shape) < 3 or None in input_shape[1:]:
            raise ValueError(
                "ImageAttention expects images (batch, height, width, channels) or tokens (batch, n, channels) of "
                f"known sizes. Received: x {tuple(input_shape)}."
            )
        self.head_count(channels)
        options = {"dtype": self.dtype_policy}
        self.to_heads = keras.layers.Dense(3 * channels, **options, name="to_heads")
        self.to_out = keras.layers.Dense(
            channels, kernel_initializer=self.output_initializer, **options, name="to_out"
        )
        self.to_heads.build(input_shape)
        self.to_out.build(input_shape)

    def head_count(self, channels):
        """H for so many channels, or ValueError."""
        unit, name = (self.heads, "heads") if self.head_size is None else (self.head_size, "numbers a head")
        if channels % unit:
            raise ValueError(
                f"ImageAttention expects channels that {unit} {name} divide. Received: {channels} channels. "
                "Choose `heads` or `head_size` that divides them."
            )
        return self.heads if self.head_size is None else channels // self.head_size

    def call(self, x):
        positions, channels = math.prod(x.shape[1:-1]), x.shape[-1]
        heads = self.head_count(channels)
        size = channels // heads
        h = ops.reshape(self.to_heads(x), (-1, positions, 3, heads, size))
        q, k, v = (ops.transpose(h[:, :, i], (0, 2, 1, 3)) for i in range(3))  # each (batch, H, n, d)
        y = v if positions == 1 else _attended(q, k, v)  # Keras warns of a softmax of one number
        return self.to_out(ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (-1, *x.shape[1:])))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        initializer = keras.initializers.serialize(self.output_initializer)
        own = {"heads": self.heads, "head_size": self.head_size, "output_initializer": initializer}
        return {**super().get_config(), **own}


def _attended(q, k, v):
    """softmax(q k^T / sqrt(d)) v, each `(batch, H, n, d)`."""
    scale = q.shape[-1] ** -0.25  # of both, so that no product of half precision is large
    scores = ops.matmul(q * scale, ops.transpose(k * scale, (0, 1, 3, 2)))
    wide = keras.backend.result_type(scores.dtype, "float32")
    return ops.matmul(ops.cast(ops.softmax(ops.cast(scores, wide), axis=-1), v.dtype), v)
