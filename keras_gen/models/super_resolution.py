"""Super-resolution: a large image x from a small one y, y = bicubic(x) at 1/s of its sides.

A network G is fitted by

    min_G  E d(x, G(y)),        d = mean |x - G(y)| (l1) or mean (x - G(y))^2 (l2), over pixels and channels.

Read as a density, p(x given y) is a Laplace or a normal distribution around G(y) of a fixed scale, whose mode is G(y):
that is what `sample` gives. By the mean the second loss maximises the PSNR; the first one, of the median, trains to a
better PSNR all the same (Zhao et al. 2017; EDSR uses it). Both blur what they cannot know: `SRGAN` draws it instead.

Images come from the average over training of the networks (`average`, as of `GAN`). An image of any size is cut into
tiles (`keras_gen.models.tiling`), which the network's `radius` makes equal to the whole.

Reference:
    C. Dong, C. C. Loy, K. He, X. Tang, "Image super-resolution using deep convolutional networks", arXiv:1501.00092
    (2015), eq. 4; B. Lim et al., arXiv:1707.02921 (2017), section 3; H. Zhao et al., "Loss functions for image
    restoration with neural networks", IEEE TCI 3 (2017).
"""

import keras
import numpy as np
from keras import ops

from keras_gen import losses, networks
from keras_gen.datasets.patches import PatchPairs, symmetry
from keras_gen.models import inputs
from keras_gen.models.averaging import average_network, check_average, step_counter, update_average
from keras_gen.models.base import GenerativeModel
from keras_gen.models.latent import apply_network
from keras_gen.models.tiling import in_tiles

SLACK = 1e-3  # by which values may lie beyond [0, 1]
TILE = 256  # pixels of the small image, a side


class Upscaling:
    """Mixin of a model with a network of small images to large ones, `enlarging_network`, a `scale` and a `radius`."""

    @property
    def enlarging_network(self):
        """G, as it makes samples."""
        raise NotImplementedError

    def fit(self, x=None, y=None, *args, **kwargs):
        """Train. As `GenerativeModel.fit`, of large patches and small ones, `fit(x, y)`, or `PatchPairs`."""
        for data in (x, kwargs.get("validation_data")):
            _check_pairs(self, data)
        return super().fit(x, y, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """G(y) of `(x, y)`, patches of the sizes of training; `upscale` takes an image of any size."""
        _check_pairs(self, x)
        _check_predicted(self, *(x if isinstance(x, (tuple, list)) and len(x) == 2 else (x, None)))
        return super().predict(x, *args, **kwargs)

    def upscale(self, image, *, tile=TILE, overlap=None, ensemble=False, verbose="auto"):
        """One image of any size, s times as large.

        Args:
            image: `(height, width, channels)`, floats in [0, 1].
            tile: pixels of the image, a side, that are computed at once, default 256. It bounds the memory.
            overlap: pixels that tiles see beyond their own; default the model's `radius`, by which tiles have no seams.
            ensemble: whether to average over the 8 symmetries of the square: eight times the work for 0.1 to 0.2 dB
                (Lim et al. 2017, section 3.4).
            verbose: `"auto"` shows progress on work of more than two seconds; 0 or 1.

        Returns:
            float32 array `(s height, s width, channels)`, in [0, 1].

        Raises:
            ValueError: an array that is no such image, numbers out of their range, an image larger than a tile where
                the radius is not known.
        """
        image = _check_image(image, self.event_shape[-1])
        tile = inputs.check_count(tile, "tile")
        margin = self._margin(overlap) if overlap is not None or max(image.shape[:2]) > tile else 0
        self.synchronize()
        run = self._compiled("upscale", lambda y: self.enlarged(y))
        one = lambda y: in_tiles(lambda t: run(y=t), y, self.scale, tile, margin, verbose)  # noqa: E731
        result = one(image)
        for k in range(1, 8 if ensemble else 1):
            result += _undone(one(np.ascontiguousarray(symmetry(image, k))), k)
        result /= 8 if ensemble else 1
        return np.clip(result, 0.0, 1.0, out=result)

    def enlarged(self, y):
        """G(y) of a tensor `(batch, h, w, channels)` of any h and w, in float32 at least."""
        network = self.enlarging_network
        return ops.cast(apply_network(network, ops.cast(y, self.real_dtype)), self.real_dtype)

    def _margin(self, overlap):
        margin = self.radius if overlap is None else overlap
        if margin is None:
            raise ValueError(
                f"Expected `radius` of the model, or `overlap`: how many pixels on either side an output pixel of the "
                f"network {self.enlarging_network.name!r} sees. Received: none, and an image larger than a tile."
            )
        return check_radius(margin, "overlap")

    def check_support(self, x):
        """Raise where images are not in [0, 1]: a network of this kind has no bounds of its own."""
        _check_range(x, "x, large images,")

    def check_condition_support(self, y):
        """Raise where small images are not in [0, 1]."""
        _check_range(y, "y, small images,")


@keras.saving.register_keras_serializable(package="keras_gen")
class SuperResolution(Upscaling, GenerativeModel):
    """A network that makes images s times as large. `model(x, y)` is G(y); so is `sample(n, y)`, for any seed.

    `fit(x, y)` takes large patches x and their small ones y, `fit(datasets.PatchPairs(pictures, scale))` cuts them
    anew for each batch. `upscale` takes an image of any size.

    Args:
        event_shape: `(height, width, channels)` of a large patch in training, sides that s divides.
        scale: s, an int >= 2.
        network: any Keras network `(batch, h, w, c)` to `(batch, s h, s w, c)`; default `networks.EDSR(scale)`.
        loss: "l1" (default), "l2", or a function of x and G(y) to `(batch,)`, registered with Keras to be saved.
        radius: how many small pixels on either side a large one sees, for tiles; default that of the network, if it has
            an attribute `radius`, as those of this package.
        average: decay of the average network, default 0.999; None: none.
        name, dtype: as in `keras.Model`.

    Raises:
        ValueError: an event that is no image or that s does not divide, a network of another size, an unknown loss.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import SuperResolution
        >>> from keras_gen.networks import EDSR
        >>> model = SuperResolution((16, 16, 3), scale=2, network=EDSR(2, filters=4, blocks=1))
        >>> model.compile("adam")
        >>> x, y = np.zeros((8, 16, 16, 3), "float32"), np.zeros((8, 8, 8, 3), "float32")
        >>> sorted(model.fit(x, y, verbose=0).history)
        ['loss', 'psnr']
        >>> model.upscale(np.zeros((5, 7, 3), "float32")).shape
        (10, 14, 3)

    Reference:
        Dong et al. 2015, arXiv:1501.00092, eq. 4; Lim et al. 2017, arXiv:1707.02921.
    """

    def __init__(self, event_shape, scale, network=None, *, loss="l1", radius=None, average=0.999, **kwargs):
        condition_shape = small_shape(event_shape, scale)
        super().__init__(event_shape, condition_shape=condition_shape, **kwargs)
        self.scale = int(scale)
        self.network = network or networks.EDSR(self.scale, channels=self.event_shape[-1], dtype=self.dtype_policy)
        if not isinstance(self.network, keras.layers.Layer):
            raise ValueError(f"Expected `network` as a Keras layer or model, or None. Received: {network!r}.")
        self.radius = check_radius(getattr(self.network, "radius", None) if radius is None else radius, "radius")
        self.loss_name, self.error = loss, losses.get_image_error(loss, "loss")
        self.average = check_average(average, self.variable_dtype)
        self.average_network = None
        self.steps = step_counter(self)

    def build(self, input_shape=None):
        if self.built:
            return
        if not self.network.built:
            self.network.build((None, *self.condition_shape))
        super().build(input_shape)
        if self.average is not None:
            self.average_network = average_network(self.network, name="average_network")

    @property
    def players(self):
        return {"model": self.network}

    @property
    def enlarging_network(self):
        return self.average_network or self.network

    def objective(self, x, condition=None, training=False):
        """d(x, G(y)) as `loss`, and the PSNR of each pair in decibels, images being in [0, 1]."""
        network = self.network if training or self.average_network is None else self.average_network
        fake = ops.cast(apply_network(network, condition, training=training), self.real_dtype)
        inputs.check_shape(fake.shape, self.event_shape, "the network's output")
        return {"loss": self.error(x, fake), "psnr": _psnr(x, fake)}

    def update(self, batch):
        logs = super().update(batch)
        if self.average_network is not None:
            update_average(self.average_network, self.network, self.average, self.steps)
        self.steps.assign(self.steps + 1)
        return logs

    def call(self, x, condition=None, training=False):
        """G(y), `(batch, *event_shape)`."""
        return self.enlarged(condition)

    def generate(self, keys, condition=None, temperature=1.0):
        return self.enlarged(condition)

    def get_config(self):
        config = {k: v for k, v in super().get_config().items() if k != "condition_shape"}
        serialize = keras.saving.serialize_keras_object
        loss = self.loss_name if isinstance(self.loss_name, str) else serialize(self.loss_name)
        own = {"scale": self.scale, "network": serialize(self.network), "loss": loss, "average": self.average}
        own["radius"] = self.radius
        return {**config, **own}


def small_shape(event_shape, scale):
    """The shape of the small image of one of `event_shape`."""
    if inputs.check_count(scale, "scale") < 2:
        raise ValueError(f"Expected `scale` as an integer >= 2. Received: scale={scale}.")
    shape = tuple(event_shape) if isinstance(event_shape, (tuple, list)) else ()
    if len(shape) != 3 or any(not isinstance(side, (int, np.integer)) or side % scale for side in shape[:2]):
        raise ValueError(
            f"Expected `event_shape` as (height, width, channels), sides that scale={scale} divides. "
            f"Received: {event_shape!r}."
        )
    return (shape[0] // scale, shape[1] // scale, shape[2])


def _check_pairs(model, data):
    """Raise where `PatchPairs` are of another scale, size or number of channels than the model's."""
    if not isinstance(data, PatchPairs):
        return
    found, shape = (data.patch, data.patch, data.high[0].shape[-1]), model.event_shape
    if (data.scale, found) != (model.scale, shape):
        patch = shape[0] if shape[0] == shape[1] else "..."
        raise ValueError(
            f"Expected `PatchPairs` of scale={model.scale} and patches {shape}, those of the model. Received: "
            f"scale={data.scale}, patches {found}. Give PatchPairs(images, {model.scale}, patch={patch}), or make a "
            f"model of event_shape={found}, scale={data.scale}."
        )


def _check_predicted(model, x, y):
    """Raise where x and y are arrays, and not the patches of training."""
    if not hasattr(x, "shape"):
        return
    found = [tuple(getattr(a, "shape", ())) for a in (x, y)]
    if [shape[1:] for shape in found] != [tuple(model.event_shape), tuple(model.condition_shape)]:
        raise ValueError(
            f"Expected predict((x, y)) of large patches x (batch, *{model.event_shape}) and small ones y (batch, "
            f"*{model.condition_shape}). Received: x {found[0]}, y {found[1] or None}. An image of any other size is "
            "enlarged by `upscale(image)`, one by one."
        )


def _psnr(x, y):
    """Peak signal-to-noise ratio of each pair of images in [0, 1], decibels: `(batch,)`."""
    return -10.0 * ops.log10(losses.squared_error(x, y) + 1e-12)


def _check_image(image, channels):
    image = inputs.to_numpy(image, "image")
    if image.ndim != 3 or image.shape[2] != channels or 0 in image.shape:
        raise ValueError(
            f"Expected `image` of shape (height, width, {channels}). Received: {image.shape}. A batch is upscaled one "
            "by one; grey images are repeated for a model of colours, `np.repeat(image, 3, axis=-1)`."
        )
    inputs.check_finite(image, "image")
    _check_range(image, "`image`")
    return image.astype("float32")


def _check_range(images, what):
    if images.dtype.kind != "f" or images.min() < -SLACK or images.max() > 1.0 + SLACK:
        raise ValueError(
            f"Expected {what} as floats in [0, 1]. Received: {images.dtype}, values between {images.min()} and "
            f"{images.max()}. Divide 8-bit images by 255."
        )


def check_radius(radius, name):
    """None, or an int >= 0."""
    if radius is None:
        return None
    if isinstance(radius, bool) or not isinstance(radius, (int, np.integer)) or radius < 0:
        raise ValueError(f"Expected `{name}` as an int >= 0, or None. Received: {radius!r}.")
    return int(radius)


def _undone(image, k):
    """`symmetry(image, k)` undone."""
    image = np.rot90(image, -(k % 4))
    return image[:, ::-1] if k >= 4 else image
