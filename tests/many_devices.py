"""Training on many devices, as a program: `python -m tests.many_devices KIND CASES FOLDER [INDEX PORT]`.

KIND says on what, CASES which of `cases()` with commas between (`all`: each), and FOLDER receives what the models were
after it: `python -m tests.many_devices one all FOLDER` on one device. `python -m tests.many_devices differences ONE
MANY` prints how far two folders are apart. `MODELS` is the registry: id to a function that makes a compiled model and
its data `(x, y, sample_weight)`. A family adds its models here and inherits the laws of
`test_many_devices.py`: many devices give the weights, logs and evaluations of one device with the same global batch.
SGD, since Adam magnifies rounding errors where a gradient is tiny.
"""

import contextlib
import os
import sys
from pathlib import Path

import keras
import numpy as np

from keras_gen import backend, layers, losses
from keras_gen.datasets import digits
from keras_gen.layers import DifferentiableAugmentation
from keras_gen.metrics import PeakSignalToNoiseRatio
from keras_gen.models import GAN, IWAE, VAE, ConditionalVAE, NormalizingFlow
from keras_gen.networks import MLP, DCGANGenerator
from tests.wgan_gp import WGANGP

BATCH = 40
SIZES = {"even": 3 * BATCH, "uneven": 2 * BATCH + 25}  # the last batch of 25 divides neither by 2 nor by 4


def images(n):
    (x, y), _ = digits.load_data()
    return (x[:n] / 16.0).astype("float32"), y[:n].astype("int32")


def networks():
    """Encoder and decoder with all that sees a batch: synchronised batch normalisation, dropout."""
    return {
        "encoder": MLP((16,), activation="tanh", normalization="synchronized_batch", dropout=0.2),
        "decoder": MLP((16,), activation="tanh"),
    }


def vae(n):
    """With annealed KL, free bits, a weight for each example, clipped gradients and metrics of pairs."""
    beta = keras.optimizers.schedules.PolynomialDecay(0.5, 6, end_learning_rate=1.0)
    model = VAE((8, 8, 1), 4, **networks(), beta=beta, free_bits=0.05, seed=1)
    metrics = [keras.metrics.MeanAbsoluteError("mae"), PeakSignalToNoiseRatio(data_range=1.0)]
    model.compile(keras.optimizers.SGD(2e-3, global_clipnorm=2.0), metrics=metrics)
    return model, (images(n)[0][..., None], None, np.linspace(0.5, 1.5, n, dtype="float32"))


def conditional_vae(n):
    model = ConditionalVAE((64,), 4, **networks(), posterior="laplace", num_classes=10, seed=1)
    model.compile(keras.optimizers.SGD(2e-3))
    return model, (images(n)[0].reshape(n, 64), images(n)[1], None)


def iwae(n):
    model = IWAE((64,), 4, **networks(), num_samples=3, seed=1)
    model.compile(keras.optimizers.SGD(2e-3))
    return model, (images(n)[0].reshape(n, 64), None, None)


def wgan_gp(n):
    """Two players, three critic steps on parts of the batch, double back-propagation, normalisation and dropout."""
    model = WGANGP((8, 8), units=16, critic_steps=3)
    model.compile({"generator": keras.optimizers.SGD(0.05), "critic": keras.optimizers.SGD(0.005)})
    return model, (images(n)[0], None, None)


def gan(n):
    """Means and deviations over the batch in loss and penalty, a lazy penalty, augmentation, an average, labels."""
    generator = DCGANGenerator((8, 8, 1), (4,), normalization="synchronized_batch", kernel_initializer="glorot_uniform")
    discriminator = MLP((16,), "leaky_relu", output_units=1)  # penalised: without batch normalisation
    model = GAN(
        (8, 8, 1), 4, generator=generator, discriminator=discriminator, loss="relativistic_average",
        penalties=[losses.DRAGAN(0.1), losses.R1(0.1, every=2)], discriminator_steps=2, average=0.9,
        augment=DifferentiableAugmentation(seed=3), num_classes=10, seed=1,
    )  # fmt: skip
    model.compile({"generator": keras.optimizers.SGD(0.05), "discriminator": keras.optimizers.SGD(0.005)})
    return model, (images(n)[0][..., None], images(n)[1], np.linspace(0.5, 1.5, n, dtype="float32"))


def flow(n):
    """Set by the first global batch, normalised by each, of dequantised grey levels that depend on their label."""
    steps = [
        layers.ActNorm(), layers.FlowBatchNormalization(0.5), layers.AffineCoupling((16,), conditional=True),
        layers.Permutation("swap"), layers.ActNorm(), layers.AffineCoupling((16,), conditional=True),
    ]  # fmt: skip
    model = NormalizingFlow((64,), steps, levels=17, num_classes=10, seed=1)
    model.compile(keras.optimizers.SGD(1e-4))
    return model, (images(n)[0].reshape(n, 64), images(n)[1], None)


MODELS = {"vae": vae, "conditional_vae": conditional_vae, "iwae": iwae, "wgan_gp": wgan_gp, "gan": gan, "flow": flow}


def numbers(model, history):
    """All that must agree: weights and statistics, the epoch's logs, those of the validation among them."""
    found = {f"weight {i} {v.name}": keras.ops.convert_to_numpy(v) for i, v in enumerate(model.weights)}
    found.update({f"log {k}": np.array(v) for k, v in history.items()})
    return found


def train(name, size, path=None, scope=contextlib.nullcontext):
    """An epoch of three steps, and a validation; saved at `path` and loaded, the model has another epoch."""
    keras.utils.set_random_seed(0)
    with scope():
        model, (x, y, weight) = MODELS[name](SIZES[size])
    arguments = {"x": x, "y": y, "sample_weight": weight, "batch_size": BATCH, "verbose": 0}
    validation = tuple(a if a is None else a[:BATCH] for a in (x, y, weight))
    history = model.fit(**arguments, seed=5, validation_data=validation).history
    found = numbers(model, history)
    if path is None:
        return found
    save(model, path)
    with scope():
        model = keras.saving.load_model(path)
    history = model.fit(**arguments, seed=6).history
    found.update({f"again {k}": v for k, v in numbers(model, history).items()})
    return found


def save(model, path):
    """The first process writes and the others wait until it has; on JAX all take part, and only its file is read."""
    index, _ = backend.processes()
    if index == 0 or keras.config.backend() == "jax":
        model.save(path if index == 0 else path.replace(".keras", f"_{index}.keras"))
    backend.agree(0)


def mirrored(count):
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)]).scope


def data_parallel():
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


def model_parallel():
    """Four parts of the batch by two parts of the inputs of each dense kernel."""
    mesh = keras.distribution.DeviceMesh((4, 2), ("batch", "model"), keras.distribution.list_devices())
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*kernel"] = ("model", None)
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False)
    )


def jax_process(index, port):
    keras.distribution.initialize(f"127.0.0.1:{port}", 2, int(index))
    data_parallel()


def torch_process(index, port):
    import torch.distributed as dist

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, RANK=index, WORLD_SIZE="2")
    dist.init_process_group("gloo")


def leave():
    import torch.distributed as dist

    dist.barrier()
    dist.destroy_process_group()


def cases():
    """Every model, with a last batch that the devices do not divide where this is allowed, saved and loaded."""
    sizes = ["even"] if keras.config.backend() == "jax" else list(SIZES)
    return [f"{name}_{size}_saved" for name in MODELS for size in sizes]


def main(kind, names, folder, *process):
    start = {"one": lambda: None, "data_parallel": data_parallel, "model_parallel": model_parallel,
             "jax_processes": jax_process, "torch_processes": torch_process}  # fmt: skip
    scope = contextlib.nullcontext
    if kind.startswith("mirrored"):
        scope = mirrored(int(kind.removeprefix("mirrored_")))
    else:
        start[kind](*process)
    for case in cases() if names == "all" else names.split(","):
        case, saved = case.removesuffix("_saved"), case.endswith("_saved")
        found = train(*case.rsplit("_", 1), f"{folder}/{case}.keras" if saved else None, scope)
        if not process or process[0] == "0":
            np.savez(f"{folder}/{case}.npz", **found)
    if kind == "torch_processes":
        leave()


def difference(one, many):
    """Largest difference of weights, and of logs (relative beyond 1), of two results."""
    one, many = np.load(one), np.load(many)
    gaps = {k: float(np.abs(one[k].astype("float64") - many[k]).max() / max(1.0, np.abs(one[k]).max())) for k in many}
    weights = [gap for k, gap in gaps.items() if k.removeprefix("again ").startswith("weight")]
    return max(weights), max(gap for k, gap in gaps.items() if not k.removeprefix("again ").startswith("weight"))


def differences(one, many):
    for file in sorted(Path(many).glob("*.npz")):
        weights, logs = difference(Path(one) / file.name, file)
        print(f"{keras.config.backend():<12}{file.stem:<26}weights {weights:.1e}   logs {logs:.1e}")


if __name__ == "__main__":
    differences(*sys.argv[2:]) if sys.argv[1] == "differences" else main(*sys.argv[1:])
