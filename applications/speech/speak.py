"""New recordings from a trained WaveNet, and recordings that it goes on with, sample by sample as they come."""

import sys
from pathlib import Path

import keras
import numpy as np

from applications import terminal
from applications.files import Failure, counted, one_line, whole
from applications.speech.lines import say
from applications.speech.recordings import Voices, integers
from applications.speech.windows import SCALE
from keras_gen import datasets, plots
from keras_gen.models import WaveNet

CHUNK = 400  # samples between two signs of progress


def speak(options):
    """Say the labels, one after another: a wav file and its spectrogram, or a stream."""
    out = Output(options.output)
    model, voices = load(options.model)
    check(options, voices, options.labels)
    for i, label in enumerate(options.labels):
        out.add(_spoken(model, voices, label, np.zeros(0, "int16"), options, options.seed + i, out))
    out.close(voices.rate)
    return 0


def go_on(options):
    """A recording and what comes after it, by the model."""
    out = Output(options.output)
    model, voices = load(options.model)
    check(options, voices, [options.label])
    try:
        begun = integers(datasets.read_wav(options.recording.expanduser(), voices.rate))
    except FileNotFoundError as error:
        raise Failure(f"{options.recording}: no such file") from error
    out.send(begun)
    out.add(np.concatenate([begun, _spoken(model, voices, options.label, begun, options, options.seed, out)]))
    out.close(voices.rate, begun)
    return 0


def _spoken(model, voices, label, begun, options, seed, out):
    """int16 samples that follow what has begun."""
    speaker = options.voice or voices.speakers[0]
    prime = (begun / SCALE)[:, None].astype("float32") if len(begun) else None
    first, size = len(begun), max(1, round(options.seconds * voices.rate))
    stream = model.stream(
        1, voices.condition([label], [speaker])[0], length=-(-(first + size) // CHUNK) * CHUNK, chunk=CHUNK,
        prime=prime, seed=seed, temperature=options.temperature,
    )  # fmt: skip
    found = []
    for at, x in enumerate(stream):
        new = integers(x[0, :, 0])[max(0, first - at * CHUNK) : max(0, first + size - at * CHUNK)]
        found.append(new)
        out.send(new)
        _progress(f"{label} by {speaker}: {sum(map(len, found)) / voices.rate:.2f} of {options.seconds:.2f} s")
    terminal.end_lines()
    return np.concatenate(found)


def _progress(text):
    sys.stderr.write(f"\r{text}")
    sys.stderr.flush()


class Output:
    """A wav file with its spectrogram, written at the end; or the terminal's output as raw 16 bits, as they come.

    Raises:
        Failure: the file cannot be written, said before anything is computed.
    """

    def __init__(self, path):
        self.path, self.parts = None if path == "-" else _free(Path(path).expanduser()), []

    def send(self, samples):
        if self.path is None:
            sys.stdout.buffer.write(samples.astype("<i2").tobytes())
            sys.stdout.buffer.flush()

    def add(self, samples):
        self.parts.append(samples)

    def close(self, rate, begun=None):
        if self.path is None:
            return
        x, picture = np.concatenate(self.parts), self.path.with_suffix(".png")
        datasets.write_wav(self.path, x, rate)
        waves, labels = ([x], None) if begun is None else ([begun, x], ["given", "gone on with"])
        with whole(picture) as temporary:
            plots.spectrogram(waves, rate, temporary, labels=labels)
        say(f"{counted(len(x), 'sample')}, {len(x) / rate:.2f} s, in {self.path}; their spectrogram in {picture}")


def _free(path):
    if path.suffix.lower() != ".wav":
        raise Failure(f"{path}: expected a name that ends with .wav, or - for a stream")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise Failure(f"{path}: cannot be written: it is a folder")
        with whole(path.with_suffix(".tmp")) as probe:
            probe.touch()
        path.with_suffix(".tmp").unlink()
    except OSError as error:
        raise Failure(f"{path}: cannot be written to: {error.strerror}") from error
    return path


def check(options, voices, labels):
    """Refuse what the model has not learned.

    Raises:
        Failure: it names it, and what there is.
    """
    asked = [("label", label, voices.labels) for label in labels]
    asked += [("--voice", options.voice, voices.speakers)] * (options.voice is not None)
    for what, name, names in asked:
        if name not in names:
            raise Failure(f"{what} {name!r}: the model has not learned it; expected one of {', '.join(names)}")


def load(folder):
    """The WaveNet of a training, and its voices.

    Raises:
        Failure: one of the two files is missing or cannot be read.
    """
    folder = Path(folder).expanduser()
    folder = folder.parent if folder.name == "model.keras" else folder
    for name in ("voices.json", "model.keras"):
        if not (folder / name).is_file():
            raise Failure(f"{folder}: no {name} in it; expected the output folder of a training")
    voices, file = Voices.read(folder / "voices.json"), folder / "model.keras"
    try:
        model = keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises nearly every type
        raise Failure(f"{file}: cannot be read as a model: {one_line(error, 300)}") from error
    if not isinstance(model, WaveNet) or model.condition_shape != (voices.size,):
        raise Failure(f"{file}: expected a WaveNet of {counted(voices.size, 'condition')}, as {folder / 'voices.json'}")
    return model, voices
