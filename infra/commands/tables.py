"""Rows for people: a table with colours on a terminal, plain columns elsewhere."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from infra.commands.cli import printable

Rows = Sequence[Sequence[str]]
_NO_SCREEN = {"", "dumb", "unknown"}  # values of TERM for terminals that only take lines
_GAP = 3  # characters between columns of a table
_LEAST_WIDTH = 10  # of a column that is folded


def show(header: Sequence[str], rows: Rows, *, fold: str, colours: Mapping[str, str] | None = None) -> None:
    """Print rows of cells on stdout: as a table on a terminal that is wide enough, else as plain columns.

    `fold` is the column whose texts go on in the next line where there is no room; whatever a person copies stands in
    another. `colours` names the colour of each word of the first column. No text is taken for markup or acted on by
    the terminal. With NO_COLOR (no-color.org) a table is as plain as its text.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    folded = header.index(fold)
    least = sum(widths) - widths[folded] + min(_LEAST_WIDTH, widths[folded]) + _GAP * (len(header) - 1)
    if _is_screen() and least <= shutil.get_terminal_size().columns:
        _draw(header, cells, fold, colours or {})
        return
    for row in cells:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def _is_screen() -> bool:
    """Return whether stdout is a terminal that shows more than lines."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in _NO_SCREEN


def _draw(header: Sequence[str], rows: Rows, fold: str, colours: Mapping[str, str]) -> None:
    # What is piped never pays for these imports.
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in header:
        table.add_column(name, no_wrap=name != fold, overflow="fold")
    for first, *others in rows:
        table.add_row(Text(first, style=colours.get(first, "")), *map(Text, others))
    Console(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False).print(table)
