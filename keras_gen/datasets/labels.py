"""Labels of pictures in a table `file,label`, read with distrust.

A table is a CSV file in UTF-8 whose first line names its columns, `file` and `label` among them. It gives every
picture of the folder one whole number >= 0. A hole is: a label that is none (empty, nan, 1.5, -1), a file listed
twice (neither line is believed), a file that is not in the folder, a picture that no line names. Only names that are
in the folder are kept, and a table longer than 1 MiB and 4 KiB a picture is refused, so the memory needed is bounded by
the folder.
"""

import csv
import re

from keras_gen.datasets.damage import settle

LARGEST = 2**31 - 1


def read_labels(table, names, on_error="raise"):
    """The labels in a table.

    Args:
        table: A `Path`.
        names: The files that need a label, a collection of str.
        on_error: "raise" (default), or "skip": names with a hole are left out, with a warning.

    Returns:
        A dict, name -> int, in the order of `names`.

    Raises:
        ValueError: If the file is no such table, or has a hole and `on_error` is "raise".
    """
    names = dict.fromkeys(names)
    found, problems, known = {}, [], set()
    for line, name, text in _rows(table, 2**20 + 2**12 * len(names)):
        problem = _problem(name, text, names, known)
        if problem is not None:
            problems.append(f"line {line}: {problem}")
            found.pop(name, None)
        elif name in names:
            found[name] = int(text)
        if name in names:
            known.add(name)
    problems += [f"{name} has no line" for name in names if name not in known]
    settle(problems, on_error, f"one line `file,label` a picture, label a whole number >= 0, in {table}")
    return {name: found[name] for name in names if name in found}


def _problem(name, text, names, known):
    """What is wrong with one line, or None."""
    if name not in names:
        return f"{name[:80]!r} is no picture of the folder"
    if name in known:
        return f"{name} is listed more than once"
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > LARGEST:
        return f"label {text[:20]!r} of {name}"
    return None


def _rows(table, most):
    """(line, file, label) of each line after the first."""
    try:
        if not table.is_file() or table.stat().st_size > most:
            raise ValueError(f"it should be a regular file of at most {most} bytes")
        with open(table, encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [column.strip() for column in next(reader, [])]
            if header.count("file") != 1 or header.count("label") != 1:
                raise ValueError(f"its first line should name the columns file and label, and is {header[:5]}")
            a, b = header.index("file"), header.index("label")
            for row in reader:
                if row:
                    padded = row + [""] * len(header)
                    yield reader.line_num, padded[a].strip(), padded[b].strip()
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"Expected a CSV table in UTF-8. Received: {table}: {error}") from error
