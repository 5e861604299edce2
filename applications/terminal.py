"""What a program says beside the progress bars of Keras, which leave their line open while they grow."""

import contextlib
import os
import sys


class Lines:
    """A stream that knows whether its line has ended."""

    def __init__(self, stream):
        self.stream, self.open = stream, False

    def write(self, text):
        if text:
            self.open = not text.endswith("\n")
        return self.stream.write(text)

    def __getattr__(self, name):
        return getattr(self.stream, name)


@contextlib.contextmanager
def watched():
    """Within, `end_lines` knows what the streams of the process hold."""
    with contextlib.redirect_stdout(Lines(sys.stdout)), contextlib.redirect_stderr(Lines(sys.stderr)):
        yield


def end_lines():
    """End the line that a progress bar has left open, if there is one."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Lines) and stream.open:
            stream.write("\n")
            stream.flush()


def say(program, text):
    """One line to the terminal's errors."""
    end_lines()
    print(f"{program}: {text}", file=sys.stderr, flush=True)


def quiet_tensorflow():
    """Keep TensorFlow's own log, but for errors, out of the terminal. Before Keras is loaded; the user's word stays.

    It speaks of oneDNN in spite of the level. Where another backend computes, oneDNN is left off, and so is the line.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if os.environ.get("KERAS_BACKEND") in ("jax", "torch"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
