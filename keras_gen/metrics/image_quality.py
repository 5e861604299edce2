"""PSNR, SSIM and MS-SSIM of pairs of images.

Images x and y have values in the data range [low, high], R = high - low. In units of R, with the black point at zero,

    u = (x + y - 2 low) / R,        v = (x - y) / R,

and every figure of this module is a function of the two.

**PSNR**, in decibels, with the mean over all pixels and channels of an image:

    MSE = mean v^2,        PSNR = 10 log10(1 / MSE).

Identical images have MSE 0 and an infinite PSNR, and a mean over images of which one is infinite is infinite.

**SSIM** (Wang et al. 2004, eq. 13), with local means m, variances V and covariance under a Gaussian window:

    SSIM = (2 m_x m_y + C1) / (m_x^2 + m_y^2 + C1)  (2 V_xy + C2) / (V_x + V_y + C2),

C1 = 0.01^2, C2 = 0.03^2 in units of R. Since x and y are (u + v) / 2 and (u - v) / 2,

    2 m_x m_y = (m_u^2 - m_v^2) / 2,  m_x^2 + m_y^2 = (m_u^2 + m_v^2) / 2,  2 V_xy = (V_u - V_v) / 2,  ... and so

    SSIM = l c,    l = 1 - m_v^2 / (1/2 (m_u^2 + m_v^2) + C1),    c = 1 - V_v / (1/2 (V_u + V_v) + C2).

This takes four filtered maps instead of five, is exactly 1 for x = y, and does not subtract what is nearly equal when
x and y are close. A variance is V = E[(u - a)^2] - (m_u - a)^2 for any a; a is the mean of the image, or float32 would
lose the variance of flat bright regions. The window has 11 x 11 weights, sigma 1.5, and stays within the image; the
variances are divided by the sum of weights (biased), as in the authors' program. Filtering is sums of shifted images,
because a convolution runs in reduced precision on some accelerators.

**MS-SSIM** (Wang et al. 2003, eq. 7): both images are halved four times by averaging 2 x 2 pixels (a last odd row or
column is repeated), and with the means over space of c_1 ... c_4 at the first four scales and of SSIM_5 at the last,

    MS-SSIM = SSIM_5^(b_5) prod_j c_j^(b_j),    b = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),

where a negative mean counts as zero. SSIM and MS-SSIM of an image with several channels are the means over channels.

**Y channel.** `channel="y"` takes R'G'B' to the luma of ITU-R BT.601 in its 16..235 range, in units of R

    Y = (16 + 65.481 r + 128.553 g + 24.966 b) / 255,

unrounded. With `crop=s` at magnification s this is the protocol of the super-resolution literature.

Reference:
    Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 13 (2004).
    Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multi-scale structural similarity for image quality assessment", Asilomar
    (2003).
    ITU-R Recommendation BT.601-7 (2011), section 2.5.
"""

import numbers

import keras
import numpy as np
from keras import ops

from keras_gen.metrics.pairs import PairMetric, check_data_range, check_shapes, check_values

CHANNELS = (None, "rgb", "y")
SIZE, SIGMA, C1, C2 = 11, 1.5, 0.01**2, 0.03**2
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LUMA, BLACK = np.array([65.481, 128.553, 24.966]) / 255.0, 16.0 / 255.0

_gaussian = np.exp(-0.5 * (np.arange(SIZE) - SIZE // 2) ** 2 / SIGMA**2)
WINDOW = tuple(float(w) for w in _gaussian / _gaussian.sum())


def _check_options(data_range, channel, crop):
    """(low, high), checked with the other two."""
    if channel not in CHANNELS:
        raise ValueError(
            "Expected `channel` as None (the channels as they are), 'rgb' (the same, three of them) or 'y' (luma of "
            f"RGB images). Received: channel={channel!r}."
        )
    if not isinstance(crop, numbers.Integral) or isinstance(crop, bool) or crop < 0:
        raise ValueError(f"Expected `crop` as a number of pixels of at least 0. Received: crop={crop!r}.")
    return check_data_range(data_range)


def _check_images(x, y, channel, crop, least):
    """Shapes fit, colours are there, and at least `least` pixels a side are left after the crop."""
    shape = check_shapes(x, y)
    if channel is not None and shape[3] != 3:
        raise ValueError(
            f"Expected RGB images for channel={channel!r}, (batch, height, width, 3). Received shape {shape}. Grey "
            "images (and images that are luma already) take channel=None."
        )
    if any(size is not None and size < least + 2 * crop for size in shape[1:3]):
        cropped = f" (and {crop} more on each side, the crop)" if crop else ""
        raise ValueError(
            f"Expected images of at least {least} x {least} pixels{cropped}. Received {shape[1]} x {shape[2]}."
        )


def _luma(x):
    return ops.sum(x * ops.cast(LUMA, x.dtype), axis=-1, keepdims=True)


def _cropped(x, y, crop):
    """Both in float32 at least, without `crop` pixels on each side."""
    dtype = keras.backend.result_type(x.dtype, y.dtype, "float32")
    inner = slice(crop, -crop or None)
    return [ops.cast(i, dtype)[:, inner, inner] for i in (x, y)]


def _difference(x, y, data_range, channel, crop):
    """v of the module's text."""
    x, y = _cropped(x, y, crop)
    v = (x - y) / (data_range[1] - data_range[0])
    return _luma(v) if channel == "y" else v


def _sum(x, y, data_range, channel, crop):
    """u of the module's text."""
    x, y = _cropped(x, y, crop)
    u = (x + y - 2.0 * data_range[0]) / (data_range[1] - data_range[0])
    return _luma(u) + 2.0 * BLACK if channel == "y" else u


def _mean(x, axes=(2, 3)):
    """Mean over the height and `axes`; in two steps, since one sum of a whole image rounds to 4e-4 in compiled code."""
    return ops.mean(ops.mean(x, axis=axes, keepdims=True), axis=1, keepdims=True)


def _blur(x):
    """`x` under the Gaussian window, where it fits."""
    shifts = [slice(k, k - SIZE + 1 or None) for k in range(SIZE)]
    x = sum(w * x[:, shift] for w, shift in zip(WINDOW, shifts, strict=True))
    return sum(w * x[:, :, shift] for w, shift in zip(WINDOW, shifts, strict=True))


def _moments(u):
    """Local mean and variance of `u`."""
    centre = _mean(u, (2,))
    mean = _blur(u - centre)
    return mean + centre, _blur((u - centre) ** 2) - mean**2


def _luminance_and_contrast(u, v):
    """The maps l and c, `(batch, height - 10, width - 10, channels)`."""
    (mean_u, variance_u), (mean_v, variance_v) = _moments(u), _moments(v)
    luminance = 1.0 - mean_v**2 / (0.5 * (mean_u**2 + mean_v**2) + C1)
    return luminance, 1.0 - variance_v / (0.5 * (variance_u + variance_v) + C2)


def _halve(u):
    """Averages of 2 x 2 pixels; a last odd row or column is repeated."""
    u = 0.5 * (u[:, ::2] + ops.concatenate([u, u[:, -1:]], axis=1)[:, 1::2])
    return 0.5 * (u[:, :, ::2] + ops.concatenate([u, u[:, :, -1:]], axis=2)[:, :, 1::2])


def _per_image(x):
    return ops.squeeze(_mean(x), axis=(1, 2, 3))


def _psnr(*pair):
    v = _difference(*pair)
    return -10.0 * ops.log10(_per_image(v * v))


def _ssim(*pair):
    luminance, contrast = _luminance_and_contrast(_sum(*pair), _difference(*pair))
    return _per_image(luminance * contrast)


def _ms_ssim(*pair):
    u, v, product = _sum(*pair), _difference(*pair), 1.0
    for scale, exponent in enumerate(EXPONENTS):
        luminance, similarity = _luminance_and_contrast(u, v)
        if scale == len(EXPONENTS) - 1:
            similarity = luminance * similarity
        else:
            u, v = _halve(u), _halve(v)
        product = product * ops.maximum(_mean(similarity, (2,)), 0.0) ** exponent
    return _per_image(product)


def _compare(figure, x, y, data_range, channel, crop):
    """`figure` of each pair, for the functions of this module."""
    data_range = _check_options(data_range, channel, crop)
    x, y = (i if ops.is_tensor(i) else np.asarray(i) for i in (x, y))
    _check_images(x, y, channel, crop, LEAST[figure])
    check_values((x, y), data_range)
    return figure(x, y, data_range, channel, crop)


LEAST = {_psnr: 1, _ssim: SIZE, _ms_ssim: (SIZE - 1) * 2 ** (len(EXPONENTS) - 1) + 1}


def peak_signal_to_noise_ratio(x, y, data_range, channel=None, crop=0):
    """PSNR of pairs of images, 10 log10(R^2 / mean (x - y)^2).

    Args:
        x, y: images `(batch, height, width, channels)`, arrays or tensors; computed in float32 at least.
        data_range: R for values in 0..R, such as 1.0 or 255, or (low, high). It has no default: 0.9 means other things
            in 0..1 and in 0..255.
        channel: None (default), the channels as they are; `"rgb"`, the same but three are required; `"y"`, the luma of
            RGB images.
        crop: pixels that are left out on each side, default 0.

    Returns:
        Tensor `(batch,)`, decibels; infinite where two images are identical.

    Raises:
        ValueError: shapes that differ or are no images, grey images for `"rgb"` or `"y"`, a crop that leaves nothing;
            outside of compiled functions also values beyond `data_range`, NaN, and real values all in 0..1 where the
            range is wider than 100.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import peak_signal_to_noise_ratio
        >>> x = np.zeros((2, 16, 16, 3), "float32")
        >>> y = x + np.array([0.1, 0.01], "float32")[:, None, None, None]
        >>> [round(float(v), 3) for v in peak_signal_to_noise_ratio(x, y, data_range=1.0)]
        [20.0, 40.0]

    Reference:
        The figure of image coding; super-resolution takes channel="y" and crop equal to the magnification (Timofte et
        al. 2014, "A+", section 4).
    """
    return _compare(_psnr, x, y, data_range, channel, crop)


def structural_similarity(x, y, data_range, channel=None, crop=0):
    """SSIM of pairs of images, the mean over space and channels of l c under an 11 x 11 Gaussian window.

    With `data_range=(low, high)` the black point `low` is moved to zero first, since SSIM, unlike PSNR, depends on it:
    images in -1..1 give the figure of the same images in 0..1.

    Args:
        x, y, data_range, channel, crop: as of `peak_signal_to_noise_ratio`; 11 pixels a side at least after the crop.

    Returns:
        Tensor `(batch,)` in [-1, 1]; 1 where two images are identical.

    Raises:
        ValueError: as `peak_signal_to_noise_ratio`, and for smaller images.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import structural_similarity
        >>> x = np.indices((16, 16)).sum(axis=0)[None, :, :, None] % 2 * 1.0  # a chessboard
        >>> [round(float(structural_similarity(x, y, data_range=1.0)[0]), 3) for y in (x, 0.5 + x / 2, 1.0 - x)]
        [1.0, 0.739, -0.996]

    Reference:
        Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13 and section III-C. Images are not halved beforehand.
    """
    return _compare(_ssim, x, y, data_range, channel, crop)


def multi_scale_structural_similarity(x, y, data_range, channel=None, crop=0):
    """MS-SSIM of pairs of images, over five scales with the published exponents.

    Args:
        x, y, data_range, channel, crop: as of `structural_similarity`; 161 pixels a side at least after the crop.

    Returns:
        Tensor `(batch,)` in [0, 1]; 1 where two images are identical.

    Raises:
        ValueError: as `peak_signal_to_noise_ratio`, and for smaller images.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import multi_scale_structural_similarity
        >>> x = np.indices((161, 161)).sum(axis=0)[None, :, :, None] % 2 * 1.0
        >>> [round(float(multi_scale_structural_similarity(x, y, data_range=1.0)[0]), 3) for y in (x, 0.5 + x / 2)]
        [1.0, 0.98]

    Reference:
        Wang, Simoncelli, Bovik 2003, eq. 7 and section 3.2 (exponents).
    """
    return _compare(_ms_ssim, x, y, data_range, channel, crop)


class _ImageQuality(PairMetric):
    """A function of this module as a metric; `figure` is its compute."""

    figure = None

    def __init__(self, data_range, channel=None, crop=0, name=None, dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self.data_range = _check_options(data_range, channel, crop)
        self.channel, self.crop = channel, int(crop)

    def check(self, x, y):
        check_values([i for i in (x, y) if not ops.is_tensor(i)], self.data_range)

    def values(self, x, y):
        figure = type(self).figure
        _check_images(x, y, self.channel, self.crop, LEAST[figure])
        return figure(x, y, self.data_range, self.channel, self.crop)

    def get_config(self):
        return {**super().get_config(), "data_range": self.data_range, "channel": self.channel, "crop": self.crop}


@keras.saving.register_keras_serializable(package="keras_gen")
class PeakSignalToNoiseRatio(_ImageQuality):
    """Mean PSNR over images: the mean of decibels, as papers report it, not the PSNR of the mean error.

    Args:
        data_range, channel, crop: as of `peak_signal_to_noise_ratio`.
        name: default `"psnr"`.
        dtype: of the sums, default float32.

    Raises:
        ValueError: as `peak_signal_to_noise_ratio`, but for values of tensors, which are not looked at.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import PeakSignalToNoiseRatio
        >>> x, metric = np.zeros((2, 16, 16, 3)), PeakSignalToNoiseRatio(data_range=1.0)
        >>> metric.update_state(x, x + 0.1)
        >>> metric.update_state(x, x + 0.01)
        >>> round(float(metric.result()), 3)
        30.0
    """

    figure = _psnr

    def __init__(self, data_range, channel=None, crop=0, name="psnr", dtype="float32"):
        super().__init__(data_range, channel, crop, name, dtype)


@keras.saving.register_keras_serializable(package="keras_gen")
class StructuralSimilarity(_ImageQuality):
    """Mean SSIM over images.

    Args:
        data_range, channel, crop: as of `structural_similarity`.
        name: default `"ssim"`.
        dtype: of the sums, default float32.

    Raises:
        ValueError: as `structural_similarity`, but for values of tensors, which are not looked at.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import StructuralSimilarity
        >>> x, metric = np.full((2, 16, 16, 3), 0.4), StructuralSimilarity(data_range=1.0)
        >>> metric.update_state(x, x)
        >>> metric.update_state(x, x + 0.4)
        >>> round(float(metric.result()), 3)  # of constant images l is left, 0.6401 / 0.8001
        0.9
    """

    figure = _ssim

    def __init__(self, data_range, channel=None, crop=0, name="ssim", dtype="float32"):
        super().__init__(data_range, channel, crop, name, dtype)


@keras.saving.register_keras_serializable(package="keras_gen")
class MultiScaleStructuralSimilarity(_ImageQuality):
    """Mean MS-SSIM over images.

    Args:
        data_range, channel, crop: as of `multi_scale_structural_similarity`.
        name: default `"ms_ssim"`.
        dtype: of the sums, default float32.

    Raises:
        ValueError: as `multi_scale_structural_similarity`, but for values of tensors, which are not looked at.

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import MultiScaleStructuralSimilarity
        >>> x, metric = np.full((1, 161, 161, 1), 0.4), MultiScaleStructuralSimilarity(data_range=1.0)
        >>> metric.update_state(x, x + 0.4)
        >>> round(float(metric.result()), 3)  # 0.8^0.1333: l enters at the last scale alone
        0.971
    """

    figure = _ms_ssim

    def __init__(self, data_range, channel=None, crop=0, name="ms_ssim", dtype="float32"):
        super().__init__(data_range, channel, crop, name, dtype)
