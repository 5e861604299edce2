"""SMILES, molecules written as lines, cut into tokens: an atom, a bond, a branch or a ring's number each.

Cut into characters, "Cl" would be a carbon and a letter, and "[C@@H]" six things of which one is an atom. Here what is
in brackets is one token, and so are the elements of two letters and rings of two digits, "%12".
"""

import re

PATTERN = re.compile(
    r"\[[^\]]+\]|Br|Cl|%[0-9]{2}|[BCNOSPFI]|[bcnosp]|[().=#:~@?>*$+\-\\/]|[0-9]"
)


def smiles_tokens(smiles):
    """The tokens of a SMILES string; joined they are the string.

    Args:
        smiles: a string.

    Returns:
        List of strings.

    Raises:
        ValueError: it is no string, or something in it is no token; the position is named.

    Example:
        >>> from keras_gen.datasets import smiles_tokens
        >>> smiles_tokens("C[C@@H](Cl)c1cc%12Br")
        ['C', '[C@@H]', '(', 'Cl', ')', 'c', '1', 'c', 'c', '%12', 'Br']

    Reference:
        Schwaller et al. 2018, arXiv:1711.04810, section 3.1 (the regular expression).
    """
    if not isinstance(smiles, str):
        raise ValueError(f"Expected a SMILES string. Received: {type(smiles).__name__}.")
    tokens, position = [], 0
    while position < len(smiles):
        match = PATTERN.match(smiles, position)
        if match is None:
            raise ValueError(
                f"Expected SMILES. Received: {smiles[position]!r} at position {position} of {smiles!r}, where no atom, "
                "bond, branch or ring begins."
            )
        tokens.append(match.group())
        position = match.end()
    return tokens
