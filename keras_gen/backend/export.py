"""What leaving this backend needs beyond Keras's exporters.

Keras exports torch programs with a batch of one size, and ONNX from torch likewise. Here both leave with the batch
free: the program is traced with its first axes symbolic and, for ONNX, translated from that trace. On TensorFlow, the
constants that a traced function captures would become inputs of the ONNX program; here they are frozen before.
"""

import keras

ONNX_OPSET = 18  # the first with BitwiseAnd and BitwiseXor, of which random keys are made


def export_options(format, shapes):
    """Options of `keras.Model.export` for inputs of these `shapes` (None: free): a dict."""
    return {"dynamic_shapes": _dynamic(shapes)} if format == "torch" else {}


def export_onnx(model, filepath, signature, opset_version=ONNX_OPSET):
    """Write `model` as ONNX with the inputs of `signature`; False on JAX, where Keras's exporter does it."""
    write = {"tensorflow": _onnx_from_tensorflow, "torch": _onnx_from_torch}.get(keras.config.backend())
    if write is not None:
        write(model, filepath, signature, opset_version)
    return write is not None


def _onnx_from_tensorflow(model, filepath, signature, opset_version):
    import tensorflow as tf
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    specs = [tf.TensorSpec(s.shape, s.dtype, name=s.name) for s in signature]
    traced = tf.function(lambda *args: model(*args, training=False), autograph=False).get_concrete_function(*specs)
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False, aggressive_inlining=True)
    patch_tf2onnx()  # for numpy 2
    tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[f"{s.name}:0" for s in signature],
        output_names=[t.name for t in frozen.outputs],
        opset=opset_version,
        output_path=filepath,
    )


def _onnx_from_torch(model, filepath, signature, opset_version):
    import torch

    args = tuple(keras.ops.ones([2 if size is None else size for size in s.shape], s.dtype) for s in signature)
    model.eval()
    program = torch.export.export(model, args, dynamic_shapes=_dynamic([s.shape for s in signature]), strict=False)
    options = {"input_names": [s.name for s in signature], "opset_version": opset_version, "verbose": False}
    torch.onnx.export(program, (), filepath, dynamo=True, external_data=False, **options)


def _dynamic(shapes):
    """torch's description of the free axes, the inputs being one tuple `*args`."""
    from torch.export import Dim

    return [tuple({axis: Dim.AUTO for axis, size in enumerate(shape) if size is None} for shape in shapes)]
