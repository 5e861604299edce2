"""What happens beside training: annealing, pictures of samples while the model learns, resuming exactly."""

from keras_gen.callbacks.annealing import Anneal
from keras_gen.callbacks.exact_resume import ExactResume, load_checkpoint
from keras_gen.callbacks.sample_grid import SampleGrid

__all__ = ["Anneal", "ExactResume", "SampleGrid", "load_checkpoint"]
