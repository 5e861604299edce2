"""Kill a training by SIGKILL at random moments, start it again, and compare what it ends with.

    KERAS_BACKEND=jax python -m benchmarks.kill_and_resume --kills 50 --output docs/benchmarks/kill_and_resume-jax.json

A child process trains a VAE, then another one a WGAN-GP with two optimizers, with `ExactResume(every_steps=1)`: a
checkpoint is being written for a large part of the time. This process kills it at a random moment and starts the same
command again, a dozen times, and then lets it end; then the final weights, optimizers, seeds and history (their
SHA-256) are compared with those of a training that nobody killed. It goes on with new trainings, of other seeds, until
there were enough kills.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS = ("vae", "wgan_gp")
STEPS = 16  # an epoch


def compiled():
    """On TensorFlow by XLA: its graphs alone do not give the same bits twice, interrupted or not."""
    import keras

    return True if keras.config.backend() == "tensorflow" else "auto"


def vae(seed):
    import keras

    from keras_gen.models import VAE

    keras.utils.set_random_seed(seed)
    model = VAE((8, 8, 1), latent_dim=2, seed=seed)
    model.compile(keras.optimizers.Adam(1e-3, use_ema=True), metrics=["mean_squared_error"], jit_compile=compiled())
    return model


def wgan_gp(seed):
    import keras

    from tests.wgan_gp import WGANGP

    model = WGANGP((8, 8, 1), units=256, critic_steps=2, seed=seed)
    model.compile({p: keras.optimizers.Adam(1e-4, beta_1=0.5) for p in ("critic", "generator")}, jit_compile=compiled())
    return model


def announce():
    """A callback that tells each step."""
    import keras

    return keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: print("step", flush=True))


def child(arguments):
    """Train to the end and write the checksum of all that is left."""
    from keras import ops

    from keras_gen.callbacks import ExactResume
    from keras_gen.datasets import digits

    x = digits.load_data()[0][0][: 32 * STEPS, ..., None] / 16
    model = {"vae": vae, "wgan_gp": wgan_gp}[arguments.child](arguments.seed)
    own = [] if arguments.folder is None else [ExactResume(arguments.folder, every_steps=1)]
    history = model.fit(x, batch_size=32, epochs=arguments.epochs, verbose=0, callbacks=[*own, announce()], seed=1)
    digest = hashlib.sha256(json.dumps(history.history).encode())
    for variable in (*model.variables, *model.optimizer.variables):
        digest.update(ops.convert_to_numpy(variable.value).tobytes())
    print("end", digest.hexdigest(), flush=True)


def start(name, seed, folder, epochs):
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.kill_and_resume", "--child", name, "--seed", str(seed)]
    command += ["--epochs", str(epochs)] + ([] if folder is None else ["--folder", str(folder)])
    # JAX's cache of compiled functions is not written whole: a kill would leave half an entry to other programs.
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1], env=environment
    )


def run(name, seed, folder, epochs, moment=None):
    """The checksum of one process; None if it was killed at `moment`: so many steps and so many seconds."""
    steps = 0
    with start(name, seed, folder, epochs) as process:
        for line in process.stdout:
            steps += line.startswith("step")
            if moment is not None and steps > moment[0]:
                time.sleep(moment[1])
                process.send_signal(signal.SIGKILL)
                break
            if line.startswith("end"):
                return line.split()[1]
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError(f"The training of {name} ended by {process.returncode}.")


def trial(name, seed, kills, epochs, generator):
    """A training killed `kills` times: inside how many writes of a checkpoint that was, and whether it ends equal."""
    expected, inside = run(name, seed, None, epochs), 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(kills):
            moment = generator.randrange(STEPS * epochs // (kills + 1)), generator.uniform(0, 0.03)
            if run(name, seed, folder, epochs, moment) is not None:
                raise RuntimeError("A training ended before it was killed: give it more epochs.")
            inside += any(Path(folder).glob(".step_*.tmp"))
        result = run(name, seed, folder, epochs)
    return {"kills": kills, "inside_a_write": inside, "equal": result == expected}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=12, help="epochs of 16 steps a training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", choices=MODELS)
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments)
    report = measure(arguments.kills, arguments.epochs, arguments.seed)
    print(json.dumps(report, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")


def measure(kills, epochs, seed):
    import keras

    generator, trials, left = random.Random(seed), {name: [] for name in MODELS}, kills
    while left > 0:
        for name in MODELS:
            trials[name].append(trial(name, seed, min(12, left), epochs, generator))
            left -= trials[name][-1]["kills"]
            print(name, trials[name][-1], flush=True)
        seed += 1
    totals = {
        name: {
            "trainings": len(done),
            "kills": sum(t["kills"] for t in done),
            "inside_a_write": sum(t["inside_a_write"] for t in done),
            "different": sum(not t["equal"] for t in done),
        }
        for name, done in trials.items()
    }
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "keras": keras.__version__}
    return {"backend": keras.config.backend(), "steps": STEPS * epochs, "models": totals, "machine": machine}


if __name__ == "__main__":
    main()
