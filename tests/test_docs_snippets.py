"""The fenced `python` blocks of README.md and docs/ run, page by page, in a temporary folder.

The blocks of a page share one namespace, in order. A block after a line `<!-- no-run -->` is not run; how
many there are is held by `NOT_RUN`, so that none is switched off unseen.
"""

import re
from importlib.util import find_spec
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^(?P<skip>[ \t]*<!-- no-run -->[ \t]*\n)?"
    r"(?P<indent>[ \t]*)```python[^\n]*\n(?P<code>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)
NOT_RUN = 0
MUCH_COMPILED = ("diffusion.md", "diffusion_app.md")  # and run once: minutes of TensorFlow's tracing
TFP_WORKS = keras.config.backend() == "tensorflow" and find_spec("tensorflow_probability") is not None


def blocks(page):
    """(first line, code, whether it is run) of each block of a page."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        indent = match["indent"]
        code = "".join(line.removeprefix(indent) for line in match["code"].splitlines(keepends=True))
        yield text.count("\n", 0, match.start("code")), code, match["skip"] is None


pytestmark = pytest.mark.usefixtures("graphs_forgotten")
PAGES_WITH_CODE = [page for page in PAGES if any(run for *_, run in blocks(page))]


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets_run(page, run_folder, request):
    """What a reader copies from a page, from its top to its bottom, works."""
    if page.name == "interop.md" and not TFP_WORKS:
        pytest.skip("needs the TensorFlow backend and TensorFlow Probability")
    if page.name in MUCH_COMPILED:
        request.getfixturevalue("eager_test_on_tensorflow")
    namespace = {"__name__": "__main__"}
    for line, code, run in blocks(page):
        if run:
            exec(compile("\n" * line + code, str(page), "exec"), namespace)


def test_blocks_not_run_are_counted():
    """No block is switched off without the figure here being changed."""
    assert sum(not run for page in PAGES for *_, run in blocks(page)) == NOT_RUN


def test_the_reader_finds_blocks(tmp_path):
    """Plain, indented and switched-off blocks are told apart."""
    page = tmp_path / "page.md"
    page.write_text("```python\na = 1\n```\n\n    ```python\n    if a:\n        b = 2\n    ```\n\n"
                    "```bash\nls\n```\n<!-- no-run -->\n```python\nc = 3\n```\n")  # fmt: skip
    assert list(blocks(page)) == [(1, "a = 1\n", True), (5, "if a:\n    b = 2\n", True),
                                  (14, "c = 3\n", False)]  # fmt: skip
