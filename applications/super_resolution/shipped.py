"""Models by name: the file of a training, or the weights beside this module, those of `shipped.npz`.

The file holds `config`, the network's configuration as JSON, and its weights in their order, `w000`, `w001`, ..., as
16-bit floats: their relative error is at most 2^-11, half a grey level of 8 bits is 2^-9.
"""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np

from applications.files import Failure, Usage, one_line
from keras_gen import models
from keras_gen.models.archive import check_archive

SHIPPED = Path(__file__).with_name("shipped.npz")
PATCH = 48  # of the small image; only training looks at it


def load(file=None, scale=None):
    """The model of a file, by default the shipped one.

    Args:
        file: a `.keras` file, or None.
        scale: the factor that the user asks for, or None.

    Raises:
        Failure: no file, a damaged one, or another model.
        Usage: the model enlarges by another factor.
    """
    model = shipped_model() if file is None else _read(Path(file).expanduser())
    if scale not in (None, model.scale):
        name = "the model of this program" if file is None else file
        raise Usage(f"--scale {scale}: {name} enlarges by {model.scale}; leave --scale out, or give another --model")
    return model


def shipped_model(file=None):
    """The model whose weights are part of the program, a `SuperResolution`.

    Raises:
        Failure: they are not there, or damaged.
    """
    file = SHIPPED if file is None else file
    if not file.is_file():
        raise Failure("no weights are part of this installation; train a model, and give its model.keras to --model")
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as data:
            network = keras.saving.deserialize_keras_object(json.loads(str(data["config"])))
            weights = [data[name].astype("float32") for name in sorted(data.files) if name != "config"]
        if not network.built:
            network.build((None, None, None, network.channels))
        network.set_weights(weights)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise Failure(f"{file}: cannot be read as a model: {one_line(error)}") from error
    side = PATCH * network.scale
    model = models.SuperResolution((side, side, network.channels), network.scale, network, average=None)
    model.build()
    return model


def save_shipped(model, file=None):
    """Write the network of a trained model as `shipped_model` reads it."""
    network = model.enlarging_network
    weights = {f"w{k:03d}": np.asarray(w, "float16") for k, w in enumerate(network.get_weights())}
    config = json.dumps(keras.saving.serialize_keras_object(network))
    np.savez_compressed(SHIPPED if file is None else file, config=np.array(config), **weights)


def _read(file):
    if not file.is_file():
        raise Failure(f"{file}: no such file; expected the model.keras of a training")
    try:
        check_archive(file)
        model = keras.saving.load_model(file, compile=False)
    except Exception as error:  # Keras raises nearly every type
        raise Failure(f"{file}: cannot be read as a model: {one_line(error)}") from error
    if not (hasattr(model, "upscale") and hasattr(model, "scale")):
        raise Failure(f"{file}: expected a model of super-resolution, found a {type(model).__name__}")
    if model.event_shape[-1] not in (1, 3):
        raise Failure(f"{file}: expected a model of grey or RGB pictures, found {model.event_shape[-1]} channels")
    return model


def enlarge(model, image, *, ensemble=False, tile=None, verbose=0):
    """`model.upscale` of grey and RGB images, whichever of the two the model was made for.

    A grey image is three equal channels to a model of colours, whose mean it becomes again; a colour image is three
    grey ones to a model of grey.

    Args:
        image: `(h, w, 1 or 3)`, float32 in [0, 1].
        ensemble, tile, verbose: as of `upscale`; `tile` None is its default.

    Returns:
        `(s h, s w, 1 or 3)`, float32 in [0, 1].
    """
    options = {"ensemble": ensemble, "verbose": verbose, **({} if tile is None else {"tile": tile})}
    channels, found = model.event_shape[-1], image.shape[-1]
    if channels == found:
        return model.upscale(image, **options)
    if channels == 3:
        return model.upscale(np.repeat(image, 3, axis=-1), **options).mean(axis=-1, keepdims=True)
    return np.concatenate([model.upscale(image[..., k : k + 1], **options) for k in range(found)], axis=-1)
