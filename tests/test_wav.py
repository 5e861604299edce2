"""Sound: wav files of each width, resampled, damaged, written whole or not at all; spoken digits by their split."""

import os
import sys
import wave
import zipfile

import numpy as np
import pytest
from keras import ops

from keras_gen import layers
from keras_gen.datasets import read_wav, spoken_digits, write_wav


@pytest.fixture(autouse=True)
def no_folder_in_environment(request, monkeypatch):
    """Only tests of real data see KERAS_GEN_DATA."""
    if "real_data" not in request.keywords:
        monkeypatch.delenv("KERAS_GEN_DATA", raising=False)


def write_pcm(path, k, width, rate=8000):
    """Integers `(frames, channels)` of `width` bytes, byte by byte."""
    k = np.asarray(k, "int64").reshape(len(k), -1 if len(k) else 1)
    with wave.open(str(path), "wb") as stream:
        stream.setparams((k.shape[1], width, rate, len(k), "NONE", ""))
        raw = [int(v + 128 * (width == 1)).to_bytes(width, "little", signed=width > 1) for v in k.ravel()]
        stream.writeframes(b"".join(raw))
    return path


# --------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_integers_of_each_width_are_read(tmp_path, width):
    """x = k / 2^(b - 1): the ends, the middle, one step, and what is between."""
    most = 2 ** (8 * width - 1)
    k = [-most, -1, 0, 1, most // 3, most - 1]
    x = read_wav(write_pcm(tmp_path / "x.wav", k, width), 8000)
    assert x.dtype == np.float32 and x.shape == (6,) and x.min() == -1 and x.max() < 1
    np.testing.assert_allclose(x, np.array(k) / most, atol=6e-8)


def test_what_was_read_is_written_as_it_was(tmp_path):
    """All 65,536 samples of 16 bits, as floats and as integers."""
    k = np.arange(-32768, 32768).astype("int16")
    write_wav(tmp_path / "a.wav", k, 16000)
    x = read_wav(tmp_path / "a.wav", 16000)
    np.testing.assert_array_equal(x, k / np.float32(32768))
    write_wav(tmp_path / "b.wav", x, 16000)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    write_wav(tmp_path / "c.wav", np.array([1.0, -1.0]), 16000)
    assert read_wav(tmp_path / "c.wav", 16000).tolist() == [32767 / 32768, -1.0]


def test_channels_are_averaged_with_a_warning(tmp_path):
    """The mean, said aloud."""
    write_pcm(tmp_path / "x.wav", [[0, 16384], [-8192, 8192]], 2)
    with pytest.warns(UserWarning, match="mean of 2 channels"):
        assert read_wav(tmp_path / "x.wav", 8000).tolist() == [0.25, 0.0]


@pytest.mark.parametrize("file_rate", [4000, 11025, 16000, 44100])
def test_another_rate_is_resampled_with_a_warning(tmp_path, file_rate):
    """A tone of 440 Hz stays that tone, as long as before; it is loud enough to touch the ends, and stays inside."""
    tone = lambda rate: np.sin(2 * np.pi * 440 * np.arange(rate) / rate)  # noqa: E731
    write_wav(tmp_path / "x.wav", tone(file_rate), file_rate)
    with pytest.warns(UserWarning, match=f"from {file_rate} to 8000"):
        x = read_wav(tmp_path / "x.wav", 8000)
    assert x.shape == (8000,) and -1 <= x.min() and x.max() < 1
    np.testing.assert_allclose(x[200:-200], tone(8000)[200:-200], atol=0.01)


def test_a_missing_resampler_names_the_extra(tmp_path, monkeypatch):
    """Without SciPy the file's own rate is read, and another is an error."""
    write_wav(tmp_path / "x.wav", np.zeros(9), 16000)
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    assert read_wav(tmp_path / "x.wav", 16000).shape == (9,)
    with pytest.raises(ImportError, match=r"keras_gen\[audio\]"):
        read_wav(tmp_path / "x.wav", 8000)


def damaged(content):
    """(name, bytes) of files that are no whole PCM file."""
    as_floats = bytearray(content)
    as_floats[20:22] = (3).to_bytes(2, "little")  # WAVE_FORMAT_IEEE_FLOAT
    no_rate = bytearray(content)
    no_rate[24:28] = bytes(4)
    return {
        "empty": b"",
        "text": b"no sound at all, though long enough for a header",
        "header": content[:30],
        "cut": content[:-7],
        "floats": bytes(as_floats),
        "rate": bytes(no_rate),
        "other": b"RIFX" + content[4:],
    }


@pytest.mark.parametrize("case", damaged(bytes(60)))
def test_damaged_files_are_refused_by_name(tmp_path, case):
    """What is no wav file, is cut short, or holds floats: the file is named, and what came."""
    path = write_pcm(tmp_path / "x.wav", np.arange(50), 2)
    path.write_bytes(damaged(path.read_bytes())[case])
    with pytest.raises(ValueError, match=r"Expected .*Received: .*x\.wav"):
        read_wav(path, 8000)


def test_any_file_cut_short_or_changed_is_read_or_refused(tmp_path):
    """Every length, and each byte of the header changed: samples of the range, or a ValueError; nothing else."""
    path = write_pcm(tmp_path / "x.wav", np.arange(10), 2)
    content = path.read_bytes()
    variants = [content[:n] for n in range(len(content))]
    variants += [content[:i] + bytes([v]) + content[i + 1 :] for i in range(44) for v in (0, 7, 255)]
    refused = 0
    for variant in variants:
        path.write_bytes(variant)
        rate = int.from_bytes(variant[24:28], "little") if len(variant) > 27 else 8000
        try:
            x = read_wav(path, rate or 8000)
            assert x.ndim == 1 and x.size and np.abs(x).max() <= 1
        except ValueError as error:
            assert "Received" in str(error)
            refused += 1
        except UserWarning as warning:
            assert "channels" in str(warning)
    assert refused > len(content)


def test_no_sample_and_no_file(tmp_path):
    """A file without a sample is refused; one that is not there is a FileNotFoundError."""
    with pytest.raises(ValueError, match="0 frames"):
        read_wav(write_pcm(tmp_path / "x.wav", [], 2), 8000)
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "y.wav", 8000)


@pytest.mark.parametrize("rate", [0, -8000, 8000.0, True, None])
def test_a_rate_is_a_positive_int(tmp_path, rate):
    """Before anything is read or written."""
    for call in (lambda: read_wav(tmp_path / "x.wav", rate), lambda: write_wav(tmp_path / "x.wav", [0.0], rate)):
        with pytest.raises(ValueError, match="Expected `rate`"):
            call()
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize(
    "x, match",
    [
        (np.zeros((2, 3)), r"shape \(2, 3\)"),
        (np.zeros(0), r"shape \(0,\)"),
        (np.array([0.0, 1.01]), "to 1.01"),
        (np.array([0.0, np.nan]), "nan"),
        (np.array([0, 1]), "int64"),
        (np.array(["a"]), "dtype <U1"),
    ],
)
def test_what_is_no_sound_is_not_written(tmp_path, x, match):
    """The message says what came, and nothing is left."""
    with pytest.raises(ValueError, match=match):
        write_wav(tmp_path / "x.wav", x, 8000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch, step):
    """A disk that is full in the middle: the old file stays, and no other one."""
    write_wav(tmp_path / "x.wav", [0.25], 8000)
    before = (tmp_path / "x.wav").read_bytes()

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        write_wav(tmp_path / "x.wav", np.zeros(99), 8000)
    assert (tmp_path / "x.wav").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


# --------------------------------------------------------------------------------------------- spoken digits


def test_the_excerpt_is_balanced_and_fixed():
    """Two speakers, each digit six times and once for tests, as int16 that is no louder than the source."""
    (x, digit, speaker), (x_test, digit_test, speaker_test) = spoken_digits.load_excerpt()
    assert (len(x), len(x_test)) == (120, 20) and x[0].dtype == np.int16
    assert np.bincount(digit).tolist() == [12] * 10 and np.bincount(digit_test).tolist() == [2] * 10
    for names in (speaker, speaker_test):
        assert (names == "jackson").mean() == (names == "nicolas").mean() == 0.5
    assert max(map(len, x + x_test)) == 6845 and sum(map(len, x + x_test)) == 481656


def test_the_excerpt_is_what_the_quantizer_gives():
    """Its samples are levels of `MuLawQuantizer`, which come back as they are."""
    x = np.concatenate(spoken_digits.load_excerpt()[0][0])
    quantizer = layers.MuLawQuantizer()
    values = ops.convert_to_numpy(quantizer.dequantize(np.arange(256)))
    np.testing.assert_array_equal(spoken_digits._expanded(), np.clip(np.round(32768 * values), -32768, 32767))
    back = ops.convert_to_numpy(quantizer.dequantize(quantizer(x / np.float32(32768))))
    np.testing.assert_allclose(32768 * back, x, atol=0.51)


def test_recordings_are_cut_and_padded():
    """With a length: the beginning of each recording, and zeros after its end."""
    (x, *_), (x_test, *_) = spoken_digits.load_excerpt(length=4000)
    assert (x.shape, x_test.shape, x.dtype) == ((120, 4000), (20, 4000), np.int16)
    for row, recording in zip(x, spoken_digits.load_excerpt()[0][0], strict=True):
        n = min(len(recording), 4000)
        assert (row[:n] == recording[:n]).all() and (row[n:] == 0).all()
    for length in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="`length`"):
            spoken_digits.load_excerpt(length=length)


def small_source(folder):
    """The source's archive and `fsdd.npz` of a few recordings."""
    recordings, rng = {}, np.random.default_rng(0)
    for speaker in ("george", "theo"):
        for name in (f"{digit}_{speaker}_{number}.wav" for digit in (0, 1) for number in (4, 5, 10)):
            recordings[name] = rng.integers(-9, 9, rng.integers(3, 9)).astype("int16")
    with zipfile.ZipFile(folder / "source.zip", "w") as archive:
        archive.writestr("master/README.md", "recordings")
        for name in sorted(recordings):
            write_wav(folder / name, recordings[name], 8000)
            archive.write(folder / name, f"master/recordings/{name}")
    parts = list(recordings.values())
    offsets = np.concatenate([[0], np.cumsum([len(x) for x in parts])])
    np.savez(folder / "fsdd.npz", audio=np.concatenate(parts), offsets=offsets, names=np.array(list(recordings)))
    return recordings


def test_archive_and_arrays_give_the_same(tmp_path, monkeypatch):
    """By speaker, digit and number as integers; numbers 0 to 4 are the test set; the download is the archive."""
    import hashlib

    recordings = small_source(tmp_path)
    audio = np.concatenate(list(recordings.values()))
    monkeypatch.setattr(spoken_digits, "SHA256", hashlib.sha256(audio.tobytes()).hexdigest())
    monkeypatch.setattr(spoken_digits, "RECORDINGS", len(recordings))
    monkeypatch.setattr("keras.utils.get_file", lambda *_, **__: tmp_path / "source.zip")
    loads = [spoken_digits.load_data(path=p) for p in (tmp_path, tmp_path / "source.zip", None)]
    for (x, digit, speaker), (x_test, digit_test, speaker_test) in loads:
        assert digit.tolist() == [0, 0, 1, 1] * 2 and digit_test.tolist() == [0, 1] * 2
        assert speaker.tolist() == ["george"] * 4 + ["theo"] * 4
        assert speaker_test.tolist() == ["george"] * 2 + ["theo"] * 2
        np.testing.assert_array_equal(x[1], recordings["0_george_10.wav"])
        np.testing.assert_array_equal(x_test[3], recordings["1_theo_4.wav"])


def test_other_recordings_are_refused(tmp_path, monkeypatch):
    """By the SHA-256 of the samples; damaged files; a failed download says what else can be done."""
    small_source(tmp_path)
    for path in (tmp_path, tmp_path / "source.zip"):
        with pytest.raises(ValueError, match="of 12 recordings"):
            spoken_digits.load_data(path=path)
    for name, content in (("fsdd.npz", b"no archive"), ("source.zip", (tmp_path / "source.zip").read_bytes()[:-40])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}, damaged"):
            spoken_digits.load_data(path=tmp_path / name)

    def fail(*_, **__):
        raise Exception("URL fetch failure")

    monkeypatch.setattr("keras.utils.get_file", fail)
    with pytest.raises(FileNotFoundError, match="KERAS_GEN_DATA"):
        spoken_digits.load_data()


@pytest.mark.real_data
def test_real_spoken_digits(data_folder):
    """2,700 and 300 recordings, 270 and 30 of each digit; the excerpt's are within a level of the source's."""
    if not (data_folder / "fsdd.npz").exists():
        pytest.skip("needs fsdd.npz")
    (x, digit, speaker), (x_test, digit_test, _) = spoken_digits.load_data()
    assert (len(x), len(x_test)) == (2700, 300) and len(set(speaker.tolist())) == 6
    assert np.bincount(digit).tolist() == [270] * 10 and np.bincount(digit_test).tolist() == [30] * 10
    assert max(map(len, x + x_test)) == 18262 and min(map(len, x + x_test)) == 1148
    ours = spoken_digits.load_excerpt()[0][0][0]
    source = next(r for r in x if len(r) == len(ours) and np.abs(r - ours.astype(int)).max() < 700)
    assert np.corrcoef(source, ours)[0, 1] > 0.99
