"""Ctrl-C in a command. It imports neither Hydra nor torch, so that commands which need neither start quickly."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # exit status after Ctrl-C


@contextmanager
def interruptible_command(advice: str) -> Iterator[None]:
    """Answer Ctrl-C in the block with one line and exit status 130, as shells expect.

    Args:
        advice: what to do next.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"\ninterrupted; {advice}", file=sys.stderr)
        sys.exit(INTERRUPTED)
