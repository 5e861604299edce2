"""What RDKit says of strings: whether they are molecules, the one string of each, pictures of them.

Of n strings, with V those that are molecules, C the distinct canonical strings of these, and A the canonical strings of
the molecules that were learned from,

    validity = |V| / n,        uniqueness = |C| / |V|,        novelty = |C without A| / |C|.

Reference:
    M. Segler et al., "Generating focused molecule libraries for drug discovery with recurrent neural networks",
    arXiv:1701.01329 (2018); D. Polykovskiy et al., "Molecular Sets (MOSES)", arXiv:1811.12823 (2020), section 3.
"""

from applications.files import Failure, whole

SIDE = 150


def rdkit():
    """The module `rdkit.Chem`, silent.

    Raises:
        Failure: RDKit is not installed.
    """
    try:
        from rdkit import Chem, RDLogger
    except ImportError as error:
        raise Failure(
            "RDKit is needed to judge and to draw molecules: pip install 'keras_gen[molecules]', or pip install rdkit; "
            "or give --no-rdkit to write the strings alone"
        ) from error
    RDLogger.DisableLog("rdApp.*")
    return Chem


def canonical(smiles):
    """The canonical SMILES of a string; None if it is no molecule, or has no atom."""
    molecule = rdkit().MolFromSmiles(smiles)
    return rdkit().MolToSmiles(molecule) if molecule is not None and molecule.GetNumAtoms() else None


def figures(smiles, learned):
    """Validity, uniqueness and novelty.

    Args:
        smiles: list of strings.
        learned: set of canonical strings.

    Returns:
        Dict of the three (None where there is nothing to divide by) and of the counts; the distinct canonical strings,
        in the order in which they came.
    """
    valid = [c for c in map(canonical, smiles) if c is not None]
    distinct = list(dict.fromkeys(valid))
    new = [c for c in distinct if c not in learned]
    found = {
        "validity": len(valid) / len(smiles),
        "uniqueness": len(distinct) / len(valid) if valid else None,
        "novelty": len(new) / len(distinct) if distinct else None,
    }
    return {**found, "written": len(smiles), "valid": len(valid), "distinct": len(distinct), "new": len(new)}, distinct


def grid(smiles, file, columns=8):
    """A picture of molecules as PNG.

    Args:
        smiles: list of strings that are molecules.
        file: path.
        columns: of the grid.
    """
    chem = rdkit()
    from rdkit.Chem import Draw

    options = Draw.rdMolDraw2D.MolDrawOptions()
    options.minFontSize = 9
    image = Draw.MolsToGridImage(
        [chem.MolFromSmiles(s) for s in smiles], molsPerRow=columns, subImgSize=(SIDE, SIDE), drawOptions=options
    )
    with whole(file) as temporary:
        image.convert("P", colors=64).save(temporary, format="PNG", optimize=True)
