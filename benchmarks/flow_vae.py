"""What a flow adds to a VAE: the bound and the likelihood of MNIST with a flow prior, a flow posterior, and both.

The model is that of `benchmarks.mnist_vae` (784-200-200-50, tanh, dynamic binarisation, test set binarised once),
trained for fewer epochs, every variant alike. The prior is a RealNVP of eight couplings; the posterior a diagonal
normal and four affine couplings that see the encoder's features. The bound is (1) of `models.vae` with ten draws, the
likelihood (4) with `--num-samples` draws of the first 2,000 test images.

    KERAS_BACKEND=jax OMP_NUM_THREADS=1 python -m benchmarks.flow_vae --output docs/benchmarks/flow_vae.json
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks.mnist_vae import build
from benchmarks.step_overhead import machine
from keras_gen import datasets, layers, models

LATENT_DIM = 50
VARIANTS = {"normal": (), "flow prior": ("prior",), "flow posterior": ("posterior",), "both": ("prior", "posterior")}


def flows(kinds):
    """Arguments of the VAE."""
    found = {}
    if "prior" in kinds:
        found["prior"] = models.RealNVP((LATENT_DIM,), 8, (100, 100), normalization=None)
    if "posterior" in kinds:
        parts = [layers.AffineCoupling((100,), flip=bool(i % 2), conditional=True) for i in range(4)]
        found["posterior"] = layers.FlowHead((LATENT_DIM,), layers.Chain(parts))
    return found


def measured(kinds, x, x_test, options):
    keras.utils.set_random_seed(options.seed)
    model = build(x.mean(axis=0), options.seed, **flows(kinds))
    steps = options.epochs * -(-len(x) // 100)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.01)))
    start = time.perf_counter(), time.process_time()
    model.fit(x, batch_size=100, epochs=options.epochs, verbose=0)
    seconds = {"wall": time.perf_counter() - start[0], "processor": time.process_time() - start[1]}
    bound = model.elbo(x_test, num_samples=10, batch_size=500, verbose=0)
    log_prob = model.log_prob(x_test[:2000], num_samples=options.num_samples, batch_size=50, verbose=0)
    return {
        "bound_nats": -float(bound.mean()),
        "nll_nats": -float(log_prob.mean()),
        "standard_error": float(log_prob.std() / len(log_prob) ** 0.5),
        "parameters": int(model.count_params()),
        "seconds": seconds,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--num-samples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    (x, _), (x_test, _) = datasets.mnist.load_data()
    x, x_test = (a.reshape(-1, 784).astype("float32") / 255 for a in (x, x_test))
    x_test = (np.random.default_rng(options.seed).random(x_test.shape) < x_test).astype("float32")
    settings = {k: v for k, v in vars(options).items() if k != "output"}
    result = {"what": __doc__.splitlines()[0], "machine": machine(), "settings": settings, "variants": {}}
    for name in options.variants:
        result["variants"][name] = measured(VARIANTS[name], x, x_test, options)
        print(name, result["variants"][name], flush=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
