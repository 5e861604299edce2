"""Sets of molecules: by name, or files of a molecule a line, `SMILES [name ...]`, also gzipped."""

import gzip
from pathlib import Path

import numpy as np

from applications.files import Failure, counted, one_line
from keras_gen.datasets import molecules, smiles_tokens

NAMES = ("small", "qm9", "zinc250k")
LEAST = 20


def load(data, seed):
    """The molecules to learn from and those that are held out, about a tenth.

    Raises:
        Failure: no such file, or no molecules in it.
    """
    if data == "small":
        return molecules.load_small()
    if data in NAMES:
        return molecules.load_data(data)
    lines = list(dict.fromkeys(read(data)))
    if len(lines) < LEAST:
        raise Failure(f"{data}: {counted(len(lines), 'different molecule')}; at least {LEAST} are needed")
    order = np.random.default_rng(seed).permutation(len(lines))
    held_out = set(order[: max(2, len(lines) // 10)].tolist())
    return [s for i, s in enumerate(lines) if i not in held_out], [s for i, s in enumerate(lines) if i in held_out]


def read(file):
    """The first word of each line that is not empty.

    Raises:
        Failure: it cannot be read, or holds what is no SMILES; the line is named.
    """
    file = Path(file).expanduser()
    try:
        content = file.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        lines = content.decode("utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise Failure(f"{file}: no such file; expected SMILES, a molecule a line, or {', '.join(NAMES)}") from error
    except (OSError, EOFError, ValueError) as error:
        raise Failure(f"{file}: cannot be read: {one_line(error, 200)}") from error
    found = [(i, line.split()[0]) for i, line in enumerate(lines, 1) if line.strip()]
    for i, smiles in found:
        try:
            smiles_tokens(smiles)
        except ValueError as error:
            raise Failure(f"{file}, line {i}: {one_line(error, 300)}") from error
    return [smiles for _, smiles in found]
