"""The laws of the contract, for every model of the registry `cases.py`; costly ones for representatives."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import models, random
from keras_gen.models import GenerativeModel, adversarial
from tests.cases import AUTOENCODERS, CLOSED_FORM, LATENT_DIM, LATENT_VARIABLE, MODELS, SEQUENCES, grey, labelled

pytestmark = pytest.mark.usefixtures("graphs_forgotten")

N, BATCH = 128, 32
SEEDLESS = {"autoencoder", "autoencoder_cross_entropy", *CLOSED_FORM, *SEQUENCES}
SAMPLING = [name for name, case in MODELS.items() if case.samples]
REPRESENTATIVES = ["vae", "conditional_labels", "iwae", "denoising_gaussian", "probabilistic_pca"]
CONTINUED = [
    "vae_mixture_prior", "conditional_prior", "denoising_masking", "probabilistic_pca", "char_rnn", "wavenet",
]  # fmt: skip
def make(name, **kwargs):
    keras.utils.set_random_seed(1)
    return MODELS[name].make(**({} if name in SEEDLESS else {"seed": 2}), **kwargs)


def compiled(name, optimizer=None, arguments=None, **kwargs):
    model = make(name, **kwargs)
    if model.players:
        model.compile(optimizer or keras.optimizers.Adam(MODELS[name].learning_rate), **(arguments or {}))
    return model


def fit(model, x, y=None, epochs=1, **kwargs):
    return model.fit(x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, **kwargs).history


@functools.cache
def fitted(name):
    """A model of the case trained for a few epochs: the model, its history, its weights before. Not to be changed."""
    model = compiled(name)
    before = [numbers(v) for v in model.trainable_variables]
    return model, fit(model, *MODELS[name].data(N), epochs=MODELS[name].epochs), before


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def first(n, name):
    """Data of the case, and its condition as the arguments that follow x."""
    x, y = MODELS[name].data(n)
    return x, (() if y is None else (y,))


def state(model):
    """Every variable that training carries, metrics aside."""
    metrics = {id(v) for v in model.metrics_variables}
    own = [numbers(v) for v in model.variables if id(v) not in metrics]
    return own + ([numbers(v) for v in model.optimizer.variables] if model.compiled else [])


def assert_all_equal(one, two, atol=0.0):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


# Every case.


@pytest.mark.parametrize("name", [n for n in MODELS if n not in CLOSED_FORM])
def test_the_objective_falls_on_real_data(name):
    """A few epochs on digits lower the loss (the last third is below the first), every term is finite in each epoch."""
    _, history, _ = fitted(name)
    third = len(history["loss"]) // 3
    assert np.mean(history["loss"][-third:]) < np.mean(history["loss"][:third])
    assert all(np.isfinite(values).all() for values in history.values())


@pytest.mark.parametrize("name", [n for n in MODELS if n not in CLOSED_FORM])
def test_every_trainable_variable_gets_a_gradient(name):
    """Adam leaves a variable where its gradient is zero; every one has moved, to a finite value."""
    model, _, before = fitted(name)
    assert before
    for variable, start in zip(model.trainable_variables, before, strict=True):
        assert np.isfinite(numbers(variable)).all() and np.abs(numbers(variable) - start).max() > 0, variable.path


@pytest.mark.parametrize("name", MODELS)
def test_reconstruction_and_config(name):
    """`model(x)` is of the shape of x, integers with an axis of classes; its config makes a model of equal outputs."""
    model, _, _ = fitted(name)
    x, condition = first(3, name)
    twin = type(model).from_config(model.get_config())
    assert [(v.path.split("/")[-1], v.shape) for v in twin.variables] == [
        (v.path.split("/")[-1], v.shape) for v in model.variables
    ]
    twin.set_weights(model.get_weights())
    one, two = numbers(model(x, *condition)), numbers(twin(x, *condition))
    assert one.shape[: x.ndim] == x.shape and np.isfinite(one).all()
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SAMPLING)
def test_a_sample_depends_on_its_key_alone(name):
    """Row i of `generate` is a function of key i and condition i: a part of the batch gives the same rows."""
    model, _, _ = fitted(name)
    x, condition = first(5, name)
    keys = ops.convert_to_tensor(random.keys(3, 5))
    whole = numbers(model.generate(keys, *condition))
    part = numbers(model.generate(keys[2:4], *(c[2:4] for c in condition)))
    assert whole.shape == x.shape and np.abs(whole[0] - whole[1]).max() > 1e-4
    np.testing.assert_allclose(whole[2:4], part, rtol=0, atol=1e-5)


# The calls of the contract.


@pytest.mark.parametrize("name", ["vae_convolutional_skip", "conditional_vector", "iwae", "probabilistic_pca"])
def test_shapes_of_the_contract(name):
    """fit, evaluate, predict, sample, log_prob, encode, decode, reconstruct: numpy of their shapes."""
    model, history, _ = fitted(name)
    x, condition = first(5, name)
    evaluated = model.evaluate(x, *condition, verbose=0, return_dict=True)
    assert {"loss", "nll", "bits_per_dim"} <= set(evaluated) and np.isfinite(list(evaluated.values())).all()
    assert len(history["loss" if name in LATENT_VARIABLE else "total_variance"]) == MODELS[name].epochs
    predicted = model.predict((x, *condition) if condition else x, verbose=0)
    z = model.encode(x, *condition)
    outputs = {
        "predict": predicted,
        "reconstruct": model.reconstruct(x, *condition),
        "decode": model.decode(z, *condition),
        "sample": model.sample(5, *condition, seed=0),
    }
    assert {k: v.shape for k, v in outputs.items()} == dict.fromkeys(outputs, x.shape)
    assert z.shape == (5, LATENT_DIM)
    np.testing.assert_allclose(outputs["decode"], predicted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(outputs["reconstruct"], predicted, rtol=0, atol=1e-5)
    log_prob = model.log_prob(x, *condition)
    assert log_prob.shape == (5,) and np.isfinite(log_prob).all()
    assert all(isinstance(v, np.ndarray) for v in (z, log_prob, *outputs.values()))


@pytest.mark.parametrize("name", ["vae", "conditional_labels", "pca"])
def test_interpolation_runs_from_a_to_b(name):
    """The line begins at the reconstruction of a, ends at that of b, and its middle decodes the mean of the codes."""
    model, _, _ = fitted(name)
    x, condition = first(4, name)
    a, b, condition = x[:2], x[2:], [c[:2] for c in condition]
    line = model.interpolate(a, b, 5, *condition)
    assert line.shape == (2, 5, *x.shape[1:])
    middle = 0.5 * (model.encode(a, *condition) + model.encode(b, *condition))
    np.testing.assert_allclose(line[:, 0], model.reconstruct(a, *condition), rtol=0, atol=1e-5)
    np.testing.assert_allclose(line[:, 4], model.reconstruct(b, *condition), rtol=0, atol=1e-5)
    np.testing.assert_allclose(line[:, 2], model.decode(middle, *condition), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["vae_normal", "conditional_labels"])
def test_sample_is_the_same_for_any_batch_size(name):
    """The same seed gives the same samples in batches of 1, 7 and 64; another seed and no seed give others."""
    model, _, _ = fitted(name)
    condition = () if name == "vae_normal" else (np.arange(15) % 10,)
    samples = {size: model.sample(15, *condition, seed=5, batch_size=size, verbose=0) for size in (1, 7, 64)}
    np.testing.assert_allclose(samples[1], samples[64], rtol=0, atol=1e-5)
    np.testing.assert_allclose(samples[7], samples[64], rtol=0, atol=1e-5)
    fresh = [model.sample(15, *condition, seed=s, batch_size=64) for s in (6, None, None)]
    assert min(np.abs(a - b).max() for a, b in [(samples[64], fresh[0]), fresh[:2], fresh[1:]]) > 1e-2


@pytest.mark.parametrize("name", ["vae", "probabilistic_pca"])
def test_temperature_scales_the_randomness(name):
    """Samples vary more at temperature 1 than at 0.5, and not at all at 0."""
    model, _, _ = fitted(name)
    spread = [model.sample(64, seed=0, temperature=t).std(axis=0).mean() for t in (0.0, 0.5, 1.0)]
    assert spread[0] < 1e-6 < spread[1] < spread[2]


@pytest.mark.parametrize("name", ["vae", "conditional_labels"])
def test_log_prob_depends_on_the_seed_alone(name):
    """Example i has the same estimate in any batch; another seed gives another one close by."""
    model, _, _ = fitted(name)
    x, condition = first(9, name)
    one, two, other = (
        model.log_prob(x, *condition, num_samples=8, seed=seed, batch_size=size)
        for seed, size in [(0, 4), (0, 9), (1, 9)]
    )
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)  # of tens of nats
    assert 1e-4 < np.abs(one - other).max() < 5.0


@pytest.mark.parametrize("name", [*AUTOENCODERS, "pca"])
def test_no_likelihood_is_refused_with_the_families_that_have_one(name):
    """`log_prob` names the way out."""
    model, _, _ = fitted(name)
    assert model.likelihood is None
    with pytest.raises(NotImplementedError, match=f"{type(model).__name__}.*ProbabilisticPCA.*VAE"):
        model.log_prob(MODELS[name].data(2)[0])


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_an_autoencoder_does_not_sample(name):
    """There is no density over its codes."""
    with pytest.raises(NotImplementedError, match="does not sample"):
        fitted(name)[0].sample(2)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_what_is_no_training_leaves_the_state_of_training(name):
    """Sampling, densities and codes advance no seed and move no variable."""
    model = fitted(name)[0]
    x, condition = first(4, name)
    before = state(model)
    if MODELS[name].samples:
        model.sample(4, *condition)
        model.log_prob(x, *condition)
    model.reconstruct(x, *condition)
    model.encode(x, *condition)
    assert_all_equal(before, state(model))


def test_sampling_during_fit_does_not_change_training():
    """Two runs, one of which samples after each epoch with fresh entropy, end in the same weights."""
    peek = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: models[1].sample(2))
    models = [compiled("vae"), compiled("vae")]
    for model, callbacks in zip(models, ([], [peek]), strict=True):
        fit(model, grey(64)[0], epochs=2, callbacks=callbacks)
    assert_all_equal(state(models[0]), state(models[1]))


# Saving.


@pytest.mark.parametrize("name", [*CONTINUED, "vae_regularised"])
def test_a_saved_model_continues_bit_for_bit(name, tmp_path):
    """A `.keras` file, safe mode on, gives equal predictions and samples, and trains on as the model itself does."""
    model = compiled(name)
    x, y = MODELS[name].data(64)
    fit(model, x, y, epochs=1)
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path, safe_mode=True)
    condition = () if y is None else (y[:3],)
    np.testing.assert_array_equal(numbers(model(x[:3], *condition)), numbers(loaded(x[:3], *condition)))
    if MODELS[name].samples:
        np.testing.assert_array_equal(*(m.sample(3, *condition, seed=1) for m in (model, loaded)))
    assert_all_equal(state(model), state(loaded))
    histories = [fit(m, x, y, epochs=1) for m in (model, loaded)]
    assert histories[0] == histories[1]
    assert_all_equal(state(model), state(loaded))


@pytest.mark.parametrize("name", ["conditional_prior", "probabilistic_pca"])
def test_weights_round_trip(name, tmp_path):
    """`save_weights` and `load_weights` carry a model to one of the same constructor."""
    model, _, _ = fitted(name)
    x, condition = first(3, name)
    path = str(tmp_path / "m.weights.h5")
    model.save_weights(path)
    twin = make(name)
    twin.load_weights(path)
    np.testing.assert_array_equal(numbers(model(x, *condition)), numbers(twin(x, *condition)))


# Training: precision, compilation, data, metrics.


@pytest.mark.parametrize(
    "name, policy",
    [("vae_mixture_prior", "mixed_float16"), ("conditional_labels", "mixed_float16"), ("vae_normal", "mixed_bfloat16")],
)
def test_mixed_precision_trains_with_losses_in_float32(name, policy):
    """Networks compute in half precision, the objective in float32; the loss is finite and falls."""
    model = half_precision(name, policy)
    model.compile(keras.optimizers.Adam(3e-3))
    x, y = MODELS[name].data(N)
    terms = model.objective(ops.convert_to_tensor(x[:4]), None if y is None else ops.convert_to_tensor(y[:4]))
    assert {keras.backend.standardize_dtype(t.dtype) for t in terms.values()} == {"float32"}
    assert keras.backend.standardize_dtype(model.decoder(ops.zeros((1, LATENT_DIM)), **no_label(model)).dtype) == (
        policy.removeprefix("mixed_")
    )
    history = fit(model, x, y, epochs=3)
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]
    condition = () if y is None else (y[:2],)
    assert model.sample(2, *condition, seed=0).dtype == np.float32


def half_precision(name, policy):
    """The case built under the global policy, as a user does, who passes networks of his own."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return make(name)
    finally:
        keras.config.set_dtype_policy(before)


def no_label(model):
    return {"condition": ops.zeros((1, model.num_classes))} if model.conditional else {}


@pytest.mark.parametrize("name", ["vae", "conditional_labels"])
def test_eager_training_equals_compiled(name):
    """Three steps of SGD, eager and compiled, agree to 1e-5: weights and loss."""
    x, y = MODELS[name].data(96)
    runs = []
    for eager in (False, True):
        model = compiled(name, keras.optimizers.SGD(1e-2), {"run_eagerly": eager})
        history = fit(model, x, y)
        runs.append([*(numbers(v) for v in model.trainable_variables), np.array(history["loss"]) / 10.0])
    assert_all_equal(*runs, atol=1e-5)


class Pairs(keras.utils.PyDataset):
    """Batches of `(x, y)`."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x) // BATCH

    def __getitem__(self, i):
        rows = slice(i * BATCH, (i + 1) * BATCH)
        return self.x[rows], self.y[rows]


def test_data_that_streams_trains_as_arrays_do():
    """`tf.data` and `PyDataset` of the same batches give the history of the arrays."""
    tf = pytest.importorskip("tensorflow")
    x, y = labelled(64)
    streams = [Pairs(x, y), tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)]
    expected = fit(compiled("conditional_labels"), x, y)
    for stream in streams:
        history = compiled("conditional_labels").fit(stream, shuffle=False, verbose=0, validation_data=stream).history
        assert history["loss"] == pytest.approx(expected["loss"], abs=1e-5)
        assert np.isfinite(history["val_nll"]).all()


def test_metrics_receive_data_and_reconstruction():
    """A compiled metric sees `(x, model(x, y))`, in fit and in evaluate."""
    model = compiled("conditional_labels", arguments={"metrics": [keras.metrics.MeanSquaredError(name="mse")]})
    x, y = labelled(64)
    history = fit(model, x, y)
    result = model.evaluate(x, y, verbose=0, return_dict=True)
    expected = np.mean((x - model.predict((x, y), verbose=0)) ** 2)
    assert "mse" in history and result["mse"] == pytest.approx(expected, abs=1e-5)


def test_sample_weights_multiply_the_loss():
    """Examples of weight zero do not count: the gradient is that of the others, halved by the mean."""
    x = grey(32)[0]
    weight = np.repeat([2.0, 0.0], 16).astype("float32")
    junk = np.concatenate([x[:16], 1.0 - x[16:]])
    runs = []
    for data in (x, junk):
        model = compiled("vae", keras.optimizers.SGD(1e-2))
        fit(model, data, sample_weight=weight)
        runs.append([numbers(v) for v in model.trainable_variables])
    assert_all_equal(*runs, atol=1e-6)


def test_every_public_model_is_in_the_registry():
    """A new class enters `cases.py`, or inherits no law."""
    public = {c for c in vars(models).values() if isinstance(c, type) and issubclass(c, keras.Model)}
    games = {c for c in public if c.__module__.startswith(adversarial.__name__)}  # test_gans.py
    assert public - games - {GenerativeModel} == {type(fitted(name)[0]) for name in MODELS}


@pytest.mark.parametrize("noise, level", [("gaussian", 0.3), ("masking", 0.25)])
def test_a_denoising_autoencoder_corrupts_what_it_trains_on(noise, level):
    """x~ = x + level eps, or each element 0 with probability `level`; the target is clean, and evaluation too."""
    model, x = make(f"denoising_{noise}", level=level), ops.ones((2000, 16))
    change = numbers(model.corrupt(x)) - 1.0
    if noise == "gaussian":
        assert change.std() == pytest.approx(level, rel=0.02) and abs(change.mean()) < 0.01
    else:
        assert set(np.unique(change)) == {-1.0, 0.0} and -change.mean() == pytest.approx(level, abs=0.01)
    clean, twice, seen = (numbers(model.objective(x, training=t)["loss"]) for t in (False, False, True))
    np.testing.assert_array_equal(clean, twice)
    assert np.ptp(clean) < 1e-4 < np.ptp(seen)  # equal rows, unequal noise


@pytest.mark.parametrize("name", MODELS)
def test_every_model_prints_a_summary(name):
    """With its parts: Keras asks each built layer for the shape of its output, by the names that `build` has."""
    lines, model = [], make(name)
    model.summary(expand_nested=True, print_fn=lambda line, line_break=False: lines.append(line))
    assert model.name in "".join(lines)


def test_the_loss_is_listed_first():
    """`evaluate`, `train_on_batch` and `test_on_batch` without `return_dict`: the loss, then the others by name."""
    model, _, _ = fitted("vae")
    x, condition = first(32, "vae")
    for method in (model.evaluate, model.test_on_batch):
        options = {"verbose": 0} if method == model.evaluate else {}
        listed, named = (method(x, *condition, **options, return_dict=r) for r in (False, True))
        assert len(listed) == len(named) and listed[0] == pytest.approx(named["loss"], rel=0.2)


def test_one_condition_serves_a_whole_line():
    """`interpolate` takes one condition for all, as `sample` and `decode` do."""
    model, _, _ = fitted("conditional_labels")
    x, _ = first(4, "conditional_labels")
    same = [model.interpolate(x[:2], x[2:], 3, c) for c in (1, np.array([1, 1]))]
    np.testing.assert_array_equal(*same)


@pytest.mark.skipif(keras.config.backend() == "torch", reason="Keras has no steps_per_execution on torch")
def test_a_file_of_several_steps_an_execution_says_so():
    """The setting is kept in the configuration; on torch loading sets it to 1, with a warning."""
    model = compiled("vae")
    model.compile("sgd", steps_per_execution=2)
    assert model.get_compile_config()["steps_per_execution"] == 2


@pytest.mark.skipif(keras.config.backend() != "torch", reason="a law of torch")
def test_several_steps_an_execution_become_one_on_torch():
    model = compiled("vae")
    config = model.get_compile_config()
    with pytest.warns(UserWarning, match="one step a call on torch"):
        model.compile_from_config({**config, "steps_per_execution": 2})
    assert model.steps_per_execution == 1
