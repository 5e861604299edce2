"""Recordings with their labels and speakers: embedded ones, the Free Spoken Digit Dataset, or a folder of wav files.

Of the first two the official split is kept. Of a folder, a tenth of the files, drawn by the seed, is held out. A tenth
of what is left, drawn by the seed too, chooses the epoch.
"""

import dataclasses
from pathlib import Path

import numpy as np

from applications.files import Failure, counted, one_line
from keras_gen import datasets

NAMES = ("excerpt", "spoken_digits")
LEAST = 10  # files of a folder


@dataclasses.dataclass
class Part:
    """int16 recordings, and the label and speaker of each."""

    x: list
    labels: list
    speakers: list

    def __len__(self):
        return len(self.x)

    def of(self, rows):
        return Part(*([values[i] for i in rows] for values in (self.x, self.labels, self.speakers)))

    @property
    def samples(self):
        return sum(map(len, self.x))


def load(data, rate, seed):
    """The parts "train", "validation" and "test".

    Args:
        data: "excerpt", "spoken_digits", a folder of wav files, or `fsdd.npz`, its folder, or the source's archive.
        rate: samples a second.
        seed: of what is held out.

    Raises:
        Failure: there is no such thing, or it cannot be used.
    """
    rest, test = _of_folder(Path(data).expanduser(), rate, seed) if _is_folder(data) else _of_digits(data, rate)
    order = np.random.default_rng([seed, 1]).permutation(len(rest))
    chosen = max(1, len(rest) // 10)
    parts = {"train": rest.of(sorted(order[chosen:])), "validation": rest.of(sorted(order[:chosen])), "test": test}
    for place in ("validation", "test"):
        _check_known(parts, place)
    return parts


def _check_known(parts, place):
    for what in ("labels", "speakers"):
        unknown = sorted(set(getattr(parts[place], what)) - set(getattr(parts["train"], what)))
        if unknown:
            raise Failure(
                f"no recording to train on is left of the {what[:-1]} {unknown[0]!r}: all are held out. Add some, or "
                "give another --seed"
            )


def _is_folder(data):
    folder = Path(data).expanduser()
    return data not in NAMES and folder.is_dir() and not (folder / "fsdd.npz").is_file()


def _of_digits(data, rate):
    if data not in NAMES and not Path(data).expanduser().exists():
        raise Failure(f"{data}: no such file; expected a folder of wav files, fsdd.npz, or one of {', '.join(NAMES)}")
    if rate != datasets.spoken_digits.sample_rate:
        raise Failure(f"--sample-rate {rate}: {data} has 8000 samples a second; other rates are of folders")
    try:
        if data == "excerpt":
            sets = datasets.spoken_digits.load_excerpt()
        else:
            sets = datasets.spoken_digits.load_data(path=None if data in NAMES else Path(data).expanduser())
    except (OSError, ValueError) as error:
        raise Failure(f"{data}: {one_line(error)}") from error
    return tuple(Part(list(x), [str(k) for k in d], [str(v) for v in s]) for x, d, s in sets)


def _of_folder(folder, rate, seed):
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".wav" and not p.name.startswith("."))
    if len(files) < LEAST:
        raise Failure(f"{folder}: {counted(len(files), 'wav file')} in it; expected at least {LEAST}")
    names = [_name(file) for file in files]
    part = Part([integers(datasets.read_wav(file, rate)) for file in files], *map(list, zip(*names, strict=True)))
    order = np.random.default_rng(seed).permutation(len(part))
    held_out = max(1, len(part) // 10)
    return part.of(sorted(order[held_out:])), part.of(sorted(order[:held_out]))


def _name(file):
    parts = file.stem.split("_")
    if len(parts) != 3 or not all(parts):
        raise Failure(f"{file}: expected a name such as seven_anna_0.wav, of label, speaker and number")
    return parts[0], parts[1]


def integers(x):
    """Floats in [-1, 1) as int16."""
    return np.clip(np.round(x.astype("float64") * 32768), -32768, 32767).astype("int16")
