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
    lines = []
    alike: dict[tuple[str, str, str], list[StudyRun]] = {}
    for run in runs:
        if run.counts:
            continue
        problem = run.problem or ""
        if run.record is not None and run.record.error:
            lines.append(LeftOut(run.status, run.name, problem, run.record.error))
        else:
            alike.setdefault((run.status, run.variant, problem), []).append(run)
    for (status, variant, problem), group in alike.items():
        seeds = ", ".join(_spans(sorted({run.seed for run in group})))
        what = group[0].name if len(group) == 1 else f"{variant}, seeds {seeds}"
        lines.append(LeftOut(status, what, problem, ""))
    return lines


def _spans(seeds: Sequence[int]) -> Iterator[str]:
    """0 to 3, 7."""
    for _, group in groupby(enumerate(seeds), lambda pair: pair[1] - pair[0]):
        span = [seed for _, seed in group]
        yield str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]}"
