"""What happens beside training: annealing, and pictures of samples while the model learns."""

from keras_gen.callbacks.annealing import Anneal
from keras_gen.callbacks.sample_grid import SampleGrid

__all__ = ["Anneal", "SampleGrid"]
