"""Laws of models of sequences: the cached sampler is the naive one, and probabilities are those of the chain rule."""

import itertools
import os

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend, layers, models, networks, random

LENGTH = 10
X64 = keras.config.backend() != "jax" or os.environ.get("JAX_ENABLE_X64") == "1"


def _text(make, **fixed):
    return lambda **kw: make((LENGTH,), **{"vocabulary_size": 4, **fixed, **kw})


def _sound(make, **fixed):
    return lambda **kw: make((LENGTH, 1), **{**fixed, **kw})


SMALL_WAVENET = {"channels": 6, "skip_channels": 7, "dilations": (1, 2, 4)}
MODELS = {
    "causal_cnn": _sound(models.CausalCNN, filters=5, dilations=(1, 2)),
    "causal_cnn_of_levels": _sound(models.CausalCNN, filters=5, dilations=(1, 2), quantizer=layers.UniformQuantizer(5)),
    "causal_cnn_of_two_channels": lambda **kw: models.CausalCNN(
        (LENGTH, 2), filters=5, dilations=(1,), quantizer=layers.UniformQuantizer(3), **kw
    ),
    "wavenet": _sound(models.WaveNet, **SMALL_WAVENET, quantizer=layers.MuLawQuantizer(16)),
    "wavenet_of_16_bits": _sound(
        models.WaveNet, **SMALL_WAVENET, quantizer=None, head="discretized_logistic_mixture"
    ),
    "char_rnn": _text(models.CharRNN, units=(6, 5), embedding_size=3),
    "char_rnn_of_gru": _text(models.CharRNN, units=(6,), cell="gru", embedding_size=3),
    "transformer": _text(models.CausalTransformer, width=8, depth=2, heads=2),
    "transformer_of_learned_positions": _text(
        models.CausalTransformer, width=8, depth=1, heads=2, positions="learned"
    ),
    "transformer_that_stops": _text(models.CausalTransformer, width=8, depth=1, heads=2, stop_token=3),
}  # fmt: skip
CONDITIONS = {
    "none": ({}, None),
    "label": ({"num_classes": 3}, np.array([2, 0, 1, 1])),
    "vector": ({"condition_shape": (2,)}, np.arange(8.0, dtype="float32").reshape(4, 2) / 4),
    "local": ({"condition_shape": (5, 2)}, np.arange(40.0, dtype="float32").reshape(4, 5, 2) / 20 - 1),
}


@pytest.fixture(autouse=True)
def loops_as_graphs(monkeypatch):
    """On TensorFlow loops are plain graphs here, since a process keeps all that XLA has compiled; those of the golden
    sequences and of `test_causal` are XLA's, as a user's are.
    """
    if keras.config.backend() == "tensorflow":
        compiled = backend.compile
        monkeypatch.setattr(backend, "compile", lambda fn, variables=None, loop=False: compiled(fn, variables))


@pytest.fixture(scope="module")
def made():
    """Models by name and condition, made once, their weights spread so that probabilities are far from even."""
    cache = {}

    def make(name, condition="none"):
        if (name, condition) not in cache:
            keras.utils.set_random_seed(3)
            model = cache[name, condition] = MODELS[name](**CONDITIONS[condition][0])
            for weight in model.trainable_variables:
                weight.assign(ops.convert_to_numpy(weight.value) * (1.0 if "bias" in weight.path else 1.5))
        return cache[name, condition]

    return make


def differences(model, cached, naive, keys, condition, given):
    """None if the samples agree; else the least margin of a draw at the first difference."""
    a, b = (ops.convert_to_numpy(model.elements(ops.convert_to_tensor(x))) for x in (cached, naive))
    if model.classes is None:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # rounding, fed back ten times
        return None
    wrong = (a != b).reshape(len(a), LENGTH, -1).any(-1)
    if not wrong.any():
        return None
    row, t = np.argwhere(wrong)[0]
    h = model.features(ops.convert_to_tensor(b), condition)[:, t]
    logits = ops.convert_to_numpy(model.distribution(h).logits)[row]
    noise = ops.convert_to_numpy(random.gumbel(random.fold_in(keys, int(t)), logits.shape))[row]
    top = np.sort((logits + noise).reshape(-1, model.classes), axis=-1)
    return float((top[:, -1] - top[:, -2]).min())


def both(model, condition=None, **options):
    """The cached and the naive samples, compiled, under the same keys; and the least margin where they differ."""
    keys = random.keys(5, 4)
    condition = None if condition is None else ops.convert_to_tensor(condition)
    tensors = {k: ops.convert_to_tensor(v) for k, v in options.items() if k in ("given", "known")}
    rest = {k: v for k, v in options.items() if k not in tensors}
    names = list(tensors)

    def run(method):
        fn = lambda keys, *arrays: getattr(model, method)(  # noqa: E731
            keys, condition, **rest, **dict(zip(names, arrays, strict=True))
        )
        return ops.convert_to_numpy(backend.compile(fn, lambda: model.variables)(keys, *tensors.values()))

    cached, naive = run("generate"), run("naive_generate")
    return cached, naive, differences(model, cached, naive, keys, condition, tensors)


@pytest.mark.parametrize("name", MODELS)
def test_cached_samples_are_the_naive_ones(made, name):
    cached, naive, margin = both(made(name))
    assert margin is None or margin < 1e-5
    assert len(np.unique(cached)) > 1 or made(name).stop_token is not None


@pytest.mark.parametrize(
    "name, condition",
    [
        ("causal_cnn_of_levels", "local"),
        ("wavenet", "label"),
        ("wavenet", "local"),
        ("char_rnn", "label"),
        ("transformer", "vector"),
    ],
)
def test_cached_samples_are_the_naive_ones_under_a_condition(made, name, condition):
    _, _, margin = both(made(name, condition), CONDITIONS[condition][1])
    assert margin is None or margin < 1e-5


@pytest.mark.parametrize("name", ["wavenet", "char_rnn", "transformer_that_stops"])
def test_in_painted_samples_keep_what_is_known_and_are_the_naive_ones(made, name):
    model = made(name)
    x = model.sample(4, seed=9)
    known = np.random.default_rng(0).random((4, LENGTH)) < 0.5
    given = ops.convert_to_numpy(model.elements(ops.convert_to_tensor(x)))
    cached, _, margin = both(model, given=given, known=known)
    assert margin is None or margin < 1e-5
    if model.stop_token is None:
        np.testing.assert_allclose(cached[known], x[known], atol=1e-6)
    y = model.inpaint(x, known, seed=5)
    np.testing.assert_allclose(y, cached, atol=1e-6)


@pytest.mark.parametrize("name", ["causal_cnn", "wavenet", "char_rnn"])
def test_what_is_unknown_may_hold_anything(made, name):
    """NaN, or numbers out of the support: in-painted samples are the same; what is known is checked."""
    model, known = made(name), np.arange(LENGTH) % 3 == 0
    x = model.sample(3, seed=9).astype("float64")
    expected = model.inpaint(x, known, seed=5)
    for anything in (np.nan, 1e6):
        holes = x.copy()
        holes[:, ~known] = anything
        np.testing.assert_array_equal(model.inpaint(holes, known, seed=5), expected)
    np.testing.assert_array_equal(model.inpaint(x * np.nan, ~known & known, seed=5), model.sample(3, seed=5))
    with pytest.raises(ValueError, match="finite x"):
        model.inpaint(holes * np.nan, known)


@pytest.mark.parametrize("name", ["char_rnn", "transformer", "transformer_that_stops"])
def test_probabilities_of_all_sequences_sum_to_one(name):
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    small = type(model).from_config({**model.get_config(), "event_shape": (5,)})
    x = np.array(list(itertools.product(range(4), repeat=5)))
    if small.stop_token is not None:  # one string for all that are alike up to the first stop
        x = np.array([row for row in x if not (np.cumsum(row == 3)[:-1].astype(bool) & (row[1:] != 3)).any()])
    p = np.exp(small.log_prob(x, batch_size=1024).astype("float64"))
    assert abs(p.sum() - 1) < 1e-5
    steps = small.stepwise_log_prob(x, batch_size=1024)
    np.testing.assert_allclose(steps.sum(1), np.log(p), atol=1e-5)


def test_probabilities_of_two_channels_of_levels_sum_to_one():
    model = models.CausalCNN((2, 2), filters=4, dilations=(1,), quantizer=layers.UniformQuantizer(3))
    x = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=4)), "float32").reshape(-1, 2, 2)
    assert abs(np.exp(model.log_prob(x)).sum() - 1) < 1e-5


@pytest.mark.parametrize("name", ["causal_cnn", "transformer_that_stops"])
def test_chunks_of_a_stream_are_the_sample(made, name):
    model = made(name)
    whole = model.sample(2, seed=4, temperature=0.8)
    chunks = list(model.stream(2, seed=4, temperature=0.8, chunk=4))
    streamed = np.concatenate(chunks, axis=1)
    np.testing.assert_allclose(streamed, whole[:, : streamed.shape[1]], atol=1e-5)
    if model.stop_token is None:
        assert [c.shape[1] for c in chunks] == [4, 4, 2]
    else:
        assert (whole[:, streamed.shape[1] :] == model.stop_token).all()


@pytest.mark.parametrize("name", ["wavenet_of_16_bits", "char_rnn"])
def test_chunks_of_a_long_stream_are_the_sample(made, name):
    """140 steps, which torch traces, and ten times 14, which it does not; a prime and a temperature with them."""
    model = made(name)
    options = {"seed": 4, "temperature": 0.9, "length": 140, "prime": model.sample(1, seed=1)[0, :5]}
    streamed = np.concatenate(list(model.stream(2, chunk=14, **options)), axis=1)
    np.testing.assert_allclose(model.sample(2, **options), streamed, atol=1e-4)


@pytest.mark.parametrize("name", ["wavenet", "transformer"])
def test_an_element_depends_on_what_is_before_it_alone(made, name):
    model = made(name)
    long = model.sample(3, seed=4, length=LENGTH + 3)
    np.testing.assert_array_equal(model.sample(3, seed=4, batch_size=2), long[:, :LENGTH])
    primed = model.sample(3, seed=4, prime=long[:, :4], length=LENGTH + 3)
    np.testing.assert_array_equal(primed, long)
    other = model.sample(3, seed=4, prime=long[0, ::-1][:4])
    np.testing.assert_allclose(other[:, :4], np.broadcast_to(long[0, ::-1][:4], other[:, :4].shape), atol=1e-6)


def test_greedy_samples_are_top_one_samples_and_have_no_seed(made):
    model = made("transformer")
    greedy = model.sample(2, seed=0, temperature=0.0)
    np.testing.assert_array_equal(model.sample(2, seed=1, top_k=1), greedy)
    np.testing.assert_array_equal(model.sample(2, seed=2, top_p=1e-6), greedy)
    p = model.predict(greedy, verbose=0)
    np.testing.assert_array_equal(p.argmax(-1), greedy)


def test_after_the_stop_token_all_is_stop_and_counts_nothing(made):
    model = made("transformer_that_stops")
    x = model.sample(64, seed=0)
    for row in x:
        ends = np.flatnonzero(row == 3)
        assert not len(ends) or (row[ends[0] :] == 3).all()
    assert (x == 3).any()
    steps = model.stepwise_log_prob(x)
    after = np.cumsum(x == 3, axis=1) - (x == 3) > 0
    assert (steps[after] == 0).all() and (steps[~after] < 0).all()
    changed = np.where(after, 0, x)
    np.testing.assert_array_equal(model.log_prob(changed), model.log_prob(x))


def test_what_follows_a_context_is_the_rest_of_the_chain(made):
    model = made("char_rnn")
    x = np.random.default_rng(0).integers(0, 4, (5, LENGTH))
    np.testing.assert_allclose(
        model.log_prob(x, context=3), model.stepwise_log_prob(x)[:, 3:].sum(1), rtol=1e-5, atol=1e-5
    )


def test_evaluate_gives_the_nats_the_bits_and_the_perplexity(made):
    model = made("transformer_that_stops")
    model.compile("sgd")
    x = model.sample(16, seed=0)
    logs = model.evaluate(x, verbose=0, return_dict=True)
    count = (np.cumsum(x == 3, axis=1) - (x == 3) == 0).sum()
    nats = -model.log_prob(x).sum() / count
    np.testing.assert_allclose(logs["perplexity"], np.exp(nats), rtol=1e-5)
    np.testing.assert_allclose(logs["bits_per_element"], nats / np.log(2), rtol=1e-5)
    np.testing.assert_allclose(logs["bits_per_dim"], logs["nll"] / LENGTH / np.log(2), rtol=1e-5)


def test_a_conditional_model_can_be_learnt_and_follows_its_condition():
    keras.utils.set_random_seed(0)
    y = np.arange(120) % 3
    x = (np.arange(8)[None] * (y[:, None] + 1)) % 4
    model = models.CharRNN((8,), 4, units=(24,), embedding_size=8, num_classes=3)
    model.compile(keras.optimizers.Adam(0.03))
    model.fit(x, y, epochs=25, batch_size=40, verbose=0)
    np.testing.assert_array_equal(model.sample(3, [0, 1, 2], seed=0, temperature=0.0), x[:3])


def test_a_flow_is_a_head():
    """Its dropout acts in training alone, and its density is that of the change of variables, element by element."""
    x = np.random.default_rng(0).normal(size=(16, LENGTH, 2)).astype("float32")
    network = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dropout(0.5)])
    head = layers.FlowHead((2,), layers.AffineCoupling(network, conditional=True))
    model = models.AutoregressiveModel((LENGTH, 2), networks.CausalConvolutions(5, (1, 2)), head=head)
    head.bijection.conditioner.to_raw.kernel.assign(np.ones((8, 2)))
    losses = [ops.convert_to_numpy(model.objective(x, training=t)["loss"]) for t in (False, False, True)]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert np.abs(losses[2] - losses[1]).max() > 1e-2
    model.compile(keras.optimizers.SGD(1e-4))
    model.fit(x, verbose=0)
    assert model.predict(x, verbose=0).shape == x.shape == model.sample(16, seed=0).shape
    h = ops.reshape(model.features(x), (-1, 5))
    z, log_det = head.bijection.forward_and_log_det(x.reshape(-1, 2), h)
    log_p = head.base_head.distribution(h).log_density(z) + log_det
    np.testing.assert_allclose(model.stepwise_log_prob(x).ravel(), ops.convert_to_numpy(log_p), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not X64, reason="JAX needs JAX_ENABLE_X64=1")
def test_a_wavenet_of_float64_has_levels_of_float64():
    model = models.WaveNet((LENGTH, 1), **SMALL_WAVENET, dtype="float64")
    values = np.sign(y := np.linspace(-1, 1, 256)) * (256.0 ** np.abs(y) - 1) / 255
    x = model.sample(4, seed=0)
    assert x.dtype == "float64" and np.abs(x.ravel()[:, None] - values).min(axis=1).max() < 1e-15


@pytest.mark.skipif(not X64, reason="JAX needs JAX_ENABLE_X64=1")
@pytest.mark.parametrize("theirs, ours", [("float32", "float64"), ("float64", "float32")])
def test_a_quantiser_of_another_float_type_is_refused(theirs, ours):
    quantizer = layers.MuLawQuantizer(16, dtype=theirs)
    with pytest.raises(ValueError, match=f"quantiser of {ours}.*of {theirs}.*dtype=.{ours}"):
        models.WaveNet((LENGTH, 1), **SMALL_WAVENET, quantizer=quantizer, dtype=ours)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["wavenet_of_16_bits", "char_rnn", "transformer"])
def test_half_precision_trains_and_samples(name, policy):
    keras.utils.set_random_seed(0)
    model = MODELS[name](dtype=policy)
    model.compile(keras.optimizers.Adam(0.01))
    t = np.arange(LENGTH)[None] + np.arange(32)[:, None]
    x = t % 4 if model.vocabulary_size else (0.5 * np.sin(t / 2)).astype("float32")[..., None]
    losses = model.fit(x, epochs=4, batch_size=4, verbose=0).history["loss"]  # some steps look for a loss scale
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert model.log_prob(x).dtype == "float32"
    model.check_support(model.sample(2, seed=0))


@pytest.mark.parametrize("learned", [True, False])
def test_upsampling_begins_as_interpolation_or_repeats(learned):
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    layer = layers.SequenceUpsampling((2, 3), learned)
    y = ops.convert_to_numpy(ops.stop_gradient(layer(x)))
    assert y.shape == (2, 36, 3) == tuple(layer.compute_output_shape(x.shape))
    if not learned:
        np.testing.assert_array_equal(y, x.repeat(6, axis=1))
    else:
        line = np.arange(6.0, dtype="float32")[None, :, None]
        y = ops.convert_to_numpy(ops.stop_gradient(layers.SequenceUpsampling(4)(line)))[0, :, 0]
        np.testing.assert_allclose(np.diff(y)[4:18], 0.25, atol=1e-6)


BAD = [
    (lambda m: m("char_rnn").sample(1, prime=np.zeros(11, "int32")), "prime.*1 <= p <= 10"),
    (lambda m: m("char_rnn").sample(1, prime=[4]), "tokens as integers in"),
    (lambda m: m("char_rnn").sample(1, top_k=5), "top_k.*from 1 to 4"),
    (lambda m: m("char_rnn").sample(1, top_p=0.0), "top_p"),
    (lambda m: m("char_rnn").stream(1, top_k=0), "top_k"),
    (lambda m: m("char_rnn").stream(1, chunk=0), "chunk"),
    (lambda m: m("causal_cnn").sample(1, top_k=2), "real numbers, not integers"),
    (lambda m: m("wavenet").sample(1, prime=np.full((3, 1), 2.0)), "expects numbers from -1"),
    (lambda m: m("wavenet").log_prob(np.full((1, LENGTH, 1), 2.0)), "expects numbers from -1"),
    (lambda m: m("char_rnn").log_prob(np.full((1, LENGTH), 4)), "tokens as integers"),
    (lambda m: m("char_rnn").log_prob(np.zeros((1, LENGTH), "int32"), context=10), "`context` below the 10"),
    (lambda m: m("transformer_of_learned_positions").sample(1, length=11), "`length` of at most 10"),
    (lambda m: m("wavenet", "local").sample(1, np.zeros((5, 2)), length=11), "`length` of at most 10"),
    (lambda m: m("wavenet", "local").sample(1, np.zeros((4, 2))), "shape"),
    (lambda m: m("char_rnn").inpaint(np.zeros((2, LENGTH)), np.zeros(LENGTH)), "booleans"),
    (lambda m: m("char_rnn").inpaint(np.zeros((2, LENGTH)), np.zeros(9, bool)), "booleans"),
    (lambda m: models.CharRNN((8, 1), 4), "event_shape.*for tokens"),
    (lambda m: models.CausalCNN((8,)), "event_shape.*for numbers"),
    (lambda m: models.CausalTransformer((8,)), "Received: .*vocabulary_size=None. Give `vocabulary_size"),
    (lambda m: models.CausalCNN((8,), vocabulary_size=4, quantizer=layers.UniformQuantizer(4)), "not both.*Uniform"),
    (lambda m: models.WaveNet((8,), vocabulary_size=5), "WaveNet models sound.*vocabulary_size=5. For tokens take"),
    (lambda m: m("char_rnn").sample(2, condition=3), "no condition: CharRNN models"),
    (lambda m: networks.Recurrent((3,)).init_cache(1, 4), "Recurrent .* is not built.*before `init_cache`"),
    (lambda m: networks.GatedConvolutions(3).init_cache(1, 4), "is not built"),
    (lambda m: networks.Transformer(4).init_cache(1, 4), "is not built"),
    (lambda m: layers.CausalConv1D(3, 2).init_cache(1, 4), "CausalConv1D .* is not built"),
    (lambda m: layers.CausalSelfAttention(2).init_cache(1, 4), "CausalSelfAttention .* is not built"),
    (lambda m: layers.GatedResidualBlock(2).init_cache(1, 4), "GatedResidualBlock .* is not built"),
    (lambda m: models.CharRNN((8,), 4, stop_token=4), "stop_token.*below"),
    (lambda m: models.CharRNN((8,), 4, stop_token="end"), "stop_token.*'end'"),
    (lambda m: models.LinearAR(8, 2), "event_shape.*for numbers"),
    (lambda m: models.CausalTransformer((), 4, positions="learned"), "event_shape"),
    (lambda m: models.WaveNet((), quantizer=None, head="discretized_logistic_mixture"), "event_shape"),
    (lambda m: models.CharRNN((8,), 4, cell="rnn"), "cell"),
    (lambda m: models.CharRNN((8,), 4, head="normal"), "no `head`"),
    (lambda m: models.WaveNet((8, 1), head="normal"), "`quantizer`, or a `head`"),
    (lambda m: models.WaveNet((8, 1), condition_shape=(3, 2)), "S times that divide"),
    (lambda m: models.WaveNet((8, 1), condition_shape=(4, 2), upsampling="linear"), "upsampling"),
    (lambda m: models.WaveNet((8, 1), upsampling="linear"), "upsampling"),
    (lambda m: models.WaveNet((8, 1), condition_shape=(4, 2), upsampling=layers.SequenceUpsampling(3)), "8 times of 4"),
    (lambda m: models.AutoregressiveModel((8, 1), layers.CausalConv1D(4, 2), num_classes=3), "takes a condition"),
    (lambda m: layers.CausalConv1D(4, 2)(np.ones((1, 3, 2)), np.ones((1, 2))), "expects no condition"),
    (lambda m: layers.CausalSelfAttention(2)(np.ones((1, 3, 2)), np.ones((1, 2))), "expects no condition"),
    (lambda m: networks.Recurrent(()), "`units` as at least one"),
    (lambda m: models.CausalTransformer((8,), 4, width=9, heads=2), "heads divide"),
    (lambda m: models.CausalTransformer((8,), 4, width=6, heads=2), "heads divide"),
    (lambda m: models.CausalTransformer((8,), 4, positions="sine"), "positions"),
    (lambda m: models.AutoregressiveModel((8,), keras.layers.Dense(3), vocabulary_size=2), "CausalLayer"),
    (lambda m: models.CharRNN((8,), 4, dropout=1.0), "dropout"),
    (lambda m: models.WaveNet((8, 1), quantizer="mu-law"), "`quantizer` as a layer.*'mu-law'"),
    (lambda m: layers.CausalConv1D(4, 2, groups=3), "groups"),
    (lambda m: networks.GatedConvolutions(dilations=()), "at least one positive"),
]


@pytest.mark.parametrize("call, message", BAD, ids=range(len(BAD)))
def test_bad_input_is_refused_with_the_reason(made, call, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        call(made)
