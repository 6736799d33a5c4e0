"""Counts and names of things as text."""

from collections.abc import Sequence


def number_of(count: int, what: str, plural: str = "") -> str:
    """A count with its noun: 1 run, 2 runs, 1,000 images, 2 classes.

    Args:
        count: how many.
        what: the noun in the singular.
        plural: the noun in the plural; by default with an s.
    """
    return f"{count:,} {what if count == 1 else plural or f'{what}s'}"


def some(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
