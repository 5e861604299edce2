"""Laws of the dtype policies: losses and densities are in float32 under half precision, and float64 is so throughout.

Nothing float32 can hide in a float64 computation: the gradient is held against central differences with steps of 1e-5,
in which one rounding to float32 would leave an error of a tenth.
"""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.backend.common import dtypes
from scipy import stats

from benchmarks import precision
from keras_gen import backend, distributions, layers, networks, random
from keras_gen.models import VAE, ProbabilisticPCA
from tests.cases import MODELS
from tests.wgan_gp import WGANGP, digits

JAX = keras.config.backend() == "jax"
X64 = not JAX or os.environ.get("JAX_ENABLE_X64") == "1"
float64 = pytest.mark.skipif(not X64, reason="JAX needs JAX_ENABLE_X64=1: run in a process of its own")
MIXED = ["mixed_float16", "mixed_bfloat16"]


@pytest.fixture(autouse=True)
def promotion(monkeypatch):
    """Keras's table of promotions is as it was, after each test."""
    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", dtypes.BIT64_TO_BIT32_DTYPE["float64"])


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


# Half precision.


@pytest.mark.parametrize("players", [1, 2])
@pytest.mark.parametrize("policy", MIXED)
def test_half_precision_holds_weights_gradients_and_densities_in_float32(policy, players):
    """Activations alone are in half precision."""
    found = precision.dtypes(policy, players)
    likelihood = "float32" if players == 1 else None
    expected = {"weights": "float32", "gradients": "float32", "log_likelihoods": likelihood}
    assert found == {**expected, "activations": policy.removeprefix("mixed_")}


@pytest.mark.parametrize("players", [1, 2])
def test_an_overflow_lowers_one_scale_and_skips_that_player_alone(players):
    """Each step of the player whose scale is too high is skipped and halves its scale; the other player steps."""
    found = precision.overflow("mixed_float16", players)
    assert found["only_it_skipped"]
    assert found["scale_factor"] == (0.5 if players == 1 else 0.5**5)  # the critic takes five steps


@pytest.mark.parametrize("policy, players", [("mixed_float16", 2), ("mixed_bfloat16", 1)])
def test_training_goes_on_from_a_file_bit_for_bit(policy, players):
    """Two epochs, a file and one more are three epochs: loss scales included."""
    assert precision.resumes(policy, players, n=128)


@float64
@pytest.mark.parametrize("players", [1, 2])
@pytest.mark.parametrize("policy, tolerance", [("float32", 1e-5), ("mixed_float16", 1e-2), ("mixed_bfloat16", 1e-1)])
def test_first_losses_are_those_of_float64(policy, tolerance, players):
    """The same weights, data and noise: the losses differ by the rounding of the policy, 24, 11 and 8 bits."""
    assert 0 < precision.difference(policy, players) < tolerance


# float64.


@pytest.mark.skipif(not JAX or X64, reason="for JAX without x64")
def test_float64_in_a_process_with_x64():
    """On JAX laws of float64 hold in a process with 64-bit numbers; all of them: JAX_ENABLE_X64=1 pytest -k float64."""
    which = "float64 and (scipy or student or unrounded)"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", which]
    done = subprocess.run(command, env={**os.environ, "JAX_ENABLE_X64": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


ASKING = {
    "model": lambda: VAE((4,), dtype="float64"),
    "head": lambda: layers.NormalHead((4,), dtype="float64"),
    "prior": lambda: layers.LearnedMixturePrior((4,), dtype="float64"),
    "conditional prior": lambda: layers.ConditionalNormalPrior((4,), num_classes=2, dtype="float64"),
    "draw": lambda: layers.Sampling(dtype="float64"),
    "condition": lambda: layers.ConditionEncoder(num_classes=3, dtype="float64"),
    "network": lambda: networks.MLP((4,), dtype="float64"),
    "layer inside of a model": lambda: VAE(
        (4,), encoder=keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="float64")])
    ),
    "noise": lambda: random.normal(random.keys(0, 2), (3,), dtype="float64"),
}


@pytest.mark.skipif(X64, reason="for JAX without x64")
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64:UserWarning")  # that of Keras's own layer
@pytest.mark.parametrize("asking", ASKING)
def test_without_x64_jax_refuses_to_pretend(asking):
    """Whatever of ours is asked for float64 says what to set, and computes nothing in float32."""
    with pytest.raises(ValueError, match="JAX_ENABLE_X64=1"):
        ASKING[asking]()


@float64
def test_float64_likelihood_is_that_of_scipy():
    """Probabilistic PCA, its parameters found by `fit`, against SciPy's normal of covariance W W' + s^2 I, to 1e-10."""
    x = digits()[:300].reshape(300, 64).astype("float64") + 1e-3 * np.random.default_rng(0).normal(size=(300, 64))
    model = ProbabilisticPCA((64,), latent_dim=5, dtype="float64")
    model.fit(x, batch_size=50, verbose=0)
    np.testing.assert_allclose(numbers(model.location), x.mean(0), rtol=0, atol=1e-12)
    w = numbers(model.components) * np.sqrt(numbers(model.eigenvalues) - numbers(model.variance))
    exact = stats.multivariate_normal(numbers(model.location), w @ w.T + numbers(model.variance) * np.eye(64))
    found = model.log_prob(x, verbose=0)
    assert found.dtype == "float64"
    np.testing.assert_allclose(found, exact.logpdf(x), rtol=1e-10)
    x = x.astype("float32")  # Keras hands data to `evaluate` in its floatx
    nll = model.evaluate(x, batch_size=70, verbose=0, return_dict=True)["nll"]
    assert nll == pytest.approx(-exact.logpdf(x).mean(), rel=1e-10)


@float64
def test_float64_bound_is_tight_for_the_exact_posterior():
    """A linear Gaussian VAE with its exact posterior: every draw weighs log p(x), which is SciPy's to 1e-10."""
    rng = np.random.default_rng(1)
    w, b, s, x = rng.normal(size=(2, 4)), rng.normal(size=4), 0.7, rng.normal(size=(6, 4))
    covariance = np.linalg.inv(np.eye(2) + w @ w.T / s**2)
    linear = {"encoder": keras.layers.Identity(dtype="float64"), "decoder": keras.layers.Identity(dtype="float64")}
    likelihood = layers.NormalHead((4,), scale=s, dtype="float64")
    model = VAE((4,), 2, likelihood=likelihood, posterior="multivariate_normal", dtype="float64", **linear)
    model.observation_head.projection.set_weights([w, b])
    root = np.linalg.cholesky(covariance)
    triangle = [np.log(root[0, 0] - 1e-5), root[1, 0], np.log(root[1, 1] - 1e-5)]
    raw = np.concatenate([-b @ w.T @ covariance / s**2, triangle])
    kernel = np.concatenate([w.T @ covariance / s**2, np.zeros((4, 3))], axis=1)
    model.posterior_head.projection.set_weights([kernel, raw])
    exact = stats.multivariate_normal(b, w.T @ w + s**2 * np.eye(4)).logpdf(x)
    for k in (1, 7):
        np.testing.assert_allclose(model.log_prob(x, num_samples=k, seed=k, verbose=0), exact, rtol=1e-10)
    np.testing.assert_allclose(model.elbo(x, seed=3, verbose=0), exact, rtol=1e-10)


def directional(model, loss, h=1e-5):
    """d loss / dw along a fixed direction: by our gradient, and by central differences."""
    variables = model.trainable_variables
    directions = [np.cos(np.arange(np.prod(v.shape))).reshape(v.shape) for v in variables]
    state = [(v, numbers(v)) for v in model.variables]  # the seeds among them: the noise stands still

    def at(step):
        for v, value in state:
            v.assign(value)
        for v, d in zip(variables, directions, strict=True):
            v.assign(numbers(v) + step * d)
        value, gradients = run()
        return float(ops.convert_to_numpy(value)), [numbers(g) for g in gradients]

    run = backend.compile(lambda: backend.value_and_grad(lambda: ops.mean(loss()), variables), lambda: model.variables)
    gradient = sum(float((g * d).sum()) for g, d in zip(at(0.0)[1], directions, strict=True))
    return gradient, (at(h)[0] - at(-h)[0]) / (2 * h)


SMOOTH = ["vae_laplace_full_posterior", "vae_student_t_skip", "vae_discretized_logistic_mixture", "conditional_prior"]


@float64
@pytest.mark.parametrize("name", SMOOTH)
def test_float64_throughout(name, monkeypatch):
    """The objective's gradient is its central difference to 1e-7 relative; one cast to float32 would leave 1e-2."""
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = MODELS[name].make(dtype="float64")
    finally:
        keras.config.set_dtype_policy(previous)
    x, y = MODELS[name].data(8)
    x = ops.convert_to_tensor(x.astype("float64"))
    condition = None if y is None else ops.convert_to_tensor(y)
    gradient, difference = directional(model, lambda: model.objective(x, condition, training=True)["loss"])
    assert gradient == pytest.approx(difference, rel=1e-7)


@float64
def test_float64_refuses_an_input_that_rounds():
    """A functional network casts to the dtype of its Input, float32 where none is given: refused, with the remedy."""
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="float64")])
    with pytest.raises(ValueError, match='keras.Input.*dtype="float64"'):
        VAE((4,), encoder=encoder, dtype="float64")


@float64
def test_float64_throughout_the_gradient_penalty():
    """The same of a critic's loss, which differentiates a gradient; in small steps, for its slope has kinks."""
    model = WGANGP((8, 8), dtype="float64")
    gradient, difference = directional(model, precision.losses(model)["critic"], h=1e-8)
    assert gradient == pytest.approx(difference, rel=1e-5)


@float64
def test_float64_data_reach_the_objective_unrounded():
    """Data 1 + 1e-9 noise: their variances of 1e-18 are found, which float32 would see as none."""
    noise = np.random.default_rng(0).normal(size=(200, 4))
    model = ProbabilisticPCA((4,), 2, minimum_variance=1e-30, dtype="float64")
    model.fit(1.0 + 1e-9 * noise, batch_size=50, verbose=0)
    eigenvalues = np.linalg.eigvalsh(np.cov(noise.T, bias=True))[::-1]
    np.testing.assert_allclose(numbers(model.eigenvalues), 1e-18 * eigenvalues[:2], rtol=1e-5)


@float64
def test_float64_training_falls_and_goes_on_from_a_file():
    """A float64 model trains, every weight and moment float64, and resumes bit for bit."""
    assert precision.trains("float64", 1, 2)["falls"]
    assert precision.resumes("float64", 1, n=128)
    assert set(precision.dtypes("float64", 1).values()) == {"float64"}


@float64
def test_float64_events_meet_float32_parameters():
    """Densities and divergences are computed in the wider dtype, also of a prior made in float32."""
    backend.check_dtype("float64", "test")
    z = np.linspace(-1, 1, 6).reshape(3, 2)
    wide, narrow = ops.convert_to_tensor(z), distributions.Normal(np.zeros(2, "float32"), 2.0, event_shape=(2,))
    np.testing.assert_allclose(numbers(narrow.log_density(wide)), stats.norm(0, 2).logpdf(z).sum(1), rtol=1e-14)
    q = distributions.Normal(wide, ops.convert_to_tensor(np.full((3, 2), 0.3)))
    exact = (0.5 * (0.15**2 + (z / 2) ** 2 - 1) - np.log(0.15)).sum(1)
    np.testing.assert_allclose(numbers(distributions.kl_divergence(q, narrow)), exact, rtol=1e-14)
    mixture = distributions.Mixture(ops.zeros((1,)), distributions.Normal(ops.zeros((1, 2)), 2.0, event_shape=(1, 2)))
    np.testing.assert_allclose(numbers(mixture.log_density(wide)), stats.norm(0, 2).logpdf(z).sum(1), rtol=1e-14)


@float64
def test_float64_densities_keep_their_tails():
    """log p(1) = -log(1 + exp(-a)) for logits a above 20, where torch's own softplus is off by 1e-9."""
    backend.check_dtype("float64", "test")
    logits = np.array([[21.0], [25.0], [-30.0]])
    p = distributions.Bernoulli(ops.convert_to_tensor(logits))
    exact = -np.logaddexp(0.0, -logits)[:, 0]
    np.testing.assert_allclose(numbers(p.log_density(ops.ones((3, 1), "float64"))), exact, rtol=0, atol=1e-14)
