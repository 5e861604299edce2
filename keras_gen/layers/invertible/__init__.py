"""Bijections: invertible layers that know their change of volume, the parts of normalizing flows."""
