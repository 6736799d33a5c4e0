"""Rows of text as a table: aligned in columns for a terminal, or Markdown."""

from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Format each row as a line, with two spaces between columns.

    Args:
        rows: rows with equal numbers of cells.
        right: indices of right-aligned columns, such as numbers; all others are left-aligned.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown_table(
    rows: Sequence[Sequence[str]], right: Collection[int] = (), center: Collection[int] = ()
) -> list[str]:
    """Format a header and rows as the lines of a Markdown table; arguments as in `aligned`, and centred columns."""
    rule = ["---:" if at in right else ":---:" if at in center else "---" for at in range(len(rows[0]))]
    return [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]
