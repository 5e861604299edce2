"""FID's Inception here and in PyTorch: the same random weights, activations layer by layer, the resize, and the speed.

The published weights play no part: weights and moments are random, written as a `.pth` of both formats by torch itself,
read back here without torch. Peers are pytorch-fid and torch-fidelity, in a Python of their own (`--peer-python`),
which needs no Keras. Errors are the greatest absolute difference over the greatest absolute value of the layer.

For speed, both take turns on the same batch of 32 x 32 images; medians over turns count, and threads are the same
(`--threads`; give the process as many cores).

    KERAS_BACKEND=jax python -m benchmarks.fid_inception_peers --peer-python PYTHON --output FILE.json

With `--known FILE.npz` it only writes activations of torch-fidelity on the images of
`keras_gen.metrics.extractors.known`, and the names and shapes of its weights. With `--weights FILE` too, a published
file, this is for `python -m keras_gen.metrics.extractors.known`; without, weights are random, of seed 0, for the tests:

    python -m benchmarks.fid_inception_peers --peer-python PYTHON --known tests/golden/fid_inception.npz
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

BLOCKS = [f"Mixed_{b}" for b in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")]
STEM = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
SIZES = [(32, 32), (64, 48), (299, 299), (300, 200), (512, 512)]
SERVE = "serve"


# What runs in the peers' Python.


def torch_fidelity_net(path):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    features = ["2048", "logits_unbiased", "logits"]
    return FeatureExtractorInceptionV3("peer", features, feature_extractor_weights_path=str(path))


def pytorch_fid_net(path):
    """Its network as published, with weights from a file in the place of its download."""
    import torch
    from pytorch_fid import inception

    inception.load_state_dict_from_url = lambda *args, **kwargs: torch.load(path, weights_only=True)
    return inception.InceptionV3().eval()


def write_weights(folder):
    """`weights.npz` as a `state_dict` in both formats of torch."""
    from collections import OrderedDict

    import torch

    with np.load(folder / "weights.npz") as arrays:
        state = OrderedDict((name, torch.from_numpy(arrays[name])) for name in arrays.files)
    for name in [n for n in state if n.endswith("running_var")]:
        state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    for file, zipped in (("zip.pth", True), ("legacy.pth", False)):
        torch.save(state, folder / file, _use_new_zipfile_serialization=zipped)


def watched(net, names, run):
    """Outputs of the modules `names` while `run()` is called, channels last."""
    found = {}
    for name, module in net.named_modules():
        if name in names:
            module.register_forward_hook(
                lambda _, __, y, name=name: found.__setitem__(name, np.moveaxis(y.numpy(), 1, -1))
            )
    return found, run()


def peers_activations(folder, weights):
    import torch
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x as resize

    with np.load(folder / "images.npz") as arrays:
        images = {name: torch.from_numpy(np.moveaxis(arrays[name], -1, 1)) for name in arrays.files}
    result = {}
    with torch.no_grad():
        for name, x in images.items():
            resized = resize(x.float(), size=(299, 299), align_corners=False)
            result[f"resized/{name}"] = np.moveaxis(resized.numpy(), 1, -1)
        x, net = images["32x32"], torch_fidelity_net(weights)
        layers, outputs = watched(net, STEM + BLOCKS, lambda: net(x))
        result.update({f"torch_fidelity/{k}": v for k, v in layers.items()})
        for k, v in zip(("features", "logits", "logits_with_bias"), outputs, strict=True):
            result[f"torch_fidelity/{k}"] = v.numpy()
        net = pytorch_fid_net(weights)
        net.resize_input = net.normalize_input = False
        flat = {f"blocks.{i}.{j}": name for name, (i, j) in PYTORCH_FID.items()}
        scaled = (resize(x.float(), size=(299, 299), align_corners=False) - 128) / 128
        layers, outputs = watched(net, flat, lambda: net(scaled))
        result.update({f"pytorch_fid/{flat[k]}": v for k, v in layers.items()})
        result["pytorch_fid/features"] = outputs[0][:, :, 0, 0].numpy()
    np.savez(folder / "peers.npz", **result)


PYTORCH_FID = {
    **{name: (0, j) for j, name in enumerate(STEM[:3])}, **{name: (1, j) for j, name in enumerate(STEM[3:])},
    **{name: (2, j) for j, name in enumerate(BLOCKS[:8])}, **{name: (3, j) for j, name in enumerate(BLOCKS[8:])},
}  # fmt: skip


def serve(folder, threads):
    """Answer each line on the input with the seconds that pytorch-fid takes for the batch."""
    import torch

    torch.set_num_threads(threads)
    net = pytorch_fid_net(folder / "zip.pth")
    with np.load(folder / "batch.npz") as arrays:
        x = torch.from_numpy(np.moveaxis(arrays["x"], -1, 1)).float() / 255
    with torch.no_grad():
        net(x)
        print(SERVE, flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            net(x)[0].numpy()
            print(time.perf_counter() - start, flush=True)


def known_activations(folder, weights, file):
    import torch

    with np.load(folder / "known_images.npz") as arrays:
        images = [arrays[name] for name in arrays.files]
    net = torch_fidelity_net(weights)
    with torch.no_grad():
        outputs = [net(torch.from_numpy(np.moveaxis(x, -1, 1))) for x in images]
    features, logits = (np.concatenate([o[i].numpy() for o in outputs]) for i in (0, 1))
    state = {k: str(tuple(v.shape)) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    arrays = {"features": features, "logits": logits, "names": list(state), "shapes": list(state.values())}
    np.savez_compressed(file, **arrays)


# What runs here.


def error(ours, peer):
    return float(np.abs(ours - peer).max() / np.abs(peer).max())


def our_layers(extractor, x):
    """Every watched layer of our network, channels last, for images x."""
    import keras

    from keras_gen.metrics.extractors import inception

    network = extractor.network
    outputs = {name: network.get_layer(name).output for name in STEM + BLOCKS} | network.output
    prepared = extractor.prepare(keras.ops.cast(x, "float32"))
    found = keras.Model(network.input, outputs).predict_on_batch(prepared)
    first = inception.data_format() == "channels_first"
    return {k: np.moveaxis(v, 1, -1) if first and v.ndim == 4 else v for k, v in found.items()}


def compare(folder, rng, peer):
    """Errors against the peers, and those of reading the files that torch wrote."""
    import keras

    from keras_gen.metrics.extractors import FIDInception, fid_inception, inception

    network = inception.inception()
    weights = fid_inception.random_weights(network, seed=1)
    np.savez(folder / "weights.npz", **weights)
    images = {f"{h}x{w}": rng.integers(0, 256, (2, h, w, 3)).astype("uint8") for h, w in SIZES}
    np.savez(folder / "images.npz", **images)
    peer("write"), peer("activations")
    read = {file: fid_inception.read_weights(folder / file) for file in ("zip.pth", "legacy.pth")}
    same = {file: all(np.array_equal(r[k], v) for k, v in weights.items()) for file, r in read.items()}
    with np.load(folder / "peers.npz") as arrays:
        peers = dict(arrays)
    extractor = FIDInception(folder / "legacy.pth", batch_size=2)
    ours = our_layers(extractor, images["32x32"]) | extractor(images["32x32"])
    ours["logits_with_bias"] = ours["logits"] + extractor.bias
    rows = {f"{side}/{name}": error(ours[name], value) for key, value in peers.items()
            for side, name in [key.split("/")] if side != "resized"}  # fmt: skip
    for name, x in images.items():
        resized = inception.resize_like_tensorflow_1(keras.ops.cast(x, "float32"), 299)
        rows[f"resize/{name}"] = error(keras.ops.convert_to_numpy(resized), peers[f"resized/{name}"])
    return {"files_read_exactly": same, "errors": rows, "greatest": max(rows.values())}


def speed(folder, rng, options):
    """Images a second of both, in turns."""
    from keras_gen.metrics.extractors import FIDInception

    x = rng.integers(0, 256, (options.batch_size, 32, 32, 3)).astype("uint8")
    np.savez(folder / "batch.npz", x=x)
    extractor = FIDInception(folder / "zip.pth", batch_size=len(x))
    extractor(x), extractor(x)
    command = peer_command(options, folder, SERVE)
    times = {"ours": [], "pytorch_fid": []}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline().strip() != SERVE:
            raise RuntimeError("The peer did not start.")
        for _ in range(options.turns):
            start = time.perf_counter()
            extractor(x)
            times["ours"].append(time.perf_counter() - start)
            process.stdin.write("\n")
            process.stdin.flush()
            times["pytorch_fid"].append(float(process.stdout.readline()))
        process.stdin.close()
    rate = {name: len(x) / median(t) for name, t in times.items()}
    return {"batch_size": len(x), "turns": options.turns, "threads": options.threads, "images_per_second": rate,
            "ratio": rate["ours"] / rate["pytorch_fid"]}  # fmt: skip


def peer_command(options, folder, what):
    script = [str(options.peer_python), __file__, "--as-peer", what, "--folder", str(folder)]
    extra = ["--weights", str(options.weights), "--known", str(options.known)] if options.weights else []
    return [*script, "--threads", str(options.threads), *extra]


def as_peer(options):
    weights = options.folder / "zip.pth"
    {
        "write": lambda: write_weights(options.folder),
        "activations": lambda: peers_activations(options.folder, weights),
        SERVE: lambda: serve(options.folder, options.threads),
        "known": lambda: known_activations(options.folder, options.weights, options.known),
    }[options.as_peer]()


def main():
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, help="Python with torch, pytorch-fid and torch-fidelity")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, help="a published file, for --known")
    parser.add_argument("--known", type=Path, help="file for known activations")
    parser.add_argument("--output", type=Path, help="file for the results in JSON")
    parser.add_argument("--as-peer", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_peer:
        return as_peer(options)
    with tempfile.TemporaryDirectory() as folder:
        report(Path(folder), options)


def report(folder, options):
    def peer(what):
        subprocess.run(peer_command(options, folder, what), check=True)

    if options.known:
        from keras_gen.metrics.extractors import fid_inception, inception, known

        np.savez(folder / "known_images.npz", **{str(i): x for i, x in enumerate(known.images())})
        if options.weights is None:
            np.savez(folder / "weights.npz", **fid_inception.random_weights(inception.inception(), seed=0))
            peer("write")
            options.weights = folder / "zip.pth"
        return peer("known")
    import keras

    from benchmarks.step_overhead import machine

    rng = np.random.default_rng(options.seed)
    figures = {"what": __doc__.splitlines()[0], "backend": keras.config.backend(), "seed": options.seed}
    figures |= {"machine": machine(), **compare(folder, rng, peer), "speed": speed(folder, rng, options)}
    for name, value in figures["errors"].items():
        print(f"{name:40} {value:.1e}")
    print("files read exactly", figures["files_read_exactly"], "greatest error", figures["greatest"])
    print("speed", figures["speed"])
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
