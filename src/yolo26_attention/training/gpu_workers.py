"""The workers of a multi-GPU training, each of which torch's launcher starts in a session of its own."""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

SECONDS = 0.5  # between checks


def end_with_run(run: int) -> None:
    """End this worker when the run or the launcher has ended, immediately if either already has.

    Signals do not reach it: on Ctrl-C and SIGTERM the run kills the launcher, which then cannot end its workers, and
    SIGKILL ends only the run. Orphaned workers would keep writing into a folder whose lock is free.

    Args:
        run: ID of the process that started the launcher.
    """
    above = psutil.Process().parents()
    if run not in [process.pid for process in above]:
        os._exit(1)
    threading.Thread(target=_end_after_one, args=(above[:2],), daemon=True).start()


def _end_after_one(processes: Sequence[psutil.Process]) -> None:
    with suppress(psutil.NoSuchProcess):
        # A zombie has ended, but its parent may never reap it, as in a container without an init.
        while all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
            time.sleep(SECONDS)
    os._exit(1)  # sys.exit would end only this thread; the main one may be waiting for another worker's gradients
