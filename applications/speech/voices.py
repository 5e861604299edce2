"""What a model is told of a recording, and which labels and speakers it knows.

Of a recording of n samples, frame j (64 samples) is told, with u = (64 j + 32) / n the share of it that is over,

    the label, the speaker     one-hot vectors;
    the place                  h_k(u) = max(0, 1 - |11 u - k|), k = 0 ... 11: two numbers between 0 and 1 that move on;
    the end                    1 when u > 1, where the place is all zeros;
    the duration               the logarithm of n / rate in 0.375 s.

It stands for what a text-to-speech WaveNet is told of phonemes and their durations. Two dense layers make of each frame
what the blocks are conditioned on (`upsampling`), the same for its 64 samples.

Reference:
    van den Oord et al. 2016, arXiv:1609.03499, sections 2.5 and 3.2.
"""

import dataclasses
import json
import statistics

import keras
import numpy as np

from applications.files import Failure, one_line
from keras_gen import layers

FRAME, PLACES, UNIT = 64, 12, 0.375  # samples, numbers of the place, seconds


@dataclasses.dataclass
class Voices:
    """What a model can be asked for: labels, speakers, samples a second, and how long each says each, in seconds."""

    labels: list
    speakers: list
    rate: int
    durations: dict

    @classmethod
    def of(cls, part, rate):
        found = {}
        for x, label, speaker in zip(part.x, part.labels, part.speakers, strict=True):
            for key in (_key(label, speaker), _key(label)):
                found.setdefault(key, []).append(len(x) / rate)
        medians = {key: round(statistics.median(v), 4) for key, v in sorted(found.items())}
        return cls(sorted(set(part.labels)), sorted(set(part.speakers)), rate, medians)

    @property
    def size(self):
        """Numbers a frame."""
        return len(self.labels) + len(self.speakers) + PLACES + 2

    def seconds(self, label, speaker):
        """The median duration of a label by a speaker, or by all if this one was not heard saying it."""
        return self.durations.get(_key(label, speaker), self.durations[_key(label)])

    def frames(self, label, speaker, size, start, length):
        """What is told of the samples from `start` on of a recording of `size`: float32 `(length / 64, features)`."""
        u = (start + FRAME * np.arange(length // FRAME) + FRAME / 2) / size
        c = np.zeros((len(u), self.size), "float32")
        who = len(self.labels) + len(self.speakers)
        c[:, self.labels.index(label)] = c[:, len(self.labels) + self.speakers.index(speaker)] = 1
        place = 1 - np.abs((PLACES - 1) * u[:, None] - np.arange(PLACES))
        c[:, who:-2] = np.maximum(0, place) * (u <= 1)[:, None]
        c[:, -2], c[:, -1] = u > 1, np.log(size / self.rate / UNIT)
        return c

    def beginnings(self, part, length):
        """`frames` of the beginnings of recordings: `(n, length / 64, features)`."""
        told = zip(part.x, part.labels, part.speakers, strict=True)
        return np.stack([self.frames(label, speaker, len(x), 0, length) for x, label, speaker in told])

    def to_json(self):
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, file):
        """Of `voices.json`.

        Raises:
            Failure: it is no such file.
        """
        try:
            found = cls(**json.loads(file.read_text(encoding="utf-8")))
            good = all(isinstance(v, str) for v in found.labels + found.speakers) and found.rate > 0
            good = good and all(found.durations[_key(label)] > 0 for label in found.labels)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Failure(f"{file}: cannot be read: {one_line(error)}") from error
        if not good:
            raise Failure(f"{file}: cannot be read: expected labels, speakers, a rate and durations")
        return found


def _key(label, speaker=""):
    return f"{label}_{speaker}"


def upsampling(hidden=64, features=24):
    """Of frames to samples: two dense layers, and each frame 64 times."""
    parts = [keras.layers.Dense(hidden, activation="relu"), keras.layers.Dense(features)]
    return keras.Sequential([*parts, layers.SequenceUpsampling(FRAME, learned=False)], name="upsampling")
