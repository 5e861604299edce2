"""Kill a training by SIGKILL at random moments, start it again, and compare what it ends with.

    KERAS_BACKEND=jax python -m benchmarks.kill_and_resume --kills 50 --output docs/benchmarks/kill_and_resume-jax.json

A child process trains a VAE, then another one a WGAN-GP with two optimizers, with `ExactResume(every_steps=1)`: a
checkpoint is being written for a large part of the time. This process kills it a random time after its first step and
starts the same command again, until it ends by itself; then the final weights, optimizers, seeds and history (their
SHA-256) are compared with those of a training that nobody killed. It goes on with new trainings, of other seeds, until
there were enough kills.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS = ("vae", "wgan_gp")


def vae(seed):
    import keras

    from keras_gen.models import VAE

    keras.utils.set_random_seed(seed)
    model = VAE((8, 8, 1), latent_dim=2, seed=seed)
    model.compile(keras.optimizers.Adam(1e-3, use_ema=True), metrics=["mean_squared_error"])
    return model


def wgan_gp(seed):
    import keras

    from tests.wgan_gp import WGANGP

    model = WGANGP((8, 8, 1), units=256, critic_steps=2, seed=seed)
    model.compile({p: keras.optimizers.Adam(1e-4, beta_1=0.5) for p in ("critic", "generator")})
    return model


class _Announce(__import__("keras").callbacks.Callback):
    """Says that the first step is done."""

    def get_state(self):
        return {}

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1:
            print("training", flush=True)


def child(arguments):
    """Train to the end and write the checksum of all that is left."""
    from keras import ops

    from keras_gen import datasets
    from keras_gen.callbacks import ExactResume

    x = datasets.load_digits()[0][0][:512]
    model = {"vae": vae, "wgan_gp": wgan_gp}[arguments.child](arguments.seed)
    own = [] if arguments.folder is None else [ExactResume(arguments.folder, every_steps=1)]
    history = model.fit(x, batch_size=32, epochs=arguments.epochs, verbose=0, callbacks=[*own, _Announce()], seed=1)
    digest = hashlib.sha256(json.dumps(history.history).encode())
    for variable in (*model.variables, *model.optimizer.variables):
        digest.update(ops.convert_to_numpy(variable.value).tobytes())
    print("end", digest.hexdigest(), flush=True)


def start(name, seed, folder, epochs):
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.kill_and_resume", "--child", name, "--seed", str(seed)]
    command += ["--epochs", str(epochs)] + ([] if folder is None else ["--folder", str(folder)])
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])


def run(name, seed, folder, epochs, delay):
    """One process: killed `delay` seconds after its first step, unless it ends before. `(checksum or None, seconds)`."""
    process, began = start(name, seed, folder, epochs), None
    try:
        for line in process.stdout:
            if line.startswith("training"):
                began = time.perf_counter()
                if delay is not None:
                    time.sleep(delay)
                    process.send_signal(signal.SIGKILL)
            if line.startswith("end"):
                return line.split()[1], time.perf_counter() - (began or time.perf_counter())
        if process.wait() != -signal.SIGKILL:
            raise RuntimeError(f"The training of {name} ended by {process.returncode}.")
        return None, delay
    finally:
        process.kill()
        process.wait()


def trial(name, seed, kills, epochs, generator):
    """A training killed up to `kills` times: how many there were, inside of how many writes, and whether it is equal."""
    expected, _ = run(name, seed, None, epochs, None)
    reference_folder, folder = tempfile.mkdtemp(), tempfile.mkdtemp()
    length = run(name, seed, reference_folder, epochs, None)[1] if kills > 3 else 1.0
    done = inside = 0
    result = None
    while result is None:
        delay = generator.uniform(0, length / 2) if done < kills else None
        result, _ = run(name, seed, folder, epochs, delay)
        if result is None:
            done += 1
            inside += any(Path(folder).glob(".step_*.tmp"))
    shutil.rmtree(reference_folder)
    shutil.rmtree(folder)
    return {"kills": done, "inside_a_write": inside, "equal": result == expected}


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
            trials[name].append(trial(name, seed, min(4, left), epochs, generator))
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
    return {"backend": keras.config.backend(), "steps": 16 * epochs, "models": totals, "machine": machine}


if __name__ == "__main__":
    main()
