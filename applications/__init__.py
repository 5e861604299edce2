"""Programs over the public names of keras_gen: `python -m applications.NAME --help`."""
