"""What a training step of a GAN under `fit` costs beside one written by hand, and beside torch: milliseconds, ratios.

Two cases, each with the same networks, batch normalisation, passes forward and backward, optimizer and data (numpy
arrays, minibatch slices) on both sides:

    dcgan      64x64x3 images, batch 32, the default networks of `DCGAN` (64, 128 and 256 filters), non-saturating loss,
               Adam(2e-4, 0.5) for both players, and the average generator
    wgan_gp    vectors of 784, dense networks with two layers of 512 units, 5 critic steps of 64 examples, gradient
               penalty 10, Adam(1e-4, 0.0, 0.9)

The contestants take turns, each for `--steps` steps a round, warmed up by one step before:

    fit        `fit`, from the end of its first step to that of the last: `start_ms` is what the first step takes more
               than another, `epoch_ms` what the end of an epoch takes
    hand       `adversarial_{backend}.py`: the backend's own operations, compiled as `fit` is
    layers     the same loop around the Keras layers: what Keras's layers cost is not the cost of `fit`
    torch      the same networks in a `torch.nn` loop, channels first, in a process of its own that waits meanwhile; on
               torch that is `hand`

Medians over rounds count, by the clock on the wall and by that of the processor (all threads), which tells on a busy
machine. `--check` trains three steps on both sides from the same weights on the same noise and compares the losses.

    KERAS_BACKEND=jax python -m benchmarks.adversarial --check
    KERAS_BACKEND=jax python -m benchmarks.adversarial --output adversarial.json
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
from statistics import median

import keras
import numpy as np
from keras import ops

from benchmarks.adversarial_networks import ADAM, BATCH, MODELS, SHAPE
from benchmarks.step_overhead import arguments, machine, now, save, show, take_turns


class FixedNoise:
    """Draws that depend on their shape alone, for `--check`; arrays of numpy with `host`."""

    host = False

    def normal(self, shape, dtype=None):
        return self._rows("standard_normal", shape)

    def uniform(self, shape, minval=0.0, maxval=1.0, dtype=None):
        return self._rows("random", shape)

    def _rows(self, kind, shape, most=512):
        rows = getattr(np.random.default_rng(0), kind)((most, *shape[1:])).astype("float32")
        return (rows if self.host else ops.convert_to_tensor(rows))[: shape[0]]


class StepClock(keras.callbacks.Callback):
    """Time (wall, processor) when the first step of an epoch is done, when the last one is, and the epoch.

    Steps may be computed long after they are called for: the first is waited for, which no other is. Of each, Keras
    reads the logs in a thread of its own.
    """

    async_safe = True

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1:
            self.model.synchronize()
            ops.convert_to_numpy(self.model.optimizer.iterations.value)
            self.first = now()

    def on_train_begin(self, logs=None):
        self.ends = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(now())

    def on_epoch_end(self, epoch, logs=None):
        self.last, self.end = np.max(self.ends, axis=0), now()


def timed_fit(model, x, batch_size, epoch_ends):
    """A function that fits an epoch: seconds of its steps but the first, and what the first takes more than another."""

    def run():
        clock, start = StepClock(), now()
        model.fit(x, batch_size=batch_size, epochs=1, verbose=0, callbacks=[clock])
        epoch_ends.append(1e3 * (clock.end - clock.last)[0])
        seconds = clock.last - clock.first
        return seconds, clock.first - start - seconds / (len(clock.ends) - 1)

    return run


def timed_hand(epoch):
    """A function that takes a step, and then an epoch: seconds of the epoch."""

    def run():
        epoch(1)
        start = now()
        epoch()
        return now() - start, None

    return run


@contextlib.contextmanager
def torch_process(case, options):
    """The hand-written loop of torch in a process of its own, as a function that returns the seconds of an epoch."""
    command = [sys.executable, "-m", "benchmarks.adversarial", "--serve", case, "--dtype", options.dtype]
    command += ["--steps", str(options.steps), "--seed", str(options.seed)]
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:

        def run():
            print("run", file=process.stdin, flush=True)
            line = next(line for line in process.stdout if line.startswith("["))
            return np.array(json.loads(line)), None

        yield run
        process.stdin.close()


def serve(case, options):
    """The other end: runs an epoch for each line of the standard input."""
    run = timed_hand(loop(case, data(case, options.steps, options.seed)))
    for _ in sys.stdin:
        print(json.dumps(run()[0].tolist()), flush=True)


def data(case, steps, seed):
    """Random images in [0, 1]: what they show costs nothing."""
    return np.random.default_rng(seed).random((steps * BATCH[case], *SHAPE[case]), "float32")


def loop(case, x, model=None, layers=False, noise=None):
    """The hand-written loop of this backend, or that around Keras's layers: a function that trains an epoch."""
    hand = importlib.import_module(f"benchmarks.adversarial_{keras.config.backend()}")
    model = MODELS[case]() if model is None else model
    model.compile()  # only says whether XLA is on
    return hand.loop(model, x, BATCH[case], ADAM[case], layers=layers, noise=noise)


def compiled(case):
    """The model as `fit` trains it."""
    model = MODELS[case]()
    model.compile(keras.optimizers.Adam(*ADAM[case]))
    return model


def measure(case, options):
    """The figures of one case."""
    batch_size, epoch_ends = BATCH[case], []
    x = data(case, options.steps + 1, options.seed)
    found = {"fit": timed_fit(compiled(case), x, batch_size, epoch_ends)}
    for name in ("hand", "layers"):
        found[name] = timed_hand(loop(case, x[batch_size:], layers=name == "layers"))
    with contextlib.ExitStack() as stack:
        if keras.config.backend() != "torch":
            found["torch"] = stack.enter_context(torch_process(case, options))
        figures = take_turns(found, options.rounds, options.steps)
    wall = figures["wall"]["milliseconds_a_step"]
    return {
        "case": case,
        "batch_size": batch_size,
        "steps": options.steps,
        "dtype": options.dtype,
        **figures,
        "epoch_ms": median(epoch_ends),
        "images_a_second": {name: 1e3 * batch_size / ms for name, ms in wall.items()},
    }


def check(case, seed, steps=3):
    """The losses of `fit` and of the loops from the same weights on the same noise: whether they are the same."""
    x, model = data(case, 1, seed), compiled(case)
    model.noise, fixed = FixedNoise(), FixedNoise()
    fixed.host = True
    weights = model.get_weights()
    history = model.fit(x, batch_size=len(x), epochs=steps, shuffle=False, verbose=0).history
    rows = {"fit": np.array([history["discriminator_loss"], history["generator_loss"]])}
    for name in ("hand", "layers"):
        other = MODELS[case]()
        other.set_weights(weights[: len(other.weights)])
        epoch = loop(case, x, other, layers=name == "layers", noise=fixed)
        rows[name] = np.array([epoch(shuffle=False)[[0, -1]] for _ in range(steps)]).T
    good = True
    for name, losses in rows.items():
        apart = (np.abs(losses - rows["fit"]) / np.maximum(1.0, np.abs(rows["fit"]))).max(0)
        print(f"{case:9}{name:8} discriminator {losses[0].round(6)} generator {losses[1].round(6)} apart {apart}")
        good &= bool(apart[0] <= 1e-4)
    return good


def main():
    """Check or measure, print the table, write the JSON."""
    parser = arguments(__doc__, MODELS, rounds=5, steps=4)
    parser.add_argument("--dtype", choices=("float32", "mixed_bfloat16"), default="float32", help="dtype policy")
    parser.add_argument("--check", action="store_true", help="compare the losses instead of the times")
    parser.add_argument("--serve", choices=sorted(MODELS), help="time a loop for each line of the standard input")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy(options.dtype)
    if options.serve:
        return serve(options.serve, options)
    cases = [options.only] if options.only else list(MODELS)
    if options.check:
        return 0 if all([check(case, options.seed) for case in cases]) else 1
    before, rows = machine(), []
    for case in cases:
        rows.append(measure(case, options))
        show(rows[-1])
        save(options, __doc__, before, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
