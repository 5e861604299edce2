"""LAPGAN: a pyramid of GANs, each of which adds the detail of one resolution.

With down() the mean over 2 x 2 pixels and up() bilinear interpolation to twice the size, an image x is its pyramid

    I_0 = x,    I_(k+1) = down(I_k),    l_k = up(I_(k+1)),    h_k = I_k - l_k,        k = 0 ... K - 1,

since I_k = l_k + h_k exactly, from the coarsest I_K up. One GAN makes I_K from noise, and for each k a conditional GAN
makes the detail h_k given the coarse image l_k; its discriminator sees the pair of detail and coarse image, so that it
judges whether this detail belongs to this image (Denton et al. 2015, section 3.2):

    discriminator_k:    E d(D_k(h_k, l_k), D_k(G_k(z_k, l_k), l_k))        generator_k:    E g(D_k(G_k(z_k, l_k), l_k))

for k = K both without l_k. No level sees another one's fakes, so that all are trained at once, on the pyramids of the
data; samples go from coarse to fine, each level given what the levels below it made,

    x_K = G_K(z_K),    x_k = up(x_(k+1)) + G_k(z_k, up(x_(k+1))).

Deviations: the paper adds l_k to h_k before D_k's first layer, here l_k joins it as channels, of which a first layer
can make the sum; down() is a mean and not a Gaussian blur.

Reference:
    E. Denton, S. Chintala, A. Szlam, R. Fergus, "Deep generative image models using a Laplacian pyramid of adversarial
    networks", arXiv:1506.05751 (2015), eq. 5 and section 3.2.
"""

import keras
from keras import ops

from keras_gen import networks, random
from keras_gen.models import inputs
from keras_gen.models.adversarial.gan import GAN
from keras_gen.models.base import Batch, GenerativeModel
from keras_gen.models.latent import refuse_condition


@keras.saving.register_keras_serializable(package="keras_gen")
class LAPGAN(GenerativeModel):
    """A GAN for the coarsest image and one for each level of detail, trained together. `model(x)` gives their scores.

    Players: `"generator_0"`, `"discriminator_0"` (the finest detail), ..., `"generator_K"`, `"discriminator_K"` (the
    coarsest image). `model(x)` is `(batch, K + 1)`.

    Args:
        event_shape: `(height, width, channels)`, both sides divisible by 2^levels.
        latent_dim: dimension of the coarsest image's noise, default 64; a level of detail has a plane of noise.
        levels: K, default 2.
        gans: list of K + 1 GANs, finest first, of the shapes of the pyramid and all but the last with
            `condition_shape` equal to their `event_shape`. Default: made of the arguments below.
        bounds: pair to which samples are clipped, default (0, 1); None: sums are left as they are.
        loss, penalties, average: of each level, as of `GAN`.
        seed: of the training noise.

    Raises:
        ValueError: data that are no images, a side that 2^levels does not divide, GANs of other shapes.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import LAPGAN
        >>> model = LAPGAN((8, 8, 1), latent_dim=4, levels=1, seed=0)
        >>> sorted(model.players)
        ['discriminator_0', 'discriminator_1', 'generator_0', 'generator_1']
        >>> details, coarsest = model.pyramid(np.ones((2, 8, 8, 1), "float32"))
        >>> tuple(coarsest.shape), model.sample(2, seed=0).shape
        ((2, 4, 4, 1), (2, 8, 8, 1))

    Reference:
        Denton et al. 2015, arXiv:1506.05751, section 3.2.
    """

    def __init__(
        self, event_shape, latent_dim=64, *, levels=2, gans=None, bounds=(0.0, 1.0), loss="non_saturating",
        penalties=(), average=0.999, seed=None, **kwargs,
    ):  # fmt: skip
        refuse_condition(type(self).__name__, kwargs)
        super().__init__(event_shape, **kwargs)
        self.levels = inputs.check_count(levels, "levels")
        self.bounds = _check_bounds(bounds)
        shapes = pyramid_shapes(self.event_shape, self.levels)
        options = {"loss": loss, "penalties": penalties, "average": average}
        self.gans = gans or self._default_gans(shapes, latent_dim, options, seed)
        _check_gans(self.gans, shapes)

    def _default_gans(self, shapes, latent_dim, options, seed):
        options = {**options, "dtype": self.dtype_policy}
        seeds = [None if seed is None else seed + k for k in range(len(shapes))]
        details = [
            GAN(
                shape,
                shape[0] * shape[1],
                generator=networks.DetailGenerator(shape, dtype=self.dtype_policy),
                condition_shape=shape,
                seed=seeds[k],
                name=f"level_{k}",
                **options,
            )
            for k, shape in enumerate(shapes[:-1])
        ]
        return [*details, GAN(shapes[-1], latent_dim, seed=seeds[-1], name=f"level_{self.levels}", **options)]

    @property
    def players(self):
        pairs = ("generator", "discriminator")
        return {f"{name}_{k}": gan.players[name] for k, gan in enumerate(self.gans) for name in pairs}

    # The pyramid.

    def pyramid(self, x):
        """[(h_0, l_0), ..., (h_(K-1), l_(K-1))] and I_K of images `(batch, *event_shape)`."""
        return pyramid(self._event(x), self.levels)

    def batches(self, x, sample_weight=None):
        """What each level trains on: a `Batch` of details given coarse images, and last of the coarsest images."""
        details, coarsest = self.pyramid(x)
        return [Batch(h, coarse, sample_weight) for h, coarse in details] + [Batch(coarsest, None, sample_weight)]

    def call(self, x, training=False):
        """The score of each level, finest first: `(batch, K + 1)`."""
        scores = [gan.score(b.x, b.condition) for gan, b in zip(self.gans, self.batches(self._event(x)), strict=True)]
        return ops.stack(scores, axis=-1)

    # Training.

    def update(self, batch):
        logs = {}
        for k, (gan, part) in enumerate(zip(self.gans, self.batches(batch.x, batch.sample_weight), strict=True)):
            d = self.minimize(lambda gan=gan, part=part: gan.discriminator_terms(part), f"discriminator_{k}", part)
            gan._clip_weights()
            g = self.minimize(lambda gan=gan, part=part: gan.generator_terms(part), f"generator_{k}", part)
            gan.end_step()
            logs |= {_at_level(name, k): value for name, value in {**d, **g}.items()}
        return logs

    def objective(self, x, condition=None, training=False):
        """The losses of each level's players, for `evaluate`: `loss` is the sum of the discriminators'."""
        logs = {}
        for k, (gan, part) in enumerate(zip(self.gans, self.batches(x), strict=True)):
            terms = gan.objective(part.x, part.condition)
            terms = {name: value for name, value in terms.items() if name != "loss"}
            logs |= {_at_level(name.replace("_loss", f"_{k}_loss"), k): value for name, value in terms.items()}
        return {"loss": sum(logs[f"discriminator_{k}_loss"] for k in range(self.levels + 1)), **logs}

    # Samples.

    def generate(self, keys, condition=None, temperature=1.0):
        x = self.gans[-1].generate(random.fold_in(keys, self.levels), temperature=temperature)
        for k in reversed(range(self.levels)):
            x = enlarged(x)
            x = x + self.gans[k].generate(random.fold_in(keys, k), x, temperature)
        return x if self.bounds is None else ops.clip(x, *self.bounds)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        own = {"levels": self.levels, "bounds": self.bounds}
        return {**super().get_config(), **own, "gans": [serialize(gan) for gan in self.gans]}


def pyramid(x, levels):
    """[(h_0, l_0), ..., (h_(K-1), l_(K-1))] and I_K of images, K = `levels`."""
    details = []
    for _ in range(levels):
        coarse = ops.average_pool(x, 2, 2, data_format="channels_last")
        blurred = enlarged(coarse)
        details.append((x - blurred, blurred))
        x = coarse
    return details, x


def enlarged(x):
    """up(x): twice the height and width, bilinear."""
    size = (2 * x.shape[1], 2 * x.shape[2])
    return ops.image.resize(x, size, interpolation="bilinear", data_format="channels_last")


def pyramid_shapes(event_shape, levels):
    """Shapes of I_0 ... I_K."""
    if len(event_shape) != 3 or any(side % 2**levels for side in event_shape[:2]):
        raise ValueError(
            f"Expected images (height, width, channels) whose sides 2^levels = {2**levels} divides. "
            f"Received: event_shape={event_shape}, levels={levels}. Pad the images, or take fewer levels."
        )
    height, width, channels = event_shape
    return [(height // 2**k, width // 2**k, channels) for k in range(levels + 1)]


def _check_gans(gans, shapes):
    received = [(gan.event_shape, gan.condition_shape) for gan in gans]
    expected = [(shape, shape) for shape in shapes[:-1]] + [(shapes[-1], None)]
    if received != expected:
        raise ValueError(f"Expected `gans` of (event_shape, condition_shape) {expected}. Received: {received}.")
    others = [type(gan).__name__ for gan in gans if type(gan).update is not GAN.update]
    if others:
        raise ValueError(f"Expected `gans` whose training step is that of `GAN`. Received: {others}.")
    if any(gan.discriminator_steps != 1 for gan in gans):
        raise ValueError("Expected `discriminator_steps=1` of each of the `gans`: a level takes one step at a time.")


def _check_bounds(bounds):
    if bounds is not None and not (len(bounds) == 2 and bounds[0] < bounds[1]):
        raise ValueError(f"Expected `bounds` as (low, high), or None. Received: {bounds!r}.")
    return None if bounds is None else (float(bounds[0]), float(bounds[1]))


def _at_level(name, k):
    """Losses have the level in the player's name."""
    return name if name.endswith("_loss") else f"{name}_{k}"
