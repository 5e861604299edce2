"""The same weights and seed give the same sequences on TensorFlow, JAX and torch, cached.

Weights come from a formula. The numbers were written once, on one backend, by

    KERAS_BACKEND=tensorflow python -m tests.test_golden_sequences
"""

from pathlib import Path

import numpy as np
import pytest

from keras_gen import layers
from keras_gen.models import CausalCNN, CausalTransformer, CharRNN, WaveNet
from tests.test_golden import wave, with_waves

FILE = Path(__file__).parent / "golden" / "sequences.npz"
N, LENGTH = 4, 40
MODELS = {
    "causal_cnn": lambda: CausalCNN((LENGTH, 2), filters=5, dilations=(1, 2)),
    "wavenet": lambda: WaveNet(
        (LENGTH, 1), channels=6, skip_channels=7, dilations=(1, 2, 4), quantizer=layers.MuLawQuantizer(64),
        num_classes=3,
    ),
    "wavenet_of_16_bits": lambda: WaveNet(
        (LENGTH, 1), channels=6, skip_channels=7, dilations=(1, 2, 4), quantizer=None,
        head="discretized_logistic_mixture",
    ),
    "lstm": lambda: CharRNN((LENGTH,), 7, units=(6,), embedding_size=5),
    "gru": lambda: CharRNN((LENGTH,), 7, units=(6, 5), cell="gru", embedding_size=5),
    "transformer": lambda: CausalTransformer((LENGTH,), 7, width=8, depth=2, heads=2),
}  # fmt: skip
# Noise of real numbers is equal to 1e-6 and fed back forty times; a level of 16 bits is 3e-5.
TOLERANCE = {"causal_cnn": 1e-4, "wavenet_of_16_bits": 1e-4}


def computed(name):
    """Dict of what the model gives: samples, truncated ones, and the log-probability of each element."""
    model = with_waves(MODELS[name]())
    condition = (np.arange(N) % 3,) if model.conditional else ()
    sample = model.sample(N, *condition, seed=11)
    numbers = {"sample": sample, "cool": model.sample(N, *condition, seed=11, temperature=0.5)}
    if model.classes is not None:
        numbers["truncated"] = model.sample(N, *condition, seed=11, top_k=4, top_p=0.8)
    x = sample if model.vocabulary_size else np.clip(wave((N, LENGTH, model.element_shape[0]), 0.5), -1, 1)
    return {**numbers, "log_prob": model.stepwise_log_prob(x, *condition)}


@pytest.mark.parametrize("name", MODELS)
def test_sequences_are_those_of_the_other_backends(name):
    """Integers are identical, real numbers within their tolerance."""
    numbers = computed(name)
    with np.load(FILE) as golden:
        for what, value in numbers.items():
            atol = 2e-4 if what == "log_prob" else TOLERANCE.get(name, 0)
            np.testing.assert_allclose(value, golden[f"{name}/{what}"], atol=atol, rtol=1e-5, err_msg=what)


if __name__ == "__main__":
    np.savez_compressed(
        FILE, **{f"{name}/{what}": value for name in MODELS for what, value in computed(name).items()}
    )
