"""Autoregressive models of sequences: the chain rule, with one causal network.

A sequence x of T elements has the density

    p(x given c) = prod_(t = 1 ... T) p(x_t given x_1, ..., x_(t-1); c),                                       (1)

for any order of the elements, without approximation. A causal network (see `layers.CausalLayer`) makes features h_t of
the elements before t, and a head the distribution of x_t: log p is a sum of T terms, all computed at once. Elements are

    tokens        integers below a vocabulary's size, with a softmax;
    quantised     real numbers whose levels Q(x_t) are the data, with a softmax over the levels of each channel;
    real          with any distribution head, such as a mixture of discretised logistics for 16 bits.

Of quantised numbers log p is that of the levels: a probability, not a density. A sequence may end before T, by a token:
then (1) ends with the first of those tokens, what follows is not looked at, and p is a distribution over all strings of
at most T tokens.

Reference:
    Y. Bengio et al., "A neural probabilistic language model", JMLR 3 (2003), equation 1; A. van den Oord et al.,
    arXiv:1609.03499 (2016), equation 1.
"""

import inspect
import math
import numbers

import keras
import numpy as np
from keras import ops

from keras_gen import layers
from keras_gen.metrics import Perplexity
from keras_gen.models import inputs
from keras_gen.models.autoregressive.elements import ElementEmbedding
from keras_gen.models.autoregressive.sampling import SequenceSampling
from keras_gen.models.base import GenerativeModel


@keras.saving.register_keras_serializable(package="keras_gen")
class AutoregressiveModel(SequenceSampling, GenerativeModel):
    """p(x given c) = prod_t p(x_t given x_(<t); c) by any causal network.

    Args:
        event_shape: `(T,)` for tokens, `(T, channels)` for numbers.
        network: a `layers.CausalLayer`, features `(batch, T, embedding_size)` to features, such as those of
            `keras_gen.networks`.
        head: distribution of one element of real numbers, a name or a head of events `(channels,)`; default "normal".
            Of tokens and quantised numbers it is a softmax, and `head` stays None.
        vocabulary_size: number of tokens, if elements are tokens.
        quantizer: a layer such as `layers.MuLawQuantizer()`, if elements are to be quantised.
        stop_token: a token that ends a sequence, or None.
        embedding_size: channels of the network's input, default 64.
        num_classes: number of classes if c is a label; or
        condition_shape: `(features,)` for a global condition, `(S, features)` for a local one at S times, S dividing T.
        upsampling: of a local condition, "learned" (default) or "repeat", or a layer that makes T times of S.
        name, dtype: as in `keras.Model`.

    Returns of the contract: `model(x)` and `predict` give what is said of x_t before it is seen: log-probabilities
    `(n, T, [channels,] classes)` of integers, the mean of real numbers (by a `FlowHead`, the image of its base's mean).
    `evaluate` gives `loss` = `nll` (nats a sequence), `bits_per_dim` (a number of the event), `bits_per_element` and
    `perplexity`, exp of the nats an element. `log_prob` is exact.

    Raises:
        ValueError: an event shape that does not fit the elements; a quantiser that is none; a head where there is a
            softmax; a local condition whose length does not divide T.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.models import AutoregressiveModel
        >>> from keras_gen.networks import Recurrent
        >>> x = np.tile(np.arange(8) % 3, (64, 1))
        >>> model = AutoregressiveModel((8,), Recurrent((16,)), vocabulary_size=3, embedding_size=8)
        >>> model.compile(keras.optimizers.Adam(0.05))
        >>> history = model.fit(x, epochs=20, verbose=0)
        >>> model.sample(2, seed=0, temperature=0.0).tolist()
        [[0, 1, 2, 0, 1, 2, 0, 1], [0, 1, 2, 0, 1, 2, 0, 1]]
        >>> model.log_prob(x).shape
        (64,)

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, equation 1.
    """

    likelihood = "exact"

    def __init__(
        self, event_shape, network, *, head=None, vocabulary_size=None, quantizer=None, stop_token=None,
        embedding_size=64, num_classes=None, condition_shape=None, upsampling="learned", **kwargs,
    ):  # fmt: skip
        super().__init__(event_shape, num_classes=num_classes, condition_shape=condition_shape, **kwargs)
        self.network, self.quantizer, self.upsampling = network, quantizer, upsampling
        self.vocabulary_size = inputs.check_optional_count(vocabulary_size, "vocabulary_size")
        self._check_elements(head)
        self.length, self.element_shape = self.event_shape[0], self.event_shape[1:]
        self.stop_token = self._check_stop(stop_token)
        self.embedding_size = inputs.check_count(embedding_size, "embedding_size")
        self.embedding = self._make_embedding()
        self.head = self._head(head)
        self.condition_encoder = self.condition_upsampling = None
        features = self._build_condition()
        self.embedding.build()
        self._build_network(features)
        self.diagnostics = [_Rates(dtype=self.real_dtype)]

    @property
    def classes(self):
        """Number of integers that an element, or a channel of it, can be; None for real numbers."""
        return self.vocabulary_size if self.quantizer is None else self.quantizer.levels

    @property
    def event_dtype(self):
        """int32 for tokens."""
        return "int32" if self.vocabulary_size is not None else "float32"

    # Construction.

    def _check_elements(self, head):
        axes = 1 if self.vocabulary_size is not None else 2
        if self.vocabulary_size is not None and self.quantizer is not None:
            raise ValueError(
                "Expected `vocabulary_size` for tokens or `quantizer` for numbers, not both. Received: "
                f"vocabulary_size={self.vocabulary_size}, quantizer={self.quantizer!r}."
            )
        if len(self.event_shape) != axes:
            expected = "(T,) for tokens" if axes == 1 else "(T, channels) for numbers; tokens have a `vocabulary_size`"
            raise ValueError(
                f"Expected `event_shape` as {expected}. Received: event_shape={self.event_shape}, "
                f"vocabulary_size={self.vocabulary_size}." + _ADVICE[axes]
            )
        if self.quantizer is not None and not all(hasattr(self.quantizer, a) for a in ("levels", "dequantize")):
            raise ValueError(
                "Expected `quantizer` as a layer with `levels` and `dequantize`, such as `layers.MuLawQuantizer()`. "
                f"Received: quantizer={self.quantizer!r}."
            )
        self._check_width()
        if not isinstance(self.network, layers.CausalLayer):
            raise ValueError(f"Expected `network` as a `layers.CausalLayer`. Received: {self.network!r}.")
        if not isinstance(self.upsampling, keras.layers.Layer) and self.upsampling not in ("learned", "repeat"):
            raise ValueError(f'Expected `upsampling` as "learned", "repeat" or a layer. Received: {self.upsampling!r}.')
        if head is not None and self.classes is not None:
            raise ValueError(f"Expected no `head`: integers have a softmax. Received: head={head!r}. Leave it out.")

    def _check_width(self):
        """Raise if the quantiser's numbers are not of the model's float type."""
        if self.quantizer is None:
            return
        theirs = keras.backend.result_type(self.quantizer.variable_dtype, "float32")
        if theirs != self.real_dtype:
            raise ValueError(
                f"Expected a quantiser of {self.real_dtype}, as the model. Received: {self.quantizer!r} of {theirs}. "
                f'Make it with dtype="{self.real_dtype}".'
            )

    def _check_stop(self, token):
        if token is None:
            return None
        whole = isinstance(token, numbers.Integral) and not isinstance(token, bool)
        if self.vocabulary_size is None or not whole or not 0 <= token < self.vocabulary_size:
            raise ValueError(
                f"Expected `stop_token` as a token below vocabulary_size={self.vocabulary_size}. Received: {token!r}."
            )
        return int(token)

    def _make_embedding(self):
        return ElementEmbedding(self.embedding_size, self.element_shape, self.classes, dtype=self.dtype_policy)

    def _head(self, head):
        own = {"dtype": self.dtype_policy}
        if self.classes is not None:
            return layers.CategoricalHead(self.element_shape, self.classes, name="head", **own)
        head = "normal" if head is None else head
        return layers.get_head(head, self.element_shape, **(own if isinstance(head, str) else {}))

    def _build_condition(self):
        """Shape of the condition's features for the network, or None."""
        if not self.conditional:
            return None
        options = {"flatten": False, "dtype": self.dtype_policy, "name": "condition_encoder"}
        shape = None if self.num_classes is not None else self.condition_shape
        self.condition_encoder = layers.ConditionEncoder(self.num_classes, shape, **options)
        self.condition_encoder.build((None, *self.condition_shape))
        features = (None, *self.condition_encoder.features_shape())
        if len(features) == 2:
            return features
        if len(features) != 3 or self.length % features[1]:
            raise ValueError(
                "Expected `condition_shape` as (features,), or (S, features) with S times that divide the "
                f"{self.length} of the sequence. Received: condition_shape={self.condition_shape}."
            )
        self.condition_upsampling = self._upsampling(self.length // features[1])
        if not self.condition_upsampling.built:
            self.condition_upsampling.build(features)
        made = tuple(self.condition_upsampling.compute_output_shape(features))
        if made[1] not in (None, self.length):
            raise ValueError(
                f"Expected `upsampling` as a layer that makes {self.length} times of {features[1]}. Received: "
                f"{type(self.upsampling).__name__}, which makes {made[1]}."
            )
        return (None, self.length, made[-1])

    def _upsampling(self, factor):
        if isinstance(self.upsampling, keras.layers.Layer):
            return self.upsampling
        return layers.SequenceUpsampling(factor, self.upsampling == "learned", dtype=self.dtype_policy)

    def _build_network(self, features):
        shape = self.embedding.compute_output_shape((None, *self.event_shape))
        shapes = (shape,) if features is None else (shape, features)
        if not self.network.built:
            _check_build(self.network, shapes)
            self.network.build(*shapes)
        if not self.head.built:
            self.head.build((None, self.network.compute_output_shape(shape)[-1]))

    # Elements and features.

    def elements(self, x):
        """x as what is modelled: tokens, the levels of numbers, or real numbers."""
        return x if self.quantizer is None else self.quantizer(x)

    def events(self, elements):
        """Elements as data: levels as their numbers."""
        return elements if self.quantizer is None else self.quantizer.dequantize(elements)

    def encoded(self, condition):
        """Features of the condition, `(batch, F)` or `(batch, T, F)`, or None."""
        if condition is None:
            return None
        features = self.condition_encoder(condition)
        return features if self.condition_upsampling is None else self.condition_upsampling(features)

    def features(self, elements, condition=None, training=False):
        """h, `(batch, T, features)`: h_t is of the elements before t."""
        moved = self.embedding.moved(elements)
        if condition is None:
            return self.network(moved, training=training)
        return self.network(moved, self.encoded(condition), training=training)

    def distribution(self, h, training=False):
        """The distribution of one element for each row of features `(rows, features)`."""
        return self.head.distribution(h, training)

    # Densities.

    def stepwise_log_density(self, x, condition=None, training=False):
        """log p(x_t given x_(<t)), `(batch, T)`, nats; 0 after the end of a sequence."""
        elements = self.elements(x)
        h = self.features(elements, condition, training)
        rows = ops.reshape(elements, (-1, *self.element_shape))
        log_p = self.distribution(ops.reshape(h, (-1, h.shape[-1])), training).log_density(rows)
        log_p = ops.reshape(log_p, (-1, self.length))
        return log_p if self.stop_token is None else log_p * self._lives(elements, log_p.dtype)

    def _lives(self, tokens, dtype):
        """1 up to the first stop token, then 0."""
        stops = ops.cast(ops.equal(tokens, self.stop_token), "int32")
        return ops.cast(ops.equal(ops.cumsum(stops, axis=1) - stops, 0), dtype)

    def log_density(self, x, condition=None, context=0):
        """Equation (1), `(batch,)`, nats; with `context`, of what follows the first `context` elements, given them."""
        return ops.sum(self.stepwise_log_density(x, condition)[:, context:], axis=1)

    def objective(self, x, condition=None, training=False):
        log_p = self.stepwise_log_density(x, condition, training)
        nll = -ops.sum(log_p, axis=1)
        count = ops.full_like(nll, self.length)
        if self.stop_token is not None:
            count = ops.sum(self._lives(x, nll.dtype), axis=1)
        self.diagnostics[0].update_nats(nll, count)
        return {"loss": nll} if training else {"loss": nll, "nll": nll}

    def log_prob(self, x, condition=None, *, context=0, batch_size=None, verbose="auto"):
        """log p(x given condition), exact, nats: numpy `(n,)`.

        Args:
            x: data `(n, *event_shape)`.
            condition: `(n, ...)` for a conditional model.
            context: number of first elements that are given: log p of the others given them. Default 0.
            batch_size, verbose: as in `sample`.

        Raises:
            ValueError: data that `fit` would refuse; a context that leaves no element.
        """
        if context != 0 and inputs.check_count(context, "context") >= self.length:
            raise ValueError(f"Expected `context` below the {self.length} elements. Received: context={context}.")
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        run = self._compiled(
            f"log_density_{context}", lambda x, condition=None: self.log_density(self._event(x), condition, context)
        )
        return self._in_batches(run, {"x": x, "condition": condition}, {}, batch_size, verbose)

    def stepwise_log_prob(self, x, condition=None, *, batch_size=None, verbose="auto"):
        """log p(x_t given x_(<t)) of each element, nats: numpy `(n, T)`, 0 after a sequence's end. As `log_prob`."""
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        run = self._compiled("stepwise", lambda x, condition=None: self.stepwise_log_density(self._event(x), condition))
        return self._in_batches(run, {"x": x, "condition": condition}, {}, batch_size, verbose)

    def call(self, x, condition=None, training=False):
        """What is said of x_t before it is seen: log-probabilities of integers, the mean of real numbers."""
        h = self.features(self.elements(self._event(x)), condition, training)
        q = self.distribution(ops.reshape(h, (-1, h.shape[-1])))
        if self.classes is None:
            return ops.reshape(q.location(), (-1, *self.event_shape))
        return ops.reshape(q.log_probabilities(), (-1, *self.event_shape, self.classes))

    def check_support(self, x):
        if self.quantizer is not None:
            self.quantizer.validate(x)
        elif self.vocabulary_size is not None:
            check_tokens(x, self.vocabulary_size)
        else:
            self.head.validate(np.reshape(x, (-1, *self.element_shape)))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        own = ("vocabulary_size", "stop_token", "embedding_size")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in own},
            "network": serialize(self.network),
            "head": None if self.classes is not None else serialize(self.head),
            "quantizer": None if self.quantizer is None else serialize(self.quantizer),
            "upsampling": self.upsampling if isinstance(self.upsampling, str) else serialize(self.upsampling),
        }


_ADVICE = {
    1: " Data are integers of shape (n, T).",
    2: " Give `vocabulary_size=...` if elements are tokens; numbers of one channel are of shape (T, 1).",
}


def _check_build(network, shapes):
    """Raise unless the network can be built for these shapes: of x, and of a condition if there is one."""
    try:
        inspect.signature(network.build).bind(*shapes)
    except TypeError:
        raise ValueError(
            f"Expected a network that takes a condition. Received: {type(network).__name__}, whose `build` has no "
            "`condition_shape`. Take one of `keras_gen.networks`."
        ) from None


class _Rates(Perplexity):
    """What is logged beside the nats of a sequence: `perplexity` and `bits_per_element`."""

    def __init__(self, name="rates", dtype=None):
        super().__init__(name, dtype)

    def result(self):
        nats = ops.divide_no_nan(self.nats.value, self.count.value)
        return {"perplexity": ops.exp(nats), "bits_per_element": nats / math.log(2.0)}


def check_tokens(x, vocabulary_size):
    """Raise unless the numpy array x holds tokens below `vocabulary_size`."""
    x = np.asarray(x)
    if (x < 0).any() or (x >= vocabulary_size).any() or (x != np.floor(x)).any():
        raise ValueError(
            f"Expected tokens as integers in [0, {vocabulary_size}). Received: values from {x.min()} to {x.max()}, "
            f"dtype={x.dtype}. Make them with the vocabulary that the model was made for."
        )
