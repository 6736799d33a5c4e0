"""While networks are timed, one line moves on a terminal, and one line stays anywhere else."""

import logging
import subprocess
import sys

from yolo26_attention.latency import progress
from yolo26_attention.latency.progress import counted_pairs

QUIET = """
import ultralytics  # sets a level at which the profiler's library logs each start and stop
import torch
from yolo26_attention.latency.memory import peak_allocations

print(peak_allocations([(torch.zeros, 1000)], torch.device("cpu")))
"""


def test_one_line_without_a_terminal(caplog, capsys):
    with caplog.at_level(logging.INFO), counted_pairs("eager", 300) as step:
        for _ in range(5):
            step()
    assert [record.getMessage() for record in caplog.records] == ["timing eager: up to 300 pairs"]
    assert capsys.readouterr().out == ""


def test_a_line_that_moves_and_disappears_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    clock = iter(range(100))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with counted_pairs("eager", 300) as step:
        for _ in range(3):
            step()
    *shown, last, nothing = capsys.readouterr().out.split(progress.CLEAR)
    assert (shown[1], last, nothing) == (
        "timing eager: 1 of up to 300 pairs",
        "timing eager: 3 of up to 300 pairs",
        "",
    )


def test_the_profiler_is_silent():
    result = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[4000]"
    assert result.stderr == ""
