"""Doctests in docstrings become code on the pages: Griffe knows `Examples:`, these docstrings say `Example:`."""

import griffe


class ExamplesAsCode(griffe.Extension):
    """Puts fences around each run of lines that begins with `>>>`."""

    def on_instance(self, *, obj, **kwargs):
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text):
    lines, indent = [], None
    for line in [*text.split("\n"), ""]:
        if indent is None and line.lstrip().startswith(">>>"):
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}```pycon")
        elif indent is not None and not (line.strip() and line.startswith(indent)):
            lines.append(f"{indent}```")
            indent = None
        lines.append(line)
    return "\n".join(lines[:-1])
