"""The progress of a study, from its runs and their journals, without importing torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from yolo26_attention.files.folder import RunFolder
from yolo26_attention.files.journal import epochs, read_journal
from yolo26_attention.files.record import Record, common_split
from yolo26_attention.study.runs import StudyEntry, find_run


@dataclass(frozen=True)
class RunState:
    """One run of a study: its entry in study.json, its state, its record if it has one, and its last epoch.

    `problem` says why a record cannot be read.
    """

    entry: StudyEntry
    state: str
    record: Record | None = None
    epoch: int = 0
    problem: str | None = None

    @property
    def done(self) -> float:
        """The fraction of its epochs that are trained."""
        return min(self.epoch / self.epochs, 1.0) if self.epochs else 0.0

    @property
    def epochs(self) -> int | None:
        """The number of its epochs; None without a record."""
        trainer = {} if self.record is None else self.record.config.get("trainer", {})
        epochs: int | None = trainer.get("epochs")
        return epochs

    @property
    def score(self) -> float | None:
        """Its mAP50-95 on the validation images; None if it is not finished, or has none."""
        return None if self.record is None else self.record.score


@dataclass(frozen=True)
class TimeLeft:
    """An estimate in seconds, None if nothing is known, and the number of measured runs that it is based on.

    `seconds` is for one run after the other; `at_once` is how many run at a time.
    """

    seconds: float | None
    measured: int
    at_once: int = 1

    def __str__(self) -> str:
        if self.seconds is None:
            return "unknown (no run like these has been measured yet)"
        runs = "1 measured run" if self.measured == 1 else f"{self.measured} measured runs"
        how = "one run after the other" if self.at_once == 1 else f"with {self.at_once} runs at a time"
        return f"about {duration(self.seconds / self.at_once)} {how} (from {runs})"


def compared_scores(states: Sequence[RunState], metric: str) -> list[float | None]:
    """The score by which each run is compared, as in the report: on the test images if all runs have them.

    Args:
        states: states of all runs of the study.
        metric: one of `files.metrics.COMPARED`.
    """
    split = common_split(state.record for state in states if state.record is not None and state.score is not None)
    return [None if state.record is None else state.record.score_on(split, metric) for state in states]


def run_state(output_dir: Path, entry: StudyEntry) -> RunState:
    """Return the state of a run, with its last epoch if it is not finished."""
    found = find_run(output_dir, entry.run)
    epoch = 0
    if found.state in {"running", "interrupted"}:
        epoch = max((each.epoch for each in epochs(read_journal(RunFolder(found.folder).journal))), default=0)
    return RunState(entry, found.state, found.record, epoch, found.problem)


def run_states(output_dir: Path, entries: Iterable[StudyEntry]) -> list[RunState]:
    """Return the state of each run of a study; a run that two points share appears twice."""
    known: dict[str, RunState] = {}
    states = []
    for entry in entries:
        if entry.run not in known:
            known[entry.run] = run_state(output_dir, entry)
        found = known[entry.run]
        states.append(RunState(entry, found.state, found.record, found.epoch, found.problem))
    return states


def distinct(states: Iterable[RunState]) -> list[RunState]:
    """Return each run once."""
    return list({state.entry.run: state for state in states}.values())


def time_left(states: Sequence[RunState], elsewhere: Sequence[float] = (), at_once: int = 1) -> TimeLeft:
    """Estimate the time left.

    A run takes as long as finished runs of its variant did; without one, as all finished runs of the study; without
    one, as those elsewhere.

    Args:
        states: states of the study's runs.
        elsewhere: seconds of finished runs outside the study, of the same training.
        at_once: how many runs are trained at a time.
    """
    runs = distinct(states)
    # The record of a resumed run has only the time of its last process.
    measured = [
        (state.entry.variant, state.record.seconds)
        for state in runs
        if state.state == "finished" and state.record is not None and state.record.attempts == 1
    ]
    known = [seconds for _, seconds in measured] or list(elsewhere)
    todo = [state for state in runs if state.state not in {"finished", "failed", "unreadable", "stopped"}]
    if not todo:
        return TimeLeft(0.0, len(known))
    if not known:
        return TimeLeft(None, 0)
    seconds = 0.0
    for state in todo:
        own = [seconds for variant, seconds in measured if variant == state.entry.variant]
        seconds += mean(own or known) * (1.0 - state.done)
    return TimeLeft(seconds, len(known), min(at_once, len(todo)))


def best(states: Iterable[RunState]) -> tuple[float, RunState] | None:
    """Return the highest mAP50-95 of a finished run, and the run."""
    scored = [(state.score, state) for state in states if state.score is not None]
    return max(scored, key=lambda pair: pair[0], default=None)


def duration(seconds: float) -> str:
    """Format a time in at most two units: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"
