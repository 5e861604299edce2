"""What image-to-image models cost beside the same network in a plain torch loop: milliseconds a step, megapixels.

    srresnet     SRResNet x4 (64 filters, 16 blocks), large patches of 96 pixels, batch 16, L1 loss, Adam: `fit` against
                 a `torch.nn` loop
    cycle_gan    CycleGAN of 128 x 128 images (6 blocks, 64 filters; patch discriminators of 70 pixels), one image a
                 step, pools of 50, Adam: `fit` against a `torch.nn` loop
    upscale      `upscale` by the EDSR of the super-resolution application (32 filters, 8 blocks, x2) of an image of one
                 megapixel, in tiles, against torch on the same network, the whole image at once

The contestants take turns. Torch runs in a process of its own, also where torch is the backend. SRResNet and EDSR begin
there with the weights of the Keras network, CycleGAN with the same layers. Each side gets the same number of threads
(OMP_NUM_THREADS; for TensorFlow TF_NUM_INTRAOP_THREADS too).

    KERAS_BACKEND=jax OMP_NUM_THREADS=2 python -m benchmarks.image_to_image --output image_to_image-jax.json
"""

import contextlib
import json
import os
import subprocess
import sys

import keras
import numpy as np

from benchmarks.step_overhead import arguments, machine, now, save, show, take_turns
from keras_gen import models, networks

CASES = ("srresnet", "cycle_gan", "upscale")
RATE = 1e-4
SIDE, SCALE, BATCH = 96, 4, 16


def build(case):
    """The model of a case, the same weights in every process."""
    keras.utils.set_random_seed(0)
    if case == "srresnet":
        network = networks.SRResNet(SCALE, bicubic_skip=False)
        model = models.SuperResolution((SIDE, SIDE, 3), SCALE, network, average=None)
    elif case == "cycle_gan":
        model = models.CycleGAN((128, 128, 3), seed=0)
    else:
        model = models.SuperResolution((48, 48, 3), 2, networks.EDSR(2, 32, 8), average=None)
    return model


def data(case, steps):
    """What `fit` or `upscale` takes: random numbers, what they show costs nothing."""
    rng = np.random.default_rng(0)
    if case == "upscale":
        return (rng.random((1000, 1000, 3), "float32"),)
    sides = {"srresnet": (SIDE, SIDE // SCALE), "cycle_gan": (128, 128)}[case]
    batch = {"srresnet": BATCH, "cycle_gan": 1}[case]
    return tuple(rng.random((steps * batch, side, side, 3), "float32") for side in sides)


def ours(case, steps):
    """A function that returns the seconds of `steps` steps of `fit`, or of one `upscale`."""
    model, arrays = build(case), data(case, steps)
    if case != "upscale":
        model.compile(keras.optimizers.Adam(RATE))

    def run():
        start = now()
        if case == "upscale":
            model.upscale(*arrays, verbose=0)
        else:
            model.fit(*arrays, batch_size=len(arrays[0]) // steps, verbose=0)
        return now() - start, np.zeros(2)

    return run


def theirs(case, steps):
    """The same in torch by hand; SRResNet begins at the Keras network's outputs, or an error is raised."""
    import torch

    from benchmarks import image_to_image_torch as hand

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    model, arrays = build(case), data(case, steps)
    if case == "upscale":
        run, image = hand.upscale(model), arrays[0]
    elif case == "srresnet":
        batches = [a.reshape(steps, -1, *a.shape[1:]) for a in arrays]
        run, network = hand.super_resolution(model, *batches, RATE)
        hand.check_same(network, model.network, batches[1][0])
    else:
        run = hand.cycle_gan(model, *arrays, RATE)

    def timed():
        start = now()
        run(image) if case == "upscale" else run()
        return now() - start, None

    return timed


@contextlib.contextmanager
def torch_process(case, options):
    """`theirs` in a process of its own, which waits meanwhile."""
    command = [sys.executable, "-m", "benchmarks.image_to_image", "--serve", case, "--steps", str(options.steps)]
    environment, pipe = {**os.environ, "KERAS_BACKEND": "torch"}, subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:

        def run():
            print("run", file=process.stdin, flush=True)
            return np.array(json.loads(next(line for line in process.stdout if line.startswith("[")))), None

        yield run
        process.stdin.close()


def measure(case, options):
    """The figures of one case."""
    steps = 1 if case == "upscale" else options.steps
    with torch_process(case, options) as torch_run:
        figures = take_turns({"fit": ours(case, steps), "torch": torch_run}, options.rounds, steps)
    found = {"case": case, "steps": steps, **figures}
    if case == "upscale":
        wall = figures["wall"]["milliseconds_a_step"]
        found["megapixels_a_second_of_the_result"] = {name: 4e3 / ms for name, ms in wall.items()}
    return found


def main():
    """Measure, print the table, write the JSON."""
    parser = arguments(__doc__, CASES, rounds=3, steps=3)
    parser.add_argument("--serve", choices=CASES, help="time a case in torch for each line of the standard input")
    options = parser.parse_args()
    if options.serve:
        run = theirs(options.serve, options.steps)
        for _ in sys.stdin:
            print(json.dumps(run()[0].tolist()), flush=True)
        return
    before, rows = machine(), []
    for case in [options.only] if options.only else CASES:
        rows.append(measure(case, options))
        show(rows[-1])
        save(options, __doc__, before, rows)


if __name__ == "__main__":
    main()
