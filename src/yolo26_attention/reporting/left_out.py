"""The runs that have no part in the comparison, in as few lines as tell them apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from yolo26_attention.reporting.study import StudyRun


@dataclass(frozen=True)
class LeftOut:
    """One line: a run, or the runs of a variant that are left out for the same reason.

    Attributes:
        status: that they share.
        what: name of the run, or variant and seeds.
        problem: why, in one line.
        error: what the run's record tells of its error; "" for none.
    """

    status: str
    what: str
    problem: str
    error: str


def left_out(runs: Sequence[StudyRun]) -> list[LeftOut]:
    """Lines on the runs that do not count.

    Runs without an error of their own (those that have not begun, or are not needed) share a line per variant.
    """
    problems = [run for run in runs if not run.counts]
    own = [LeftOut(run.status, run.name, run.problem or "", _error(run)) for run in problems if _error(run)]
    silent = [run for run in problems if not _error(run)]
    order = list(dict.fromkeys(map(_reason, silent)))
    silent.sort(key=lambda run: order.index(_reason(run)))
    for (status, variant, problem), group in groupby(silent, _reason):
        alike = list(group)
        what = alike[0].name if len(alike) == 1 else f"{variant}, seeds {_ranges(sorted({r.seed for r in alike}))}"
        own.append(LeftOut(status, what, problem, ""))
    return own


def _reason(run: StudyRun) -> tuple[str, str, str]:
    return run.status, run.variant, run.problem or ""


def _error(run: StudyRun) -> str:
    return (run.record.error if run.record is not None else None) or ""


def _ranges(seeds: Sequence[int]) -> str:
    """0 to 3, 7."""
    return ", ".join(_spans(seeds))


def _spans(seeds: Sequence[int]) -> Iterator[str]:
    for _, group in groupby(enumerate(seeds), lambda pair: pair[1] - pair[0]):
        span = [seed for _, seed in group]
        yield str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]}"
