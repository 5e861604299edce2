"""Metrics of two sets of pictures, arrays or features, from the command line.

    python -m keras_gen.metrics REAL GENERATED --extractor fid_inception:WEIGHTS.pth
    python -m keras_gen.metrics REAL GENERATED --extractor digits --metrics fid precision_recall --output figures.json
    python -m keras_gen.metrics real.npy generated.npy --features --metrics fid kid

Each set is a folder of pictures (with its subfolders, in sorted order), or a file `.npy` or `.npz` of images
`(n, height, width, channels)`; with `--features`, of features `(n, d)`. A `.npz` holds one array, or with `--features`
arrays of the names `features` and `logits`; the inception score needs the latter. Sets are read batch by batch, and
never held whole.

Pictures are read as RGB, or in grey for an extractor that takes one channel; grey arrays are repeated to three channels
where it takes three. Pictures of several sizes are refused, for resizing decides figures: `--size` brings them to one
(cut in the middle, Lanczos), and the report says so.
"""

import argparse
import contextlib
import json
import platform
import sys
import warnings
from pathlib import Path

import keras
import numpy as np

import keras_gen
from keras_gen import metrics
from keras_gen.datasets.folder import SUFFIXES
from keras_gen.datasets.pictures import read_picture
from keras_gen.metrics import extractors
from keras_gen.metrics.array_files import ArrayFile
from keras_gen.metrics.feeding import feed, figures
from keras_gen.metrics.sets import COMPARABLE

METRICS = {
    "fid": metrics.FrechetInceptionDistance,
    "kid": metrics.KernelInceptionDistance,
    "inception_score": metrics.InceptionScore,
    "precision_recall": metrics.PrecisionRecall,
    "density_coverage": metrics.DensityCoverage,
    "energy_distance": metrics.EnergyDistance,
}
EXTRACTORS = "fid_inception:PATH, inception_v3, inception_v3:PATH, digits, mnist, fashion_mnist or PATH.keras"
RESIZE = {
    extractors.FIDInception: "to 299 x 299, bilinear as TensorFlow 1, not antialiased",
    extractors.KerasInceptionV3: "to 299 x 299, bilinear, antialiased",
    extractors.KerasExtractor: "to the model's input where it has a size, bilinear, antialiased",
}
SUBSET_SIZE = 1000  # of KID (Binkowski et al. 2018)


class Pictures:
    """The pictures below a folder, of one size."""

    def __init__(self, folder, size, channels):
        self.files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        self.size, self.mode = size and (size, size), "L" if channels == (1,) else "RGB"
        if not self.files:
            raise ValueError(f"Expected pictures ({', '.join(SUFFIXES)}) in {folder}. Received none.")

    def __len__(self):
        return len(self.files)

    def batches(self, size):
        first = read_picture(self.files[0], self.size, self.mode).shape
        for i in range(0, len(self), size):
            yield np.stack([self._read(file, first) for file in self.files[i : i + size]]), None

    def _read(self, file, first):
        picture = read_picture(file, self.size, self.mode)
        if picture.shape != first:
            raise ValueError(
                f"Expected pictures of one size. Received {first[0]} x {first[1]} in {self.files[0]} and "
                f"{picture.shape[0]} x {picture.shape[1]} in {file}. Bring them to one by `--size`."
            )
        return picture


def open_set(path, options, extractor):
    """The set at a path: what has a length and gives `batches(size)`."""
    channels = getattr(extractor, "channels", None)
    if path.is_dir() and not options.features:
        return Pictures(path, options.size, channels)
    if path.is_file() and path.suffix in (".npy", ".npz"):
        return ArrayFile(path, options.features, repeat_grey=channels == (3,))
    wanted = "a file .npy or .npz of features" if options.features else "a folder of pictures, or a file .npy or .npz"
    raise ValueError(f"Expected {wanted}. Received: {path}" + ("." if path.exists() else ", which does not exist."))


def make_extractor(text, data_range, batch_size):
    """The extractor that `--extractor` names; a model of one's own sees values 0..255, resized to its own input.

    Without a range it takes its own, that of the arrays of `keras_gen.datasets` (0..16 for "digits").
    """
    name, _, file = (text or "").partition(":")
    settings = {"batch_size": batch_size} | ({} if data_range is None else {"data_range": data_range})
    if name == "fid_inception" and file:
        return extractors.FIDInception(file, **settings)
    if name == "inception_v3":
        return extractors.KerasInceptionV3(file or "imagenet", **settings)
    if text in ("digits", "mnist", "fashion_mnist"):
        return extractors.SmallClassifier(text, **settings)
    if text and text.endswith(".keras"):
        model = keras.saving.load_model(text)
        size = tuple(model.inputs[0].shape[1:3])
        return extractors.KerasExtractor(model, size=None if None in size else size, name=Path(text).name, **settings)
    raise ValueError(f"Expected `--extractor` as {EXTRACTORS}. Received: {text!r}.")


def make_metrics(names, extractor, smaller):
    """The metrics; KID's subsets are no larger than the smaller set."""
    if smaller < 2:
        raise ValueError("Expected at least two examples in each set. Received a set of one.")
    settings = {"kid": {"subset_size": min(SUBSET_SIZE, smaller)}}
    return [METRICS[name](extractor=extractor, **settings.get(name, {})) for name in names]


def report(options):
    """The figures of the two sets and the protocol they are of, as a dict.

    Args:
        options: what the command line says; see `parser`.

    Raises:
        ValueError: sets, pictures or arrays that cannot be used, with the file's name.
    """
    extractor = None
    folders = [path for path in (options.real, options.generated) if path.is_dir()]
    if options.size and not folders:
        raise ValueError("Expected a folder of pictures for `--size`. Received: arrays, which are not resized.")
    if not options.features:
        data_range = options.data_range or ((0.0, 255.0) if folders else None)  # pictures are of 8 bits
        extractor = make_extractor(options.extractor, data_range and tuple(data_range), options.batch_size)
    sets = {side: open_set(getattr(options, side), options, extractor) for side in ("real", "generated")}
    if options.features and "inception_score" in options.metrics and "logits" not in sets["generated"].names:
        raise ValueError(f"Expected an array `logits` for the inception score. Received: none in {options.generated}.")
    smaller = min(map(len, sets.values()))
    chosen = make_metrics(options.metrics, extractor, smaller)
    for side, data in sets.items():
        if not options.quiet:
            print(f"{side}: {len(data)} examples of {getattr(options, side)}", file=sys.stderr)
        size = options.batch_size
        with contextlib.redirect_stdout(sys.stderr):  # progress; the table alone goes to the output
            feed(chosen, data.batches(size), side, -(-len(data) // size), 0 if options.quiet else "auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", metrics.NotComparableWarning)  # `_notes` says it once
        found = figures(chosen)
    return {
        "figures": found,
        "real": {"path": str(options.real), "count": len(sets["real"])},
        "generated": {"path": str(options.generated), "count": len(sets["generated"])},
        "protocol": {**_protocol(extractor, options), **_settings(options.metrics, smaller)},
        "notes": _notes(extractor, smaller),
        "versions": {
            "keras_gen": keras_gen.__version__, "keras": keras.__version__, "numpy": np.__version__,
            "backend": keras.config.backend(), "python": platform.python_version(),
        },
    }  # fmt: skip


def _protocol(extractor, options):
    if extractor is None:
        return {"extractor": "none: features are given"}
    cut = f"pictures of folders to {options.size} x {options.size}, Lanczos; then " if options.size else ""
    return {
        "extractor": extractor.name + (" (published weights)" if extractor.is_reference else ""),
        "resize": cut + next((text for kind, text in RESIZE.items() if isinstance(extractor, kind)), "none"),
        "data_range": list(extractor.data_range),
    }


def _settings(names, smaller):
    rows = "a sample of 10000 rows where a set has more"
    whole = " (of a whole set: kid_std is no error of the figure)" if smaller <= SUBSET_SIZE else ""
    texts = {
        "kid": f"100 subsets of {min(SUBSET_SIZE, smaller)}{whole}, {rows}",
        "inception_score": "10 parts, mean and standard deviation",
        "precision_recall": f"k = 3, {rows}",
        "density_coverage": f"k = 5, {rows}",
        "energy_distance": f"all pairs, {rows}",
    }
    return {name: texts[name] for name in names if name in texts}


def _notes(extractor, smaller):
    """Why figures that are legal are not comparable with published ones."""
    notes = []
    if smaller < COMPARABLE:
        notes.append(f"sets of {smaller} examples; published figures are of {COMPARABLE} and more")
    if extractor is None:
        notes.append("which extractor made the features is not known here")
    elif not extractor.is_reference:
        notes.append("the extractor is not the Inception of published figures")
    return notes


def table(found):
    """The report as text."""
    lines = [("real", f"{found['real']['path']}, {found['real']['count']}")]
    lines += [("generated", f"{found['generated']['path']}, {found['generated']['count']}")]
    lines += [(name, str(value)) for name, value in found["protocol"].items()]
    lines += [("", "")] + [(name, f"{value:.6g}") for name, value in found["figures"].items()]
    width = max(len(name) for name, _ in lines) + 2
    notes = [f"not comparable: {note}" for note in found["notes"]]
    return "\n".join([*(f"{name:<{width}}{value}".rstrip() for name, value in lines), *notes])


def parser():
    made = argparse.ArgumentParser(
        prog="python -m keras_gen.metrics", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("real", type=Path, help="reference: a folder of pictures, .npy or .npz")
    made.add_argument("generated", type=Path, help="what is judged: the same")
    made.add_argument("--metrics", nargs="+", default=["fid", "kid"], choices=METRICS, help="default: fid kid")
    made.add_argument("--extractor", help=EXTRACTORS)
    made.add_argument("--features", action="store_true", help="the files hold features, not images")
    made.add_argument("--data-range", nargs=2, type=float, metavar=("LOW", "HIGH"),
                      help="of the values of images, default 0 255; for two arrays and digits 0 16")  # fmt: skip
    made.add_argument("--size", type=_positive, help="bring pictures to this side length first")
    made.add_argument("--batch-size", type=_positive, default=64, help="images at once, default 64")
    made.add_argument("--output", type=Path, metavar="FILE.json", help="write figures and protocol there")
    made.add_argument("--quiet", action="store_true", help="no progress")
    return made


def _positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, received {text!r}")
    return int(text)


def main(arguments=None):
    """Run the command; ends the process with status 1 and a message if something is wrong."""
    options = parser().parse_args(arguments)
    try:
        if options.output is not None and not options.output.parent.is_dir():
            raise ValueError(f"Expected `--output` in a folder that exists. Received: {options.output}.")
        found = report(options)
        print(table(found))
        if options.output is not None:
            options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
