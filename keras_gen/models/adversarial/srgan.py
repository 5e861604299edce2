"""SRGAN: super-resolution that draws the detail it cannot know, so that a discriminator finds it natural.

With y the small image, G(y) the large one that is made of it, x the true one and D a discriminator of large images,

    discriminator:    E d(D(x), D(G(y)))
    generator:        E [content_weight c(x, G(y)) + adversarial_weight g(D(G(y)))]

with d, g an adversarial loss of `keras_gen.losses` and c a content term: a mean difference of pixels, or of features of
a network that has learned to see (`losses.perceptual`; Ledig et al. 2017, equations 3 to 6). The mean of all images
that a small one may come from is what minimises the first alone: it is blurred, and has the best PSNR. The second term
leads away from it, towards one of them: sharper, at a lower PSNR.

In the first `content_steps` steps of the generator the content alone is minimised (section 3.2: a generator that begins
at random is led into bad minima); or `generator` is the network of a trained `SuperResolution`. The relativistic form,
`loss="relativistic_average"`, is that of ESRGAN (Wang et al. 2018, equations 1 and 2), with `networks.RRDBNet`.

Deviations: the default discriminator is that of DCGAN, of the same order of size, without the paper's dense layer; the
content is of pixels unless features are given, since the package ships no such network.

Reference:
    C. Ledig et al., "Photo-realistic single image super-resolution using a generative adversarial network",
    arXiv:1609.04802 (2017), equations 3 to 6; X. Wang et al., "ESRGAN", arXiv:1809.00219 (2018).
"""

import keras

from keras_gen import networks
from keras_gen.models.adversarial.gan import GAN
from keras_gen.models.adversarial.paired import PairedGAN
from keras_gen.models.super_resolution import Upscaling, check_radius, small_shape


@keras.saving.register_keras_serializable(package="keras_gen")
class SRGAN(Upscaling, PairedGAN):
    """A GAN whose generator makes images s times as large. `fit(x, y)` and `upscale` are as of `SuperResolution`.

    Players: `"generator"`, `"discriminator"`. The paper's optimizer: `keras.optimizers.Adam(1e-4)` for both, batches of
    16 patches of 96 pixels.

    Args:
        event_shape: `(height, width, channels)` of a large patch in training, sides that s divides.
        scale: s, an int >= 2; the paper's is 4.
        generator: any Keras network `(batch, h, w, c)` to `(batch, s h, s w, c)`; default `networks.SRResNet(scale)`.
        discriminator: of large images, to scores `(batch, 1)` or of patches; default `networks.DCGANDiscriminator`.
        content: c, "l2" (default), "l1" or a function of x and G(y) to `(batch,)`, such as `losses.Perceptual`.
        adversarial_weight: default 1e-3, the paper's.
        content_steps: steps of the generator for the content alone, default 0.
        radius: as of `SuperResolution`.
        **kwargs: as of `PairedGAN`: `loss`, `penalties`, `average`, `content_weight`, `seed` and so on.

    Raises:
        ValueError: as of `SuperResolution` and `PairedGAN`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import SRGAN
        >>> from keras_gen.networks import EDSR
        >>> model = SRGAN((16, 16, 3), scale=2, generator=EDSR(2, filters=4, blocks=1), seed=0)
        >>> model.compile("adam")
        >>> history = model.fit(np.zeros((8, 16, 16, 3)), np.zeros((8, 8, 8, 3)), verbose=0)
        >>> model.upscale(np.zeros((5, 7, 3))).shape
        (10, 14, 3)

    Reference:
        Ledig et al. 2017, arXiv:1609.04802, equations 3 to 6.
    """

    def __init__(
        self, event_shape, scale, *, content="l2", adversarial_weight=1e-3, content_steps=0, radius=None, **kwargs
    ):
        self.scale = scale
        super().__init__(
            event_shape, small_shape(event_shape, scale), content=content, adversarial_weight=adversarial_weight,
            content_steps=content_steps, conditional_discriminator=False, **kwargs,
        )  # fmt: skip
        self.scale = int(scale)
        self.radius = check_radius(getattr(self.generator, "radius", None) if radius is None else radius, "radius")

    def default_generator(self):
        return networks.SRResNet(self.scale, channels=self.event_shape[-1], dtype=self.dtype_policy)

    default_discriminator = GAN.default_discriminator

    @property
    def enlarging_network(self):
        return self.average_generator or self.generator

    def get_config(self):
        derived = ("condition_shape", "conditional_discriminator")
        config = {k: v for k, v in super().get_config().items() if k not in derived}
        return {**config, "scale": self.scale, "radius": self.radius}
