"""Leaving Python: a method of a model as a program for another runtime.

A model's numpy methods are twins of functions of tensors (`keras_gen.models.twins`). Here one of these functions is
wrapped as a `keras.Model` of its own, whose inputs are

    call, encode, log_prob    x, and y if the model has a condition
    decode                    z, and y
    sample                    keys, int32 (n, 2), one a sample; y; temperature, a float32 scalar

and handed to Keras's exporter. A sampler takes keys instead of a seed, so nothing random is left to the other runtime:
`keras_gen.random.keys(seed, n)` gives the same samples there as `model.sample(n, seed=seed)` does here.
"""

import importlib.util
import warnings

import keras

from keras_gen import backend

# what: (function of tensors, name of its first argument)
METHODS = {
    "call": ("__call__", "x"),
    "sample": ("generate", "keys"),
    "encode": ("code", "x"),
    "decode": ("decoded", "z"),
    "log_prob": ("log_density", "x"),
}
SUFFIXES = {"tf_saved_model": "", "onnx": ".onnx", "litert": ".tflite", "torch": ".pt2", "openvino": ".xml"}
_PACKAGES = {
    ("tensorflow", "tf_saved_model"): (),
    ("tensorflow", "onnx"): ("tf2onnx",),
    ("tensorflow", "litert"): (),
    ("tensorflow", "openvino"): ("openvino",),
    ("jax", "tf_saved_model"): ("tensorflow",),
    ("jax", "onnx"): ("jax2onnx",),
    ("torch", "onnx"): ("onnx", "onnxscript"),
    ("torch", "torch"): (),
    ("torch", "openvino"): ("openvino",),
}
_ELSEWHERE = (
    "A `.keras` file is the same on every backend: save the model, start Python with KERAS_BACKEND={backend}, load it "
    "there and export it."
)
_NO_PAIR = {
    ("tensorflow", "torch"): "torch programs come from torch. " + _ELSEWHERE.format(backend="torch"),
    ("jax", "torch"): "torch programs come from torch. " + _ELSEWHERE.format(backend="torch"),
    ("jax", "litert"): "Keras writes none from JAX. " + _ELSEWHERE.format(backend="tensorflow"),
    ("jax", "openvino"): "OpenVINO does not read JAX's programs. " + _ELSEWHERE.format(backend="tensorflow"),
    ("torch", "tf_saved_model"): "it would need torch_xla. " + _ELSEWHERE.format(backend="tensorflow"),
    ("torch", "litert"): "it would need litert-torch, which holds other versions. "
    + _ELSEWHERE.format(backend="tensorflow"),
}
_NO_SAMPLER = {
    ("jax", "onnx"): "jax2onnx does not trace random keys of a free batch. " + _ELSEWHERE.format(backend="tensorflow"),
    ("tensorflow", "litert"): "LiteRT has no bitwise and, of which random keys are made. Export what='decode' and "
    "draw z outside, or use format='onnx'.",
    ("torch", "openvino"): "OpenVINO does not read torch's bitwise shift. Use format='onnx', which OpenVINO reads.",
}


class Endpoint(keras.Model):
    """One function of tensors of `model`, as a Keras model of positional inputs."""

    def __init__(self, model, what):
        super().__init__(autocast=False, dtype=model.dtype_policy, name=f"{model.name}_{what}")
        self.model, self.what = model, what
        self.built = True

    def call(self, first, *others):
        method, _ = METHODS[self.what]
        kwargs = {"temperature": others[-1]} if self.what == "sample" else {}
        condition = others[:1] if self.model.conditional else ()
        if self.what in ("encode", "log_prob"):
            first = self.model._event(first)
        return getattr(self.model, method)(first, *condition, **kwargs)

    def signature(self):
        """Names, shapes and dtypes of the inputs, `keras.InputSpec`s."""
        model, (_, name) = self.model, METHODS[self.what]
        event_dtype = model.real_dtype if model.event_dtype == "float32" else model.event_dtype
        first = {
            "x": lambda: ((None, *model.event_shape), event_dtype),
            "z": lambda: ((None, model.latent_dim), model.real_dtype),
            "keys": lambda: ((None, 2), "int32"),
        }
        specs = [(name, *first[name]())]
        if model.conditional:
            dtype = "int32" if model.num_classes is not None else model.real_dtype
            specs.append(("condition", (None, *model.condition_shape), dtype))
        if self.what == "sample":
            specs.append(("temperature", (), "float32"))
        return [keras.InputSpec(shape=shape, dtype=dtype, name=name) for name, shape, dtype in specs]


def check(model, filepath, format, what):
    """Raise `ValueError` for what cannot leave, before any work."""
    if format not in SUFFIXES:
        raise ValueError(f"Expected `format` as one of {list(SUFFIXES)}. Received: format={format!r}.")
    if not str(filepath).endswith(SUFFIXES[format]):
        raise ValueError(f"Expected a path ending in {SUFFIXES[format]!r} for {format!r}. Received: {filepath}.")
    _check_method(model, what)
    pair = (keras.config.backend(), format)
    reason = _NO_PAIR.get(pair) or (_NO_SAMPLER.get(pair) if what == "sample" else None)
    if reason:
        raise ValueError(f"No export of what={what!r} as format={format!r} from {pair[0]}: {reason}")
    if missing := [name for name in _PACKAGES[pair] if importlib.util.find_spec(name) is None]:
        raise ValueError(f"Expected the packages {missing} for format={format!r} from {pair[0]}: pip install them.")


def _check_method(model, what):
    if what not in METHODS:
        raise ValueError(f"Expected `what` as one of {list(METHODS)}. Received: what={what!r}.")
    method, _ = METHODS[what]
    kind = type(model)
    if what == "sample" and kind.generate is _base(model).generate or not hasattr(model, method):
        raise ValueError(f"{kind.__name__} has no {what!r} to export. Choose another of {list(METHODS)}.")
    if what == "log_prob" and model.likelihood != "exact":
        raise ValueError(
            f"Expected a model with an exact likelihood for what='log_prob'. Received: {kind.__name__}, whose "
            f"likelihood is {model.likelihood!r}: its estimate draws samples. Use `model.log_prob` here."
        )


def _base(model):
    return next(c for c in reversed(type(model).__mro__) if "generate" in vars(c))


def export(model, filepath, format, what, verbose, signature, **kwargs):
    """Write the method `what` of `model` by Keras's exporter, or our own where Keras fixes the batch."""
    check(model, filepath, format, what)
    model.synchronize()
    endpoint = Endpoint(model, what)
    signature = endpoint.signature() if signature is None else signature
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):  # exporters warn of their own calls of one another
            warnings.simplefilter("ignore", category)
        if format == "onnx" and backend.export_onnx(endpoint, str(filepath), signature, **kwargs):
            return
        options = {**backend.export_options(format, [spec.shape for spec in signature]), **kwargs}
        keras.Model.export(endpoint, str(filepath), format, verbose, input_signature=signature, **options)
