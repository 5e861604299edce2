"""Molecules like those of QM9: validity, uniqueness and novelty of 1000 samples of a GRU, by RDKit.

The training is that of the application, and goes on where it was interrupted:

    python -m applications.molecules train qm9 -o FOLDER --steps 3000 --every 500 --batch-size 128 --rate 2e-3

    KERAS_BACKEND=jax KERAS_GEN_DATA=FOLDER python -m benchmarks.molecules_qm9 --folder runs/qm9 \\
        --output docs/benchmarks/molecules_qm9.json --picture docs/images/molecules_qm9.png
"""

import argparse
import json
from pathlib import Path

from applications import sequences
from applications.molecules import chemistry
from applications.molecules.__main__ import main as program
from applications.molecules.sample import learned
from applications.molecules.train import END
from benchmarks.step_overhead import machine

SETTINGS = ["--steps", "3000", "--every", "500", "--batch-size", "128", "--rate", "2e-3"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/qm9"))
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.7])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    if program(["train", "qm9", "-o", str(options.folder), *SETTINGS]):
        raise SystemExit(1)
    model, vocabulary = sequences.load(options.folder)
    known, found = learned(options.folder), {}
    for temperature in options.temperatures:
        smiles = vocabulary.decode(model.sample(options.n, seed=0, temperature=temperature, verbose=0), end=END)
        found[temperature], distinct = chemistry.figures(smiles, known)
        print(temperature, found[temperature], flush=True)
        if options.picture is not None and temperature == options.temperatures[0]:
            chemistry.grid(distinct[:32], options.picture)
    training = json.loads((options.folder / "metrics.json").read_text())
    result = {"what": __doc__.splitlines()[0], "machine": machine(), "training": training, "by_temperature": found}
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
