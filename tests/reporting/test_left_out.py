"""Runs without a part in the comparison: a line each where they have an error, else a line per variant and reason."""

from pathlib import Path

from yolo26_attention.files.record import Record
from yolo26_attention.reporting.left_out import left_out
from yolo26_attention.reporting.study import StudyRun


def run(variant: str, seed: int, status: str = "pending", problem: str | None = "not started", error: str = ""):
    record = Record("", variant, "", seed, {}, status, error=error) if error else None
    return StudyRun(f"{variant}-s{seed}", variant, seed, status, Path(variant), record, problem)


def test_runs_that_have_not_started_share_a_line_per_variant():
    runs = [run(variant, seed) for seed in (0, 1, 2, 4) for variant in ("baseline", "acmix")]
    assert [(line.status, line.what, line.problem) for line in left_out(runs)] == [
        ("pending", "baseline, seeds 0 to 2, 4", "not started"),
        ("pending", "acmix, seeds 0 to 2, 4", "not started"),
    ]


def test_a_run_alone_and_a_run_with_an_error_are_named():
    runs = [
        run("acmix", 0),
        run("se", 0, "failed", "OSError: full", "Traceback\nOSError: full"),
        run("se", 1, "failed", "OSError: full", "Traceback\nOSError: full"),
        run("se", 2, "finished", None),
    ]
    lines = [(line.what, line.error) for line in left_out(runs)]
    assert lines == [
        ("se-s0", "Traceback\nOSError: full"),
        ("se-s1", "Traceback\nOSError: full"),
        ("acmix-s0", ""),
    ]
