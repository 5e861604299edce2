"""The registry of models: id to constructor, data and what the model can do.

A new model enters here and inherits the laws of `test_models.py`. `make(**kwargs)` builds it small, `data(n)` gives
`(x, y)` of real images, y being None for a model without a condition.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_gen import diffusion, layers
from keras_gen.datasets import bicubic, digits
from keras_gen.distributions import Mixture, Normal
from keras_gen.losses import R1
from keras_gen.models import (
    DCGAN,
    DDPM,
    EDM,
    FFJORD,
    GAN,
    IAF,
    IWAE,
    LAPGAN,
    LSGAN,
    MAF,
    NICE,
    PCA,
    SRGAN,
    VAE,
    VAEGAN,
    WGAN,
    WGANGP,
    AdversarialAutoencoder,
    Autoencoder,
    AutoregressiveModel,
    BiGAN,
    CausalCNN,
    CausalTransformer,
    CharRNN,
    ConditionalGAN,
    ConditionalVAE,
    CycleGAN,
    DenoisingAutoencoder,
    DiffusionModel,
    FlowMatching,
    ImprovedDDPM,
    InfoGAN,
    LinearAR,
    LinearDynamicalSystem,
    NeuralSpline,
    NormalizingFlow,
    PairedGAN,
    Pix2Pix,
    ProbabilisticPCA,
    ProgressiveGAN,
    RealNVP,
    RectifiedFlow,
    Reflow,
    ScoreSDE,
    StyleGAN,
    SuperResolution,
    WaveNet,
)
from keras_gen.networks import (
    EDSR,
    MLP,
    CausalConvolutions,
    ConvDecoder,
    ConvEncoder,
    DCGANDiscriminator,
    DCGANGenerator,
    DenoisingMLP,
    DenseDiscriminator,
    DenseGenerator,
    DetailGenerator,
    GrowingDiscriminator,
    GrowingGenerator,
    PatchDiscriminator,
    StyleDiscriminator,
    StyleGenerator,
    TranslationResNet,
    TranslationUNet,
    UNet,
)

LATENT_DIM = 3


@dataclass(frozen=True)
class Case:
    """A model, its data, and what the contract says of its family."""

    make: Callable
    data: Callable
    samples: bool = True
    learning_rate: float = 3e-3
    epochs: int = 3


def images(n):
    """The first n digits as `(n, 8, 8, 1)` in [0, 1], and their labels."""
    (x, y), _ = digits.load_data()
    return (x[:n, :, :, None] / 16.0).astype("float32"), y[:n].astype("int32")


def grey(n):
    """The middle of the digits as vectors `(n, 16)` in [0, 1]."""
    return images(n)[0][:, 2:6, 2:6].reshape(n, 16), None


def signed(n):
    """The same without bounds: centred and scaled."""
    return 2.0 * grey(n)[0] - 1.0, None


def narrow(n):
    """Four of them."""
    return signed(n)[0][:, 4:8], None


def rows(n):
    """The middle of the digits as sequences `(n, 8, 4)` of their rows."""
    return 2.0 * images(n)[0][:, :, 2:6, 0] - 1.0, None


def tokens(n):
    """The same, as integers 0, 1, 2, 3 in a float array."""
    return np.minimum(np.floor(4.0 * grey(n)[0]), 3.0), None


def pictures(n):
    """Images of more than 8 pixels, of odd height: `(n, 9, 12, 1)`."""
    return np.pad(images(n)[0], [(0, 0), (1, 0), (2, 2), (0, 0)]), None


def labelled(n):
    """Vectors and their labels."""
    return grey(n)[0], images(n)[1]


def with_vector(n):
    """Vectors, and two numbers: the ink in the left and in the right half."""
    x = images(n)[0]
    return grey(n)[0], np.stack([x[:, :, :4].mean((1, 2, 3)), x[:, :, 4:].mean((1, 2, 3))], axis=1)


def with_image(n):
    """The lower half of each digit `(4, 8, 1)`, given its upper half."""
    x = images(n)[0]
    return x[:, 4:], x[:, :4]


def _small(model, event_shape=(16,), networks=None, **fixed):
    """Constructor of `model` with small networks."""

    def make(**kwargs):
        encoder, decoder = (networks or _dense)()
        return model(
            event_shape, **{"latent_dim": LATENT_DIM, "encoder": encoder, "decoder": decoder, **fixed, **kwargs}
        )

    return make


def _dense():
    return MLP((16,), activation="tanh"), MLP((16,), activation="tanh")


def _skip():
    return MLP((16,), activation="tanh"), MLP((16, 16), activation="tanh", skip=True)


def _regular():
    return MLP((16,), dropout=0.2, normalization="batch"), MLP((16,), dropout=0.2, normalization="batch")


def _convolutional(event_shape=(9, 12, 1), skip=True):
    return ConvEncoder((4, 8), activation="elu"), ConvDecoder(event_shape, (8, 4), activation="elu", skip=skip)


def _convolutional_lower():
    return _convolutional((4, 8, 1), skip=False)


def _functional():
    """A Sequential encoder and a Functional decoder, as a user has them."""
    z = keras.Input((LATENT_DIM,))
    encoder = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16, activation="tanh")])
    return encoder, keras.Model(z, keras.layers.Dense(16, activation="tanh")(z))


def _functional_conditional():
    """Encoder and decoder of two inputs, `[x, condition]`."""

    def network(size):
        inputs = [keras.Input((size,)), keras.Input((2,))]
        return keras.Model(inputs, keras.layers.Dense(16, activation="tanh")(keras.layers.Concatenate()(inputs)))

    return network(16), network(LATENT_DIM)


def _ramp():
    return keras.optimizers.schedules.PolynomialDecay(0.1, 30, end_learning_rate=1.0)


def _vae_with_prior(make_prior, model=VAE, **fixed):
    """As `_small`, with a prior of its own for each model."""
    return lambda **kwargs: _small(model, **fixed)(prior=make_prior(), **kwargs)


def _mixture_prior():
    return layers.LearnedMixturePrior((LATENT_DIM,), components=4, seed=1)


def _conditional_prior():
    return layers.ConditionalNormalPrior((LATENT_DIM,), num_classes=10)


def _wide_prior():
    return Normal(np.zeros(LATENT_DIM, "float32"), 2.0, event_shape=(LATENT_DIM,))


def _head(head, event_shape=(16,), model=None, **options):
    """A VAE whose likelihood is a head of its own for each model."""
    fixed = model or {}
    return lambda **kwargs: _small(VAE, event_shape, **fixed)(
        likelihood=layers.get_head(head, event_shape, **options), **kwargs
    )


LATENT_VARIABLE = {
    "vae": Case(_small(VAE), grey),
    "vae_convolutional_skip": Case(_small(VAE, (9, 12, 1), _convolutional, skip=True), pictures),
    "vae_normal": Case(_small(VAE, likelihood="normal", sample_observation=True), signed),
    "vae_normal_shared_fixed_posterior_scale": Case(
        _head("normal", scale="shared", model={"posterior_scale": 0.5}), signed
    ),
    "vae_laplace_full_posterior": Case(_small(VAE, likelihood="laplace", posterior="multivariate_normal"), signed),
    "vae_logistic_laplace_posterior": Case(_small(VAE, likelihood="logistic", posterior="laplace"), signed),
    "vae_student_t_skip": Case(_small(VAE, networks=_skip, likelihood="student_t", skip=True), signed),
    "vae_full_normal_free_bits": Case(_small(VAE, likelihood="multivariate_normal", free_bits=0.25), signed),
    "vae_categorical_beta_schedule": Case(
        lambda **kwargs: _head("categorical", classes=4)(beta=_ramp(), **kwargs), tokens
    ),
    "vae_discretized_logistic_beta": Case(
        _head("discretized_logistic", bins=17, model={"beta": 4.0, "kl_per_dimension": True}), grey
    ),
    "vae_discretized_logistic_mixture": Case(
        _head("discretized_logistic_mixture", (8, 8, 1), components=3, bins=17), lambda n: (images(n)[0], None)
    ),
    "vae_mixture_prior": Case(_vae_with_prior(_mixture_prior), grey),
    "vae_wide_prior_functional": Case(_vae_with_prior(_wide_prior, networks=_functional), grey),
    "vae_regularised": Case(_small(VAE, networks=_regular), grey, epochs=5),
    "conditional_labels": Case(_small(ConditionalVAE, num_classes=10), labelled),
    "conditional_vector": Case(_small(ConditionalVAE, condition_shape=(2,)), with_vector),
    "conditional_image_convolutional": Case(
        _small(ConditionalVAE, (4, 8, 1), _convolutional_lower, condition_shape=(4, 8, 1)), with_image
    ),
    "conditional_functional": Case(
        _small(ConditionalVAE, networks=_functional_conditional, condition_shape=(2,)), with_vector
    ),
    "conditional_prior": Case(_vae_with_prior(_conditional_prior, ConditionalVAE, num_classes=10), labelled),
    "iwae": Case(_small(IWAE, num_samples=3), grey),
}

AUTOENCODERS = {
    "autoencoder": Case(_small(Autoencoder), signed, samples=False),
    "autoencoder_cross_entropy": Case(_small(Autoencoder, reconstruction="cross_entropy"), grey, samples=False),
    "denoising_gaussian": Case(_small(DenoisingAutoencoder, noise="gaussian"), signed, samples=False),
    "denoising_masking": Case(
        _small(DenoisingAutoencoder, noise="masking", reconstruction="cross_entropy"), grey, samples=False
    ),
}

CLOSED_FORM = {
    "pca": Case(lambda **kwargs: PCA((16,), **{"latent_dim": LATENT_DIM, **kwargs}), signed, epochs=1),
    "probabilistic_pca": Case(
        lambda **kwargs: ProbabilisticPCA((16,), **{"latent_dim": LATENT_DIM, **kwargs}), signed, epochs=1
    ),
    "linear_ar": Case(lambda **kwargs: LinearAR((8, 4), 2, **kwargs), rows, epochs=1),
    "linear_dynamical_system": Case(lambda **kwargs: LinearDynamicalSystem((8, 4), LATENT_DIM, **kwargs), rows),
}



def _pair(model, event_shape=(8, 8, 1), **fixed):
    """Constructor of an adversarial model with small dense networks."""

    def make(**kwargs):
        networks = {
            "generator": DenseGenerator(event_shape, (16,), "sigmoid"),
            "discriminator": DenseDiscriminator((16,)),
        }
        size = "noise_dim" if model is InfoGAN else "latent_dim"
        return model(event_shape, **{size: LATENT_DIM, **networks, **fixed, **kwargs})

    return make


def _encoding(model, **fixed):
    return lambda **kwargs: _pair(model, **fixed)(encoder=MLP((16,), activation="tanh"), **kwargs)


def _mixture_of_two():
    means = np.array([[-2.0] * LATENT_DIM, [2.0] * LATENT_DIM], "float32")
    return Mixture(np.zeros(2, "float32"), Normal(means, 0.5, event_shape=(2, LATENT_DIM)))


def _adversarial_autoencoder(**kwargs):
    networks = {"encoder": MLP((16,), activation="tanh"), "decoder": MLP((16,), activation="tanh")}
    networks["discriminator"] = DenseDiscriminator((16,))
    return AdversarialAutoencoder((8, 8, 1), LATENT_DIM, prior=_mixture_of_two(), **networks, **kwargs)


def _lapgan(**kwargs):
    """One level of detail above images of 4 x 4."""
    shape, seed = (8, 8, 1), kwargs.get("seed", 0)
    pair = {"generator": DetailGenerator(shape, (4,), 3), "discriminator": DenseDiscriminator((16,))}
    detail = GAN(shape, 64, **pair, condition_shape=shape, seed=seed, name="level_0", penalties=R1(1.0, every=2))
    coarsest = _pair(GAN, (4, 4, 1))(seed=seed + 1, name="level_1")
    return LAPGAN(shape, levels=1, gans=[detail, coarsest])


def _dcgan(**kwargs):
    pair = {"generator": DCGANGenerator((8, 8, 1), (8,)), "discriminator": DCGANDiscriminator((4, 8))}
    return DCGAN((8, 8, 1), LATENT_DIM, **pair, **kwargs)


def _style_gan(**kwargs):
    pair = {"generator": StyleGenerator((8, 8, 1), 6, 2, (6, 4)), "discriminator": StyleDiscriminator((4, 6))}
    options = {"penalties": R1(1.0, every=2), "path_length": 2.0, "path_length_every": 2}
    return StyleGAN((8, 8, 1), LATENT_DIM, **pair, **options, **kwargs)


def _progressive_gan(**kwargs):
    pair = {"generator": GrowingGenerator((8, 8, 1), (6, 4)), "discriminator": GrowingDiscriminator((4, 6))}
    return ProgressiveGAN((8, 8, 1), LATENT_DIM, **pair, fade_steps=2, hold_steps=1, **kwargs)


def _translated_pair(model, generator):
    """The lower half of a digit, made of its upper half."""
    return lambda **kwargs: model((4, 8, 1), generator=generator(), discriminator=PatchDiscriminator((4, 6)), **kwargs)


def _srgan(**kwargs):
    pair = {"generator": EDSR(2, 4, 1, channels=1), "discriminator": DenseDiscriminator((16,))}
    return SRGAN((8, 8, 1), 2, **pair, **kwargs)


def _cycle_gan(**kwargs):
    generators = [TranslationResNet((8, 8, 1), 2, 1) for _ in range(2)]
    discriminators = [PatchDiscriminator((4,)) for _ in range(2)]
    return CycleGAN((8, 8, 1), generators=generators, discriminators=discriminators, pool_size=32, **kwargs)


def negatives(n):
    """Digits, and digits of which black is white, without pairs."""
    x = images(n)[0]
    return x, 1.0 - x[::-1]


def reduced(n):
    """Digits, and the means over two by two of their pixels."""
    x = images(n)[0]
    return x, x.reshape(n, 4, 2, 4, 2, 1).mean(axis=(2, 4))


def small_images(n):
    return images(n)[0], None


ADVERSARIAL = {
    "gan": Case(_pair(GAN), small_images),
    "dcgan": Case(_dcgan, small_images),
    "lsgan": Case(_pair(LSGAN), small_images),
    "wgan": Case(_pair(WGAN, discriminator_steps=2), small_images),
    "wgan_gp": Case(_pair(WGANGP, discriminator_steps=2), small_images),
    "concatenation": Case(_pair(ConditionalGAN, condition="concatenation", num_classes=10), images),
    "projection": Case(_pair(ConditionalGAN, condition="projection", num_classes=10), images),
    "auxiliary": Case(
        _pair(ConditionalGAN, condition="auxiliary", num_classes=10, class_probabilities=[0.1] * 10), images
    ),
    "infogan": Case(_pair(InfoGAN, categorical=(4, 2), continuous=2), small_images),
    "bigan": Case(_encoding(BiGAN, penalties=R1(0.1)), small_images),
    "vae_gan": Case(_encoding(VAEGAN), small_images),
    "adversarial_autoencoder": Case(_adversarial_autoencoder, small_images),
    "lapgan": Case(_lapgan, small_images),
    "style_gan": Case(_style_gan, small_images),
    "progressive_gan": Case(_progressive_gan, small_images),
    "paired_gan": Case(_translated_pair(PairedGAN, lambda: TranslationUNet((4, 8, 1), (4, 6))), with_image),
    "pix2pix": Case(_translated_pair(Pix2Pix, lambda: TranslationUNet((4, 8, 1), (4, 6))), with_image),
    "srgan": Case(_srgan, reduced),
    "cycle_gan": Case(_cycle_gan, negatives),
}



def with_small(n):
    """Digits, and the same at half of the size."""
    x = images(n)[0]
    return x, np.stack([bicubic(image, (4, 4)) for image in x]).clip(0.0, 1.0)


def _super_resolution(seed=None, **kwargs):
    """It draws nothing: the seed is none of its arguments."""
    return SuperResolution((8, 8, 1), 2, EDSR(2, 4, 1, channels=1), **kwargs)


def _flow(levels=None, **fixed):
    """Every kind of bijection whose weights behave in their own way, in one chain."""

    def make(**kwargs):
        conditional = "num_classes" in fixed
        steps = [
            layers.ActNorm(), layers.SplineCoupling((8,), bins=4, conditional=conditional),
            layers.Invertible1x1Conv("full", seed=1), layers.FlowBatchNormalization(0.5), layers.AffineCoupling((8,)),
            layers.Planar(),
        ]  # fmt: skip
        return NormalizingFlow((16,), steps, levels=levels, **fixed, **kwargs)

    return make


def _flow_vae(**kwargs):
    posterior = layers.FlowHead((LATENT_DIM,), layers.Planar(conditioner=(8,)))
    prior = NormalizingFlow((LATENT_DIM,), [layers.AffineCoupling((8,)), layers.Permutation("swap")])
    return _small(VAE)(posterior=posterior, prior=prior, **kwargs)


def _recipe(model, **fixed):
    return lambda **kwargs: model((4,), units=(8,), **fixed, **kwargs)


FLOWS = {
    "nice": Case(_recipe(NICE, steps=2), narrow),
    "real_nvp": Case(_recipe(RealNVP, steps=2), narrow),
    "maf": Case(_recipe(MAF, steps=2, normalization="batch"), narrow),
    "iaf": Case(_recipe(IAF, steps=1, normalization=None), narrow),
    "neural_spline": Case(_recipe(NeuralSpline, steps=1, kind="autoregressive", bins=3), narrow),
    "ffjord": Case(_recipe(FFJORD, flow={"solver": "rk4", "steps": 2}), narrow),
    "flow": Case(_flow(), signed),
    "flow_of_labels_and_levels": Case(_flow(levels=17, num_classes=10), labelled),
    "flow_posterior_and_prior": Case(_flow_vae, grey),
}



def words(n):
    """Columns of the digits as sequences of six tokens 0, 1, 2, 3, the last of which may end one."""
    return np.minimum(images(n)[0][:, 1:7, 4, 0] * 4, 3).astype("int32"), None


def words_of_classes(n):
    """The same, and the digits they are of."""
    return words(n)[0], images(n)[1]


def wide_rows(n):
    """Rows of the digits as sequences `(n, 8, 1)`, and one number a time in steps of two, `(n, 4, 1)`."""
    x = 2.0 * images(n)[0][:, 3, :] - 1.0
    return x, x[:, ::2] ** 2


def _sequence(model, event_shape, **fixed):
    return lambda **kwargs: model(event_shape, **{**fixed, **kwargs})


SEQUENCES = {
    "autoregressive_model": Case(
        lambda **kwargs: AutoregressiveModel((8, 4), CausalConvolutions(6, (1, 2)), embedding_size=5, **kwargs), rows
    ),
    "causal_cnn": Case(
        lambda **kwargs: CausalCNN(
            (8, 4), **{"filters": 6, "dilations": (1, 2), "quantizer": layers.UniformQuantizer(9), **kwargs}
        ),
        rows,
    ),
    "wavenet": Case(
        _sequence(WaveNet, (8, 1), channels=6, skip_channels=6, dilations=(1, 2), condition_shape=(4, 1)), wide_rows
    ),
    "char_rnn": Case(_sequence(CharRNN, (6,), vocabulary_size=4, units=(8, 8), embedding_size=4, dropout=0.1), words),
    "causal_transformer": Case(
        _sequence(CausalTransformer, (6,), vocabulary_size=4, width=8, depth=1, heads=2, num_classes=10, stop_token=3),
        words_of_classes,
    ),
}

def planes(n):
    """Two of them."""
    return signed(n)[0][:, 5:7], None


def signed_images(n):
    """Digits in [-1, 1]."""
    return 2.0 * images(n)[0] - 1.0, None


def labelled_planes(n):
    """Two pixels and their labels."""
    return planes(n)[0], images(n)[1]


def signed_with_image(n):
    """The lower half of each digit in [-1, 1], given its upper half."""
    x, y = with_image(n)
    return 2.0 * x - 1.0, y


def planes_and_noise(n):
    """Pairs `(n, 2, 2)` of two pixels and normal noise."""
    x = planes(n)[0]
    return np.stack([x, np.random.default_rng(0).normal(size=x.shape)], axis=1).astype("float32"), None


def _diffusion(model=DiffusionModel, event_shape=(2,), **fixed):
    """Constructor of a diffusion model with a small network and few steps."""

    def make(**kwargs):
        channels = event_shape[-1] * (2 if model is ImprovedDDPM else 1)
        if len(event_shape) == 3:
            sizes = {"channels": 4, "multipliers": (1,), "blocks": 1, "attention": (), "heads": 2}
            network = UNet(event_shape, out_channels=channels, **sizes)
        else:
            network = DenoisingMLP(event_shape, hidden=(16,), features=8, out_channels=channels)
        return model(event_shape, network, **{"steps": 4, **fixed, **kwargs})

    return make


def _chain():
    return diffusion.LinearBeta(10, 0.01, 0.9)


def _reflow(**kwargs):
    return Reflow(_diffusion(RectifiedFlow)(**kwargs))


def small_planes(n):
    """Of a fifth of the size: of data as large as the noise, little can be learned beyond their variance."""
    return 0.2 * planes(n)[0], None


def small_labelled_planes(n):
    x, y = labelled_planes(n)
    return 0.2 * x, y


# Times are drawn anew in each epoch: the loss falls by more than it varies only over more of them.
LONGER = {"learning_rate": 2e-2, "epochs": 9}
DIFFUSION = {
    "diffusion": Case(_diffusion(), small_planes, **LONGER),
    "diffusion_of_images": Case(_diffusion(event_shape=(8, 8, 1), data_range=(-1.0, 1.0), levels=17), signed_images),
    "diffusion_of_labels": Case(_diffusion(num_classes=10, unconditional=0.2), small_labelled_planes, **LONGER),
    "diffusion_of_image": Case(
        _diffusion(event_shape=(4, 8, 1), condition_shape=(4, 8, 1), schedule="sigmoid"), signed_with_image
    ),
    "ddpm": Case(_diffusion(DDPM, schedule=_chain(), steps=None), small_planes, **LONGER),
    "improved_ddpm": Case(_diffusion(ImprovedDDPM, schedule=diffusion.Discrete(diffusion.Cosine(), 10)), planes),
    "score_sde": Case(_diffusion(ScoreSDE), small_planes, **LONGER),
    "edm": Case(_diffusion(EDM, data_scale=0.6), small_planes, **LONGER),
    "flow_matching": Case(_diffusion(FlowMatching), small_planes, **LONGER),
    "flow_matching_optimal": Case(_diffusion(FlowMatching, coupling="optimal"), small_planes, **LONGER),
    "rectified_flow": Case(_diffusion(RectifiedFlow), small_planes, **LONGER),
    "reflow": Case(_reflow, planes_and_noise, samples=False),
}

OF_IMAGES = {"super_resolution": Case(_super_resolution, with_small)}

MODELS = {**LATENT_VARIABLE, **AUTOENCODERS, **CLOSED_FORM, **FLOWS, **SEQUENCES, **DIFFUSION, **OF_IMAGES}
