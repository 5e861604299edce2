"""Laws of the layers: draws, distribution heads, priors, conditions."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_gen import backend, distributions, layers, networks, random

IMAGE = (4, 3, 3)
rng = np.random.default_rng(0)


def real(event):
    return rng.normal(size=(5, *event)).astype("float32")


def grid(event):
    return (rng.integers(0, 256, size=(5, *event)) / 255).astype("float32")


def binary(event):
    return rng.integers(0, 2, size=(5, *event)).astype("float32")


def labels(event):
    return rng.integers(0, 6, size=(5, *event)).astype("int32")


@pytest.mark.parametrize("room", [layers, networks], ids=["layers", "networks"])
def test_every_layer_has_a_configuration_of_its_own(room):
    """Without one Keras refuses to save a layer whose dtype is a policy."""
    public = [c for c in vars(room).values() if isinstance(c, type) and issubclass(c, keras.layers.Layer)]
    public = [c for c in public if keras.saving.get_registered_name(c).startswith("keras_gen>")]
    without = [c.__name__ for c in public if c.get_config is keras.layers.Layer.get_config]
    assert len(public) > 9 and not without, without


# id: class, options, event shape, shape of the features, data
HEADS = {
    "normal": (layers.NormalHead, {}, (3,), (7,), real),
    "normal_scalar": (layers.NormalHead, {}, (), (7,), real),
    "normal_softplus": (layers.NormalHead, {"scale_activation": "softplus"}, (3,), (7,), real),
    "normal_global": (layers.NormalHead, {"scale": "global"}, (3,), (7,), real),
    "normal_shared": (layers.NormalHead, {"scale": "shared"}, IMAGE, (*IMAGE[:2], 7), real),
    "normal_fixed": (layers.NormalHead, {"scale": 0.5, "loc_activation": "sigmoid"}, (3,), (7,), real),
    "normal_sites": (layers.NormalHead, {}, IMAGE, (*IMAGE[:2], 7), real),
    "normal_flat": (layers.NormalHead, {}, IMAGE, (2, 2, 7), real),
    "laplace": (layers.LaplaceHead, {}, (3,), (7,), real),
    "logistic": (layers.LogisticHead, {}, (3,), (7,), real),
    "student_t": (layers.StudentTHead, {}, (3,), (7,), real),
    "student_t_shared": (layers.StudentTHead, {"df": "shared"}, (3,), (7,), real),
    "multivariate_normal": (layers.MultivariateNormalHead, {}, (3,), (7,), real),
    "bernoulli": (layers.BernoulliHead, {}, IMAGE, (*IMAGE[:2], 7), binary),
    "categorical": (layers.CategoricalHead, {"classes": 6}, (4,), (7,), labels),
    "categorical_sites": (layers.CategoricalHead, {"classes": 6}, (4,), (4, 7), labels),
    "discretized_logistic": (layers.DiscretizedLogisticHead, {}, IMAGE, (*IMAGE[:2], 7), grid),
    "mixture_coupled": (layers.DiscretizedLogisticMixtureHead, {}, IMAGE, (*IMAGE[:2], 7), grid),
    "mixture_grey": (layers.DiscretizedLogisticMixtureHead, {"components": 2}, (4, 3, 1), (7,), grid),
}
heads = pytest.mark.parametrize("case", HEADS)
mixed = pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])


def make(case, **kwargs):
    """A head, its features and data."""
    head, options, event, features, data = HEADS[case]
    return head(event, **options, **kwargs), real(features), data(event)


def values(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def dtype_of(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def reload(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def assert_every_gradient(layer, loss):
    """The gradient of the loss in every variable of the layer is finite and not zero."""
    variables = layer.trainable_variables
    assert len(variables) == len(layer.weights) > 0
    run = backend.compile(lambda: backend.value_and_grad(loss, variables)[1], lambda: layer.variables)
    for variable, gradient in zip(variables, run(), strict=True):
        gradient = values(gradient)
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, variable.path


# Heads


@heads
def test_head_shape_is_the_promised_one(case):
    """Raw numbers: eager, symbolic and computed shapes agree, and so does the event of the distribution."""
    head, h, x = make(case)
    raw = head(h)
    assert tuple(raw.shape) == head.compute_output_shape(h.shape)
    assert tuple(head(keras.Input(h.shape[1:])).shape) == (None, *raw.shape[1:])
    assert head.distribution(h).event_shape == head.event_shape == x.shape[1:]


@heads
def test_head_config_rebuilds_it(case):
    """A head from its config has the same config, and with its weights the same raw numbers."""
    head, h, _ = make(case, kernel_initializer="he_normal", name="some_head")
    raw = values(head(h))
    twin = type(head).from_config(head.get_config())
    assert twin.get_config() == head.get_config()
    twin.build(h.shape)
    for weight, other in zip(twin.weights, head.weights, strict=True):
        weight.assign(other)
    np.testing.assert_array_equal(values(twin(h)), raw)


@heads
def test_head_survives_a_keras_file(case, tmp_path):
    """Saved and loaded inside of a model, a head gives the same raw numbers."""
    head, h, _ = make(case)
    inputs = keras.Input(h.shape[1:])
    model = keras.Model(inputs, head(inputs))
    for weight in head.weights:
        weight.assign(weight + 0.1)
    twin = reload(model, tmp_path)
    np.testing.assert_array_equal(values(twin(h)), values(model(h)))
    for one, other in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_array_equal(values(one.value), values(other.value))


@mixed
@heads
def test_head_is_float32_under_mixed_policies(case, policy):
    """Parameters and log-densities are float32 and finite, whatever the features' dtype."""
    head, h, x = make(case, dtype=policy)
    p = head.distribution(ops.cast(h, head.compute_dtype))
    assert {dtype_of(value) for value in p.parameters.values()} == {"float32"}
    assert dtype_of(head(h)) == dtype_of(head(keras.Input(h.shape[1:]))) == "float32"
    log_density = backend.compile(lambda h: head.distribution(h).log_density(x), lambda: head.variables)
    log_p = log_density(ops.convert_to_tensor(h))
    assert dtype_of(log_p) == "float32" and np.isfinite(values(log_p)).all() and log_p.shape == (5,)


@heads
def test_gradient_reaches_every_weight_of_a_head(case):
    """The likelihood's gradient in each variable is finite and not zero."""
    head, h, x = make(case)
    head.build(h.shape)
    assert_every_gradient(head, lambda: -ops.mean(head.distribution(h).log_density(x)))


@pytest.mark.parametrize("case", ["normal_sites", "bernoulli", "discretized_logistic", "mixture_coupled"])
def test_head_on_sites_is_local(case):
    """On features that lie on the event's sites, a pixel's features change that pixel's numbers alone."""
    head, h, _ = make(case)
    other = h.copy()
    other[:, 1, 2] += 1
    changed = np.abs(values(head(h)) - values(head(other))).reshape(5, *IMAGE[:2], -1).max(axis=(0, -1)) > 0
    assert changed.sum() == 1 and changed[1, 2]


def test_normal_head_reads_mean_and_scale():
    """`N(m, min_scale + exp(a))` by SciPy; softplus is near 1 at zero, and no raw number breaks either."""
    head = layers.NormalHead((2,), min_scale=0.1)
    raw = np.array([[[0.3, -1.0], [2.0, 0.7]]], "float32")
    x = np.array([[1.0, 1.5]], "float32")
    expected = stats.norm(raw[..., 0], 0.1 + np.exp(raw[..., 1])).logpdf(x).sum(-1)
    p = head.read(ops.convert_to_tensor(raw))
    np.testing.assert_allclose(values(p.log_density(x)), expected, rtol=1e-5)
    for activation in ("exp", "softplus"):
        head = layers.NormalHead((5,), scale_activation=activation)
        a = np.stack([np.zeros(5), [-1e4, -20, 0, 20, 1e4]], axis=-1)[None].astype("float32")
        scale = values(head.read(ops.convert_to_tensor(a)).scale)[0]
        assert np.isfinite(scale).all() and (scale >= 1e-5).all() and (np.diff(scale) >= 0).all()
        np.testing.assert_allclose(scale[2], 1 + 1e-5, rtol=1e-5)


def test_scale_kinds_have_their_weights():
    """A fixed scale has no weight, a shared one one, a global one one an element; none sees the features."""
    for scale, count in [(0.5, 0), ("shared", 1), ("global", 3)]:
        head = layers.NormalHead((3,), scale=scale)
        p = head.distribution(real((7,)))
        assert head.count_params() == 7 * 3 + 3 + count
        spread = values(p.scale + ops.zeros((5, 3)))
        np.testing.assert_allclose(spread, 0.5 if scale == 0.5 else 1 + 1e-5, rtol=1e-6)


def test_student_t_degrees_of_freedom_begin_at_four():
    """Fixed and trained degrees of freedom give the same density at first, that of SciPy."""
    x, raw = real((3,)), np.zeros((5, 3, 2), "float32")
    expected = stats.t(4.0, scale=1 + 1e-5).logpdf(x).sum(-1)
    for df in (4.0, "shared"):
        head = layers.StudentTHead((3,), df=df)
        head.build((None, 7))
        p = head.read(ops.convert_to_tensor(raw))
        np.testing.assert_allclose(values(p.log_density(x)), expected, rtol=1e-5)


def test_multivariate_normal_head_fills_the_triangle_row_by_row():
    """L is lower triangular with the raw numbers in rows and a positive diagonal; the density is SciPy's."""
    head = layers.MultivariateNormalHead((3,), min_scale=0.01)
    raw = np.array([[0.1, 0.2, 0.3, -1.0, 0.5, 0.0, 0.7, -0.4, 1.0]], "float32")
    tril = np.array([[np.exp(-1.0), 0, 0], [0.5, 1, 0], [0.7, -0.4, np.e]]) + 0.01 * np.eye(3)
    p = head.read(ops.convert_to_tensor(raw))
    np.testing.assert_allclose(values(p.scale_tril)[0], tril, rtol=1e-5, atol=1e-7)
    x = np.array([[1.0, -1.0, 0.5]], "float32")
    expected = stats.multivariate_normal(raw[0, :3], tril @ tril.T).logpdf(x[0])
    np.testing.assert_allclose(values(p.log_density(x))[0], expected, rtol=1e-5)


def test_discretized_heads_begin_on_the_grid_and_never_under_an_eighth_of_a_bin():
    """At zero: the centre, or K centres spread over the grid; far below: a scale of an eighth of a bin."""
    head = layers.DiscretizedLogisticHead((1,), low=-1.0, high=3.0, bins=65)
    p = head.read(ops.convert_to_tensor([[[0.0, 0.0]], [[0.5, -1e3]]]))
    np.testing.assert_allclose(values(p.loc)[:, 0], [1.0, 2.0])
    np.testing.assert_allclose(np.exp(values(p.log_scale))[:, 0], [2.0 + 1 / 128, 1 / 128], rtol=1e-5)
    head = layers.DiscretizedLogisticMixtureHead((2, 2, 1), components=4)
    p = head.read(ops.zeros((1, *head.raw_shape())))
    np.testing.assert_allclose(values(p.parameters["mean"])[0, 0, 0, 0], [0.125, 0.375, 0.625, 0.875])


def test_coupled_mixture_reads_its_blocks():
    """Logits, three means, three log-scales, three coefficients by tanh, K numbers each and in this order."""
    head = layers.DiscretizedLogisticMixtureHead((1, 1, 3), components=2)
    raw = np.linspace(-1, 1, 20, dtype="float32").reshape(1, 1, 1, 20)
    p = {name: values(v)[0, 0, 0] for name, v in head.read(ops.convert_to_tensor(raw)).parameters.items()}
    block = raw.reshape(10, 2)
    np.testing.assert_allclose(p["logits"], block[0], rtol=1e-6)
    np.testing.assert_allclose(p["mean"], [0.25, 0.75] + 0.5 * block[1:4], rtol=1e-5)
    np.testing.assert_allclose(np.exp(p["log_scale"]), 0.25 * np.exp(block[4:7]) + 1 / 2040, rtol=1e-5)
    np.testing.assert_allclose(p["coefficients"], np.tanh(block[7:]), rtol=1e-5)


def test_heads_have_names():
    """`get_head` makes every head by name, and gives back one that is given."""
    for name, head in layers.heads.HEADS.items():
        made = layers.get_head(name, (3,), **({"classes": 2} if name == "categorical" else {}))
        assert type(made) is head and layers.get_head(made, (3,)) is made


BAD = {
    "head_name": lambda: layers.get_head("gaussian", (3,)),
    "head_of_another_event": lambda: layers.get_head(layers.NormalHead((2,)), (3,)),
    "event_shape": lambda: layers.NormalHead((3, 0)),
    "event_of_floats": lambda: layers.NormalHead((2.5,)),
    "scale_name": lambda: layers.NormalHead((3,), scale="fixed"),
    "scale_negative": lambda: layers.NormalHead((3,), scale=-1.0),
    "scale_true": lambda: layers.NormalHead((3,), scale=True),
    "scale_activation": lambda: layers.NormalHead((3,), scale_activation="relu"),
    "min_scale": lambda: layers.LaplaceHead((3,), min_scale=-1e-3),
    "df": lambda: layers.StudentTHead((3,), df=0.0),
    "matrix_normal": lambda: layers.MultivariateNormalHead((3, 2)),
    "tril_min_scale": lambda: layers.MultivariateNormalHead((3,), min_scale=-1.0),
    "classes": lambda: layers.CategoricalHead((3,), classes=0),
    "grid": lambda: layers.DiscretizedLogisticHead((3,), low=1.0, high=0.0),
    "bins": lambda: layers.DiscretizedLogisticHead((3,), bins=1),
    "coupled": lambda: layers.DiscretizedLogisticMixtureHead((3, 3, 1), coupled=True),
    "scalar_mixture": lambda: layers.DiscretizedLogisticMixtureHead(()),
    "sampling_one": lambda: layers.Sampling()(ops.zeros((3, 2))),
    "sampling_shapes": lambda: layers.Sampling()([ops.zeros((3, 2)), ops.zeros((3, 1))]),
    "condition_neither": lambda: layers.ConditionEncoder(),
    "condition_both": lambda: layers.ConditionEncoder(num_classes=3, condition_shape=(2,)),
    "embedding_of_vectors": lambda: layers.ConditionEncoder(condition_shape=(2,), embedding_size=4),
    "condition_rank": lambda: layers.ConditionEncoder(num_classes=3)(ops.zeros((5, 2), "int32")),
    "condition_size": lambda: layers.ConditionEncoder(condition_shape=(2,))(ops.zeros((5, 3))),
    "prior_with_condition": lambda: layers.LearnedMixturePrior((2,)).distribution(ops.zeros((1,))),
    "prior_without": lambda: layers.ConditionalNormalPrior((2,), 3).distribution(None),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    """Wrong arguments and shapes are a ValueError that says what was received."""
    with pytest.raises(ValueError, match="Received"):
        BAD[case]()


# Sampling


def test_sampling_has_the_mean_and_variance_it_is_given():
    """Moments of 40000 draws, and a Kolmogorov-Smirnov test against the normal."""
    mean = np.full((20000, 2), 1.5, "float32")
    log_variance = np.full((20000, 2), np.log(0.25), "float32")
    z = values(layers.Sampling(seed=3)([mean, log_variance], training=False)).ravel()
    assert abs(z.mean() - 1.5) < 4 * 0.5 / 200
    assert abs(z.var() - 0.25) < 4 * 0.25 * np.sqrt(2) / 200
    assert stats.kstest(z, stats.norm(1.5, 0.5).cdf).pvalue > 1e-3


def test_sampling_advances_its_seed():
    """Two calls differ; two layers of one seed agree, call by call; a config keeps the seed."""
    pair = [ops.zeros((4, 2)), ops.zeros((4, 2))]
    layer = layers.Sampling(seed=7)
    twin = layers.Sampling.from_config(layer.get_config())
    first, second = values(layer(pair)), values(layer(pair))
    assert np.abs(first - second).min() > 0
    np.testing.assert_array_equal(first, values(twin(pair)))
    np.testing.assert_array_equal(second, values(twin(pair)))


def test_sampling_is_differentiable_in_both_parameters():
    """dz/dmean = 1 and dz/dlog_variance = (z - mean) / 2."""
    mean, log_variance = ops.convert_to_tensor(real((2,))), ops.convert_to_tensor(real((2,)))
    z = values(layers.Sampling(seed=1)([mean, log_variance]))
    slope = backend.grad(lambda m: layers.Sampling(seed=1)([m, log_variance]), mean)
    np.testing.assert_allclose(values(slope), 1.0)
    slope = backend.grad(lambda v: layers.Sampling(seed=1)([mean, v]), log_variance)
    np.testing.assert_allclose(values(slope), (z - values(mean)) / 2, rtol=1e-4, atol=1e-6)


@mixed
def test_sampling_computes_in_float32_and_casts(policy):
    """Under a mixed policy the draw is that of float32, rounded once, at the end."""
    pair = [real((200,)), real((200,))]
    layer, full = layers.Sampling(seed=1, dtype=policy), layers.Sampling(seed=1)
    z = layer(pair)
    assert dtype_of(z) == layer.compute_dtype
    np.testing.assert_array_equal(values(z), values(ops.cast(full(pair), layer.compute_dtype)))


def test_sampling_survives_a_keras_file(tmp_path):
    """Symbolic shape, and a saved model that draws with its saved seed."""
    mean, log_variance = keras.Input((2,)), keras.Input((2,))
    z = layers.Sampling(seed=5)([mean, log_variance])
    assert z.shape == (None, 2)
    model = keras.Model([mean, log_variance], z)
    pair = [real((2,)), real((2,))]
    twin = reload(model, tmp_path)
    np.testing.assert_array_equal(values(model(pair)), values(twin(pair)))


# Conditions


def test_condition_encoder_gives_one_hot_vectors_rows_and_arrays():
    """Labels become rows of the identity or of the embedding; arrays are flattened or kept."""
    y = np.array([2, 0, 1], "int32")
    encode = layers.ConditionEncoder(num_classes=3)
    np.testing.assert_array_equal(values(encode(y)), np.eye(3)[y])
    np.testing.assert_array_equal(values(encode(y[:, None])), np.eye(3)[y])
    encode = layers.ConditionEncoder(num_classes=3, embedding_size=4)
    np.testing.assert_array_equal(values(encode(y)), values(encode.weights[0].value)[y])
    image = real((4, 3, 2))
    np.testing.assert_array_equal(
        values(layers.ConditionEncoder(condition_shape=(4, 3, 2))(image)), image.reshape(5, 24)
    )
    kept = layers.ConditionEncoder(condition_shape=(4, 3, 2), flatten=False)(image)
    np.testing.assert_array_equal(values(kept), image)


@pytest.mark.parametrize(
    "options",
    [
        {"num_classes": 3},
        {"num_classes": 3, "embedding_size": 4},
        {"condition_shape": (4, 3, 2)},
        {"condition_shape": (4, 3, 2), "flatten": False},
    ],
)
def test_condition_encoder_survives_a_keras_file(options, tmp_path):
    """Symbolic shape equals the eager one, config is kept, a loaded model gives the same features."""
    encoder = layers.ConditionEncoder(**options)
    is_label = "num_classes" in options
    y = np.array([2, 0, 1], "int32") if is_label else real((4, 3, 2))
    inputs = keras.Input(y.shape[1:], dtype="int32" if is_label else "float32")
    model = keras.Model(inputs, encoder(inputs))
    assert model.outputs[0].shape[1:] == tuple(encoder(y).shape)[1:] == encoder.features_shape()
    assert layers.ConditionEncoder.from_config(encoder.get_config()).get_config() == encoder.get_config()
    np.testing.assert_array_equal(values(reload(model, tmp_path)(y)), values(model(y)))


@mixed
def test_condition_features_are_of_the_compute_dtype(policy):
    """One-hot, embedded and passed conditions alike."""
    y = np.array([2, 0, 1], "int32")
    for encoder, condition in [
        (layers.ConditionEncoder(num_classes=3, dtype=policy), y),
        (layers.ConditionEncoder(num_classes=3, embedding_size=2, dtype=policy), y),
        (layers.ConditionEncoder(condition_shape=(2,), dtype=policy), real((2,))),
    ]:
        assert dtype_of(encoder(condition)) == encoder.compute_dtype


@pytest.mark.parametrize("condition", [(6,), (2, 3), (7, 5, 2), (3, 9, 2)])
@pytest.mark.parametrize("features", [(4,), (7, 5, 4)])
def test_attach_condition_keeps_the_features_and_adds_the_promised_channels(features, condition):
    """The features stay first, a vector is the same at every pixel, an image stays in its place."""
    h, c = real(features), real(condition)
    joined = values(layers.attach_condition(h, ops.convert_to_tensor(c)))
    assert joined.shape[:-1] == h.shape[:-1]
    assert joined.shape[-1] == h.shape[-1] + layers.attached_channels(h.shape, c.shape)
    np.testing.assert_array_equal(joined[..., : h.shape[-1]], h)
    added = joined[..., h.shape[-1] :]
    if len(features) == 1:
        np.testing.assert_array_equal(added, c.reshape(5, -1))
    elif len(condition) < 3:
        np.testing.assert_array_equal(added, np.broadcast_to(c.reshape(5, 1, 1, 6), added.shape))
    elif condition[:2] == features[:2]:
        np.testing.assert_array_equal(added, c)
    else:
        assert added.min() >= c.min() - 1e-5 and added.max() <= c.max() + 1e-5
    assert layers.attach_condition(h, None) is h and layers.attached_channels(h.shape, None) == 0


# Priors


def prior_cases():
    y = np.arange(5, dtype="int32") % 3
    return {
        "mixture": (layers.LearnedMixturePrior((2,), components=4, seed=1), None),
        "mixture_image": (layers.LearnedMixturePrior((2, 2, 1), components=3, seed=1), None),
        "labels": (layers.ConditionalNormalPrior((2,), num_classes=3), y),
        "vectors": (layers.ConditionalNormalPrior((2,), condition_shape=(4,), units=(8,)), real((4,))[y]),
        "shared": (layers.ConditionalNormalPrior((2,), num_classes=3, scale="shared"), y),
    }


priors = pytest.mark.parametrize("case", list(prior_cases()))


@priors
def test_prior_answers_the_two_calls(case):
    """`generate` and `log_density` have the contract's shapes, and the gradient reaches every weight."""
    prior, y = prior_cases()[case]
    assert prior.conditional == (y is not None)
    draw = backend.compile(lambda t: prior.generate(random.keys(0, 5), y, t), lambda: prior.variables)
    z, location = values(draw(1.0)), values(draw(0.0))
    assert z.shape == (5, *prior.event_shape) and np.abs(z[0] - z[3]).min() > 0
    np.testing.assert_array_equal(location[0], location[3])  # examples 0 and 3 have one condition
    x = real(prior.event_shape)
    assert tuple(prior.log_density(x, y).shape) == (5,)
    assert len(prior.trainable_variables) >= 2
    assert_every_gradient(prior, lambda: -ops.mean(prior.log_density(x, y)))


@priors
def test_prior_survives_a_keras_file(case, tmp_path):
    """All weights exist before any call; a loaded prior gives the same numbers."""
    prior, y = prior_cases()[case]
    for weight in prior.weights:
        weight.assign(weight + 0.1)
    x = real(prior.event_shape) if y is None else y
    inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
    model = keras.Model(inputs, prior(inputs))
    assert model.outputs[0].shape[1:] == tuple(prior(x).shape)[1:]
    twin = reload(model, tmp_path)
    np.testing.assert_array_equal(values(twin(x)), values(model(x)))
    assert twin.layers[-1].get_config() == prior.get_config()


def test_mixture_prior_begins_near_the_standard_normal():
    """Of many components, the first two moments are those of N(0, 1); one component is one normal."""
    prior = layers.LearnedMixturePrior((2,), components=4000, seed=0)
    means, scales = values(prior.means), np.exp(values(prior.log_scales))
    np.testing.assert_allclose(means.mean(0), 0.0, atol=4 * 0.5 / np.sqrt(4000))
    np.testing.assert_allclose((means**2 + scales**2).mean(0), 1.0, atol=4 * 0.25 * np.sqrt(2 / 4000))
    other = layers.LearnedMixturePrior((2,), components=4000, seed=0)
    np.testing.assert_array_equal(means, values(other.means))


def test_conditional_prior_begins_near_the_standard_normal():
    """The divergence from N(0, I) is below 0.01 nats for every class."""
    prior = layers.ConditionalNormalPrior((4,), num_classes=10)
    standard = distributions.Normal(ops.zeros((4,)), 1.0, event_shape=(4,))
    divergence = distributions.kl_divergence(prior.distribution(np.arange(10, dtype="int32")), standard)
    assert values(divergence).max() < 0.01


@mixed
def test_prior_is_float32_under_mixed_policies(policy):
    """Densities of learnable priors are float32 and finite under every policy."""
    y = np.arange(5, dtype="int32") % 3
    for prior, condition in [
        (layers.LearnedMixturePrior((2,), dtype=policy), None),
        (layers.ConditionalNormalPrior((2,), 3, units=(4,), dtype=policy), y),
    ]:
        log_p = prior.log_density(real((2,)), condition)
        assert dtype_of(log_p) == "float32" and np.isfinite(values(log_p)).all()
