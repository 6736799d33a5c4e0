"""A line that moves while networks are timed in turn."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)
EVERY = 0.2  # seconds between two updates, outside of what is timed
CLEAR = "\r\x1b[K"


@contextmanager
def counted_rounds(what: str, most: int, seconds: float) -> Iterator[Callable[[], None]]:
    """Show how many rounds are timed: on a terminal as a line that moves and disappears, otherwise as one line.

    Args:
        what: what is timed.
        most: the largest number of rounds.
        seconds: the longest time, without the warm-up.

    Yields:
        A function to call after each round.
    """
    if not sys.stdout.isatty():
        log.info("timing %s: up to %d rounds in up to %g s", what, most, seconds)
        yield lambda: None
        return
    rounds, began, shown = 0, 0.0, 0.0

    def show(text: str) -> None:
        sys.stdout.write(f"{CLEAR}timing {what}: {text}")
        sys.stdout.flush()

    def step() -> None:
        nonlocal rounds, began, shown
        now = time.monotonic()
        rounds += 1
        began = began or now
        if now - shown >= EVERY:
            shown = now
            show(f"{rounds} of up to {most} rounds, {now - began:.0f} of up to {seconds:g} s")

    show("warming up")
    try:
        yield step
    finally:
        sys.stdout.write(CLEAR)
        sys.stdout.flush()
