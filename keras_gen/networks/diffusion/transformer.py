"""The diffusion Transformer: an image as a sequence of patches, all of whose blocks are steered by the noise.

An image is cut into N = (height / p)(width / p) patches of p x p pixels, each mapped to D numbers, and each patch is
told its row and column by sinusoidal features, D / 2 of each (equation 1 of `layers.TimeFeatures`, not learned),

    h = W_in patches(x) + [f(row), f(column)].

With (s, t, g) = M_l e + m_l six vectors of the embedding e of noise and condition, and n(h) the layer normalisation
without gain and bias,

    h = h + g_1 attention((1 + s_1) n(h) + t_1),        h = h + g_2 W_2 gelu(W_1 ((1 + s_2) n(h) + t_2)),
    output = unpatches(W_out ((1 + s_3) n(h) + t_3)).

"adaLN-Zero": M and m begin at zero, so that all gates g are zero and each block is the identity; W_out begins at zero.
The gate, and no last map of the block, is what begins at zero: with both, neither would get a gradient.

Published sizes, for latent images of 32 x 32 with p = 2: S (width 384, depth 12, 6 heads), B (768, 12, 12), L (1024,
24, 16), XL (1152, 28, 16).

Reference:
    W. Peebles, S. Xie, "Scalable diffusion models with transformers", arXiv:2212.09748 (2023), section 3 and figure 3;
    A. Dosovitskiy et al., "An image is worth 16x16 words", arXiv:2010.11929 (2021), for patches.
"""

import keras
import numpy as np
from keras import ops

from keras_gen import layers
from keras_gen.layers.shapes import positive_int
from keras_gen.networks.diffusion.base import DenoisingNetwork, dropout
from keras_gen.networks.equalized import image_shape


@keras.saving.register_keras_serializable(package="keras_gen")
class DiffusionTransformer(DenoisingNetwork):
    """A Transformer of patches with adaLN-Zero, from a noisy image to an image of its size (DiT).

    Args:
        event_shape: `(height, width, channels)` of x; `patch` divides height and width.
        patch: p, side of a patch in pixels, default 2. The cost of attention falls as p^4.
        width: D, of each patch and of the embedding, divisible by 4 and by `heads`; default 128.
        depth: blocks, default 6.
        heads: of the attention, default 4.
        mlp_ratio: widths of the block's inner layer, in D, default 4.
        out_channels: default those of x; twice as many for learned variances.
        features: size of the sinusoidal features of log_snr, even; default 256, the paper's.
        dropout: float in [0, 1), of what each part adds, default 0.
        kernel_initializer: of W_in, of the attention and of W_1 and W_2; default Keras's own, "glorot_uniform".
        name, dtype, trainable: as of `keras.layers.Layer`.

    Call arguments:
        x: floats `(batch, height, width, channels)`, of about unit variance.
        log_snr: float32 `(batch,)`, in [-20, 20].
        condition: features `(batch, C)`, which enter the embedding, an image `(batch, h, w, C)`, which is resized and
            joined to x as channels, or None. A network built with a condition needs one at each call.
        training: bool, for dropout.

    Returns:
        Tensor `(batch, height, width, out_channels)`, zeros of a new network.

    Raises:
        ValueError: an event that is no image or that `patch` does not divide, sizes that are no positive integers, a
            width that 4 or the heads do not divide, x of another shape, a condition that is missing or superfluous.

    Example:
        >>> from keras import ops
        >>> from keras_gen.networks import DiffusionTransformer
        >>> network = DiffusionTransformer((8, 6, 3), width=16, depth=2, heads=2, out_channels=6)
        >>> tuple(network(ops.ones((2, 8, 6, 3)), ops.zeros((2,))).shape)
        (2, 8, 6, 6)

    Reference:
        Peebles, Xie 2023, arXiv:2212.09748, section 3.
    """

    def __init__(
        self, event_shape, patch=2, width=128, depth=6, heads=4, mlp_ratio=4, out_channels=None, features=256,
        dropout=0.0, kernel_initializer="glorot_uniform", *, name=None, dtype=None, trainable=True,
    ):  # fmt: skip
        event_shape, width = image_shape(event_shape), positive_int(width, "width")
        options = {"name": name, "dtype": dtype, "trainable": trainable}
        own = {"dropout": dropout, "kernel_initializer": kernel_initializer}
        super().__init__(event_shape, features, width, out_channels, **own, **options)
        self.patch, self.width = positive_int(patch, "patch"), width
        self.depth, self.heads = positive_int(depth, "depth"), positive_int(heads, "heads")
        self.mlp_ratio, self.features = positive_int(mlp_ratio, "mlp_ratio"), self.embedding.features.size
        self._check_sizes()
        self.grid = tuple(side // self.patch for side in event_shape[:2])
        options = {"dtype": self.dtype_policy}
        self.places = places(self.grid, width)
        drawn = {"kernel_initializer": self._initializer(), **options}
        self.of_patches = keras.layers.Dense(width, **drawn, name="of_patches")
        self.parts = [self._block(f"block_{i}") for i in range(self.depth)]
        self.norm = _Modulated(**options, name="norm")
        zeros = {"kernel_initializer": "zeros", **options}
        self.to_steer = keras.layers.Dense(2 * width, **zeros, name="to_steer")
        self.to_patches = keras.layers.Dense(self.patch**2 * self.out_channels, **zeros, name="to_patches")

    def _check_sizes(self):
        if any(side % self.patch for side in self.event_shape[:2]):
            raise ValueError(
                f"Expected an image whose height and width `patch` divides. Received: event_shape={self.event_shape}, "
                f"patch={self.patch}. Pad the images, choose another patch, or `UNet`, which takes any size."
            )
        if self.width % 4 or self.width % self.heads:
            raise ValueError(
                "Expected `width` as a number that 4, sines and cosines of rows and columns, and `heads` divide. "
                f"Received: width={self.width}, heads={self.heads}."
            )

    def _block(self, name):
        sizes = (self.width, self.heads, self.mlp_ratio)
        return _Block(*sizes, self._initializer, self.dropout, dtype=self.dtype_policy, name=name)

    def build_parts(self, shape):
        tokens = self.grid[0] * self.grid[1]
        h_shape, e_shape = (None, tokens, self.width), (None, self.embedding.units)
        self.of_patches.build((None, tokens, self.patch**2 * shape[-1]))
        for part in self.parts:
            part.build(h_shape, e_shape)
        self.norm.build(h_shape)
        self.to_steer.build(e_shape)
        self.to_patches.build(h_shape)

    def denoised(self, x, e, training):
        h = self.of_patches(patches(x, self.patch))
        h = h + ops.cast(self.places, h.dtype)
        for part in self.parts:
            h = part(h, e, training=training)
        s, t = ops.split(self.to_steer(e), 2, axis=-1)
        return images(self.to_patches(self.norm(h, s, t)), self.grid, self.patch)

    def get_config(self):
        names = ("patch", "width", "depth", "heads", "mlp_ratio", "features")
        config = {**super().get_config(), **{name: getattr(self, name) for name in names}}
        del config["activation"]
        return config


class _Block(keras.layers.Layer):
    """Attention and a map of each patch, both modulated and gated: a part of the network and rebuilt by it."""

    def __init__(self, width, heads, mlp_ratio, initializer, rate, **kwargs):
        super().__init__(**kwargs)
        options = {"dtype": self.dtype_policy}
        self.norms = [_Modulated(**options, name=f"norm_{i}") for i in range(2)]
        self.attention = layers.ImageAttention(heads, output_initializer=initializer(), **options, name="attention")
        self.wide, self.narrow = (
            keras.layers.Dense(size, kernel_initializer=initializer(), **options, name=label)
            for size, label in [(mlp_ratio * width, "wide"), (width, "narrow")]
        )
        self.to_steer = keras.layers.Dense(6 * width, kernel_initializer="zeros", **options, name="to_steer")
        self.drops = [dropout(rate, **options) for _ in range(2)]

    def build(self, h_shape, e_shape):
        for part in [*self.norms, self.attention, self.wide]:
            part.build(h_shape)
        self.narrow.build((*h_shape[:-1], self.wide.units))
        self.to_steer.build(e_shape)

    def call(self, h, e, training=False):
        s_1, t_1, g_1, s_2, t_2, g_2 = ops.split(self.to_steer(e), 6, axis=-1)
        y = self.attention(self.norms[0](h, s_1, t_1))
        h = h + g_1[:, None] * self.drops[0](y, training=training)
        y = self.narrow(ops.gelu(self.wide(self.norms[1](h, s_2, t_2)), approximate=True))
        return h + g_2[:, None] * self.drops[1](y, training=training)

    def compute_output_shape(self, h_shape, e_shape=None):
        return h_shape


class _Modulated(keras.layers.Layer):
    """`(1 + s) n(h) + t`, n a layer normalisation without gain and bias; s and t `(batch, D)`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        own = {"center": False, "scale": False, "epsilon": 1e-6, "dtype": self.dtype_policy}
        self.norm = keras.layers.LayerNormalization(**own, name="norm")

    def build(self, h_shape):
        self.norm.build(h_shape)

    def call(self, h, s, t):
        return self.norm(h) * (1.0 + s[:, None]) + t[:, None]

    def compute_output_shape(self, h_shape, s_shape=None, t_shape=None):
        return h_shape


def patches(x, p):
    """Images `(batch, h, w, c)` as patches `(batch, (h / p)(w / p), p p c)`, row by row."""
    height, width, channels = x.shape[1:]
    x = ops.reshape(x, (-1, height // p, p, width // p, p, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height * width // p**2, p * p * channels))


def images(x, grid, p):
    """The reverse of `patches`, for a grid of so many rows and columns."""
    rows, columns = grid
    channels = x.shape[-1] // p**2
    x = ops.transpose(ops.reshape(x, (-1, rows, columns, p, p, channels)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * p, columns * p, channels))


def places(grid, width):
    """`[f(row), f(column)]` of each patch, `(rows columns, width)`, as NumPy: f of `width / 2` sines and cosines."""
    count = width // 4
    w = 10000.0 ** (-np.arange(count) / count)
    row, column = np.meshgrid(*(np.arange(side) for side in grid), indexing="ij")
    phases = [np.reshape(place, (-1, 1)) * w for place in (row, column)]
    return np.concatenate([f(phase) for phase in phases for f in (np.sin, np.cos)], axis=-1).astype("float32")
