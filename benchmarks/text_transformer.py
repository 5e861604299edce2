"""Tiny Shakespeare by `CausalTransformer`, beside nanoGPT's small setting written in plain torch.

4 blocks, 4 heads, 128 channels, windows of 64 characters, 12 a batch, 2000 steps; AdamW with betas (0.9, 0.99) and
weight decay 0.1 of matrices, rate 1e-3 to 1e-4 along a cosine after 100 steps of warm-up, gradients clipped to norm 1;
no dropout. Both sides see the same windows in the same order. What counts is the mean of the nats a character over the
last tenth of the text, in windows of 65 characters of which the first is given. The other side, `text_torch`, runs in
a process of its own, after, or is read from what it has printed (`--torch FILE`). Processor time is that of one
thread: `milliseconds_a_step` without compilation, of 40 further steps here.

    KERAS_BACKEND=jax OMP_NUM_THREADS=1 KERAS_GEN_DATA=FOLDER \\
        python -m benchmarks.text_transformer --output text_transformer-jax.json
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import keras

from benchmarks.step_overhead import machine
from benchmarks.text_data import BATCH, BLOCK, STEPS, WARM_UP, drawn, held_out, texts
from keras_gen.models import CausalTransformer

PUBLISHED = 1.88
VARIANTS = {"rotary": {"positions": "rotary"}, "learned": {"positions": "learned"}}


def compiled(classes, steps, seed, own):
    keras.utils.set_random_seed(seed)
    model = CausalTransformer((BLOCK + 1,), classes, **own)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - WARM_UP), alpha=0.1, warmup_target=1e-3, warmup_steps=WARM_UP
    )
    # The loss is that of a window, BLOCK + 1 characters: the norm of 1 is that of their mean.
    adam = keras.optimizers.AdamW(rate, 0.1, 0.9, 0.99, epsilon=1e-8, global_clipnorm=BLOCK + 1.0)
    adam.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "start"])
    model.compile(adam)
    return model


def trained(windows, classes, seed, own):
    """A model after a step a batch of `windows`, and the (wall, processor) seconds, compilation included."""
    model = compiled(classes, len(windows) // BATCH, seed, own)
    begun = time.perf_counter(), time.process_time()
    model.fit(windows, batch_size=BATCH, shuffle=False, verbose=0)
    return model, (time.perf_counter() - begun[0], time.process_time() - begun[1])


def measured(name, options, data):
    """The figures of a variant."""
    vocabulary, train, test = data
    model, seconds = trained(drawn(train, options.steps, options.seed), len(vocabulary), options.seed, VARIANTS[name])
    log_p = model.log_prob(held_out(test), context=1, verbose=0)
    found = {"nats": -float(log_p.mean()) / BLOCK, "weights": int(model.count_params())}
    if options.save is not None:
        options.save.mkdir(parents=True, exist_ok=True)
        model.save(options.save / "model.keras")
        (options.save / "vocabulary.json").write_text(vocabulary.to_json() + "\n")
    found = {**found, "wall_seconds": seconds[0], "processor_seconds": seconds[1]}
    begun, more = time.process_time(), drawn(train, 40, options.seed + 1)
    model.fit(more, batch_size=BATCH, shuffle=False, verbose=0)
    return {**found, "milliseconds_a_step": 25.0 * (time.process_time() - begun)}


def peer(options):
    """The figures of torch."""
    own = ["--seed", str(options.seed), "--steps", str(options.steps)]
    command = [sys.executable, "-m", "benchmarks.text_torch", *own]
    run = lambda: subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: E731
    found = json.loads(run() if options.torch is None else options.torch.read_text())
    return {**found, "milliseconds_a_step": 1e3 * found["processor_seconds"] / found["steps"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--torch", type=Path, help="what `text_torch` printed")
    parser.add_argument("--save", type=Path, help="folder for the last model, for `applications.text sample`")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    data, found = texts(), {}
    for name in options.variants:
        found[name] = measured(name, options, data)
        print(name, found[name], flush=True)
    found["torch"] = peer(options)
    result = {"what": __doc__.splitlines()[0], "published_nats": PUBLISHED, "machine": machine()}
    settings = {k: v for k, v in vars(options).items() if k not in ("output", "torch", "save")}
    options.output.write_text(json.dumps({**result, "settings": settings, "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
