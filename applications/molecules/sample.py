"""Write new molecules, judge them by RDKit, and draw some."""

from pathlib import Path

from applications import sequences
from applications.files import Failure, writable
from applications.molecules import chemistry, sets
from applications.molecules.lines import say
from applications.molecules.train import END

CANONICAL = "learned_canonical.smi"


def sample(options):
    """Run the command; returns the exit code."""
    options.output = options.output.expanduser()
    if options.output.is_dir():
        raise Failure(f"{options.output}: cannot be written: it is a folder; expected the name of a .smi file")
    if not options.no_rdkit:
        chemistry.rdkit()
    model, vocabulary = sequences.load(options.model)
    if model.stop_token is None or END not in vocabulary:
        raise Failure(f"{options.model}: expected a model of molecules, whose sequences end")
    writable(options.output.parent)
    top_k = None if options.top_k is None else min(options.top_k, len(vocabulary))
    draw = {"temperature": options.temperature, "top_k": top_k, "top_p": options.top_p}
    rows = model.sample(options.n, seed=options.seed, **draw)
    smiles = vocabulary.decode(rows, end=END)
    sequences.write(options.output, "\n".join(smiles) + "\n")
    say(f"{len(smiles):,} strings in {options.output}")
    if not options.no_rdkit:
        judge(smiles, options)
    return 0


def judge(smiles, options):
    """Print the figures, and draw the first molecules that differ."""
    found, distinct = chemistry.figures(smiles, learned(options.model))
    print(f"of {found['written']:,} strings {found['valid']:,} are molecules, {found['distinct']:,} different", end="")
    print(f" ones, {found['new']:,} of these new")
    shown = {name: found[name] for name in ("validity", "uniqueness", "novelty")}
    print("  ".join(f"{name} {'-' if v is None else f'{v:.3f}'}" for name, v in shown.items()))
    if distinct and options.drawn:
        picture = options.output.with_suffix(".png")
        chemistry.grid(distinct[: options.drawn], picture)
        say(f"the first {min(len(distinct), options.drawn)} in {picture}")


def learned(folder):
    """The canonical strings of what the model has learned from; they are kept in its folder, for they take a while."""
    folder = Path(folder).expanduser()
    folder = folder.parent if folder.name == "model.keras" else folder
    if not (folder / "learned.smi").is_file():
        raise Failure(f"{folder}: no learned.smi in it; expected the output folder of a training")
    kept = folder / CANONICAL
    if kept.is_file() and kept.stat().st_mtime >= (folder / "learned.smi").stat().st_mtime:
        return set(kept.read_text(encoding="utf-8").split())
    say("the molecules that were learned from are brought to their canonical form, once")
    found = {c for c in map(chemistry.canonical, sets.read(folder / "learned.smi")) if c is not None}
    try:
        sequences.write(kept, "\n".join(sorted(found)) + "\n")
    except Failure as failure:
        say(str(failure))
    return found
