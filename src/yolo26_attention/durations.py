"""Durations: as text, and of the epochs of a training."""

from collections.abc import Sequence
from statistics import median

LATEST = 5  # epochs from which the next ones are estimated; the first one is often slower


def duration(seconds: float) -> str:
    """Format a time in at most two units: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def typical_epoch(seconds: Sequence[float]) -> float | None:
    """The median of the latest epochs, in seconds; None without any.

    Args:
        seconds: duration of each epoch with its validation, oldest first.
    """
    return median(seconds[-LATEST:]) if seconds else None
