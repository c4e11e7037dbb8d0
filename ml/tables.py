"""Tables as plain text, for terminals and files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

# No line is folded: whoever shows the text decides what to do with long ones.
_WIDTH = 100_000


def plain_table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Lay rows of equal length out in columns, each as wide as its widest cell.

    The first column holds words, to the left, and the others numbers, to the right. Without a
    `head` the columns have no names.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=bool(head))
    return _rendered(table, rows, head, numbers=True)


def markdown_table(rows: Iterable[Sequence[str]], head: Sequence[str]) -> str:
    """Lay rows out as a table that a person can read and Markdown knows, all cells to the left."""
    return _rendered(Table(box=box.MARKDOWN), rows, head, numbers=False)


def _rendered(
    table: Table, rows: Iterable[Sequence[str]], head: Sequence[str], *, numbers: bool
) -> str:
    rows = list(rows)
    for column, name in enumerate(head or rows[0]):
        side: Literal["left", "right"] = "right" if numbers and column else "left"
        table.add_column(name if head else "", justify=side, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    console = Console(file=text, width=_WIDTH, color_system=None, markup=False, emoji=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines() if line.strip())
