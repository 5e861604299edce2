"""Tiny Shakespeare: a million characters of plays, from a local file or by download; a tenth of it in the package.

The first 90 % of the characters are for training, as in nanoGPT: n = int(0.9 N), of N = 1,115,394 the first 1,003,854.
There are 65 distinct characters.
"""

import hashlib
from pathlib import Path

import keras

from keras_gen.datasets.local import find, or_download

__all__ = ["load_data", "load_excerpt"]

NAME = "tinyshakespeare.txt"
SOURCE = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/"
    "tinyshakespeare/input.txt"
)
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
EXCERPT = Path(__file__).with_name("shakespeare.txt")


def load_data(path=None):
    """Load Tiny Shakespeare, split in two.

    Args:
        path: the file `tinyshakespeare.txt`, or a folder that holds it. Default `None`: the folder named by
            `KERAS_GEN_DATA`; if it has none, Keras's cache or download (1.1 MB).

    Returns:
        `train, test`: strings of 1,003,854 and 111,540 characters.

    Raises:
        FileNotFoundError: if `path` holds no such file, or nothing is found and the download fails.
        ValueError: if the file is another one, by its SHA-256.

    Reference:
        A. Karpathy, char-rnn (2015), github.com/karpathy/char-rnn; the split: nanoGPT, data/shakespeare_char. The text
        is in the public domain.
    """
    files = find([(NAME,)], path) or [or_download(_fetch, "Tiny Shakespeare")]
    content = Path(files[0]).read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(
            f"Expected Tiny Shakespeare, of SHA-256 {SHA256}. Received: {files[0]}, of {len(content)} bytes, which is "
            f"another file or damaged. It comes from {SOURCE}"
        )
    return _split(content.decode("ascii"))


def load_excerpt():
    """Load the first 99,844 characters, which are part of the package, split in the same way.

    Returns:
        `train, test`: strings of 89,859 and 9,985 characters, from Coriolanus.

    Example:
        >>> from keras_gen.datasets import shakespeare
        >>> train, test = shakespeare.load_excerpt()
        >>> print(train[:60])
        First Citizen:
        Before we proceed any further, hear me speak.
        >>> len(train), len(test), len(set(train + test))
        (89859, 9985, 61)

    Reference:
        See `load_data`; LICENSE-shakespeare.txt beside this file.
    """
    return _split(EXCERPT.read_bytes().decode("ascii"))


def _split(text):
    n = int(0.9 * len(text))
    return text[:n], text[n:]


def _fetch():
    return keras.utils.get_file(NAME, SOURCE, cache_subdir="datasets", file_hash=SHA256)
