"""Samples as pictures while a model trains: the same seed each time, so that one sees the same sample improve."""

import io
import math
import time
from pathlib import Path

import keras
import numpy as np

from keras_gen import plots
from keras_gen.models import inputs


class SampleGrid(keras.callbacks.Callback):
    """Writes a grid of samples to disk, and to TensorBoard if asked, during `fit`.

    `model.sample` draws from a stream of its own, so training is the same with and without this callback.

    Args:
        directory: folder for `epoch_0001.png`, `epoch_0002.png`, ...; created. None writes none.
        n: number of samples, default 64.
        condition: for a conditional model: one condition for all, or `n` of them.
        every: epochs between pictures, default 1.
        seed: default 0.
        log_dir: folder for TensorBoard's event file (needs the package `tensorboard`); None writes none.
        columns: columns of the grid, default about the square root of `n`.
        draw: function `(samples, path)` that draws other data than images; default `plots.image_grid`.
        **sample_arguments: further arguments of `model.sample`, such as `temperature`.

    Raises:
        ValueError: `every` < 1, or neither `directory` nor `log_dir`.
        ImportError: matplotlib or, with `log_dir`, tensorboard is missing.

    Example:
        >>> import os, tempfile, numpy as np
        >>> from keras_gen.callbacks import SampleGrid
        >>> from keras_gen.models import VAE
        >>> model = VAE((8, 8, 1), seed=0)
        >>> model.compile()
        >>> folder = tempfile.mkdtemp()
        >>> history = model.fit(np.zeros((32, 8, 8, 1)), verbose=0, callbacks=[SampleGrid(folder, n=16)])
        >>> os.listdir(folder)
        ['epoch_0001.png']
    """

    def __init__(
        self, directory=None, *, n=64, condition=None, every=1, seed=0, log_dir=None, columns=None, draw=None,
        **sample_arguments,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"Expected `every` >= 1 epochs. Received: every={every}.")
        if directory is None and log_dir is None:
            raise ValueError("Expected a `directory` for pictures or a `log_dir` for TensorBoard. Received neither.")
        self.directory = None if directory is None else Path(directory)
        self.n, self.condition, self.every, self.seed = n, condition, every, seed
        self.columns = columns or math.ceil(math.sqrt(n))
        self.log_dir, self.draw, self.sample_arguments = log_dir, draw or self._grid, sample_arguments
        self._writer = None

    def on_train_begin(self, logs=None):
        """A condition that the model cannot take is refused before the first step, not at the end of an epoch."""
        inputs.check_condition(self.model, self.model._repeat(self.condition, self.n), self.n)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            arguments = {"seed": self.seed, "verbose": 0, **self.sample_arguments}
            self._write(self.model.sample(self.n, self.condition, **arguments), epoch + 1)

    def _write(self, samples, epoch):
        picture = io.BytesIO()
        self.draw(samples, picture)
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / f"epoch_{epoch:04d}.png").write_bytes(picture.getvalue())
        if self.log_dir is not None:
            self._event(picture.getvalue(), epoch)

    def _event(self, png, epoch):
        """One TensorBoard event holding the picture; the format needs no backend."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        height, width = (int.from_bytes(png[i : i + 4], "big") for i in (20, 16))
        image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
        summary = Summary(value=[Summary.Value(tag="samples", image=image)])
        self._events().add_event(Event(wall_time=time.time(), step=epoch, summary=summary))

    def _events(self):
        if self._writer is None:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter

            self._writer = EventFileWriter(str(self.log_dir))
        return self._writer

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _grid(self, samples, path):
        plots.image_grid(np.asarray(samples), path, columns=self.columns)
