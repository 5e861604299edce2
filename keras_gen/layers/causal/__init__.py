"""Causal maps of sequences, computed in parallel or one step at a time."""
