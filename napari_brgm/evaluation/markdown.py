"""Tables of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["table_lines"]


def table_lines(heads: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table.

    Examples
    --------
    >>> table_lines(["method", "x4"], [["bicubic", "15.5"]])
    ['| method | x4 |', '|---|---|', '| bicubic | 15.5 |']
    """
    rows = ["| " + " | ".join(line) + " |" for line in (heads, *body)]
    return [rows[0], "|---" * len(heads) + "|", *rows[1:]]
