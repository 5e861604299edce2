"""A training as files: the model, and beside it what it has learned, by name."""

import dataclasses
import json
from pathlib import Path

import keras

from applications.files import Failure, one_line
from keras_gen.models import DiffusionModel


@dataclasses.dataclass
class Known:
    """What a model has learned: the data set, or "folder"; the names of its classes, or None."""

    data: str
    classes: list | None

    def to_json(self):
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, file):
        """Of `known.json`.

        Raises:
            Failure: it is no such file.
        """
        try:
            found = cls(**json.loads(file.read_text(encoding="utf-8")))
            good = isinstance(found.data, str) and all(isinstance(name, str) for name in found.classes or ())
        except (OSError, ValueError, TypeError) as error:
            raise Failure(f"{file}: cannot be read: {one_line(error)}") from error
        if not good:
            raise Failure(f"{file}: cannot be read: expected the name of the data, and those of classes")
        return found

    def number(self, label):
        """The class of a label.

        Raises:
            Failure: the model has not learned it.
        """
        if self.classes is None:
            raise Failure(f"--label {label}: this model was trained without labels")
        if label not in self.classes:
            raise Failure(f"--label {label}: the model has not learned it; expected one of {', '.join(self.classes)}")
        return self.classes.index(label)


def load(folder):
    """The model of a training, and what it knows.

    Raises:
        Failure: one of the two files is missing or cannot be read.
    """
    folder = Path(folder).expanduser()
    folder = folder.parent if folder.name == "model.keras" else folder
    for name in ("known.json", "model.keras"):
        if not (folder / name).is_file():
            raise Failure(f"{folder}: no {name} in it; expected the output folder of a training")
    known, file = Known.read(folder / "known.json"), folder / "model.keras"
    try:
        model = keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises nearly every type
        raise Failure(f"{file}: cannot be read as a model: {one_line(error, 300)}") from error
    classes = None if known.classes is None else len(known.classes)
    if not isinstance(model, DiffusionModel) or len(model.event_shape) != 3 or model.num_classes != classes:
        raise Failure(f"{file}: expected a diffusion model of pictures, of {classes or 'no'} classes as of known.json")
    return model, known
