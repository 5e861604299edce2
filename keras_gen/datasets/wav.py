"""Sound in wav files: samples in [-1, 1) out of them, and into them.

A file holds integers k of b bits, f frames of c channels at a rate r, "PCM". What is read is

    x = k / 2^(b - 1),        of 8 bits, which are unsigned, x = (k - 128) / 128,

the mean over the channels, at another rate resampled by a polyphase filter with the ratio of the rates in lowest terms
(SciPy's `resample_poly`, a Kaiser window of beta = 5, which takes out what the lower rate cannot hold). All is float32
in [-1, 1): values that rounding or the filter puts beyond are set to the nearest inside. What is written is

    k = round(32768 x) of 16 bits, at most 32767,

so that what was read from 16 bits of one channel is written as it was.
"""

import contextlib
import math
import numbers
import os
import warnings
import wave
from pathlib import Path

import numpy as np

BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def read_wav(path, rate):
    """The samples of a wav file of uncompressed integers of 8, 16, 24 or 32 bits.

    Args:
        path: the file.
        rate: samples a second that are wanted, a positive int; a file of another rate is resampled, with a warning.

    Returns:
        float32 `(n,)` in [-1, 1). Several channels are averaged, with a warning.

    Raises:
        ValueError: `rate` is no positive int; the file is no wav file, is compressed or of floats, is cut short, or
            holds no sample. What it holds is said.
        FileNotFoundError: there is no such file.
        ImportError: a file of another rate, and SciPy is not installed: it is the extra `audio`.

    Warns:
        UserWarning: the channels were averaged, or the rate changed.

    Example:
        >>> import numpy as np
        >>> from keras_gen.datasets import read_wav, write_wav
        >>> write_wav("tone.wav", 0.5 * np.sin(np.arange(8000) / 3), 8000)
        >>> x = read_wav("tone.wav", 8000)
        >>> x.shape, x.dtype, round(float(x.max()), 3)
        ((8000,), dtype('float32'), 0.5)

    Reference:
        IBM and Microsoft (1991), Multimedia Programming Interface and Data Specifications 1.0, chapter 3; SciPy,
        `scipy.signal.resample_poly`.
    """
    _check_rate(rate)
    k, bits, file_rate = _read(Path(path))
    x = k.astype("float64") / 2.0 ** (bits - 1)
    if x.shape[1] > 1:
        warnings.warn(f"{path}: the mean of {x.shape[1]} channels is taken.", stacklevel=2)
    x = x.mean(axis=1)
    if file_rate != rate:
        resample = _resampler(path, file_rate, rate)
        warnings.warn(f"{path}: resampled from {file_rate} to {rate} samples a second.", stacklevel=2)
        divisor = math.gcd(file_rate, rate)
        x = resample(x, rate // divisor, file_rate // divisor)
    return np.clip(x.astype("float32"), np.float32(-1), BELOW_ONE)


def write_wav(path, x, rate):
    """Write sound as a wav file of 16 bits and one channel, whole or not at all.

    The file is written under another name beside `path` and renamed, so that what was there stays if anything fails.

    Args:
        path: the file; its folder must exist.
        x: `(n,)`, floats in [-1, 1], of which 1 becomes 32767 / 32768; or int16, written as they are.
        rate: samples a second, a positive int.

    Raises:
        ValueError: x has another shape or no sample, or floats beyond [-1, 1] or NaN; `rate` is no positive int.
        OSError: the disk is full, there is no such folder, ...

    Example:
        See `read_wav`.

    Reference:
        See `read_wav`.
    """
    _check_rate(rate)
    samples = _as_integers(x)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            with wave.open(file, "wb") as stream:
                stream.setparams((1, 2, int(rate), len(samples), "NONE", "not compressed"))
                stream.writeframes(samples.tobytes())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _read(path):
    """Integers `(frames, channels)`, their bits and rate."""
    try:
        with open(path, "rb") as file, wave.open(file, "rb") as stream:
            channels, width, rate, frames = stream.getparams()[:4]
            content = stream.readframes(frames)
    except FileNotFoundError:
        raise
    except Exception as error:  # wave.Error, EOFError, struct.error, OSError
        what = str(error) or "it ends too early"
        raise ValueError(
            f"Expected a wav file of uncompressed integers (PCM). Received: {path}: {what}. Convert it, for example by "
            f"`ffmpeg -i {path} -c:a pcm_s16le out.wav`."
        ) from error
    if not 1 <= width <= 4 or channels < 1 or rate < 1 or frames < 1 or len(content) != frames * channels * width:
        raise ValueError(
            f"Expected a whole wav file of 8, 16, 24 or 32 bits, with at least one sample. Received: {path}, of "
            f"{8 * width} bits, {channels} channels, {rate} samples a second, {frames} frames declared and "
            f"{len(content)} bytes of them there."
        )
    return _integers(content, width).reshape(frames, channels), 8 * width, rate


def _integers(content, width):
    """Signed integers of `width` bytes each, the least significant first; of one byte they are unsigned in the file."""
    if width == 1:
        return np.frombuffer(content, np.uint8).astype("int32") - 128
    wide = np.zeros((len(content) // width, 4), np.uint8)
    wide[:, 4 - width :] = np.frombuffer(content, np.uint8).reshape(-1, width)
    return wide.view("<i4")[:, 0] >> (8 * (4 - width))


def _as_integers(x):
    x = np.asarray(x)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"Expected samples (n,), n > 0, of one channel. Received: shape {x.shape}.")
    if x.dtype == np.int16:
        return x.astype("<i2")
    if x.dtype.kind != "f" or not (np.abs(x) <= 1).all():
        span = f", from {x.min()} to {x.max()}" if x.dtype.kind in "iuf" else ""
        raise ValueError(
            f"Expected floats in [-1, 1] or int16. Received: dtype {x.dtype}{span}. Divide by the largest magnitude, "
            "or clip: np.clip(x, -1, 1)."
        )
    return np.minimum(np.round(32768 * x.astype("float64")), 32767).astype("<i2")


def _resampler(path, file_rate, rate):
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise ImportError(
            f"{path} has {file_rate} samples a second, and {rate} were asked for. To resample it SciPy is needed: "
            "pip install 'keras_gen[audio]'"
        ) from error
    return resample_poly


def _check_rate(rate):
    if isinstance(rate, bool) or not isinstance(rate, numbers.Integral) or rate < 1:
        raise ValueError(f"Expected `rate` as a positive integer, samples a second. Received: rate={rate!r}.")
