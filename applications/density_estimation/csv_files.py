"""Tables as files: CSV of any common delimiter, with a header or without.

The delimiter is the one of `,` `;` tab `|` that the first lines agree on; blanks, if they have none. Where it is no
comma, a comma in a number is a decimal one. The first line is a header if one of its cells is no number and stands over
numbers, or if none of its cells and of those below is one.
"""

import contextlib
import csv
import sys
from pathlib import Path

import numpy as np

from applications.density_estimation.tables import SHOWN, Table, number
from applications.files import Failure, one_line, whole, writable

DELIMITERS = (",", ";", "\t", "|")


def read(file, encoding="utf-8", header="auto"):
    """The table of a file.

    Args:
        file: path.
        encoding: of its text.
        header: "yes", "no", or "auto": see above.

    Raises:
        Failure: no file, no text of that encoding, no rows, rows of different lengths.
    """
    text = _text(Path(file).expanduser(), encoding)
    delimiter = _delimiter(text)
    rows, lines = _rows(file, text, delimiter)
    if not rows:
        raise Failure(f"{file}: it is empty; expected rows of numbers")
    comma = delimiter != ","
    first = _has_header(rows[:100], comma) if header == "auto" else header == "yes"
    names = _names(rows[0]) if first else [f"column{i + 1}" for i in range(len(rows[0]))]
    rows, lines = (rows[1:], lines[1:]) if first else (rows, lines)
    if not rows:
        raise Failure(f"{file}: no rows after the header {', '.join(names[:SHOWN])}")
    return Table(dict(zip(names, zip(*rows, strict=True), strict=True)), lines, first, comma)


def _text(file, encoding):
    try:
        if not file.exists():
            raise Failure(f"{file}: no such file; expected a table as CSV")
        if not file.is_file():
            raise Failure(f"{file}: no regular file; expected a table as CSV")
        text = file.read_bytes().decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except OSError as error:
        raise Failure(f"{file}: cannot be read: {error.strerror}") from error
    except LookupError as error:
        raise Failure(f"--encoding {encoding}: no encoding that is known, such as latin-1 or utf-16") from error
    except UnicodeDecodeError as error:
        raise Failure(
            f"{file}: no text in {encoding}, from byte {error.start} on; expected a table as CSV. Save it as UTF-8, or "
            "say which one it is, such as --encoding latin-1 or utf-16"
        ) from error
    if "\0" in text:
        raise Failure(f"{file}: no text, it holds zero bytes; expected a table as CSV (utf-16 is --encoding utf-16)")
    return text


def _delimiter(text):
    """That whose count in the first lines is the same and highest; None for blanks."""
    lines = [line for line in text.splitlines()[:20] if line.strip()][:10]
    least = {d: min((line.count(d) for line in lines), default=0) for d in DELIMITERS}
    even = [d for d in DELIMITERS if least[d] and len({line.count(d) for line in lines}) == 1]
    found = max(even or DELIMITERS, key=least.get)
    if least[found]:
        return found
    blanks = bool(lines) and len(lines[-1].split()) > 1
    return None if blanks and all(_is_number(cell) for cell in lines[-1].split()) else ","


def _rows(file, text, delimiter):
    """Rows of cells that all have one length, and the line in which each ends; empty lines are passed over."""
    rows, lines, reader = [], [], _reader(text, delimiter)
    try:
        for line, row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(line)
    except csv.Error as error:
        raise Failure(f"{file}: cannot be read as CSV: {one_line(error)}") from error
    if rows and all(len(row) == len(rows[0]) + 1 and not row[-1].strip() for row in rows[1:]) and len(rows) > 1:
        rows[1:] = [row[:-1] for row in rows[1:]]  # a delimiter at the end of each line but the header
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(rows[0]):
            raise Failure(f"{file}: line {line} has {len(row)} cells, line {lines[0]} has {len(rows[0])}")
    return rows, lines


def _reader(text, delimiter):
    if delimiter is None:
        yield from ((i + 1, line.split()) for i, line in enumerate(text.splitlines()))
    else:
        reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True)
        for row in reader:
            yield reader.line_num, row


def _has_header(rows, decimal_comma):
    shares = [np.mean([_is_number(cell, decimal_comma) for cell in column]) for column in zip(*rows[1:], strict=True)]
    shares = shares or [1.0] * len(rows[0])
    texts = [not _is_number(cell, decimal_comma) for cell in rows[0]]
    over_numbers = any(text and share > 0.5 for text, share in zip(texts, shares, strict=True))
    return over_numbers or (all(texts) and max(shares) <= 0.5)


def _is_number(cell, decimal_comma=False):
    try:
        number(cell, decimal_comma)
    except ValueError:
        return False
    return True


def _names(cells):
    """A name for each column: an empty one is numbered, and so is a second of one name."""
    names = []
    for i, cell in enumerate(cells):
        name = " ".join(cell.split()) or f"column{i + 1}"
        names.append(name if name not in names else next(n for n in _numbered(name) if n not in [*names, *cells]))
    return names


def _numbered(name):
    k = 2
    while True:
        yield f"{name}_{k}"
        k += 1


def write(file, names, rows):
    """A table as CSV, whole or not at all; None: to the terminal.

    Raises:
        Failure: it cannot be written.
    """
    if file is None:
        _write(sys.stdout, names, rows)
        return
    file = Path(file).expanduser()
    try:
        with whole(file) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
            _write(stream, names, rows)
    except OSError as error:
        raise Failure(f"{file}: cannot be written: {error.strerror}") from error


def check_writable(file):
    """Refuse, before anything is computed, a file that cannot be written; its folder is made.

    Raises:
        Failure: it names the file or its folder.
    """
    file = Path(file).expanduser()
    if file.is_dir():
        raise Failure(f"{file}: cannot be written: it is a folder; give a file, such as {file / 'found.csv'}")
    writable(file.parent)


def _write(stream, names, rows):
    with contextlib.suppress(BrokenPipeError):  # `score FILE | head`
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
        stream.flush()
