"""Signed numbers as text, with a minus as long as a plus, and lists of words."""

from collections.abc import Sequence


def interval(bounds: tuple[float, float], digits: int = 3) -> str:
    """Low to high, signed."""
    low, high = bounds
    return f"{signed(low, digits)} to {signed(high, digits)}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign."""
    return minus(f"{value:+.{digits}f}")


def minus(text: str) -> str:
    """Text with minus signs for hyphens."""
    return text.replace("-", "−")


def listed(parts: Sequence[str]) -> str:
    """Words in one sentence: a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
