"""A line that moves while two networks are timed in turn."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)
EVERY = 0.2  # seconds between two updates, outside of what is timed
CLEAR = "\r\x1b[K"


@contextmanager
def counted_pairs(what: str, most: int) -> Iterator[Callable[[], None]]:
    """Show how many pairs are timed: on a terminal as a line that moves and disappears, otherwise as one line.

    Args:
        what: what is timed.
        most: the largest number of pairs.

    Yields:
        A function to call after each pair.
    """
    if not sys.stdout.isatty():
        log.info("timing %s: up to %d pairs", what, most)
        yield lambda: None
        return
    pairs, shown = 0, -EVERY

    def step() -> None:
        nonlocal pairs, shown
        pairs += 1
        if time.monotonic() - shown >= EVERY:
            shown = time.monotonic()
            sys.stdout.write(f"{CLEAR}timing {what}: {pairs} of up to {most} pairs")
            sys.stdout.flush()

    try:
        yield step
    finally:
        sys.stdout.write(CLEAR)
        sys.stdout.flush()
