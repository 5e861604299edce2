"""Text as integers: a vocabulary numbers the characters, or the tokens, of the texts it was made of.

Let the tokens be t_0, ..., t_(V-1), the special ones first and then the others in sorted order. A text that is cut into
tokens is the integers of these, and joined they give it back:

    encode(t_a t_b ...) = (a, b, ...),        decode(a, b, ...) = t_a + t_b + ...

A special token, such as one that ends a line, stands for no character and cannot occur in a text.
"""

import json
import numbers

import numpy as np

from keras_gen.datasets.smiles import smiles_tokens

TOKENIZERS = {"characters": list, "smiles": smiles_tokens}


class Vocabulary:
    """Tokens and their numbers, for texts in and out of a model.

    `len(vocabulary)` is V, the number of classes; `vocabulary[token]` is a token's number.

    Args:
        tokens: the tokens in the order of their numbers, distinct strings that are not empty; `Vocabulary.of` finds
            those of given texts.
        special: those of them that are special, default none.
        tokenizer: how a text is cut: "characters" (default), or "smiles" (`smiles_tokens`). What is not a string but a
            list of tokens is taken as it is.

    Raises:
        ValueError: no tokens, tokens that repeat or are empty, a special one that is not among them, an unknown
            tokenizer.

    Example:
        >>> from keras_gen.datasets import Vocabulary
        >>> vocabulary = Vocabulary.of(["to be", "or not"], special=("<end>",))
        >>> len(vocabulary), vocabulary.tokens[:3], vocabulary.encode("not to").tolist()
        (8, ('<end>', ' ', 'b'), [4, 5, 7, 1, 7, 5])
        >>> vocabulary.encode_lines(["to", "be"], length=4).tolist()
        [[7, 5, 0, 0], [2, 3, 0, 0]]
        >>> vocabulary.decode([[7, 5, 0, 0], [2, 3, 0, 7]], end="<end>")
        ['to', 'be']
        >>> Vocabulary.from_json(vocabulary.to_json()) == vocabulary
        True
    """

    def __init__(self, tokens, special=(), tokenizer="characters"):
        self.tokens, self.special, self.tokenizer = tuple(tokens), tuple(special), tokenizer
        if tokenizer not in TOKENIZERS:
            raise ValueError(f"Expected `tokenizer` as one of {sorted(TOKENIZERS)}. Received: {tokenizer!r}.")
        strings = all(isinstance(t, str) and t for t in (*self.tokens, *self.special))
        self._index = {token: k for k, token in enumerate(self.tokens)}
        if not strings or not self.tokens or len(self._index) < len(self.tokens):
            raise ValueError(f"Expected `tokens` as distinct strings, none empty. Received: {_short(self.tokens)}.")
        if not set(self.special) <= set(self._index):
            raise ValueError(f"Expected `special` among the tokens {_short(self.tokens)}. Received: {self.special}.")

    @classmethod
    def of(cls, texts, special=("<end>",), tokenizer="characters"):
        """The vocabulary of what occurs in texts.

        Args:
            texts: a string, or a sequence of strings or lists of tokens.
            special: tokens that get the first numbers, default `("<end>",)`.
            tokenizer: see `Vocabulary`.

        Raises:
            ValueError: a special token that occurs in the texts too; see also `Vocabulary`.
        """
        cut = TOKENIZERS.get(tokenizer, list)
        found = set()
        for text in [texts] if isinstance(texts, str) else texts:
            found.update(cut(text) if isinstance(text, str) else text)
        if both := sorted(found & set(special)):
            raise ValueError(f"Expected special tokens that no text has. Received: {both}, which occur.")
        return cls((*special, *sorted(found)), special, tokenizer)

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, token):
        if token not in self._index:
            raise ValueError(f"Expected a token of {_short(self.tokens)}. Received: {token!r}.")
        return self._index[token]

    def __contains__(self, token):
        return token in self._index

    def __eq__(self, other):
        return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

    def __hash__(self):
        return hash(self.to_json())

    def __repr__(self):
        return f"Vocabulary({_short(self.tokens)}, special={self.special}, tokenizer={self.tokenizer!r})"

    def encode(self, text):
        """The numbers of a text's tokens: int32 `(n,)`.

        Raises:
            ValueError: tokens that the vocabulary has not; the first is named with its position, the others counted.
        """
        tokens = TOKENIZERS[self.tokenizer](text) if isinstance(text, str) else list(text)
        try:
            return np.array([self._index[token] for token in tokens], "int32").reshape(-1)
        except KeyError:
            unknown = [(position, token) for position, token in enumerate(tokens) if token not in self._index]
        named = ", ".join(repr(token) for token in list(dict.fromkeys(token for _, token in unknown))[:5])
        raise ValueError(
            f"Expected tokens of the vocabulary, {_short(self.tokens)}. Received: {unknown[0][1]!r} at position "
            f"{unknown[0][0]}; {len(unknown)} unknown in all, among them {named}. Replace them, or make the vocabulary "
            "of these texts too."
        )

    def decode(self, numbers_, end=None):
        """The text of numbers.

        Args:
            numbers_: integers `(n,)`, from 0 to V - 1; or `(rows, n)`.
            end: a token at whose first occurrence a row ends, and which is not part of it; default None: all of it.

        Returns:
            A string; of rows, a list of strings.

        Raises:
            ValueError: no integers of one or two axes, or out of their range; an unknown `end`.
        """
        k = np.asarray(numbers_)
        stop = None if end is None else self[end]
        whole = k.size == 0 or k.dtype.kind in "iu"
        if not whole or k.ndim not in (1, 2) or (k.size and not (0 <= k.min() and k.max() < len(self))):
            raise ValueError(
                f"Expected integers from 0 to {len(self) - 1}, (n,) or (rows, n). Received: shape {k.shape}, dtype "
                f"{k.dtype}{f', from {k.min()} to {k.max()}' if k.size else ''}."
            )
        rows = [self._text(row.tolist(), stop) for row in np.atleast_2d(k)]
        return rows if k.ndim == 2 else rows[0]

    def _text(self, row, stop):
        row = row[: row.index(stop)] if stop in row else row
        return "".join(self.tokens[k] for k in row)

    def windows(self, text, length, stride=None):
        """Pieces of a long text: int32 `(n, length)`, piece i from token i `stride` on, n = 1 + (N - length) // stride.

        Args:
            text: a string or list of tokens, N tokens.
            length: of a piece, a positive int.
            stride: default None: `length`, pieces that do not overlap. What is left at the end is left out.

        Raises:
            ValueError: a text of less than `length` tokens, unknown tokens, sizes that are no positive ints.
        """
        length = _positive(length, "length")
        stride = length if stride is None else _positive(stride, "stride")
        k = self.encode(text)
        if len(k) < length:
            raise ValueError(f"Expected a text of at least {length} tokens (`length`). Received: {len(k)}.")
        return np.lib.stride_tricks.sliding_window_view(k, length)[::stride].copy()

    def encode_lines(self, lines, length, end="<end>"):
        """Lines as rows of one length: int32 `(n, length)`, each line followed by `end`, at least once.

        Args:
            lines: a sequence of strings or lists of tokens, each of at most `length` - 1 tokens.
            length: of a row, a positive int.
            end: the token that ends a line, default "<end>".

        Raises:
            ValueError: a line that is too long, or has unknown tokens, is named by its number; no such `end`.
        """
        length, fill = _positive(length, "length"), self[end]
        rows = np.full((len(lines), length), fill, "int32")
        for i, line in enumerate(lines):
            try:
                k = self.encode(line)
            except ValueError as error:
                raise ValueError(f"Line {i}, {_short(line)}: {error}") from error
            if len(k) >= length or fill in k:
                raise ValueError(
                    f"Expected lines of at most {length - 1} tokens, without {end!r}, so that one ends each row. "
                    f"Received: line {i}, of {len(k)}: {_short(line)}. Take a larger `length`, or leave it out."
                )
            rows[i, : len(k)] = k
        return rows

    def to_json(self):
        """The vocabulary as a string of JSON, to be kept beside a model."""
        return json.dumps({"tokens": self.tokens, "special": self.special, "tokenizer": self.tokenizer})

    @classmethod
    def from_json(cls, text):
        """The vocabulary of a string that `to_json` wrote.

        Raises:
            ValueError: it is no such string.
        """
        try:
            fields = json.loads(text)
            return cls(fields["tokens"], fields["special"], fields["tokenizer"])
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"Expected what `to_json` wrote. Received: {_short(str(text))}: {error}") from error


def _short(value):
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]} ... ({len(value)})"


def _positive(value, name):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"Expected `{name}` as a positive integer. Received: {name}={value!r}.")
    return int(value)
