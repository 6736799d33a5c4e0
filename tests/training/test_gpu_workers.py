"""Workers end with the run that they belong to, whoever of those above them is killed."""

import os
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

WORKER = (
    "import sys, time; from yolo26_attention.training.gpu_workers import end_with_run; "
    "{before}; end_with_run({run}); print(1, flush=True)"
)
LAUNCHER = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
RUN = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@pytest.fixture
def run():
    """A run, its launcher and a worker that has looked for them."""
    worker = WORKER.format(before="import psutil", run="psutil.Process().parents()[1].pid") + "; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", RUN, LAUNCHER, worker], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"1\n"
        started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        yield started
        for left in started:
            with suppress(psutil.NoSuchProcess):
                left.kill()


@pytest.mark.parametrize("killed", [pytest.param(0, id="run"), pytest.param(1, id="launcher")])
def test_a_worker_ends_with_what_started_it(killed, run):
    worker = run[2]
    assert worker.is_running()
    run[killed].kill()
    psutil.wait_procs([worker], timeout=20)
    assert not worker.is_running()


def test_a_worker_that_comes_too_late_ends_at_once():
    stranger = subprocess.Popen([sys.executable, "-c", ""])
    stranger.wait()
    late = subprocess.run([sys.executable, "-c", WORKER.format(before="pass", run=stranger.pid)], capture_output=True)
    assert (late.returncode, late.stdout, late.stderr) == (1, b"", b"")


def test_a_worker_of_a_living_run_goes_on():
    alive = WORKER.format(before="pass", run=os.getpid())
    assert subprocess.run([sys.executable, "-c", alive], capture_output=True).stdout == b"1\n"
