"""Free Spoken Digits: 3,000 recordings of the English digits, from a local file or by download; 140 in the package.

Six speakers said each digit fifty times. A recording is named by digit, speaker and number; those numbered 0 to 4 are
the test set, as its authors say. Samples are of 16 bits, 8,000 a second: x / 32768 lies in [-1, 1).

The recordings in the package, of two speakers, are kept as the levels k of a mu-law quantiser of 256 levels,

    x = round(32768 sign(y) (256^|y| - 1) / 255),        y = 2 k / 255 - 1,

which is `layers.MuLawQuantizer().dequantize(k)`: levels that are quantised again are the same levels.
"""

import hashlib
import io
import wave
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_gen.datasets.local import find, or_download

__all__ = ["load_data", "load_excerpt", "sample_rate"]

sample_rate = 8000  # samples a second

ARRAYS = ("audio", "offsets", "names")
SOURCE = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/heads/master.zip"
RECORDINGS, TEST = 3000, 5
# Of all samples, recordings in the order of speaker, digit and number.
SHA256 = "4e0317650d9c876eeda8788b4d4132af747e323d495a3da12c9bce9bc456a45f"
EXCERPT = Path(__file__).with_name("spoken_digits.npz")


def load_data(length=None, path=None):
    """Load the Free Spoken Digit Dataset by its official split.

    Args:
        length: samples to which each recording is cut, or padded by zeros at its end; default None: as they are, of
            1,148 to 18,262 samples, half of them below 3,359. 99 % have at most 7,361.
        path: `fsdd.npz` (arrays `audio`, all recordings end to end, `offsets` and `names`) or the zip archive of the
            source's repository, or a folder that holds `fsdd.npz`. Default `None`: the folder named by
            `KERAS_GEN_DATA`; if it has none, the archive is fetched into Keras's cache (16 MB).

    Returns:
        `(x_train, digit_train, speaker_train), (x_test, digit_test, speaker_test)`: x a list of 2,700 and of 300 int16
        arrays `(n,)`, or with `length` int16 `(2700, length)` and `(300, length)`; digits `uint8` from 0 to 9; names of
        speakers, strings: "george", "jackson", "lucas", "nicolas", "theo", "yweweler".

    Raises:
        FileNotFoundError: if `path` holds no such file, or nothing is found and the download fails.
        ValueError: if `length` is no positive int, the file is damaged, or its recordings are other ones.

    Reference:
        Z. Jackson et al. (2018), Jakobovski/free-spoken-digit-dataset, doi 10.5281/zenodo.1342401. CC BY-SA 4.0.
    """
    _check_length(length)
    files = find([("fsdd.npz",)], path) or [or_download(_fetch, "The Free Spoken Digit Dataset")]
    return _split(*_read(Path(files[0])), length)


def load_excerpt(length=None):
    """Load the 140 recordings that are part of the package: two speakers, each digit six times and once for tests.

    Args:
        length: see `load_data`. The longest has 6,845 samples.

    Returns:
        As `load_data`, of 120 and 20 recordings, of the speakers "jackson" and "nicolas".

    Raises:
        ValueError: if `length` is no positive int.

    Example:
        >>> from keras_gen.datasets import spoken_digits
        >>> (x, digit, speaker), test = spoken_digits.load_excerpt(length=4000)
        >>> x.shape, x.dtype, digit[:8].tolist(), sorted(set(speaker.tolist()))
        ((120, 4000), dtype('int16'), [0, 0, 0, 0, 0, 0, 1, 1], ['jackson', 'nicolas'])

    Reference:
        See `load_data`; LICENSE-spoken_digits.txt beside this file, CC BY-SA 4.0.
    """
    _check_length(length)
    with np.load(EXCERPT) as data:
        return _split(_expanded()[data["levels"]], data["offsets"], data["names"], length)


def _expanded():
    """x of each level."""
    y = 2 * np.arange(256) / 255 - 1
    x = np.sign(y) * np.expm1(np.abs(y) * np.log(256)) / 255
    return np.clip(np.round(32768 * x), -32768, 32767).astype("int16")


def _split(audio, offsets, names, length):
    parts = [str(name).removesuffix(".wav").split("_") for name in names]
    recordings = [audio[start:end] for start, end in zip(offsets[:-1], offsets[1:], strict=True)]
    digit = np.array([int(part[0]) for part in parts], "uint8")
    speaker = np.array([part[1] for part in parts])
    test = np.array([int(part[2]) < TEST for part in parts])
    return tuple((_of(recordings, mask, length), digit[mask], speaker[mask]) for mask in (~test, test))


def _of(recordings, mask, length):
    chosen = [recordings[i] for i in np.flatnonzero(mask)]
    if length is None:
        return chosen
    x = np.zeros((len(chosen), length), "int16")
    for row, recording in zip(x, chosen, strict=True):
        row[: len(recording)] = recording[:length]
    return x


def _read(file):
    """Samples, offsets and names, which are those of the source."""
    try:
        with open(file, "rb") as stream, np.load(stream) as data:
            found = [data[name] for name in ARRAYS] if set(data.files) >= set(ARRAYS) else None
        audio, offsets, names = _from_archive(file) if found is None else found
        matches = hashlib.sha256(np.asarray(audio, "<i2").tobytes()).hexdigest() == SHA256
        whole = audio.dtype == np.int16 and len(names) == RECORDINGS == len(offsets) - 1
    except Exception as error:  # zipfile, zlib, wave and numpy have each their own
        raise ValueError(f"Expected fsdd.npz or the source's archive. Received: {file}, damaged: {error}") from error
    if not whole or not matches:
        raise ValueError(
            f"Expected the {RECORDINGS} recordings of the source. Received: {file}, of {len(names)} recordings, which "
            f"are other ones. They come from {SOURCE}"
        )
    return audio, offsets, names


def _from_archive(file):
    """The samples of `recordings/*.wav` in a zip archive, ordered by speaker, digit and number."""
    with zipfile.ZipFile(file) as archive:
        members = {Path(name).name: name for name in archive.namelist() if name.endswith(".wav")}
        names = sorted(members, key=_order)
        recordings = [_samples(archive.read(members[name])) for name in names]
    offsets = np.concatenate([[0], np.cumsum([len(x) for x in recordings])]).astype("int64")
    return np.concatenate(recordings), offsets, np.array(names)


def _order(name):
    digit, speaker, number = name.removesuffix(".wav").split("_")
    return speaker, int(digit), int(number)


def _samples(content):
    with wave.open(io.BytesIO(content)) as stream:
        return np.frombuffer(stream.readframes(stream.getnframes()), "<i2").astype("int16")


def _fetch():
    return keras.utils.get_file("free-spoken-digit-dataset.zip", SOURCE, cache_subdir="datasets")


def _check_length(length):
    if length is not None and (isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 1):
        raise ValueError(f"Expected `length` as a positive integer or None. Received: length={length!r}.")
