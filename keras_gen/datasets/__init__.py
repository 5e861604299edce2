"""Data sets in the form of `keras.datasets`: `module.load_data()` returns numpy arrays.

`digits` and `photographs` are part of the package. `mnist`, `fashion_mnist`, `usps` and `binarized_mnist` are read
from a local folder, named by an argument or by the environment variable `KERAS_GEN_DATA`; the first three can be
downloaded by Keras. `image_folder` reads pictures, one subfolder a class. `toys` draws two-dimensional densities.
Values are as stored (`uint8`): scaling them is a choice of the model's likelihood.

Sequences: `shakespeare` (text), `molecules` (SMILES) and `spoken_digits` (sound) read local files, the first and the
last may be downloaded, and each has a small part that needs none. `Vocabulary` turns text into integers and back,
`smiles_tokens` cuts SMILES. `read_wav` and `write_wav` are for sound of one's own.

Data larger than memory: `Batches` streams what a source gives one by one; `ImageFolder` and `NpzShards` are sources.
`UnpairedBatches` streams two of them side by side.
"""

from keras_gen.datasets import (
    binarized_mnist,
    digits,
    fashion_mnist,
    mnist,
    molecules,
    photographs,
    shakespeare,
    spoken_digits,
    toys,
    usps,
)
from keras_gen.datasets.batches import Batches
from keras_gen.datasets.folder import ImageFolder, image_folder
from keras_gen.datasets.patches import PatchPairs
from keras_gen.datasets.resizing import bicubic
from keras_gen.datasets.shards import NpzShards
from keras_gen.datasets.smiles import smiles_tokens
from keras_gen.datasets.unpaired import UnpairedBatches
from keras_gen.datasets.vocabulary import Vocabulary
from keras_gen.datasets.wav import read_wav, write_wav

__all__ = [
    "Batches",
    "ImageFolder",
    "NpzShards",
    "PatchPairs",
    "UnpairedBatches",
    "Vocabulary",
    "bicubic",
    "binarized_mnist",
    "digits",
    "fashion_mnist",
    "image_folder",
    "mnist",
    "molecules",
    "photographs",
    "read_wav",
    "shakespeare",
    "smiles_tokens",
    "spoken_digits",
    "toys",
    "usps",
    "write_wav",
]
