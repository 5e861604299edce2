"""Densities of tables by normalizing flows: `python -m applications.density_estimation train|score|sample --help`."""
