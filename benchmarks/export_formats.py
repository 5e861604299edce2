"""Which methods of a model leave which backend in which format, and give the same numbers in their own runtime.

A small conditional VAE with trained batch statistics is exported method by method; each file is loaded by its runtime
(TensorFlow's SavedModel loader, ONNX Runtime, LiteRT, torch.export.load, OpenVINO) and fed a batch of another size
than any that was traced. A cell says the largest difference to what the model gives here, the bytes on disk and the
seconds of the export; or why there is none. The sampler is fed `random.keys(seed, n)` and held against
`model.sample(n, seed=seed)`.

    KERAS_BACKEND=torch python -m benchmarks.export_formats --output docs/benchmarks/export_formats-torch.json
"""

import argparse
import functools
import importlib.metadata
import json
import platform
import tempfile
import time
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_gen import random
from keras_gen.models import ConditionalVAE, ProbabilisticPCA

RUNTIMES = {
    "tf_saved_model": "tensorflow",
    "onnx": "onnxruntime",
    "litert": "ai_edge_litert",
    "torch": "torch",
    "openvino": "openvino",
}
SUFFIXES = {"tf_saved_model": "", "onnx": ".onnx", "litert": ".tflite", "torch": ".pt2", "openvino": ".xml"}
METHODS = ("call", "sample", "encode", "decode", "log_prob")
SEED, N, TEMPERATURE = 7, 5, 0.8


def run_tf_saved_model(path, arrays):
    import tensorflow

    loaded = tensorflow.saved_model.load(str(path))
    return loaded.serve(*(tensorflow.constant(a) for a in arrays.values())).numpy()


def run_onnx(path, arrays):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays.values(), strict=True)))[0]


def run_litert(path, arrays):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    details = {d["name"].removeprefix("serving_default_").split(":")[0]: d for d in interpreter.get_input_details()}
    for name, array in arrays.items():
        interpreter.resize_tensor_input(details[name]["index"], array.shape)
    interpreter.allocate_tensors()
    for name, array in arrays.items():
        interpreter.set_tensor(details[name]["index"], array)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def run_torch(path, arrays):
    import torch

    with torch.no_grad():
        return torch.export.load(str(path)).module()(*(torch.as_tensor(a) for a in arrays.values())).numpy()


def run_openvino(path, arrays):
    import openvino

    # Some processors would otherwise compute in bfloat16.
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return next(iter(model(list(arrays.values())).values()))


RUN = {name.removeprefix("run_"): fn for name, fn in list(globals().items()) if name.startswith("run_")}


@functools.cache
def models():
    """A conditional model with every method but log_prob, and one with an exact likelihood; both trained for a step."""
    keras.utils.set_random_seed(0)
    x, y = np.random.default_rng(0).random((64, 6)).astype("float32"), np.arange(64) % 3
    vae = ConditionalVAE((6,), 2, num_classes=3, seed=0, likelihood="normal", sample_observation=True)
    vae.compile()
    vae.fit(x, y, verbose=0)
    pca = ProbabilisticPCA((6,), 2)
    pca.fit(x, verbose=0)
    return {what: pca if what == "log_prob" else vae for what in METHODS}


def fed(what):
    """The inputs of a method, by name, and what the model gives for them."""
    rng, model = np.random.default_rng(1), models()[what]
    x, z = rng.random((N, 6)).astype("float32"), rng.normal(size=(N, 2)).astype("float32")
    y = {"condition": (np.arange(N) % 3).astype("int32")} if model.conditional else {}
    condition = tuple(y.values())
    if what == "sample":
        keys = ops.convert_to_numpy(random.keys(SEED, N))
        given = model.sample(N, *condition, seed=SEED, temperature=TEMPERATURE, verbose=0)
        return {"keys": keys, **y, "temperature": np.array(TEMPERATURE, "float32")}, given
    if what == "call":
        return {"x": x, **y}, model.predict((x, *condition), verbose=0)
    name, first = ("z", z) if what == "decode" else ("x", x)
    return {name: first, **y}, getattr(model, what)(first, *condition, verbose=0)


def difference(what, format, folder):
    """The largest difference between the model and its export, which is left in `folder`."""
    arrays, expected = fed(what)
    path = Path(folder) / f"{what}{SUFFIXES[format]}"
    models()[what].export(path, format=format, what=what, verbose=False)
    return float(np.abs(RUN[format](path, arrays) - expected).max())


def size(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def cell(what, format):
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = {"difference": difference(what, format, folder), "bytes": size(folder)}
        except ValueError as error:  # what is refused; anything else is a defect and ends the benchmark
            found = {"refused": str(error)}
    return {"what": what, "format": format, **found, "seconds": round(time.perf_counter() - began, 1)}


def version(package):
    try:
        return importlib.metadata.version(package.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    cells = []
    for format in RUNTIMES:
        for what in METHODS:
            cells.append(cell(what, format))
            print(json.dumps(cells[-1]), flush=True)
    writers = ("tensorflow_cpu", "jax", "tf2onnx", "onnx", "onnxscript", "jax2onnx")
    packages = ("keras", "numpy", *writers, *RUNTIMES.values())
    versions = {"python": platform.python_version(), **{p: version(p) for p in packages}}
    result = {"backend": keras.config.backend(), "versions": versions, "cells": cells}
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
