"""Pictures of generative models: each function returns a matplotlib `Figure` and writes it to `path`, if any.

matplotlib, the extra `plots`, is loaded when the first picture is made. No global state is used: no window
opens, and nothing has to be closed.
"""

from keras_gen.plots.curves import history
from keras_gen.plots.grid import image_grid, interpolation_strip
from keras_gen.plots.latent import decoded_plane, latent_scatter
from keras_gen.plots.sound import spectrogram

__all__ = ["decoded_plane", "history", "image_grid", "interpolation_strip", "latent_scatter", "spectrogram"]
