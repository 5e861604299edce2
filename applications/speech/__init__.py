"""Spoken digits by WaveNet: `python -m applications.speech --help`."""
