"""Terms between images: differences of pixels and of features, and how rough an image is.

With x and y images of h x w pixels and c channels, i and j rows and columns, n = h w c:

    absolute_error      sum |x - y| / n
    squared_error       sum (x - y)^2 / n
    total_variation     (sum |x[i + 1, j] - x[i, j]| + sum |x[i, j + 1] - x[i, j]|) / n
    perceptual          sum_k mean (f_k(x) - f_k(y))^2,      f_k features of a network that has learned to see

each `(batch,)`. The first two compare pixel by pixel: of all that may be right they want the mean or the median, which
is blurred. Features forget where a pixel of a texture lies, so that the last one does not.

Reference:
    L. Rudin, S. Osher, E. Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 60 (1992), in
    the anisotropic form; J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual losses for real-time style transfer and
    super-resolution", arXiv:1603.08155 (2016), eq. 2; C. Ledig et al., arXiv:1609.04802 (2017), eq. 5.
"""

import keras
import numpy as np
from keras import ops

VGG_MEAN = (103.939, 116.779, 123.68)  # of blue, green, red over ImageNet, as the published weights were trained


@keras.saving.register_keras_serializable(package="keras_gen")
def absolute_error(x, y):
    """mean |x - y| over pixels and channels: `(batch,)`."""
    return ops.mean(ops.abs(x - y), axis=tuple(range(1, len(x.shape))))


@keras.saving.register_keras_serializable(package="keras_gen")
def squared_error(x, y):
    """mean (x - y)^2 over pixels and channels: `(batch,)`."""
    return ops.mean(ops.square(x - y), axis=tuple(range(1, len(x.shape))))


IMAGE_ERRORS = {"l1": absolute_error, "l2": squared_error}


def get_image_error(error, name):
    """The function of two batches of images that an argument `name` was given as.

    Args:
        error: "l1" (`absolute_error`), "l2" (`squared_error`), or a function already, which stays as it is. To be saved
            with a model it is registered with Keras.
        name: of the argument, for the message.

    Raises:
        ValueError: another name or object.

    Example:
        >>> from keras_gen.losses import get_image_error
        >>> get_image_error("l1", "loss").__name__
        'absolute_error'
    """
    if callable(error):
        return error
    if not isinstance(error, str) or error not in IMAGE_ERRORS:
        raise ValueError(f"Expected `{name}` as one of {list(IMAGE_ERRORS)} or a function. Received: {error!r}.")
    return IMAGE_ERRORS[error]


def total_variation(x):
    """The sum of absolute differences of neighbours, down and to the right, over the number of values: `(batch,)`.

    Args:
        x: images `(batch, h, w, c)`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.losses import total_variation
        >>> x = np.array([[0.0, 1.0], [0.0, 1.0]], "float32").reshape(1, 2, 2, 1)
        >>> float(total_variation(x)[0])  # two edges of size 1, four values
        0.5

    Reference:
        Rudin, Osher, Fatemi 1992; anisotropic, and a mean instead of a sum so that its weight is that of any size.
    """
    x = ops.convert_to_tensor(x)
    down, right = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
    total = sum(ops.sum(ops.abs(d), axis=(1, 2, 3)) for d in (down, right))
    return total / (x.shape[1] * x.shape[2] * x.shape[3])


def perceptual(x, y, extractor):
    """The mean square of the difference of features f(x) and f(y), summed over outputs: `(batch,)`.

    Args:
        x, y: images `(batch, h, w, c)`.
        extractor: f, a Keras model or any function of images that gives one tensor or a list of them.

    Example:
        >>> import numpy as np
        >>> from keras_gen.losses import perceptual
        >>> x, y = np.zeros((2, 4, 4, 1), "float32"), np.ones((2, 4, 4, 1), "float32")
        >>> [float(v) for v in perceptual(x, y, lambda t: [t, 2.0 * t])]
        [5.0, 5.0]

    Reference:
        Johnson et al. 2016, arXiv:1603.08155, eq. 2; Ledig et al. 2017, arXiv:1609.04802, eq. 5.
    """
    pairs = zip(*(keras.tree.flatten(extractor(t)) for t in (x, y)), strict=True)
    wide = lambda f: ops.cast(f, keras.backend.result_type(f.dtype, "float32"))  # noqa: E731
    return sum(squared_error(wide(f), wide(g)) for f, g in pairs)


@keras.saving.register_keras_serializable(package="keras_gen")
class Perceptual(keras.layers.Layer):
    """`perceptual` with an extractor of its own, frozen: the content term of `SRGAN`, saved within the model.

    Args:
        extractor: a Keras model of images, such as `vgg19_features()`; it is made untrainable.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.

    Raises:
        ValueError: an extractor that is no Keras layer.

    Example:
        >>> import keras
        >>> from keras_gen.losses import Perceptual
        >>> content = Perceptual(keras.layers.AveragePooling2D(2))
        >>> tuple(content(keras.ops.zeros((2, 4, 4, 3)), keras.ops.ones((2, 4, 4, 3))).shape)
        (2,)
    """

    def __init__(self, extractor, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(extractor, keras.layers.Layer):
            raise ValueError(f"Expected `extractor` as a Keras layer or model. Received: {extractor!r}.")
        extractor.trainable = False
        self.extractor = extractor

    def build(self, x_shape, y_shape=None):
        if not self.extractor.built:
            self.extractor.build(x_shape)

    def call(self, x, y):
        return perceptual(x, y, self.extractor)

    def compute_output_shape(self, x_shape, y_shape=None):
        return (x_shape[0],)

    def get_config(self):
        return {**super().get_config(), "extractor": keras.saving.serialize_keras_object(self.extractor)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "extractor": keras.saving.deserialize_keras_object(config["extractor"])})


def vgg19_features(weights="imagenet", layer="block5_conv4", activation=False, scale=1 / 12.75, dtype=None):
    """Features of VGG19 as a frozen Keras model: RGB images `(batch, h, w, 3)` in [0, 1], of any size, to f.

    The published weights take BGR in [0, 255] less the mean over ImageNet: a fixed convolution of 1 x 1 goes before.

    Args:
        weights: "imagenet" (default; Keras downloads 80 MB), a path to the file that it downloads
            (`vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5`), or None: random ones.
        layer: name of the convolution, default "block5_conv4", phi_{5,4} of SRGAN.
        activation: whether its ReLU is applied, as in SRGAN; default False, as in ESRGAN: more values differ from zero.
        scale: of the features, default 1 / 12.75 as in SRGAN, which brings the loss near that of pixels.
        dtype: of the computation, default Keras's.

    Raises:
        ValueError: a layer that VGG19 does not have.

    Example:
        >>> from keras import ops
        >>> from keras_gen.losses import vgg19_features
        >>> f = vgg19_features(weights=None, layer="block2_conv2")
        >>> tuple(f(ops.zeros((1, 32, 48, 3))).shape)
        (1, 16, 24, 128)

    Reference:
        K. Simonyan, A. Zisserman, arXiv:1409.1556 (2015); Ledig et al. 2017, arXiv:1609.04802, section 2.2.2; Wang et
        al. 2018, arXiv:1809.00219, section 3.3.
    """
    vgg = _in_dtype(keras.applications.VGG19(include_top=False, weights=weights, input_shape=(None, None, 3)), dtype)
    names = [candidate.name for candidate in vgg.layers if "conv" in candidate.name]
    if layer not in names:
        raise ValueError(f"Expected `layer` as one of {names}. Received: {layer!r}.")
    as_vgg = keras.layers.Conv2D(3, 1, data_format="channels_last", dtype=dtype, name="as_vgg")
    x = keras.Input((None, None, 3), dtype=dtype)
    h = as_vgg(x)
    as_vgg.set_weights([np.float32(255.0) * np.eye(3, dtype="float32")[None, None, :, ::-1], -np.float32(VGG_MEAN)])
    for part in vgg.layers[1:]:
        h = part(h)
        if part.name == layer:
            break
    part.activation = part.activation if activation else keras.activations.linear
    h = keras.layers.Rescaling(scale, dtype=dtype, name="scale")(h)
    model = keras.Model(x, h, name="vgg19_features")
    model.trainable = False
    return model


def _in_dtype(model, dtype):
    """The model with all its layers in `dtype`; None: as it is."""
    if dtype is None:
        return model
    make = lambda layer: type(layer).from_config({**layer.get_config(), "dtype": dtype})  # noqa: E731
    copy = keras.models.clone_model(model, clone_function=make)
    copy.set_weights(model.get_weights())
    return copy
