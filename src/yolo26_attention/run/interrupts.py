"""Signals that end a run as Ctrl-C does: what was saved stays, the record says interrupted, the next start goes on."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# SIGUSR1 and SIGUSR2 are what Slurm is commonly told to send some time before it pre-empts a job (--signal).
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on the first of `SIGNALS`, and let further ones pass while the run is put away.

    A signal that somebody else handles already is left to them: submitit requeues its job on one of these. Outside the
    main thread, where Python sets no handlers, nothing is changed.
    """
    mine = []
    if threading.current_thread() is threading.main_thread():
        mine = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]

    def interrupt(number: int, frame: FrameType | None) -> None:
        for other in mine:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in mine:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)
