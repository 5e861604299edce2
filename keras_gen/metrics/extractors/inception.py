"""The convolutional network behind FID: the Inception-v3 of the TensorFlow graph of 5 December 2015.

It is not the Inception-v3 that libraries offer today. Its differences, each of which moves FID:

    classes      1008 outputs
    averages     average pools inside blocks (A, C, and E of Mixed_7b) leave the padding out of their mean
    maximum      the pool branch of the last block, Mixed_7c, takes the maximum
    input        bilinear resize as TensorFlow 1 did it, without half-pixel centres; then (x - 128) / 128

A convolution W, then batch normalisation with moments m, v, scale g, offset b and epsilon 0.001, then a rectifier, is

    relu((W x - m) g / sqrt(v + 0.001) + b)  =  relu(W' x + b'),    W' = W s,   b' = b - m s,   s = g / sqrt(v + 0.001).

So the network here has convolutions with bias alone; `folded` gives W' and b', in float64 before they are rounded.

A block is data: branches of steps, a step being a pool or a convolution `(name, filters, height, width)`, with "valid"
at its end if it is not padded, or "2" if moreover its stride is 2. A tuple of tuples as the last step is a fork, whose
ends are joined. The names are those of the published PyTorch file; `graph_names` derives those of the TensorFlow graph.

Reference:
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2016, arXiv:1512.00567 (the architecture).
    Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter 2017, arXiv:1706.08500 (its use for FID).
"""

import keras
import numpy as np
from keras import ops

EPSILON, CLASSES, WIDTH = 1e-3, 1008, 2048
AVERAGE, MAXIMUM, MAXIMUM_2 = "average", "maximum", "maximum2"

STEM = (
    ("Conv2d_1a_3x3", 32, 3, 3, "2"), ("Conv2d_2a_3x3", 32, 3, 3, "valid"), ("Conv2d_2b_3x3", 64, 3, 3), MAXIMUM_2,
    ("Conv2d_3b_1x1", 80, 1, 1), ("Conv2d_4a_3x3", 192, 3, 3, "valid"), MAXIMUM_2,
)  # fmt: skip


def block_a(pool):
    """35 x 35: filters of sides 1, 5 and twice 3, and an average."""
    return (
        (("branch1x1", 64, 1, 1),),
        (("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 5)),
        (("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 3), ("branch3x3dbl_3", 96, 3, 3)),
        (AVERAGE, ("branch_pool", pool, 1, 1)),
    )


def block_c(inner):
    """17 x 17: filters of 7 x 7 in factors 1 x 7 and 7 x 1."""
    return (
        (("branch1x1", 192, 1, 1),),
        (("branch7x7_1", inner, 1, 1), ("branch7x7_2", inner, 1, 7), ("branch7x7_3", 192, 7, 1)),
        (("branch7x7dbl_1", inner, 1, 1), ("branch7x7dbl_2", inner, 7, 1), ("branch7x7dbl_3", inner, 1, 7),
         ("branch7x7dbl_4", inner, 7, 1), ("branch7x7dbl_5", 192, 1, 7)),
        (AVERAGE, ("branch_pool", 192, 1, 1)),
    )  # fmt: skip


def block_e(pool):
    """8 x 8: forks of 1 x 3 and 3 x 1."""
    return (
        (("branch1x1", 320, 1, 1),),
        (("branch3x3_1", 384, 1, 1), (("branch3x3_2a", 384, 1, 3), ("branch3x3_2b", 384, 3, 1))),
        (("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 3),
         (("branch3x3dbl_3a", 384, 1, 3), ("branch3x3dbl_3b", 384, 3, 1))),
        (pool, ("branch_pool", 192, 1, 1)),
    )  # fmt: skip


BLOCK_B = (
    (("branch3x3", 384, 3, 3, "2"),),
    (("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 3), ("branch3x3dbl_3", 96, 3, 3, "2")),
    (MAXIMUM_2,),
)
BLOCK_D = (
    (("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 3, "2")),
    (("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, 1, 7), ("branch7x7x3_3", 192, 7, 1),
     ("branch7x7x3_4", 192, 3, 3, "2")),
    (MAXIMUM_2,),
)  # fmt: skip
BLOCKS = {
    "Mixed_5b": block_a(32), "Mixed_5c": block_a(64), "Mixed_5d": block_a(64),
    "Mixed_6a": BLOCK_B,
    "Mixed_6b": block_c(128), "Mixed_6c": block_c(160), "Mixed_6d": block_c(160), "Mixed_6e": block_c(192),
    "Mixed_7a": BLOCK_D,
    "Mixed_7b": block_e(AVERAGE), "Mixed_7c": block_e(MAXIMUM),
}  # fmt: skip


def is_fork(step):
    """Whether a step is a tuple of convolutions, all of the same input."""
    return isinstance(step, tuple) and isinstance(step[0], tuple)


def convolutions(steps, prefix=""):
    """Name and step of every convolution, depth first."""
    for step in steps:
        if is_fork(step):
            yield from convolutions(step, prefix)
        elif isinstance(step, tuple):
            yield prefix + step[0], step


def all_convolutions():
    """Of the whole network: 94."""
    yield from convolutions(STEM)
    for block, branches in BLOCKS.items():
        for branch in branches:
            yield from convolutions(branch, f"{block}.")


def graph_names():
    """Name of a convolution here: its scope in the TensorFlow graph.

    Blocks are `mixed`, `mixed_1`, ...; a branch that is one convolution lies in the block itself, the others in
    `tower`, `tower_1`, ...; convolutions of one scope count up, and a fork has a scope `mixed` of its own.
    """
    names = {name: _counted("conv", i) for i, (name, _) in enumerate(convolutions(STEM))}
    for i, (block, branches) in enumerate(BLOCKS.items()):
        scope, towers = _counted("mixed", i), 0
        for branch in branches:
            inside = [scope]
            if len(branch) > 1:
                inside, towers = [scope, _counted("tower", towers)], towers + 1
            names.update(_names_of_branch(branch, "/".join(inside), f"{block}."))
    return names


def _names_of_branch(branch, scope, prefix):
    plain = [step for step in branch if not is_fork(step)]
    forks = [step for step in branch if is_fork(step)]
    for inside, steps in [(scope, plain), *[(f"{scope}/mixed", fork) for fork in forks]]:
        for i, (name, _) in enumerate(convolutions(steps, prefix)):
            yield name, f"{inside}/{_counted('conv', i)}"


def _counted(name, i):
    return f"{name}_{i}" if i else name


def data_format():
    """The order of axes inside the network: the one in which the backend convolves fastest on a CPU."""
    return "channels_first" if keras.config.backend() == "torch" else "channels_last"


def blank(shape, dtype=None):
    """Zeros of the host, until weights come: JAX would compile a program for each shape."""
    return np.zeros(shape, dtype or "float32")


def convolution(x, name, filters, height, width, mode="same"):
    """A step that is a convolution, on `x`."""
    stride, padding = (2, "valid") if mode == "2" else (1, mode)
    layer = keras.layers.Conv2D(
        filters, (height, width), stride, padding, data_format(), activation="relu", kernel_initializer=blank,
        bias_initializer=blank, name=name.replace(".", "-"), dtype="float32",
    )  # fmt: skip
    return layer(x)


def pool(x, kind):
    """A step that is a pool of 3 x 3, on `x`; the padding is part of no mean."""
    stride, padding = (2, "valid") if kind == MAXIMUM_2 else (1, "same")
    layer = keras.layers.AveragePooling2D if kind == AVERAGE else keras.layers.MaxPooling2D
    return layer(3, stride, padding, data_format(), dtype="float32")(x)


def joined(parts, name=None):
    """Maps side by side."""
    axis = 1 if data_format() == "channels_first" else -1
    return keras.layers.Concatenate(axis, name=name, dtype="float32")(parts)


def run(x, steps, prefix=""):
    """The steps, one after the other, on `x`."""
    for step in steps:
        if is_fork(step):
            x = joined([run(x, [end], prefix) for end in step])
        else:
            x = pool(x, step) if isinstance(step, str) else convolution(x, prefix + step[0], *step[1:])
    return x


def inception(side=None):
    """The network from scaled images to pool3 and logits.

    Args:
        side: Height and width of its input; default None: any from 75 on.

    Returns:
        A `keras.Model` from images `(n, side, side, 3)`, scaled to [-1, 1), to `features` `(n, 2048)` and `logits`
        `(n, 1008)`, which have no bias. The blocks' outputs are those of layers named `Mixed_5b` ... `Mixed_7c`, in the
        order of axes that `data_format` says.
    """
    x = images = keras.Input((side, side, 3), dtype="float32", name="images")
    if data_format() == "channels_first":
        x = keras.layers.Permute((3, 1, 2), dtype="float32")(x)
    x = run(x, STEM)
    for block, branches in BLOCKS.items():
        x = joined([run(x, branch, f"{block}.") for branch in branches], block)
    features = keras.layers.GlobalAveragePooling2D(data_format(), name="pool3", dtype="float32")(x)
    last = keras.layers.Dense(CLASSES, use_bias=False, kernel_initializer=blank, name="fc", dtype="float32")
    outputs = {"features": features, "logits": last(features)}
    return keras.Model(images, outputs, name="fid_inception", trainable=False)


def folded(kernel, mean, variance, scale, offset):
    """W' `(h, w, in, out)` and b' `(out,)`, from W of that shape and vectors `(out,)`."""
    kernel, mean, variance, scale, offset = (np.asarray(a, "float64") for a in (kernel, mean, variance, scale, offset))
    s = scale / np.sqrt(variance + EPSILON)
    return kernel * s, offset - mean * s


def assign(network, weights):
    """Put `weights`, named arrays as in the published PyTorch file, into the network."""
    for name, _ in all_convolutions():
        kernel = np.transpose(weights[f"{name}.conv.weight"], (2, 3, 1, 0))
        moments = [weights[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        layer = network.get_layer(name.replace(".", "-"))
        for variable, value in zip((layer.kernel, layer.bias), folded(kernel, *moments), strict=True):
            variable.assign(value.astype("float32"))
    network.get_layer("fc").kernel.assign(np.transpose(weights["fc.weight"]))


def shapes(network):
    """Name and shape of every array of the published PyTorch file."""
    for name, _ in all_convolutions():
        height, width, inputs, filters = network.get_layer(name.replace(".", "-")).kernel.shape
        yield f"{name}.conv.weight", (filters, inputs, height, width)
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.bn.{part}", (filters,)
    yield from [("fc.weight", (CLASSES, WIDTH)), ("fc.bias", (CLASSES,))]


def resize_like_tensorflow_1(x, side):
    """Bilinear resize of `x` `(n, h, w, c)` to `(n, side, side, c)` as `ResizeBilinear` of TensorFlow 1 did it.

    Pixel i of the new image lies at i h / side of the old one: corners are not aligned, pixels have no centres, and
    nothing is smoothed when the image shrinks, so pixels are skipped. The weights are float32, as there.
    """
    height, width = x.shape[1:3]
    if (height, width) == (side, side):
        return x
    top, bottom, dy = _corners(height, side, (side, 1, 1))
    left, right, dx = _corners(width, side, (side, 1))
    upper, lower = (
        _between(ops.take(row, left, axis=2), ops.take(row, right, axis=2), dx)
        for row in (ops.take(x, top, axis=1), ops.take(x, bottom, axis=1))
    )
    return _between(upper, lower, dy)


def _corners(old, new, shape):
    """Indices of the two neighbours of each new pixel, and its distance from the first, of `shape`."""
    place = np.arange(new, dtype="float32") * (np.float32(old) / np.float32(new))
    first = np.floor(place).astype("int32")
    distance = (place - first.astype("float32")).reshape(shape)
    return first, np.minimum(first + 1, old - 1), ops.convert_to_tensor(distance)


def _between(a, b, share):
    return a + (b - a) * share
