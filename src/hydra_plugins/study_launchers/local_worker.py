"""The process of one run of hydra/launcher=local: python -m hydra_plugins.study_launchers.local_worker JOB RESULT.

JOB is a file with two pickles, the launcher's sys.path and the job; the result is written to RESULT. Without a result
the launcher takes this process for dead.
"""

import os
import pickle
import signal
import sys
import threading
from pathlib import Path


def run_worker(job: Path, result: Path) -> None:
    """Run the job and write its JobReturn."""
    with job.open("rb") as file:
        sys.path[:] = pickle.load(file)
        shared, config = pickle.load(file)
    from hydra_plugins.study_launchers.job import run_shared
    from yolo26_attention.files.atomic import write_atomically
    from yolo26_attention.run.batch import failed, reason

    returned = run_shared(shared, config)
    try:
        pickled = pickle.dumps(returned)
        pickle.loads(pickled)  # an exception whose arguments do not fit its __init__ fails only here
    except Exception:  # noqa: BLE001 - whatever a user's class raises there
        pickled = pickle.dumps(failed(returned.overrides or [], RuntimeError(reason(returned))))
    write_atomically(result, pickled)


def _end_with_launcher() -> None:
    """End this run as SIGTERM does when the launcher is gone, which closes its end of the pipe even after kill -9."""
    os.read(0, 1)  # and not sys.stdin, whose lock a thread must not hold when Python exits
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    try:
        run_worker(Path(sys.argv[1]), Path(sys.argv[2]))
    except KeyboardInterrupt:  # SIGTERM during the run, which has recorded it
        sys.exit(130)
