"""Small molecules as SMILES: `python -m applications.molecules --help`."""
