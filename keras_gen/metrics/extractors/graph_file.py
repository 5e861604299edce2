"""Constants out of a frozen TensorFlow graph, without TensorFlow.

A graph is a protocol buffer: fields, each a key k = 8 number + kind, then a value. The kind is 0 for an integer of
seven-bit groups, 1 and 5 for 8 and 4 bytes, 2 for a length and so many bytes. The fields used here:

    GraphDef      1 node
    NodeDef       1 name, 2 op, 5 attr, a map: 1 key, 2 value
    AttrValue     8 tensor
    TensorProto   1 dtype (1 is float32), 2 shape, 4 content, 5 float values
    shape         2 dimension: 1 size
"""

import math

import numpy as np

FLOAT32 = 1


def fields(data):
    """Number and value of every field of a message; a message inside is bytes."""
    at = 0
    while at < len(data):
        key, at = _integer(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _integer(data, at)
        elif kind in (1, 2, 5):
            length, at = _integer(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + length], at + length
            if at > len(data):
                raise ValueError("a field is longer than the file")
        else:
            raise ValueError(f"a field is of kind {kind}, which protocol buffers do not have")
        yield key >> 3, value


def _integer(data, at):
    value = shift = 0
    while shift < 64 and at < len(data):
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    raise ValueError("a number has no end")


def _first(data, number, default=b""):
    return next((value for n, value in fields(data) if n == number), default)


def read_constants(file):
    """The float32 constants of a frozen graph.

    Args:
        file: Path of a binary GraphDef (`.pb`).

    Returns:
        Dict of node name to float32 array.

    Raises:
        ValueError: If the file is no graph, is damaged, or holds no constant.
    """
    with open(file, "rb") as stream:
        data = memoryview(stream.read())
    try:
        found = dict(_constants(data))
    except Exception as error:
        raise ValueError(f"Expected a frozen TensorFlow graph (.pb). Received: {file}: {error}") from error
    if not found:
        raise ValueError(f"Expected a frozen TensorFlow graph (.pb) with constants. Received: {file}, without any")
    return found


def _constants(data):
    for number, node in fields(data):
        if number == 1 and bytes(_first(node, 2)) == b"Const":
            attributes = (attribute for n, attribute in fields(node) if n == 5)
            value = next(_first(a, 2) for a in attributes if bytes(_first(a, 1)) == b"value")
            tensor = _first(value, 8)
            if _first(tensor, 1, 0) == FLOAT32:
                yield bytes(_first(node, 1)).decode(), _array(tensor)


def _array(tensor):
    shape = tuple(_first(side, 1, 0) for number, side in fields(_first(tensor, 2)) if number == 2)
    values = np.frombuffer(_first(tensor, 4) or b"".join(v for n, v in fields(tensor) if n == 5), "<f4")
    if values.size not in (1, math.prod(shape)):
        raise ValueError(f"a constant of shape {shape} has {values.size} values")
    return np.broadcast_to(values, shape) if values.size == 1 else values.reshape(shape)
