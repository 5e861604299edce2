"""The house's own laws, read from the source: imports point one way, one room alone knows the backends."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_gen"

# Each room may import those on the lines above it, and the leaves. Rooms on one line import not each other.
ORDER = [
    {"backend"},
    {"random"},
    {"integrate"},
    {"distributions"},
    {"layers"},
    {"networks"},
    {"losses"},
    {"diffusion", "mcmc"},
    {"models"},
    {"callbacks"},
]
LEAVES = {"metrics", "datasets", "plots"}
BACKENDS = {"tensorflow", "tensorflow_probability", "tf_keras", "jax", "jaxlib", "flax", "torch"}
BACKEND_ROOMS = {"backend", "interop"}
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
LONGEST_FUNCTION = 60

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    """The room a file belongs to; `None` for the package's own `__init__` and for programs, which use every room."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return None if parts == ("__init__",) or parts[-1] == "__main__" else parts[0]


def absolute(node, path):
    """The dotted module a `from ... import` names, relative ones resolved."""
    if not node.level:
        return node.module
    package = path.relative_to(ROOT).parent.parts  # of the module, and of a package's __init__, alike
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *(node.module or "").split(".")]).rstrip(".")


def imports(path):
    """Every dotted name that a file imports, in functions too, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, path)
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value), node.lineno


def arrow_is_wrong(room, target):
    """Whether `room` must not import the room `target`."""
    if room is None or room == target or room == "interop":
        return False
    if target in LEAVES:
        return room in LEAVES
    if room in LEAVES:
        return True
    return target not in RANK or RANK[target] >= RANK.get(room, -1)


def wrong_imports(path):
    room = room_of(path)
    for name, line in imports(path):
        top, _, rest = name.partition(".")
        if top == "keras_gen":
            target = rest.partition(".")[0]
            if not target or (target not in RANK and target not in LEAVES | {"interop"}):
                if room is not None and target != "__version__":
                    yield f"line {line}: {name} is no room"
            elif arrow_is_wrong(room, target):
                yield f"line {line}: {room} must not import {target}"
        elif top in BACKENDS and room not in BACKEND_ROOMS:
            yield f"line {line}: {top} is imported outside keras_gen/backend"
        elif name.startswith("keras.src") and room not in BACKEND_ROOMS:
            yield f"line {line}: {name} is private to Keras"


def code_lines(function):
    """The lines of a function that hold code: neither its docstring, nor blank, nor a comment's own."""
    body = function.body[ast.get_docstring(function) is not None :]
    return {line for part in body for node in ast.walk(part) if hasattr(node, "lineno") for line in
            (node.lineno, node.end_lineno)}  # fmt: skip


def identity(path):
    return str(path.relative_to(ROOT))


def registered_names(path):
    """The names under which the classes of a file are saved."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for call in getattr(node, "decorator_list", []):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "register_keras_serializable":
                given = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
                yield given.get("name", node.name)


def test_no_two_classes_are_saved_under_one_name():
    """Of two with one name the later is loaded in the place of the other."""
    names = sorted(name for path in FILES for name in registered_names(path))
    assert len(names) > 100
    assert names == sorted(set(names))


@pytest.mark.parametrize("path", FILES, ids=identity)
def test_imports_point_one_way(path):
    """A room imports only rooms before it, and a backend only in the backend room."""
    assert not list(wrong_imports(path))


@pytest.mark.parametrize("path", FILES, ids=identity)
def test_every_room_is_in_the_plan(path):
    """There is no room beyond the plan, `utils` least of all."""
    assert room_of(path) in {None, *RANK, *LEAVES, *BACKEND_ROOMS}


@pytest.mark.parametrize("path", FILES, ids=identity)
def test_no_function_is_long(path):
    """A function has at most 60 lines of code."""
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    assert not [f"{f.name}: {len(code_lines(f))}" for f in functions if len(code_lines(f)) > LONGEST_FUNCTION]


@pytest.mark.parametrize("path", FILES, ids=identity)
def test_every_module_opens_with_a_docstring(path):
    """A module says what it is, and a derivation if it has one, before its code."""
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", FILES, ids=identity)
def test_user_input_is_not_checked_by_assert(path):
    """`assert` vanishes under `python -O`; user input deserves a ValueError."""
    assert not [n.lineno for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Assert)]


@pytest.mark.parametrize("path", sorted((ROOT / "applications").rglob("*.py")), ids=identity)
def test_applications_use_public_names_only(path):
    """A program needs no backend of its own and no private name."""
    names = [name for name, _ in imports(path)]
    assert not [n for n in names if n.split(".")[0] in BACKENDS or "._" in n]


@pytest.mark.parametrize(
    "room, text, wrong",
    [
        ("layers", "import torch", True),
        ("layers", "def f():\n    import jax.numpy as jnp", True),
        ("layers", "from keras_gen import models", True),
        ("layers", "from ..models import VAE", True),
        ("layers", "from keras_gen.models.vae import VAE", True),
        ("layers", "import importlib\nimportlib.import_module('torch')", True),
        ("layers", "from keras_gen.utils import f", True),
        ("plots", "from keras_gen.layers import Sampling", True),
        ("diffusion", "from keras_gen import mcmc", True),
        ("layers", "from keras_gen import distributions, plots, random", False),
        ("layers", "from . import heads\nfrom .heads import NormalHead", False),
        ("layers", "from ..distributions import Normal", False),
        ("backend", "import torch", False),
    ],
)
def test_the_reader_tells_wrong_from_right(tmp_path, monkeypatch, room, text, wrong):
    """The laws above can fail: each kind of wrong import is seen, and right ones are let through."""
    folder = tmp_path / "keras_gen" / room
    folder.mkdir(parents=True)
    (folder / "example.py").write_text(text)
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path / "keras_gen")
    assert bool(list(wrong_imports(folder / "example.py"))) is wrong
