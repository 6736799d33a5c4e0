"""While networks are timed, one line moves on a terminal, and one line stays anywhere else."""

import logging
import subprocess
import sys

from yolo26_attention.latency import progress
from yolo26_attention.latency.progress import counted_rounds

QUIET = """
import ultralytics  # sets a level at which the profiler's library logs each start and stop
import torch
from yolo26_attention.latency.memory import peak_allocations

print(peak_allocations([(torch.zeros, 1000)], torch.device("cpu")))
"""


def test_one_line_without_a_terminal(caplog, capsys):
    with caplog.at_level(logging.INFO), counted_rounds("eager", 300, 20.0) as step:
        for _ in range(5):
            step()
    assert [record.getMessage() for record in caplog.records] == ["timing eager: up to 300 rounds in up to 20 s"]
    assert capsys.readouterr().out == ""


def test_a_line_that_moves_and_disappears_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    clock = iter(range(5, 100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with counted_rounds("eager", 300, 20.0) as step:
        for _ in range(3):
            step()
    assert capsys.readouterr().out.split(progress.CLEAR) == [
        "",
        "timing eager: warming up",
        "timing eager: 1 of up to 300 rounds, 0 of up to 20 s",
        "timing eager: 2 of up to 300 rounds, 1 of up to 20 s",
        "timing eager: 3 of up to 300 rounds, 2 of up to 20 s",
        "",
    ]


def test_the_profiler_is_silent():
    result = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[4000]"
    assert result.stderr == ""
