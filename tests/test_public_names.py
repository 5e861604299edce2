"""The public names of each room are those of the committed `tests/public_names.txt`.

A name that appears or vanishes is a decision, seen in review. To accept the present names::

    python -m tests.test_public_names > tests/public_names.txt
"""

from importlib import import_module
from importlib.util import find_spec
from inspect import ismodule
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("public_names.txt")
ROOMS = [
    "backend", "random", "integrate", "distributions", "layers", "networks", "losses", "diffusion", "mcmc",
    "models", "callbacks", "metrics", "metrics.extractors", "datasets", "datasets.digits", "datasets.mnist",
    "datasets.fashion_mnist", "datasets.binarized_mnist", "datasets.toys", "datasets.usps",
    "datasets.photographs", "datasets.shakespeare", "datasets.molecules", "datasets.spoken_digits", "plots",
    "interop.tfp",
]  # fmt: skip


def public_names(room):
    """`room.name` for `__all__`, or else for what the room itself defines without a leading underscore."""
    module = import_module(f"keras_gen.{room}")
    own = [n for n, v in vars(module).items() if not n.startswith("_") and not ismodule(v)
           and getattr(v, "__module__", module.__name__).startswith(module.__name__)]  # fmt: skip
    return sorted(f"{room}.{name}" for name in getattr(module, "__all__", own))


def existing_rooms():
    return [room for room in ROOMS if find_spec(f"keras_gen.{room}") is not None]


def committed_names(room):
    names = FILE.read_text(encoding="utf-8").split() if FILE.exists() else []
    return sorted(name for name in names if name.rpartition(".")[0] == room)


@pytest.mark.parametrize("room", existing_rooms())
def test_public_names_are_those_committed(room):
    """No public name appears or vanishes without a line in public_names.txt."""
    committed = committed_names(room)
    if not committed:
        pytest.skip(f"{room} has no line in {FILE.name} yet")
    assert public_names(room) == committed


if __name__ == "__main__":
    print("\n".join(name for room in existing_rooms() for name in public_names(room)))
