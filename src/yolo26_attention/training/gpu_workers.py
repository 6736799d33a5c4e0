"""The workers of a training on several GPUs, which torch's launcher starts in sessions of their own."""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

SECONDS = 0.5  # between looks


def end_with_run(run: int) -> None:
    """End this worker when the run or the launcher between them has ended, at once if that has happened before.

    No signal does it: Ctrl-C and SIGTERM make the run kill the launcher, which then cannot end its workers, and SIGKILL
    ends the run alone. Workers left behind would go on writing into a folder whose lock is free.

    Args:
        run: id of the process that started the launcher.
    """
    above = psutil.Process().parents()
    if run not in [process.pid for process in above]:
        os._exit(1)
    threading.Thread(target=_end_after_one, args=(above[:2],), daemon=True).start()


def _end_after_one(processes: Sequence[psutil.Process]) -> None:
    with suppress(psutil.NoSuchProcess):
        # A zombie has ended: whoever should have collected it may never do so, as in a container without an init.
        while all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
            time.sleep(SECONDS)
    os._exit(1)  # not sys.exit, which ends a thread; the main one may be waiting for another worker's gradients
