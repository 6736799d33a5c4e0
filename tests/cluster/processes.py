"""What the cluster tests share: waiting, and finding every process that a cluster has started."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent.parent
MARK = "CLUSTER_TEST_FOLDER"  # an environment variable that daemons hand on to all they start


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a cluster whose processes can be found by its folder."""
    return {**os.environ, "OMP_NUM_THREADS": "1", MARK: str(folder), **more}


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every living process that inherited the mark of a folder, but this one.

    slurmd gives slurmstepd an environment of its own, in which the configuration's path still names the folder.
    """
    found = []
    for process in psutil.process_iter():
        try:
            variables = process.environ()
            paths = (variables.get(MARK), os.path.dirname(variables.get("SLURM_CONF", "")))
            if str(folder) in paths and process.pid != os.getpid():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # gone meanwhile, a zombie, or not ours
            continue
    return found


def end_all(folder: Path) -> list[str]:
    """Kill what is left of a cluster; what it was, for a test to fail with."""
    left = processes_of(folder)
    names = [f"{process.pid} {process.name()}" for process in left]
    for process in left:
        process.kill()
    return names


def wait_for(condition: Callable[[], object], what: str, seconds: float = 180.0) -> None:
    """Wait until a condition holds, or fail with words."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not in {seconds} s"
        time.sleep(0.2)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
