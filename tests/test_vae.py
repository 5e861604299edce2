"""The laws of the variational family, held against a linear Gaussian model whose evidence is closed form.

z ~ N(0, I), x = W z + mu + sigma eps: then x ~ N(mu, W W^T + sigma^2 I), and the posterior is
N(M^-1 W^T (x - mu), sigma^2 M^-1), M = W^T W + sigma^2 I. With these weights the bound is the evidence.
"""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen import backend, layers
from keras_gen.callbacks import Anneal
from keras_gen.distributions import Normal, kl_divergence
from keras_gen.metrics import LatentUse
from keras_gen.models import IWAE, PCA, VAE, ConditionalVAE, ProbabilisticPCA
from keras_gen.networks import MLP, ConvDecoder
from tests.cases import grey, images, labelled

TORCH = keras.config.backend() == "torch"
W = np.array([[1.0, 0.3], [-0.5, 0.8], [0.2, -1.2], [0.7, 0.1]])
MU = np.array([0.5, -1.0, 2.0, 0.0])
SIGMA = 0.6
C = W @ W.T + SIGMA**2 * np.eye(4)
FLOOR = 1e-5  # of a learned scale


def linear(model=VAE, loose=0.0, **kwargs):
    """The linear Gaussian VAE, q the exact posterior; `loose` widens q by a factor exp(loose) and shifts its mean."""
    model = model(
        (4,),
        latent_dim=2,
        encoder=MLP(()),
        decoder=MLP(()),
        likelihood=layers.NormalHead((4,), scale=SIGMA),
        **{"posterior": "multivariate_normal", "seed": 0, **kwargs},
    )
    set_projection(model.observation_head, W.T, MU)
    inverse = np.linalg.inv(W.T @ W + SIGMA**2 * np.eye(2))
    tril = SIGMA * np.linalg.cholesky(inverse) * np.exp(loose)
    gain = W @ inverse
    spread = [np.log(tril[0, 0] - FLOOR), tril[1, 0], np.log(tril[1, 1] - FLOOR)]
    bias = np.concatenate([-MU @ gain + loose, spread])
    set_projection(model.posterior_head, np.concatenate([gain, np.zeros((4, 3))], axis=1), bias)
    return model


def set_projection(head, kernel, bias):
    head.projection.kernel.assign(kernel.astype("float32"))
    head.projection.bias.assign(bias.astype("float32"))


def twin():
    """Probabilistic PCA of the same W, mu and sigma."""
    u, s, _ = np.linalg.svd(W, full_matrices=False)
    model = ProbabilisticPCA((4,), latent_dim=2)
    for variable, value in [
        (model.location, MU),
        (model.components, u),
        (model.eigenvalues, s**2 + SIGMA**2),
        (model.variance, SIGMA**2),
    ]:
        variable.assign(np.asarray(value, "float32"))
    return model


def data(n, seed=0):
    return np.random.default_rng(seed).multivariate_normal(MU, C, n).astype("float32")


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def gradients(model, loss):
    """Gradient of the mean of `loss()` in all trainable variables, as numpy; the noise begins where it stood."""
    start = numbers(model.noise.state)
    _, found = backend.value_and_grad(lambda: ops.mean(loss()), model.trainable_variables)
    model.noise.state.assign(start)
    return [numbers(g) for g in found]


def assert_all_close(one, two, atol=1e-5):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# The bound and the evidence.


def test_the_bound_is_the_evidence_where_q_is_the_posterior():
    """ELBO = log p(x), at a single draw: log p(x, z) - log q(z given x) does not depend on z. KL formula included."""
    model, x = linear(), data(50)
    evidence = stats.multivariate_normal(MU, C).logpdf(x)
    np.testing.assert_allclose(model.elbo(x), evidence, rtol=0, atol=2e-4)  # cancels terms of 20 nats
    np.testing.assert_allclose(model.log_prob(x, num_samples=7), evidence, rtol=0, atol=2e-4)
    np.testing.assert_allclose(twin().log_prob(x), evidence, rtol=0, atol=2e-5)
    model.compile()
    nll = model.evaluate(np.repeat(x, 200, axis=0), batch_size=1000, verbose=0, return_dict=True)["nll"]
    assert nll == pytest.approx(-evidence.mean(), abs=0.06)  # the closed-form KL leaves noise in the reconstruction


def test_importance_sampling_finds_the_evidence():
    """With a wrong q, the estimate of log p(x) equals probabilistic PCA's within its Monte Carlo error."""
    model, x = linear(loose=0.3), data(20)
    estimate, exact = model.log_prob(x, num_samples=1000), twin().log_prob(x)
    assert np.abs(estimate - exact).max() < 0.15 and np.abs((estimate - exact).mean()) < 0.03
    assert (exact - model.elbo(x, num_samples=200)).min() > 0.05  # the bound itself is loose


def test_the_bound_tightens_with_the_number_of_samples():
    """E log 1/K sum w_k rises with K = 1, 4, 16, 64 and stays below the evidence."""
    model, x = linear(loose=0.4), np.repeat(data(16), 100, axis=0)
    bounds = [model.log_prob(x, num_samples=k, batch_size=800).mean() for k in (1, 4, 16, 64)]
    evidence = twin().log_prob(x).mean()
    assert np.all(np.diff([*bounds, evidence]) > 0)
    assert evidence - bounds[0] > 0.3 > 0.05 > evidence - bounds[-1]


def test_log_prob_in_chunks_equals_one_sweep(monkeypatch):
    """Many samples are computed in chunks, the last one filled up; the estimate does not know it."""
    from keras_gen.models import importance

    x = data(5)
    whole = linear(loose=0.4).log_prob(x, num_samples=11)
    monkeypatch.setattr(importance, "_ROWS", 20)
    np.testing.assert_allclose(linear(loose=0.4).log_prob(x, num_samples=11), whole, rtol=0, atol=1e-5)


def test_a_trained_linear_vae_reaches_probabilistic_pca():
    """On data of two hidden dimensions, training leads the bound to the closed-form maximum of the likelihood."""
    x = data(500)
    heads = {"likelihood": layers.NormalHead((4,), scale="shared"), "posterior": layers.NormalHead((2,), "global")}
    model = VAE((4,), 2, encoder=MLP(()), decoder=MLP(()), **heads, seed=0)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 400)))
    model.fit(x, batch_size=50, epochs=40, verbose=0)
    exact = ProbabilisticPCA((4,), latent_dim=2)
    exact.fit(x, verbose=0)
    best, reached = exact.log_prob(x).mean(), model.elbo(x, num_samples=16).mean()
    assert best - 0.03 < reached < best + 0.01
    assert np.exp(numbers(model.observation_head.raw_scale)) ** 2 == pytest.approx(float(exact.variance), abs=0.05)


def test_samples_have_the_covariance_of_the_model():
    """With `sample_observation`, x is drawn: covariance W W^T + sigma^2 I; without, it is E[x given z]: W W^T."""
    for drawn, expected in [(True, C), (False, W @ W.T)]:
        x = linear(sample_observation=drawn).sample(20000, seed=0, batch_size=20000)
        np.testing.assert_allclose(np.cov(x.T), expected, rtol=0, atol=0.08)  # about 5 standard errors
        np.testing.assert_allclose(x.mean(axis=0), MU, rtol=0, atol=0.06)


# The terms of the loss.


def test_kl_is_the_closed_formula():
    """KL_j = (s^2 + m^2 - 1 - log s^2) / 2, per dimension, for the standard prior."""
    model, x = VAE((16,), latent_dim=3, seed=0), grey(5)[0]
    q = model.posterior(ops.convert_to_tensor(x))
    m, s = numbers(q.mean()), numbers(q.scale)
    kl = numbers(model.kl(q, q.mean()))
    np.testing.assert_allclose(kl, 0.5 * (s**2 + m**2 - 1 - np.log(s**2)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("posterior", ["normal", "multivariate_normal"])
def test_the_closed_kl_is_the_mean_of_the_estimate(posterior):
    """Against another normal as prior, too: closed form = E_q[log q - log p] within the Monte Carlo error."""
    prior = Normal(np.array([0.5, -1.0], "float32"), np.array([2.0, 0.7], "float32"), event_shape=(2,))
    model = VAE((16,), latent_dim=2, prior=prior, posterior=posterior, seed=0)
    x = ops.convert_to_tensor(np.repeat(grey(1)[0], 4000, axis=0))
    q = model.posterior(x)
    z = model.draw(q)
    closed = numbers(model.kl(q, z)).reshape(4000, -1).sum(axis=1)
    estimate = numbers(q.log_density(z) - prior.log_density(z))
    assert closed.std() < 1e-4
    assert closed[0] == pytest.approx(estimate.mean(), abs=5 * estimate.std() / np.sqrt(4000))


def test_a_conditional_prior_has_its_closed_kl():
    """KL(q || p(z given y)) reads y: it is that of the two normals, per dimension."""
    prior = layers.ConditionalNormalPrior((2,), num_classes=10)
    model = ConditionalVAE((16,), latent_dim=2, num_classes=10, prior=prior, seed=0)
    x, y = (ops.convert_to_tensor(a) for a in labelled(6))
    q = model.posterior(x, y)
    expected = kl_divergence(q, prior.distribution(y), reduce=False)
    np.testing.assert_allclose(numbers(model.kl(q, q.mean(), y)), numbers(expected), rtol=0, atol=1e-6)


def test_loss_is_reconstruction_plus_beta_times_kl():
    """`beta` weighs the KL in the loss alone: `kl`, `reconstruction` and `nll` are logged as they are."""
    for beta in (0.0, 1.0, 4.0):
        model = linear(beta=beta)
        terms = {k: numbers(v) for k, v in model.objective(ops.convert_to_tensor(data(8))).items()}
        np.testing.assert_allclose(terms["loss"], terms["reconstruction"] + beta * terms["kl"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(terms["nll"], terms["reconstruction"] + terms["kl"], rtol=0, atol=1e-5)


def test_free_bits_are_a_floor_without_gradient():
    """Below lambda the KL costs lambda and pulls nowhere: the gradient is that of the reconstruction."""
    x = ops.convert_to_tensor(grey(16)[0])
    model = VAE((16,), latent_dim=3, free_bits=5.0, seed=0)
    terms = model.objective(x, training=True)
    np.testing.assert_allclose(numbers(terms["loss"]), numbers(terms["reconstruction"]) + 15.0, rtol=0, atol=1e-4)
    assert_all_close(
        gradients(model, lambda: model.objective(x, training=True)["loss"]),
        gradients(model, lambda: model.objective(x, training=True)["reconstruction"]),
    )


def test_free_bits_act_on_each_dimension_by_its_batch_mean():
    """A dimension above the floor keeps its own KL, example by example."""
    model = VAE((16,), latent_dim=2, free_bits=0.5, seed=0)
    kl = np.array([[0.0, 0.1], [3.0, 0.7]], "float32")
    np.testing.assert_allclose(numbers(model._freed(ops.convert_to_tensor(kl))), [[0.0, 0.5], [3.0, 0.5]])


@pytest.mark.parametrize("option", [{"free_bits": 0.5}, {"kl_per_dimension": True}])
def test_what_needs_a_kl_per_dimension_says_so(option):
    """No closed form per dimension: refused at construction, before any data."""
    for other in ({"posterior": "multivariate_normal"}, {"prior": layers.LearnedMixturePrior((2,))}):
        with pytest.raises(ValueError, match="closed form in each dimension"):
            VAE((16,), latent_dim=2, **option, **other)
    with pytest.raises(ValueError, match="no KL to weigh"):
        IWAE((16,), latent_dim=2, **option)


def test_a_fixed_posterior_scale_is_fixed():
    """s(x) is the number given, before and after training; the mean still learns."""
    model, x = VAE((16,), latent_dim=2, posterior_scale=0.3, seed=0), grey(64)[0]
    before = model.encode(x)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(x, epochs=2, verbose=0)
    scale = numbers(model.posterior(ops.convert_to_tensor(x)).scale)
    np.testing.assert_allclose(scale, 0.3, rtol=1e-6)
    assert np.abs(model.encode(x) - before).max() > 1e-2


# Annealing.


class Counting(VAE):
    """Counts how often its objective is written into a graph (on torch: run)."""

    calls = 0

    def objective(self, x, condition=None, training=False):
        type(self).calls += 1
        return super().objective(x, condition, training)


def annealed(beta, epochs, callbacks=()):
    Counting.calls = 0
    model = Counting((16,), 2, encoder=MLP((8,)), decoder=MLP((8,)), beta=beta, seed=0)
    model.compile()
    history = model.fit(grey(64)[0], batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks)).history
    return model, history, Counting.calls


def test_beta_follows_a_schedule_of_the_step():
    """At step t the loss is reconstruction + beta(t) KL, and nothing is traced again."""
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 4, end_learning_rate=2.0)
    _, _, once = annealed(schedule, epochs=1)
    model, history, calls = annealed(schedule, epochs=4)
    assert float(model.beta) == 2.0  # 0.0, 0.5, 1.0, 1.5, 2.0, 2.0, ...
    assert TORCH or calls == once
    weight = (np.array(history["loss"]) - history["reconstruction"]) / history["kl"]
    np.testing.assert_allclose(weight[2:], 2.0, rtol=0, atol=1e-3)
    assert 0.1 < weight[0] < 0.5 and 1.0 < weight[1] < 1.5  # means of two steps


def test_beta_follows_the_callback():
    """`Anneal` changes what is minimised, epoch by epoch, and nothing is traced again."""
    ramp = Anneal("beta", (0.0, 1.0), over=2)
    _, _, once = annealed(0.0, epochs=1)
    _, history, calls = annealed(0.0, epochs=4, callbacks=[ramp])
    weight = (np.array(history["loss"]) - history["reconstruction"]) / history["kl"]
    np.testing.assert_allclose(weight, [0.0, 0.5, 1.0, 1.0], rtol=0, atol=1e-3)
    assert history["beta"] == [0.0, 0.5, 1.0, 1.0]
    assert TORCH or calls == once


# Diagnostics of collapse.


def test_active_units_and_kl_by_hand():
    """Streamed in uneven batches, both are those of all examples: Var_x(E z_j) > 0.01 and the mean of KL_j."""
    rng = np.random.default_rng(0)
    means = (rng.normal(size=(100, 4)) * [2.0, 0.2, 0.05, 0.0] + [0.0, 5.0, 1.0, 3.0]).astype("float32")
    kl = rng.uniform(size=(100, 4)).astype("float32")
    metric = LatentUse(4, per_dimension=True)
    for rows in np.split(np.arange(100), [7, 8, 60]):
        metric.update_state(means[rows], kl[rows])
    result = {name: float(value) for name, value in metric.result().items()}
    assert result["active_units"] == (means.var(axis=0) > 0.01).sum() == 2
    np.testing.assert_allclose([result[f"kl_{j}"] for j in range(4)], kl.mean(axis=0), rtol=0, atol=1e-5)
    metric.reset_state()
    metric.update_state(means[:1], kl[:1])
    assert float(metric.result()["active_units"]) == 0


def test_diagnostics_during_fit():
    """`kl_j` sum to `kl`, and a posterior blind in one dimension has one active unit less."""
    x = data(64)
    model = VAE((4,), 2, encoder=MLP(()), decoder=MLP(()), likelihood="normal", kl_per_dimension=True, seed=0)
    kernel = numbers(model.posterior_head.projection.kernel).reshape(4, 2, 2)
    kernel[:, 1, 0] = 0.0  # the mean of z_1
    set_projection(model.posterior_head, kernel.reshape(4, 4), np.zeros(4))
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(x, validation_data=x, batch_size=30, verbose=0).history
    assert history["active_units"] == history["val_active_units"] == [1.0]
    assert history["val_kl_0"][0] + history["val_kl_1"][0] == pytest.approx(history["val_kl"][0], abs=1e-4)
    kl = numbers(model.kl(model.posterior(ops.convert_to_tensor(x)), None)).mean(axis=0)
    np.testing.assert_allclose([history["kl_0"][0], history["kl_1"][0]], kl, rtol=0, atol=1e-4)


@pytest.mark.parametrize("options", [{"posterior": "multivariate_normal"}, {"prior": layers.LearnedMixturePrior((2,))}])
def test_units_are_counted_under_any_posterior_and_prior(options):
    """Active units need no closed-form KL."""
    model = VAE((4,), 2, encoder=MLP(()), decoder=MLP(()), likelihood="normal", seed=0, **options)
    model.compile()
    assert model.evaluate(data(64), verbose=0, return_dict=True)["active_units"] == 2.0


# IWAE.


def iwae(num_samples):
    return linear(IWAE, loose=0.3, num_samples=num_samples)


def log_weights(model, x, count):
    """log w `(count, batch)` with the training noise, from the parts of the model."""
    tiled = ops.tile(x, (count, 1))
    q = model.posterior(tiled)
    z = model.draw(q, training=True, copies=count)
    log_w = model.observation(z).log_density(tiled) + model.prior_distribution().log_density(z) - q.log_density(z)
    return ops.reshape(log_w, (count, -1))


def test_iwae_of_one_sample_is_the_bound():
    """L_1 = log p(x, z) - log q(z given x), at the same noise."""
    model, x = iwae(1), ops.convert_to_tensor(data(8))
    start = numbers(model.noise.state)
    loss = numbers(model.objective(x, training=True)["loss"])
    model.noise.state.assign(start)
    np.testing.assert_allclose(loss, -numbers(log_weights(model, x, 1))[0], rtol=0, atol=1e-5)


def test_iwae_gradient_weighs_each_sample_by_its_normalised_weight():
    """Burda et al., eq. 14: the gradient of L_K is sum_k w~_k grad log w_k."""
    model, x = iwae(5), ops.convert_to_tensor(data(8))

    def weighted():
        log_w = log_weights(model, x, 5)
        return -ops.sum(ops.stop_gradient(ops.softmax(log_w, axis=0)) * log_w, axis=0)

    found = gradients(model, lambda: model.objective(x, training=True)["loss"])
    assert_all_close(found, gradients(model, weighted), atol=2e-5)
    assert max(np.abs(g).max() for g in found) > 1e-2


def test_iwae_bounds_rise_with_its_samples():
    """`evaluate` gives -L_K: tighter for K = 20 than for K = 1, and above the negative evidence."""
    x = np.repeat(data(16), 100, axis=0)
    nll = []
    for k in (1, 20):
        model = iwae(k)
        model.compile()
        nll.append(model.evaluate(x, batch_size=800, verbose=0, return_dict=True)["nll"])
    assert nll[0] > nll[1] + 0.1 > -twin().log_prob(x).mean() + 0.1


# Decoders and priors of other make.


def silenced(decoder, layer):
    """The decoder with the weights of its first layer at zero."""
    for variable in layer.trainable_variables:
        variable.assign(ops.zeros(variable.shape))
    return decoder


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_with_skip_z_reaches_every_layer(kind, skip):
    """With the first layer dead, x still depends on z if and only if z is led past it."""
    if kind == "dense":
        decoder = MLP((8, 8), skip=skip)
        model = VAE((16,), 2, decoder=decoder, skip=skip, seed=0)
        silenced(decoder, decoder.blocks[0])
    else:
        decoder = ConvDecoder((9, 9, 1), (4, 4), skip=skip)
        model = VAE((9, 9, 1), 2, decoder=decoder, skip=skip, seed=0)
        silenced(decoder, decoder.first)
    x = model.decode(np.array([[-2.0, 1.0], [1.0, 2.0]]))
    assert (np.abs(x[0] - x[1]).max() > 1e-4) == skip


@keras.saving.register_keras_serializable(package="keras_gen_tests")
class Wrapped(keras.layers.Layer):
    """Any generative model as a prior layer: `generate` and `log_density` are all that is asked."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.model = model

    def generate(self, keys, condition=None, temperature=1.0):
        return self.model.generate(keys, condition, temperature)

    def log_density(self, z, condition=None):
        return self.model.log_density(z, condition)

    def get_config(self):
        return {**super().get_config(), "model": keras.saving.serialize_keras_object(self.model)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("model")), **config)


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_prior_can_be_another_generative_model(wrapped, tmp_path):
    """Probabilistic PCA of the codes as p(z): its density enters the loss, its draws the samples, and both the file."""
    codes = ProbabilisticPCA((4,), latent_dim=2)
    codes.fit(data(200), verbose=0)
    before = numbers(codes.components)
    model = VAE((16,), latent_dim=4, decoder=MLP(()), prior=Wrapped(codes) if wrapped else codes, seed=0)
    x = ops.convert_to_tensor(grey(8)[0])
    q = model.posterior(x)
    expected = numbers(q.log_density(q.mean())) - codes.log_prob(numbers(q.mean()))
    np.testing.assert_allclose(numbers(model.kl(q, q.mean())), expected, rtol=0, atol=1e-4)
    model.compile()
    assert np.isfinite(model.fit(grey(64)[0], verbose=0).history["loss"]).all()
    np.testing.assert_array_equal(numbers(codes.components), before)
    kernel, bias = np.zeros((4, 16)), np.zeros(16)
    kernel[:, :4] = np.eye(4)
    set_projection(model.observation_head, kernel, bias)
    logits = model.sample(2000, seed=0, batch_size=2000)[:, :4]
    z = np.log(logits / (1 - logits))
    np.testing.assert_allclose(z.mean(axis=0), data(200).mean(axis=0), rtol=0, atol=0.2)
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_array_equal(loaded.sample(5, seed=1), model.sample(5, seed=1))


def test_a_mixture_prior_learns_with_the_model():
    """Codes in two clusters draw the components of a learned mixture towards them; the model prefers it to N(0, I)."""
    prior = layers.LearnedMixturePrior((2,), components=2, seed=0)
    x = np.where(np.arange(400)[:, None] % 2 == 0, 3.0, -3.0) + np.random.default_rng(0).normal(0, 0.3, (400, 4))
    bounds = []
    for p in (None, prior):
        keras.utils.set_random_seed(0)
        options = {"encoder": MLP(()), "decoder": MLP(()), "likelihood": layers.NormalHead((4,), scale=0.3)}
        model = VAE((4,), 2, **options, prior=p, seed=0)
        model.compile(keras.optimizers.Adam(0.03))
        model.fit(x.astype("float32"), batch_size=50, epochs=25, verbose=0)
        bounds.append(model.elbo(x, num_samples=8).mean())
    assert bounds[1] > bounds[0] + 0.05
    assert np.abs(numbers(prior.means)[0] - numbers(prior.means)[1]).max() > 0.5


# Networks of the user.


def functional(size, condition=None, name=None):
    """Dense network of one input, or of two: `[x, condition]`."""
    x = keras.Input((size,))
    inputs = x if condition is None else [x, keras.Input((condition,))]
    h = x if condition is None else keras.layers.Concatenate()(inputs)
    return keras.Model(inputs, keras.layers.Dense(6, activation="tanh")(h), name=name)


def sequential(size):
    return keras.Sequential([keras.Input((size,)), keras.layers.Dense(6, activation="tanh"), keras.layers.Dropout(0.1)])


@pytest.mark.parametrize("build", [functional, sequential])
def test_encoder_and_decoder_may_be_any_keras_model(build, tmp_path):
    """Functional and Sequential networks train, all of their weights, and come back from the file."""
    model = VAE((16,), latent_dim=2, encoder=build(16), decoder=build(2), seed=0)
    assert {id(v) for v in (*model.encoder.trainable_variables, *model.decoder.trainable_variables)} <= {
        id(v) for v in model.trainable_variables
    }
    model.compile()
    x = grey(64)[0]
    model.fit(x, verbose=0)
    model.save(str(tmp_path / "m.keras"))
    loaded = keras.saving.load_model(str(tmp_path / "m.keras"))
    np.testing.assert_array_equal(loaded.reconstruct(x[:5]), model.reconstruct(x[:5]))


def test_a_functional_network_takes_the_condition_as_its_second_input():
    """Encoder and decoder `[x, y]`: codes and decoded data depend on y."""
    model = ConditionalVAE(
        (16,), latent_dim=2, condition_shape=(3,), encoder=functional(16, 3), decoder=functional(2, 3), seed=0
    )
    x, z = np.repeat(grey(1)[0], 2, axis=0), np.zeros((2, 2))
    y = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    for output in (model.encode(x, y), model.decode(z, y)):
        assert np.abs(output[0] - output[1]).max() > 1e-3


def test_an_image_condition_stays_an_image():
    """A convolutional encoder sees y pixel by pixel: its first kernel has the channels of x and of y."""
    model = ConditionalVAE((12, 12, 1), latent_dim=2, condition_shape=(12, 12, 3), seed=0)
    assert model.encoder.stages[0].linear.kernel.shape[2] == 4


def test_a_conditional_model_uses_its_condition():
    """After a little training the right label explains a digit better than a wrong one, and decodes to its class."""
    (x, y), (encoder, decoder) = images(600), (MLP((64,)), MLP((64,)))
    model = ConditionalVAE((8, 8, 1), 2, num_classes=10, encoder=encoder, decoder=decoder, seed=0)
    model.compile(keras.optimizers.Adam(5e-3))
    model.fit(x, y, batch_size=50, epochs=10, verbose=0)
    right, wrong = (model.elbo(x, labels, num_samples=2, batch_size=600).mean() for labels in (y, (y + 3) % 10))
    assert right > wrong + 2.0
    means = np.stack([x[y == k].mean(axis=0) for k in range(10)]).reshape(10, -1)
    decoded = model.decode(np.zeros((10, 2)), np.arange(10)).reshape(10, -1)
    nearest = ((decoded[:, None] - means[None]) ** 2).sum(axis=-1).argmin(axis=1)
    assert (nearest == np.arange(10)).sum() >= 8


def test_a_prior_without_a_density_cannot_score():
    """PCA samples but has no density: the model says so when it is built."""
    with pytest.raises(NotImplementedError, match="PCA has no likelihood"):
        VAE((16,), latent_dim=4, prior=PCA((4,), latent_dim=2))


def test_validation_does_not_change_training():
    """With and without validation data the same weights come out: evaluation draws noise of its own."""
    x, weights = data(64), []
    for validation in (None, (data(32, seed=1),)):
        model = linear(VAE, loose=0.3)
        model.compile(keras.optimizers.SGD(1e-3))
        model.fit(x, batch_size=32, epochs=2, shuffle=False, verbose=0, validation_data=validation)
        weights.append([numbers(v) for v in model.trainable_variables])
    for one, two in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_posterior_without_a_gradient_is_refused():
    """Draws of a discrete posterior say nothing about its parameters."""
    with pytest.raises(ValueError, match="differentiable.*Bernoulli"):
        VAE((4,), posterior="bernoulli")
