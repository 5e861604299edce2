"""Data sets in the form of `keras.datasets`: `module.load_data()` returns numpy arrays.

`digits` is part of the package. `mnist`, `fashion_mnist` and `binarized_mnist` are read from a local folder,
named by an argument or by the environment variable `KERAS_GEN_DATA`; the first two can be downloaded by
Keras. `image_folder` reads pictures, one subfolder a class. `toys` draws two-dimensional densities.
Values are as stored (`uint8`): scaling them is a choice of the model's likelihood.
"""

from keras_gen.datasets import binarized_mnist, digits, fashion_mnist, mnist, toys
from keras_gen.datasets.folder import image_folder

__all__ = ["binarized_mnist", "digits", "fashion_mnist", "image_folder", "mnist", "toys"]
