"""New recordings from a trained WaveNet, and recordings that it goes on with, sample by sample as they come."""

import sys
from pathlib import Path

import keras
import numpy as np

from applications import terminal
from applications.files import Failure, counted, one_line, whole
from applications.speech.lines import say
from applications.speech.recordings import integers
from applications.speech.voices import FRAME, Voices
from applications.speech.windows import SCALE
from keras_gen import datasets, plots
from keras_gen.models import WaveNet

CHUNK = 384  # samples between two signs of progress


def speak(options):
    """Say the labels, one after another: a wav file and its spectrogram, or a stream."""
    out = Output(options.output)
    model, voices = load(options.model)
    words = [Word(model, voices, label, options) for label in options.labels]
    for i, word in enumerate(words):
        out.add(word.spoken(np.zeros(0, "int16"), options.seed + i, out))
    out.close(voices.rate)
    return 0


def go_on(options):
    """A recording and what comes after it, by the model."""
    out = Output(options.output)
    model, voices = load(options.model)
    word = Word(model, voices, options.label, options)
    try:
        begun = integers(datasets.read_wav(options.recording.expanduser(), voices.rate))
    except FileNotFoundError as error:
        raise Failure(f"{options.recording}: no such file") from error
    if len(begun) >= word.size:
        most = model.length / voices.rate
        more = len(begun) < model.length and f"--seconds above {len(begun) / voices.rate:.2f}, {most:.2f} at most, or "
        raise Failure(
            f"{options.recording}: of {len(begun) / voices.rate:.2f} s; expected less than the {word.seconds:.2f} s of "
            f"the whole. Give {more or ''}its beginning" + (not more) * f": the model knows {most:.2f} s, by --length"
        )
    out.send(begun)
    out.add(np.concatenate([begun, word.spoken(begun, options.seed, out)]))
    out.close(voices.rate, begun)
    return 0


class Word:
    """A label by a speaker, of a duration.

    Raises:
        Failure: the model has not learned it, or nothing so long.
    """

    def __init__(self, model, voices, label, options):
        self.model, self.voices, self.label, self.temperature = model, voices, label, options.temperature
        self.speaker = voices.speakers[0] if options.voice is None else options.voice
        _check("label", label, voices.labels)
        _check("--voice", self.speaker, voices.speakers)
        most = model.length / voices.rate
        self.seconds = min(voices.seconds(label, self.speaker), most) if options.seconds is None else options.seconds
        self.size = max(1, round(self.seconds * voices.rate))
        if self.size > model.length:
            raise Failure(f"--seconds {self.seconds:g}: expected at most {most:.3f}, what the model has learned")

    def spoken(self, begun, seed, out):
        """int16 samples that follow what has begun."""
        condition = self.voices.frames(self.label, self.speaker, self.size, 0, self.model.length)
        prime = (begun / SCALE)[:, None].astype("float32") if len(begun) else None
        length = min(-(-self.size // CHUNK) * CHUNK, self.model.length)
        stream = self.model.stream(
            1, condition, length=length, chunk=CHUNK, prime=prime, seed=seed, temperature=self.temperature
        )
        found = []
        for at, x in enumerate(stream):
            first, last = (max(0, n - at * CHUNK) for n in (len(begun), self.size))
            found.append(integers(x[0, first:last, 0]))
            out.send(found[-1])
            self._progress(len(begun) + sum(map(len, found)))
        terminal.end_lines()
        return np.concatenate(found)

    def _progress(self, samples):
        done = samples / self.voices.rate
        sys.stderr.write(f"\r{self.label} by {self.speaker}: {done:.2f} of {self.seconds:.2f} s")
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


def _check(what, name, names):
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
    if not isinstance(model, WaveNet) or model.condition_shape != (model.length // FRAME, voices.size):
        raise Failure(f"{file}: expected a WaveNet that is told {voices.size} numbers a frame, as of voices.json")
    return model, voices
