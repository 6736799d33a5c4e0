"""How a command ends early: Ctrl-C, and output that nobody reads any more.

It imports neither Hydra nor torch, so that commands which need neither start quickly.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # exit status after Ctrl-C
PIPE_CLOSED = 141  # exit status of a program that SIGPIPE ends


@contextmanager
def interruptible_command(advice: str) -> Iterator[None]:
    """Answer Ctrl-C in the block with one line and exit status 130, as shells expect.

    If the reader of the output has gone, as in `python -m src.report NAME | head`, end with status 141 and no message.

    Args:
        advice: what to do next.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\ninterrupted; {advice}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
        sys.exit(PIPE_CLOSED)


def _reader_has_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more: an error may also be of another pipe."""
    try:
        print(flush=True)
    except BrokenPipeError:
        return True
    return False
