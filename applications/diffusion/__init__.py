"""Pictures by diffusion: `python -m applications.diffusion --help`."""
