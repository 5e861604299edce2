"""One sampler for every autoregressive model: a compiled loop over the elements, with the network's cache.

With k_i the random key of sample i and (h_t, cache) of `network.step`,

    x_t ~ p(. given h_t)  with the noise of fold_in(k_i, t),      or the known x_t where there is one.           (1)

T steps of the network, not T passes over the sequence; and the same loop for samples, for priming (the first elements
are known), for in-painting (any are known), for streams (the loop in chunks, its state kept between them), and on all
backends. Element t of sample i is the same however long the sequence, the batch or the chunk: its noise depends on
(seed, i, t) alone.

**In-painting** draws an unknown x_t given what lies *before* it, drawn or known. What is known later does not reach it:
p(x_t given all that is known) is not at hand in a causal model.

**Truncation**, of integers: logits over the temperature, then top-k, then top-p (see
`distributions.truncated_logits`); truncated samples are not samples of the model.

Reference:
    Le Paine et al. 2016, arXiv:1611.09482, section 2; Ramachandran et al. 2017, arXiv:1704.06001.
"""

import numpy as np
from keras import ops

from keras_gen import backend, random
from keras_gen.distributions import Categorical, truncated_logits
from keras_gen.models import inputs


class SequenceSampling:
    """Mixin of `AutoregressiveModel`: the loop and its numpy twins."""

    def generate(
        self, keys, condition=None, temperature=1.0, length=None, given=None, known=None, top_k=None, top_p=None
    ):
        """Samples as a tensor `(n, length, ...)`, one for each of the random `keys`; traces in graphs.

        Args:
            keys: `(n, 2)`, see `keras_gen.random.keys`.
            condition: `(n, ...)` for a conditional model.
            temperature: a number >= 0, or a tensor above 0.
            length: elements, default T.
            given, known: elements `(n, length, *element_shape)`, and booleans `(n, length)` that say which of them are
                to be kept; None for none.
            top_k, top_p: truncation.
        """
        length = self.length if length is None else length
        state = self.first_state(ops.shape(keys)[0], length, condition)
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        return self.events(self.advance(state, 0, length, keys, given, known, **options)[1])

    def first_state(self, n, length, condition=None):
        """What the loop carries before its first step: the cache, the last elements, whether sequences have ended."""
        shape, dtype = (n, *self.element_shape), "int32" if self.classes is not None else self.real_dtype
        state = {"cache": self.network.init_cache(n, length, self.encoded(condition)), "last": ops.zeros(shape, dtype)}
        return state if self.stop_token is None else {**state, "ended": ops.zeros((n,), "bool")}

    def advance(self, state, first, count, keys, given=None, known=None, temperature=1.0, top_k=None, top_p=None):
        """`count` steps from step `first` on: the next state, and their elements `(n, count, *element_shape)`.

        `given` and `known` are those of these steps. The loop ends early when all sequences have ended.
        """

        def body(i, state, out):
            state = self._next(state, first + i, keys, temperature, top_k, top_p, _at(i, given, known))
            return state, backend.put(out, i, state["last"])

        last = state["last"]
        fill = 0 if self.stop_token is None else self.stop_token
        out = ops.full((count, *ops.shape(last)), fill, dtype=last.dtype)
        state, out = self._looped(body, count, state, out)
        return state, ops.moveaxis(out, 0, 1)

    def _looped(self, body, count, state, out):
        if self.stop_token is None:
            return backend.loop(count, lambda i, s: body(i, *s), (state, out))

        def live(i, state, out):
            return ops.logical_and(i < count, ops.logical_not(ops.all(state["ended"])))

        start = (ops.zeros((), "int32"), state, out)
        return ops.while_loop(live, lambda i, state, out: (i + 1, *body(i, state, out)), start)[1:]

    def _next(self, state, t, keys, temperature, top_k, top_p, kept):
        """One step: equation (1)."""
        h, cache = self.network.step(self.embedding.after(state["last"], t), state["cache"], t)
        x = self.drawn(h, random.fold_in(keys, t), temperature, top_k, top_p)
        if kept is not None:
            known = ops.reshape(kept[1], (-1,) + (1,) * len(self.element_shape))
            x = ops.where(known, ops.cast(kept[0], x.dtype), x)
        if self.stop_token is None:
            return {"cache": cache, "last": x}
        x = ops.where(state["ended"], self.stop_token, x)
        return {"cache": cache, "last": x, "ended": ops.logical_or(state["ended"], ops.equal(x, self.stop_token))}

    def drawn(self, h, keys, temperature=1.0, top_k=None, top_p=None):
        """One element of each row of features `(n, F)`, by the keys `(n, 2)`."""
        q = self.distribution(h)
        greedy = isinstance(temperature, float) and temperature == 0.0
        if greedy and self.classes is not None:
            return q.mode()
        if not greedy and (top_k is not None or top_p is not None):
            q, temperature = Categorical(truncated_logits(q.logits / temperature, top_k, top_p)), 1.0
        x = q.generate(keys, temperature=temperature)
        return x if self.classes is not None else ops.cast(x, self.real_dtype)

    def naive_generate(self, keys, condition=None, temperature=1.0, given=None, known=None, top_k=None, top_p=None):
        """As `generate`, by T passes over the whole sequence: what the cached way is held against."""

        def body(t, x):
            h = backend.entry(self.features(x, condition), t, axis=1)
            new = self.drawn(h, random.fold_in(keys, t), temperature, top_k, top_p)
            if given is not None:
                kept = ops.reshape(backend.entry(known, t, axis=1), (-1,) + (1,) * len(self.element_shape))
                new = ops.where(kept, ops.cast(backend.entry(given, t, axis=1), new.dtype), new)
            return backend.put(x, t, new, axis=1)

        dtype = "int32" if self.classes is not None else self.real_dtype
        start = ops.zeros((ops.shape(keys)[0], self.length, *self.element_shape), dtype)
        x = ops.fori_loop(0, self.length, body, start)
        if self.stop_token is not None:
            x = ops.where(self._lives(x, "float32") > 0, x, self.stop_token)
        return self.events(x)

    # The numpy twins.

    def sample(
        self, n, condition=None, *, length=None, prime=None, seed=None, temperature=1.0, top_k=None, top_p=None,
        batch_size=None, verbose="auto",
    ):  # fmt: skip
        """Samples from the model, numpy `(n, length, ...)`.

        Element t of sample i depends on (seed, i, t), on what lies before it and on its condition alone: not on
        `length` or `batch_size`, nor, to rounding, on the backend.

        Args:
            n: number of samples, at least 1.
            condition: for a conditional model, `(n, ...)`, or one condition for all.
            length: elements of each, default T; longer ones than those trained on are allowed where the network and
                the condition have no length of their own.
            prime: first elements that are given, `(n, p, ...)`, or `(p, ...)` for all; p <= length.
            seed: non-negative integer; None draws fresh entropy. Training seeds are never advanced.
            temperature: >= 0; divides logits, multiplies scales; 1 is the model itself, 0 the most probable element
                at each step.
            top_k, top_p: of integers, draw among the k most probable alone, or among the fewest whose probability is
                at least top_p.
            batch_size: samples computed at once, default 256, or fewer of long sequences.
            verbose: `"auto"` shows progress on work of more than two seconds; 0 or 1.

        Raises:
            ValueError: an argument out of its range; a prime longer than `length`, or out of the support; a condition
                missing, superfluous or of the wrong shape.
        """
        n = inputs.check_count(n, "n")
        length = self._check_length(length)
        given, known = self._primed(prime, n, length)
        return self._sampled(n, condition, length, given, known, seed, temperature, top_k, top_p, batch_size, verbose)

    def inpaint(
        self, x, known, condition=None, *, seed=None, temperature=1.0, top_k=None, top_p=None, batch_size=None,
        verbose="auto",
    ):  # fmt: skip
        """x with its unknown elements drawn, each given those before it.

        Args:
            x: data `(n, *event_shape)`; what is unknown may hold any number, NaN too.
            known: booleans `(n, T)`, or `(T,)` for all: True keeps an element. After a stop token, drawn or known, all
                are that token.
            condition, seed, temperature, top_k, top_p, batch_size, verbose: as in `sample`.

        Returns:
            numpy `(n, *event_shape)`.

        Raises:
            ValueError: data that `fit` would refuse; a mask of another shape or dtype.
        """
        x, known = inputs.to_numpy(x, "x"), np.asarray(known)
        inputs.check_shape(x.shape, self.event_shape, "x")
        if known.dtype != bool or known.shape not in ((self.length,), (len(x), self.length)):
            raise ValueError(
                f"Expected `known` as booleans of shape ({self.length},) or {(len(x), self.length)}. Received: shape "
                f"{known.shape}, dtype {known.dtype}."
            )
        known = np.broadcast_to(known, (len(x), self.length))
        given = self._elements_of(self._of_known(x, known))
        return self._sampled(
            len(x), condition, self.length, given, known, seed, temperature, top_k, top_p, batch_size, verbose
        )

    def _of_known(self, x, known):
        """x with a value of the support, one that is known, wherever it is unknown; checked."""
        if len(x) and not known.any():
            return np.zeros_like(x)
        mask = known.reshape(known.shape + (1,) * len(self.element_shape))
        return inputs.check_data(self, np.where(mask, x, x[known][0]) if len(x) else x)

    def stream(
        self, n=1, condition=None, *, length=None, chunk=16, prime=None, seed=None, temperature=1.0, top_k=None,
        top_p=None,
    ):  # fmt: skip
        """Samples as they come: an iterator of numpy arrays `(n, chunk, ...)`, the last one shorter if need be.

        Put together they are `sample(n, ...)` with the same arguments. It ends after `length` elements, or when all
        sequences have ended by the stop token.

        Args:
            chunk: elements of each array, default 16: one compiled call. On JAX and TensorFlow another chunk is another
                compilation.
            n, condition, length, prime, seed, temperature, top_k, top_p: as in `sample`.

        Raises:
            ValueError: as `sample`, before the first chunk is asked for.
        """
        n, chunk, length = inputs.check_count(n, "n"), inputs.check_count(chunk, "chunk"), self._check_length(length)
        given, known = self._primed(prime, n, length)
        arrays, static, _ = self._checked(n, condition, given, known, seed, temperature, top_k, top_p)
        return self._chunks(n, length, min(chunk, length), arrays, static)

    def _chunks(self, n, length, chunk, arrays, static):
        self.synchronize()
        tensors = {name: ops.convert_to_tensor(a) for name, a in arrays.items() if a is not None}
        keys, condition = tensors["keys"], tensors.get("condition")
        begin = self._looping(f"first_{n}_{length}", lambda **kw: self.first_state(n, length, kw.get("condition")))
        state = begin(**({} if condition is None else {"condition": condition}))
        for first in range(0, length, chunk):
            count = min(chunk, length - first)
            part = {k: tensors[k][:, first : first + count] for k in ("given", "known") if k in tensors}
            run = self._looping(f"advance_{count}_{static}", lambda count=count, **kw: self._chunk(count, static, **kw))
            state, x = run(state=state, first=ops.convert_to_tensor(first, "int32"), keys=keys, **part)
            yield ops.convert_to_numpy(x)
            if self.stop_token is not None and bool(ops.convert_to_numpy(ops.all(state["ended"]))):
                return

    def _chunk(self, count, static, state, first, keys, given=None, known=None):
        state, x = self.advance(state, first, count, keys, given, known, **dict(static))
        return state, self.events(x)

    def _sampled(
        self, n, condition, length, given, known, seed, temperature, top_k, top_p, batch_size, verbose
    ):  # fmt: skip
        arrays, static, extra = self._checked(n, condition, given, known, seed, temperature, top_k, top_p)
        options = {**dict(static), "length": length}
        if extra:
            del options["temperature"]
        run = self._looping(f"sample_{sorted(options.items())}", lambda **kw: self.generate(**options, **kw))
        return self._in_batches(run, arrays, extra, batch_size, verbose)

    def _looping(self, name, fn):
        return self._compiled(name, fn, loop=True)

    def _checked(self, n, condition, given, known, seed, temperature, top_k, top_p):
        """The arrays of a loop, what is fixed when it is compiled, and the temperature as an array if it is not 0."""
        temperature = inputs.check_temperature(temperature)
        if (top_k is not None or top_p is not None) and self.classes is None:
            raise ValueError("Expected top_k=None and top_p=None: elements are real numbers, not integers.")
        if self.classes is not None:
            truncated_logits(np.zeros((1, self.classes), "float32"), top_k, top_p)
        condition = inputs.check_condition(self, self._repeat(condition, n), n)
        keys = ops.convert_to_numpy(random.keys(inputs.check_seed(seed), n))
        arrays = {"keys": keys, "condition": condition, "given": given, "known": known}
        static = (("temperature", temperature), ("top_k", top_k), ("top_p", top_p))
        return arrays, static, {"temperature": np.float32(temperature)} if temperature > 0 else {}

    def _check_length(self, length):
        length = self.length if length is None else inputs.check_count(length, "length")
        longest = self.length if self.condition_upsampling is not None else self.network.max_length
        if longest is not None and length > longest:
            raise ValueError(
                f"Expected `length` of at most {longest}: the positions of the network, or the condition, go no "
                f"further. Received: length={length}."
            )
        return length

    def _primed(self, prime, n, length):
        """Elements and the mask of those that are given, or two None."""
        if prime is None:
            return None, None
        prime = inputs.to_numpy(prime, "prime")
        if prime.ndim == len(self.event_shape):
            prime = np.broadcast_to(prime, (n, *prime.shape))
        fits = prime.ndim == 1 + len(self.event_shape) and prime.shape[2:] == self.element_shape and len(prime) == n
        if not fits or not 1 <= prime.shape[1] <= length:
            sizes = ", ".join(["p", *map(str, self.element_shape)])
            raise ValueError(
                f"Expected `prime` of shape ({n}, {sizes}) or ({sizes}) with 1 <= p <= {length}, the length of the "
                f"samples. Received: shape={prime.shape}."
            )
        inputs.check_finite(prime, "prime")
        self.check_support(prime)
        elements = self._elements_of(prime)
        given = np.zeros((n, length, *self.element_shape), elements.dtype)
        given[:, : prime.shape[1]] = elements
        return given, np.arange(length)[None] < np.full((n, 1), prime.shape[1])

    def _elements_of(self, x):
        return ops.convert_to_numpy(self.elements(self._event(ops.convert_to_tensor(x))))


def _at(i, given, known):
    """The elements given for step i, and which of them are to be kept; None if there are none."""
    return None if given is None else (backend.entry(given, i, axis=1), backend.entry(known, i, axis=1))
