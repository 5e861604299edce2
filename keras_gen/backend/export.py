"""What leaving this backend needs beyond Keras's exporters.

Keras exports torch programs with a batch of one size, and ONNX from torch likewise. Here both leave with the batch
free: the program is traced with its first axes symbolic and, for ONNX, translated from that trace.
"""

import keras

ONNX_OPSET = 18  # the first with BitwiseAnd and BitwiseXor, of which random keys are made


def export_options(format, shapes):
    """Options of `keras.Model.export` for inputs of these `shapes` (None: free): a dict."""
    backend = keras.config.backend()
    if format == "onnx" and backend == "tensorflow":
        return {"opset_version": ONNX_OPSET}
    return {"dynamic_shapes": _dynamic(shapes)} if format == "torch" else {}


def export_onnx(model, filepath, signature):
    """Write `model` as ONNX from torch, the batch free; False on another backend, where Keras's exporter does it."""
    if keras.config.backend() != "torch":
        return False
    import torch

    args = tuple(keras.ops.ones([2 if size is None else size for size in s.shape], s.dtype) for s in signature)
    dynamic = _dynamic([s.shape for s in signature])
    model.eval()
    program = torch.export.export(model, args, dynamic_shapes=dynamic, strict=False)
    options = {"input_names": [s.name for s in signature], "opset_version": ONNX_OPSET, "verbose": False}
    torch.onnx.export(program, (), filepath, dynamo=True, external_data=False, **options)
    return True


def _dynamic(shapes):
    """torch's description of the free axes, the inputs being one tuple `*args`."""
    from torch.export import Dim

    return [tuple({axis: Dim.AUTO for axis, size in enumerate(shape) if size is None} for shape in shapes)]
