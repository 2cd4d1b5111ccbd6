"""A table in plain text: columns that line up, a row a line, for a person and for `grep`."""

from collections.abc import Sequence
from typing import Final

from tybalt.cli.cells import cells, filled, fitted
from tybalt.errors import printable

MAX_CELL: Final = 60
"""Cells of a column that is not the last one; what is longer is cut."""
MAX_LAST: Final = 200
"""Cells of the last column where nobody says how wide the terminal is."""
_BETWEEN: Final = "  "


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """The rows under their titles, each one line: of a text with several lines, the first.

    `width` is that of the terminal in cells; the last column is cut to it. What is not printable is escaped.
    """
    lines = [titles, *([_line(text) for text in row] for row in rows)]
    columns = list(zip(*lines, strict=True))
    widths = [min(max(map(cells, column)), MAX_CELL) for column in columns[:-1]]
    before = sum(widths) + len(_BETWEEN) * len(widths)
    last = MAX_LAST if width is None else max(width - before, 10)
    return "".join(f"{_row(line, widths, last)}\n" for line in lines)


def _line(text: str) -> str:
    # A quick cut first: a description may have megabytes, of which one line is shown.
    first = next((line for line in text[:10_000].splitlines() if line.strip()), "")
    return printable(first.strip(), kept="")


def _row(texts: Sequence[str], widths: Sequence[int], last: int) -> str:
    padded = [filled(fitted(text, width), width) for text, width in zip(texts, widths, strict=False)]
    return _BETWEEN.join([*padded, fitted(texts[-1], last)]).rstrip()
