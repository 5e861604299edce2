"""The same weights, inputs and seed give the same numbers on TensorFlow, JAX and torch.

Weights come from a formula, not from an initialiser. The numbers were written once, on one backend, by

    KERAS_BACKEND=tensorflow python -m tests.test_golden
"""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_gen.models import VAE, ConditionalVAE, ProbabilisticPCA
from keras_gen.networks import (
    EDSR,
    ESPCN,
    MLP,
    ConvDecoder,
    ConvEncoder,
    PatchDiscriminator,
    RRDBNet,
    SRResNet,
    TranslationResNet,
    TranslationUNet,
)

FILE = Path(__file__).parent / "golden" / "models.npz"
IMAGE_FILE = FILE.with_name("image_networks.npz")
N = 6


def wave(shape, phase):
    """Numbers in (-1, 1) that look irregular and are the same everywhere."""
    return np.sin(1.7 * np.arange(np.prod(shape, dtype=int)) + phase).reshape(shape).astype("float32")


def with_waves(model):
    """The model with every trainable weight from `wave`, over the root of the inputs of a unit."""
    for i, variable in enumerate(model.trainable_variables):
        inputs = max(1, np.prod(variable.shape[:-1], dtype=int))
        variable.assign(wave(tuple(variable.shape), i) / np.sqrt(inputs))
    return model


def vae():
    model = VAE((8,), latent_dim=3, encoder=MLP((7,)), decoder=MLP((7,)), likelihood="normal", sample_observation=True)
    return with_waves(model), wave((N, 8), 0.5), None


def conditional_vae():
    networks = {"encoder": ConvEncoder((3,)), "decoder": ConvDecoder((5, 6, 1), (3,))}
    model = ConditionalVAE((5, 6, 1), latent_dim=2, num_classes=4, **networks)
    return with_waves(model), (wave((N, 5, 6, 1), 0.5) > 0).astype("float32"), np.arange(N) % 4


def probabilistic_pca():
    model = ProbabilisticPCA((5,), latent_dim=2)
    components = np.linalg.qr(wave((5, 2), 0.0).astype("float64"))[0]
    for variable, value in [
        (model.location, wave((5,), 1.0)),
        (model.components, components * np.sign(components[0])),
        (model.eigenvalues, [2.0, 1.5]),
        (model.variance, 0.25),
    ]:
        variable.assign(np.asarray(value, "float32"))
    return model, wave((N, 5), 0.5), None


MODELS = {"vae": vae, "conditional_vae": conditional_vae, "probabilistic_pca": probabilistic_pca}


def computed(name):
    """Dict of what the model gives: samples, codes, reconstructions, densities."""
    model, x, y = MODELS[name]()
    condition = () if y is None else (y,)
    numbers = {
        "sample": model.sample(N, *condition, seed=11),
        "cool_sample": model.sample(N, *condition, seed=11, temperature=0.5),
        "code": model.encode(x, *condition),
        "reconstruction": model.reconstruct(x, *condition),
        "log_prob": model.log_prob(x, *condition, **({} if y is None and name != "vae" else {"num_samples": 5})),
    }
    if hasattr(model, "elbo"):
        numbers["elbo"] = model.elbo(x, *condition, seed=3, num_samples=2)
    return {f"{name}.{key}": value for key, value in numbers.items()}


IMAGE_NETWORKS = {
    "espcn": lambda: ESPCN(3, (4,)),
    "edsr": lambda: EDSR(2, 4, 1),
    "srresnet": lambda: SRResNet(4, 4, 1),
    "rrdb": lambda: RRDBNet(2, 4, 1, growth=2),
    "translation_resnet": lambda: TranslationResNet((9, 10, 3), 4, 1),
    "translation_unet": lambda: TranslationUNet((9, 10, 3), (4, 6, 8)),
    "patch_discriminator": lambda: PatchDiscriminator((4, 6)),
}


def image_output(name):
    """What a network of images gives for two of 9 x 10 pixels, not in training."""
    network = IMAGE_NETWORKS[name]()
    network.build((None, 9, 10, 3))
    return np.asarray(keras.ops.convert_to_numpy(with_waves(network)(wave((2, 9, 10, 3), 0.5))))


@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_networks_of_images_are_the_same_on_every_backend(name):
    """To 1e-5."""
    with np.load(IMAGE_FILE) as golden:
        np.testing.assert_allclose(image_output(name), golden[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_the_same_on_every_backend(name):
    """To 1e-5, of values and of nats (relative, where there are tens of them)."""
    with np.load(FILE) as golden:
        found = computed(name)
        assert sorted(found) == sorted(key for key in golden if key.startswith(f"{name}."))
        for key, value in found.items():
            np.testing.assert_allclose(value, golden[key], rtol=1e-5, atol=1e-5, err_msg=key)


if __name__ == "__main__":
    np.savez_compressed(FILE, **{key: value for name in MODELS for key, value in computed(name).items()})
    np.savez_compressed(IMAGE_FILE, **{name: image_output(name) for name in IMAGE_NETWORKS})
