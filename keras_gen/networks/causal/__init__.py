"""Whole causal networks, by one contract: see `layers.causal`."""
