"""Bad input is a `ValueError` that says what was expected and received, before any compute."""

import re

import keras
import pytest

from keras_gen.models import GAN, VAE, Autoencoder, DiffusionModel, NormalizingFlow
from tests import bad_inputs
from tests.wgan_gp import WGANGP


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(0)
    return bad_inputs.models()


@pytest.fixture
def no_compute(models, monkeypatch):
    """After the models are built, whatever computes fails with an error of its own."""

    def compute(*args, **kwargs):
        raise AssertionError("compute began before the input was checked")

    for family in (VAE, Autoencoder, DiffusionModel, NormalizingFlow, WGANGP):
        for name in ("objective", "generate", "log_density", "call"):
            monkeypatch.setattr(family, name, compute)
    monkeypatch.setattr(VAE, "log_weights", compute)
    for name in ("_begin", "_advance", "chain_terms", "flow_log_density"):
        monkeypatch.setattr(DiffusionModel, name, compute)
    for name in ("discriminator_terms", "generator_terms", "decoded", "latents"):  # its constructor tries the networks
        monkeypatch.setattr(GAN, name, compute)


@pytest.mark.parametrize(("call", "words"), [c[1:] for c in bad_inputs.CASES], ids=[c[0] for c in bad_inputs.CASES])
def test_bad_input(call, words, models, no_compute):
    """The message names what was expected and what was received."""
    with pytest.raises(ValueError) as caught:
        call(models)
    assert re.search(words, str(caught.value), re.DOTALL), str(caught.value)


def test_the_same_calls_work_with_good_input(models):
    """The table would be empty of meaning if the models refused everything."""
    x, labels, vectors = bad_inputs.X, bad_inputs.LABELS, bad_inputs.VECTORS
    models["vae"].fit(x, verbose=0)
    models["labelled"].fit(bad_inputs.Stream(x, labels), verbose=0, validation_data=(x, labels))
    models["conditioned"].fit(x, vectors, verbose=0)
    assert models["labelled"].sample(2, [0, 2], seed=1).shape == (2, 4)
    assert models["labelled"].log_prob(x, labels[:, None], num_samples=2).shape == (6,)
