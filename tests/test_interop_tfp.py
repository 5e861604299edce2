"""Interop with TensorFlow Probability: the same maps, densities, weights and draws on both sides; errors elsewhere.

TFP's own `assert_bijective_and_finite` and `assert_scalar_congruency` are not part of its package. What they assert is
asserted here, for every bijection of the registry.
"""

import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, random
from keras_gen import distributions as kd
from keras_gen import layers as kl
from keras_gen.interop import tfp as interop
from keras_gen.models import VAE, NormalizingFlow
from tests.bijection_cases import CASES
from tests.test_bijections import drawn, jacobian_log_det, made, numpy

ON_TENSORFLOW = keras.config.backend() == "tensorflow"
INSTALLED = ON_TENSORFLOW and find_spec("tensorflow_probability") is not None
needs_tfp = pytest.mark.skipif(not INSTALLED, reason="needs the TensorFlow backend and TensorFlow Probability")

if INSTALLED:
    import tensorflow as tf
    import tensorflow_probability as tfp

    tfb, tfd = tfp.bijectors, tfp.distributions


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(*numpy(a, b), rtol=tolerance, atol=tolerance)


def built(bijection, *shape):
    """A bijection with weights away from the identity."""
    bijection.build((None, *shape))
    for v in bijection.trainable_variables:
        v.assign(ops.convert_to_numpy(v) + 0.2 * np.random.default_rng(1).normal(size=v.shape))
    return bijection


def vectors(*shape):
    return ops.convert_to_tensor(np.random.default_rng(0).normal(size=shape), "float32")


# Elsewhere.


@pytest.mark.skipif(ON_TENSORFLOW, reason="of the other backends")
@pytest.mark.parametrize("name", interop.__all__)
def test_another_backend_is_told_of_at_the_call_and_nothing_is_imported_before(name):
    with pytest.raises(ValueError, match=f"{name}` expects the TensorFlow backend.*Set KERAS_BACKEND=tensorflow"):
        getattr(interop, name)(None)
    assert "tensorflow_probability" not in sys.modules


@pytest.mark.parametrize("name", interop.__all__)
def test_a_missing_package_is_named_with_the_way_to_install_it(name, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    monkeypatch.setattr(interop, "find_spec", lambda module: None if module == "tf_keras" else module)
    with pytest.raises(ImportError, match=r"Missing: tf-keras. .*pip install 'keras_gen\[tfp\]'.*--no-deps"):
        getattr(interop, name)(None)


# Our bijections as theirs.


@needs_tfp
@pytest.mark.parametrize("name", CASES)
def test_our_bijection_is_the_same_map_there_and_there_too_finite_and_bijective(name):
    case, bijection, tolerance = CASES[name], made(name), CASES[name].tolerance
    theirs = interop.as_tfp_bijector(bijection)
    event, latent = case.shape, bijection.latent_shape(case.shape)
    assert theirs.forward_min_event_ndims == len(event) and theirs.inverse_min_event_ndims == len(latent)
    assert tuple(theirs.forward_event_shape(event)) == latent and tuple(theirs.inverse_event_shape(latent)) == event
    (x, given), (z, _) = drawn(name), drawn(name, latent=True)
    extra = {} if given is None else {"condition": tf.reshape(given, (2, 3, *given.shape[1:]))}
    for start, there, back, direction in (
        (x, "forward", "inverse", bijection.forward_and_log_det),
        (z, "inverse", "forward", bijection.inverse_and_log_det),
    ):
        value = tf.reshape(start, (2, 3, *start.shape[1:]))
        image = getattr(theirs, there)(value, **extra)
        log_det = getattr(theirs, f"{there}_log_det_jacobian")(value, **extra)
        for mine, other in zip(direction(start, given), (image, log_det), strict=True):
            close(tf.reshape(other, mine.shape), mine)
        copy = tf.identity(image)  # a tensor that TFP does not remember
        close(getattr(theirs, back)(copy, **extra), value, tolerance)
        close(getattr(theirs, f"{back}_log_det_jacobian")(copy, **extra), -log_det, tolerance)
        assert log_det.shape == (2, 3) and np.isfinite(image).all() and np.isfinite(log_det).all()


SCALARS = {
    "exp": (kl.Exp, -2.0, 2.0),
    "softplus": (kl.Softplus, -3.0, 3.0),
    "sigmoid": (kl.Sigmoid, -3.0, 3.0),
    "tanh": (kl.Tanh, -2.0, 2.0),
    "leaky_relu": (kl.LeakyReLU, -2.0, 3.0),
    "logit": (kl.Logit, 0.1, 0.9),
    "affine": (kl.ElementwiseAffine, -2.0, 2.0),
    "inverse": (lambda: kl.Inverse(kl.Softplus()), 0.1, 3.0),
    "chain": (lambda: kl.Chain([kl.ElementwiseAffine(), kl.Tanh()]), -1.0, 1.0),
}


@needs_tfp
@pytest.mark.parametrize("name", SCALARS)
def test_a_map_of_numbers_is_monotone_and_its_slope_integrates_to_the_interval(name):
    make, low, high = SCALARS[name]
    theirs = interop.as_tfp_bijector(built(make()))
    x = np.linspace(low, high, 2001).astype("float32")
    y = theirs.forward(x)
    assert theirs.forward_min_event_ndims == 0 and (np.diff(y) > 0).all()
    close(theirs.inverse(tf.identity(y)), x, 1e-4)
    grid = tf.linspace(y[0], y[-1], 2001)
    slope = tf.exp(theirs.inverse_log_det_jacobian(grid))
    np.testing.assert_allclose(np.trapezoid(slope, grid), high - low, rtol=1e-3)
    close(slope * tf.exp(theirs.forward_log_det_jacobian(theirs.inverse(grid))), tf.ones_like(slope), 1e-3)
    close(theirs.forward(float(x[7])), y[7])


@needs_tfp
@pytest.mark.parametrize("bins", [2, 5])
def test_our_spline_is_theirs_with_the_same_parameters(bins):
    spline, x, raw = kl.SplineTransform(bins, bound=2.0), 1.5 * vectors(40, 3), vectors(40, 3, 3 * bins - 1)
    _, (widths, heights), slopes = spline._parameters(raw)
    theirs = tfb.RationalQuadraticSpline(widths, heights, slopes, range_min=-2.0)
    z, log_slope = spline.forward(x, raw)
    assert (np.abs(x) > 2).any() and (np.abs(x) < 2).any()
    close(z, theirs.forward(x), 1e-4)
    close(log_slope, theirs.forward_log_det_jacobian(x), 1e-4)
    back, log_slope = spline.inverse(x, raw)
    close(back, theirs.inverse(x), 1e-4)
    close(log_slope, theirs.inverse_log_det_jacobian(x), 1e-4)


@needs_tfp
def test_our_affine_coupling_is_their_real_nvp_with_the_same_network():
    coupling, x = built(kl.AffineCoupling((8,)), 5), vectors(6, 5)

    def shift_and_log_scale(kept, units):
        log_scale, shift = coupling.transform._parameters(coupling.conditioner(kept))
        assert shift.shape[-1] == units == 2
        return shift, log_scale

    theirs = tfb.RealNVP(num_masked=3, shift_and_log_scale_fn=shift_and_log_scale)
    z, log_det = coupling.forward_and_log_det(x)
    close(z, theirs.forward(x))
    close(log_det, theirs.forward_log_det_jacobian(x, event_ndims=1))
    close(coupling.inverse(x), theirs.inverse(x))


@needs_tfp
def test_our_transformed_is_their_transformed_distribution_of_the_inverse():
    chain = built(kl.Chain([kl.SplineCoupling((8,)), kl.AffineCoupling((8,), flip=True)]), 4)
    loc, scale = np.arange(4.0, dtype="float32"), np.array([1.0, 2.0, 0.5, 1.0], "float32")
    ours = kd.Transformed(kd.Normal(loc, scale, event_shape=(4,)), chain)
    base, bijector = tfd.MultivariateNormalDiag(loc, scale), tfb.Invert(interop.as_tfp_bijector(chain))
    theirs = tfd.TransformedDistribution(base, bijector)
    x, log_prob = ours.generate_and_log_density(random.keys(0, 50))
    close(theirs.log_prob(x), ours.log_density(x))
    close(theirs.log_prob(x), log_prob, 1e-4)
    close(theirs.sample(7, seed=(1, 2)), chain.inverse(base.sample(7, seed=(1, 2))))
    x, log_prob = theirs.experimental_sample_and_log_prob(7, seed=(1, 2))
    close(log_prob, ours.log_density(x), 1e-4)
    close(interop.as_tfp_distribution(ours).log_prob(tf.reshape(x, (7, 1, 4)))[:, 0], ours.log_density(x))


@needs_tfp
def test_a_condition_broadcasts_and_is_the_batch_of_a_transformed_distribution():
    coupling = kl.AffineCoupling((8,), conditional=True)
    coupling.build((None, 3), (None, 2))
    x, given = vectors(4, 1, 3), vectors(5, 2)
    fixed, free = interop.as_tfp_bijector(coupling, given), interop.as_tfp_bijector(coupling)
    z = fixed.forward(x)
    assert z.shape == (4, 5, 3) and tuple(fixed.experimental_batch_shape()) == (5,)
    close(z[2, 3], coupling(x[2], given[3:4])[0])
    close(free.forward(x, condition=given), z)
    base = tfd.MultivariateNormalDiag(tf.zeros(3))
    theirs = tfd.TransformedDistribution(base, tfb.Invert(fixed))
    assert theirs.batch_shape == (5,) and theirs.sample(2, seed=(0, 1)).shape == (2, 5, 3)
    expected = base.log_prob(z) + fixed.forward_log_det_jacobian(x)
    close(theirs.log_prob(x), expected)
    theirs = tfd.TransformedDistribution(base, tfb.Invert(free))
    close(theirs.log_prob(x[:, 0], bijector_kwargs={"condition": given[:4]}), tf.linalg.diag_part(expected[:, :4]))


@needs_tfp
def test_the_weights_of_ours_are_theirs_and_a_graph_of_any_batch_trains_them():
    chain = built(kl.Chain([kl.AffineCoupling((4,)), kl.AffineCoupling((4,), flip=True)]), 2)
    base = tfd.MultivariateNormalDiag(tf.zeros(2))
    theirs = tfd.TransformedDistribution(base, tfb.Invert(interop.as_tfp_bijector(chain)))
    assert len(theirs.trainable_variables) == len(chain.trainable_variables)
    x = 2.0 + vectors(64, 2)

    @tf.function(input_signature=[tf.TensorSpec((None, 2))])
    def step(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(theirs.log_prob(x))
        gradients = tape.gradient(loss, theirs.trainable_variables)
        for variable, gradient in zip(theirs.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.01 * gradient)
        return loss

    expected = -tf.reduce_mean(base.log_prob(chain(x)) + chain.forward_and_log_det(x)[1])
    losses = [step(x) for _ in range(20)]
    close(losses[0], expected)
    assert losses[-1] < losses[0] - 0.1


@needs_tfp
def test_a_density_runs_the_map_once_and_a_sample_s_density_not_at_all(monkeypatch):
    chain, calls = built(kl.Chain([kl.AffineCoupling((4,))]), 2), []
    for name in ("_forward", "_inverse"):
        run = getattr(chain, name)
        monkeypatch.setattr(chain, name, lambda *a, run=run, name=name: calls.append(name) or run(*a))
    base = tfd.MultivariateNormalDiag(tf.zeros(2))
    theirs = tfd.TransformedDistribution(base, tfb.Invert(interop.as_tfp_bijector(chain)))
    theirs.log_prob(vectors(3, 2))
    assert calls == ["_forward"]
    x = theirs.sample(3)
    theirs.log_prob(x)
    assert calls == ["_forward", "_inverse"]


# Our flows as their distributions.


def flow(**kwargs):
    """An affine coupling on vectors of 3 numbers, away from the identity."""
    model = NormalizingFlow((3,), [kl.AffineCoupling((8,), conditional=bool(kwargs))], **kwargs)
    for v in model.bijection.trainable_variables:
        v.assign(ops.convert_to_numpy(v) + 0.2 * np.random.default_rng(1).normal(size=v.shape))
    return model


def drawn_by(model, seed, n, condition=None, start=0):
    """What `model.sample(n, condition, seed=seed)` computes, without compiling it."""
    return model.generate(random.keys(seed, n, start), condition)


@needs_tfp
def test_a_flow_is_a_distribution_with_the_flow_s_own_samples_and_densities():
    model = flow()
    theirs = interop.as_tfp_distribution(model)
    assert theirs.event_shape == (3,) and theirs.batch_shape == () and theirs.dtype == tf.float32
    assert theirs.reparameterization_type == tfd.FULLY_REPARAMETERIZED
    assert len(theirs.trainable_variables) == len(model.trainable_variables)
    x = theirs.sample((2, 4), seed=7)
    x = tf.reshape(x, (8, 3))
    close(x, model.sample(8, seed=7, verbose=0))
    close(theirs.log_prob(x), model.log_density(x))
    close(theirs.log_prob(tf.reshape(x, (4, 2, 3)))[3], theirs.log_prob(x)[6:])
    assert theirs.sample().shape == (3,) and theirs.sample(0, seed=1).shape == (0, 3)
    assert np.abs(theirs.sample(4) - theirs.sample(4)).max() > 1e-3


@needs_tfp
def test_a_pair_of_integers_is_a_seed_whose_rows_do_not_depend_on_their_number():
    theirs = interop.as_tfp_distribution(flow())
    draw = tf.function(lambda n: theirs.sample(n, seed=(3, 4)), input_signature=[tf.TensorSpec((), tf.int32)])
    close(theirs.sample(5, seed=(3, 4))[:3], theirs.sample(3, seed=(3, 4)))
    close(draw(5), theirs.sample(5, seed=(3, 4)))
    assert np.unique(np.round(theirs.sample(500, seed=(3, 4)), 5)).size > 1490
    x, log_prob = theirs.experimental_sample_and_log_prob((2, 3), seed=(3, 4))
    close(x, theirs.sample((2, 3), seed=(3, 4)))
    close(log_prob, theirs.log_prob(x), 1e-4)
    by_number = tf.function(lambda n: theirs.sample(n, seed=3), input_signature=[tf.TensorSpec((), tf.int32)])
    with pytest.raises(ValueError, match="known when a graph is made, for a seed that is an integer"):
        by_number(5)


@needs_tfp
def test_a_conditional_flow_has_the_batch_of_its_conditions():
    model, given = flow(condition_shape=(2,)), vectors(5, 2)
    theirs = interop.as_tfp_distribution(model, given)
    assert theirs.batch_shape == (5,) and theirs.sample(4).shape == (4, 5, 3)
    close(theirs.sample(seed=3), drawn_by(model, 3, 5, given))
    x = vectors(6, 1, 3)
    close(theirs.log_prob(x)[:, 2], model.log_density(x[:, 0], tf.repeat(given[2:3], 6, 0)))
    labelled, labels = flow(num_classes=4), tf.constant([0, 3])
    close(interop.as_tfp_distribution(labelled, [0, 3]).sample(seed=3), drawn_by(labelled, 3, 2, labels))


# Their bijectors as ours.


def masked_autoregressive(conditional=False):
    options = {"conditional": True, "conditional_event_shape": (2,)} if conditional else {}
    network = tfb.AutoregressiveNetwork(2, event_shape=3, hidden_units=[8], activation="tanh", **options)
    return tfb.MaskedAutoregressiveFlow(network)


THEIRS = {
    "scale": lambda: tfb.Scale(tf.Variable([2.0, -0.5, 1.5])),
    "softplus": lambda: tfb.Softplus(),
    "matrix": lambda: tfb.ScaleMatvecTriL(tf.Variable([[1.0, 0, 0], [2.0, 3.0, 0], [-1.0, 0.5, 2.0]])),
    "float64": lambda: tfb.Shift(tf.constant([1.0, 2.0, 3.0], tf.float64))(tfb.Scale(tf.constant(2.0, tf.float64))),
    "maf": masked_autoregressive,
    "ours between theirs": lambda: tfb.Chain([tfb.Exp(), interop.as_tfp_bijector(built(kl.AffineCoupling((8,)), 3))]),
}


@needs_tfp
@pytest.mark.parametrize("name", THEIRS)
def test_their_bijector_obeys_the_laws_of_ours(name):
    theirs = THEIRS[name]()
    ours, x = interop.from_tfp_bijector(theirs), vectors(6, 3)
    z, log_det = ours.forward_and_log_det(x)
    back, inverse_log_det = ours.inverse_and_log_det(z)
    close(tf.cast(theirs.forward(tf.cast(x, theirs.inverse_dtype() or "float32")), "float32"), z)
    close(back, x, 1e-4)
    close(log_det, -inverse_log_det, 1e-4)
    assert {t.dtype for t in (z, log_det, back, inverse_log_det)} == {tf.float32}
    np.testing.assert_allclose(log_det, jacobian_log_det(ours, x), rtol=1e-4, atol=1e-4)
    assert log_det.shape == (6,) and len(ours.trainable_variables) == len(theirs.trainable_variables)
    spec = keras.Model(inputs := keras.Input((3,)), ours(inputs))
    close(spec(x), z)


@needs_tfp
def test_a_bijector_of_theirs_takes_a_condition_by_the_name_it_has_there():
    ours = interop.from_tfp_bijector(masked_autoregressive(conditional=True), "conditional_input")
    x, given = vectors(6, 3), vectors(6, 2)
    z, log_det = ours.forward_and_log_det(x, given)
    close(ours.inverse(z, given), x, 1e-4)
    assert np.abs(ours(x, given + 1.0) - z).max() > 1e-3 and log_det.shape == (6,)
    with pytest.raises(ValueError, match="expects a condition. Received: none"):
        ours(x)


@needs_tfp
def test_a_shape_that_they_change_is_the_latent_shape():
    ours = interop.from_tfp_bijector(tfb.Reshape((4,), event_shape_in=(2, 2)))
    x = vectors(5, 2, 2)
    z, log_det = ours.forward_and_log_det(x)
    assert ours.latent_shape((2, 2)) == (4,) == tuple(z.shape[1:]) and not np.any(log_det) and log_det.shape == (5,)
    close(ours.inverse(z), x)


@needs_tfp
def test_what_is_trained_here_has_changed_there_and_nothing_stale_is_given():
    scale, loc, network = tf.Variable([2.0, 0.5, 1.0]), tf.Variable([0.0, 0.0, 0.0]), masked_autoregressive()
    first, second = interop.from_tfp_bijector(tfb.Scale(scale)), interop.from_tfp_bijector(network)
    base = interop.from_tfp_distribution(tfd.Independent(tfd.StudentT(5.0, loc, 1.0), 1))
    model = NormalizingFlow((3,), [first, second, kl.AffineCoupling((8,))], base)
    assert len(model.trainable_variables) == 2 + len(network.trainable_variables) + 4
    x = 3.0 + vectors(128, 3)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)  # with XLA, the default, in docs/interop.md
    before = model.bijection(x)
    history = model.fit(x, epochs=4, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < history[0] - 0.5
    assert np.abs(scale - [2.0, 0.5, 1.0]).min() > 1e-3 and np.abs(loc).min() > 1e-3
    after = model.bijection(x)
    assert np.abs(after - before).max() > 0.1
    close(after[:, :2], second(first(x))[:, :2])
    kept = first(x)  # TFP remembers it
    scale.assign([7.0, 7.0, 7.0])
    close(first(x), 7.0 * x)
    close(first.inverse(kept), kept / 7.0)
    first.trainable = False
    assert len(model.trainable_variables) == 1 + len(network.trainable_variables) + 4


@needs_tfp
def test_a_network_that_they_do_not_see_is_trained_if_it_is_named():
    network = keras.layers.Dense(2)
    network.build((None, 1))
    theirs = tfb.RealNVP(num_masked=1, shift_and_log_scale_fn=lambda x, units: tf.split(network(x), 2, axis=-1))
    assert not interop.from_tfp_bijector(theirs).trainable_variables
    ours = interop.from_tfp_bijector(theirs, networks=[network])
    model = NormalizingFlow((2,), ours)
    assert len(ours.trainable_variables) == len(model.trainable_variables) == 2


@needs_tfp
def test_what_holds_their_object_is_kept_by_its_weights_alone(tmp_path):
    def make(start):
        base = tfd.MultivariateNormalDiag(tf.Variable([start, start, start]))
        steps = [interop.from_tfp_bijector(tfb.Scale(tf.Variable([start, 1.0, 1.0]))), kl.AffineCoupling((8,))]
        return NormalizingFlow((3,), steps, interop.from_tfp_distribution(base))

    model, other, x = make(5.0), make(1.0), vectors(4, 3)
    with pytest.raises(ValueError, match="made by `from_tfp_.*has no configuration.*`save_weights`"):
        model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="made by `from_tfp_distribution`, has no configuration"):
        model.base.get_config()
    model.save_weights(tmp_path / "m.weights.h5")
    assert np.abs(other.log_density(x) - model.log_density(x)).max() > 0.1
    other.load_weights(tmp_path / "m.weights.h5")
    close(other.log_density(x), model.log_density(x))


@needs_tfp
def test_there_and_back_is_the_thing_itself():
    coupling, model = built(kl.AffineCoupling((8,)), 3), flow()
    assert interop.from_tfp_bijector(interop.as_tfp_bijector(coupling)) is coupling
    assert interop.from_tfp_distribution(interop.as_tfp_distribution(model)) is model


# Their distributions as bases.


@needs_tfp
def test_a_base_of_theirs_is_drawn_from_with_our_keys_as_seeds():
    scale = [[1.0, 0, 0], [0.5, 2.0, 0], [0, 0, 1.0]]
    theirs = tfd.MultivariateNormalTriL(tf.Variable([0.0, 1.0, 2.0]), scale)
    base, keys = interop.from_tfp_distribution(theirs), random.keys(3, 6)
    z = base.generate(keys)
    close(z, tf.stack([theirs.sample(seed=key) for key in keys]))
    close(base.generate(keys[2:4]), z[2:4])
    close(base.log_density(z), theirs.log_prob(z))
    close(base(z), theirs.log_prob(z))
    assert base.reparameterized and base.event_shape == (3,)
    close(base.generate(keys, temperature=0.0), tf.broadcast_to(theirs.mean(), (6, 3)))
    close(base.generate(keys, temperature=0.5), theirs.mean() + 0.5 * (z - theirs.mean()))
    model = NormalizingFlow((3,), [kl.AffineCoupling((8,))], base)
    assert len(model.trainable_variables) == 5
    x = drawn_by(model, 3, 6)
    close(x, model.bijection.inverse(z))
    close(model.log_density(x), theirs.log_prob(z) + model.bijection.forward_and_log_det(x)[1])


@needs_tfp
def test_a_base_of_theirs_is_a_prior_of_a_vae():
    prior = interop.from_tfp_distribution(tfd.Independent(tfd.StudentT(5.0, tf.Variable([0.0, 0.0]), 1.0), 1))
    model, x = VAE((4,), latent_dim=2, prior=prior), tf.sigmoid(vectors(8, 4))
    loss, (gradient,) = backend.value_and_grad(lambda: tf.reduce_mean(model.objective(x)["loss"]), prior.shared)
    assert np.isfinite(loss) and np.abs(gradient).min() > 0
    assert model.generate(random.keys(0, 3)).shape == (3, 4)


@needs_tfp
def test_without_a_mean_there_is_no_temperature_but_one():
    class Nameless(tfd.Normal):
        def _mean(self):
            raise NotImplementedError

    base = interop.from_tfp_distribution(tfd.Independent(Nameless([0.0, 0.0], 1.0), 1))
    model = NormalizingFlow((2,), [kl.AffineCoupling((4,))], base)
    x = model.sample(3, seed=0, verbose=0)
    close(x, drawn_by(model, 0, 3))
    close(model.sample(2, seed=0, batch_size=1, verbose=0), x[:2])
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected temperature=1"):
        base.generate(random.keys(0, 3), temperature=0.5)


# Bad input.


@needs_tfp
def test_what_does_not_fit_is_told():
    coupling = kl.AffineCoupling((8,))
    with pytest.raises(ValueError, match="as_tfp_bijector expects a `layers.Bijection`"):
        interop.as_tfp_bijector(tfb.Exp())
    with pytest.raises(ValueError, match=r"built for events of a known shape.*Call `build\(\(None, \*shape\)\)`"):
        interop.as_tfp_bijector(coupling)
    coupling.build((None, 3))
    with pytest.raises(ValueError, match="expects no condition. Received: one"):
        interop.as_tfp_bijector(coupling, tf.ones((2, 2)))
    with pytest.raises(ValueError, match="expects no condition. Received: one"):
        interop.as_tfp_bijector(coupling).forward(tf.ones((2, 3)), condition=tf.ones((2, 2)))
    with pytest.raises(ValueError, match=r"of shape \(..., 3\). Received: \(2, 6\)"):
        interop.as_tfp_bijector(coupling).forward(tf.ones((2, 6)))
    with pytest.raises(ValueError, match="`models.NormalizingFlow` or a `distributions.Distribution`"):
        interop.as_tfp_distribution(coupling)
    with pytest.raises(ValueError, match="continuous data.*256 grey levels"):
        interop.as_tfp_distribution(NormalizingFlow((3,), [kl.AffineCoupling((8,))], levels=256))
    with pytest.raises(ValueError, match="without a batch. Received: 4 of them"):
        interop.as_tfp_distribution(kd.Normal(ops.zeros((4, 2)), 1.0))
    with pytest.raises(ValueError, match="NormalizingFlow expects a condition. Received: none"):
        interop.as_tfp_distribution(flow(condition_shape=(2,)))
    with pytest.raises(ValueError, match="NormalizingFlow expects no condition. Received: one"):
        interop.as_tfp_distribution(flow(), tf.ones((4, 2)))
    for bad in (coupling, tfb.AbsoluteValue(), tfb.Split(2)):
        with pytest.raises(ValueError, match="injective and maps one tensor to one"):
            interop.from_tfp_bijector(bad)
    with pytest.raises(ValueError, match="events of at least 2 axes"):
        interop.from_tfp_bijector(tfb.CholeskyOuterProduct())(tf.ones((2, 3)))
    with pytest.raises(ValueError, match=r"without a batch. Received: batch_shape=\(2,\)"):
        interop.from_tfp_bijector(tfb.ScaleMatvecDiag(tf.ones((2, 3))))(tf.ones((2, 3)))
    with pytest.raises(ValueError, match="expects a `tfp.distributions.Distribution`"):
        interop.from_tfp_distribution(kd.Normal([0.0], 1.0, event_shape=(1,)))
    with pytest.raises(ValueError, match="real numbers of a known shape. Received: dtype=.*int32"):
        interop.from_tfp_distribution(tfd.Bernoulli(0.5))
    with pytest.raises(ValueError, match=r"without a batch.*batch_shape=\(2,\).*Independent"):
        interop.from_tfp_distribution(tfd.Normal([0.0, 1.0], 1.0))
    with pytest.raises(ValueError, match="not conditional"):
        interop.from_tfp_distribution(tfd.Normal(0.0, 1.0)).log_density(tf.ones(2), tf.ones(2))
