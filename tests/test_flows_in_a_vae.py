"""Flows inside a VAE: as its posterior, its prior and its likelihood."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import distributions, layers, random
from keras_gen.models import IWAE, VAE, NormalizingFlow

X = (np.random.default_rng(0).uniform(size=(64, 12)) > 0.5).astype("float32")


def posterior(kind):
    if kind == "planar":
        return layers.Chain([layers.Planar((8,)), layers.Planar()])
    return layers.Chain([layers.AffineCoupling((8,), conditional=True), layers.Permutation("swap")])


@pytest.mark.parametrize("kind", ["planar", "coupling"])
def test_a_flow_posterior_gives_the_bound_that_its_density_says(kind):
    head = layers.FlowHead((3,), posterior(kind))
    model = VAE((12,), 3, posterior=head, seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(X, epochs=6, verbose=0, seed=0).history["loss"]
    assert history[-1] < history[0]
    q = model.posterior(X)
    z, log_q = q.generate_and_log_density(random.keys(1, 64))
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (log_q, q.log_density(z))), atol=1e-3)
    assert model.encode(X).shape == (64, 3) and model.log_prob(X, num_samples=4).shape == (64,)


def test_a_flow_is_a_prior_and_is_trained_with_the_model():
    prior = NormalizingFlow((3,), [layers.AffineCoupling((8,)), layers.Permutation("swap")])
    model = VAE((12,), 3, prior=prior, seed=0)
    before = [ops.convert_to_numpy(v) for v in prior.trainable_variables]
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(X, epochs=2, verbose=0, seed=0)
    assert all((ops.convert_to_numpy(v) != b).any() for v, b in zip(prior.trainable_variables, before, strict=True))
    assert model.sample(5, seed=0).shape == (5, 12)


def dropout_head():
    network = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.5, seed=1)])
    return layers.FlowHead((3,), layers.AffineCoupling(network, conditional=True)), network.layers[1]


def test_dropout_in_the_couplings_of_a_posterior_acts_in_training_alone():
    """A step of training draws masks and one of evaluation none; the draw and its density come of one pass."""
    head, dropout = dropout_head()
    model = VAE((12,), 3, posterior=head, seed=0)
    model.compile(keras.optimizers.SGD(1e-2))
    drawn = lambda: int(ops.convert_to_numpy(dropout.seed_generator.state)[1])  # noqa: E731
    before = drawn()
    model.evaluate(X, verbose=0)
    assert drawn() == before
    model.fit(X, epochs=1, batch_size=32, verbose=0)
    assert drawn() == before + 2
    keys, h = random.keys(0, 64), ops.ones((64, 4))
    head, _ = dropout_head()
    for training in (True, False):
        q = head.distribution(h, training)
        head.bijection.conditioner.to_raw.kernel.assign(np.full((8, 2), 0.3))
        one, two = (ops.convert_to_numpy(q.generate(keys)) for _ in range(2))
        assert (np.abs(one - two).max() > 1e-3) == training


def test_a_draw_does_not_ask_where_the_posterior_lies(monkeypatch):
    """The size of the batch is that of the base: no further pass of the flow."""
    model = VAE((12,), 3, posterior=layers.FlowHead((3,), posterior("coupling")), seed=0)
    q = model.posterior(X)
    monkeypatch.setattr(distributions.Transformed, "location", None)
    assert tuple(model.draw(q).shape) == tuple(model.drawn(q)[0].shape) == (64, 3)
    assert tuple(model.drawn(q, copies=4)[0].shape) == (64, 3) and q.full_shape() == (64, 3)


@pytest.mark.parametrize("model", [VAE, IWAE])
def test_a_flow_is_a_likelihood(model):
    """A conditional flow of x given z: its domain is checked before compute, its reconstruction the base's image."""
    head = layers.FlowHead((12,), [layers.Logit(), layers.AffineCoupling((8,), conditional=True)])
    model = model((12,), 3, likelihood=head, seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    x = 0.25 + 0.5 * X
    history = model.fit(x, epochs=3, batch_size=16, verbose=0, seed=0).history["loss"]
    assert history[-1] < history[0]
    assert model.reconstruct(x).shape == x.shape and np.isfinite(model.log_prob(x, num_samples=2)).all()
    assert model.sample(5, seed=0).shape == (5, 12)
    p = model.observation(model.encode(x))
    np.testing.assert_allclose(model.reconstruct(x), ops.convert_to_numpy(p.location()), atol=1e-5)
    with pytest.raises(ValueError, match=r"Logit expects data in \[0, 1\]"):
        model.fit(2.0 * x + 0.1, verbose=0)


def mixture():
    return distributions.Mixture(np.zeros(2), distributions.Normal(np.zeros((2, 3)), 1.0, event_shape=(2, 3)))


def test_a_prior_has_a_density_with_a_gradient():
    """What has levels or labels rounds its events, so that no gradient would reach them: refused, however wrapped."""
    grey = NormalizingFlow((3,), [layers.AffineCoupling((8,))], levels=4)
    around = NormalizingFlow((3,), [layers.AffineCoupling((8,))], mixture())
    labels = distributions.Categorical(np.zeros((3, 5)), event_shape=(3,))
    for prior in (grey, labels, distributions.Bernoulli(np.zeros(3), event_shape=(3,))):
        with pytest.raises(ValueError, match="Expected `prior` as a density of continuous events"):
            VAE((12,), 3, prior=prior)
    with pytest.raises(ValueError, match=r"Expected `prior` of events of the shape of z, \(2,\)"):
        VAE((12,), 2, prior=around)
    with pytest.raises(NotImplementedError, match="a bound alone"):
        grey.generate_and_log_density(random.keys(0, 2))
    for prior in (around, mixture()):
        assert VAE((12,), 3, prior=prior).sample(2, seed=0).shape == (2, 12)


@pytest.mark.parametrize("part", ["prior", "posterior"])
def test_the_inverse_that_a_flow_keeps_is_that_of_the_trained_weights(part):
    """After `fit`, what comes of the kept inverse equals what comes of one computed afresh; it is kept once, not anew
    for each batch."""
    convolution = layers.Invertible1x1Conv("full", seed=0)
    prior = NormalizingFlow((3,), [convolution]) if part == "prior" else None
    own = {"prior": prior} if prior else {"posterior": layers.FlowHead((3,), convolution)}
    model = VAE((12,), 3, **own, seed=0)
    model.compile(keras.optimizers.SGD(3e-2))
    calls = {"prior": lambda: model.sample(6, seed=0, batch_size=3), "posterior": lambda: model.predict(X, verbose=0)}
    before = calls[part]()
    model.fit(X, epochs=2, batch_size=16, verbose=0)
    after, full = calls[part](), convolution.linear
    np.testing.assert_array_equal(*(ops.convert_to_numpy(v) for v in (full.kept_of, full.kernel)))
    assert np.abs(after - before).max() > 1e-4
    fresh = np.linalg.inv(ops.convert_to_numpy(full.kernel).astype("float64"))
    np.testing.assert_allclose(ops.convert_to_numpy(full.kept), fresh, atol=1e-5)
    full.kept_of.assign(np.zeros((3, 3)))
    np.testing.assert_allclose(calls[part](), after, atol=1e-6)
    model.fit(X, batch_size=16, verbose=0)
    assert np.abs(calls[part]() - after).max() > 1e-4
