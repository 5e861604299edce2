"""StyleGAN: the latent becomes a style, which steers each layer of the synthesis; noise makes what is random in detail.

With w = f(z, c) the style and n_l the noise of layer l (`networks.style`), a fake is y = g((w_l), (n_l)). In training

    mixing          with probability p an example has two latents: w_l = f(z_1) for l < L, f(z_2) for l >= L, L uniform
    R1              |grad D(x)|^2 / 2 in every 16th step of the discriminator (`losses.R1(..., every=16)`)
    path length     in every k-th step of the generator, on request, weight k (|J_w^T e| - a)^2 with a the running mean
                    of |J_w^T e|: steps in w are steps in y (`losses.path_length`)

so that layers do not lean on their neighbours' style, the game converges, and w is easy to walk. Samples are of one
style each, drawn to the mean style m of the average generator where that is asked for, with noise of temperature T:

    w' = m + psi T (w - m),        n_l = T times a draw of the sample's key:

psi is the truncation, and T = 0 the image of m without noise. Nothing bounds z, which the mapping normalises.

The weight of R1 grows with the number of pixels P, as in the authors' later program, which has 2e-4 P a batch size of
one: images that differ by a given amount at each pixel lie sqrt(P) apart, so that the same difference of scores takes
a squared gradient of 1/P. Theirs of 10 at 1024 x 1024, for data in [-1, 1], is 2.5 for data in [0, 1], whose gradients
are twice as large; the default is 2.5 P / 1024^2.

Reference:
    T. Karras, S. Laine, T. Aila, "A style-based generator architecture for GANs", arXiv:1812.04948 (2019).
    T. Karras et al., "Analyzing and improving the image quality of StyleGAN", arXiv:1912.04958 (2020), section 3.2 and
    appendix B, for the path length and lazy penalties.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_gen import backend, losses, networks, random
from keras_gen.losses.batches import batch_mean
from keras_gen.models import inputs
from keras_gen.models.adversarial.checks import check_between
from keras_gen.models.adversarial.gan import GAN
from keras_gen.networks.equalized import image_shape, style_filters

R1_AT_1024 = 2.5
_TINY = 1e-30  # a truncation of zero: it draws every style to the mean


class Draw(NamedTuple):
    """What an image is made of: latents `(n, latent_dim)`, a second set for layers from `crossover` on, noise."""

    z: object
    other: object = None
    crossover: object = None
    noise: object = None


@keras.saving.register_keras_serializable(package="keras_gen")
class StyleGAN(GAN):
    """A GAN whose generator is steered by styles. For images.

    Optimizers of the paper: `keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99)` for both.

    Args:
        event_shape: `(height, width, channels)`.
        latent_dim: dimension of z, default 128.
        generator: a `networks.StyleGenerator`; default by the size, with `modulation`.
        discriminator: as of `GAN`; default a `networks.StyleDiscriminator` by the size.
        modulation: of the default generator, "adain" (default) or "weights".
        mixing: probability of two styles in training, default 0.9 (the paper's); None for none.
        path_length: weight of the regularisation of path lengths, default None, none; the paper's is 2.
        path_length_every: steps of the generator from one time to the next, default 4 (the paper's).
        penalties: default `losses.R1(2.5 * height * width / 1024**2, every=16)`.
        **kwargs: as of `GAN`.

    Raises:
        ValueError: a generator of another kind or shape, a mixing outside of (0, 1); see also `GAN`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import StyleGAN
        >>> from keras_gen.networks import StyleDiscriminator, StyleGenerator
        >>> model = StyleGAN(
        ...     (8, 8, 1), 4, generator=StyleGenerator((8, 8, 1), 8, 2, (4, 4)),
        ...     discriminator=StyleDiscriminator((4, 4)), seed=0,
        ... )
        >>> model.compile("adam")
        >>> history = model.fit(np.ones((8, 8, 8, 1)), batch_size=4, verbose=0)
        >>> model.sample(2, seed=0, truncation=0.7).shape
        (2, 8, 8, 1)

    Reference:
        Karras et al. 2019, arXiv:1812.04948; Karras et al. 2020, arXiv:1912.04958.
    """

    def __init__(
        self, event_shape, latent_dim=128, *, generator=None, discriminator=None, modulation="adain", mixing=0.9,
        path_length=None, path_length_every=4, penalties=None, **kwargs,
    ):  # fmt: skip
        self.modulation = modulation
        penalties = default_r1(event_shape) if penalties is None else penalties
        super().__init__(
            event_shape, latent_dim, generator=generator, discriminator=discriminator, penalties=penalties, **kwargs
        )
        self.mixing = check_between(mixing, "mixing", 0.0, 1.0)
        self.path_length = check_between(path_length, "path_length", 0.0, np.inf)
        self.path_length_every = inputs.check_count(path_length_every, "path_length_every")
        _check_generator(self.generator, self.event_shape)
        self.mean_path_length = None
        if self.path_length is not None:
            self.mean_path_length = self.add_weight(
                shape=(), initializer="zeros", trainable=False, autocast=False, aggregation="mean",
                name="mean_path_length",
            )

    def default_generator(self):
        return networks.StyleGenerator(self.event_shape, modulation=self.modulation, dtype=self.dtype_policy)

    def default_discriminator(self):
        return networks.StyleDiscriminator(style_filters(self.event_shape), dtype=self.dtype_policy)

    def build(self, input_shape=None):
        if not self.generator.built:
            condition = (None, *self.condition_encoder.features_shape()) if self.conditional else None
            self.generator.build((None, self.latent_dim), condition)
        super().build(input_shape)

    # Images of styles.

    def draw(self, n, noise=None):
        """Latents and noise of n images; in training (`noise` is None), mixed at random."""
        source = noise or self.noise
        z = super().draw(n, source)
        pixels = source.normal((n, self.generator.synthesis.noise_size), dtype="float32")
        layers = self.generator.synthesis.num_layers
        if noise is not None or self.mixing is None or layers == 1:
            return Draw(z, noise=pixels)
        mixed = source.uniform((n,), dtype="float32") < self.mixing
        crossover = ops.where(mixed, source.integers((n,), 1, layers), layers)
        return Draw(z, super().draw(n, source), crossover, pixels)

    def styles(self, draw, condition=None, training=False, network=None):
        """w `(n, style_dim)` of a `Draw`; of mixed latents `(n, num_layers, style_dim)`."""
        network = network or self.generator
        encoded = None if condition is None else self.condition_encoder(condition)
        w = network.mapping(draw.z, encoded, training=training)
        if draw.other is None:
            return w
        first = ops.arange(network.synthesis.num_layers)[None, :] < ops.reshape(draw.crossover, (-1, 1))
        other = network.mapping(draw.other, encoded, training=training)
        return ops.where(first[:, :, None], w[:, None], other[:, None])

    def fake(self, z, condition=None, training=False, network=None):
        """Images of a `Draw`, or of latents without noise: `(batch, *event_shape)`."""
        draw = z if isinstance(z, Draw) else Draw(z)
        return self.synthesised(self.styles(draw, condition, training, network), draw.noise, network)

    def synthesised(self, w, noise=None, network=None):
        """Images of styles, in float32 at least."""
        return ops.cast((network or self.generator).synthesis(w, noise), self.real_dtype)

    # Training.

    def generator_terms(self, batch):
        terms = super().generator_terms(batch)
        if self.path_length is None:
            return terms
        due = self.steps % self.path_length_every == 0
        value = backend.when(due, lambda: self._path_length(batch), ops.zeros_like(terms["loss"]))
        return {**terms, "loss": terms["loss"] + value, "path_length": value}

    def _path_length(self, batch):
        """weight k (l - a)^2, `(batch,)`, after a has followed the mean of l by a hundredth."""
        n = ops.shape(batch.x)[0]
        draw = self.draw(n)
        w = self.styles(draw, batch.condition, training=True)
        direction = self.noise.normal((n, *self.event_shape), dtype=self.real_dtype)
        length = losses.path_length(lambda w: self.synthesised(w, draw.noise), w, direction)
        length = ops.cast(length, self.real_dtype)
        a = backend.no_grad(lambda: 0.99 * self.mean_path_length + 0.01 * batch_mean(length, 0))
        self.mean_path_length.assign(a)
        return self.path_length * self.path_length_every * (length - a) ** 2

    # Samples.

    def generate(self, keys, condition=None, temperature=1.0, truncation=None):
        network = self.average_generator or self.generator
        pixels = random.normal(random.fold_in(keys, 0), (network.synthesis.noise_size,))
        w = self.styles(Draw(self.latents(keys)), condition, network=network)
        psi = temperature if truncation is None else temperature * truncation
        return self.synthesised(network.mapping.truncated(w, psi), temperature * pixels, network)

    def sample(self, n, condition=None, *, truncation=None, **kwargs):
        """Samples from the generator; arguments and result as in `GenerativeModel.sample`.

        Args:
            truncation: psi >= 0, how far styles are from the mean one; default None: as far as they are, psi = 1. With
                0 all samples have the mean style, and differ by noise alone. The paper shows 0.7.

        Raises:
            ValueError: as there, and a negative truncation.
        """
        if truncation is not None:
            truncation = _check_psi(truncation)
        return super().sample(n, condition, truncation=truncation, **kwargs)

    def mix(self, a, b, crossover, condition=None, *, truncation=1.0, batch_size=None, verbose="auto"):
        """Images with the styles of `a` in the layers before `crossover`, and those of `b` in the others; no noise.

        The first layers set pose and shape, the last ones colour and texture.

        Args:
            a, b: latents `(n, latent_dim)`, such as `np.random.default_rng(0).normal(size=(n, latent_dim))`.
            crossover: from 0, all of b, to the number of layers, all of a.
            condition: `(n, ...)` for a conditional model.
            truncation: psi of both, default 1.
            batch_size, verbose: as in `sample`.

        Returns:
            numpy array `(n, *event_shape)`.

        Raises:
            ValueError: latents of another shape, a crossover that is no layer, a negative truncation.
        """
        a, b = (inputs.to_numpy(z, "z").astype(self.real_dtype) for z in (a, b))
        for z in (a, b):
            inputs.check_shape(z.shape, (self.latent_dim,), "z")
        layers = self.generator.synthesis.num_layers
        if len(a) != len(b) or not isinstance(crossover, (int, np.integer)) or not 0 <= crossover <= layers:
            raise ValueError(
                f"Expected as many a as b, and `crossover` as an integer from 0 to {layers}. "
                f"Received: {len(a)} and {len(b)}, crossover={crossover!r}."
            )
        truncation = _check_psi(truncation)
        condition = inputs.check_condition(self, self._repeat(condition, len(a)), len(a))
        arrays = {"a": a, "b": b, "crossover": np.full(len(a), crossover, "int32"), "condition": condition}
        extra = {"truncation": np.float32(truncation)}
        return self._in_batches(self._compiled("mix", self._mixed), arrays, extra, batch_size, verbose)

    def _mixed(self, a, b, crossover, truncation, condition=None):
        network = self.average_generator or self.generator
        w = self.styles(Draw(a, b, crossover), condition, network=network)
        return self.synthesised(network.mapping.truncated(w, truncation), None, network)

    def get_config(self):
        own = ("modulation", "mixing", "path_length", "path_length_every")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _check_psi(psi):
    """A number >= 0, zero as the least that is more."""
    zero = psi == 0 and not isinstance(psi, bool)
    return check_between(_TINY if zero else psi, "truncation", 0.0, np.inf)


def default_r1(event_shape):
    """The lazy penalty for images of this size."""
    height, width, _ = image_shape(event_shape)
    return losses.R1(R1_AT_1024 * height * width / 1024**2, every=16)


def _check_generator(generator, event_shape):
    if not isinstance(generator, networks.StyleGenerator):
        raise ValueError(f"Expected `generator` as a `StyleGenerator`. Received: {type(generator).__name__}.")
    if generator.synthesis.event_shape != event_shape:
        raise ValueError(
            f"Expected a generator with output (batch, *{event_shape}). Received: {generator.synthesis.event_shape}."
        )
