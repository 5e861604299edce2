"""CycleGAN on two folders of pictures that are not paired: `python -m applications.cyclegan train|translate --help`."""
