"""Small molecules as SMILES: QM9 and ZINC from local files, and 598 that rules write.

**The split** is a function of the molecule's string s alone, whatever its place in a file and whatever else is in it:

    s is for tests where the first 4 bytes of SHA-256(s), as an integer, are a multiple of 10,

about one in ten. So a string that a file repeats lies in one part (263 lines of QM9 repeat earlier ones).

**The rules.** A molecule is a skeleton with two ends, or with one or two places, and a group at each. Skeletons: chains
of 1 to 4 carbons and isobutane with two ends, cyclopropane to cyclohexane with one place, benzene with one and with two
opposite ones. Groups: none (hydrogen), hydroxyl, amine, fluorine, chlorine, bromine, thiol, methoxy, nitrile, aldehyde,
acid, amide, vinyl. As the ends are alike, each pair of groups is written once.
"""

import gzip
import hashlib
import itertools

from keras_gen.datasets.local import VARIABLE, find

__all__ = ["load_data", "load_small"]

FILES = {"qm9": "qm9.smi.gz", "zinc250k": "zinc250k.smi.gz"}
SHA256 = {  # of the unpacked lines
    "qm9": "99be26e042e6e5ab2efebd087f1f6eb52370cd85e262730de5cdab0867e318c7",
    "zinc250k": "b2a780b520e9188fdbc3dd1affe785f0f21151ac7e9fa8889e33832067763a9b",
}
SOURCES = {
    "qm9": "github.com/THUNLP-MT/PS-VAE, data/qm9/all.txt",
    "zinc250k": "github.com/wenhao-gao/mol_opt, data/zinc.txt.gz",
}
# A group as written before and after its skeleton.
GROUPS = (
    ("", ""), ("O", "O"), ("N", "N"), ("F", "F"), ("Cl", "Cl"), ("Br", "Br"), ("S", "S"), ("CO", "OC"),
    ("N#C", "C#N"), ("O=C", "C=O"), ("OC(=O)", "C(=O)O"), ("NC(=O)", "C(=O)N"), ("C=C", "C=C"),
)  # fmt: skip
CHAINS = ("C", "CC", "CCC", "CCCC", "CC(C)C")
RINGS = ("C1CC1", "C1CCC1", "C1CCCC1", "C1CCCCC1", "c1ccccc1")


def load_data(name="qm9", path=None):
    """Load the SMILES of QM9 or of ZINC 250k, split in two.

    Args:
        name: "qm9" (default), 133,015 molecules of up to nine heavy atoms, or "zinc250k", 249,455 that are like drugs.
        path: the file `qm9.smi.gz` or `zinc250k.smi.gz`, gzipped text with a molecule a line, or a folder that holds
            it. Default `None`: the folder named by `KERAS_GEN_DATA`. There is no download.

    Returns:
        `train, test`: lists of strings, about nine tenths and one tenth, in the order of the file.

    Raises:
        FileNotFoundError: if the file is not found; it says where the molecules come from.
        ValueError: if `name` is another one, or the file is damaged or another one, by its SHA-256.

    Reference:
        Ramakrishnan et al. (2014), Scientific Data 1, 140022 (QM9); Gomez-Bombarelli et al. (2018), arXiv:1610.02415
        (the 250,000 of ZINC).
    """
    if name not in FILES:
        raise ValueError(f"Expected `name` as one of {sorted(FILES)}. Received: name={name!r}.")
    files = find([(FILES[name],)], path)
    if files is None:
        raise FileNotFoundError(
            f"{FILES[name]} has no download. Write the molecules of {SOURCES[name]}, one a line, gzipped, into a "
            f"folder, and pass `path=` that folder or set the environment variable {VARIABLE} to it. `load_small` "
            "needs no file."
        )
    return _split(_read(files[0], name))


def load_small():
    """Write the 598 molecules of the rules, split in two.

    Returns:
        `train, test`: lists of 556 and 42 strings of 1 to 22 characters, no molecule twice.

    Example:
        >>> from keras_gen.datasets import molecules
        >>> train, test = molecules.load_small()
        >>> len(train) + len(test), train[:6]
        (598, ['C', 'CO', 'CF', 'CCl', 'CBr', 'CS'])

    Reference:
        Weininger (1988), Journal of Chemical Information and Computer Sciences 28, 31 (the language).
    """
    return _split(_written())


def _written():
    pairs = list(itertools.combinations_with_replacement(GROUPS, 2))
    chains = [left[0] + chain + right[1] for chain in CHAINS for left, right in pairs]
    rings = [group[0] + ring for ring in RINGS for group in GROUPS]
    opposite = [left[0] + f"c1ccc({right[1]})cc1" for left, right in pairs if left[0] and right[0]]
    return chains + rings + opposite


def _split(smiles):
    test = [int.from_bytes(hashlib.sha256(s.encode()).digest()[:4], "big") % 10 == 0 for s in smiles]
    return [s for s, t in zip(smiles, test, strict=True) if not t], [s for s, t in zip(smiles, test, strict=True) if t]


def _read(file, name):
    try:
        with gzip.open(file, "rt", encoding="ascii") as stream:
            smiles = stream.read().split()
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"Expected a gzip file of SMILES. Received: {file}, which is damaged: {error}") from error
    if hashlib.sha256("\n".join(smiles).encode()).hexdigest() != SHA256[name]:
        raise ValueError(
            f"Expected the molecules of {SOURCES[name]}, in their order. Received: {file}, of {len(smiles)} lines, "
            "which are other ones."
        )
    return smiles
