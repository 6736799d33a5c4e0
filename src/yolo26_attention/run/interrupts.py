"""Signals that end a run as Ctrl-C does: saved files stay, the record says interrupted, the next start resumes."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from yolo26_attention.compat.ultralytics import interrupts_passed_on

# Slurm is commonly configured to send SIGUSR1 or SIGUSR2 before it pre-empts a job (--signal).
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on the first of `SIGNALS`, and ignore further ones while the run is closed.

    Signals that already have a handler keep it: submitit requeues its job on one of these. Has no effect outside the
    main thread, where Python cannot set handlers.
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
        with interrupts_passed_on():
            yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)
