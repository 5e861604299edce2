"""Where local copies of data lie: a folder given by argument, else the one named by KERAS_GEN_DATA."""

import os
from pathlib import Path

VARIABLE = "KERAS_GEN_DATA"


def find(names, path=None):
    """The first of the files `names`, all of one alternative, that exists.

    Args:
        names: Alternatives, each a tuple of paths relative to the folder; all files of one must exist.
        path: The folder, or `None` for the folder named by `KERAS_GEN_DATA`. A file is taken as it is.

    Returns:
        The files of the first alternative that exists, a list of `Path`; `None` if there is none and `path`
        was not given.

    Raises:
        FileNotFoundError: If `path` is given and holds none of the alternatives.
    """
    folder = Path(path or os.environ.get(VARIABLE) or os.devnull).expanduser()
    if path is not None and folder.is_file():
        return [folder]
    for alternative in names:
        files = [folder / name for name in alternative]
        if all(file.is_file() for file in files):
            return files
    if path is not None:
        wanted = " or ".join(" + ".join(alternative) for alternative in names)
        raise FileNotFoundError(f"Expected `path` to be a folder that holds {wanted}. Received: path={path}")
    return None


def or_download(loader, name):
    """Keras's own download, with an error that says what else can be done."""
    try:
        return loader()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise FileNotFoundError(
            f"{name} is not on this machine and could not be downloaded. Pass `path=` a folder that holds "
            f"it, or set the environment variable {VARIABLE} to that folder."
        ) from error
