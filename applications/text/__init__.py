"""Text, character by character: `python -m applications.text --help`."""
