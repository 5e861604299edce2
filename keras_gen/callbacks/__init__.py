"""What happens beside training: annealing, pictures and metrics of samples, resuming exactly."""

from keras_gen.callbacks.annealing import Anneal
from keras_gen.callbacks.exact_resume import ExactResume, load_checkpoint
from keras_gen.callbacks.sample_grid import SampleGrid
from keras_gen.callbacks.sample_metrics import SampleMetrics

__all__ = ["Anneal", "ExactResume", "SampleGrid", "SampleMetrics", "load_checkpoint"]
