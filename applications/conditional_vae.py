"""A conditional VAE on real images: train, sample one class a row, and look at the latent plane.

Three models learn the same images through `model.fit`: the conditional VAE p(x given y), and, to compare their latent
planes, a plain autoencoder and a VAE with two latent dimensions. Pictures, figures and the model go to `--output`.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from keras_gen import callbacks, datasets, layers, models, plots

LIKELIHOODS = ("discretized_logistic", "bernoulli", "normal", "laplace")


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m applications.conditional_vae",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dataset",
        default="digits",
        help="digits (embedded), mnist, fashion_mnist, or a folder of images, one subfolder a class",
    )
    parser.add_argument("--epochs", type=int, default=60, help="epochs of each model (default %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="default %(default)s")
    parser.add_argument("--latent-dim", type=int, default=8, help="latent size (default %(default)s)")
    parser.add_argument(
        "--likelihood",
        default="discretized_logistic",
        choices=LIKELIHOODS,
        help="p(x given z, y) (default %(default)s)",
    )
    parser.add_argument("--image-size", type=int, default=32, help="side of a folder's images (default %(default)s)")
    parser.add_argument("--num-samples", type=int, default=256, help="of the log-likelihood (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/conditional_vae"), help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    options = parser.parse_args(arguments)
    for name in ("epochs", "batch_size", "latent_dim", "image_size", "num_samples"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, not {getattr(options, name)}")
    return options


def load(options):
    """`(x_train, y_train), (x_test, y_test)`, levels, class names; images `(n, h, w, c)` in [0, 1]."""
    names = None
    if options.dataset in ("digits", "mnist", "fashion_mnist"):
        train, test = getattr(datasets, options.dataset).load_data()
    elif Path(options.dataset).is_dir():
        size = (options.image_size, options.image_size)
        x, y, names = datasets.image_folder(options.dataset, size=size)
        train, test = hold_out(x, y, options.seed)
    else:
        raise SystemExit(f"--dataset: expected digits, mnist, fashion_mnist or a folder, not {options.dataset!r}")
    levels = 17 if options.dataset == "digits" else 256
    (x_train, y_train), (x_test, y_test) = ((images(x, levels), y) for x, y in (train, test))
    names = names or [str(label) for label in np.unique(y_train)]
    return (x_train, y_train), (x_test, y_test), levels, names


def images(x, levels):
    """Integer images as floats in [0, 1], with a channel axis."""
    x = x.astype("float32") / (levels - 1)
    return x[..., None] if x.ndim == 3 else x


def hold_out(x, y, seed, part=5):
    """A fifth of the images, drawn by `seed`, is held out."""
    order = np.random.default_rng(seed).permutation(len(x))
    test = np.sort(order[: max(1, len(x) // part)])
    train = np.sort(order[max(1, len(x) // part) :])
    return (x[train], y[train]), (x[test], y[test])


def likelihood(name, event_shape, levels):
    """The distribution head of p(x given z), on the grid of the data's levels where it is discrete."""
    options = {"low": 0.0, "high": 1.0, "bins": levels} if name == "discretized_logistic" else {}
    return layers.get_head(name, event_shape, **options)


def train(model, data, validation, options, extra=()):
    """Fit with Adam and a rate that falls to a tenth; returns the history."""
    steps = options.epochs * -(-len(data[0]) // options.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.1)
    model.compile(keras.optimizers.Adam(rate))
    print(f"\n{type(model).__name__} ({model.count_params():,} weights, {keras.config.backend()})", flush=True)
    return model.fit(
        *data, validation_data=validation, epochs=options.epochs, batch_size=options.batch_size, callbacks=list(extra)
    )


def build(options, event_shape, levels, classes):
    """The conditional VAE, whose KL is annealed from beta = 0, and the two models of the latent plane."""

    def head():
        return likelihood(options.likelihood, event_shape, levels)

    main = models.ConditionalVAE(
        event_shape, options.latent_dim, num_classes=classes, likelihood=head(), beta=0.0, seed=options.seed
    )
    return main, models.Autoencoder(event_shape, 2), models.VAE(event_shape, 2, likelihood=head(), seed=options.seed)


def draw_samples(model, names, options, columns=12):
    labels = np.repeat(np.arange(len(names)), columns)
    samples = model.sample(len(labels), labels, seed=options.seed)
    plots.image_grid(
        samples, options.output / "samples.png", columns=columns, row_labels=names, title="Samples, one class a row"
    )


def draw_reconstructions(model, x, y, options, n=12):
    n = min(n, len(x))
    pairs = np.concatenate([x[:n], model.reconstruct(x[:n], y[:n])])
    path = options.output / "reconstructions.png"
    plots.image_grid(pairs, path, columns=n, row_labels=["held out", "reconstructed"], title="Reconstructions")


def draw_planes(autoencoder, vae, x, y, names, options):
    codes = {"Autoencoder": autoencoder.encode(x), "VAE": vae.encode(x)}
    plots.latent_scatter(codes, y, options.output / "latent_scatter.png", class_names=names)
    extent = {name: tuple(np.percentile(z, (2, 98))) for name, z in codes.items()}
    decoders = {"Autoencoder": autoencoder.decode, "VAE": vae.decode}
    plots.decoded_plane(decoders, options.output / "latent_planes.png", extent=extent)


def main(arguments=None):
    options = parse(arguments)
    keras.utils.set_random_seed(options.seed)
    (x, y), (x_test, y_test), levels, names = load(options)
    options.output.mkdir(parents=True, exist_ok=True)
    model, autoencoder, vae = build(options, x.shape[1:], levels, len(names))
    start = time.perf_counter()
    labels = np.repeat(np.arange(len(names)), 8)
    progress = callbacks.SampleGrid(
        options.output / "progress",
        n=len(labels),
        columns=8,
        condition=labels,
        every=max(1, options.epochs // 6),
        seed=options.seed,
    )
    warm_up = callbacks.Anneal("beta", (0.0, 1.0), over=max(1, options.epochs // 3), log=False)
    history = train(model, (x, y), (x_test, y_test), options, [warm_up, progress])
    train(autoencoder, (x,), (x_test,), options)
    train(vae, (x,), (x_test,), options)
    seconds = time.perf_counter() - start
    model.save(options.output / "model.keras")
    draw_samples(model, names, options)
    draw_reconstructions(model, x_test, y_test, options)
    draw_planes(autoencoder, vae, x_test, y_test, names, options)
    plots.history(history.history, options.output / "history.png")
    report(model, x_test[:1000], y_test[:1000], seconds, options)


def report(model, x, y, seconds, options):
    """Held-out figures to `metrics.json` and to the terminal."""
    elbo = float(model.elbo(x, y, num_samples=16).mean())
    log_prob = float(model.log_prob(x, y, num_samples=options.num_samples).mean())
    figures = {
        "backend": keras.config.backend(),
        "dataset": options.dataset,
        "held_out_examples": len(x),
        "held_out_elbo_nats": elbo,
        "held_out_log_likelihood_nats": log_prob,
        "importance_samples": options.num_samples,
        "bits_per_dim": -log_prob / (np.prod(x.shape[1:]) * np.log(2.0)),
        "training_seconds": seconds,
        "epochs": options.epochs,
        "likelihood": options.likelihood,
        "latent_dim": options.latent_dim,
        "seed": options.seed,
    }
    (options.output / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nHeld out ({len(x)} images): ELBO {elbo:.2f} nats, log-likelihood {log_prob:.2f} nats", end=" ")
    print(f"({options.num_samples} importance samples), {figures['bits_per_dim']:.3f} bits/dim.")
    print(f"Trained in {seconds:.0f} s. Written to {options.output.resolve()}:")
    for path in sorted(options.output.iterdir()):
        print(f"  {path.name}{'/' if path.is_dir() else ''}")


if __name__ == "__main__":
    main()
