"""Normalizing flows: exact likelihood, exact inverse."""
